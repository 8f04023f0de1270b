//! Sizes, numbers and texts that no decent caller would send: each is refused with an error that says why, or answered, and
//! never done by half.

use bytes::Bytes;
use tidestore::plan::{AppKey, Plan, ResourceId, UserId};
use tidestore::{
    Account, By, Conversation, Cursor, ErrorKind, Event, MessageId, NewAttachment, NewChannel,
    NewMessage, Options, Page, RoomSet, Seq,
};
use tidestore_tests::{Machine, group, old, run, text, user};

const EXTREMES: [u64; 7] = [
    0,
    1,
    u64::MAX,
    u64::MAX - 1,
    1 << 63,
    (1 << 63) - 1,
    u32::MAX as u64,
];

#[test]
fn texts_that_are_no_ids_are_refused_with_short_errors() {
    let huge = "x".repeat(10 << 20);
    let nul = "ann\0".to_owned();
    for text in [
        "",
        "..",
        "../../etc/passwd",
        "a/b",
        "ann\u{202e}bob",
        "\u{fffd}",
        &nul,
        &huge,
    ] {
        let errors = [
            UserId::parse(text).err().map(|e| e.to_string()),
            ResourceId::parse(text).err().map(|e| e.to_string()),
            AppKey::parse(text).err().map(|e| e.to_string()),
            AppKey::parse(&format!("acme#{text}"))
                .err()
                .map(|e| e.to_string()),
            Conversation::parse(text).err().map(|e| e.to_string()),
            Conversation::parse(&format!("group:{text}"))
                .err()
                .map(|e| e.to_string()),
            Conversation::parse(&format!("direct:ann,{text}"))
                .err()
                .map(|e| e.to_string()),
        ];
        // Two dots are an id like any other: ids are encoded before they are part of a path.
        let is_id = text == "..";
        assert_eq!(
            errors.iter().flatten().count(),
            if is_id { 2 } else { 7 },
            "{text:.20}"
        );
        for error in errors.into_iter().flatten() {
            assert!(error.len() < 1_000, "an error of {} bytes", error.len());
            assert!(!error.contains('\0'), "{error:?}");
        }
    }
}

#[test]
fn numbers_at_the_edges_of_their_range_are_answered_or_refused() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        let tea = group("tea");
        for n in 0..10 {
            app.append(text("tea", "ann", format!("{n}")))
                .await
                .unwrap();
        }
        for flushed in [false, true] {
            if flushed {
                store.flush().await.unwrap();
            }
            for edge in EXTREMES {
                let cursors = [
                    Cursor::Id(MessageId(edge)),
                    Cursor::Seq(Seq(edge)),
                    Cursor::Time(edge),
                ];
                for cursor in cursors {
                    let before = app
                        .history(&tea, Page::before(cursor, 1_000))
                        .await
                        .unwrap();
                    let after = app.history(&tea, Page::after(cursor, 1_000)).await.unwrap();
                    assert!(
                        (9..=10).contains(&(before.len() + after.len())),
                        "{cursor:?}"
                    );
                }
                assert_eq!(app.message(MessageId(edge)).await.unwrap(), None);
                assert!(
                    app.recall(MessageId(edge), &By::Server(user("ann")))
                        .await
                        .is_err()
                );
                let state = app.delivery_state(&user("ann"), MessageId(edge)).await;
                assert!(state.is_ok() || state.is_err());
                assert!(app.history_file(edge).is_err());
            }
            for limit in [0, 1_001, usize::MAX] {
                let refused = app.history(&tea, Page::newest(limit)).await.unwrap_err();
                assert_eq!(refused.kind(), &ErrorKind::Argument);
                let inbox = app.inbox(&user("ann"), "phone").unwrap();
                let refused = inbox.page(None, limit).await.unwrap_err();
                assert_eq!(refused.kind(), &ErrorKind::Argument);
                let ann = user("ann");
                let refused = app
                    .as_user(&ann)
                    .conversations(None, limit)
                    .await
                    .unwrap_err();
                assert_eq!(refused.kind(), &ErrorKind::Argument);
            }
            for limit in [0, usize::MAX] {
                let refused = app.conversations(None, limit).await.unwrap_err();
                assert_eq!(refused.kind(), &ErrorKind::Argument);
                let refused = app.attachments(None, limit).await.unwrap_err();
                assert_eq!(refused.kind(), &ErrorKind::Argument);
            }
            assert!(app.users().list(None, usize::MAX).await.is_err());
        }
    });
}

#[test]
fn imports_with_impossible_times_are_refused_and_the_others_are_stored() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        let now = store.file().created;
        let times = [0, 1, u64::MAX, 1 << 63, now + 25 * 3_600_000, now];
        let list = times.map(|time| old("tea", "ann", "hello", time)).to_vec();
        let answers = app.import(list).await;
        for (time, answer) in times.iter().zip(&answers) {
            let kind = answer.as_ref().map_err(|error| error.kind().name());
            match *time {
                0 | 1 => assert_eq!(kind.unwrap_err(), "too_old"),
                time if time == now => assert!(kind.is_ok()),
                _ => assert_eq!(kind.unwrap_err(), "future"),
            }
        }
        assert_eq!(
            app.history(&group("tea"), Page::newest(9))
                .await
                .unwrap()
                .len(),
            1
        );
        // A clock that the operator vouches for at the end of time; what was visible expires, and nothing overflows.
        store.expire_at(u64::MAX).await.unwrap();
        assert_eq!(
            app.history(&group("tea"), Page::newest(9)).await.unwrap(),
            []
        );
    });
}

