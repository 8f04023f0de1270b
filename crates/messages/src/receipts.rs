//! Receipts: what makes a repeated append safe.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/receipt-run.md`.
//!
//! The receipt of an append that named a client id is kept for the dedupe window, in the memtable first and then in
//! a *receipt run*: one small file a flush, deleted whole when its window is over. Keys are keyed 128-bit hashes of
//! (app, conversation, sender, client id), so a client cannot aim at somebody else's key.
//!
//! # Format, version 1
//!
//! ```text
//! offset  size  what
//!      0     8  magic "TIDERCP1"
//!      8     2  version, 1
//!     10     2  shard
//!     12     4  crc32 of the header with this field left out
//!     16     8  generation
//!     24     8  count n
//!     32   4·n  the upper 32 bits of each key, ascending
//!   …      4    crc32 of the prefixes
//!   …   36·n    entries in the same order: key 16, id 8, seq 8, crc32 of these 32 bytes 4
//! ```
//!
//! Every checksum is seeded with store, generation and offset. A run whose prefixes are in memory costs 4 bytes a receipt
//! there; a lookup is a binary search, and one read of 36 bytes when the prefix is there. The prefixes of all runs share a
//! bound; a run that finds no room is searched on the disk. Keys are hashes, so where a prefix lies can be told from its
//! value: that takes one read of 4 KiB, nearly always.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use siphasher::sip128::{Hasher128, SipHasher13};
use tidestore_disk::{Disk, FileCache, FileExt, Millis, OpenMode, Seal, checksum};

use crate::codec::{le_u16, le_u32, le_u64};
use crate::error::{Error, Result};
use crate::segment::{BlockCache, Budget, Share, StoreId};
use crate::types::{AppId, Conversation, MessageId, Seq};

/// Hash of (app, conversation, sender, client id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptKey(u128);

impl ReceiptKey {
    /// Hashes what identifies an append.
    pub fn new(
        store: StoreId,
        app: AppId,
        conversation: &Conversation,
        sender: &str,
        client_id: &str,
    ) -> Self {
        let mut hasher = SipHasher13::new_with_key(&store.0);
        std::hash::Hasher::write(&mut hasher, &app.0.to_le_bytes());
        for part in [conversation.as_str(), sender, client_id] {
            // The length keeps ("ab", "c") and ("a", "bc") apart.
            std::hash::Hasher::write(&mut hasher, &(part.len() as u64).to_le_bytes());
            std::hash::Hasher::write(&mut hasher, part.as_bytes());
        }
        Self(hasher.finish128().as_u128())
    }

    fn prefix(self) -> u32 {
        u32::try_from(self.0 >> 96).unwrap_or_default()
    }
}

/// What an append was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The id it was given.
    pub id: MessageId,
    /// Its place in the conversation.
    pub seq: Seq,
}

/// What the manifest remembers of a receipt run.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ReceiptRunMeta {
    /// The file's number, unique in its shard.
    pub generation: u64,
    /// How many receipts it holds.
    pub count: u64,
    /// When it was written; it is kept for the dedupe window from then on.
    pub written: Millis,
    /// Length of the file in bytes.
    pub file_len: u64,
}

/// A written receipt run.
#[derive(Debug)]
pub(crate) struct ReceiptRun {
    pub(crate) meta: ReceiptRunMeta,
    pub(crate) path: PathBuf,
    seal: Seal,
    shard: u16,
    /// Where room for prefixes comes from.
    budget: Arc<Budget>,
    prefixes: OnceLock<(Vec<u32>, Share)>,
    /// Whether header and length were found to be right.
    checked: OnceLock<()>,
}

const MAGIC: &[u8; 8] = b"TIDERCP1";
const VERSION: u16 = 1;
const HEADER_LEN: usize = 32;
const ENTRY_LEN: usize = 36;
/// Prefixes read at once where a run is searched on the disk: 4 KiB.
const WINDOW: u64 = 1_024;
const KIND: u32 = u32::from_le_bytes(*b"RCP1");

