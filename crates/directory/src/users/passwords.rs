//! Password hashes: argon2id, as text in the PHC format, which carries the cost and the salt.
//!
//! Hashing takes some hundredths of a second and 19 MiB on purpose. So it is done on the caller's thread, before the result
//! is handed to an [`Editor`](crate::Editor), and never where changes are decided one after the other.

use argon2::password_hash::Error as HashError;
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use tidestore_plan::{Limit, Limits};

use crate::error::{Error, Result};

/// Hashes and verifies passwords.
#[derive(Clone, Copy, Debug)]
pub struct Password;

/// What hashing costs; a hash that is stored keeps the cost it was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB, 8 to 262,144; 19,456 by default.
    pub memory_kib: u32,
    /// Passes over the memory, 1 to 64; 2 by default.
    pub passes: u32,
    /// Lanes that could be filled side by side, 1 to 16; 1 by default.
    pub lanes: u32,
}

impl Default for PasswordCost {
    fn default() -> Self {
        Self {
            memory_kib: Params::DEFAULT_M_COST,
            passes: Params::DEFAULT_T_COST,
            lanes: Params::DEFAULT_P_COST,
        }
    }
}

/// A stored hash names its own cost. Without a bound, a damaged or imported one could ask for terabytes.
const COST_MAX: PasswordCost = PasswordCost {
    memory_kib: 256 << 10,
    passes: 64,
    lanes: 16,
};

/// A hash with its salt and parameters takes about a hundred characters.
const HASH_TEXT_MAX: usize = 256;

impl PasswordCost {
    fn params(self) -> Result<Params> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, None);
        let params = params.map_err(|error| {
            Error::argument(format!("no password can be hashed at {self:?}: {error}"))
        })?;
        check_cost(&params)?;
        Ok(params)
    }
}

impl Password {
    /// Hashes a password at the default cost. The salt is 16 random bytes, new ones for every password.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the password is too long;
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument) if it is empty.
    pub fn hash(text: &str, salt: [u8; 16]) -> Result<String> {
        Self::hash_with(&Limits::default(), PasswordCost::default(), text, salt)
    }

    /// Hashes a password as [`hash`](Self::hash) does, with a store's own limits and at another cost.
    ///
    /// # Errors
    ///
    /// The same; [`ErrorKind::Argument`](crate::ErrorKind::Argument) also for a cost that is not possible.
    pub fn hash_with(
        limits: &Limits,
        cost: PasswordCost,
        text: &str,
        salt: [u8; 16],
    ) -> Result<String> {
        if text.is_empty() {
            let max = limits.max(Limit::Password);
            let text = format!("the password is empty; give 1 to {max} characters");
            return Err(Error::argument(text));
        }
        limits.check_text(Limit::Password, text)?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?);
        let hash = hasher.hash_password_with_salt(text.as_bytes(), &salt);
        Ok(hash.map_err(|error| failed(&error))?.to_string())
    }

    /// Says whether a password is the one that was hashed. Any text may be tried, also one that is too long for a password.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument) if the hash is none that could have been stored.
    pub fn verify(text: &str, hash: &str) -> Result<bool> {
        let hash = parse(hash)?;
        match Argon2::default().verify_password(text.as_bytes(), &hash) {
            Ok(()) => Ok(true),
            Err(HashError::PasswordInvalid) => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Checks that a text is a hash and not, by mistake, the password itself. Costs next to nothing.
    pub(super) fn check_hash(hash: &str) -> Result<()> {
        parse(hash).map(drop)
    }
}

fn parse(hash: &str) -> Result<PasswordHash> {
    // The text itself is not quoted: it may be a password.
    let none = || Error::argument("that is no argon2id hash in the PHC format; hash the password");
    if hash.len() > HASH_TEXT_MAX {
        return Err(none());
    }
    let hash = PasswordHash::new(hash).map_err(|_| none())?;
    let is_whole = hash.salt.is_some() && hash.hash.is_some();
    if !is_whole || hash.algorithm != Algorithm::Argon2id.ident() {
        return Err(none());
    }
    check_cost(&Params::try_from(&hash).map_err(|_| none())?)?;
    Ok(hash)
}

fn check_cost(params: &Params) -> Result<()> {
    let is_bounded = params.m_cost() <= COST_MAX.memory_kib
        && params.t_cost() <= COST_MAX.passes
        && params.p_cost() <= COST_MAX.lanes;
    if is_bounded {
        return Ok(());
    }
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    Err(Error::argument(format!(
        "a password hash of {memory} KiB, {passes} passes and {lanes} lanes; at most {} KiB, {} and {} are allowed",
        COST_MAX.memory_kib, COST_MAX.passes, COST_MAX.lanes
    )))
}

fn failed(error: &HashError) -> Error {
    Error::argument(format!("the password cannot be hashed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const LOW: PasswordCost = PasswordCost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    fn low(text: &str, salt: u8) -> Result<String> {
        Password::hash_with(&Limits::default(), LOW, text, [salt; 16])
    }

    #[test]
    fn the_password_that_was_hashed_is_recognised_and_no_other() {
        let hash = Password::hash("s3cret 密", [7; 16]).unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(Password::verify("s3cret 密", &hash).unwrap());
        for other in ["", "s3cret", "S3cret 密", &"s3cret 密".repeat(40)] {
            assert!(!Password::verify(other, &hash).unwrap(), "{other}");
        }
    }

    #[test]
    fn the_same_password_with_another_salt_has_another_hash() {
        assert_eq!(low("tea", 1).unwrap(), low("tea", 1).unwrap());
        assert_ne!(low("tea", 1).unwrap(), low("tea", 2).unwrap());
        assert!(Password::verify("tea", &low("tea", 2).unwrap()).unwrap());
    }

    #[test]
    fn a_password_has_one_character_to_as_many_as_the_limit_says() {
        assert!(low("x", 0).is_ok());
        assert!(low(&"密".repeat(64), 0).is_ok());
        let error = low(&"密".repeat(65), 0).unwrap_err();
        let ErrorKind::Limit(limit) = error.kind() else {
            panic!("{error}");
        };
        assert_eq!((limit.max(), limit.actual()), (64, 65));
        let error = low("", 0).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Argument(_)), "{error}");
        let limits = Limits::default().with(Limit::Password, 2);
        assert!(Password::hash_with(&limits, LOW, "abc", [0; 16]).is_err());
    }

    #[test]
    fn what_is_no_hash_is_refused_and_not_quoted() {
        let good = low("tea", 1).unwrap();
        assert!(Password::check_hash(&good).is_ok());
        let no_hash = good.rsplit_once('$').unwrap().0.to_owned();
        let texts = [
            "hunter2".to_owned(),
            String::new(),
            no_hash,
            good.replace("argon2id", "argon2i"),
            good.replace("m=8", "m=4294967295"),
            good.replace("t=1", "t=65"),
            good.replace("m=8", "m=800").replace("p=1", "p=17"),
            format!("{good}{}", "A".repeat(300)),
        ];
        for text in texts {
            let error = Password::check_hash(&text).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Argument(_)), "{text}");
            assert!(!error.to_string().contains("hunter2"));
            assert!(Password::verify("tea", &text).is_err());
        }
    }

    #[test]
    fn a_cost_out_of_bounds_is_refused_before_memory_is_taken() {
        for memory_kib in [7, (256 << 10) + 1, u32::MAX] {
            let cost = PasswordCost { memory_kib, ..LOW };
            assert!(Password::hash_with(&Limits::default(), cost, "tea", [0; 16]).is_err());
        }
    }
}
