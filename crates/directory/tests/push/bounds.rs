//! Every bound, on both of its sides.

use tidestore_directory::{
    ErrorKind, PushMode, PushScope, PushSetting, PushSettingChange, PushTemplate,
};
use tidestore_plan::{Limit, Limits, ResourceId};

use crate::world::{World, all, argument, id, ids, refusal};

fn is_limit<T: std::fmt::Debug>(done: tidestore_directory::Result<T>) -> bool {
    matches!(refusal(done), ErrorKind::Limit(_))
}

#[test]
fn a_setting_keeps_what_a_change_leaves_out() {
    let world = World::with(&["ann"], Limits::default());
    let ann = id("ann");
    let set = |scope: &PushScope, change: PushSettingChange| {
        world.edit(|editor| editor.set_push_setting(&ann, scope, change))
    };
    let mut expected = PushSetting {
        mode: Some(PushMode::At),
        ..PushSetting::default()
    };
    let mode = PushSettingChange {
        mode: Some(PushMode::At),
        ..PushSettingChange::default()
    };
    let interval = |text: &str| PushSettingChange {
        ignore_interval: Some(text.to_owned()),
        ..PushSettingChange::default()
    };
    let silence = |millis| PushSettingChange {
        ignore_duration_ms: Some(millis),
        ..PushSettingChange::default()
    };
    assert_eq!(set(&PushScope::App, mode).unwrap(), expected);
    expected.ignore_interval = Some("22:00-07:30".to_owned());
    let found = set(&PushScope::App, interval("22:00-07:30")).unwrap();
    assert_eq!(found, expected);
    expected.silent_until = Some(604_801_000);
    let found = set(&PushScope::App, silence(604_800_000)).unwrap();
    assert_eq!(found, expected);
    let read = world.read().push_setting(&ann, &PushScope::App).unwrap();
    assert_eq!(read, expected);
    expected.ignore_interval = None;
    assert_eq!(set(&PushScope::App, interval("")).unwrap(), expected);

    assert!(is_limit(set(&PushScope::App, silence(604_800_001))));
    assert_eq!(refusal(set(&PushScope::App, interval("22:00"))), argument());
    let group = PushScope::Group(ResourceId::parse("tea").unwrap());
    let peer = PushScope::User(id("tea"));
    for scope in [&group, &peer] {
        assert_eq!(refusal(set(scope, interval("22:00-07:30"))), argument());
        assert_eq!(refusal(set(scope, interval(""))), argument());
        let read = world.read().push_setting(&ann, scope).unwrap();
        assert_eq!(read, PushSetting::default());
    }
    // A peer and a group of one name are two.
    set(&peer, silence(5)).unwrap();
    let read = world.read().push_setting(&ann, &group).unwrap();
    assert_eq!(read, PushSetting::default());
    let nobody = ErrorKind::UserNotFound(id("bob"));
    let read = world.read().push_setting(&id("bob"), &group);
    assert_eq!(refusal(read), nobody);
    let change = PushSettingChange::default();
    let set = world.edit(|editor| editor.set_push_setting(&id("bob"), &group, change));
    assert_eq!(refusal(set), nobody);
}

#[test]
fn a_language_has_at_most_64_characters_and_an_empty_one_is_none() {
    let world = World::with(&["ann"], Limits::default());
    let ann = id("ann");
    for language in ["en", "", &"茶".repeat(64)] {
        world
            .edit(|editor| editor.set_push_language(&ann, language))
            .unwrap();
        assert_eq!(world.read().push_language(&ann).unwrap(), language);
    }
    let long = world.edit(|editor| editor.set_push_language(&ann, &"a".repeat(65)));
    assert_eq!(refusal(long), argument());
    let nobody = ErrorKind::UserNotFound(id("bob"));
    assert_eq!(refusal(world.read().push_language(&id("bob"))), nobody);
    let set = world.edit(|editor| editor.set_push_language(&id("bob"), "en"));
    assert_eq!(refusal(set), nobody);
}

