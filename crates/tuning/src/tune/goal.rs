//! What "better" means.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// What is to be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Calls a second.
    Throughput,
    /// The time that 99 of a hundred calls wait at most, of the kind that waits longest.
    Latency,
    /// Bytes on disk.
    Disk,
    /// Memory of the process.
    Memory,
    /// All of it: throughput counts 4, latency 2, disk 3, memory 1.
    #[default]
    Balanced,
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "throughput" => Self::Throughput,
            "latency" => Self::Latency,
            "disk" => Self::Disk,
            "memory" => Self::Memory,
            "balanced" => Self::Balanced,
            _ => {
                return Err(format!(
                    "{text:?} is no goal; there are throughput, latency, disk, memory and balanced"
                ));
            }
        })
    }
}

/// How many times better one outcome is than another, for each thing that may be wanted: over 1 is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gains {
    /// Calls a second.
    pub throughput: f64,
    /// 99th of a hundred, of the slowest kind of call.
    pub latency: f64,
    /// Bytes on disk.
    pub disk: f64,
    /// Memory.
    pub memory: f64,
}

impl Gains {
    /// Of one outcome over another that was measured beside it.
    #[expect(clippy::cast_precision_loss, reason = "ratios")]
    pub fn of(one: &Outcome, other: &Outcome) -> Self {
        let slowest = |outcome: &Outcome| {
            let p99 = outcome.calls.values().map(|call| call.p99_us).max();
            p99.unwrap_or_default().max(1) as f64
        };
        let ratio = |better: f64, worse: f64| {
            if better > 0.0 && worse > 0.0 {
                better / worse
            } else {
                1.0
            }
        };
        Self {
            throughput: ratio(one.calls_per_second(), other.calls_per_second()),
            latency: ratio(slowest(other), slowest(one)),
            disk: ratio(other.disk_per_body, one.disk_per_body),
            memory: ratio(other.peak_memory_bytes as f64, one.peak_memory_bytes as f64),
        }
    }

    /// The middle of several.
    pub fn median(all: &[Self]) -> Self {
        let middle = |of: fn(&Self) -> f64| {
            let mut values: Vec<f64> = all.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(1.0)
        };
        Self {
            throughput: middle(|gains| gains.throughput),
            latency: middle(|gains| gains.latency),
            disk: middle(|gains| gains.disk),
            memory: middle(|gains| gains.memory),
        }
    }

    /// All in one number, by the goal: a weighted geometric mean.
    pub fn score(&self, goal: Goal) -> f64 {
        let Self {
            throughput,
            latency,
            disk,
            memory,
        } = *self;
        match goal {
            Goal::Throughput => throughput,
            Goal::Latency => latency,
            Goal::Disk => disk,
            Goal::Memory => memory,
            Goal::Balanced => {
                let weighted = [
                    (throughput, 0.4),
                    (latency, 0.2),
                    (disk, 0.3),
                    (memory, 0.1),
                ];
                weighted
                    .iter()
                    .map(|(ratio, weight)| ratio.ln() * weight)
                    .sum::<f64>()
                    .exp()
            }
        }
    }
}
