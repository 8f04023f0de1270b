//! Push settings, templates and labels: every bound exactly, deletions step by step, random changes against a model.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bounds;
mod deletion;
mod mending;
mod random;
mod world;
