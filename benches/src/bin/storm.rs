//! A reconnect storm: thousands of members of one group come back after a thousand messages.
//!
//! `storm DIR [MEMBERS]` fills an empty directory: MEMBERS (8,000) members of one group, 20 other conversations each, all
//! acknowledged; then 1,000 messages in the group. Each member drains and acknowledges; then again after everything was
//! written out and the store opened anew, with nothing in memory. Prints time per user, what is read from the disk, and
//! memory.

#![expect(
    clippy::disallowed_methods,
    reason = "measures real time, memory and reads"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use tidestore::plan::{AppKey, Caps, Plan, ResourceId, Terms, UserId};
use tidestore::{Account, App, Conversation, NewChannel, NewMessage, Options, Store};

const MESSAGES: usize = 1_000;
const OTHERS: usize = 20;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (dir, members) = match &args[..] {
        [dir] => (dir, 8_000),
        [dir, members] => (dir, members.parse().unwrap()),
        _ => panic!("storm DIR [MEMBERS]"),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(storm(Path::new(dir), members));
}

fn user(n: usize) -> UserId {
    UserId::parse(&format!("user-{n:05}")).unwrap()
}

fn tea() -> ResourceId {
    ResourceId::parse("tea").unwrap()
}

async fn storm(dir: &Path, members: usize) {
    let key = AppKey::parse("acme#storm").unwrap();
    let store = Store::open(dir, Options::default()).await.unwrap();
    let caps = Caps {
        users: None,
        group_members: None,
        ..Plan::Enterprise.caps()
    };
    let app = store
        .create_app(&key, Terms::enterprise(caps))
        .await
        .unwrap();
    fill(&app, members).await;
    println!(
        "{members} members, {OTHERS} other conversations each, {MESSAGES} messages in the group"
    );
    println!(
        "| | per user | p50 | p99 | messages/s | read from the disk | memory | to acknowledge |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    say(&app).await;
    drain(&app, members, "messages in memory").await;
    store.flush().await.unwrap();
    say(&app).await;
    store.flush().await.unwrap();
    store.merge().await.unwrap();
    store.close().await.unwrap();
    drop((app, store));
    let store = Store::open(dir, Options::default()).await.unwrap();
    let app = store.app(&key).unwrap();
    drain(&app, members, "opened anew, messages in segments").await;
    let quiet = Instant::now();
    for n in 0..members {
        assert_eq!(app.offline_count(&user(n)).await.unwrap(), 0);
    }
    let each = quiet.elapsed() / u32::try_from(members).unwrap();
    println!("nothing new: {each:.1?} a user");
    store.close().await.unwrap();
}

async fn fill(app: &App, members: usize) {
    let users: Vec<UserId> = (0..members).map(user).collect();
    for users in users.chunks(60) {
        let accounts = users.iter().cloned().map(Account::new).collect();
        app.users().register_many(accounts).await.unwrap();
    }
    let new = NewChannel {
        max_users: Some(10_000),
        ..NewChannel::new(tea(), user(0))
    };
    app.groups().create(new).await.unwrap();
    for users in users[1..].chunks(60) {
        app.groups().members(&tea()).add_many(users).await.unwrap();
    }
    // Each with the twenty behind him, so that everybody has forty, twenty begun by himself.
    for n in 0..members {
        let hello = |other: usize| {
            let chat = Conversation::direct(&user(n), &user((n + other) % members));
            NewMessage::text(chat, user(n), "hello")
        };
        app.append_many((1..=OTHERS / 2).map(hello).collect()).await;
    }
    for user in &users {
        let inbox = app.inbox(user, "phone").unwrap();
        let page = inbox.page(None, 1_000).await.unwrap();
        inbox.acknowledge(&page.cursor).await.unwrap();
    }
}

async fn say(app: &App) {
    let text = "a message of the length that messages have, with nothing to say";
    let one = NewMessage::text(Conversation::group(&tea()), user(1), text);
    app.append_many(vec![one; MESSAGES]).await;
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
async fn drain(app: &App, members: usize, what: &str) {
    let before = counters();
    let started = Instant::now();
    let mut times: Vec<Duration> = Vec::with_capacity(members);
    let mut cursors = Vec::with_capacity(members);
    for n in 0..members {
        let user = user(n);
        let inbox = app.inbox(&user, "phone").unwrap();
        let began = Instant::now();
        let page = inbox.page(None, MESSAGES).await.unwrap();
        times.push(began.elapsed());
        assert_eq!((page.items.len(), page.more), (MESSAGES, false));
        cursors.push((user, page.cursor));
    }
    let took = started.elapsed();
    let after = counters();
    times.sort_unstable();
    let sum: Duration = times.iter().sum();
    let (p50, p99) = (times[members / 2], times[members * 99 / 100]);
    let rate = (members * MESSAGES) as f64 / took.as_secs_f64();
    let acknowledged = acknowledge(app, cursors).await / u32::try_from(members).unwrap();
    println!(
        "| {what} | {:.0?} | {p50:.0?} | {p99:.0?} | {rate:.0} | {:.2} MB | {:.0} MB | {acknowledged:.0?} |",
        sum / u32::try_from(members).unwrap(),
        (after.0 - before.0) as f64 / 1e6,
        after.1 as f64 / 1e6,
    );
}

/// Acknowledges for all, as a server would: 256 at a time.
async fn acknowledge(app: &App, cursors: Vec<(UserId, String)>) -> Duration {
    let started = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for (user, cursor) in cursors {
        if waiting.len() == 256 {
            waiting.join_next().await.unwrap().unwrap();
        }
        let app = app.clone();
        waiting.spawn(async move {
            let inbox = app.inbox(&user, "phone").unwrap();
            inbox.acknowledge(&cursor).await.unwrap();
        });
    }
    while let Some(done) = waiting.join_next().await {
        done.unwrap();
    }
    started.elapsed()
}

/// Bytes that reads have asked the system for, and memory in use.
fn counters() -> (u64, u64) {
    let number = |path: &str, name: &str| {
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        let digits = line.split_ascii_whitespace().nth(1).unwrap();
        digits.parse::<u64>().unwrap()
    };
    (
        number("/proc/self/io", "rchar:"),
        number("/proc/self/status", "VmRSS:") * 1024,
    )
}
