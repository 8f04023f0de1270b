//! Members of groups and chatrooms.

use tidestore_disk::Millis;
use tidestore_kv::{Key, Rows, decode_row, row};
use tidestore_plan::{Limit, ResourceId, UserId};

use crate::ChannelKind;
use crate::channels::lists::Listing;
use crate::channels::{ChannelRow, caps_for};
use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor, Effect};
use crate::error::{ErrorKind, Result};
use crate::tables::{MEMBERS, MEMBERSHIPS, key_of, name_behind};
use crate::users::{MuteEnd, each_once, parse_user};

/// What somebody may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Role {
    /// Read and write.
    #[default]
    Member,
    /// Also keep order.
    Admin,
    /// Everything; there is exactly one.
    Owner,
}

/// A member as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct MemberRow {
    /// Orders what a user has joined.
    pub(crate) serial: u64,
    pub(crate) joined: Millis,
    pub(crate) role: Role,
    pub(crate) muted_until: Option<MuteEnd>,
    pub(crate) is_allowed: bool,
}

/// A member of a group or chatroom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub user: UserId,
    /// What he may do.
    pub role: Role,
    /// Since when he is in it.
    pub joined: Millis,
    /// Until when he is muted, also if that has passed.
    pub muted_until: Option<MuteEnd>,
    /// Whether he is on the allow list.
    pub is_allowed: bool,
}

impl Member {
    fn of(user: UserId, row: &MemberRow) -> Self {
        Self {
            user,
            role: row.role,
            joined: row.joined,
            muted_until: row.muted_until,
            is_allowed: row.is_allowed,
        }
    }
}

