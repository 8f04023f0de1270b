//! What is in a backup and what is not, with changes at chosen moments while it is being made.

use std::sync::{Arc, Mutex};

use tidestore::disk::{Disk, SimDisk};
use tidestore::plan::{Plan, Terms};
use tidestore::{App, BackupOptions, BackupPlace, BackupTarget};
use tidestore_tests::{Machine, group, key, run, text, user, whole};

use crate::picture::{
    back_up, beside, change, full_machine, picture, place, put, recall_first, restore,
    restored_picture,
};
use crate::watched::Watched;

#[test]
fn a_restore_has_every_part_as_it_was_when_the_backup_was_made() {
    run(async {
        let (machine, store, app) = full_machine().await;
        recall_first(&app, "walks").await;
        let before = picture(&app).await;
        let disk = SimDisk::new();
        let report = back_up(&store, &disk, "b", BackupOptions::default())
            .await
            .unwrap();
        assert_eq!(report.all.files, report.copied.files);
        let archive = BackupTarget::archive_on(place(&disk, "b.tar"));
        store
            .backup(archive, BackupOptions::default())
            .await
            .unwrap();
        change(&app, 9_000).await;
        assert_ne!(picture(&app).await, before);

        assert_eq!(
            restored_picture(&machine, place(&disk, "b"), "acme#chat").await,
            before
        );
        assert_eq!(
            restored_picture(&machine, place(&disk, "b.tar"), "acme#chat").await,
            before
        );
        store.close().await.unwrap();
    });
}

/// A restored store is a store: it goes on where the backup ends, gives no number twice, and takes backups of itself.
#[test]
fn a_restored_store_goes_on() {
    run(async {
        let (machine, store, app) = full_machine().await;
        let disk = SimDisk::new();
        back_up(&store, &disk, "b", BackupOptions::default())
            .await
            .unwrap();
        let again = text("tea", "ann", "sent twice");
        let again = tidestore::NewMessage {
            client_id: "tea 1204".into(),
            ..again
        };
        let first = app.append(again.clone()).await.unwrap();
        store.close().await.unwrap();

        let target = beside(&machine);
        let report = restore(&target, place(&disk, "b")).await.unwrap();
        assert!(report.rows > 20 && report.files.files > 5, "{report:?}");
        let store = target.open().await.unwrap();
        assert_eq!(store.notices(), [] as [String; 0]);
        let app = store.app(&key("acme#chat")).unwrap();
        // The receipts came along, those in the log and those in runs.
        let second = app.append(again).await.unwrap();
        assert_eq!((first.id, first.seq), (second.id, second.seq));
        for seed in 0..20 {
            change(&app, 5_000 + seed).await;
        }
        store.flush().await.unwrap();
        store.merge().await.unwrap();
        let before = picture(&app).await;
        back_up(&store, &disk, "c", BackupOptions::default())
            .await
            .unwrap();
        assert_eq!(store.verify().await.unwrap().problems, []);
        store.close().await.unwrap();
        assert_eq!(
            restored_picture(&target, place(&disk, "c"), "acme#chat").await,
            before
        );
    });
}

/// Runs a change of the app while a backup is being made, from the thread that makes it, and waits for it.
fn now(
    app: &App,
    change: impl AsyncFnOnce(App) + Send + 'static,
) -> impl FnOnce() + Send + 'static {
    let (app, runtime) = (app.clone(), tokio::runtime::Handle::current());
    move || runtime.block_on(change(app))
}

fn target(watched: &Arc<Watched>) -> BackupTarget {
    let disk: Arc<dyn Disk> = Arc::<Watched>::clone(watched);
    BackupTarget::directory_on(BackupPlace::on(disk, "b"))
}

