//! The directory, attributes, sessions and the ledger, as a server uses them: every cap at its edge, races for the last
//! place, and what follows from what.

use std::time::Duration;

use tidestore::disk::{Env, Fault, OpKind, Survival};
use tidestore::plan::{CapKind, Caps, Exceeded, Limit, Limits, Plan, ResourceId, Terms, UserId};
use tidestore::{
    Account, App, ChannelKind, Conversation, DirectoryErrorKind as Directory, EngineKind, Error,
    ErrorKind, MuteChange, MuteEnd, MuteFor, NewAttachment, NewChannel, NewMessage, NewThread,
    Refusal, Result, RoomSet, Store,
};
use tidestore_tests::{HOUR, Machine, group, key, run, user};

fn id(text: &str) -> ResourceId {
    ResourceId::parse(text).unwrap()
}

fn pair(key: &str, value: impl Into<String>) -> (String, String) {
    (key.to_owned(), value.into())
}

/// Registers users, sixty at a time.
async fn register(app: &App, names: impl IntoIterator<Item = String>) -> Vec<UserId> {
    let users: Vec<UserId> = names.into_iter().map(|name| user(&name)).collect();
    for batch in users.chunks(60) {
        let accounts = batch.iter().cloned().map(Account::new).collect();
        for registered in app.users().register_many(accounts).await.unwrap() {
            registered.unwrap();
        }
    }
    users
}

fn numbered(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("u{n}"))
}

fn cap_of(error: &Error) -> (Exceeded, u64, u64) {
    match error.kind() {
        ErrorKind::Limit(limit) => (limit.limit(), limit.max(), limit.actual()),
        other => panic!("{other:?} is no limit"),
    }
}

fn refusal<T: std::fmt::Debug>(answer: Result<T>) -> Directory {
    match answer.unwrap_err().kind() {
        ErrorKind::Directory(kind) => kind.clone(),
        other => panic!("{other:?} is no refusal of the directory"),
    }
}

async fn verified(store: &Store) {
    assert_eq!(store.verify().await.unwrap().problems, []);
}

#[test]
fn the_hundredth_user_of_free_is_registered_and_no_other() {
    run(async {
        let (store, app) = Machine::new().open_app(Plan::Free).await;
        register(&app, numbered(99)).await;
        // One place, three users: the first gets it, the others hear why not.
        let three = ["x", "y", "z"]
            .map(|name| Account::new(user(name)))
            .to_vec();
        let answers = app.users().register_many(three).await.unwrap();
        assert!(answers[0].is_ok());
        for answer in &answers[1..] {
            let cap = cap_of(answer.as_ref().unwrap_err());
            assert_eq!(cap, (Exceeded::Cap(CapKind::Users), 100, 101));
        }
        // The same id in another case is the same user.
        let again = Account::new(UserId::parse("U7").unwrap());
        let again = app.users().register(again).await;
        assert_eq!(refusal(again), Directory::UserExists(user("u7")));
        // Whoever goes makes room.
        app.users().delete(&user("u3")).await.unwrap();
        app.users().register(Account::new(user("y"))).await.unwrap();
        let ledger = app.ledger().await.unwrap();
        assert_eq!((ledger.users.used, ledger.users.limit), (100, Some(100)));
        assert_eq!(ledger.users.percent(), Some(100.0));
        // A larger plan, then a smaller one: nothing is lost, and nothing can be added.
        app.change_terms(Terms::of(Plan::Pro)).await.unwrap();
        register(&app, (0..20).map(|n| format!("more{n}"))).await;
        app.change_terms(Terms::of(Plan::Free)).await.unwrap();
        let ledger = app.ledger().await.unwrap();
        assert!(ledger.users.is_over() && ledger.users.used == 120);
        assert!(app.users().register(Account::new(user("w"))).await.is_err());
        app.users().ban(&user("more1")).await.unwrap();
        verified(&store).await;
    });
}

#[test]
fn a_batch_of_sixty_is_registered_and_one_of_sixty_one_is_not() {
    run(async {
        let (_store, app) = Machine::new().open_app(Plan::Pro).await;
        let accounts = |count| numbered(count).map(|n| Account::new(user(&n))).collect();
        let error = app.users().register_many(accounts(61)).await.unwrap_err();
        assert_eq!(
            cap_of(&error),
            (Exceeded::Limit(Limit::RegistrationBatch), 60, 61)
        );
        assert_eq!(app.users().list(None, 10).await.unwrap().items, []);
        let twice = vec![Account::new(user("a")), Account::new(user("A"))];
        let error = app.users().register_many(twice).await.unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::Directory(Directory::Argument(_))
        ));
        assert_eq!(
            app.users().register_many(accounts(60)).await.unwrap().len(),
            60
        );
    });
}

