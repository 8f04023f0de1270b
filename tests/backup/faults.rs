//! A crash, an EIO and a full disk at every operation of a backup, of the store's disk and of the target's, and of a
//! restore.
//!
//! The store must go on with all it has; the target must be a whole backup or none; a second try must work; and nothing
//! of a backup may be left in the data directory.

use tidestore::disk::{Disk, Fault, SimDisk, Survival};
use tidestore::plan::{Plan, Terms};
use tidestore::{App, BackupOptions, BackupTarget, ErrorKind, Store};
use tidestore_tests::{Machine, group, key, run, text, whole};

use crate::picture::{back_up, beside, noise, picture, place, put, restore, restored_picture};

const APP: &str = "acme#chat";

/// A small store that has a little of everything.
async fn small(machine: &Machine) -> (Store, App) {
    let store = machine.open().await.unwrap();
    let app = store
        .create_app(&key(APP), Terms::of(Plan::Pro))
        .await
        .unwrap();
    app.append(text("tea", "ann", noise(1, 40))).await.unwrap();
    put(&app, 2, 2_000).await;
    store.flush().await.unwrap();
    app.append(text("tea", "ann", noise(3, 40))).await.unwrap();
    let gone = put(&app, 4, 2_000).await;
    app.delete_attachment(gone).await.unwrap();
    (store, app)
}

fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.options.log_file_bytes = 8 << 10;
    machine
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    Crash,
    Fails(Fault),
}

const TROUBLES: [Trouble; 3] = [
    Trouble::Crash,
    Trouble::Fails(Fault::Eio),
    Trouble::Fails(Fault::NoSpace),
];

fn plan(disk: &SimDisk, trouble: Trouble, k: u64) {
    match trouble {
        Trouble::Crash => disk.crash_at(k),
        Trouble::Fails(fault) => disk.fail_at(k, fault),
    }
}

/// The target's disk fails: the store does not care, and the same target takes the next try.
#[test]
fn trouble_of_the_target_leaves_no_backup_and_the_next_try_makes_one() {
    for trouble in TROUBLES {
        for is_archive in [false, true] {
            sweep_target(trouble, is_archive);
        }
    }
}

fn sweep_target(trouble: Trouble, is_archive: bool) {
    run(async {
        let machine = machine();
        let (store, app) = small(&machine).await;
        let expected = picture(&app).await;
        let target = |disk: &SimDisk| {
            if is_archive {
                BackupTarget::archive_on(place(disk, "b"))
            } else {
                BackupTarget::directory_on(place(disk, "b"))
            }
        };
        for k in 1.. {
            let what = format!("{trouble:?} at {k}, archive: {is_archive}");
            let disk = SimDisk::new();
            plan(&disk, trouble, k);
            let done = store.backup(target(&disk), BackupOptions::default()).await;
            let is_over = disk.operations() < k;
            let levels: &[Survival] = match trouble {
                Trouble::Crash => &Survival::LEVELS,
                Trouble::Fails(_) => &[Survival::ALL],
            };
            for survival in levels {
                let after = if trouble == Trouble::Crash {
                    disk.crash(k, *survival)
                } else {
                    disk.clear_faults();
                    disk.clone()
                };
                check_target(
                    &machine,
                    &store,
                    &after,
                    target(&after),
                    done.is_ok(),
                    &expected,
                    &what,
                )
                .await;
            }
            if is_over {
                let least = if is_archive { 5 } else { 20 };
                assert!(k > least && done.is_ok(), "{what}");
                break;
            }
        }
        assert_eq!(store.verify().await.unwrap().problems, []);
        store.close().await.unwrap();
    });
}

async fn check_target(
    machine: &Machine,
    store: &Store,
    disk: &SimDisk,
    target: BackupTarget,
    done: bool,
    expected: &crate::picture::Picture,
    what: &str,
) {
    let into = beside(machine);
    match restore(&into, place(disk, "b")).await {
        Ok(_) => {
            let restored = into.open().await.unwrap();
            assert_eq!(
                picture(&restored.app(&key(APP)).unwrap()).await,
                *expected,
                "{what}"
            );
        }
        Err(error) => {
            assert!(!done, "{what}: it was said to be whole: {error}");
            assert_eq!(*error.kind(), ErrorKind::NotABackup, "{what}: {error}");
            let second = store.backup(target, BackupOptions::default()).await;
            second.unwrap_or_else(|error| panic!("{what}, second try: {error:?}"));
            let restored = restored_picture(machine, place(disk, "b"), APP).await;
            assert_eq!(restored, *expected, "{what}, second try");
        }
    }
}

