//! Work to be counted in instructions, which do not jitter: `instructions WHAT TIMES` does it so often.
//!
//! `benches/instructions` runs it under callgrind with two different counts, and takes the difference: what comes before and after
//! is in both. Everything lies on the simulated disk, on one thread of the caller's.

use std::hint::black_box;

use tidestore::disk::{Env, Seal, SimClock, SimDisk, decode_frame, encode_frame};
use tidestore::plan::{Plan, Terms};
use tidestore::{App, Durability, Options, Page, Store};
use tidestore_benches::{chat, key};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, times] = &args[..] else {
        panic!("instructions append|page_from_memtable|page_from_blocks|frame TIMES")
    };
    let times: usize = times.parse().unwrap();
    match what.as_str() {
        "append" => append(times),
        "page_from_memtable" => pages(times, false),
        "page_from_blocks" => pages(times, true),
        "frame" => frames(times),
        other => panic!("nothing to count: {other}"),
    }
}

fn store(options: Options) -> (tokio::runtime::Runtime, Store, App) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let env = Env::sim(SimDisk::new(), SimClock::new(1_700_000_000_000), 1);
    let (store, app) = runtime.block_on(async {
        let store = Store::open_env(env, options).await.unwrap();
        let terms = Terms::of(Plan::Enterprise);
        let app = store.create_app(&key(), terms).await.unwrap();
        (store, app)
    });
    (runtime, store, app)
}

/// Options under which nothing happens by itself.
fn quiet() -> Options {
    Options {
        shards: 1,
        durability: Durability::Buffered,
        reads_in_place: true,
        background: false,
        cache_bytes: 0,
        ..Options::default()
    }
}

/// Messages in batches of 256, 256 times `times`.
fn append(times: usize) {
    let (runtime, _store, app) = store(quiet());
    let messages: Vec<_> = chat(256 * times).collect();
    for batch in messages.chunks(256) {
        let receipts = runtime.block_on(app.append_many(batch.to_vec()));
        assert!(receipts.iter().all(Result::is_ok));
    }
}

/// Newest pages of 20; without a cache, so that blocks are decoded each time.
fn pages(times: usize, from_blocks: bool) {
    let (runtime, store, app) = store(quiet());
    let messages: Vec<_> = chat(20_000).collect();
    runtime.block_on(app.append_many(messages));
    if from_blocks {
        runtime.block_on(store.flush()).unwrap();
    }
    let heads = runtime.block_on(app.conversations(None, 100)).unwrap();
    for index in 0..times {
        let conversation = &heads[index % heads.len()].conversation;
        let page = runtime.block_on(app.history(conversation, Page::newest(20)));
        black_box(page.unwrap());
    }
}

/// Frames of 4 KiB, checked and taken apart.
fn frames(times: usize) {
    let seal = Seal {
        store: [3; 16],
        kind: 1,
        generation: 7,
    };
    let mut bytes = Vec::new();
    encode_frame(&mut bytes, &seal, 0, &[7; 4_096]).unwrap();
    for _ in 0..times {
        black_box(decode_frame(black_box(&bytes), &seal, 0, 1 << 20).unwrap());
    }
}
