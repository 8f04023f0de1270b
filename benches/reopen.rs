//! Opening a store: after a clean close, and after a crash that left 100,000 messages in the log.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tidestore::Options;
use tidestore_benches::Bench;

fn reopen(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reopen");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(4));
    let mut bench = Bench::new(Options::default());
    bench.fill(100_000);
    // Everything is still in memtable and log: a memtable takes 32 MiB per shard.
    group.bench_function("after_a_crash_100000_in_the_log", |bencher| {
        bencher.iter(|| bench.reopen(Options::default()));
    });
    for messages in [200_000, 800_000] {
        bench.fill(messages - messages / 4);
        bench.run(bench.store.as_ref().unwrap().close()).unwrap();
        bench.reopen(Options::default());
        group.bench_function(format!("clean_about_{messages}_messages"), |bencher| {
            bencher.iter(|| {
                bench.run(bench.store.as_ref().unwrap().close()).unwrap();
                bench.reopen(Options::default());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reopen);
criterion_main!(benches);
