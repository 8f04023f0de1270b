//! What a restore may not bring back: what has expired, and what was recalled.

use tidestore::disk::SimDisk;
use tidestore::plan::{Plan, Terms};
use tidestore::{BackupOptions, BackupPlace, BackupTarget, ClockAlarm, ErrorKind, Revision};
use tidestore_tests::{DAY, HOUR, Machine, group, key, run, text, user, whole};

use crate::picture::{back_up, beside, noise, place, put, recall_first, restore};
use crate::watched::Watched;

/// A Free app keeps three days: a message a day for three days, and a backup. Returns the disk of the backup.
async fn three_days(machine: &Machine) -> SimDisk {
    let (store, app) = machine.open_app(Plan::Free).await;
    for day in 0..3 {
        app.append(text("tea", "ann", format!("day {day}")))
            .await
            .unwrap();
        if day < 2 {
            // An hour at a time: a store that runs sees the clock run.
            for _ in 0..24 {
                machine.pass(HOUR);
            }
        }
    }
    put(&app, 5, 5_000).await;
    let disk = SimDisk::new();
    back_up(&store, &disk, "b", BackupOptions::default())
        .await
        .unwrap();
    store.close().await.unwrap();
    disk
}

async fn visible(app: &tidestore::App) -> Vec<String> {
    let all = whole(app, &group("tea")).await.unwrap();
    all.iter()
        .map(|m| String::from_utf8_lossy(&m.body).into_owned())
        .collect()
}

#[test]
fn what_expires_before_the_restore_stays_expired() {
    run(async {
        let machine = Machine::new();
        let disk = three_days(&machine).await;
        // The clock is trusted: a day and a half later.
        machine.pass(36 * HOUR);
        let target = beside(&machine);
        let report = restore(&target, place(&disk, "b")).await.unwrap();
        assert_eq!(report.raised, [] as [String; 0]);
        let store = target.open().await.unwrap();
        assert_eq!(store.clock_alarm(), None);
        let app = store.app(&key("acme#chat")).unwrap();
        assert_eq!(visible(&app).await, ["day 1", "day 2"]);
        let report = store.expire().await.unwrap();
        assert!(report.messages >= 1, "{report:?}");
        assert_eq!(visible(&app).await, ["day 1", "day 2"]);
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}

#[test]
fn while_the_clock_is_in_doubt_expired_messages_are_invisible_at_once_and_nothing_leaves_the_disk()
{
    run(async {
        let machine = Machine::new();
        let disk = three_days(&machine).await;
        machine.pass(4 * DAY);
        let target = beside(&machine);
        let report = restore(&target, place(&disk, "b")).await.unwrap();
        assert_eq!(report.raised, ["acme#chat"]);
        let store = target.open().await.unwrap();
        assert!(matches!(
            store.clock_alarm(),
            Some(ClockAlarm::LongGap { .. })
        ));
        let app = store.app(&key("acme#chat")).unwrap();
        assert_eq!(visible(&app).await, [] as [&str; 0]);
        // The seq goes on all the same.
        assert_eq!(
            app.append(text("tea", "ann", "new")).await.unwrap().seq.0,
            4
        );
        assert_eq!(visible(&app).await, ["new"]);
        let report = store.expire().await.unwrap();
        assert!(
            report.paused.is_some() && report.segments == 0,
            "{report:?}"
        );
        store.flush().await.unwrap();
        store.merge().await.unwrap();
        // The clock was wrong, says the operator: the grace time has kept all of it.
        target.clock.jump(-i64::try_from(4 * DAY - HOUR).unwrap());
        store.confirm_clock();
        app.undo().await.unwrap();
        let visible = visible(&app).await;
        assert_eq!(visible[..3], ["day 0", "day 1", "day 2"]);
    });
}

#[test]
fn once_the_clock_is_confirmed_what_expired_leaves_the_restored_disk() {
    run(async {
        let machine = Machine::new();
        let disk = three_days(&machine).await;
        machine.pass(4 * DAY);
        let target = beside(&machine);
        restore(&target, place(&disk, "b")).await.unwrap();
        let store = target.open().await.unwrap();
        store.confirm_clock();
        // The grace time of a raised floor.
        for _ in 0..26 {
            target.pass(HOUR);
        }
        store.expire().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        assert_eq!(visible(&app).await, [] as [&str; 0]);
        let segment = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "seg");
        assert_eq!(
            target
                .disk
                .files()
                .iter()
                .filter(|path| segment(path))
                .count(),
            0
        );
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}

/// A recalled body and an erased user's lie in segments that the backup holds as they are.
#[test]
fn recalled_and_erased_bodies_are_invisible_after_a_restore_and_leave_its_disk_as_they_would_have()
{
    run(async {
        let mut machine = Machine::new();
        machine.options.shards = 1;
        let store = machine.open().await.unwrap();
        let app = store
            .create_app(&key("acme#chat"), Terms::of(Plan::Pro))
            .await
            .unwrap();
        let (recalled, erased) = (noise(1, 200), noise(2, 200));
        app.append(text("tea", "ann", recalled.clone()))
            .await
            .unwrap();
        app.append(text("tea", "bob", erased.clone()))
            .await
            .unwrap();
        app.append(text("tea", "ann", "stays")).await.unwrap();
        store.flush().await.unwrap();
        recall_first(&app, "tea").await;
        let disk = SimDisk::new();
        // The erasure is in the log that the backup takes along; its scrubbing waits until the backup is done.
        let (erasing, runtime) = (app.clone(), tokio::runtime::Handle::current());
        let erase = move || {
            runtime.block_on(async {
                let asked = erasing.clone();
                tokio::spawn(async move { asked.erase_user(&user("bob"), true).await });
                let is_his = |m: &tidestore::Message| m.sender == "bob";
                while whole(&erasing, &group("tea"))
                    .await
                    .unwrap()
                    .iter()
                    .any(is_his)
                {
                    tokio::task::yield_now().await;
                }
            });
        };
        let watched = Watched::new(&disk).at("b/rows", erase).shared();
        let place_of_backup = BackupPlace::on(watched.clone(), "b");
        let target = BackupTarget::directory_on(place_of_backup);
        store
            .backup(target, BackupOptions::default())
            .await
            .unwrap();
        assert!(watched.is_spent());
        store.close().await.unwrap();

        let target = beside(&machine);
        restore(&target, place(&disk, "b")).await.unwrap();
        let has = |bytes: &[u8]| {
            let files = target.disk.files();
            files.iter().any(|path| {
                let content = target.disk.read_all(path).unwrap();
                content.windows(32).any(|part| part == &bytes[64..96])
            })
        };
        assert!(has(&recalled) && has(&erased), "as the store had them");
        let store = target.open().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        let found = whole(&app, &group("tea")).await.unwrap();
        assert!(matches!(found[0].revision, Revision::Recalled { .. }));
        assert!(
            found.iter().all(|m| m.body.is_empty() || m.body == "stays"),
            "{found:?}"
        );
        store.merge().await.unwrap();
        assert!(!has(&recalled) && !has(&erased));
        assert_eq!(store.verify().await.unwrap().problems, []);
        let gone = app.message(found[0].id).await.unwrap().unwrap().1;
        assert!(gone.body.is_empty());
        let by = tidestore::By::User(user("ann"));
        let error = app.recall(found[0].id, &by).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::MessageNotFound);
    });
}
