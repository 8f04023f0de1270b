//! History files: row 25, and the file behind its link.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use tidestore::HistoryFile;
use tidestore::plan::Method;

use crate::answer::{Answer, timestamp};
use crate::auth::Access;
use crate::call::Call;
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(25, Access::App, link).data::<Vec<Link>>(),
        Route::beside(
            "download_history",
            Method::Get,
            "/chatmessages/{time}/file",
            Access::Open,
            download,
        )
        .bytes(),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
struct Link {
    url: String,
}

/// The beginning of an hour that is written `yyyyMMddHH`, in UTC, in milliseconds since 1970.
fn hour(text: &str) -> Result<u64> {
    let wrong = || Refusal::argument(format!("{text:?} is no hour: write yyyyMMddHH"));
    if text.len() != 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let time = DateTime::strptime("%Y%m%d%H%M", format!("{text}00")).map_err(|_| wrong())?;
    let time = time.to_zoned(TimeZone::UTC).map_err(|_| wrong())?;
    u64::try_from(time.timestamp().as_millisecond()).map_err(|_| wrong())
}

/// Signs an hour and an end of time for one app.
async fn signature(call: &Call, hour: u64, expires: u64) -> Result<blake3::Hash> {
    let key = call.service.keys.of(&call.app).await?;
    let key = key.ok_or_else(|| Refusal::unauthorized("the app has no credentials yet"))?;
    let key = blake3::derive_key("tidestore 2026 links to history files", &key);
    let signed = format!("{}/{hour}/{expires}", call.app.key());
    Ok(blake3::keyed_hash(&key, signed.as_bytes()))
}

async fn link(call: Call) -> Result<Answer> {
    let text = call.param("time")?;
    let hour = hour(text)?;
    let mut file = call.app.history_file(hour)?;
    // One message is enough to know that there is something.
    while file.messages() == 0 {
        if file.next().await?.is_none() {
            break;
        }
    }
    if file.messages() == 0 {
        let error = "storage_object_not_found";
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            error,
            "there is no message in that hour",
        ));
    }
    let expires = timestamp() / 1_000 + call.service.options.link_seconds;
    let signature = signature(&call, hour, expires).await?.to_hex();
    let url = format!(
        "{}/chatmessages/{text}/file?Expires={expires}&Signature={signature}",
        call.base_url(),
    );
    Answer::data(&[Link { url }])
}

async fn download(call: Call) -> Result<Answer> {
    let hour = hour(call.param("time")?)?;
    let refused = || Refusal::unauthorized("the link has expired, or was never given");
    let expires: u64 = call
        .query_value("Expires")
        .and_then(|text| text.parse().ok())
        .ok_or_else(refused)?;
    let signed = call
        .query_value("Signature")
        .and_then(|text| blake3::Hash::from_hex(text).ok());
    // Hashes compare in constant time.
    if signed != Some(signature(&call, hour, expires).await?) || expires < timestamp() / 1_000 {
        return Err(refused());
    }
    let file = call.app.history_file(hour)?;
    let mut response = Response::new(Body::from_stream(pieces(file)));
    let kind = HeaderValue::from_static("application/gzip");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(Answer::Raw(response))
}

/// The file as it is written. One that fails is cut: its end is missing, which every reader of gzip notices.
fn pieces(
    file: HistoryFile,
) -> impl futures_util::Stream<Item = Result<bytes::Bytes, std::io::Error>> {
    stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        match file.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(file))),
            Ok(None) => None,
            Err(error) => Some((Err(std::io::Error::other(error.to_string())), None)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_ten_digits_of_a_date() {
        assert_eq!(hour("1970010101").unwrap(), 3_600_000);
        assert_eq!(hour("2024022923").unwrap(), 1_709_247_600_000);
        for wrong in [
            "",
            "2024",
            "2024023001",
            "2024022924",
            "202402292x",
            "20240229230",
        ] {
            assert!(hour(wrong).is_err(), "{wrong}");
        }
    }
}
