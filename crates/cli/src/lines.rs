//! Messages as lines of JSON: what `import` reads and `export` writes.
//!
//! ```text
//! {"chat":"group:lunch","from":"alice","ts":1743422400000,"body":"soup?","kind":"txt","id":"c-17","ext":{"a":1}}
//! ```
//!
//! `chat`, `from`, `ts` (milliseconds since 1970) and `body` must be there. `kind` (`txt` when absent), `id` (the
//! client's own), `ext` and `attachments` (a list of UUIDs) may be. Types are strict: a number is no text. An `ext` that is a text is stored as that
//! text, any other as its JSON, byte for byte. Unknown fields are ignored, so that an export can be read again: it
//! adds `msg_id` and `seq`. Bodies and extensions that are not UTF-8, which only the API can store, are exported as
//! `body_hex` and `ext_hex` instead, and read again as such.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidestore::plan::{AttachmentId, AttachmentIdError, IdError, UserId};
use tidestore::{Conversation, Kind, Message, NewMessage};

/// Longest line that is read, in bytes. The largest legal message, wholly escaped, is below half of it.
pub const LINE_MAX: usize = 64 << 10;

/// A message and its own time, as a line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldLine {
    /// The message.
    pub message: NewMessage,
    /// Its time, in milliseconds since 1970.
    pub time: u64,
}

/// Why a line is no message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// Not JSON, a field is missing, or one has the wrong type.
    Json(String),
    /// No conversation.
    Chat(String),
    /// No user id.
    From(IdError),
    /// No kind of message.
    Kind(String),
    /// `body_hex` or `ext_hex` is no hexadecimal text, or stands beside what it should replace.
    Hex(&'static str),
    /// One of `attachments` is no id of an attachment.
    Attachment(AttachmentIdError),
}

impl LineError {
    /// One word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Json(_) | Self::Hex(_) => "json",
            Self::Chat(_) => "conversation",
            Self::From(_) => "id",
            Self::Kind(_) => "kind",
            Self::Attachment(_) => "attachment",
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(text) | Self::Chat(text) => f.write_str(text),
            Self::From(error) => error.fmt(f),
            Self::Kind(text) => {
                write!(f, "{text:?} is no kind; there are")?;
                Kind::ALL
                    .iter()
                    .try_for_each(|kind| write!(f, " {}", kind.as_str()))
            }
            Self::Attachment(error) => error.fmt(f),
            Self::Hex(field) => write!(
                f,
                "{field} must be an even number of hexadecimal digits and stand alone, without the plain field"
            ),
        }
    }
}

impl std::error::Error for LineError {}

#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(borrow)]
    chat: Cow<'a, str>,
    #[serde(borrow)]
    from: Cow<'a, str>,
    ts: u64,
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    #[serde(borrow)]
    body_hex: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ext: Option<&'a RawValue>,
    #[serde(borrow)]
    ext_hex: Option<Cow<'a, str>>,
    #[serde(borrow)]
    attachments: Option<Vec<Cow<'a, str>>>,
}

/// Reads one line, without its line break.
///
/// # Errors
///
/// [`LineError`] says what is wrong with it; the text quotes only a little of it.
pub fn parse(line: &[u8]) -> Result<OldLine, LineError> {
    let incoming: Incoming<'_> =
        serde_json::from_slice(line).map_err(|error| LineError::Json(json_error(&error)))?;
    let body = match (incoming.body, incoming.body_hex) {
        (Some(body), None) => Bytes::from(body.into_owned()),
        (None, Some(hex)) => from_hex(&hex).ok_or(LineError::Hex("body_hex"))?,
        (Some(_), Some(_)) => return Err(LineError::Hex("body_hex")),
        (None, None) => return Err(LineError::Json("missing field `body`".to_owned())),
    };
    let ext = match (incoming.ext, incoming.ext_hex) {
        (Some(ext), None) => extension(ext)?,
        (None, Some(hex)) => from_hex(&hex).ok_or(LineError::Hex("ext_hex"))?,
        (Some(_), Some(_)) => return Err(LineError::Hex("ext_hex")),
        (None, None) => Bytes::new(),
    };
    let kind = match incoming.kind {
        None => Kind::Text,
        Some(kind) => {
            Kind::parse(&kind).ok_or_else(|| LineError::Kind(kind.chars().take(40).collect()))?
        }
    };
    let conversation =
        Conversation::parse(&incoming.chat).map_err(|error| LineError::Chat(error.to_string()))?;
    let sender = UserId::parse(&incoming.from).map_err(LineError::From)?;
    let client_id = incoming.id.map(CompactString::from).unwrap_or_default();
    let attachments = incoming.attachments.unwrap_or_default();
    let attachments = attachments.iter().map(|id| AttachmentId::parse(id));
    let attachments: Vec<_> = attachments
        .collect::<Result<_, _>>()
        .map_err(LineError::Attachment)?;
    let message = NewMessage {
        conversation,
        sender,
        kind,
        body,
        ext,
        client_id,
        attachments,
        hidden_from: Vec::new(),
    };
    Ok(OldLine {
        message,
        time: incoming.ts,
    })
}

fn extension(ext: &RawValue) -> Result<Bytes, LineError> {
    let json = ext.get();
    if json.starts_with('"') {
        let text: String =
            serde_json::from_str(json).map_err(|error| LineError::Json(json_error(&error)))?;
        return Ok(Bytes::from(text));
    }
    Ok(Bytes::copy_from_slice(json.as_bytes()))
}

/// The parser's words without its line number, which is always 1, and not longer than a line of text.
fn json_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.replace(" at line 1 column ", " at column ");
    text.chars().take(160).collect()
}

fn from_hex(text: &str) -> Option<Bytes> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let pairs = digits.chunks_exact(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect::<Option<Vec<u8>>>()
        .map(Bytes::from)
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// A stored message as one line.
#[derive(Serialize)]
pub(crate) struct Outgoing<'a> {
    msg_id: u64,
    seq: u64,
    chat: &'a str,
    from: &'a str,
    ts: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext: Option<Ext<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext_hex: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Ext<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

impl<'a> Outgoing<'a> {
    pub(crate) fn new(conversation: &'a Conversation, message: &'a Message) -> Self {
        let body = std::str::from_utf8(&message.body).ok();
        let ext = std::str::from_utf8(&message.ext).ok();
        Self {
            msg_id: message.id.0,
            seq: message.seq.0,
            chat: conversation.as_str(),
            from: &message.sender,
            ts: message.millis(),
            kind: message.kind.as_str(),
            body,
            body_hex: body.is_none().then(|| to_hex(&message.body)),
            id: (!message.client_id.is_empty()).then_some(message.client_id.as_str()),
            ext: ext.filter(|ext| !ext.is_empty()).map(Ext::new),
            ext_hex: ext.is_none().then(|| to_hex(&message.ext)),
            attachments: message
                .attachments
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }
}

impl<'a> Ext<'a> {
    /// An object or a list is written as it is, so that it reads as it was sent; a line break in it, which JSON
    /// allows and a line does not, makes it a text.
    fn new(ext: &'a str) -> Self {
        let is_structure = ext.starts_with(['{', '[']) && !ext.contains(['\n', '\r']);
        match serde_json::from_str::<&RawValue>(ext) {
            Ok(json) if is_structure && json.get() == ext => Self::Json(json),
            _ => Self::Text(ext),
        }
    }
}

#[cfg(test)]
mod tests;
