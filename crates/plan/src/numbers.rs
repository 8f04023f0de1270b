//! Names that a store gives by itself: apps by number, attachments by a random id.

use std::fmt;

use uuid::Uuid;

/// The number of an app inside one store. Given once, never reused, so that what a deleted app left behind can
/// never appear in a younger app.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct AppId(pub u32);

/// The id of an attachment: 128 bits, written as a UUID. Opaque here; the blob store gives ids that sort by time and
/// cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct AttachmentId(u128);

impl AttachmentId {
    /// Takes the 128 bits as they are.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The 128 bits.
    pub const fn to_bits(self) -> u128 {
        self.0
    }

    /// Sixteen bytes in the order in which ids sort.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Undoes [`to_bytes`](Self::to_bytes).
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Reads a UUID in any of its usual spellings.
    ///
    /// # Errors
    ///
    /// [`AttachmentIdError`] quotes the head of a text that is none.
    pub fn parse(text: &str) -> Result<Self, AttachmentIdError> {
        let uuid = Uuid::try_parse(text);
        // A hostile text may be megabytes long; the error quotes only its head.
        let error = |_| AttachmentIdError(text.chars().take(80).collect());
        Ok(Self(uuid.map_err(error)?.as_u128()))
    }
}

impl fmt::Display for AttachmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for AttachmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttachmentId({self})")
    }
}

/// A text that is no id of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentIdError(pub String);

impl fmt::Display for AttachmentIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no attachment id; write it as 01234567-89ab-8def-8123-456789abcdef",
            self.0
        )
    }
}

impl std::error::Error for AttachmentIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_from_its_text_and_from_its_bytes() {
        let id = AttachmentId::from_bits(0x0123_4567_89ab_8def_8123_4567_89ab_cdef);
        assert_eq!(id.to_string(), "01234567-89ab-8def-8123-456789abcdef");
        assert_eq!(AttachmentId::parse(&id.to_string()), Ok(id));
        assert_eq!(AttachmentId::from_bytes(id.to_bytes()), id);
    }

    #[test]
    fn a_text_that_is_no_id_is_quoted_in_part() {
        for text in [
            "",
            "..",
            "a/b",
            "\0",
            "01234567-89ab-8def-8123-456789abcdeg",
        ] {
            assert!(AttachmentId::parse(text).is_err(), "{text:?}");
        }
        let error = AttachmentId::parse(&"x".repeat(1 << 20)).unwrap_err();
        assert!(error.to_string().len() < 200);
    }
}
