//! What a message says: the fields of each type, checked before anything is stored.

use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::{Map, Value};
use tidestore::plan::{AttachmentId, Limit, Limits};
use tidestore::{App, Kind};

use crate::refusal::{Refusal, Result};

/// A message's type, body and extension as they are stored.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) kind: Kind,
    pub(super) body: Bytes,
    pub(super) ext: Bytes,
    /// The files that it may speak of.
    pub(super) urls: Vec<String>,
    /// Whether the sender wants nobody to be notified.
    pub(super) is_quiet: bool,
}

pub(super) fn send_error(text: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "message_send_error", text)
}

/// The kind that a type names.
pub(super) fn kind_of(name: &str) -> Result<Kind> {
    let mut all = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Notice);
    let found = all.find(|kind| kind.as_str() == name);
    found.ok_or_else(|| send_error(format!("{name:?} is no type of a message")))
}

/// Checks and takes over what a message says.
pub(super) fn content(
    limits: &Limits,
    kind: Kind,
    body: &Value,
    ext: Option<&Value>,
) -> Result<Content> {
    let Value::Object(fields) = body else {
        return Err(send_error("body is no object"));
    };
    if fields.is_empty() {
        return Err(send_error("body is empty"));
    }
    check(limits, kind, fields)?;
    let is_quiet = ext.is_some_and(|ext| ext["em_ignore_notification"] == Value::Bool(true));
    let ext = match ext {
        None | Some(Value::Null) => String::new(),
        Some(Value::Object(ext)) if ext.is_empty() => String::new(),
        Some(ext @ Value::Object(_)) => ext.to_string(),
        Some(_) => return Err(send_error("ext is no object")),
    };
    let body = body.to_string();
    limits.check(Limit::MessageContent, (body.len() + ext.len()) as u64)?;
    let urls = ["url", "thumb"]
        .into_iter()
        .filter_map(|name| fields.get(name)?.as_str());
    Ok(Content {
        kind,
        urls: urls.map(str::to_owned).collect(),
        body: body.into(),
        ext: ext.into(),
        is_quiet,
    })
}

fn check(limits: &Limits, kind: Kind, fields: &Map<String, Value>) -> Result<()> {
    let needs = |name: &str| match fields.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(()),
        _ => Err(send_error(format!(
            "a message of type {} needs {name}",
            kind.as_str()
        ))),
    };
    let coordinate = |name: &str| match fields.get(name) {
        Some(Value::Number(_)) => Ok(()),
        Some(Value::String(text)) if text.parse::<f64>().is_ok_and(f64::is_finite) => Ok(()),
        _ => Err(send_error(format!("{name} is no coordinate"))),
    };
    match kind {
        // Some clients send empty texts, which say something with their extension.
        Kind::Text => match fields.get("msg") {
            Some(Value::String(_)) => Ok(()),
            _ => Err(send_error("a message of type txt needs msg")),
        },
        Kind::Image | Kind::Audio | Kind::Video | Kind::File => needs("url"),
        Kind::Location => {
            coordinate("lat")?;
            coordinate("lng")?;
            needs("addr")
        }
        Kind::Command => needs("action"),
        Kind::Custom => custom(limits, fields),
        Kind::Notice => Err(send_error("notices are the store's own")),
    }
}

