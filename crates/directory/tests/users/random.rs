//! Random calls, several to an overlay, against the model.

use std::fmt::Debug;

use proptest::prelude::*;
use tidestore_directory::{
    Deletion, Directory, Effect, ErrorKind, MuteChange, MuteFor, MuteKind, NewUser, Result, Scope,
    UserChange,
};
use tidestore_kv::{Overlay, Rows};
use tidestore_plan::{Limit, Limits, Plan, UserId};

use crate::model::Model;
use crate::world::{HASHES, World, all, change, id, refusal};

/// `Bo` and `bo` are one user.
const NAMES: [&str; 8] = ["al", "Bo", "bo", "b.c", "cy", "di-", "_e", "f"];

#[derive(Clone, Debug)]
enum Call {
    Register(NewUser),
    RegisterMany(Vec<NewUser>),
    Change(UserId, UserChange),
    SetPassword(UserId, usize),
    Ban(UserId),
    Unban(UserId),
    AddContact(UserId, UserId),
    RemoveContact(UserId, UserId),
    SetRemark(UserId, UserId, String),
    Block(UserId, Vec<UserId>),
    Unblock(UserId, UserId),
    SetMutes(UserId, MuteChange),
    DeleteStep(UserId, usize),
    Wait(u64),
}

fn user() -> impl Strategy<Value = UserId> + Clone {
    prop::sample::select(&NAMES[..]).prop_map(id)
}

fn short_text() -> impl Strategy<Value = String> + Clone {
    prop::sample::select(&["", "x", "密密密", "abcd"][..]).prop_map(str::to_owned)
}

fn new_user() -> impl Strategy<Value = NewUser> + Clone {
    let hash = prop::option::of(0..2_usize);
    let parts = (
        user(),
        any::<[u8; 16]>(),
        prop::option::of(short_text()),
        hash,
    );
    parts.prop_map(|(id, uuid, nickname, hash)| NewUser {
        id,
        uuid,
        nickname,
        password_hash: hash.map(|at| HASHES[at].clone()),
    })
}

fn user_change() -> impl Strategy<Value = UserChange> {
    let style = prop::option::of(0..3_u8);
    let hours = prop::option::of((20..25_u8, 20..25_u8));
    let parts = (
        prop::option::of(short_text()),
        style,
        any::<Option<bool>>(),
        hours,
    );
    parts.prop_map(
        |(nickname, display_style, no_disturbing, hours)| UserChange {
            nickname,
            display_style,
            no_disturbing,
            no_disturbing_hours: hours,
        },
    )
}

fn mute_change() -> impl Strategy<Value = MuteChange> {
    let mute = prop_oneof![
        3 => (0..7_u64).prop_map(MuteFor::Seconds),
        1 => Just(MuteFor::Lift),
        1 => Just(MuteFor::Forever),
    ];
    let mute = prop::option::of(mute);
    (mute.clone(), mute.clone(), mute).prop_map(|(chat, groupchat, chatroom)| MuteChange {
        chat,
        groupchat,
        chatroom,
    })
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => new_user().prop_map(Call::Register),
        2 => prop::collection::vec(new_user(), 0..5).prop_map(Call::RegisterMany),
        2 => (user(), user_change()).prop_map(|(user, change)| Call::Change(user, change)),
        1 => (user(), 0..2_usize).prop_map(|(user, at)| Call::SetPassword(user, at)),
        1 => user().prop_map(Call::Ban),
        1 => user().prop_map(Call::Unban),
        8 => (user(), user()).prop_map(|(user, friend)| Call::AddContact(user, friend)),
        2 => (user(), user()).prop_map(|(user, friend)| Call::RemoveContact(user, friend)),
        2 => (user(), user(), short_text()).prop_map(|(u, f, text)| Call::SetRemark(u, f, text)),
        6 => (user(), prop::collection::vec(user(), 0..5)).prop_map(|(u, o)| Call::Block(u, o)),
        2 => (user(), user()).prop_map(|(user, other)| Call::Unblock(user, other)),
        3 => (user(), mute_change()).prop_map(|(user, change)| Call::SetMutes(user, change)),
        3 => (user(), 0..4_usize).prop_map(|(user, budget)| Call::DeleteStep(user, budget)),
        2 => (0..4_000_u64).prop_map(Call::Wait),
    ]
}

/// Compares an answer with the model's.
fn same<T: PartialEq + Debug>(found: Result<T>, expected: Result<T, ErrorKind>) {
    match (found, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected),
        (found @ Err(_), Err(expected)) => assert_eq!(refusal(found), expected),
        (found, expected) => panic!("{found:?} instead of {expected:?}"),
    }
}

/// Makes a call that has no effects on other parts.
fn plain<T>(
    overlay: &mut Overlay<'_>,
    scope: &Scope,
    call: impl FnOnce(&mut tidestore_directory::Editor<'_, '_>) -> Result<T>,
) -> Result<T> {
    let (done, effects) = change(overlay, scope, call)?;
    assert_eq!(effects, []);
    Ok(done)
}