impl ReceiptRun {
    /// Writes a run under a temporary name, syncs it and gives it its name.
    pub(crate) fn write(
        disk: &Arc<dyn Disk>,
        path: &Path,
        place: RunPlace,
        mut receipts: Vec<(ReceiptKey, Receipt)>,
    ) -> Result<ReceiptRunMeta> {
        receipts.sort_unstable_by_key(|(key, _)| *key);
        let bytes = encode(&place, &receipts);
        let temporary = path.with_extension("tmp");
        match disk.remove_file(&temporary) {
            Err(error) if error.kind() != tidestore_disk::ErrorKind::NotFound => {
                return Err(error.into());
            }
            _ => {}
        }
        let file = disk.open(&temporary, OpenMode::CreateNew)?;
        file.write_all_at(&bytes, 0, &temporary)?;
        file.sync_data()?;
        disk.rename(&temporary, path)?;
        disk.sync_dir(path.parent().unwrap_or(Path::new("")))?;
        Ok(ReceiptRunMeta {
            generation: place.generation,
            count: receipts.len() as u64,
            written: place.written,
            file_len: bytes.len() as u64,
        })
    }

    pub(crate) fn open(
        path: PathBuf,
        store: StoreId,
        shard: u16,
        meta: ReceiptRunMeta,
        budget: &Arc<Budget>,
    ) -> Self {
        let seal = Seal {
            store: store.0,
            kind: KIND,
            generation: meta.generation,
        };
        Self {
            meta,
            path,
            seal,
            shard,
            budget: Arc::clone(budget),
            prefixes: OnceLock::new(),
            checked: OnceLock::new(),
        }
    }

