//! Decoders of parts of files, for those who try them with bytes of their own: fuzz targets and tests of limits.

use std::path::Path;
use std::sync::Arc;

use tidestore_disk::{Disk, FileCache, Millis, Seal};

use crate::codec::Malformed;
use crate::error::Result;
use crate::layout::receipt_run_path;
use crate::receipts::{Receipt, ReceiptKey, ReceiptRun, ReceiptRunMeta};
use crate::segment::{BlockCache, StoreId, parts};
use crate::types::MessageId;

/// Decodes the index of a segment and encodes it again.
///
/// # Errors
///
/// [`Malformed`] if the bytes are no index of a file with these parts.
#[doc(hidden)]
pub fn recode_index(
    raw: &[u8],
    bucket: Millis,
    ids: u64,
    index: u64,
) -> Result<Vec<u8>, Malformed> {
    Ok(parts::Index::decode(raw, bucket, ids, index)?.encode(bucket))
}

/// Decodes a page of a segment's id index and encodes it again.
///
/// # Errors
///
/// [`Malformed`] if the bytes are no such page.
#[doc(hidden)]
pub fn recode_id_page(raw: &[u8], first: MessageId, shard: u16) -> Result<Vec<u8>, Malformed> {
    Ok(parts::IdPage::encode(
        &parts::IdPage::decode(raw, first, shard)?.entries,
    ))
}

/// Checks a section of a segment and unpacks it; `is_block` says which of the two bounds holds.
///
/// # Errors
///
/// [`Corruption`](crate::ErrorKind::Corruption) if the bytes are no section for this place.
#[doc(hidden)]
pub fn open_section(bytes: &[u8], seal: &Seal, offset: u64, is_block: bool) -> Result<Vec<u8>> {
    let most = if is_block {
        parts::BLOCK_RAW_MAX
    } else {
        parts::SECTION_RAW_MAX
    };
    parts::open_section(bytes, seal, offset, Path::new("section"), most)
}

/// Reads a whole receipt run, as `verify` does.
///
/// # Errors
///
/// [`Corruption`](crate::ErrorKind::Corruption) with file and offset of the first damage.
#[doc(hidden)]
pub fn verify_receipts(
    disk: &Arc<dyn Disk>,
    store: StoreId,
    shard: u16,
    meta: &ReceiptRunMeta,
) -> Result<()> {
    run(store, shard, meta).verify(&FileCache::new(Arc::clone(disk), 1))
}

/// Looks a receipt up in a run.
///
/// # Errors
///
/// [`Corruption`](crate::ErrorKind::Corruption) with file and offset if a part that was read is damaged.
#[doc(hidden)]
pub fn find_receipt(
    disk: &Arc<dyn Disk>,
    store: StoreId,
    shard: u16,
    meta: &ReceiptRunMeta,
    key: ReceiptKey,
) -> Result<Option<Receipt>> {
    run(store, shard, meta).find(&FileCache::new(Arc::clone(disk), 1), key)
}

fn run(store: StoreId, shard: u16, meta: &ReceiptRunMeta) -> ReceiptRun {
    let path = receipt_run_path(shard, meta.generation);
    // Room for the prefixes of any run that a test makes.
    let cache = BlockCache::new(1 << 20);
    ReceiptRun::open(path, store, shard, meta.clone(), cache.prefixes())
}
