//! What all calls share.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tidestore::Store;
use tokio_util::sync::CancellationToken;

use crate::auth::Keys;
use crate::background::Away;
use crate::dispatch::{Peer, dispatch};
use crate::open;
use crate::options::ServerOptions;
use crate::push::{PushGateway, Pusher};
use crate::rates::Rates;
use crate::routes::Table;
use crate::thumbnails::Thumbnails;

/// What all calls share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) store: Store,
    pub(crate) options: ServerOptions,
    pub(crate) table: Table,
    pub(crate) rates: Rates,
    pub(crate) keys: Keys,
    pub(crate) thumbnails: Thumbnails,
    pub(crate) pusher: Pusher,
    pub(crate) away: Away,
    /// Ends what would go on for ever: live connections and work in the background.
    pub(crate) shutdown: CancellationToken,
}

impl Service {
    pub(crate) fn new(
        store: Store,
        options: ServerOptions,
        gateways: Vec<Arc<dyn PushGateway>>,
    ) -> io::Result<Self> {
        Ok(Self {
            rates: Rates::new(options.rates, &options.own_rates),
            thumbnails: Thumbnails::new(options.thumbnail_bytes),
            pusher: Pusher::new(&options, gateways)?,
            table: Table::new(),
            keys: Keys::default(),
            away: Away::default(),
            store,
            options,
            shutdown: CancellationToken::new(),
        })
    }

    /// The address that a request is counted on.
    pub(crate) fn peer(&self, parts: &request::Parts) -> IpAddr {
        let direct = parts.extensions.get::<Peer>().map(|peer| peer.0);
        let direct = direct.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        if !self.options.trusts_forwarded {
            return direct;
        }
        // The last one is what our own proxy has seen; those before it anybody can write, also as a header of their own.
        let forwarded = parts.headers.get_all("x-forwarded-for").iter().next_back();
        let last = forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next());
        last.and_then(|text| text.trim().parse().ok())
            .unwrap_or(direct)
    }
}

/// All that is answered: the calls of apps, and beside them what is for operators.
pub(crate) fn router(service: &Arc<Service>) -> Router {
    let of = Arc::clone(service);
    let calls = move |request: Request<Body>| answer(Arc::clone(&of), request);
    let ready = Arc::clone(service);
    let described = open::description(&service.table);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(move || open::ready(Arc::clone(&ready))))
        .route("/metrics", get(open::scrape))
        .route(
            "/openapi.json",
            get(move || async move { open::json(described) }),
        )
        .route("/", get(open::page))
        .fallback(calls)
}

async fn answer(service: Arc<Service>, request: Request<Body>) -> Response {
    if !service.options.cors {
        return dispatch(service, request).await;
    }
    let mut response = if request.method() == Method::OPTIONS {
        preflight(request.headers())
    } else {
        dispatch(service, request).await
    };
    let any = HeaderValue::from_static("*");
    response
        .headers_mut()
        .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}

/// Lets a page from elsewhere make its call.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, POST, PUT, DELETE");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("86400"),
    );
    response
}