#[test]
fn sixty_four_tasks_add_members_to_a_group_with_ten_places_and_ten_succeed() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (store, app) = Machine::new().open_app(Plan::Basic).await;
        let users = register(&app, numbered(300 + 64)).await;
        let groups = app.groups();
        let new = NewChannel {
            max_users: Some(300),
            ..NewChannel::new(id("tea"), users[0].clone())
        };
        groups.create(new).await.unwrap();
        for batch in users[1..290].chunks(60) {
            let added = groups.members(&id("tea")).add_many(batch).await.unwrap();
            assert!(added.iter().all(Result::is_ok));
        }
        let add = |user: &UserId| {
            let (app, user) = (app.clone(), user.clone());
            tokio::spawn(async move { app.groups().members(&id("tea")).add(&user).await })
        };
        let tasks: Vec<_> = users[300..].iter().map(add).collect();
        let mut added = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => added += 1,
                Err(error) => {
                    let cap = Exceeded::Cap(CapKind::GroupMembers);
                    assert_eq!(cap_of(&error), (cap, 300, 301));
                }
            }
        }
        assert_eq!(added, 10);
        assert_eq!(groups.get(&id("tea")).await.unwrap().members, 300);
        verified(&store).await;
    });
}

#[test]
fn tasks_that_race_for_the_last_bytes_of_attributes_get_exactly_those() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut machine = Machine::new();
        machine.options.limits = Limits::default().with(Limit::AppUserAttributes, 100);
        let (store, app) = machine.open_app(Plan::Pro).await;
        let set = |n: usize| {
            let app = app.clone();
            tokio::spawn(async move {
                let user = user(&format!("u{n}"));
                app.user_attributes()
                    .set(&user, [pair("k", "123456789")])
                    .await
            })
        };
        let tasks: Vec<_> = (0..64).map(set).collect();
        let mut done = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => done += 1,
                Err(error) => {
                    let limit = Exceeded::Limit(Limit::AppUserAttributes);
                    assert_eq!(cap_of(&error), (limit, 100, 110));
                }
            }
        }
        let total = app.user_attributes().total().await.unwrap();
        assert_eq!((done, total.count, total.bytes), (10, 10, 100));
        verified(&store).await;
    });
}

#[test]
fn a_users_attributes_end_at_2048_bytes_and_merge_replace_and_go() {
    run(async {
        let mut machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        let (attributes, ann) = (app.user_attributes(), user("ann"));
        attributes
            .set(&ann, [pair("nickname", "Ann"), pair("群", "茶")])
            .await
            .unwrap();
        // 2,048 bytes with keys: nickname and Ann 11, 群 and 茶 6, the key 3.
        let fill = |len: usize| [pair("ext", "x".repeat(len))];
        attributes.set(&ann, fill(2_048 - 20)).await.unwrap();
        let error = attributes.set(&ann, fill(2_048 - 19)).await.unwrap_err();
        assert_eq!(
            cap_of(&error),
            (Exceeded::Limit(Limit::UserAttributes), 2_048, 2_049)
        );
        assert_eq!(attributes.total().await.unwrap().bytes, 2_048);
        let keys = ["群".to_owned(), "none".to_owned()];
        let some = attributes.get(&ann, Some(&keys)).await.unwrap();
        assert_eq!(some.into_iter().collect::<Vec<_>>(), [pair("群", "茶")]);
        attributes
            .replace(&ann, [pair("mail", "ann@example.org")])
            .await
            .unwrap();
        assert_eq!(attributes.get(&ann, None).await.unwrap().len(), 1);
        // Known keys have lengths of their own; characters, not bytes.
        attributes
            .set(&ann, [pair("nickname", "群".repeat(64))])
            .await
            .unwrap();
        assert!(
            attributes
                .set(&ann, [pair("nickname", "群".repeat(65))])
                .await
                .is_err()
        );
        for wrong in [vec![pair("", "x")], vec![pair("a", "1"), pair("a", "2")]] {
            let error = attributes.set(&ann, wrong).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Attributes(_)), "{error}");
        }
        let many: Vec<UserId> = numbered(101).map(|name| user(&name)).collect();
        assert!(attributes.get_many(&many, None).await.is_err());
        let found = attributes
            .get_many(&[many[0].clone(), ann.clone()], None)
            .await
            .unwrap();
        assert!(found[0].1.is_empty() && found[1].1.len() == 2);
        attributes.delete(&ann).await.unwrap();
        attributes.delete(&ann).await.unwrap();
        assert_eq!(
            attributes.total().await.unwrap(),
            tidestore::Total::default()
        );
        verified(&store).await;
        drop((app, store));
        machine.disk = machine.disk.crash(1, Survival::NONE);
        verified(&machine.open().await.unwrap()).await;
    });
}

