//! Bodies of requests: bounded in bytes and in time before anything looks into them.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;

use crate::refusal::{Refusal, Result};

/// The largest body of a call without a file: 600 receivers of 64 characters are 40 KB, and nothing else comes near.
pub(crate) const JSON_BYTES: usize = 128 << 10;

pub(crate) fn too_large(max: usize) -> Refusal {
    let text = format!("the body is larger than {max} bytes");
    let error = "Request Entity Too Large";
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error, text)
}

pub(crate) fn too_slow() -> Refusal {
    let text = "the body did not come in time";
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "web_application", text)
}

/// What a request says of its length.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Reads a whole body of at most `max` bytes, which has to be here within `patience`.
pub(crate) async fn read(
    body: Body,
    headers: &HeaderMap,
    max: usize,
    patience: Duration,
) -> Result<Bytes> {
    if let Some(length) = announced(headers).filter(|length| *length > max as u64) {
        if length <= TAKEN_IN_BYTES {
            drop(tokio::time::timeout(patience, discard(body)).await);
        }
        return Err(too_large(max));
    }
    let reading = read_up_to(body, max);
    tokio::time::timeout(patience, reading)
        .await
        .unwrap_or_else(|_| Err(too_slow()))
}

/// Bodies up to this size are taken in before the call is looked at: a connection whose request was not read to its end
/// cannot be used again, and clients are surprised by that. For all connections together it is not much memory.
const AT_HAND_BYTES: u64 = 16 << 10;

/// A small body as it is in memory, a larger one as it is.
pub(crate) async fn at_hand(body: Body, headers: &HeaderMap, patience: Duration) -> Result<Body> {
    match announced(headers) {
        Some(0) => Ok(body),
        Some(length) if length > AT_HAND_BYTES => Ok(body),
        None if !headers.contains_key(header::TRANSFER_ENCODING) => Ok(body),
        _ => tokio::time::timeout(patience, begin(body))
            .await
            .unwrap_or_else(|_| Err(too_slow())),
    }
}

/// Takes in a body that may turn out to be small: its beginning is in memory then, and the rest comes behind it.
async fn begin(mut body: Body) -> Result<Body> {
    let mut begun = BytesMut::new();
    while (begun.len() as u64) < AT_HAND_BYTES {
        let Some(frame) = body.frame().await else {
            return Ok(Body::from(begun.freeze()));
        };
        if let Ok(data) = frame.map_err(|_| cut_short())?.into_data() {
            begun.extend_from_slice(&data);
        }
    }
    let begun = stream::iter([Ok(begun.freeze())]);
    Ok(Body::from_stream(begun.chain(body.into_data_stream())))
}

/// A refused body up to this size is taken in all the same: a client that is still sending when the connection is closed
/// does not see its answer.
const TAKEN_IN_BYTES: u64 = 1 << 20;

async fn discard(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}

async fn read_up_to(mut body: Body, max: usize) -> Result<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| cut_short())?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > max {
            return Err(too_large(max));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

pub(crate) fn cut_short() -> Refusal {
    let text = "the body ended early";
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_request_body", text)
}
