//! Presence: what devices show, and who wants to know. Rows 135 to 139. The answers have no envelope.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidestore::plan::{Limit, UserId};

use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, required, users as ids};
use crate::lenient;
use crate::pages::{ByNumber, slice};
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(135, Access::Own, set)
            .body::<Note>()
            .bare::<Done>(),
        Route::new(136, Access::Own, subscribe)
            .body::<Usernames>()
            .bare::<Shown>(),
        Route::new(137, Access::Own, get)
            .body::<Usernames>()
            .bare::<Shown>(),
        Route::new(138, Access::Own, unsubscribe)
            .body::<Unsubscribed>()
            .bare::<Done>(),
        Route::new(139, Access::Own, subscriptions)
            .query::<ByNumber>()
            .bare::<Listed>(),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
struct Done {
    result: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Shown {
    result: Vec<Presence>,
}

/// Numbers are text here, as the service has them.
#[derive(Debug, Serialize, JsonSchema)]
struct Presence {
    uid: String,
    /// Seconds since 1970 at which a device was heard last; 0 if none is connected.
    last_time: String,
    /// Seconds since 1970 until which the subscription lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<String>,
    ext: String,
    /// By device.
    status: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    result: Subscriptions,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Subscriptions {
    totalnum: String,
    sublist: Vec<Subscribed>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Subscribed {
    uid: String,
    expiry: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Note {
    #[serde(deserialize_with = "lenient::text")]
    ext: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Usernames {
    #[serde(deserialize_with = "lenient::names")]
    usernames: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Unsubscribed {
    Bare(Vec<String>),
    Named { users: Vec<String> },
}

fn done() -> Answer {
    Answer::bare(json!({"result": "ok"}))
}

/// Shows a status; a device that is not connected is from now on, for one lease. Status 0 disconnects it.
async fn set(mut call: Call) -> Result<Answer> {
    let user = call.user()?;
    let device = call.param("resource")?.to_owned();
    let status = call.param("status")?.to_owned();
    if status.parse::<u32>().is_err() {
        return Err(Refusal::argument(format!(
            "{status:?} is no status: use a number"
        )));
    }
    let note = call.json::<Note>().await?.ext.unwrap_or_default();
    call.limits().check_text(Limit::PresenceExtension, &note)?;
    call.app.users().get(&user).await.map_err(as_argument)?;
    let connections = call.app.connections();
    if status == "0" {
        connections.disconnect(&user, &device);
        return Ok(done());
    }
    let ttl = Duration::from_secs(call.service.options.lease_seconds.max(1));
    connections.connect(&user, &device, ttl).await?;
    connections.set_status(&user, &device, &status, &note)?;
    Ok(done())
}

/// In these calls whatever is wrong with a user is a wrong argument.
fn as_argument(error: tidestore::Error) -> Refusal {
    Refusal::from(error).missing_is_argument()
}

async fn named(call: &mut Call) -> Result<Vec<UserId>> {
    let names = required(call.json::<Usernames>().await?.usernames, "usernames")?;
    call.limits()
        .check(Limit::PresenceBatch, names.len() as u64)?;
    if names.is_empty() {
        return Err(Refusal::argument("usernames is empty"));
    }
    let mut users = ids(&names)?;
    users.sort();
    users.dedup();
    Ok(users)
}

fn presence(call: &Call, user: &UserId, expiry: Option<u64>) -> Presence {
    let devices = call.app.connections().devices(user);
    let newest = devices.values().max_by_key(|lease| lease.heard);
    let status = |status: &str| {
        if status.is_empty() {
            "1".to_owned()
        } else {
            status.to_owned()
        }
    };
    Presence {
        uid: user.to_string(),
        last_time: newest.map_or(0, |lease| lease.heard / 1_000).to_string(),
        expiry: expiry.map(|expiry| expiry.to_string()),
        ext: newest.map(|lease| lease.note.clone()).unwrap_or_default(),
        status: devices
            .iter()
            .map(|(name, lease)| (name.clone(), status(&lease.status)))
            .collect(),
    }
}

fn shown(call: &Call, users: &[UserId], expiry: Option<u64>) -> Answer {
    let result = users
        .iter()
        .map(|user| presence(call, user, expiry))
        .collect::<Vec<_>>();
    Answer::bare(json!(Shown { result }))
}

async fn subscribe(mut call: Call) -> Result<Answer> {
    let user = call.user()?;
    let seconds = call.param("expiry")?;
    let seconds: u64 = seconds
        .parse()
        .map_err(|_| Refusal::argument(format!("{seconds:?} is no number of seconds")))?;
    let users = named(&mut call).await?;
    call.app
        .presence(&user)
        .subscribe(&users, seconds)
        .await
        .map_err(as_argument)?;
    let until = call.app.now() / 1_000 + seconds;
    Ok(shown(&call, &users, Some(until)))
}

async fn get(mut call: Call) -> Result<Answer> {
    let users = named(&mut call).await?;
    Ok(shown(&call, &users, None))
}

async fn unsubscribe(mut call: Call) -> Result<Answer> {
    let user = call.user()?;
    let (Unsubscribed::Bare(names) | Unsubscribed::Named { users: names }) =
        call.any_json().await?;
    call.limits()
        .check(Limit::PresenceBatch, names.len() as u64)?;
    if names.is_empty() {
        return Err(Refusal::argument("there is nobody to unsubscribe from"));
    }
    let mut users = ids(&names)?;
    users.sort();
    users.dedup();
    call.app
        .presence(&user)
        .unsubscribe(&users)
        .await
        .map_err(as_argument)?;
    Ok(done())
}

/// The service's default is one entry on a page.
async fn subscriptions(call: Call) -> Result<Answer> {
    let asked: ByNumber = call.query()?;
    let size = asked.size(1, call.limits().max(Limit::PresencePage))?;
    let skip = asked.number()?.saturating_mul(size);
    let of_user = call.app.presence(&call.user()?);
    let all = slice(0, usize::MAX, |cursor, limit| {
        let of_user = of_user.clone();
        async move { of_user.subscriptions(cursor.as_deref(), limit).await }
    });
    let all = all.await.map_err(Refusal::missing_is_argument)?;
    let page = all.iter().skip(skip).take(size).map(|one| Subscribed {
        uid: one.user.to_string(),
        expiry: (one.until / 1_000).to_string(),
    });
    let result = Subscriptions {
        totalnum: all.len().to_string(),
        sublist: page.collect(),
    };
    Ok(Answer::bare(json!(Listed { result })))
}
