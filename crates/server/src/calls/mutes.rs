//! Mutes that hold in the whole app: rows 17 to 19.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidestore::plan::{Limit, Limits, UserId};
use tidestore::{MuteChange, MuteEnd, MuteFor, Mutes};

use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, required};
use crate::lenient;
use crate::pages::{ByNumber, slice};
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(17, Access::App, mute)
            .body::<Mute>()
            .data::<Done>(),
        Route::new(18, Access::App, get).data::<Muted>(),
        Route::new(19, Access::App, list)
            .query::<ByNumber>()
            .data::<AllMuted>(),
    ]
}

/// Seconds of each kind: 0 lifts a mute, -1 is for ever, other negatives are ignored.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Mute {
    #[serde(deserialize_with = "lenient::text")]
    username: Option<String>,
    #[serde(deserialize_with = "lenient::number")]
    chat: Option<i64>,
    #[serde(deserialize_with = "lenient::number")]
    groupchat: Option<i64>,
    #[serde(deserialize_with = "lenient::number")]
    chatroom: Option<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Done {
    result: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Muted {
    userid: String,
    /// Seconds left; 0 for not muted, -1 for ever.
    chat: i64,
    groupchat: i64,
    chatroom: i64,
    /// Seconds since 1970.
    unixtime: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AllMuted {
    /// One entry for a user and kind: `username`, and the kind with the seconds that are left.
    data: Vec<Value>,
    unixtime: u64,
}

fn how(seconds: Option<i64>, limits: &Limits) -> Result<Option<MuteFor>> {
    match seconds {
        Some(-1) => Ok(Some(MuteFor::Forever)),
        Some(0) => Ok(Some(MuteFor::Lift)),
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds) => {
                limits.check(Limit::MuteSeconds, seconds)?;
                Ok(Some(MuteFor::Seconds(seconds)))
            }
            Err(_) => Ok(None),
        },
        None => Ok(None),
    }
}

/// The service's word for a user who does not exist, in calls about mutes.
fn nobody(error: tidestore::Error) -> Refusal {
    Refusal::from(error).missing_is_property()
}

async fn mute(mut call: Call) -> Result<Answer> {
    let asked: Mute = call.json().await?;
    let user = UserId::parse(&required(asked.username, "username")?)?;
    let change = MuteChange {
        chat: how(asked.chat, call.limits())?,
        groupchat: how(asked.groupchat, call.limits())?,
        chatroom: how(asked.chatroom, call.limits())?,
    };
    call.app.users().mute(&user, change).await.map_err(nobody)?;
    Answer::data(&Done { result: "ok" })
}

fn seconds_left(end: Option<MuteEnd>, now: u64) -> i64 {
    match end {
        None => 0,
        Some(MuteEnd::Never) => -1,
        Some(MuteEnd::At(end)) => {
            i64::try_from(end.saturating_sub(now).div_ceil(1_000)).unwrap_or(i64::MAX)
        }
    }
}

async fn get(call: Call) -> Result<Answer> {
    let user = call.user()?;
    let mutes = call.app.users().mutes(&user).await.map_err(nobody)?;
    let now = call.app.now();
    Answer::data(&Muted {
        userid: format!("{}_{user}", call.app.key()),
        chat: seconds_left(mutes.chat, now),
        groupchat: seconds_left(mutes.groupchat, now),
        chatroom: seconds_left(mutes.chatroom, now),
        unixtime: now / 1_000,
    })
}

fn entries(user: &UserId, mutes: &Mutes, now: u64) -> Vec<Value> {
    let kinds = [
        ("chat", mutes.chat),
        ("groupchat", mutes.groupchat),
        ("chatroom", mutes.chatroom),
    ];
    let those = kinds.into_iter().filter(|(_, end)| end.is_some());
    let entry =
        |(kind, end): (&str, _)| json!({"username": user.as_str(), kind: seconds_left(end, now)});
    those.map(entry).collect()
}

/// A page has so many users, each with one entry or up to three.
async fn list(call: Call) -> Result<Answer> {
    let asked: ByNumber = call.query()?;
    let size = asked.size(10, call.limits().max(Limit::MutePage))?;
    let skip = asked.number()?.saturating_mul(size);
    let users = call.app.users();
    let muted = slice(skip, size, |cursor, limit| async move {
        users.muted(cursor.as_deref(), limit).await
    });
    let now = call.app.now();
    let muted = muted.await?;
    let data = muted
        .iter()
        .flat_map(|muted| entries(&muted.user, &muted.mutes, now));
    Answer::data(&AllMuted {
        data: data.collect(),
        unixtime: now / 1_000,
    })
}
