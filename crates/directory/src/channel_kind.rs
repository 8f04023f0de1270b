//! Groups and chatrooms: one set of rules with few differences.

use std::fmt;

/// What users gather in.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub enum ChannelKind {
    /// A group: members stay until they leave, and find what was said meanwhile in their inbox.
    Group,
    /// A chatroom: members come and go, nothing waits for them.
    Room,
}

impl ChannelKind {
    /// Its byte in keys.
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Group => 1,
            Self::Room => 2,
        }
    }
}

impl fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Group => "group",
            Self::Room => "chatroom",
        })
    }
}
