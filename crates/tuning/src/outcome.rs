//! What a load came to.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The times of one kind of call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallFigures {
    /// How many were made.
    pub calls: u64,
    /// A second.
    pub per_second: f64,
    /// Half of them took at most so many microseconds.
    pub p50_us: u64,
    /// 99 of a hundred.
    pub p99_us: u64,
    /// 999 of a thousand.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

impl CallFigures {
    #[expect(clippy::cast_precision_loss, reason = "counts of calls")]
    pub(crate) fn of(times: &Histogram<u64>, seconds: f64) -> Self {
        Self {
            calls: times.len(),
            per_second: times.len() as f64 / seconds,
            p50_us: times.value_at_quantile(0.5),
            p99_us: times.value_at_quantile(0.99),
            p999_us: times.value_at_quantile(0.999),
            max_us: times.max(),
        }
    }
}

/// What a load came to: rates, times, bytes, processor and memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How long it ran, in seconds.
    pub seconds: f64,
    /// `append`, `newest_page`, `deep_page`, `inbox`: those that were made.
    pub calls: BTreeMap<String, CallFigures>,
    /// Messages appended a second.
    pub messages_per_second: f64,
    /// Bytes of their bodies a second, in MB.
    pub megabytes_per_second: f64,
    /// Appends that the store refused.
    pub refused: u64,
    /// Bytes that the files take for one byte of body, the preloaded included, when all is written out; without `log/`.
    pub disk_per_body: f64,
    /// Bytes sent to the device for one byte of body that was appended.
    pub written_per_body: f64,
    /// Seconds of processor time a million calls, the client's part included.
    pub cpu_seconds_per_million: f64,
    /// Memory of the process at the most, in bytes.
    pub peak_memory_bytes: u64,
}

impl Outcome {
    /// Calls of all kinds a second.
    pub fn calls_per_second(&self) -> f64 {
        self.calls.values().map(|call| call.per_second).sum()
    }
}
