//! Mutes of members, and of everybody: rows 74 to 78 and 109 to 113.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidestore::plan::UserId;
use tidestore::{MuteEnd, MuteFor};

use super::Kind;
use super::kind::{all, id, members};
use super::outcome::{Each, batch, each};
use crate::answer::Answer;
use crate::call::{Call, required};
use crate::lenient;
use crate::pages::slice;
use crate::refusal::{Refusal, Result};

/// Whom to mute, and for how long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Mute {
    #[serde(deserialize_with = "lenient::names")]
    usernames: Option<Vec<String>>,
    /// Milliseconds; -1 for ever.
    #[serde(deserialize_with = "lenient::number")]
    mute_duration: Option<i64>,
}

/// A muted member.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Muted {
    user: String,
    /// Milliseconds since 1970; -1 for never.
    expire: i64,
}

/// What became of one user.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Outcome {
    result: bool,
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire: Option<i64>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Whether everybody is muted.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct All {
    mute: bool,
}

fn expire(end: MuteEnd) -> i64 {
    match end {
        MuteEnd::Never => -1,
        MuteEnd::At(time) => i64::try_from(time).unwrap_or(i64::MAX),
    }
}

pub(super) async fn list<K: Kind>(call: Call) -> Result<Answer> {
    let members = &members::<K>(&call)?;
    let muted = slice(0, usize::MAX, |cursor, limit| async move {
        members.muted(cursor.as_deref(), limit).await
    });
    let muted = muted.await?.into_iter().map(|(user, end)| Muted {
        user: user.as_str().to_owned(),
        expire: expire(end),
    });
    Answer::list(&muted.collect::<Vec<_>>())
}

fn duration(millis: i64) -> Result<MuteFor> {
    match u64::try_from(millis) {
        Ok(millis) if millis > 0 => Ok(MuteFor::Millis(millis)),
        Err(_) if millis == -1 => Ok(MuteFor::Forever),
        _ => Err(Refusal::argument(
            "mute_duration is a number of milliseconds, or -1 for ever",
        )),
    }
}

fn answer(each: Each<Option<MuteEnd>>) -> Result<Answer> {
    let outcome = |(user, done): (UserId, Result<Option<MuteEnd>>)| Outcome {
        result: done.is_ok(),
        user: user.as_str().to_owned(),
        expire: done.as_ref().ok().copied().flatten().map(expire),
        reason: done.err().map(|refusal| refusal.description),
    };
    Answer::data(&each.into_iter().map(outcome).collect::<Vec<_>>())
}

pub(super) async fn mute<K: Kind>(mut call: Call) -> Result<Answer> {
    let asked: Mute = call.json().await?;
    let users = batch(asked.usernames, call.limits())?;
    let how = duration(required(asked.mute_duration, "mute_duration")?)?;
    let done = members::<K>(&call)?.mute(&users, how).await?;
    answer(each(users, done)?)
}

pub(super) async fn unmute<K: Kind>(call: Call) -> Result<Answer> {
    let users = call.users_in(K::MUTED)?;
    let done = members::<K>(&call)?.mute(&users, MuteFor::Lift).await?;
    answer(each(users, done)?)
}

/// A duration that some clients send is none: it ends when it is lifted.
pub(super) async fn mute_all<K: Kind>(call: Call) -> Result<Answer> {
    set_all::<K>(&call, true).await
}

pub(super) async fn unmute_all<K: Kind>(call: Call) -> Result<Answer> {
    set_all::<K>(&call, false).await
}

async fn set_all<K: Kind>(call: &Call, mute: bool) -> Result<Answer> {
    all::<K>(call).mute_all(&id::<K>(call)?, mute).await?;
    Answer::data(&All { mute })
}
