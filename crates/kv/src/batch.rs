//! The unit of change: puts and deletes over any tables, applied together or not at all.

use crate::{Error, ErrorKind, Result, Table};

/// The longest key, in bytes, without the table: 65,535.
pub const KEY_BYTES_MAX: usize = 65_535;

/// The longest value, in bytes: 16 MiB.
pub const VALUE_BYTES_MAX: usize = 16 << 20;

/// Puts and deletes in order; where two touch one key of one table, the later wins. It can be encoded, so that a log may
/// carry what a view is to become.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Batch {
    ops: Vec<Op>,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct Op {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
    /// `None` deletes.
    pub(crate) value: Option<Vec<u8>>,
}

impl Batch {
    /// Makes an empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a key.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.ops.push(Op {
            table,
            key: key.into(),
            value: Some(value.into()),
        });
    }

    /// Removes a key; a key that is not there is fine.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.ops.push(Op {
            table,
            key: key.into(),
            value: None,
        });
    }

    /// Adds the changes of another batch behind its own.
    pub fn append(&mut self, other: Self) {
        self.ops.extend(other.ops);
    }

    /// How many changes it holds, overridden ones included.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Keys and values that it puts into a table, in order.
    pub fn puts(&self, table: Table) -> impl Iterator<Item = (&[u8], &[u8])> {
        let ops = self.ops.iter().filter(move |op| op.table == table);
        ops.filter_map(|op| Some((op.key.as_slice(), op.value.as_deref()?)))
    }

    /// Every change in order: table, key, and value, or `None` where the row is deleted.
    pub fn changes(&self) -> impl Iterator<Item = (Table, &[u8], Option<&[u8]>)> {
        let ops = self.ops.iter();
        ops.map(|op| (op.table, op.key.as_slice(), op.value.as_deref()))
    }

    /// Keeps those changes of which `keep` says so; it is told table and key.
    pub fn retain(&mut self, mut keep: impl FnMut(Table, &[u8]) -> bool) {
        self.ops.retain(|op| keep(op.table, &op.key));
    }

    /// The changes in order, once every key and value is known to be within its limit.
    pub(crate) fn into_checked_ops(self) -> Result<Vec<Op>> {
        for op in &self.ops {
            check("key", op.table, op.key.len(), KEY_BYTES_MAX)?;
            check(
                "value",
                op.table,
                op.value.as_ref().map_or(0, Vec::len),
                VALUE_BYTES_MAX,
            )?;
        }
        Ok(self.ops)
    }
}

fn check(what: &str, table: Table, actual: usize, limit: usize) -> Result<()> {
    if actual <= limit {
        return Ok(());
    }
    let context = format!("{what} of {actual} bytes in table {table}, the limit is {limit}");
    Err(Error::new(ErrorKind::Unsupported, context))
}
