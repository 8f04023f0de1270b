//! Carrying what is whole in a damaged segment into a new one.

use std::path::PathBuf;

use crate::days::SegmentDays;
use crate::error::{Error, ErrorKind, Result};
use crate::flush::start_segment;
use crate::segment::{Io, Salvage, SegmentHead, SegmentMeta, SegmentWriter};
use crate::types::{AppId, Conversation, MessageId, Seq};
use crate::view::MessageView;

/// A segment that is not as it was written.
#[derive(Debug)]
pub struct DamagedSegment {
    /// What the manifest says of it.
    pub meta: SegmentMeta,
    /// Where it lies, or should lie.
    pub path: PathBuf,
    /// What is wrong.
    pub error: Error,
}

/// A receipt run that is not as it was written.
#[derive(Debug)]
pub struct DamagedRun {
    /// Its number.
    pub generation: u64,
    /// How many receipts it holds.
    pub receipts: u64,
    /// Where it lies, or should lie.
    pub path: PathBuf,
    /// What is wrong.
    pub error: Error,
}

/// What was saved of a damaged segment, and what was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The new segment; none if nothing was whole.
    pub added: Option<(SegmentMeta, SegmentDays)>,
    /// What is lost.
    pub salvage: Salvage,
}

impl MessageView {
    /// Reads every segment and receipt run to the end, and names those that are not as they were written.
    ///
    /// # Errors
    ///
    /// [`Full`](ErrorKind::Full) only; a file that cannot be read is named.
    pub fn damaged(&self) -> (Vec<DamagedSegment>, Vec<DamagedRun>) {
        let version = self.version();
        let mut segments = Vec::new();
        for installed in version.segments.sorted() {
            if let Err(error) = installed.segment.verify(&self.parts.disk) {
                segments.push(DamagedSegment {
                    meta: installed.meta.clone(),
                    path: installed.path.clone(),
                    error,
                });
            }
        }
        let mut runs = Vec::new();
        for run in &version.receipts {
            if let Err(error) = run.verify(&self.parts.files) {
                runs.push(DamagedRun {
                    generation: run.meta.generation,
                    receipts: run.meta.count,
                    path: run.path.clone(),
                    error,
                });
            }
        }
        (segments, runs)
    }

    /// Writes the rows of a damaged segment that are whole into a new one of the same bucket. It takes effect when it is
    /// installed in the place of the old one, which stays as it is.
    ///
    /// # Errors
    ///
    /// What the disk reports about the new file; [`NotFound`](ErrorKind::NotFound) if the manifest names no such segment.
    pub fn write_carried(&self, generation: u64) -> Result<Carried> {
        let version = self.version();
        let Some(installed) = version.segments.get(generation) else {
            return Err(tidestore_disk::Error::new(
                tidestore_disk::ErrorKind::NotFound,
                "carry",
                std::path::Path::new(""),
            )
            .into());
        };
        let redacted = self.place.redacted.read().clone();
        let bucket = installed.meta.bucket;
        let mut writer: Option<SegmentWriter> = None;
        let mut last: Option<(AppId, Conversation, MessageId)> = None;
        let salvage = installed
            .segment
            .salvage(&mut |app, conversation, message| {
                let this = (app, conversation, message.id);
                let is_behind = last
                    .as_ref()
                    .is_none_or(|(app, name, id)| (*app, name, *id) < this);
                let time = message.millis();
                let fits = is_behind
                    && (bucket.start..bucket.end).contains(&time)
                    && message.id.shard() == self.parts.shard;
                if !fits {
                    return Ok(());
                }
                last = Some((app, conversation.clone(), message.id));
                if writer.is_none() {
                    let head = SegmentHead {
                        store: self.parts.store,
                        shard: self.parts.shard,
                        generation: self.take_generation(),
                        owner: installed.meta.owner,
                        bucket,
                    };
                    writer = start_segment(&self.place, &*self.parts.apps, head)?;
                }
                let rest = redacted.without_content(app, &message);
                match &mut writer {
                    Some(writer) => {
                        writer.push(app, conversation, rest.as_ref().unwrap_or(&message))
                    }
                    None => Ok(()),
                }
            })?;
        let added = writer.map(SegmentWriter::seal).transpose()?;
        Ok(Carried { added, salvage })
    }

    /// Every number of a conversation that lies in a block that can be read, with the id under it, in the order of
    /// numbers. Costs a read of all its blocks.
    ///
    /// # Errors
    ///
    /// What the disk reports, except damage.
    pub fn numbers_of(
        &self,
        app: AppId,
        conversation: &Conversation,
    ) -> Result<Vec<(Seq, MessageId)>> {
        let mut found = Vec::new();
        for installed in self.version().segments.of_app(app) {
            let segment = &installed.segment;
            let run = match segment.run(app, conversation, Io::Allowed) {
                Ok(run) => run.ready().flatten(),
                Err(error) if is_damage(&error) => continue,
                Err(error) => return Err(error),
            };
            let Some(run) = run else { continue };
            for number in run.first_block..=run.last_block {
                match segment.block(number, Io::Allowed) {
                    Ok(block) => {
                        let Some(block) = block.ready() else { continue };
                        let rows = block.rows(app, conversation);
                        found.extend(rows.map(|row| (block.seq(row), block.id(row))));
                    }
                    Err(error) if is_damage(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Corruption | ErrorKind::NotFound | ErrorKind::Io
    )
}
