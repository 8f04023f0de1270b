//! Pages, lookups and counts over memtables and segments.
//!
//! A page asks the memtables first, then segments from the one whose messages lie nearest, and stops as soon as no
//! further segment can hold anything nearer than what was found. With [`Io::CachedOnly`] nothing is read from disk:
//! the answer is there or the caller is told to ask again where it may block.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidestore_disk::Millis;

use crate::days::{DayCount, DayShare, Days, day_of};
use crate::error::{Error, ErrorKind, Result};
use crate::page::{Axis, Direction, Page, Span};
use crate::segment::{Block, Bounds, Io, Lookup, Segment, ready};
use crate::types::{AppId, Conversation, Message, MessageId};
use crate::version::{Installed, Version};
use crate::view::MessageView;

impl MessageView {
    /// Reads one page of a conversation; messages older than `floor` are not there.
    ///
    /// # Errors
    ///
    /// [`Corruption`](crate::ErrorKind::Corruption) if a block that the page needs is damaged.
    pub fn page(
        &self,
        app: AppId,
        conversation: &Conversation,
        page: Page,
        floor: Millis,
        io: Io,
    ) -> Result<Lookup<Vec<Message>>> {
        self.span(app, conversation, &page.span(floor), io)
    }

    /// The stored messages of a conversation that carry exactly this time, in id order.
    ///
    /// # Errors
    ///
    /// As [`page`](Self::page).
    pub fn at_time(
        &self,
        app: AppId,
        conversation: &Conversation,
        time: Millis,
    ) -> Result<Vec<Message>> {
        let span = Span {
            axis: Axis::Id,
            low: MessageId::first_at(time).0,
            high: MessageId::first_at(time + 1).0,
            direction: Direction::After,
            limit: usize::MAX,
            floor: MessageId(0),
        };
        match self.span(app, conversation, &span, Io::Allowed)? {
            Lookup::Ready(found) => Ok(found),
            Lookup::WouldBlock => Ok(Vec::new()),
        }
    }

    fn span(
        &self,
        app: AppId,
        conversation: &Conversation,
        span: &Span,
        io: Io,
    ) -> Result<Lookup<Vec<Message>>> {
        self.on_version(|version| {
            let mut found = Vec::new();
            for memtable in version.memtables() {
                memtable.page(app, conversation, span, &mut found);
            }
            span.settle(&mut found);
            for installed in nearest_first(version, app, span) {
                if is_settled(span, &found, app, &installed) {
                    break;
                }
                if !may_hold(span, app, &installed) {
                    continue;
                }
                let segment = &installed.segment;
                ready!(segment_page(
                    segment,
                    app,
                    conversation,
                    span,
                    io,
                    &mut found
                )?);
                span.settle(&mut found);
            }
            Ok(Lookup::Ready(found))
        })
    }

    /// Finds a message by its id alone; one below `floor` is not there.
    ///
    /// # Errors
    ///
    /// As [`page`](Self::page).
    pub fn find(
        &self,
        app: AppId,
        id: MessageId,
        floor: Millis,
        io: Io,
    ) -> Result<Lookup<Option<(Conversation, Message)>>> {
        if id.millis() < floor {
            return Ok(Lookup::Ready(None));
        }
        self.on_version(|version| {
            if let Some(found) = version.memtables().find_map(|m| m.find(app, id)) {
                return Ok(Lookup::Ready(Some(found)));
            }
            for installed in version.segments.of_app(app) {
                let Some(share) = installed.meta.share(app) else {
                    continue;
                };
                if share.max_id < id {
                    break;
                }
                if share.min_id <= id
                    && let Some((_, name, message)) = ready!(installed.segment.find(app, id, io)?)
                {
                    return Ok(Lookup::Ready(Some((name, message))));
                }
            }
            Ok(Lookup::Ready(None))
        })
    }

    /// Counts an app's messages at or above the floor. Exact; reads only segments that the floor cuts through.
    ///
    /// # Errors
    ///
    /// As [`page`](Self::page).
    pub fn count(&self, app: AppId, floor: Millis) -> Result<Count> {
        let from = MessageId::first_at(floor);
        self.on_version(|version| {
            let mut count = Count::default();
            for memtable in version.memtables() {
                let (messages, content_bytes) = memtable.count_from(app, from);
                count.add(messages, content_bytes);
                if let Some(tally) = memtable.tally(app) {
                    count.span(tally.min_id, tally.max_id, from);
                }
            }
            for installed in version.segments.of_app(app) {
                let Some(share) = installed.meta.share(app) else {
                    continue;
                };
                let (messages, content_bytes) = if share.min_id >= from {
                    (share.messages, share.body_bytes)
                } else if share.max_id < from {
                    (0, 0)
                } else {
                    installed.segment.count(app, from)?
                };
                count.add(messages, content_bytes);
                count.span(share.min_id, share.max_id, from);
                count.segments += 1;
                let meta = &installed.meta;
                count.file_bytes += meta.file_len * share.messages / meta.messages.max(1);
            }
            Ok(count)
        })
    }

