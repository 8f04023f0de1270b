//! What is answered without a token: signs of life, metrics, and the description of the interface.

use std::sync::{Arc, OnceLock};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

use crate::openapi;
use crate::routes::Table;
use crate::service::Service;

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Collects the metrics of this process for `/metrics`. To be called once, before the store is opened; without it the page
/// is empty.
///
/// # Errors
///
/// Somebody else collects them already.
pub fn metrics() -> Result<(), BuildError> {
    const SECONDS: [f64; 12] = [
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5,
    ];
    let builder = PrometheusBuilder::new().set_buckets(&SECONDS)?;
    let handle = builder.install_recorder()?;
    drop(METRICS.set(handle));
    Ok(())
}

/// The metrics in the format of Prometheus.
pub(crate) async fn scrape() -> Response {
    let Some(handle) = METRICS.get() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    handle.run_upkeep();
    let mut response = handle.render().into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Whether calls can be answered: no shard has given up, and the service does not stop.
pub(crate) async fn ready(service: Arc<Service>) -> Response {
    let stopped = service.shutdown.is_cancelled();
    let status = service.store.status().await;
    match status {
        Ok(status) if !stopped && status.shards.iter().all(|shard| shard.poisoned.is_none()) => {
            "ready\n".into_response()
        }
        Ok(_) if stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "a shard takes no more\n").into_response(),
        Err(error) => {
            tracing::warn!(%error, "the store has no status");
            (StatusCode::SERVICE_UNAVAILABLE, "the store has no status\n").into_response()
        }
    }
}

/// The description of the interface, written once.
pub(crate) fn description(table: &Table) -> &'static str {
    static DESCRIPTION: OnceLock<String> = OnceLock::new();
    DESCRIPTION.get_or_init(|| openapi::describe(table).to_string())
}

pub(crate) fn json(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// A page to browse the description. It needs nothing from elsewhere.
pub(crate) async fn page() -> Html<&'static str> {
    Html(include_str!("browse.html"))
}