/// The store's own disk fails while it is backed up.
#[test]
fn trouble_of_the_store_while_it_is_backed_up_harms_neither_it_nor_the_next_backup() {
    for trouble in TROUBLES {
        for k in 1.. {
            let what = format!("{trouble:?} at {k}");
            let machine = machine();
            let (expected, done, is_over, files) = run(async {
                let (store, app) = small(&machine).await;
                let expected = picture(&app).await;
                let before = machine.disk.operations();
                plan(&machine.disk, trouble, k);
                let disk = SimDisk::new();
                let done = back_up(&store, &disk, "b", BackupOptions::default()).await;
                let is_over = machine.disk.operations() - before < k;
                if done.is_err() {
                    assert_eq!(disk.files(), [] as [&std::path::Path; 0], "{what}");
                }
                // Whatever it was, reading goes on; a failed sync ends the writing.
                (expected, done.is_ok(), is_over, disk)
            });
            machine.disk.clear_faults();
            let after = Machine {
                disk: machine.disk.crash(k, Survival::HALF),
                ..machine.clone()
            };
            run(async {
                let store = after
                    .open()
                    .await
                    .unwrap_or_else(|error| panic!("{what}: {error:?}"));
                let app = store.app(&key(APP)).unwrap();
                assert_eq!(picture(&app).await, expected, "{what}");
                assert_eq!(store.verify().await.unwrap().problems, [], "{what}");
                let notices = store.notices();
                let stray = notices.iter().find(|notice| notice.contains("left alone"));
                assert_eq!(stray, None, "{what}");
                let disk = if done { files } else { SimDisk::new() };
                if !done {
                    back_up(&store, &disk, "b", BackupOptions::default())
                        .await
                        .unwrap();
                }
                assert_eq!(
                    restored_picture(&after, place(&disk, "b"), APP).await,
                    expected,
                    "{what}"
                );
                store.close().await.unwrap();
            });
            if is_over {
                assert!(k > 20 && done, "{what}");
                break;
            }
        }
    }
}

/// A restore is whole or refuses to be opened; the next one into the same directory works.
#[test]
fn trouble_while_restoring_leaves_nothing_that_opens_and_the_next_try_works() {
    let source = machine();
    let backups = SimDisk::new();
    let expected = run(async {
        let (store, app) = small(&source).await;
        back_up(&store, &backups, "b", BackupOptions::default())
            .await
            .unwrap();
        picture(&app).await
    });
    for trouble in TROUBLES {
        for k in 1.. {
            let what = format!("{trouble:?} at {k}");
            let target = beside(&source);
            plan(&target.disk, trouble, k);
            let done = run(restore(&target, place(&backups, "b")));
            let is_over = target.disk.operations() < k;
            let levels: &[Survival] = match trouble {
                Trouble::Crash => &[Survival::NONE, Survival::HALF, Survival::ALL],
                Trouble::Fails(_) => &[Survival::ALL],
            };
            for survival in levels {
                target.disk.clear_faults();
                let after = Machine {
                    disk: target.disk.crash(k, *survival),
                    ..target.clone()
                };
                run(check_restored(
                    &after,
                    &backups,
                    done.is_ok(),
                    &expected,
                    &what,
                ));
            }
            if is_over {
                assert!(k > 50 && done.is_ok(), "{what}");
                break;
            }
        }
    }
}

async fn check_restored(
    machine: &Machine,
    backups: &SimDisk,
    done: bool,
    expected: &crate::picture::Picture,
    what: &str,
) {
    let is_there = machine.disk.metadata("STORE".as_ref()).is_ok();
    let is_open = machine.disk.metadata("RESTORING".as_ref()).is_err();
    if done || is_there && is_open {
        let store = machine
            .open()
            .await
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(
            picture(&store.app(&key(APP)).unwrap()).await,
            *expected,
            "{what}"
        );
        return;
    }
    if !is_open {
        let error = machine.open().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::NotAStore, "{what}: {error}");
    }
    let second = restore(machine, place(backups, "b")).await;
    second.unwrap_or_else(|error| panic!("{what}, second try: {error:?}"));
    let store = machine.open().await.unwrap();
    let app = store.app(&key(APP)).unwrap();
    assert_eq!(picture(&app).await, *expected, "{what}, second try");
    assert_eq!(whole(&app, &group("tea")).await.unwrap().len(), 2);
}
