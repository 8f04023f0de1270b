//! How a store behaves.

use std::time::Duration;

use tidestore_kv::EngineKind;
use tidestore_messages::MessageId;
use tidestore_plan::{Limit, Limits};

use crate::error::{Error, ErrorKind, Result};

/// What an acknowledged append has survived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Written and flushed to the device: survives a power cut.
    #[default]
    Synced,
    /// Written: survives a crash of the process; flushed to the device at most
    /// [`buffered_delay`](Options::buffered_delay) later.
    Buffered,
}

/// How many messages at most wait for a device. They apply on reading: nothing is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfflineCaps {
    /// Of one direct conversation.
    pub direct: usize,
    /// Of one group or thread.
    pub group: usize,
    /// Of all together.
    pub user: usize,
}

impl OfflineCaps {
    /// The service's: 500, 200 and 3,000.
    pub fn of_service() -> Self {
        let count = |limit: Limit| usize::try_from(limit.max()).unwrap_or(usize::MAX);
        Self {
            direct: count(Limit::OfflineDirect),
            group: count(Limit::OfflineGroup),
            user: count(Limit::OfflineUser),
        }
    }
}

/// Ten years, in seconds: no time of a store is longer.
const YEARS_MAX: u64 = 10 * 366 * 86_400;

/// How a store behaves. `Options::default()` suits a server with a few gigabytes of memory.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of shards, 1 to 64; only used when the store is created, afterwards the store knows. Each shard is one
    /// commit log with one committer thread. Default 2: conversations commit in parallel, and a flush of the
    /// device is still shared by many writers.
    pub shards: u16,
    /// Where the views live; only used when the store is created, see [`Store::rebuild`](crate::Store::rebuild). Default
    /// redb: `benches/README.md` has the figures.
    pub engine: EngineKind,
    /// Durability of appends that do not say otherwise. Default [`Durability::Synced`].
    pub durability: Durability,
    /// How long a [`Buffered`](Durability::Buffered) append may wait for its flush. Default 100 ms.
    pub buffered_delay: Duration,
    /// Memory of a shard's memtable before it becomes segments, in bytes: 4 KiB to 4 GiB. Default 32 MiB.
    pub memtable_bytes: usize,
    /// A memtable becomes segments after this time even if it is not full. Default 1 hour.
    pub memtable_age: Duration,
    /// Memory for decoded blocks, all shards together, in bytes. Default 64 MiB.
    pub cache_bytes: usize,
    /// Memory for indexes of segments, all shards together, in bytes: 64 KiB to 1 TiB. An index takes 40 bytes a
    /// conversation; one that is larger than this is read anew each time. Default 64 MiB.
    pub index_bytes: usize,
    /// Memory for what makes retries with a client id quick to recognise, all shards together, in bytes: 0 to 1 TiB. Four
    /// bytes an append within the dedupe window; those beyond are looked for on the disk. Default 64 MiB.
    pub receipt_bytes: usize,
    /// Conversations whose heads stay in memory, of each shard, 1,000 to 100,000,000; those that changed since the last
    /// checkpoint stay beyond it. About 150 bytes each. Default 1,000,000.
    pub heads: usize,
    /// Open files of segments, all shards together, 1 to 1,048,576. Default 256.
    pub open_files: usize,
    /// Size of a block before compression, in bytes: 64 to 1 MiB. Default 32 KiB.
    pub block_bytes: usize,
    /// zstd level of blocks, 1 to 19. Default 3.
    pub compression_level: i32,
    /// Size of a commit log file, in bytes: 4 KiB to 1 GiB. Default 16 MiB.
    pub log_file_bytes: u64,
    /// Calls that may wait at one shard before further ones are held back, 1 to 1,048,576. Default 1024.
    pub queue_depth: usize,
    /// Bytes of the calls that may wait at one shard before further ones are held back: 64 KiB to 64 GiB. A call that is
    /// larger than this by itself waits until it is alone. Default 32 MiB.
    pub queue_bytes: usize,
    /// Uploads and downloads of attachments that may be open at once, 1 to 1,048,576. Each takes about a megabyte at most,
    /// and perhaps an open file; further ones are refused as [`Busy`](ErrorKind::Busy). Default 1,024.
    pub transfers: usize,
    /// Inboxes that may be followed live at once, 1 to 10,000,000. Each holds at most 256 messages and 256 KiB of signals
    /// that nobody has taken yet; further ones are refused as [`Busy`](ErrorKind::Busy). Default 100,000.
    pub streams: usize,
    /// A retry with the same client id gets the first receipt for at least this long. Default 24 hours.
    pub dedupe_window: Duration,
    /// After a downgrade, hidden messages stay on disk and the change can be undone for this long. Default 24 hours.
    pub downgrade_grace: Duration,
    /// The largest attachment that shares a volume, and a flush, with others, in bytes: 0 to 1 MiB. Larger ones have a
    /// file each. Default 256 KiB, which `benches/README.md` measures.
    pub shared_attachment_bytes: usize,
    /// How long an attachment is kept from its upload on, whatever refers to it: 1 minute to 10 years. Default 7 days,
    /// as the service does.
    pub attachment_retention: Duration,
    /// How long an attachment is kept after the last reference to it was taken back. Default 24 hours.
    pub attachment_grace: Duration,
    /// Limits that are the same on every plan, where they shall differ from the contract's. Caps of a plan are not among
    /// them: those are the app's [`Terms`](tidestore_plan::Terms).
    pub limits: Limits,
    /// How many rows one record of a deletion of a user, group or chatroom may touch, about, 1 to 65,536. More go in
    /// several records, between which others have their turn. Default 4,096.
    pub deletion_rows: usize,
    /// How many push notifications of an app are logged at most, 1 to 1,000,000: the newest are kept, for as long as the app's
    /// messages. Each takes up to 4 KiB and its targets. Default 10,000.
    pub push_log: u64,
    /// Whether command messages are history like all others. Default false: they are delivered, but neither counted as
    /// unread nor shown. What was stored before a change stays where it is.
    pub commands_in_history: bool,
    /// How long after sending a user may recall a message: up to 7 days. Default 2 minutes, as the service does.
    pub recall_window: Duration,
    /// How many messages at most wait for a device: the newest are kept. Default: all of them.
    pub offline_caps: Option<OfflineCaps>,
    /// How often expiry runs in the background. Default 60 s.
    pub expiry_interval: Duration,
    /// The wall clock may drift this far from the monotonic clock before expiry pauses. Default 1 hour.
    pub clock_drift_max: Duration,
    /// The store may have been closed this long before expiry waits for an operator's word. Default 48 hours.
    pub clock_gap_max: Duration,
    /// How fast the scrub reads what is stored, to find damage before a reader does, in bytes a second; 0 for no scrub. It
    /// begins anew a week after the last full pass. Default 2 MiB: a terabyte in six days. Up to 1 TiB.
    pub scrub_bytes_per_second: u64,
    /// Whether a look at a few rows, or at a page, happens on the thread that asks for it. Handing it to another thread and
    /// back costs several times as much as the look while the rows are in memory; one that is not holds up whatever else that
    /// thread has to do. For programs whose runtime has threads to spare, as the service's has. Default false.
    pub reads_in_place: bool,
    /// Whether flush, merge, expiry and the scrub run by themselves. Default true; tests that count operations say false.
    pub background: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shards: 2,
            engine: EngineKind::Redb,
            durability: Durability::Synced,
            buffered_delay: Duration::from_millis(100),
            memtable_bytes: 32 << 20,
            memtable_age: Duration::from_hours(1),
            cache_bytes: 64 << 20,
            index_bytes: 64 << 20,
            receipt_bytes: 64 << 20,
            heads: 1_000_000,
            open_files: 256,
            block_bytes: 32 << 10,
            compression_level: 3,
            log_file_bytes: 16 << 20,
            queue_depth: 1_024,
            queue_bytes: 32 << 20,
            transfers: 1_024,
            streams: 100_000,
            dedupe_window: Duration::from_hours(24),
            downgrade_grace: Duration::from_hours(24),
            shared_attachment_bytes: 256 << 10,
            attachment_retention: Duration::from_secs(Limit::AttachmentRetention.max()),
            attachment_grace: Duration::from_hours(24),
            limits: Limits::default(),
            deletion_rows: 4_096,
            push_log: 10_000,
            commands_in_history: false,
            recall_window: Duration::from_secs(Limit::RecallWindow.max()),
            offline_caps: None,
            expiry_interval: Duration::from_mins(1),
            clock_drift_max: Duration::from_hours(1),
            clock_gap_max: Duration::from_hours(48),
            scrub_bytes_per_second: 2 << 20,
            reads_in_place: false,
            background: true,
        }
    }
}

