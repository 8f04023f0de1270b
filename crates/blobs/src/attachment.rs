//! What an attachment is, what an uploader says of it, and what may refer to it.

use tidestore_disk::Millis;
use tidestore_plan::{AttachmentId, Limit, ResourceId, UserId};

use crate::error::{Error, ErrorKind, Result};

/// The hash of an attachment's content: BLAKE3, 256 bits.
pub type ContentHash = [u8; 32];

/// What an uploader says of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttachment {
    /// Who uploads it.
    pub uploader: UserId,
    /// The name of the file: any text of at most 4,096 characters. It is kept and handed back, never used as a path.
    pub name: String,
    /// The media type, such as `image/png`; when absent it is told from the first bytes.
    pub media_type: Option<String>,
    /// How many bytes will come, if that is known. A stream of another length is refused.
    pub length: Option<u64>,
}

impl NewAttachment {
    /// Longest name, in characters. No filesystem has longer ones; the service states no limit.
    pub const NAME_CHARS_MAX: usize = 4_096;
    /// Longest media type, in bytes: RFC 6838 allows 127 on each side of the slash.
    pub const MEDIA_TYPE_MAX: usize = 255;

    /// An upload of unknown type and length.
    pub fn new(uploader: UserId, name: impl Into<String>) -> Self {
        Self {
            uploader,
            name: name.into(),
            media_type: None,
            length: None,
        }
    }

    /// Checks all that needs no byte of the content.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`] for the name or the media type, [`ErrorKind::Limit`] if more is announced than may come.
    pub fn check(&self) -> Result<()> {
        let chars = self.name.chars().take(Self::NAME_CHARS_MAX + 1).count();
        if chars > Self::NAME_CHARS_MAX {
            let max = Self::NAME_CHARS_MAX;
            let text = format!("the file name is over {max} characters long; shorten it");
            return Err(Error::new(ErrorKind::Argument, text));
        }
        if let Some(media_type) = &self.media_type {
            check_media_type(media_type)?;
        }
        self.length
            .map_or(Ok(()), |length| Ok(Limit::Attachment.check(length)?))
    }
}

/// A media type goes into a header of somebody's HTTP answer, so it holds what a header may hold.
fn check_media_type(text: &str) -> Result<()> {
    let is_legal = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let has_slash = text
        .split_once('/')
        .is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
    if has_slash && text.len() <= NewAttachment::MEDIA_TYPE_MAX && text.bytes().all(is_legal) {
        return Ok(());
    }
    let head: String = text.chars().take(80).collect();
    let text =
        format!("{head:?} is no media type; write it as image/png, at most 255 bytes of ASCII");
    Err(Error::new(ErrorKind::Argument, text))
}

/// A stored attachment without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its id.
    pub id: AttachmentId,
    /// Who uploaded it.
    pub uploader: String,
    /// The name of the file, as the uploader gave it.
    pub name: String,
    /// The media type.
    pub media_type: String,
    /// Bytes of the content.
    pub length: u64,
    /// The hash of the content.
    pub hash: ContentHash,
    /// When it was uploaded.
    pub uploaded: Millis,
    /// It lives at least until then, whatever refers to it.
    pub keep_until: Millis,
    /// How many messages refer to it, those included that have expired since.
    pub messages: u64,
    /// How many profiles and groups hold it.
    pub pins: u64,
    /// The time of the youngest message that refers to it: it lives as long as that one.
    pub newest_message: Option<Millis>,
}

/// What refers to an attachment and keeps it alive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// A message: as long as the message lives.
    Message {
        /// The time of the message.
        time: Millis,
        /// Its id.
        id: u64,
    },
    /// The picture of a user's profile: until it is taken back.
    Profile(UserId),
    /// A file of a group: until it is taken back.
    GroupFile(ResourceId),
}

impl Reference {
    /// Whether it holds without end.
    pub fn is_pin(&self) -> bool {
        !matches!(self, Self::Message { .. })
    }

    /// The reference as the last part of a key; those of messages sort by time.
    pub(crate) fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(17);
        match self {
            Self::Message { time, id } => {
                key.push(MESSAGE);
                key.extend_from_slice(&time.to_be_bytes());
                key.extend_from_slice(&id.to_be_bytes());
            }
            Self::Profile(user) => {
                key.push(PROFILE);
                key.extend_from_slice(user.as_str().as_bytes());
            }
            Self::GroupFile(group) => {
                key.push(GROUP_FILE);
                key.extend_from_slice(group.as_str().as_bytes());
            }
        }
        key
    }
}

/// First byte of a message's reference.
pub(crate) const MESSAGE: u8 = 1;
const PROFILE: u8 = 2;
const GROUP_FILE: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> NewAttachment {
        NewAttachment::new(UserId::parse("ann").unwrap(), name)
    }

    #[test]
    fn any_name_of_a_file_is_kept_as_it_is() {
        let long = "夜".repeat(4_000);
        for name in ["../../etc/passwd", "a\0b", "", "\u{202e}gpj.exe", &long] {
            named(name).check().unwrap();
        }
        let error = named(&"x".repeat(4_097)).check().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Argument);
    }

    #[test]
    fn a_media_type_cannot_break_a_header() {
        for (media_type, is_legal) in [
            ("image/png", true),
            ("text/plain; charset=utf-8", true),
            ("png", false),
            ("/png", false),
            ("text/html\r\nset-cookie: a=b", false),
            ("text/夜", false),
        ] {
            let mut new = named("a");
            new.media_type = Some(media_type.to_owned());
            assert_eq!(new.check().is_ok(), is_legal, "{media_type:?}");
        }
    }

    #[test]
    fn an_announcement_beyond_the_limit_is_refused_at_once() {
        let mut new = named("a");
        new.length = Some(10 << 20);
        new.check().unwrap();
        new.length = Some((10 << 20) + 1);
        assert!(matches!(
            new.check().unwrap_err().kind(),
            ErrorKind::Limit(_)
        ));
    }
}
