//! Hundreds of files in one process: written, read at the same time by many, verified.

use std::path::Path;

use tidestore::plan::{AttachmentId, Plan, Retention, Terms};
use tidestore::{App, EngineKind, NewAttachment, Options, Store};
use tidestore_tests::killed::say;
use tidestore_tests::{DAY, group, key, old, text, user, whole};

use crate::work::{ago, body, content};

const APPS: u64 = 60;
/// Days back; far enough apart to be different buckets.
const DAYS: [u64; 3] = [5, 35, 65];
const READERS: u64 = 12;

/// Fills many apps and buckets, reads all of them several times, and goes on writing meanwhile.
pub(crate) async fn work(dir: &Path, engine: EngineKind) {
    let options = Options {
        engine,
        memtable_bytes: 64 << 10,
        log_file_bytes: 64 << 10,
        cache_bytes: 1 << 20,
        ..Options::default()
    };
    let store = Store::open(dir, options.clone()).await.unwrap();
    let mut apps = Vec::new();
    let mut contents = Vec::new();
    for n in 0..APPS {
        let terms = Terms::of(Plan::Enterprise)
            .with_retention(Retention::days(100).unwrap())
            .unwrap();
        let app = store
            .create_app(&key(&format!("acme#app{n}")), terms)
            .await
            .unwrap();
        for days in DAYS {
            let batch = (0..10).map(|m| {
                let time = ago(days) - ago(days) % DAY + m;
                old("g", "ann", body(n * 100 + days + m), time)
            });
            for receipt in app.import(batch.collect()).await {
                receipt.unwrap();
            }
        }
        // By itself, so that nothing is put together with small neighbours.
        store.flush().await.unwrap();
        for number in [n * 4, n * 4 + 1] {
            let new = NewAttachment::new(user("ann"), "a");
            let put = app.put_attachment(new, &content(number)[..]).await;
            contents.push((app.clone(), put.unwrap().id, number));
        }
        apps.push(app);
    }
    let count = crate::program::files(dir).len();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    say(&format!("files {count}, {open} of them open"));
    assert!(count > 200, "{count}");
    let mut readers = Vec::new();
    for reader in 0..READERS {
        let (apps, contents) = (apps.clone(), contents.clone());
        readers.push(tokio::spawn(async move {
            read(&apps, &contents, reader).await;
        }));
    }
    for n in 0..300 {
        let app = &apps[usize::try_from(n % APPS).unwrap()];
        app.append(text("live", "ann", body(n))).await.unwrap();
        if n % 60 == 59 {
            store.flush().await.unwrap();
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
    // First, so that nothing is merged away while it is being verified.
    store.merge().await.unwrap();
    assert_eq!(store.verify().await.unwrap().problems, []);
    store.close().await.unwrap();
    drop((apps, contents, store));
    let store = Store::open(dir, options).await.unwrap();
    assert_eq!(store.verify().await.unwrap().problems, []);
    store.close().await.unwrap();
    say("done");
}

async fn read(apps: &[App], contents: &[(App, AttachmentId, u64)], reader: u64) {
    let mut messages = 0;
    for round in 0..3 {
        for n in 0..apps.len() {
            // Each goes another way through them.
            let step = 1 + 2 * usize::try_from(reader).unwrap();
            let index = (n * step + round) % apps.len();
            let found = whole(&apps[index], &group("g")).await.unwrap();
            assert_eq!(found.len(), 30);
            messages += found.len();
            let (app, id, number) = &contents[(index * 2 + round) % contents.len()];
            let download = app.open_attachment(*id).await.unwrap();
            assert!(download.read_to_end().await.unwrap() == content(*number));
        }
    }
    say(&format!("read {messages} messages"));
}
