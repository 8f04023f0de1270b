//! One app's part of files that it shares with others, written as files of its own somewhere else.

use std::path::Path;
use std::sync::Arc;

use tidestore_disk::sync::Mutex;
use tidestore_disk::{Disk, Millis};

use crate::days::SegmentDays;
use crate::error::{Error, Result};
use crate::flush::{SegmentPlace, start_segment};
use crate::layout::{receipt_run_path, receipts_dir};
use crate::receipts::{Receipt, ReceiptKey, ReceiptRun, ReceiptRunMeta, RunPlace};
use crate::segment::{Owner, SegmentHead, SegmentMeta};
use crate::types::{AppId, MessageId};
use crate::view::MessageView;

impl MessageView {
    /// Writes an app's messages of a shared segment as a segment of its own on another disk, under the same number and at
    /// the path that it has in a store: what expired, was recalled or erased is left out, as in a merge. `None` if nothing
    /// is left. Costs a pass over the segment.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such segment, [`Corruption`](crate::ErrorKind::Corruption) if it cannot be
    /// read, and what either disk reports.
    pub fn extract(
        &self,
        generation: u64,
        app: AppId,
        target: &Arc<dyn Disk>,
    ) -> Result<Option<(SegmentMeta, SegmentDays)>> {
        let version = self.version();
        let installed = version.segments.get(generation);
        let installed = installed.ok_or_else(|| missing(generation))?;
        let place = SegmentPlace {
            disk: Arc::clone(target),
            prepared: Arc::new(Mutex::default()),
            ..self.place.clone()
        };
        let head = SegmentHead {
            store: place.store,
            shard: place.shard,
            generation,
            owner: Owner::App(app),
            bucket: installed.meta.bucket,
        };
        let floor = self.parts.apps.physical_floor(app);
        let redacted = place.redacted.read().clone();
        let mut writer = None;
        for row in installed.segment.scan()? {
            let (owner, conversation, message) = row?;
            if owner != app || message.millis() < floor {
                continue;
            }
            if writer.is_none() {
                writer = start_segment(&place, &*self.parts.apps, head)?;
            }
            let Some(writer) = &mut writer else {
                return Ok(None);
            };
            let rest = redacted.without_content(app, &message);
            writer.push(app, &conversation, rest.as_ref().unwrap_or(&message))?;
        }
        writer.map(crate::segment::SegmentWriter::seal).transpose()
    }

    /// Writes a run with the receipts of one app on another disk: those of its messages in segments since a time that name a
    /// client id. It gets the number and time of the newest run there is; `None` if there is none, or nothing to write.
    /// Costs a pass over the app's segments that reach so far.
    ///
    /// # Errors
    ///
    /// As [`extract`](Self::extract).
    pub fn extract_receipts(
        &self,
        app: AppId,
        since: Millis,
        target: &Arc<dyn Disk>,
    ) -> Result<Option<ReceiptRunMeta>> {
        let version = self.version();
        let Some(newest) = version.receipts.first() else {
            return Ok(None);
        };
        let mut receipts = Vec::new();
        for installed in version.segments.of_app(app) {
            let share = installed.meta.share(app);
            if share.is_none_or(|share| share.max_id < MessageId::first_at(since)) {
                continue;
            }
            for row in installed.segment.scan()? {
                let (owner, conversation, message) = row?;
                if owner != app || message.client_id.is_empty() || message.millis() < since {
                    continue;
                }
                let store = self.parts.store;
                let (sender, client) = (&message.sender, &message.client_id);
                let key = ReceiptKey::new(store, app, &conversation, sender, client);
                let (id, seq) = (message.id, message.seq);
                receipts.push((key, Receipt { id, seq }));
            }
        }
        if receipts.is_empty() {
            return Ok(None);
        }
        let shard = self.parts.shard;
        target.create_dir_all(&receipts_dir(shard))?;
        let place = RunPlace {
            store: self.parts.store,
            shard,
            generation: newest.meta.generation,
            written: newest.meta.written,
        };
        let path = receipt_run_path(shard, place.generation);
        ReceiptRun::write(target, &path, place, receipts).map(Some)
    }
}

fn missing(generation: u64) -> Error {
    let path = Path::new("segment").join(generation.to_string());
    tidestore_disk::Error::new(tidestore_disk::ErrorKind::NotFound, "open", &path).into()
}
