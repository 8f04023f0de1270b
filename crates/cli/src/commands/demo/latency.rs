//! Measuring how long things take, in real time.

use std::future::Future;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tidestore::disk::{Clock, RealClock};

use crate::error::Failure;

/// How long many things of one kind took.
pub(crate) struct Latencies {
    nanos: Histogram<u64>,
    /// Messages, pages … that all of them brought.
    pub(crate) items: u64,
    /// From the first to the last, where several ran at once; else the sum.
    pub(crate) elapsed: Duration,
}

/// The longest time that is told from longer ones, in nanoseconds: an hour.
const NANOS_MAX: u64 = 3_600_000_000_000;

impl Latencies {
    pub(crate) fn new() -> Result<Self, Failure> {
        // With a fixed range, because a histogram that grows does not do so for `saturating_record`.
        let nanos = Histogram::new_with_bounds(1, NANOS_MAX, 3)
            .map_err(|error| Failure::Argument(format!("latencies cannot be measured: {error}")))?;
        Ok(Self {
            nanos,
            items: 0,
            elapsed: Duration::ZERO,
        })
    }

    /// Counts one that took so long; not added to [`elapsed`](Self::elapsed).
    pub(crate) fn record(&mut self, took: Duration, items: u64) {
        self.nanos
            .saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.items += items;
    }

    /// Runs one and counts it.
    pub(crate) async fn time<T>(&mut self, work: impl Future<Output = T>) -> T {
        let (done, took) = timed(work).await;
        self.record(took, 1);
        self.elapsed += took;
        done
    }

    pub(crate) fn count(&self) -> u64 {
        self.nanos.len()
    }

    /// 50th and 99th percentile, and the longest.
    pub(crate) fn figures(&self) -> [Duration; 3] {
        let at = |nanos| Duration::from_nanos(nanos);
        [
            at(self.nanos.value_at_quantile(0.5)),
            at(self.nanos.value_at_quantile(0.99)),
            at(self.nanos.max()),
        ]
    }

    /// Items a second.
    pub(crate) fn rate(&self) -> u64 {
        let micros = self.elapsed.as_micros().max(1);
        u64::try_from(u128::from(self.items) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }

    /// As JSON; microseconds.
    pub(crate) fn value(&self) -> Value {
        let tenths = |figure: Duration| (figure.as_secs_f64() * 1e7).round() / 10.0;
        let [p50, p99, max] = self.figures().map(tenths);
        json!({
            "count": self.count(),
            "items": self.items,
            "items_per_second": self.rate(),
            "p50_us": p50,
            "p99_us": p99,
            "max_us": max,
        })
    }
}

/// Runs something and says how long it took.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = RealClock.monotonic();
    let done = work.await;
    (done, RealClock.monotonic().saturating_sub(begun))
}

/// A duration with three digits and its unit.
pub(crate) fn show(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    match micros {
        ..10.0 => format!("{micros:.1} µs"),
        10.0..1_000.0 => format!("{micros:.0} µs"),
        1_000.0..10_000.0 => format!("{:.2} ms", micros / 1e3),
        10_000.0..1_000_000.0 => format!("{:.0} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A histogram of the wrong range once showed every latency as at most 2 µs.
    #[test]
    fn short_and_long_times_are_told_to_three_digits() {
        let mut latencies = Latencies::new().unwrap();
        for millis in 1..=100 {
            latencies.record(Duration::from_millis(millis), 2);
        }
        latencies.record(Duration::from_mins(10), 2);
        let near = |figure: Duration, expected: u64| {
            let expected = Duration::from_millis(expected);
            assert!(
                figure.abs_diff(expected) < expected / 100,
                "{figure:?} for {expected:?}"
            );
        };
        let [p50, p99, max] = latencies.figures();
        near(p50, 51);
        near(p99, 100);
        near(max, 600_000);
        assert_eq!((latencies.count(), latencies.items), (101, 202));
    }

    #[test]
    fn durations_are_shown_in_a_fitting_unit() {
        let shown = [950, 12_345, 1_234_567, 45_678_901, 2_345_678_901]
            .map(|ns| show(Duration::from_nanos(ns)));
        assert_eq!(shown, ["0.9 µs", "12 µs", "1.23 ms", "46 ms", "2.35 s"]);
    }
}
