//! The inbox of a device: what it has not acknowledged yet.

use tidestore_messages::{Conversation, Message, Page};
use tidestore_plan::UserId;

use crate::app::App;
use crate::delivery::cursor;
use crate::delivery::devices::{self, Reached};
use crate::delivery::stream::InboxStream;
use crate::error::{Error, ErrorKind, Result};

/// What is pending for a device of a user: messages of his direct conversations, groups and threads, those included that
/// he sent from elsewhere, commands, and notices of changes. Chatrooms have none.
///
/// A view over the one copy of each message: it costs nothing to have, and a device that comes back pays for the
/// conversations that have something new.
#[derive(Clone, Debug)]
pub struct Inbox<'a> {
    pub(crate) app: &'a App,
    pub(crate) user: UserId,
    pub(crate) device: String,
}

/// A pending message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Where it was sent. Commands and notices have numbers of their own, see [`Conversation::is_aside`].
    pub conversation: Conversation,
    /// The message.
    pub message: Message,
    /// The id of its arrival.
    pub(crate) arrival: u64,
}

/// A page of pending messages, in the order in which they arrived.
#[derive(Clone, Debug)]
pub struct InboxPage {
    /// The messages.
    pub items: Vec<Pending>,
    /// Says that the device has all of these: for [`Inbox::acknowledge`], and to ask for the next page.
    pub cursor: String,
    /// Whether there are more.
    pub more: bool,
    /// Where the page begins and ends.
    span: Span,
}

/// From where to where a page goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    pub(crate) from: Reached,
    pub(crate) to: Reached,
}

impl Span {
    /// How far a device has come that got everything up to an arrival.
    pub(crate) fn up_to(&self, arrival: u64) -> Reached {
        // On every shard all of it was handed out; but never more than the page knows of.
        let ids = self.to.0.iter().map(|id| arrival.min(*id));
        let mut reached = Reached(ids.collect());
        reached.advance(&self.from);
        reached
    }
}

impl App {
    /// The inbox of a device. The device is remembered from its first page on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`] if the device has no fitting name: 1 to 128 bytes without control characters.
    pub fn inbox(&self, user: &UserId, device: &str) -> Result<Inbox<'_>> {
        devices::check_name(device)?;
        Ok(Inbox {
            app: self,
            user: user.clone(),
            device: device.to_owned(),
        })
    }

    /// How many messages from others have reached no device of a user, exactly and at once.
    ///
    /// # Errors
    ///
    /// What the disk reports; so with every call about inboxes.
    pub async fn offline_count(&self, user: &UserId) -> Result<u64> {
        let user = user.clone();
        self.read(move |reader| {
            let from = devices::furthest(&*reader.home.engine, reader.app, &user)?;
            reader.pending_count(&user, &from, true)
        })
        .await
    }
}

impl Inbox<'_> {
    /// How many messages are pending for the device: as many as all pages together have, if no caps are set.
    ///
    /// # Errors
    ///
    /// What the disk reports.
    pub async fn count(&self) -> Result<u64> {
        let begin = self.begin().await?;
        let user = self.user.clone();
        self.app
            .read(move |reader| reader.pending_count(&user, &begin, false))
            .await
    }

    /// A page of what is pending: behind a cursor, or behind what is acknowledged.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`]: a limit of 0 or over [`Page::LIMIT_MAX`]; [`ErrorKind::Cursor`]: the cursor is of another
    /// user or made up.
    pub async fn page(&self, behind: Option<&str>, limit: usize) -> Result<InboxPage> {
        check_limit(limit)?;
        let from = match behind {
            Some(text) => self.decode(text)?,
            None => self.begin().await?,
        };
        let (user, begin) = (self.user.clone(), from.clone());
        let caps = self.app.store().inner.options.offline_caps;
        let drained = self
            .app
            .read(move |reader| reader.drain(&user, &begin, limit, caps))
            .await?;
        Ok(InboxPage {
            items: drained.items,
            cursor: self.encode(&drained.reached),
            more: drained.more,
            span: Span {
                from,
                to: drained.reached,
            },
        })
    }

    /// Says that the device has everything up to a cursor: none of it is pending for it again, also after a crash. Going
    /// back is not possible; an older cursor changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cursor`]: the cursor is of another user or made up.
    pub async fn acknowledge(&self, cursor: &str) -> Result<()> {
        self.reach(self.decode(cursor)?).await
    }

    /// The cursor of one of the messages of a page: acknowledges it and all before it.
    pub fn cursor_of(&self, page: &InboxPage, pending: &Pending) -> String {
        self.encode(&page.span.up_to(pending.arrival))
    }

    /// Follows the inbox live, from what is acknowledged on. All that is pending comes: caps on offline messages hold for
    /// pages only.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`]: as many are followed as may be. What the disk reports.
    pub async fn subscribe(&self) -> Result<InboxStream> {
        InboxStream::start(self).await
    }

    /// Forgets the device; should it come back, it begins where the user's others are.
    ///
    /// # Errors
    ///
    /// What the disk reports.
    pub async fn forget(&self) -> Result<()> {
        let (user, device) = (self.user.clone(), self.device.clone());
        self.app
            .change(move |rows, scope| {
                devices::forget(rows, scope.app, &user, &device);
                Ok(())
            })
            .await
    }

    /// Up to where the device has acknowledged. A device that is new gets to be known.
    pub(crate) async fn begin(&self) -> Result<Reached> {
        let (user, device) = (self.user.clone(), self.device.clone());
        let known = self
            .app
            .read(move |reader| devices::device(&*reader.home.engine, reader.app, &user, &device))
            .await?;
        if let Some(known) = known {
            return Ok(known.reached);
        }
        let (user, device) = (self.user.clone(), self.device.clone());
        let begun = self.app.change(move |rows, scope| {
            devices::get_or_begin(rows, scope.app, &user, &device, scope.now)
        });
        Ok(begun.await?.reached)
    }

    pub(crate) async fn reach(&self, reached: Reached) -> Result<()> {
        for shard in &self.app.store().inner.shards.list {
            shard.settle(reached.on(shard.number.into())).await?;
        }
        let (user, device) = (self.user.clone(), self.device.clone());
        self.app
            .change(move |rows, scope| {
                devices::acknowledge(rows, scope.app, &user, &device, &reached, scope.now)
            })
            .await
    }

    fn encode(&self, reached: &Reached) -> String {
        let place: Vec<u8> = reached.0.iter().flat_map(|id| id.to_le_bytes()).collect();
        cursor::encode(&self.list(), &place)
    }

    fn decode(&self, text: &str) -> Result<Reached> {
        let place = cursor::decode(&self.list(), text)?;
        let (ids, rest) = place.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(cursor::refused());
        }
        // A checksum is no seal: whoever makes up a cursor must not acknowledge what nobody has sent yet.
        let shards = &self.app.store().inner.shards.list;
        let ids = ids.iter().map(|id| u64::from_le_bytes(*id)).zip(shards);
        let ids = ids.map(|(id, shard)| id.min(shard.applied()));
        Ok(Reached(ids.collect()))
    }

    /// What its cursors are of. Any device of the user may use them: all have the same messages.
    fn list(&self) -> [&str; 3] {
        ["inbox", self.app.key().as_str(), self.user.as_str()]
    }
}

pub(crate) fn check_limit(limit: usize) -> Result<()> {
    if limit == 0 || limit > Page::LIMIT_MAX {
        let max = Page::LIMIT_MAX;
        let text = format!("a page of {limit}; 1 to {max} are possible");
        return Err(Error::new(ErrorKind::Argument, text));
    }
    Ok(())
}
