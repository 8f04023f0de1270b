//! What an operator measures: counters, gauges and histograms for the application's recorder.
//!
//! Names and meanings are listed in `docs/OPERATIONS.md`, which a test compares with what a store emits. Labels are few and
//! bounded: a shard, a kind; never a user or a conversation. Handles are made when the store is opened, so a recorder has
//! to be installed before that. Counting happens once a batch, not once a message.

mod describe;
mod shard;
mod status;
mod store;

pub(crate) use describe::describe;
pub(crate) use shard::ShardMeters;
pub use status::{ShardStatus, Status};
pub(crate) use status::{of_shards, publish};
pub(crate) use store::StoreMeters;

use crate::error::{Error, ErrorKind, Result};

/// Counts a call that was refused.
pub(crate) fn refused<T>(result: Result<T>) -> Result<T> {
    result.inspect_err(|error| count_refusal(error.kind()))
}

/// Counts a refusal.
pub(crate) fn count_refusal(kind: &ErrorKind) {
    metrics::counter!("tidestore_refusals_total", "kind" => kind.name()).increment(1);
}

/// Counts damage and says where it is. Called where an error of a lower part becomes one of the store: once for each.
pub(crate) fn found_damage(error: &Error) {
    metrics::counter!("tidestore_corruptions_total").increment(1);
    tracing::error!(%error, "damage was found");
}