    /// Counts the messages of an app that somebody sent, expired ones that are still there included. Reads all of them.
    ///
    /// # Errors
    ///
    /// As [`page`](Self::page).
    pub fn count_sender(&self, app: AppId, sender: &str) -> Result<u64> {
        self.on_version(|version| {
            let mut count = 0;
            for memtable in version.memtables() {
                count += memtable.with_runs(|runs| {
                    let rows = runs
                        .iter()
                        .filter(|run| run.app == app)
                        .flat_map(|run| &run.rows);
                    rows.filter(|message| message.sender == sender).count() as u64
                });
            }
            for installed in version.segments.of_app(app) {
                for row in installed.segment.scan()? {
                    let (of, _, message) = row?;
                    count += u64::from(of == app && message.sender == sender);
                }
            }
            Ok(count)
        })
    }

    /// Counts an app's messages at or above the floor by day. Exact.
    ///
    /// `known` tells what was noted of a segment when it was written. One of which nothing was noted is read to its end
    /// unless it lies in one day, and so are the blocks that the floor cuts through.
    ///
    /// # Errors
    ///
    /// As [`page`](Self::page).
    pub fn count_days(
        &self,
        app: AppId,
        floor: Millis,
        known: &dyn Fn(u64) -> Option<Vec<DayShare>>,
    ) -> Result<BTreeMap<u32, DayCount>> {
        let from = MessageId::first_at(floor);
        self.on_version(|version| {
            let mut days = BTreeMap::new();
            for memtable in version.memtables() {
                memtable.count_days(app, from, &mut days);
            }
            for installed in version.segments.of_app(app) {
                segment_days(installed, app, from, known, &mut days)?;
            }
            Ok(days)
        })
    }

    /// Runs a read on the current version, and once more on a younger one if a file left meanwhile.
    fn on_version<T>(&self, read: impl Fn(&Version) -> Result<T>) -> Result<T> {
        loop {
            let version = self.version();
            let mut found = read(&version);
            if found.as_ref().is_err_and(is_missing)
                && self.is_current(&version)
                // On a full disk, and in a shard that takes no records any more, what is expired leaves the disk before
                // a record says so. Whoever began to read before the floor rose finds it expired.
                && let Some(rest) = self.without_expirable(&version)
            {
                found = read(&rest);
            }
            match found {
                Err(error) if is_missing(&error) && !self.is_current(&version) => {}
                found => return found,
            }
        }
    }
}

/// Whether an error may only mean that a file left while it was being read.
fn is_missing(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

/// Adds what a segment holds of an app at or above an id, by day.
fn segment_days(
    installed: &Installed,
    app: AppId,
    from: MessageId,
    known: &dyn Fn(u64) -> Option<Vec<DayShare>>,
    days: &mut BTreeMap<u32, DayCount>,
) -> Result<()> {
    let meta = &installed.meta;
    let Some(share) = meta.share(app).filter(|share| share.max_id >= from) else {
        return Ok(());
    };
    let (messages, body_bytes) = installed.segment.count(app, from)?;
    let mut rest = DayCount {
        messages,
        body_bytes,
    };
    // The first day that counts, which the floor may cut through: what the days behind it leave of the whole.
    let first = day_of(share.min_id.millis().max(from.millis()));
    let one_day = day_of(share.max_id.millis()) == first;
    let shares = match known(meta.generation) {
        _ if one_day => Vec::new(),
        Some(shares) => shares,
        None => scanned_days(&installed.segment, app)?,
    };
    for share in shares
        .iter()
        .filter(|share| share.app == app && share.day > first)
    {
        let count = DayCount {
            messages: share.messages,
            body_bytes: share.body_bytes,
        };
        days.entry(share.day).or_default().add(count);
        rest.messages = rest.messages.saturating_sub(count.messages);
        rest.body_bytes = rest.body_bytes.saturating_sub(count.body_bytes);
    }
    if rest.messages > 0 {
        days.entry(first).or_default().add(rest);
    }
    Ok(())
}

/// Counts a segment's rows of an app by day.
pub(crate) fn scanned_days(segment: &Segment, app: AppId) -> Result<Vec<DayShare>> {
    let mut days = Days::default();
    for row in segment.scan()? {
        let (row_app, _, message) = row?;
        if row_app == app {
            days.count(app, &message);
        }
    }
    Ok(days.shares())
}

/// What an app has stored in one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Visible messages.
    pub messages: u64,
    /// Bytes of their bodies and extensions.
    pub content_bytes: u64,
    /// Segments that hold something of the app.
    pub segments: u64,
    /// Bytes of those files; of a shared one, the app's share by messages.
    pub file_bytes: u64,
    /// Time of the oldest visible message, at most the floor too early.
    pub oldest: Option<Millis>,
    /// Time of the newest visible message.
    pub newest: Option<Millis>,
}

