//! Pages: by cursor as the store has them, by number as some calls ask for them.

use schemars::JsonSchema;
use serde::Deserialize;
use tidestore::ListPage;

use crate::lenient;
use crate::refusal::{Refusal, Result};

/// `limit` and `cursor` in a query.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ByCursor {
    /// How many entries; more than a page holds are cut.
    #[serde(deserialize_with = "lenient::number")]
    #[schemars(range(min = 1))]
    pub(crate) limit: Option<i64>,
    /// What the page before answered.
    #[serde(deserialize_with = "lenient::text")]
    pub(crate) cursor: Option<String>,
}

/// `pagenum` and `pagesize` in a query.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ByNumber {
    /// From 1.
    #[serde(alias = "pageNum", deserialize_with = "lenient::number")]
    #[schemars(range(min = 1))]
    pub(crate) pagenum: Option<i64>,
    #[serde(alias = "pageSize", deserialize_with = "lenient::number")]
    #[schemars(range(min = 1))]
    pub(crate) pagesize: Option<i64>,
}

/// A size that was asked for: the default without one, cut to what a page holds.
pub(crate) fn size(asked: Option<i64>, default: usize, max: u64, name: &str) -> Result<usize> {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    match asked.map(usize::try_from) {
        None => Ok(default.min(max)),
        Some(Ok(size)) if size >= 1 => Ok(size.min(max)),
        Some(_) => Err(Refusal::argument(format!("{name} has to be 1 to {max}"))),
    }
}

impl ByCursor {
    pub(crate) fn size(&self, default: usize, max: u64) -> Result<usize> {
        size(self.limit, default, max, "limit")
    }
}

impl ByNumber {
    pub(crate) fn size(&self, default: usize, max: u64) -> Result<usize> {
        size(self.pagesize, default, max, "pagesize")
    }

    /// The number of the page, from 0.
    pub(crate) fn number(&self) -> Result<usize> {
        match self.pagenum.map(usize::try_from) {
            // Some clients count from 0, and mean the first.
            None | Some(Ok(0)) => Ok(0),
            Some(Ok(number)) => Ok(number - 1),
            Some(Err(_)) => Err(Refusal::argument("pagenum counts from 1")),
        }
    }
}

/// The store's largest page of anything.
const STEP: usize = 1_000;

/// The entries of a list from `skip` on, `take` of them at most: lists are read from their beginning, in large pages.
pub(crate) async fn slice<T, F>(
    skip: usize,
    take: usize,
    mut page: impl FnMut(Option<String>, usize) -> F,
) -> Result<Vec<T>>
where
    F: Future<Output = tidestore::Result<ListPage<T>>>,
{
    let (mut skip, mut found) = (skip, Vec::new());
    let mut cursor = None;
    while found.len() < take {
        let ask = skip.saturating_add(take - found.len()).min(STEP);
        let read = page(cursor, ask).await?;
        let passed = skip.min(read.items.len());
        skip -= passed;
        found.extend(read.items.into_iter().skip(passed).take(take - found.len()));
        cursor = read.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn numbers(skip: usize, take: usize) -> Vec<usize> {
        let page = |cursor: Option<String>, limit: usize| async move {
            let from: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
            let to = (from + limit).min(2_500);
            Ok(ListPage {
                items: (from..to).collect(),
                next: (to < 2_500).then(|| to.to_string()),
            })
        };
        slice(skip, take, page).await.unwrap()
    }

    #[tokio::test]
    async fn a_slice_is_what_it_says_wherever_it_begins() {
        for (skip, take) in [(0, 10), (990, 20), (1_000, 1_000), (2_490, 100), (3_000, 5)] {
            let expected: Vec<usize> = (0..2_500).skip(skip).take(take).collect();
            assert_eq!(numbers(skip, take).await, expected, "{skip} {take}");
        }
    }

    #[test]
    fn sizes_are_cut_and_nonsense_is_refused() {
        assert_eq!(size(None, 10, 100, "limit").unwrap(), 10);
        assert_eq!(size(Some(1_000), 10, 100, "limit").unwrap(), 100);
        assert!(size(Some(0), 10, 100, "limit").is_err());
        assert!(size(Some(-1), 10, 100, "limit").is_err());
    }
}
