//! Groups and chatrooms: making, changing, banning.
//!
//! Both follow one set of rules; where they differ, [`Rules`] says how.

mod deletion;
mod lists;
pub(crate) mod members;
mod recount;
mod row;

use tidestore_disk::Millis;
use tidestore_kv::{Rows, decode_row};
use tidestore_plan::{CapKind, Caps, Limit, ResourceId, UserId};

use crate::ChannelKind;
use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::{CHANNELS, CHANNELS_BY_AGE, MEMBERSHIPS, key_of};
use crate::users::parse_user;

pub use deletion::going_channels;
pub(crate) use lists::is_list_of_muted;
pub(crate) use members::MemberRow;
pub use members::{Member, Role};
pub(crate) use row::ChannelRow;

/// A group or chatroom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings of the service"
)]
pub struct Channel {
    /// Which of the two.
    pub kind: ChannelKind,
    /// The id.
    pub id: ResourceId,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Anything the app wants to keep with it.
    pub extension: String,
    /// Who owns it; a member.
    pub owner: UserId,
    /// When it was created.
    pub created: Millis,
    /// When it was last changed, members aside.
    pub modified: Millis,
    /// For how many members it is made; the plan may allow fewer.
    pub max_users: u32,
    /// Whether it can be found by those who are not in it.
    pub is_public: bool,
    /// Whether joining needs a word of the owner or an admin.
    pub members_only: bool,
    /// Whether members may invite others.
    pub allow_invites: bool,
    /// Whether somebody who is invited is asked first.
    pub invite_needs_confirm: bool,
    /// Whether it is banned.
    pub is_disabled: bool,
    /// Whether everybody is muted but the owner, admins and those on the allow list.
    pub is_muted: bool,
    /// How many members it has, the owner included.
    pub members: u64,
    /// How many admins it has beside the owner.
    pub admins: u64,
}

/// A group or chatroom to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings of the service"
)]
pub struct NewChannel {
    /// The id; free among those of its kind.
    pub id: ResourceId,
    /// Who will own it.
    pub owner: UserId,
    /// Who else will be in it, at most 100.
    pub members: Vec<UserId>,
    /// What people call it, at most 128 characters.
    pub name: String,
    /// What it is for, at most 512 characters.
    pub description: String,
    /// Anything, at most 1,024 characters.
    pub extension: String,
    /// For how many members; 200 for a group and 1,000 for a chatroom if nothing is said.
    pub max_users: Option<u32>,
    /// Whether it can be found by those who are not in it.
    pub is_public: bool,
    /// Whether joining needs a word of the owner or an admin.
    pub members_only: bool,
    /// Whether members may invite others.
    pub allow_invites: bool,
    /// Whether somebody who is invited is asked first.
    pub invite_needs_confirm: bool,
}

impl NewChannel {
    /// One with an owner and nothing else.
    pub fn new(id: ResourceId, owner: UserId) -> Self {
        Self {
            id,
            owner,
            members: Vec::new(),
            name: String::new(),
            description: String::new(),
            extension: String::new(),
            max_users: None,
            is_public: true,
            members_only: false,
            allow_invites: false,
            invite_needs_confirm: false,
        }
    }
}

/// What is to change of a group or chatroom; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Anything.
    pub extension: Option<String>,
    /// For how many members. Fewer than there are is possible: then nobody can join.
    pub max_users: Option<u32>,
    /// Whether it can be found.
    pub is_public: Option<bool>,
    /// Whether joining needs a word.
    pub members_only: Option<bool>,
    /// Whether members may invite.
    pub allow_invites: Option<bool>,
    /// Whether somebody who is invited is asked first.
    pub invite_needs_confirm: Option<bool>,
}

/// How groups and chatrooms differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    name: Limit,
    description: Limit,
    extension: Limit,
    default_users: Limit,
    /// Caps: how many there may be, members in each, and how many a user may join.
    all: CapKind,
    pub(crate) members: CapKind,
    pub(crate) per_user: CapKind,
    /// The most members to ask for, beside the plan's cap.
    max_users: Option<Limit>,
    pub(crate) removals: Limit,
}