fn custom(limits: &Limits, fields: &Map<String, Value>) -> Result<()> {
    match fields.get("customEvent") {
        None | Some(Value::Null) => {}
        Some(Value::String(event)) => {
            let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_/.".contains(c);
            let fits = limits.check_text(Limit::CustomEvent, event).is_ok();
            if event.is_empty() || !fits || !event.chars().all(is_fine) {
                return Err(send_error("customEvent has to match [a-zA-Z0-9-_/.]{1,32}"));
            }
        }
        Some(_) => return Err(send_error("customEvent is no text")),
    }
    // A map, or as older clients send it, a list of maps with one entry each.
    let entries = match fields.get("customExts") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(map)) => map.values().collect::<Vec<_>>(),
        Some(Value::Array(maps)) => maps
            .iter()
            .flat_map(|map| map.as_object().into_iter().flat_map(Map::values))
            .collect(),
        Some(_) => return Err(send_error("customExts is no map")),
    };
    if entries.len() as u64 > limits.max(Limit::CustomExts) {
        return Err(send_error(format!(
            "customExts has over {} entries",
            limits.max(Limit::CustomExts)
        )));
    }
    if entries.iter().any(|entry| !entry.is_string()) {
        return Err(send_error("customExts holds something else than text"));
    }
    Ok(())
}

/// The files of this app that a message speaks of: they live as long as it does. Others may be kept elsewhere.
pub(super) async fn attachments(app: &App, urls: &[String]) -> Result<Vec<AttachmentId>> {
    let mut found = Vec::new();
    for url in urls {
        let Some(id) = own_file(url) else {
            continue;
        };
        match app.attachment(id).await.map_err(Refusal::from) {
            Ok(_) if !found.contains(&id) => found.push(id),
            Ok(_) => {}
            Err(refusal) if refusal.is_not_found() => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(found)
}

/// The id in a URL that ends with `/chatfiles/{uuid}`.
pub(super) fn own_file(url: &str) -> Option<AttachmentId> {
    let (_, rest) = url.rsplit_once("/chatfiles/")?;
    let id = rest.split(['?', '#', '/']).next()?;
    AttachmentId::parse(id).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(kind: &str, body: &Value) -> Result<Content> {
        content(&Limits::default(), kind_of(kind)?, body, None)
    }

    #[test]
    fn each_type_needs_its_fields() {
        for (kind, body) in [
            ("txt", json!({"msg": ""})),
            ("img", json!({"url": "u"})),
            ("audio", json!({"url": "u", "length": 3})),
            ("video", json!({"url": "u", "thumb": "t"})),
            ("file", json!({"url": "u"})),
            ("loc", json!({"lat": "39.9", "lng": 116.3, "addr": "here"})),
            ("cmd", json!({"action": "a"})),
            (
                "custom",
                json!({"customEvent": "a/b.c-d_e", "customExts": {"a": "b"}}),
            ),
            ("custom", json!({"customExts": [{"a": "b"}, {"c": "d"}]})),
        ] {
            assert!(of(kind, &body).is_ok(), "{kind} {body}");
        }
        for (kind, body) in [
            ("txt", json!({"message": "hi"})),
            ("txt", json!("hi")),
            ("txt", json!({})),
            ("img", json!({"url": ""})),
            ("loc", json!({"lat": "north", "lng": 1, "addr": "here"})),
            ("loc", json!({"lat": "NaN", "lng": 1, "addr": "here"})),
            ("cmd", json!({"msg": "x"})),
            ("custom", json!({"customEvent": "a b"})),
            ("custom", json!({"customEvent": "x".repeat(33)})),
            ("custom", json!({"customExts": {"a": 1}})),
            ("notice", json!({"msg": "x"})),
            ("smoke", json!({"msg": "x"})),
        ] {
            let refused = of(kind, &body).unwrap_err();
            assert_eq!(refused.error, "message_send_error", "{kind} {body}");
        }
        let many: Map<String, Value> = (0..17).map(|n| (n.to_string(), json!("x"))).collect();
        assert!(of("custom", &json!({"customExts": many})).is_err());
    }

    #[test]
    fn own_files_are_told_from_others() {
        let id = "01234567-89ab-8def-8123-456789abcdef";
        assert!(own_file(&format!("http://h/a/b/chatfiles/{id}?x=1")).is_some());
        for other in [
            "http://h/pic.png",
            "http://h/chatfiles/",
            "http://h/chatfiles/x",
        ] {
            assert_eq!(own_file(other), None);
        }
    }
}
