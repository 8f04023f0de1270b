//! What the system counts of this process, and what files take.

#![expect(
    clippy::disallowed_methods,
    reason = "counters of the system and the size of files from outside; nothing of the store's"
)]

use std::path::Path;

use tidestore::disk::{Clock, RealClock};

/// The counters at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    monotonic: std::time::Duration,
    cpu: f64,
    written: u64,
}

impl Counters {
    /// Now. What the system does not tell counts as zero.
    pub(crate) fn now() -> Self {
        Self {
            monotonic: RealClock.monotonic(),
            cpu: cpu_seconds().unwrap_or_default(),
            written: number("/proc/self/io", "write_bytes:").unwrap_or_default(),
        }
    }

    /// Seconds, seconds of processor time, and bytes sent to devices since then.
    pub(crate) fn since(self) -> (f64, f64, u64) {
        let now = Self::now();
        (
            now.monotonic.saturating_sub(self.monotonic).as_secs_f64(),
            now.cpu - self.cpu,
            now.written.saturating_sub(self.written),
        )
    }
}

/// Processor time of this process, all threads together.
fn cpu_seconds() -> Option<f64> {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold anything but ends with the last bracket.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_ascii_whitespace().collect();
    let user: f64 = fields.get(11)?.parse().ok()?;
    let system: f64 = fields.get(12)?.parse().ok()?;
    Some((user + system) / TICKS)
}

/// Memory of this process at the most, in bytes.
pub(crate) fn peak_memory() -> u64 {
    number("/proc/self/status", "VmHWM:").unwrap_or_default() << 10
}

/// Begins to count the most memory anew, where the system permits.
pub(crate) fn forget_peak() {
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

fn number(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What the files below a directory take on the disk, in bytes; `log/` left out, whose files are used again and again.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        // A file may go while it is looked at.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if !metadata.is_dir() {
            sum += metadata.blocks() * 512;
        } else if entry.file_name() != "log" {
            sum += disk_bytes(&entry.path());
        }
    }
    sum
}
