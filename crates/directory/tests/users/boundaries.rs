//! Every bound: exactly as many pass, and one more is refused.

use tidestore_directory::{ErrorKind, MuteChange, MuteEnd, MuteFor, Mutes, NewUser, UserChange};
use tidestore_plan::{CapKind, Exceeded, Limit, Plan, UserId};

use crate::world::{HASHES, World, all, argument, id, new_user, refusal};

/// The bound that was exceeded, its maximum and the actual value.
fn exceeded(kind: &ErrorKind) -> (Exceeded, u64, u64) {
    let ErrorKind::Limit(error) = kind else {
        panic!("{kind:?}");
    };
    (error.limit(), error.max(), error.actual())
}

fn names(count: usize) -> Vec<UserId> {
    (0..count).map(|n| id(&format!("u{n:04}"))).collect()
}

fn crowd(count: usize) -> Vec<NewUser> {
    names(count)
        .iter()
        .map(|id| new_user(id.as_str()))
        .collect()
}

fn world_of(count: usize) -> World {
    let world = World::new();
    for some in crowd(count).chunks(60) {
        let done = world
            .change(|editor| editor.register_many(some.to_vec()))
            .unwrap();
        assert!(done.iter().all(Result::is_ok));
    }
    world
}

#[test]
fn sixty_register_in_one_call_and_sixty_one_do_not() {
    let world = World::new();
    let kind = refusal(world.change(|editor| editor.register_many(crowd(61))));
    let limit = Exceeded::Limit(Limit::RegistrationBatch);
    assert_eq!(exceeded(&kind), (limit, 60, 61));
    assert_eq!(world.read().counters().unwrap().users, 0);
    let done = world
        .change(|editor| editor.register_many(crowd(60)))
        .unwrap();
    assert_eq!(done.iter().filter(|one| one.is_ok()).count(), 60);
    assert_eq!(all(|cursor| world.read().users(cursor, 7)).len(), 60);
    world.assert_sound();
}