/// Rows of the first shard are copied when these changes come, those of the second are not; all of them are acknowledged
/// before the cut.
#[test]
fn what_changes_while_rows_are_copied_is_in_the_backup_on_all_shards() {
    run(async {
        let (machine, store, app) = full_machine().await;
        let disk = SimDisk::new();
        let seen = Arc::new(Mutex::new(None));
        let taken = Arc::clone(&seen);
        let watched = Watched::new(&disk)
            .at(
                "b/rows/shard-01",
                now(&app, async move |app| {
                    for n in 0..6 {
                        change(&app, 7_000 + n).await;
                    }
                    app.users().delete(&user("bob")).await.unwrap();
                    *taken.lock().unwrap() = Some(picture(&app).await);
                }),
            )
            .shared();
        store
            .backup(target(&watched), BackupOptions::default())
            .await
            .unwrap();
        assert!(watched.is_spent());
        change_much(&app).await;
        let before = seen.lock().unwrap().take().unwrap();
        assert_eq!(
            restored_picture(&machine, place(&disk, "b"), "acme#chat").await,
            before
        );
    });
}

/// The rows of a shard are half copied when some that were copied change, and some that were not.
#[test]
fn what_changes_in_the_middle_of_a_table_is_in_the_backup_as_it_was_at_the_cut() {
    let mut machine = Machine::new();
    machine.options.shards = 1;
    run(async {
        let (store, app) = machine.open_app(Plan::Pro).await;
        crate::picture::live(&store, &app, 1_000).await;
        // More than a part of them, behind those of ann and bob.
        let names: Vec<_> = (0..2_400).map(|n| user(&format!("u{n:04}"))).collect();
        for some in names.chunks(60) {
            let accounts = some.iter().cloned().map(tidestore::Account::new).collect();
            app.users().register_many(accounts).await.unwrap();
        }
        for (n, name) in (0..).zip(&names) {
            let letters = crate::picture::noise(n, 1_900).into_iter();
            let text: String = letters.map(|byte| char::from(b'a' + byte % 26)).collect();
            app.user_attributes()
                .set(name, [("a".to_owned(), text)])
                .await
                .unwrap();
        }
        let disk = SimDisk::new();
        let seen = Arc::new(Mutex::new(None));
        let taken = Arc::clone(&seen);
        let last = names[2_399].clone();
        let during = now(&app, async move |app| {
            change_much(&app).await;
            for name in [user("bob"), last] {
                let pair = [("b".to_owned(), "half-way".to_owned())];
                app.user_attributes().set(&name, pair).await.unwrap();
            }
            *taken.lock().unwrap() = Some(picture(&app).await);
        });
        let watched = Watched::new(&disk)
            .at("b/rows/shard-00/000001.rows", during)
            .shared();
        store
            .backup(target(&watched), BackupOptions::default())
            .await
            .unwrap();
        assert!(watched.is_spent());
        assert!(
            disk.files()
                .iter()
                .any(|path| path.ends_with("rows/shard-00/000002.rows"))
        );
        let before = seen.lock().unwrap().take().unwrap();
        assert_eq!(
            restored_picture(&machine, place(&disk, "b"), "acme#chat").await,
            before
        );
    });
}

async fn change_much(app: &App) {
    for n in 0..3 {
        change(app, 8_000 + n).await;
    }
}

/// The logs are being copied when a message comes on the first shard, and then one on the second that rests on it: neither
/// may be in the backup, and surely not the second alone.
#[test]
fn what_comes_behind_the_cut_is_on_no_shard_of_the_backup() {
    run(async {
        let (machine, store, app) = full_machine().await;
        // Something for each log.
        for n in 0..16 {
            app.append(text(&format!("log{n}"), "ann", "before"))
                .await
                .unwrap();
        }
        let disk = SimDisk::new();
        let seen = Arc::new(Mutex::new(None));
        let taken = Arc::clone(&seen);
        let during = now(&app, async move |app| {
            for n in 0..16 {
                app.append(text(&format!("log{n}"), "ann", "before"))
                    .await
                    .unwrap();
            }
            *taken.lock().unwrap() = Some(picture(&app).await);
        });
        let watched = Watched::new(&disk)
            .at("b/rows/shard-01", during)
            .at(
                "b/log",
                now(&app, async |app| {
                    for n in 0..16 {
                        app.append(text(&format!("log{n}"), "ann", "behind"))
                            .await
                            .unwrap();
                    }
                    change_much(&app).await;
                }),
            )
            .shared();
        store
            .backup(target(&watched), BackupOptions::default())
            .await
            .unwrap();
        assert!(watched.is_spent());
        let before = seen.lock().unwrap().take().unwrap();
        assert_eq!(
            restored_picture(&machine, place(&disk, "b"), "acme#chat").await,
            before
        );
    });
}