impl ChannelKind {
    pub(crate) const fn rules(self) -> Rules {
        match self {
            Self::Group => Rules {
                name: Limit::GroupName,
                description: Limit::GroupDescription,
                extension: Limit::GroupExtension,
                default_users: Limit::GroupMaxUsersDefault,
                all: CapKind::Groups,
                members: CapKind::GroupMembers,
                per_user: CapKind::GroupsPerUser,
                max_users: None,
                removals: Limit::MemberBatch,
            },
            Self::Room => Rules {
                name: Limit::RoomName,
                description: Limit::RoomDescription,
                extension: Limit::RoomExtension,
                default_users: Limit::RoomMaxUsersDefault,
                all: CapKind::Rooms,
                members: CapKind::RoomMembers,
                per_user: CapKind::RoomsPerUser,
                max_users: Some(Limit::RoomMaxUsers),
                removals: Limit::RoomMemberRemovals,
            },
        }
    }
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Finds a group or chatroom.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`].
    pub fn channel(&self, kind: ChannelKind, id: &ResourceId) -> Result<Channel> {
        self.channel_row(kind, id)?.channel(kind, id.clone())
    }

    /// A page of groups or chatrooms, newest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cursor`].
    pub fn channels(
        &self,
        kind: ChannelKind,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Channel>> {
        let prefix = key_of(self.app).byte(kind.byte());
        self.channels_in(
            kind,
            List {
                table: CHANNELS_BY_AGE,
                prefix: prefix.bytes(),
                newest_first: true,
            },
            cursor,
            limit,
        )
    }

    /// A page of the groups or chatrooms that a user is in, the last joined first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`], [`ErrorKind::Cursor`].
    pub fn joined(
        &self,
        user: &UserId,
        kind: ChannelKind,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Channel>> {
        self.user_row(user)?;
        let prefix = key_of(self.app).byte(kind.byte()).names(user.as_str());
        self.channels_in(
            kind,
            List {
                table: MEMBERSHIPS,
                prefix: prefix.bytes(),
                newest_first: true,
            },
            cursor,
            limit,
        )
    }

    /// The ids of all groups or chatrooms that a user is in, without looking at them; none for one who is not registered.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`] if they cannot be read.
    pub fn joined_ids(&self, user: &UserId, kind: ChannelKind) -> Result<Vec<ResourceId>> {
        let prefix = key_of(self.app).byte(kind.byte()).names(user.as_str());
        ids_in(self.rows, MEMBERSHIPS, prefix.bytes())
    }

    fn channels_in(
        &self,
        kind: ChannelKind,
        list: List<'_>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Channel>> {
        list.page_where(self.rows, cursor, limit, |key, value| {
            let id: String = decode_row(list.table, key, value)?;
            // One whose deletion has begun still stands in the lists.
            match self.channel(kind, &parse_id(&id)?) {
                Err(error) if matches!(error.kind(), ErrorKind::ChannelNotFound(..)) => Ok(None),
                channel => channel.map(Some),
            }
        })
    }

    /// The announcement; empty if there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`].
    pub fn announcement(&self, kind: ChannelKind, id: &ResourceId) -> Result<String> {
        Ok(self.channel_row(kind, id)?.announcement)
    }
}

/// The ids that a list holds as its values.
pub(crate) fn ids_in(
    rows: &(impl Rows + ?Sized),
    table: tidestore_kv::Table,
    prefix: &[u8],
) -> Result<Vec<ResourceId>> {
    let mut ids = Vec::new();
    tidestore_kv::each_row(rows, table, prefix, |key, value| {
        let id: String = decode_row(table, key, value)?;
        ids.push(parse_id(&id)?);
        Ok::<_, Error>(true)
    })?;
    Ok(ids)
}

impl Editor<'_, '_> {
    /// Creates a group or chatroom.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelExists`], [`ErrorKind::UserNotFound`]; [`ErrorKind::Limit`] if the plan has no place for it, for
    /// so many members or for one of them in one more, or a text is too long.
    pub fn create_channel(&mut self, kind: ChannelKind, new: NewChannel) -> Result<Channel> {
        let rules = kind.rules();
        let limits = &self.scope.limits;
        limits.check(Limit::GroupFounders, new.members.len() as u64)?;
        let place = key_of(self.scope.app)
            .byte(kind.byte())
            .name(new.id.as_str());
        if self.rows.bytes_of(CHANNELS, place.bytes())?.is_some() {
            return Err(ErrorKind::ChannelExists(kind, new.id).into());
        }
        let counters = self.directory().counters()?;
        let others = match kind {
            ChannelKind::Group => counters.groups,
            ChannelKind::Room => counters.rooms,
        };
        self.scope.caps.check(rules.all, others + 1)?;
        let serial = self.count(|counters| {
            *counters.channels(kind) += 1;
            counters.next_serial()
        })?;
        let default = u32::try_from(limits.max(rules.default_users)).unwrap_or(u32::MAX);
        let mut row = ChannelRow {
            serial,
            created: self.scope.now,
            owner: new.owner.as_str().to_owned(),
            max_users: default,
            ..ChannelRow::default()
        };
        let change = ChannelChange {
            name: Some(new.name),
            description: Some(new.description),
            extension: Some(new.extension),
            max_users: new.max_users,
            is_public: Some(new.is_public),
            members_only: Some(new.members_only),
            allow_invites: Some(new.allow_invites),
            invite_needs_confirm: Some(new.invite_needs_confirm),
        };
        self.apply_change(kind, &mut row, change)?;
        let by_age = key_of(self.scope.app).byte(kind.byte()).number(serial);
        let name = new.id.as_str().to_owned();
        self.rows.put(CHANNELS_BY_AGE, by_age, &name)?;
        self.join(kind, &new.id, &mut row, &new.owner, Role::Owner)?;
        let mut founders = new.members;
        founders.sort_unstable();
        founders.dedup();
        for member in founders.iter().filter(|member| **member != new.owner) {
            self.join(kind, &new.id, &mut row, member, Role::Member)?;
        }
        self.put_channel_row(kind, &new.id, &row)?;
        row.channel(kind, new.id)
    }

    /// Changes name, description, extension and settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::Limit`].
    pub fn change_channel(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        change: ChannelChange,
    ) -> Result<Channel> {
        let mut row = self.open_channel(kind, id)?;
        self.apply_change(kind, &mut row, change)?;
        self.put_channel_row(kind, id, &row)?;
        row.channel(kind, id.clone())
    }

    fn apply_change(
        &self,
        kind: ChannelKind,
        row: &mut ChannelRow,
        change: ChannelChange,
    ) -> Result<()> {
        let rules = kind.rules();
        let texts = [
            (rules.name, change.name, &mut row.name),
            (rules.description, change.description, &mut row.description),
            (rules.extension, change.extension, &mut row.extension),
        ];
        for (limit, change, text) in texts {
            if let Some(change) = change {
                self.scope.limits.check_text(limit, &change)?;
                *text = change;
            }
        }
        if let Some(max_users) = change.max_users {
            if max_users == 0 {
                return Err(Error::argument(
                    "a group or chatroom for nobody; ask for at least 1",
                ));
            }
            if let Some(limit) = rules.max_users {
                self.scope.limits.check(limit, max_users.into())?;
            }
            self.scope.caps.check(rules.members, max_users.into())?;
            row.max_users = max_users;
        }
        let flags = [
            (change.is_public, &mut row.is_public),
            (change.members_only, &mut row.members_only),
            (change.allow_invites, &mut row.allow_invites),
            (change.invite_needs_confirm, &mut row.invite_needs_confirm),
        ];
        for (change, flag) in flags {
            *flag = change.unwrap_or(*flag);
        }
        row.modified = self.scope.now;
        Ok(())
    }

    /// Bans a group or chatroom: nobody can send to it or change it. Again is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`].
    pub fn disable(&mut self, kind: ChannelKind, id: &ResourceId) -> Result<()> {
        let mut row = self.directory().channel_row(kind, id)?;
        row.is_disabled = true;
        self.put_channel_row(kind, id, &row)
    }

    /// Takes a ban back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`].
    pub fn enable(&mut self, kind: ChannelKind, id: &ResourceId) -> Result<()> {
        let mut row = self.directory().channel_row(kind, id)?;
        row.is_disabled = false;
        self.put_channel_row(kind, id, &row)
    }

    /// Sets the announcement, at most 512 characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::Limit`].
    pub fn set_announcement(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        text: &str,
    ) -> Result<()> {
        self.scope.limits.check_text(Limit::Announcement, text)?;
        let mut row = self.open_channel(kind, id)?;
        text.clone_into(&mut row.announcement);
        self.put_channel_row(kind, id, &row)
    }

    /// Mutes everybody but the owner, admins and those on the allow list, or lifts that. The mutes of single members stay
    /// as they are.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`].
    pub fn set_mute_all(&mut self, kind: ChannelKind, id: &ResourceId, muted: bool) -> Result<()> {
        let mut row = self.open_channel(kind, id)?;
        row.is_muted = muted;
        self.put_channel_row(kind, id, &row)
    }

    /// Gives a group or chatroom to another member; the owner so far stays as a member.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::NotMember`], [`ErrorKind::IsOwner`] if
    /// it is his already.
    pub fn set_owner(&mut self, kind: ChannelKind, id: &ResourceId, to: &UserId) -> Result<()> {
        let mut row = self.open_channel(kind, id)?;
        let mut next = self.directory().member_row(kind, id, to)?;
        if next.role == Role::Owner {
            return Err(ErrorKind::IsOwner(to.clone()).into());
        }
        let owner = parse_user(&row.owner)?;
        let mut last = self.directory().member_row(kind, id, &owner)?;
        last.role = Role::Member;
        self.put_member_row(kind, id, &owner, &last)?;
        self.unlist_member(kind, id, &mut row, to, &mut next)?;
        next.role = Role::Owner;
        self.put_member_row(kind, id, to, &next)?;
        to.as_str().clone_into(&mut row.owner);
        self.put_channel_row(kind, id, &row)
    }

    /// The row of a group or chatroom that may be changed.
    pub(crate) fn open_channel(&self, kind: ChannelKind, id: &ResourceId) -> Result<ChannelRow> {
        let row = self.directory().channel_row(kind, id)?;
        if row.is_disabled {
            return Err(ErrorKind::ChannelDisabled(kind, id.clone()).into());
        }
        Ok(row)
    }
}

/// The plan's caps, with that on members lowered to what the group or chatroom is made for.
pub(crate) fn caps_for(caps: &Caps, kind: ChannelKind, max_users: u32) -> Caps {
    let mut caps = *caps;
    let members = match kind {
        ChannelKind::Group => &mut caps.group_members,
        ChannelKind::Room => &mut caps.room_members,
    };
    let own = u64::from(max_users);
    *members = Some(members.map_or(own, |cap| cap.min(own)));
    caps
}

/// A name that this crate wrote.
pub(crate) fn parse_id(text: &str) -> Result<ResourceId> {
    ResourceId::parse(text)
        .map_err(|_| Error::damaged(format!("{text:?} stands where a group or chatroom should")))
}
