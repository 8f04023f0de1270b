//! Reactions to messages.

use std::sync::Arc;

use tidestore_disk::Millis;
use tidestore_kv::{Key, Overlay, decode_row, page_of};
use tidestore_messages::{AppId, MessageId};
use tidestore_plan::{Limit, UserId};

use crate::app::App;
use crate::delivery::changes::{By, Notice};
use crate::delivery::cursor;
use crate::delivery::inbox::check_limit;
use crate::delivery::intake::{is_there, row_or_default};
use crate::delivery::tables::{
    REACTED, REACTIONS, TALLIES, corrupt, delete_aging, key_of, number, number_behind, put_aging,
};
use crate::error::{Error, ErrorKind, Result};

/// One kind of reaction to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactionCount {
    /// What it is: any text of at most 128 characters, such as 👍.
    pub reaction: String,
    /// How many users have reacted so.
    pub count: u64,
}

/// A user who has reacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reactor {
    /// Who.
    pub user: UserId,
    /// When.
    pub at: Millis,
}

/// A page of users who have reacted, the first of them first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReactorPage {
    /// The users.
    pub items: Vec<Reactor>,
    /// Where the next page goes on; `None` at the end.
    pub next: Option<String>,
}

/// The value of `TALLIES`: the reactions to a message, in the order in which they first came.
#[derive(Clone, Debug, Default, bincode::Encode, bincode::Decode)]
pub(crate) struct TallyRow {
    next_serial: u64,
    pub(crate) counts: Vec<(String, u64)>,
}

/// The value of `REACTIONS`.
#[derive(Clone, Debug, bincode::Encode, bincode::Decode)]
pub(crate) struct ReactionRow {
    user: String,
    at: Millis,
}

fn reacted(app: AppId, id: MessageId, user: &UserId, reaction: &str) -> Key {
    let key = key_of(app).number(id.0).names(user.as_str());
    key.name(reaction)
}

fn reactors(app: AppId, id: MessageId, reaction: &str) -> Key {
    key_of(app).number(id.0).names(reaction)
}

fn encoded<T: bincode::Encode>(row: &T) -> Result<Vec<u8>> {
    tidestore_kv::codec::encode(row).map_err(|error| corrupt(&error.to_string()))
}

/// One user's reaction to one message.
#[derive(Clone, Debug)]
pub(crate) struct Reaction {
    pub(crate) app: AppId,
    pub(crate) id: MessageId,
    pub(crate) user: UserId,
    pub(crate) text: String,
}

impl Reaction {
    fn add(
        &self,
        rows: &mut Overlay<'_>,
        now: Millis,
        limits: &tidestore_plan::Limits,
    ) -> Result<()> {
        let (app, id, reaction) = (self.app, self.id, &self.text);
        let own = reacted(app, id, &self.user, reaction);
        if is_there(rows, REACTED, &own)? {
            let text = format!("{} has reacted so to message {id} already", self.user);
            return Err(Error::new(ErrorKind::Reaction, text));
        }
        let tallies = key_of(app).number(id.0);
        let mut tally: TallyRow = row_or_default(rows, TALLIES, &tallies)?;
        if let Some((_, count)) = tally.counts.iter_mut().find(|(kind, _)| kind == reaction) {
            *count += 1;
        } else {
            limits.check(Limit::Reactions, tally.counts.len() as u64 + 1)?;
            tally.counts.push((reaction.clone(), 1));
        }
        let serial = tally.next_serial;
        tally.next_serial += 1;
        let row = ReactionRow {
            user: self.user.as_str().to_owned(),
            at: now,
        };
        let place = reactors(app, id, reaction).number(serial);
        put_aging(rows, app, id, REACTIONS, place, encoded(&row)?);
        put_aging(rows, app, id, REACTED, own, serial.to_le_bytes());
        put_aging(rows, app, id, TALLIES, tallies, encoded(&tally)?);
        Ok(())
    }

    pub(crate) fn remove(&self, rows: &mut Overlay<'_>) -> Result<()> {
        let (app, id, reaction) = (self.app, self.id, &self.text);
        let own = reacted(app, id, &self.user, reaction);
        let serial = rows.bytes_of(REACTED, own.bytes())?;
        let serial = serial.ok_or_else(|| {
            let text = format!("{} has not reacted so to message {id}", self.user);
            Error::new(ErrorKind::Reaction, text)
        })?;
        let place = reactors(app, id, reaction).number(number(&serial)?);
        delete_aging(rows, app, id, REACTIONS, place);
        delete_aging(rows, app, id, REACTED, own);
        let tallies = key_of(app).number(id.0);
        let mut tally: TallyRow = row_or_default(rows, TALLIES, &tallies)?;
        for (kind, count) in &mut tally.counts {
            if kind == reaction {
                *count = count.saturating_sub(1);
            }
        }
        tally.counts.retain(|(_, count)| *count > 0);
        if tally.counts.is_empty() {
            // Nobody has a cursor into nothing, so serials may begin anew.
            delete_aging(rows, app, id, TALLIES, tallies);
            return Ok(());
        }
        put_aging(rows, app, id, TALLIES, tallies, encoded(&tally)?);
        Ok(())
    }
}

