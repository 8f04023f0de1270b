//! Ids that sort by time, cannot be guessed, and are recognised as our own after their rows are gone.
//!
//! ```text
//! bit 127..80        79..76   75..70   69..64   63..62   61..32   31..0
//!     milliseconds   8        shard    chance   2        chance   tag
//! ```
//!
//! That is a UUID of version 8. The tag is a keyed hash of the other bits and the app: an id that was never given has
//! the right one by chance once in four thousand million tries. So an old id that is not in the table any more is told
//! from a forged one without keeping a row for it.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use tidestore_disk::Millis;
use tidestore_plan::{AppId, AttachmentId};

const VERSION: u128 = 8 << 76;
const VARIANT: u128 = 2 << 62;

/// Puts an id together. Of `chance` 36 bits are used.
pub fn compose(
    store: &[u8; 16],
    app: AppId,
    shard: u16,
    time: Millis,
    chance: u64,
) -> AttachmentId {
    let time = u128::from(time & 0xffff_ffff_ffff) << 80;
    let shard = u128::from(shard & 63) << 70;
    let (high, low) = (chance >> 30 & 63, chance & 0x3fff_ffff);
    let bits = time | VERSION | shard | u128::from(high) << 64 | VARIANT | u128::from(low) << 32;
    AttachmentId::from_bits(bits | u128::from(tag(store, app, bits)))
}

/// When the attachment was uploaded.
pub const fn time(id: AttachmentId) -> Millis {
    (id.to_bits() >> 80) as Millis
}

/// The shard that keeps it.
#[expect(clippy::cast_possible_truncation, reason = "masked to 6 bits")]
pub const fn shard(id: AttachmentId) -> u16 {
    (id.to_bits() >> 70) as u16 & 63
}

/// Whether this store gave the id to this app.
pub fn is_genuine(store: &[u8; 16], app: AppId, id: AttachmentId) -> bool {
    let bits = id.to_bits();
    let untagged = bits >> 32 << 32;
    bits == untagged | u128::from(tag(store, app, untagged))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "half of the hash is the tag"
)]
fn tag(store: &[u8; 16], app: AppId, bits: u128) -> u32 {
    let mut hasher = SipHasher13::new_with_key(store);
    hasher.write(&app.0.to_le_bytes());
    hasher.write(&bits.to_be_bytes());
    hasher.finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_knows_its_time_and_shard_and_whose_it_is() {
        let store = [7; 16];
        let id = compose(&store, AppId(3), 41, 1_767_225_600_123, u64::MAX);
        assert_eq!((time(id), shard(id)), (1_767_225_600_123, 41));
        assert!(is_genuine(&store, AppId(3), id));
        assert!(!is_genuine(&store, AppId(4), id));
        assert!(!is_genuine(&[8; 16], AppId(3), id));
        for bit in 0..128 {
            let forged = AttachmentId::from_bits(id.to_bits() ^ 1 << bit);
            assert!(!is_genuine(&store, AppId(3), forged), "bit {bit}");
        }
        // Golden: ids live in messages and outside, so the layout must never change.
        assert_eq!(id.to_string(), "019b76da-a87b-8a7f-bfff-ffffa8b3184b");
    }
}
