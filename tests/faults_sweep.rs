//! Something goes wrong at one operation of the disk after the other, in a life that touches every part of the store: rows
//! 4, 5, 6, 7 and 9 of `FAULTS.md`.
//!
//! The sweeps take strides, so that they fit into a normal run. Those that look at every single operation are ignored:
//!
//! ```sh
//! cargo test --release -p tidestore-tests --test faults_sweep -- --ignored
//! ```

use std::path::PathBuf;

use tidestore::disk::{Clock, Fault, OpKind, SimDisk, Survival};
use tidestore::plan::Plan;
use tidestore::{Account, EngineKind, ErrorKind, NewAttachment, Result};
use tidestore_tests::life::{
    CHAPTERS, Judge, Rigor, Stage, Told, WhenFull, begin, check, live, machine, with_disk,
};
use tidestore_tests::{DAY, Machine, run, text, user, whole};

const ENGINES: [EngineKind; 2] = [EngineKind::Memory, EngineKind::Redb];

/// A machine whose store has lived to the end, for what there is to count.
fn lived(engine: EngineKind, shards: u16) -> Machine {
    let machine = machine(engine, shards);
    let mut told = Told::default();
    run(live(&machine, &mut told)).unwrap();
    let after = with_disk(&machine, machine.disk.crash(1, Survival::ALL));
    run(check(&after, &told, "to the end"));
    machine
}

fn operations(engine: EngineKind, shards: u16) -> u64 {
    let machine = machine(engine, shards);
    run(live(&machine, &mut Told::default())).unwrap();
    let all = machine.disk.operations();
    assert!(all > 400, "the life has shrunk to {all} operations");
    all
}

fn power_cuts(engine: EngineKind, stride: usize) {
    let all = operations(engine, 2);
    for k in (1..=all).step_by(stride) {
        let machine = machine(engine, 2);
        let mut told = Told::default();
        machine.disk.crash_at(k);
        drop(run(live(&machine, &mut told)));
        for (level, survival) in Survival::LEVELS.into_iter().enumerate() {
            let after = with_disk(&machine, machine.disk.crash(k, survival));
            let what = format!("{engine}: cut at {k} of {all}, survival level {level}");
            run(check(&after, &told, &what));
        }
    }
}

/// Rows 4 and 9, and the half of row 10 that is about what must be there.
#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    drop(lived(EngineKind::Memory, 2));
    power_cuts(EngineKind::Memory, 7);
    power_cuts(EngineKind::Redb, 23);
}

#[test]
#[ignore = "minutes: every operation, both engines"]
fn a_power_cut_at_every_operation_takes_nothing_that_was_acknowledged() {
    for engine in ENGINES {
        power_cuts(engine, 1);
    }
}

fn failures(engine: EngineKind, stride: usize) {
    let all = operations(engine, 2);
    let faults = [
        Fault::Eio,
        Fault::NoSpace,
        Fault::NoHandles,
        // A write that moves nothing: an error, not a loop without end.
        Fault::ShortIo(0),
    ];
    for (nth, k) in (1..=all).step_by(stride).enumerate() {
        let fault = faults[nth % faults.len()];
        let machine = machine(engine, 2);
        let mut told = Told::default();
        machine.disk.fail_at(k, fault);
        drop(run(live(&machine, &mut told)));
        machine.disk.clear_faults();
        let what = format!("{engine}: {fault:?} at {k} of {all}");
        assert_eq!(machine.disk.repeated_syncs(), [] as [PathBuf; 0], "{what}");
        let after = with_disk(&machine, machine.disk.crash(k, Survival::NONE));
        run(check(&after, &told, &format!("{what}, then a power cut")));
        run(check(&machine, &told, &what));
    }
}

/// Rows 6 and 7: any single failure.
#[test]
fn a_failure_of_any_operation_takes_nothing_that_was_acknowledged() {
    failures(EngineKind::Memory, 3);
    failures(EngineKind::Redb, 13);
}

#[test]
#[ignore = "minutes: every operation, both engines"]
fn a_failure_of_every_operation_takes_nothing_that_was_acknowledged() {
    for stride in [1, 3, 7] {
        for engine in ENGINES {
            failures(engine, stride);
        }
    }
}

