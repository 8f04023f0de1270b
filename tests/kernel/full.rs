//! A filesystem that is full to the last byte: appends are refused, reads work, expiry gives space back, and the store
//! goes on by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidestore::disk::{Env, SimClock};
use tidestore::plan::{AttachmentId, Plan, Retention, Terms};
use tidestore::{Account, App, EngineKind, Error, ErrorKind, NewAttachment, Options, Store};
use tidestore_tests::{HOUR, START, group, key, text, user, whole};

use crate::host::{Host, Mount, fill, need};
use crate::work::content;

const MIB: u64 = 64;

fn options(engine: EngineKind) -> Options {
    Options {
        engine,
        memtable_bytes: 256 << 10,
        log_file_bytes: 256 << 10,
        expiry_interval: Duration::from_secs(1),
        ..Options::default()
    }
}

/// Three days of retention, and no cap that could end the test.
fn terms() -> Terms {
    let retention = Retention::days(3).unwrap();
    let terms = Terms::enterprise(Plan::Enterprise.caps());
    terms.with_retention(retention).unwrap()
}

/// A body of a kilobyte that zstd cannot make much smaller.
fn body(number: u64) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in content(number * 4 + 1).iter().take(500) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    sent: u64,
    put: Vec<(AttachmentId, u64)>,
    attribute: u64,
    next: u64,
    joined: Vec<String>,
}

impl Acknowledged {
    /// Tries one change of every part; answers what was refused.
    async fn change(&mut self, app: &App) -> Vec<(&'static str, Error)> {
        self.next += 1;
        let n = self.next;
        let mut refused = Vec::new();
        match app.append(text("now", "ann", body(n))).await {
            Ok(_) => self.sent += 1,
            Err(error) => refused.push(("append", error)),
        }
        let pairs = [("number".to_owned(), n.to_string())];
        match app.user_attributes().set(&user("ann"), pairs).await {
            Ok(()) => self.attribute = n,
            Err(error) => refused.push(("set", error)),
        }
        if n.is_multiple_of(8) {
            let new = NewAttachment::new(user("ann"), n.to_string());
            match app.put_attachment(new, &content(n * 4 + 1)[..]).await {
                Ok(put) => self.put.push((put.id, n * 4 + 1)),
                Err(error) => refused.push(("put", error)),
            }
            let name = format!("u{n}");
            match app.users().register(Account::new(user(&name))).await {
                Ok(_) => self.joined.push(name),
                Err(error) => refused.push(("register", error)),
            }
        }
        refused
    }

    /// Reads everything.
    async fn check(&self, app: &App) {
        let found = whole(app, &group("now")).await.unwrap();
        assert_eq!(found.len() as u64, self.sent, "messages");
        for (id, number) in &self.put {
            let download = app.open_attachment(*id).await.unwrap();
            assert!(download.read_to_end().await.unwrap() == content(*number));
        }
        let ann = app.user_attributes().get(&user("ann"), None).await.unwrap();
        assert_eq!(ann["number"], self.attribute.to_string());
        for name in &self.joined {
            app.users().get(&user(name)).await.unwrap();
        }
    }

