//! What is pending for a user: one sorted stream out of the conversations that have something new.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use tidestore_messages::{Conversation, Cursor, Message, MessageId, Page, Seq};
use tidestore_plan::UserId;

use crate::delivery::devices::Reached;
use crate::delivery::inbox::Pending;
use crate::delivery::intake::{Intake, directs_with_intake, intakes_since};
use crate::delivery::reader::Reader;
use crate::delivery::views::Lens;
use crate::error::Result;
use crate::options::OfflineCaps;
use crate::tables::Position;

/// Messages read from one conversation at a time.
const CHUNK: usize = 256;

/// A page of what is pending.
#[derive(Clone, Debug)]
pub(crate) struct Drained {
    /// In the order of arrival.
    pub(crate) items: Vec<Pending>,
    /// How far a device has come that got all of them.
    pub(crate) reached: Reached,
    pub(crate) more: bool,
}

/// One conversation, or its aside, that has something new.
#[derive(Debug)]
pub(crate) struct Source {
    conversation: Conversation,
    head: Position,
    lens: Lens,
    /// Everything up to this id is acknowledged.
    from: u64,
    /// Nothing behind this id is looked at: there may be gaps.
    high: u64,
    feed: Feed,
    buffer: VecDeque<(u64, Message)>,
}

/// Where the messages of a source come from.
#[derive(Debug)]
enum Feed {
    /// Those that were sent, behind an id.
    Live(u64),
    /// Those that were imported.
    Imported(VecDeque<Intake>),
    Dry,
}

impl Source {
    /// Hands out what arrived before another source's next, and says whether the page is full then.
    fn hand_out(&mut self, bound: u64, limit: usize, items: &mut Vec<Pending>) -> bool {
        while items.len() < limit {
            let first = self.buffer.front();
            if first.is_none_or(|(arrival, _)| *arrival > bound) {
                return false;
            }
            let Some((arrival, message)) = self.buffer.pop_front() else {
                return false;
            };
            items.push(Pending {
                conversation: self.conversation.clone(),
                message,
                arrival,
            });
        }
        true
    }
}

impl Reader {
    /// Everything that has something new for a user behind a cursor. Costs a look at each of his groups and threads, and
    /// besides as much as there is new.
    ///
    /// `high` is what could be read before, see [`applied`](Self::applied): what arrives meanwhile is not passed over.
    fn sources(&self, user: &UserId, from: &Reached, high: &[u64]) -> Result<Vec<Source>> {
        let mut sources = Vec::new();
        for (shard, high) in self.inner.shards.list.iter().zip(high) {
            let from = from.on(shard.number.into());
            let (engine, name) = (&*shard.engine, user.as_str());
            let directs = shard.heads.directs_since(engine, self.app, name, from)?;
            for (conversation, head) in directs {
                self.add_live(user, &conversation, &head, (from, *high), &mut sources)?;
            }
            for conversation in directs_with_intake(engine, self.app, name, from)? {
                let head = self.head(&conversation)?;
                self.add_imported(user, &conversation, &head, (from, *high), &mut sources)?;
            }
        }
        for conversation in self.channels_of(user)? {
            let shard = self.shard_of(&conversation);
            let number = usize::from(shard.number);
            let high = high.get(number).copied().unwrap_or_default();
            let span = (from.on(number), high);
            let head = self.head(&conversation)?;
            if head.arrival() > span.0 {
                self.add_live(user, &conversation, &head, span, &mut sources)?;
            }
            if head.imported_seq > 0 {
                self.add_imported(user, &conversation, &head, span, &mut sources)?;
            }
        }
        Ok(sources)
    }

    fn add_live(
        &self,
        user: &UserId,
        conversation: &Conversation,
        head: &Position,
        span: (u64, u64),
        sources: &mut Vec<Source>,
    ) -> Result<()> {
        let feed = Feed::Live(span.0);
        if head.last_live > span.0 {
            sources.push(self.source(user, conversation.clone(), *head, span, feed)?);
        }
        if head.aside_live > span.0 {
            let aside = conversation.aside();
            let (head, feed) = (self.head(&aside)?, Feed::Live(span.0));
            sources.push(self.source(user, aside, head, span, feed)?);
        }
        Ok(())
    }