pub(crate) fn members_prefix(
    app: tidestore_plan::AppId,
    kind: ChannelKind,
    id: &ResourceId,
) -> Key {
    key_of(app).byte(kind.byte()).names(id.as_str())
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Finds a member.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::NotMember`].
    pub fn member(&self, kind: ChannelKind, id: &ResourceId, user: &UserId) -> Result<Member> {
        self.channel_row(kind, id)?;
        let row = self.member_row(kind, id, user)?;
        Ok(Member::of(user.clone(), &row))
    }

    /// Whether a user is in a group or chatroom. Costs one row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`] if it cannot be read.
    pub fn is_member(&self, kind: ChannelKind, id: &ResourceId, user: &UserId) -> Result<bool> {
        let key = members_prefix(self.app, kind, id).name(user.as_str());
        Ok(self.rows.bytes(MEMBERS, key.bytes())?.is_some())
    }

    /// A page of members, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::Cursor`].
    pub fn members(
        &self,
        kind: ChannelKind,
        id: &ResourceId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Member>> {
        self.channel_row(kind, id)?;
        let prefix = members_prefix(self.app, kind, id);
        let list = List {
            table: MEMBERS,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        list.page(self.rows, cursor, limit)?
            .try_map(|(key, value)| {
                let row = decode_row(MEMBERS, &key, &value)?;
                let user = parse_user(name_behind(&key, prefix.bytes()).unwrap_or_default())?;
                Ok(Member::of(user, &row))
            })
    }

    pub(crate) fn member_row(
        &self,
        kind: ChannelKind,
        id: &ResourceId,
        user: &UserId,
    ) -> Result<MemberRow> {
        let key = members_prefix(self.app, kind, id).name(user.as_str());
        let found: Option<MemberRow> = row(self.rows, MEMBERS, key.bytes())?;
        found.ok_or_else(|| ErrorKind::NotMember(user.clone()).into())
    }
}

impl Editor<'_, '_> {
    pub(crate) fn put_member_row(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        user: &UserId,
        row: &MemberRow,
    ) -> Result<()> {
        let key = members_prefix(self.scope.app, kind, id).name(user.as_str());
        Ok(self.rows.put(MEMBERS, key, row)?)
    }

    /// Adds a member. Somebody on the block list is taken off it: whoever adds him wants him in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::UserNotFound`],
    /// [`ErrorKind::AlreadyMember`]; [`ErrorKind::Limit`] if there is no place in it, or the user may join no more.
    pub fn add_member(&mut self, kind: ChannelKind, id: &ResourceId, user: &UserId) -> Result<()> {
        let mut channel = self.open_channel(kind, id)?;
        self.join(kind, id, &mut channel, user, Role::Member)?;
        self.put_channel_row(kind, id, &channel)
    }

    /// Adds up to 60 members, and says of each how it went.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::Limit`] over 60,
    /// [`ErrorKind::Argument`] for one twice; nobody was added.
    pub fn add_members(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        users: &[UserId],
    ) -> Result<Vec<Result<()>>> {
        self.add_each(kind, id, users, |editor, user| {
            editor.add_member(kind, id, user)
        })
    }

    /// Adds up to 60 members as [`add_members`](Self::add_members) does, but nobody who is on the block list: whoever asks
    /// may not take him off it.
    ///
    /// # Errors
    ///
    /// As [`add_members`](Self::add_members); each answer also [`ErrorKind::Blocked`].
    pub fn admit_members(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        users: &[UserId],
    ) -> Result<Vec<Result<()>>> {
        self.add_each(kind, id, users, |editor, user| {
            if editor.directory().is_blocked(kind, id, user)? {
                return Err(ErrorKind::Blocked(user.clone()).into());
            }
            editor.add_member(kind, id, user)
        })
    }

    fn add_each(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        users: &[UserId],
        add: impl Fn(&mut Editor<'_, '_>, &UserId) -> Result<()>,
    ) -> Result<Vec<Result<()>>> {
        self.scope
            .limits
            .check(Limit::MemberBatch, users.len() as u64)?;
        each_once(users.iter())?;
        self.open_channel(kind, id)?;
        let one = |user| self.attempt(|editor| add(editor, user));
        Ok(users.iter().map(one).collect())
    }

    /// Removes a member; the owner cannot be.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::NotMember`], [`ErrorKind::IsOwner`].
    pub fn remove_member(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        user: &UserId,
    ) -> Result<()> {
        let mut channel = self.open_channel(kind, id)?;
        let member = self.directory().member_row(kind, id, user)?;
        if member.role == Role::Owner {
            return Err(ErrorKind::IsOwner(user.clone()).into());
        }
        self.part_from(kind, id, &mut channel, user, member)?;
        self.put_channel_row(kind, id, &channel)
    }

    /// Removes several members, and says of each how it went: at most 60 of a group, 100 of a chatroom.
    ///
    /// # Errors
    ///
    /// As [`add_members`](Self::add_members).
    pub fn remove_members(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        users: &[UserId],
    ) -> Result<Vec<Result<()>>> {
        let limit = kind.rules().removals;
        self.scope.limits.check(limit, users.len() as u64)?;
        each_once(users.iter())?;
        self.open_channel(kind, id)?;
        let remove = |user| self.attempt(|editor| editor.remove_member(kind, id, user));
        Ok(users.iter().map(remove).collect())
    }

    /// Lets a user in; the channel's row has to be written afterwards.
    pub(super) fn join(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        channel: &mut ChannelRow,
        user: &UserId,
        role: Role,
    ) -> Result<()> {
        let rules = kind.rules();
        let row = self.directory().user_row(user)?;
        if self.directory().is_member(kind, id, user)? {
            return Err(ErrorKind::AlreadyMember(user.clone()).into());
        }
        let would_be = u64::from(channel.members) + 1;
        let caps = caps_for(&self.scope.caps, kind, channel.max_users);
        caps.check(rules.members, would_be)?;
        let joined = match kind {
            ChannelKind::Group => row.groups,
            ChannelKind::Room => row.rooms,
        };
        caps.check(rules.per_user, u64::from(joined) + 1)?;
        self.unlist(kind, id, Listing::Blocked, user)?;
        let serial = self.next_serial()?;
        let member = MemberRow {
            serial,
            joined: self.scope.now,
            role,
            ..MemberRow::default()
        };
        self.put_member_row(kind, id, user, &member)?;
        let by_user = membership(self, kind, user, serial);
        self.rows
            .put(MEMBERSHIPS, by_user, &id.as_str().to_owned())?;
        channel.members += 1;
        let joined = Effect::Joined(kind, id.clone(), user.clone());
        self.effects.push(joined);
        self.change_user_row(user, |row| match kind {
            ChannelKind::Group => row.groups += 1,
            ChannelKind::Room => row.rooms += 1,
        })
    }

    /// Lets a member go, with all that he is in it; the channel's row has to be written afterwards.
    pub(super) fn part_from(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        channel: &mut ChannelRow,
        user: &UserId,
        mut member: MemberRow,
    ) -> Result<()> {
        self.unlist_member(kind, id, channel, user, &mut member)?;
        if kind == ChannelKind::Group {
            self.leave_threads_of(id, user)?;
        }
        self.drop_member(kind, id, user, &member)?;
        channel.members = channel.members.saturating_sub(1);
        let left = Effect::Left(kind, id.clone(), user.clone());
        self.effects.push(left);
        Ok(())
    }

    /// Removes the rows of a member and nothing else.
    pub(super) fn drop_member(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        user: &UserId,
        member: &MemberRow,
    ) -> Result<()> {
        let key = members_prefix(self.scope.app, kind, id).name(user.as_str());
        self.rows.delete(MEMBERS, key);
        let by_user = membership(self, kind, user, member.serial);
        self.rows.delete(MEMBERSHIPS, by_user);
        self.change_user_row(user, |row| match kind {
            ChannelKind::Group => row.groups = row.groups.saturating_sub(1),
            ChannelKind::Room => row.rooms = row.rooms.saturating_sub(1),
        })
    }
}

fn membership(editor: &Editor<'_, '_>, kind: ChannelKind, user: &UserId, serial: u64) -> Key {
    key_of(editor.scope.app)
        .byte(kind.byte())
        .names(user.as_str())
        .number(serial)
}
