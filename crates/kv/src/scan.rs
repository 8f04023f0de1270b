//! Whole tables, page by page.

use std::ops::Bound;

use crate::{Engine, Range, Result, Table, prefix_range};

/// Rows read at a time.
const PAGE: usize = 1_024;

/// Shows every row whose key begins with a prefix, in order; the empty prefix shows all. What is written meanwhile may be
/// shown or not.
///
/// # Errors
///
/// What the engine reports, and what `visit` answers.
pub fn scan(
    engine: &dyn Engine,
    table: Table,
    prefix: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    let (mut start, end) = prefix_range(prefix);
    loop {
        let range = Range {
            start,
            end: end.clone(),
            reverse: false,
            limit: PAGE,
        };
        let page = engine.range(table, range)?;
        for (key, value) in &page {
            visit(key, value)?;
        }
        match page.into_iter().next_back() {
            Some((last, _)) => start = Bound::Excluded(last),
            None => return Ok(()),
        }
    }
}
