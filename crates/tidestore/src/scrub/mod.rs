//! The scrub: reading all that is stored, slowly, to find damage before a reader does.
//!
//! A pass goes over the files in the order of their paths. How far it has come is a row of the first shard's tables, which
//! is written now and then: after a restart it goes on from there. It reads past the caches, at a bounded rate, and
//! changes nothing but that row; what it finds, `tidestore repair` mends.

mod paced;
mod pass;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidestore_disk::sync::Mutex;
use tidestore_disk::{Env, Millis};
use tidestore_kv::row;

use crate::background::Bell;
use crate::error::Result;
use crate::options::Options;
use crate::shards::Shards;
use crate::store::{Store, blocking};
use crate::tables::SCRUB;
use crate::verify::Problem;

use paced::Pace;
use pass::Pass;

/// How far the scrub is, and what it has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubStatus {
    /// Full passes since the store was created.
    pub passes: u64,
    /// When the last full pass ended, in milliseconds since 1970.
    pub last_full_pass: Option<Millis>,
    /// Whether a pass is under way.
    pub is_running: bool,
    /// The last file that the pass under way, or one that was interrupted, has read.
    pub at: Option<PathBuf>,
    /// Bytes that the pass under way, or the last one, has read since the store was opened.
    pub bytes_read: u64,
    /// What is damaged, as far as it is known; a file that was found whole since is not among them.
    pub problems: Vec<Problem>,
}

/// What is remembered across restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
struct ScrubRow {
    passes: u64,
    last_full_pass: Option<Millis>,
    at: Option<String>,
}

impl Store {
    /// How far the scrub is, and what it has found since the store was opened.
    pub fn scrub_status(&self) -> ScrubStatus {
        self.inner.scrubber.status()
    }

    /// Reads everything that is stored once, now and as fast as it goes, and says what is damaged. Readers and writers go
    /// on, and so does a pass in the background that is under way.
    ///
    /// # Errors
    ///
    /// Damage is a [`Problem`] of the answer; an error means that the pass could not run.
    pub async fn scrub(&self) -> Result<ScrubStatus> {
        self.scrub_at(0).await
    }

    /// As [`scrub`](Self::scrub), at so many bytes a second; 0 is as fast as it goes.
    ///
    /// # Errors
    ///
    /// As [`scrub`](Self::scrub).
    pub async fn scrub_at(&self, bytes_per_second: u64) -> Result<ScrubStatus> {
        let scrubber = Arc::clone(&self.inner.scrubber);
        blocking(move || {
            let _turn = scrubber.turn.lock();
            scrubber.pass(bytes_per_second, None, None);
            Ok(scrubber.status())
        })
        .await
    }
}

/// The scrub of a store.
#[derive(Debug)]
pub(crate) struct Scrubber {
    env: Env,
    store: [u8; 16],
    shards: Arc<Shards>,
    rate: u64,
    bell: Arc<Bell>,
    /// Held by a pass that somebody asked for.
    turn: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    row: ScrubRow,
    pace: Option<Arc<Pace>>,
    running: u32,
    problems: BTreeMap<PathBuf, Vec<Problem>>,
}

/// A full pass begins so long after the last one ended.
const EVERY: Millis = 7 * 86_400_000;
/// How often the thread looks whether a pass is due. A store that was just opened has other things to do first.
const LOOK: Duration = Duration::from_mins(1);
/// How often the place is noted: it costs a record.
const NOTE: Duration = Duration::from_mins(10);
/// Files with damage that are remembered.
const PROBLEMS_MAX: usize = 10_000;

impl Scrubber {
    pub(crate) fn new(env: &Env, store: [u8; 16], shards: &Arc<Shards>, options: &Options) -> Self {
        let first = shards.list.first();
        let known = first.map(|shard| row::<ScrubRow>(&*shard.engine, SCRUB, b""));
        // One that cannot be read is found by the pass that begins anew.
        let row = known.and_then(Result::ok).flatten().unwrap_or_default();
        Self {
            env: env.clone(),
            store,
            shards: Arc::clone(shards),
            rate: options.scrub_bytes_per_second,
            bell: Arc::default(),
            turn: Mutex::default(),
            state: Mutex::new(State {
                row,
                ..State::default()
            }),
        }
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Runs passes until the store closes.
    pub(crate) fn run(&self, bell: &Arc<Bell>) {
        while bell.wait(LOOK) {
            let row = self.state.lock().row.clone();
            let now = self.shards.guard.now();
            let is_due = row.at.is_some()
                || row
                    .last_full_pass
                    .is_none_or(|last| last.saturating_add(EVERY) <= now);
            if is_due && !self.pass(self.rate, row.at.as_deref(), Some(bell)) {
                return;
            }
        }
    }

    /// One pass from a place on; `false` if it was cut short because the store closes.
    fn pass(&self, rate: u64, behind: Option<&str>, bell: Option<&Arc<Bell>>) -> bool {
        let pace = Arc::new(Pace::new(&self.env.clock, rate, bell.cloned()));
        {
            let mut state = self.state.lock();
            state.pace = Some(Arc::clone(&pace));
            state.running += 1;
        }
        let pass = Pass::new(&self.env.disk, self.store, &pace);
        let mut noted = self.env.clock.monotonic();
        let is_done = pass.run(
            &self.shards.list,
            behind.map(Path::new),
            &mut |path, found| {
                self.told(path, found, bell.is_some());
                let now = self.env.clock.monotonic();
                if now >= noted + NOTE {
                    noted = now;
                    self.note();
                }
            },
        );
        {
            let mut state = self.state.lock();
            state.running -= 1;
            if is_done {
                if bell.is_some() {
                    state.row.at = None;
                }
                state.row.passes += 1;
                state.row.last_full_pass = Some(self.shards.guard.now());
            }
        }
        self.note();
        is_done
    }

    /// Remembers what was found in a file, and says it aloud if it is news.
    fn told(&self, path: &Path, found: Vec<Problem>, goes_on: bool) {
        let mut state = self.state.lock();
        if goes_on {
            state.row.at = path.to_str().map(str::to_owned);
        }
        for problem in &found {
            let is_known = state
                .problems
                .get(path)
                .is_some_and(|known| known.contains(problem));
            if !is_known {
                tracing::error!(
                    path = %path.display(),
                    offset = problem.offset,
                    detail = problem.detail,
                    "the scrub found damage; `tidestore repair` mends it"
                );
            }
        }
        if found.is_empty() {
            state.problems.remove(path);
        } else if state.problems.len() < PROBLEMS_MAX {
            state.problems.insert(path.to_owned(), found);
        }
    }

    /// Writes down how far the pass is. A shard that takes no changes keeps nobody from reading.
    fn note(&self) {
        let row = self.state.lock().row.clone();
        let Some(shard) = self.shards.list.first() else {
            return;
        };
        let noted = shard.change_own(move |rows, _| Ok(rows.put(SCRUB, Vec::new(), &row)?));
        if let Err(error) = noted {
            tracing::debug!(%error, "the place of the scrub could not be noted");
        }
    }

    fn status(&self) -> ScrubStatus {
        let state = self.state.lock();
        ScrubStatus {
            passes: state.row.passes,
            last_full_pass: state.row.last_full_pass,
            is_running: state.running > 0,
            at: state.row.at.as_ref().map(PathBuf::from),
            bytes_read: state.pace.as_ref().map_or(0, |pace| pace.read()),
            problems: state.problems.values().flatten().cloned().collect(),
        }
    }
}
