//! Attachments put and read by 1 and 16 at once, beside one plain file each.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidestore::Options;
use tidestore_benches::Bench;
use tidestore_benches::attachments::{Contents, get_all, keepers, put_all, remove_all};

fn attachments(criterion: &mut Criterion) {
    let bench = Bench::new(Options::default());
    let (store, plain) = keepers(&bench);
    for (len, name) in [(20 << 10, "20KB"), (200 << 10, "200KB"), (10 << 20, "10MB")] {
        let contents = Arc::new(Contents::new(len));
        for writers in [1, 16] {
            let mut group =
                criterion.benchmark_group(format!("attachments/{name}/{writers}_at_once"));
            group
                .sample_size(10)
                .measurement_time(Duration::from_secs(3))
                .throughput(Throughput::Bytes(len as u64));
            for (keeper, what) in [(&store, "store"), (&plain, "plain")] {
                group.bench_function(BenchmarkId::new("put", what), |bencher| {
                    bencher.iter_custom(|total| {
                        let total = usize::try_from(total).unwrap();
                        let (time, kept) = put_all(&bench, keeper, &contents, writers, total);
                        remove_all(&bench, keeper, &kept);
                        time
                    });
                });
                let (_, kept) = put_all(&bench, keeper, &contents, writers, 32);
                let kept = Arc::new(kept);
                group.bench_function(BenchmarkId::new("get", what), |bencher| {
                    bencher.iter_custom(|total| {
                        let rounds = usize::try_from(total).unwrap().div_ceil(kept.len());
                        let time: Duration = (0..rounds)
                            .map(|_| get_all(&bench, keeper, &kept, writers))
                            .sum();
                        time.mul_f64(f64::from(u32::try_from(total).unwrap()))
                            .div_f64(f64::from(u32::try_from(rounds * kept.len()).unwrap()))
                    });
                });
                remove_all(&bench, keeper, &kept);
            }
            group.finish();
        }
    }
}

criterion_group!(benches, attachments);
criterion_main!(benches);
