//! `import KEY FILE|- [--shift-to-now]`.
//!
//! Batches go to the store in the order of the file, a few at a time: each is submitted before the next is read, so
//! that the order within a conversation is that of the file, and their receipts are awaited in the same order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use tidestore::plan::{AppKey, AttachmentId};
use tidestore::{App, ErrorKind, OldMessage, Options, Receipt};

use crate::args::app_key;
use crate::error::{Failure, store_kind};
use crate::input::{Line, Source};
use crate::lines::{self, LINE_MAX, OldLine};
use crate::occurrences::Occurrences;
use crate::output::{Output, count, plain};
use crate::session::{Missing, Place, close};
use crate::times;

/// Lines handed to the store at a time.
const BATCH: usize = 1_024;
/// Batches that wait for the disk while the next is read.
const IN_FLIGHT: usize = 4;
/// Refused lines that are shown for each reason.
const SHOWN: usize = 5;
const BAR: &str = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
const SPINNER: &str = "{spinner} {bytes} {bytes_per_sec} {msg}";

/// Read messages from JSON lines, each with its own time
///
/// A line is {"chat":C,"from":USER,"ts":MS,"body":TEXT} and may have "kind", "id" (the client's own), "ext"
/// and "attachments" (a list of ids).
/// Lines that are refused are counted and the first ones shown; they do not stop the others.
///
/// Running an import again stores nothing twice, also after it was killed. A file that holds the same line twice
/// keeps both, unless half a million other lines stand between them.
///
/// Attachments that a line names need not be in this store: the reference is kept, and the report counts them.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// A file of JSON lines, plain or compressed with zstd; - reads standard input
    file: PathBuf,
    /// Move all times so that the newest message is from now; prints the shift, which --shift-by repeats
    #[arg(long)]
    shift_to_now: bool,
    /// Move all times by so many milliseconds: what continues an import that was begun with --shift-to-now
    #[arg(
        long,
        value_name = "MS",
        conflicts_with = "shift_to_now",
        allow_hyphen_values = true
    )]
    shift_by: Option<i64>,
    /// Append a line `LINE MSG_ID SEQ` to this file for each message as soon as it is safe
    #[arg(long, value_name = "FILE")]
    acks: Option<PathBuf>,
}

pub(crate) async fn run(place: &Place, output: Output, args: &Import) -> Result<(), Failure> {
    let mut source = Source::open(&args.file)?;
    let store = place
        .open(output, Missing::Refuse, Options::default())
        .await?;
    let ended = async {
        let app = store.app(&args.key)?;
        let acks = args.acks.as_deref().map(append_to).transpose()?;
        let shift = if args.shift_to_now {
            source = source.keep()?;
            let shift = shift_to_now(&source, output)?;
            output.note(&format!(
                "times move by {shift} ms; to continue after an interruption: --shift-by {shift}"
            ));
            shift
        } else {
            args.shift_by.unwrap_or(0)
        };
        import(&app, output, &source, shift, acks).await
    }
    .await;
    close(&store, ended).await
}

async fn import(
    app: &App,
    output: Output,
    source: &Source,
    shift: i64,
    acks: Option<File>,
) -> Result<(), Failure> {
    let bar = output.progress(
        source.len(),
        if source.len().is_some() { BAR } else { SPINNER },
    );
    let mut importer = Importer::new(app, shift, acks, bar.clone());
    let ended = read_all(&mut importer, source, &bar).await;
    bar.finish_and_clear();
    // What was done is said even if it did not come to its end.
    let tally = importer.tally;
    output.show(|| tally.text(), || tally.value(shift))?;
    ended
}

async fn read_all(
    importer: &mut Importer<'_>,
    source: &Source,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut lines = source.lines(LINE_MAX, bar)?;
    let ended = loop {
        let line = match lines.next() {
            Ok(Some(Line::Text(line))) => Ok(line.to_vec()),
            Ok(Some(Line::TooLong(len))) => Err(len),
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        };
        importer.take(lines.number(), line).await?;
    };
    // Also after damage in the input: what was read before it is stored.
    importer.finish().await?;
    ended
}

type Receipts<'a> = Pin<Box<dyn Future<Output = Vec<tidestore::Result<Receipt>>> + 'a>>;

/// A batch that the store works on.
struct InFlight<'a> {
    numbers: Vec<u64>,
    /// What each message names.
    attachments: Vec<Vec<AttachmentId>>,
    receipts: Result<Receipts<'a>, Vec<tidestore::Result<Receipt>>>,
}

