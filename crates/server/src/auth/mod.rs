//! Who makes a call, and what his token allows.

mod access;
mod issue;
mod keys;
mod token;

use axum::http::{HeaderMap, StatusCode, header};
use tidestore::App;
use tidestore::plan::UserId;

use crate::refusal::{Refusal, Result};

pub(crate) use access::Access;
pub(crate) use issue::routes;
pub(crate) use keys::Keys;

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The app itself: it may do anything in its own name and in its users'.
    App,
    /// One of its users.
    User(UserId),
}

/// The token of a request, as its header gives it.
fn bearer(headers: &HeaderMap) -> Result<&str> {
    let value = headers.get(header::AUTHORIZATION);
    let value =
        value.ok_or_else(|| Refusal::unauthorized("send a token: Authorization: Bearer …"))?;
    let text = value
        .to_str()
        .map_err(|_| malformed("the token is not text"))?;
    let (scheme, token) = text.trim().split_once(' ').unwrap_or(("Bearer", text));
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(malformed("only bearer tokens are known"))
    }
}

fn malformed(text: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "auth_bad_access_token", text)
}

/// Tells who makes a request, by the token in its header.
pub(crate) async fn authenticate(keys: &Keys, app: &App, headers: &HeaderMap) -> Result<Caller> {
    authenticate_token(keys, app, bearer(headers)?).await
}

/// Tells whose token this is.
pub(crate) async fn authenticate_token(keys: &Keys, app: &App, token: &str) -> Result<Caller> {
    let key = keys.of(app).await?;
    let key = key.ok_or_else(|| malformed("the app has no credentials yet"))?;
    let claims = token::read(&key, app.key(), token)?;
    let Some(holder) = claims.user else {
        return Ok(Caller::App);
    };
    let user = UserId::parse(&holder.id).map_err(|_| malformed("the token names no user"))?;
    let gone = || Refusal::unauthorized("the token was revoked; log in again");
    let account = app
        .users()
        .get(&user)
        .await
        .map_err(|error| Refusal::from(error).if_missing(|_| gone()))?;
    let revision = app.users().token_revision(&user).await?;
    // A user who was deleted and registered again is another one.
    if account.is_banned || holder.uuid != uuid(account.uuid) || holder.revision != revision {
        return Err(gone());
    }
    Ok(Caller::User(user))
}

/// A user's UUID as text.
pub(crate) fn uuid(bytes: [u8; 16]) -> String {
    uuid::Uuid::from_bytes(bytes).hyphenated().to_string()
}
