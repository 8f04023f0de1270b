//! What a piece of work took: time, processor, memory, bytes.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Which way a figure is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Better {
    /// As rates are.
    Higher,
    /// As times and bytes are.
    Lower,
}

/// One measured number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: String,
    /// Which way is good.
    pub better: Better,
}

/// Figures in the order in which they are shown.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures(pub Vec<Figure>);

impl Figures {
    /// A figure of which more is better.
    pub fn more(&mut self, name: &str, value: f64, unit: &str) {
        self.add(name, value, unit, Better::Higher);
    }

    /// A figure of which less is better.
    pub fn less(&mut self, name: &str, value: f64, unit: &str) {
        self.add(name, value, unit, Better::Lower);
    }

    fn add(&mut self, name: &str, value: f64, unit: &str, better: Better) {
        self.0.push(Figure {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
            better,
        });
    }

    /// Median, 99th and 99.9th of a hundred, of times in microseconds.
    pub fn times(&mut self, name: &str, mut times: Vec<f64>) {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        self.less(&format!("{name}, median"), at(0.5), "µs");
        self.less(&format!("{name}, p99"), at(0.99), "µs");
        if times.len() >= 10_000 {
            self.less(&format!("{name}, p99.9"), at(0.999), "µs");
        }
    }
}

/// The counters of this process at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    began: Instant,
    cpu: f64,
    written: u64,
}

impl Meter {
    /// Now.
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
            cpu: cpu_seconds(),
            written: number("/proc/self/io", "write_bytes:"),
        }
    }

    /// Seconds since then.
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// What work on so many messages cost since then, beside its time.
    pub fn costs(&self, figures: &mut Figures, messages: usize, body_bytes: u64) {
        let cpu = (cpu_seconds() - self.cpu) * 1e6 / messages as f64;
        let written = number("/proc/self/io", "write_bytes:") - self.written;
        figures.less("processor seconds a million messages", cpu, "s");
        let ratio = written as f64 / body_bytes as f64;
        figures.less("bytes to the device a byte of body", ratio, "");
        let peak = number("/proc/self/status", "VmHWM:") as f64 / 1024.0;
        figures.less("peak memory", peak, "MiB");
    }
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = behind.split_ascii_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn number(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let digits = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    digits.map_or(0, |digits| digits.parse().unwrap())
}

/// What the files below a directory take on the disk.
pub fn disk_bytes(dir: &Path) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        // A file may go while it is looked at.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        sum += if metadata.is_dir() {
            disk_bytes(&entry.path())
        } else {
            metadata.blocks() * 512
        };
    }
    sum
}

/// Lets the system forget all files. False where that is not permitted; then a cold read is not to be had.
pub fn drop_caches() -> bool {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}