fn make(call: Call, overlay: &mut Overlay<'_>, scope: &mut Scope, model: &mut Model) {
    match call {
        Call::Register(new) => same(
            plain(overlay, scope, |editor| editor.register(new.clone())),
            model.register(new),
        ),
        Call::RegisterMany(new) => {
            let found = plain(overlay, scope, |editor| editor.register_many(new.clone()));
            let each = |found: Result<_>| match found {
                Ok(user) => Ok(user),
                found @ Err(_) => Err(refusal(found)),
            };
            let found = found.map(|found| found.into_iter().map(each).collect());
            same(found, model.register_many(new));
        }
        Call::Change(user, change) => same(
            plain(overlay, scope, |editor| {
                editor.change_user(&user, change.clone())
            }),
            model.change_user(&user, change),
        ),
        Call::SetPassword(user, at) => same(
            plain(overlay, scope, |editor| {
                editor.set_password(&user, HASHES[at].clone())
            }),
            model.set_password(&user, &HASHES[at]),
        ),
        Call::Ban(user) => same(
            plain(overlay, scope, |editor| editor.ban(&user)),
            model.set_banned(&user, true),
        ),
        Call::Unban(user) => same(
            plain(overlay, scope, |editor| editor.unban(&user)),
            model.set_banned(&user, false),
        ),
        Call::AddContact(user, friend) => same(
            plain(overlay, scope, |editor| editor.add_contact(&user, &friend)),
            model.add_contact(&user, &friend),
        ),
        Call::RemoveContact(user, friend) => same(
            plain(overlay, scope, |editor| {
                editor.remove_contact(&user, &friend)
            }),
            model.remove_contact(&user, &friend),
        ),
        Call::SetRemark(user, friend, text) => same(
            plain(overlay, scope, |editor| {
                editor.set_remark(&user, &friend, &text)
            }),
            model.set_remark(&user, &friend, &text),
        ),
        Call::Block(user, others) => same(
            plain(overlay, scope, |editor| editor.block(&user, &others)),
            model.block(&user, &others),
        ),
        Call::Unblock(user, other) => same(
            plain(overlay, scope, |editor| editor.unblock(&user, &other)),
            model.unblock(&user, &other),
        ),
        Call::SetMutes(user, change) => same(
            plain(overlay, scope, |editor| editor.set_mutes(&user, change)),
            model.set_mutes(&user, change),
        ),
        Call::DeleteStep(user, budget) => {
            let found = change(overlay, scope, |editor| {
                editor.delete_user_step(&user, budget)
            });
            let expected = model.delete_step(&user, budget).map(|done| match done {
                None => (Deletion::Unfinished, vec![]),
                Some(was) => (Deletion::Done(was), vec![Effect::UserDeleted(user)]),
            });
            same(found, expected);
        }
        Call::Wait(millis) => {
            scope.now += millis;
            model.now += millis;
        }
    }
}

/// Compares all that can be read.
fn compare<R: Rows + ?Sized>(found: &Directory<'_, R>, model: &Model, limit: usize) {
    let mut problems = Vec::new();
    found.recount_users(&mut problems).unwrap();
    assert_eq!(problems, Vec::<String>::new());
    let now = model.now;
    assert_eq!(found.counters().unwrap().users, model.people.len() as u64);
    assert_eq!(all(|cursor| found.users(cursor, limit)), model.listed());
    assert_eq!(found.leaving_users().unwrap(), model.leaving());
    let muted = all(|cursor| found.muted_users(cursor, limit, now));
    assert_eq!(muted, model.muted_users());
    for user in NAMES.map(id) {
        same(
            found.user(&user),
            model.person(&user).map(|person| person.user.clone()),
        );
        let password = model.person(&user).map(|person| person.password.clone());
        same(found.password_hash(&user), password);
        same(found.mutes(&user, now), model.mutes(&user));
        same(found.check_sender(&user), model.check_sender(&user));
        compare_lists(found, model, &user, limit);
        for other in NAMES.map(id) {
            same(found.contact(&user, &other), model.contact(&user, &other));
            same(
                found.has_blocked(&user, &other),
                Ok(model.has_blocked(&user, &other)),
            );
            same(
                found.check_direct(&user, &other, now),
                model.check_direct(&user, &other),
            );
        }
    }
}

fn compare_lists<R: Rows + ?Sized>(
    found: &Directory<'_, R>,
    model: &Model,
    user: &UserId,
    limit: usize,
) {
    let Ok(person) = model.person(user) else {
        let not_found = ErrorKind::UserNotFound(user.clone());
        assert_eq!(refusal(found.contacts(user, None, limit)), not_found);
        assert_eq!(refusal(found.blocked(user, None, limit)), not_found);
        return;
    };
    let contacts = all(|cursor| found.contacts(user, cursor, limit));
    assert_eq!(contacts, model.contacts(user).unwrap());
    let blocked = all(|cursor| found.blocked(user, cursor, limit));
    let newest_first: Vec<_> = person.blocks.iter().rev().cloned().collect();
    assert_eq!(blocked, newest_first);
    let mutes = model.mutes(user).unwrap();
    for kind in [MuteKind::Chat, MuteKind::GroupChat, MuteKind::Chatroom] {
        let is_muted = found.global_mute(user, kind, model.now).is_err();
        assert_eq!(is_muted, mutes.get(kind).is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_calls_do_what_the_model_does(
        rounds in prop::collection::vec(prop::collection::vec(call(), 1..8), 1..25),
        limit in 1..4_usize,
    ) {
        let mut world = World::new();
        let mut caps = Plan::Free.caps();
        caps.users = Some(6);
        caps.contacts_per_user = Some(3);
        let limits = Limits::default()
            .with(Limit::RegistrationBatch, 3)
            .with(Limit::BlockBatch, 3)
            .with(Limit::BlockList, 2)
            .with(Limit::PushNickname, 3)
            .with(Limit::MuteSeconds, 5);
        (world.scope.caps, world.scope.limits) = (caps, limits.clone());
        let mut model = Model::new(caps, limits, world.scope.now);
        for round in rounds {
            let mut overlay = Overlay::new(&*world.engine);
            let mut scope = world.scope.clone();
            for call in round {
                make(call, &mut overlay, &mut scope, &mut model);
            }
            compare(&Directory::new(&overlay, scope.app), &model, limit);
            world.engine.write(overlay.into_batch()).unwrap();
            world.scope = scope;
            compare(&world.read(), &model, limit);
        }
    }
}
