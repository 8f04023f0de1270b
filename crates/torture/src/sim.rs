//! A round on a simulated machine: a store lives several lives on one disk, each with a fault of its own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tidestore::disk::{Clock, Disk, Env, Fault, Millis, OpKind, SimClock, SimDisk, Survival};
use tidestore::{EngineKind, Options, Store};

use crate::act::{Lane, act};
use crate::chat::{DAY, HOUR, Window};
use crate::compare::{Compared, Demand};
use crate::damage::{Damage, damage};
use crate::draw::{Draw, mix};
use crate::observe::observe;
use crate::op::{Answer, Failure, Op, Said};
use crate::people;
use crate::report::Report;
use crate::state::States;
use crate::writer::{Manners, Writer};

/// 2026-01-01T00:00:00Z: where simulated clocks start.
const START: Millis = 1_767_225_600_000;
/// Requests that are still tried after one failed on a shard that may have stopped.
const LAST_WORDS: u32 = 4;
/// Copies of the disk that are damaged at the end of a life.
const DAMAGES: u32 = 6;

/// What a life has to bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Hardship {
    None,
    PowerCut,
    SyncFailsOnce,
    SyncFails,
    FullDisk,
    Eio,
    ShortIo,
    NoHandles,
    WrongClock,
    Damage,
}

const HARDSHIPS: [(u64, Hardship); 10] = [
    (1, Hardship::None),
    (6, Hardship::PowerCut),
    (2, Hardship::SyncFailsOnce),
    (1, Hardship::SyncFails),
    (3, Hardship::FullDisk),
    (3, Hardship::Eio),
    (1, Hardship::ShortIo),
    (1, Hardship::NoHandles),
    (2, Hardship::WrongClock),
    (3, Hardship::Damage),
];

/// A simulated machine with a store on it, and what should be in it.
pub(crate) struct Round {
    pub(crate) draw: Draw,
    pub(crate) disk: SimDisk,
    pub(crate) report: Report,
    clock: SimClock,
    options: Options,
    /// What the store gets for the disk; a test puts one that lies in between.
    wrap: fn(SimDisk) -> Arc<dyn Disk>,
    store: Option<Store>,
    states: States,
    writer: Writer,
    /// How far the wall clock is off, in milliseconds.
    off: i64,
    /// The disk as it was some lives ago.
    older: Option<SimDisk>,
    lives: u64,
    trace: DefaultHasher,
    /// What is done now, for who reads a failure.
    story: Vec<String>,
}

impl Round {
    pub(crate) fn new(mut draw: Draw) -> Self {
        let engine = if draw.chance(30) {
            EngineKind::Redb
        } else {
            EngineKind::Memory
        };
        let options = Options {
            shards: 1 + u16::try_from(draw.below(3)).unwrap_or_default(),
            engine,
            log_file_bytes: 32 << 10,
            memtable_bytes: 16 << 10,
            block_bytes: 600,
            shared_attachment_bytes: 16 << 10,
            // So that most deletions take several records, and something comes between them.
            deletion_rows: 2,
            limits: people::limits(),
            background: false,
            ..Options::default()
        };
        let seed = draw.below(u64::MAX);
        Self {
            draw,
            disk: SimDisk::new(),
            report: Report::default(),
            clock: SimClock::new(START),
            options,
            wrap: |disk| Arc::new(disk),
            store: None,
            states: States::new(),
            writer: Writer::new(seed),
            off: 0,
            older: None,
            lives: 0,
            trace: DefaultHasher::new(),
            story: Vec::new(),
        }
    }

    /// Lives through a number of lives, or until a fuzzer's bytes are used up.
    ///
    /// # Errors
    ///
    /// What was lost or wrong.
    pub(crate) async fn run(&mut self, lives: u64) -> Result<u64, String> {
        let ended = self.live_on(lives).await;
        ended.map_err(|why| format!("{why}\n  {}", self.story.join("\n  ")))?;
        Ok(self.trace.finish())
    }

