//! Attachments in the store against one plain file each, round by round in turn, as ratios.
//!
//! Criterion measures one thing after the other; on a machine whose disk changes its mind from second to second only
//! figures of the same moments can be compared. So here each round does both, and the medians of the rounds' ratios
//! are printed.

use std::sync::Arc;
use std::time::Duration;

use tidestore::Options;
use tidestore_benches::Bench;
use tidestore_benches::attachments::{Contents, get_all, keepers, put_all, remove_all};

const ROUNDS: usize = 7;

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// `attachments SHARED_KIB SIZE_KIB WRITERS` measures one line alone.
fn only() -> Option<(usize, usize)> {
    let number = |nth| std::env::args().nth(nth)?.parse().ok();
    Some((number(2)?, number(3)?))
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn main() {
    let shared = std::env::args()
        .nth(1)
        .and_then(|kib| kib.parse::<usize>().ok());
    let shared_attachment_bytes =
        shared.map_or(Options::default().shared_attachment_bytes, |kib| kib << 10);
    let only = only();
    println!(
        "attachments up to {} KiB share volumes; medians of {ROUNDS} rounds",
        shared_attachment_bytes >> 10
    );
    println!(
        "{:>8} {:>7} | {:>12} {:>12} {:>7} | {:>12} {:>12} {:>7}",
        "size", "at once", "put MB/s", "plain", "ratio", "get MB/s", "plain", "ratio"
    );
    for (len, total) in [(20 << 10, 1_600), (200 << 10, 480), (10 << 20, 24)] {
        for writers in [1, 16] {
            if only.is_some_and(|only| only != (len >> 10, writers)) {
                continue;
            }
            let bench = Bench::new(Options {
                shared_attachment_bytes,
                ..Options::default()
            });
            let (store, plain) = keepers(&bench);
            let contents = Arc::new(Contents::new(len));
            let total = if writers == 1 { total / 4 } else { total };
            let rate = |time: Duration| (len * total) as f64 / time.as_secs_f64() / 1e6;
            let mut figures: [Vec<f64>; 6] = Default::default();
            for round in 0..=ROUNDS {
                let mut of_round = [0.0; 4];
                // Who goes first changes from round to round: the second finds the disk busier.
                let both = [(0, &store), (1, &plain)];
                let both = if round % 2 == 0 {
                    both
                } else {
                    [both[1], both[0]]
                };
                for (place, keeper) in both {
                    let (time, kept) = put_all(&bench, keeper, &contents, writers, total);
                    of_round[place] = rate(time);
                    let kept = Arc::new(kept);
                    of_round[place + 2] = rate(get_all(&bench, keeper, &kept, writers));
                    remove_all(&bench, keeper, &kept);
                }
                if round == 0 {
                    continue;
                }
                let [put, plain_put, get, plain_get] = of_round;
                let all = [
                    put,
                    plain_put,
                    put / plain_put,
                    get,
                    plain_get,
                    get / plain_get,
                ];
                for (figures, figure) in figures.iter_mut().zip(all) {
                    figures.push(figure);
                }
            }
            let [put, plain_put, put_ratio, get, plain_get, get_ratio] = figures.map(median);
            println!(
                "{:>7}K {writers:>7} | {put:>12.0} {plain_put:>12.0} {put_ratio:>7.2} | {get:>12.0} {plain_get:>12.0} {get_ratio:>7.2}",
                len >> 10
            );
        }
    }
}
