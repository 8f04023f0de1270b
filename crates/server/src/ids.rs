//! Ids that the service gives: numbers that grow with time, as the hosted service's do.

use std::sync::atomic::{AtomicU64, Ordering};

use tidestore::plan::{IdError, ResourceId};

static LAST: AtomicU64 = AtomicU64::new(0);

/// A number that was never given before by this process, and by none whose clock is right: hundredths of milliseconds since
/// 1970, fifteen digits, so that programs which know only floating point keep it whole.
pub(crate) fn fresh() -> u64 {
    let now = crate::answer::timestamp().saturating_mul(100);
    let mut last = LAST.load(Ordering::Relaxed);
    loop {
        let next = now.max(last.saturating_add(1));
        match LAST.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return next,
            Err(other) => last = other,
        }
    }
}

/// The same as the id of a group, chatroom or thread.
pub(crate) fn fresh_resource() -> Result<ResourceId, IdError> {
    ResourceId::parse(&fresh().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_and_have_fifteen_digits() {
        let ids: Vec<u64> = (0..10_000).map(|_| fresh()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert_eq!(ids[0].to_string().len(), 15);
    }
}