/// Syncs of files that fail, once or for ever: what was told before can be read, nothing is told that is not durable, and
/// no file is synced a second time.
fn failed_syncs(engine: EngineKind, stride: usize) {
    let all = lived(engine, 1).disk.count(OpKind::Sync);
    assert!(all > 40, "the life has shrunk to {all} syncs");
    for (nth, k) in (1..=all).step_by(stride).enumerate() {
        let machine = machine(engine, 1);
        if nth % 2 == 0 {
            machine.disk.fail_matching(OpKind::Sync, k, Fault::Eio);
        } else {
            machine.disk.fail_from(OpKind::Sync, k, Fault::Eio);
        }
        let what = format!("{engine}: sync {k} of {all} fails");
        let told = run(async {
            let begun = begin(&machine, WhenFull::GiveUp).await;
            let Ok(stage) = begun else {
                machine.disk.clear_faults();
                return None;
            };
            let lived = stage.live(CHAPTERS).await;
            machine.disk.clear_faults();
            stage.look(&mut Judge::new(&*what, Rigor::Whole)).await;
            if let Err(error) = lived
                && *error.kind() == ErrorKind::Poisoned
            {
                refuses_everything(&stage, &what).await;
                stage.look(&mut Judge::new(&*what, Rigor::Whole)).await;
            }
            Some(stage.told.into_inner())
        });
        assert_eq!(machine.disk.repeated_syncs(), [] as [PathBuf; 0], "{what}");
        let told = told.unwrap_or_default();
        let after = with_disk(&machine, machine.disk.crash(k, Survival::NONE));
        run(check(&after, &told, &format!("{what}, then a power cut")));
        // Reopened by the same machine, which still sees what the device has lost: it must be written anew.
        let stage = run(machine.open());
        drop(stage.unwrap());
        let after = with_disk(&machine, machine.disk.crash(k, Survival::NONE));
        run(check(&after, &told, &format!("{what}, reopened, cut")));
        run(check(&machine, &told, &what));
    }
}

/// A shard that is poisoned stays so, for every part.
async fn refuses_everything(stage: &Stage, what: &str) {
    let app = &stage.app;
    let pairs = [("k".to_owned(), "v".to_owned())];
    let new = NewAttachment::new(user("ann"), "x");
    let refused: [Result<()>; 4] = [
        app.append(text("tea", "ann", "x")).await.map(drop),
        app.users()
            .register(Account::new(user("zoe")))
            .await
            .map(drop),
        app.user_attributes().set(&user("ann"), pairs).await,
        app.put_attachment(new, &b"never told of"[..])
            .await
            .map(drop),
    ];
    for refused in refused {
        // Closed if it was closing that failed.
        let kind = refused.unwrap_err().kind().clone();
        assert!(
            matches!(kind, ErrorKind::Poisoned | ErrorKind::Closed),
            "{what}: {kind:?}"
        );
    }
}

/// Row 5.
#[test]
fn a_sync_that_fails_is_never_tried_again_and_nothing_told_is_lost() {
    failed_syncs(EngineKind::Memory, 3);
    failed_syncs(EngineKind::Redb, 11);
}

#[test]
#[ignore = "a minute: every sync, both engines"]
fn every_sync_that_fails_is_never_tried_again() {
    for stride in [1, 2] {
        for engine in ENGINES {
            failed_syncs(engine, stride);
        }
    }
}

/// Callers who do not give up: whatever sync fails while attachments come, go and expire, no file is synced again, and what
/// was told is there after a power cut. A volume used to be flushed once more by the next request for its shard, or by the
/// next pass that punches.
#[test]
fn callers_who_go_on_after_a_failed_sync_make_nobody_sync_again() {
    for k in 1.. {
        let machine = machine(EngineKind::Memory, 1);
        machine.disk.fail_matching(OpKind::Sync, k, Fault::Eio);
        let told = run(async {
            let stage = begin(&machine, WhenFull::GiveUp).await.ok()?;
            for number in 0..=CHAPTERS {
                // Each part as far as it comes.
                drop(stage.chapter(number).await);
                drop(stage.store.flush().await);
                let told = stage.told.borrow().attachments.firsts.clone();
                for id in told.into_iter().step_by(2) {
                    stage.told.borrow_mut().attachments.there.remove(&id);
                    drop(stage.app.delete_attachment(id).await);
                }
                drop(stage.store.expire().await);
            }
            drop(stage.store.close().await);
            Some(stage.told.into_inner())
        });
        let what = format!("sync {k} fails and everybody goes on");
        assert_eq!(machine.disk.repeated_syncs(), [] as [PathBuf; 0], "{what}");
        let Some(told) = told else { continue };
        let after = with_disk(&machine, machine.disk.crash(k, Survival::NONE));
        run(check(&after, &told, &what));
        if machine.disk.count(OpKind::Sync) < k {
            return;
        }
    }
}

/// The disk is full after so many bytes: the call fails as a whole, everything can be read, and once there is room the same
/// store goes on.
fn full_disks(engine: EngineKind, steps: u64) {
    let room = lived(engine, 2).disk.written();
    let (mut filled, mut limit) = (0, 0);
    let step = (room / steps).max(64);
    loop {
        limit += step;
        let machine = machine(engine, 2);
        machine.disk.set_space(Some(limit));
        let what = format!("{engine}: {limit} bytes of space");
        let (told, full) = run(async {
            let stage = begin(&machine, WhenFull::MakeRoomAndGoOn).await;
            let stage = stage.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let lived = stage.live(CHAPTERS).await;
            lived.unwrap_or_else(|error| panic!("{what}: it does not go on: {error:?}"));
            (stage.told.into_inner(), stage.full.get())
        });
        let after = with_disk(&machine, machine.disk.crash(limit, Survival::NONE));
        run(check(&after, &told, &format!("{what}, then a power cut")));
        run(check(&machine, &told, &what));
        filled += full;
        if full == 0 && limit > machine.disk.total_bytes() {
            break;
        }
    }
    assert!(filled > 10, "the disk was full only {filled} times");
}

