//! Damage to the files of a store: what is whole is served, what is damaged is named, and nothing is made worse.

use std::path::{Path, PathBuf};

use tidestore::disk::{SimDisk, Survival};
use tidestore::plan::{AttachmentId, Plan, Terms};
use tidestore::{ErrorKind, NewMessage, Page, Store};
use tidestore_tests::{DAY, Machine, group, key, run, text, user, whole};

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files()
        .into_iter()
        .filter(|path| path.extension() == Some("seg".as_ref()))
        .collect()
}

/// A store with three conversations in one segment of many blocks, and one message that is only in the log.
async fn filled() -> Machine {
    let mut machine = Machine::new();
    machine.options.shards = 1;
    machine.options.block_bytes = 400;
    let (store, app) = machine.open_app(Plan::Pro).await;
    for n in 0..30 {
        for name in ["a", "b", "c"] {
            app.append(text(name, "ann", format!("{name} {n}")))
                .await
                .unwrap();
        }
    }
    store.flush().await.unwrap();
    app.append(text("a", "ann", "in the log")).await.unwrap();
    drop((app, store));
    machine
}

/// How a store behaves whose files were damaged: it opens or says why not, serves what is whole, never invents.
async fn check(machine: &Machine, what: &str) -> bool {
    let store = match machine.open().await {
        Ok(store) => store,
        Err(error) => {
            let known = [
                ErrorKind::Corruption,
                ErrorKind::NotAStore,
                ErrorKind::Format,
            ];
            assert!(known.contains(error.kind()), "{what}: {error:?}");
            return false;
        }
    };
    let Ok(app) = store.app(&key("acme#chat")) else {
        panic!("{what}: the app is gone")
    };
    let mut damaged = 0;
    for name in ["a", "b", "c"] {
        match whole(&app, &group(name)).await {
            Ok(found) => {
                // The last batch of the log has no later one to vouch for it: damaged, it looks like one that was being
                // written when the power went, and opening says so.
                let torn = store
                    .notices()
                    .iter()
                    .any(|notice| notice.contains("torn batch"));
                let least = if name == "a" && !torn { 31 } else { 30 };
                assert_eq!(
                    found.len(),
                    least,
                    "{what}: messages of {name} vanished in silence"
                );
                for (n, message) in found.iter().take(30).enumerate() {
                    assert_eq!(message.body, format!("{name} {n}").as_bytes(), "{what}");
                }
            }
            Err(error) => {
                assert_eq!(*error.kind(), ErrorKind::Corruption, "{what}: {error:?}");
                assert!(
                    error.to_string().contains(".seg"),
                    "{what}: names no file: {error}"
                );
                damaged += 1;
            }
        }
    }
    let problems = store.verify().await.unwrap().problems;
    assert!(
        damaged == 0 || !problems.is_empty(),
        "{what}: verification passes over the damage"
    );
    damaged == 0
}

#[test]
fn a_flipped_bit_in_any_file_costs_at_most_its_block() {
    run(async {
        let machine = filled().await;
        for path in machine.disk.files() {
            let len = machine.disk.read_all(&path).unwrap().len() as u64;
            // Every bit of small files, a sample of the others; the crates' own tests flip every bit of theirs.
            let step = (len * 8 / 500).max(1);
            for bit in (0..len * 8).step_by(usize::try_from(step).unwrap()) {
                let disk = machine.disk.crash(0, Survival::ALL);
                disk.flip_bit(&path, bit / 8, u8::try_from(bit % 8).unwrap())
                    .unwrap();
                let damaged = Machine {
                    disk,
                    ..machine.clone()
                };
                check(&damaged, &format!("bit {bit} of {}", path.display())).await;
            }
        }
    });
}