struct Importer<'a> {
    app: &'a App,
    shift: i64,
    acks: Option<File>,
    bar: ProgressBar,
    tally: Tally,
    /// Attachments that were named, and whether they are in the store.
    named: HashMap<AttachmentId, bool>,
    occurrences: Occurrences,
    numbers: Vec<u64>,
    batch: Vec<OldMessage>,
    in_flight: VecDeque<InFlight<'a>>,
}

impl<'a> Importer<'a> {
    fn new(app: &'a App, shift: i64, acks: Option<File>, bar: ProgressBar) -> Self {
        Self {
            app,
            shift,
            acks,
            bar,
            tally: Tally::default(),
            named: HashMap::new(),
            occurrences: Occurrences::default(),
            numbers: Vec::with_capacity(BATCH),
            batch: Vec::with_capacity(BATCH),
            in_flight: VecDeque::with_capacity(IN_FLIGHT),
        }
    }

    /// Takes one line, or the length of one that is too long.
    async fn take(&mut self, number: u64, line: Result<Vec<u8>, u64>) -> Result<(), Failure> {
        let line = match line {
            Ok(line) => line,
            Err(len) => {
                let text = format!("the line is {len} bytes long; at most {LINE_MAX} are read");
                self.tally.refuse("line_too_long", number, text);
                return Ok(());
            }
        };
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        match lines::parse(&line) {
            Err(error) => self.tally.refuse(error.reason(), number, error.to_string()),
            Ok(line) => {
                let occurrence = self.occurrences.count(&line);
                let OldLine { message, time } = line;
                let Some(time) = time.checked_add_signed(self.shift) else {
                    let text = format!("{time} ms moved by {} ms is no time", self.shift);
                    self.tally.refuse("time", number, text);
                    return Ok(());
                };
                self.numbers.push(number);
                self.batch.push(OldMessage {
                    message,
                    time,
                    occurrence,
                    is_pending: false,
                    is_read: false,
                });
            }
        }
        if self.batch.len() >= BATCH {
            self.submit().await
        } else {
            Ok(())
        }
    }

    /// Stores what is left and waits for everything.
    async fn finish(&mut self) -> Result<(), Failure> {
        self.submit().await?;
        while !self.in_flight.is_empty() {
            self.settle().await?;
        }
        Ok(())
    }

    async fn submit(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        let numbers = std::mem::replace(&mut self.numbers, Vec::with_capacity(BATCH));
        let named = |old: &OldMessage| old.message.attachments.clone();
        let attachments = batch.iter().map(named).collect();
        let app = self.app;
        let mut receipts: Receipts<'a> = Box::pin(app.import(batch));
        // The first poll puts the batch into the queues of its shards; from then on the store works on it by itself.
        let first = poll_fn(|context| Poll::Ready(receipts.as_mut().poll(context))).await;
        let receipts = match first {
            Poll::Ready(receipts) => Err(receipts),
            Poll::Pending => Ok(receipts),
        };
        self.in_flight.push_back(InFlight {
            numbers,
            attachments,
            receipts,
        });
        if self.in_flight.len() >= IN_FLIGHT {
            self.settle().await
        } else {
            Ok(())
        }
    }

