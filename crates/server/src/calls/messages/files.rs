//! Files of messages: rows 23 and 24.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Serialize;
use tidestore::plan::{AttachmentId, UserId};
use tidestore::{Attachment, Download};

use super::send::ADMIN;
use crate::answer::Answer;
use crate::auth::Access;
use crate::call::Call;
use crate::refusal::{Refusal, Result};
use crate::routes::Route;
use crate::thumbnails::{OWN_THUMBNAIL_BYTES, SIDE, SIDE_MAX};
use crate::upload;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(23, Access::User, put)
            .multipart::<File>()
            .entities::<Stored>(),
        Route::new(24, Access::User, get).bytes(),
    ]
}

/// The body of an upload. The words of the headers may also come as fields before the file.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct File {
    file: Vec<u8>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Stored {
    uuid: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "share-secret")]
    share_secret: String,
}

/// What the service keeps about a file beside its type: parameters of the media type, which are stripped before anybody
/// sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    is_restricted: bool,
    /// Width and height of the thumbnail, in pixels.
    thumbnail: Option<(u32, u32)>,
}

const RESTRICTED: &str = "; restrict-access=1";
const THUMBNAIL: &str = "; thumbnail=";

impl Kept {
    /// What headers or fields ask for.
    fn asked(word: impl Fn(&str) -> Option<String>) -> Self {
        let side = |name: &str| {
            let side: u32 = word(name)?.trim().parse().ok()?;
            (1..=SIDE_MAX).contains(&side).then_some(side)
        };
        let (width, height) = (side("thumbnail-width"), side("thumbnail-height"));
        let thumbnail = width
            .or(height)
            .map(|_| (width.unwrap_or(SIDE), height.unwrap_or(SIDE)));
        Self {
            is_restricted: matches!(word("restrict-access").as_deref(), Some("true" | "1")),
            thumbnail,
        }
    }

    /// The media type that is stored.
    fn stored(&self, kind: Option<String>) -> Option<String> {
        if *self == Self::default() {
            return kind;
        }
        let mut kind = kind.unwrap_or_else(|| "application/octet-stream".to_owned());
        if self.is_restricted {
            kind.push_str(RESTRICTED);
        }
        if let Some((width, height)) = self.thumbnail {
            kind.extend([THUMBNAIL, &width.to_string(), "x", &height.to_string()]);
        }
        Some(kind)
    }

    /// What was kept, and the type without it.
    fn of(stored: &str) -> (Self, &str) {
        let (kind, thumbnail) = match stored.rsplit_once(THUMBNAIL) {
            Some((kind, sides)) => (kind, sides),
            None => (stored, ""),
        };
        let sides = thumbnail.split_once('x');
        let sides =
            sides.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
        let (kind, is_restricted) = match kind.strip_suffix(RESTRICTED) {
            Some(kind) => (kind, true),
            None => (kind, false),
        };
        (
            Self {
                is_restricted,
                thumbnail: sides,
            },
            kind,
        )
    }
}

/// The secret of a file: whoever has it may read it although it is restricted.
async fn share_secret(call: &Call, id: AttachmentId) -> Result<blake3::Hash> {
    let key = call.service.keys.of(&call.app).await?;
    let key = key.ok_or_else(|| Refusal::unauthorized("the app has no credentials yet"))?;
    let key = blake3::derive_key("tidestore 2026 share secrets of files", &key);
    Ok(blake3::keyed_hash(&key, &id.to_bytes()))
}

async fn put(mut call: Call) -> Result<Answer> {
    let uploader = match call.caller_user() {
        Some(user) => user.clone(),
        None => UserId::parse(ADMIN)?,
    };
    let names = ["restrict-access", "thumbnail-width", "thumbnail-height"];
    let headers: Vec<(String, String)> = names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), call.header(name)?.to_owned())))
        .collect();
    let storing = upload::store(&mut call, uploader, |kind, fields| {
        let word = |name: &str| {
            let mut all = headers.iter().chain(fields);
            all.find_map(|(key, value)| (key == name).then(|| value.clone()))
        };
        Kept::asked(word).stored(kind)
    });
    let attachment = storing.await?.attachment;
    let secret = share_secret(&call, attachment.id).await?.to_hex();
    Answer::entities(&[Stored {
        uuid: attachment.id.to_string(),
        kind: "chatfile",
        share_secret: secret.to_string(),
    }])
}

fn no_such_file(text: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "entity_not_found", text)
}

async fn get(call: Call) -> Result<Answer> {
    let id = AttachmentId::parse(call.param("file_uuid")?);
    let id = id.map_err(|error| no_such_file(&error.to_string()))?;
    let attachment = call.app.attachment(id).await?;
    let (kept, kind) = Kept::of(&attachment.media_type);
    if kept.is_restricted {
        let given = call
            .header("share-secret")
            .or_else(|| call.query_value("share-secret"));
        let given = given.and_then(|text| blake3::Hash::from_hex(text).ok());
        if given != Some(share_secret(&call, id).await?) {
            return Err(Refusal::unauthorized("the file needs its share-secret"));
        }
    }
    if call.is_flagged("thumbnail") || call.query_value("thumbnail") == Some("true") {
        return thumbnail(&call, &attachment, kept.thumbnail.unwrap_or((SIDE, SIDE))).await;
    }
    let kind = kind.to_owned();
    serve(
        &call,
        &Shown {
            id,
            name: &attachment.name,
            kind: &kind,
            length: attachment.length,
        },
    )
    .await
}