#[test]
fn a_damaged_block_leaves_the_other_conversations_readable() {
    run(async {
        let machine = filled().await;
        let path = segments(&machine.disk).remove(0);
        machine.disk.flip_bit(&path, 100, 3).unwrap();
        let store = machine.open().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        let error = whole(&app, &group("a")).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Corruption);
        assert_eq!(whole(&app, &group("c")).await.unwrap().len(), 30);
        assert_eq!(
            app.history(&group("a"), Page::newest(1)).await.unwrap()[0].body,
            "in the log"
        );
        store.flush().await.unwrap();
        let report = store.merge().await.unwrap();
        assert_eq!(
            (report.merges, report.damaged.len()),
            (0, 1),
            "a merge must not drop what it cannot read"
        );
        assert!(segments(&machine.disk).contains(&path));
        machine.pass(200 * DAY);
        store.confirm_clock();
        store.expire().await.unwrap();
        assert_eq!(
            segments(&machine.disk),
            [] as [PathBuf; 0],
            "damage does not stop expiry"
        );
    });
}

#[test]
fn files_that_are_cut_missing_or_exchanged_are_named() {
    run(async {
        let machine = filled().await;
        let path = segments(&machine.disk).remove(0);
        let copy = || Machine {
            disk: machine.disk.crash(0, Survival::ALL),
            ..machine.clone()
        };

        let cut = copy();
        cut.disk.truncate(&path, 200).unwrap();
        assert!(!check(&cut, "a segment cut short").await);

        let missing = copy();
        tidestore::disk::Disk::remove_file(&missing.disk, &path).unwrap();
        let store = missing.open().await.unwrap();
        let name = path.display().to_string();
        assert!(store.notices().iter().any(|notice| notice.contains(&name)));
        assert!(
            store
                .verify()
                .await
                .unwrap()
                .problems
                .iter()
                .any(|p| p.path == path)
        );
        let app = store.app(&key("acme#chat")).unwrap();
        assert_eq!(
            app.history(&group("a"), Page::newest(1))
                .await
                .unwrap()
                .len(),
            1
        );

        let foreign = copy();
        foreign
            .disk
            .overwrite(&path, 0, b"%PDF-1.7 something else")
            .unwrap();
        let store = foreign.open().await.unwrap();
        assert!(!store.verify().await.unwrap().problems.is_empty());

        let logless = copy();
        for log in logless
            .disk
            .files()
            .into_iter()
            .filter(|path| path.starts_with("log"))
        {
            tidestore::disk::Disk::remove_file(&logless.disk, &log).unwrap();
        }
        assert_eq!(
            *logless.open().await.unwrap_err().kind(),
            ErrorKind::NotAStore
        );

        let viewless = copy();
        for view in viewless
            .disk
            .files()
            .into_iter()
            .filter(|path| path.starts_with("views"))
        {
            tidestore::disk::Disk::remove_file(&viewless.disk, &view).unwrap();
        }
        assert_eq!(
            *viewless.open().await.unwrap_err().kind(),
            ErrorKind::NotAStore
        );
        assert!(
            segments(&viewless.disk).contains(&path),
            "refusing to open deletes nothing"
        );
    });
}

#[test]
fn foreign_files_are_reported_and_left_alone() {
    run(async {
        let machine = filled().await;
        let bucket = segments(&machine.disk)[0].parent().unwrap().to_owned();
        let strangers = [
            PathBuf::from("notes.txt"),
            bucket.join("holiday.jpg"),
            Path::new("log/shard-00/x").into(),
        ];
        for stranger in &strangers {
            machine.disk.plant(stranger, b"not ours").unwrap();
        }
        let store = machine.open().await.unwrap();
        assert_eq!(store.notices().len(), 3, "{:?}", store.notices());
        store.merge().await.unwrap();
        store.close().await.unwrap();
        for stranger in &strangers {
            assert_eq!(machine.disk.read_all(stranger).unwrap(), b"not ours");
        }
    });
}