    /// Waits for the oldest batch and counts what became of it.
    async fn settle(&mut self) -> Result<(), Failure> {
        let Some(InFlight {
            numbers,
            attachments,
            receipts,
        }) = self.in_flight.pop_front()
        else {
            return Ok(());
        };
        let receipts = match receipts {
            Ok(waiting) => waiting.await,
            Err(ready) => ready,
        };
        let mut lines = String::new();
        let mut failed = None;
        for ((number, attachments), receipt) in numbers.into_iter().zip(attachments).zip(receipts) {
            match receipt {
                Ok(receipt) => {
                    self.tally.receive(receipt);
                    if !self.are_here(&attachments).await? {
                        self.tally.dangling += 1;
                    }
                    if self.acks.is_some() {
                        let _ = writeln!(lines, "{number} {} {}", receipt.id, receipt.seq);
                    }
                }
                Err(error) if is_refusal(error.kind()) => {
                    self.tally
                        .refuse(store_kind(error.kind()), number, error.to_string());
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(acks) = &mut self.acks {
            acks.write_all(lines.as_bytes()).map_err(|error| {
                Failure::io("the file of acknowledgements cannot be written", error)
            })?;
        }
        self.bar
            .set_message(format!("{} stored", count(self.tally.stored)));
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Whether the store has all of these attachments; each is looked for once.
    async fn are_here(&mut self, ids: &[AttachmentId]) -> Result<bool, Failure> {
        let mut all = true;
        for id in ids {
            let here = if let Some(here) = self.named.get(id) {
                *here
            } else {
                let here = is_here(self.app, *id).await?;
                self.named.insert(*id, here);
                self.tally.missing += u64::from(!here);
                here
            };
            all &= here;
        }
        Ok(all)
    }
}

async fn is_here(app: &App, id: AttachmentId) -> Result<bool, Failure> {
    match app.attachment(id).await {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            ErrorKind::AttachmentNotFound | ErrorKind::AttachmentExpired => Ok(false),
            _ => Err(error.into()),
        },
    }
}

/// Whether an error says that this line is not wanted, rather than that the store cannot go on.
fn is_refusal(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Limit(_)
            | ErrorKind::Id(_)
            | ErrorKind::Conversation
            | ErrorKind::TooOld { .. }
            | ErrorKind::Future { .. }
            | ErrorKind::Argument
    )
}

/// What became of the lines.
#[derive(Debug, Default)]
struct Tally {
    stored: u64,
    duplicates: u64,
    refused: u64,
    reasons: BTreeMap<&'static str, Reason>,
    /// Messages that name attachments that are not in the store, and how many those are.
    dangling: u64,
    missing: u64,
}

/// Lines that were refused for one reason.
#[derive(Debug, Default)]
struct Reason {
    count: u64,
    first: Vec<(u64, String)>,
}

impl Tally {
    fn receive(&mut self, receipt: Receipt) {
        if receipt.duplicate {
            self.duplicates += 1;
        } else {
            self.stored += 1;
        }
    }

    fn refuse(&mut self, reason: &'static str, number: u64, text: String) {
        self.refused += 1;
        let reason = self.reasons.entry(reason).or_default();
        reason.count += 1;
        // A parser's refusal may overtake those of a batch in flight; the first lines are those with low numbers.
        let place = reason
            .first
            .partition_point(|(earlier, _)| *earlier < number);
        reason.first.insert(place, (number, text));
        reason.first.truncate(SHOWN);
    }

    fn text(&self) -> String {
        // Writing to a string cannot fail.
        let mut text = format!(
            "{} stored, {} duplicates, {} refused",
            count(self.stored),
            count(self.duplicates),
            count(self.refused)
        );
        for (name, reason) in &self.reasons {
            let _ = write!(text, "\n  {name}: {}", count(reason.count));
            for (number, why) in &reason.first {
                let _ = write!(text, "\n    line {number}: {}", plain(why));
            }
        }
        if self.dangling > 0 {
            let _ = write!(
                text,
                "\n  {} messages name {} attachments that are not in this store; the references are kept",
                count(self.dangling),
                count(self.missing)
            );
        }
        text
    }

    fn value(&self, shift: i64) -> serde_json::Value {
        let reasons: Vec<_> = self
            .reasons
            .iter()
            .map(|(name, reason)| {
                let lines = reason
                    .first
                    .iter()
                    .map(|(number, text)| json!({ "line": number, "text": text }));
                json!({ "reason": name, "count": reason.count, "lines": lines.collect::<Vec<_>>() })
            })
            .collect();
        json!({
            "stored": self.stored,
            "duplicates": self.duplicates,
            "refused": self.refused,
            "shift_ms": shift,
            "reasons": reasons,
            "messages_with_missing_attachments": self.dangling,
            "missing_attachments": self.missing,
        })
    }
}

/// Reads the source once to find its newest message; what is no message does not count.
fn shift_to_now(source: &Source, output: Output) -> Result<i64, Failure> {
    let bar = output.progress(
        source.len(),
        "{bar:40} {bytes}/{total_bytes} looking for the newest message",
    );
    let mut lines = source.lines(LINE_MAX, &bar)?;
    let mut newest = None;
    while let Some(line) = lines.next()? {
        if let Line::Text(line) = line
            && let Ok(line) = lines::parse(line)
        {
            newest = newest.max(Some(line.time));
        }
    }
    bar.finish_and_clear();
    let Some(newest) = newest else { return Ok(0) };
    let shift = i128::from(times::now()) - i128::from(newest);
    i64::try_from(shift)
        .map_err(|_| Failure::Input(format!("the newest message is dated {newest} ms")))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the operator names this file; it is no part of the store"
)]
fn append_to(path: &Path) -> Result<File, Failure> {
    let opened: io::Result<File> = File::options().create(true).append(true).open(path);
    opened.map_err(|error| Failure::io(format!("{} cannot be written", path.display()), error))
}
