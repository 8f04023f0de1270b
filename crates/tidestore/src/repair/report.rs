//! What a repair tells: what it found, what it set aside, and to the message what is lost.

use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use tidestore_messages::{Conversation, MessageId};
use tidestore_plan::AttachmentId;

use crate::verify::Problem;

/// What a repair found and did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Whether nothing was changed: this is what would be done.
    pub is_dry_run: bool,
    /// What was damaged.
    pub found: Vec<Problem>,
    /// Where damaged files were moved to; `None` if there was nothing to do.
    pub quarantine: Option<PathBuf>,
    /// The files that were moved there.
    pub quarantined: Vec<Quarantined>,
    /// What was done, one sentence each.
    pub steps: Vec<String>,
    /// Messages that are lost.
    pub messages: Vec<LostMessages>,
    /// Attachments that are lost.
    pub attachments: Vec<LostAttachment>,
    /// Whatever else is lost, one sentence each: rows of tables, batches of a log, receipts.
    pub other_losses: Vec<String>,
    /// What an earlier repair told that was cut short before it was done.
    pub earlier: Vec<String>,
    /// What verification still finds; empty if all is well.
    pub left: Vec<Problem>,
}

/// A damaged file that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it was.
    pub path: PathBuf,
    /// Where it is.
    pub to: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// Messages of one conversation that are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostMessages {
    /// The key of the app; its number, if nothing knows its key.
    pub app: String,
    /// The conversation; `None` if nothing knows its name any more.
    pub conversation: Option<Conversation>,
    /// How many are lost; `None` if that is not known.
    pub messages: Option<u64>,
    /// Their numbers in the conversation. If they are more than `messages`, the others were not there before either.
    pub numbers: Vec<RangeInclusive<u64>>,
    /// Their ids lie between these, if that is known: the first one tells the oldest time, the second the youngest.
    pub ids: Option<(MessageId, MessageId)>,
    /// The file that held them.
    pub file: PathBuf,
}

/// An attachment that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostAttachment {
    /// The key of the app.
    pub app: String,
    /// Its id.
    pub id: AttachmentId,
    /// The name that its uploader gave it.
    pub name: String,
    /// Who uploaded it.
    pub uploader: String,
    /// Bytes of its content.
    pub length: u64,
    /// The volume that held it.
    pub file: PathBuf,
}

impl RepairReport {
    /// Whether there was nothing to do.
    pub fn is_clean(&self) -> bool {
        self.found.is_empty() && self.quarantine.is_none()
    }

    /// Whether anything is lost.
    pub fn has_losses(&self) -> bool {
        !self.messages.is_empty() || !self.attachments.is_empty() || !self.other_losses.is_empty()
    }
}

impl Display for LostMessages {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.conversation {
            Some(conversation) => write!(f, "{}: {conversation}: ", self.app)?,
            None => write!(
                f,
                "{}: a conversation that nothing names any more: ",
                self.app
            )?,
        }
        let listed: u64 = self
            .numbers
            .iter()
            .map(|range| range.end() - range.start() + 1)
            .sum();
        match self.messages {
            Some(1) => f.write_str("1 message")?,
            Some(messages) => write!(f, "{messages} messages")?,
            None => f.write_str("messages")?,
        }
        if !self.numbers.is_empty() {
            let among = if self.messages == Some(listed) {
                ""
            } else {
                "among "
            };
            write!(f, ", {among}number")?;
            if listed > 1 {
                f.write_str("s")?;
            }
            for (at, range) in self.numbers.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                if range.start() == range.end() {
                    write!(f, "{comma} {}", range.start())?;
                } else {
                    write!(f, "{comma} {}-{}", range.start(), range.end())?;
                }
            }
        }
        if let Some((first, last)) = self.ids {
            write!(
                f,
                ", ids {first} to {last} (time {} to {} ms)",
                first.millis(),
                last.millis()
            )?;
        }
        write!(f, "; in {}", self.file.display())
    }
}

impl Display for LostAttachment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} {:?} of {}, {} bytes; in {}",
            self.app,
            self.id,
            self.name,
            self.uploader,
            self.length,
            self.file.display()
        )
    }
}

impl Display for RepairReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("nothing is damaged; nothing was done");
        }
        let mut section = |title: &str, lines: Vec<String>| -> fmt::Result {
            if lines.is_empty() {
                return Ok(());
            }
            writeln!(f, "{title}")?;
            lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
        };
        let of = |list: &[Problem]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        section("damaged:", of(&self.found))?;
        section(
            if self.is_dry_run {
                "would be done:"
            } else {
                "done:"
            },
            self.steps.clone(),
        )?;
        let moved = self.quarantined.iter();
        section(
            "set aside:",
            moved
                .map(|one| format!("{} -> {}", one.path.display(), one.to.display()))
                .collect(),
        )?;
        let lost = |list: Vec<String>| list;
        section(
            "lost messages:",
            lost(self.messages.iter().map(ToString::to_string).collect()),
        )?;
        section(
            "lost attachments:",
            lost(self.attachments.iter().map(ToString::to_string).collect()),
        )?;
        section("also lost:", self.other_losses.clone())?;
        section(
            "an earlier repair that was cut short said:",
            self.earlier.clone(),
        )?;
        section("still not as it should be:", of(&self.left))?;
        let verdict = match (self.has_losses(), self.is_dry_run) {
            (false, false) => "repaired; nothing is lost",
            (true, false) => "repaired; what is lost is listed above",
            (false, true) => "nothing would be lost; nothing was changed",
            (true, true) => "what would be lost is listed above; nothing was changed",
        };
        f.write_str(verdict)
    }
}