    /// Changes everything until nothing at all is taken any more.
    async fn until_full(&mut self, app: &App) -> u64 {
        let (mut taken, mut refusals) = (0, 0);
        while refusals < 24 {
            let refused = self.change(app).await;
            for (what, error) in &refused {
                assert_eq!(*error.kind(), ErrorKind::Full, "{what}: {error:?}");
            }
            refusals = if refused.iter().any(|(what, _)| *what == "append") {
                refusals + 1
            } else {
                taken += 1;
                0
            };
            // Background work is given its chance to make trouble.
            if refusals % 8 == 7 {
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            assert!(taken < 40_000, "the disk does not become full");
        }
        taken
    }

    /// Waits until everything is taken again, without anybody touching the store.
    async fn until_it_goes_on(&mut self, app: &App) {
        let mut in_a_row = 0;
        let mut last = Vec::new();
        for _ in 0..600 {
            let refused = self.change(app).await;
            if refused.is_empty() {
                in_a_row += 1;
            } else {
                in_a_row = 0;
                last = refused;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            if in_a_row > 100 {
                return;
            }
        }
        panic!("the store does not go on: {last:?}");
    }
}

fn goes_on_by_itself(mount: &Mount, engine: EngineKind) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let dir = mount.dir().join("data");
        let clock = SimClock::new(START);
        let open = |clock: &SimClock| {
            let mut env = Env::real(&dir).unwrap();
            env.clock = Arc::new(clock.clone());
            Store::open_env(env, options(engine))
        };
        let store = open(&clock).await.unwrap();
        let terms = terms();
        let app = store.create_app(&key("acme#chat"), terms).await.unwrap();
        app.users()
            .register(Account::new(user("ann")))
            .await
            .unwrap();
        // What will expire.
        for n in 0..60 {
            let batch = (0..100).map(|m| text("old", "ann", body(n * 100 + m)));
            for receipt in app.append_many(batch.collect()).await {
                receipt.unwrap();
            }
        }
        store.flush().await.unwrap();
        clock.advance(Duration::from_millis(48 * HOUR));
        let mut known = Acknowledged::default();
        for _ in 0..40 {
            assert!(known.change(&app).await.is_empty());
        }
        let filler = mount.dir().join("filler");
        fill(&filler);
        let taken = known.until_full(&app).await;
        // Reads work.
        known.check(&app).await;
        assert_eq!(whole(&app, &group("old")).await.unwrap().len(), 6_000);

        // Three days after they were sent, the old ones go, and everything goes on.
        let before = free(&dir);
        clock.advance(Duration::from_millis(28 * HOUR));
        known.until_it_goes_on(&app).await;
        assert_eq!(whole(&app, &group("old")).await.unwrap(), []);
        known.check(&app).await;
        let after = free(&dir);
        println!(
            "{engine}: {taken} rounds of changes on the full disk; expiry: {before} to {after} bytes free"
        );

        std::fs::remove_file(&filler).unwrap();
        // Full again and again, and this time somebody else makes room. A little is left each time, so that it is ever
        // another part that finds no space: log, segment, volume, or the tables.
        for left in [0, 3, 16, 60, 160, 300] {
            let (spare, filler) = (mount.dir().join("spare"), mount.dir().join("filler2"));
            std::fs::write(&spare, vec![1; left * 4096]).unwrap();
            fill(&filler);
            std::fs::remove_file(&spare).unwrap();
            for _ in 0..3 {
                if let Err(error) = store.flush().await {
                    assert_eq!(*error.kind(), ErrorKind::Full, "{left}: {error:?}");
                }
                known.change(&app).await;
            }
            known.until_full(&app).await;
            for _ in 0..3 {
                if let Err(error) = store.flush().await {
                    assert_eq!(*error.kind(), ErrorKind::Full, "{left}: {error:?}");
                }
            }
            known.check(&app).await;
            std::fs::remove_file(&filler).unwrap();
            known.until_it_goes_on(&app).await;
            known.check(&app).await;
        }
        store.flush().await.unwrap();
        assert_eq!(store.verify().await.unwrap().problems, []);
        store.close().await.unwrap();
        drop((app, store));

        let store = open(&clock).await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        known.check(&app).await;
        assert_eq!(store.verify().await.unwrap().problems, []);
        store.close().await.unwrap();
    });
}

/// Bytes that are free.
fn free(dir: &Path) -> u64 {
    let stat = rustix::fs::statvfs(dir).unwrap();
    stat.f_bfree * stat.f_frsize
}

fn on_tmpfs(engine: EngineKind) {
    let host = need!(Host::take(&["mount", "umount"]));
    let mount = need!(host.tmpfs("full", &format!("size={MIB}m")));
    goes_on_by_itself(&mount, engine);
}

fn on_ext4(engine: EngineKind) {
    let host = need!(Host::take(&["mount", "umount", "mkfs.ext4"]));
    let below = need!(host.tmpfs("below", "size=120m"));
    let image = below.dir().join("image");
    let format = ["-m", "0", "-J", "size=4"];
    let mount = need!(host.ext4(&image, MIB + 8, &format, "data=ordered"));
    goes_on_by_itself(&mount, engine);
}

#[test]
fn a_full_tmpfs_refuses_appends_and_expiry_makes_redb_go_on() {
    on_tmpfs(EngineKind::Redb);
}

#[test]
fn a_full_tmpfs_refuses_appends_and_expiry_makes_sled_go_on() {
    on_tmpfs(EngineKind::Sled);
}

#[test]
fn a_full_ext4_refuses_appends_and_expiry_makes_redb_go_on() {
    on_ext4(EngineKind::Redb);
}

#[test]
fn a_full_ext4_refuses_appends_and_expiry_makes_sled_go_on() {
    on_ext4(EngineKind::Sled);
}