    async fn live_on(&mut self, lives: u64) -> Result<(), String> {
        self.open().await?;
        let answer = act(self.store()?, 0, &Op::SetUp).await;
        if !matches!(answer, Answer::Done(_)) {
            return Err(format!("a new store: {answer:?}"));
        }
        for _ in 0..lives {
            if self.draw.is_spent() {
                break;
            }
            let hardship = self.draw.weighted(&HARDSHIPS, Hardship::PowerCut);
            self.story = vec![format!("life {} with {hardship:?}", self.lives)];
            self.live(hardship).await?;
            self.lives += 1;
        }
        Ok(())
    }

    fn store(&self) -> Result<&Store, String> {
        self.store
            .as_ref()
            .ok_or_else(|| "there is no store".to_owned())
    }

    /// The time that is right.
    fn now(&self) -> Millis {
        self.clock.wall().saturating_add_signed(-self.off)
    }

    fn window(&self) -> Window {
        Window {
            // While the clock is wrong, what has expired may be seen.
            is_lenient: self.off != 0,
            ..Window::at(self.now(), 0)
        }
    }

    fn env(&self, disk: &SimDisk) -> Env {
        Env {
            disk: (self.wrap)(disk.clone()),
            ..Env::sim(disk.clone(), self.clock.clone(), mix(7, self.lives))
        }
    }

    async fn open(&mut self) -> Result<(), String> {
        self.report.add("lives", 1);
        let opened = Store::open_env(self.env(&self.disk), self.options.clone()).await;
        self.store = Some(opened.map_err(|error| format!("opening failed: {error} {error:?}"))?);
        Ok(())
    }

    async fn live(&mut self, hardship: Hardship) -> Result<(), String> {
        let requests = 8 + self.draw.below(56);
        // The fault comes somewhere in the life; before and after it everything must go well.
        let begins = self.draw.below(requests);
        let mut fault = Armed::default();
        for request in 0..requests {
            if request == begins {
                self.arm(hardship, &mut fault)?;
            }
            let manners = Manners {
                is_timeless: self.off != 0,
                ..Manners::default()
            };
            if self.draw.chance(12) {
                self.pass();
            }
            let window = self.window();
            let Some(state) = self.states.any() else {
                break;
            };
            let op = self.writer.next(&mut self.draw, state, window, manners);
            let Some(op) = self.states.instead(op) else {
                continue;
            };
            let failed = self.ask(&op, fault).await?;
            fault.tries += u32::from(failed || fault.tries > 0);
            let gives_up = match hardship {
                Hardship::FullDisk => false,
                Hardship::PowerCut => self.disk.is_crashed(),
                _ => fault.tries > LAST_WORDS,
            };
            if gives_up || self.states.is_crowded() || self.draw.is_spent() {
                break;
            }
        }
        if fault.is_on && hardship == Hardship::FullDisk && !self.states.is_latched() {
            self.expire_when_full().await?;
        }
        self.end(hardship, fault).await
    }

    /// Makes a request and takes the answer into account. Says whether it failed.
    async fn ask(&mut self, op: &Op, fault: Armed) -> Result<bool, String> {
        let answer = act(self.store()?, 0, op).await;
        self.trace_of(&(op, &answer));
        self.report.add("operations", 1);
        let failed = matches!(answer, Answer::Failed(..));
        self.story.push(format!("{op:?} -> {}", brief(&answer)));
        if failed && !fault.is_on {
            return Err(format!(
                "{op:?} failed though nothing was wrong with the disk: {answer:?}"
            ));
        }
        if let Answer::Failed(Failure::Corruption, text) = &answer {
            return Err(format!(
                "{op:?}: damage on a disk that does not damage: {text}"
            ));
        }
        if let (
            Answer::Done(Said::Expired {
                is_paused,
                segments,
            }),
            true,
        ) = (&answer, self.off.unsigned_abs() > 2 * HOUR)
            && (!is_paused || *segments > 0)
        {
            return Err(format!("expired by a wrong clock: {answer:?}"));
        }
        self.report.add("unanswered", u64::from(failed));
        self.writer.hear(op, &answer);
        let window = self.window();
        self.states.hear(op, &answer, window)?;
        Ok(failed)
    }

