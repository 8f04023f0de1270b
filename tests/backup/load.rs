//! A backup of a store on a real disk that several tasks write to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tidestore::plan::{Plan, Terms};
use tidestore::{App, BackupOptions, BackupTarget, NewAttachment, Options, Store};
use tidestore_tests::{group, key, text, user, whole};

use crate::picture::noise;

/// How far a task has come: what it was told is done.
type Told = Arc<AtomicU64>;

/// Sends to one conversation, then to another, and so on: whoever has the second has the first.
async fn chat(app: App, n: u64, told: Told, stop: Arc<AtomicBool>) {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        for side in ["left", "right"] {
            let body = count.to_string();
            let to = format!("{side}{n}");
            app.append(text(&to, "ann", body)).await.unwrap();
        }
        count += 1;
        told.store(count, Ordering::Release);
    }
}

/// Sets an attribute, uploads, and deletes what it uploaded two rounds ago.
async fn churn(app: App, told: Told, stop: Arc<AtomicBool>) {
    let mut count = 0;
    let mut last = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let new = NewAttachment::new(user("bob"), count.to_string());
        let put = app
            .put_attachment(new, &noise(count, 5_000)[..])
            .await
            .unwrap();
        last.push(put.id);
        let pairs = [("count".to_owned(), (count + 1).to_string())];
        app.user_attributes()
            .set(&user("bob"), pairs)
            .await
            .unwrap();
        count += 1;
        told.store(count, Ordering::Release);
        if last.len() > 2 {
            app.delete_attachment(last.remove(0)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_each_backup_has_all_that_was_acknowledged_before_and_no_effect_without_its_cause()
 {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        memtable_bytes: 64 << 10,
        log_file_bytes: 256 << 10,
        ..Options::default()
    };
    let store = Store::open(dir.path().join("data"), options).await.unwrap();
    let app = store
        .create_app(&key("acme#chat"), Terms::of(Plan::Pro))
        .await
        .unwrap();
    for name in ["ann", "bob"] {
        app.users()
            .register(tidestore::Account::new(user(name)))
            .await
            .unwrap();
    }
    let stop = Arc::new(AtomicBool::default());
    let told: Vec<Told> = (0..5).map(|_| Told::default()).collect();
    let mut tasks = Vec::new();
    for n in 0..4 {
        let (told, stop) = (Arc::clone(&told[n]), Arc::clone(&stop));
        tasks.push(tokio::spawn(chat(app.clone(), n as u64, told, stop)));
    }
    tasks.push(tokio::spawn(churn(
        app.clone(),
        Arc::clone(&told[4]),
        Arc::clone(&stop),
    )));

    let mut backups = Vec::new();
    for round in 0_u32..4 {
        let at_least: Vec<u64> = grown(&told).await;
        let path = dir.path().join(format!("b{round}"));
        let (target, base) = if round == 3 {
            (BackupTarget::archive(&path), None)
        } else {
            let base = round
                .checked_sub(1)
                .map(|last| dir.path().join(format!("b{last}")));
            let base = base.map(|base| tidestore::BackupPlace::path(&base).unwrap());
            (BackupTarget::directory(&path), base)
        };
        let report = store
            .backup(target, BackupOptions { app: None, base })
            .await
            .unwrap();
        eprintln!("round {round}: {report:?}");
        backups.push((path, at_least));
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.verify().await.unwrap().problems, []);
    store.close().await.unwrap();
    for (path, at_least) in backups {
        let target = path.with_extension("restored");
        Store::restore(&path, &target).await.unwrap();
        check(&target, at_least).await;
    }
}

/// Waits until every task has done some more, and says how far each is.
async fn grown(told: &[Told]) -> Vec<u64> {
    let now = || told.iter().map(|told| told.load(Ordering::Acquire));
    let before: Vec<u64> = now().collect();
    while now().zip(&before).any(|(now, before)| now < before + 10) {
        tokio::task::yield_now().await;
    }
    now().collect()
}

async fn check(dir: &std::path::Path, at_least: Vec<u64>) {
    let store = Store::open(dir, Options::default()).await.unwrap();
    let app = store.app(&key("acme#chat")).unwrap();
    for (n, least) in at_least.iter().take(4).enumerate() {
        let (left, right) = (
            whole(&app, &group(&format!("left{n}"))).await.unwrap(),
            whole(&app, &group(&format!("right{n}"))).await.unwrap(),
        );
        for side in [&left, &right] {
            assert!(
                side.len() as u64 >= *least,
                "{n}: {} of {least}",
                side.len()
            );
            for (index, message) in side.iter().enumerate() {
                assert_eq!(message.body, index.to_string());
            }
        }
        // The left is sent first, and the right before the next left.
        let lead = left.len() - right.len();
        assert!(lead <= 1, "{n}: {} left, {} right", left.len(), right.len());
    }
    let attributes = app.user_attributes().get(&user("bob"), None).await.unwrap();
    let count: u64 = attributes
        .get("count")
        .map_or(0, |count| count.parse().unwrap());
    assert!(count >= at_least[4], "{count} of {}", at_least[4]);
    for attachment in app.attachments(None, 1_000).await.unwrap() {
        let download = app.open_attachment(attachment.id).await.unwrap();
        let bytes = download.read_to_end().await.unwrap();
        assert_eq!(bytes, noise(attachment.name.parse().unwrap(), 5_000));
        // It is set after the upload.
        assert!(attachment.name.parse::<u64>().unwrap() <= count);
    }
    store.close().await.unwrap();
}