    fn add_imported(
        &self,
        user: &UserId,
        conversation: &Conversation,
        head: &Position,
        span: (u64, u64),
        sources: &mut Vec<Source>,
    ) -> Result<()> {
        let engine = &*self.shard_of(conversation).engine;
        let intakes = intakes_since(engine, self.app, conversation, span.0)?;
        if !intakes.is_empty() {
            let feed = Feed::Imported(intakes.into());
            sources.push(self.source(user, conversation.clone(), *head, span, feed)?);
        }
        Ok(())
    }

    fn source(
        &self,
        user: &UserId,
        conversation: Conversation,
        head: Position,
        (from, high): (u64, u64),
        feed: Feed,
    ) -> Result<Source> {
        Ok(Source {
            lens: self.lens(user, &conversation)?,
            conversation,
            head,
            from,
            high,
            feed,
            buffer: VecDeque::new(),
        })
    }

    /// A page of what is pending behind a cursor, in the order of arrival.
    pub(crate) fn drain(
        &self,
        user: &UserId,
        from: &Reached,
        limit: usize,
        caps: Option<OfflineCaps>,
    ) -> Result<Drained> {
        let high = self.applied();
        let mut sources = self.sources(user, from, &high)?;
        if let Some(caps) = caps {
            self.cap(user, &mut sources, caps)?;
        }
        // Of many conversations each gives a few to a page, and the next page asks them all again.
        let chunk = (2 * limit / sources.len().max(1)).clamp(1, CHUNK);
        let mut next = BinaryHeap::new();
        for (index, source) in sources.iter_mut().enumerate() {
            let first = self.refill(user, source, chunk)?;
            next.extend(first.map(|arrival| Reverse((arrival, index))));
        }
        let mut items: Vec<Pending> = Vec::new();
        while let Some(Reverse((_, index))) = next.pop() {
            let bound = next
                .peek()
                .map_or(u64::MAX, |Reverse((arrival, _))| *arrival);
            let Some(source) = sources.get_mut(index) else {
                break;
            };
            items.reserve(source.buffer.len().min(limit - items.len()));
            let is_full = source.hand_out(bound, limit, &mut items);
            let first = self.refill(user, source, chunk)?;
            next.extend(first.map(|arrival| Reverse((arrival, index))));
            if is_full {
                break;
            }
        }
        let more = !next.is_empty();
        let bound = match items.last() {
            Some(last) if more => last.arrival,
            _ => u64::MAX,
        };
        let mut reached = from.clone();
        reached.advance(&Reached(high.iter().map(|high| bound.min(*high)).collect()));
        Ok(Drained {
            items,
            reached,
            more,
        })
    }

    /// What could be read on each shard a moment ago.
    fn applied(&self) -> Vec<u64> {
        let shards = self.inner.shards.list.iter();
        shards.map(|shard| shard.applied()).collect()
    }

    /// Makes sure that a source has a message, if there is one, and says when that arrived.
    fn refill(&self, user: &UserId, source: &mut Source, chunk: usize) -> Result<Option<u64>> {
        while source.buffer.is_empty() {
            match &mut source.feed {
                Feed::Dry => return Ok(None),
                Feed::Live(after) => {
                    let page = Page::after(Cursor::Id(MessageId(*after)), chunk);
                    let mut found = self.page(&source.conversation, page)?;
                    let is_last = found.len() < chunk;
                    let last = found.last().map_or(u64::MAX, |last| last.id.0);
                    *after = last;
                    if is_last || last >= source.high {
                        source.feed = Feed::Dry;
                    }
                    found.retain(|m| m.id.0 <= source.high && !m.id.is_imported());
                    self.keep_visible(user, &source.conversation, &source.lens, &mut found)?;
                    let arrived = found.into_iter().map(|message| (message.id.0, message));
                    source.buffer.extend(arrived);
                }
                Feed::Imported(intakes) => {
                    let Some(intake) = intakes.pop_front() else {
                        source.feed = Feed::Dry;
                        continue;
                    };
                    let arrived = self.imported(user, source, intake)?;
                    source.buffer.extend(arrived);
                }
            }
        }
        Ok(source.buffer.front().map(|(arrival, _)| *arrival))
    }

