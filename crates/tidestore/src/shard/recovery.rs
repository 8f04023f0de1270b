//! Opening a shard: tables first, then the part of the log that they do not hold yet.
//!
//! | state after a crash | what opening does |
//! |---|---|
//! | batch in the log, not in a view | applies it again: records state absolute values |
//! | batch in the tables, not flushed by the engine | the engine lost it; the log still has it, because it is trimmed only behind a flush |
//! | segment written, manifest change not in the log | the file is swept; its messages are still in the log |
//! | manifest change in the log, old files still there | the files are swept |
//! | tables older than the first position of the log | refuses: a part of the directory is missing |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tidestore_disk::sync::{Mutex, RwLock};
use tidestore_disk::{Disk, FileCache, Millis};
use tidestore_kv::{Engine, page_of};
use tidestore_log::{FileLog, Log, LogOptions, Position};
use tidestore_messages::{
    AppId, Applied, BlockCache, Conversation, Manifest, Message, MessageView, ReceiptKey,
    SegmentMeta, SegmentOptions, StoreId, ViewParts, segment_path,
};

use crate::apps::{AppRecord, Registry};
use crate::attachments::{Desks, Mentions};
use crate::background::Bell;
use crate::delivery;
use crate::delivery::listeners::Listeners;
use crate::delivery::tables::CHANGES;
use crate::error::{Error, ErrorKind, Result};
use crate::format::StoreFile;
use crate::guard::ClockGuard;
use crate::meters::ShardMeters;
use crate::options::Options;
use crate::queue::Queue;
use crate::record::{Event, Record, decode_batch};
use crate::shard::committer::{Numbers, apply_to_memory, apply_to_tables};
use crate::shard::{Committer, Gap, Heads, Shard, Status};
use crate::tables;

/// What all shards of a store have in common.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn tidestore_disk::Clock>,
    pub(crate) options: Arc<Options>,
    pub(crate) store: Arc<StoreFile>,
    pub(crate) guard: Arc<ClockGuard>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) files: Arc<FileCache>,
    pub(crate) blocks: Arc<BlockCache>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) desks: Desks,
    pub(crate) listeners: Arc<Listeners>,
}

pub(crate) fn log_dir(shard: u16) -> PathBuf {
    Path::new("log").join(format!("shard-{shard:02}"))
}

pub(crate) fn views_dir(shard: u16) -> PathBuf {
    Path::new("views").join(format!("shard-{shard:02}"))
}

/// A shard whose tables and log are open and whose views are not built yet.
#[derive(Debug)]
pub(crate) struct Opened {
    number: u16,
    engine: Arc<dyn Engine>,
    log: FileLog,
    /// The last position that the tables had applied.
    applied: u64,
}

/// Opens a shard's tables and log, and tells the registry of the apps that live there.
///
/// This is done for all shards before any view is built: which files belong to the store depends on which apps there
/// are, and an app's home is often another shard than that of its messages.
pub(crate) fn open_shard(parts: &Parts, number: u16, notices: &mut Vec<String>) -> Result<Opened> {
    let dir = views_dir(number);
    parts.disk.create_dir_all(&dir)?;
    let engine = tidestore_kv::open(parts.store.engine, &parts.disk, &dir)?;
    for path in engine.quarantined() {
        let path = path.display();
        notices.push(format!("damaged table files were set aside in {path}"));
    }
    let dir = log_dir(number);
    parts.disk.create_dir_all(&dir)?;
    let file_bytes = parts.options.log_file_bytes;
    let options = LogOptions {
        file_bytes,
        ..LogOptions::default()
    };
    let disk = Arc::clone(&parts.disk);
    let (log, report) = FileLog::open(disk, &dir, parts.store.id, number, options)?;
    let found = report.notices();
    notices.extend(found.map(|notice| format!("log of shard {number}: {notice}")));
    let applied = tables::number(&*engine, tables::APPLIED)?;
    for record in tables::rows::<AppRecord>(&*engine, tables::APPS)? {
        parts.registry.put(record);
    }
    let opened = Opened {
        number,
        engine,
        log,
        applied,
    };
    opened.check_positions()?;
    opened.learn_apps(&parts.registry)?;
    Ok(opened)
}

impl Opened {
    /// Makes sure that log and tables belong together.
    fn check_positions(&self) -> Result<()> {
        let flushed = tables::number(&*self.engine, tables::FLUSHED)?;
        let (first, end) = (self.log.first().0, self.log.end().0);
        let known = self.applied.min(flushed);
        let missing = if first > known + 1 {
            format!("the log begins at {first}, the tables end at {known}")
        } else if end < self.applied {
            format!("the log ends at {end}, the tables at {}", self.applied)
        } else {
            return Ok(());
        };
        let text = format!(
            "shard {}: {missing}; a part of the data directory is missing or older than the rest",
            self.number
        );
        Err(Error::new(ErrorKind::NotAStore, text))
    }

