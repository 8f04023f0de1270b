//! Retention: what is visible, what leaves the disk and at what price, plan changes, and clocks that are wrong.

use tidestore::disk::{OpKind, SimDisk, Survival};
use tidestore::plan::{AttachmentId, Plan, Retention, Terms};
use tidestore::{App, ErrorKind, NewMessage, OldMessage, Page, Store};
use tidestore_tests::{DAY, HOUR, Machine, START, group, key, old, run, text, whole};

fn segments(disk: &SimDisk) -> usize {
    disk.files()
        .iter()
        .filter(|path| path.extension() == Some("seg".as_ref()))
        .count()
}

/// Bytes of all files below the apps' directories.
fn bytes_of_messages(disk: &SimDisk) -> u64 {
    let files = disk
        .files()
        .into_iter()
        .filter(|path| path.starts_with("apps"));
    files
        .map(|path| disk.read_all(&path).unwrap().len() as u64)
        .sum()
}

async fn fill_day(app: &App, messages: usize) {
    for chunk in (0..messages).collect::<Vec<_>>().chunks(1_000) {
        let batch = chunk.iter().map(|n| {
            let to = format!("g{}", n % 50);
            old(
                &to,
                "ann",
                format!("message {n}"),
                START + 1_000 + *n as u64,
            )
        });
        for receipt in app.import(batch.collect()).await {
            receipt.unwrap();
        }
    }
}

/// Operations that the disk does while a day of so many messages expires, by kind; and whether the bytes are gone.
async fn expire_a_day(messages: usize) -> Vec<(OpKind, u64)> {
    let mut machine = Machine::new();
    machine.options.memtable_bytes = 64 << 20;
    machine.options.log_file_bytes = 1 << 30;
    let store = machine.open().await.unwrap();
    let terms = Terms::of(Plan::Enterprise)
        .with_retention(Retention::days(24).unwrap())
        .unwrap();
    let app = store.create_app(&key("acme#chat"), terms).await.unwrap();
    fill_day(&app, messages).await;
    store.flush().await.unwrap();
    store.merge().await.unwrap();
    // The log writes zeros ahead now and then, which has nothing to do with expiry: begin right behind such a step.
    store.flush().await.unwrap();
    for n in 0..8 {
        let other = key(&format!("other#app{n}"));
        store
            .create_app(&other, Terms::of(Plan::Free))
            .await
            .unwrap();
    }
    assert_eq!(
        segments(&machine.disk),
        2,
        "one file of the day in each of two shards"
    );
    machine.pass(26 * DAY);
    store.confirm_clock();
    let before = |kind| (kind, machine.disk.count(kind));
    let kinds = [
        OpKind::Open,
        OpKind::Read,
        OpKind::Write,
        OpKind::Sync,
        OpKind::SyncDir,
        OpKind::Rename,
        OpKind::Remove,
        OpKind::List,
    ];
    let counts = kinds.map(before);
    let bytes = bytes_of_messages(&machine.disk);
    let report = store.expire().await.unwrap();
    assert_eq!(report.messages, messages as u64);
    assert_eq!(segments(&machine.disk), 0);
    assert_eq!(
        (bytes, bytes_of_messages(&machine.disk)),
        (report.bytes, 0),
        "the bytes are gone"
    );
    assert_eq!(app.usage().await.unwrap().messages, 0);
    counts
        .into_iter()
        .map(|(kind, count)| (kind, machine.disk.count(kind) - count))
        .collect()
}

#[test]
fn expiring_a_large_day_costs_what_a_small_one_costs() {
    run(async {
        let small = expire_a_day(10_000).await;
        let large = expire_a_day(1_000_000).await;
        assert_eq!(small, large);
        assert!(
            small.contains(&(OpKind::Read, 0)),
            "no message is visited: {small:?}"
        );
    });
}

#[test]
fn reads_obey_the_floor_to_the_millisecond() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Free).await;
        app.append(text("a", "ann", "first")).await.unwrap();
        for flushed in [false, true] {
            if flushed {
                store.flush().await.unwrap();
            }
            assert_eq!(whole(&app, &group("a")).await.unwrap().len(), 1);
        }
        machine.pass(3 * DAY);
        assert_eq!(
            whole(&app, &group("a")).await.unwrap().len(),
            1,
            "three days old to the millisecond"
        );
        machine.pass(1);
        assert_eq!(whole(&app, &group("a")).await.unwrap(), []);
        let head = app.head(&group("a")).await.unwrap();
        assert_eq!(head.last_seq.0, 1);
        let next = app.append(text("a", "ann", "second")).await.unwrap();
        assert_eq!(next.seq.0, 2, "numbers never restart");
    });
}

