//! Walking every checksum, index and counter of an open store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_attributes::Attributes;
use tidestore_directory::Directory;
use tidestore_kv::Rows;
use tidestore_messages::AppId;

use crate::access;
use crate::attachments::Request;
use crate::delivery;
use crate::error::Result;
use crate::shard::{Shard, views_dir};
use crate::store::{Inner, Store, blocking};
use crate::tables;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Segments read to the end.
    pub segments: u64,
    /// Messages in them, visible or not yet expired from disk.
    pub messages: u64,
    /// Bytes of those files, and of the contents below.
    pub bytes: u64,
    /// Receipt runs read to the end.
    pub receipt_runs: u64,
    /// Conversations whose head was compared with their messages.
    pub conversations: u64,
    /// Users of all directories, whose rows and counters were counted again.
    pub users: u64,
    /// Rows of attributes that were counted again.
    pub attributes: u64,
    /// Attachments whose rows were compared with what refers to them and with the ledger.
    pub attachments: u64,
    /// Volumes read to the end.
    pub volumes: u64,
    /// Contents in them that were compared with their checksums and hashes.
    pub contents: u64,
    /// Whole batches of the logs; only of a store that is not open.
    pub batches: u64,
    /// What is not as it should be.
    pub problems: Vec<Problem>,
    /// What is unusual but harmless, such as foreign files.
    pub notices: Vec<String>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes, if the damage has a place.
    pub offset: Option<u64>,
    /// What is wrong with it.
    pub detail: String,
    /// Whether [`Store::repair`] mends it; what it cannot save it names.
    pub is_mendable: bool,
}

impl Store {
    /// Reads everything that is stored and compares it with all that is known of it: checksums, the order of rows,
    /// indexes, counters of segments against the manifest, heads against messages.
    ///
    /// # Errors
    ///
    /// Damage is a [`Problem`] of the report, not an error; an error means that verification itself could not run.
    pub async fn verify(&self) -> Result<VerifyReport> {
        let inner = Arc::clone(&self.inner);
        blocking(move || verify(&inner)).await
    }
}

/// Verifies an open store.
pub(crate) fn verify(inner: &Inner) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    for notice in &inner.notices {
        if notice.contains("is missing") {
            let path = notice.split(" is missing").next().unwrap_or_default();
            report.problem(Path::new(path), notice.clone());
        } else {
            report.notices.push(notice.clone());
        }
    }
    for shard in &inner.shards.list {
        shard_files(shard, &mut report);
        attachments(inner, shard, &mut report)?;
        directories(inner, shard, &mut report)?;
        besides(inner, shard, &mut report)?;
    }
    Ok(report)
}

fn shard_files(shard: &Shard, report: &mut VerifyReport) {
    let checked = shard.view.verify(
        &mut |app, conversation, last_seq| report_head(shard, app, conversation, last_seq),
        &|generation| tables::days(&*shard.engine, generation).ok().flatten(),
    );
    report.segments += checked.segments;
    report.messages += checked.messages;
    report.bytes += checked.bytes;
    report.receipt_runs += checked.receipt_runs;
    report.conversations += checked.conversations;
    for (path, detail) in checked.problems {
        report.problem(&path, detail);
    }
}

/// Counts a shard's attachments again, and reads their volumes.
fn attachments(inner: &Inner, shard: &Shard, report: &mut VerifyReport) -> Result<()> {
    let recount = shard.desk().ask_own(Request::Recount)?;
    report.attachments += recount.attachments;
    let tables = views_dir(shard.number);
    for problem in recount.problems {
        report.problem(&tables, problem);
    }
    for volume in recount.volumes {
        let mut read = volume.read_through(&inner.files, inner.file.id);
        if !read.problems.is_empty() {
            // In a store that goes on working, it may have been removed or carried away while it was read.
            let mut again = shard.desk().ask_own(Request::Recount)?.volumes.into_iter();
            let Some(again) = again.find(|again| again.path == volume.path) else {
                continue;
            };
            read = again.read_through(&inner.files, inner.file.id);
            if shard.is_gone_early(&*inner.env.disk, &again.named()) {
                continue;
            }
        }
        report.volumes += 1;
        report.contents += read.contents;
        report.bytes += read.bytes;
        for problem in read.problems {
            report.problem(&volume.path, problem);
        }
    }
    Ok(())
}

