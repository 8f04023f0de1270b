//! Reading: the newest page from memory, from cached blocks and from blocks that have to be read and decoded; one
//! message by its id.

use std::time::Duration;

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