    fn trace_of(&mut self, what: &impl std::fmt::Debug) {
        format!("{what:?}").hash(&mut self.trace);
    }

    fn pass(&mut self) {
        let most = if self.draw.chance(70) {
            3 * HOUR
        } else {
            2 * DAY
        };
        let millis = self.draw.below(most);
        self.clock.advance(Duration::from_millis(millis));
        self.story.push(format!("{millis} ms pass"));
    }

    fn arm(&mut self, hardship: Hardship, fault: &mut Armed) -> Result<(), String> {
        fault.is_on = true;
        let draw = &mut self.draw;
        match hardship {
            Hardship::None | Hardship::Damage => fault.is_on = false,
            Hardship::PowerCut => {
                let most = if draw.chance(50) { 40 } else { 600 };
                self.disk.crash_at(1 + draw.below(most));
            }
            Hardship::SyncFailsOnce => {
                self.disk
                    .fail_matching(OpKind::Sync, 1 + draw.below(8), Fault::Eio);
            }
            Hardship::SyncFails => self.disk.fail_always(OpKind::Sync, Fault::Eio),
            Hardship::FullDisk => {
                let room = draw.below(40_000);
                self.disk.set_space(Some(self.disk.total_bytes() + room));
                self.report.add("full_disks", 1);
            }
            Hardship::Eio => self.disk.fail_at(1 + draw.below(60), Fault::Eio),
            Hardship::NoHandles => self.disk.fail_at(1 + draw.below(60), Fault::NoHandles),
            Hardship::ShortIo => {
                fault.is_on = false;
                self.disk.set_short_io(Some(1 + draw.index(700)));
                self.report.add("io_errors", 1);
            }
            Hardship::WrongClock => {
                fault.is_on = false;
                self.turn_clock()?;
            }
        }
        Ok(())
    }

    /// The wall clock jumps: back, forward, to zero; or somebody sets it right.
    fn turn_clock(&mut self) -> Result<(), String> {
        let hours = i64::try_from(HOUR).unwrap_or(i64::MAX);
        let by = match self.draw.below(5) {
            0 => -i64::try_from(self.clock.wall()).unwrap_or(i64::MAX),
            1 | 2 => -hours * (3 + i64::try_from(self.draw.below(9_000)).unwrap_or_default()),
            _ => hours * (3 + i64::try_from(self.draw.below(9_000)).unwrap_or_default()),
        };
        self.clock.jump(by);
        self.report.add("clock_jumps", 1);
        let is_true = by > 0 && by < 20 * 24 * hours && self.draw.chance(50);
        if is_true {
            // So late it really is: an operator says so, and what is old enough goes.
            self.store()?.confirm_clock();
        } else {
            self.off = by;
        }
        self.story
            .push(format!("the clock jumps by {by} ms; true: {is_true}"));
        Ok(())
    }

    /// On a full disk time goes on; expiry must work, and needs no space.
    async fn expire_when_full(&mut self) -> Result<(), String> {
        self.clock.advance(Duration::from_millis(4 * DAY));
        self.disk.set_space(Some(self.disk.total_bytes()));
        let before = self.disk.total_bytes();
        let segments = self.expired_segments();
        let report = self.store()?.expire().await;
        // What has left the disk may still not be room enough for what is in memory; the error says so.
        if let Err(error) = &report
            && *error.kind() != tidestore::ErrorKind::Full
        {
            return Err(format!("expiry on a full disk: {error} {error:?}"));
        }
        self.story.push(
            format!("expiry on a full disk: {report:?}")
                .chars()
                .take(200)
                .collect(),
        );
        let after = self.disk.total_bytes();
        if after > before {
            return Err(format!(
                "expiry on a full disk took {before} to {after} bytes"
            ));
        }
        let left = self.expired_segments();
        if !left.is_empty() {
            return Err(format!("a full disk keeps expired files: {left:?}"));
        }
        self.report
            .add("expired_when_full", u64::from(!segments.is_empty()));
        // Space is back, and everything goes on by itself.
        self.disk.set_space(None);
        for _ in 0..6 {
            let window = self.window();
            let Some(state) = self.states.any() else {
                break;
            };
            let op = self
                .writer
                .next(&mut self.draw, state, window, Manners::default());
            self.ask(&op, Armed::default()).await?;
        }
        Ok(())
    }

