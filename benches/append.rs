//! Durable and buffered appends by 1, 8 and 64 waiting writers, beside the least a disk can do for them.

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidestore::{Durability, Options};
use tidestore_benches::{Bench, chat};

/// Runs `total` appends by so many writers, each waiting for its receipt before it goes on.
#[expect(clippy::disallowed_methods, reason = "the bench measures real time")]
fn append(bench: &Bench, writers: usize, durability: Durability, total: u64) -> Duration {
    let per_writer = usize::try_from(total).unwrap().div_ceil(writers);
    let mut messages = chat(per_writer * writers);
    let shares: Vec<Vec<_>> = (0..writers)
        .map(|_| messages.by_ref().take(per_writer).collect())
        .collect();
    let app = bench.app();
    let start = Instant::now();
    bench.run(async {
        let tasks: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let app = app.clone();
                tokio::spawn(async move {
                    for message in share {
                        app.append_with(message, durability).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    start.elapsed()
}

fn appends(criterion: &mut Criterion) {
    let bench = Bench::new(Options::default());
    let mut group = criterion.benchmark_group("append");
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(4))
        .throughput(Throughput::Elements(1));
    for (name, durability) in [
        ("synced", Durability::Synced),
        ("buffered", Durability::Buffered),
    ] {
        for writers in [1, 8, 64] {
            group.bench_function(format!("{name}/{writers}_writers"), |bencher| {
                bencher.iter_custom(|total| append(&bench, writers, durability, total));
            });
        }
    }
    group.finish();
    many(criterion, &bench);
    raw(criterion, bench.dir.path());
}

fn many(criterion: &mut Criterion, bench: &Bench) {
    let app = bench.app();
    let batch: Vec<_> = chat(256).collect();
    let mut group = criterion.benchmark_group("append");
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(4))
        .throughput(Throughput::Elements(256));
    group.bench_function("synced/append_many_256", |bencher| {
        bencher.iter(|| bench.run(app.append_many(batch.clone())));
    });
    group.finish();
}

/// One kilobyte written into blocks that exist, and `fdatasync`: what one flush costs on this disk at this moment.
#[expect(
    clippy::disallowed_methods,
    reason = "measures the disk without the store"
)]
fn raw(criterion: &mut Criterion, dir: &Path) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(dir.join("raw"))
        .unwrap();
    file.write_all_at(&vec![0; 16 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let mut offset = 0;
    let mut group = criterion.benchmark_group("append");
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(4));
    group.bench_function("raw/1KiB_and_fdatasync", |bencher| {
        bencher.iter(|| {
            file.write_all_at(&[7; 1_024], offset).unwrap();
            rustix::fs::fdatasync(&file).unwrap();
            offset = (offset + 1_024) % (16 << 20);
        });
    });
    group.finish();
}

criterion_group!(benches, appends);
criterion_main!(benches);
