//! Filling the store.

use bytes::Bytes;
use tidestore::disk::SimClock;
use tidestore::plan::{AttachmentId, Caps, Plan, Retention, Terms};
use tidestore::{
    Account, App, By, ChannelChange, Conversation, Kind, MessageId, MuteChange, MuteFor,
    NewAttachment, NewChannel, NewMessage, NewNotification, NewThread, NotificationKind,
    OldMessage, PushMode, PushScope, PushSettingChange, Reference, RoomSet, Seq, Store, UserChange,
};

use crate::world::{END, resource};
use crate::{DAY, HOUR, START, group, key, user};

/// Fills an empty store whose clock stands at [`START`]. Everything is flushed, and the clock stands an hour before [`END`].
pub async fn fill(store: &Store, clock: &SimClock) {
    let terms = Terms::of(Plan::Pro);
    let app = store.create_app(&key("acme#chat"), terms).await.unwrap();
    other_apps(store).await;
    users(&app).await;
    channels(&app).await;
    attributes(&app).await;
    let files = attachments(&app).await;
    import(&app).await;
    let sent = messages(&app, &files).await;
    // Some of it lies in an older segment and an older receipt run than the rest.
    clock.advance(std::time::Duration::from_millis(HOUR));
    store.flush().await.unwrap();
    let later = more_messages(&app).await;
    changes(&app, &sent, later).await;
    delivery(&app, &sent).await;
    app.shared_files(&resource("tea"))
        .share(&user("bob"), files[1], "plan of the garden.txt")
        .await
        .unwrap();
    push(&app).await;
    clock.advance(std::time::Duration::from_millis(END - HOUR - START - HOUR));
    store.flush().await.unwrap();
}