async fn thumbnail(call: &Call, attachment: &Attachment, sides: (u32, u32)) -> Result<Answer> {
    let (app, id) = (call.app.id(), attachment.id);
    let (_, kind) = Kept::of(&attachment.media_type);
    if kind.starts_with("image/") && attachment.length <= OWN_THUMBNAIL_BYTES {
        let shown = Shown {
            id,
            name: &attachment.name,
            kind,
            length: attachment.length,
        };
        return serve(call, &shown).await;
    }
    let made = match call.service.thumbnails.get(app, id) {
        Some(made) => Some(made),
        None if kind.starts_with("image/") => {
            let picture = call.app.open_attachment(id).await?.read_to_end().await?;
            call.service.thumbnails.make(app, id, picture, sides).await
        }
        None => None,
    };
    let made = made.ok_or_else(|| no_such_file("there is no thumbnail of this file"))?;
    let mut response = Response::new(Body::from(made));
    let jpeg = HeaderValue::from_static("image/jpeg");
    response.headers_mut().insert(header::CONTENT_TYPE, jpeg);
    Ok(Answer::Raw(response))
}

/// A file as it is shown to whoever asks for it.
#[derive(Clone, Copy, Debug)]
pub(in crate::calls) struct Shown<'a> {
    pub(in crate::calls) id: AttachmentId,
    pub(in crate::calls) name: &'a str,
    pub(in crate::calls) kind: &'a str,
    pub(in crate::calls) length: u64,
}

/// The range that a request asks for: `None` for all, an error if there is nothing in it.
fn range(header: Option<&str>, length: u64) -> Result<Option<Range<u64>>> {
    // Several ranges, and other units, may be answered with everything.
    let Some((from, to)) = header
        .and_then(|text| text.strip_prefix("bytes="))
        .filter(|text| !text.contains(','))
        .and_then(|text| text.split_once('-'))
    else {
        return Ok(None);
    };
    let range = match (from.trim().parse::<u64>(), to.trim().parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to => from..to.saturating_add(1).min(length),
        (Ok(from), Err(_)) if to.trim().is_empty() => from..length,
        (Err(_), Ok(last)) if from.trim().is_empty() => length.saturating_sub(last)..length,
        _ => return Ok(None),
    };
    if range.start >= range.end {
        let text = format!("the file is {length} bytes long");
        return Err(Refusal::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "illegal_argument",
            text,
        ));
    }
    Ok(Some(range))
}

/// Streams a file, or the part of it that the request asks for.
pub(in crate::calls) async fn serve(call: &Call, shown: &Shown<'_>) -> Result<Answer> {
    let range = range(call.header("range"), shown.length)?;
    let (status, download) = match &range {
        None => (StatusCode::OK, call.app.open_attachment(shown.id).await?),
        Some(range) => (
            StatusCode::PARTIAL_CONTENT,
            call.app
                .open_attachment_range(shown.id, range.clone())
                .await?,
        ),
    };
    let remaining = download.remaining();
    let mut response = Response::new(Body::from_stream(pieces(download)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    // What a client says of its file is shown by no browser as a page of this service.
    let kind = HeaderValue::from_str(shown.kind)
        .ok()
        .filter(|_| is_harmless(shown.kind));
    headers.insert(header::CONTENT_TYPE, kind.unwrap_or(octets));
    headers.insert(header::CONTENT_LENGTH, remaining.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let name = utf8_percent_encode(shown.name, NON_ALPHANUMERIC);
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename*=UTF-8''{name}")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    if let Some(range) = range {
        let last = range.end.saturating_sub(1);
        let text = format!("bytes {}-{last}/{}", range.start, shown.length);
        if let Ok(text) = HeaderValue::from_str(&text) {
            headers.insert(header::CONTENT_RANGE, text);
        }
    }
    Ok(Answer::Raw(response))
}

fn is_harmless(kind: &str) -> bool {
    [
        "image/",
        "audio/",
        "video/",
        "application/pdf",
        "text/plain",
    ]
    .iter()
    .any(|harmless| kind.starts_with(harmless))
        && !kind.starts_with("image/svg")
}

/// The pieces of a file. One that fails cuts the connection, so that nobody takes a part for the whole.
fn pieces(download: Download) -> impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> {
    stream::unfold(Some(download), |download| async move {
        let mut download = download?;
        match download.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(download))),
            Ok(None) => None,
            Err(error) => Some((Err(std::io::Error::other(error.to_string())), None)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_with_the_type_comes_back() {
        for (restricted, thumbnail) in [
            (false, None),
            (true, None),
            (false, Some((10, 20))),
            (true, Some((1, 2))),
        ] {
            let kept = Kept {
                is_restricted: restricted,
                thumbnail,
            };
            let stored = kept.stored(Some("image/png; a=b".to_owned())).unwrap();
            assert_eq!(Kept::of(&stored), (kept, "image/png; a=b"));
        }
        assert_eq!(Kept::default().stored(None), None);
    }

    #[test]
    fn ranges_are_those_of_http() {
        let of = |text: &str| range(Some(text), 100).map_err(|refusal| refusal.status.as_u16());
        assert_eq!(of("bytes=0-9"), Ok(Some(0..10)));
        assert_eq!(of("bytes=90-"), Ok(Some(90..100)));
        assert_eq!(of("bytes=-10"), Ok(Some(90..100)));
        assert_eq!(of("bytes=90-1000"), Ok(Some(90..100)));
        assert_eq!(of("bytes=100-"), Err(416));
        for all in ["bytes=5-2", "bytes=0-1,4-5", "lines=1-2", "bytes=x-y", ""] {
            assert_eq!(of(all), Ok(None), "{all}");
        }
    }
}
