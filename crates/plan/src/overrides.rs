//! Limits as one store has them: those of the contract, but for what an operator has set otherwise.

use std::collections::BTreeMap;

use crate::limits::{Exceeded, Limit, LimitError, Unit};

/// The limits in force. `Limits::default()` are those of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    own: BTreeMap<Limit, u64>,
}

impl Limits {
    /// Sets a limit of one's own, in the limit's unit.
    #[must_use]
    pub fn with(mut self, limit: Limit, max: u64) -> Self {
        self.own.insert(limit, max);
        self
    }

    /// The largest value that passes.
    pub fn max(&self, limit: Limit) -> u64 {
        self.own.get(&limit).copied().unwrap_or(limit.max())
    }

    /// Checks a value in the limit's own unit.
    ///
    /// # Errors
    ///
    /// [`LimitError`] if it is larger.
    pub fn check(&self, limit: Limit, actual: u64) -> Result<(), LimitError> {
        let max = self.max(limit);
        if actual <= max {
            return Ok(());
        }
        Err(LimitError {
            limit: Exceeded::Limit(limit),
            max,
            actual,
        })
    }

    /// Checks a text, counted in the limit's own unit: bytes where it says bytes, characters otherwise.
    ///
    /// # Errors
    ///
    /// [`LimitError`] if it is longer.
    pub fn check_text(&self, limit: Limit, text: &str) -> Result<(), LimitError> {
        let actual = match limit.unit() {
            Unit::Bytes => text.len(),
            _ => text.chars().count(),
        };
        self.check(limit, actual as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_limit_takes_the_place_of_the_contracts_and_no_other() {
        let limits = Limits::default().with(Limit::ThreadName, 3);
        assert!(limits.check_text(Limit::ThreadName, "群群群").is_ok());
        let error = limits
            .check_text(Limit::ThreadName, "群群群群")
            .unwrap_err();
        assert_eq!((error.max(), error.actual()), (3, 4));
        assert_eq!(limits.max(Limit::Threads), Limit::Threads.max());
        let error = limits.check(Limit::RoomAttributeKeys, 101).unwrap_err();
        let text = "101 attributes of one chatroom; at most 100 are allowed";
        assert_eq!(error.to_string(), text);
    }
}
