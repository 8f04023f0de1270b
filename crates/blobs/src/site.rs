//! Where the files of attachments lie, and what they need from the world.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Clock, Disk, Entropy, Env, Millis};
use tidestore_plan::AppId;

use crate::error::Result;
use crate::format::Span;

/// What the attachments must know of apps; the facade answers from its registry.
pub trait Apps: Debug + Send + Sync {
    /// The app's directory; `None` once the app is deleted.
    fn dir(&self, app: AppId) -> Option<PathBuf>;
    /// The bucket of a time.
    fn bucket(&self, app: AppId, time: Millis) -> Span;
    /// Messages older than this are not visible.
    fn floor(&self, app: AppId) -> Millis;
    /// What only messages older than this refer to may leave the disk.
    fn physical_floor(&self, app: AppId) -> Millis;
}

/// The disk, the clock and the randomness that attachments are stored with.
#[derive(Clone, Debug)]
pub struct Site {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The clock; only for numbers that nobody has.
    pub clock: Arc<dyn Clock>,
    /// The source of numbers that nobody guesses.
    pub entropy: Arc<dyn Entropy>,
    /// The store's id, part of every checksum and key of every tag.
    pub store: [u8; 16],
}

impl Site {
    /// The site of a store in an environment.
    pub fn new(env: &Env, store: [u8; 16]) -> Self {
        Self {
            disk: Arc::clone(&env.disk),
            clock: Arc::clone(&env.clock),
            entropy: Arc::clone(&env.entropy),
            store,
        }
    }

    /// 64 random bits.
    pub(crate) fn chance(&self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Draws a number for a volume: the time, then chance. That needs no counter that a crash could set back; whoever
    /// makes a file under a number that is taken draws again.
    pub(crate) fn draw_number(&self) -> Result<u64> {
        let time = self.clock.wall() & 0x0fff_ffff_ffff;
        Ok(time << 20 | self.chance()? & 0x000f_ffff)
    }
}

/// The directory of an app's volumes of one bucket.
pub(crate) fn bucket_dir(app_dir: &Path, bucket_start: Millis) -> PathBuf {
    app_dir.join("blobs").join(format!("{bucket_start:013}"))
}

/// The path of a volume: `SHARD-NUMBER.vol`, or `NUMBER.vol` for one that was made for a single large content.
pub(crate) fn volume_path(
    app_dir: &Path,
    bucket: Span,
    shard: u16,
    number: u64,
    solo: bool,
) -> PathBuf {
    let name = if solo {
        format!("{number:020}.vol")
    } else {
        format!("{shard:02}-{number:020}.vol")
    };
    bucket_dir(app_dir, bucket.start).join(name)
}
