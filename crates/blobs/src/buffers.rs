//! Buffers that are used again.
//!
//! A reader of large attachments needs half a megabyte, again and again. Fresh memory of that size comes from the
//! system as pages that do not exist before they are touched, and goes back to it; measured, that cost more than
//! reading and checking the bytes.

use std::sync::Arc;

use bytes::Bytes;
use tidestore_disk::sync::Mutex;

/// Smaller buffers come from the allocator, which keeps them.
const POOLED_MIN: usize = 96 << 10;
/// So many buffers wait to be used again; of at most half a megabyte each.
const POOLED_MAX: usize = 16;

/// Buffers of dropped pieces, for the next ones. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// A buffer of so many bytes, whatever they are.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        let mut bytes = Vec::new();
        if len >= POOLED_MIN {
            bytes = self.free.lock().pop().unwrap_or_default();
        }
        if bytes.len() < len {
            bytes = vec![0; len];
        }
        Buffer {
            bytes,
            len,
            home: self.clone(),
        }
    }
}

/// A buffer on loan.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    home: Buffers,
}

impl Buffer {
    /// Hands its bytes out; it comes back when the last of them is dropped.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() >= POOLED_MIN {
            let mut free = self.home.free.lock();
            if free.len() < POOLED_MAX {
                free.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again_and_never_longer_than_asked_for() {
        let buffers = Buffers::default();
        let mut first = buffers.take(200_000);
        first.as_mut().fill(7);
        let address = first.as_ref().as_ptr();
        let bytes = first.into_bytes();
        let part = bytes.slice(5..10);
        drop(bytes);
        assert_eq!(part, [7; 5][..]);
        drop(part);
        let second = buffers.take(100_000);
        assert_eq!(
            (second.as_ref().as_ptr(), second.as_ref().len()),
            (address, 100_000)
        );
        assert_eq!(buffers.take(1_000).as_ref().len(), 1_000);
    }
}
