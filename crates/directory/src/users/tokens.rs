//! Revisions of a user's tokens: a number that is raised when all tokens that were given to him shall be worth nothing.

use tidestore_kv::{Rows, row};
use tidestore_plan::UserId;

use crate::directory::{Directory, Editor};
use crate::error::Result;
use crate::tables::{TOKENS, key_of};

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// How often all tokens of a user were revoked: by a ban, or a new password. One that was given under a smaller number is
    /// worth nothing.
    ///
    /// Whoever is registered under the id of a deleted user begins at 0 again, so a token has to name [`User::uuid`] too.
    ///
    /// [`User::uuid`]: crate::User::uuid
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound).
    pub fn token_revision(&self, user: &UserId) -> Result<u64> {
        self.user_row(user)?;
        let key = key_of(self.app).name(user.as_str());
        Ok(row(self.rows, TOKENS, key.bytes())?.unwrap_or_default())
    }
}

impl Editor<'_, '_> {
    /// Revokes all tokens of a user.
    pub(super) fn revoke_tokens(&mut self, user: &UserId) -> Result<()> {
        let next = self.directory().token_revision(user)?.saturating_add(1);
        let key = key_of(self.scope.app).name(user.as_str());
        Ok(self.rows.put(TOKENS, key, &next)?)
    }
}
