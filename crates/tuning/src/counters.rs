//! What the system counts of this process, and what files take.

#![expect(
    clippy::disallowed_methods,
    reason = "counters of the system and the size of files from outside; nothing of the store's"
)]

use std::path::{Path, PathBuf};

use tidestore::disk::{Clock, RealClock};

/// The counters at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    monotonic: std::time::Duration,
    cpu: f64,
    device: Option<PathBuf>,
    written: u64,
}

impl Counters {
    /// Now, for files below a directory. What the system does not tell counts as zero.
    pub(crate) fn now(dir: &Path) -> Self {
        Self::on(device_of(dir))
    }

    fn on(device: Option<PathBuf>) -> Self {
        let written = match &device {
            Some(device) => sectors_written(device).map(|sectors| sectors * SECTOR),
            None => number("/proc/self/io", "write_bytes:"),
        };
        Self {
            monotonic: RealClock.monotonic(),
            cpu: cpu_seconds().unwrap_or_default(),
            device,
            written: written.unwrap_or_default(),
        }
    }

    /// Seconds, seconds of processor time, and bytes sent to the device since then.
    pub(crate) fn since(&self) -> (f64, f64, u64) {
        let now = Self::on(self.device.clone());
        (
            now.monotonic.saturating_sub(self.monotonic).as_secs_f64(),
            now.cpu - self.cpu,
            now.written.saturating_sub(self.written),
        )
    }
}

/// Bytes of what the kernel counts devices' work in, whatever the device's own sectors are.
const SECTOR: u64 = 512;

/// Where the kernel counts what the device of a directory does; `None` where no device is behind it.
///
/// The device's count, and not the process's (`write_bytes`): that one adds all pages of a large folio whenever a byte of it is
/// written, which came to 650 KB for a log batch of 4 KB on Linux 6.18. The price is that what others write there counts too.
fn device_of(dir: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::metadata(dir).ok()?.dev();
    // As the C library's `gnu_dev_major` and `gnu_dev_minor` take the number apart.
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
    sectors_written(&stat).map(|_| stat)
}

/// The seventh number of a device's `stat`.
fn sectors_written(stat: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(stat).ok()?;
    text.split_ascii_whitespace().nth(6)?.parse().ok()
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