#[test]
fn a_directory_of_something_else_is_no_store() {
    run(async {
        let machine = Machine::new();
        machine
            .disk
            .plant(Path::new("thesis.tex"), b"years of work")
            .unwrap();
        assert_eq!(
            *machine.open().await.unwrap_err().kind(),
            ErrorKind::NotAStore
        );

        assert_eq!(
            machine.disk.files(),
            [Path::new("thesis.tex")],
            "it is left as it was"
        );

        let machine = filled().await;
        let mut store = machine.disk.read_all(Path::new("STORE")).unwrap();
        store[8] = 2;
        machine
            .disk
            .overwrite(Path::new("STORE"), 0, &store)
            .unwrap();
        assert_eq!(*machine.open().await.unwrap_err().kind(), ErrorKind::Format);
    });
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_gone() {
    run(async {
        let machine = Machine::new();
        let store: Store = machine.open().await.unwrap();
        assert_eq!(*machine.open().await.unwrap_err().kind(), ErrorKind::Locked);
        store.close().await.unwrap();
        let error = store
            .create_app(&key("acme#chat"), Terms::of(Plan::Free))
            .await
            .unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Closed);
        drop(store);
        machine.open().await.unwrap();
    });
}

#[test]
fn what_breaks_a_rule_is_refused_whole() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Free).await;
        app.append(text("a", "ann", vec![b'x'; 3_072]))
            .await
            .unwrap();
        let with_ext = NewMessage {
            ext: "e".into(),
            ..text("a", "ann", vec![b'x'; 3_072])
        };
        for over in [text("a", "ann", vec![b'x'; 3_073]), with_ext] {
            match app.append(over).await.unwrap_err().kind() {
                ErrorKind::Limit(error) => {
                    assert_eq!((error.max(), error.actual()), (3_072, 3_073));
                }
                other => panic!("{other:?}"),
            }
        }
        let pair = tidestore::Conversation::direct(&user("ann"), &user("bob"));
        let stranger = NewMessage::text(pair, user("eve"), "let me in");
        assert_eq!(
            *app.append(stranger).await.unwrap_err().kind(),
            ErrorKind::Conversation
        );
        let long = NewMessage {
            client_id: "c".repeat(129).into(),
            ..text("a", "ann", "x")
        };
        let attached = |ids: &mut dyn Iterator<Item = u128>| NewMessage {
            attachments: ids.map(AttachmentId::from_bits).collect(),
            ..text("a", "ann", "x")
        };
        let (many, twice) = (attached(&mut (0..17)), attached(&mut [1, 2, 1].into_iter()));
        for (over, what) in [
            (long, "129"),
            (many, "17 attachments"),
            (twice, "more than once"),
        ] {
            let error = app.append(over).await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Argument);
            assert!(error.to_string().contains(what), "{error}");
        }
        for limit in [0, 1_001] {
            let page = app.history(&group("a"), Page::newest(limit)).await;
            assert_eq!(*page.unwrap_err().kind(), ErrorKind::Argument);
        }
        let again = store
            .create_app(&key("ACME#Chat"), Terms::of(Plan::Free))
            .await
            .unwrap_err();
        assert_eq!(
            *again.kind(),
            ErrorKind::AppExists,
            "keys differ in more than case"
        );
        store.delete_app(&key("acme#chat")).await.unwrap();
        assert_eq!(
            *app.append(text("a", "ann", "x")).await.unwrap_err().kind(),
            ErrorKind::UnknownApp
        );
        assert_eq!(
            *store.app(&key("acme#chat")).unwrap_err().kind(),
            ErrorKind::UnknownApp
        );
    });
}

#[test]
fn options_that_cannot_work_are_refused_before_anything_is_made() {
    let change: [fn(&mut tidestore::Options); 5] = [
        |options| options.shards = 0,
        |options| options.shards = 65,
        |options| options.queue_depth = 0,
        |options| options.compression_level = 40,
        |options| options.block_bytes = 0,
    ];
    for change in change {
        let mut machine = Machine::new();
        change(&mut machine.options);
        let error = run(machine.open()).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Argument);
        assert!(machine.disk.files().is_empty());
    }
}
