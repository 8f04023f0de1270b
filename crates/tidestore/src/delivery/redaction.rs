//! Contents that may not stay: they leave every file that holds them.
//!
//! A recalled message, or one of an erased sender, is blank to readers at once. Its bytes lie in a memtable and the log, or
//! in a segment. A pass writes the memtable and those segments anew without them, and lets go of the log files and spares
//! that had them.

use compact_str::CompactString;
use tidestore_disk::sync::atomic::Ordering;
use tidestore_kv::{Batch, Engine, scan};
use tidestore_messages::{AppId, MessageId, Redacted};
use tidestore_plan::AttachmentId;

use crate::delivery::tables::{ERASED, PURGES, number, number_behind, text};
use crate::error::Result;
use crate::expiry::MergeReport;
use crate::shard::{Command, Shard};

/// What the tables say has to go.
pub(crate) fn load(engine: &dyn Engine) -> Result<Redacted> {
    let mut redacted = Redacted::default();
    each_purge(engine, |app, id, _| {
        redacted.messages.insert((app, id));
    })?;
    scan(engine, ERASED, b"", |key, value| {
        note_sender(&mut redacted, key, value);
        Ok(())
    })?;
    Ok(redacted)
}

fn note_sender(redacted: &mut Redacted, key: &[u8], value: &[u8]) {
    if let (Some((app, user)), Ok(id)) = (key.split_first_chunk::<4>(), number(value)) {
        let user = text(user).map(CompactString::from).unwrap_or_default();
        let app = AppId(u32::from_be_bytes(*app));
        redacted.senders.insert((app, user), MessageId(id));
    }
}

/// The recalled message that a row is about.
fn purged(key: &[u8]) -> Option<(AppId, MessageId)> {
    let (app, _) = key.split_first_chunk::<4>()?;
    let (id, _) = number_behind(key, app).ok()?;
    Some((AppId(u32::from_be_bytes(*app)), MessageId(id)))
}

/// Shows every recalled message that may still lie somewhere, and what it refers to.
fn each_purge(
    engine: &dyn Engine,
    mut visit: impl FnMut(AppId, MessageId, Vec<AttachmentId>),
) -> Result<()> {
    scan(engine, PURGES, b"", |key, value| {
        let (attachments, _) = value.as_chunks::<16>();
        let attachments = attachments.iter().copied().map(AttachmentId::from_bytes);
        if let Some((app, id)) = purged(key) {
            visit(app, id, attachments.collect());
        }
        Ok(())
    })?;
    Ok(())
}

/// What recalled messages refer to, by app: references that have to be taken back before the pass forgets them.
pub(crate) fn references(engine: &dyn Engine) -> Result<Vec<(AppId, MessageId, AttachmentId)>> {
    let mut found = Vec::new();
    each_purge(engine, |app, id, attachments| {
        found.extend(
            attachments
                .into_iter()
                .map(|attachment| (app, id, attachment)),
        );
    })?;
    Ok(found)
}

impl Shard {
    /// Takes note of what rows say has to go, once they are durable. Not when they are decided: a record that is refused, by
    /// a full disk, must not take the bodies along that it was about.
    pub(crate) fn note_redacted(&self, rows: &Batch) {
        let messages: Vec<_> = rows
            .puts(PURGES)
            .filter_map(|(key, _)| purged(key))
            .collect();
        if messages.is_empty() && rows.puts(ERASED).next().is_none() {
            return;
        }
        let mut redacted = self.redacted.write();
        redacted.messages.extend(messages);
        for (key, value) in rows.puts(ERASED) {
            note_sender(&mut redacted, key, value);
        }
    }

    /// Takes off the disk what was recalled or erased before this call.
    pub(crate) fn purge(&self, report: &mut MergeReport) -> Result<()> {
        let redacted = self.redacted.read().clone();
        if redacted.is_empty() {
            return Ok(());
        }
        // The log files that hold it are closed first, so that the flush lets go of them.
        self.ask_own(Command::Roll)?;
        self.flush()?;
        {
            let _turn = self.tidying.lock();
            for job in self.view.plan_redactions(&redacted)? {
                let merged = self.view.write_merge(&job)?;
                self.install_merge(&job, merged, report)?;
            }
        }
        self.ask_own(Command::DropSpares)?;
        self.forget_purged(&redacted)
    }

    fn forget_purged(&self, redacted: &Redacted) -> Result<()> {
        // These rows say which attachments recalled messages have still to let go of.
        if self.has_leftovers.load(Ordering::Acquire) {
            return Ok(());
        }
        let done = redacted.clone();
        self.change_own(move |rows, _| {
            for (app, id) in &done.messages {
                let key = [app.0.to_be_bytes().as_slice(), &id.0.to_be_bytes()].concat();
                rows.delete(PURGES, key);
            }
            for (app, user) in done.senders.keys() {
                let key = [app.0.to_be_bytes().as_slice(), user.as_bytes()].concat();
                rows.delete(ERASED, key);
            }
            Ok(())
        })?;
        let mut left = self.redacted.write();
        left.messages
            .retain(|place| !redacted.messages.contains(place));
        left.senders
            .retain(|sender, last| redacted.senders.get(sender) != Some(last));
        Ok(())
    }

    /// Forgets what a deleted app wanted to be gone: all of it is.
    pub(crate) fn forget_redacted(&self, app: AppId) {
        let mut redacted = self.redacted.write();
        redacted.messages.retain(|(of, _)| *of != app);
        redacted.senders.retain(|(of, _), _| *of != app);
    }
}
