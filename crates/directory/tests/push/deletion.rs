//! Deletions of labels and of users, step by step, and both at once.

use tidestore_directory::{
    Deletion, ErrorKind, PushMode, PushScope, PushSettingChange, going_labels,
};
use tidestore_plan::{Limits, ResourceId, UserId};

use crate::world::{World, id, ids, new_user, refusal};

const NAMES: [&str; 5] = ["ann", "bob", "cid", "dan", "eve"];

/// Five users with one label, Ann with three labels, settings, a language, and revoked tokens.
fn world() -> World {
    let world = World::with(&NAMES, Limits::default());
    for label in ["all", "few", "one"] {
        world
            .edit(|editor| editor.create_push_label(label, ""))
            .unwrap();
    }
    for (label, users) in [
        ("all", &NAMES[..]),
        ("few", &["ann", "bob"]),
        ("one", &["ann"]),
    ] {
        let added = world.edit(|editor| editor.add_push_label_users(label, &ids(users)));
        assert!(added.unwrap().iter().all(Result::is_ok));
    }
    let ann = id("ann");
    for scope in scopes() {
        let change = PushSettingChange {
            mode: Some(PushMode::None),
            ..PushSettingChange::default()
        };
        world
            .edit(|editor| editor.set_push_setting(&ann, &scope, change))
            .unwrap();
    }
    world
        .edit(|editor| editor.set_push_language(&ann, "en"))
        .unwrap();
    world.edit(|editor| editor.ban(&ann)).unwrap();
    world
}

fn scopes() -> [PushScope; 3] {
    [
        PushScope::App,
        PushScope::User(id("bob")),
        PushScope::Group(ResourceId::parse("tea").unwrap()),
    ]
}

fn delete_user(world: &World, user: &UserId, budget: usize) -> usize {
    for step in 1.. {
        let done = world.edit(|editor| editor.delete_user_step(user, budget));
        if matches!(done.unwrap(), Deletion::Done(_)) {
            return step;
        }
    }
    unreachable!("steps end")
}

#[test]
fn a_label_that_goes_is_invisible_and_its_name_is_not_free() {
    for budget in 0..9 {
        let world = world();
        let mut steps = 0;
        loop {
            let done = world.edit(|editor| editor.delete_push_label_step("all", budget));
            steps += 1;
            if done.unwrap() {
                break;
            }
            let not_found = ErrorKind::LabelNotFound("all".to_owned());
            assert_eq!(refusal(world.read().push_label("all")), not_found);
            let add = world.edit(|editor| editor.add_push_label_users("all", &ids(&["ann"])));
            assert_eq!(refusal(add), not_found);
            let remove = world.edit(|editor| editor.remove_push_label_users("all", &[]));
            assert_eq!(refusal(remove), not_found);
            let create = world.edit(|editor| editor.create_push_label("all", ""));
            assert_eq!(refusal(create), ErrorKind::LabelExists("all".to_owned()));
            let listed = world.read().push_labels(None, 9).unwrap();
            assert_eq!(listed.items.len(), 2);
            let going = going_labels(&*world.engine, 9).unwrap();
            assert_eq!(going, [(world.scope.app, "all".to_owned())]);
        }
        assert_eq!(steps, 1 + 5 / (budget / 2).max(1), "budget {budget}");
        assert_eq!(going_labels(&*world.engine, 9).unwrap(), []);
        let again = world.edit(|editor| editor.delete_push_label_step("all", budget));
        assert!(again.is_err());
        let made = world.edit(|editor| editor.create_push_label("all", "new"));
        assert_eq!(made.unwrap().users, 0);
        assert_eq!(world.read().push_label("few").unwrap().users, 2);
    }
}

#[test]
fn a_user_leaves_nothing_behind_and_is_counted_off() {
    for budget in [0, 1, 2, 3, 4, 7, 100] {
        let world = world();
        let ann = id("ann");
        let steps = delete_user(&world, &ann, budget);
        assert!(steps <= 8, "{steps} steps with budget {budget}");
        for (label, users) in [("all", 4), ("few", 1), ("one", 0)] {
            assert_eq!(world.read().push_label(label).unwrap().users, users);
            let since = world.read().push_label_user(label, &ann).unwrap();
            assert_eq!(since, None);
        }
        world
            .edit(|editor| editor.register(new_user("ann")))
            .unwrap();
        for scope in scopes() {
            let setting = world.read().push_setting(&ann, &scope).unwrap();
            assert_eq!(setting, tidestore_directory::PushSetting::default());
        }
        assert_eq!(world.read().push_language(&ann).unwrap(), "");
        assert_eq!(world.read().token_revision(&ann).unwrap(), 0);
    }
}

#[test]
fn a_user_and_his_label_go_at_the_same_time() {
    for budget in 1..4 {
        let world = world();
        let (mut label, mut user) = (false, false);
        while !label || !user {
            if !label {
                let done = world.edit(|editor| editor.delete_push_label_step("all", budget));
                label = done.unwrap();
            }
            if !user {
                let done = world.edit(|editor| editor.delete_user_step(&id("dan"), budget));
                user = matches!(done.unwrap(), Deletion::Done(_));
            }
        }
        assert!(world.read().push_label("all").is_err());
    }
}
