//! Wrong clocks and files that come back: rows 10 and 11 of `FAULTS.md`, over all parts of the store.

use std::path::PathBuf;

use tidestore::disk::{Disk, SimDisk, Survival};
use tidestore::plan::Plan;
use tidestore::{ClockAlarm, EngineKind, NewAttachment, Store};
use tidestore_tests::life::{
    CHAPTERS, Judge, Rigor, Stage, WhenFull, begin, machine, reopen, with_disk,
};
use tidestore_tests::{DAY, HOUR, Machine, group, run, text, user, whole};

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap()
}

/// Jumps of the wall clock: years and hours, in both directions, and to the time zero.
fn jumps(now: u64) -> [i64; 7] {
    let (day, hour) = (signed(DAY), signed(HOUR));
    [
        400 * day,
        20 * day,
        30 * hour,
        -30 * hour,
        -20 * day,
        -400 * day,
        -signed(now),
    ]
}

/// Expires under a clock that lies: nothing may go.
async fn expire_in_vain(stage: &Stage, what: &str) {
    let report = stage.store.expire().await.unwrap();
    assert!(report.paused.is_some(), "{what}: nobody noticed");
    assert!(stage.store.clock_alarm().is_some(), "{what}");
    let gone = (
        report.messages,
        report.attachments,
        report.segments,
        report.volumes,
    );
    assert_eq!(gone, (0, 0, 0, 0), "{what}");
    stage.store.merge().await.unwrap();
    stage.store.flush().await.unwrap();
    stage.look(&mut Judge::new(what, Rigor::Whole)).await;
}

/// A clock that jumps while the store is open, or while it is closed, takes nothing away, however often the store is
/// reopened meanwhile; set right and confirmed, everything is there and expires in its time.
#[test]
fn no_jump_of_the_clock_expires_anything_in_any_part() {
    for chapters in 1..CHAPTERS {
        for while_closed in [false, true] {
            for nth in 0..7 {
                jump(chapters, while_closed, nth);
            }
        }
    }
}

fn jump(chapters: usize, while_closed: bool, nth: usize) {
    let machine = machine(EngineKind::Memory, 2);
    run(async {
        let mut stage = begin(&machine, WhenFull::GiveUp).await.unwrap();
        stage.live(chapters).await.unwrap();
        let jump = jumps(stage.now())[nth];
        let what = format!("jump of {jump} ms after chapter {chapters}, closed: {while_closed}");
        if while_closed {
            stage = closed_and_opened(stage, || machine.clock.jump(jump), &what).await;
            // A store that was closed for less than the longest gap cannot be told from a clock that jumped so far.
            let may_pass = jump > 0 && jump < signed(48 * HOUR);
            if !may_pass {
                expire_in_vain(&stage, &what).await;
            }
        } else {
            machine.clock.jump(jump);
            expire_in_vain(&stage, &what).await;
        }
        for _ in 0..2 {
            stage = closed_and_opened(stage, || {}, &what).await;
            if !(while_closed && jump > 0 && jump < signed(48 * HOUR)) {
                expire_in_vain(&stage, &format!("{what}, reopened")).await;
            }
        }
        stage = closed_and_opened(stage, || machine.clock.jump(-jump), &what).await;
        stage.store.confirm_clock();
        stage.store.expire().await.unwrap();
        stage.look(&mut Judge::new(&*what, Rigor::Whole)).await;
        assert_eq!(stage.store.verify().await.unwrap().problems, [], "{what}");
        stage = closed_and_opened(stage, || {}, &what).await;
        assert_eq!(stage.store.clock_alarm(), None, "{what}");
    });
}

async fn closed_and_opened(stage: Stage, meanwhile: impl FnOnce(), what: &str) -> Stage {
    let machine = stage.machine.clone();
    stage.store.close().await.unwrap();
    let told = stage.told.borrow().clone();
    drop(stage);
    meanwhile();
    reopen(&machine, &told, what).await.unwrap().unwrap()
}

