//! Rules that are more than one number.

use std::fmt;

use crate::limits::{Limit, LimitError};

/// Checks a message: body and extension together, in bytes, whatever its kind.
///
/// # Errors
///
/// [`LimitError`] over 3,072 bytes.
pub fn message_content(body_len: u64, ext_len: u64) -> Result<(), LimitError> {
    Limit::MessageContent.check(body_len.saturating_add(ext_len))
}

/// Why a key is no key of a chatroom attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// It is empty.
    Empty,
    /// It is too long.
    Limit(LimitError),
    /// It holds a character that is not allowed.
    Character {
        /// The first such character.
        character: char,
        /// How many characters stand before it.
        position: usize,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the chatroom attribute key is empty"),
            Self::Limit(error) => error.fmt(f),
            Self::Character {
                character,
                position,
            } => write!(
                f,
                "the chatroom attribute key holds {character:?} at position {position}; allowed are a-z A-Z 0-9 _ - ."
            ),
        }
    }
}

impl std::error::Error for KeyError {}

/// Checks a chatroom attribute key: 1 to 128 characters of `a-z A-Z 0-9 _ - .`; case counts.
///
/// # Errors
///
/// [`KeyError`] says which part of the rule it breaks.
pub fn room_attribute_key(key: &str) -> Result<(), KeyError> {
    if key.is_empty() {
        return Err(KeyError::Empty);
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if let Some((position, character)) = key.chars().enumerate().find(|(_, c)| !is_legal(*c)) {
        return Err(KeyError::Character {
            character,
            position,
        });
    }
    Limit::RoomAttributeKey
        .check_text(key)
        .map_err(KeyError::Limit)
}