/// Counts the directories and attributes again of the apps whose home a shard is.
fn directories(inner: &Inner, shard: &Arc<Shard>, report: &mut VerifyReport) -> Result<()> {
    for record in inner.registry.all() {
        if inner.shards.home(&record.key).number != shard.number {
            continue;
        }
        let app = AppId(record.id);
        let mut found = recount(&*shard.engine, app)?;
        if !found.problems.is_empty() {
            // In a store that goes on working, rows may have changed while they were counted. Once more, while they cannot.
            found = shard.change_own(move |rows, _| recount(&*rows, app))?;
        }
        report.users += found.users;
        report.attributes += found.attributes;
        let tables = views_dir(shard.number);
        for problem in found.problems {
            report.problem(&tables, format!("{}: {problem}", record.key));
        }
    }
    Ok(())
}

/// Counts again what stands beside messages.
fn besides(inner: &Inner, shard: &Arc<Shard>, report: &mut VerifyReport) -> Result<()> {
    for record in inner.registry.all() {
        let (app, mut problems) = (AppId(record.id), Vec::new());
        delivery::recount::recount(&*shard.engine, app, &mut problems)?;
        if !problems.is_empty() {
            // As above: once more, while nothing can change.
            problems = shard.change_own(move |rows, _| {
                let mut problems = Vec::new();
                delivery::recount::recount(&*rows, app, &mut problems)?;
                Ok(problems)
            })?;
        }
        let tables = views_dir(shard.number);
        for problem in problems {
            report.problem(&tables, format!("{}: {problem}", record.key));
        }
    }
    Ok(())
}

/// What counting an app's rows again found.
#[derive(Debug, Default)]
struct Recounted {
    users: u64,
    attributes: u64,
    problems: Vec<String>,
}

fn recount(rows: &(impl Rows + ?Sized), app: AppId) -> Result<Recounted> {
    let mut found = Recounted::default();
    let directory = Directory::new(rows, app);
    found.users = directory.recount(&mut found.problems)?;
    found.attributes = Attributes::new(rows, app).recount(&mut found.problems)?;
    if let Err(error) = access::credentials(rows, app) {
        found.problems.push(error.to_string());
    }
    Ok(found)
}

/// Says what is wrong if a conversation's head is behind its messages.
fn report_head(
    shard: &Shard,
    app: AppId,
    conversation: &tidestore_messages::Conversation,
    last_seq: tidestore_messages::Seq,
) -> Option<String> {
    match shard.heads.peek(&*shard.engine, app, conversation) {
        Ok(head) if head.last_seq >= last_seq.0 => None,
        Ok(head) => Some(format!(
            "{conversation} holds number {last_seq}, but its head stands at {}",
            head.last_seq
        )),
        Err(error) => Some(error.to_string()),
    }
}

impl VerifyReport {
    pub(crate) fn problem(&mut self, path: &Path, detail: String) {
        self.problem_at(path, offset_in(&detail), detail);
    }

    pub(crate) fn problem_at(&mut self, path: &Path, offset: Option<u64>, detail: String) {
        let problem = Problem {
            path: path.to_owned(),
            offset,
            detail,
            is_mendable: true,
        };
        // A file is looked at from several sides, and each may find the same.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// The offset that an error of the disk names in its text.
fn offset_in(detail: &str) -> Option<u64> {
    let (_, rest) = detail.split_once(" at byte ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.as_os_str().is_empty() {
            return f.write_str(&self.detail);
        }
        write!(f, "{}", self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.detail)
    }
}
