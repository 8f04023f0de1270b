//! Inboxes and changes as a server uses them: what the model test does not vary, bad input, and what must not cost more for
//! a large group, a long conversation, or a slow reader.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;
use tidestore::disk::{Fault, OpKind, Survival};
use tidestore::plan::{Caps, Exceeded, Limit, Plan, ResourceId, Terms, UserId};
use tidestore::{
    Account, App, By, Conversation, Durability, ErrorKind, Event, Filter, Inbox, InboxStream, Kind,
    NewAttachment, NewChannel, NewMessage, NewThread, OfflineCaps, OldMessage, Page, Revision,
    Signal, Store, UserView,
};
use tidestore_tests::{DAY, HOUR, Machine, START, group, key, run, text, user};

fn resource(id: &str) -> ResourceId {
    ResourceId::parse(id).unwrap()
}

async fn register(app: &App, names: &[&str]) {
    for name in names {
        app.users()
            .register(Account::new(user(name)))
            .await
            .unwrap();
    }
}

/// A group of these, owned by the first.
async fn found(app: &App, id: &str, members: &[&str]) {
    let new = NewChannel::new(resource(id), user(members[0]));
    app.groups().create(new).await.unwrap();
    for member in &members[1..] {
        let members = app.groups();
        members
            .members(&resource(id))
            .add(&user(member))
            .await
            .unwrap();
    }
}

async fn say(app: &App, to: &Conversation, from: &str, text: &str) -> tidestore::Receipt {
    let message = NewMessage::text(to.clone(), user(from), text.to_owned());
    app.send(message).await.unwrap()
}

fn direct(a: &str, b: &str) -> Conversation {
    Conversation::direct(&user(a), &user(b))
}

async fn bodies(inbox: &Inbox<'_>) -> Vec<String> {
    let page = inbox.page(None, 1_000).await.unwrap();
    let body = |item: &tidestore::Pending| String::from_utf8_lossy(&item.message.body).into_owned();
    page.items.iter().map(body).collect()
}

/// How many messages of a conversation a user is shown.
async fn shown(view: &UserView<'_>, conversation: &Conversation) -> usize {
    let all = Filter::default();
    let page = view.history(conversation, Page::newest(99), &all).await;
    page.unwrap().messages.len()
}

async fn next(stream: &mut InboxStream) -> Event {
    let next = tokio::time::timeout(Duration::from_secs(30), stream.next());
    next.await.expect("something comes").unwrap()
}

async fn next_body(stream: &mut InboxStream) -> String {
    match next(stream).await {
        Event::Message(pending) => String::from_utf8_lossy(&pending.message.body).into_owned(),
        Event::Signal(signal) => panic!("{signal:?} is no message"),
    }
}

#[test]
fn a_stream_begins_where_the_device_acknowledged_and_follows() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann", "bob", "cid"]).await;
        let chat = direct("ann", "bob");
        for n in 0..3 {
            say(&app, &chat, "bob", &format!("m{n}")).await;
        }
        let bob = user("ann");
        let inbox = app.inbox(&bob, "phone").unwrap();
        let first = inbox.page(None, 1).await.unwrap();
        assert!(first.more);
        inbox.acknowledge(&first.cursor).await.unwrap();
        let mut stream = inbox.subscribe().await.unwrap();
        assert_eq!(next_body(&mut stream).await, "m1");
        assert_eq!(next_body(&mut stream).await, "m2");
        // It waits, and what comes wakes it: a direct message, one of a group joined meanwhile, one of its own.
        let waits = tokio::time::timeout(Duration::from_millis(50), stream.next());
        waits.await.unwrap_err();
        say(&app, &chat, "bob", "m3").await;
        assert_eq!(next_body(&mut stream).await, "m3");
        tokio::time::timeout(Duration::from_millis(50), stream.next())
            .await
            .unwrap_err();
        found(&app, "tea", &["cid", "ann"]).await;
        say(&app, &group("tea"), "cid", "in a new group").await;
        assert_eq!(next_body(&mut stream).await, "in a new group");
        say(&app, &chat, "ann", "from another device").await;
        assert_eq!(next_body(&mut stream).await, "from another device");
        tokio::time::timeout(Duration::from_millis(50), stream.next())
            .await
            .unwrap_err();
        let new = NewThread {
            id: resource("talk"),
            group: resource("tea"),
            name: "talk".to_owned(),
            parent: 7,
            owner: user("cid"),
        };
        app.threads().create(new).await.unwrap();
        let joining = [user("ann")];
        app.threads()
            .join(&resource("talk"), &joining)
            .await
            .unwrap();
        let thread = Conversation::thread(&resource("talk"));
        say(&app, &thread, "cid", "in a thread").await;
        assert_eq!(next_body(&mut stream).await, "in a thread");
        assert_eq!(inbox.count().await.unwrap(), 6);
        stream.acknowledge().await.unwrap();
        assert_eq!(inbox.count().await.unwrap(), 0);
        // Another device of the user begins where this one is; one that was known before is where it was.
        say(&app, &chat, "bob", "m4").await;
        assert_eq!(bodies(&app.inbox(&bob, "tablet").unwrap()).await, ["m4"]);
        drop(stream);
        store.close().await.unwrap();
    });
}

