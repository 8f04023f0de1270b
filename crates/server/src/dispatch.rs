//! From a request to its call, and from what became of it to the answer.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{Method as HttpMethod, Request, StatusCode, header, request};
use axum::response::Response;
use parking_lot::Mutex;
use tidestore::plan::{AppKey, Method};
use tidestore::{App, ErrorKind};
use tokio::time::Instant;

use crate::answer::{Around, refuse};
use crate::auth::{Access, Caller, authenticate, authenticate_token};
use crate::body;
use crate::call::{Call, Params};
use crate::entities::app_uuid;
use crate::rates::Who;
use crate::refusal::{Refusal, Result};
use crate::routes::{AnswerKind, Charge, Found, Route};
use crate::service::Service;

/// The address that a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The longest path and query that are looked at: sixty names of 64 characters, each of them encoded.
const URI_BYTES: usize = 16 << 10;

/// Answers a request.
pub(crate) async fn dispatch(service: Arc<Service>, request: Request<Body>) -> Response {
    let started = Instant::now();
    let (mut parts, body) = request.into_parts();
    let patience = service.options.body_patience();
    let body = match body::at_hand(body, &parts.headers, patience).await {
        Ok(body) => body,
        Err(refusal) => return refuse(&refusal, started),
    };
    let (operation, answered) = match prepare(&service, &mut parts, body, started).await {
        Ok((route, call, around)) => {
            let operation = route.operation;
            let done = perform(&service, route, call).await;
            (operation, done.map(|answer| answer.into_response(&around)))
        }
        Err(refusal) => ("none", Err(refusal)),
    };
    let response = answered.unwrap_or_else(|refusal| refuse(&refusal, started));
    note(operation, &parts, &response, started);
    response
}

/// The parts of a path: organisation, app, and the rest from its slash on.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    let (org, rest) = path.strip_prefix('/')?.split_once('/')?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (app, rest) = rest.split_at(at);
    Some((org, app, rest))
}

fn method_of(method: &HttpMethod) -> Option<(Method, &'static str)> {
    match *method {
        HttpMethod::GET => Some((Method::Get, "get")),
        HttpMethod::POST => Some((Method::Post, "post")),
        HttpMethod::PUT => Some((Method::Put, "put")),
        HttpMethod::DELETE => Some((Method::Delete, "delete")),
        _ => None,
    }
}

async fn prepare<'s>(
    service: &'s Arc<Service>,
    parts: &mut request::Parts,
    body: Body,
    started: Instant,
) -> Result<(&'s Route, Call, Around)> {
    let uri = parts.uri.to_string();
    if uri.len() > URI_BYTES {
        return Err(Refusal::new(
            StatusCode::URI_TOO_LONG,
            "illegal_argument",
            "the path is too long",
        ));
    }
    let path = parts.uri.path().to_owned();
    let (org, name, rest) =
        split(&path).ok_or_else(|| Refusal::not_found("there is nothing here"))?;
    let method = method_of(&parts.method);
    let (route, params) = match service.table.find(method.map(|(method, _)| method), rest) {
        Found::Route(route, params) => (route, params),
        Found::OtherMethod => {
            let text = format!("{} cannot be used here", parts.method);
            return Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "web_application",
                text,
            ));
        }
        Found::Malformed => return Err(Refusal::argument("the path is not UTF-8")),
        Found::Nothing => return Err(Refusal::not_found("there is no such call")),
    };
    let app = find_app(service, org, name)?;
    let query: Vec<(String, String)> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let peer = service.peer(parts);
    let caller = match route.access {
        Access::Open => Caller::App,
        // A browser cannot give a WebSocket a header.
        _ if matches!(route.answer, AnswerKind::Stream)
            && !parts.headers.contains_key(header::AUTHORIZATION) =>
        {
            let mut all = query.iter();
            let token = all.find_map(|(name, value)| (name == "access_token").then_some(value));
            authenticate_token(&service.keys, &app, token.map_or("", String::as_str)).await?
        }
        _ => authenticate(&service.keys, &app, &parts.headers).await?,
    };
    let around = Around {
        org: app.key().org().to_owned(),
        app: app.key().app().to_owned(),
        uuid: app_uuid(app.key()),
        uri,
        path: rest.to_owned(),
        method: method.map_or("", |(_, name)| name),
        params: query.clone(),
        started,
    };
    // Whoever upgrades the connection needs what hyper left here.
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await.ok();
    let call = Call {
        service: Arc::clone(service),
        app,
        caller,
        params,
        query,
        headers: std::mem::take(&mut parts.headers),
        body: Mutex::new(body),
        peer,
        upgrade,
    };
    Ok((route, call, around))
}

fn find_app(service: &Service, org: &str, name: &str) -> Result<App> {
    let unknown = || {
        let word = "organization_application_not_found";
        Refusal::new(StatusCode::NOT_FOUND, word, "there is no such app")
    };
    let decode = |text| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .ok()
    };
    let (Some(org), Some(name)) = (decode(org), decode(name)) else {
        return Err(unknown());
    };
    let key = AppKey::parse(&format!("{org}#{name}")).map_err(|_| unknown())?;
    service.store.app(&key).map_err(|error| match error.kind() {
        ErrorKind::UnknownApp => unknown(),
        _ => error.into(),
    })
}

async fn perform(service: &Service, route: &Route, call: Call) -> Result<crate::answer::Answer> {
    let row = match route.charge {
        Charge::First => route.rows.first(),
        Charge::List(name) => {
            let is_list = call
                .params
                .get(name)
                .is_some_and(|value| value.contains(','));
            if is_list {
                route.rows.get(1)
            } else {
                route.rows.first()
            }
        }
        Charge::Handler => None,
    };
    if let Some(row) = row {
        charge(service, *row, 1, &call.params, &call)?;
    }
    route.access.check(&call).await?;
    route.call(call).await
}

fn charge(service: &Service, row: u8, n: usize, params: &Params, call: &Call) -> Result<()> {
    let who = Who {
        app: call.app.id(),
        user: params.user(),
        address: call.peer,
    };
    service.rates.charge(row, n, who, call.app.key().as_str())
}

impl Call {
    /// Counts `n` calls or messages on a row, where the body decides which or how many.
    pub(crate) fn charge(&self, row: u8, n: usize) -> Result<()> {
        charge(&self.service, row, n, &self.params, self)
    }
}

fn note(operation: &'static str, parts: &request::Parts, response: &Response, started: Instant) {
    let status = response.status().as_u16();
    let labels = [
        ("operation", operation.to_owned()),
        ("status", status.to_string()),
    ];
    metrics::counter!("tidestore_http_requests_total", &labels).increment(1);
    let seconds = started.elapsed().as_secs_f64();
    metrics::histogram!("tidestore_http_seconds", "operation" => operation).record(seconds);
    // The path without its query, which may hold secrets.
    tracing::debug!(operation, method = %parts.method, path = parts.uri.path(), status, seconds, "answered");
}
