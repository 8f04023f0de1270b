//! A crash at every operation of the disk, and every failure of it, while a store does all that it does.
//!
//! What was acknowledged must be there after reopening, once and in order; what was under way may be there or not, whole;
//! and the store must go on.

use std::collections::BTreeMap;

use tidestore::disk::{Fault, OpKind, Survival};
use tidestore::plan::{Plan, Terms};
use tidestore::{Durability, Message, Result, Store};
use tidestore_tests::{DAY, HOUR, Machine, group, key, old, run, text, whole};

/// What callers were told, and what they asked for without hearing back.
#[derive(Clone, Debug, Default)]
struct Told {
    app: bool,
    acknowledged: Vec<(String, Message)>,
    attempted: Vec<(String, String)>,
    /// Everything older than this may be gone: expiry was asked for.
    floor: u64,
}

/// What a check appends to see that the store goes on.
const ONE_MORE: &str = "one more";

/// Runs a store through its life until something fails.
async fn script(machine: &Machine, told: &mut Told) -> Result<()> {
    let store = machine.open().await?;
    let app = match store.app(&key("acme#chat")) {
        Ok(app) => app,
        Err(_) => {
            store
                .create_app(&key("acme#chat"), Terms::of(Plan::Basic))
                .await?
        }
    };
    told.app = true;
    append(&store, told, "a", 6).await?;
    store.flush().await?;
    append(&store, told, "b", 4).await?;
    for n in 0..3 {
        let body = format!("old {n}");
        let time = machine.clock_now() - 2 * HOUR - n;
        told.attempted.push(("a".into(), body.clone()));
        let receipt = app
            .import(vec![old("a", "ann", body.clone(), time)])
            .await
            .remove(0)?;
        acknowledge(told, "a", &body, receipt.id, receipt.seq);
    }
    store.flush().await?;
    store.merge().await?;
    app.change_terms(Terms::of(Plan::Pro)).await?;
    append(&store, told, "a", 3).await?;
    store.flush().await?;
    machine.pass(2 * DAY);
    append(&store, told, "c", 3).await?;
    app.change_terms(Terms::of(Plan::Free)).await?;
    machine.pass(2 * DAY);
    told.floor = machine.clock_now() - 3 * DAY;
    store.expire().await?;
    append(&store, told, "c", 2).await?;
    store.close().await
}

async fn append(store: &Store, told: &mut Told, to: &str, count: usize) -> Result<()> {
    let app = store.app(&key("acme#chat"))?;
    for n in 0..count {
        let body = format!("{to} {n} {}", told.attempted.len());
        told.attempted.push((to.into(), body.clone()));
        let receipt = app.append(text(to, "ann", body.clone())).await?;
        acknowledge(told, to, &body, receipt.id, receipt.seq);
    }
    Ok(())
}

fn acknowledge(
    told: &mut Told,
    to: &str,
    body: &str,
    id: tidestore::MessageId,
    seq: tidestore::Seq,
) {
    let message = Message {
        id,
        seq,
        sender: "ann".into(),
        kind: tidestore::Kind::Text,
        body: body.to_owned().into(),
        ext: bytes::Bytes::new(),
        client_id: "".into(),
        attachments: Vec::new(),
        revision: tidestore::Revision::Original,
    };
    told.acknowledged.push((to.into(), message));
}

trait Now {
    fn clock_now(&self) -> u64;
}

impl Now for Machine {
    fn clock_now(&self) -> u64 {
        tidestore::disk::Clock::wall(&self.clock)
    }
}

/// Reopens and compares with what was told; then uses the store once more.
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
    for name in ["a", "b", "c"] {
        let found = whole(&app, &group(name)).await.unwrap();
        compare(told, name, &found, what);
    }
    let receipt = app.append(text("a", "ann", ONE_MORE)).await.unwrap();
    let newest = app
        .history(&group("a"), tidestore::Page::newest(1))
        .await
        .unwrap();
    assert_eq!(newest[0].seq, receipt.seq, "{what}");
    store.close().await.unwrap();
}

