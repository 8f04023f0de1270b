//! The loads. Each runs in a process of its own, so that memory and processor time are one engine's.

mod append;
mod history;
mod mixed;
mod reopen;
mod sparse;
mod storm;

use std::path::Path;
use std::sync::Arc;

use crate::chat::Chat;
use crate::engines::{self, Mode, Names, Visit};
use crate::measure::Figures;
use crate::peer::Peer;

pub use reopen::fill_and_wait;

/// What a load is told.
pub struct Task<'a> {
    /// Which engine.
    pub engine: &'a str,
    /// Where; empty at first.
    pub dir: &'a Path,
    /// How much of the full size.
    pub scale: f64,
    /// Messages of a file in place of generated ones.
    pub corpus: Option<&'a Path>,
}

/// A load.
pub struct Load {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is said of it above its table.
    pub title: &'static str,
    /// Engines that cannot do it.
    pub without: &'static [&'static str],
    /// Does it.
    pub run: fn(&Task) -> Figures,
}

/// All loads, in the order in which they run.
pub const ALL: [Load; 7] = [
    Load {
        name: "append",
        title: "W1: durable appends, each of so many writers waits for his",
        without: &["clustered"],
        run: append::durable,
    },
    Load {
        name: "buffered",
        title: "W2: appends of 256, each message with an inbox entry, flushed at the end",
        without: &["clustered"],
        run: append::buffered,
    },
    Load {
        name: "history",
        title: "W3, W4, W5: thirty days of chat: newest page of 20, whole conversations in pages of 50, expiry of the oldest day",
        without: &["raw"],
        run: history::run,
    },
    Load {
        name: "reopen",
        title: "W7: opening after kill -9",
        without: &["raw", "clustered"],
        run: reopen::run,
    },
    Load {
        name: "storm",
        title: "W8: messages to a group of 8,000, then all members take them",
        without: &["raw", "clustered"],
        run: storm::run,
    },
    Load {
        name: "sparse",
        title: "W9: conversations of one message a day for 90 days, newest page cold",
        without: &["raw"],
        run: sparse::run,
    },
    Load {
        name: "mixed",
        title: "W10: 70 % durable appends, 25 % newest pages, 5 % deep pages by eight clients, beside flush, merge and expiry",
        without: &["raw", "clustered"],
        run: mixed::run,
    },
];

/// Stores a chat; written out and merged, if a load begins with it so.
struct Fill<'a> {
    chat: &'a Chat,
    settles: bool,
}

impl Visit for Fill<'_> {
    type Out = ();

    fn visit<P: Peer + 'static>(self, peer: Arc<P>, _: &Names) {
        for batch in self.chat.messages.chunks(4_096) {
            peer.write(batch, false);
        }
        peer.sync();
        if self.settles {
            peer.settle();
        }
    }
}

impl Task<'_> {
    /// So many of a full count.
    fn count(&self, full: usize) -> usize {
        ((full as f64 * self.scale) as usize).max(64)
    }

    /// The chat of a load: thirty days that end now.
    fn chat(&self, full: usize) -> Chat {
        let count = self.count(full);
        match self.corpus {
            Some(path) => Chat::corpus(path, count),
            None => Chat::generated(count, 30, crate::now()),
        }
    }

    /// Opens the engine and does something with it.
    fn with<V: Visit>(&self, mode: Mode, chat: &Chat, visit: V) -> V::Out {
        let names = Names {
            conversations: &chat.conversations,
            users: &chat.users,
        };
        engines::with(self.engine, self.dir, mode, &names, visit)
    }
}
