//! Names that come from outside: users, groups, rooms, threads, apps.
//!
//! One rule for all of them (ENDPOINTS, section 1, row "user id"): 1 to 64 characters of `a-z A-Z 0-9 _ - .`, compared
//! without case. So a name is folded to lower case when it is parsed, and two names are the same if their texts are.

use std::fmt;

use compact_str::CompactString;

use crate::limits::Limit;

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdKind {
    /// A user.
    User,
    /// A group, chatroom or thread.
    Resource,
    /// The part of an app key before `#`.
    Org,
    /// The part of an app key after `#`.
    App,
}

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdError {
    /// It is empty.
    Empty {
        /// What it should name.
        kind: IdKind,
    },
    /// It is too long.
    TooLong {
        /// What it should name.
        kind: IdKind,
        /// Most characters.
        max: u64,
        /// Its characters.
        actual: u64,
    },
    /// It holds a character that the rule does not allow.
    Character {
        /// What it should name.
        kind: IdKind,
        /// The first such character.
        character: char,
        /// How many characters stand before it.
        position: usize,
    },
    /// An app key has not exactly one `#`.
    AppKeyForm {
        /// The beginning of the text.
        text: String,
    },
}

impl fmt::Display for IdKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user id",
            Self::Resource => "group or room id",
            Self::Org => "org part of the app key",
            Self::App => "app part of the app key",
        })
    }
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { kind } => write!(f, "the {kind} is empty; give at least one character"),
            Self::TooLong { kind, max, actual } => {
                write!(
                    f,
                    "the {kind} is {actual} characters long; at most {max} are allowed"
                )
            }
            Self::Character {
                kind,
                character,
                position,
            } => write!(
                f,
                "the {kind} holds {character:?} at position {position}; allowed are a-z A-Z 0-9 _ - ."
            ),
            Self::AppKeyForm { text } => {
                write!(
                    f,
                    "{text:?} is no app key; write it as org#app with exactly one #"
                )
            }
        }
    }
}

impl std::error::Error for IdError {}

fn fold(kind: IdKind, text: &str) -> Result<CompactString, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { kind });
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let max = Limit::IdLength.max();
    let mut id = CompactString::default();
    for (position, character) in text.chars().enumerate() {
        if !is_legal(character) {
            return Err(IdError::Character {
                kind,
                character,
                position,
            });
        }
        if position as u64 >= max {
            // Counting goes on only as far as an error can use it; a hostile text may be megabytes long.
            let actual = text.chars().take(1 << 20).count() as u64;
            return Err(IdError::TooLong { kind, max, actual });
        }
        id.push(character.to_ascii_lowercase());
    }
    Ok(id)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(CompactString);

        impl $name {
            /// Checks the id rule and folds to lower case.
            ///
            /// # Errors
            ///
            /// [`IdError`] says what breaks the rule.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                fold($kind, text).map(Self)
            }

            /// The folded text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for CompactString {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

id! {
    /// The id of a user.
    UserId, IdKind::User
}

id! {
    /// The id of a group, chatroom or thread.
    ResourceId, IdKind::Resource
}

/// The key of an app: `org#app`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppKey(CompactString);

impl AppKey {
    /// Checks both parts by the id rule and folds to lower case.
    ///
    /// # Errors
    ///
    /// [`IdError`] says which part breaks the rule.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let (org, app) = match text.split_once('#') {
            Some((org, app)) if !app.contains('#') => (org, app),
            _ => {
                return Err(IdError::AppKeyForm {
                    text: text.chars().take(80).collect(),
                });
            }
        };
        let (org, app) = (fold(IdKind::Org, org)?, fold(IdKind::App, app)?);
        Ok(Self(compact_str::format_compact!("{org}#{app}")))
    }

    /// The folded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before `#`.
    pub fn org(&self) -> &str {
        self.0.split_once('#').map_or("", |(org, _)| org)
    }

    /// The part after `#`.
    pub fn app(&self) -> &str {
        self.0.split_once('#').map_or("", |(_, app)| app)
    }
}

impl fmt::Display for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for AppKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