#[test]
fn templates_are_made_once_found_and_deleted() {
    let mut world = World::with(&[], Limits::default());
    let long = "茶".repeat(512);
    let create = |world: &World, name: &str, title: &str, content: &str| {
        world.edit(|editor| editor.create_push_template(name, title, content))
    };
    let expected = PushTemplate {
        name: "default".to_owned(),
        title_pattern: "{0} says".to_owned(),
        content_pattern: long.clone(),
        created: 1_000,
        updated: 1_000,
    };
    let created = create(&world, "default", "{0} says", &long).unwrap();
    assert_eq!(created, expected);
    world.scope.now = 2_000;
    assert_eq!(refusal(create(&world, "default", "", "")), argument());
    assert_eq!(world.read().push_template("default").unwrap(), expected);
    for name in ["", "a b", "a-b", "ä", "a\0"] {
        assert_eq!(refusal(create(&world, name, "", "")), argument(), "{name}");
    }
    let longer = format!("{long}x");
    assert_eq!(refusal(create(&world, "a", &longer, "")), argument());
    assert_eq!(refusal(create(&world, "a", "", &longer)), argument());
    create(&world, &"a".repeat(64), "", "").unwrap();
    assert!(is_limit(create(&world, &"a".repeat(65), "", "")));

    let delete = |name: &str| world.edit(|editor| editor.delete_push_template(name));
    assert_eq!(delete("default").unwrap(), expected);
    let not_found = ErrorKind::TemplateNotFound("default".to_owned());
    assert_eq!(refusal(delete("default")), not_found);
    assert_eq!(refusal(world.read().push_template("default")), not_found);
}

#[test]
fn an_app_has_a_thousand_templates_and_no_more() {
    let world = World::with(&[], Limits::default());
    let fill = world.edit(|editor| {
        for n in 0..1_000 {
            editor.create_push_template(&format!("t{n}"), "", "")?;
        }
        Ok(())
    });
    fill.unwrap();
    let create = || world.edit(|editor| editor.create_push_template("more", "", ""));
    assert_eq!(refusal(create()), argument());
    world
        .edit(|editor| editor.delete_push_template("t7"))
        .unwrap();
    create().unwrap();
}

#[test]
fn labels_are_told_apart_by_case_and_listed_by_name() {
    let limits = Limits::default().with(Limit::PushLabels, 4);
    let world = World::with(&[], limits);
    let create = |name: &str, text: &str| world.edit(|editor| editor.create_push_label(name, text));
    let long = "茶".repeat(255);
    for name in ["vip", "VIP", "a_b-c.9", &"x".repeat(64)] {
        let made = create(name, &long).unwrap();
        assert_eq!(
            (made.name.as_str(), made.created, made.users),
            (name, 1_000, 0)
        );
        assert_eq!(world.read().push_label(name).unwrap(), made);
    }
    let taken = ErrorKind::LabelExists("vip".to_owned());
    assert_eq!(refusal(create("vip", "")), taken);
    assert!(is_limit(create("fifth", "")));
    let deleted = world.edit(|editor| editor.delete_push_label_step("VIP", 9));
    assert!(deleted.unwrap());
    for name in ["", "a b", "ä", "a/b", "a\0"] {
        assert_eq!(refusal(create(name, "")), argument(), "{name}");
    }
    assert!(is_limit(create(&"x".repeat(65), "")));
    assert!(is_limit(create("ok", &format!("{long}x"))));
    create("ok", "").unwrap();
    for limit in 1..6 {
        let names = all(|cursor| world.read().push_labels(cursor, limit));
        let names: Vec<_> = names.iter().map(|label| label.name.as_str()).collect();
        assert_eq!(names, ["a_b-c.9", "ok", "vip", &"x".repeat(64)]);
    }
    let not_found = ErrorKind::LabelNotFound("VIP".to_owned());
    assert_eq!(refusal(world.read().push_label("VIP")), not_found);
    let users = world.read().push_label_users("VIP", None, 9);
    assert_eq!(refusal(users), not_found);
    let user = world.read().push_label_user("VIP", &id("ann"));
    assert_eq!(refusal(user), not_found);
}

