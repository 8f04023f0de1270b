//! Uploads: the bytes say what clients, the log and the disk do to the attachments of a shard. What was acknowledged is
//! read back byte for byte, what was not leaves nothing, and the books balance.

#![no_main]

#[path = "../../crates/blobs/tests/common/mod.rs"]
mod common;

use common::{Log, Request, Step, Trouble, Upload, World};
use libfuzzer_sys::fuzz_target;

/// More would only make an input slow.
const STEPS_MAX: usize = 16;
const LIMIT: u32 = 10 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input { bytes, large: false };
    let setting = input.byte();
    let mut world = World::new(setting & 1 == 0, setting.into());
    for number in 0..STEPS_MAX {
        if input.bytes.is_empty() {
            break;
        }
        let step = input.step();
        world.step(&step);
        // Looking at everything takes longer than changing it.
        if number % 4 == 3 {
            world.check(20_000);
        }
    }
    world.check(u64::MAX);
    world.drain();
});

/// Takes values from the front; zeros behind the end.
struct Input<'a> {
    bytes: &'a [u8],
    /// Whether there was a content of about the largest size: one is enough.
    large: bool,
}

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn step(&mut self) -> Step {
        match self.byte() % 16 {
            0..=7 => {
                let requests = (0..=self.byte() % 4).map(|_| self.request()).collect();
                Step::Change { requests, log: self.log(), trouble: self.trouble() }
            }
            8..=11 => {
                let held = self.byte();
                let held = (held & 1 == 1).then_some(held >> 1);
                Step::Collect { held, trouble: self.trouble() }
            }
            12..=13 => Step::Pass { hours: self.byte().into() },
            14 => Step::RaiseFloor { hours: self.byte().into() },
            _ => Step::Crash { seed: self.byte().into(), percent: u32::from(self.byte()) % 101 },
        }
    }

    fn request(&mut self) -> Request {
        match self.byte() % 8 {
            0..=4 => Request::Put(self.upload()),
            5 => Request::Refer { which: self.byte(), kind: self.byte(), number: self.byte() % 80 },
            6 => Request::Unrefer { which: self.byte(), number: self.byte() },
            _ => Request::Delete { which: self.byte() },
        }
    }

    fn upload(&mut self) -> Upload {
        let what = self.byte();
        Upload {
            app: what & 1,
            seed: what >> 1 & 7,
            len: self.len(),
            piece: match self.byte() {
                0 => u32::MAX,
                some => u32::from(some) * 257,
            },
            declared: match self.byte() {
                255 => Some(i32::MAX),
                some @ 128.. => Some(i32::from(some % 8) - 4),
                some => (some & 1 == 1).then_some(0),
            },
            media_type: match what >> 4 & 3 {
                0 => None,
                1 => Some("text/plain"),
                2 => Some("image/jpeg"),
                _ => Some("application/x-anything"),
            },
            shared_max: u32::from(self.byte()) << 12,
            abandoned: match self.byte() {
                some @ 240.. => Some(u32::from(some - 240) << 13),
                _ => None,
            },
        }
    }

    fn len(&mut self) -> u32 {
        let (kind, number) = (self.byte() % 16, u32::from(self.short()));
        match kind {
            0..=9 => number % 9_000,
            10..=12 => (65_536 * (1 + number % 3) + (number >> 8) % 3).saturating_sub(1),
            15 if !self.large && number > 60_000 => {
                self.large = true;
                LIMIT + number % 3 - 1
            }
            _ => number * 8,
        }
    }

    fn log(&mut self) -> Log {
        match self.byte() % 32 {
            0..=24 => Log::Written,
            25..=27 => Log::AfterRoom,
            28..=29 => Log::Refused,
            30 => Log::Unsure { written: false },
            _ => Log::Unsure { written: true },
        }
    }

    fn trouble(&mut self) -> Option<Trouble> {
        let kind = self.byte();
        (kind >= 160).then(|| Trouble { kind, nth: self.byte(), fault: self.byte() })
    }
}
