//! Files that come in a multipart body: they go into the store as they come, and only the store counts their bytes.

use std::time::Duration;

use axum::http::{StatusCode, header};
use multer::{Constraints, Field, Multipart, SizeLimit};
use tidestore::plan::{Limit, UserId};
use tidestore::{Attachment, NewAttachment};

use crate::body::{self, announced};
use crate::call::Call;
use crate::refusal::{Refusal, Result};

/// What surrounds a file of the largest size: boundaries, headers of parts and small fields.
const ENVELOPE_BYTES: u64 = 64 << 10;
/// Longest small field.
const FIELD_BYTES: u64 = 4 << 10;
/// Parts of one body; only one of them is the file.
const PARTS_MAX: usize = 16;

/// A file that came, and the small fields before it.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) attachment: Attachment,
}

/// Stores the file of a multipart body. `describe` says what the store keeps as its media type, from the file's own and
/// the fields that came before it.
pub(crate) async fn store(
    call: &mut Call,
    uploader: UserId,
    describe: impl Fn(Option<String>, &[(String, String)]) -> Option<String>,
) -> Result<Uploaded> {
    let max = call.limits().max(Limit::Attachment);
    let patience = call.service.options.idle_patience();
    if announced(&call.headers).is_some_and(|length| length > max + ENVELOPE_BYTES) {
        return Err(too_large(max));
    }
    let kind = call
        .header(header::CONTENT_TYPE.as_str())
        .unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| {
        let text = "send the file as multipart/form-data";
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "web_application", text)
    })?;
    let sizes = SizeLimit::new()
        .whole_stream(max + ENVELOPE_BYTES)
        .per_field(FIELD_BYTES)
        // One more than may be, so that the limit is what refuses.
        .for_field("file", max + 1);
    let constraints = Constraints::new().size_limit(sizes);
    let body = call.take_body();
    let stream = body.into_data_stream();
    let mut parts = Multipart::with_constraints(stream, boundary, constraints);
    let mut fields = Vec::new();
    for _ in 0..PARTS_MAX {
        let Some(part) = in_time(parts.next_field(), max, patience).await? else {
            return Err(Refusal::argument("there is no part named file"));
        };
        let name = part.name().unwrap_or_default().to_owned();
        if name == "file" {
            let attachment = take(call, part, uploader, &fields, &describe).await?;
            // What comes behind the file is read so that the client gets its answer, and is of no use.
            while in_time(parts.next_field(), max, patience)
                .await
                .is_ok_and(|part| part.is_some())
            {}
            return Ok(Uploaded { attachment });
        }
        let text = in_time(part.text(), max, patience).await?;
        fields.push((name, text));
    }
    Err(Refusal::argument(format!(
        "there are more than {PARTS_MAX} parts"
    )))
}

async fn take(
    call: &Call,
    mut part: Field<'_>,
    uploader: UserId,
    fields: &[(String, String)],
    describe: &impl Fn(Option<String>, &[(String, String)]) -> Option<String>,
) -> Result<Attachment> {
    let max = call.limits().max(Limit::Attachment);
    let patience = call.service.options.idle_patience();
    let name = part.file_name().unwrap_or("file").to_owned();
    let kind = part.content_type().map(ToString::to_string);
    let kind = kind.filter(|kind| kind != "application/octet-stream");
    let mut new = NewAttachment::new(uploader, name);
    new.media_type = describe(kind, fields);
    let mut upload = call.app.upload(new)?;
    // Whatever goes wrong, nothing of an unfinished upload stays.
    let mut received = 0;
    while let Some(piece) = in_time(part.chunk(), max, patience).await? {
        received += piece.len() as u64;
        call.limits().check(Limit::Attachment, received)?;
        upload.write(&piece).await?;
    }
    Ok(upload.finish().await?)
}

fn too_large(max: u64) -> Refusal {
    let text = format!("the file is larger than {max} bytes");
    let error = "file exceeding maximum limit";
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error, text)
}

/// One step of reading a body whose file may have `max` bytes.
async fn in_time<T>(
    step: impl Future<Output = multer::Result<T>>,
    max: u64,
    patience: Duration,
) -> Result<T> {
    match tokio::time::timeout(patience, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(refused(&error, max)),
        Err(_) => Err(body::too_slow()),
    }
}

fn refused(error: &multer::Error, max: u64) -> Refusal {
    use multer::Error;
    match error {
        Error::StreamSizeExceeded { .. } => too_large(max),
        Error::FieldSizeExceeded { field_name, .. } if field_name.as_deref() == Some("file") => {
            too_large(max)
        }
        Error::FieldSizeExceeded { .. } => {
            Refusal::argument(format!("a field is longer than {FIELD_BYTES} bytes"))
        }
        Error::StreamReadFailed(_)
        | Error::IncompleteStream
        | Error::IncompleteFieldData { .. } => body::cut_short(),
        other => Refusal::new(
            StatusCode::BAD_REQUEST,
            "invalid_request_body",
            format!("the body: {other}"),
        ),
    }
}