/// A chatroom with ann (owner), bob and cem in it.
async fn room(app: &App) -> ResourceId {
    register(app, ["ann", "bob", "cem", "dan"].map(str::to_owned)).await;
    let new = NewChannel {
        members: vec![user("bob"), user("cem")],
        ..NewChannel::new(id("lobby"), user("ann"))
    };
    app.rooms().create(new).await.unwrap().id
}

#[test]
fn room_attributes_belong_to_who_set_them_and_end_at_a_hundred() {
    run(async {
        let (store, app) = Machine::new().open_app(Plan::Basic).await;
        let room = room(&app).await;
        let attributes = app.room_attributes(&room);
        let plain = RoomSet::default();
        let force = RoomSet {
            force: true,
            ..plain
        };
        for ten in 0..10 {
            let pairs = (0..10).map(|n| pair(&format!("k{ten}{n}"), "v"));
            let results = attributes.set(&user("ann"), pairs, plain).await.unwrap();
            assert_eq!(results.done.len(), 10);
        }
        // One key too many, one that is taken, one that is not legal, one that is too long: each is refused alone.
        let pairs = [
            pair("k100", "v"),
            pair("k00", "mine"),
            pair("no spaces", "v"),
            pair("k01", "群".repeat(4_097)),
        ];
        let results = attributes.set(&user("bob"), pairs, plain).await.unwrap();
        assert_eq!(results.done, [""; 0]);
        let [full, taken, illegal, long] = &results.refused[..] else {
            panic!("{results:?}");
        };
        assert!(matches!(&full.1, Refusal::Limit(limit) if limit.actual() == 101));
        assert_eq!(
            taken.1,
            Refusal::NotSetter {
                setter: "ann".to_owned()
            }
        );
        assert!(matches!(illegal.1, Refusal::Key(_)));
        assert!(matches!(&long.1, Refusal::Limit(limit) if limit.max() == 4_096));
        // By force it is his, and may be as long as it may.
        let pairs = [pair("k00", "群".repeat(4_096))];
        assert_eq!(
            attributes
                .set(&user("bob"), pairs, force)
                .await
                .unwrap()
                .done,
            ["k00"]
        );
        assert_eq!(attributes.get(None).await.unwrap()["k00"].setter, "bob");
        // Not a member, no such room, eleven keys, a key twice.
        let dan = attributes.set(&user("dan"), [pair("a", "b")], force).await;
        assert_eq!(refusal(dan), Directory::NotMember(user("dan")));
        let nowhere = id("nowhere");
        let lost = app
            .room_attributes(&nowhere)
            .set(&user("ann"), [pair("a", "b")], plain)
            .await;
        assert!(matches!(
            refusal(lost),
            Directory::ChannelNotFound(ChannelKind::Room, _)
        ));
        let eleven = (0..11).map(|n| pair(&format!("e{n}"), "v"));
        assert!(attributes.set(&user("ann"), eleven, plain).await.is_err());
        let twice = [pair("a", "1"), pair("a", "2")];
        assert!(attributes.set(&user("ann"), twice, plain).await.is_err());
        // Own keys go, others' stay, unknown ones are named.
        let keys = ["k00", "k01", "k01x"].map(str::to_owned);
        let results = attributes.delete(&user("bob"), &keys, false).await.unwrap();
        assert_eq!(results.done, ["k00"]);
        assert_eq!(results.refused[1].1, Refusal::NotFound);
        verified(&store).await;
    });
}

