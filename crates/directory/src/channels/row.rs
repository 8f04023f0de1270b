//! The row of a group or chatroom.

use tidestore_disk::Millis;
use tidestore_kv::{Rows, row};
use tidestore_plan::ResourceId;

use crate::ChannelKind;
use crate::channels::Channel;
use crate::directory::{Directory, Editor};
use crate::error::{ErrorKind, Result};
use crate::tables::{CHANNELS, key_of};
use crate::users::parse_user;

/// A group or chatroom as it is stored, with how many of everything it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings of the service"
)]
pub(crate) struct ChannelRow {
    pub(crate) serial: u64,
    pub(crate) created: Millis,
    pub(crate) modified: Millis,
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) extension: String,
    pub(crate) announcement: String,
    pub(crate) max_users: u32,
    pub(crate) is_public: bool,
    pub(crate) members_only: bool,
    pub(crate) allow_invites: bool,
    pub(crate) invite_needs_confirm: bool,
    pub(crate) is_disabled: bool,
    pub(crate) is_muted: bool,
    /// Its deletion has begun: nobody finds it any more.
    pub(crate) is_going: bool,
    pub(crate) members: u32,
    pub(crate) admins: u32,
    pub(crate) files: u32,
}

impl ChannelRow {
    pub(crate) fn channel(&self, kind: ChannelKind, id: ResourceId) -> Result<Channel> {
        Ok(Channel {
            kind,
            id,
            name: self.name.clone(),
            description: self.description.clone(),
            extension: self.extension.clone(),
            owner: parse_user(&self.owner)?,
            created: self.created,
            modified: self.modified,
            max_users: self.max_users,
            is_public: self.is_public,
            members_only: self.members_only,
            allow_invites: self.allow_invites,
            invite_needs_confirm: self.invite_needs_confirm,
            is_disabled: self.is_disabled,
            is_muted: self.is_muted,
            members: self.members.into(),
            admins: self.admins.into(),
        })
    }
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// The row of a group or chatroom that exists; one whose deletion has begun does not.
    pub(crate) fn channel_row(&self, kind: ChannelKind, id: &ResourceId) -> Result<ChannelRow> {
        let found = self.any_channel_row(kind, id)?;
        let found = found.filter(|row| !row.is_going);
        found.ok_or_else(|| ErrorKind::ChannelNotFound(kind, id.clone()).into())
    }

    pub(crate) fn any_channel_row(
        &self,
        kind: ChannelKind,
        id: &ResourceId,
    ) -> Result<Option<ChannelRow>> {
        let key = key_of(self.app).byte(kind.byte()).name(id.as_str());
        Ok(row(self.rows, CHANNELS, key.bytes())?)
    }
}

impl Editor<'_, '_> {
    pub(crate) fn put_channel_row(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        row: &ChannelRow,
    ) -> Result<()> {
        let key = key_of(self.scope.app).byte(kind.byte()).name(id.as_str());
        Ok(self.rows.put(CHANNELS, key, row)?)
    }
}
