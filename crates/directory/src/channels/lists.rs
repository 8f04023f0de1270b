//! The lists of a group or chatroom: admins, muted members, blocked users, the allow list.
//!
//! The row of a member says what he is, for those who send; the lists say who there is, for those who look. Both change
//! together.

use tidestore_disk::Millis;
use tidestore_kv::{Key, Rows, decode_row};
use tidestore_plan::{AppId, Limit, ResourceId, UserId};

use crate::ChannelKind;
use crate::channels::{ChannelRow, MemberRow, Role};
use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{ErrorKind, Result};
use crate::tables::{CHANNEL_LISTS, key_of, name_behind};
use crate::users::{MuteEnd, MuteFor, each_once, parse_user};

/// Which list, by its byte in keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    Admins = 1,
    Muted = 2,
    Blocked = 3,
    Allowed = 4,
}

pub(super) fn lists_prefix(app: AppId, kind: ChannelKind, id: &ResourceId) -> Key {
    key_of(app).byte(kind.byte()).names(id.as_str())
}

/// Whether a key of `CHANNEL_LISTS` is of a muted member: such rows say until when, all others since when.
pub(crate) fn is_list_of_muted(key: &[u8]) -> bool {
    // Behind app and kind stand the id and its zero byte, then the list.
    let mut parts = key
        .get(5..)
        .unwrap_or_default()
        .splitn(2, |byte| *byte == 0);
    let list = parts.nth(1).and_then(<[u8]>::first);
    list == Some(&(Listing::Muted as u8))
}

