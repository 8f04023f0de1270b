//! Users, contacts, block lists, global mutes: random changes against a model, and every bound exactly.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod boundaries;
mod deletion;
mod lists;
mod model;
mod random;
mod world;
