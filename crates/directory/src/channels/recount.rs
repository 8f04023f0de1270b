//! Counting groups, chatrooms and members again.

use tidestore_kv::{Key, Rows, Table, decode_row, each_row, row};
use tidestore_plan::{ResourceId, UserId};

use crate::ChannelKind;
use crate::channels::lists::{Listing, lists_prefix};
use crate::channels::members::members_prefix;
use crate::channels::{ChannelRow, MemberRow, Role, parse_id};
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::tables::{
    CHANNEL_LISTS, CHANNELS, CHANNELS_BY_AGE, MEMBERS, MEMBERSHIPS, SHARED_FILES, USERS, key_of,
    name_behind,
};
use crate::users::{UserRow, parse_user};

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Counts groups, chatrooms, their members and shared files again, and compares both directions of every index.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if they cannot be read.
    pub(crate) fn recount_channels(&self, problems: &mut Vec<String>) -> Result<()> {
        let counters = self.counters()?;
        for (kind, counted) in [
            (ChannelKind::Group, counters.groups),
            (ChannelKind::Room, counters.rooms),
        ] {
            let prefix = key_of(self.app).byte(kind.byte());
            let mut found = 0;
            each_row(self.rows, CHANNELS, prefix.bytes(), |key, value| {
                found += 1;
                let id = parse_id(name_behind(key, prefix.bytes()).unwrap_or_default())?;
                let channel: ChannelRow = decode_row(CHANNELS, key, value)?;
                self.recount_channel(kind, &id, &channel, problems)?;
                Ok::<_, Error>(true)
            })?;
            let aged = self.count_rows(CHANNELS_BY_AGE, &prefix)?;
            if (found, found) != (aged, counted) {
                problems.push(format!(
                    "there are {found} of kind {kind}, {aged} by creation, and {counted} are counted"
                ));
            }
        }
        self.recount_memberships(problems)
    }

    fn recount_channel(
        &self,
        kind: ChannelKind,
        id: &ResourceId,
        channel: &ChannelRow,
        problems: &mut Vec<String>,
    ) -> Result<()> {
        let by_age = key_of(self.app).byte(kind.byte()).number(channel.serial);
        let named: Option<String> = row(self.rows, CHANNELS_BY_AGE, by_age.bytes())?;
        if named.as_deref() != Some(id.as_str()) {
            problems.push(format!("{kind} {id} is missing in the order of creation"));
        }
        let prefix = members_prefix(self.app, kind, id);
        let (mut members, mut admins, mut listed) = (0, 0, [0; 3]);
        let mut owners = Vec::new();
        each_row(self.rows, MEMBERS, prefix.bytes(), |key, value| {
            let user = parse_user(name_behind(key, prefix.bytes()).unwrap_or_default())?;
            let member: MemberRow = decode_row(MEMBERS, key, value)?;
            members += 1;
            admins += u32::from(member.role == Role::Admin);
            listed[0] += u64::from(member.role == Role::Admin);
            listed[1] += u64::from(member.muted_until.is_some());
            listed[2] += u64::from(member.is_allowed);
            if member.role == Role::Owner {
                owners.push(user.as_str().to_owned());
            }
            let back = key_of(self.app).byte(kind.byte());
            let back = back.names(user.as_str()).number(member.serial);
            let named: Option<String> = row(self.rows, MEMBERSHIPS, back.bytes())?;
            if named.as_deref() != Some(id.as_str()) {
                problems.push(format!("{user} is in {kind} {id} and does not know it"));
            }
            Ok::<_, Error>(true)
        })?;
        let files = if kind == ChannelKind::Group {
            self.count_rows(SHARED_FILES, &key_of(self.app).names(id.as_str()))?
        } else {
            0
        };
        let found = (members, admins, files);
        let counted = (channel.members, channel.admins, u64::from(channel.files));
        // One that is being deleted has lost a part already.
        if found != counted && !channel.is_going {
            problems.push(format!(
                "{kind} {id}: members, admins, files are {found:?}, {counted:?} are counted"
            ));
        }
        if !channel.is_going && owners != [channel.owner.clone()] {
            problems.push(format!(
                "{kind} {id} is owned by {}, not by {owners:?}",
                channel.owner
            ));
        }
        for (list, expected) in [Listing::Admins, Listing::Muted, Listing::Allowed]
            .into_iter()
            .zip(listed)
        {
            let prefix = lists_prefix(self.app, kind, id).byte(list as u8);
            let found = self.count_rows(CHANNEL_LISTS, &prefix)?;
            if found != expected && !channel.is_going {
                problems.push(format!(
                    "{kind} {id}: {found} in the list {list:?}, {expected} by its members"
                ));
            }
        }
        Ok(())
    }

    fn recount_memberships(&self, problems: &mut Vec<String>) -> Result<()> {
        let prefix = key_of(self.app);
        each_row(self.rows, USERS, prefix.bytes(), |key, value| {
            let id = parse_user(name_behind(key, prefix.bytes()).unwrap_or_default())?;
            let user: UserRow = decode_row(USERS, key, value)?;
            for (kind, counted) in [
                (ChannelKind::Group, user.groups),
                (ChannelKind::Room, user.rooms),
            ] {
                let joined = self.recount_joined(kind, &id, problems)?;
                if joined != counted {
                    problems.push(format!(
                        "{id} has joined {joined} of kind {kind}, {counted} are counted"
                    ));
                }
            }
            Ok::<_, Error>(true)
        })
    }

    fn recount_joined(
        &self,
        kind: ChannelKind,
        user: &UserId,
        problems: &mut Vec<String>,
    ) -> Result<u32> {
        let prefix = key_of(self.app).byte(kind.byte()).names(user.as_str());
        let mut joined = 0;
        each_row(self.rows, MEMBERSHIPS, prefix.bytes(), |key, value| {
            joined += 1;
            let id: String = decode_row(MEMBERSHIPS, key, value)?;
            if !self.is_member(kind, &parse_id(&id)?, user)? {
                problems.push(format!("{user} believes to be in {kind} {id}"));
            }
            Ok::<_, Error>(true)
        })?;
        Ok(joined)
    }

    fn count_rows(&self, table: Table, prefix: &Key) -> Result<u64> {
        let mut count = 0;
        each_row(self.rows, table, prefix.bytes(), |_, _| {
            count += 1;
            Ok::<_, Error>(true)
        })?;
        Ok(count)
    }
}
