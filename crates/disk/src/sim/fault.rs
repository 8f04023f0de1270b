//! Counting operations, and deciding which of them fail.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::io::Errno;

use crate::{Error, ErrorKind};

/// The kinds of operation that a [`SimDisk`](crate::SimDisk) counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OpKind {
    /// Opening a file.
    Open,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Making a file's bytes durable.
    Sync,
    /// Making a directory's entries durable.
    SyncDir,
    /// Renaming.
    Rename,
    /// Giving a file another name.
    Link,
    /// Removing a file or a directory.
    Remove,
    /// Listing a directory.
    List,
    /// Cutting or extending a file.
    SetLen,
    /// Giving a range's space back.
    Punch,
    /// Taking a lock.
    Lock,
    /// Asking for a length or a kind.
    Metadata,
    /// Creating directories: the call counts, then each missing directory, and (as
    /// [`SyncDir`](Self::SyncDir)) the sync of its parent.
    CreateDir,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The device fails (`EIO`); nothing is done.
    Eio,
    /// The disk is full (`ENOSPC`); nothing is done.
    NoSpace,
    /// The process may not open any more files (`EMFILE`); nothing is done.
    NoHandles,
    /// A read or write moves at most so many bytes; other operations are not affected. A write of
    /// zero bytes is an error, a read moves at least one.
    ShortIo(usize),
}

/// What becomes of the operation that asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// It runs; a read or write moves at most so many bytes.
    Run { limit: usize },
    /// It fails.
    Fail(Fault),
    /// The power is gone. `first` marks the operation in which it went.
    Crash { first: bool },
}

/// The counters and the schedule.
#[derive(Debug, Default)]
pub(super) struct Faults {
    total: u64,
    counts: BTreeMap<OpKind, u64>,
    schedule: Vec<(When, Fault)>,
    crash_at: Option<u64>,
    crashed: bool,
}

#[derive(Clone, Copy, Debug)]
enum When {
    /// The operation of this number.
    Operation(u64),
    /// The operation of this number among those of its kind.
    OfKind(OpKind, u64),
    /// Every operation of the kind from this number on.
    From(OpKind, u64),
}

impl Faults {
    /// Counts one operation and decides its fate.
    pub(super) fn next(&mut self, kind: OpKind) -> Verdict {
        self.total += 1;
        let of_kind = self.counts.entry(kind).or_default();
        *of_kind += 1;
        let of_kind = *of_kind;
        if self.crashed {
            return Verdict::Crash { first: false };
        }
        if self.crash_at == Some(self.total) {
            self.crashed = true;
            return Verdict::Crash { first: true };
        }
        let hit = self.schedule.iter().find(|(when, _)| match *when {
            When::Operation(number) => number == self.total,
            When::OfKind(wanted, number) => wanted == kind && number == of_kind,
            When::From(wanted, number) => wanted == kind && number <= of_kind,
        });
        match hit {
            Some(&(_, Fault::ShortIo(limit))) => Verdict::Run { limit },
            Some(&(_, fault)) => Verdict::Fail(fault),
            None => Verdict::Run { limit: usize::MAX },
        }
    }

    pub(super) fn crash_at(&mut self, k: u64) {
        self.crash_at = Some(self.total + k.max(1));
    }

    pub(super) fn fail_at(&mut self, k: u64, fault: Fault) {
        self.schedule
            .push((When::Operation(self.total + k.max(1)), fault));
    }

    pub(super) fn fail_matching(&mut self, kind: OpKind, nth: u64, fault: Fault) {
        let number = self.count(kind) + nth.max(1);
        self.schedule.push((When::OfKind(kind, number), fault));
    }

    pub(super) fn fail_always(&mut self, kind: OpKind, fault: Fault) {
        self.schedule.push((When::From(kind, 0), fault));
    }

    pub(super) fn fail_from(&mut self, kind: OpKind, nth: u64, fault: Fault) {
        let number = self.count(kind) + nth.max(1);
        self.schedule.push((When::From(kind, number), fault));
    }

    /// Forgets the schedule, a planned crash included; what has crashed stays crashed.
    pub(super) fn clear(&mut self) {
        self.schedule.clear();
        self.crash_at = None;
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn count(&self, kind: OpKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    pub(super) fn is_crashed(&self) -> bool {
        self.crashed
    }
}

impl Fault {
    /// The error that the caller sees.
    pub(super) fn error(self, op: &'static str, path: &Path) -> Error {
        let errno = match self {
            Self::Eio | Self::ShortIo(_) => Errno::IO,
            Self::NoSpace => Errno::NOSPC,
            Self::NoHandles => Errno::MFILE,
        };
        Error::io(op, path, errno.into()).with_detail("simulated fault")
    }
}

/// The error of everything that is tried after the power went.
pub(super) fn crash_error(op: &'static str, path: &Path) -> Error {
    Error::new(ErrorKind::Io, op, path).with_detail("simulated crash")
}