#[test]
fn messages_that_are_too_large_leave_nothing_of_themselves() {
    run(async {
        let (_store, app) = Machine::new().open_app(Plan::Pro).await;
        let base = || text("tea", "ann", "hello");
        let huge = Bytes::from(vec![7; 100 << 20]);
        let list = vec![
            NewMessage {
                body: huge.clone(),
                ..base()
            },
            NewMessage {
                ext: huge.clone(),
                ..base()
            },
            NewMessage {
                body: vec![7; 3_073].into(),
                ..base()
            },
            NewMessage {
                client_id: "c".repeat(1 << 20).into(),
                ..base()
            },
            NewMessage {
                hidden_from: vec![user("bob"); 1_000_000],
                ..base()
            },
            NewMessage {
                sender: user("eve"),
                conversation: Conversation::direct(&user("ann"), &user("bob")),
                ..base()
            },
            NewMessage {
                body: Bytes::new(),
                ..base()
            },
        ];
        let answers = app.append_many(list).await;
        let kinds: Vec<_> = answers
            .iter()
            .map(|a| a.as_ref().map_or_else(|e| e.kind().name(), |_| "ok"))
            .collect();
        assert_eq!(
            kinds,
            [
                "limit",
                "limit",
                "limit",
                "argument",
                "limit",
                "conversation",
                "ok"
            ]
        );
        let stored = app.history(&group("tea"), Page::newest(9)).await.unwrap();
        assert_eq!(
            (stored.len(), stored[0].seq),
            (1, Seq(1)),
            "a refused message takes no number"
        );
    });
}

/// A batch is closed at four mebibytes, so that no list of whatever length comes near what a frame of the log may hold.
#[test]
fn a_list_of_any_length_is_stored_in_batches_that_fit() {
    run(async {
        let mut machine = Machine::new();
        machine.options.queue_bytes = 64 << 10;
        let (store, app) = machine.open_app(Plan::Pro).await;
        let list =
            (0..30_000).map(|n| text("tea", "ann", vec![u8::try_from(n % 251).unwrap(); 3_072]));
        let answers = app.append_many(list.collect()).await;
        assert!(answers.iter().all(Result::is_ok), "90 MB in one call");
        let head = app.head(&group("tea")).await.unwrap();
        assert_eq!(head.last_seq, Seq(30_000));
        // Whoever was answered leaves the queue a moment later; the next command comes behind that.
        store.flush().await.unwrap();
        let queue = store
            .status()
            .await
            .unwrap()
            .shards
            .iter()
            .map(|s| s.queue.depth)
            .sum::<u64>();
        assert_eq!(queue, 0);
    });
}

#[test]
fn lists_of_a_million_names_are_refused_whole() {
    run(async {
        let (_store, app) = Machine::new().open_app(Plan::Pro).await;
        let (ann, tea) = (user("ann"), ResourceId::parse("tea").unwrap());
        let many: Vec<UserId> = (0..1_000_000).map(|n| user(&format!("u{n}"))).collect();
        app.users()
            .register_many(vec![Account::new(ann.clone())])
            .await
            .unwrap();
        let accounts = many.iter().cloned().map(Account::new).collect();
        assert!(app.users().register_many(accounts).await.is_err());
        let founders = NewChannel {
            members: many.clone(),
            ..NewChannel::new(tea.clone(), ann.clone())
        };
        let refused = app.groups().create(founders).await.unwrap_err();
        assert_eq!(refused.kind().name(), "limit");
        app.groups()
            .create(NewChannel::new(tea.clone(), ann.clone()))
            .await
            .unwrap();
        let groups = app.groups();
        let members = groups.members(&tea);
        let kinds = [
            members.add_many(&many).await.unwrap_err(),
            members.remove_many(&many).await.unwrap_err(),
            members.block(&many).await.unwrap_err(),
            members.allow(&many, true).await.unwrap_err(),
            members.add_many(&many[..5_000]).await.unwrap_err(),
        ]
        .map(|error| error.kind().name());
        assert_eq!(
            kinds,
            ["argument", "argument", "argument", "argument", "limit"]
        );
        assert_eq!(
            members.list(None, 10).await.unwrap().items.len(),
            1,
            "the owner alone"
        );
        assert_eq!(app.users().list(None, 10).await.unwrap().items.len(), 1);
        let ids = vec![MessageId(1); 1_000_000];
        assert!(app.as_user(&ann).hide(&group("tea"), &ids).await.is_err());
        assert!(app.reactions(&ids).await.is_err());
    });
}

