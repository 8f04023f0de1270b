//! Who else is in the data directory, on the real disk: symbolic links in the place of every file and directory, links
//! where the store is about to make something, and a second process.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests play the intruder, who has files of his own"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidestore::plan::{AttachmentId, Plan, Terms};
use tidestore::{App, EngineKind, Error, ErrorKind, NewAttachment, Options, Store};
use tidestore_tests::killed::{self, say};
use tidestore_tests::{group, key, run, text, user, whole};

const ENGINES: [EngineKind; 2] = [EngineKind::Redb, EngineKind::Sled];

fn options(engine: EngineKind) -> Options {
    Options {
        engine,
        shards: 1,
        log_file_bytes: 16 << 10,
        background: false,
        ..Options::default()
    }
}

/// Fills every part of a store, so that it has every sort of file; answers the attachments.
async fn fill(dir: &Path, engine: EngineKind) -> [AttachmentId; 2] {
    let store = Store::open(dir, options(engine)).await.unwrap();
    let app = store
        .create_app(&key("acme#chat"), Terms::of(Plan::Pro))
        .await
        .unwrap();
    let mut ids = Vec::new();
    for len in [3_000, 400_000] {
        let new = NewAttachment::new(user("ann"), "file");
        let put = app.put_attachment(new, &vec![7; len][..]).await;
        ids.push(put.unwrap().id);
    }
    for n in 0..40 {
        let mut message = text("tea", "ann", format!("{n}"));
        message.client_id = format!("c{n}").into();
        app.append(message).await.unwrap();
    }
    store.flush().await.unwrap();
    // And something that is in the log only.
    app.append(text("tea", "ann", "40")).await.unwrap();
    drop((app, store));
    [ids[0], ids[1]]
}

/// Uses every part; errors are no matter here, only what they leave alone.
async fn use_all(dir: &Path, engine: EngineKind, ids: [AttachmentId; 2]) -> Result<(), ErrorKind> {
    let store = Store::open(dir, options(engine)).await;
    let store = store.map_err(|error| error.kind().clone())?;
    let Ok(app) = store.app(&key("acme#chat")) else {
        panic!("the app is gone")
    };
    let mut done = Ok(());
    let mut note = |result: tidestore::Result<()>| {
        if let Err(error) = result {
            done = Err(error.kind().clone());
        }
    };
    note(whole(&app, &group("tea")).await.map(drop));
    for id in ids {
        note(read(&app, id).await);
    }
    note(app.append(text("tea", "bob", "later")).await.map(drop));
    let new = NewAttachment::new(user("ann"), "more");
    note(app.put_attachment(new, &[8; 2_000][..]).await.map(drop));
    note(store.flush().await);
    note(store.merge().await.map(drop));
    note(store.expire().await.map(drop));
    let report = store.verify().await.unwrap_or_default();
    if let Some(problem) = report.problems.first() {
        note(Err(Error::new(
            ErrorKind::Corruption,
            problem.detail.clone(),
        )));
    }
    note(store.close().await);
    done
}

async fn read(app: &App, id: AttachmentId) -> tidestore::Result<()> {
    let download = app.open_attachment(id).await?;
    download.read_to_end().await.map(drop)
}

/// All files and directories below one, those inside first.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(tree(&path));
        }
        found.push(path);
    }
    found
}

/// What is in all files below a directory.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = tree(dir).into_iter().filter(|path| path.is_file());
    files
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn a_link_in_the_place_of_any_file_or_directory_is_not_followed() {
    for engine in ENGINES {
        let place = tempfile::tempdir().unwrap();
        let origin = place.path().join("origin");
        let ids = run(fill(&origin, engine));
        let paths = tree(&origin);
        let sorts = ["STORE", ".log", ".seg", ".vol", ".rcp", "LOCK"];
        for sort in sorts {
            let is_it = |path: &PathBuf| path.to_string_lossy().ends_with(sort);
            assert!(paths.iter().any(is_it), "there is no {sort}");
        }
        let mut refused = 0;
        for (number, path) in paths.iter().enumerate() {
            let within = path.strip_prefix(&origin).unwrap();
            let dir = place.path().join(format!("data{number}"));
            let outside = place.path().join(format!("outside{number}"));
            copy(&origin, &dir);
            std::fs::create_dir(&outside).unwrap();
            // The very same contents, so that only the link can be a reason to refuse.
            std::fs::rename(dir.join(within), outside.join("real")).unwrap();
            symlink(outside.join("real"), dir.join(within)).unwrap();
            let before = contents(&outside);
            let done = run(use_all(&dir, engine, ids));
            let what = format!("{engine}: {}", within.display());
            assert_eq!(contents(&outside), before, "{what}: something was written");
            assert!(dir.join(within).is_symlink(), "{what}: the link is gone");
            // sled's and our own leftovers are not needed; everything else is missed.
            let name = within.file_name().unwrap().to_string_lossy();
            let is_needed = !name.starts_with("spare-") && !name.starts_with("snap.");
            assert!(done.is_err() || !is_needed, "{what}: it was followed");
            refused += usize::from(done.is_err());
            std::fs::remove_dir_all(&dir).unwrap();
        }
        println!("{engine}: {refused} of {} links refused", paths.len());
    }
}

