//! A backup on top of an earlier one, and one of an app alone.

use std::path::Path;

use tidestore::disk::SimDisk;
use tidestore::plan::{Plan, Terms};
use tidestore::{BackupOptions, BackupPlace, BackupTarget, ErrorKind, Store};
use tidestore_tests::{Machine, group, key, run, text, whole};

use crate::picture::{
    back_up, beside, change, full_machine, live, noise, picture, place, restore, restored_picture,
};
use crate::watched::Watched;

fn on_top_of(disk: &SimDisk, path: &str) -> BackupOptions {
    BackupOptions {
        base: Some(place(disk, path)),
        ..BackupOptions::default()
    }
}

#[test]
fn an_incremental_backup_costs_what_is_new_and_stands_alone() {
    run(async {
        let (machine, store, app) = full_machine().await;
        // Closes the volumes of the first day.
        machine.pass(30 * 24 * 3_600_000);
        store.confirm_clock();
        store.expire().await.unwrap();
        let disk = SimDisk::new();
        let first = back_up(&store, &disk, "one", BackupOptions::default())
            .await
            .unwrap();
        let first_picture = picture(&app).await;
        change(&app, 4_000).await;
        let written = disk.written();
        let second = back_up(&store, &disk, "two", on_top_of(&disk, "one"))
            .await
            .unwrap();
        let second_picture = picture(&app).await;
        assert!(second.reused.files >= 4, "{second:?}");
        assert!(
            second.reused.bytes > 200_000,
            "the large content: {second:?}"
        );
        assert_eq!(second.all.files, second.copied.files + second.reused.files);
        assert!(
            second.copied.bytes * 4 < first.copied.bytes,
            "{first:?} {second:?}"
        );
        assert!(
            disk.written() - written < second.copied.bytes + 20_000,
            "with the manifest"
        );

        // Nothing has changed: only rows, log and STORE are written.
        let third = back_up(&store, &disk, "three", on_top_of(&disk, "two"))
            .await
            .unwrap();
        let sealed = |path: &str| !path.ends_with("rows") && !path.ends_with("batches");
        assert!(sealed("data/STORE"));
        assert!(third.copied.files <= 1 + 4 + 1, "{third:?}");

        assert_eq!(
            restored_picture(&machine, place(&disk, "one"), "acme#chat").await,
            first_picture
        );
        // Each can go without the others.
        remove_all(&disk, "one");
        for name in ["two", "three"] {
            let restored = restored_picture(&machine, place(&disk, name), "acme#chat").await;
            assert_eq!(restored, second_picture, "{name}");
        }
        store.close().await.unwrap();
    });
}

fn remove_all(disk: &SimDisk, dir: &str) {
    use tidestore::disk::Disk;
    for path in disk.files() {
        if path.starts_with(dir) {
            disk.remove_file(&path).unwrap();
        }
    }
}

/// Two stores that grew out of one backup give the same names to different files.
#[test]
fn a_base_of_another_branch_lends_nothing_that_differs() {
    run(async {
        let (machine, store, app) = full_machine().await;
        let disk = SimDisk::new();
        back_up(&store, &disk, "root", BackupOptions::default())
            .await
            .unwrap();
        let twin = beside(&machine);
        restore(&twin, place(&disk, "root")).await.unwrap();
        let twin_store = twin.open().await.unwrap();
        let twin_app = twin_store.app(&key("acme#chat")).unwrap();
        change(&app, 4_000).await;
        change(&twin_app, 4_001).await;
        back_up(&store, &disk, "left", on_top_of(&disk, "root"))
            .await
            .unwrap();
        back_up(&twin_store, &disk, "right", on_top_of(&disk, "left"))
            .await
            .unwrap();
        let expected = picture(&twin_app).await;
        assert_eq!(
            restored_picture(&twin, place(&disk, "right"), "acme#chat").await,
            expected
        );
    });
}

/// Forty small apps share their segments.
async fn crowd(machine: &Machine) -> Store {
    let store = machine.open().await.unwrap();
    for n in 0..40 {
        let app = store
            .create_app(&key(&format!("acme#a{n}")), Terms::of(Plan::Pro))
            .await
            .unwrap();
        for m in 0..3 {
            let mut message = text("tea", "ann", noise(n * 10 + m, 64));
            message.client_id = format!("c{m}").into();
            app.append(message).await.unwrap();
        }
    }
    store.flush().await.unwrap();
    store
}