#[test]
fn signals_reach_those_who_listen_and_nobody_else() {
    run(async {
        let machine = Machine::new();
        let (_store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann", "bob"]).await;
        let typing = Signal {
            id: None,
            conversation: direct("ann", "bob"),
            from: user("bob"),
            kind: "typing".into(),
            body: "".into(),
            ext: "".into(),
        };
        let (ann, before) = (user("ann"), machine.disk.count(OpKind::Write));
        assert_eq!(app.signal([&ann], &typing), 0);
        let inbox = app.inbox(&ann, "phone").unwrap();
        let mut stream = inbox.subscribe().await.unwrap();
        let known = machine.disk.count(OpKind::Write);
        assert_eq!(known, before + 1, "the device was noted");
        // A reader that never reads costs no memory without end: the oldest signals go.
        for _ in 0..10_000 {
            assert_eq!(app.signal([&ann, &user("bob")], &typing), 1);
        }
        for _ in 0..256 {
            assert_eq!(next(&mut stream).await, Event::Signal(typing.clone()));
        }
        tokio::time::timeout(Duration::from_millis(20), stream.next())
            .await
            .unwrap_err();
        assert_eq!(
            machine.disk.count(OpKind::Write),
            known,
            "signals are not stored"
        );
        // A message for those online only: it arrives and is nowhere else.
        let now = NewMessage::text(direct("ann", "bob"), user("bob"), "now or never");
        assert_eq!(app.send_online(now.clone()).await.unwrap(), 1);
        let Event::Signal(signal) = next(&mut stream).await else {
            panic!("it was stored");
        };
        assert_eq!(
            (&signal.body[..], signal.kind.as_str()),
            (&b"now or never"[..], "txt")
        );
        let stranger = NewMessage::text(direct("ann", "eve"), user("eve"), "hello");
        assert!(app.send_online(stranger).await.is_err());
        assert_eq!(
            app.history(&now.conversation, Page::newest(9))
                .await
                .unwrap(),
            []
        );
        drop(stream);
        assert_eq!(app.signal([&ann], &typing), 0);
        assert_eq!(inbox.count().await.unwrap(), 0);
    });
}

#[test]
fn newcomers_see_what_came_after_them_unless_the_group_is_open() {
    run(async {
        let machine = Machine::new();
        let (_store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann", "bob"]).await;
        found(&app, "tea", &["ann"]).await;
        say(&app, &group("tea"), "ann", "before").await;
        app.groups()
            .members(&resource("tea"))
            .add(&user("bob"))
            .await
            .unwrap();
        let bob = user("bob");
        let view = app.as_user(&bob);
        let seen = async || shown(&view, &group("tea")).await;
        assert_eq!(seen().await, 0);
        assert_eq!(view.conversations(None, 9).await.unwrap().items, []);
        let after = say(&app, &group("tea"), "ann", "after").await;
        assert_eq!(
            (seen().await, view.unread(&group("tea")).await.unwrap()),
            (1, 1)
        );
        app.open_history(&resource("tea"), true).await.unwrap();
        assert_eq!(
            (seen().await, view.unread(&group("tea")).await.unwrap()),
            (2, 2)
        );
        app.open_history(&resource("tea"), false).await.unwrap();
        // Whoever leaves and comes back is a newcomer again.
        app.groups()
            .members(&resource("tea"))
            .remove(&bob)
            .await
            .unwrap();
        let refused = view
            .history(&group("tea"), Page::newest(9), &Filter::default())
            .await;
        assert!(matches!(
            refused.unwrap_err().kind(),
            ErrorKind::Directory(_)
        ));
        assert!(app.delivery_state(&bob, after.id).await.is_err());
        app.groups()
            .members(&resource("tea"))
            .add(&bob)
            .await
            .unwrap();
        assert_eq!(seen().await, 0);
        // A thread belongs to its group: who is in that sees it.
        let new = NewThread {
            id: resource("talk"),
            group: resource("tea"),
            name: "talk".to_owned(),
            parent: after.id.0,
            owner: user("ann"),
        };
        app.threads().create(new).await.unwrap();
        let thread = Conversation::thread(&resource("talk"));
        say(&app, &thread, "ann", "aside").await;
        assert_eq!(shown(&view, &thread).await, 1);
        assert_eq!(
            bodies(&app.inbox(&user("ann"), "x").unwrap()).await.len(),
            3
        );
    });
}

#[test]
fn offline_caps_keep_the_newest() {
    run(async {
        let mut machine = Machine::new();
        machine.options.offline_caps = Some(OfflineCaps {
            direct: 5,
            group: 2,
            user: 6,
        });
        let (_store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann", "bob"]).await;
        found(&app, "tea", &["ann", "bob"]).await;
        for n in 0..8 {
            say(&app, &group("tea"), "bob", &format!("g{n}")).await;
            machine.pass(1_000);
            say(&app, &direct("ann", "bob"), "bob", &format!("d{n}")).await;
            machine.pass(1_000);
        }
        let ann = user("ann");
        let inbox = app.inbox(&ann, "phone").unwrap();
        // Two of the group and five of the direct conversation are the newest; the oldest of the seven is too many.
        assert_eq!(bodies(&inbox).await, ["d4", "d5", "g6", "d6", "g7", "d7"]);
        let service = OfflineCaps::of_service();
        assert_eq!(
            (service.direct, service.group, service.user),
            (500, 200, 3_000)
        );
        // The messages themselves are all there.
        let view = app.as_user(&ann);
        assert_eq!(shown(&view, &group("tea")).await, 8);
    });
}

#[test]
fn cursors_and_names_that_do_not_fit_are_refused() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann", "bob", "cid"]).await;
        let chat = direct("ann", "bob");
        say(&app, &chat, "ann", "hello").await;
        let (ann, bob) = (user("ann"), user("bob"));
        let inbox = app.inbox(&ann, "phone").unwrap();
        let page = inbox.page(None, 9).await.unwrap();
        // Cursors of others, of other lists, of another app, made up, cut, far too long.
        let other = store
            .create_app(&key("zoo#one"), Terms::of(Plan::Free))
            .await
            .unwrap();
        let list = app.as_user(&ann).conversations(None, 1).await.unwrap();
        let made_up = "A".repeat(5_000);
        for cursor in [&page.cursor[..7], "", "###", &made_up] {
            for inbox in [&inbox, &other.inbox(&ann, "phone").unwrap()] {
                let refused = inbox.acknowledge(cursor).await.unwrap_err();
                assert_eq!(refused.kind(), &ErrorKind::Cursor, "{cursor:.20}");
            }
        }
        for inbox in [
            app.inbox(&bob, "phone").unwrap(),
            other.inbox(&ann, "phone").unwrap(),
        ] {
            assert_eq!(
                inbox.acknowledge(&page.cursor).await.unwrap_err().kind(),
                &ErrorKind::Cursor
            );
        }
        let wrong = app.as_user(&ann).conversations(Some(&page.cursor), 9).await;
        assert_eq!(wrong.unwrap_err().kind(), &ErrorKind::Cursor);
        let foreign = inbox.page(list.next.as_deref(), 9).await.unwrap_err();
        assert_eq!(foreign.kind(), &ErrorKind::Cursor);
        for name in ["", "a\nb", &"x".repeat(129)] {
            assert_eq!(
                app.inbox(&ann, name).unwrap_err().kind(),
                &ErrorKind::Argument
            );
        }
        for limit in [0, 1_001] {
            assert_eq!(
                inbox.page(None, limit).await.unwrap_err().kind(),
                &ErrorKind::Argument
            );
        }
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}

#[test]
fn who_may_not_change_a_message_does_not() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann", "bob", "cid"]).await;
        let chat = direct("ann", "bob");
        let sent = say(&app, &chat, "ann", "hello").await;
        let (ann, bob, cid) = (user("ann"), user("bob"), user("cid"));
        // Conversations of others, unknown messages, foreign messages.
        let view = app.as_user(&cid);
        let refused = view.mark_read(&chat, None).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Conversation);
        assert_eq!(
            app.react(sent.id, &cid, "hm").await.unwrap_err().kind(),
            &ErrorKind::Conversation
        );
        let nothing = tidestore::MessageId(sent.id.0 + 1);
        let server = By::Server(ann.clone());
        assert_eq!(
            app.recall(nothing, &server).await.unwrap_err().kind(),
            &ErrorKind::MessageNotFound
        );
        let as_bob = By::User(bob.clone());
        assert_eq!(
            app.recall(sent.id, &as_bob).await.unwrap_err().kind(),
            &ErrorKind::NotAllowed
        );
        let long = app
            .edit_message(sent.id, &server, vec![b'x'; 3_073], "")
            .await;
        assert!(matches!(long.unwrap_err().kind(), ErrorKind::Limit(_)));
        // Commands cannot be taken back, and notices and asides are the store's.
        let command = NewMessage {
            kind: Kind::Command,
            ..NewMessage::text(chat.clone(), ann.clone(), "go")
        };
        let command = app.send(command).await.unwrap();
        assert_eq!(
            app.recall(command.id, &server).await.unwrap_err().kind(),
            &ErrorKind::NotAllowed
        );
        let notice = NewMessage {
            kind: Kind::Notice,
            ..NewMessage::text(chat.clone(), ann.clone(), "{}")
        };
        assert_eq!(
            app.append(notice).await.unwrap_err().kind(),
            &ErrorKind::Argument
        );
        let aside = NewMessage::text(chat.aside(), ann.clone(), "psst");
        assert_eq!(
            app.append(aside).await.unwrap_err().kind(),
            &ErrorKind::Argument
        );
        assert!(Conversation::parse(chat.aside().as_str()).is_err());
        let many = (0..21).map(|n| user(&format!("u{n}"))).collect();
        let hidden = NewMessage {
            hidden_from: many,
            ..NewMessage::text(chat.clone(), ann.clone(), "x")
        };
        let limit = app.append(hidden).await.unwrap_err();
        assert!(
            matches!(limit.kind(), ErrorKind::Limit(limit) if limit.limit() == Exceeded::Limit(Limit::RoamIgnoreUsers))
        );
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}

