//! Random calls against a model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tidestore_directory::{
    Deletion, ErrorKind, PushMode, PushScope, PushSetting, PushSettingChange, Result, going_labels,
};
use tidestore_plan::{Limit, Limits, ResourceId, UserId};

use crate::world::{World, all, id, new_user};

const NAMES: [&str; 5] = ["al", "bo", "cy", "di", "ed"];
const LABELS: [&str; 3] = ["a", "A", "b.c"];
const TEMPLATES: [&str; 2] = ["default", "x1"];
const LABELS_MAX: u64 = 2;
const LABEL_USERS_MAX: u64 = 3;
const SILENCE_MAX: u64 = 1_000;

#[derive(Clone, Debug)]
enum Call {
    Register(&'static str),
    DeleteUser(&'static str, usize),
    Ban(&'static str),
    Unban(&'static str),
    Set(&'static str, usize, PushSettingChange),
    Speak(&'static str, &'static str),
    CreateTemplate(&'static str),
    DeleteTemplate(&'static str),
    CreateLabel(&'static str),
    DeleteLabel(&'static str, usize),
    Add(&'static str, Vec<&'static str>),
    Remove(&'static str, Vec<&'static str>),
    Wait(u64),
}

fn name() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(&NAMES[..])
}

fn label() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(&LABELS[..])
}

fn setting() -> impl Strategy<Value = PushSettingChange> {
    let modes = [
        PushMode::Default,
        PushMode::All,
        PushMode::At,
        PushMode::None,
    ];
    let mode = prop::option::of(prop::sample::select(modes.to_vec()));
    let interval = prop::sample::select(&["", "22:00-07:00", "25:00-07:00"][..]);
    let interval = prop::option::weighted(0.3, interval.prop_map(str::to_owned));
    let silence = prop::option::of(0..SILENCE_MAX + 200);
    (mode, interval, silence).prop_map(|(mode, ignore_interval, ignore_duration_ms)| {
        PushSettingChange {
            mode,
            ignore_interval,
            ignore_duration_ms,
        }
    })
}

fn call() -> impl Strategy<Value = Call> {
    let users = prop::collection::vec(name(), 0..4);
    let template = prop::sample::select(&TEMPLATES[..]);
    let language = prop::sample::select(&["", "en"][..]);
    prop_oneof![
        5 => name().prop_map(Call::Register),
        2 => (name(), 0..5_usize).prop_map(|(user, budget)| Call::DeleteUser(user, budget)),
        1 => name().prop_map(Call::Ban),
        1 => name().prop_map(Call::Unban),
        4 => (name(), 0..3_usize, setting()).prop_map(|(u, scope, c)| Call::Set(u, scope, c)),
        1 => (name(), language).prop_map(|(user, language)| Call::Speak(user, language)),
        1 => template.clone().prop_map(Call::CreateTemplate),
        1 => template.prop_map(Call::DeleteTemplate),
        3 => label().prop_map(Call::CreateLabel),
        2 => (label(), 0..5_usize).prop_map(|(label, budget)| Call::DeleteLabel(label, budget)),
        8 => (label(), users.clone()).prop_map(|(label, users)| Call::Add(label, users)),
        3 => (label(), users).prop_map(|(label, users)| Call::Remove(label, users)),
        1 => (0..2_000_u64).prop_map(Call::Wait),
    ]
}

fn scope(number: usize) -> PushScope {
    match number {
        0 => PushScope::App,
        1 => PushScope::User(id("bo")),
        _ => PushScope::Group(ResourceId::parse("bo").unwrap()),
    }
}

#[derive(Debug, Default)]
struct Person {
    is_leaving: bool,
    is_banned: bool,
    revision: u64,
    language: String,
    settings: BTreeMap<usize, PushSetting>,
}

/// What ought to be. Of a label, users whose deletion has begun are left out: how far that is shows in its count only.
#[derive(Debug, Default)]
struct Model {
    people: BTreeMap<&'static str, Person>,
    labels: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Labels whose deletion has begun.
    going: BTreeSet<&'static str>,
    templates: BTreeMap<&'static str, u64>,
}

impl Model {
    fn person(&mut self, name: &str) -> Option<&mut Person> {
        let person = self.people.get_mut(name);
        person.filter(|person| !person.is_leaving)
    }

    /// What a change of a setting makes of it, if it is allowed.
    fn set(&mut self, now: u64, user: &str, of: usize, change: &PushSettingChange) -> bool {
        let is_fine = match change.ignore_interval.as_deref() {
            None => true,
            Some(text) => of == 0 && !text.starts_with("25"),
        };
        let is_short = change.ignore_duration_ms.unwrap_or(0) <= SILENCE_MAX;
        let Some(person) = self.person(user).filter(|_| is_fine && is_short) else {
            return false;
        };
        let setting = person.settings.entry(of).or_default();
        setting.mode = change.mode.or(setting.mode);
        if let Some(text) = &change.ignore_interval {
            setting.ignore_interval = Some(text.clone()).filter(|text| !text.is_empty());
        }
        let until = change.ignore_duration_ms.map(|millis| now + millis);
        setting.silent_until = until.or(setting.silent_until);
        true
    }
}

fn is_refused<T: std::fmt::Debug>(done: &Result<T>) -> bool {
    match done {
        Ok(_) => false,
        Err(error) => {
            assert_ne!(*error.kind(), ErrorKind::Tables);
            true
        }
    }
}

fn make(world: &mut World, model: &mut Model, call: Call) {
    let now = world.scope.now;
    match call {
        Call::Register(name) => {
            let done = world.edit(|editor| editor.register(new_user(name)));
            assert_eq!(is_refused(&done), model.people.contains_key(name));
            model.people.entry(name).or_default();
        }
        Call::DeleteUser(name, budget) => {
            let done = world.edit(|editor| editor.delete_user_step(&id(name), budget));
            assert_eq!(is_refused(&done), !model.people.contains_key(name));
            match done {
                Ok(Deletion::Done(_)) => drop(model.people.remove(name)),
                Ok(Deletion::Unfinished) => model.people.get_mut(name).unwrap().is_leaving = true,
                Err(_) => {}
            }
            for users in model.labels.values_mut() {
                users.remove(name);
            }
        }
        Call::Ban(name) => {
            let done = world.edit(|editor| editor.ban(&id(name)));
            let person = model.person(name);
            assert_eq!(is_refused(&done), person.is_none());
            if let Some(person) = person {
                person.revision += u64::from(!person.is_banned);
                person.is_banned = true;
            }
        }
        Call::Unban(name) => {
            let done = world.edit(|editor| editor.unban(&id(name)));
            assert_eq!(is_refused(&done), model.person(name).is_none());
            if let Some(person) = model.person(name) {
                person.is_banned = false;
            }
        }
        Call::Set(name, of, change) => {
            let asked = change.clone();
            let done = world.edit(|editor| editor.set_push_setting(&id(name), &scope(of), asked));
            assert_eq!(!is_refused(&done), model.set(now, name, of, &change));
        }
        Call::Speak(name, language) => {
            let done = world.edit(|editor| editor.set_push_language(&id(name), language));
            assert_eq!(is_refused(&done), model.person(name).is_none());
            if let Some(person) = model.person(name) {
                language.clone_into(&mut person.language);
            }
        }
        Call::CreateTemplate(name) => {
            let done = world.edit(|editor| editor.create_push_template(name, name, ""));
            assert_eq!(is_refused(&done), model.templates.contains_key(name));
            model.templates.entry(name).or_insert(now);
        }
        Call::DeleteTemplate(name) => {
            let done = world.edit(|editor| editor.delete_push_template(name));
            assert_eq!(is_refused(&done), model.templates.remove(name).is_none());
        }
        Call::CreateLabel(name) => {
            let done = world.edit(|editor| editor.create_push_label(name, "what"));
            let is_free = !model.labels.contains_key(name) && !model.going.contains(name);
            let has_room = ((model.labels.len() + model.going.len()) as u64) < LABELS_MAX;
            assert_eq!(!is_refused(&done), is_free && has_room);
            if done.is_ok() {
                model.labels.insert(name, BTreeMap::new());
            }
        }
        Call::DeleteLabel(name, budget) => {
            let done = world.edit(|editor| editor.delete_push_label_step(name, budget));
            let is_there = model.labels.remove(name).is_some() | model.going.remove(name);
            assert_eq!(!is_refused(&done), is_there);
            if let Ok(false) = done {
                model.going.insert(name);
            }
        }
        Call::Add(name, users) => add(world, model, name, &users),
        Call::Remove(name, users) => remove(world, model, name, &users),
        Call::Wait(millis) => world.scope.now += millis,
    }
}

fn ids(users: &[&str]) -> Vec<UserId> {
    users.iter().map(|user| id(user)).collect()
}

fn add(world: &World, model: &mut Model, name: &str, users: &[&'static str]) {
    // Who is being deleted may still be counted.
    let counted = world.read().push_label(name).map(|label| label.users);
    let done = world.edit(|editor| editor.add_push_label_users(name, &ids(users)));
    assert_eq!(is_refused(&done), !model.labels.contains_key(name));
    let (Ok(each), Ok(mut counted)) = (done, counted) else {
        return;
    };
    for (user, one) in users.iter().zip(each) {
        let exists = model.person(user).is_some();
        let label = model.labels.get_mut(name).unwrap();
        let is_new = !label.contains_key(user);
        assert_eq!(
            one.is_ok(),
            exists && (!is_new || counted < LABEL_USERS_MAX)
        );
        if one.is_ok() && is_new {
            counted += 1;
            label.insert(user, world.scope.now);
        }
    }
}

fn remove(world: &World, model: &mut Model, name: &str, users: &[&'static str]) {
    let done = world.edit(|editor| editor.remove_push_label_users(name, &ids(users)));
    assert_eq!(is_refused(&done), !model.labels.contains_key(name));
    for (user, one) in users.iter().zip(done.into_iter().flatten()) {
        assert_eq!(one.is_ok(), model.person(user).is_some());
        if one.is_ok() {
            model.labels.get_mut(name).unwrap().remove(user);
        }
    }
}

/// Compares all that can be read.
fn compare(world: &World, model: &mut Model, limit: usize) {
    let read = world.read();
    let listed = all(|cursor| read.push_labels(cursor, limit));
    let names: Vec<_> = listed.iter().map(|label| label.name.as_str()).collect();
    assert_eq!(names, model.labels.keys().copied().collect::<Vec<_>>());
    let going = going_labels(&*world.engine, 9).unwrap();
    let going: Vec<_> = going.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(going, model.going.iter().copied().collect::<Vec<_>>());
    for label in listed {
        let found = all(|cursor| read.push_label_users(&label.name, cursor, limit));
        assert_eq!(label.users, found.len() as u64);
        let staying = found
            .iter()
            .filter(|one| read.user(&one.user).is_ok())
            .map(|one| (one.user.as_str(), one.created));
        let expected = &model.labels[label.name.as_str()];
        let expected = expected.iter().map(|(user, created)| (*user, *created));
        assert_eq!(staying.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        for one in found {
            let since = read.push_label_user(&label.name, &one.user).unwrap();
            assert_eq!(since, Some(one.created));
        }
    }
    for name in TEMPLATES {
        let found = read.push_template(name).ok().map(|found| found.created);
        assert_eq!(found, model.templates.get(name).copied());
    }
    for name in NAMES {
        let user = id(name);
        let person = model.person(name);
        let found = read.push_language(&user).ok();
        assert_eq!(found, person.as_ref().map(|person| person.language.clone()));
        let found = read.token_revision(&user).ok();
        assert_eq!(found, person.as_ref().map(|person| person.revision));
        for of in 0..3 {
            let found = read.push_setting(&user, &scope(of)).ok();
            let setting = |person: &&mut Person| person.settings.get(&of).cloned();
            let expected = person.as_ref().map(|p| setting(p).unwrap_or_default());
            assert_eq!(found, expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_calls_do_what_the_model_does(
        calls in prop::collection::vec(call(), 1..120),
        limit in 1..4_usize,
    ) {
        let limits = Limits::default()
            .with(Limit::PushSilence, SILENCE_MAX)
            .with(Limit::PushLabels, LABELS_MAX)
            .with(Limit::PushLabelUsers, LABEL_USERS_MAX);
        let mut world = World::with(&[], limits);
        let mut model = Model::default();
        for call in calls {
            make(&mut world, &mut model, call);
            compare(&world, &mut model, limit);
        }
    }
}
