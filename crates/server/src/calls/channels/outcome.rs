//! What became of each user in a call for one or several.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidestore::plan::{Limit, Limits, UserId};

use super::kind::Place;
use crate::answer::Answer;
use crate::call::{required, users as ids};
use crate::lenient;
use crate::refusal::{Refusal, Result};

/// What became of one user.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct MemberResult {
    result: bool,
    action: &'static str,
    user: String,
    #[serde(flatten)]
    place: Place,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The users of a call for several.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Usernames {
    #[serde(deserialize_with = "lenient::names")]
    usernames: Option<Vec<String>>,
}

impl Usernames {
    pub(super) fn checked(self, limits: &Limits) -> Result<Vec<UserId>> {
        batch(self.usernames, limits)
    }
}

/// Users named in a body: somebody, and not too many.
pub(super) fn batch(names: Option<Vec<String>>, limits: &Limits) -> Result<Vec<UserId>> {
    let names = required(names, "usernames")?;
    if names.is_empty() {
        return Err(Refusal::argument("usernames is empty"));
    }
    limits.check(Limit::MemberBatch, names.len() as u64)?;
    ids(&names)
}

/// Results for all, with the store's refusals as the service says them.
pub(super) type Each<T> = Vec<(UserId, Result<T>)>;

/// Puts users and what became of them together. It is a refusal if nothing could be done for anybody: the first one's.
pub(super) fn each<T>(users: Vec<UserId>, done: Vec<tidestore::Result<T>>) -> Result<Each<T>> {
    let done = done.into_iter().map(|done| done.map_err(Refusal::from));
    let each: Each<T> = users.into_iter().zip(done).collect();
    if each.iter().any(|(_, done)| done.is_ok()) {
        return Ok(each);
    }
    match each.into_iter().find_map(|(_, done)| done.err()) {
        Some(refusal) => Err(refusal),
        None => Err(Refusal::argument("no user is named")),
    }
}

/// A call about users: what it is called, and where it happens.
#[derive(Debug)]
pub(super) struct Deed {
    pub(super) action: &'static str,
    pub(super) place: Place,
}

impl Deed {
    fn result(&self, user: &UserId, reason: Option<String>) -> MemberResult {
        MemberResult {
            result: reason.is_none(),
            action: self.action,
            user: user.as_str().to_owned(),
            place: self.place.clone(),
            reason,
        }
    }

    /// The answer for one user, for whom it was done.
    pub(super) fn one(&self, user: &UserId) -> Result<Answer> {
        Answer::data(&self.result(user, None))
    }

    /// The answer for several users, of whom some may have been refused.
    pub(super) fn many(
        &self,
        users: Vec<UserId>,
        done: Vec<tidestore::Result<()>>,
    ) -> Result<Answer> {
        let each = each(users, done)?;
        let result = |(user, done): &(UserId, Result<()>)| {
            let reason = done.as_ref().err();
            self.result(user, reason.map(|refusal| refusal.description.clone()))
        };
        Answer::data(&each.iter().map(result).collect::<Vec<_>>())
    }

    /// The answer for a part of the path that named one user or a list of them.
    pub(super) fn as_named(
        &self,
        is_list: bool,
        users: Vec<UserId>,
        done: Vec<tidestore::Result<()>>,
    ) -> Result<Answer> {
        match users.as_slice() {
            [user] if !is_list => {
                let user = user.clone();
                each(users, done)?;
                self.one(&user)
            }
            _ => self.many(users, done),
        }
    }
}