/// Row 6.
#[test]
fn a_full_disk_refuses_whole_calls_and_the_store_goes_on_by_itself() {
    full_disks(EngineKind::Memory, 120);
    full_disks(EngineKind::Redb, 120);
}

#[test]
#[ignore = "minutes: ten times as many sizes"]
fn a_disk_full_at_any_size_refuses_whole_calls() {
    for engine in ENGINES {
        full_disks(engine, 2_000);
    }
}

/// Every write from the k-th on finds no space, also where bytes exist already, until somebody makes room.
fn writes_without_space(stride: usize) {
    let all = lived(EngineKind::Memory, 2).disk.count(OpKind::Write);
    for k in (1..=all).step_by(stride) {
        let machine = machine(EngineKind::Memory, 2);
        machine.disk.fail_from(OpKind::Write, k, Fault::NoSpace);
        let what = format!("no space from write {k} of {all} on");
        let told = run(async {
            let stage = begin(&machine, WhenFull::MakeRoomAndGoOn).await;
            let stage = stage.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let lived = stage.live(CHAPTERS).await;
            lived.unwrap_or_else(|error| panic!("{what}: it does not go on: {error:?}"));
            stage.told.into_inner()
        });
        // What follows a change is left for later without a word; then nobody has made room yet.
        machine.disk.clear_faults();
        run(check(&machine, &told, &what));
    }
}

#[test]
fn no_space_at_any_write_refuses_whole_calls_and_the_store_goes_on_by_itself() {
    writes_without_space(3);
}

#[test]
#[ignore = "a minute: every write"]
fn no_space_at_every_write_refuses_whole_calls() {
    writes_without_space(1);
}

/// At a hundred percent full, expiry takes messages and attachments off the disk, and what it gives back lets the store go
/// on; nobody reopens it. The tables find no space at first.
#[test]
fn expiry_makes_room_on_a_full_disk_and_the_store_goes_on_by_itself() {
    for engine in ENGINES {
        let machine = machine(engine, 2);
        run(async {
            let (store, app) = machine.open_app(Plan::Free).await;
            for n in 0..60 {
                let body = format!("{n} {}", "x".repeat(900));
                app.append(text("tea", "ann", body)).await.unwrap();
            }
            for n in 0..4_u8 {
                let content: Vec<u8> = (0..30_000_u32)
                    .map(|i| (i * i / 7).to_le_bytes()[0] ^ n)
                    .collect();
                let new = NewAttachment::new(user("ann"), "picture");
                app.put_attachment(new, &content[..]).await.unwrap();
            }
            store.flush().await.unwrap();
            machine.pass(8 * DAY);
            store.confirm_clock();
            // Until neither the log nor a flush finds any room.
            let mut kept = 0;
            for _ in 0..20 {
                machine.disk.set_space(Some(machine.disk.total_bytes()));
                while let Ok(done) = app.append(text("tea", "ann", "y".repeat(2_000))).await {
                    assert!(done.seq.0 > 60);
                    kept += 1;
                    assert!(kept < 2_000, "the disk is not full");
                }
                if store.flush().await.is_err() {
                    break;
                }
            }
            assert_eq!(whole(&app, &group()).await.unwrap().len(), kept);
            let report = store.expire().await;
            let left = |what: &str| files(&machine.disk, what);
            assert_eq!(left("vol"), 0, "{engine}: {report:?}");
            app.append(text("tea", "ann", "room again")).await.unwrap();
            // redb grows in large steps, for which there need not be room yet; that takes nothing away.
            if store.flush().await.is_err() {
                assert_eq!(whole(&app, &group()).await.unwrap().len(), kept + 1);
                machine.disk.set_space(None);
                store.flush().await.unwrap();
            }
            store.expire().await.unwrap();
            assert_eq!(whole(&app, &group()).await.unwrap().len(), kept + 1);
            assert_eq!(store.verify().await.unwrap().problems, []);
            store.close().await.unwrap();
        });
    }
}

fn group() -> tidestore::Conversation {
    tidestore_tests::group("tea")
}

fn files(disk: &SimDisk, extension: &str) -> usize {
    let all = disk.files().into_iter();
    all.filter(|path| path.extension() == Some(extension.as_ref()))
        .count()
}

/// Row 7: reads and writes that move one byte at a time.
#[test]
fn a_life_of_one_byte_at_a_time_is_slow_and_right() {
    for engine in ENGINES {
        let machine = machine(engine, 2);
        // redb reads and writes whole pages again and again: a few bytes more for it.
        let bytes = if engine == EngineKind::Redb { 61 } else { 1 };
        machine.disk.set_short_io(Some(bytes));
        let mut told = Told::default();
        run(live(&machine, &mut told)).unwrap();
        run(check(&machine, &told, "a byte at a time"));
        assert!(machine.clock.wall() > 0);
    }
}