#[test]
fn a_longer_retention_does_not_bring_back_what_had_expired() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Basic).await;
        app.append(text("a", "ann", "gone")).await.unwrap();
        machine.pass(6 * DAY);
        app.append(text("a", "ann", "kept")).await.unwrap();
        machine.pass(2 * DAY);
        app.change_terms(Terms::of(Plan::Pro)).await.unwrap();
        let bodies = |found: Vec<tidestore::Message>| -> Vec<_> {
            found
                .into_iter()
                .map(|m| String::from_utf8(m.body.to_vec()).unwrap())
                .collect()
        };
        assert_eq!(bodies(whole(&app, &group("a")).await.unwrap()), ["kept"]);
        machine.pass(50 * DAY);
        store.confirm_clock();
        assert_eq!(bodies(whole(&app, &group("a")).await.unwrap()), ["kept"]);
    });
}

#[test]
fn a_downgrade_hides_at_once_and_can_be_undone_within_its_grace() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        app.append(text("a", "ann", "old and long")).await.unwrap();
        machine.pass(30 * DAY);
        store.confirm_clock();
        app.append(text("a", "ann", "new")).await.unwrap();
        store.flush().await.unwrap();
        let preview = app.preview(&Terms::of(Plan::Basic)).await.unwrap();
        assert_eq!((preview.hidden_messages, preview.hidden_bytes), (1, 12));
        let info = app.change_terms(Terms::of(Plan::Basic)).await.unwrap();
        assert_eq!(info.undo.unwrap().until, START + 31 * DAY);
        assert_eq!(whole(&app, &group("a")).await.unwrap().len(), 1);
        machine.pass(23 * HOUR);
        assert_eq!(
            store.expire().await.unwrap().segments,
            0,
            "files wait for the grace time"
        );
        app.undo().await.unwrap();
        assert_eq!(whole(&app, &group("a")).await.unwrap().len(), 2);
        app.change_terms(Terms::of(Plan::Basic)).await.unwrap();
        machine.pass(25 * HOUR);
        assert_eq!(store.expire().await.unwrap().messages, 1);
        assert_eq!(
            *app.undo().await.unwrap_err().kind(),
            ErrorKind::NothingToUndo
        );
    });
}

#[test]
fn a_quiet_app_expires_too_even_from_memory_and_log() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Free).await;
        app.append(text("a", "ann", "a-secret-that-must-leave-the-disk"))
            .await
            .unwrap();
        machine.pass(4 * DAY);
        store.expire().await.unwrap();
        store.close().await.unwrap();
        drop((app, store));
        assert_eq!(segments(&machine.disk), 0);
    });
}

async fn aged(machine: &Machine) -> (Store, App) {
    let (store, app) = machine.open_app(Plan::Free).await;
    app.append(text("a", "ann", "precious")).await.unwrap();
    store.flush().await.unwrap();
    (store, app)
}

#[test]
fn a_clock_that_jumps_while_the_store_is_open_deletes_nothing() {
    run(async {
        let day = i64::try_from(DAY).unwrap();
        for jump in [400 * day, -400 * day, -20_000 * day] {
            let machine = Machine::new();
            let (store, app) = aged(&machine).await;
            machine.clock.jump(jump);
            assert!(store.expire().await.unwrap().paused.is_some());
            assert!(store.clock_alarm().is_some());
            assert_eq!(whole(&app, &group("a")).await.unwrap().len(), 1);
            assert_eq!(segments(&machine.disk), 1);
            let next = app
                .append(text("a", "ann", "dated by the time that passed"))
                .await
                .unwrap();
            assert!(next.id.millis() < START + DAY);
            machine.pass(4 * DAY);
            assert_eq!(
                whole(&app, &group("a")).await.unwrap(),
                [],
                "real time goes on"
            );
            assert_eq!(segments(&machine.disk), 1, "files wait for a word");
            machine.clock.jump(-jump);
            store.confirm_clock();
            assert_eq!(store.expire().await.unwrap().paused, None);
            assert_eq!(segments(&machine.disk), 0);
        }
    });
}

