//! What the process under test does: changes in all parts of the store, each announced before and said after.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tidestore::disk::Millis;
use tidestore::plan::{Caps, Plan, ResourceId, Terms};
use tidestore::{
    Account, App, Conversation, EngineKind, Error, ErrorKind, NewAttachment, NewChannel,
    NewMessage, Options, Store,
};
use tidestore_tests::killed::say;
use tidestore_tests::{DAY, group, key, old, text, user, whole};

/// Writers of messages; each has a group of its own.
pub(crate) const WRITERS: u64 = 4;
/// Users whose attributes are set again and again.
pub(crate) const PROFILES: u64 = 2;

/// What a process shall do.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// `write`, `create`, `expire` or `many`.
    pub(crate) what: &'static str,
    pub(crate) engine: EngineKind,
    pub(crate) shards: u16,
    pub(crate) round: u64,
    pub(crate) dir: PathBuf,
}

impl Task {
    pub(crate) fn line(&self) -> String {
        let Self {
            what,
            engine,
            shards,
            round,
            dir,
        } = self;
        format!("{what} {engine} {shards} {round} {}", dir.display())
    }
}

/// Does what a line says, in the process under test.
pub(crate) fn run(line: &str) {
    let words: Vec<&str> = line.splitn(5, ' ').collect();
    let [what, engine, shards, round, dir] = words[..] else {
        panic!("no task: {line}")
    };
    let engine = EngineKind::from_str(engine).unwrap();
    let shards = shards.parse().unwrap();
    let round: u64 = round.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        match what {
            "write" => write(Path::new(dir), engine, shards, round).await,
            "create" => create(Path::new(dir), engine, shards).await,
            "many" => crate::many::work(Path::new(dir), engine).await,
            "expire" => expire(Path::new(dir), engine, shards, round).await,
            _ => panic!("no task: {line}"),
        }
    });
}

/// Small files, so that memtables become segments, tables are flushed and logs trimmed and recycled all the time.
pub(crate) fn options(engine: EngineKind, shards: u16) -> Options {
    Options {
        engine,
        shards,
        memtable_bytes: 64 << 10,
        log_file_bytes: 128 << 10,
        expiry_interval: Duration::from_secs(1),
        ..Options::default()
    }
}

/// Opens the store and its app, with everything in it that the writers rely on.
pub(crate) async fn open(
    dir: &Path,
    engine: EngineKind,
    shards: u16,
) -> tidestore::Result<(Store, App)> {
    let store = Store::open(dir, options(engine, shards)).await?;
    let app = match store.app(&key("acme#chat")) {
        Ok(app) => app,
        Err(_) => store.create_app(&key("acme#chat"), terms()).await?,
    };
    Ok((store, app))
}

/// No cap may end a test.
fn terms() -> Terms {
    Terms::enterprise(Caps {
        group_members: None,
        ..Plan::Enterprise.caps()
    })
}

/// The group that users join.
pub(crate) fn everybody() -> ResourceId {
    ResourceId::parse("all").unwrap()
}

/// Where the messages for the inbox go.
pub(crate) fn direct() -> Conversation {
    Conversation::direct(&user("ann"), &user("bob"))
}