#[test]
fn one_id_twice_in_a_call_registers_nobody_whatever_its_case() {
    let world = World::new();
    let new = vec![new_user("Ann"), new_user("bob"), new_user("aNN")];
    assert_eq!(
        refusal(world.change(|editor| editor.register_many(new))),
        argument()
    );
    assert_eq!(
        refusal(world.read().user(&id("bob"))),
        ErrorKind::UserNotFound(id("bob"))
    );
    assert!(
        world
            .change(|editor| editor.register_many(vec![]))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn ids_that_exist_fail_one_by_one_and_the_others_are_registered() {
    let world = World::with(&["Ann"]);
    let new = vec![new_user("bob"), new_user("ann"), new_user("cleo")];
    let done = world.change(|editor| editor.register_many(new)).unwrap();
    let refused: Vec<_> = done
        .into_iter()
        .map(|one| one.err().map(|e| e.kind().clone()))
        .collect();
    assert_eq!(
        refused,
        [None, Some(ErrorKind::UserExists(id("ann"))), None]
    );
    let listed = all(|cursor| world.read().users(cursor, 2));
    let listed: Vec<_> = listed.iter().map(|user| user.id.as_str()).collect();
    assert_eq!(listed, ["ann", "bob", "cleo"]);
}

#[test]
fn the_free_plan_has_a_hundred_users_and_a_place_that_is_given_up_is_free() {
    let mut world = world_of(98);
    world.scope.caps = Plan::Free.caps();
    let new = ["x", "y", "z"].map(new_user).to_vec();
    let done = world.change(|editor| editor.register_many(new)).unwrap();
    assert!(done[0].is_ok() && done[1].is_ok());
    let kind = done
        .into_iter()
        .next_back()
        .unwrap()
        .unwrap_err()
        .kind()
        .clone();
    assert_eq!(exceeded(&kind), (Exceeded::Cap(CapKind::Users), 100, 101));
    assert!(
        world
            .change(|editor| editor.register(new_user("z")))
            .is_err()
    );
    world
        .change(|editor| editor.delete_user_step(&id("x"), 10))
        .unwrap();
    world
        .change(|editor| editor.register(new_user("z")))
        .unwrap();
    world.assert_sound();
}

#[test]
fn an_app_over_its_caps_after_a_downgrade_keeps_all_and_only_cannot_grow() {
    let mut world = World::with(&["ann", "bob", "cleo", "dora"]);
    for friend in ["bob", "cleo"] {
        world
            .change(|editor| editor.add_contact(&id("ann"), &id(friend)))
            .unwrap();
    }
    world.scope.caps.users = Some(2);
    world.scope.caps.contacts_per_user = Some(1);
    assert!(
        world
            .change(|editor| editor.register(new_user("eve")))
            .is_err()
    );
    assert!(
        world
            .change(|editor| editor.add_contact(&id("ann"), &id("dora")))
            .is_err()
    );
    // Nothing grows here.
    assert!(
        !world
            .change(|editor| editor.add_contact(&id("ann"), &id("bob")))
            .unwrap()
    );
    world
        .change(|editor| editor.set_remark(&id("ann"), &id("bob"), "b"))
        .unwrap();
    world.change(|editor| editor.ban(&id("dora"))).unwrap();
    assert!(
        world
            .change(|editor| editor.remove_contact(&id("ann"), &id("bob")))
            .unwrap()
    );
    assert_eq!(world.read().counters().unwrap().users, 4);
    world.assert_sound();
}

#[test]
fn contacts_are_capped_on_both_sides() {
    let mut world = World::with(&["ann", "bob", "cleo", "dora"]);
    world.scope.caps.contacts_per_user = Some(2);
    let add = |user: &str, friend: &str| {
        let (user, friend) = (id(user), id(friend));
        world.change(|editor| editor.add_contact(&user, &friend))
    };
    assert!(add("ann", "bob").unwrap() && add("ann", "cleo").unwrap());
    let full = (Exceeded::Cap(CapKind::ContactsPerUser), 2, 3);
    assert_eq!(exceeded(&refusal(add("ann", "dora"))), full);
    assert_eq!(exceeded(&refusal(add("dora", "ann"))), full);
    assert!(all(|cursor| world.read().contacts(&id("dora"), cursor, 1)).is_empty());
    world.assert_sound();
}

#[test]
fn a_contact_needs_two_registered_users() {
    let world = World::with(&["ann"]);
    let add = |user: &str, friend: &str| {
        refusal(world.change(|editor| editor.add_contact(&id(user), &id(friend))))
    };
    assert_eq!(add("ann", "ANN"), argument());
    assert_eq!(add("ann", "bob"), ErrorKind::UserNotFound(id("bob")));
    assert_eq!(add("bob", "ann"), ErrorKind::UserNotFound(id("bob")));
    assert_eq!(add("bob", "bob"), ErrorKind::UserNotFound(id("bob")));
}

#[test]
fn nicknames_and_remarks_are_counted_in_characters() {
    let world = World::with(&["ann", "bob"]);
    world
        .change(|editor| editor.add_contact(&id("ann"), &id("bob")))
        .unwrap();
    let nickname = |text: String| {
        let change = UserChange {
            nickname: Some(text),
            ..UserChange::default()
        };
        world.change(|editor| editor.change_user(&id("ann"), change))
    };
    let remark =
        |text: &str| world.change(|editor| editor.set_remark(&id("ann"), &id("bob"), text));
    let (fits, long) = ("名".repeat(100), "名".repeat(101));
    assert_eq!(
        nickname(fits.clone()).unwrap().nickname.as_ref(),
        Some(&fits)
    );
    remark(&fits).unwrap();
    let limit = (Exceeded::Limit(Limit::PushNickname), 100, 101);
    assert_eq!(exceeded(&refusal(nickname(long.clone()))), limit);
    assert_eq!(exceeded(&refusal(remark(&long))), limit);
    let new = NewUser {
        nickname: Some(long),
        ..new_user("cleo")
    };
    assert_eq!(
        exceeded(&refusal(world.change(|editor| editor.register(new)))),
        limit
    );
    assert_eq!(nickname(String::new()).unwrap().nickname, None);
    remark("").unwrap();
    let contact = world
        .read()
        .contact(&id("ann"), &id("bob"))
        .unwrap()
        .unwrap();
    assert_eq!(contact.remark, None);
    // The other side has a remark of its own, and these two are strangers.
    let refused = world.change(|editor| {
        editor.register(new_user("cleo"))?;
        editor.set_remark(&id("ann"), &id("cleo"), "c")
    });
    assert_eq!(refusal(refused), ErrorKind::NotListed(id("cleo")));
}

#[test]
fn a_display_style_is_0_or_1_and_an_hour_0_to_23() {
    let mut world = World::with(&["ann"]);
    let change = |world: &World, style: Option<u8>, hours: Option<(u8, u8)>| {
        let change = UserChange {
            display_style: style,
            no_disturbing_hours: hours,
            ..UserChange::default()
        };
        world.change(|editor| editor.change_user(&id("ann"), change))
    };
    world.scope.now += 5;
    let user = change(&world, Some(1), Some((23, 0))).unwrap();
    assert_eq!(
        (user.display_style, user.no_disturbing_hours),
        (Some(1), Some((23, 0)))
    );
    assert_eq!((user.created, user.modified), (1_000, 1_005));
    world.scope.now += 5;
    let same = change(&world, None, None).unwrap();
    assert_eq!(same, user);
    for (style, hours) in [
        (Some(2), None),
        (None, Some((24, 0))),
        (None, Some((0, 24))),
    ] {
        assert_eq!(refusal(change(&world, style, hours)), argument());
    }
}

#[test]
fn a_block_list_has_five_hundred_places_and_a_call_fifty() {
    let world = world_of(502);
    let everybody = names(502);
    let (ann, others) = everybody.split_first().unwrap();
    let block = |others: &[UserId]| world.change(|editor| editor.block(ann, others));
    let limit = (Exceeded::Limit(Limit::BlockBatch), 50, 51);
    assert_eq!(exceeded(&refusal(block(&others[..51]))), limit);
    for some in others[..500].chunks(50) {
        block(some).unwrap();
    }
    let limit = (Exceeded::Limit(Limit::BlockList), 500, 501);
    assert_eq!(exceeded(&refusal(block(&others[500..]))), limit);
    // A full list takes those who are on it.
    block(&others[..50]).unwrap();
    let mut expected = others[..500].to_vec();
    expected.reverse();
    assert_eq!(
        all(|cursor| world.read().blocked(ann, cursor, 33)),
        expected
    );
    assert!(
        world
            .change(|editor| editor.unblock(ann, &others[0]))
            .unwrap()
    );
    block(&others[500..]).unwrap();
    world.assert_sound();
}

#[test]
fn who_cannot_be_blocked_spoils_the_whole_call() {
    let world = World::with(&["ann", "bob"]);
    let block = |others: &[&str]| {
        let others: Vec<_> = others.iter().map(|name| id(name)).collect();
        world.change(|editor| editor.block(&id("ann"), &others))
    };
    assert_eq!(
        refusal(block(&["bob", "cleo"])),
        ErrorKind::UserNotFound(id("cleo"))
    );
    assert_eq!(refusal(block(&["bob", "Ann"])), argument());
    assert!(!world.read().has_blocked(&id("ann"), &id("bob")).unwrap());
    block(&[]).unwrap();
    block(&["bob", "BOB"]).unwrap();
    assert_eq!(
        all(|cursor| world.read().blocked(&id("ann"), cursor, 1)),
        [id("bob")]
    );
    world.assert_sound();
}

#[test]
fn blocking_keeps_the_contact_and_stops_messages_one_way() {
    let world = World::with(&["ann", "bob"]);
    let (ann, bob) = (id("ann"), id("bob"));
    world
        .change(|editor| editor.add_contact(&ann, &bob))
        .unwrap();
    world
        .change(|editor| editor.block(&ann, &[id("bob")]))
        .unwrap();
    assert!(world.read().contact(&ann, &bob).unwrap().is_some());
    let refused = world.read().check_direct(&bob, &ann, 0);
    assert_eq!(refusal(refused), ErrorKind::BlockedByReceiver(id("ann")));
    world.read().check_direct(&ann, &bob, 0).unwrap();
}

#[test]
fn a_banned_user_cannot_send_and_is_sent_to() {
    let world = World::with(&["ann", "bob"]);
    let (ann, bob) = (id("ann"), id("bob"));
    assert!(world.change(|editor| editor.ban(&ann)).unwrap().is_banned);
    assert!(world.change(|editor| editor.ban(&ann)).unwrap().is_banned);
    assert_eq!(
        refusal(world.read().check_direct(&ann, &bob, 0)),
        ErrorKind::UserBanned(id("ann"))
    );
    world.read().check_direct(&bob, &ann, 0).unwrap();
    assert!(!world.change(|editor| editor.unban(&ann)).unwrap().is_banned);
    world.read().check_direct(&ann, &bob, 0).unwrap();
    let stranger = world.read().check_direct(&ann, &id("cleo"), 0);
    assert_eq!(refusal(stranger), ErrorKind::UserNotFound(id("cleo")));
}

#[test]
fn a_mute_ends_to_the_millisecond_and_its_row_is_cleaned_by_the_next_change() {
    let mut world = World::with(&["ann"]);
    let ann = id("ann");
    let set =
        |world: &World, change: MuteChange| world.change(|editor| editor.set_mutes(&ann, change));
    let one_second = MuteChange {
        chat: Some(MuteFor::Seconds(1)),
        ..MuteChange::default()
    };
    let muted = set(&world, one_second).unwrap();
    assert_eq!(muted.chat, Some(MuteEnd::At(2_000)));
    let at = |now| world.read().check_direct(&ann, &ann, now);
    assert_eq!(refusal(at(1_999)), ErrorKind::Muted(Some(2_000)));
    at(2_000).unwrap();
    assert!(
        world
            .read()
            .muted_users(None, 5, 2_000)
            .unwrap()
            .items
            .is_empty()
    );
    world.scope.now = 2_000;
    assert_eq!(
        set(&world, MuteChange::default()).unwrap(),
        Mutes::default()
    );
    // What has ended is gone, not only hidden: it does not come back with an earlier time.
    assert_eq!(world.read().mutes(&ann, 0).unwrap(), Mutes::default());
    world.assert_sound();
}

#[test]
fn a_mute_lasts_as_long_as_the_limit_says_or_for_ever() {
    let world = World::with(&["ann"]);
    let ann = id("ann");
    let set = |how| {
        let change = MuteChange {
            groupchat: Some(how),
            ..MuteChange::default()
        };
        world.change(|editor| editor.set_mutes(&ann, change))
    };
    let end = MuteEnd::At(1_000 + 2_147_483_647_000);
    assert_eq!(
        set(MuteFor::Seconds(2_147_483_647)).unwrap().groupchat,
        Some(end)
    );
    let kind = refusal(set(MuteFor::Seconds(2_147_483_648)));
    let limit = Exceeded::Limit(Limit::MuteSeconds);
    assert_eq!(exceeded(&kind), (limit, 2_147_483_647, 2_147_483_648));
    assert_eq!(
        set(MuteFor::Forever).unwrap().groupchat,
        Some(MuteEnd::Never)
    );
    world.read().check_direct(&ann, &ann, u64::MAX).unwrap();
    assert_eq!(set(MuteFor::Seconds(0)).unwrap(), Mutes::default());
    let nobody = world.change(|editor| editor.set_mutes(&id("bob"), MuteChange::default()));
    assert_eq!(refusal(nobody), ErrorKind::UserNotFound(id("bob")));
}

#[test]
fn a_password_is_stored_as_its_hash_only() {
    let world = World::with(&["ann"]);
    let ann = id("ann");
    assert_eq!(world.read().password_hash(&ann).unwrap(), None);
    let set = |text: &str| world.change(|editor| editor.set_password(&ann, text.to_owned()));
    assert_eq!(refusal(set("tea")), argument());
    let new = NewUser {
        password_hash: Some("tea".to_owned()),
        ..new_user("bob")
    };
    assert_eq!(
        refusal(world.change(|editor| editor.register(new))),
        argument()
    );
    set(&HASHES[0]).unwrap();
    assert_eq!(
        world.read().password_hash(&ann).unwrap().as_ref(),
        Some(&HASHES[0])
    );
}