#[test]
fn reactions_have_their_limits() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann", "bob", "cid"]).await;
        let chat = direct("ann", "bob");
        let sent = say(&app, &chat, "ann", "hello").await;
        let (ann, bob) = (user("ann"), user("bob"));
        // Reactions: 20 kinds of at most 128 characters, each user each once.
        for n in 0..20 {
            app.react(sent.id, &bob, &format!("r{n}")).await.unwrap();
        }
        assert!(matches!(
            app.react(sent.id, &bob, "r20").await.unwrap_err().kind(),
            ErrorKind::Limit(_)
        ));
        assert_eq!(
            app.react(sent.id, &bob, "r1").await.unwrap_err().kind(),
            &ErrorKind::Reaction
        );
        assert_eq!(
            app.unreact(sent.id, &ann, "r1").await.unwrap_err().kind(),
            &ErrorKind::Reaction
        );
        assert!(app.react(sent.id, &ann, &"é".repeat(129)).await.is_err());
        for reaction in ["", "a\0b"] {
            assert_eq!(
                app.react(sent.id, &ann, reaction).await.unwrap_err().kind(),
                &ErrorKind::Argument
            );
        }
        app.react(sent.id, &ann, "r1").await.unwrap();
        let page = app.reactors(sent.id, "r1", None, 1).await.unwrap();
        let rest = app
            .reactors(sent.id, "r1", page.next.as_deref(), 1)
            .await
            .unwrap();
        assert_eq!(
            (&page.items[0].user, &rest.items[0].user, rest.next),
            (&bob, &ann, None)
        );
        assert!(
            app.reactors(sent.id, "r2", page.next.as_deref(), 1)
                .await
                .is_err()
        );
        assert_eq!(app.history(&chat, Page::newest(9)).await.unwrap().len(), 1);
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}

