//! What a chat ought to be: lists of messages, what each user has read and each device acknowledged, attachments, a plan.
//!
//! Plain values and the rules of the service; nothing here knows how the store does it.

mod files;
mod reading;
mod writing;

use std::collections::{BTreeMap, BTreeSet};

use tidestore::disk::Millis;

use crate::op::{GROUPS, Op, PLACES, Place, Said, USERS};
use crate::verdict::Verdict;

pub(crate) const HOUR: Millis = 3_600_000;
pub(crate) const DAY: Millis = 24 * HOUR;
/// How long a downgrade can be undone, a client id is remembered, and an attachment lives after its last reference.
const GRACE: Millis = DAY;
/// Retention of the plans that [`Op::Terms`] names.
const RETENTION: [Millis; 3] = [3 * DAY, 7 * DAY, 90 * DAY];

/// A message that was sent, or may have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Not known before it was answered or read.
    pub(crate) id: Option<u64>,
    pub(crate) time: Millis,
    pub(crate) seq: u64,
    pub(crate) sender: usize,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
    pub(crate) client: String,
    /// Names of attachments and their ids.
    pub(crate) attachments: Vec<(String, String)>,
    /// How often edited; `None` if taken back.
    pub(crate) version: Option<u32>,
    pub(crate) is_delivered: bool,
    pub(crate) is_imported: bool,
    pub(crate) reactors: Vec<usize>,
}

/// What one user has made of one conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) is_member: bool,
    /// Numbers that were given before he came.
    pub(crate) since: u64,
    pub(crate) aside_since: u64,
    pub(crate) read: u64,
    pub(crate) sent: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Talk {
    pub(crate) messages: Vec<Sent>,
    pub(crate) aside: Vec<Sent>,
    pub(crate) read_by_all: u64,
    pub(crate) parts: [Part; USERS.len()],
}

/// An attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) id: Option<String>,
    pub(crate) len: usize,
    /// It must be there until then, whatever refers to it.
    pub(crate) keep_until: Millis,
    pub(crate) pins: BTreeSet<usize>,
    /// Whether nothing ever referred to it: then it goes at `keep_until`, to the millisecond.
    pub(crate) is_untouched: bool,
}

/// Which times are visible: all from `must` on; none before `may`; in between nobody can say, because the clock is real
/// or not trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) now: Millis,
    /// How far both edges are apart from the floor.
    pub(crate) slack: Millis,
    /// Whether what has expired may be seen all the same.
    pub(crate) is_lenient: bool,
}

