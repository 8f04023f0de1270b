//! Changes laid over tables: reading through several maps as if they were one table.

use std::ops::Bound;

use crate::{Changes, Engine, KeyValue, Range, Result, Table};

/// A key and what stands under it.
type Row<'a> = (&'a Vec<u8>, &'a Option<Vec<u8>>);

/// Reads one page of a table with layers over it, the uppermost first.
///
/// Costs what the page costs, and one step for each row that the layers delete in the range.
pub(crate) fn page(
    engine: &dyn Engine,
    layers: &[&Changes],
    table: Table,
    range: &Range,
) -> Result<Vec<KeyValue>> {
    let mut found = Vec::new();
    if range.limit == 0 || range.is_hollow() {
        return Ok(found);
    }
    let mut rest = range.clone();
    loop {
        let page = engine.range(table, rest.clone())?;
        let covered = covered(&rest, &page);
        let next = page.last().map(|(key, _)| key.clone());
        let done = page.len() < rest.limit;
        merge(layers, table, &covered, page, range.limit, &mut found);
        match next {
            Some(last) if !done && found.len() < range.limit => rest = behind(rest, last),
            _ => return Ok(found),
        }
    }
}

/// The part of a range of which a page of the engine says everything.
fn covered(range: &Range, page: &[KeyValue]) -> Range {
    let mut covered = range.clone();
    if let Some((last, _)) = page.last().filter(|_| page.len() >= range.limit) {
        let bound = Bound::Included(last.clone());
        if range.reverse {
            covered.start = bound;
        } else {
            covered.end = bound;
        }
    }
    covered
}

/// What is left of a range behind its last key.
fn behind(mut range: Range, last: Vec<u8>) -> Range {
    if range.reverse {
        range.end = Bound::Excluded(last);
    } else {
        range.start = Bound::Excluded(last);
    }
    range
}

/// Merges the layers over a page, in the order of the range, until there are enough rows.
fn merge(
    layers: &[&Changes],
    table: Table,
    range: &Range,
    page: Vec<KeyValue>,
    limit: usize,
    found: &mut Vec<KeyValue>,
) {
    let mut layers: Vec<_> = layers
        .iter()
        .map(|layer| below(layer, table, range).peekable())
        .collect();
    let mut page = page.into_iter().peekable();
    while found.len() < limit {
        let heads = layers.iter_mut().filter_map(|layer| layer.peek());
        let heads = heads.map(|row| row.0).chain(page.peek().map(|row| &row.0));
        let key = if range.reverse {
            heads.max()
        } else {
            heads.min()
        };
        let Some(key) = key.cloned() else { return };
        // The upper layer's row counts; the others are passed over.
        let mut value = None;
        for layer in &mut layers {
            let row = layer.next_if(|row| *row.0 == key).map(|row| row.1.clone());
            value = value.or(row);
        }
        let lower = page.next_if(|row| row.0 == key).map(|row| Some(row.1));
        if let Some(value) = value.or(lower).flatten() {
            found.push((key, value));
        }
    }
}

/// The rows of a layer that lie in a range, in its order.
fn below<'a>(
    rows: &'a Changes,
    table: Table,
    range: &Range,
) -> Box<dyn Iterator<Item = Row<'a>> + 'a> {
    if range.is_hollow() {
        return Box::new(std::iter::empty());
    }
    let place = |key: &Vec<u8>| (table, key.clone());
    let start = match &range.start {
        Bound::Included(key) => Bound::Included(place(key)),
        Bound::Excluded(key) => Bound::Excluded(place(key)),
        Bound::Unbounded => Bound::Included((table, Vec::new())),
    };
    let end = match &range.end {
        Bound::Included(key) => Bound::Included(place(key)),
        Bound::Excluded(key) => Bound::Excluded(place(key)),
        Bound::Unbounded => table.0.checked_add(1).map_or(Bound::Unbounded, |next| {
            Bound::Excluded((Table(next), Vec::new()))
        }),
    };
    let rows = rows
        .range((start, end))
        .map(|((_, key), value)| (key, value));
    if range.reverse {
        Box::new(rows.rev())
    } else {
        Box::new(rows)
    }
}
