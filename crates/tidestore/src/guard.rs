//! A wrong clock must not delete data.
//!
//! The guard knows two times. *Now* dates new messages; *expiry now* moves the retention floor. Both follow the wall
//! clock as long as it agrees with the monotonic clock and, at opening, with the last time the store was seen alive.
//! When it does not, expiry now only moves on as fast as real time passes, files stay where they are, and an alarm
//! stands until an operator confirms the clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidestore_disk::sync::Mutex;
use tidestore_disk::{Clock, Millis};

/// Why expiry is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClockAlarm {
    /// The wall clock jumped against the monotonic clock while the store was open.
    Jumped {
        /// What the wall clock says.
        wall: Millis,
        /// What it should say.
        expected: Millis,
    },
    /// At opening the wall clock is behind the newest time in the store.
    Behind {
        /// What the wall clock says.
        wall: Millis,
        /// The newest time in the store.
        last_seen: Millis,
    },
    /// The store was closed for longer than the clock is trusted without a word.
    LongGap {
        /// What the wall clock says.
        wall: Millis,
        /// When the store was last seen alive.
        last_seen: Millis,
    },
    /// The wall clock had jumped before the store was opened, and nobody has confirmed it since.
    Unconfirmed {
        /// What the wall clock says.
        wall: Millis,
        /// When the store was last seen alive.
        last_seen: Millis,
    },
}

impl fmt::Display for ClockAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = |a: &Millis, b: &Millis| a.abs_diff(*b) / 3_600_000;
        match self {
            Self::Jumped { wall, expected } => write!(
                f,
                "the wall clock jumped by {} hours against the monotonic clock",
                hours(wall, expected)
            ),
            Self::Behind { wall, last_seen } => write!(
                f,
                "the wall clock is {} hours behind the newest time in the store",
                hours(wall, last_seen)
            ),
            Self::LongGap { wall, last_seen } => write!(
                f,
                "the wall clock says that the store was closed for {} hours",
                hours(wall, last_seen)
            ),
            Self::Unconfirmed { wall, last_seen } => write!(
                f,
                "the wall clock jumped before the store was opened, and is {} hours from when it was last seen alive",
                hours(wall, last_seen)
            ),
        }?;
        f.write_str("; expiry is paused until the clock is confirmed")
    }
}

/// The two times of the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// Dates new messages.
    pub(crate) now: Millis,
    /// Moves the retention floor, and is what the store remembers as the last time it was seen alive.
    pub(crate) trusted: Millis,
}

/// Watches the wall clock.
#[derive(Debug)]
pub(crate) struct ClockGuard {
    clock: Arc<dyn Clock>,
    drift_max: Millis,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Wall and monotonic time that were believed to belong together.
    anchor: (Millis, Duration),
    /// The same for expiry, which may lag behind after a long gap.
    expiry_anchor: (Millis, Duration),
    alarm: Option<ClockAlarm>,
}

impl ClockGuard {
    /// Starts watching a clock that is believed for now.
    pub(crate) fn start(clock: Arc<dyn Clock>, drift_max: Duration) -> Self {
        let now = (clock.wall(), clock.monotonic());
        let state = State {
            anchor: now,
            expiry_anchor: now,
            alarm: None,
        };
        Self {
            clock,
            drift_max: millis(drift_max),
            state: Mutex::new(state),
        }
    }

    /// Compares the clock with the newest time in the store, 0 for a new one. `jumped`: a jump was noted and never confirmed.
    pub(crate) fn resume(&self, last_seen: Millis, gap_max: Duration, jumped: bool) {
        let (wall, monotonic) = (self.clock.wall(), self.clock.monotonic());
        let seen = (last_seen, monotonic);
        let mut state = self.state.lock();
        if last_seen > wall.saturating_add(self.drift_max) {
            let alarm = Some(raised(ClockAlarm::Behind { wall, last_seen }));
            *state = State {
                anchor: seen,
                expiry_anchor: seen,
                alarm,
            };
        } else if last_seen > 0 && wall > last_seen.saturating_add(millis(gap_max)) {
            let alarm = Some(raised(ClockAlarm::LongGap { wall, last_seen }));
            *state = State {
                anchor: (wall, monotonic),
                expiry_anchor: seen,
                alarm,
            };
        } else if last_seen > 0 && jumped {
            let alarm = Some(ClockAlarm::Unconfirmed { wall, last_seen });
            *state = State {
                anchor: (wall, monotonic),
                expiry_anchor: seen,
                alarm,
            };
        }
    }

    /// The time that dates new messages.
    pub(crate) fn now(&self) -> Millis {
        self.times().now
    }

    /// The time that moves the retention floor.
    pub(crate) fn expiry_now(&self) -> Millis {
        self.times().trusted
    }

    /// Why expiry is paused, if it is.
    pub(crate) fn alarm(&self) -> Option<ClockAlarm> {
        self.times();
        self.state.lock().alarm
    }

    /// Whether a jump waits for a word that nothing else would tell of after a restart: a clock that is behind or a long
    /// gap is seen again by itself.
    pub(crate) fn is_jumped(&self) -> bool {
        use ClockAlarm::{Jumped, Unconfirmed};
        matches!(self.alarm(), Some(Jumped { .. } | Unconfirmed { .. }))
    }

    /// The operator vouches for the wall clock.
    pub(crate) fn confirm(&self) {
        let now = (self.clock.wall(), self.clock.monotonic());
        tracing::info!(wall = now.0, "the clock was confirmed");
        *self.state.lock() = State {
            anchor: now,
            expiry_anchor: now,
            alarm: None,
        };
    }

    /// Both times, at one moment.
    pub(crate) fn times(&self) -> Times {
        let mut state = self.state.lock();
        let (wall, monotonic) = (self.clock.wall(), self.clock.monotonic());
        let expected = advance(state.anchor, monotonic);
        let expiry = advance(state.expiry_anchor, monotonic);
        match state.alarm {
            None if wall.abs_diff(expected) <= self.drift_max => Times {
                now: wall,
                trusted: wall,
            },
            None => {
                state.alarm = Some(raised(ClockAlarm::Jumped { wall, expected }));
                Times {
                    now: expected,
                    trusted: expiry,
                }
            }
            // After a long gap the clock may well be right: new messages get its time, as long as it runs evenly.
            Some(ClockAlarm::LongGap { .. } | ClockAlarm::Unconfirmed { .. })
                if wall.abs_diff(expected) <= self.drift_max =>
            {
                Times {
                    now: wall,
                    trusted: expiry,
                }
            }
            Some(_) => Times {
                now: expected,
                trusted: expiry,
            },
        }
    }
}

/// Tells the operator.
fn raised(alarm: ClockAlarm) -> ClockAlarm {
    tracing::error!(%alarm, "the clock is not trusted");
    alarm
}

fn advance((wall, monotonic): (Millis, Duration), now: Duration) -> Millis {
    wall.saturating_add(millis(now.saturating_sub(monotonic)))
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