    /// Finds the receipt of a key.
    ///
    /// # Errors
    ///
    /// What reading the file reports; a damaged run names file and offset.
    pub(crate) fn find(&self, files: &FileCache, key: ReceiptKey) -> Result<Option<Receipt>> {
        let Some(prefixes) = self.prefixes(files)? else {
            return self.find_on_disk(files, key);
        };
        let first = prefixes.partition_point(|prefix| *prefix < key.prefix());
        let same = prefixes
            .iter()
            .skip(first)
            .take_while(|prefix| **prefix == key.prefix());
        for index in first..first + same.count() {
            let (found, receipt) = self.entry(files, index)?;
            if found == key {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// Reads the whole run and checks every checksum and the order.
    pub(crate) fn verify(&self, files: &FileCache) -> Result<()> {
        let prefixes = self.read_prefixes(files)?;
        let mut previous = None;
        for (index, prefix) in prefixes.iter().enumerate() {
            let (key, _) = self.entry(files, index)?;
            if key.prefix() != *prefix || previous.is_some_and(|previous| previous >= key) {
                return Err(self.corrupt(self.entry_offset(index), "receipts are out of order"));
            }
            previous = Some(key);
        }
        Ok(())
    }

    /// The prefixes, if they are in memory or there is room for them.
    fn prefixes(&self, files: &FileCache) -> Result<Option<&[u32]>> {
        if let Some((prefixes, _)) = self.prefixes.get() {
            return Ok(Some(prefixes));
        }
        let Some(share) = self.budget.take(self.meta.count.saturating_mul(4)) else {
            return Ok(None);
        };
        let prefixes = self.read_prefixes(files)?;
        Ok(Some(&self.prefixes.get_or_init(|| (prefixes, share)).0))
    }

    /// Finds the receipt of a key without its run's prefixes in memory.
    fn find_on_disk(&self, files: &FileCache, key: ReceiptKey) -> Result<Option<Receipt>> {
        if self.checked.get().is_none() {
            self.check_file(files)?;
            self.checked.get_or_init(|| ());
        }
        let count = self.meta.count;
        let scaled = (u128::from(key.prefix()) * u128::from(count)) >> 32;
        let mut guess = u64::try_from(scaled).unwrap_or_default();
        // The first prefix that is not smaller lies in low..=high.
        let (mut low, mut high) = (0, count);
        while low < high {
            let start = guess.saturating_sub(WINDOW / 2).clamp(low, high - 1);
            let window = self.window(files, start, WINDOW.min(high - start))?;
            let smaller = window.partition_point(|prefix| *prefix < key.prefix());
            let (smaller, len) = (smaller as u64, window.len() as u64);
            if smaller == len {
                low = start + len;
            } else {
                high = start + smaller;
                if smaller > 0 {
                    low = high;
                }
            }
            guess = low.midpoint(high);
        }
        for index in low..count {
            let (found, receipt) = self.entry(files, usize::try_from(index).unwrap_or_default())?;
            if found == key {
                return Ok(Some(receipt));
            }
            if found.prefix() != key.prefix() {
                break;
            }
        }
        Ok(None)
    }

    /// Some of the prefixes. Their checksum is over all of them, so nobody has looked at it: what is found through them
    /// has a checksum of its own, and what is not found because of damage costs what a damaged run costs, a late retry
    /// that becomes a second message.
    fn window(&self, files: &FileCache, start: u64, len: u64) -> Result<Vec<u32>> {
        let mut bytes = vec![0; usize::try_from(len * 4).unwrap_or_default()];
        let offset = HEADER_LEN as u64 + start * 4;
        files
            .open(&self.path)?
            .read_exact_at(&mut bytes, offset, &self.path)?;
        let (prefixes, _) = bytes.as_chunks::<4>();
        Ok(prefixes.iter().map(|b| u32::from_le_bytes(*b)).collect())
    }

    fn check_file(&self, files: &FileCache) -> Result<()> {
        let file = files.open(&self.path)?;
        let len = file.len()?;
        if len != self.meta.file_len || len != file_len(self.meta.count).unwrap_or(0) {
            return Err(self.corrupt(len, "the file has not the length that the manifest states"));
        }
        let mut header = [0; HEADER_LEN];
        file.read_exact_at(&mut header, 0, &self.path)?;
        self.check_header(&header)
    }

    fn read_prefixes(&self, files: &FileCache) -> Result<Vec<u32>> {
        self.check_file(files)?;
        let file = files.open(&self.path)?;
        // The length was just checked against the file, so this cannot be a bomb.
        let mut bytes = vec![0; usize::try_from(self.meta.count * 4 + 4).unwrap_or_default()];
        file.read_exact_at(&mut bytes, HEADER_LEN as u64, &self.path)?;
        let (prefixes, crc) = bytes.split_at(bytes.len() - 4);
        if checksum(&self.seal, HEADER_LEN as u64, &[prefixes]) != le_u32(crc, 0) {
            return Err(self.corrupt(HEADER_LEN as u64, "checksum of the prefixes does not match"));
        }
        Ok(prefixes
            .chunks_exact(4)
            .map(|bytes| le_u32(bytes, 0))
            .collect())
    }

    fn check_header(&self, header: &[u8; HEADER_LEN]) -> Result<()> {
        let expected = header_bytes(&self.seal, self.shard, self.meta.count);
        if *header == expected {
            return Ok(());
        }
        let detail = if header.starts_with(MAGIC) && le_u16(header, 8) != VERSION {
            format!("format version {} is not known", le_u16(header, 8))
        } else if le_u64(header, 16) != self.meta.generation {
            format!(
                "expected generation {}, found {}",
                self.meta.generation,
                le_u64(header, 16)
            )
        } else {
            "the header is not that of this receipt run".to_owned()
        };
        Err(self.corrupt(0, &detail))
    }

    fn entry(&self, files: &FileCache, index: usize) -> Result<(ReceiptKey, Receipt)> {
        let offset = self.entry_offset(index);
        let mut bytes = [0; ENTRY_LEN];
        files
            .open(&self.path)?
            .read_exact_at(&mut bytes, offset, &self.path)?;
        let (content, crc) = bytes.split_at(ENTRY_LEN - 4);
        if checksum(&self.seal, offset, &[content]) != le_u32(crc, 0) {
            return Err(self.corrupt(offset, "checksum of the receipt does not match"));
        }
        let key = u128::from(le_u64(content, 8)) << 64 | u128::from(le_u64(content, 0));
        let receipt = Receipt {
            id: MessageId(le_u64(content, 16)),
            seq: Seq(le_u64(content, 24)),
        };
        Ok((ReceiptKey(key), receipt))
    }

    fn entry_offset(&self, index: usize) -> u64 {
        HEADER_LEN as u64 + self.meta.count * 4 + 4 + (index * ENTRY_LEN) as u64
    }

    fn corrupt(&self, offset: u64, detail: &str) -> Error {
        tidestore_disk::Error::corruption(&self.path, offset, detail).into()
    }
}

/// Reads a receipt run of which nothing is known but its path, to the end, and says what the manifest would remember of
/// it; when it was written is not in the file.
///
/// # Errors
///
/// [`Corruption`](crate::ErrorKind::Corruption) with the offset of the damage, also for a run of another store or shard.
pub fn describe_receipts(
    disk: &Arc<dyn Disk>,
    path: &Path,
    store: StoreId,
    shard: u16,
    written: Millis,
) -> Result<ReceiptRunMeta> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut header = [0; HEADER_LEN];
    file.read_exact_at(&mut header, 0, path)?;
    let meta = ReceiptRunMeta {
        generation: le_u64(&header, 16),
        count: le_u64(&header, 24),
        written,
        file_len: file.len()?,
    };
    let blocks = BlockCache::new(1 << 20);
    let run = ReceiptRun::open(
        path.to_owned(),
        store,
        shard,
        meta.clone(),
        blocks.prefixes(),
    );
    run.verify(&FileCache::new(Arc::clone(disk), 1))?;
    Ok(meta)
}

/// Whether a file is a receipt run of this store with this generation, as far as its header tells.
///
/// # Errors
///
/// What the disk reports. A file that is too short is none.
pub fn is_receipt_run(
    disk: &Arc<dyn Disk>,
    path: &Path,
    store: StoreId,
    generation: u64,
) -> Result<bool> {
    let file = disk.open(path, OpenMode::Read)?;
    if file.len()? < HEADER_LEN as u64 {
        return Ok(false);
    }
    let mut header = [0; HEADER_LEN];
    file.read_exact_at(&mut header, 0, path)?;
    let seal = Seal {
        store: store.0,
        kind: KIND,
        generation,
    };
    let (shard, count) = (le_u16(&header, 10), le_u64(&header, 24));
    Ok(header == header_bytes(&seal, shard, count))
}

/// Where and when a run is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunPlace {
    pub(crate) store: StoreId,
    pub(crate) shard: u16,
    pub(crate) generation: u64,
    pub(crate) written: Millis,
}

fn encode(place: &RunPlace, receipts: &[(ReceiptKey, Receipt)]) -> Vec<u8> {
    let seal = Seal {
        store: place.store.0,
        kind: KIND,
        generation: place.generation,
    };
    let count = receipts.len() as u64;
    let mut bytes = Vec::with_capacity(HEADER_LEN + receipts.len() * (4 + ENTRY_LEN) + 4);
    bytes.extend_from_slice(&header_bytes(&seal, place.shard, count));
    for (key, _) in receipts {
        bytes.extend_from_slice(&key.prefix().to_le_bytes());
    }
    let crc = checksum(
        &seal,
        HEADER_LEN as u64,
        &[bytes.get(HEADER_LEN..).unwrap_or_default()],
    );
    bytes.extend_from_slice(&crc.to_le_bytes());
    for (key, receipt) in receipts {
        let offset = bytes.len();
        bytes.extend_from_slice(&key.0.to_le_bytes());
        bytes.extend_from_slice(&receipt.id.0.to_le_bytes());
        bytes.extend_from_slice(&receipt.seq.0.to_le_bytes());
        let crc = checksum(
            &seal,
            offset as u64,
            &[bytes.get(offset..).unwrap_or_default()],
        );
        bytes.extend_from_slice(&crc.to_le_bytes());
    }
    bytes
}

fn header_bytes(seal: &Seal, shard: u16, count: u64) -> [u8; HEADER_LEN] {
    let mut head = Vec::with_capacity(HEADER_LEN);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&shard.to_le_bytes());
    let mut tail = Vec::with_capacity(16);
    tail.extend_from_slice(&seal.generation.to_le_bytes());
    tail.extend_from_slice(&count.to_le_bytes());
    let crc = checksum(seal, 0, &[&head, &tail]);
    head.extend_from_slice(&crc.to_le_bytes());
    head.extend_from_slice(&tail);
    let mut bytes = [0; HEADER_LEN];
    bytes.copy_from_slice(&head);
    bytes
}