#[test]
fn what_was_to_go_with_its_setter_goes_and_a_deleted_room_takes_all() {
    run(async {
        let (store, app) = Machine::new().open_app(Plan::Basic).await;
        let room = room(&app).await;
        let attributes = app.room_attributes(&room);
        let (goes, stays) = (
            RoomSet {
                auto_delete: true,
                force: false,
            },
            RoomSet::default(),
        );
        for name in ["bob", "cem"] {
            let pairs = [pair(&format!("{name}-goes"), "v")];
            attributes.set(&user(name), pairs, goes).await.unwrap();
            let pairs = [pair(&format!("{name}-stays"), "v")];
            attributes.set(&user(name), pairs, stays).await.unwrap();
        }
        app.rooms()
            .members(&room)
            .remove(&user("bob"))
            .await
            .unwrap();
        app.users().delete(&user("cem")).await.unwrap();
        let left: Vec<_> = attributes.get(None).await.unwrap().into_keys().collect();
        assert_eq!(left, ["bob-stays", "cem-stays"]);
        app.users().delete(&user("ann")).await.unwrap();
        let gone = app.rooms().get(&room).await;
        assert!(matches!(refusal(gone), Directory::ChannelNotFound(..)));
        assert_eq!(app.room_attributes_total().await.unwrap().count, 0);
        assert_eq!(app.ledger().await.unwrap().rooms.used, 0);
        verified(&store).await;
    });
}

#[test]
fn sending_asks_the_directory_and_appending_does_not() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        register(&app, ["ann", "bob", "cem"].map(str::to_owned)).await;
        let new = NewChannel {
            members: vec![user("bob")],
            ..NewChannel::new(id("tea"), user("ann"))
        };
        app.groups().create(new).await.unwrap();
        let to_group = |from: &str| app.send(NewMessage::text(group("tea"), user(from), "hi"));
        let direct = Conversation::direct(&user("ann"), &user("bob"));
        let to_ann = || app.send(NewMessage::text(direct.clone(), user("bob"), "hi"));

        to_group("bob").await.unwrap();
        to_ann().await.unwrap();
        assert_eq!(
            refusal(to_group("cem").await),
            Directory::NotMember(user("cem"))
        );
        assert_eq!(
            refusal(to_group("zoe").await),
            Directory::UserNotFound(user("zoe"))
        );
        let nobody = Conversation::direct(&user("ann"), &user("zoe"));
        let lost = app.send(NewMessage::text(nobody, user("ann"), "hi")).await;
        assert_eq!(refusal(lost), Directory::UserNotFound(user("zoe")));

        app.blocks(&user("ann")).add(&[user("bob")]).await.unwrap();
        assert_eq!(
            refusal(to_ann().await),
            Directory::BlockedByReceiver(user("ann"))
        );
        app.blocks(&user("ann")).remove(&user("bob")).await.unwrap();
        to_ann().await.unwrap();

        let members = || app.groups().members(&id("tea"));
        let until = members()
            .mute(&[user("bob")], MuteFor::Millis(HOUR))
            .await
            .unwrap();
        let Ok(Some(MuteEnd::At(until))) = until[0] else {
            panic!("{until:?}");
        };
        assert_eq!(
            refusal(to_group("bob").await),
            Directory::Muted(Some(until))
        );
        members().allow(&[user("bob")], true).await.unwrap()[0]
            .as_ref()
            .unwrap();
        to_group("bob").await.unwrap();
        members().allow(&[user("bob")], false).await.unwrap()[0]
            .as_ref()
            .unwrap();
        machine.pass(HOUR);
        to_group("bob").await.unwrap();
        assert_eq!(members().muted(None, 10).await.unwrap().items, []);

        app.groups().mute_all(&id("tea"), true).await.unwrap();
        assert_eq!(refusal(to_group("bob").await), Directory::AllMuted);
        to_group("ann").await.unwrap();
        members().set_admin(&user("bob"), true).await.unwrap();
        to_group("bob").await.unwrap();
        app.groups().mute_all(&id("tea"), false).await.unwrap();

        let change = MuteChange {
            groupchat: Some(MuteFor::Forever),
            ..MuteChange::default()
        };
        app.users().mute(&user("bob"), change).await.unwrap();
        assert_eq!(refusal(to_group("bob").await), Directory::Muted(None));
        to_ann().await.unwrap();
        let change = MuteChange {
            groupchat: Some(MuteFor::Lift),
            ..MuteChange::default()
        };
        app.users().mute(&user("bob"), change).await.unwrap();

        app.users().ban(&user("bob")).await.unwrap();
        assert_eq!(refusal(to_ann().await), Directory::UserBanned(user("bob")));
        // A server that keeps its own directory asks nobody.
        app.append(NewMessage::text(direct.clone(), user("bob"), "hi"))
            .await
            .unwrap();
        verified(&store).await;
    });
}