impl Window {
    pub(crate) fn at(now: Millis, slack: Millis) -> Self {
        Self {
            now,
            slack,
            is_lenient: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chat {
    pub(crate) plan: usize,
    floor: Millis,
    undo: Option<(usize, Millis, Millis)>,
    pub(crate) talks: Vec<Talk>,
    /// What each device of each user has acknowledged.
    pub(crate) acknowledged: [[BTreeSet<Place>; 2]; USERS.len()],
    /// What was hidden when a device acknowledged something: whether that was before it is not known, and after an undo
    /// it may be pending or not.
    passed_over: [[BTreeSet<Place>; 2]; USERS.len()],
    receipts: BTreeMap<(usize, usize, u8), (usize, Millis)>,
    pub(crate) files: BTreeMap<String, File>,
    /// Ids of attachments that were deleted.
    pub(crate) deleted: BTreeSet<String>,
}
impl Chat {
    pub(crate) fn new() -> Self {
        let talk = |to: usize| {
            let mut talk = Talk::default();
            for (user, part) in talk.parts.iter_mut().enumerate() {
                part.is_member = to + 1 < USERS.len() && (user == 0 || user == to + 1);
            }
            talk
        };
        Self {
            plan: 1,
            floor: 0,
            undo: None,
            talks: (0..PLACES).map(talk).collect(),
            acknowledged: Default::default(),
            passed_over: Default::default(),
            receipts: BTreeMap::new(),
            files: BTreeMap::new(),
            deleted: BTreeSet::new(),
        }
    }

    /// The oldest time that is visible.
    pub(crate) fn floor_at(&self, now: Millis) -> Millis {
        let retention = RETENTION.get(self.plan).copied().unwrap_or(DAY);
        self.floor.max(now.saturating_sub(retention))
    }

    pub(crate) fn must_see(&self, time: Millis, window: Window) -> bool {
        time >= self.floor_at(window.now) + window.slack
    }

    pub(crate) fn may_see(&self, time: Millis, window: Window) -> bool {
        window.is_lenient || time + window.slack >= self.floor_at(window.now)
    }

    /// Applies a request. Without what was said it is one that may have been done: then it is assumed to be.
    pub(crate) fn apply(&mut self, op: &Op, said: Option<&Said>, window: Window) -> Verdict {
        match op {
            Op::Send { .. } | Op::SendMany { .. } => self.send(op, said, window),
            Op::Import { .. } => self.import(op, said, window),
            Op::History { to, seq, is_after } => self.page(*to, *seq, *is_after, said, window),
            Op::Inbox {
                user,
                device,
                limit,
            } => self.inbox(*user, *device, *limit, said, window),
            Op::Acknowledge {
                user,
                device,
                places,
                ..
            } => {
                self.acknowledge(*user, *device, places, window);
                Verdict::Fits
            }
            Op::MarkRead { user, to, seq } => self.change_part(*to, *user, |part, last| {
                let fits = part.is_member;
                if fits {
                    part.read = part.read.max(seq.unwrap_or(last).min(last));
                }
                fits
            }),
            Op::Join { user, group, is_in } => self.join(*user, *group, *is_in),
            Op::Recall { .. } | Op::Edit { .. } | Op::React { .. } => self.change(op, said, window),
            Op::Put { .. } | Op::DeleteFile { .. } | Op::PinFile { .. } => {
                self.file(op, said, window)
            }
            Op::Terms { plan } => {
                self.set_plan(*plan, window.now);
                Verdict::Fits
            }
            Op::Undo => match self.undo.filter(|(.., until)| window.now < *until) {
                Some((plan, floor, _)) => {
                    // A page that is not acknowledged yet was read without what comes back, and will pass it over.
                    for user in 0..USERS.len() {
                        (0..2).for_each(|device| self.pass_over(user, device, window));
                    }
                    (self.plan, self.floor, self.undo) = (plan, floor, None);
                    Verdict::Fits
                }
                None => Verdict::Refuses,
            },
            _ => Verdict::Fits,
        }
    }

    fn acknowledge(&mut self, user: usize, device: usize, places: &[Place], window: Window) {
        self.pass_over(user, device, window);
        if let Some(set) = self
            .acknowledged
            .get_mut(user)
            .and_then(|all| all.get_mut(device))
        {
            set.extend(places);
        }
    }

    /// What cannot be seen now is passed over by who acknowledges what stands behind it.
    fn pass_over(&mut self, user: usize, device: usize, window: Window) {
        let mut hidden = Vec::new();
        for to in 0..self.talks.len() {
            for is_aside in [false, true] {
                let rows = self.rows_of(user, to, is_aside).into_iter();
                let rows = rows.filter(|row| !self.must_see(row.time, window));
                hidden.extend(rows.map(|row| (to, is_aside, row.seq)));
            }
        }
        if let Some(set) = self
            .passed_over
            .get_mut(user)
            .and_then(|all| all.get_mut(device))
        {
            set.extend(hidden);
        }
    }

    fn set_plan(&mut self, plan: usize, now: Millis) {
        let before = self.floor_at(now);
        let is_downgrade = RETENTION.get(plan) < RETENTION.get(self.plan);
        self.undo = match self.undo.filter(|(.., until)| now < *until) {
            Some((old, floor, _)) => Some((old, floor, now + GRACE)),
            None if is_downgrade => Some((self.plan, before, now + GRACE)),
            None => None,
        };
        (self.plan, self.floor) = (plan, before);
        self.floor = self.floor_at(now);
    }

    fn change_part(
        &mut self,
        to: usize,
        user: usize,
        change: impl FnOnce(&mut Part, u64) -> bool,
    ) -> Verdict {
        let Some(talk) = self.talks.get_mut(to) else {
            return Verdict::Refuses;
        };
        let last = talk.messages.len() as u64;
        let part = talk.parts.get_mut(user);
        Verdict::of(part.is_some_and(|part| change(part, last)))
    }

    fn join(&mut self, user: usize, group: usize, is_in: bool) -> Verdict {
        let to = USERS.len() - 1 + group;
        let aside = self.talks.get(to).map_or(0, |talk| talk.aside.len() as u64);
        self.change_part(to, user, |part, last| {
            let fits = part.is_member != is_in;
            if fits {
                part.is_member = is_in;
            }
            if fits && is_in {
                (part.since, part.aside_since) = (last, aside);
            }
            fits
        })
    }
}

/// Who it is.
pub(crate) fn name(user: usize) -> &'static str {
    USERS.get(user).copied().unwrap_or("owner")
}

/// The time that an id carries.
pub(crate) fn time_of(id: u64) -> Millis {
    tidestore::MessageId(id).millis()
}

const _: () = assert!(GROUPS.len() + USERS.len() - 1 == PLACES);
