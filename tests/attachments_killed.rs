//! A process that stores attachments is killed again and again; what it acknowledged is there, and nothing is left over.
//!
//! The test starts itself as the process to be killed, on the real disk.

use std::path::Path;
use std::time::Duration;

use tidestore::plan::{AttachmentId, Plan, Terms};
use tidestore::{App, NewAttachment, Options, Store};
use tidestore_tests::killed::{self, say};
use tidestore_tests::{key, text, user};

const CHILD: &str = "TIDESTORE_TEST_ATTACHMENTS_DIR";
const ROUNDS: u64 = 8;

/// The content of a number: its length and bytes follow from it.
fn content(number: u64) -> Vec<u8> {
    let len = match number % 4 {
        0 => 300,
        1 => 20_000,
        2 => 120_000,
        _ => 700_000,
    };
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[2]
    };
    (0..len).map(|_| next()).collect()
}

async fn open(dir: &Path) -> (Store, App) {
    let store = Store::open(dir, Options::default()).await.unwrap();
    let app = match store.app(&key("acme#chat")) {
        Ok(app) => app,
        Err(_) => store
            .create_app(&key("acme#chat"), Terms::of(Plan::Pro))
            .await
            .unwrap(),
    };
    (store, app)
}

/// Stores, refers to and deletes attachments for ever, and says what is done.
async fn work(dir: &Path, round: u64) {
    let (_store, app) = open(dir).await;
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let app = app.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let number = round << 32 | task << 24 | n;
                    let new = NewAttachment::new(user("ann"), number.to_string());
                    let id = app
                        .put_attachment(new, &content(number)[..])
                        .await
                        .unwrap()
                        .id;
                    say(&format!("put {number} {id}"));
                    if n % 3 == 0 {
                        let mut message = text("tea", "ann", number.to_string());
                        message.attachments = vec![id];
                        app.append(message).await.unwrap();
                        say(&format!("sent {number} {id}"));
                    } else if n % 3 == 1 {
                        say(&format!("deleting {number} {id}"));
                        app.delete_attachment(id).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// What the process said before it was killed.
fn run_and_kill(dir: &Path, round: u64) -> Vec<(String, u64, AttachmentId)> {
    let task = format!("{round}:{}", dir.display());
    let parse = |line: &str| {
        let mut words = line.split(' ');
        let what = words.next()?.to_owned();
        let number = words.next()?.parse().ok()?;
        Some((what, number, AttachmentId::parse(words.next()?).ok()?))
    };
    let moment = Duration::from_millis(40 + round * 7_919 % 300);
    let is_word = |line: &str| parse(line).is_some();
    let test = "killed_again_and_again";
    let said = killed::run_and_kill(test, CHILD, &task, is_word, moment);
    said.iter().filter_map(|line| parse(line)).collect()
}

#[test]
fn killed_again_and_again() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Ok(task) = std::env::var(CHILD) {
        let (round, dir) = task.split_once(':').unwrap();
        runtime.block_on(work(Path::new(dir), round.parse().unwrap()));
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("data");
    let mut said = Vec::new();
    for round in 0..ROUNDS {
        said.extend(run_and_kill(&dir, round));
        runtime.block_on(check(&dir, &said, round));
    }
    let count = |what| said.iter().filter(|(w, ..)| w == what).count();
    let (puts, sent) = (count("put"), count("sent"));
    println!("{puts} puts and {sent} messages in {ROUNDS} lives");
    assert!(puts > 100, "{puts}");
}

async fn check(dir: &Path, said: &[(String, u64, AttachmentId)], round: u64) {
    let (store, app) = open(dir).await;
    let report = store.verify().await.unwrap();
    assert_eq!(report.problems, [], "round {round}");
    let deleted: Vec<_> = said
        .iter()
        .filter(|(what, ..)| what == "deleting")
        .collect();
    for (what, number, id) in said {
        let is_deleted = deleted.iter().any(|(_, _, deleted)| deleted == id);
        if what == "put" && !is_deleted {
            let download = app.open_attachment(*id).await;
            let found = download.unwrap_or_else(|error| panic!("round {round}: {number}: {error}"));
            assert!(
                found.read_to_end().await.unwrap() == content(*number),
                "{number}"
            );
        }
        if what == "sent" {
            assert!(app.attachment(*id).await.unwrap().messages >= 1, "{number}");
        }
    }
    store.close().await.unwrap();
}