/// Whether any file of the machine holds a text.
fn holds(machine: &Machine, text: &str) -> Vec<std::path::PathBuf> {
    let files = machine.disk.files().into_iter();
    let found = files.filter(|path| {
        let bytes = machine.disk.read_all(path).unwrap();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    });
    found.collect()
}

#[test]
fn a_recalled_body_leaves_every_file_with_the_next_merge() {
    run(async {
        // One message in a segment, one in memory and the log, one in a log file that is to be used again.
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann", "bob"]).await;
        let chat = direct("ann", "bob");
        let secrets = ["kingfisher-in-a-segment-1", "kingfisher-in-the-log-2"];
        let first = say(&app, &chat, "ann", secrets[0]).await;
        store.flush().await.unwrap();
        let second = say(&app, &chat, "ann", secrets[1]).await;
        for n in 0..40 {
            say(&app, &chat, "bob", &format!("other {n}")).await;
        }
        let new = NewAttachment::new(user("ann"), "picture.png");
        let content = &b"a secret picture"[..];
        let attachment = app.put_attachment(new, content).await.unwrap();
        let picture = NewMessage {
            attachments: vec![attachment.id],
            ..NewMessage::text(chat.clone(), user("ann"), "look")
        };
        let picture = app.append(picture).await.unwrap();
        assert!(!holds(&machine, secrets[1]).is_empty());
        for id in [first.id, second.id, picture.id] {
            app.recall(id, &By::User(user("ann"))).await.unwrap();
        }
        store.merge().await.unwrap();
        for secret in secrets {
            assert_eq!(
                holds(&machine, secret),
                [] as [std::path::PathBuf; 0],
                "{secret}"
            );
        }
        // The picture goes when its grace is over; the rows stay where they were.
        machine.pass(8 * DAY);
        store.expire().await.unwrap();
        assert!(app.attachment(attachment.id).await.is_err());
        let seen = app.history(&chat, Page::oldest(99)).await.unwrap();
        assert_eq!(seen.len(), 43);
        let gone = seen
            .iter()
            .filter(|m| matches!(m.revision, Revision::Recalled { .. }));
        assert_eq!(
            gone.map(|m| m.id).collect::<Vec<_>>(),
            [first.id, second.id, picture.id]
        );
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}

/// Found by the fuzz target `cursors`: a place that names no conversation, behind a right checksum, was answered as damage of
/// the store, so that any client could raise an operator's alarm.
#[test]
fn a_cursor_that_names_no_conversation_is_refused_as_a_cursor() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann"]).await;
        let list = ["conversations", "acme#chat", "ann"];
        for place in [
            &b"12345678"[..],
            b"12345678nothing",
            b"12345678\xff\xfe",
            b"123",
        ] {
            let text = tidestore::encode_cursor(&list, place);
            let page = app
                .as_user(&user("ann"))
                .conversations(Some(&text), 10)
                .await;
            assert_eq!(*page.unwrap_err().kind(), ErrorKind::Cursor, "{place:?}");
        }
        store.close().await.unwrap();
    });
}

