//! Looking for the options that suit a load.

mod goal;
mod knob;
mod search;

pub use goal::{Gains, Goal};
pub use knob::{Knob, all_knobs};
pub use search::{Exhaustive, Plan, Trial, Tuned, tune};
