//! How often a line stood in its source before: what lets an import be repeated although a source may rightly hold
//! the same line twice.

use std::collections::HashMap;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::lines::OldLine;

/// Distinct lines that are remembered at least; at most twice as many, in about 60 MB.
const WINDOW: usize = 1 << 19;

/// Counts lines that are the same in everything.
///
/// Memory is bounded: two lines that are alike are told from one line read twice only if fewer than `WINDOW` other
/// ones stand between them. Beyond that the second counts as a duplicate.
#[derive(Debug)]
pub(crate) struct Occurrences {
    window: usize,
    recent: HashMap<u128, u32>,
    older: HashMap<u128, u32>,
}

impl Default for Occurrences {
    fn default() -> Self {
        Self::with_window(WINDOW)
    }
}

impl Occurrences {
    fn with_window(window: usize) -> Self {
        Self {
            window,
            recent: HashMap::new(),
            older: HashMap::new(),
        }
    }

    /// How many lines like this one came before.
    pub(crate) fn count(&mut self, line: &OldLine) -> u32 {
        let key = fingerprint(line);
        let before = match self.recent.get(&key) {
            Some(before) => *before,
            None => self.older.remove(&key).unwrap_or(0),
        };
        if self.recent.len() >= self.window {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(key, before.saturating_add(1));
        before
    }
}

/// 128 bits, so that two different lines never count as alike by chance.
fn fingerprint(line: &OldLine) -> u128 {
    let OldLine { message, time } = line;
    let mut hasher = SipHasher13::new();
    hasher.write_u64(*time);
    let parts = [
        message.conversation.as_str().as_bytes(),
        message.sender.as_str().as_bytes(),
        message.kind.as_str().as_bytes(),
        &message.body,
        &message.ext,
        message.client_id.as_bytes(),
    ];
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.write_usize(message.attachments.len());
    for id in &message.attachments {
        hasher.write(&id.to_bytes());
    }
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use tidestore::plan::AttachmentId;

    use super::*;
    use crate::lines::parse;

    fn line(body: u32) -> OldLine {
        let text = format!(r#"{{"chat":"group:g","from":"a","ts":1,"body":"{body}"}}"#);
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn only_lines_that_are_alike_in_everything_count() {
        let mut occurrences = Occurrences::default();
        let first = line(1);
        let later = OldLine {
            time: 2,
            ..first.clone()
        };
        let mut told = first.clone();
        told.message.client_id = "c".into();
        let mut attached = first.clone();
        attached.message.attachments = vec![AttachmentId::from_bits(7)];
        assert_eq!(
            [&first, &later, &told, &attached].map(|line| occurrences.count(line)),
            [0, 0, 0, 0]
        );
        assert_eq!(
            [&first, &later, &first].map(|line| occurrences.count(line)),
            [1, 1, 2]
        );
    }

    #[test]
    fn memory_is_bounded_and_near_repetitions_are_found() {
        let mut occurrences = Occurrences::with_window(100);
        for body in 0..1_000 {
            assert_eq!(occurrences.count(&line(body)), 0);
            // Between a line and its repetition stand 49 new ones and 49 other repetitions.
            if body >= 49 {
                assert_eq!(occurrences.count(&line(body - 49)), 1, "{body}");
            }
            assert!(occurrences.recent.len() + occurrences.older.len() <= 200);
        }
    }
}
