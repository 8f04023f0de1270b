//! One call: who makes it, what it names, and what it brings.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tidestore::App;
use tidestore::plan::{Limits, ResourceId, UserId};

use crate::auth::Caller;
use crate::body::{self, JSON_BYTES};
use crate::lenient::is_absent;
use crate::refusal::{Refusal, Result};
use crate::service::Service;

/// One call on its way through a handler.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) service: Arc<Service>,
    pub(crate) app: App,
    pub(crate) caller: Caller,
    /// The variable parts of the path, decoded.
    pub(crate) params: Params,
    /// The query, decoded, in its order.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    /// Locked only so that a call can be looked at from two threads, which a body alone cannot.
    pub(crate) body: Mutex<Body>,
    pub(crate) peer: IpAddr,
    /// What turns the connection into a WebSocket, where the client asks for it.
    pub(crate) upgrade: Option<WebSocketUpgrade>,
}

/// The variable parts of a path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(pub(crate) Vec<(String, String)>);

impl Params {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter();
        all.find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }

    /// The user whom the path names first.
    pub(crate) fn user(&self) -> Option<&str> {
        self.get("username").or_else(|| self.get("owner_username"))
    }
}

impl Call {
    /// A part of the path, which the route has.
    pub(crate) fn param(&self, name: &str) -> Result<&str> {
        let found = self.params.get(name);
        found.ok_or_else(|| Refusal::argument(format!("{name} is missing")))
    }

    /// A user whom the path names.
    pub(crate) fn user_in(&self, name: &str) -> Result<UserId> {
        Ok(UserId::parse(self.param(name)?)?)
    }

    /// The user whom the path names first.
    pub(crate) fn user(&self) -> Result<UserId> {
        let named = self.params.user();
        let named = named.ok_or_else(|| Refusal::argument("username is missing"))?;
        Ok(UserId::parse(named)?)
    }

    /// A group, chatroom or thread that the path names. What is no id cannot exist.
    pub(crate) fn resource_in(&self, name: &str) -> Result<ResourceId> {
        Ok(ResourceId::parse(self.param(name)?)?)
    }

    /// The limits in force: the contract's, but for what the operator has set otherwise.
    pub(crate) fn limits(&self) -> &Limits {
        self.service.store.limits()
    }

    /// The parts of the path that a comma separates, each once.
    pub(crate) fn list_in(&self, name: &str) -> Result<Vec<String>> {
        let mut seen = HashSet::new();
        let parts = self.param(name)?.split(',').map(str::trim);
        let parts: Vec<_> = parts
            .filter(|part| !part.is_empty() && seen.insert(*part))
            .map(str::to_owned)
            .collect();
        if parts.is_empty() {
            return Err(Refusal::argument(format!("{name} is empty")));
        }
        Ok(parts)
    }

    /// The users whom a part of the path names.
    pub(crate) fn users_in(&self, name: &str) -> Result<Vec<UserId>> {
        users(&self.list_in(name)?)
    }

    /// A parameter of the query; `None` if it is empty.
    pub(crate) fn query_value(&self, name: &str) -> Option<&str> {
        let mut all = self.query.iter().rev();
        let found = all.find_map(|(key, value)| (key == name).then_some(value.as_str()))?;
        Some(found).filter(|value| !is_absent(value))
    }

    /// The parameters of the query that the call knows; others are none of its business.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T> {
        let known = self.query.iter().filter(|(_, value)| !is_absent(value));
        let fields: Map<String, Value> = known
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        let parsed = serde_json::from_value(fields.into());
        parsed.map_err(|error| Refusal::argument(format!("the query: {error}")))
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A header that says yes.
    pub(crate) fn is_flagged(&self, name: &str) -> bool {
        matches!(self.header(name), Some("true" | "1"))
    }

    /// The body, which is empty from now on.
    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::take(self.body.get_mut())
    }

    /// The bytes of the body, as many as a call without a file may have.
    pub(crate) async fn bytes(&mut self) -> Result<Bytes> {
        let body = self.take_body();
        let patience = self.service.options.body_patience();
        body::read(body, &self.headers, JSON_BYTES, patience).await
    }

    /// The body as a JSON object; one that is not there is empty.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.check_json()?;
        parse_object(&self.bytes().await?)
    }

    /// The body as JSON of any kind; one that is not there is an empty object.
    pub(crate) async fn any_json<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.check_json()?;
        parse(&self.bytes().await?)
    }

    /// Refuses what says of itself that it is something else than JSON.
    pub(crate) fn check_json(&self) -> Result<()> {
        let Some(kind) = self.header(header::CONTENT_TYPE.as_str()) else {
            return Ok(());
        };
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if kind.is_empty()
            || kind.eq_ignore_ascii_case("application/json")
            || kind.ends_with("+json")
        {
            return Ok(());
        }
        let text = format!("{kind:?} cannot be read; send application/json");
        Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "web_application",
            text,
        ))
    }

    /// The URL of the app, as the client knows this service.
    pub(crate) fn base_url(&self) -> String {
        let scheme = if self.service.options.tls_cert.is_some() {
            "https"
        } else {
            "http"
        };
        let listen = self.service.options.listen.to_string();
        let host = self.header(header::HOST.as_str()).unwrap_or(&listen);
        let key = self.app.key();
        format!("{scheme}://{host}/{}/{}", key.org(), key.app())
    }

    /// Refuses a user's token for what another user does.
    pub(crate) fn acts_for(&self, user: &UserId) -> Result<()> {
        match &self.caller {
            Caller::User(own) if own != user => {
                Err(Refusal::forbidden("the token is of another user"))
            }
            _ => Ok(()),
        }
    }

    /// The user whose token this is; `None` for the app's own.
    pub(crate) fn caller_user(&self) -> Option<&UserId> {
        match &self.caller {
            Caller::User(user) => Some(user),
            Caller::App => None,
        }
    }
}

/// Reads a JSON object. A list would pass for one whose fields stand in their order.
pub(crate) fn parse_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_none_or(|first| *first == b'{') {
        return parse(bytes);
    }
    parse::<serde::de::IgnoredAny>(bytes)?;
    let text = "the body is no object";
    Err(Refusal::new(
        StatusCode::BAD_REQUEST,
        "invalid_request_body",
        text,
    ))
}

/// Reads JSON, and tells what is no JSON from what has other fields.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| {
        let word = if error.is_data() {
            "invalid_request_body"
        } else {
            "json_parse"
        };
        Refusal::new(StatusCode::BAD_REQUEST, word, format!("the body: {error}"))
    })
}

/// Ids of users, in their order. One who is named twice, in whatever spelling, is meant once.
pub(crate) fn users(names: &[impl AsRef<str>]) -> Result<Vec<UserId>> {
    let mut seen = HashSet::new();
    let mut once = Vec::with_capacity(names.len());
    for name in names {
        let user = UserId::parse(name.as_ref())?;
        if seen.insert(user.clone()) {
            once.push(user);
        }
    }
    Ok(once)
}

/// A field that must be there.
pub(crate) fn required<T>(field: Option<T>, name: &str) -> Result<T> {
    field.ok_or_else(|| Refusal::argument(format!("{name} is missing")))
}