/// Files are being copied when attachments are deleted, segments merged, and an app is deleted with all it has: the backup
/// is of the moment before. Afterwards the space comes back.
#[test]
fn what_leaves_while_files_are_copied_is_in_the_backup_and_leaves_the_disk_behind_it() {
    run(async {
        let (machine, store, app) = full_machine().await;
        let other = store
            .create_app(&key("acme#other"), Terms::of(Plan::Pro))
            .await
            .unwrap();
        crate::picture::live(&store, &other, 3_000).await;
        let mut doomed = Vec::new();
        for seed in 0..6 {
            doomed.push(put(&app, 60_000 + seed, 40_000).await);
        }
        let (before, other_before) = (picture(&app).await, picture(&other).await);
        let disk = SimDisk::new();
        let (open, deletion) = (store.clone(), Arc::new(Mutex::new(None)));
        let begun = Arc::clone(&deletion);
        let during = now(&app, async move |app| {
            let store = open;
            for id in doomed {
                app.delete_attachment(id).await.unwrap();
            }
            change(&app, 9_100).await;
            store.flush().await.unwrap();
            store.merge().await.unwrap();
            recall_first(&app, "tea").await;
            store.merge().await.unwrap();
            store.expire().await.unwrap();
            // This one waits for the backup before its files go.
            let deletion = async move { store.delete_app(&key("acme#other")).await };
            *begun.lock().unwrap() = Some(tokio::spawn(deletion));
        });
        let watched = Watched::new(&disk).at("b/data", during).shared();
        store
            .backup(target(&watched), BackupOptions::default())
            .await
            .unwrap();
        assert!(watched.is_spent());
        for (name, expected) in [("acme#chat", &before), ("acme#other", &other_before)] {
            assert_eq!(
                restored_picture(&machine, place(&disk, "b"), name).await,
                *expected
            );
        }
        let deletion = deletion.lock().unwrap().take().unwrap();
        deletion.await.unwrap().unwrap();
        store.expire().await.unwrap();
        let files = files_of(&machine);
        store.close().await.unwrap();
        drop((store, app, other));
        // Nothing is left for the next opening to sweep.
        let store = machine.open().await.unwrap();
        assert_eq!(files_of(&machine), files);
        let named = |path: &String| path.contains("other");
        assert!(!files.iter().any(named), "{files:?}");
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}

fn files_of(machine: &Machine) -> Vec<String> {
    let files = machine.disk.files().into_iter();
    let sealed = files.map(|path| path.display().to_string());
    sealed
        .filter(|path| path.ends_with("seg") || path.ends_with("vol"))
        .collect()
}

#[test]
fn two_backups_at_once_do_not_wait_for_each_other_for_ever() {
    run(async {
        let (machine, store, app) = full_machine().await;
        let disk = SimDisk::new();
        let options = BackupOptions::default;
        let (one, two) = tokio::join!(
            back_up(&store, &disk, "one", options()),
            back_up(&store, &disk, "two", options()),
        );
        one.unwrap();
        two.unwrap();
        let before = picture(&app).await;
        for name in ["one", "two"] {
            assert_eq!(
                restored_picture(&machine, place(&disk, name), "acme#chat").await,
                before
            );
        }
        assert_eq!(whole(&app, &group("old")).await.unwrap().len(), 8);
    });
}