#[test]
fn threads_are_for_members_of_their_group_and_are_banned_with_it() {
    run(async {
        let (store, app) = Machine::new().open_app(Plan::Pro).await;
        register(&app, ["ann", "bob", "cem"].map(str::to_owned)).await;
        let new = NewChannel {
            members: vec![user("bob")],
            ..NewChannel::new(id("tea"), user("ann"))
        };
        app.groups().create(new).await.unwrap();
        let to_group = |from: &str| app.send(NewMessage::text(group("tea"), user(from), "hi"));
        let members = || app.groups().members(&id("tea"));
        let thread = NewThread {
            id: id("cake"),
            group: id("tea"),
            name: "cake?".to_owned(),
            owner: user("bob"),
            parent: 7,
        };
        app.threads().create(thread).await.unwrap();
        let in_thread = |from: &str| {
            app.send(NewMessage::text(
                Conversation::thread(&id("cake")),
                user(from),
                "yes",
            ))
        };
        in_thread("bob").await.unwrap();
        assert_eq!(
            refusal(in_thread("ann").await),
            Directory::NotMember(user("ann"))
        );
        app.threads()
            .join(&id("cake"), &[user("ann")])
            .await
            .unwrap()[0]
            .as_ref()
            .unwrap();
        in_thread("ann").await.unwrap();

        app.groups().disable(&id("tea")).await.unwrap();
        for refused in [to_group("ann").await, in_thread("ann").await] {
            assert!(matches!(refusal(refused), Directory::ChannelDisabled(..)));
        }
        assert!(members().add(&user("cem")).await.is_err());
        app.groups().enable(&id("tea")).await.unwrap();

        members().remove(&user("bob")).await.unwrap();
        let left = app
            .threads()
            .joined(&user("bob"), None, true, None, 9)
            .await;
        assert_eq!(left.unwrap().items, []);
        app.groups().delete(&id("tea")).await.unwrap();
        let gone = app.threads().get(&id("cake")).await;
        assert_eq!(refusal(gone), Directory::ThreadNotFound(id("cake")));
        verified(&store).await;
    });
}

#[test]
fn a_password_opens_to_its_user_and_not_while_he_is_banned() {
    run(async {
        let (_store, app) = Machine::new().open_app(Plan::Pro).await;
        let account = Account {
            password: Some("p4ss".to_owned()),
            ..Account::new(user("ann"))
        };
        app.users().register(account).await.unwrap();
        let check = |password: &'static str| async move { password };
        assert!(
            app.users()
                .check_password(&user("ann"), check("p4ss").await)
                .await
                .unwrap()
        );
        assert!(
            !app.users()
                .check_password(&user("ann"), "P4ss")
                .await
                .unwrap()
        );
        app.users().set_password(&user("ann"), "new").await.unwrap();
        assert!(
            !app.users()
                .check_password(&user("ann"), "p4ss")
                .await
                .unwrap()
        );
        assert!(
            app.users()
                .set_password(&user("ann"), &"x".repeat(65))
                .await
                .is_err()
        );
        app.users().ban(&user("ann")).await.unwrap();
        let banned = app.users().check_password(&user("ann"), "new").await;
        assert_eq!(refusal(banned), Directory::UserBanned(user("ann")));
    });
}

