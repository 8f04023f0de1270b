//! What is refused: targets that are in the way, and sources that are not whole.

use std::path::Path;

use tidestore::disk::{Disk, FileExt, OpenMode, SimDisk};
use tidestore::{BackupOptions, BackupTarget, ErrorKind, Options, Store};
use tidestore_tests::{Machine, run};

use crate::picture::{back_up, beside, full_machine, place, restore};

/// A store with a backup in the directory `b` and the archive `b.tar` of a disk.
async fn backed_up() -> (Machine, Store, SimDisk) {
    let (machine, store, _) = full_machine().await;
    let disk = SimDisk::new();
    back_up(&store, &disk, "b", BackupOptions::default())
        .await
        .unwrap();
    let archive = BackupTarget::archive_on(place(&disk, "b.tar"));
    store
        .backup(archive, BackupOptions::default())
        .await
        .unwrap();
    (machine, store, disk)
}

fn write(disk: &SimDisk, path: &str, bytes: &[u8]) {
    let path = Path::new(path);
    disk.create_dir_all(path.parent().unwrap()).unwrap();
    let file = disk.open(path, OpenMode::Create).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(bytes, 0, path).unwrap();
    file.sync_data().unwrap();
}

/// Restoring must fail in this way and leave nothing that could be taken for a store.
async fn fails(
    machine: &Machine,
    disk: &SimDisk,
    path: &str,
    kind: &ErrorKind,
    what: &str,
) -> String {
    let target = beside(machine);
    let error = restore(&target, place(disk, path)).await.expect_err(what);
    assert_eq!(error.kind(), kind, "{what}: {error}");
    let left: Vec<_> = target.disk.files();
    assert!(
        left.iter().all(|path| path == Path::new("LOCK")),
        "{what}: {left:?}"
    );
    error.to_string()
}

#[test]
fn every_damaged_cut_or_missing_file_of_a_backup_is_named() {
    run(async {
        let (machine, _store, disk) = backed_up().await;
        let files: Vec<_> = disk
            .files()
            .into_iter()
            .filter(|path| path.starts_with("b"))
            .collect();
        assert!(files.len() > 10, "{files:?}");
        for path in files {
            let text = path.display().to_string();
            let name = path.file_name().unwrap().to_str().unwrap();
            let content = disk.read_all(&path).unwrap();
            for at in [0, content.len() / 2, content.len() - 1] {
                let mut damaged = content.clone();
                damaged[at] ^= 0x10;
                write(&disk, &text, &damaged);
                let kind = match (name, at) {
                    ("BACKUP", 0) => ErrorKind::NotABackup,
                    _ => ErrorKind::Corruption,
                };
                let said = fails(&machine, &disk, "b", &kind, &format!("{text} at {at}")).await;
                assert!(said.contains(name), "{text}: {said}");
            }
            write(&disk, &text, &content[..content.len() - 1]);
            let said = fails(&machine, &disk, "b", &ErrorKind::Corruption, &text).await;
            assert!(said.contains(name), "{text}: {said}");
            disk.remove_file(&path).unwrap();
            let kind = if name == "BACKUP" {
                ErrorKind::NotABackup
            } else {
                ErrorKind::Corruption
            };
            let said = fails(&machine, &disk, "b", &kind, &text).await;
            assert!(said.contains(name), "{text}: {said}");
            write(&disk, &text, &content);
        }
        restore(&beside(&machine), place(&disk, "b")).await.unwrap();
    });
}

#[test]
fn an_archive_that_is_cut_damaged_or_none_is_refused() {
    run(async {
        let (machine, _store, disk) = backed_up().await;
        let whole = disk.read_all(Path::new("b.tar")).unwrap();
        let manifest = whole
            .windows(8)
            .rposition(|part| part == b"TIDEBKUP")
            .unwrap();
        for len in (0..manifest)
            .step_by(manifest / 40)
            .chain([512, 1_024, manifest + 40])
        {
            write(&disk, "cut.tar", &whole[..len]);
            let error = restore(&beside(&machine), place(&disk, "cut.tar"))
                .await
                .unwrap_err();
            let kind = error.kind();
            let is_it = matches!(kind, ErrorKind::NotABackup | ErrorKind::Corruption);
            assert!(is_it, "cut at {len}: {error} {kind:?}");
        }
        for at in (600..manifest).step_by(manifest / 60) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            write(&disk, "damaged.tar", &damaged);
            let target = beside(&machine);
            // A byte of padding is nobody's.
            if let Err(error) = restore(&target, place(&disk, "damaged.tar")).await {
                let kind = error.kind();
                let is_it = matches!(kind, ErrorKind::NotABackup | ErrorKind::Corruption);
                assert!(is_it, "damaged at {at}: {error} {kind:?}");
            }
        }
        write(&disk, "text", b"not a backup at all");
        fails(&machine, &disk, "text", &ErrorKind::NotABackup, "text").await;
        fails(
            &machine,
            &disk,
            "nothing",
            &ErrorKind::NotABackup,
            "nothing",
        )
        .await;
        disk.create_dir_all(Path::new("empty")).unwrap();
        fails(
            &machine,
            &disk,
            "empty",
            &ErrorKind::NotABackup,
            "an empty directory",
        )
        .await;
        // Behind its end an archive may hold what it likes.
        let mut longer = whole.clone();
        longer.extend_from_slice(&[7; 2_000]);
        write(&disk, "longer.tar", &longer);
        restore(&beside(&machine), place(&disk, "longer.tar"))
            .await
            .unwrap();
    });
}

