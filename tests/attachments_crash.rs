//! A crash at every operation of the disk, and every failure of it, while attachments come, are referred to, are
//! deleted, expire and are carried on.
//!
//! What was acknowledged must be there, byte for byte; nothing else but the one upload that was under way; no volume
//! may hold bytes that the ledger does not know; and the ledger must equal a recount.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tidestore::disk::{Clock, Disk, Fault, OpKind, Survival};
use tidestore::plan::{AttachmentId, Plan, Terms};
use tidestore::{App, Durability, ErrorKind, NewAttachment, Reference, Result, Store};
use tidestore_tests::{DAY, HOUR, Machine, key, old, run, text, user};

/// What callers were told, and what they asked for without hearing back.
#[derive(Clone, Debug, Default)]
struct Told {
    app: bool,
    /// Acknowledged attachments: what is in them, and until when they live at least.
    there: BTreeMap<AttachmentId, (Vec<u8>, u64)>,
    /// Contents of uploads that were begun.
    begun: Vec<Vec<u8>>,
}

fn bytes(seed: u8, len: usize) -> Vec<u8> {
    let mut state = u32::from(seed) * 77 + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

fn now(machine: &Machine) -> u64 {
    machine.clock.wall()
}

async fn put(
    machine: &Machine,
    app: &App,
    told: &mut Told,
    seed: u8,
    len: usize,
) -> Result<AttachmentId> {
    let content = bytes(seed, len);
    told.begun.push(content.clone());
    let new = NewAttachment::new(user("ann"), format!("{seed}"));
    let put = app.put_attachment(new, &content[..]).await?;
    told.there.insert(put.id, (content, now(machine) + 7 * DAY));
    Ok(put.id)
}

/// The retention of Pro, under which the script runs.
const RETENTION: u64 = 90 * DAY;

/// Runs a store through the life of some attachments until something fails.
async fn script(machine: &Machine, told: &mut Told) -> Result<()> {
    let store = machine.open().await?;
    let app = store
        .create_app(&key("acme#chat"), Terms::of(Plan::Pro))
        .await?;
    told.app = true;
    let mut small = Vec::new();
    for seed in 0..5 {
        small.push(put(machine, &app, told, seed, 3_000).await?);
    }
    let solo = put(machine, &app, told, 10, 150_000).await?;
    put(machine, &app, told, 11, 20_000).await?;
    // The same content, small and large.
    let twin = put(machine, &app, told, 0, 3_000).await?;
    put(machine, &app, told, 10, 150_000).await?;

    let mut message = text("a", "ann", "look");
    message.attachments = vec![small[1], solo];
    app.append(message).await?;
    for id in [small[1], solo] {
        live_until(told, id, now(machine) + RETENTION);
    }
    let mut line = old("b", "bob", "from before", now(machine) - 2 * HOUR);
    line.message.attachments = vec![small[2]];
    app.import(vec![line]).await.remove(0)?;
    live_until(told, small[2], now(machine) - 2 * HOUR + RETENTION);
    app.refer_attachment(small[3], Reference::Profile(user("ann")))
        .await?;
    live_until(told, small[3], u64::MAX);

    // From the moment that it is asked for, either is right.
    told.there.remove(&small[0]);
    app.delete_attachment(small[0]).await?;
    told.there.remove(&twin);
    app.delete_attachment(twin).await?;
    store.flush().await?;

    machine.pass(8 * DAY);
    store.confirm_clock();
    store.expire().await?;
    put(machine, &app, told, 20, 3_000).await?;
    // Taken back: lives for the grace time.
    live_for(told, small[3], now(machine) + 23 * HOUR);
    app.unrefer_attachment(small[3], Reference::Profile(user("ann")))
        .await?;
    machine.pass(25 * HOUR);
    store.expire().await?;
    put(machine, &app, told, 21, 9_000).await?;
    store.close().await
}

fn live_until(told: &mut Told, id: AttachmentId, time: u64) {
    if let Some((_, until)) = told.there.get_mut(&id) {
        *until = (*until).max(time);
    }
}

fn live_for(told: &mut Told, id: AttachmentId, time: u64) {
    if let Some((_, until)) = told.there.get_mut(&id) {
        *until = time;
    }
}

/// Reopens and compares with what was told; then goes on.
async fn check(machine: &Machine, told: &Told, what: &str) {
    let store = machine
        .open()
        .await
        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    store.confirm_clock();
    let report = store.verify().await.unwrap();
    assert_eq!(report.problems, [], "{what}");
    let Ok(app) = store.app(&key("acme#chat")) else {
        assert!(!told.app, "{what}: the app is gone");
        return;
    };
    no_orphans(machine, &app, what).await;
    for (id, (content, until)) in &told.there {
        match read(&app, *id).await {
            Ok(found) => assert!(found == *content, "{what}: {id} holds something else"),
            Err(ErrorKind::AttachmentExpired | ErrorKind::AttachmentNotFound) => {
                assert!(*until <= now(machine), "{what}: {id} is lost");
            }
            Err(kind) => panic!("{what}: {id}: {kind:?}"),
        }
    }
    let listed = app.attachments(None, 1_000).await.unwrap();
    for attachment in &listed {
        let found = read(&app, attachment.id).await.unwrap();
        assert!(
            told.begun.contains(&found),
            "{what}: nobody uploaded {attachment:?}"
        );
    }
    let unknown = listed
        .iter()
        .filter(|a| !told.there.contains_key(&a.id))
        .count();
    // One may have been under way, two were being deleted.
    assert!(
        unknown <= 3,
        "{what}: {unknown} attachments that nobody was told of"
    );
    goes_on(&store, &app, what).await;
}

/// Every byte of every volume is known to the ledger, up to the rest of a last block.
async fn no_orphans(machine: &Machine, app: &App, what: &str) {
    let (mut held, mut files) = (0, 0);
    for path in volumes(machine) {
        held += machine.disk.metadata(&path).unwrap().allocated;
        files += 1;
    }
    let usage = app.attachment_usage().await.unwrap().total;
    assert!(
        held <= usage.physical_bytes,
        "{what}: {held} bytes held, {usage:?}"
    );
    let slack = 4_096 * (usage.attachments + files);
    assert!(
        held + slack >= usage.physical_bytes,
        "{what}: {held} bytes held, {usage:?}"
    );
}

fn volumes(machine: &Machine) -> Vec<PathBuf> {
    let files = machine.disk.files().into_iter();
    files
        .filter(|path| path.extension().is_some_and(|e| e == "vol"))
        .collect()
}

async fn read(app: &App, id: AttachmentId) -> std::result::Result<Vec<u8>, ErrorKind> {
    let read = async { app.open_attachment(id).await?.read_to_end().await };
    read.await
        .map(Vec::from)
        .map_err(|error| error.kind().clone())
}

async fn goes_on(store: &Store, app: &App, what: &str) {
    let content = bytes(99, 5_000);
    let new = NewAttachment::new(user("eve"), "after");
    let id = app.put_attachment(new, &content[..]).await.unwrap().id;
    store.expire().await.unwrap();
    assert_eq!(read(app, id).await.unwrap(), content, "{what}");
    assert_eq!(store.verify().await.unwrap().problems, [], "{what}, later");
    store.close().await.unwrap();
}

fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.options.shards = 2;
    machine.options.shared_attachment_bytes = 16 << 10;
    machine.options.log_file_bytes = 16 << 10;
    machine
}

