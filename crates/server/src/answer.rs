//! What a call answers: the service's envelope, or what has none.

use tidestore::disk::{Clock, RealClock};
use tokio::time::Instant;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::refusal::{Refusal, Result};

/// The answer to a call that was done.
#[derive(Debug)]
pub(crate) enum Answer {
    /// In the envelope.
    Enveloped(Box<Envelope>),
    /// These fields and nothing around them.
    Bare(Value),
    /// Bytes, such as a file.
    Raw(Response),
}

/// The envelope: fields that a call leaves out are not sent, or sent empty as the service does.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) action: Option<&'static str>,
    pub(crate) entities: Option<Value>,
    pub(crate) data: Option<Value>,
    pub(crate) count: Option<usize>,
    pub(crate) cursor: Option<String>,
    /// Threads put their cursor there.
    pub(crate) properties: Option<Value>,
}

/// What the envelope says of the request.
#[derive(Clone, Debug)]
pub(crate) struct Around {
    pub(crate) org: String,
    pub(crate) app: String,
    pub(crate) uuid: String,
    pub(crate) uri: String,
    pub(crate) path: String,
    pub(crate) method: &'static str,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) started: Instant,
}

/// Milliseconds since 1970 by the wall clock.
pub(crate) fn timestamp() -> u64 {
    RealClock.wall()
}

fn value(what: &impl Serialize) -> Result<Value> {
    serde_json::to_value(what).map_err(|error| {
        let text = format!("the answer cannot be written: {error}");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", text)
    })
}

impl Answer {
    /// `data`.
    pub(crate) fn data(data: &impl Serialize) -> Result<Self> {
        Ok(Self::of(Envelope {
            data: Some(value(data)?),
            ..Envelope::default()
        }))
    }

    /// `entities`.
    pub(crate) fn entities(entities: &[impl Serialize]) -> Result<Self> {
        Ok(Self::of(Envelope {
            entities: Some(value(&entities)?),
            ..Envelope::default()
        }))
    }

    /// `data` with the number of its entries.
    pub(crate) fn list(data: &[impl Serialize]) -> Result<Self> {
        Ok(Self::data(&data)?.count(data.len()))
    }

    /// No more than the envelope.
    pub(crate) fn empty() -> Self {
        Self::of(Envelope::default())
    }

    /// Fields without an envelope.
    pub(crate) fn bare(fields: Value) -> Self {
        Self::Bare(fields)
    }

    fn of(envelope: Envelope) -> Self {
        Self::Enveloped(Box::new(envelope))
    }

    fn change(mut self, change: impl FnOnce(&mut Envelope)) -> Self {
        if let Self::Enveloped(envelope) = &mut self {
            change(envelope);
        }
        self
    }

    #[must_use]
    pub(crate) fn action(self, action: &'static str) -> Self {
        self.change(|envelope| envelope.action = Some(action))
    }

    #[must_use]
    pub(crate) fn count(self, count: usize) -> Self {
        self.change(|envelope| envelope.count = Some(count))
    }

    /// The cursor of the next page; absent on the last.
    #[must_use]
    pub(crate) fn cursor(self, cursor: Option<String>) -> Self {
        self.change(|envelope| envelope.cursor = cursor)
    }

    #[must_use]
    pub(crate) fn properties(self, properties: Value) -> Self {
        self.change(|envelope| envelope.properties = Some(properties))
    }

    #[must_use]
    pub(crate) fn with_data(self, data: Value) -> Self {
        self.change(|envelope| envelope.data = Some(data))
    }

    /// As it goes over the wire.
    pub(crate) fn into_response(self, around: &Around) -> Response {
        match self {
            Self::Enveloped(envelope) => respond(StatusCode::OK, &envelope.around(around)),
            Self::Bare(fields) => respond(StatusCode::OK, &fields),
            Self::Raw(response) => response,
        }
    }
}

impl Envelope {
    fn around(self, around: &Around) -> Value {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("action", self.action.unwrap_or(around.method).into());
        put("application", around.uuid.as_str().into());
        put("applicationName", around.app.as_str().into());
        put("organization", around.org.as_str().into());
        put("uri", around.uri.as_str().into());
        put("path", around.path.as_str().into());
        put("entities", self.entities.unwrap_or_else(|| json!([])));
        if let Some(data) = self.data {
            put("data", data);
        }
        if let Some(count) = self.count {
            put("count", count.into());
        }
        if let Some(cursor) = self.cursor {
            put("cursor", cursor.into());
        }
        if let Some(properties) = self.properties {
            put("properties", properties);
        }
        if !around.params.is_empty() {
            let mut params = Map::new();
            for (name, value) in &around.params {
                let values = params.entry(name.clone()).or_insert_with(|| json!([]));
                if let Value::Array(values) = values {
                    values.push(value.as_str().into());
                }
            }
            put("params", params.into());
        }
        put("timestamp", timestamp().into());
        put("duration", duration(around.started).into());
        fields.into()
    }
}

fn duration(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A refusal as it goes over the wire.
pub(crate) fn refuse(refusal: &Refusal, started: Instant) -> Response {
    let body = json!({
        "error": refusal.error,
        "error_description": refusal.description,
        "exception": refusal.error,
        "timestamp": timestamp(),
        "duration": duration(started),
    });
    let mut response = respond(refusal.status, &body);
    if let Some(after) = refusal.retry_after {
        let seconds = after.as_secs_f64().ceil().max(1.0);
        if let Ok(seconds) = HeaderValue::from_str(&format!("{seconds:.0}")) {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
    }
    response
}

/// JSON with a status.
pub(crate) fn respond(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
