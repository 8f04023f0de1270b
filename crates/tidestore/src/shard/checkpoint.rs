//! What happens to a shard's files: flush and checkpoint, merge, expiry.
//!
//! All of it runs on threads of the store and reaches the views only as manifest changes through the committer. The
//! order is always the same: write and sync the new file, log the change, flush the tables, trim the log or unlink.

use std::path::PathBuf;

use tidestore_blobs::index::{self, Moment, NamedVolume};
use tidestore_disk::{Disk, Millis};
use tidestore_messages::{
    AppId, Expirable, MergeJob, MergeTime, Merged, SegmentDays, receipt_run_path,
};

use crate::error::{Error, ErrorKind, Result};
use crate::expiry::{ExpiryReport, MergeReport};
use crate::guard::millis;
use crate::record::{Event, ManifestChange};
use crate::shard::committer::HEADS_MAX;
use crate::shard::{Command, Shard};
use crate::tables;

/// The tables' files are rewritten when they are so many times as large as what is in them.
const TABLES_RATIO: u64 = 3;

impl Shard {
    /// Turns every memtable into segments, makes the tables durable and trims the log.
    pub(crate) fn flush(&self) -> Result<()> {
        self.ask_own(Command::Freeze)?;
        self.flush_frozen()?;
        self.checkpoint_idle()
    }