/// The content of a number: its length and bytes follow from it.
pub(crate) fn content(number: u64) -> Vec<u8> {
    let len = match number % 4 {
        0 => 300,
        1 => 20_000,
        2 => 120_000,
        _ => 400_000,
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

/// The body of a number: long enough that segments come about soon.
pub(crate) fn body(number: u64) -> String {
    format!(
        "{number} {}",
        "x".repeat(usize::try_from(number % 400).unwrap())
    )
}

/// Makes a store with an app and says so.
async fn create(dir: &Path, engine: EngineKind, shards: u16) {
    say("begin");
    let (_store, app) = open(dir, engine, shards).await.unwrap();
    say("created");
    for n in 0.. {
        app.append(text("g0", "ann", body(n))).await.unwrap();
        say(&format!("sent 0 {n} {}", n + 1));
    }
}

/// Writes to all parts at once, until each has met an error or the process is killed.
async fn write(dir: &Path, engine: EngineKind, shards: u16, round: u64) {
    let (_store, app) = open(dir, engine, shards).await.unwrap();
    prepare(&app).await.unwrap();
    say("opened");
    let from = round << 32;
    let mut tasks = Vec::new();
    let mut start = |name: String, work: Work| {
        tasks.push(tokio::spawn(async move {
            let error = work.await;
            let kind = format!("{:?}", error.kind());
            let kind = kind.split(['(', ' ']).next().unwrap_or_default();
            say(&format!("stopped {name} {kind} {error}"));
        }));
    };
    for writer in 0..WRITERS {
        start(
            format!("sent-{writer}"),
            Box::pin(messages(app.clone(), writer, from)),
        );
    }
    for profile in 0..PROFILES {
        start(
            format!("set-{profile}"),
            Box::pin(attributes(app.clone(), profile, from)),
        );
    }
    start("put-0".into(), Box::pin(attachments(app.clone(), from)));
    start("joined-0".into(), Box::pin(joins(app.clone(), from)));
    start("directed-0".into(), Box::pin(directs(app.clone(), from)));
    // Not waited for: it has nothing to do when no messages come.
    tokio::spawn(inbox(app.clone()));
    for task in tasks {
        task.await.unwrap();
    }
    say("all stopped");
    read_back(&app).await;
    std::future::pending::<()>().await;
}

type Work = std::pin::Pin<Box<dyn Future<Output = Error> + Send>>;

async fn prepare(app: &App) -> tidestore::Result<()> {
    let root = user("root");
    if app.users().get(&root).await.is_err() {
        app.users().register(Account::new(root.clone())).await?;
    }
    if app.groups().get(&everybody()).await.is_err() {
        let new = NewChannel {
            max_users: Some(1_000_000),
            ..NewChannel::new(everybody(), root)
        };
        app.groups().create(new).await?;
    }
    for profile in 0..PROFILES {
        let id = user(&format!("profile{profile}"));
        if app.users().get(&id).await.is_err() {
            app.users().register(Account::new(id)).await?;
        }
    }
    Ok(())
}

async fn messages(app: App, writer: u64, from: u64) -> Error {
    let mut patience = 40;
    for n in from.. {
        say(&format!("sending {writer} {n}"));
        match app
            .append(text(&format!("g{writer}"), "ann", body(n)))
            .await
        {
            Ok(receipt) => say(&format!("sent {writer} {n} {}", receipt.seq)),
            Err(error) if is_passing(&error, &mut patience).await => {}
            Err(error) => return error,
        }
    }
    unreachable!()
}

/// Whether to go on after an error: a full disk is tried some more times.
async fn is_passing(error: &Error, patience: &mut u32) -> bool {
    tokio::time::sleep(Duration::from_millis(10)).await;
    *patience -= 1;
    *error.kind() == ErrorKind::Full && *patience > 0
}

async fn attributes(app: App, profile: u64, from: u64) -> Error {
    let id = user(&format!("profile{profile}"));
    let mut patience = 40;
    for n in from.. {
        say(&format!("setting {profile} {n}"));
        let pairs = [("number".to_owned(), n.to_string())];
        match app.user_attributes().set(&id, pairs).await {
            Ok(()) => say(&format!("set {profile} {n}")),
            Err(error) if is_passing(&error, &mut patience).await => {}
            Err(error) => return error,
        }
    }
    unreachable!()
}

async fn attachments(app: App, from: u64) -> Error {
    for n in from.. {
        let new = NewAttachment::new(user("ann"), n.to_string());
        let id = match app.put_attachment(new, &content(n)[..]).await {
            Ok(put) => put.id,
            Err(error) => return error,
        };
        say(&format!("put {n} {id}"));
        if n % 3 == 0 {
            say(&format!("deleting {n} {id}"));
            if let Err(error) = app.delete_attachment(id).await {
                return error;
            }
            say(&format!("deleted {n} {id}"));
        }
    }
    unreachable!()
}

async fn joins(app: App, from: u64) -> Error {
    for n in from.. {
        let id = user(&format!("u{n}"));
        if let Err(error) = app.users().register(Account::new(id.clone())).await {
            return error;
        }
        match app.groups().members(&everybody()).add(&id).await {
            Ok(()) => say(&format!("joined {n}")),
            Err(error) => return error,
        }
    }
    unreachable!()
}

async fn directs(app: App, from: u64) -> Error {
    for n in from.. {
        let message = NewMessage::text(direct(), user("bob"), body(n));
        match app.append(message).await {
            Ok(receipt) => say(&format!("directed {n} {}", receipt.seq)),
            Err(error) => return error,
        }
    }
    unreachable!()
}

async fn inbox(app: App) -> Error {
    let ann = user("ann");
    let inbox = app.inbox(&ann, "phone").unwrap();
    loop {
        let page = match inbox.page(None, 50).await {
            Ok(page) => page,
            Err(error) => return error,
        };
        let Some(last) = page.items.last() else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        if let Err(error) = inbox.acknowledge(&page.cursor).await {
            return error;
        }
        say(&format!("acked {}", last.message.seq));
    }
}

/// Reads something of every part; a broken store must still be able to.
async fn read_back(app: &App) {
    let read = async {
        for writer in 0..WRITERS {
            let found = whole(app, &group(&format!("g{writer}"))).await?;
            say(&format!("read {writer} {}", found.len()));
        }
        app.user_attributes().get(&user("profile0"), None).await?;
        app.groups().get(&everybody()).await?;
        Ok::<(), Error>(())
    };
    match read.await {
        Ok(()) => say("reads work"),
        Err(error) => say(&format!("reads fail {error}")),
    }
}

/// How old the messages of a round are that shall expire, in days.
fn days_of(round: u64) -> u64 {
    170 - round * 20
}

/// The time at which the messages of a round are behind the floor, with their whole bucket.
pub(crate) fn time_that_expires(round: u64) -> Millis {
    ago(0) + (180 - days_of(round) + 10) * DAY
}

/// A moment that lies a number of days back.
pub(crate) fn ago(days: u64) -> Millis {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(now.as_millis()).unwrap() - days * DAY
}

/// Stores what is old already, turns it into segments, lets it expire, and says each.
async fn expire(dir: &Path, engine: EngineKind, shards: u16, round: u64) {
    let (store, app) = open(dir, engine, shards).await.unwrap();
    // The floor of an Enterprise app lies 180 days back; what is younger expires when a later time is vouched for.
    let days = days_of(round);
    for n in 0..40 {
        let batch = (0..25).map(|m| {
            old(
                &format!("old{}", n % 8),
                "ann",
                body(n * 25 + m),
                ago(days) + n * 1_000,
            )
        });
        for receipt in app.import(batch.collect()).await {
            receipt.unwrap();
        }
    }
    store.flush().await.unwrap();
    say(&format!("imported {days}"));
    let report = store.expire_at(time_that_expires(round)).await;
    say(&format!("expired {}", report.unwrap().segments));
    for n in round << 32.. {
        say(&format!("sending 0 {n}"));
        let sent = app.append(text("g0", "ann", body(n))).await.unwrap();
        say(&format!("sent 0 {n} {}", sent.seq));
    }
}
