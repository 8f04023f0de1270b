//! A great many users with attributes: how fast they are made, what they take, and what opening the store costs then.
//!
//! ```text
//! scale DIR ENGINE USERS     fills a new store in DIR, closes it, and starts itself again to open it
//! scale DIR                  opens the store that is there, and prints what that took
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "measures real time, memory and files"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tidestore::plan::{Plan, Terms, UserId};
use tidestore::{Account, App, EngineKind, Options, Store};
use tidestore_benches::key;

const TASKS: usize = 64;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match &args[..] {
        [dir] => runtime.block_on(open(Path::new(dir))),
        [dir, engine, users] => {
            let (engine, users) = (engine.parse().unwrap(), users.parse().unwrap());
            runtime.block_on(fill(Path::new(dir), engine, users));
            drop(runtime);
            // Memory is measured in a process that did nothing else.
            let ended = Command::new(std::env::current_exe().unwrap())
                .arg(dir)
                .status();
            assert!(ended.unwrap().success());
        }
        _ => panic!("scale DIR [ENGINE USERS]"),
    }
}

fn user(n: usize) -> UserId {
    UserId::parse(&format!("user-{n:07}")).unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
async fn fill(dir: &Path, engine: EngineKind, users: usize) {
    let options = Options {
        engine,
        ..Options::default()
    };
    let store = Store::open(dir, options).await.unwrap();
    let app = store
        .create_app(&key(), Terms::of(Plan::Enterprise))
        .await
        .unwrap();
    let started = Instant::now();
    let registered = each(&app, users.div_ceil(60), move |app, batch| async move {
        let batch = (batch * 60..users.min(batch * 60 + 60)).map(|n| Account::new(user(n)));
        for answer in app.users().register_many(batch.collect()).await.unwrap() {
            answer.unwrap();
        }
    });
    registered.await;
    let register = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let set = each(&app, users, |app, n| async move {
        let pairs = [
            ("nickname".to_owned(), format!("Nick {n}")),
            (
                "avatarurl".to_owned(),
                format!("https://pictures.example.org/avatars/{n:020}.jpg"),
            ),
            ("sign".to_owned(), "carpe diem, and sleep well".to_owned()),
        ];
        app.user_attributes().set(&user(n), pairs).await.unwrap();
    });
    set.await;
    let attributes = started.elapsed().as_secs_f64();
    let bytes = app.user_attributes().total().await.unwrap().bytes;
    let started = Instant::now();
    store.close().await.unwrap();
    let close = started.elapsed().as_secs_f64();
    println!("engine {engine}: {users} users, {bytes} bytes of attributes");
    println!(
        "  registered {:.0}/s in batches of 60, attributes set {:.0}/s by {TASKS} callers, closed in {close:.1} s",
        users as f64 / register,
        users as f64 / attributes
    );
}

/// Runs a call for each number, 64 at a time.
async fn each<F: Future<Output = ()> + Send>(
    app: &App,
    count: usize,
    call: impl Fn(App, usize) -> F + Copy + Send + 'static,
) {
    let next = Arc::new(AtomicUsize::new(0));
    let task = || {
        let (app, next) = (app.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return;
                }
                call(app.clone(), n).await;
            }
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(|_| task()).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
async fn open(dir: &Path) {
    let before = peak_memory();
    let started = Instant::now();
    let store = Store::open(
        dir,
        Options {
            background: false,
            ..Options::default()
        },
    )
    .await
    .unwrap();
    let open = started.elapsed().as_secs_f64() * 1e3;
    let after = peak_memory();
    let app = store.app(&key()).unwrap();
    let ledger = app.ledger().await.unwrap();
    let users = ledger.users.used;
    let started = Instant::now();
    let reads: u32 = 20_000;
    for n in 0..reads {
        let at = (n as usize).wrapping_mul(7_919_317) % usize::try_from(users).unwrap();
        assert_eq!(
            app.user_attributes()
                .get(&user(at), None)
                .await
                .unwrap()
                .len(),
            3
        );
    }
    let read = started.elapsed().as_secs_f64() * 1e6 / f64::from(reads);
    let files = size(&dir.join("views"));
    println!(
        "  opened in {open:.0} ms, peak memory {:.0} MB before and {:.0} MB after opening, {:.0} MB after reads",
        before,
        after,
        peak_memory()
    );
    println!(
        "  tables {:.0} MB: {:.0} bytes a user, {:.2} times attributes and ids; a cold read of one user {read:.0} µs",
        files as f64 / 1e6,
        files as f64 / users as f64,
        files as f64 / (ledger.user_attributes.used as f64 + users as f64 * 12.0)
    );
}

/// The most memory this process has had, in megabytes.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or_default() / 1e3
}

fn size(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let about = entry.metadata().unwrap();
            if about.is_dir() {
                size(&entry.path())
            } else {
                about.blocks() * 512
            }
        })
        .sum()
}
