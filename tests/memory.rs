//! Whatever clients do, a store takes the memory that its options say. Counted by the allocator, so a test of its own; one
//! test function, so that nothing else allocates meanwhile.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use tidestore::plan::{Plan, Terms};
use tidestore::{
    App, Conversation, Durability, EngineKind, ErrorKind, Event, NewAttachment, NewMessage,
    Options, Page, Signal, Store,
};
use tidestore_tests::{group, key, old, text, user};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

fn small() -> Options {
    Options {
        shards: 1,
        // Holds rows in memory by itself, but there are few: heads.
        engine: EngineKind::Memory,
        durability: Durability::Buffered,
        memtable_bytes: MIB,
        queue_bytes: MIB,
        cache_bytes: MIB,
        index_bytes: 64 << 10,
        receipt_bytes: 64 << 10,
        log_file_bytes: MIB as u64,
        heads: 1_000,
        transfers: 4,
        streams: 40,
        ..Options::default()
    }
}

async fn open(dir: &std::path::Path, options: Options) -> (Store, App) {
    let store = Store::open(dir, options).await.unwrap();
    let app = match store.app(&key("acme#chat")) {
        Ok(app) => app,
        Err(_) => store
            .create_app(&key("acme#chat"), Terms::of(Plan::Pro))
            .await
            .unwrap(),
    };
    (store, app)
}

fn large(n: usize) -> NewMessage {
    let mut message = text(&format!("g{}", n % 50), "ann", vec![7; 3_000]);
    message.client_id = format!("client-{n}").into();
    message
}