#[test]
fn the_history_file_of_an_hour_holds_its_messages_as_the_service_writes_them() {
    run(async {
        let machine = Machine::new();
        let (_store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann", "bob"]).await;
        found(&app, "tea", &["ann", "bob"]).await;
        let chat = direct("ann", "bob");
        machine.pass(HOUR / 2);
        say(&app, &chat, "bob", "hi").await;
        let gone = say(&app, &chat, "bob", "never mind").await;
        app.recall(gone.id, &By::User(user("bob"))).await.unwrap();
        let picture = NewMessage {
            kind: Kind::Image,
            ext: r#"{"k":1}"#.into(),
            ..NewMessage::text(group("tea"), user("ann"), r#"{"url":"u","filename":"f"}"#)
        };
        app.append(picture).await.unwrap();
        assert!(app.history_file(START).is_err(), "the hour is not over");
        machine.pass(HOUR);
        say(&app, &chat, "bob", "the hour after").await;
        let mut file = app.history_file(START + 5).unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = file.next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(file.messages(), 2);
        let mut text = String::new();
        GzDecoder::new(&bytes[..])
            .read_to_string(&mut text)
            .unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let find = |kind: &str| lines.iter().find(|line| line["chat_type"] == kind).unwrap();
        let (chat, tea) = (find("chat"), find("groupchat"));
        assert_eq!((&chat["from"], &chat["to"]), (&"bob".into(), &"ann".into()));
        assert_eq!(
            chat["payload"]["bodies"][0],
            serde_json::json!({"type": "txt", "msg": "hi"})
        );
        assert_eq!(chat["timestamp"], START + HOUR / 2);
        assert_eq!(tea["payload"]["bodies"][0]["type"], "img");
        assert_eq!(tea["payload"]["ext"]["k"], 1);
        machine.pass(91 * DAY);
        assert!(app.history_file(START).is_err(), "the hour has expired");
    });
}

/// Bytes of the log and operations for a message to a group of so many.
async fn cost_of_a_message(members: usize) -> (u64, u64) {
    let machine = Machine::new();
    let store = machine.open().await.unwrap();
    let caps = Caps {
        group_members: None,
        ..Plan::Enterprise.caps()
    };
    let app = store
        .create_app(&key("acme#chat"), Terms::enterprise(caps))
        .await
        .unwrap();
    register(&app, &["ann"]).await;
    let new = NewChannel {
        max_users: Some(10_000),
        ..NewChannel::new(resource("tea"), user("ann"))
    };
    app.groups().create(new).await.unwrap();
    let names: Vec<UserId> = (1..members).map(|n| user(&format!("u{n}"))).collect();
    for names in names.chunks(60) {
        let accounts = names.iter().cloned().map(Account::new).collect();
        app.users().register_many(accounts).await.unwrap();
        app.groups()
            .members(&resource("tea"))
            .add_many(names)
            .await
            .unwrap();
    }
    let before = (machine.disk.written(), machine.disk.operations());
    for _ in 0..10 {
        say(&app, &group("tea"), "ann", "hello everybody").await;
    }
    (
        machine.disk.written() - before.0,
        machine.disk.operations() - before.1,
    )
}

#[test]
fn a_message_to_8000_members_writes_what_one_to_8_does() {
    run(async {
        let small = cost_of_a_message(8).await;
        assert_eq!(cost_of_a_message(8_000).await, small);
        // Ten frames of one message, and nothing per member.
        assert!(small.0 < 10 * 512, "{small:?}");
    });
}

#[test]
fn unread_costs_the_same_in_a_conversation_of_ten_and_of_a_hundred_thousand() {
    run(async {
        let mut machine = Machine::new();
        machine.options.cache_bytes = 0;
        let (store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann", "bob", "cid"]).await;
        let (short, long) = (direct("ann", "bob"), direct("ann", "cid"));
        for (chat, count) in [(&short, 10_usize), (&long, 100_000)] {
            let one = NewMessage::text(chat.clone(), user("ann"), "hello");
            for _ in 0..count.div_ceil(1_000) {
                app.append_many(vec![one.clone(); count.min(1_000)]).await;
            }
        }
        let cost = async |chat: &Conversation, who: &str| {
            let before = machine.disk.count(OpKind::Read);
            let unread = app.as_user(&user(who)).unread(chat).await.unwrap();
            (unread, machine.disk.count(OpKind::Read) - before)
        };
        for _ in 0..2 {
            let (few, many) = (cost(&short, "bob").await, cost(&long, "cid").await);
            assert_eq!((few.0, many.0), (10, 100_000));
            assert!(many.1 <= few.1 + 2, "reads: {} and {}", few.1, many.1);
            store.flush().await.unwrap();
            store.merge().await.unwrap();
        }
        // Once he has read some, nothing is read at all.
        app.as_user(&user("cid"))
            .mark_read(&long, Some(tidestore::Seq(99_000)))
            .await
            .unwrap();
        assert_eq!(cost(&long, "cid").await, (1_000, 0));
    });
}

#[test]
fn a_drain_looks_at_what_is_new_and_not_at_what_there_is() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        let ann = user("ann");
        let chats: Vec<_> = (0..5_000)
            .map(|n| direct("ann", &format!("friend{n}")))
            .collect();
        let hello = |chat: &Conversation| NewMessage::text(chat.clone(), ann.clone(), "hello");
        for chats in chats.chunks(1_000) {
            app.append_many(chats.iter().map(hello).collect()).await;
        }
        let inbox = app.inbox(&ann, "phone").unwrap();
        let mut behind = None;
        let mut found = BTreeSet::new();
        loop {
            let page = inbox.page(behind.as_deref(), 1_000).await.unwrap();
            found.extend(page.items.iter().map(|item| item.conversation.clone()));
            behind = Some(page.cursor);
            if !page.more {
                break;
            }
        }
        assert_eq!(found.len(), chats.len());
        inbox.acknowledge(&behind.unwrap()).await.unwrap();
        store.flush().await.unwrap();
        // The list of all of them, page by page, is complete and sorted, out of tables and memory alike.
        machine.pass(1_000);
        app.append(hello(&chats[77])).await.unwrap();
        let view = app.as_user(&ann);
        let (mut listed, mut behind) = (Vec::new(), None);
        loop {
            let page = view.conversations(behind.as_deref(), 1_000).await.unwrap();
            listed.extend(page.items);
            behind = page.next;
            if behind.is_none() {
                break;
            }
        }
        assert_eq!(listed.len(), chats.len());
        assert!(listed.is_sorted_by(|a, b| a.last.id > b.last.id));
        assert_eq!(listed[0].conversation, chats[77]);
        // One of 5,000 has something new: one block at most is read, and one message given.
        let before = machine.disk.count(OpKind::Read);
        assert_eq!(inbox.count().await.unwrap(), 1);
        assert_eq!(inbox.page(None, 10).await.unwrap().items.len(), 1);
        assert_eq!(machine.disk.count(OpKind::Read), before);
    });
}