impl Options {
    /// Refuses what could not work, before anything is opened.
    pub(crate) fn check(&self) -> Result<()> {
        let shards = u64::from(MessageId::SHARDS_MAX);
        let level = u64::try_from(self.compression_level).unwrap_or_default();
        // Name, value, lowest, highest.
        let ranges = [
            ("shards", self.shards.into(), 1, shards),
            ("compression_level", level, 1, 19),
            (
                "memtable_bytes",
                self.memtable_bytes as u64,
                4 << 10,
                4 << 30,
            ),
            ("block_bytes", self.block_bytes as u64, 64, 1 << 20),
            ("log_file_bytes", self.log_file_bytes, 4 << 10, 1 << 30),
            ("queue_depth", self.queue_depth as u64, 1, 1 << 20),
            ("open_files", self.open_files as u64, 1, 1 << 20),
            ("cache_bytes", self.cache_bytes as u64, 0, 1 << 40),
            ("index_bytes", self.index_bytes as u64, 64 << 10, 1 << 40),
            ("receipt_bytes", self.receipt_bytes as u64, 0, 1 << 40),
            ("heads", self.heads as u64, 1_000, 100_000_000),
            ("queue_bytes", self.queue_bytes as u64, 64 << 10, 64 << 30),
            ("transfers", self.transfers as u64, 1, 1 << 20),
            ("streams", self.streams as u64, 1, 10_000_000),
            (
                "buffered_delay (seconds)",
                self.buffered_delay.as_secs(),
                0,
                3_600,
            ),
            (
                "memtable_age (seconds)",
                self.memtable_age.as_secs(),
                0,
                YEARS_MAX,
            ),
            (
                "dedupe_window (seconds)",
                self.dedupe_window.as_secs(),
                0,
                YEARS_MAX,
            ),
            (
                "downgrade_grace (seconds)",
                self.downgrade_grace.as_secs(),
                0,
                YEARS_MAX,
            ),
            (
                "attachment_grace (seconds)",
                self.attachment_grace.as_secs(),
                0,
                YEARS_MAX,
            ),
            (
                "expiry_interval (seconds)",
                self.expiry_interval.as_secs(),
                0,
                YEARS_MAX,
            ),
            (
                "scrub_bytes_per_second",
                self.scrub_bytes_per_second,
                0,
                1 << 40,
            ),
            ("deletion_rows", self.deletion_rows as u64, 1, 1 << 16),
            ("push_log", self.push_log, 1, 1_000_000),
            (
                "shared_attachment_bytes",
                self.shared_attachment_bytes as u64,
                0,
                1 << 20,
            ),
            (
                "recall_window (seconds)",
                self.recall_window.as_secs(),
                0,
                Limit::RecallWindowMax.max(),
            ),
            (
                "attachment_retention (seconds)",
                self.attachment_retention.as_secs(),
                60,
                YEARS_MAX,
            ),
        ];
        for (name, value, low, high) in ranges {
            if value < low || value > high {
                let text = format!("option {name} is {value}; {low} to {high} are possible");
                return Err(Error::new(ErrorKind::Argument, text));
            }
        }
        Ok(())
    }
}