    /// Segments of the chat that lie behind its floor for certain: no bucket is wider than four days.
    fn expired_segments(&self) -> Vec<std::path::PathBuf> {
        let floor = self
            .states
            .any()
            .map_or(0, |state| state.chat.floor_at(self.now()));
        let mut files = self.disk.files();
        if !self.states.is_certain() {
            files.clear();
        }
        files.retain(|path| {
            let mut names = path.iter().rev().filter_map(|name| name.to_str());
            let is_segment = names.next().is_some() && path.extension() == Some("seg".as_ref());
            let bucket: Option<Millis> = names.next().and_then(|name| name.parse().ok());
            let is_own = path.starts_with("apps");
            is_segment && is_own && bucket.is_some_and(|start| start + 4 * DAY <= floor)
        });
        files
    }

    /// Ends a life, begins the next, and compares.
    async fn end(&mut self, hardship: Hardship, fault: Armed) -> Result<(), String> {
        let level = self.draw.index(Survival::LEVELS.len());
        let (seed, how) = (self.draw.below(1 << 32), self.draw.below(3));
        let is_cut = matches!(hardship, Hardship::PowerCut) || how == 0;
        if how == 1 && !self.disk.is_crashed() {
            let closed = self.store()?.close().await;
            if let Err(error) = closed
                && !fault.is_on
            {
                return Err(format!("closing failed: {error} {error:?}"));
            }
        } else if !is_cut {
            self.report.add("crashes", 1);
        }
        self.count_faults(hardship, fault);
        let survival = Survival::LEVELS
            .get(level)
            .copied()
            .unwrap_or(Survival::NONE);
        self.story
            .push(format!("ends: cut {is_cut} ({survival:?}), how {how}"));
        if is_cut {
            self.report.add("cuts", 1);
            self.disk = self.disk.crash(seed, survival);
        }
        // The old store must not hold the lock of a disk that lives on.
        self.store = None;
        self.writer.forget();
        self.disk.clear_faults();
        self.disk.set_space(None);
        self.disk.set_short_io(None);
        if hardship == Hardship::Damage {
            self.damage_copies().await?;
        }
        if self.draw.chance(40) {
            self.older = Some(self.disk.crash(0, Survival::ALL));
        }
        self.open().await?;
        self.set_clock_right().await?;
        self.check().await
    }

    fn count_faults(&mut self, hardship: Hardship, fault: Armed) {
        let name = match hardship {
            Hardship::SyncFailsOnce | Hardship::SyncFails => "failed_syncs",
            Hardship::Eio | Hardship::NoHandles => "io_errors",
            _ => return,
        };
        self.report.add(name, u64::from(fault.tries > 0));
    }

    /// Under a wrong clock nothing may be missing; set right, everything is as it should be.
    async fn set_clock_right(&mut self) -> Result<(), String> {
        if self.off != 0 {
            let window = Window {
                is_lenient: true,
                ..self.window()
            };
            let seen = observe(&self.lane()?).await;
            self.states
                .settle(&seen, window)
                .map_err(|why| format!("under a wrong clock: {why}"))?;
            self.clock.jump(-self.off);
            self.off = 0;
        }
        // A long quiet time raises an alarm, too; an operator would confirm the clock.
        self.store()?.confirm_clock();
        Ok(())
    }

