//! Sending with the directory's word for it.

use tidestore_directory::ChannelKind;
use tidestore_messages::{Conversation, Parties};
use tidestore_plan::UserId;

use crate::app::App;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{NewMessage, Receipt};

impl App {
    /// Appends a message if the directory says that its sender may send it, with the store's default durability.
    ///
    /// The directory is asked first and the message appended then. So a ban, a removal or a mute that was acknowledged
    /// before this call holds for it; one that is made at the same time may or may not. For a server that keeps its own
    /// directory there is [`append`](Self::append), which asks nobody.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] with the reason: the sender is unknown, banned, muted, not a member, blocked by the
    /// receiver; the receiver, group, chatroom or thread does not exist or is banned. Otherwise as
    /// [`append`](Self::append). Nothing was written.
    pub async fn send(&self, message: NewMessage) -> Result<Receipt> {
        message.check(self.store().limits())?;
        self.check_send(&message.sender, &message.conversation)
            .await?;
        self.append(message).await
    }

    /// Asks the directory whether a user may send to a conversation now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] with the reason why not.
    pub async fn check_send(&self, sender: &UserId, conversation: &Conversation) -> Result<()> {
        let parties = conversation.parties().ok_or_else(|| {
            let text = format!("{conversation} names no conversation");
            Error::new(ErrorKind::Conversation, text)
        })?;
        let (sender, now) = (sender.clone(), self.now());
        self.look_up(move |directory| match parties {
            Parties::Direct(low, high) => {
                let receiver = if sender == low { high } else { low };
                directory.check_direct(&sender, &receiver, now)
            }
            Parties::Group(id) => directory.check_send(&sender, ChannelKind::Group, &id, now),
            Parties::Room(id) => directory.check_send(&sender, ChannelKind::Room, &id, now),
            Parties::Thread(id) => directory.check_thread_send(&sender, &id, now),
        })
        .await
    }
}
