//! Tokens: signed by the app's own key, so that one app's tokens say nothing to another.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tidestore::plan::AppKey;

use super::malformed;
use crate::refusal::{Refusal, Result};

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    /// The app it is for.
    app: String,
    /// Until when it holds, in seconds since 1970; without it, for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    /// When it was made, in seconds since 1970.
    iat: u64,
    /// The user it is for; without one it is the app's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<Holder>,
}

/// The user whom a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) id: String,
    /// Tells him from another who has the same id later.
    pub(super) uuid: String,
    /// Grows when all his tokens are revoked.
    pub(super) revision: u64,
}

/// The longest token that is looked at: ours are below 600 bytes.
const TOKEN_BYTES: usize = 2_048;

/// Makes a token.
pub(super) fn write(
    key: &[u8; 32],
    app: &AppKey,
    user: Option<Holder>,
    ttl: Option<u64>,
) -> Result<String> {
    write_at(crate::answer::timestamp() / 1_000, key, app, user, ttl)
}

fn write_at(
    now: u64,
    key: &[u8; 32],
    app: &AppKey,
    user: Option<Holder>,
    ttl: Option<u64>,
) -> Result<String> {
    let claims = Claims {
        app: app.as_str().to_owned(),
        exp: ttl.map(|ttl| now.saturating_add(ttl)),
        iat: now,
        user,
    };
    let key = EncodingKey::from_secret(key);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|error| malformed(&format!("no token can be made: {error}")))
}

/// Reads a token and checks it.
pub(super) fn read(key: &[u8; 32], app: &AppKey, token: &str) -> Result<Claims> {
    if token.len() > TOKEN_BYTES {
        return Err(malformed("the token is too long to be one of ours"));
    }
    let mut how = Validation::new(Algorithm::HS256);
    how.required_spec_claims.clear();
    how.leeway = 0;
    let key = DecodingKey::from_secret(key);
    let claims = match jsonwebtoken::decode::<Claims>(token, &key, &how) {
        Ok(decoded) => decoded.claims,
        Err(error) if *error.kind() == ErrorKind::ExpiredSignature => {
            return Err(Refusal::unauthorized("the token has expired"));
        }
        Err(_) => return Err(malformed("the token is not one of this app's")),
    };
    if claims.app != app.as_str() {
        return Err(malformed("the token is another app's"));
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(key: &str) -> AppKey {
        AppKey::parse(key).unwrap()
    }

    #[test]
    fn a_token_is_read_with_its_own_key_and_app_only() {
        let (key, other) = ([7; 32], [8; 32]);
        let (tea, milk) = (app("acme#tea"), app("acme#milk"));
        let holder = Holder {
            id: "ann".into(),
            uuid: "u".into(),
            revision: 3,
        };
        let token = write(&key, &tea, Some(holder.clone()), Some(60)).unwrap();
        assert_eq!(read(&key, &tea, &token).unwrap().user, Some(holder));
        for (key, app) in [(&other, &tea), (&key, &milk)] {
            let refused = read(key, app, &token).unwrap_err();
            assert_eq!(refused.error, "auth_bad_access_token");
        }
    }

    #[test]
    fn an_expired_token_says_so_and_one_without_an_end_holds() {
        let (key, tea) = ([7; 32], app("acme#tea"));
        let token = write_at(1_700_000_000, &key, &tea, None, Some(60)).unwrap();
        assert_eq!(read(&key, &tea, &token).unwrap_err().error, "unauthorized");
        let token = write(&key, &tea, None, None).unwrap();
        assert_eq!(read(&key, &tea, &token).unwrap().user, None);
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let (key, tea) = ([7; 32], app("acme#tea"));
        // The second says that it is signed by nothing.
        let unsigned = "eyJhbGciOiJub25lIn0.eyJhcHAiOiJhY21lI3RlYSIsImlhdCI6MX0.";
        for text in ["", unsigned, "a.b.c", &"x".repeat(1 << 16)] {
            let refused = read(&key, &tea, text).unwrap_err();
            assert_eq!(refused.error, "auth_bad_access_token");
        }
    }
}