fn list_prefix(app: AppId, kind: ChannelKind, id: &ResourceId, listing: Listing) -> Key {
    lists_prefix(app, kind, id).byte(listing as u8)
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// A page of admins, by id; the owner is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::Cursor`].
    pub fn admins(
        &self,
        kind: ChannelKind,
        id: &ResourceId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<UserId>> {
        self.names(kind, id, Listing::Admins, cursor, limit)
    }

    /// A page of members who are muted at a time, by id, and until when.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::Cursor`].
    pub fn muted_members(
        &self,
        kind: ChannelKind,
        id: &ResourceId,
        now: Millis,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<(UserId, MuteEnd)>> {
        self.listed(
            kind,
            id,
            Listing::Muted,
            cursor,
            limit,
            |until: &MuteEnd| until.is_after(now),
        )
    }

    /// A page of the block list, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::Cursor`].
    pub fn blocked_members(
        &self,
        kind: ChannelKind,
        id: &ResourceId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<UserId>> {
        self.names(kind, id, Listing::Blocked, cursor, limit)
    }

    /// Whether a user is on the block list. Costs one row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`] if that cannot be read.
    pub fn is_blocked(&self, kind: ChannelKind, id: &ResourceId, user: &UserId) -> Result<bool> {
        let key = list_prefix(self.app, kind, id, Listing::Blocked).name(user.as_str());
        Ok(self.rows.bytes(CHANNEL_LISTS, key.bytes())?.is_some())
    }

    /// A page of the allow list, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::Cursor`].
    pub fn allowed_members(
        &self,
        kind: ChannelKind,
        id: &ResourceId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<UserId>> {
        self.names(kind, id, Listing::Allowed, cursor, limit)
    }

    /// A page of a list on which nothing counts but who is on it.
    fn names(
        &self,
        kind: ChannelKind,
        id: &ResourceId,
        listing: Listing,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<UserId>> {
        let page = self.listed(kind, id, listing, cursor, limit, |_: &Millis| true)?;
        page.try_map(|(user, _)| Ok(user))
    }

    fn listed<T: bincode::Decode<()>>(
        &self,
        kind: ChannelKind,
        id: &ResourceId,
        listing: Listing,
        cursor: Option<&str>,
        limit: usize,
        keep: impl Fn(&T) -> bool,
    ) -> Result<Page<(UserId, T)>> {
        self.channel_row(kind, id)?;
        let prefix = list_prefix(self.app, kind, id, listing);
        let list = List {
            table: CHANNEL_LISTS,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        list.page_where(self.rows, cursor, limit, |key, value| {
            let time: T = decode_row(CHANNEL_LISTS, key, value)?;
            if !keep(&time) {
                return Ok(None);
            }
            let user = parse_user(name_behind(key, prefix.bytes()).unwrap_or_default())?;
            Ok(Some((user, time)))
        })
    }
}

impl Editor<'_, '_> {
    /// Makes a member an admin; again is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::NotMember`], [`ErrorKind::IsOwner`],
    /// [`ErrorKind::Limit`] over 99.
    pub fn add_admin(&mut self, kind: ChannelKind, id: &ResourceId, user: &UserId) -> Result<()> {
        let (mut channel, mut member) = self.simple_member(kind, id, user)?;
        if member.role == Role::Admin {
            return Ok(());
        }
        channel.admins += 1;
        self.scope
            .limits
            .check(Limit::Admins, channel.admins.into())?;
        member.role = Role::Admin;
        self.list(kind, id, Listing::Admins, user, &self.scope.now)?;
        self.put_member_row(kind, id, user, &member)?;
        self.put_channel_row(kind, id, &channel)
    }

    /// Makes an admin a member again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::NotMember`], [`ErrorKind::IsOwner`],
    /// [`ErrorKind::NotAdmin`].
    pub fn remove_admin(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        user: &UserId,
    ) -> Result<()> {
        let (mut channel, mut member) = self.simple_member(kind, id, user)?;
        if member.role != Role::Admin {
            return Err(ErrorKind::NotAdmin(user.clone()).into());
        }
        channel.admins = channel.admins.saturating_sub(1);
        member.role = Role::Member;
        self.unlist(kind, id, Listing::Admins, user)?;
        self.put_member_row(kind, id, user, &member)?;
        self.put_channel_row(kind, id, &channel)
    }

    /// Mutes up to 60 members, or lifts that, and says of each until when, or why not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::Limit`] over 60,
    /// [`ErrorKind::Argument`] for one twice; nobody was muted.
    pub fn mute_members(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        users: &[UserId],
        how: MuteFor,
    ) -> Result<Vec<Result<Option<MuteEnd>>>> {
        let now = self.scope.now;
        let until = how.end(now, &self.scope.limits)?;
        self.each_member(kind, id, users, |editor, user| {
            let (_, mut member) = editor.simple_member(kind, id, user)?;
            member.muted_until = until;
            match until {
                Some(until) => editor.list(kind, id, Listing::Muted, user, &until)?,
                None => editor.unlist(kind, id, Listing::Muted, user)?,
            }
            editor.put_member_row(kind, id, user, &member)?;
            Ok(until)
        })
    }

    /// Puts up to 60 members on the block list, by which they leave, and says of each how it went.
    ///
    /// # Errors
    ///
    /// As [`mute_members`](Self::mute_members).
    pub fn block_members(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        users: &[UserId],
    ) -> Result<Vec<Result<()>>> {
        self.each_member(kind, id, users, |editor, user| {
            editor.remove_member(kind, id, user)?;
            let now = editor.scope.now;
            editor.list(kind, id, Listing::Blocked, user, &now)
        })
    }

    /// Takes up to 60 users off the block list, and says of each how it went. They do not come back by that.
    ///
    /// # Errors
    ///
    /// As [`mute_members`](Self::mute_members).
    pub fn unblock_members(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        users: &[UserId],
    ) -> Result<Vec<Result<()>>> {
        self.each_member(kind, id, users, |editor, user| {
            if !editor.directory().is_blocked(kind, id, user)? {
                return Err(ErrorKind::NotListed(user.clone()).into());
            }
            editor.unlist(kind, id, Listing::Blocked, user)
        })
    }

    /// Puts up to 60 members on the allow list, or takes them off, and says of each how it went.
    ///
    /// # Errors
    ///
    /// As [`mute_members`](Self::mute_members).
    pub fn allow_members(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        users: &[UserId],
        is_allowed: bool,
    ) -> Result<Vec<Result<()>>> {
        self.each_member(kind, id, users, |editor, user| {
            let mut member = editor.directory().member_row(kind, id, user)?;
            if !is_allowed && !member.is_allowed {
                return Err(ErrorKind::NotListed(user.clone()).into());
            }
            member.is_allowed = is_allowed;
            if is_allowed {
                let now = editor.scope.now;
                editor.list(kind, id, Listing::Allowed, user, &now)?;
            } else {
                editor.unlist(kind, id, Listing::Allowed, user)?;
            }
            editor.put_member_row(kind, id, user, &member)
        })
    }

    /// Carries out a change for each of up to 60 users.
    fn each_member<T>(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        users: &[UserId],
        mut change: impl FnMut(&mut Editor<'_, '_>, &UserId) -> Result<T>,
    ) -> Result<Vec<Result<T>>> {
        self.scope
            .limits
            .check(Limit::MemberBatch, users.len() as u64)?;
        each_once(users.iter())?;
        self.open_channel(kind, id)?;
        let one = |user| self.attempt(|editor| change(editor, user));
        Ok(users.iter().map(one).collect())
    }

    /// A member who is not the owner, of a group or chatroom that may be changed.
    fn simple_member(
        &self,
        kind: ChannelKind,
        id: &ResourceId,
        user: &UserId,
    ) -> Result<(ChannelRow, MemberRow)> {
        let channel = self.open_channel(kind, id)?;
        let member = self.directory().member_row(kind, id, user)?;
        if member.role == Role::Owner {
            return Err(ErrorKind::IsOwner(user.clone()).into());
        }
        Ok((channel, member))
    }

    /// Takes a member off all lists of members; his row and the channel's have to be written afterwards.
    pub(super) fn unlist_member(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        channel: &mut ChannelRow,
        user: &UserId,
        member: &mut MemberRow,
    ) -> Result<()> {
        if member.role == Role::Admin {
            channel.admins = channel.admins.saturating_sub(1);
            self.unlist(kind, id, Listing::Admins, user)?;
            member.role = Role::Member;
        }
        if member.muted_until.take().is_some() {
            self.unlist(kind, id, Listing::Muted, user)?;
        }
        if std::mem::take(&mut member.is_allowed) {
            self.unlist(kind, id, Listing::Allowed, user)?;
        }
        Ok(())
    }

    fn list<T: bincode::Encode>(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        listing: Listing,
        user: &UserId,
        row: &T,
    ) -> Result<()> {
        let key = list_prefix(self.scope.app, kind, id, listing).name(user.as_str());
        Ok(self.rows.put(CHANNEL_LISTS, key, row)?)
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "stands where its counterpart can fail"
    )]
    pub(super) fn unlist(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        listing: Listing,
        user: &UserId,
    ) -> Result<()> {
        let key = list_prefix(self.scope.app, kind, id, listing).name(user.as_str());
        self.rows.delete(CHANNEL_LISTS, key);
        Ok(())
    }
}