#[test]
fn a_deleted_user_takes_his_groups_and_leaves_the_others() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        let users = register(&app, numbered(120)).await;
        let groups = app.groups();
        for (name, owner, from) in [("his", 0, 1), ("theirs", 1, 0)] {
            let new = NewChannel {
                members: users[2..60].to_vec(),
                ..NewChannel::new(id(name), users[owner].clone())
            };
            groups.create(new).await.unwrap();
            groups.members(&id(name)).add(&users[from]).await.unwrap();
        }
        for friend in &users[1..100] {
            app.contacts(&users[0]).add(friend).await.unwrap();
        }
        app.contacts(&users[0])
            .set_remark(&users[5], "five")
            .await
            .unwrap();
        app.presence(&users[0])
            .subscribe(&users[1..50], 60)
            .await
            .unwrap();
        app.presence(&users[7])
            .subscribe(&users[..1], 60)
            .await
            .unwrap();
        app.user_attributes()
            .set(&users[0], [pair("a", "b")])
            .await
            .unwrap();
        let new = NewAttachment::new(users[0].clone(), "plan.txt");
        let file = app.put_attachment(new, &b"the plan"[..]).await.unwrap().id;
        app.shared_files(&id("his"))
            .share(&users[0], file, "plan")
            .await
            .unwrap();
        app.connections()
            .connect(&users[0], "phone", Duration::from_mins(1))
            .await
            .unwrap();

        app.users().delete(&users[0]).await.unwrap();
        assert!(!app.connections().is_online(&users[0]));
        assert!(matches!(
            refusal(groups.get(&id("his")).await),
            Directory::ChannelNotFound(..)
        ));
        assert_eq!(groups.get(&id("theirs")).await.unwrap().members, 59);
        assert_eq!(
            groups
                .joined(&users[3], None, 10)
                .await
                .unwrap()
                .items
                .len(),
            1
        );
        assert_eq!(
            app.contacts(&users[5]).list(None, 10).await.unwrap().items,
            []
        );
        assert_eq!(
            app.presence(&users[7])
                .subscriptions(None, 10)
                .await
                .unwrap()
                .items,
            []
        );
        assert!(
            app.user_attributes()
                .get(&users[0], None)
                .await
                .unwrap()
                .is_empty()
        );
        // Nothing holds the file any more: it goes when its own time is over.
        machine.pass(8 * 24 * HOUR);
        store.confirm_clock();
        store.expire().await.unwrap();
        assert!(app.attachment(file).await.is_err());
        verified(&store).await;
        // The id can be given again, to somebody new.
        app.users()
            .register(Account::new(users[0].clone()))
            .await
            .unwrap();
        assert_eq!(
            app.contacts(&users[0]).list(None, 10).await.unwrap().items,
            []
        );
        verified(&store).await;
    });
}

#[test]
fn lists_go_on_where_they_stopped_and_cursors_fit_only_their_own() {
    run(async {
        let (store, app) = Machine::new().open_app(Plan::Pro).await;
        let users = register(&app, numbered(25)).await;
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let page = app.users().list(cursor.as_deref(), 10).await.unwrap();
            found.extend(page.items.into_iter().map(|user| user.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, users);
        let cursor = app.users().list(None, 5).await.unwrap().next.unwrap();
        let other = store
            .create_app(&key("acme#other"), Terms::of(Plan::Pro))
            .await
            .unwrap();
        assert_eq!(
            refusal(other.users().list(Some(&cursor), 5).await),
            Directory::Cursor
        );
        assert_eq!(
            refusal(app.groups().list(Some(&cursor), 5).await),
            Directory::Cursor
        );
        let long = "x".repeat(10_000);
        for made_up in ["", "x", "!!", "AQEBAQEBAQEBAQ", &long, &cursor[1..]] {
            assert_eq!(
                refusal(app.users().list(Some(made_up), 5).await),
                Directory::Cursor
            );
        }
    });
}

#[test]
fn the_cap_on_users_online_holds_and_leases_end() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        let caps = Caps {
            users_online: Some(2),
            ..Plan::Enterprise.caps()
        };
        app.change_terms(Terms::enterprise(caps)).await.unwrap();
        let users = register(&app, numbered(3)).await;
        let minute = Duration::from_mins(1);
        for (user, device) in [(0, "phone"), (0, "web"), (1, "phone")] {
            app.connections()
                .connect(&users[user], device, minute)
                .await
                .unwrap();
        }
        let third = app
            .connections()
            .connect(&users[2], "phone", minute)
            .await
            .unwrap_err();
        assert_eq!(cap_of(&third), (Exceeded::Cap(CapKind::UsersOnline), 2, 3));
        assert_eq!(app.ledger().await.unwrap().users_online.used, 2);
        app.users().ban(&users[1]).await.unwrap();
        app.connections()
            .connect(&users[2], "phone", minute)
            .await
            .unwrap();
        assert!(
            app.connections()
                .connect(&users[1], "phone", minute)
                .await
                .is_err()
        );
        machine.pass(60_000);
        assert_eq!(app.connections().online(), 0);
        drop(store);
    });
}

