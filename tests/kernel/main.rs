//! The store on a real kernel that cuts the power, runs out of space, refuses calls and kills.
//!
//! ```sh
//! tests/kernel/run                                  # as root: installs what it needs, prints what was done and skipped
//! TIDESTORE_KERNEL_ROUNDS=50 tests/kernel/run power # longer, and only the tests whose name holds a word
//! ```
//!
//! Needs root, loop devices, ext4 and some programs. What is missing is printed as `skipped: REASON`, and the test passes.
//! Mounts and loop devices are given back when a test ends, however it ends; what a killed run left behind is taken back
//! by the next one. All tests take one lock, because they share the machine's loop devices.
//!
//! The store under test runs in a process of its own, which says on a pipe what it is about to do and what was
//! acknowledged; afterwards the store is opened anew and compared with that.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests play the operator, who has files of their own"
)]

mod child;
mod full;
mod host;
mod inject;
mod limits;
mod many;
mod memory;
mod power;
mod program;
mod said;
mod thin;
mod work;