#[test]
fn attributes_and_texts_of_any_size_are_refused_or_kept_whole() {
    run(async {
        let (_store, app) = Machine::new().open_app(Plan::Pro).await;
        let ann = user("ann");
        app.users()
            .register_many(vec![Account::new(ann.clone())])
            .await
            .unwrap();
        let huge = "x".repeat(10 << 20);
        let pair = |key: &str, value: &str| [(key.to_owned(), value.to_owned())];
        assert!(
            app.user_attributes()
                .set(&ann, pair("key", &huge))
                .await
                .is_err()
        );
        assert!(
            app.user_attributes()
                .set(&ann, pair(&huge, "v"))
                .await
                .is_err()
        );
        let many = (0..100_000).map(|n| (format!("k{n}"), "v".to_owned()));
        assert!(app.user_attributes().set(&ann, many).await.is_err());
        assert!(
            app.user_attributes()
                .get(&ann, None)
                .await
                .unwrap()
                .is_empty()
        );
        let room = ResourceId::parse("lobby").unwrap();
        app.rooms()
            .create(NewChannel::new(room.clone(), ann.clone()))
            .await
            .unwrap();
        let attributes = app.room_attributes(&room);
        let many = (0..100_000).map(|n| (format!("k{n}"), "v".to_owned()));
        assert!(
            attributes
                .set(&ann, many, RoomSet::default())
                .await
                .is_err()
        );
        assert!(attributes.get(None).await.unwrap().is_empty());
        for device in ["", "a\0b", &"d".repeat(129), &huge] {
            assert_eq!(
                app.inbox(&ann, device).unwrap_err().kind(),
                &ErrorKind::Argument
            );
        }
        let long_name = NewAttachment::new(ann.clone(), huge.as_str());
        assert!(app.put_attachment(long_name, &b"x"[..]).await.is_err());
        let lying = NewAttachment {
            length: Some(u64::MAX),
            ..NewAttachment::new(ann.clone(), "a")
        };
        assert_eq!(
            app.put_attachment(lying, &b"x"[..])
                .await
                .unwrap_err()
                .kind()
                .name(),
            "limit"
        );
    });
}

#[test]
fn cursors_that_are_made_up_are_refused_everywhere() {
    run(async {
        let (_store, app) = Machine::new().open_app(Plan::Pro).await;
        let (ann, bob) = (user("ann"), user("bob"));
        for id in [&ann, &bob] {
            app.users()
                .register_many(vec![Account::new(id.clone())])
                .await
                .unwrap();
        }
        let talk = Conversation::direct(&ann, &bob);
        app.append(NewMessage::text(talk, ann.clone(), "hello"))
            .await
            .unwrap();
        let inbox = app.inbox(&bob, "phone").unwrap();
        let cursor = inbox.page(None, 1).await.unwrap().cursor;
        let mut forged = vec![
            String::new(),
            "\0".into(),
            "x".repeat(10 << 20),
            cursor.repeat(2),
        ];
        for at in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            forged.push(String::from_utf8(bytes).unwrap());
            forged.push(cursor[..at].to_owned());
        }
        for text in &forged {
            let refused = inbox.page(Some(text), 1).await.unwrap_err();
            assert_eq!(
                refused.kind(),
                &ErrorKind::Cursor,
                "{}",
                &text[..text.len().min(80)]
            );
            assert_eq!(
                inbox.acknowledge(text).await.unwrap_err().kind(),
                &ErrorKind::Cursor
            );
            assert!(
                app.as_user(&bob)
                    .conversations(Some(text), 1)
                    .await
                    .is_err()
            );
            assert!(app.users().list(Some(text), 1).await.is_err());
        }
        // Of somebody else.
        let other = app.inbox(&ann, "phone").unwrap();
        assert_eq!(
            other.acknowledge(&cursor).await.unwrap_err().kind(),
            &ErrorKind::Cursor
        );
        assert_eq!(inbox.count().await.unwrap(), 1, "nothing was acknowledged");
        let mut stream = inbox.subscribe().await.unwrap();
        assert!(matches!(stream.next().await.unwrap(), Event::Message(_)));
    });
}

#[test]
fn options_out_of_their_range_are_refused_before_anything_is_made() {
    run(async {
        let changes: [fn(&mut Options); 14] = [
            |o| o.queue_bytes = 0,
            |o| o.queue_bytes = usize::MAX,
            |o| o.queue_depth = 0,
            |o| o.index_bytes = 0,
            |o| o.cache_bytes = usize::MAX,
            |o| o.receipt_bytes = usize::MAX,
            |o| o.heads = 0,
            |o| o.transfers = 0,
            |o| o.streams = usize::MAX,
            |o| o.open_files = 0,
            |o| o.memtable_age = std::time::Duration::MAX,
            |o| o.buffered_delay = std::time::Duration::MAX,
            |o| o.expiry_interval = std::time::Duration::MAX,
            |o| o.dedupe_window = std::time::Duration::MAX,
        ];
        for change in changes {
            let mut machine = Machine::new();
            change(&mut machine.options);
            let refused = machine.open().await.unwrap_err();
            assert_eq!(refused.kind(), &ErrorKind::Argument);
            assert!(machine.disk.files().is_empty());
        }
    });
}
