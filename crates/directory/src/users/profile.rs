//! What can be changed about a user: profile, password, ban.

use tidestore_kv::Rows;
use tidestore_plan::UserId;

use super::UserRow;
use super::passwords::Password;
use super::registration::User;
use crate::directory::{Directory, Editor};
use crate::error::{Error, Result};

/// A change of a profile; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// The name that pushed notifications show; an empty one takes it away.
    pub nickname: Option<String>,
    /// How much pushed notifications show: 0 only that there is a message, 1 the message too.
    pub display_style: Option<u8>,
    /// Whether nothing is pushed in the hours below.
    pub no_disturbing: Option<bool>,
    /// From which hour of the day to which, each 0 to 23; the first may be the later one.
    pub no_disturbing_hours: Option<(u8, u8)>,
}

const DISPLAY_STYLE_MAX: u8 = 1;
const HOUR_MAX: u8 = 23;

impl UserChange {
    fn check(&self) -> Result<()> {
        if let Some(style) = self
            .display_style
            .filter(|style| *style > DISPLAY_STYLE_MAX)
        {
            let text = format!("the display style is {style}; give 0 or 1");
            return Err(Error::argument(text));
        }
        let hours = self.no_disturbing_hours.map(|(from, to)| from.max(to));
        if let Some(hour) = hours.filter(|hour| *hour > HOUR_MAX) {
            let text = format!("an hour without notifications is {hour}; give 0 to {HOUR_MAX}");
            return Err(Error::argument(text));
        }
        Ok(())
    }
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// What a password of the user is to be [verified](Password::verify) with; `None` if he has none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound).
    pub fn password_hash(&self, user: &UserId) -> Result<Option<String>> {
        Ok(self.user_row(user)?.password)
    }

    /// How many of everything belong to a user. Costs what finding him costs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound).
    pub fn user_counts(&self, user: &UserId) -> Result<UserCounts> {
        let row = self.user_row(user)?;
        Ok(UserCounts {
            contacts: row.contacts.into(),
            blocked: row.blocks.into(),
            groups: row.groups.into(),
            rooms: row.rooms.into(),
        })
    }
}

/// How many of everything belong to a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserCounts {
    /// Contacts.
    pub contacts: u64,
    /// Users he has blocked.
    pub blocked: u64,
    /// Groups he is in.
    pub groups: u64,
    /// Chatrooms he is in.
    pub rooms: u64,
}

impl Editor<'_, '_> {
    /// Changes a profile.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound); [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the
    /// nickname is too long; [`ErrorKind::Argument`](crate::ErrorKind::Argument) for a display style or hour that there is not.
    pub fn change_user(&mut self, id: &UserId, change: UserChange) -> Result<User> {
        change.check()?;
        let nickname = change.nickname.map(|text| self.nickname(Some(text)));
        let nickname = nickname.transpose()?;
        self.modify(id, |row| {
            row.nickname = nickname.unwrap_or_else(|| row.nickname.take());
            row.display_style = change.display_style.or(row.display_style);
            row.no_disturbing = change.no_disturbing.or(row.no_disturbing);
            row.no_disturbing_hours = change.no_disturbing_hours.or(row.no_disturbing_hours);
        })
    }

    /// Sets what [`Password::hash`] made of a new password, and revokes all tokens of the user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound); [`ErrorKind::Argument`](crate::ErrorKind::Argument) if it
    /// is no such hash.
    pub fn set_password(&mut self, id: &UserId, hash: String) -> Result<()> {
        Password::check_hash(&hash)?;
        self.revoke_tokens(id)?;
        self.modify(id, |row| row.password = Some(hash)).map(drop)
    }

    /// Bans a user: he cannot log in or send, and stays in everything he belongs to. All his tokens are revoked. One who is
    /// banned stays so.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound).
    pub fn ban(&mut self, id: &UserId) -> Result<User> {
        if !self.directory().user_row(id)?.is_banned {
            self.revoke_tokens(id)?;
        }
        self.modify(id, |row| row.is_banned = true)
    }

    /// Lifts a ban; one who is not banned stays so.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound).
    pub fn unban(&mut self, id: &UserId) -> Result<User> {
        self.modify(id, |row| row.is_banned = false)
    }

    /// Changes what a caller sees of a user. Nothing is written if that is as it was, so that repeating a call costs nothing.
    fn modify(&mut self, id: &UserId, change: impl FnOnce(&mut UserRow)) -> Result<User> {
        let before = self.directory().user_row(id)?;
        let mut row = before.clone();
        change(&mut row);
        if row != before {
            row.modified = self.scope.now;
            self.put_user_row(id, &row)?;
        }
        Ok(User::of(id.clone(), row))
    }
}