#[test]
fn a_backup_of_a_later_version_is_refused_before_anything_is_written() {
    run(async {
        let (machine, _store, disk) = backed_up().await;
        let mut manifest = disk.read_all(Path::new("b/BACKUP")).unwrap();
        manifest[8] = 2;
        write(&disk, "b/BACKUP", &manifest);
        let said = fails(&machine, &disk, "b", &ErrorKind::Format, "directory").await;
        assert!(said.contains("version 2"), "{said}");
        let mut archive = disk.read_all(Path::new("b.tar")).unwrap();
        let first = archive
            .windows(8)
            .position(|part| part == b"TIDEBKUP")
            .unwrap();
        archive[first + 8] = 3;
        write(&disk, "b.tar", &archive);
        let said = fails(&machine, &disk, "b.tar", &ErrorKind::Format, "archive").await;
        assert!(said.contains("version 3"), "{said}");
    });
}

#[test]
fn what_is_in_the_way_stays_as_it_is() {
    run(async {
        let (machine, store, disk) = backed_up().await;
        write(&disk, "full/letter.txt", b"mine");
        let options = BackupOptions::default;
        let error = back_up(&store, &disk, "full", options()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Occupied);
        // A whole backup is in the way too, as is an archive.
        let error = back_up(&store, &disk, "b", options()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Occupied);
        let archive = BackupTarget::archive_on(place(&disk, "b.tar"));
        let error = store.backup(archive, options()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Occupied);
        assert_eq!(
            disk.read_all(Path::new("full/letter.txt")).unwrap(),
            b"mine"
        );
        for source in ["b", "b.tar"] {
            restore(&beside(&machine), place(&disk, source))
                .await
                .unwrap();
        }
        // Onto a store, and onto a letter.
        let error = restore(&machine, place(&disk, "b")).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Occupied);
        let target = beside(&machine);
        write(&target.disk, "dir/letter.txt", b"mine");
        let error = restore(&target, place(&disk, "b")).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Occupied);
        assert_eq!(target.disk.files(), [Path::new("dir/letter.txt")]);
        store.close().await.unwrap();
    });
}

#[test]
fn a_target_inside_the_data_directory_is_refused() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let store = Store::open(&data, Options::default()).await.unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        for inside in [
            data.join("b"),
            data.join("apps/b"),
            link.join("b"),
            data.clone(),
        ] {
            let target = BackupTarget::directory(&inside);
            let error = store
                .backup(target, BackupOptions::default())
                .await
                .unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Occupied, "{}", inside.display());
        }
        let target = BackupTarget::archive(data.join("b.tar"));
        let error = store
            .backup(target, BackupOptions::default())
            .await
            .unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Occupied);
        assert!(!data.join("b").exists() && !data.join("apps/b").exists());
        assert!(!data.join("b.tar").exists() && !data.join("b.tar.partial").exists());
        store.close().await.unwrap();
    });
}

/// A store with damage can be backed up: what is left of it comes back, and both say what is not.
#[test]
fn a_damaged_store_is_backed_up_as_far_as_it_is_there() {
    run(async {
        let (machine, store, app) = full_machine().await;
        let disk = &machine.disk;
        let segments = disk
            .files()
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "seg"));
        let segments: Vec<_> = segments.collect();
        let (missing, cut) = (&segments[0], &segments[1]);
        disk.remove_file(missing).unwrap();
        let left = disk.read_all(cut).unwrap().len() as u64 - 100;
        disk.open(cut, OpenMode::Write)
            .unwrap()
            .set_len(left)
            .unwrap();
        let attachments = app.attachments(None, 1_000).await.unwrap();
        let target = SimDisk::new();
        let report = back_up(&store, &target, "b", BackupOptions::default())
            .await
            .unwrap();
        assert_eq!(report.damaged.len(), 2, "{report:?}");
        for path in [missing, cut] {
            let name = path.display().to_string();
            assert!(
                report.damaged.iter().any(|damage| damage.contains(&name)),
                "{report:?}"
            );
        }
        let restored = beside(&machine);
        let error = restore(&restored, place(&target, "b")).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Corruption);
        assert!(error.to_string().contains("can be opened"), "{error}");
        let store = restored.open().await.unwrap();
        let app = store.app(&tidestore_tests::key("acme#chat")).unwrap();
        assert_eq!(app.attachments(None, 1_000).await.unwrap(), attachments);
        app.append(tidestore_tests::text("tea", "ann", "goes on"))
            .await
            .unwrap();
    });
}
