//! Cursors of other lists, lists of other users and apps.

use tidestore_directory::{Directory, ErrorKind, Scope};
use tidestore_kv::Overlay;
use tidestore_plan::AppId;

use crate::world::{World, all, change, id, new_user, refusal};

#[test]
fn a_cursor_is_taken_only_by_the_list_that_gave_it() {
    let world = World::with(&["ann", "bob", "cleo"]);
    let (ann, bob) = (id("ann"), id("bob"));
    for (user, friend) in [("ann", "bob"), ("ann", "cleo"), ("bob", "cleo")] {
        world
            .change(|editor| editor.add_contact(&id(user), &id(friend)))
            .unwrap();
    }
    world
        .change(|editor| editor.block(&ann, &[id("bob"), id("cleo")]))
        .unwrap();
    let read = world.read();
    let next = read.contacts(&ann, None, 1).unwrap().next.unwrap();
    assert_eq!(read.contacts(&ann, Some(&next), 9).unwrap().items.len(), 1);
    assert_eq!(
        refusal(read.contacts(&bob, Some(&next), 9)),
        ErrorKind::Cursor
    );
    assert_eq!(
        refusal(read.blocked(&ann, Some(&next), 9)),
        ErrorKind::Cursor
    );
    assert_eq!(refusal(read.users(Some(&next), 9)), ErrorKind::Cursor);
    assert_eq!(
        refusal(read.muted_users(Some(&next), 9, 0)),
        ErrorKind::Cursor
    );
    for made_up in ["", "AQ", "not base64!", &"A".repeat(400)] {
        assert_eq!(
            refusal(read.users(Some(made_up), 9)),
            ErrorKind::Cursor,
            "{made_up}"
        );
    }
}

#[test]
fn a_page_has_at_least_one_item_and_the_last_has_no_cursor() {
    let world = World::with(&["ann", "bob"]);
    let read = world.read();
    let first = read.users(None, 0).unwrap();
    assert_eq!(first.items.len(), 1);
    let second = read.users(first.next.as_deref(), 1).unwrap();
    assert_eq!((second.items.len(), second.next), (1, None));
}

#[test]
fn a_list_goes_on_behind_somebody_who_was_deleted_meanwhile() {
    let world = World::with(&["dora", "cleo", "bob", "ann"]);
    let page = world.read().users(None, 2).unwrap();
    world
        .change(|editor| editor.delete_user_step(&id("cleo"), 9))
        .unwrap();
    let rest = world.read().users(page.next.as_deref(), 9).unwrap();
    let rest: Vec<_> = rest.items.iter().map(|user| user.id.as_str()).collect();
    assert_eq!(rest, ["bob", "ann"]);
}

#[test]
fn one_id_is_the_beginning_of_another_and_their_lists_stay_apart() {
    let world = World::with(&["a", "a.b", "ab", "c"]);
    for user in ["a", "a.b", "ab"] {
        world
            .change(|editor| editor.add_contact(&id(user), &id("c")))
            .unwrap();
        world
            .change(|editor| editor.block(&id(user), &[id("c")]))
            .unwrap();
    }
    assert_eq!(
        all(|cursor| world.read().contacts(&id("a"), cursor, 1)).len(),
        1
    );
    assert_eq!(
        all(|cursor| world.read().blocked(&id("a"), cursor, 1)).len(),
        1
    );
    world.assert_sound();
}

#[test]
fn apps_of_one_store_know_nothing_of_each_other() {
    let world = World::with(&["ann"]);
    let scope = Scope {
        app: AppId(4),
        ..world.scope.clone()
    };
    let mut overlay = Overlay::new(&*world.engine);
    let call = |editor: &mut tidestore_directory::Editor<'_, '_>| editor.register(new_user("bob"));
    change(&mut overlay, &scope, call).unwrap();
    world.engine.write(overlay.into_batch()).unwrap();
    let other = Directory::new(&*world.engine, AppId(4));
    assert_eq!(
        refusal(other.user(&id("ann"))),
        ErrorKind::UserNotFound(id("ann"))
    );
    assert_eq!(all(|cursor| other.users(cursor, 5)).len(), 1);
    assert_eq!(all(|cursor| world.read().users(cursor, 5)).len(), 1);
    assert_eq!(other.counters().unwrap().users, 1);
}