    fn lane(&self) -> Result<Lane, String> {
        Lane::find(self.store()?, 0).map_err(|error| format!("an app is gone: {error}"))
    }

    async fn check(&mut self) -> Result<(), String> {
        let seen = observe(&self.lane()?).await;
        self.trace_of(&seen);
        let window = self.window();
        let compared = self.states.settle(&seen, window)?;
        self.report.compared(&compared);
        let report = self.store()?.verify().await;
        let report = report.map_err(|error| format!("verification failed: {error}"))?;
        if !report.problems.is_empty() {
            return Err(format!("verification found {:?}", report.problems));
        }
        self.report.add("verified", 1);
        Ok(())
    }

    async fn damage_copies(&mut self) -> Result<(), String> {
        for _ in 0..DAMAGES {
            let copy = self.disk.crash(0, Survival::ALL);
            let done = damage(&mut self.draw, &copy, self.older.as_ref());
            let Some(done) = done else { continue };
            self.report.add(done.kind, 1);
            let what = format!("{} of {}: {}", done.kind, done.path.display(), done.detail);
            let outcome = self.check_damaged(&copy, &done).await;
            let outcome = outcome.map_err(|why| format!("{what}: {why}"))?;
            self.trace_of(&(what, outcome.damaged));
        }
        Ok(())
    }

    /// A store on a damaged disk refuses to open, or serves what is whole.
    async fn check_damaged(&self, copy: &SimDisk, done: &Damage) -> Result<Compared, String> {
        let opened = Store::open_env(self.env(copy), self.options.clone()).await;
        let store = match opened {
            Ok(store) => store,
            Err(error) if is_honest(error.kind()) && done.may_refuse => {
                return Ok(Compared::default());
            }
            Err(error) => return Err(format!("opening failed: {error} {error:?}")),
        };
        store.confirm_clock();
        judge_damaged(&store, 0, &self.states, self.window(), done).await
    }
}

/// Compares what a damaged store serves. What is missing must have been said.
pub(crate) async fn judge_damaged(
    store: &Store,
    lane: usize,
    states: &States,
    window: Window,
    done: &Damage,
) -> Result<Compared, String> {
    let lane = match Lane::find(store, lane) {
        Ok(lane) => lane,
        Err(_) if done.demand == Demand::Right => return Ok(Compared::default()),
        Err(error) => return Err(format!("an app is gone: {error}")),
    };
    let seen = observe(&lane).await;
    let whole = states.check(&seen, window, Demand::Readable);
    if let Ok(compared) = whole {
        return Ok(compared);
    }
    let right = states.check(&seen, window, Demand::Right)?;
    // With an older copy of its log or its tables a store may be one that it once was; and that there was another log
    // file behind the last one, only that file says. Nobody could tell.
    let is_log = done.path.starts_with("log") || done.path.starts_with("views");
    if matches!(done.kind, "stale_files" | "lost_files") && is_log {
        return Ok(right);
    }
    let report = store.verify().await;
    let is_said = !store.notices().is_empty()
        || report
            .as_ref()
            .map_or(true, |report| !report.problems.is_empty());
    if is_said {
        return Ok(right);
    }
    Err(format!("in silence: {}", whole.err().unwrap_or_default()))
}

/// Whether it is one of the answers to damage.
pub(crate) fn is_honest(kind: &tidestore::ErrorKind) -> bool {
    use tidestore::ErrorKind;
    matches!(
        kind,
        ErrorKind::Corruption | ErrorKind::NotAStore | ErrorKind::Format
    )
}

/// A fault that may strike.
#[derive(Clone, Copy, Debug, Default)]
struct Armed {
    /// Requests may fail now.
    is_on: bool,
    /// Requests made since the first that failed.
    tries: u32,
}

fn brief(answer: &Answer) -> String {
    let text = format!("{answer:?}");
    text.chars().take(160).collect()
}

#[cfg(test)]
mod alarm;
