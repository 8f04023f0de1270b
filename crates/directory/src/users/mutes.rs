//! Global mutes: who may not speak anywhere, by kind of conversation, for a time or for good.
//!
//! A mute ends by itself. What has ended reads as if it were not there; its row is cleaned or removed when the mutes of the
//! user are changed the next time, because reading must not write.

use tidestore_disk::Millis;
use tidestore_kv::{Key, Rows, decode_row, row};
use tidestore_plan::{AppId, Limit, Limits, UserId};

use super::user_behind;
use crate::ChannelKind;
use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{ErrorKind, Result};
use crate::tables::{MUTES, key_of};

/// Where a user may not speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MuteKind {
    /// To other users.
    Chat,
    /// In groups.
    GroupChat,
    /// In chatrooms.
    Chatroom,
}

impl From<ChannelKind> for MuteKind {
    fn from(kind: ChannelKind) -> Self {
        match kind {
            ChannelKind::Group => Self::GroupChat,
            ChannelKind::Room => Self::Chatroom,
        }
    }
}

/// When a mute ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum MuteEnd {
    /// At this time, in milliseconds since 1970.
    At(Millis),
    /// Only when it is lifted.
    Never,
}

impl MuteEnd {
    /// Whether it still holds at a time.
    pub fn is_after(self, now: Millis) -> bool {
        match self {
            Self::At(end) => end > now,
            Self::Never => true,
        }
    }

    /// The refusal that it means.
    pub(crate) fn refusal(self) -> ErrorKind {
        match self {
            Self::At(end) => ErrorKind::Muted(Some(end)),
            Self::Never => ErrorKind::Muted(None),
        }
    }
}

/// How long a mute is to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MuteFor {
    /// It ends now.
    Lift,
    /// So many seconds from now; none are the same as [`Lift`](Self::Lift).
    Seconds(u64),
    /// So many milliseconds from now.
    Millis(u64),
    /// Until it is lifted.
    Forever,
}

impl MuteFor {
    /// When it ends; `None` if there is none.
    pub(crate) fn end(self, now: Millis, limits: &Limits) -> Result<Option<MuteEnd>> {
        let millis = match self {
            Self::Lift | Self::Seconds(0) | Self::Millis(0) => return Ok(None),
            Self::Forever => return Ok(Some(MuteEnd::Never)),
            Self::Seconds(seconds) => {
                limits.check(Limit::MuteSeconds, seconds)?;
                seconds.saturating_mul(1_000)
            }
            Self::Millis(millis) => {
                limits.check(Limit::MuteSeconds, millis.div_ceil(1_000))?;
                millis
            }
        };
        Ok(Some(MuteEnd::At(now.saturating_add(millis))))
    }
}

/// A change of mutes; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MuteChange {
    /// To other users.
    pub chat: Option<MuteFor>,
    /// In groups.
    pub groupchat: Option<MuteFor>,
    /// In chatrooms.
    pub chatroom: Option<MuteFor>,
}

/// The mutes of a user; `None` where he may speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mutes {
    /// To other users.
    pub chat: Option<MuteEnd>,
    /// In groups.
    pub groupchat: Option<MuteEnd>,
    /// In chatrooms.
    pub chatroom: Option<MuteEnd>,
}

/// A user who is muted somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutedUser {
    /// Who.
    pub user: UserId,
    /// Where, and until when.
    pub mutes: Mutes,
}

/// The mutes of a user as they are stored, ended ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct MuteRow {
    chat: Option<MuteEnd>,
    groupchat: Option<MuteEnd>,
    chatroom: Option<MuteEnd>,
}

impl Mutes {
    fn at(row: MuteRow, now: Millis) -> Self {
        let open = |end: Option<MuteEnd>| end.filter(|end| end.is_after(now));
        Self {
            chat: open(row.chat),
            groupchat: open(row.groupchat),
            chatroom: open(row.chatroom),
        }
    }

    /// The mute of one kind.
    pub fn get(&self, kind: MuteKind) -> Option<MuteEnd> {
        match kind {
            MuteKind::Chat => self.chat,
            MuteKind::GroupChat => self.groupchat,
            MuteKind::Chatroom => self.chatroom,
        }
    }

    /// Whether he may speak everywhere.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub(super) fn mutes_key(app: AppId, user: &UserId) -> Key {
    key_of(app).name(user.as_str())
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// The mutes of a user that have not ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    pub fn mutes(&self, user: &UserId, now: Millis) -> Result<Mutes> {
        self.user_row(user)?;
        self.open_mutes(user, now)
    }

    /// Users with a mute that has not ended, in the order of their ids. A page may hold fewer than `limit`, or none, though
    /// another follows: those whose mutes have all ended are left out, and one call does not walk over any number of them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cursor`] if the cursor is not one of this list.
    pub fn muted_users(
        &self,
        cursor: Option<&str>,
        limit: usize,
        now: Millis,
    ) -> Result<Page<MutedUser>> {
        let prefix = key_of(self.app);
        let list = List {
            table: MUTES,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        let page = list.page(self.rows, cursor, limit)?;
        let mut page = page.try_map(|(key, value)| {
            let user = user_behind(MUTES, &key, prefix.bytes())?;
            let mutes = Mutes::at(decode_row(MUTES, &key, &value)?, now);
            Ok(MutedUser { user, mutes })
        })?;
        page.items.retain(|muted| !muted.mutes.is_empty());
        Ok(page)
    }

    /// Refuses a user who is muted in conversations of a kind. One read; a user who does not exist is not muted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Muted`] says until when.
    pub fn global_mute(&self, user: &UserId, kind: impl Into<MuteKind>, now: Millis) -> Result<()> {
        match self.open_mutes(user, now)?.get(kind.into()) {
            None => Ok(()),
            Some(end) => Err(end.refusal().into()),
        }
    }

    fn open_mutes(&self, user: &UserId, now: Millis) -> Result<Mutes> {
        let key = mutes_key(self.app, user);
        let found: Option<MuteRow> = row(self.rows, MUTES, key.bytes())?;
        Ok(Mutes::at(found.unwrap_or_default(), now))
    }
}

impl Editor<'_, '_> {
    /// Changes the mutes of a user. Answers those that he has now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`]; [`ErrorKind::Limit`] for more seconds than a mute may last.
    pub fn set_mutes(&mut self, user: &UserId, change: MuteChange) -> Result<Mutes> {
        let (limits, now) = (&self.scope.limits, self.scope.now);
        let before = self.directory().mutes(user, now)?;
        let row = MuteRow {
            chat: changed(before.chat, change.chat, limits, now)?,
            groupchat: changed(before.groupchat, change.groupchat, limits, now)?,
            chatroom: changed(before.chatroom, change.chatroom, limits, now)?,
        };
        let key = mutes_key(self.scope.app, user);
        if row == MuteRow::default() {
            self.rows.delete(MUTES, key);
        } else {
            self.rows.put(MUTES, key, &row)?;
        }
        Ok(Mutes::at(row, now))
    }
}

fn changed(
    before: Option<MuteEnd>,
    change: Option<MuteFor>,
    limits: &Limits,
    now: Millis,
) -> Result<Option<MuteEnd>> {
    change.map_or(Ok(before), |change| change.end(now, limits))
}
