//! A user's list of conversations, the youngest first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tidestore_disk::Millis;
use tidestore_kv::{Key, Rows};
use tidestore_messages::{AppId, Conversation, Cursor, Message, MessageId, Page};
use tidestore_plan::UserId;

use crate::delivery::cursor;
use crate::delivery::inbox::check_limit;
use crate::delivery::reader::Reader;
use crate::delivery::tables::{UNLISTED, key_of, number};
use crate::delivery::user_view::UserView;
use crate::error::Result;
use crate::tables::Position;

/// A conversation in a user's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which one.
    pub conversation: Conversation,
    /// The newest message that the user may see.
    pub last: Message,
    /// How many he has not read.
    pub unread: u64,
    /// Since when he has it pinned.
    pub pinned: Option<Millis>,
    /// Whether it shall not notify him.
    pub muted: bool,
}

/// A page of a user's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPage {
    /// The conversations.
    pub items: Vec<Listed>,
    /// Where the next page goes on, which may turn out to be empty; `None` at the end.
    pub next: Option<String>,
}

/// A place in the list: the id of a conversation's newest message, and the conversation.
type Place = (u64, Conversation);

fn unlisted_key(app: AppId, user: &UserId, conversation: &Conversation) -> Key {
    key_of(app).names(user.as_str()).name(conversation.as_str())
}

/// Up to which number a conversation has left a user's list.
fn unlisted(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    user: &UserId,
    conversation: &Conversation,
) -> Result<u64> {
    let key = unlisted_key(app, user, conversation);
    rows.bytes(UNLISTED, key.bytes())?
        .map_or(Ok(0), |value| number(&value))
}

impl UserView<'_> {
    /// Takes a conversation off the user's list until something new comes. He can still read all of it; see
    /// [`clear`](Self::clear) for deleting it.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history).
    pub async fn unlist(&self, conversation: &Conversation) -> Result<()> {
        let (user, of) = (self.user.clone(), conversation.main());
        let look = of.clone();
        let last = self.app.read(move |reader| {
            reader.check_part(&user, &look)?;
            Ok(reader.head(&look)?.last_seq)
        });
        let last = last.await?;
        let user = self.user.clone();
        self.app
            .change(move |rows, scope| {
                let key = unlisted_key(scope.app, &user, &of);
                rows.put_bytes(UNLISTED, key, last.to_le_bytes());
                Ok(())
            })
            .await
    }

    /// A page of the user's conversations that have something he may see: direct ones and groups, the one with the newest
    /// message first. Costs a look at each of his groups, and besides as much as is on the page, however many there are.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument): a limit of 0 or over [`Page::LIMIT_MAX`];
    /// [`ErrorKind::Cursor`](crate::ErrorKind::Cursor): the cursor is of another list.
    pub async fn conversations(&self, behind: Option<&str>, limit: usize) -> Result<ListedPage> {
        check_limit(limit)?;
        let list = ["conversations", self.app.key().as_str(), self.user.as_str()];
        let behind = behind.map(|text| place(&list, text)).transpose()?;
        let user = self.user.clone();
        let page = self
            .app
            .read(move |reader| reader.conversations(&user, behind, limit));
        let (items, next) = page.await?;
        let next = next.map(|(id, conversation)| {
            let place = [&id.to_le_bytes(), conversation.as_str().as_bytes()].concat();
            cursor::encode(&list, &place)
        });
        Ok(ListedPage { items, next })
    }
}

fn place(list: &[&str], text: &str) -> Result<Place> {
    let place = cursor::decode(list, text)?;
    let parts = place.split_first_chunk::<8>();
    let (id, rest) = parts.ok_or_else(cursor::refused)?;
    // What a client made up is no damage of the tables.
    let conversation = super::tables::conversation(rest).map_err(|_| cursor::refused())?;
    Ok((u64::from_le_bytes(*id), conversation))
}

impl Reader {
    fn conversations(
        &self,
        user: &UserId,
        mut behind: Option<Place>,
        limit: usize,
    ) -> Result<(Vec<Listed>, Option<Place>)> {
        let groups = self.groups_by_time(user)?;
        let mut items = Vec::new();
        loop {
            let candidates = self.candidates(user, &groups, behind.as_ref(), limit)?;
            let is_last = candidates.len() < limit;
            for (conversation, head) in candidates {
                // Whatever comes behind this is older still.
                if MessageId(head.last_id).millis() < self.floor {
                    return Ok((items, None));
                }
                if items.len() == limit {
                    return Ok((items, behind));
                }
                items.extend(self.listed(user, &conversation, &head)?);
                behind = Some((head.last_id, conversation));
            }
            if is_last {
                return Ok((items, None));
            }
            if items.len() == limit {
                return Ok((items, behind));
            }
        }
    }

    fn groups_by_time(
        &self,
        user: &UserId,
    ) -> Result<BTreeMap<(Reverse<u64>, Conversation), Position>> {
        let mut groups = BTreeMap::new();
        for conversation in self.channels_of(user)? {
            if conversation.as_str().starts_with("thread:") {
                continue;
            }
            let head = self.head(&conversation)?;
            if head.last_id > 0 {
                groups.insert((Reverse(head.last_id), conversation), head);
            }
        }
        Ok(groups)
    }

    /// The next conversations in the order of the list.
    fn candidates(
        &self,
        user: &UserId,
        groups: &BTreeMap<(Reverse<u64>, Conversation), Position>,
        behind: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<(Conversation, Position)>> {
        let place = behind.map(|(id, conversation)| (*id, conversation));
        let mut found = Vec::new();
        for shard in &self.inner.shards.list {
            let (engine, name) = (&*shard.engine, user.as_str());
            let directs = shard
                .heads
                .directs_by_time(engine, self.app, name, place, limit)?;
            found.extend(directs);
        }
        let start = behind.map_or(std::ops::Bound::Unbounded, |(id, conversation)| {
            std::ops::Bound::Excluded((Reverse(*id), conversation.clone()))
        });
        let groups = groups
            .range((start, std::ops::Bound::Unbounded))
            .take(limit);
        found.extend(groups.map(|((_, conversation), head)| (conversation.clone(), *head)));
        found.sort_unstable_by(|a, b| (b.1.last_id, &a.0).cmp(&(a.1.last_id, &b.0)));
        found.truncate(limit);
        Ok(found)
    }

    /// A conversation as the list shows it; `None` if there is nothing in it that the user may see.
    fn listed(
        &self,
        user: &UserId,
        conversation: &Conversation,
        head: &Position,
    ) -> Result<Option<Listed>> {
        let view = self.view(user, conversation)?;
        let lens = view.lens(self.sees_past(conversation, &view)?);
        let unlisted = unlisted(&*self.home.engine, self.app, user, conversation)?;
        if lens.above_seq.max(unlisted) >= head.last_seq {
            return Ok(None);
        }
        let mut page = Page::newest(1);
        let last = loop {
            let mut found = self.page(conversation, page)?;
            let Some(oldest) = found.last().map(|oldest| oldest.id) else {
                return Ok(None);
            };
            self.keep_visible(user, conversation, &lens, &mut found)?;
            if let Some(last) = found.into_iter().next() {
                break last;
            }
            if oldest.0 < lens.from_id {
                return Ok(None);
            }
            page = Page::before(Cursor::Id(oldest), 50);
        };
        Ok(Some(Listed {
            conversation: conversation.clone(),
            unread: self.unread(user, conversation, head, &view)?,
            last,
            pinned: view.pinned,
            muted: view.muted,
        }))
    }
}