fn compare(told: &Told, name: &str, found: &[Message], what: &str) {
    let by_id: BTreeMap<_, _> = found.iter().map(|m| (m.id, m)).collect();
    let by_seq: BTreeMap<_, _> = found.iter().map(|m| (m.seq, m)).collect();
    assert_eq!(by_id.len(), found.len(), "{what}: an id twice");
    assert_eq!(by_seq.len(), found.len(), "{what}: a number twice");
    for (_, message) in told.acknowledged.iter().filter(|(to, _)| to == name) {
        match by_id.get(&message.id) {
            Some(found) => assert_eq!(*found, message, "{what}"),
            None => assert!(message.millis() < told.floor, "{what}: lost {message:?}"),
        }
    }
    for message in found {
        let body = std::str::from_utf8(&message.body).unwrap();
        let asked = told
            .attempted
            .iter()
            .any(|(to, text)| to == name && text == body)
            || body == ONE_MORE;
        assert!(asked, "{what}: nobody sent {body:?}");
        let copies = found
            .iter()
            .filter(|other| other.body == message.body)
            .count();
        assert_eq!(copies, 1, "{what}: {body:?} is there {copies} times");
    }
}

fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.options.shards = 1;
    machine.options.log_file_bytes = 8 << 10;
    machine
}

