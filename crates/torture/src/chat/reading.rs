//! What a user should find: pages, pending and unread messages.

use std::collections::{BTreeMap, BTreeSet};

use tidestore::disk::Millis;

use crate::chat::{Chat, Sent, Window, name};
use crate::op::{MessageSeen, Place, Said};
use crate::verdict::{Verdict, contradicts};

impl Chat {
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

    pub(super) fn page(
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

    pub(super) fn inbox(
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
            let has = |place| page.items.iter().any(|(found, ..)| found == place);
            let missing: Vec<_> = must.keys().filter(|place| !has(*place)).collect();
            let (found, of) = (page.items.len(), must.len());
            format!("{found} of {of} pending messages, without {missing:?}")
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
