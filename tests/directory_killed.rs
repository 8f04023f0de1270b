//! A process that changes directory and attributes is killed again and again; what it acknowledged is there, on both engines.
//!
//! The test starts itself as the process to be killed, on the real disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tidestore::plan::{Caps, Plan, ResourceId, Terms};
use tidestore::{Account, App, EngineKind, NewChannel, Options, Store};
use tidestore_tests::killed::{self, say};
use tidestore_tests::{key, user};

const CHILD: &str = "TIDESTORE_TEST_DIRECTORY_DIR";
const ROUNDS: u64 = 6;
const TASKS: u64 = 8;

async fn open(dir: &Path, engine: EngineKind) -> (Store, App) {
    let options = Options {
        engine,
        // Small, so that tables are flushed and logs trimmed in between.
        memtable_bytes: 64 << 10,
        log_file_bytes: 64 << 10,
        ..Options::default()
    };
    let store = Store::open(dir, options).await.unwrap();
    let app = match store.app(&key("acme#chat")) {
        Ok(app) => app,
        Err(_) => store.create_app(&key("acme#chat"), terms()).await.unwrap(),
    };
    (store, app)
}

/// No cap may end the test.
fn terms() -> Terms {
    Terms::enterprise(Caps {
        group_members: None,
        ..Plan::Enterprise.caps()
    })
}

fn group() -> ResourceId {
    ResourceId::parse("all").unwrap()
}

/// Each task registers users of its own for ever, lets them into a group, sets their attributes, and deletes every fourth.
async fn work(dir: &Path, engine: EngineKind, round: u64) {
    let (_store, app) = open(dir, engine).await;
    let root = user("root");
    if app.users().get(&root).await.is_err() {
        app.users()
            .register(Account::new(root.clone()))
            .await
            .unwrap();
    }
    if app.groups().get(&group()).await.is_err() {
        let new = NewChannel {
            max_users: Some(1_000_000),
            ..NewChannel::new(group(), root)
        };
        app.groups().create(new).await.unwrap();
    }
    let task = |task: u64| {
        let app = app.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let name = format!("u{round}-{task}-{n}");
                let id = user(&name);
                app.users()
                    .register(Account::new(id.clone()))
                    .await
                    .unwrap();
                app.groups().members(&group()).add(&id).await.unwrap();
                let pairs = [("name".to_owned(), name.clone())];
                app.user_attributes().set(&id, pairs).await.unwrap();
                say(&format!("made {name}"));
                if n % 4 == 3 {
                    say(&format!("deleting {name}"));
                    app.users().delete(&id).await.unwrap();
                    say(&format!("deleted {name}"));
                }
            }
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// What the process said before it was killed.
fn run_and_kill(dir: &Path, test: &str, round: u64) -> Vec<(String, String)> {
    let task = format!("{round}:{}", dir.display());
    let parse = |line: &str| {
        let (what, name) = line.split_once(' ')?;
        ["made", "deleting", "deleted"]
            .contains(&what)
            .then(|| (what.to_owned(), name.to_owned()))
    };
    let moment = Duration::from_millis(60 + round * 7_919 % 300);
    let is_word = |line: &str| parse(line).is_some();
    let said = killed::run_and_kill(test, CHILD, &task, is_word, moment);
    said.iter().filter_map(|line| parse(line)).collect()
}

fn killed_again_and_again(engine: EngineKind, test: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Ok(task) = std::env::var(CHILD) {
        let (round, dir) = task.split_once(':').unwrap();
        runtime.block_on(work(Path::new(dir), engine, round.parse().unwrap()));
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("data");
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..ROUNDS {
        for (what, name) in run_and_kill(&dir, test, round) {
            last.insert(name, what);
        }
        runtime.block_on(check(&dir, engine, &last, round));
    }
    println!("{engine}: {} users in {ROUNDS} lives", last.len());
    assert!(last.len() > 100, "{}", last.len());
}

async fn check(dir: &Path, engine: EngineKind, last: &BTreeMap<String, String>, round: u64) {
    let (store, app) = open(dir, engine).await;
    assert_eq!(store.verify().await.unwrap().problems, [], "round {round}");
    for (name, what) in last {
        let (found, id) = (app.users().get(&user(name)).await, user(name));
        let members = app.groups();
        let member = members.members(&group()).get(&id).await;
        let attributes = app.user_attributes().get(&id, None).await.unwrap();
        match what.as_str() {
            "made" => {
                found.unwrap();
                let counts = app.users().counts(&id).await.unwrap();
                assert_eq!(counts.groups, 1, "round {round}: {name}");
                assert!(member.is_ok(), "round {round}: {name}");
                assert_eq!(attributes["name"], *name);
            }
            "deleted" => {
                assert!(found.is_err() && member.is_err(), "round {round}: {name}");
                assert!(attributes.is_empty(), "round {round}: {name}");
            }
            // Either, but as a whole.
            _ => assert_eq!(
                found.is_ok(),
                !attributes.is_empty(),
                "round {round}: {name}"
            ),
        }
    }
    store.close().await.unwrap();
}

#[test]
fn on_sled() {
    killed_again_and_again(EngineKind::Sled, "on_sled");
}

#[test]
fn on_redb() {
    killed_again_and_again(EngineKind::Redb, "on_redb");
}