#[test]
fn a_store_that_was_closed_for_long_waits_for_a_word_before_it_deletes() {
    run(async {
        let machine = Machine::new();
        let (store, app) = aged(&machine).await;
        store.close().await.unwrap();
        drop((app, store));
        machine.pass(30 * DAY);
        let store = machine.open().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        assert!(store.clock_alarm().is_some());
        assert!(store.expire().await.unwrap().paused.is_some());
        assert_eq!(whole(&app, &group("a")).await.unwrap().len(), 1);
        let next = app.append(text("a", "ann", "today")).await.unwrap();
        assert_eq!(
            next.id.millis(),
            START + 30 * DAY,
            "new messages get the clock's time"
        );
        // Neither using the store nor closing or losing it confirms the clock.
        store.close().await.unwrap();
        drop((app, store));
        for crash in [false, true] {
            let disk = if crash {
                machine.disk.crash(1, Survival::ALL)
            } else {
                machine.disk.clone()
            };
            let again = Machine {
                disk,
                ..machine.clone()
            };
            let store = again.open().await.unwrap();
            assert!(
                store.clock_alarm().is_some(),
                "the alarm has confirmed itself"
            );
            assert!(store.expire().await.unwrap().paused.is_some());
        }
        let store = machine.open().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        store.confirm_clock();
        assert_eq!(store.expire().await.unwrap().messages, 1);
        assert_eq!(whole(&app, &group("a")).await.unwrap().len(), 1);
    });
}

#[test]
fn imports_are_refused_below_the_floor_and_beyond_tomorrow() {
    run(async {
        let machine = Machine::new();
        machine.pass(100 * DAY);
        let (_store, app) = machine.open_app(Plan::Free).await;
        let now = START + 100 * DAY;
        let import = |time| {
            let app = app.clone();
            async move { app.import(vec![old("a", "ann", "x", time)]).await.remove(0) }
        };
        import(now - 3 * DAY).await.unwrap();
        let error = import(now - 3 * DAY - 1).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TooOld { .. }), "{error}");
        import(now + DAY).await.unwrap();
        let error = import(now + DAY + 1).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Future { .. }), "{error}");
        let live = app.append(text("a", "ann", "now")).await.unwrap();
        assert_eq!(
            live.id.millis(),
            now,
            "a message from tomorrow does not move the clock of the others"
        );
        import(0).await.unwrap_err();
    });
}

#[test]
fn a_message_to_a_group_of_8000_is_stored_once_and_read_by_all() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Enterprise).await;
        let sent = app
            .append(text("everyone", "ann", "hello, all of you"))
            .await
            .unwrap();
        store.flush().await.unwrap();
        for _ in 0..8_000 {
            let page = app
                .history(&group("everyone"), Page::newest(20))
                .await
                .unwrap();
            assert_eq!(page.len(), 1);
            assert_eq!(page[0].id, sent.id);
        }
        assert_eq!(app.usage().await.unwrap().messages, 1);
        assert_eq!(store.verify().await.unwrap().messages, 1);
    });
}

#[test]
fn two_thousand_small_apps_do_not_make_two_thousand_files() {
    run(async {
        let machine = Machine::new();
        let store = machine.open().await.unwrap();
        let mut apps = Vec::new();
        for n in 0..2_000 {
            let key = key(&format!("small#app{n}"));
            let app = store
                .create_app(&key, Terms::of(Plan::Basic))
                .await
                .unwrap();
            app.append(text("a", "ann", format!("hello from {n}")))
                .await
                .unwrap();
            apps.push(app);
        }
        store.flush().await.unwrap();
        assert!(
            segments(&machine.disk) <= 2,
            "{} files",
            segments(&machine.disk)
        );
        for (n, app) in apps.iter().enumerate() {
            let found = whole(app, &group("a")).await.unwrap();
            assert_eq!(
                found[0].body,
                format!("hello from {n}").as_bytes(),
                "apps do not see each other"
            );
            assert_eq!(found.len(), 1);
        }
        store.delete_app(&key("small#app7")).await.unwrap();
        assert_eq!(
            store.verify().await.unwrap().messages,
            1_999,
            "a deleted app leaves shared files too"
        );
        machine.pass(8 * DAY);
        store.confirm_clock();
        store.expire().await.unwrap();
        assert_eq!(segments(&machine.disk), 0);
    });
}