    /// What a source took in at one time and is still pending.
    fn imported(
        &self,
        user: &UserId,
        source: &Source,
        intake: Intake,
    ) -> Result<Vec<(u64, Message)>> {
        let mut after = intake.seq_after(source.from).max(intake.first_seq) - 1;
        let mut arrived = Vec::new();
        while after < intake.last_seq {
            let page = Page::after(Cursor::Seq(Seq(after)), CHUNK);
            let mut found = self.page(&source.conversation, page)?;
            let Some(last) = found.last() else { break };
            after = last.seq.0;
            found.retain(|m| m.seq.0 <= intake.last_seq);
            self.keep_visible(user, &source.conversation, &source.lens, &mut found)?;
            let found = found.into_iter().map(|m| (intake.arrival(m.seq.0), m));
            arrived.extend(found.filter(|(arrival, _)| *arrival <= source.high));
        }
        Ok(arrived)
    }

    /// How many messages are pending; `counts` picks some.
    ///
    /// Where all count and numbers and ids rise together this costs a subtraction and one look for the first, otherwise a
    /// look at each.
    pub(crate) fn pending_count(
        &self,
        user: &UserId,
        from: &Reached,
        others_only: bool,
    ) -> Result<u64> {
        let mut count = 0;
        for mut source in self.sources(user, from, &self.applied())? {
            count += match self.quick_count(user, &source, others_only)? {
                Some(count) => count,
                None => self.slow_count(user, &mut source, others_only)?,
            };
        }
        Ok(count)
    }

    fn quick_count(
        &self,
        user: &UserId,
        source: &Source,
        others_only: bool,
    ) -> Result<Option<u64>> {
        let (conversation, lens, head) = (&source.conversation, source.lens, &source.head);
        let (Feed::Live(from), true) = (&source.feed, lens.from_id <= source.from) else {
            return Ok(None);
        };
        let page = Page::after(Cursor::Id(MessageId(*from)), 1);
        let Some(first) = self.raw_page(conversation, page)?.pop() else {
            return Ok(Some(0));
        };
        // Nobody counts who has sent what in an aside, so there an own one is looked for.
        let has_own = others_only
            && (conversation.is_aside() || {
                let shard = self.shard_of(conversation);
                let (engine, name) = (&*shard.engine, user.as_str());
                shard.heads.sent(engine, self.app, conversation, name)? >= first.seq.0
            });
        if first.id.is_imported() || head.imported_seq >= first.seq.0 || has_own {
            return Ok(None);
        }
        let first = first.seq.0.max(lens.above_seq + 1);
        self.count_between(user, conversation, first, head.last_seq)
            .map(Some)
    }

    fn slow_count(&self, user: &UserId, source: &mut Source, others_only: bool) -> Result<u64> {
        let mut count = 0;
        while self.refill(user, source, CHUNK)?.is_some() {
            let counted = source.buffer.drain(..);
            let counted = counted.filter(|(_, m)| !(others_only && m.sender == user.as_str()));
            count += counted.count() as u64;
        }
        Ok(count)
    }

    /// Moves sources on to where no more is pending than the caps allow: the newest stay.
    fn cap(&self, user: &UserId, sources: &mut [Source], caps: OfflineCaps) -> Result<()> {
        let mut newest: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
        for source in sources.iter_mut() {
            let most = match source.conversation.pair() {
                Some(_) => caps.direct,
                None => caps.group,
            };
            let mut kept: VecDeque<(u64, Message)> = VecDeque::new();
            while self.refill(user, source, CHUNK)?.is_some() {
                kept.extend(source.buffer.drain(..));
                kept.drain(..kept.len().saturating_sub(most));
            }
            for (arrival, _) in &kept {
                newest.push(Reverse(*arrival));
                if newest.len() > caps.user {
                    newest.pop();
                }
            }
            source.buffer = kept;
            source.feed = Feed::Dry;
        }
        let oldest = newest.peek().map_or(u64::MAX, |Reverse(oldest)| *oldest);
        for source in sources {
            source.buffer.retain(|(arrival, _)| *arrival >= oldest);
        }
        Ok(())
    }
}
