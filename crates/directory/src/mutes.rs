//! Mutes that hold in the whole app, by kind of chat, each with an end of its own.

use tidestore_disk::Millis;
use tidestore_kv::{Rows, decode_row, row};
use tidestore_plan::{Limit, Limits, UserId};

use crate::ChannelKind;
use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{ErrorKind, Result};
use crate::tables::{Key, MUTES, name_behind};
use crate::users::parse_user;

/// Until when somebody is muted, in milliseconds since 1970; [`FOREVER`] has no end.
pub type Until = Millis;

/// The end of what has none.
pub const FOREVER: Until = Millis::MAX;

/// How a user is muted, by kind of chat; `None` is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Mutes {
    /// In direct conversations.
    pub chat: Option<Until>,
    /// In groups.
    pub groups: Option<Until>,
    /// In chatrooms.
    pub rooms: Option<Until>,
}

/// What is to become of a mute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MuteFor {
    /// It ends now.
    Lift,
    /// It ends after so many milliseconds.
    Millis(u64),
    /// It does not end.
    Forever,
}

/// What is to change of a user's mutes; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MuteChange {
    /// In direct conversations.
    pub chat: Option<MuteFor>,
    /// In groups.
    pub groups: Option<MuteFor>,
    /// In chatrooms.
    pub rooms: Option<MuteFor>,
}

impl MuteFor {
    /// It ends after so many seconds.
    pub fn seconds(seconds: u64) -> Self {
        Self::Millis(seconds.saturating_mul(1_000))
    }

    /// When it ends; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] over 2,147,483,647 seconds.
    pub(crate) fn until(self, now: Millis, limits: &Limits) -> Result<Option<Until>> {
        match self {
            Self::Lift => Ok(None),
            Self::Forever => Ok(Some(FOREVER)),
            Self::Millis(millis) => {
                limits.check(Limit::MuteSeconds, millis.div_ceil(1_000))?;
                Ok(Some(now.saturating_add(millis)).filter(|end| *end > now))
            }
        }
    }
}

impl Mutes {
    /// Those that have not ended.
    fn at(self, now: Millis) -> Self {
        let open = |until: Option<Until>| until.filter(|until| *until > now);
        Self {
            chat: open(self.chat),
            groups: open(self.groups),
            rooms: open(self.rooms),
        }
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// How a user is muted at a time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    pub fn mutes(&self, user: &UserId, now: Millis) -> Result<Mutes> {
        self.user_row(user)?;
        self.mutes_of(user, now)
    }

    fn mutes_of(&self, user: &UserId, now: Millis) -> Result<Mutes> {
        let key = Key::of(self.app).name(user.as_str());
        let found: Option<Mutes> = row(self.rows, MUTES, key.bytes())?;
        Ok(found.unwrap_or_default().at(now))
    }

    /// A page of those who are muted at a time, by id. Mutes that have ended take up no place on it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cursor`].
    pub fn muted_users(
        &self,
        now: Millis,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<(UserId, Mutes)>> {
        let prefix = Key::of(self.app);
        let list = List {
            table: MUTES,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        list.page_where(self.rows, cursor, limit, |key, value| {
            let mutes: Mutes = decode_row(MUTES, key, value)?;
            let mutes = mutes.at(now);
            if mutes.is_empty() {
                return Ok(None);
            }
            let user = parse_user(name_behind(key, prefix.bytes()).unwrap_or_default())?;
            Ok(Some((user, mutes)))
        })
    }

    /// Refuses a user who is muted in all direct conversations.
    pub(crate) fn check_chat_mute(&self, user: &UserId, now: Millis) -> Result<()> {
        refuse(self.mutes_of(user, now)?.chat)
    }

    /// Refuses a user who is muted in all groups, or in all chatrooms.
    pub(crate) fn check_channel_mute(
        &self,
        user: &UserId,
        kind: ChannelKind,
        now: Millis,
    ) -> Result<()> {
        let mutes = self.mutes_of(user, now)?;
        refuse(match kind {
            ChannelKind::Group => mutes.groups,
            ChannelKind::Room => mutes.rooms,
        })
    }
}

/// The refusal that a mute means.
pub(crate) fn refuse(until: Option<Until>) -> Result<()> {
    match until {
        None => Ok(()),
        Some(FOREVER) => Err(ErrorKind::Muted(None).into()),
        Some(until) => Err(ErrorKind::Muted(Some(until)).into()),
    }
}

impl Editor<'_, '_> {
    /// Mutes a user, or lifts that.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`]; [`ErrorKind::Limit`] over 2,147,483,647 seconds.
    pub fn set_mutes(&mut self, user: &UserId, change: MuteChange) -> Result<Mutes> {
        let (now, limits) = (self.scope.now, &self.scope.limits);
        let mut mutes = self.directory().mutes(user, now)?;
        let parts = [
            (&mut mutes.chat, change.chat),
            (&mut mutes.groups, change.groups),
            (&mut mutes.rooms, change.rooms),
        ];
        for (until, change) in parts {
            if let Some(change) = change {
                *until = change.until(now, limits)?;
            }
        }
        let key = Key::of(self.scope.app).name(user.as_str());
        if mutes.is_empty() {
            self.rows.delete(MUTES, key);
        } else {
            self.rows.put(MUTES, key, &mutes)?;
        }
        Ok(mutes)
    }
}
