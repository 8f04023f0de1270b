//! Passwords: only their argon2id hash is kept, as text in the PHC format, with its salt and its costs.
//!
//! Hashing takes tens of milliseconds and 19 MiB on purpose. It belongs on a thread that may block, never on a committer.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tidestore_plan::Limit;

use crate::error::{Error, Result};

/// Hashing and checking passwords.
#[derive(Clone, Copy, Debug)]
pub struct Password;

impl Password {
    /// Hashes a password of 1 to 64 characters with 16 random bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument) if it is empty,
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if it is too long.
    pub fn hash(text: &str, salt: [u8; 16]) -> Result<String> {
        if text.is_empty() {
            return Err(Error::argument("the password is empty"));
        }
        Limit::Password.check_text(text)?;
        let hash = Argon2::default().hash_password_with_salt(text.as_bytes(), &salt);
        let hash = hash.map_err(|error| Error::argument(format!("the password: {error}")))?;
        Ok(hash.to_string())
    }

    /// Whether a password is the one that was hashed. Takes as long for a wrong one as for the right one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if the hash is damaged.
    pub fn verify(text: &str, hash: &str) -> Result<bool> {
        // A text that could never have been set is not worth 19 MiB of work.
        if Limit::Password.check_text(text).is_err() {
            return Ok(false);
        }
        let hash = PasswordHash::new(hash).map_err(|error| Error::damaged(error.to_string()))?;
        Ok(Argon2::default()
            .verify_password(text.as_bytes(), &hash)
            .is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash_and_by_nothing_else() {
        let hash = Password::hash("Grüße 群", [7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(!hash.contains("Gr"));
        assert!(Password::verify("Grüße 群", &hash).unwrap());
        assert!(!Password::verify("grüße 群", &hash).unwrap());
        assert!(!Password::verify("", &hash).unwrap());
        assert_ne!(Password::hash("Grüße 群", [8; 16]).unwrap(), hash);
        assert!(Password::verify("a", "no hash").is_err());
        assert!(Password::hash("", [7; 16]).is_err());
        assert!(Password::hash(&"群".repeat(64), [7; 16]).is_ok());
        assert!(Password::hash(&"群".repeat(65), [7; 16]).is_err());
    }
}
