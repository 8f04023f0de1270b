//! Memory and back-pressure under clients that mean no good, and what metrics cost.
//!
//! `pressure flood DIR [SECONDS]` opens a store in an empty directory and lets three kinds of client at it for a minute:
//! writers that append as fast as they are let, lists of 256 messages of up to 3 KB each; clients that begin appends and
//! never look at the results; and streams that are followed and never polled while signals rain on them. Prints the
//! resident memory every five seconds, and its peak.
//!
//! `pressure append DIR on|off [MESSAGES]` appends short messages in lists of 256, buffered, by eight writers, with a recorder
//! of metrics or without: one figure, to be set beside the other's. Run each several times.

#![expect(
    clippy::disallowed_methods,
    reason = "measures real time and the process itself"
)]

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tidestore::plan::{AppKey, Plan, Terms, UserId};
use tidestore::{App, Conversation, Durability, NewMessage, Options, Signal, Store};
use tidestore_benches::chat;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match args[..] {
        ["flood", dir] => runtime.block_on(flood(Path::new(dir), 60)),
        ["flood", dir, seconds] => {
            runtime.block_on(flood(Path::new(dir), seconds.parse().unwrap()));
        }
        ["append", dir, recorder] => runtime.block_on(append(Path::new(dir), recorder, 2_000_000)),
        ["append", dir, recorder, messages] => {
            runtime.block_on(append(Path::new(dir), recorder, messages.parse().unwrap()));
        }
        _ => panic!("pressure flood DIR [SECONDS] | pressure append DIR on|off [MESSAGES]"),
    }
}

async fn open(dir: &Path, options: Options) -> (Store, App) {
    let store = Store::open(dir, options).await.unwrap();
    let key = AppKey::parse("acme#pressure").unwrap();
    let app = store.create_app(&key, Terms::of(Plan::Pro)).await.unwrap();
    (store, app)
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn message(n: u64) -> NewMessage {
    let group = Conversation::parse(&format!("group:g{}", n % 1_000)).unwrap();
    let body = vec![u8::try_from(n % 251).unwrap(); usize::try_from(n % 3_000).unwrap()];
    let mut message = NewMessage::text(group, user("ann"), body);
    message.client_id = format!("client-{n}").into();
    message
}

async fn flood(dir: &Path, seconds: u64) {
    let options = Options {
        durability: Durability::Buffered,
        ..Options::default()
    };
    let (store, app) = open(dir, options).await;
    println!("idle: {} MiB", resident("VmRSS") >> 20);
    let over = Arc::new(AtomicBool::new(false));
    let (numbers, written) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let begun = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for _ in 0..16 {
        let (app, over) = (app.clone(), Arc::clone(&over));
        let (numbers, written) = (Arc::clone(&numbers), Arc::clone(&written));
        clients.push(tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let first = numbers.fetch_add(256, Ordering::Relaxed);
                let done = app
                    .append_many((first..first + 256).map(message).collect())
                    .await;
                assert!(done.iter().all(Result::is_ok));
                written.fetch_add(256, Ordering::Relaxed);
            }
        }));
    }
    let never_reads = {
        let (app, over) = (app.clone(), Arc::clone(&over));
        let (numbers, begun) = (Arc::clone(&numbers), Arc::clone(&begun));
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                for _ in 0..64 {
                    let append = app.append(message(numbers.fetch_add(1, Ordering::Relaxed)));
                    let mut context = Context::from_waker(Waker::noop());
                    // Dropped right away, with whatever it was going to say.
                    let _: Poll<_> = pin!(append).poll(&mut context);
                    begun.fetch_add(1, Ordering::Relaxed);
                }
                tokio::task::yield_now().await;
            }
        })
    };
    clients.push(never_reads);
    let bob = user("bob");
    let mut streams = Vec::new();
    for n in 0..1_000 {
        let inbox = app.inbox(&bob, &format!("phone-{n}")).unwrap();
        streams.push(inbox.subscribe().await.unwrap());
    }
    let signal = Signal {
        conversation: Conversation::direct(&user("ann"), &bob),
        id: None,
        from: user("ann"),
        kind: "typing".into(),
        body: vec![7; 1_000].into(),
        ext: Vec::new().into(),
    };
    let start = Instant::now();
    let mut next = Duration::from_secs(5);
    println!("| after | resident | peak | messages | begun and dropped | held back | waiting |");
    println!("|---|---|---|---|---|---|---|");
    while start.elapsed() < Duration::from_secs(seconds) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        app.signal([&bob], &signal);
        if start.elapsed() >= next {
            next += Duration::from_secs(5);
            let status = store.status().await.unwrap();
            let sum = |of: fn(&tidestore::QueueStatus) -> u64| {
                status
                    .shards
                    .iter()
                    .map(|shard| of(&shard.queue))
                    .sum::<u64>()
            };
            println!(
                "| {} s | {} MiB | {} MiB | {} | {} | {} | {} |",
                start.elapsed().as_secs(),
                resident("VmRSS") >> 20,
                resident("VmHWM") >> 20,
                written.load(Ordering::Relaxed),
                begun.load(Ordering::Relaxed),
                sum(|queue| queue.held_back),
                sum(|queue| queue.waiting),
            );
        }
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    drop(streams);
    store.close().await.unwrap();
    println!("peak: {} MiB", resident("VmHWM") >> 20);
}

async fn append(dir: &Path, recorder: &str, messages: usize) {
    if recorder == "on" {
        metrics::set_global_recorder(Board).unwrap_or_else(|_| panic!("a recorder is there"));
    }
    let options = Options {
        durability: Durability::Buffered,
        ..Options::default()
    };
    let (store, app) = open(dir, options).await;
    let list: Vec<_> = chat(messages).collect();
    let start = Instant::now();
    let writers: Vec<_> = list
        .chunks(messages.div_ceil(8))
        .map(|share| {
            let (app, share) = (app.clone(), share.to_vec());
            tokio::spawn(async move {
                for batch in share.chunks(256) {
                    let done = app.append_many(batch.to_vec()).await;
                    assert!(done.iter().all(Result::is_ok));
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let took = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    let rate = messages as f64 / took;
    println!("recorder {recorder}: {rate:.0} messages/s");
    store.close().await.unwrap();
}

/// The least that a recorder can do: keep each value in memory.
struct Board;

struct Sum(AtomicU64);

impl HistogramFn for Sum {
    fn record(&self, value: f64) {
        self.0.fetch_add(value.to_bits(), Ordering::Relaxed);
    }
}

impl Recorder for Board {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(AtomicU64::new(0)))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(AtomicU64::new(0)))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Sum(AtomicU64::new(0))))
    }
}

/// A figure of `/proc/self/status`, in bytes.
fn resident(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}