impl App {
    /// Lets a user react to a message of a conversation he takes part in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::MessageNotFound`]; [`ErrorKind::Reaction`]: he has reacted so already; [`ErrorKind::Limit`]: the
    /// reaction is over 128 characters, or the 21st kind; [`ErrorKind::Argument`]: it is empty or holds a zero character;
    /// [`ErrorKind::Conversation`], [`ErrorKind::Directory`]: he takes no part.
    pub async fn react(&self, id: MessageId, user: &UserId, reaction: &str) -> Result<()> {
        let (reaction, limits) = (
            reaction.to_owned(),
            self.store().inner.options.limits.clone(),
        );
        limits.check(Limit::ReactionId, reaction.chars().count() as u64)?;
        if reaction.is_empty() || reaction.contains('\0') {
            let text = "a reaction is at least one character, and none of them is zero";
            return Err(Error::new(ErrorKind::Argument, text));
        }
        let (notice, now) = (Notice::Reacted(id, reaction.clone()), self.now());
        self.change_reaction(id, user, reaction, notice, move |reaction, rows| {
            reaction.add(rows, now, &limits)
        })
        .await
    }

    /// Takes a user's reaction back.
    ///
    /// # Errors
    ///
    /// As [`react`](Self::react); [`ErrorKind::Reaction`]: he has not reacted so.
    pub async fn unreact(&self, id: MessageId, user: &UserId, reaction: &str) -> Result<()> {
        let reaction = reaction.to_owned();
        let notice = Notice::Unreacted(id, reaction.clone());
        self.change_reaction(id, user, reaction, notice, |reaction, rows| {
            reaction.remove(rows)
        })
        .await
    }

    async fn change_reaction(
        &self,
        id: MessageId,
        user: &UserId,
        reaction: String,
        notice: Notice,
        change: impl FnOnce(&Reaction, &mut Overlay<'_>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let by = By::Server(user.clone());
        let (conversation, _) = self.changeable(id, &by).await?;
        let (of, part) = (conversation.clone(), user.clone());
        self.read(move |reader| reader.check_part(&part, &of))
            .await?;
        let reaction = Reaction {
            app: self.id(),
            id,
            user: user.clone(),
            text: reaction,
        };
        let decide = move |rows: &mut Overlay<'_>, _: &crate::shard::Shard| change(&reaction, rows);
        self.change_with_notice(&conversation, user, &notice, decide)
            .await
    }

    /// The reactions to messages, in the order in which each kind first came. Messages that are not there have none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] over 20 messages.
    pub async fn reactions(&self, ids: &[MessageId]) -> Result<Vec<Vec<ReactionCount>>> {
        let limits = &self.store().inner.options.limits;
        limits.check(Limit::ReactionMessages, ids.len() as u64)?;
        let ids = ids.to_vec();
        self.read(move |reader| {
            let counts = ids.into_iter().map(|id| {
                let shards = &reader.inner.shards.list;
                let shard = shards.get(usize::from(id.shard()));
                let Some(shard) = shard.filter(|_| id.millis() >= reader.floor) else {
                    return Ok(Vec::new());
                };
                let key = key_of(reader.app).number(id.0);
                let tally: TallyRow = row_or_default(&*shard.engine, TALLIES, &key)?;
                let counts = tally.counts.into_iter();
                Ok(counts
                    .map(|(reaction, count)| ReactionCount { reaction, count })
                    .collect())
            });
            counts.collect()
        })
        .await
    }

    /// A page of those who have reacted to a message in one way, the first of them first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::MessageNotFound`]; [`ErrorKind::Argument`]: a limit of 0 or over 1,000; [`ErrorKind::Cursor`].
    pub async fn reactors(
        &self,
        id: MessageId,
        reaction: &str,
        behind: Option<&str>,
        limit: usize,
    ) -> Result<ReactorPage> {
        check_limit(limit)?;
        let name = id.to_string();
        let list = ["reactors", self.key().as_str(), &name, reaction];
        let behind = behind.map(|text| cursor::decode(&list, text)).transpose()?;
        self.changeable(id, &By::Server(admin()?)).await?;
        let shards = &self.store().inner.shards.list;
        let shard = shards.get(usize::from(id.shard()));
        let shard = Arc::clone(shard.ok_or_else(|| super::changes::not_found(id))?);
        let prefix = reactors(self.id(), id, reaction);
        let (mut items, next) = self
            .read(move |_| {
                let behind = behind.map(|place| [prefix.bytes(), &place].concat());
                let (engine, behind) = (&*shard.engine, behind.as_deref());
                let page = page_of(engine, REACTIONS, prefix.bytes(), behind, false, limit + 1)?;
                let (mut items, mut next) = (Vec::new(), None);
                for (key, value) in page {
                    let row: ReactionRow = decode_row(REACTIONS, &key, &value)?;
                    let user = UserId::parse(&row.user)?;
                    items.push(Reactor { user, at: row.at });
                    if items.len() == limit {
                        next = Some(number_behind(&key, prefix.bytes())?.0);
                    }
                }
                Ok((items, next))
            })
            .await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = next.filter(|_| more);
        let next = next.map(|serial: u64| cursor::encode(&list, &serial.to_be_bytes()));
        Ok(ReactorPage { items, next })
    }
}

fn admin() -> Result<UserId> {
    Ok(UserId::parse("admin")?)
}