#[test]
fn a_link_where_the_store_makes_a_file_leads_nowhere() {
    for engine in ENGINES {
        let place = tempfile::tempdir().unwrap();
        let (dir, outside) = (place.path().join("data"), place.path().join("outside"));
        std::fs::create_dir(&outside).unwrap();
        let ids = run(fill(&dir, engine));
        // Beside every file the one with the next numbers, and its temporary name.
        let mut planted = Vec::new();
        for path in tree(&dir).into_iter().filter(|path| path.is_file()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let (stem, kind) = name.split_once('.').unwrap_or((&name, ""));
            let at = stem.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            let (prefix, digits) = stem.split_at(at);
            let number: u64 = digits.parse().unwrap_or(0);
            for next in 1..4 {
                let width = digits.len();
                let next = format!("{prefix}{:0width$}.{kind}", number + next);
                planted.push(path.with_file_name(format!("{next}.tmp")));
                planted.push(path.with_file_name(format!("spare-{next}")));
                planted.push(path.with_file_name(next));
            }
            planted.push(path.with_file_name(format!("{name}.tmp")));
        }
        planted.retain(|path| !path.exists());
        for path in &planted {
            let _ = symlink(outside.join("made"), path);
        }
        // Twice: what the first life leaves must not help the second.
        for _ in 0..2 {
            let _ = run(use_all(&dir, engine, ids));
        }
        assert_eq!(contents(&outside), BTreeMap::new(), "{engine}");
        for path in &planted {
            let leads = std::fs::read_link(path).is_ok_and(|to| to.starts_with(&outside));
            assert!(
                leads || !path.exists() || path.is_file(),
                "{}",
                path.display()
            );
        }
        println!("{engine}: {} links planted", planted.len());
    }
}

const CHILD: &str = "TIDESTORE_TEST_INTRUDERS_DIR";

#[test]
fn a_second_process_is_locked_out_until_the_first_is_dead() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Ok(task) = std::env::var(CHILD) {
        let (engine, dir) = task.split_once(':').unwrap();
        let engine = engine.parse().unwrap();
        runtime.block_on(async {
            match Store::open(dir, options(engine)).await {
                Ok(_store) => {
                    say("open");
                    std::future::pending::<()>().await;
                }
                Err(error) => say(&format!("refused {:?}", error.kind())),
            }
            // Until it is killed.
            std::future::pending::<()>().await;
        });
    }
    let name = "a_second_process_is_locked_out_until_the_first_is_dead";
    let ask = |engine: EngineKind, dir: &Path| {
        let task = format!("{engine}:{}", dir.display());
        let is_word = |line: &str| line == "open" || line.starts_with("refused");
        let said = killed::run_and_kill(name, CHILD, &task, is_word, Duration::from_millis(20));
        said.into_iter().rfind(|line| is_word(line)).unwrap()
    };
    for engine in ENGINES {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("data");
        let ids = run(fill(&dir, engine));
        let store = runtime
            .block_on(Store::open(&dir, options(engine)))
            .unwrap();
        let before = contents(&dir);
        assert_eq!(ask(engine, &dir), "refused Locked");
        assert_eq!(
            contents(&dir),
            before,
            "{engine}: the second changed something"
        );
        drop(store);
        // One that was killed leaves no lock behind.
        assert_eq!(ask(engine, &dir), "open");
        assert_eq!(ask(engine, &dir), "open");
        assert_eq!(run(use_all(&dir, engine, ids)), Ok(()));
    }
}
