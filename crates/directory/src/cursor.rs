//! Lists, page by page: where the next page goes on.
//!
//! # Format, version 1
//!
//! The text of a cursor is base64url of: version (1), table (1), direction (1), crc32 of the list's prefix and all that
//! stands here (4), and the part of the last row's key behind the prefix. The prefix names app, user or group: it is not in
//! the cursor, but a cursor given for another list does not fit its checksum.

use data_encoding::BASE64URL_NOPAD;
use tidestore_kv::{KeyValue, Rows, Table, page_of};

use crate::error::{Error, ErrorKind, Result};

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it, in the order of the list.
    pub items: Vec<T>,
    /// Where the next page goes on; `None` on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The same page with other items.
    pub(crate) fn try_map<U>(self, change: impl FnMut(T) -> Result<U>) -> Result<Page<U>> {
        let items = self.items.into_iter().map(change).collect::<Result<_>>()?;
        Ok(Page {
            items,
            next: self.next,
        })
    }
}

/// Rows in one page: some megabytes.
const LIMIT_MAX: usize = 10_000;

const VERSION: u8 = 1;
const HEAD: usize = 7;
/// A cursor is never longer than this: the longest key part is two names and a number.
const TEXT_MAX: usize = 256;

/// A list: the rows of a table below a prefix, in one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'a> {
    pub(crate) table: Table,
    pub(crate) prefix: &'a [u8],
    pub(crate) newest_first: bool,
}

impl List<'_> {
    /// Reads the page behind a cursor, at most `limit` rows; the limit is at least 1 and at most [`LIMIT_MAX`].
    pub(crate) fn page(
        self,
        rows: &(impl Rows + ?Sized),
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<KeyValue>> {
        if limit > LIMIT_MAX {
            let text = format!("a page of {limit}; up to {LIMIT_MAX} are possible");
            return Err(Error::argument(text));
        }
        let after = cursor.map(|text| self.decode(text)).transpose()?;
        let limit = limit.max(1);
        let ask = limit.saturating_add(1);
        let mut items = page_of(
            rows,
            self.table,
            self.prefix,
            after.as_deref(),
            self.newest_first,
            ask,
        )?;
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next = last.and_then(|(key, _)| key.strip_prefix(self.prefix));
        let next = next.map(|rest| self.encode(rest));
        Ok(Page { items, next })
    }

    /// As [`page`](Self::page), but rows that `select` leaves out take up no place: reads on until the page is full.
    pub(crate) fn page_where<T>(
        self,
        rows: &(impl Rows + ?Sized),
        cursor: Option<&str>,
        limit: usize,
        mut select: impl FnMut(&[u8], &[u8]) -> Result<Option<T>>,
    ) -> Result<Page<T>> {
        let (limit, mut items) = (limit.max(1), Vec::new());
        let mut after = cursor.map(str::to_owned);
        loop {
            let page = self.page(rows, after.as_deref(), limit)?;
            for (key, value) in &page.items {
                items.extend(select(key, value)?);
                if items.len() == limit {
                    let rest = key.strip_prefix(self.prefix).unwrap_or_default();
                    let next = Some(self.encode(rest));
                    return Ok(Page { items, next });
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(Page { items, next: None });
            }
        }
    }

    fn encode(self, rest: &[u8]) -> String {
        let mut bytes = vec![VERSION, self.table.0, u8::from(self.newest_first)];
        bytes.extend_from_slice(&self.sum(rest).to_le_bytes());
        bytes.extend_from_slice(rest);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// The key of the last row, if the cursor is one of this list.
    fn decode(self, text: &str) -> Result<Vec<u8>> {
        let bytes = Some(text)
            .filter(|text| text.len() <= TEXT_MAX)
            .and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
        let bytes = bytes.ok_or(ErrorKind::Cursor)?;
        let (head, rest) = bytes.split_at_checked(HEAD).ok_or(ErrorKind::Cursor)?;
        let mut expected = vec![VERSION, self.table.0, u8::from(self.newest_first)];
        expected.extend_from_slice(&self.sum(rest).to_le_bytes());
        if head != expected {
            return Err(ErrorKind::Cursor.into());
        }
        Ok([self.prefix, rest].concat())
    }

    fn sum(self, rest: &[u8]) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&[VERSION, self.table.0, u8::from(self.newest_first)]);
        sum.update(&(self.prefix.len() as u64).to_le_bytes());
        sum.update(self.prefix);
        sum.update(rest);
        sum.finalize()
    }
}
