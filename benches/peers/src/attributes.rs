//! Durable sets of user attributes by 1, 8 and 64 callers: Tidestore on both of its engines, SQLite (WAL, synchronous
//! FULL) and redb alone, round by round in turn. Prints medians and ratios.
//!
//! Every set is one user's attributes of about 100 bytes, merged into what the user has, and acknowledged when it is
//! durable. The users are 10,000. Each store lies in a directory of its own below the current one.
//!
//! ```text
//! attributes [ROUNDS]
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use redb::{Database, Durability, TableDefinition};
use rusqlite::Connection;
use tidestore::plan::{AppKey, Plan, Terms, UserId};
use tidestore::{App, EngineKind, Options, Store};
use tokio::runtime::Runtime;

const USERS: usize = 10_000;
/// Sets in a round, by callers: a round takes about a second.
const SETS: [(usize, usize); 3] = [(1, 500), (8, 2_000), (64, 8_000)];

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(5);
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::Builder::new()
        .prefix("peers-")
        .tempdir_in(".")
        .unwrap();
    let peers: Vec<Box<dyn Peer>> = vec![
        Box::new(Tide::open(&runtime, dir.path(), EngineKind::Sled)),
        Box::new(Tide::open(&runtime, dir.path(), EngineKind::Redb)),
        Box::new(Sqlite::open(dir.path())),
        Box::new(Redb::open(dir.path())),
    ];
    println!(
        "durable attribute sets a second, medians of {rounds} rounds in turn; in brackets the median ratio to SQLite"
    );
    print!("{:>8}", "callers");
    for peer in &peers {
        print!(" | {:>22}", peer.name());
    }
    println!();
    for (callers, sets) in SETS {
        let mut rates = vec![Vec::new(); peers.len()];
        for round in 0..=rounds {
            for turn in 0..peers.len() {
                // Who goes first changes: the second finds the disk busier.
                let peer = (turn + round) % peers.len();
                let rate = peers[peer].rate(callers, sets);
                // The first round warms up.
                if round > 0 {
                    rates[peer].push(rate);
                }
            }
        }
        print!("{callers:>8}");
        for peer in &rates {
            let ratios = peer
                .iter()
                .zip(&rates[2])
                .map(|(ours, theirs)| ours / theirs);
            print!(
                " | {:>12.0} ({:>6.2}x)",
                median(peer.clone()),
                median(ratios.collect())
            );
        }
        println!();
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn user(n: usize) -> String {
    // Spread over the users, as people come.
    format!("user-{:05}", n.wrapping_mul(7_919) % USERS)
}

/// A value that was never set before: SQLite writes nothing where the bytes stay the same.
fn value() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("https://pictures.example.org/avatars/{n:040}.jpg")
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn per_second(sets: usize, since: Instant) -> f64 {
    sets as f64 / since.elapsed().as_secs_f64()
}

trait Peer {
    fn name(&self) -> String;
    /// Sets a second with so many callers that wait for each of theirs.
    fn rate(&self, callers: usize, sets: usize) -> f64;
}

struct Tide<'a> {
    runtime: &'a Runtime,
    app: App,
    engine: EngineKind,
}

impl<'a> Tide<'a> {
    fn open(runtime: &'a Runtime, dir: &std::path::Path, engine: EngineKind) -> Self {
        let options = Options {
            engine,
            ..Options::default()
        };
        let dir = dir.join(format!("tidestore-{engine}"));
        let app = runtime.block_on(async {
            let store = Store::open(&dir, options).await.unwrap();
            let key = AppKey::parse("acme#chat").unwrap();
            store
                .create_app(&key, Terms::of(Plan::Enterprise))
                .await
                .unwrap()
        });
        Self {
            runtime,
            app,
            engine,
        }
    }
}

impl Peer for Tide<'_> {
    fn name(&self) -> String {
        format!("tidestore on {}", self.engine)
    }

    fn rate(&self, callers: usize, sets: usize) -> f64 {
        let next = Arc::new(AtomicUsize::new(0));
        let since = Instant::now();
        self.runtime.block_on(async {
            let caller = || {
                let (app, next) = (self.app.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= sets {
                            return;
                        }
                        let user = UserId::parse(&user(n)).unwrap();
                        let pairs = [("avatarurl".to_owned(), value())];
                        app.user_attributes().set(&user, pairs).await.unwrap();
                    }
                })
            };
            let callers: Vec<_> = (0..callers).map(|_| caller()).collect();
            for caller in callers {
                caller.await.unwrap();
            }
        });
        per_second(sets, since)
    }
}

/// Runs threads that take the next number until all are taken.
fn threads(callers: usize, sets: usize, set: impl Fn(usize) + Sync) -> f64 {
    let next = AtomicUsize::new(0);
    let since = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= sets {
                        return;
                    }
                    set(n);
                }
            });
        }
    });
    per_second(sets, since)
}

/// One connection behind a lock: SQLite has one writer at a time, and busy waiting only costs it.
struct Sqlite(std::sync::Mutex<Connection>);

impl Sqlite {
    fn open(dir: &std::path::Path) -> Self {
        let db = Connection::open(dir.join("sqlite.db")).unwrap();
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE attributes (user TEXT, name TEXT, value TEXT, PRIMARY KEY (user, name)) WITHOUT ROWID;",
        )
        .unwrap();
        Self(std::sync::Mutex::new(db))
    }
}

impl Peer for Sqlite {
    fn name(&self) -> String {
        "SQLite".into()
    }

    fn rate(&self, callers: usize, sets: usize) -> f64 {
        threads(callers, sets, |n| {
            let db = self.0.lock().unwrap();
            let mut set = db
                .prepare_cached("INSERT OR REPLACE INTO attributes VALUES (?1, 'avatarurl', ?2)")
                .unwrap();
            set.execute((user(n), value())).unwrap();
        })
    }
}

struct Redb(Database);

const TABLE: TableDefinition<&str, &str> = TableDefinition::new("attributes");

impl Redb {
    fn open(dir: &std::path::Path) -> Self {
        Self(Database::create(dir.join("redb.db")).unwrap())
    }
}

impl Peer for Redb {
    fn name(&self) -> String {
        "redb alone".into()
    }

    fn rate(&self, callers: usize, sets: usize) -> f64 {
        threads(callers, sets, |n| {
            let mut write = self.0.begin_write().unwrap();
            write.set_durability(Durability::Immediate).unwrap();
            write
                .open_table(TABLE)
                .unwrap()
                .insert(user(n).as_str(), value().as_str())
                .unwrap();
            write.commit().unwrap();
        })
    }
}
