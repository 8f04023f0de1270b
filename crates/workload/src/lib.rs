//! Generated chat with the statistics of real chat, for demonstrations, benches and tests.
//!
//! It is fitted to a corpus of 248,339 real messages (English groups, Chinese direct chats). Words and sentence
//! patterns are this crate's own; what was taken from the corpus are figures:
//!
//! | | corpus | generated |
//! |---|---|---|
//! | bytes of a body: mean, median, 99th percentile, largest | 58.6, 44, 269, 469 | 58.3, 44, 269, 463 |
//! | messages in Chinese | 7.7 % | 8.0 % |
//! | messages by the sender of the one before | 14 % (groups) | 12 % |
//! | bodies clustered by conversation in 32 KiB blocks, zstd level 3 | 2.38 : 1 | 2.40 : 1 |
//!
//! Activity of conversations and of the members of one falls with their rank by a power law; hours of the day weigh
//! as measured. What it is not: text that makes sense, and a model of rooms or of kinds other than text, of which
//! the corpus holds nothing. It takes neither the time nor randomness from the machine: the same seed gives the same
//! chat everywhere. One core writes about two million messages a second.
//!
//! ```
//! use tidestore_workload::{Workload, WorkloadOptions, times};
//!
//! let workload = Workload::new(WorkloadOptions { seed: 7, ..WorkloadOptions::default() });
//! let day = 1_735_689_600_000..1_735_776_000_000;
//! for (time, line) in times(7, day.start, day.end, 1_000).into_iter().zip(workload) {
//!     assert!(day.contains(&time) && !line.body.is_empty());
//!     assert!(line.conversation.contains(':'));
//! }
//! ```

mod chinese;
mod draw;
mod english;
mod grammar;
mod names;
mod times;
mod workload;

pub use times::times;
pub use workload::{Line, Workload, WorkloadOptions};
