//! What became of a message on its way: to one user, and to all of a group.

use tidestore_directory::ChannelKind;
use tidestore_messages::{Conversation, MessageId, Parties, Revision, Seq};
use tidestore_plan::UserId;

use crate::app::App;
use crate::delivery::changes::not_found;
use crate::delivery::devices;
use crate::delivery::inbox::check_limit;
use crate::delivery::intake::arrival_of;
use crate::delivery::reader::Reader;
use crate::error::Result;

/// What became of a message for one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// A device of his has acknowledged it, he has read it, or he sent it.
    Delivered,
    /// It waits for him.
    Pending,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Recalled,
}

/// Who of a group has read a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    /// How many members have, the sender included.
    pub count: u64,
    /// How many members there are.
    pub members: u64,
    /// Some of those who have, by id.
    pub users: Vec<UserId>,
}

impl App {
    /// What became of a message for a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::MessageNotFound`](crate::ErrorKind::MessageNotFound): there never was such a message, or it is not for
    /// him. [`ErrorKind::Conversation`](crate::ErrorKind::Conversation),
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory): he takes no part in its conversation.
    pub async fn delivery_state(&self, user: &UserId, id: MessageId) -> Result<DeliveryState> {
        let user = user.clone();
        self.read(move |reader| reader.delivery_state(&user, id))
            .await
    }

    /// Who of a group, or of the two of a direct conversation, has read a message: how many, and a page of them behind a
    /// user. Costs a few rows a member.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::MessageNotFound`](crate::ErrorKind::MessageNotFound),
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory): the group is gone;
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument): a limit of 0 or over 1,000.
    pub async fn readers(
        &self,
        id: MessageId,
        behind: Option<&UserId>,
        limit: usize,
    ) -> Result<Readers> {
        check_limit(limit)?;
        let behind = behind.cloned();
        self.read(move |reader| reader.readers(id, behind.as_ref(), limit))
            .await
    }

    /// Everybody in a conversation but the sender: for whom a message of his is. Costs a row a member.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory): there is no such group, chatroom or thread.
    pub async fn receivers(
        &self,
        conversation: &Conversation,
        sender: &UserId,
    ) -> Result<Vec<UserId>> {
        let (conversation, sender) = (conversation.clone(), sender.clone());
        self.read(move |reader| reader.receivers(&conversation, &sender))
            .await
    }
}

impl Reader {
    fn delivery_state(&self, user: &UserId, id: MessageId) -> Result<DeliveryState> {
        if id.millis() < self.floor {
            return Ok(DeliveryState::Expired);
        }
        let (conversation, message) = self.message(id)?.ok_or_else(|| not_found(id))?;
        self.check_part(user, &conversation)?;
        if matches!(
            message.revision,
            Revision::Recalled { .. } | Revision::Erased
        ) {
            return Ok(DeliveryState::Recalled);
        }
        if message.sender == user.as_str() {
            return Ok(DeliveryState::Delivered);
        }
        let lens = self.lens(user, &conversation)?;
        let mut visible = vec![message];
        self.keep_visible(user, &conversation, &lens, &mut visible)?;
        let message = visible.pop().ok_or_else(|| not_found(id))?;
        let engine = &*self.shard_of(&conversation).engine;
        let arrival = if id.is_imported() {
            arrival_of(engine, self.app, &conversation, message.seq.0)?
        } else {
            Some(id.0)
        };
        let reached = devices::furthest(&*self.home.engine, self.app, user)?;
        let has_reached = arrival.is_none_or(|arrival| arrival <= reached.on(id.shard().into()));
        if has_reached || self.has_read(user, &conversation, message.seq)? {
            return Ok(DeliveryState::Delivered);
        }
        Ok(DeliveryState::Pending)
    }

    fn has_read(&self, user: &UserId, conversation: &Conversation, seq: Seq) -> Result<bool> {
        let view = self.view(user, conversation)?;
        Ok(self.read_up_to(user, conversation, &view)? >= seq.0)
    }

    fn readers(&self, id: MessageId, behind: Option<&UserId>, limit: usize) -> Result<Readers> {
        let (conversation, message) = self.message(id)?.ok_or_else(|| not_found(id))?;
        let mut readers = Readers::default();
        let mut look_at = |user: UserId| {
            readers.members += 1;
            if self.has_read(&user, &conversation, message.seq)? {
                readers.count += 1;
                if readers.users.len() < limit && behind.is_none_or(|behind| user > *behind) {
                    readers.users.push(user);
                }
            }
            Ok::<_, crate::Error>(())
        };
        self.each_part(&conversation, &mut look_at)?;
        Ok(readers)
    }

    /// Everybody in a conversation but the sender.
    pub(crate) fn receivers(
        &self,
        conversation: &Conversation,
        sender: &UserId,
    ) -> Result<Vec<UserId>> {
        let mut receivers = Vec::new();
        self.each_part(conversation, &mut |user| {
            receivers.extend(Some(user).filter(|user| user != sender));
            Ok(())
        })?;
        Ok(receivers)
    }

    /// Calls with everybody who takes part in a conversation.
    fn each_part(
        &self,
        conversation: &Conversation,
        visit: &mut impl FnMut(UserId) -> Result<()>,
    ) -> Result<()> {
        match conversation.parties() {
            Some(Parties::Direct(low, high)) => {
                if low != high {
                    visit(low)?;
                }
                visit(high)
            }
            Some(Parties::Group(group)) => self.each_member(ChannelKind::Group, &group, visit),
            Some(Parties::Room(room)) => self.each_member(ChannelKind::Room, &room, visit),
            Some(Parties::Thread(thread)) => {
                let directory = self.directory();
                let mut cursor: Option<String> = None;
                loop {
                    let page = directory.thread_members(&thread, cursor.as_deref(), 512)?;
                    page.items.into_iter().try_for_each(&mut *visit)?;
                    cursor = page.next;
                    if cursor.is_none() {
                        return Ok(());
                    }
                }
            }
            None => Ok(()),
        }
    }

    fn each_member(
        &self,
        kind: ChannelKind,
        id: &tidestore_plan::ResourceId,
        visit: &mut impl FnMut(UserId) -> Result<()>,
    ) -> Result<()> {
        let directory = self.directory();
        let mut cursor: Option<String> = None;
        loop {
            let page = directory.members(kind, id, cursor.as_deref(), 512)?;
            let users = page.items.into_iter().map(|member| member.user);
            users.into_iter().try_for_each(&mut *visit)?;
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}