#[test]
fn imports_are_delivered_and_read_as_they_say() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann", "bob"]).await;
        let chat = direct("ann", "bob");
        let ann = user("ann");
        let inbox = app.inbox(&ann, "phone").unwrap();
        let old = |text: &str, days: u64, is_pending, is_read| OldMessage {
            is_pending,
            is_read,
            ..OldMessage::new(
                NewMessage::text(chat.clone(), user("bob"), text.to_owned()),
                START - days * DAY,
            )
        };
        // Acknowledged up to now; then older messages arrive.
        say(&app, &chat, "bob", "now").await;
        let page = inbox.page(None, 9).await.unwrap();
        inbox.acknowledge(&page.cursor).await.unwrap();
        app.as_user(&ann).mark_read(&chat, None).await.unwrap();
        let batch = vec![
            old("silent", 9, false, false),
            old("late 1", 8, true, false),
            old("late 2", 7, true, false),
        ];
        app.import(batch)
            .await
            .into_iter()
            .for_each(|receipt| assert!(!receipt.unwrap().duplicate));
        store.flush().await.unwrap();
        let page = inbox.page(None, 1).await.unwrap();
        assert_eq!(
            (page.items.len(), page.more, inbox.count().await.unwrap()),
            (1, true, 2)
        );
        inbox.acknowledge(&page.cursor).await.unwrap();
        assert_eq!(bodies(&inbox).await, ["late 2"]);
        assert_eq!(app.as_user(&ann).unread(&chat).await.unwrap(), 3);
        let last = app
            .import(vec![old("read by all", 6, false, true)])
            .await
            .pop()
            .unwrap();
        assert_eq!(app.as_user(&ann).unread(&chat).await.unwrap(), 0);
        let readers = app.readers(last.unwrap().id, None, 9).await.unwrap();
        assert_eq!((readers.count, readers.members), (2, 2));
        let too_old = app
            .import(vec![old("too old", 91, true, false)])
            .await
            .pop()
            .unwrap();
        assert!(matches!(
            too_old.unwrap_err().kind(),
            ErrorKind::TooOld { .. }
        ));
    });
}

