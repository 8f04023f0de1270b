//! Who may send to whom.

use tidestore_disk::Millis;
use tidestore_kv::Rows;
use tidestore_plan::UserId;

use super::mutes::MuteKind;
use crate::directory::Directory;
use crate::error::{ErrorKind, Result};

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Refuses a sender who does not exist or is banned.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`], [`ErrorKind::UserBanned`].
    pub fn check_sender(&self, user: &UserId) -> Result<()> {
        if self.user_row(user)?.is_banned {
            return Err(ErrorKind::UserBanned(user.clone()).into());
        }
        Ok(())
    }

    /// Refuses a message from one user to another. A banned receiver is sent to: he exists, and may be unbanned. A fixed
    /// number of reads, however long the lists are.
    ///
    /// # Errors
    ///
    /// In this order: what [`check_sender`](Self::check_sender) answers; [`ErrorKind::UserNotFound`] for the receiver;
    /// [`ErrorKind::BlockedByReceiver`]; [`ErrorKind::Muted`].
    pub fn check_direct(&self, sender: &UserId, receiver: &UserId, now: Millis) -> Result<()> {
        self.check_sender(sender)?;
        self.user_row(receiver)?;
        if self.has_blocked(receiver, sender)? {
            return Err(ErrorKind::BlockedByReceiver(receiver.clone()).into());
        }
        self.global_mute(sender, MuteKind::Chat, now)
    }
}
