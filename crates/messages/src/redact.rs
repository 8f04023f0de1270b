//! Contents that must not be written again: of messages that were recalled, and of senders that were erased.
//!
//! A segment never changes, so a content leaves the disk when what holds it is written anew: by a flush or a merge, which
//! ask here. Until then readers are shown the message without it.

use std::collections::{HashMap, HashSet};

use compact_str::CompactString;

use crate::types::{AppId, Message, MessageId};

/// What is recalled or erased and may still lie in a file.
#[derive(Clone, Debug, Default)]
pub struct Redacted {
    /// Recalled messages.
    pub messages: HashSet<(AppId, MessageId)>,
    /// Erased senders, and the last id of theirs that is meant: one who comes back under the same name is somebody else.
    pub senders: HashMap<(AppId, CompactString), MessageId>,
}

impl Redacted {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.senders.is_empty()
    }

    /// Whether a message is one of an erased sender.
    pub fn is_erased(&self, app: AppId, message: &Message) -> bool {
        if self.senders.is_empty() {
            return false;
        }
        let last = self.senders.get(&(app, message.sender.clone()));
        last.is_some_and(|last| message.id <= *last)
    }

    /// Whether a message's content must go.
    pub fn concerns(&self, app: AppId, message: &Message) -> bool {
        self.messages.contains(&(app, message.id)) || self.is_erased(app, message)
    }

    /// The message as it may be written; `None` if that is as it is.
    pub fn without_content(&self, app: AppId, message: &Message) -> Option<Message> {
        if self.is_empty() {
            return None;
        }
        if self.is_erased(app, message) {
            let mut rest = message.clone();
            rest.erase();
            return Some(rest);
        }
        self.messages.contains(&(app, message.id)).then(|| {
            let mut rest = message.clone();
            rest.blank();
            rest
        })
    }
}