#[test]
fn a_cursor_never_stands_on_what_a_power_cut_takes_back() {
    run(async {
        let mut machine = Machine::new();
        machine.options.durability = Durability::Buffered;
        let (store, app) = machine.open_app(Plan::Pro).await;
        register(&app, &["ann", "bob"]).await;
        let chat = direct("ann", "bob");
        let ann = user("ann");
        for round in 0..3 {
            say(&app, &chat, "bob", "acknowledged").await;
            let inbox = app.inbox(&ann, "phone").unwrap();
            let page = inbox.page(None, 9).await.unwrap();
            match round {
                0 => inbox.acknowledge(&page.cursor).await.unwrap(),
                1 => app.as_user(&ann).mark_read(&chat, None).await.unwrap(),
                _ => app.as_user(&ann).clear(&chat).await.unwrap(),
            }
            // What comes after that and was not flushed may go with the power; its place is given to another message.
            say(&app, &chat, "bob", "lost").await;
            let disk = machine.disk.crash(1, Survival::LEVELS[0]);
            let cut = Machine {
                disk,
                ..machine.clone()
            };
            let store = cut.open().await.unwrap();
            let app = store.app(&key("acme#chat")).unwrap();
            let view = app.as_user(&ann);
            let before = view.unread(&chat).await.unwrap();
            say(&app, &chat, "bob", "after").await;
            assert_eq!(
                view.unread(&chat).await.unwrap(),
                before + 1,
                "round {round}"
            );
            let inbox = app.inbox(&ann, "phone").unwrap();
            let last = bodies(&inbox).await.pop();
            assert_eq!(last.as_deref(), Some("after"), "round {round}");
        }
        drop(store);
    });
}

/// A store in which bob has left something of every kind, in segments, in memory and in the log.
async fn with_bob(machine: &Machine) -> (Store, App) {
    let (store, app) = machine.open_app(Plan::Pro).await;
    register(&app, &["ann", "bob"]).await;
    found(&app, "tea", &["ann", "bob"]).await;
    let (bob, chat) = (user("bob"), direct("ann", "bob"));
    let first = say(&app, &chat, "bob", "a kingfisher").await;
    app.edit_message(first.id, &By::User(bob.clone()), "a kingfisher, edited", "")
        .await
        .unwrap();
    store.flush().await.unwrap();
    let second = say(&app, &group("tea"), "ann", "a heron").await;
    app.react(second.id, &bob, "👍").await.unwrap();
    say(&app, &group("tea"), "bob", "another kingfisher").await;
    let hidden = [second.id];
    app.as_user(&bob)
        .hide(&group("tea"), &hidden)
        .await
        .unwrap();
    app.inbox(&bob, "phone").unwrap().count().await.unwrap();
    let pairs = [("nickname".to_owned(), "Bob".to_owned())];
    app.user_attributes().set(&bob, pairs).await.unwrap();
    (store, app)
}

#[test]
fn an_erasure_cut_short_anywhere_is_finished_by_the_next_opening() {
    for k in 1.. {
        let machine = Machine::new();
        let done = run(async {
            let (_store, app) = with_bob(&machine).await;
            machine.disk.crash_at(k);
            app.erase_user(&user("bob"), true).await.is_ok()
        });
        for (level, survival) in Survival::LEVELS.into_iter().enumerate() {
            let disk = machine.disk.crash(k, survival);
            let after = Machine {
                disk,
                ..machine.clone()
            };
            run(async {
                let store = after.open().await.unwrap();
                let app = store.app(&key("acme#chat")).unwrap();
                let what = format!("operation {k}, survival level {level}");
                let traces = app.find_traces(&user("bob")).await.unwrap();
                // Before the first record nothing had begun.
                let begun = k > 2 || done;
                assert!(traces.is_empty() || !begun, "{what}: {traces:?}");
                if traces.is_empty() {
                    assert_eq!(
                        holds(&after, "kingfisher"),
                        [] as [std::path::PathBuf; 0],
                        "{what}"
                    );
                }
                let tea = app.history(&group("tea"), Page::oldest(9)).await.unwrap();
                assert_eq!(
                    (tea.len(), &tea[0].body[..]),
                    (2, &b"a heron"[..]),
                    "{what}"
                );
                assert_eq!(store.verify().await.unwrap().problems, [], "{what}");
            });
        }
        if done {
            assert!(k > 40, "the erasure has shrunk to {k} operations");
            return;
        }
    }
}

