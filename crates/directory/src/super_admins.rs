//! Super admins of chatrooms: users who may speak and keep order in all of them.

use tidestore_kv::Rows;
use tidestore_plan::UserId;

use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{ErrorKind, Result};
use crate::tables::{SUPER_ADMINS, key_of, name_behind};
use crate::users::parse_user;

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Whether a user is a super admin.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`] if that cannot be read.
    pub fn is_super_admin(&self, user: &UserId) -> Result<bool> {
        let key = key_of(self.app).name(user.as_str());
        Ok(self.rows.bytes(SUPER_ADMINS, key.bytes())?.is_some())
    }

    /// A page of super admins, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cursor`].
    pub fn super_admins(&self, cursor: Option<&str>, limit: usize) -> Result<Page<UserId>> {
        let prefix = key_of(self.app);
        let list = List {
            table: SUPER_ADMINS,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        list.page(self.rows, cursor, limit)?
            .try_map(|(key, _)| parse_user(name_behind(&key, prefix.bytes()).unwrap_or_default()))
    }
}

impl Editor<'_, '_> {
    /// Makes a user a super admin; again is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    pub fn add_super_admin(&mut self, user: &UserId) -> Result<()> {
        self.directory().user_row(user)?;
        let key = key_of(self.scope.app).name(user.as_str());
        Ok(self.rows.put(SUPER_ADMINS, key, &self.scope.now)?)
    }

    /// Takes that back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotListed`].
    pub fn remove_super_admin(&mut self, user: &UserId) -> Result<()> {
        if !self.directory().is_super_admin(user)? {
            return Err(ErrorKind::NotListed(user.clone()).into());
        }
        let key = key_of(self.scope.app).name(user.as_str());
        self.rows.delete(SUPER_ADMINS, key);
        Ok(())
    }
}
