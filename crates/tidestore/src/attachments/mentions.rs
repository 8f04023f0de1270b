//! Which attachments durable messages refer to, on the way to the desks.

use tidestore_blobs::id;
use tidestore_messages::Applied;

use crate::attachments::desk::{Desks, Mention};

/// References that no desk has heard of yet.
#[derive(Debug, Default)]
pub(crate) struct Mentions {
    list: Vec<Mention>,
    /// The position of the last batch that was added.
    position: u64,
}

impl Mentions {
    /// Gathers the references of the messages of a batch that was applied.
    pub(crate) fn add(&mut self, rows: &[Applied], position: u64) {
        for row in rows {
            let ids = row.message.attachments.iter();
            self.list.extend(ids.map(|id| Mention {
                app: row.app,
                attachment: *id,
                message: row.message.id,
            }));
        }
        self.position = position;
    }

    /// Hands them to their desks: all messages that were added are durable now. Never waits.
    pub(crate) fn hand_over(&mut self, desks: &Desks, source: u16) {
        if self.list.is_empty() {
            return;
        }
        for (number, desk) in (0..).zip(desks.iter()) {
            let is_here = |mention: &Mention| id::shard(mention.attachment) == number;
            let here: Vec<_> = self.list.iter().copied().filter(is_here).collect();
            if !here.is_empty() {
                desk.note(source, self.position, here);
            }
        }
        self.list.clear();
    }
}