    /// Brings the registry up to the end of the log.
    fn learn_apps(&self, registry: &Registry) -> Result<()> {
        let from = Position(self.applied + 1);
        self.replay(from, &mut |_, records| {
            for record in records {
                if let Record::Event(event) = record {
                    registry.apply(&event);
                }
            }
            Ok(())
        })
    }

    fn replay(
        &self,
        from: Position,
        visit: &mut dyn FnMut(Batch, Vec<Record>) -> Result<()>,
    ) -> Result<()> {
        let replayed = self.log.replay(from, &mut |position, bytes| {
            let (time, records) = decode_batch(bytes).map_err(|error| {
                let text = format!("shard {}: log position {position}: {error}", self.number);
                Error::new(ErrorKind::Corruption, text)
            })?;
            Ok(visit(
                Batch {
                    position: position.0,
                    time,
                },
                records,
            )?)
        });
        Ok(replayed?)
    }
}

/// Where and when a batch stands in the log.
#[derive(Clone, Copy, Debug)]
struct Batch {
    position: u64,
    time: Millis,
}

/// Replays the log into the views and returns the shard with its committer, which is not running yet.
pub(crate) fn recover(parts: &Parts, opened: Opened) -> Result<(Arc<Shard>, Committer)> {
    let engine = Arc::clone(&opened.engine);
    delivery::upgrade::complete_activity(&*engine)?;
    let shard = Arc::new(shard(parts, opened.number, engine)?);
    let (mut replay, begun) = (Replay::start(&shard)?, shard.monotonic());
    let (mut batches, mut messages) = (0_u64, 0_u64);
    let from = Position(replay.applied.min(replay.flushed) + 1);
    opened.replay(from, &mut |batch, records| {
        batches += 1;
        let is_message = |record: &&Record| matches!(record, Record::Message { .. });
        messages += records.iter().filter(is_message).count() as u64;
        replay.batch(&shard, batch, records)
    })?;
    let took_ms = crate::guard::millis(shard.monotonic().saturating_sub(begun));
    tracing::info!(
        shard = shard.number,
        batches,
        messages,
        took_ms,
        "the log was replayed"
    );
    let (last_live, last_seen) = replay.finish(&shard);
    *shard.redacted.write() = delivery::redaction::load(&*shard.engine)?;
    let has_changes = !page_of(&*shard.engine, CHANGES, b"", None, false, 1)?.is_empty();
    shard.has_changes.store(has_changes, Ordering::Relaxed);
    drop_deleted_apps(&shard)?;
    let log = Box::new(opened.log);
    let committer = Committer::new(Arc::clone(&shard), log, last_live, last_seen);
    Ok((shard, committer))
}

impl Shard {
    /// Takes segments out of the view and the table, while the store is being opened: their files have gone already. Not
    /// logged, because the next opening would find and do the same.
    pub(crate) fn forget(&self, generations: &[u64]) -> Result<()> {
        if generations.is_empty() {
            return Ok(());
        }
        let mut batch = tidestore_kv::Batch::new();
        for generation in generations {
            batch.delete(tables::SEGMENTS, generation.to_be_bytes());
        }
        self.engine.write(batch)?;
        drop(self.view.install_change(Vec::new(), generations));
        Ok(())
    }
}

/// Takes segments of deleted apps out of the table: a crash came between the deletion and its cleaning up.
fn drop_deleted_apps(shard: &Shard) -> Result<()> {
    let rows = tables::rows::<SegmentMeta>(&*shard.engine, tables::SEGMENTS)?;
    let deleted = rows
        .iter()
        .filter(|meta| segment_path(&*shard.registry, meta).is_none());
    shard.forget(&deleted.map(|meta| meta.generation).collect::<Vec<_>>())
}

fn shard(parts: &Parts, number: u16, engine: Arc<dyn Engine>) -> Result<Shard> {
    let store = StoreId(parts.store.id);
    let manifest = Manifest {
        segments: tables::rows(&*engine, tables::SEGMENTS)?,
        receipts: tables::rows(&*engine, tables::RECEIPTS)?,
        next_generation: tables::number(&*engine, tables::NEXT_GENERATION)?.max(1),
    };
    // Filled when the tables are what the log says, see `recover`.
    let redacted = Arc::new(RwLock::default());
    let view = ViewParts {
        disk: Arc::clone(&parts.disk),
        clock: Arc::clone(&parts.clock),
        files: Arc::clone(&parts.files),
        blocks: Arc::clone(&parts.blocks),
        apps: Arc::clone(&parts.registry) as _,
        store,
        shard: number,
        options: SegmentOptions {
            block_bytes: parts.options.block_bytes,
            level: parts.options.compression_level,
        },
        redacted: Arc::clone(&redacted),
    };
    Ok(Shard {
        number,
        store,
        clock: Arc::clone(&parts.clock),
        guard: Arc::clone(&parts.guard),
        registry: Arc::clone(&parts.registry),
        view: MessageView::open(view, manifest),
        heads: Heads::new(parts.options.heads),
        gap: Gap::load(&*engine)?,
        queue: Queue::new(parts.options.queue_depth, parts.options.queue_bytes),
        meters: ShardMeters::new(number),
        is_disk_full: AtomicBool::default(),
        has_leftovers: AtomicBool::default(),
        options: Arc::clone(&parts.options),
        engine,
        poison: Mutex::default(),
        flushing: Mutex::default(),
        tidying: Mutex::default(),
        flush_trouble: Mutex::default(),
        damaged: Mutex::default(),
        status: Mutex::new(Status::default()),
        bell: Arc::clone(&parts.bell),
        desks: Arc::clone(&parts.desks),
        redacted,
        has_changes: AtomicBool::default(),
        applied: AtomicU64::default(),
        durable: AtomicU64::default(),
        listeners: Arc::clone(&parts.listeners),
        thread: Mutex::default(),
    })
}

