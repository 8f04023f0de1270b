//! What a chat ought to be: lists of messages, what each user has read and each device acknowledged, attachments, a plan.
//!
//! Plain values and the rules of the service; nothing here knows how the store does it.

use std::collections::{BTreeMap, BTreeSet};

use tidestore::disk::Millis;

use crate::op::{GROUPS, MessageSeen, Op, PLACES, Place, Receipt, Said, USERS};
use crate::verdict::{Verdict, contradicts};

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
                    (self.plan, self.floor, self.undo) = (plan, floor, None);
                    Verdict::Fits
                }
                None => Verdict::Refuses,
            },
            _ => Verdict::Fits,
        }
    }

    fn acknowledge(&mut self, user: usize, device: usize, places: &[Place], window: Window) {
        let mut hidden = Vec::new();
        for to in 0..self.talks.len() {
            for is_aside in [false, true] {
                let rows = self.rows_of(user, to, is_aside).into_iter();
                let rows = rows.filter(|row| !self.must_see(row.time, window));
                hidden.extend(rows.map(|row| (to, is_aside, row.seq)));
            }
        }
        let of = |all: &mut [[BTreeSet<Place>; 2]; USERS.len()], places: &[Place]| {
            if let Some(set) = all.get_mut(user).and_then(|all| all.get_mut(device)) {
                set.extend(places);
            }
        };
        of(&mut self.acknowledged, places);
        of(&mut self.passed_over, &hidden);
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

    fn send(&mut self, op: &Op, said: Option<&Said>, window: Window) -> Verdict {
        let (from, to, bodies) = match op {
            Op::Send { from, to, body, .. } => (*from, *to, vec![body.clone()]),
            Op::SendMany { from, to, bodies } => (*from, *to, bodies.clone()),
            _ => return Verdict::Fits,
        };
        let (client, attachments, is_command) = match op {
            Op::Send {
                client,
                attachments,
                is_command,
                ..
            } => (*client, attachments.clone(), *is_command),
            _ => (None, Vec::new(), false),
        };
        let Some(talk) = self.talks.get(to) else {
            return Verdict::Refuses;
        };
        // Many at once ask nobody but whether a direct conversation is the sender's.
        let asks = matches!(op, Op::Send { .. }) || to + 1 < USERS.len();
        if asks && !talk.parts.get(from).is_some_and(|part| part.is_member) {
            let all_refused =
                |said: &Said| matches!(said, Said::Receipts(all) if all.iter().all(Result::is_err));
            return Verdict::refuses_or(said.is_some_and(all_refused));
        }
        let known = client.and_then(|client| self.receipts.get(&(to, from, client)).copied());
        for (at, body) in bodies.into_iter().enumerate() {
            let receipt = match receipt_of(said, at) {
                Ok(receipt) => receipt,
                Err(why) => return contradicts(format!("a message was refused: {why}")),
            };
            if let Some((index, at)) = known {
                let is_due = window.now + window.slack < at + GRACE;
                if receipt.map_or(is_due, |receipt| receipt.duplicate) {
                    return self.check_known(to, index, receipt);
                }
                if is_due {
                    return contradicts("a retry was stored twice".to_owned());
                }
            } else if receipt.is_some_and(|receipt| receipt.duplicate) {
                return contradicts(format!("{body:?} counts as a retry"));
            }
            let message = Sent {
                id: receipt.map(|receipt| receipt.id),
                time: receipt.map_or(window.now, |receipt| time_of(receipt.id)),
                seq: 0,
                sender: from,
                kind: if is_command { "cmd" } else { "txt" },
                body,
                client: client.map(|c| format!("c{c}")).unwrap_or_default(),
                attachments: attachments.clone(),
                version: Some(0),
                is_delivered: true,
                is_imported: false,
                reactors: Vec::new(),
            };
            for (name, _) in &attachments {
                if let Some(file) = self.files.get_mut(name) {
                    file.is_untouched = false;
                }
            }
            let index = match self.store(to, is_command, message, receipt) {
                Ok(index) => index,
                Err(verdict) => return verdict,
            };
            if let Some(client) = client
                && !is_command
            {
                self.receipts
                    .insert((to, from, client), (index, window.now));
            }
        }
        Verdict::Fits
    }

    /// A receipt that was given before.
    fn check_known(&self, to: usize, index: usize, receipt: Option<Receipt>) -> Verdict {
        let known = self.talks.get(to).and_then(|talk| talk.messages.get(index));
        match (known, receipt) {
            (Some(known), Some(receipt))
                if receipt.seq != known.seq || known.id.is_some_and(|id| id != receipt.id) =>
            {
                contradicts(format!("{receipt:?} for a retry of {known:?}"))
            }
            _ => Verdict::Fits,
        }
    }

    /// Puts a message behind the others, and checks the number that was given for it.
    fn store(
        &mut self,
        to: usize,
        is_aside: bool,
        message: Sent,
        receipt: Option<Receipt>,
    ) -> Result<usize, Verdict> {
        let Some(talk) = self.talks.get_mut(to) else {
            return Err(Verdict::Refuses);
        };
        let rows = if is_aside {
            &mut talk.aside
        } else {
            &mut talk.messages
        };
        let seq = rows.len() as u64 + 1;
        if let Some(receipt) = receipt
            && receipt.seq != seq
        {
            return Err(contradicts(format!(
                "{:?} got number {}, not {seq}",
                message.body, receipt.seq
            )));
        }
        if receipt.is_some() && rows.iter().any(|row| row.id == message.id) {
            return Err(contradicts(format!(
                "the id of {:?} was given twice",
                message.body
            )));
        }
        if !is_aside && let Some(part) = talk.parts.get_mut(message.sender) {
            part.sent = seq;
        }
        rows.push(Sent { seq, ..message });
        Ok(rows.len() - 1)
    }

    fn import(&mut self, op: &Op, said: Option<&Said>, window: Window) -> Verdict {
        let Op::Import {
            from,
            to,
            time,
            bodies,
            is_pending,
            is_read,
        } = op
        else {
            return Verdict::Fits;
        };
        let floor = self.floor_at(window.now);
        if *time < floor {
            let all_refused =
                matches!(said, Some(Said::Receipts(all)) if all.iter().all(Result::is_err));
            return Verdict::refuses_or(all_refused);
        }
        for (at, body) in bodies.iter().enumerate() {
            let receipt = match receipt_of(said, at) {
                Ok(receipt) => receipt,
                Err(why) => return contradicts(format!("an old message was refused: {why}")),
            };
            let same = |row: &Sent| {
                row.is_imported && row.time == *time && row.sender == *from && row.body == *body
            };
            let talk = self.talks.get(*to);
            let known = talk.and_then(|talk| talk.messages.iter().position(same));
            if receipt.is_some_and(|receipt| receipt.duplicate != known.is_some()) {
                return contradicts(format!("{receipt:?} for {body:?}, known: {known:?}"));
            }
            if let Some(known) = known {
                match self.check_known(*to, known, receipt) {
                    Verdict::Fits => continue,
                    verdict => return verdict,
                }
            }
            let message = Sent {
                id: receipt.map(|receipt| receipt.id),
                time: *time,
                seq: 0,
                sender: *from,
                kind: "txt",
                body: body.clone(),
                client: String::new(),
                attachments: Vec::new(),
                version: Some(0),
                is_delivered: *is_pending,
                is_imported: true,
                reactors: Vec::new(),
            };
            match self.store(*to, false, message, receipt) {
                Ok(index) if *is_read => {
                    if let Some(talk) = self.talks.get_mut(*to) {
                        talk.read_by_all = index as u64 + 1;
                    }
                }
                Ok(_) => {}
                Err(verdict) => return verdict,
            }
        }
        Verdict::Fits
    }

    /// Recall, edit, reaction.
    fn change(&mut self, op: &Op, said: Option<&Said>, window: Window) -> Verdict {
        let (to, seq) = match op {
            Op::Recall { to, seq, .. } | Op::Edit { to, seq, .. } | Op::React { to, seq, .. } => {
                (*to, *seq)
            }
            _ => return Verdict::Fits,
        };
        let floor = self.floor_at(window.now);
        let Some(talk) = self.talks.get_mut(to) else {
            return Verdict::Refuses;
        };
        let at = usize::try_from(seq).unwrap_or_default().wrapping_sub(1);
        let Some(message) = talk.messages.get_mut(at) else {
            return Verdict::Refuses;
        };
        let (Some(version), true) = (message.version, message.time >= floor) else {
            return Verdict::Refuses;
        };
        let id = message.id.unwrap_or_default();
        let (by, told) = match op {
            Op::Recall { .. } => {
                message.version = None;
                message.body.clear();
                message.client.clear();
                for (name, _) in std::mem::take(&mut message.attachments) {
                    if let Some(file) = self.files.get_mut(&name) {
                        file.keep_until = file.keep_until.min(window.now + GRACE - HOUR);
                    }
                }
                (USERS.len(), format!("Recalled(MessageId({id}))"))
            }
            Op::Edit { body, .. } => {
                if let Some(Said::Version(told)) = said
                    && *told != version + 1
                {
                    return contradicts(format!("version {told} after {version}"));
                }
                message.version = Some(version + 1);
                body.clone_into(&mut message.body);
                (
                    USERS.len(),
                    format!("Edited(MessageId({id}), {})", version + 1),
                )
            }
            Op::React { user, is_on, .. } => {
                let is_member = talk.parts.get(*user).is_some_and(|part| part.is_member);
                if !is_member || message.reactors.contains(user) == *is_on {
                    return Verdict::Refuses;
                }
                if *is_on {
                    message.reactors.push(*user);
                } else {
                    message.reactors.retain(|other| other != user);
                }
                let word = if *is_on { "Reacted" } else { "Unreacted" };
                (*user, format!("{word}(MessageId({id}), \"+1\")"))
            }
            _ => return Verdict::Fits,
        };
        self.notice(to, by, told, window.now);
        Verdict::Fits
    }

    /// What everybody in a conversation is told of a change.
    fn notice(&mut self, to: usize, by: usize, told: String, now: Millis) {
        if let Some(talk) = self.talks.get_mut(to) {
            talk.aside.push(Sent {
                id: None,
                time: now,
                seq: talk.aside.len() as u64 + 1,
                sender: by,
                kind: "notice",
                body: told,
                client: String::new(),
                attachments: Vec::new(),
                version: Some(0),
                is_delivered: true,
                is_imported: false,
                reactors: Vec::new(),
            });
        }
    }

    fn file(&mut self, op: &Op, said: Option<&Said>, window: Window) -> Verdict {
        match op {
            Op::Put { name, len } => {
                let (id, keep_until) = match said {
                    Some(Said::Stored {
                        id,
                        uploaded,
                        keep_until,
                    }) => {
                        if *keep_until < *uploaded + 7 * DAY {
                            return contradicts(format!("{name} is kept for {said:?}"));
                        }
                        (Some(id.clone()), *keep_until)
                    }
                    _ => (None, window.now + 7 * DAY),
                };
                let file = File {
                    id,
                    len: *len,
                    keep_until,
                    pins: BTreeSet::new(),
                    is_untouched: true,
                };
                self.files.insert(name.clone(), file);
                Verdict::Fits
            }
            Op::DeleteFile { name, id } => {
                let gone = self.files.remove(name);
                self.deleted.insert(id.clone());
                Verdict::of(gone.is_some())
            }
            Op::PinFile {
                name, user, is_on, ..
            } => {
                let Some(file) = self.files.get_mut(name) else {
                    return Verdict::Refuses;
                };
                file.is_untouched = false;
                if *is_on {
                    file.pins.insert(*user);
                } else if file.pins.remove(user) {
                    file.keep_until = window.now + GRACE;
                }
                Verdict::Fits
            }
            _ => Verdict::Fits,
        }
    }

    /// Whether an attachment must be readable.
    pub(crate) fn must_have(&self, name: &str, file: &File, window: Window) -> bool {
        let names = |row: &&Sent| row.attachments.iter().any(|(other, _)| other == name);
        let mut rows = self
            .talks
            .iter()
            .flat_map(|talk| &talk.messages)
            .filter(names);
        window.now + window.slack < file.keep_until
            || !file.pins.is_empty()
            || rows.any(|row| self.must_see(row.time, window))
    }

    /// Whether an attachment may be readable.
    pub(crate) fn may_have(&self, name: &str, file: &File, window: Window) -> bool {
        self.must_have(name, file, window)
            || !file.is_untouched
            || window.is_lenient
            || window.now < file.keep_until + window.slack
    }

    /// What of a conversation, or of what stands beside it, a user may get.
    pub(crate) fn rows_of(&self, user: usize, to: usize, is_aside: bool) -> Vec<&Sent> {
        let Some(talk) = self.talks.get(to) else {
            return Vec::new();
        };
        let Some(part) = talk.parts.get(user).filter(|part| part.is_member) else {
            return Vec::new();
        };
        let (rows, since) = if is_aside {
            (&talk.aside, part.aside_since)
        } else {
            (&talk.messages, part.since)
        };
        rows.iter().filter(|row| row.seq > since).collect()
    }

    /// What waits for a device: for certain, and perhaps.
    pub(crate) fn pending(
        &self,
        user: usize,
        device: usize,
        window: Window,
    ) -> (BTreeMap<Place, &Sent>, BTreeMap<Place, &Sent>) {
        let (mut must, mut may) = (BTreeMap::new(), BTreeMap::new());
        let none = BTreeSet::new();
        let acknowledged = self.acknowledged.get(user).and_then(|all| all.get(device));
        let acknowledged = acknowledged.unwrap_or(&none);
        let passed_over = self.passed_over.get(user).and_then(|all| all.get(device));
        let passed_over = passed_over.unwrap_or(&none);
        for to in 0..self.talks.len() {
            for is_aside in [false, true] {
                for row in self.rows_of(user, to, is_aside) {
                    let place = (to, is_aside, row.seq);
                    if !row.is_delivered || acknowledged.contains(&place) {
                        continue;
                    }
                    if self.must_see(row.time, window) && !passed_over.contains(&place) {
                        must.insert(place, row);
                    }
                    if self.may_see(row.time, window) {
                        may.insert(place, row);
                    }
                }
            }
        }
        (must, may)
    }

    /// How many messages a user has not read: at least, at most.
    pub(crate) fn unread(&self, user: usize, to: usize, window: Window) -> Option<(u64, u64)> {
        let talk = self.talks.get(to)?;
        let part = talk.parts.get(user).filter(|part| part.is_member)?;
        let read = part.read.max(part.sent).max(talk.read_by_all);
        let rows = self.rows_of(user, to, false);
        let count = |is_seen: &dyn Fn(Millis) -> bool| {
            let unread = rows
                .iter()
                .filter(|row| row.seq > read && is_seen(row.time));
            unread.count() as u64
        };
        let least = count(&|time| self.must_see(time, window));
        Some((least, count(&|time| self.may_see(time, window))))
    }

    fn page(
        &self,
        to: usize,
        seq: u64,
        is_after: bool,
        said: Option<&Said>,
        window: Window,
    ) -> Verdict {
        let (Some(Said::Messages(found)), Some(talk)) = (said, self.talks.get(to)) else {
            return Verdict::Fits;
        };
        let in_range = |row: &&Sent| {
            if is_after {
                row.seq > seq
            } else {
                row.seq < seq
            }
        };
        let mut wanted: Vec<&Sent> = talk
            .messages
            .iter()
            .filter(in_range)
            .filter(|row| self.may_see(row.time, window))
            .collect();
        if !is_after {
            wanted.reverse();
        }
        let is_certain = wanted.iter().all(|row| self.must_see(row.time, window));
        wanted.truncate(9);
        if is_certain && found.len() != wanted.len() {
            return contradicts(format!(
                "a page of {} instead of {}",
                found.len(),
                wanted.len()
            ));
        }
        let pairs = found
            .iter()
            .map(|seen| (seen, talk.messages.iter().find(|row| row.seq == seen.seq)));
        for (seen, row) in pairs {
            match row {
                Some(row) => match row.differs(seen) {
                    None => {}
                    Some(why) => return contradicts(why),
                },
                None => return contradicts(format!("nobody sent {seen:?}")),
            }
        }
        let numbers: Vec<u64> = found.iter().map(|seen| seen.seq).collect();
        let expected: Vec<u64> = wanted.iter().map(|row| row.seq).collect();
        if is_certain && numbers != expected {
            return contradicts(format!("a page of {numbers:?} instead of {expected:?}"));
        }
        Verdict::Fits
    }

    fn inbox(
        &self,
        user: usize,
        device: usize,
        limit: usize,
        said: Option<&Said>,
        window: Window,
    ) -> Verdict {
        let Some(Said::Pending(page)) = said else {
            return Verdict::Fits;
        };
        let (must, may) = self.pending(user, device, window);
        for (place, seen, _) in &page.items {
            let Some(row) = may.get(place) else {
                return contradicts(format!("{} is not to get {place:?}", name(user)));
            };
            if let Some(why) = row.differs(seen) {
                return contradicts(why);
            }
        }
        let is_whole = page.items.len() <= limit && (page.more || page.items.len() >= must.len());
        Verdict::or(is_whole, || {
            format!("{} of {} pending messages", page.items.len(), must.len())
        })
    }
}