/// Polls a future once.
fn begin<T>(future: impl Future<Output = T>) -> Poll<T> {
    let mut context = Context::from_waker(Waker::noop());
    pin!(future).poll(&mut context)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_within_what_the_options_say_whatever_clients_do() {
    let dir = tempfile::tempdir().unwrap();
    let (store, app) = open(&dir.path().join("data"), small()).await;
    appends_as_fast_as_can_be(&app).await;
    results_that_nobody_reads(&store, &app).await;
    bodies_that_are_slices(&store, &app).await;
    streams_that_nobody_polls(&app).await;
    transfers_that_never_end(&store, &app).await;
    store.close().await.unwrap();
    drop((store, app));
    let (store, app) = open(&dir.path().join("other"), small()).await;
    imports_that_store_nothing(&store, &app).await;
    store.close().await.unwrap();
}

/// Three memtables of a mebibyte, a queue of one, the caches, a batch and its buffers: 24 MiB are ample for what is
/// more than twice as much.
async fn appends_as_fast_as_can_be(app: &App) {
    const BOUND: usize = 24 * MIB;
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let writer = |task: usize| {
        let app = app.clone();
        tokio::spawn(async move {
            for round in 0..10 {
                let first = (task * 10 + round) * 64;
                let list = (first..first + 64).map(large).collect();
                for receipt in app.append_many(list).await {
                    receipt.unwrap();
                }
            }
        })
    };
    let writers: Vec<_> = (0..32).map(writer).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let peak = ALLOCATOR.peak_usage() - before;
    // What the writers hold themselves.
    let own = 32 * 64 * 3_500;
    println!(
        "60 MB appended by 32 writers: {} KiB more at most",
        peak >> 10
    );
    assert!(peak < BOUND + own, "{peak} bytes more");
}

/// Each append is begun, and nobody ever asks how it went.
async fn results_that_nobody_reads(store: &Store, app: &App) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let mut entered = 0;
    for n in 0..10_000 {
        // Dropped right away: the message is in the queue by then, or was never let in.
        let _: Poll<_> = begin(app.append(large(1_000_000 + n)));
        entered += 1;
        if n % 512 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let status = store.status().await.unwrap();
    let queue = status.shards[0].queue;
    assert!(queue.bytes <= MIB as u64, "{queue:?}");
    let peak = ALLOCATOR.peak_usage() - before;
    println!(
        "{entered} results never read: {} KiB more at most, {queue:?}",
        peak >> 10
    );
    assert!(peak < 24 * MIB, "{peak} bytes more");
    assert!(queue.held_back > 0, "nobody was held back: {queue:?}");
}

/// Servers read into large buffers, and a body is a small part of one. The memtable once kept the whole of each.
async fn bodies_that_are_slices(store: &Store, app: &App) {
    store.flush().await.unwrap();
    let before = ALLOCATOR.current_usage();
    for n in 0..200 {
        let buffer = Bytes::from(vec![7; MIB]);
        let mut message = text("slices", "ann", buffer.slice(n..n + 50));
        message.ext = buffer.slice(0..10);
        app.append(message).await.unwrap();
    }
    let more = ALLOCATOR.current_usage().saturating_sub(before);
    assert!(more < 8 * MIB, "{more} bytes for 200 messages");
}

async fn streams_that_nobody_polls(app: &App) {
    let ann = user("ann");
    let bob = user("bob");
    let talk = Conversation::direct(&ann, &bob);
    let mut streams = Vec::new();
    for n in 0..40 {
        let inbox = app.inbox(&bob, &format!("phone-{n}")).unwrap();
        streams.push(inbox.subscribe().await.unwrap());
    }
    let refused = app.inbox(&bob, "one-more").unwrap().subscribe().await;
    assert_eq!(refused.unwrap_err().kind(), &ErrorKind::Busy);
    let fill = |n: usize| NewMessage::text(talk.clone(), ann.clone(), vec![7; 100 + n % 2]);
    for receipt in app.append_many((0..1_000).map(fill).collect()).await {
        receipt.unwrap();
    }
    for stream in &mut streams {
        assert!(matches!(stream.next().await.unwrap(), Event::Message(_)));
    }
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    for round in 0..5 {
        for receipt in app
            .append_many((0..1_000).map(|n| fill(round + n)).collect())
            .await
        {
            receipt.unwrap();
        }
        let signal = |bytes: usize| Signal {
            id: None,
            conversation: talk.clone(),
            from: ann.clone(),
            kind: "typing".into(),
            body: vec![7; bytes].into(),
            ext: Bytes::new(),
        };
        for _ in 0..200 {
            assert_eq!(app.signal([&bob], &signal(10_000)), 40);
        }
        assert_eq!(app.signal([&bob], &signal(300 << 10)), 0);
    }
    let more = ALLOCATOR.peak_usage().saturating_sub(before);
    println!(
        "40 streams that nobody polls: {} KiB more at most",
        more >> 10
    );
    // 256 KiB of signals each, shared in truth, and the store's own bound.
    assert!(more < 24 * MIB + 40 * (256 << 10), "{more} bytes more");
    for stream in &mut streams {
        let mut signals = 0;
        while matches!(stream.next().await.unwrap(), Event::Signal(_)) {
            signals += 1;
        }
        assert!(
            (20..=26).contains(&signals),
            "{signals} signals of 10 kB wait"
        );
    }
    drop(streams);
    drop(
        app.inbox(&bob, "one-more")
            .unwrap()
            .subscribe()
            .await
            .unwrap(),
    );
}

async fn transfers_that_never_end(store: &Store, app: &App) {
    let new = || NewAttachment::new(user("ann"), "video");
    let whole = app
        .put_attachment(new(), &vec![7_u8; 2_000_000][..])
        .await
        .unwrap();
    let before = ALLOCATOR.current_usage();
    let mut uploads = Vec::new();
    for _ in 0..2 {
        let mut upload = app.upload(new()).unwrap();
        upload.write(&vec![7; 9 * MIB]).await.unwrap();
        uploads.push(upload);
    }
    let mut downloads = Vec::new();
    for _ in 0..2 {
        downloads.push(app.open_attachment(whole.id).await.unwrap());
    }
    let busy = |error: &tidestore::Error| *error.kind() == ErrorKind::Busy;
    assert!(busy(&app.upload(new()).unwrap_err()));
    assert!(busy(&app.open_attachment(whole.id).await.unwrap_err()));
    assert!(busy(
        &app.put_attachment(new(), &b"x"[..]).await.unwrap_err()
    ));
    assert_eq!(store.status().await.unwrap().transfers, 4);
    let more = ALLOCATOR.current_usage().saturating_sub(before);
    assert!(more < 8 * MIB, "{more} bytes for four transfers");
    drop((uploads, downloads));
    app.put_attachment(new(), &b"x"[..]).await.unwrap();
    assert_eq!(store.status().await.unwrap().transfers, 0);
}

/// An import that was made before looks at every conversation and stores nothing, so no checkpoint ever made it forget
/// them. And whoever reads old messages everywhere filled the memory with indexes, and with prefixes of receipts.
async fn imports_that_store_nothing(store: &Store, app: &App) {
    let time = store.file().created;
    let list = |round: usize| {
        let message = move |n: usize| {
            let place = round * 1_000 + n;
            let mut old = old(&format!("g{place}"), "ann", "hello", time + place as u64);
            old.message.client_id = format!("c{n}").into();
            old
        };
        (0..1_000).map(message).collect::<Vec<_>>()
    };
    for round in 0..10 {
        for receipt in app.import(list(round)).await {
            assert!(!receipt.unwrap().duplicate);
        }
        if round % 2 == 1 {
            store.flush().await.unwrap();
        }
    }
    for round in 0..10 {
        for receipt in app.import(list(round)).await {
            assert!(receipt.unwrap().duplicate);
        }
    }
    for n in (0..10_000).step_by(97) {
        let page = app.history(&group(&format!("g{n}")), Page::newest(5)).await;
        assert_eq!(page.unwrap().len(), 1);
    }
    let status = store.status().await.unwrap();
    assert!(
        status.shards[0].heads <= 6_000,
        "{} heads",
        status.shards[0].heads
    );
    assert!(status.indexes.bytes <= 64 << 10, "{:?}", status.indexes);
    assert!(status.receipt_bytes <= 64 << 10, "{}", status.receipt_bytes);
    assert!(status.blocks.bytes <= MIB as u64, "{:?}", status.blocks);
}
