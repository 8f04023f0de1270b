//! Attachments: who holds them, and until when.

use std::collections::BTreeSet;

use crate::chat::{Chat, DAY, File, GRACE, Sent, Window};
use crate::op::{Op, Said};
use crate::verdict::{Verdict, contradicts};

impl Chat {
    pub(super) fn file(&mut self, op: &Op, said: Option<&Said>, window: Window) -> Verdict {
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
}