/// The rows of an edit and the notice about it are one record. When only the notice could not be staged, because reading
/// the receipts of earlier ones failed, the edit was kept without it: devices were never told, and the caller heard that
/// nothing had been done.
#[test]
fn a_change_that_fails_at_any_operation_leaves_neither_itself_nor_a_notice() {
    for k in 1.. {
        let is_over = run(async {
            let machine = Machine::new();
            let (store, app) = machine.open_app(Plan::Pro).await;
            let by = By::Server(user("ann"));
            for n in 0..3 {
                let first = app.append(text("a", "ann", "first")).await.unwrap();
                let text = format!("edited {n}");
                app.edit_message(first.id, &by, text, "").await.unwrap();
                store.flush().await.unwrap();
            }
            drop((app, store));
            let store = machine.open().await.unwrap();
            let app = store.app(&key("acme#chat")).unwrap();
            let sent = app.append(text("a", "ann", "before")).await.unwrap();
            let aside = group("a").aside();
            let notices = app.head(&aside).await.unwrap().last_seq;

            let operations = machine.disk.operations();
            machine.disk.fail_at(k, Fault::Eio);
            let edited = app.edit_message(sent.id, &by, "after", "").await;
            let is_over = machine.disk.operations() < operations + k;
            machine.disk.clear_faults();
            if edited.is_ok() {
                return is_over;
            }
            drop((app, store));
            let store = machine.open().await.unwrap();
            let app = store.app(&key("acme#chat")).unwrap();
            let told = app.head(&aside).await.unwrap().last_seq != notices;
            let (_, message) = app.message(sent.id).await.unwrap().unwrap();
            assert_eq!(message.body == "after", told, "operation {k}");
            is_over
        });
        if is_over {
            assert!(k > 3, "an edit takes {k} operations of the disk");
            return;
        }
    }
}

/// A recall was noted in memory before its record was durable. When a full disk refused the record, the next flush wrote
/// the segment without the body all the same: the text of an acknowledged message was gone, although nobody had recalled it.
#[test]
fn a_recall_that_a_full_disk_refuses_leaves_the_body_where_it_is() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        let sent = app.append(text("a", "ann", "precious")).await.unwrap();
        machine.disk.fail_always(OpKind::Write, Fault::NoSpace);
        let by = By::Server(user("ann"));
        let refused = app.recall(sent.id, &by).await.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Full);
        machine.disk.clear_faults();
        store.flush().await.unwrap();
        let (_, message) = app.message(sent.id).await.unwrap().unwrap();
        assert_eq!(message.body, "precious");

        app.recall(sent.id, &by).await.unwrap();
        store.merge().await.unwrap();
        let (_, message) = app.message(sent.id).await.unwrap().unwrap();
        assert_eq!(
            (message.body.len(), store.verify().await.unwrap().problems),
            (0, vec![])
        );
    });
}

/// Letting go of attachments follows a recall in records of its own. When these found no space, the recall failed although the
/// message was recalled: a failed operation has to leave all as it was, and one that is durable has not failed.
#[test]
fn a_recall_on_a_full_disk_is_done_or_not_done() {
    run(async {
        let mut done_on_a_full_disk = 0;
        for writes in 1..12 {
            let machine = Machine::new();
            let (store, app) = machine.open_app(Plan::Pro).await;
            let file = NewAttachment::new(user("ann"), "file");
            let file = app.put_attachment(file, &[7; 500][..]).await.unwrap().id;
            let mut message = text("a", "ann", "look");
            message.attachments = vec![file];
            let sent = app.append(message).await.unwrap();
            machine
                .disk
                .fail_from(OpKind::Write, writes, Fault::NoSpace);
            let recalled = app.recall(sent.id, &By::Server(user("ann"))).await;
            machine.disk.clear_faults();
            let (_, message) = app.message(sent.id).await.unwrap().unwrap();
            assert_eq!(recalled.is_ok(), message.body.is_empty(), "{writes}");
            done_on_a_full_disk += usize::from(recalled.is_ok());

            // What it has left is done with the next expiry: then nothing holds the attachment but its grace.
            store.merge().await.unwrap();
            store.expire().await.unwrap();
            machine.pass(8 * DAY);
            store.confirm_clock();
            store.expire().await.unwrap();
            let is_gone = app.attachment(file).await.is_err();
            assert_eq!(is_gone, recalled.is_ok(), "{writes}");
            assert_eq!(store.verify().await.unwrap().problems, []);
        }
        assert!(done_on_a_full_disk > 0);
    });
}
