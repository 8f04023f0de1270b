//! What is sent, imported and changed.

use tidestore::disk::Millis;

use crate::chat::{Chat, GRACE, HOUR, Sent, Window, time_of};
use crate::op::{Op, Receipt, Said, USERS};
use crate::verdict::{Verdict, contradicts};

impl Chat {
    pub(super) fn send(&mut self, op: &Op, said: Option<&Said>, window: Window) -> Verdict {
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

    pub(super) fn import(&mut self, op: &Op, said: Option<&Said>, window: Window) -> Verdict {
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
    pub(super) fn change(&mut self, op: &Op, said: Option<&Said>, window: Window) -> Verdict {
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
