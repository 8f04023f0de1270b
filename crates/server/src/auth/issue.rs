//! `POST /token`: credentials, passwords and the app's word for a user become tokens.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tidestore::plan::UserId;
use tidestore::{Account, User};

use super::token::{self, Holder};
use super::{Access, Caller, authenticate, uuid};
use crate::answer::Answer;
use crate::call::{Call, required};
use crate::entities::{UserEntity, app_uuid};
use crate::lenient;
use crate::rates::Who;
use crate::refusal::{Refusal, Result};
use crate::routes::Route;
use tidestore::plan::Method;

/// How long a token holds that says nothing about it, in seconds: 60 days, as the hosted service's.
const TTL: u64 = 60 * 86_400;
/// Longest that is given, in seconds: 100 years. What is meant to hold for good says 0.
const TTL_MAX: u64 = 36_525 * 86_400;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::beside("issue_token", Method::Post, "/token", Access::Open, issue)
            .body::<TokenRequest>()
            .bare::<TokenAnswer>(),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct TokenRequest {
    /// `client_credentials`, `password` or `inherit`.
    #[serde(deserialize_with = "lenient::text")]
    grant_type: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    client_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    client_secret: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    username: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    password: Option<String>,
    /// Registers the user if he is not there; with `inherit` only.
    #[serde(rename = "autoCreateUser", deserialize_with = "lenient::flag")]
    auto_create_user: Option<bool>,
    /// Seconds; 0 for ever.
    #[serde(deserialize_with = "lenient::number")]
    ttl: Option<i64>,
}

/// What is answered, without an envelope.
#[derive(Debug, serde::Serialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
    application: Option<String>,
    user: Option<UserEntity>,
}

/// Answers a token.
pub(crate) async fn issue(mut call: Call) -> Result<Answer> {
    call.service.rates.charge_token(Who {
        app: call.app.id(),
        user: None,
        address: call.peer,
    })?;
    let asked: TokenRequest = call.json().await?;
    let ttl = match asked.ttl {
        None => Some(TTL),
        Some(0) => None,
        Some(ttl) => {
            let ttl = u64::try_from(ttl).ok().filter(|ttl| *ttl <= TTL_MAX);
            Some(ttl.ok_or_else(|| Refusal::argument("ttl is not possible"))?)
        }
    };
    match required(asked.grant_type.as_deref(), "grant_type")? {
        "client_credentials" => for_app(&call, &asked, ttl).await,
        "password" => by_password(&call, &asked, ttl).await,
        "inherit" => by_inheritance(&call, &asked, ttl).await,
        other => Err(Refusal::argument(format!("{other:?} is no grant_type"))),
    }
}

fn invalid(text: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_grant", text)
}

fn answer(token: &str, ttl: Option<u64>, rest: Value) -> Answer {
    let mut fields = json!({"access_token": token, "expires_in": ttl.unwrap_or(0)});
    if let (Value::Object(fields), Value::Object(rest)) = (&mut fields, rest) {
        fields.extend(rest);
    }
    Answer::bare(fields)
}

async fn key(call: &Call) -> Result<[u8; 32]> {
    let key = call.service.keys.of(&call.app).await?;
    key.ok_or_else(|| invalid("the app has no credentials yet"))
}

async fn for_app(call: &Call, asked: &TokenRequest, ttl: Option<u64>) -> Result<Answer> {
    let id = required(asked.client_id.as_deref(), "client_id")?;
    let secret = required(asked.client_secret.as_deref(), "client_secret")?;
    if !call.app.check_credentials(id, secret).await? {
        return Err(invalid("client_id or client_secret is wrong"));
    }
    let token = token::write(&key(call).await?, call.app.key(), None, ttl)?;
    Ok(answer(
        &token,
        ttl,
        json!({"application": app_uuid(call.app.key())}),
    ))
}

async fn for_user(call: &Call, user: &User, ttl: Option<u64>) -> Result<Answer> {
    if user.is_banned {
        return Err(invalid("the user is banned"));
    }
    let holder = Holder {
        id: user.id.as_str().to_owned(),
        uuid: uuid(user.uuid),
        revision: call.app.users().token_revision(&user.id).await?,
    };
    let token = token::write(&key(call).await?, call.app.key(), Some(holder), ttl)?;
    Ok(answer(&token, ttl, json!({"user": UserEntity::of(user)})))
}

async fn known(call: &Call, name: &str) -> Result<User> {
    let user = UserId::parse(name)?;
    call.app
        .users()
        .get(&user)
        .await
        .map_err(|error| Refusal::from(error).if_missing(|refusal| refusal.called("invalid_grant")))
}

async fn by_password(call: &Call, asked: &TokenRequest, ttl: Option<u64>) -> Result<Answer> {
    let name = required(asked.username.as_deref(), "username")?;
    let password = required(asked.password.as_deref(), "password")?;
    let user = known(call, name).await?;
    if user.is_banned {
        return Err(invalid("the user is banned"));
    }
    if !call.app.users().check_password(&user.id, password).await? {
        return Err(invalid("the password is wrong"));
    }
    for_user(call, &user, ttl).await
}

async fn by_inheritance(call: &Call, asked: &TokenRequest, ttl: Option<u64>) -> Result<Answer> {
    let name = required(asked.username.as_deref(), "username")?;
    if authenticate(&call.service.keys, &call.app, &call.headers).await? != Caller::App {
        return Err(Refusal::forbidden(
            "only the app gives tokens without a password",
        ));
    }
    let user = match known(call, name).await {
        Err(refusal) if refusal.is_not_found() && asked.auto_create_user == Some(true) => {
            let account = Account::new(UserId::parse(name)?);
            call.app.users().register(account).await?
        }
        found => found?,
    };
    for_user(call, &user, ttl).await
}