#[test]
fn a_crash_at_any_operation_loses_nothing_that_was_acknowledged() {
    for k in 1.. {
        let machine = machine();
        let mut told = Told::default();
        machine.disk.crash_at(k);
        let done = run(script(&machine, &mut told)).is_ok();
        for (level, survival) in Survival::LEVELS.into_iter().enumerate() {
            let after = Machine {
                disk: machine.disk.crash(k, survival),
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

/// A crash while the store comes back from a crash.
#[test]
fn a_crash_while_reopening_loses_nothing() {
    let crashed = machine();
    let mut told = Told::default();
    crashed.disk.crash_at(150);
    run(script(&crashed, &mut told)).unwrap_err();
    for k in 1.. {
        let disk = crashed.disk.crash(1, Survival::HALF);
        let again = Machine {
            disk,
            ..crashed.clone()
        };
        again.disk.crash_at(k);
        let reopened = run(async { again.open().await.is_ok() });
        for survival in Survival::LEVELS {
            let after = Machine {
                disk: again.disk.crash(k, survival),
                ..again.clone()
            };
            run(check(&after, &told, &format!("operation {k} of reopening")));
        }
        if reopened && !again.disk.is_crashed() {
            return;
        }
    }
}

#[test]
fn any_single_failure_of_the_disk_loses_nothing_and_reopening_mends_it() {
    for fault in [Fault::Eio, Fault::NoSpace] {
        for k in 1.. {
            let machine = machine();
            let mut told = Told::default();
            machine.disk.fail_at(k, fault);
            let done = run(script(&machine, &mut told)).is_ok();
            machine.disk.clear_faults();
            let what = format!("{fault:?} at operation {k}");
            run(check(&machine, &told, &what));
            let after = Machine {
                disk: machine.disk.crash(k, Survival::NONE),
                ..machine.clone()
            };
            run(check(&after, &told, &format!("{what}, then a power cut")));
            if done && k > machine.disk.operations() {
                break;
            }
        }
    }
}

#[test]
fn one_byte_at_a_time_is_slow_and_right() {
    let machine = machine();
    machine.disk.set_short_io(Some(1));
    let mut told = Told::default();
    run(script(&machine, &mut told)).unwrap();
    run(check(&machine, &told, "short reads and writes"));
}

#[test]
fn a_full_disk_refuses_appends_whole_and_goes_on_when_there_is_space() {
    run(async {
        let machine = machine();
        let (store, app) = machine.open_app(Plan::Free).await;
        machine
            .disk
            .set_space(Some(machine.disk.total_bytes() + 4_096));
        let mut stored = 0;
        let error = loop {
            match app.append(text("a", "ann", "x".repeat(1_000))).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(*error.kind(), tidestore::ErrorKind::Full);
        assert_eq!(whole(&app, &group("a")).await.unwrap().len(), stored);
        machine.disk.set_space(None);
        app.append(text("a", "ann", "space again")).await.unwrap();
        assert_eq!(whole(&app, &group("a")).await.unwrap().len(), stored + 1);
        store.close().await.unwrap();
    });
}

#[test]
fn expiry_frees_a_disk_that_is_full_to_the_last_byte() {
    run(async {
        let machine = machine();
        let (store, app) = machine.open_app(Plan::Free).await;
        for n in 0..50 {
            app.append(text("a", "ann", format!("{n} {}", "x".repeat(900))))
                .await
                .unwrap();
        }
        store.flush().await.unwrap();
        machine.pass(4 * DAY);
        store.confirm_clock();
        machine.disk.set_space(Some(machine.disk.total_bytes()));
        let segments = machine
            .disk
            .files()
            .iter()
            .filter(|p| p.extension() == Some("seg".as_ref()))
            .count();
        assert!(segments > 0);
        let report = store.expire().await.unwrap();
        assert_eq!(report.messages, 50);
        let left = machine
            .disk
            .files()
            .iter()
            .filter(|p| p.extension() == Some("seg".as_ref()))
            .count();
        assert_eq!(left, 0);
        app.append(text("a", "ann", "room again")).await.unwrap();
    });
}

#[test]
fn what_was_buffered_may_go_with_the_power_but_only_from_the_end() {
    run(async {
        for seed in 0..40 {
            let machine = machine();
            let (_store, app) = machine.open_app(Plan::Pro).await;
            app.append(text("a", "ann", "0")).await.unwrap();
            for n in 1..20 {
                let message = text("a", "ann", n.to_string());
                app.append_with(message, Durability::Buffered)
                    .await
                    .unwrap();
            }
            let after = Machine {
                disk: machine.disk.crash(seed, Survival::HALF),
                ..machine.clone()
            };
            let store = after.open().await.unwrap();
            let found = whole(&store.app(&key("acme#chat")).unwrap(), &group("a"))
                .await
                .unwrap();
            assert!(!found.is_empty(), "the synced one is there");
            for (n, message) in found.iter().enumerate() {
                assert_eq!(
                    message.body,
                    n.to_string().as_bytes(),
                    "a prefix of what was written"
                );
            }
        }
    });
}

#[test]
fn a_failed_flush_stops_the_shard_and_reopening_keeps_what_was_acknowledged() {
    run(async {
        let machine = machine();
        let (_store, app) = machine.open_app(Plan::Pro).await;
        app.append(text("a", "ann", "safe")).await.unwrap();
        machine.disk.fail_matching(OpKind::Sync, 1, Fault::Eio);
        let error = app
            .append(text("a", "ann", "not acknowledged"))
            .await
            .unwrap_err();
        assert_eq!(*error.kind(), tidestore::ErrorKind::Poisoned);
        machine.disk.clear_faults();
        let error = app.append(text("a", "ann", "refused")).await.unwrap_err();
        assert_eq!(
            *error.kind(),
            tidestore::ErrorKind::Poisoned,
            "a sync is never tried again"
        );
        assert_eq!(
            whole(&app, &group("a")).await.unwrap()[0].body,
            "safe",
            "reads go on"
        );
        let after = Machine {
            disk: machine.disk.crash(3, Survival::NONE),
            ..machine.clone()
        };
        let store = after.open().await.unwrap();
        let found = whole(&store.app(&key("acme#chat")).unwrap(), &group("a"))
            .await
            .unwrap();
        assert_eq!(found[0].body, "safe");
    });
}

/// Full memtables that cannot be flushed must neither grow without end nor hold their callers for ever.
#[test]
fn a_flush_that_keeps_failing_refuses_appends_until_it_succeeds() {
    let mut machine = machine();
    machine.options.background = true;
    machine.options.memtable_bytes = 8 << 10;
    run(async {
        let (store, app) = machine.open_app(Plan::Pro).await;
        machine.disk.fail_always(OpKind::CreateDir, Fault::NoSpace);
        let mut stored = 0;
        let refused = loop {
            match app.append(text("a", "ann", "x".repeat(500))).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
            assert!(stored < 1_000, "memtables grow without end");
        };
        assert_eq!(*refused.kind(), tidestore::ErrorKind::Full);
        assert_eq!(
            whole(&app, &group("a")).await.unwrap().len(),
            stored,
            "reads go on"
        );
        machine.disk.clear_faults();
        while app.append(text("a", "ann", "space again")).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(whole(&app, &group("a")).await.unwrap().len(), stored + 1);
        store.close().await.unwrap();
    });
}