fn file_len(count: u64) -> Option<u64> {
    count
        .checked_mul(4 + ENTRY_LEN as u64)?
        .checked_add(HEADER_LEN as u64 + 4)
}

#[cfg(test)]
mod tests {
    use tidestore_disk::SimDisk;

    use super::*;

    fn key_of(n: u64) -> ReceiptKey {
        let conversation = Conversation::parse("group:tea").unwrap();
        ReceiptKey::new(
            StoreId([7; 16]),
            AppId(1),
            &conversation,
            "ann",
            &n.to_string(),
        )
    }

    /// The prefixes of all receipts of a day were in memory once, whatever their number: some gigabytes in a busy store.
    #[test]
    fn a_run_without_room_in_memory_finds_the_same_receipts_on_the_disk() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let files = FileCache::new(Arc::clone(&disk), 4);
        let store = StoreId([7; 16]);
        for count in [1, 2, 1_023, 1_024, 1_025, 20_000] {
            let receipts = (0..count).map(|n| {
                (
                    key_of(n),
                    Receipt {
                        id: MessageId(n),
                        seq: Seq(n),
                    },
                )
            });
            let mut receipts: Vec<_> = receipts.collect();
            if count == 1_025 {
                // A whole window of one prefix, and entries on both sides of it.
                let same = |n: u64| ReceiptKey(7 << 96 | u128::from(n));
                receipts.extend((0..3_000).map(|n| {
                    (
                        same(n),
                        Receipt {
                            id: MessageId(n),
                            seq: Seq(n),
                        },
                    )
                }));
            }
            let place = RunPlace {
                store,
                shard: 0,
                generation: count,
                written: 0,
            };
            let path = PathBuf::from(format!("{count}.rcp"));
            let meta = ReceiptRun::write(&disk, &path, place, receipts.clone()).unwrap();
            let budget = BlockCache::bounded(crate::CacheBytes {
                blocks: 0,
                indexes: 0,
                prefixes: usize::try_from(meta.count * 4 - 1).unwrap(),
            });
            let run = ReceiptRun::open(path, store, 0, meta, budget.prefixes());
            for (key, receipt) in &receipts {
                assert_eq!(run.find(&files, *key).unwrap(), Some(*receipt), "{count}");
            }
            for n in 20_000..21_000 {
                assert_eq!(run.find(&files, key_of(n)).unwrap(), None);
            }
            for edge in [0, u128::MAX] {
                assert_eq!(run.find(&files, ReceiptKey(edge)).unwrap(), None);
            }
            assert_eq!(budget.prefix_bytes(), 0);
        }
    }

    #[test]
    fn prefixes_in_memory_share_a_bound_and_give_their_room_back() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let files = FileCache::new(Arc::clone(&disk), 4);
        let store = StoreId([7; 16]);
        let bytes = crate::CacheBytes {
            blocks: 0,
            indexes: 0,
            prefixes: 1_000,
        };
        let cache = BlockCache::bounded(bytes);
        let mut runs = Vec::new();
        for generation in 1..=5 {
            let receipts: Vec<_> = (0..100)
                .map(|n| {
                    (
                        key_of(n),
                        Receipt {
                            id: MessageId(n),
                            seq: Seq(n),
                        },
                    )
                })
                .collect();
            let place = RunPlace {
                store,
                shard: 0,
                generation,
                written: 0,
            };
            let path = PathBuf::from(format!("{generation}.rcp"));
            let meta = ReceiptRun::write(&disk, &path, place, receipts).unwrap();
            let run = ReceiptRun::open(path, store, 0, meta, cache.prefixes());
            assert!(run.find(&files, key_of(50)).unwrap().is_some());
            assert!(run.find(&files, key_of(500)).unwrap().is_none());
            runs.push(run);
        }
        assert_eq!(cache.prefix_bytes(), 800);
        runs.truncate(1);
        assert_eq!(cache.prefix_bytes(), 400);
    }
}
