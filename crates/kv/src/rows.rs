//! Reading rows: of tables as they are, and of tables with changes over them.

use std::ops::Bound;

use crate::{Engine, KeyValue, Overlay, Range, Result, Table, decode_row, layered, prefix_range};

/// What can be read row by row. A view reads through it, so that one function serves callers, who see what is durable, and
/// decisions, which also see what was decided before them.
pub trait Rows {
    /// Reads the value of a key.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn bytes(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Reads one page of a table, as [`Engine::range`].
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn page(&self, table: Table, range: Range) -> Result<Vec<KeyValue>>;
}

impl<E: Engine + ?Sized> Rows for E {
    fn bytes(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.get(table, key)
    }

    fn page(&self, table: Table, range: Range) -> Result<Vec<KeyValue>> {
        self.range(table, range)
    }
}

impl Rows for Overlay<'_> {
    fn bytes(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.get_bytes(table, key)
    }

    fn page(&self, table: Table, range: Range) -> Result<Vec<KeyValue>> {
        layered::page(self.engine(), &self.layers(), table, &range)
    }
}

/// Reads and decodes a row.
///
/// # Errors
///
/// What the engine reports; [`ErrorKind::Corruption`](crate::ErrorKind::Corruption) if the row is no such value.
pub fn row<T: bincode::Decode<()>>(
    rows: &(impl Rows + ?Sized),
    table: Table,
    key: &[u8],
) -> Result<Option<T>> {
    let value = rows.bytes(table, key)?;
    value
        .map(|value| decode_row(table, key, &value))
        .transpose()
}

/// Reads a page of the rows whose keys begin with a prefix, behind the key `after` in the given direction.
///
/// An `after` that does not begin with the prefix is ignored: a cursor is a hint where to go on, never a way out of the
/// prefix.
///
/// # Errors
///
/// What the engine reports.
pub fn page_of(
    rows: &(impl Rows + ?Sized),
    table: Table,
    prefix: &[u8],
    after: Option<&[u8]>,
    reverse: bool,
    limit: usize,
) -> Result<Vec<KeyValue>> {
    let (mut start, mut end) = prefix_range(prefix);
    if let Some(after) = after.filter(|after| after.starts_with(prefix)) {
        let bound = Bound::Excluded(after.to_vec());
        if reverse {
            end = bound;
        } else {
            start = bound;
        }
    }
    let range = Range {
        start,
        end,
        reverse,
        limit,
    };
    rows.page(table, range)
}

/// Shows every row whose key begins with a prefix, in order, page by page; `visit` says whether to go on.
///
/// # Errors
///
/// What the engine reports, and what `visit` answers.
pub fn each_row<E: From<crate::Error>>(
    rows: &(impl Rows + ?Sized),
    table: Table,
    prefix: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, E>,
) -> Result<(), E> {
    const PAGE: usize = 512;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = page_of(rows, table, prefix, after.as_deref(), false, PAGE)?;
        for (key, value) in &page {
            if !visit(key, value)? {
                return Ok(());
            }
        }
        if page.len() < PAGE {
            return Ok(());
        }
        after = page.into_iter().next_back().map(|(key, _)| key);
    }
}