#[test]
fn a_backup_of_one_app_holds_not_a_byte_of_another() {
    let mut machine = Machine::new();
    machine.options.shards = 1;
    run(async {
        let store = crowd(&machine).await;
        let shared = |path: &std::path::PathBuf| path.starts_with("shared");
        assert!(
            machine.disk.files().iter().any(shared),
            "their segments are shared"
        );
        let app = store.app(&key("acme#a7")).unwrap();
        live(&store, &app, 2_000).await;
        let other = store.app(&key("acme#a8")).unwrap();
        live(&store, &other, 3_000).await;
        let retried = whole(&app, &group("tea")).await.unwrap()[1].clone();
        let disk = SimDisk::new();
        let only = BackupOptions {
            app: Some(key("acme#a7")),
            ..BackupOptions::default()
        };
        // Something of both stands in the log, and nowhere else.
        let (mine, theirs) = (app.clone(), other.clone());
        let runtime = tokio::runtime::Handle::current();
        let both = move || {
            runtime.block_on(async {
                for (app, seed) in [(&mine, 777), (&theirs, 778)] {
                    let message = text("log", "ann", noise(seed, 3_000));
                    app.append(message).await.unwrap();
                    change(app, seed).await;
                }
            });
        };
        let watched = Watched::new(&disk).at("b/rows", both).shared();
        let target = BackupTarget::directory_on(BackupPlace::on(watched.clone(), "b"));
        let report = store.backup(target, only.clone()).await.unwrap();
        assert!(watched.is_spent());
        let before = picture(&app).await;
        assert!(report.all.files > 4, "{report:?}");
        let has = |bytes: &[u8]| {
            let files = disk.files();
            files.iter().any(|path| {
                let content = disk.read_all(path).unwrap();
                content.windows(bytes.len()).any(|part| part == bytes)
            })
        };
        assert!(
            has(&noise(71, 64)[8..40]),
            "its own messages are found as they are"
        );
        assert!(has(&noise(2_002, 80)[8..40]) && has(&noise(2_001, 300_000)[8..40]));
        assert!(has(&noise(777, 3_000)[8..1_000]), "in its log");
        assert!(!has(&noise(778, 3_000)[8..40]), "of another in the log");
        for seed in [81, 61, 10, 391, 3_002, 3_001, 3_204] {
            assert!(!has(&noise(seed, 64)[8..40]), "{seed} is of another app");
        }

        let target = beside(&machine);
        let report = restore(&target, place(&disk, "b")).await.unwrap();
        assert_eq!(report.app.as_deref(), Some("acme#a7"));
        let alone = target.open().await.unwrap();
        assert_eq!(alone.notices(), [] as [String; 0]);
        assert_eq!(alone.apps().len(), 1);
        assert!(!target.disk.files().iter().any(shared));
        let restored = alone.app(&key("acme#a7")).unwrap();
        assert_eq!(picture(&restored).await, before);
        // The receipts of its messages came along.
        let mut again = text("tea", "ann", "again");
        again.client_id = retried.client_id.clone();
        assert_eq!(restored.append(again).await.unwrap().id, retried.id);
        // A new app has a number of its own.
        let new = alone
            .create_app(&key("acme#a8"), Terms::of(Plan::Free))
            .await
            .unwrap();
        assert_ne!(new.id(), restored.id());
        let of_new = picture(&new).await;
        assert!(!of_new.names().any(|name| name.contains("tea")));

        let unknown = BackupOptions {
            app: Some(key("acme#nobody")),
            ..BackupOptions::default()
        };
        let error = back_up(&store, &disk, "c", unknown).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::UnknownApp);
        assert!(!disk.files().iter().any(|path| path.starts_with("c")));
        // All and one do not lend each other files.
        let wrong = BackupOptions {
            base: Some(place(&disk, "b")),
            ..BackupOptions::default()
        };
        let error = back_up(&store, &disk, "c", wrong).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Argument);
    });
}

/// On a real filesystem sealed files are links to those of the store, and volumes are not.
#[test]
fn a_backup_on_the_same_filesystem_links_what_is_sealed_and_what_the_base_has() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let options = tidestore::Options {
            background: false,
            ..tidestore::Options::default()
        };
        let store = Store::open(at("data"), options).await.unwrap();
        let app = store
            .create_app(&key("acme#chat"), Terms::of(Plan::Pro))
            .await
            .unwrap();
        live(&store, &app, 1_000).await;
        let directory = |name: &str| BackupTarget::directory(at(name));
        let first = store
            .backup(directory("one"), BackupOptions::default())
            .await
            .unwrap();
        assert!(
            first.linked.files >= 3 && first.reused.files == 0,
            "{first:?}"
        );
        let before = picture(&app).await;
        change(&app, 4_000).await;
        let base = BackupPlace::path(&at("one")).unwrap();
        let options = BackupOptions {
            base: Some(base),
            ..BackupOptions::default()
        };
        let second = store.backup(directory("two"), options).await.unwrap();
        assert!(second.reused.files >= 3, "{second:?}");
        // What is punched out of the store's volumes must not be punched out of the backup's.
        for attachment in app.attachments(None, 1_000).await.unwrap() {
            app.delete_attachment(attachment.id).await.ok();
        }
        store.expire().await.unwrap();
        store.close().await.unwrap();
        drop((store, app));
        let report = Store::restore(at("one"), at("restored")).await.unwrap();
        assert_eq!(report.verified.problems, []);
        let restored = Store::open(at("restored"), tidestore::Options::default())
            .await
            .unwrap();
        let app = restored.app(&key("acme#chat")).unwrap();
        let after = picture(&app).await;
        assert_eq!(after, before);
        Store::restore(at("two"), at("restored again"))
            .await
            .unwrap();
        assert!(Path::new(&at("restored again")).join("STORE").exists());
    });
}
