//! What the recount notices, and what mending makes of it.

use tidestore_directory::mend;
use tidestore_kv::{Batch, Key, Overlay, Rows, Table};
use tidestore_plan::Limits;

use crate::world::{World, ids};

const PUSH_COUNTS: Table = Table(66);
const LABELS: Table = Table(67);
const LABEL_USERS: Table = Table(68);
const LABELS_OF: Table = Table(69);
const GOING_LABELS: Table = Table(70);

/// Two labels of which one goes, with the rows that a change of a batch leaves.
fn damaged(change: impl FnOnce(&World, &mut Batch)) -> World {
    let world = World::with(&["ann", "bob", "cid"], Limits::default());
    for label in ["all", "few"] {
        world
            .edit(|editor| editor.create_push_label(label, "what"))
            .unwrap();
    }
    for (label, users) in [("all", &["ann", "bob", "cid"][..]), ("few", &["ann"])] {
        let added = world.edit(|editor| editor.add_push_label_users(label, &ids(users)));
        assert!(added.unwrap().iter().all(Result::is_ok));
    }
    world
        .edit(|editor| editor.create_push_template("default", "", ""))
        .unwrap();
    let going = world.edit(|editor| editor.delete_push_label_step("all", 2));
    assert!(!going.unwrap());
    let mut batch = Batch::new();
    change(&world, &mut batch);
    world.engine.write(batch).unwrap();
    world
}

fn key(world: &World) -> Key {
    Key::starting_with(world.scope.app.0)
}

fn mended(world: &World) -> u64 {
    let mut overlay = Overlay::new(&*world.engine);
    let changed = mend(&mut overlay, world.scope.app).unwrap();
    world.engine.write(overlay.into_batch()).unwrap();
    changed
}

#[test]
fn a_lost_row_is_noticed_and_mended() {
    type Damage = fn(&World, &mut Batch);
    let damages: [(&str, Damage); 6] = [
        ("counts", |world, batch| {
            batch.delete(PUSH_COUNTS, key(world));
        }),
        ("a label", |world, batch| {
            batch.delete(LABELS, key(world).name("few"));
        }),
        ("a label that goes", |world, batch| {
            batch.delete(LABELS, key(world).name("all"));
        }),
        ("a user of a label", |world, batch| {
            batch.delete(LABEL_USERS, key(world).names("few").name("ann"));
        }),
        ("a label of a user", |world, batch| {
            batch.delete(LABELS_OF, key(world).names("ann").name("few"));
        }),
        ("a note", |world, batch| {
            batch.delete(GOING_LABELS, key(world).name("all"));
        }),
    ];
    for (what, damage) in damages {
        let world = damaged(damage);
        assert!(!world.problems().is_empty(), "{what}");
        assert!(mended(&world) > 0, "{what}");
        assert_eq!(world.problems(), [] as [&str; 0], "{what}");
        assert_eq!(mended(&world), 0, "{what}");
        assert!(world.read().push_label("all").is_err(), "{what}");
        let few = world.read().push_label("few").unwrap();
        assert_eq!(few.users, u64::from(what != "a user of a label"), "{what}");
        let mut steps = 0;
        while !world
            .edit(|editor| editor.delete_push_label_step("all", 2))
            .unwrap()
        {
            steps += 1;
        }
        assert_eq!(steps, 2, "{what}");
    }
}

#[test]
fn a_wrong_count_of_users_is_noticed_and_mended() {
    let world = damaged(|world, batch| {
        let place = key(world).name("few");
        let mut row = world.engine.bytes(LABELS, place.bytes()).unwrap().unwrap();
        // Description, created, users, whether it goes.
        let users = row.len() - 2;
        assert_eq!(row[users], 1);
        row[users] = 2;
        batch.put(LABELS, place, row);
    });
    let problems = world.problems();
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("label few has 1 users, 2 are counted")),
        "{problems:?}"
    );
    assert_eq!(mended(&world), 1);
    assert_eq!(world.problems(), [] as [&str; 0]);
}
