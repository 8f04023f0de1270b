//! Loads described in files, run against a store, and the options that suit a load best on the disk at hand.
//!
//! A [`Spec`] says who does what, how often and for how long; [`run`] does it and gives an [`Outcome`]: rates, times to wait,
//! bytes written and kept, processor and memory. [`tune`] runs a load again and again with other [`Knobs`], always beside the
//! best so far, and recommends some.
//!
//! ```
//! use tidestore_tuning::Spec;
//!
//! let spec = Spec::parse("seconds = 5\nwriters = 8\n[mix]\nappend = 70\nnewest_page = 30").unwrap();
//! assert_eq!((spec.writers, spec.mix.append), (8, 70));
//! let error = Spec::parse("writers = 0").unwrap_err();
//! assert!(error.to_string().contains("writers"));
//! ```

mod counters;
mod error;
mod knobs;
mod load;
mod outcome;
mod page;
mod spec;
mod tune;

pub use error::{Error, Result};
pub use knobs::Knobs;
pub use load::run;
pub use outcome::{CallFigures, Outcome};
pub use page::page;
pub use spec::{Chat, Mix, Spec, Wait};
pub use tune::{Exhaustive, Gains, Goal, Knob, Plan, Trial, Tuned, all_knobs, tune};
