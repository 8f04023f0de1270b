//! Deletion step by step, and the recount that would find what it leaves behind.

use tidestore_directory::{Deletion, Effect, ErrorKind, MuteChange, MuteFor, UserChange};
use tidestore_kv::{Batch, Table};
use tidestore_plan::UserId;

use crate::world::{World, all, id, new_user, refusal};

/// Ann with three contacts, two blocked users and a mute; Bob has blocked her.
fn world() -> World {
    let world = World::with(&["ann", "bob", "cleo", "dora"]);
    let ann = id("ann");
    for friend in ["bob", "cleo", "dora"] {
        world
            .change(|editor| editor.add_contact(&ann, &id(friend)))
            .unwrap();
    }
    world
        .change(|editor| editor.block(&ann, &[id("cleo"), id("dora")]))
        .unwrap();
    world
        .change(|editor| editor.block(&id("bob"), &[id("ann")]))
        .unwrap();
    let mute = MuteChange {
        chat: Some(MuteFor::Forever),
        ..MuteChange::default()
    };
    world.change(|editor| editor.set_mutes(&ann, mute)).unwrap();
    world
}

fn contacts(world: &World, user: &str) -> Vec<UserId> {
    let contacts = all(|cursor| world.read().contacts(&id(user), cursor, 2));
    contacts.into_iter().map(|contact| contact.friend).collect()
}

#[test]
fn a_deletion_takes_as_many_steps_as_its_budget_needs() {
    for (budget, steps) in [
        (0, 5),
        (1, 5),
        (2, 3),
        (3, 2),
        (4, 2),
        (5, 1),
        (usize::MAX, 1),
    ] {
        let world = world();
        let was = world.read().user(&id("ann")).unwrap();
        for step in 1..=steps {
            let done =
                world.change_with_effects(|editor| editor.delete_user_step(&id("ann"), budget));
            let expected = if step < steps {
                assert_eq!(world.read().leaving_users().unwrap(), [id("ann")]);
                (Deletion::Unfinished, vec![])
            } else {
                (
                    Deletion::Done(was.clone()),
                    vec![Effect::UserDeleted(id("ann"))],
                )
            };
            assert_eq!(done.unwrap(), expected, "step {step} of {budget}");
            world.assert_sound();
        }
        assert!(world.read().leaving_users().unwrap().is_empty());
        assert_eq!(contacts(&world, "bob"), []);
        assert_eq!(world.read().counters().unwrap().users, 3);
        let again = world.change(|editor| editor.delete_user_step(&id("ann"), budget));
        assert_eq!(refusal(again), ErrorKind::UserNotFound(id("ann")));
    }
}

#[test]
fn a_user_whose_deletion_has_begun_is_not_there_and_his_id_is_not_free() {
    let world = world();
    let (ann, bob) = (id("ann"), id("bob"));
    world
        .change(|editor| editor.delete_user_step(&ann, 1))
        .unwrap();
    let not_found = ErrorKind::UserNotFound(id("ann"));
    let taken = world.change(|editor| editor.register(new_user("Ann")));
    assert_eq!(refusal(taken), ErrorKind::UserExists(id("ann")));
    assert_eq!(refusal(world.read().user(&ann)), not_found);
    assert_eq!(refusal(world.read().mutes(&ann, 0)), not_found);
    assert_eq!(refusal(world.read().check_direct(&bob, &ann, 0)), not_found);
    assert_eq!(refusal(world.change(|editor| editor.ban(&ann))), not_found);
    let renamed = world.change(|editor| editor.change_user(&ann, UserChange::default()));
    assert_eq!(refusal(renamed), not_found);
    assert_eq!(
        refusal(world.change(|editor| editor.add_contact(&bob, &ann))),
        not_found
    );
    assert_eq!(
        refusal(world.change(|editor| editor.block(&bob, &[id("ann")]))),
        not_found
    );
    let listed = all(|cursor| world.read().users(cursor, 1));
    assert_eq!(listed.len(), 3);
    assert!(
        world
            .read()
            .muted_users(None, 9, 0)
            .unwrap()
            .items
            .is_empty()
    );
}

#[test]
fn two_contacts_can_be_deleted_step_by_step_at_once() {
    let world = world();
    world
        .change(|editor| editor.block(&id("cleo"), &[id("bob"), id("dora")]))
        .unwrap();
    let mut leaving = vec![id("ann"), id("cleo")];
    while !leaving.is_empty() {
        leaving.retain(|user| {
            let done = world
                .change(|editor| editor.delete_user_step(user, 1))
                .unwrap();
            world.assert_sound();
            done == Deletion::Unfinished
        });
        assert_eq!(world.read().leaving_users().unwrap(), leaving);
    }
    assert_eq!(world.read().counters().unwrap().users, 2);
}

#[test]
fn who_registers_under_the_id_of_a_deleted_user_inherits_nothing_but_blocks_against_it() {
    let world = world();
    let (ann, bob) = (id("ann"), id("bob"));
    world
        .change(|editor| editor.delete_user_step(&ann, 99))
        .unwrap();
    assert_eq!(
        all(|cursor| world.read().blocked(&bob, cursor, 1)),
        [id("ann")]
    );
    world
        .change(|editor| editor.register(new_user("ann")))
        .unwrap();
    assert_eq!(contacts(&world, "ann"), []);
    assert!(world.read().mutes(&ann, 0).unwrap().is_empty());
    let refused = world.read().check_direct(&ann, &bob, 0);
    assert_eq!(refusal(refused), ErrorKind::BlockedByReceiver(id("bob")));
    let last = all(|cursor| world.read().users(cursor, 1)).pop().unwrap();
    assert_eq!(last.id, ann);
    world.assert_sound();
}

#[test]
fn a_deleted_user_can_be_taken_off_a_block_list() {
    let world = world();
    world
        .change(|editor| editor.delete_user_step(&id("ann"), 99))
        .unwrap();
    let unblock = || world.change(|editor| editor.unblock(&id("bob"), &id("ann")));
    assert!(unblock().unwrap());
    assert_eq!(refusal(unblock()), ErrorKind::UserNotFound(id("ann")));
    world.assert_sound();
}

/// Every row of the users' tables is looked at by the recount: without it, something is reported.
#[test]
fn the_recount_finds_any_row_that_is_lost() {
    let whole = world();
    whole
        .change(|editor| editor.register(new_user("eve")))
        .unwrap();
    whole
        .change(|editor| editor.add_contact(&id("bob"), &id("eve")))
        .unwrap();
    whole
        .change(|editor| editor.delete_user_step(&id("ann"), 1))
        .unwrap();
    whole.assert_sound();
    let mut looked_at = 0;
    for table in [20, 21, 22, 23, 24, 25, 27].map(Table) {
        let rows = tidestore_kv::page_of(&*whole.engine, table, b"", None, false, 100).unwrap();
        assert!(!rows.is_empty(), "{table}");
        for (key, value) in rows {
            let mut lost = Batch::new();
            lost.delete(table, key.as_slice());
            whole.engine.write(lost).unwrap();
            let shown = key.escape_ascii();
            assert_ne!(whole.problems(), Vec::<String>::new(), "{table} {shown}");
            let mut back = Batch::new();
            back.put(table, key.as_slice(), value.as_slice());
            whole.engine.write(back).unwrap();
            looked_at += 1;
        }
    }
    assert!(looked_at > 20);
    whole.assert_sound();
}
