//! Counting panics: wherever one happens, also on a thread of the store, it is a finding.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Begins to count, once and for the whole process. What is printed of a panic stays as it is.
///
/// A panic inside redb does not count: it stumbles so over damage, and the engine makes an error of it.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let file = info.location().map_or("", |location| location.file());
            if !file.contains("/redb-") {
                COUNT.fetch_add(1, Ordering::SeqCst);
                before(info);
            }
        }));
    });
}

/// How many there were.
pub(crate) fn count() -> u64 {
    COUNT.load(Ordering::SeqCst)
}
