//! Which part of a conversation a reader wants.

use tidestore_disk::Millis;

use crate::types::{Message, MessageId, Seq};

/// A point between two messages of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// At the message with this id; the message itself is on neither side.
    Id(MessageId),
    /// At the message with this number; the message itself is on neither side. Pages from here run in append order.
    Seq(Seq),
    /// Just before the first message of this millisecond: *before* is older, *after* is from it on.
    Time(Millis),
}

/// One page of a conversation: from where, which way, how many.
///
/// Pages by id and time run in the order of ids, which is the order of time. Pages by seq run in append order; the
/// two differ only where messages were imported behind younger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub(crate) cursor: Option<Cursor>,
    pub(crate) direction: Direction,
    pub(crate) limit: usize,
}

/// Which way a page runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Newest first, towards the past.
    Before,
    /// Oldest first, towards the present.
    After,
}

impl Page {
    /// Most messages in one page.
    pub const LIMIT_MAX: usize = 1_000;

    /// The newest messages, newest first.
    pub const fn newest(limit: usize) -> Self {
        Self {
            cursor: None,
            direction: Direction::Before,
            limit,
        }
    }

    /// The oldest messages, oldest first.
    pub const fn oldest(limit: usize) -> Self {
        Self {
            cursor: None,
            direction: Direction::After,
            limit,
        }
    }

    /// What lies before a point, newest first.
    pub const fn before(cursor: Cursor, limit: usize) -> Self {
        Self {
            cursor: Some(cursor),
            direction: Direction::Before,
            limit,
        }
    }

    /// What lies after a point, oldest first.
    pub const fn after(cursor: Cursor, limit: usize) -> Self {
        Self {
            cursor: Some(cursor),
            direction: Direction::After,
            limit,
        }
    }

    /// How many messages the page may hold.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Where it begins; `None` at one end of the conversation.
    pub const fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    /// Whether it runs from the newest to the oldest.
    pub const fn is_towards_past(&self) -> bool {
        matches!(self.direction, Direction::Before)
    }

    /// Whether it runs in the order of numbers, not of ids.
    pub const fn is_by_seq(&self) -> bool {
        matches!(self.cursor, Some(Cursor::Seq(_)))
    }

    /// The same page of another length.
    #[must_use]
    pub const fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// The same page from another place on.
    #[must_use]
    pub const fn behind(self, cursor: Cursor) -> Self {
        Self {
            cursor: Some(cursor),
            ..self
        }
    }

    /// The place of a message in the order of the page.
    pub const fn at(&self, message: &Message) -> Cursor {
        if self.is_by_seq() {
            Cursor::Seq(message.seq)
        } else {
            Cursor::Id(message.id)
        }
    }

    /// Turns the page and the retention floor into a range of keys.
    pub(crate) fn span(&self, floor: Millis) -> Span {
        let floor = MessageId::first_at(floor).0;
        let (axis, low, high) = match (self.cursor, self.direction) {
            (None, _) => (Axis::Id, 0, u64::MAX),
            (Some(Cursor::Id(id)), Direction::Before) => (Axis::Id, 0, id.0),
            (Some(Cursor::Id(id)), Direction::After) => {
                (Axis::Id, id.0.saturating_add(1), u64::MAX)
            }
            (Some(Cursor::Time(time)), Direction::Before) => (Axis::Id, 0, first_id_at(time)),
            (Some(Cursor::Time(time)), Direction::After) => (Axis::Id, first_id_at(time), u64::MAX),
            (Some(Cursor::Seq(seq)), Direction::Before) => (Axis::Seq, 0, seq.0),
            (Some(Cursor::Seq(seq)), Direction::After) => {
                (Axis::Seq, seq.0.saturating_add(1), u64::MAX)
            }
        };
        let low = if axis == Axis::Id {
            low.max(floor)
        } else {
            low
        };
        Span {
            axis,
            low,
            high,
            direction: self.direction,
            limit: self.limit,
            floor: MessageId(floor),
        }
    }
}

/// The first id of a millisecond; times beyond what an id can carry lie behind every message.
fn first_id_at(time: Millis) -> u64 {
    if time > MessageId::MILLIS_MAX {
        u64::MAX
    } else {
        MessageId::first_at(time).0
    }
}

/// What a page is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    Id,
    Seq,
}

impl Axis {
    /// The number of a message on this axis.
    pub(crate) fn key(self, message: &Message) -> u64 {
        match self {
            Self::Id => message.id.0,
            Self::Seq => message.seq.0,
        }
    }
}

/// A page as a half-open range `[low, high)` of keys on one axis, with the floor that every message must reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) axis: Axis,
    pub(crate) low: u64,
    pub(crate) high: u64,
    pub(crate) direction: Direction,
    pub(crate) limit: usize,
    pub(crate) floor: MessageId,
}

impl Span {
    /// Whether a row belongs into the range.
    pub(crate) fn admits_key(&self, key: u64, id: MessageId) -> bool {
        key >= self.low && key < self.high && id >= self.floor
    }

    /// Sorts gathered messages into page order and cuts them to the limit.
    pub(crate) fn settle(&self, found: &mut Vec<Message>) {
        match self.direction {
            Direction::Before => {
                found.sort_unstable_by_key(|m| std::cmp::Reverse(self.axis.key(m)));
            }
            Direction::After => found.sort_unstable_by_key(|m| self.axis.key(m)),
        }
        found.truncate(self.limit);
    }

    /// Whether nothing beyond `edge` (the best key a source could still offer) would enter a settled page.
    pub(crate) fn is_beyond(&self, found: &[Message], edge: u64) -> bool {
        if found.len() < self.limit {
            return false;
        }
        let Some(last) = found.last().map(|m| self.axis.key(m)) else {
            return true;
        };
        match self.direction {
            Direction::Before => edge < last,
            Direction::After => edge > last,
        }
    }
}