impl Sent {
    /// What a message that was found has that this one has not.
    pub(crate) fn differs(&self, seen: &MessageSeen) -> Option<String> {
        let attachments: Vec<_> = self.attachments.iter().map(|(_, id)| id).collect();
        // A notice about a message whose id nobody was told is not known to the letter.
        let same_body =
            self.body == seen.body || self.kind == "notice" && self.body.contains("MessageId(0)");
        let same = self.id.is_none_or(|id| id == seen.id)
            && self.seq == seen.seq
            && name(self.sender) == seen.sender
            && self.kind == seen.kind
            && same_body
            && self.client == seen.client
            && attachments.iter().copied().eq(&seen.attachments)
            && self.version == seen.version;
        // Of notices the store chooses the client id.
        let same = same || self.kind == "notice" && self.seq == seen.seq && same_body;
        (!same).then(|| format!("found {seen:?} instead of {self:?}"))
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

/// The receipt for the message at an index, if anything was said.
fn receipt_of(said: Option<&Said>, at: usize) -> Result<Option<Receipt>, String> {
    match said {
        Some(Said::Receipts(all)) => match all.get(at) {
            Some(Ok(receipt)) => Ok(Some(*receipt)),
            Some(Err(why)) => Err(why.clone()),
            None => Err("there is no receipt".to_owned()),
        },
        _ => Ok(None),
    }
}

const _: () = assert!(GROUPS.len() + USERS.len() - 1 == PLACES);
