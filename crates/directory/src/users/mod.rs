//! Users: registration, profile, ban, contacts, block lists, global mutes, deletion.
//!
//! A user exists from his registration to the first step of his deletion. Whoever is banned exists, and stays in everything
//! he belongs to. What belongs to a user is counted in his row, so that a cap is checked by one read.

mod blocks;
mod contacts;
mod deletion;
mod mutes;
mod passwords;
mod profile;
mod recount;
mod registration;
mod row;
mod senders;
mod tokens;

use std::collections::HashSet;

use tidestore_plan::UserId;

use crate::error::{Error, Result};

pub use contacts::Contact;
pub(crate) use contacts::ContactRow;
pub use deletion::{Deletion, leaving_users};
pub(crate) use mutes::MuteRow;
pub use mutes::{MuteChange, MuteEnd, MuteFor, MuteKind, MutedUser, Mutes};
pub use passwords::{Password, PasswordCost};
pub use profile::{UserChange, UserCounts};
pub use registration::{NewUser, User};
pub(crate) use row::{UserRow, user_behind, user_in};

/// Refuses a call that names a user twice: what would hold for him is anybody's guess.
pub(crate) fn each_once<'a>(users: impl Iterator<Item = &'a UserId>) -> Result<()> {
    let mut seen = HashSet::new();
    for user in users {
        if !seen.insert(user) {
            return Err(Error::argument(format!(
                "{user} is named twice in one call"
            )));
        }
    }
    Ok(())
}

/// A name that this crate wrote.
pub(crate) fn parse_user(text: &str) -> Result<UserId> {
    UserId::parse(text).map_err(|_| Error::damaged(format!("{text:?} stands where a user should")))
}