/// What a replay has gathered so far.
#[derive(Debug)]
struct Replay {
    applied: u64,
    flushed: u64,
    last_live: u64,
    last_seen: u64,
    /// Messages that are in no segment yet, with the position they stand at.
    pending: Vec<(u64, Vec<Applied>)>,
}

impl Replay {
    fn start(shard: &Shard) -> Result<Self> {
        let engine = &*shard.engine;
        Ok(Self {
            applied: tables::number(engine, tables::APPLIED)?,
            flushed: tables::number(engine, tables::FLUSHED)?,
            last_live: tables::number(engine, tables::LAST_LIVE)?,
            last_seen: tables::number(engine, tables::LAST_SEEN)?,
            pending: Vec::new(),
        })
    }

    fn batch(&mut self, shard: &Shard, batch: Batch, records: Vec<Record>) -> Result<()> {
        let Batch { position, time } = batch;
        if position > self.applied {
            self.last_seen = time;
        }
        let mut rows = Vec::new();
        for record in records {
            match record {
                Record::Message {
                    app,
                    conversation,
                    message,
                } => {
                    rows.push(applied(shard, app, conversation, message));
                }
                Record::Event(event) if position > self.applied => {
                    self.event(shard, position, event)?;
                }
                Record::Event(_) => {}
            }
        }
        if position > self.flushed && !rows.is_empty() {
            self.messages(shard, position, rows)?;
        }
        Ok(())
    }

    fn messages(&mut self, shard: &Shard, position: u64, rows: Vec<Applied>) -> Result<()> {
        for row in &rows {
            shard
                .heads
                .load(&*shard.engine, row.app, &row.conversation)?;
            if !row.message.id.is_imported() {
                self.last_live = self.last_live.max(row.message.id.0);
            }
        }
        let heads = rows
            .iter()
            .map(|row| (row.app, &row.conversation, &row.message));
        shard.heads.advance(heads);
        // Noted before the crash or not: the desks know.
        let mut mentions = Mentions::default();
        mentions.add(&rows, position);
        mentions.hand_over(&shard.desks, shard.number);
        self.pending.push((position, rows));
        Ok(())
    }

    fn event(&mut self, shard: &Shard, position: u64, event: Event) -> Result<()> {
        if let Event::Sealed(change, _) = &event
            && let Some(flushed) = change.flushed
        {
            self.flushed = self.flushed.max(flushed);
            self.pending.retain(|(position, _)| *position > flushed);
        }
        if let Event::Rows(rows) = &event {
            // Arrivals have ids too, and none may be given again.
            self.last_live = self.last_live.max(delivery::intake::last_arrival(rows));
        }
        let numbers = Numbers {
            applied: position,
            last_live: self.last_live,
            last_seen: self.last_seen,
        };
        let batch = apply_to_tables(shard, &event, numbers)?;
        shard.engine.write(batch)?;
        self.applied = position;
        // The registry is further than this already; to apply an app's older state would hide its younger files.
        if !event.is_of_apps() {
            apply_to_memory(shard, event);
        }
        Ok(())
    }

    fn finish(self, shard: &Shard) -> (u64, u64) {
        let rows: Vec<Applied> = self
            .pending
            .into_iter()
            .flat_map(|(_, rows)| rows)
            .collect();
        if !rows.is_empty() {
            shard.view.insert(rows);
            shard.status.lock().active_since = Some(shard.monotonic());
        }
        (self.last_live, self.last_seen)
    }
}

fn applied(shard: &Shard, app: AppId, conversation: Conversation, message: Message) -> Applied {
    let receipt = (!message.client_id.is_empty()).then(|| {
        ReceiptKey::new(
            shard.store,
            app,
            &conversation,
            &message.sender,
            &message.client_id,
        )
    });
    Applied {
        app,
        conversation,
        message,
        receipt,
    }
}