#[test]
fn a_crash_at_any_operation_loses_no_attachment_and_leaves_no_orphan() {
    for k in 1.. {
        let machine = machine();
        let mut told = Told::default();
        machine.disk.crash_at(k);
        let done = run(script(&machine, &mut told)).is_ok();
        for (level, survival) in Survival::LEVELS.into_iter().enumerate() {
            let disk = machine.disk.crash(k, survival);
            let after = Machine {
                disk,
                ..machine.clone()
            };
            run(check(
                &after,
                &told,
                &format!("operation {k}, survival level {level}"),
            ));
        }
        if done {
            assert!(k > 150, "the script has shrunk to {k} operations");
            return;
        }
    }
}

#[test]
fn any_single_failure_of_the_disk_loses_no_attachment() {
    for fault in [Fault::Eio, Fault::NoSpace, Fault::NoHandles] {
        for k in 1.. {
            let machine = machine();
            let mut told = Told::default();
            machine.disk.fail_at(k, fault);
            let done = run(script(&machine, &mut told)).is_ok();
            let reached = machine.disk.operations() >= k;
            machine.disk.clear_faults();
            let what = format!("{fault:?} at operation {k}");
            run(check(&machine, &told, &what));
            if done && !reached {
                break;
            }
        }
    }
}

/// A disk that is full refuses uploads whole, serves what is there, deletes and expires, and goes on once there is space.
#[test]
fn a_full_disk_refuses_uploads_and_still_deletes_and_expires() {
    let machine = machine();
    run(async {
        let (store, app) = machine.open_app(Plan::Free).await;
        let mut told = Told::default();
        let first = put(&machine, &app, &mut told, 1, 150_000).await.unwrap();
        let small = put(&machine, &app, &mut told, 2, 9_000).await.unwrap();
        for room in [0, 1, 4_096, 10_000, 60_000] {
            machine
                .disk
                .set_space(Some(machine.disk.total_bytes() + room));
            let before = app.attachment_usage().await.unwrap();
            for (seed, len) in [(30, 150_000), (31, 14_000)] {
                if let Err(error) = put(&machine, &app, &mut told, seed, len).await {
                    assert_eq!(*error.kind(), ErrorKind::Full, "{error}");
                    assert_eq!(app.attachment_usage().await.unwrap(), before);
                } else {
                    let id = *told.there.keys().next_back().unwrap();
                    told.there.remove(&id);
                    app.delete_attachment(id).await.unwrap();
                }
            }
            assert_eq!(read(&app, first).await.unwrap(), bytes(1, 150_000));
            assert_eq!(store.verify().await.unwrap().problems, []);
        }
        machine.disk.set_space(Some(machine.disk.total_bytes()));
        app.delete_attachment(first).await.unwrap();
        machine.pass(8 * DAY);
        store.confirm_clock();
        let report = store.expire().await.unwrap();
        assert_eq!(report.attachments, 1);
        assert_eq!(read(&app, small).await, Err(ErrorKind::AttachmentExpired));
        assert_eq!(app.attachment_usage().await.unwrap().total.attachments, 0);
        assert_eq!(volumes(&machine), Vec::<PathBuf>::new());
        put(&machine, &app, &mut told, 40, 150_000).await.unwrap();
        machine.disk.set_space(None);
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}

/// A disk that stays full, down to a log without room: what a refused deletion asked for can still be read, and what is
/// over goes all the same.
#[test]
fn a_log_without_room_refuses_deletions_as_a_whole_and_expires() {
    let machine = machine();
    run(async {
        let (store, app) = machine.open_app(Plan::Free).await;
        let mut told = Told::default();
        let first = put(&machine, &app, &mut told, 1, 150_000).await.unwrap();
        machine.disk.set_space(Some(machine.disk.total_bytes()));
        fill_the_log(&app).await;
        let refused = app.delete_attachment(first).await.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Full, "{refused}");
        assert_eq!(read(&app, first).await.unwrap(), bytes(1, 150_000));
        assert_eq!(store.verify().await.unwrap().problems, []);
        machine.pass(8 * DAY);
        store.confirm_clock();
        // Whether a record finds room by then or not: the file goes, and nobody calls that a loss.
        drop(store.expire().await);
        assert_eq!(volumes(&machine), Vec::<PathBuf>::new());
        assert_eq!(store.verify().await.unwrap().problems, []);
        let again = put(&machine, &app, &mut told, 1, 150_000).await;
        machine.disk.set_space(None);
        if let Ok(again) = again {
            assert_eq!(read(&app, again).await.unwrap(), bytes(1, 150_000));
        }
        let again = put(&machine, &app, &mut told, 1, 150_000).await.unwrap();
        drop((app, store));
        let store = machine.open().await.unwrap();
        assert_eq!(store.verify().await.unwrap().problems, []);
        let app = store.app(&key("acme#chat")).unwrap();
        assert_eq!(read(&app, again).await.unwrap(), bytes(1, 150_000));
    });
}

/// Sends until there is no room for one byte more.
async fn fill_the_log(app: &App) {
    for len in [3_000, 200, 1] {
        let sends = (0..10_000).map(|_| text("f", "ann", "x".repeat(len)));
        for message in sends {
            if let Err(error) = app.append(message).await {
                assert_eq!(*error.kind(), ErrorKind::Full, "{error}");
                break;
            }
        }
    }
}

/// A flush that fails may have lost what it held: nothing more is acknowledged, and reopening has all that was.
#[test]
fn a_failed_flush_of_a_volume_stops_its_shard() {
    let machine = machine();
    run(async {
        let (store, app) = machine.open_app(Plan::Free).await;
        let mut told = Told::default();
        put(&machine, &app, &mut told, 1, 5_000).await.unwrap();
        machine.disk.fail_always(OpKind::Sync, Fault::Eio);
        for seed in 2..6 {
            put(&machine, &app, &mut told, seed, 5_000)
                .await
                .unwrap_err();
        }
        machine.disk.clear_faults();
        let mut refused = 0;
        for seed in 6..12 {
            match put(&machine, &app, &mut told, seed, 5_000).await {
                Err(error) if *error.kind() == ErrorKind::Poisoned => refused += 1,
                result => drop(result.unwrap()),
            }
        }
        assert!(refused > 0);
        told.app = true;
        drop((app, store));
        for (level, survival) in Survival::LEVELS.into_iter().enumerate() {
            let disk = machine.disk.crash(7, survival);
            let after = Machine {
                disk,
                ..machine.clone()
            };
            check(&after, &told, &format!("survival level {level}")).await;
        }
    });
}

/// The disk is full just when the reference is to be noted, so only the message's own log knows of it.
#[test]
fn references_are_made_again_from_the_log_and_noted_before_it_is_trimmed() {
    for flushes in [false, true] {
        let machine = machine();
        let id = run(async {
            let (store, app) = machine.open_app(Plan::Pro).await;
            let mut told = Told::default();
            let id = put(&machine, &app, &mut told, 1, 5_000).await.unwrap();
            let mut message = text("a", "ann", "look");
            message.attachments = vec![id];
            app.append_with(message, Durability::Buffered)
                .await
                .unwrap();
            // The flush of the message writes nothing; the reference that follows from it has no room.
            machine.disk.fail_always(OpKind::Write, Fault::NoSpace);
            store.sync().await.unwrap();
            let error = app.attachment(id).await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Full);
            machine.disk.clear_faults();
            if flushes {
                store.flush().await.unwrap();
            }
            id
        });
        let disk = machine.disk.crash(1, Survival::NONE);
        let after = Machine {
            disk,
            ..machine.clone()
        };
        run(async {
            let store = after.open().await.unwrap();
            let app = store.app(&key("acme#chat")).unwrap();
            assert_eq!(
                app.attachment(id).await.unwrap().messages,
                1,
                "flushed: {flushes}"
            );
            after.pass(30 * DAY);
            store.confirm_clock();
            assert_eq!(store.expire().await.unwrap().attachments, 0);
            assert_eq!(read(&app, id).await.unwrap(), bytes(1, 5_000));
        });
    }
}