    /// Turns full memtables into segments, oldest first.
    pub(crate) fn flush_frozen(&self) -> Result<()> {
        let _turn = self.flushing.lock();
        while let Some(frozen) = self.view.oldest_frozen() {
            let begun = self.monotonic();
            self.await_references()?;
            self.settle_heads()?;
            let flushed = self.view.write_frozen(&frozen, self.guard.now())?;
            let (added, receipts) = (flushed.added.clone(), flushed.receipts.clone());
            let days = flushed.days;
            let bytes = added.iter().map(|meta| meta.file_len).sum();
            let change = ManifestChange {
                added: flushed.added,
                receipts_added: flushed.receipts,
                flushed: Some(flushed.through),
                ..ManifestChange::default()
            };
            let installed = self.decide_own(Box::new(move |shard| {
                let is_idle = shard.view.active_bytes() == 0 && shard.view.frozen_count() == 1;
                let change = ManifestChange { is_idle, ..change };
                Ok(Some(shard.manifest_event(change, days)))
            }));
            if let Err(error) = installed {
                if self.is_unlogged(&error) {
                    self.view.discard(&added, receipts.as_ref());
                }
                return Err(error);
            }
            let took = self.monotonic().saturating_sub(begun);
            self.meters.flushed(added.len(), bytes, took);
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Writes most of the changed heads, few at a time, so that appends go on meanwhile and the manifest change has few
    /// left to write.
    fn settle_heads(&self) -> Result<()> {
        let mut rounds = self.heads.dirty() / HEADS_MAX;
        while rounds > 0 && self.ask_own(Command::SettleHeads)? == HEADS_MAX {
            rounds -= 1;
        }
        Ok(())
    }

    /// Makes the tables durable and forgets the part of the log that every view holds.
    fn checkpoint(&self) -> Result<()> {
        let tables = &*self.engine;
        // Read before the flush: what is applied later is not durable yet.
        let applied = tables::number(tables, tables::APPLIED)?;
        let flushed = tables::number(tables, tables::FLUSHED)?;
        self.engine.flush()?;
        match self.engine.compact(TABLES_RATIO) {
            Ok(None) => {}
            Ok(Some(rebuilt)) => {
                self.meters.table_copies.increment(1);
                tracing::info!(
                    shard = self.number,
                    ?rebuilt,
                    "the tables were copied to shrink them"
                );
            }
            // They are where they were; a full disk must not keep the log from being trimmed.
            Err(error) => {
                tracing::warn!(shard = self.number, %error, "the tables cannot be copied");
            }
        }
        self.ask_own(|reply| Command::Trim(applied.min(flushed) + 1, reply))
    }

    /// Checkpoints a shard whose log only holds events since the last flush of messages.
    fn checkpoint_idle(&self) -> Result<()> {
        let _turn = self.flushing.lock();
        let mut change = ManifestChange::default();
        self.decide_own(Box::new(move |shard| {
            let flushed = tables::number(&*shard.engine, tables::FLUSHED)?;
            let end = shard.status.lock().log_end;
            let in_memory = shard.view.active_bytes() > 0 || shard.view.frozen_count() > 0;
            if in_memory || end == flushed {
                return Ok(None);
            }
            (change.flushed, change.is_idle) = (Some(end), true);
            Ok(Some(shard.manifest_event(change, Vec::new())))
        }))?;
        self.checkpoint()
    }

    /// Merges what is worth merging. Segments that cannot be read stay as they are, with their neighbours, and are not
    /// tried again before the store is reopened.
    pub(crate) fn merge(&self, force: bool, report: &mut MergeReport) -> Result<()> {
        let _turn = self.tidying.lock();
        let time = MergeTime {
            now: self.guard.now(),
            monotonic: self.monotonic(),
            force,
        };
        for job in self.view.plan_merges(time) {
            if self.damaged.lock().contains(&job.first()) {
                continue;
            }
            match self.view.write_merge(&job) {
                Ok(merged) => self.install_merge(&job, merged, report)?,
                Err(error) if error.kind() == tidestore_messages::ErrorKind::Corruption => {
                    tracing::error!(shard = self.number, %error, "a segment cannot be merged");
                    self.damaged.lock().insert(job.first());
                    report.damaged.push(error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(crate) fn install_merge(
        &self,
        job: &MergeJob,
        merged: Merged,
        report: &mut MergeReport,
    ) -> Result<()> {
        let before = report.clone();
        report.merges += 1;
        report.segments_in += merged.removed.len() as u64;
        report.bytes_in += merged.bytes_in;
        if let Some(added) = &merged.added {
            report.segments_out += 1;
            report.bytes_out += added.file_len;
        }
        let added: Vec<_> = merged.added.into_iter().collect();
        let days: Vec<_> = merged.days.into_iter().collect();
        let change = ManifestChange {
            added: added.clone(),
            removed: merged.removed,
            ..ManifestChange::default()
        };
        if let Err(error) = self.change_manifest(change, days) {
            if self.is_unlogged(&error) {
                self.view.discard(&added, None);
            }
            return Err(error);
        }
        self.meters.merged(&before, report);
        let (bytes_in, bytes_out) = (
            report.bytes_in - before.bytes_in,
            report.bytes_out - before.bytes_out,
        );
        tracing::debug!(
            shard = self.number,
            bytes_in,
            bytes_out,
            "segments were merged"
        );
        Ok(self.view.unlink(&job.paths())?)
    }

    /// Whether a record that failed is surely not in the log: there was no space for it, and the shard goes on.
    pub(crate) fn is_unlogged(&self, error: &Error) -> bool {
        *error.kind() == ErrorKind::Full && self.poisoned().is_none()
    }

    /// Whether a volume is not on the disk and not missed: it was unlinked on a full disk before the record of it found
    /// room, which is only done to what nobody can read any more.
    pub(crate) fn is_gone_early(&self, disk: &dyn Disk, volume: &NamedVolume) -> bool {
        let found = disk.metadata(&volume.path).map_err(|error| error.kind());
        if found.err() != Some(tidestore_disk::ErrorKind::NotFound) {
            return false;
        }
        let moment = Moment {
            now: self.guard.expiry_now(),
            floor: tidestore_blobs::Apps::floor(&*self.registry, volume.app),
            retention: millis(self.options.attachment_retention),
        };
        index::is_over(&*self.engine, volume, moment).unwrap_or_default()
    }

    /// Takes every segment off the disk that lies below its apps' physical floors, and receipts beyond the window.
    pub(crate) fn expire(&self, report: &mut ExpiryReport) -> Result<()> {
        self.expire_files(report)?;
        if !self.holds_expired_in_memory() {
            return Ok(());
        }
        // A quiet app's messages may lie in memory for good: flushing leaves out what is expired. Last, because on a
        // full disk it needs the space that the files have just given back.
        self.flush()
    }

    fn expire_files(&self, report: &mut ExpiryReport) -> Result<()> {
        let _turn = self.tidying.lock();
        let expirable = self.view.expirable();
        let window = millis(self.options.dedupe_window);
        let before = self.guard.expiry_now().saturating_sub(window);
        let receipts = self.view.receipts_before(before);
        if expirable.is_empty() && receipts.is_empty() {
            return Ok(());
        }
        let mut paths: Vec<PathBuf> = expirable.iter().map(|e| e.path.clone()).collect();
        paths.extend(
            receipts
                .iter()
                .map(|run| receipt_run_path(self.number, *run)),
        );
        let change = ManifestChange {
            removed: expirable.iter().map(|e| e.meta.generation).collect(),
            receipts_removed: receipts,
            ..ManifestChange::default()
        };
        // Expiry must work on a full disk and on a broken shard: the floor alone says that these files may go.
        let logged = self.change_manifest(change.clone(), Vec::new());
        match logged.as_ref().map_err(Error::kind) {
            Ok(()) | Err(ErrorKind::Full) => self.view.unlink(&paths)?,
            Err(ErrorKind::Poisoned) => {
                // No record can follow here, so only what a floor that was written down before says.
                let noted = expirable.iter().filter(|expired| self.is_noted(expired));
                self.view
                    .unlink(&noted.map(|e| e.path.clone()).collect::<Vec<_>>())?;
            }
            Err(_) => {}
        }
        if logged.as_ref().is_err_and(|error| self.is_unlogged(error)) {
            // What the files gave back is room for the record.
            self.change_manifest(change, Vec::new())?;
        } else {
            logged?;
        }
        let before = report.clone();
        for expired in &expirable {
            report.add(&self.registry, expired);
        }
        self.meters.expired(&before, report);
        Ok(())
    }

    /// Whether the floors that are written down say that a segment may go.
    fn is_noted(&self, expired: &Expirable) -> bool {
        let floor = |app| {
            self.registry
                .by_id(app)
                .map_or(Millis::MAX, |record| record.floor)
        };
        expired
            .meta
            .apps
            .iter()
            .all(|share| floor(share.app) >= expired.meta.bucket.end)
    }

    fn holds_expired_in_memory(&self) -> bool {
        let floor = |app| {
            use tidestore_messages::Apps;
            self.registry.physical_floor(app)
        };
        self.view.memory_tallies().into_iter().any(|(app, oldest)| {
            let width = self.bucket_width(app, oldest);
            oldest.saturating_add(width) <= floor(app)
        })
    }

    fn bucket_width(&self, app: AppId, time: Millis) -> Millis {
        use tidestore_messages::Apps;
        let bucket = tidestore_messages::bucket_of(time, self.registry.retention_days(app));
        bucket.end - bucket.start
    }

    pub(crate) fn change_manifest(
        &self,
        change: ManifestChange,
        days: Vec<SegmentDays>,
    ) -> Result<()> {
        self.decide_own(Box::new(move |shard| {
            Ok(Some(shard.manifest_event(change, days)))
        }))
    }

    /// Completes a manifest change. Called on the committer, so that the number only rises from record to record.
    fn manifest_event(&self, change: ManifestChange, days: Vec<SegmentDays>) -> Event {
        let next_generation = self.view.next_generation();
        let change = ManifestChange {
            next_generation,
            ..change
        };
        Event::Sealed(change, days)
    }
}

impl ExpiryReport {
    fn add(&mut self, registry: &crate::apps::Registry, expired: &Expirable) {
        self.segments += 1;
        self.bytes += expired.meta.file_len;
        self.messages += expired.meta.messages;
        for share in &expired.meta.apps {
            let Some(record) = registry.by_id(share.app) else {
                continue;
            };
            let app = self.apps.entry(record.key.clone()).or_default();
            app.segments += 1;
            app.messages += share.messages;
            // A shared file is counted by the share of its messages.
            app.bytes += expired.meta.file_len * share.messages / expired.meta.messages.max(1);
        }
    }
}
