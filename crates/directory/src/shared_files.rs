//! Shared files of groups: attachments that live as long as they are shared.
//!
//! An attachment is kept alive by a pin in the store of attachments, which is another part of the store. So that a crash
//! between the two leaves no pin behind, a row in `UNPINS` says that the pin is to be taken back: it is written before the
//! pin is set and removed with the file's row, and written again with the end of that. Who opens the store takes back what
//! the rows name.

use tidestore_disk::Millis;
use tidestore_kv::{Key, Rows, decode_row, page_of, row};
use tidestore_plan::{AppId, AttachmentId, Limit, ResourceId, UserId};

use crate::ChannelKind;
use crate::channels::{ChannelRow, parse_id};
use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::{SHARED_FILE_IDS, SHARED_FILES, UNPINS, key_of};
use crate::users::parse_user;

/// In `UNPINS`: the pin is to be taken back unless the file's row comes.
const DUE: u8 = 0;
/// In `UNPINS`: the pin is being taken back.
const TAKEN: u8 = 1;

/// A shared file as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct SharedFileRow {
    attachment: [u8; 16],
    name: String,
    owner: String,
    size: u64,
    created: Millis,
}

/// A shared file of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// What is in it.
    pub attachment: AttachmentId,
    /// What people call it.
    pub name: String,
    /// Who shares it; was a member when he did.
    pub owner: UserId,
    /// Its bytes.
    pub size: u64,
    /// Since when.
    pub created: Millis,
}

impl SharedFileRow {
    fn file(self) -> Result<SharedFile> {
        Ok(SharedFile {
            attachment: AttachmentId::from_bytes(self.attachment),
            name: self.name,
            owner: parse_user(&self.owner)?,
            size: self.size,
            created: self.created,
        })
    }
}

/// Pins of all apps that are to be taken back, at most `limit`: the attachment, and the group that shared it.
///
/// # Errors
///
/// [`ErrorKind::Tables`] if they cannot be read.
pub fn unpins(
    rows: &(impl Rows + ?Sized),
    limit: usize,
) -> Result<Vec<(AppId, AttachmentId, ResourceId)>> {
    unpins_below(rows, b"", limit)
}

fn unpins_below(
    rows: &(impl Rows + ?Sized),
    prefix: &[u8],
    limit: usize,
) -> Result<Vec<(AppId, AttachmentId, ResourceId)>> {
    let mut unpins = Vec::new();
    for (key, _) in page_of(rows, UNPINS, prefix, None, false, limit)? {
        let parts = key.split_first_chunk::<4>().and_then(|(app, rest)| {
            let (attachment, group) = rest.split_first_chunk::<16>()?;
            Some((*app, *attachment, std::str::from_utf8(group).ok()?))
        });
        if let Some((app, attachment, group)) = parts {
            let app = AppId(u32::from_be_bytes(app));
            unpins.push((app, AttachmentId::from_bytes(attachment), parse_id(group)?));
        }
    }
    Ok(unpins)
}

