//! Power cuts, kills, damage and wrong clocks against a whole store, and a plain model that says what must be left.
//!
//! A **round** sets a store up and lets it live several **lives**. In each, requests are drawn by chance over every part
//! of the store, something goes wrong, the life ends, the store is opened again, and everything in it is read and compared
//! with the model. There are two kinds:
//!
//! - **simulated**, on a disk and a clock of `tidestore_disk`: power cuts with 0, 10, 50 and 100 % of what was not synced
//!   surviving, failing syncs once or for ever, a full disk, failing and short input and output, no handles, jumps of the
//!   clock, and on copies of the disk flipped bits, files that are cut, missing, stale, foreign or there twice. The same
//!   seed and round do the same, request by request: [`simulate`] returns a hash of all of it.
//! - **real**: a process opens a store on a real directory, writers keep it busy, and it is killed (SIGKILL) at a moment
//!   drawn by chance; sometimes its disk fails or its clock jumps before.
//!
//! # What must hold
//!
//! What was acknowledged is there, as it was: order and numbers of messages, retries, edits, recalls, reactions, unread
//! counts, what each device has pending, attachments byte for byte, users, contacts, members with their flags, attributes
//! byte for byte, caps, and ledgers that equal a recount. What was asked and not answered is there whole or not at all.
//! What has expired or was deleted is not there. `verify` finds nothing. After a failed sync a shard acknowledges nothing
//! more. Expiry gives space back on a full disk, and everything goes on when there is space. A clock that jumps deletes
//! nothing. On a damaged disk the store refuses to open and says why, or serves what is whole; what it serves is right.
//! And nothing panics.
//!
//! # What nobody could notice
//!
//! A store whose log or tables are replaced by an older copy of themselves may pass for one that is as old. A last log
//! file that vanishes as a whole takes what only it held along: nothing else says that it was there. There, only what is
//! read is compared.
//!
//! # How it works
//!
//! | file | idea |
//! |---|---|
//! | `op.rs` | a request and an answer, as plain values that also go through a pipe |
//! | `act.rs` | doing a request |
//! | `writer.rs`, `draw.rs` | what is asked next, by chance from a seed or from a fuzzer's bytes |
//! | `chat.rs`, `people.rs` | the models |
//! | `state.rs` | the states that may be the case: a request without an answer doubles them, what is read afterwards decides |
//! | `observe.rs`, `compare.rs` | reading everything, and comparing it |
//! | `sim.rs`, `damage.rs` | simulated rounds |
//! | `real.rs`, `worker.rs`, `faulty.rs` | real ones: the parent, the process that is killed, its failing disk |
//! | `run.rs`, `report.rs` | rounds until the time is up; the numbers |
//!
//! The comparison has no mercy by design; where it has some, the reason stands beside it. To see that it notices, `tests/`
//! runs it against a disk that lies and against an older copy of a store.
//!
//! ```
//! let (report, trace) = tidestore_torture::simulate(7, 1).unwrap();
//! assert!(report.count("operations") > 0);
//! assert_eq!(tidestore_torture::simulate(7, 1).unwrap().1, trace);
//! ```

mod act;
mod chat;
mod compare;
mod damage;
mod draw;
mod faulty;
mod observe;
mod op;
mod panics;
mod people;
mod real;
mod report;
mod run;
mod sim;
mod state;
mod verdict;
mod worker;
mod writer;

pub use real::Program;
pub use report::{Finding, NAMES, Report};
pub use run::{Options, drive, run, simulate};
pub use worker::work;