#[test]
fn users_of_a_label_are_counted_exactly() {
    let limits = Limits::default()
        .with(Limit::PushLabelUsers, 3)
        .with(Limit::PushLabelBatch, 4);
    let mut world = World::with(&["ann", "bob", "cid", "dan"], limits);
    let create = world.edit(|editor| editor.create_push_label("vip", ""));
    create.unwrap();
    let add = |world: &World, names: &[&str]| {
        world.edit(|editor| editor.add_push_label_users("vip", &ids(names)))
    };
    let added = add(&world, &["bob", "nobody", "ann", "bob"]).unwrap();
    let refused: Vec<_> = added
        .into_iter()
        .map(|one| one.err().map(|error| error.kind().clone()))
        .collect();
    let nobody = Some(ErrorKind::UserNotFound(id("nobody")));
    assert_eq!(refused, [None, nobody.clone(), None, None]);
    assert_eq!(world.read().push_label("vip").unwrap().users, 2);
    world.scope.now = 2_000;
    let added = add(&world, &["ann", "cid", "dan"]).unwrap();
    assert!(added[0].is_ok() && added[1].is_ok());
    assert!(matches!(
        added[2].as_ref().unwrap_err().kind(),
        ErrorKind::Limit(_)
    ));
    let since = |user: &str| world.read().push_label_user("vip", &id(user)).unwrap();
    assert_eq!(since("ann"), Some(1_000));
    assert_eq!(since("cid"), Some(2_000));
    assert_eq!((since("dan"), since("nobody")), (None, None));
    for limit in 1..5 {
        let users = all(|cursor| world.read().push_label_users("vip", cursor, limit));
        let users: Vec<_> = users.into_iter().map(|one| one.user).collect();
        assert_eq!(users, ids(&["ann", "bob", "cid"]));
    }
    assert!(is_limit(add(&world, &["ann"; 5])));
    let remove =
        |names: &[&str]| world.edit(|editor| editor.remove_push_label_users("vip", &ids(names)));
    assert!(is_limit(remove(&["ann"; 5])));
    let removed = remove(&["ann", "dan", "nobody", "ann"]).unwrap();
    let refused: Vec<_> = removed
        .into_iter()
        .map(|one| one.err().map(|error| error.kind().clone()))
        .collect();
    assert_eq!(refused, [None, None, nobody, None]);
    assert_eq!(world.read().push_label("vip").unwrap().users, 2);
    let none = world.edit(|editor| editor.add_push_label_users("none", &[]));
    assert_eq!(refusal(none), ErrorKind::LabelNotFound("none".to_owned()));
}

#[test]
fn a_ban_and_a_new_password_revoke_tokens() {
    let world = World::with(&["ann"], Limits::default());
    let ann = id("ann");
    let revision = || world.read().token_revision(&ann).unwrap();
    assert_eq!(revision(), 0);
    world.edit(|editor| editor.ban(&ann)).unwrap();
    assert_eq!(revision(), 1);
    // One who is banned has no tokens to be revoked.
    world.edit(|editor| editor.ban(&ann)).unwrap();
    world.edit(|editor| editor.unban(&ann)).unwrap();
    assert_eq!(revision(), 1);
    let cost = tidestore_directory::PasswordCost {
        memory_kib: 8,
        ..tidestore_directory::PasswordCost::default()
    };
    let limits = Limits::default();
    let hash = tidestore_directory::Password::hash_with(&limits, cost, "tea", [1; 16]);
    let hash = hash.unwrap();
    for expected in [2, 3] {
        world
            .edit(|editor| editor.set_password(&ann, hash.clone()))
            .unwrap();
        assert_eq!(revision(), expected);
    }
    let nobody = ErrorKind::UserNotFound(id("bob"));
    assert_eq!(refusal(world.read().token_revision(&id("bob"))), nobody);
}
