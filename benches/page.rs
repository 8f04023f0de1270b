//! Reading: the newest page from memory, from cached blocks and from blocks that have to be read and decoded; one
//! message by its id.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tidestore::{Conversation, MessageId, Options, Page};
use tidestore_benches::Bench;

const MESSAGES: usize = 200_000;

fn conversations(bench: &Bench) -> Vec<Conversation> {
    let app = bench.app();
    let heads = bench.run(app.conversations(None, 500)).unwrap();
    heads.into_iter().map(|head| head.conversation).collect()
}

fn newest(bench: &Bench, conversation: &Conversation) -> usize {
    bench
        .run(bench.app().history(conversation, Page::newest(20)))
        .unwrap()
        .len()
}

/// Times pages whose blocks are neither in a cache of the store nor in that of the system: before each one, the
/// system is told to forget every segment. Indexes of segments stay in memory, as they do in a store that runs.
#[expect(clippy::disallowed_methods, reason = "the bench measures real time")]
fn cold(bench: &Bench, names: &[Conversation], count: u64) -> Duration {
    let segments = segments(&bench.dir.path().join("data"));
    let mut total = Duration::ZERO;
    for name in names.iter().cycle().take(usize::try_from(count).unwrap()) {
        for segment in &segments {
            rustix::fs::fadvise(segment, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        }
        let start = Instant::now();
        assert!(newest(bench, name) > 0);
        total += start.elapsed();
    }
    total
}

#[expect(
    clippy::disallowed_methods,
    reason = "looks at the store's files from outside"
)]
fn segments(dir: &Path) -> Vec<File> {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| {
        if path.is_dir() {
            segments(&path)
        } else if path.extension() == Some("seg".as_ref()) {
            vec![File::open(path).unwrap()]
        } else {
            Vec::new()
        }
    });
    found.collect()
}

fn pages(criterion: &mut Criterion) {
    let mut bench = Bench::new(Options::default());
    bench.fill(MESSAGES);
    let names = conversations(&bench);
    let mut group = criterion.benchmark_group("newest_page_of_20");
    group
        .sample_size(30)
        .measurement_time(Duration::from_secs(3));
    let mut turn = names.iter().cycle();
    group.bench_function("memtable", |bencher| {
        bencher.iter(|| newest(&bench, turn.next().unwrap()));
    });
    bench.run(bench.store.as_ref().unwrap().flush()).unwrap();
    bench.run(bench.store.as_ref().unwrap().merge()).unwrap();
    group.bench_function("cached_blocks", |bencher| {
        bencher.iter(|| newest(&bench, turn.next().unwrap()));
    });
    // No cache of the store's own: each page reads its block from the system's page cache and decodes it.
    bench.reopen(Options {
        cache_bytes: 0,
        ..Options::default()
    });
    group.bench_function("decoded_each_time_page_cache_warm", |bencher| {
        bencher.iter(|| newest(&bench, turn.next().unwrap()));
    });
    group.bench_function("cold", |bencher| {
        bencher.iter_custom(|count| cold(&bench, &names, count));
    });
    group.finish();
    bench.reopen(Options::default());
    by_id(criterion, &bench, &names);
}

fn by_id(criterion: &mut Criterion, bench: &Bench, names: &[Conversation]) {
    let app = bench.app();
    let ids: Vec<MessageId> = names
        .iter()
        .flat_map(|name| bench.run(app.history(name, Page::newest(20))).unwrap())
        .map(|message| message.id)
        .collect();
    let mut turn = ids.iter().cycle();
    let mut group = criterion.benchmark_group("lookup");
    group
        .sample_size(30)
        .measurement_time(Duration::from_secs(3));
    group.bench_function("by_id_cached", |bencher| {
        bencher.iter_batched(
            || *turn.next().unwrap(),
            |id| bench.run(app.message(id)).unwrap(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, pages);
criterion_main!(benches);