/// An export that only knows days puts tens of thousands of messages into one millisecond; there are 8,192 ids in it.
#[test]
fn an_import_of_many_messages_of_one_millisecond_can_be_repeated() {
    run(async {
        let mut machine = Machine::new();
        machine.options.shards = 1;
        let (store, app) = machine.open_app(Plan::Pro).await;
        let line = |n: u32| old(&format!("g{}", n % 100), "ann", format!("{n}"), START - DAY);
        let batch = || (0..9_000).map(line).collect();
        let first = app.import(batch()).await;
        assert!(
            first
                .iter()
                .all(|receipt| !receipt.as_ref().unwrap().duplicate)
        );
        for flushed in [false, true] {
            if flushed {
                store.flush().await.unwrap();
            }
            let again = app.import(batch()).await;
            for (first, again) in first.iter().zip(again) {
                let again = again.unwrap();
                assert!(again.duplicate);
                assert_eq!(again.id, first.as_ref().unwrap().id);
            }
        }
        assert_eq!(app.usage().await.unwrap().messages, 9_000);
    });
}

#[test]
fn attachments_are_part_of_what_makes_an_import_the_same() {
    run(async {
        let mut machine = Machine::new();
        let (mut store, mut app) = machine.open_app(Plan::Pro).await;
        let import = |ids: &[u128]| OldMessage {
            message: NewMessage {
                attachments: ids.iter().copied().map(AttachmentId::from_bits).collect(),
                ..text("a", "ann", "look")
            },
            time: START - DAY,
            occurrence: 0,
            is_pending: false,
            is_read: false,
        };
        let batch = || [&[][..], &[1], &[2], &[1, 2], &[2, 1]].map(import).to_vec();
        let first = app.import(batch()).await;
        let ids: Vec<_> = first.iter().map(|r| r.as_ref().unwrap().id).collect();
        let expected: Vec<_> = batch()
            .into_iter()
            .map(|old| old.message.attachments)
            .collect();
        // In memory, read back from the log, and from a segment.
        for step in 0..3 {
            if step == 1 {
                machine.disk = machine.disk.crash(1, Survival::LEVELS[0]);
                store = machine.open().await.unwrap();
                app = store.app(&key("acme#chat")).unwrap();
            } else if step == 2 {
                store.flush().await.unwrap();
            }
            for (id, again) in ids.iter().zip(app.import(batch()).await) {
                let again = again.unwrap();
                assert!(again.duplicate && again.id == *id, "step {step}");
            }
            let found = whole(&app, &group("a")).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|m| m.attachments).collect();
            assert_eq!(found, expected, "step {step}");
        }
    });
}

/// A change of terms within the grace time keeps the undo of the one before; after a longer retention again, what the old
/// terms would let go must not leave the disk while it can be seen.
#[test]
fn no_sequence_of_terms_takes_visible_messages_off_the_disk() {
    run(async {
        let mut machine = Machine::new();
        machine.options.downgrade_grace = std::time::Duration::from_hours(24 * 30);
        let (store, app) = machine.open_app(Plan::Basic).await;
        machine.pass(6 * DAY);
        store.confirm_clock();
        app.append(text("a", "ann", "kept")).await.unwrap();
        store.flush().await.unwrap();
        app.change_terms(Terms::of(Plan::Free)).await.unwrap();
        app.change_terms(Terms::of(Plan::Enterprise)).await.unwrap();
        for _ in 0..20 {
            machine.pass(DAY);
            store.confirm_clock();
            store.expire().await.unwrap();
            assert_eq!(whole(&app, &group("a")).await.unwrap().len(), 1);
        }
    });
}

/// An operator puts a clock right that was ahead when the store was made; after a restart nothing may be held up, and
/// until then nothing may leave.
#[test]
fn a_clock_that_was_ahead_and_is_confirmed_stays_confirmed() {
    run(async {
        let machine = Machine::new();
        machine.clock.jump(i64::try_from(30 * DAY).unwrap());
        let (store, app) = machine.open_app(Plan::Free).await;
        machine.clock.jump(-i64::try_from(30 * DAY).unwrap());
        assert!(store.clock_alarm().is_some());
        let early = app.import(vec![old("a", "ann", "true date", START)]).await;
        drop(early);
        store.confirm_clock();
        app.import(vec![old("a", "ann", "dated rightly", START)])
            .await
            .remove(0)
            .unwrap();
        store.close().await.unwrap();
        drop((app, store));
        let store = machine.open().await.unwrap();
        assert_eq!(store.clock_alarm(), None);
        store.flush().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        assert_eq!(whole(&app, &group("a")).await.unwrap().len(), 1);
    });
}