/// A deletion that was cut in two by a crash is finished when the store is opened again.
#[test]
fn an_app_that_is_deleted_leaves_no_row_behind() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        register(&app, numbered(70)).await;
        app.user_attributes()
            .set(&user("u1"), [pair("a", "b")])
            .await
            .unwrap();
        store.delete_app(&key("acme#chat")).await.unwrap();
        assert!(matches!(
            app.users().list(None, 1).await.unwrap_err().kind(),
            ErrorKind::UnknownApp
        ));
        let again = store
            .create_app(&key("acme#chat"), Terms::of(Plan::Free))
            .await
            .unwrap();
        assert_eq!(again.users().list(None, 1).await.unwrap().items, []);
        assert_eq!(again.ledger().await.unwrap().users.used, 0);
        verified(&store).await;
    });
}

/// The store is moved to another engine while a crash interrupts that at any operation: it opens, and everything is there.
#[test]
fn a_store_moves_to_another_engine_and_survives_a_crash_on_the_way() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        let users = register(&app, numbered(40)).await;
        app.append(NewMessage::text(group("tea"), user("ann"), "hi"))
            .await
            .unwrap();
        store.close().await.unwrap();
        drop((app, store));
        let (mut moved, mut k) = (false, 1);
        while !moved {
            let disk = machine.disk.crash(k, Survival::ALL);
            disk.crash_at(k);
            let env = Env::sim(disk.clone(), machine.clock.clone(), 1);
            let done = Store::rebuild_env(env, EngineKind::Redb, |_, _| {}).await;
            moved = done.is_ok_and(|rebuilt| rebuilt.len() == 2);
            for survival in [Survival::NONE, Survival::ALL] {
                let after = Machine {
                    disk: disk.crash(k, survival),
                    ..machine.clone()
                };
                let store = after.open().await.unwrap();
                verified(&store).await;
                let app = store.app(&key("acme#chat")).unwrap();
                let found = app.users().list(None, 100).await.unwrap().items;
                assert_eq!(found.len(), users.len(), "{k}");
                assert_eq!(app.usage().await.unwrap().messages, 1);
            }
            k += 7;
        }
        assert!(k > 100, "{k}");
    });
}

/// A deletion goes in steps, and from the first on what it deletes is gone for everybody. Cut short by a full disk, it kept the
/// id: "there is no group c" and "the group c exists already" at once, until the store was opened again.
#[test]
fn what_is_left_of_a_deletion_keeps_no_id() {
    run(async {
        let (mut cut_groups, mut cut_users) = (0, 0);
        for writes in 1..30 {
            let mut machine = Machine::new();
            machine.options.shards = 1;
            machine.options.deletion_rows = 4;
            let (store, app) = machine.open_app(Plan::Pro).await;
            let users = register(&app, numbered(40)).await;
            let new = NewChannel {
                members: users[1..].to_vec(),
                ..NewChannel::new(id("tea"), users[0].clone())
            };
            app.groups().create(new.clone()).await.unwrap();
            for friend in &users[2..] {
                app.contacts(&users[1]).add(friend).await.unwrap();
            }
            let fill = || {
                machine
                    .disk
                    .fail_from(OpKind::Write, writes, Fault::NoSpace);
            };

            fill();
            let is_cut = app.groups().delete(&id("tea")).await.is_err();
            machine.disk.clear_faults();
            let is_gone = app.groups().get(&id("tea")).await.is_err();
            cut_groups += usize::from(is_cut && is_gone);
            assert_eq!(app.groups().create(new).await.is_ok(), is_gone, "{writes}");

            fill();
            let is_cut = app.users().delete(&users[1]).await.is_err();
            machine.disk.clear_faults();
            let is_gone = app.users().get(&users[1]).await.is_err();
            cut_users += usize::from(is_cut && is_gone);
            let again = app.users().register(Account::new(users[1].clone())).await;
            assert_eq!(again.is_ok(), is_gone, "{writes}");
            let pair = [("mood".to_owned(), "new".to_owned())];
            app.user_attributes()
                .set(&users[1], pair.clone())
                .await
                .unwrap();
            verified(&store).await;
            drop((app, store));

            // What is left of a deletion must not take whoever came under the same id since.
            let store = machine.open().await.unwrap();
            let app = store.app(&key("acme#chat")).unwrap();
            assert!(app.users().get(&users[1]).await.is_ok(), "{writes}");
            let kept = app.user_attributes().get(&users[1], None).await.unwrap();
            assert_eq!(kept, pair.into_iter().collect(), "{writes}");
            verified(&store).await;
        }
        assert!(cut_groups > 0 && cut_users > 0, "{cut_groups} {cut_users}");
    });
}