/// The wall clock jumps by a day while the store is open, which raises an alarm; then the process dies. What the jump would
/// have expired used to go at the first pass after the restart: the day looked like time for which the store was closed.
#[test]
fn an_alarm_outlives_the_process_that_raised_it() {
    // Noticed by a pass of expiry, or only by who goes on sending.
    for (clean, expires) in [(false, true), (true, true), (false, false)] {
        let machine = machine(EngineKind::Memory, 2);
        run(async {
            let (store, app) = machine.open_app(Plan::Free).await;
            app.append(text("tea", "ann", "two days old"))
                .await
                .unwrap();
            machine.pass(2 * DAY);
            store.flush().await.unwrap();
            machine.clock.jump(signed(30 * HOUR));
            if expires {
                assert!(store.expire().await.unwrap().paused.is_some());
            } else {
                app.append(text("tea", "ann", "after")).await.unwrap();
            }
            if clean {
                store.close().await.unwrap();
            }
            drop((app, store));
        });
        let after = with_disk(&machine, machine.disk.crash(1, Survival::NONE));
        for _ in 0..2 {
            run(async {
                let (store, app) = opened(&after).await;
                let alarm = store.clock_alarm();
                assert!(
                    matches!(alarm, Some(ClockAlarm::Unconfirmed { .. })),
                    "{alarm:?}"
                );
                assert!(store.expire().await.unwrap().paused.is_some());
                let found = whole(&app, &group("tea")).await.unwrap().len();
                assert_eq!(found, 1 + usize::from(!expires));
            });
        }
        run(async {
            let (store, _) = opened(&after).await;
            store.confirm_clock();
            store.expire().await.unwrap();
            store.close().await.unwrap();
        });
        run(async {
            let (store, _) = opened(&after).await;
            assert_eq!(store.clock_alarm(), None, "confirmed is confirmed");
        });
    }
}

async fn opened(machine: &Machine) -> (Store, tidestore::App) {
    let store = machine.open().await.unwrap();
    let app = store.app(&tidestore_tests::key("acme#chat")).unwrap();
    (store, app)
}

fn sealed(disk: &SimDisk) -> Vec<PathBuf> {
    let is_sealed = |path: &PathBuf| {
        let extension = path.extension().unwrap_or_default();
        extension == "seg" || extension == "vol" || extension == "rcp"
    };
    disk.files().into_iter().filter(is_sealed).collect()
}

/// Row 10: an unlink is not durable until its directory is. The power goes at every operation of an expiry pass; whatever
/// comes back, segments, volumes and receipts, is gone again after the next opening and pass, and nothing complains.
#[test]
fn what_comes_back_after_its_unlink_expires_again() {
    let mut came_back = 0;
    for k in 1.. {
        let machine = machine(EngineKind::Memory, 2);
        let done = run(async {
            let (store, app) = machine.open_app(Plan::Free).await;
            let message = tidestore::NewMessage {
                client_id: "c".into(),
                ..text("tea", "ann", "old")
            };
            app.append(message).await.unwrap();
            for len in [3_000, 40_000] {
                let content = vec![7; len];
                let new = NewAttachment::new(user("ann"), "old");
                app.put_attachment(new, &content[..]).await.unwrap();
            }
            store.flush().await.unwrap();
            machine.pass(9 * DAY);
            store.confirm_clock();
            machine.disk.crash_at(k);
            store.expire().await.is_ok() && !machine.disk.is_crashed()
        });
        let before = sealed(&machine.disk).len();
        for survival in Survival::LEVELS {
            let after = with_disk(&machine, machine.disk.crash(k, survival));
            came_back += sealed(&after.disk).len().saturating_sub(before);
            run(async {
                let (store, _) = opened(&after).await;
                store.confirm_clock();
                store.expire().await.unwrap();
                assert_eq!(sealed(&after.disk), [] as [PathBuf; 0], "cut at {k}");
                assert_eq!(store.verify().await.unwrap().problems, [], "cut at {k}");
                store.close().await.unwrap();
            });
        }
        if done {
            break;
        }
    }
    assert!(came_back > 0, "no unlink was undone");
}

/// The same when an operator copies an expired file back.
#[test]
fn expired_files_that_are_put_back_go_again() {
    let machine = machine(EngineKind::Memory, 1);
    run(async {
        let (store, app) = machine.open_app(Plan::Free).await;
        app.append(text("tea", "ann", "old")).await.unwrap();
        let new = NewAttachment::new(user("ann"), "old");
        app.put_attachment(new, &[7; 3_000][..]).await.unwrap();
        store.flush().await.unwrap();
        let saved: Vec<_> = sealed(&machine.disk)
            .into_iter()
            .map(|path| (machine.disk.read_all(&path).unwrap(), path))
            .collect();
        assert!(saved.len() >= 2);
        machine.pass(9 * DAY);
        store.confirm_clock();
        store.expire().await.unwrap();
        store.close().await.unwrap();
        drop((app, store));
        for (bytes, path) in &saved {
            machine.disk.plant(path, bytes).unwrap();
            assert!(machine.disk.metadata(path).is_ok());
        }
        let (store, app) = opened(&machine).await;
        store.confirm_clock();
        assert_eq!(sealed(&machine.disk), [] as [PathBuf; 0]);
        assert_eq!(whole(&app, &group("tea")).await.unwrap(), []);
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}
