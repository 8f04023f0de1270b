//! Time: the wall clock, which may be wrong, and the monotonic clock, which only measures.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::sync::Mutex;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = u64;

/// Where time comes from.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The wall clock. It may jump either way; nothing may be deleted on its word alone.
    fn wall(&self) -> Millis;
    /// Time since an arbitrary start, which never goes back and counts suspension
    /// (`CLOCK_BOOTTIME`).
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealClock;

impl Clock for RealClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everyone else asks"
    )]
    fn wall(&self) -> Millis {
        // A clock set before 1970 reads as 0, which expires nothing.
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Millis::try_from(since_epoch.as_millis()).unwrap_or(Millis::MAX)
    }

    fn monotonic(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    }
}

/// A clock that moves only when told to. Clones share the time.
#[derive(Clone, Debug)]
pub struct SimClock {
    time: Arc<Mutex<SimTime>>,
}

#[derive(Debug)]
struct SimTime {
    wall: Duration,
    monotonic: Duration,
}

impl SimClock {
    /// Starts with the wall clock at `wall` and the monotonic clock at zero.
    pub fn new(wall: Millis) -> Self {
        let time = SimTime {
            wall: Duration::from_millis(wall),
            monotonic: Duration::ZERO,
        };
        Self {
            time: Arc::new(Mutex::new(time)),
        }
    }

    /// Lets time pass: both clocks move.
    pub fn advance(&self, by: Duration) {
        let mut time = self.time.lock();
        time.wall = time.wall.saturating_add(by);
        time.monotonic = time.monotonic.saturating_add(by);
    }

    /// Moves only the wall clock, by `ms` milliseconds either way, not below 0: what a wrong time
    /// server or an operator does.
    pub fn jump(&self, ms: i64) {
        let mut time = self.time.lock();
        let by = Duration::from_millis(ms.unsigned_abs());
        time.wall = if ms < 0 {
            time.wall.saturating_sub(by)
        } else {
            time.wall.saturating_add(by)
        };
    }
}

impl Clock for SimClock {
    fn wall(&self) -> Millis {
        Millis::try_from(self.time.lock().wall.as_millis()).unwrap_or(Millis::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.time.lock().monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_moves_both_clocks_and_jumping_only_the_wall() {
        let clock = SimClock::new(1_000);
        clock.clone().advance(Duration::from_millis(250));
        clock.jump(-2_000);
        assert_eq!(clock.wall(), 0);
        clock.jump(500);
        assert_eq!(
            (clock.wall(), clock.monotonic()),
            (500, Duration::from_millis(250))
        );
    }

    #[test]
    fn parts_of_a_millisecond_add_up() {
        let clock = SimClock::new(0);
        (0..4).for_each(|_| clock.advance(Duration::from_micros(250)));
        assert_eq!(clock.wall(), 1);
    }

    #[test]
    fn the_real_clocks_tell_plausible_times() {
        assert!(RealClock.wall() > 1_700_000_000_000);
        let earlier = RealClock.monotonic();
        assert!(RealClock.monotonic() >= earlier);
    }
}
