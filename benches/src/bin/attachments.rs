//! Attachments in the store against one plain file each, round by round in turn, as ratios.
//!
//! Criterion measures one thing after the other; on a machine whose disk changes its mind from second to second only
//! figures of the same moments can be compared. So here each round does both, and the medians of the rounds' ratios
//! are printed.
//!
//! ```text
//! attachments                                  the table of benches/README.md
//! attachments SHARED_KIB SIZE_KIB WRITERS      one line of it, with a threshold of one's own
//! ```

use std::sync::Arc;
use std::time::Duration;

use tidestore::Options;
use tidestore_benches::Bench;
use tidestore_benches::attachments::{Contents, Keeper, get_all, keepers, put_all, remove_all};

const ROUNDS: usize = 7;
/// So many bytes are put in a round, or a few attachments if they are large.
const ROUND_BYTES: usize = 64 << 20;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).flat_map(|n| n.parse()).collect();
    let default = Options::default().shared_attachment_bytes;
    let (shared, lines) = if let [shared, size, writers] = numbers[..] {
        (shared << 10, vec![(size << 10, writers)])
    } else {
        let sizes = [20 << 10, 200 << 10, 10 << 20];
        let lines = sizes.into_iter().flat_map(|size| [(size, 1), (size, 16)]);
        (default, lines.collect())
    };
    println!(
        "attachments up to {} KiB share volumes; medians of {ROUNDS} rounds",
        shared >> 10
    );
    println!(
        "{:>8} {:>7} | {:>9} {:>9} {:>6} | {:>9} {:>9} {:>6}",
        "size", "at once", "put MB/s", "plain", "ratio", "get MB/s", "plain", "ratio"
    );
    for (size, writers) in lines {
        let [put, plain_put, put_ratio, get, plain_get, get_ratio] = line(shared, size, writers);
        println!(
            "{:>7}K {writers:>7} | {put:>9.0} {plain_put:>9.0} {put_ratio:>6.2} | {get:>9.0} {plain_get:>9.0} {get_ratio:>6.2}",
            size >> 10
        );
    }
}

/// Medians of: put, plain put, their ratio, get, plain get, their ratio.
fn line(shared_attachment_bytes: usize, size: usize, writers: usize) -> [f64; 6] {
    let bench = Bench::new(Options {
        shared_attachment_bytes,
        ..Options::default()
    });
    let (store, plain) = keepers(&bench);
    let contents = Arc::new(Contents::new(size));
    // One writer alone is slow; the largest need enough of them for sixteen writers.
    let total = (ROUND_BYTES / size / (if writers == 1 { 4 } else { 1 })).clamp(12, 1_600);
    let mut figures: [Vec<f64>; 6] = Default::default();
    for round in 0..=ROUNDS {
        // Who goes first changes from round to round: the second finds the disk busier.
        let (ours, theirs) = if round % 2 == 0 {
            let ours = put_and_get(&bench, &store, &contents, writers, total);
            (ours, put_and_get(&bench, &plain, &contents, writers, total))
        } else {
            let theirs = put_and_get(&bench, &plain, &contents, writers, total);
            (
                put_and_get(&bench, &store, &contents, writers, total),
                theirs,
            )
        };
        // The first round warms up.
        if round > 0 {
            let ratios = [ours.0 / theirs.0, ours.1 / theirs.1];
            let all = [ours.0, theirs.0, ratios[0], ours.1, theirs.1, ratios[1]];
            for (figures, figure) in figures.iter_mut().zip(all) {
                figures.push(figure);
            }
        }
    }
    figures.map(median)
}

/// Megabytes a second, putting and getting.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn put_and_get(
    bench: &Bench,
    keeper: &Keeper,
    contents: &Arc<Contents>,
    writers: usize,
    total: usize,
) -> (f64, f64) {
    let rate = |time: Duration| (contents.size() * total) as f64 / time.as_secs_f64() / 1e6;
    let (put, kept) = put_all(bench, keeper, contents, writers, total);
    let kept = Arc::new(kept);
    let get = get_all(bench, keeper, &kept, writers);
    remove_all(bench, keeper, &kept);
    (rate(put), rate(get))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
