//! Who may send to groups, chatrooms and threads, now.

use tidestore_disk::Millis;
use tidestore_kv::Rows;
use tidestore_plan::{ResourceId, UserId};

use crate::ChannelKind;
use crate::channels::Role;
use crate::directory::Directory;
use crate::error::{ErrorKind, Result};

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Whether a user may send to a group or chatroom.
    ///
    /// The mute of a member and that of everybody do not hold for those on the allow list, that of everybody not for the
    /// owner, admins, and super admins of chatrooms. A mute in the whole app holds for all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`], [`ErrorKind::UserBanned`], [`ErrorKind::ChannelNotFound`],
    /// [`ErrorKind::ChannelDisabled`], [`ErrorKind::NotMember`], [`ErrorKind::Muted`], [`ErrorKind::AllMuted`].
    pub fn check_send(
        &self,
        sender: &UserId,
        kind: ChannelKind,
        id: &ResourceId,
        now: Millis,
    ) -> Result<()> {
        self.check_sender(sender)?;
        let channel = self.channel_row(kind, id)?;
        if channel.is_disabled {
            return Err(ErrorKind::ChannelDisabled(kind, id.clone()).into());
        }
        let member = self.member_row(kind, id, sender)?;
        if !member.is_allowed {
            if let Some(end) = member.muted_until.filter(|end| end.is_after(now)) {
                return Err(end.refusal().into());
            }
            let stands_above = member.role != Role::Member
                || kind == ChannelKind::Room && channel.is_muted && self.is_super_admin(sender)?;
            if channel.is_muted && !stands_above {
                return Err(ErrorKind::AllMuted.into());
            }
        }
        self.global_mute(sender, kind, now)
    }

    /// Whether a user may send to a thread: who is in it and may send to its group.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadNotFound`], and as [`check_send`](Self::check_send).
    pub fn check_thread_send(&self, sender: &UserId, id: &ResourceId, now: Millis) -> Result<()> {
        self.check_sender(sender)?;
        let thread = self.thread(id)?;
        self.check_send(sender, ChannelKind::Group, &thread.group, now)?;
        if !self.is_in_thread(id, sender)? {
            return Err(ErrorKind::NotMember(sender.clone()).into());
        }
        Ok(())
    }
}
