//! Checking all files of a shard.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::days::{DayShare, Days};
use crate::error::Result;
use crate::segment::Segment;
use crate::types::{AppId, Conversation, Seq};
use crate::view::MessageView;

/// What checking a shard's files found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewReport {
    /// Segments read to the end.
    pub segments: u64,
    /// Messages in them.
    pub messages: u64,
    /// Bytes of those files.
    pub bytes: u64,
    /// Receipt runs read to the end.
    pub receipt_runs: u64,
    /// Conversations that have messages in segments; the head of each was compared with them.
    pub conversations: u64,
    /// Files that are not as they should be, and why.
    pub problems: Vec<(PathBuf, String)>,
}

impl MessageView {
    /// Reads every file and compares all that is known of it. `check_head` is told the newest number of each
    /// conversation of each segment and says what is wrong with its head, if anything is. `known_days` tells what was
    /// noted of a segment's days, to be compared with its rows.
    pub fn verify(
        &self,
        check_head: &mut dyn FnMut(AppId, &Conversation, Seq) -> Option<String>,
        known_days: &dyn Fn(u64) -> Option<Vec<DayShare>>,
    ) -> ViewReport {
        let mut report = ViewReport::default();
        let version = self.version();
        let mut conversations = BTreeSet::new();
        for installed in version.segments.sorted() {
            let checked = installed.segment.verify(&self.parts.disk);
            match checked.and_then(|_| read_rows(&installed.segment)) {
                Ok((heads, days)) => {
                    report.segments += 1;
                    report.messages += installed.meta.messages;
                    report.bytes += installed.meta.file_len;
                    conversations.extend(heads.iter().map(|(app, name, _)| (*app, name.clone())));
                    let wrong = heads
                        .iter()
                        .filter_map(|(app, name, seq)| check_head(*app, name, *seq));
                    report
                        .problems
                        .extend(wrong.map(|detail| (installed.path.clone(), detail)));
                    let known = known_days(installed.meta.generation);
                    if known.is_some_and(|known| known != days) {
                        let detail = "what was noted of its days is not what it holds".to_owned();
                        report.problems.push((installed.path.clone(), detail));
                    }
                }
                // In a store that goes on working, it may have expired or been merged while it was read.
                Err(_) if !self.names(installed.meta.generation) => {}
                Err(error) => report
                    .problems
                    .push((installed.path.clone(), error.to_string())),
            }
        }
        for run in &version.receipts {
            match run.verify(&self.parts.files) {
                Ok(()) => report.receipt_runs += 1,
                Err(_) if !self.names_receipts(run.meta.generation) => {}
                Err(error) => report.problems.push((run.path.clone(), error.to_string())),
            }
        }
        report.conversations = conversations.len() as u64;
        report
    }
}

/// The newest numbers of conversations.
type Heads = Vec<(AppId, Conversation, Seq)>;

/// The newest number of each conversation of a segment, and its days.
fn read_rows(segment: &Segment) -> Result<(Heads, Vec<DayShare>)> {
    let mut heads = Heads::new();
    let mut days = Days::default();
    for row in segment.scan()? {
        let (app, conversation, message) = row?;
        days.count(app, &message);
        match heads.last_mut() {
            Some((last_app, last, seq)) if *last_app == app && *last == conversation => {
                *seq = (*seq).max(message.seq);
            }
            _ => heads.push((app, conversation, message.seq)),
        }
    }
    Ok((heads, days.shares()))
}