/// Does some more that only the log knows. The clock stands at [`END`] afterwards.
pub async fn leave_a_tail(store: &Store, clock: &SimClock) {
    clock.advance(std::time::Duration::from_millis(HOUR));
    let app = store.app(&key("acme#chat")).unwrap();
    let kept = app
        .put_attachment(NewAttachment::new(user("dan"), "late.txt"), &b"late"[..])
        .await
        .unwrap();
    let mut late = NewMessage::text(group("tea"), user("dan"), "late, but here");
    late.client_id = "late-1".into();
    late.attachments = vec![kept.id];
    let sent = app.send(late).await.unwrap();
    app.react(sent.id, &user("ann"), "ok").await.unwrap();
    app.user_attributes()
        .set(&user("dan"), [pair("mood", "late")])
        .await
        .unwrap();
    let history = Conversation::direct(&user("ann"), &user("dan"));
    let old = NewMessage::text(history, user("dan"), "imported late");
    let imported = app.import(vec![OldMessage::new(old, START - HOUR)]).await;
    assert!(imported.iter().all(Result::is_ok));
    store.sync().await.unwrap();
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// One with caps of its own, one with a downgrade that can be undone, one that is gone.
async fn other_apps(store: &Store) {
    let caps = Caps {
        users: Some(1_000),
        retention: Retention::days(400).unwrap(),
        ..*Terms::of(Plan::Enterprise).caps()
    };
    let big = store
        .create_app(&key("big#corp"), Terms::enterprise(caps))
        .await
        .unwrap();
    let hello = NewMessage::text(group("all"), user("boss"), "hello, everybody");
    big.append(hello).await.unwrap();
    let small = store
        .create_app(&key("small#shop"), Terms::of(Plan::Basic))
        .await
        .unwrap();
    let old = NewMessage::text(group("till"), user("joe"), "four days ago");
    let imported = small.import(vec![OldMessage::new(old, START - 4 * DAY)]);
    assert!(imported.await.iter().all(Result::is_ok));
    small.change_terms(Terms::of(Plan::Free)).await.unwrap();
    store
        .create_app(&key("gone#app"), Terms::of(Plan::Free))
        .await
        .unwrap();
    store.delete_app(&key("gone#app")).await.unwrap();
}

async fn users(app: &App) {
    for name in ["ann", "bob", "cid", "dan", "eve", "fay"] {
        let account = Account {
            nickname: (name == "ann").then(|| "Änn 🌊".to_owned()),
            ..Account::new(user(name))
        };
        app.users().register(account).await.unwrap();
    }
    let (ann, bob, cid) = (user("ann"), user("bob"), user("cid"));
    app.users()
        .set_password(&ann, "tide-and-time")
        .await
        .unwrap();
    let change = UserChange {
        display_style: Some(1),
        no_disturbing: Some(true),
        no_disturbing_hours: Some((22, 7)),
        ..UserChange::default()
    };
    app.users().change(&bob, change).await.unwrap();
    app.users().ban(&user("eve")).await.unwrap();
    let mute = MuteChange {
        chat: Some(MuteFor::Forever),
        chatroom: Some(MuteFor::Seconds(86_400)),
        ..MuteChange::default()
    };
    app.users().mute(&cid, mute).await.unwrap();
    app.contacts(&ann).add(&bob).await.unwrap();
    app.contacts(&ann).add(&user("dan")).await.unwrap();
    app.contacts(&ann)
        .set_remark(&bob, "from work")
        .await
        .unwrap();
    app.blocks(&ann).add(&[user("eve")]).await.unwrap();
    app.rooms().set_super_admin(&bob, true).await.unwrap();
    app.presence(&ann)
        .subscribe(&[bob.clone(), cid], 7 * 86_400)
        .await
        .unwrap();
    app.users().delete(&user("fay")).await.unwrap();
}

async fn channels(app: &App) {
    let (ann, bob, cid, dan) = (user("ann"), user("bob"), user("cid"), user("dan"));
    let tea = NewChannel {
        name: "Tea".to_owned(),
        description: "soup, too".to_owned(),
        extension: "{\"colour\":\"green\"}".to_owned(),
        max_users: Some(300),
        members_only: true,
        ..NewChannel::new(resource("tea"), ann.clone())
    };
    app.groups().create(tea).await.unwrap();
    let members = app.groups();
    let members = members.members(&resource("tea"));
    members
        .add_many(&[bob.clone(), cid.clone(), dan.clone()])
        .await
        .unwrap();
    members.set_admin(&bob, true).await.unwrap();
    members.mute(&[cid], MuteFor::Forever).await.unwrap();
    members.block(&[user("eve")]).await.unwrap();
    members
        .allow(std::slice::from_ref(&dan), true)
        .await
        .unwrap();
    app.groups()
        .announce(&resource("tea"), "at four")
        .await
        .unwrap();
    app.open_history(&resource("tea"), true).await.unwrap();
    let walks = NewChannel::new(resource("walks"), dan.clone());
    app.groups().create(walks).await.unwrap();
    app.groups().disable(&resource("walks")).await.unwrap();
    let hall = NewChannel::new(resource("hall"), bob.clone());
    app.rooms().create(hall).await.unwrap();
    let rooms = app.rooms();
    rooms.members(&resource("hall")).add(&ann).await.unwrap();
    let change = ChannelChange {
        name: Some("The hall".to_owned()),
        ..ChannelChange::default()
    };
    rooms.change(&resource("hall"), change).await.unwrap();
    let talk = NewThread {
        id: resource("talk"),
        group: resource("tea"),
        name: "about biscuits".to_owned(),
        parent: 7,
        owner: ann,
    };
    app.threads().create(talk).await.unwrap();
    let joined = app.threads().join(&resource("talk"), &[bob]).await.unwrap();
    assert!(joined.iter().all(Result::is_ok));
}

async fn attributes(app: &App) {
    let attributes = app.user_attributes();
    attributes
        .set(
            &user("ann"),
            [pair("nickname", "Ann"), pair("city", "潮州")],
        )
        .await
        .unwrap();
    attributes
        .set(&user("bob"), [pair("empty", "")])
        .await
        .unwrap();
    let how = RoomSet {
        auto_delete: true,
        force: false,
    };
    let hall = app.room_attributes(&resource("hall"));
    hall.set(
        &user("bob"),
        [pair("topic", "tides"), pair("seat.1", "ann")],
        how,
    )
    .await
    .unwrap();
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// One in a shared volume, one that is text, one with a volume of its own, a second one with the same content, one that is
/// deleted, an empty one.
async fn attachments(app: &App) -> Vec<AttachmentId> {
    let text = "a row of lettuce, a row of beans. ".repeat(60);
    let contents: [(&str, Vec<u8>); 6] = [
        ("small.bin", noise(1_500)),
        ("garden.txt", text.into_bytes()),
        ("large.bin", noise(9_000)),
        ("again.bin", noise(1_500)),
        ("gone.bin", noise(700)),
        ("empty", Vec::new()),
    ];
    let mut ids = Vec::new();
    for (name, bytes) in contents {
        let new = NewAttachment::new(user("ann"), name);
        ids.push(app.put_attachment(new, &bytes[..]).await.unwrap().id);
    }
    app.delete_attachment(ids[4]).await.unwrap();
    let picture = Reference::Profile(user("ann"));
    app.refer_attachment(ids[3], picture).await.unwrap();
    ids
}

async fn import(app: &App) {
    let chat = Conversation::direct(&user("ann"), &user("bob"));
    let mut old = Vec::new();
    for n in 0..12 {
        let from = user(if n % 2 == 0 { "ann" } else { "bob" });
        let text = format!("imported, number {n}");
        let message = NewMessage::text(chat.clone(), from, text);
        old.push(OldMessage {
            is_pending: n >= 10,
            is_read: n == 4,
            ..OldMessage::new(message, START - 3 * DAY + n * HOUR)
        });
    }
    let imported = app.import(old).await;
    assert!(imported.iter().all(Result::is_ok), "{imported:?}");
}

/// One of each kind, and of each place; returns their ids.
async fn messages(app: &App, files: &[AttachmentId]) -> Vec<MessageId> {
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Notice);
    let mut sent = Vec::new();
    for (n, kind) in kinds.enumerate() {
        let message = NewMessage {
            kind,
            ext: Bytes::from(format!("{{\"n\":{n}}}")),
            client_id: format!("c-{n}").into(),
            attachments: match kind {
                Kind::Image => vec![files[0]],
                Kind::File => vec![files[2], files[1]],
                _ => Vec::new(),
            },
            ..NewMessage::text(group("tea"), user("ann"), format!("{} 茶", kind.as_str()))
        };
        sent.push(app.send(message).await.unwrap().id);
    }
    let hidden = NewMessage {
        hidden_from: vec![user("dan")],
        ..NewMessage::text(group("tea"), user("bob"), "not for dan")
    };
    sent.push(app.send(hidden).await.unwrap().id);
    let talk = Conversation::thread(&resource("talk"));
    let hall = Conversation::room(&resource("hall"));
    let chat = Conversation::direct(&user("ann"), &user("bob"));
    for to in [talk, hall, chat] {
        let message = NewMessage::text(to, user("bob"), "hello");
        sent.push(app.send(message).await.unwrap().id);
    }
    // Enough for several blocks.
    for n in 0..60 {
        let text = format!("number {n}: the tide comes in and the tide goes out again");
        let message = NewMessage::text(group("walks2"), user("dan"), text);
        sent.push(app.append(message).await.unwrap().id);
    }
    sent
}

async fn more_messages(app: &App) -> MessageId {
    let mut last = None;
    for n in 0..5 {
        let mut message = NewMessage::text(group("tea"), user("dan"), format!("later {n}"));
        message.client_id = format!("later-{n}").into();
        last = Some(app.send(message).await.unwrap().id);
    }
    let raw = NewMessage {
        body: Bytes::from_static(b"\xff\x00 not text \xfe"),
        ..NewMessage::text(group("tea"), user("bob"), "")
    };
    app.send(raw).await.unwrap();
    last.unwrap()
}

async fn changes(app: &App, sent: &[MessageId], later: MessageId) {
    let (ann, bob) = (user("ann"), user("bob"));
    let by_server = By::Server(user("bob"));
    app.recall(sent[2], &by_server).await.unwrap();
    app.edit_message(sent[0], &by_server, "edited", "{}")
        .await
        .unwrap();
    app.edit_message(sent[0], &by_server, "edited twice", "")
        .await
        .unwrap();
    app.react(sent[0], &ann, "👍").await.unwrap();
    app.react(sent[0], &bob, "👍").await.unwrap();
    app.react(sent[0], &bob, "tea").await.unwrap();
    app.unreact(sent[0], &bob, "tea").await.unwrap();
    app.react(later, &bob, "yes").await.unwrap();
    app.pin_message(sent[1], &ann, true).await.unwrap();
}

async fn push(app: &App) {
    let (ann, bob, dan) = (user("ann"), user("bob"), user("dan"));
    let push = app.push();
    let whole = PushSettingChange {
        mode: Some(PushMode::At),
        ignore_interval: Some("22:00-07:30".to_owned()),
        ignore_duration_ms: Some(HOUR),
    };
    push.set_setting(&ann, &PushScope::App, whole)
        .await
        .unwrap();
    let one = PushSettingChange {
        mode: Some(PushMode::None),
        ..PushSettingChange::default()
    };
    for scope in [
        PushScope::User(bob.clone()),
        PushScope::Group(resource("tea")),
    ] {
        push.set_setting(&ann, &scope, one.clone()).await.unwrap();
    }
    push.set_language(&ann, "zh-Hans").await.unwrap();
    push.create_template("default", "{0} 茶", "{0}: {1}")
        .await
        .unwrap();
    push.create_label("early.birds", "who is up at four")
        .await
        .unwrap();
    let users = [ann, bob, dan];
    let added = push.add_to_label("early.birds", &users).await.unwrap();
    assert!(added.iter().all(Result::is_ok));
    push.create_label("gone", "").await.unwrap();
    push.delete_label("gone").await.unwrap();
    app.issue_credentials().await.unwrap();
    let new = [
        (NotificationKind::Message, "bob"),
        (NotificationKind::Label, "early.birds"),
    ];
    let new = new.map(|(kind, target)| NewNotification {
        kind,
        targets: vec![target.to_owned()],
        content: Bytes::from_static(b"{\"title\":\"tea\"}"),
    });
    app.log_notifications(new.into()).await.unwrap();
}

async fn delivery(app: &App, sent: &[MessageId]) {
    let (ann, bob, dan) = (user("ann"), user("bob"), user("dan"));
    let phone = app.inbox(&ann, "phone").unwrap();
    let page = phone.page(None, 4).await.unwrap();
    phone.acknowledge(&page.cursor).await.unwrap();
    app.inbox(&ann, "tablet")
        .unwrap()
        .page(None, 1)
        .await
        .unwrap();
    let inbox = app.inbox(&bob, "desk").unwrap();
    let page = inbox.page(None, 1_000).await.unwrap();
    inbox.acknowledge(&page.cursor).await.unwrap();
    let chat = Conversation::direct(&ann, &bob);
    app.as_user(&bob)
        .mark_read(&group("tea"), Some(Seq(5)))
        .await
        .unwrap();
    app.as_user(&dan)
        .hide(&group("tea"), &[sent[1]])
        .await
        .unwrap();
    app.as_user(&ann).set_pinned(&chat, true).await.unwrap();
    app.as_user(&ann)
        .set_muted(&group("tea"), true)
        .await
        .unwrap();
    app.as_user(&bob).clear_up_to(&chat, Seq(3)).await.unwrap();
}
