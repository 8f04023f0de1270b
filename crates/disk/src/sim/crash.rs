//! What a power cut leaves: durable state, and some of the rest.

use std::collections::BTreeMap;

use super::inode::{FileBytes, Inode, InodeId};
use super::tree::{Entries, ROOT, Tree};
use crate::EntryKind;
use crate::rng::SplitMix;

/// How much of what was not synced survives a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survival {
    /// The chance of each unsynced sector and each unsynced directory operation, in percent.
    pub percent: u32,
}

impl Survival {
    /// Nothing that was not synced survives.
    pub const NONE: Self = Self { percent: 0 };
    /// One tenth survives.
    pub const FEW: Self = Self { percent: 10 };
    /// One half survives.
    pub const HALF: Self = Self { percent: 50 };
    /// Everything survives.
    pub const ALL: Self = Self { percent: 100 };
    /// The four levels that every crash test should try.
    pub const LEVELS: [Self; 4] = [Self::NONE, Self::FEW, Self::HALF, Self::ALL];
}

/// The tree that is found after a crash.
pub(super) fn crash(tree: &Tree, seed: u64, survival: Survival) -> Tree {
    let mut rng = SplitMix::new(seed);
    let mut entries = tree.durable.clone();
    for op in &tree.pending {
        if rng.percent(survival.percent) {
            op.change.apply(&mut entries);
        }
    }
    let mut inodes = BTreeMap::new();
    let mut reached = Entries::new();
    let mut todo = vec![ROOT];
    while let Some(id) = todo.pop() {
        let Some(old) = tree.inodes.get(&id) else {
            continue;
        };
        let before: Option<&mut Inode> = inodes.get_mut(&id);
        if let Some(inode) = before {
            // Another name of a file that was reached before.
            inode.names += 1;
            continue;
        }
        let mut inode = Inode::new(old.kind);
        match old.kind {
            EntryKind::Dir => {
                let names = entries.remove(&id).unwrap_or_default();
                todo.extend(names.values());
                reached.insert(id, names);
            }
            EntryKind::File => {
                let mut rng = SplitMix::new(file_seed(seed, id));
                let bytes = old.file.after_crash(&mut rng, survival.percent);
                let holes = old.file.holes_in(&bytes);
                inode.file = FileBytes {
                    holes,
                    ..FileBytes::settled(bytes)
                };
            }
            EntryKind::Other => {}
        }
        inodes.insert(id, inode);
    }
    let mut after = Tree::settled(inodes, reached);
    after.space = tree.space;
    after
}

/// Each file has dice of its own, so that what survives of it depends on nothing else.
fn file_seed(seed: u64, id: InodeId) -> u64 {
    SplitMix::new(seed ^ id.rotate_left(32)).next()
}
