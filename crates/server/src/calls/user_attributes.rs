//! Attributes of users: rows 37 to 41.

use std::collections::BTreeMap;

use axum::http::header;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tidestore::plan::{Limit, UserId};

use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, parse_object, required, users as ids};
use crate::lenient;
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

type Pairs = BTreeMap<String, String>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(37, Access::Own, set)
            .form::<Pairs>()
            .data::<Pairs>(),
        Route::new(38, Access::User, get_many)
            .body::<Wanted>()
            .data::<BTreeMap<String, Pairs>>(),
        Route::new(39, Access::Own, delete).data::<bool>(),
        Route::new(40, Access::User, get).data::<Pairs>(),
        Route::new(41, Access::App, total).data::<u64>(),
    ]
}

/// Keys that the service knows, and how long their values may be.
const KNOWN: [(&str, Limit); 6] = [
    ("nickname", Limit::AttributeNickname),
    ("avatarurl", Limit::AttributeAvatarUrl),
    ("phone", Limit::AttributePhone),
    ("mail", Limit::AttributeMail),
    ("sign", Limit::AttributeSign),
    ("birth", Limit::AttributeBirth),
];

/// Clients send the pairs as a form, in the query, or as JSON.
async fn pairs(call: &mut Call) -> Result<Pairs> {
    let kind = call
        .header(header::CONTENT_TYPE.as_str())
        .unwrap_or_default();
    let is_json = kind.starts_with("application/json");
    let body = call.bytes().await?;
    if body.is_empty() {
        return Ok(call.query.iter().cloned().collect());
    }
    if !is_json {
        return Ok(form_urlencoded::parse(&body).into_owned().collect());
    }
    let fields: Map<String, Value> = parse_object(&body)?;
    let text = |(key, value)| match value {
        Value::String(text) => Ok((key, text)),
        Value::Number(_) | Value::Bool(_) => Ok((key, value.to_string())),
        _ => Err(Refusal::argument(format!("{key} is no text"))),
    };
    fields.into_iter().map(text).collect()
}

async fn set(mut call: Call) -> Result<Answer> {
    let user = call.user()?;
    let pairs = pairs(&mut call).await?;
    if pairs.is_empty() {
        return Err(Refusal::argument("there is nothing to set"));
    }
    for (key, limit) in KNOWN {
        if let Some(value) = pairs.get(key) {
            call.limits().check_text(limit, value)?;
        }
    }
    call.app.user_attributes().set(&user, pairs.clone()).await?;
    Answer::data(&pairs)
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Wanted {
    #[serde(deserialize_with = "lenient::names")]
    targets: Option<Vec<String>>,
    /// Keys; all if there are none.
    #[serde(deserialize_with = "lenient::names")]
    properties: Option<Vec<String>>,
}

async fn get_many(mut call: Call) -> Result<Answer> {
    let wanted: Wanted = call.json().await?;
    let targets = required(wanted.targets, "targets")?;
    call.limits()
        .check(Limit::AttributeTargets, targets.len() as u64)?;
    let mut users = ids(&targets)?;
    users.sort();
    users.dedup();
    let keys = wanted.properties.filter(|keys| !keys.is_empty());
    let found = call
        .app
        .user_attributes()
        .get_many(&users, keys.as_deref())
        .await?;
    let found: BTreeMap<String, Pairs> = found
        .into_iter()
        .map(|(user, pairs)| (user.to_string(), pairs))
        .collect();
    Answer::data(&found)
}

async fn delete(call: Call) -> Result<Answer> {
    call.app.user_attributes().delete(&call.user()?).await?;
    Answer::data(&true)
}

async fn get(call: Call) -> Result<Answer> {
    let user: UserId = call.user()?;
    Answer::data(&call.app.user_attributes().get(&user, None).await?)
}

async fn total(call: Call) -> Result<Answer> {
    Answer::data(&call.app.user_attributes().total().await?.bytes)
}