/// Pins of one app that are to be taken back, at most `limit`.
///
/// # Errors
///
/// [`ErrorKind::Tables`] if they cannot be read.
pub fn unpins_of(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    limit: usize,
) -> Result<Vec<(AttachmentId, ResourceId)>> {
    let unpins = unpins_below(rows, key_of(app).bytes(), limit)?;
    Ok(unpins
        .into_iter()
        .map(|(_, id, group)| (id, group))
        .collect())
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// A page of a group's shared files, newest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::Cursor`].
    pub fn shared_files(
        &self,
        group: &ResourceId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<SharedFile>> {
        self.channel_row(ChannelKind::Group, group)?;
        let prefix = key_of(self.app).names(group.as_str());
        let list = List {
            table: SHARED_FILES,
            prefix: prefix.bytes(),
            newest_first: true,
        };
        list.page(self.rows, cursor, limit)?
            .try_map(|(key, value)| {
                let row: SharedFileRow = decode_row(SHARED_FILES, &key, &value)?;
                row.file()
            })
    }

    /// Finds a shared file of a group.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::FileNotFound`].
    pub fn shared_file(&self, group: &ResourceId, attachment: AttachmentId) -> Result<SharedFile> {
        self.channel_row(ChannelKind::Group, group)?;
        self.file_row(group, attachment)?.1.file()
    }

    fn file_row(
        &self,
        group: &ResourceId,
        attachment: AttachmentId,
    ) -> Result<(u64, SharedFileRow)> {
        let place = file_id(self.app, group, attachment);
        let serial: Option<u64> = row(self.rows, SHARED_FILE_IDS, place.bytes())?;
        let serial = serial.ok_or(ErrorKind::FileNotFound)?;
        let key = key_of(self.app).names(group.as_str()).number(serial);
        let found = row(self.rows, SHARED_FILES, key.bytes())?;
        Ok((serial, found.ok_or(ErrorKind::FileNotFound)?))
    }
}

impl Editor<'_, '_> {
    /// Says that an attachment is about to be pinned for a group: should nothing come of it, the pin is taken back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::NotMember`] if its owner is not in the
    /// group; [`ErrorKind::Limit`] if the group shares as many files as it may; [`ErrorKind::Argument`] if it shares this
    /// one already.
    pub fn intend_pin(
        &mut self,
        group: &ResourceId,
        owner: &UserId,
        attachment: AttachmentId,
    ) -> Result<()> {
        self.check_share(group, owner, attachment)?;
        let key = unpin(self.scope.app, group, attachment);
        Ok(self.rows.put(UNPINS, key, &DUE)?)
    }

    /// Shares an attachment that is pinned.
    ///
    /// # Errors
    ///
    /// As [`intend_pin`](Self::intend_pin).
    pub fn share_file(&mut self, group: &ResourceId, file: SharedFile) -> Result<()> {
        let mut channel = self.check_share(group, &file.owner, file.attachment)?;
        let intent = unpin(self.scope.app, group, file.attachment);
        if self.rows.get(UNPINS, intent.bytes())? != Some(DUE) {
            // Somebody has taken the pin back already, or is about to.
            return Err(ErrorKind::FileNotFound.into());
        }
        let serial = self.next_serial()?;
        let row = SharedFileRow {
            attachment: file.attachment.to_bytes(),
            name: file.name,
            owner: file.owner.as_str().to_owned(),
            size: file.size,
            created: file.created,
        };
        let app = self.scope.app;
        let key = key_of(app).names(group.as_str()).number(serial);
        self.rows.put(SHARED_FILES, key, &row)?;
        let place = file_id(app, group, file.attachment);
        self.rows.put(SHARED_FILE_IDS, place, &serial)?;
        self.rows.delete(UNPINS, intent);
        channel.files += 1;
        self.put_channel_row(ChannelKind::Group, group, &channel)
    }

    fn check_share(
        &self,
        group: &ResourceId,
        owner: &UserId,
        attachment: AttachmentId,
    ) -> Result<ChannelRow> {
        let channel = self.open_channel(ChannelKind::Group, group)?;
        self.directory()
            .member_row(ChannelKind::Group, group, owner)?;
        let would_be = u64::from(channel.files) + 1;
        self.scope.limits.check(Limit::SharedFiles, would_be)?;
        let place = file_id(self.scope.app, group, attachment);
        if self
            .rows
            .bytes_of(SHARED_FILE_IDS, place.bytes())?
            .is_some()
        {
            let text = format!("the group {group} shares {attachment} already");
            return Err(Error::argument(text));
        }
        Ok(channel)
    }

    /// Ends the sharing of a file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::FileNotFound`].
    pub fn unshare_file(&mut self, group: &ResourceId, attachment: AttachmentId) -> Result<()> {
        let mut channel = self.open_channel(ChannelKind::Group, group)?;
        let (serial, _) = self.directory().file_row(group, attachment)?;
        self.drop_file(group, &mut channel, serial, attachment)?;
        self.put_channel_row(ChannelKind::Group, group, &channel)
    }

    fn drop_file(
        &mut self,
        group: &ResourceId,
        channel: &mut ChannelRow,
        serial: u64,
        attachment: AttachmentId,
    ) -> Result<()> {
        let app = self.scope.app;
        let key = key_of(app).names(group.as_str()).number(serial);
        self.rows.delete(SHARED_FILES, key);
        self.rows
            .delete(SHARED_FILE_IDS, file_id(app, group, attachment));
        channel.files = channel.files.saturating_sub(1);
        Ok(self.rows.put(UNPINS, unpin(app, group, attachment), &DUE)?)
    }

    /// Ends the sharing of files until `budget` rows are used up. Says whether none is left.
    pub(crate) fn unshare_all(
        &mut self,
        group: &ResourceId,
        channel: &mut ChannelRow,
        budget: &mut usize,
    ) -> Result<bool> {
        let prefix = key_of(self.scope.app).names(group.as_str());
        let most = (*budget / 3).max(1);
        let page = page_of(&*self.rows, SHARED_FILES, prefix.bytes(), None, false, most)?;
        let done = page.len() < most;
        *budget = budget.saturating_sub(3 * page.len());
        for (key, value) in page {
            let row: SharedFileRow = decode_row(SHARED_FILES, &key, &value)?;
            let serial = crate::tables::number_behind(&key, prefix.bytes()).unwrap_or_default();
            let attachment = AttachmentId::from_bytes(row.attachment);
            self.drop_file(group, channel, serial, attachment)?;
        }
        Ok(done)
    }

    /// Says that a pin is about to be taken back: from now on it is too late to share what it holds. Answers whether it is
    /// to be taken back at all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`] if that cannot be read.
    pub fn take_unpin(&mut self, group: &ResourceId, attachment: AttachmentId) -> Result<bool> {
        let key = unpin(self.scope.app, group, attachment);
        if self.rows.bytes_of(UNPINS, key.bytes())?.is_none() {
            return Ok(false);
        }
        self.rows.put(UNPINS, key, &TAKEN)?;
        Ok(true)
    }

    /// Says that a pin was taken back.
    pub fn unpinned(&mut self, group: &ResourceId, attachment: AttachmentId) {
        let key = unpin(self.scope.app, group, attachment);
        self.rows.delete(UNPINS, key);
    }
}

fn file_id(app: AppId, group: &ResourceId, attachment: AttachmentId) -> Key {
    key_of(app)
        .names(group.as_str())
        .raw(&attachment.to_bytes())
}

fn unpin(app: AppId, group: &ResourceId, attachment: AttachmentId) -> Key {
    key_of(app).raw(&attachment.to_bytes()).name(group.as_str())
}