impl Count {
    fn add(&mut self, messages: u64, content_bytes: u64) {
        self.messages += messages;
        self.content_bytes += content_bytes;
    }

    fn span(&mut self, min: MessageId, max: MessageId, from: MessageId) {
        if max < from {
            return;
        }
        let oldest = min.max(from).millis();
        self.oldest = Some(self.oldest.map_or(oldest, |known| known.min(oldest)));
        self.newest = self.newest.max(Some(max.millis()));
    }
}

/// An app's segments in the order in which a page wants them.
fn nearest_first(version: &Version, app: AppId, span: &Span) -> Vec<Arc<Installed>> {
    let mut list = version.segments.of_app(app).to_vec();
    if span.direction == Direction::After {
        list.sort_unstable_by_key(|installed| installed.meta.share(app).map(|share| share.min_id));
    }
    list
}

/// Whether no segment from this one on can improve the page.
fn is_settled(span: &Span, found: &[Message], app: AppId, installed: &Installed) -> bool {
    match (span.axis, installed.meta.share(app)) {
        (Axis::Id, Some(share)) => {
            let edge = match span.direction {
                Direction::Before => share.max_id,
                Direction::After => share.min_id,
            };
            span.is_beyond(found, edge.0)
        }
        // Numbers have no gaps: a full page whose numbers are contiguous up to the cursor cannot be improved.
        _ => is_contiguous(span, found),
    }
}

fn is_contiguous(span: &Span, found: &[Message]) -> bool {
    let Some(last) = found.last().filter(|_| found.len() >= span.limit) else {
        return false;
    };
    let count = span.limit as u64;
    match span.direction {
        Direction::Before => last.seq.0.checked_add(count) == Some(span.high),
        Direction::After => last.seq.0 + 1 == span.low.saturating_add(count),
    }
}

fn may_hold(span: &Span, app: AppId, installed: &Installed) -> bool {
    installed.meta.share(app).is_some_and(|share| {
        share.max_id >= span.floor
            && (span.axis == Axis::Seq || share.max_id.0 >= span.low && share.min_id.0 < span.high)
    })
}

/// Appends to `found` the messages of one segment that a page may want, nearest first.
fn segment_page(
    segment: &Segment,
    app: AppId,
    conversation: &Conversation,
    span: &Span,
    io: Io,
    found: &mut Vec<Message>,
) -> Result<Lookup<()>> {
    let Some(run) = ready!(segment.run(app, conversation, io)?) else {
        return Ok(Lookup::Ready(()));
    };
    let mut left = span.limit;
    let count = run.last_block - run.first_block + 1;
    for step in 0..count {
        let index = match span.direction {
            Direction::Before => run.last_block - step,
            Direction::After => run.first_block + step,
        };
        let bounds = ready!(segment.bounds(index, io)?);
        if bounds.max_id < span.floor || !may_improve(span, found, &bounds) {
            continue;
        }
        let block = ready!(segment.block(index, io)?);
        let before = found.len();
        block_rows(&block, app, conversation, span, left, found);
        match span.axis {
            // By id the blocks of a run are in page order, so the page stops at its limit.
            Axis::Id => left -= found.len() - before,
            // By seq they may not be, where old messages were imported behind young ones; then every block whose
            // numbers are nearer than what was found is looked at.
            Axis::Seq => span.settle(found),
        }
        if left == 0 {
            break;
        }
    }
    Ok(Lookup::Ready(()))
}

/// Whether a block holds keys of the range and, by seq, some nearer than a page that is already full.
fn may_improve(span: &Span, found: &[Message], bounds: &Bounds) -> bool {
    let (low, high) = match span.axis {
        Axis::Id => (bounds.min_id.0, bounds.max_id.0),
        Axis::Seq => (bounds.min_seq.0, bounds.max_seq.0),
    };
    let edge = if span.direction == Direction::Before {
        high
    } else {
        low
    };
    let hopeless = span.axis == Axis::Seq && span.is_beyond(found, edge);
    high >= span.low && low < span.high && !hopeless
}

/// Appends the rows of one block that belong into the page: the nearest `left` by id, all of them by seq.
fn block_rows(
    block: &Block,
    app: AppId,
    conversation: &Conversation,
    span: &Span,
    left: usize,
    found: &mut Vec<Message>,
) {
    let rows = block.rows(app, conversation);
    let admitted = |row: &usize| match span.axis {
        Axis::Id => span.admits_key(block.id(*row).0, block.id(*row)),
        Axis::Seq => span.admits_key(block.seq(*row).0, block.id(*row)),
    };
    let left = if span.axis == Axis::Id {
        left
    } else {
        usize::MAX
    };
    let message = |row: usize| block.message(row);
    match span.direction {
        Direction::Before => {
            found.extend(rows.rev().filter(admitted).take(left).map(message));
        }
        Direction::After => {
            found.extend(rows.filter(admitted).take(left).map(message));
        }
    }
}
