//! A round with real processes: one opens a store on a real directory, many lanes keep it busy, and it is killed.
//!
//! Every request is known here before it is sent, and counts as acknowledged when its answer was read; so what a killed
//! process may have done without saying so is at most one request a lane.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tidestore::disk::{
    Clock, Disk, EntryKind, Env, FileExt, OpenMode, OsEntropy, RealClock, RealDisk, SimClock,
    SimDisk, Survival,
};
use tidestore::{MessageId, Store};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::act::Lane;
use crate::chat::{DAY, HOUR, Window};
use crate::damage::damage;
use crate::draw::Draw;
use crate::faulty::{ShiftedClock, Trouble};
use crate::observe::observe;
use crate::op::{Answer, Failure, Op, Receipt, Said};
use crate::report::Report;
use crate::sim::{is_honest, judge_damaged};
use crate::state::States;
use crate::worker::{Order, Task, Word};
use crate::writer::{Manners, Writer};

/// How far apart two clocks may read, and how long a request may be under way, in milliseconds.
const SLACK: u64 = 60_000;
/// A process that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_mins(1);
/// Copies that are damaged after some of the kills.
const DAMAGES: u32 = 3;

/// How a worker is started: the program, and what comes before its task.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program.
    pub path: PathBuf,
    /// Its arguments; the task is the last, unless it is handed over in a variable.
    pub arguments: Vec<OsString>,
    /// The variable that holds the task.
    pub variable: Option<String>,
}

/// A writer and what should be there of what it wrote.
struct Hand {
    states: States,
    writer: Writer,
    /// What was asked and not answered, and the shards that had failed by then.
    open: Option<(Op, BTreeSet<u8>, bool)>,
}

pub(crate) struct Round<'a> {
    pub(crate) draw: Draw,
    pub(crate) report: Report,
    program: &'a Program,
    task: Task,
    hands: Vec<Hand>,
    /// How far the right time is ahead of the machine's, in milliseconds.
    ahead: i64,
    /// All that happened, for who has to find out why.
    pub(crate) story: Vec<String>,
}

/// What a life of a process has been through.
#[derive(Debug, Default)]
struct Life {
    trouble: Trouble,
    /// Whether requests may fail.
    may_fail: bool,
    /// Whether the wall clock is wrong.
    is_off: bool,
    /// Shards whose log could not be flushed.
    failed_shards: BTreeSet<u8>,
    /// When a full disk got space again.
    space_since: Option<Instant>,
    /// Lanes in which something was done since.
    going_on: BTreeSet<usize>,
}

impl<'a> Round<'a> {
    pub(crate) fn new(mut draw: Draw, dir: &Path, program: &'a Program) -> Self {
        let lanes = 2 + draw.index(5);
        let hands = (0..lanes).map(|_| Hand {
            states: States::new(),
            writer: Writer::new(draw.below(u64::MAX)),
            open: None,
        });
        let hands = hands.collect();
        let task = Task {
            dir: dir.display().to_string(),
            shards: 1 + u16::try_from(draw.below(3)).unwrap_or_default(),
            engine: if draw.chance(20) { "sled" } else { "redb" }.to_owned(),
            clock: 0,
            is_confirmed: true,
        };
        Self {
            draw,
            report: Report::default(),
            program,
            task,
            hands,
            ahead: 0,
            story: Vec::new(),
        }
    }

    /// Lives through a number of kills.
    ///
    /// # Errors
    ///
    /// What was lost or wrong.
    pub(crate) async fn run(&mut self, lives: u64) -> Result<(), String> {
        for life in 0..lives {
            self.story.push(format!("life {life}"));
            let ended = self.live(life == 0).await;
            ended.map_err(|why| format!("{why}\n  {}", self.end_of_the_story()))?;
        }
        Ok(())
    }

    /// The last that happened.
    fn end_of_the_story(&self) -> String {
        let skipped = self.story.len().saturating_sub(40);
        let brief = |line: &String| line.chars().take(400).collect::<String>();
        let lines: Vec<_> = self.story.iter().skip(skipped).map(brief).collect();
        lines.join("\n  ")
    }

    fn window(&self) -> Window {
        let now = RealClock.wall().saturating_add_signed(self.ahead);
        Window::at(now, SLACK)
    }

    async fn live(&mut self, is_first: bool) -> Result<(), String> {
        self.task.clock = self.ahead;
        let (mut child, mut orders, mut words) = self.start().await?;
        let mut life = Life::default();
        if is_first {
            for lane in 0..self.hands.len() {
                self.send(&mut orders, lane, Op::SetUp, &life).await?;
            }
            for _ in 0..self.hands.len() {
                let word = self.hear_one(&mut words, &mut child).await?;
                let Word::Answer {
                    lane,
                    answer: Answer::Done(_),
                } = word
                else {
                    return Err(format!("a new store: {word:?}"));
                };
                self.hands[lane].open = None;
            }
        }
        self.work(&mut orders, &mut words, &mut life).await?;
        self.report.add("kills", 1);
        child
            .kill()
            .await
            .map_err(|error| format!("the process could not be killed: {error}"))?;
        // What it said before it died was said.
        while let Some(word) = words.recv().await {
            self.hear(word, &mut life)?;
        }
        self.check(&life).await
    }

    async fn start(
        &mut self,
    ) -> Result<(Child, ChildStdin, mpsc::UnboundedReceiver<Word>), String> {
        self.report.add("lives", 1);
        let task = serde_json::to_string(&self.task).map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.program.path);
        command.args(&self.program.arguments);
        match &self.program.variable {
            Some(variable) => command.env(variable, task),
            None => command.arg(task),
        };
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|error| format!("no process could be started: {error}"))?;
        let orders = child.stdin.take().ok_or("it has no input")?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("it has no output")?).lines();
        let (told, mut words) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // A test that started itself says more than its words.
                if let Ok(word) = serde_json::from_str::<Word>(&line)
                    && told.send(word).is_err()
                {
                    return;
                }
            }
        });
        match self.hear_one(&mut words, &mut child).await? {
            Word::Open => Ok((child, orders, words)),
            word => Err(format!("it did not open: {word:?}")),
        }
    }

    async fn hear_one(
        &self,
        words: &mut mpsc::UnboundedReceiver<Word>,
        child: &mut Child,
    ) -> Result<Word, String> {
        match timeout_at(Instant::now() + PATIENCE, words.recv()).await {
            Ok(Some(word)) => Ok(word),
            Ok(None) => Err(format!(
                "the process ended by itself: {:?}",
                child.wait().await
            )),
            Err(_) => Err("the process says nothing for a minute".to_owned()),
        }
    }

    async fn send(
        &mut self,
        orders: &mut ChildStdin,
        lane: usize,
        op: Op,
        life: &Life,
    ) -> Result<(), String> {
        let order = Order::Ask {
            lane,
            op: op.clone(),
        };
        self.hands[lane].open = Some((op, life.failed_shards.clone(), life.may_fail));
        say(orders, &order).await
    }

    /// Keeps all lanes busy until the moment of the kill.
    async fn work(
        &mut self,
        orders: &mut ChildStdin,
        words: &mut mpsc::UnboundedReceiver<Word>,
        life: &mut Life,
    ) -> Result<(), String> {
        let span = 150 + self.draw.below(1_200);
        let mut end = Instant::now() + Duration::from_millis(span);
        let choices = [
            (8, Trouble::None),
            (2, Trouble::SyncFailsOnce),
            (2, Trouble::SyncFails),
            (2, Trouble::WriteFails),
            (3, Trouble::Full),
        ];
        let planned = self.draw.weighted(&choices, Trouble::None);
        let jumps = planned == Trouble::None && self.draw.chance(30);
        let may_buffer = planned == Trouble::None;
        let mut next = Some(Instant::now() + Duration::from_millis(self.draw.below(span)));
        self.story.push(format!(
            "{planned:?}, clock jumps: {jumps}, killed after {span} ms"
        ));
        for lane in 0..self.hands.len() {
            self.ask(orders, lane, life, may_buffer).await?;
        }
        loop {
            let until = next.map_or(end, |next| next.min(end));
            match timeout_at(until, words.recv()).await {
                Ok(Some(word)) => {
                    if let Some(lane) = self.hear(word, life)? {
                        self.ask(orders, lane, life, may_buffer).await?;
                    }
                }
                Ok(None) => return Err("the process ended by itself".to_owned()),
                Err(_) if Instant::now() >= end => match life.space_since {
                    Some(since) if !self.standing(life).is_empty() => {
                        if Instant::now() >= since + PATIENCE {
                            let asked: Vec<_> = self
                                .standing(life)
                                .into_iter()
                                .map(|lane| (lane, &self.hands[lane].open))
                                .collect();
                            return Err(format!("after a minute with space stand {asked:?}"));
                        }
                        end = Instant::now() + Duration::from_millis(100);
                    }
                    _ => return Ok(()),
                },
                Err(_) => {
                    next = None;
                    if planned == Trouble::Full && life.trouble == Trouble::Full {
                        say(orders, &Order::Fail(Trouble::None)).await?;
                    } else if planned != Trouble::None {
                        life.may_fail = true;
                        life.trouble = planned;
                        say(orders, &Order::Fail(planned)).await?;
                        next = (planned == Trouble::Full).then(|| {
                            Instant::now() + Duration::from_millis(40 + self.draw.below(300))
                        });
                    } else if jumps {
                        self.turn_clock(orders, life).await?;
                    }
                }
            }
        }
    }

    /// Lanes in which nothing was done since there is space, though they are asked.
    fn standing(&self, life: &Life) -> Vec<usize> {
        let lanes = self.hands.iter().enumerate();
        let asked = lanes.filter(|(_, hand)| hand.open.is_some() || !hand.states.is_crowded());
        let asked = asked.map(|(lane, _)| lane);
        asked.filter(|lane| !life.going_on.contains(lane)).collect()
    }

    /// The wall clock of the process jumps, either way or to zero; sometimes days have really passed.
    async fn turn_clock(&mut self, orders: &mut ChildStdin, life: &mut Life) -> Result<(), String> {
        let hours = i64::try_from(HOUR).unwrap_or(i64::MAX);
        let far = hours * (3 + i64::try_from(self.draw.below(9_000)).unwrap_or_default());
        let by = match self.draw.below(4) {
            0 => -i64::try_from(RealClock.wall()).unwrap_or(i64::MAX),
            1 => -far,
            _ => far,
        };
        life.is_off = true;
        self.report.add("clock_jumps", 1);
        self.story.push(format!("the clock jumps by {by} ms"));
        say(orders, &Order::Clock(by.saturating_add(self.ahead))).await
    }

    async fn ask(
        &mut self,
        orders: &mut ChildStdin,
        lane: usize,
        life: &Life,
        may_buffer: bool,
    ) -> Result<(), String> {
        let window = self.window();
        let manners = Manners {
            may_buffer,
            is_timeless: life.is_off,
            is_in_background: true,
        };
        let hand = &mut self.hands[lane];
        let Some(state) = hand.states.any().filter(|_| !hand.states.is_crowded()) else {
            return Ok(());
        };
        let next = hand.writer.next(&mut self.draw, state, window, manners);
        let op = hand.states.instead(next).unwrap_or(Op::Sync);
        self.send(orders, lane, op, life).await
    }

    /// Takes a word into account; answers which lane is free again.
    fn hear(&mut self, word: Word, life: &mut Life) -> Result<Option<usize>, String> {
        match word {
            Word::Struck { trouble, path } => {
                self.story.push(format!("{trouble:?} strikes at {path}"));
                let name = match trouble {
                    Trouble::SyncFails | Trouble::SyncFailsOnce => "failed_syncs",
                    Trouble::Full => "full_disks",
                    _ => "io_errors",
                };
                self.report.add(name, 1);
                if name == "failed_syncs" {
                    life.failed_shards.extend(log_shard(&path));
                }
                Ok(None)
            }
            // From now on there is space: everything goes on by itself, at the latest with the next flush in the background.
            Word::Fails(Trouble::None) => {
                life.may_fail = false;
                life.trouble = Trouble::None;
                life.space_since = Some(Instant::now());
                Ok(None)
            }
            Word::Answer { lane, answer } => {
                self.hear_answer(lane, &answer, life)?;
                Ok(Some(lane))
            }
            Word::NotOpen(why) => Err(format!("it did not open: {why}")),
            Word::Open | Word::Fails(_) => Ok(None),
        }
    }

    fn hear_answer(&mut self, lane: usize, answer: &Answer, life: &mut Life) -> Result<(), String> {
        let window = self.window();
        let hand = self.hands.get_mut(lane).ok_or("there is no such lane")?;
        let (op, failed_shards, might_fail) =
            hand.open.take().ok_or("an answer without a request")?;
        self.report.add("operations", 1);
        let text: String = format!("{lane}: {op:?} -> {answer:?}")
            .chars()
            .take(2_000)
            .collect();
        self.story.push(text);
        if let Answer::Failed(failure, why) = answer {
            self.report.add("unanswered", 1);
            let is_after = life.space_since.is_some() && *failure == Failure::Full;
            if *failure == Failure::Corruption || !life.may_fail && !might_fail && !is_after {
                return Err(format!(
                    "{op:?} failed though nothing was wrong with the disk: {why}"
                ));
            }
        }
        if let Answer::Done(Said::Receipts(all)) = answer {
            let stored = all
                .iter()
                .flatten()
                .find(|receipt| is_from(**receipt, &failed_shards));
            if let Some(receipt) = stored {
                return Err(format!(
                    "{op:?} got {receipt:?} from a shard whose flush had failed"
                ));
            }
        }
        if life.space_since.is_some() && op.is_change() && matches!(answer, Answer::Done(_)) {
            life.going_on.insert(lane);
        }
        hand.writer.hear(&op, answer);
        hand.states.hear(&op, answer, window)
    }

    /// Opens what the process left, and compares.
    async fn check(&mut self, life: &Life) -> Result<(), String> {
        let window = self.window();
        for hand in &mut self.hands {
            if let Some((op, ..)) = hand.open.take() {
                self.report.add("unanswered", 1);
                hand.states.leave_open(&op, window);
            }
            hand.writer.forget();
        }
        let (damages, whole) = (
            self.draw.chance(35) && self.task.engine != "sled",
            self.window(),
        );
        let copy = if damages {
            Some(load(Path::new(&self.task.dir))?)
        } else {
            None
        };
        if !life.is_off && self.draw.chance(15) {
            // Days go by before it is opened again; then an operator says that they did.
            let days = 1 + self.draw.below(4);
            self.ahead += i64::try_from(days * DAY).unwrap_or_default();
            self.report.add("clock_jumps", 1);
            self.story.push(format!("{days} days pass"));
        }
        let clock = ShiftedClock::by(self.ahead);
        let env = Env {
            disk: Arc::new(
                RealDisk::open(Path::new(&self.task.dir)).map_err(|error| error.to_string())?,
            ),
            clock: Arc::new(clock),
            entropy: Arc::new(OsEntropy),
        };
        let store = Store::open_env(env, self.task.options(false)).await;
        let store = store.map_err(|error| format!("opening failed: {error} {error:?}"))?;
        store.confirm_clock();
        for lane in 0..self.hands.len() {
            let apps =
                Lane::find(&store, lane).map_err(|error| format!("an app is gone: {error}"))?;
            let seen = observe(&apps).await;
            let window = self.window();
            let compared = self.hands[lane].states.settle(&seen, window);
            self.report
                .compared(&compared.map_err(|why| format!("lane {lane}: {why}"))?);
        }
        let report = store
            .verify()
            .await
            .map_err(|error| format!("verification failed: {error}"))?;
        if !report.problems.is_empty() {
            return Err(format!("verification found {:?}", report.problems));
        }
        self.report.add("verified", 1);
        store
            .close()
            .await
            .map_err(|error| format!("closing failed: {error}"))?;
        drop(store);
        if let Some(copy) = copy {
            self.damage_copies(&copy, whole).await?;
        }
        Ok(())
    }

    /// The same files on a simulated disk, where damaging them and opening what is left is quick.
    async fn damage_copies(&mut self, copy: &SimDisk, window: Window) -> Result<(), String> {
        for _ in 0..DAMAGES {
            let disk = copy.crash(0, Survival::ALL);
            let Some(done) = damage(&mut self.draw, &disk, None) else {
                continue;
            };
            self.report.add(done.kind, 1);
            let what = format!("{} of {}: {}", done.kind, done.path.display(), done.detail);
            let env = Env::sim(disk, SimClock::new(window.now), 1);
            let store = match Store::open_env(env, self.task.options(false)).await {
                Ok(store) => store,
                Err(error) if is_honest(error.kind()) && done.may_refuse => continue,
                Err(error) => return Err(format!("{what}: opening failed: {error} {error:?}")),
            };
            store.confirm_clock();
            for (lane, hand) in self.hands.iter().enumerate() {
                let judged = judge_damaged(&store, lane, &hand.states, window, &done).await;
                judged.map_err(|why| format!("{what}: lane {lane}: {why}"))?;
            }
        }
        Ok(())
    }
}

async fn say(orders: &mut ChildStdin, order: &Order) -> Result<(), String> {
    let mut line = serde_json::to_string(order).map_err(|error| error.to_string())?;
    line.push('\n');
    let written = orders.write_all(line.as_bytes()).await;
    written.map_err(|error| format!("the process does not listen: {error}"))
}

/// The shard whose log a path belongs to. A file that has not got its number yet is no part of the log: one that cannot be
/// made durable is removed, and the log may go on in another. The note of which is the newest is never in the way.
fn log_shard(path: &str) -> Option<u8> {
    if path.contains("/spare-") || path.contains("/NEWEST") {
        return None;
    }
    let rest = path.strip_prefix("log/shard-")?;
    rest.get(..2)?.parse().ok()
}

fn is_from(receipt: Receipt, shards: &BTreeSet<u8>) -> bool {
    let shard = u8::try_from(MessageId(receipt.id).shard()).unwrap_or(u8::MAX);
    !receipt.duplicate && shards.contains(&shard)
}

/// Reads a directory into a simulated disk.
fn load(dir: &Path) -> Result<SimDisk, String> {
    let (from, to) = (RealDisk::open(dir), SimDisk::new());
    let from = from.map_err(|error| error.to_string())?;
    let mut todo = vec![PathBuf::new()];
    while let Some(at) = todo.pop() {
        for entry in from.list(&at).map_err(|error| error.to_string())? {
            let path = at.join(&entry.name);
            match entry.kind {
                EntryKind::Dir => todo.push(path),
                EntryKind::File => {
                    copy_file(&from, &to, &path).map_err(|error| error.to_string())?;
                }
                EntryKind::Other => {}
            }
        }
    }
    Ok(to)
}

fn copy_file(from: &RealDisk, to: &SimDisk, path: &Path) -> tidestore::disk::Result<()> {
    let file = from.open(path, OpenMode::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0, path)?;
    to.plant(path, &bytes)
}

/// Writes down all that happened, beside the store in which something was lost.
pub(crate) fn write_story(dir: &Path, story: &[String]) -> tidestore::disk::Result<()> {
    let (disk, path) = (RealDisk::open(dir)?, Path::new("story.txt"));
    let file = disk.open(path, OpenMode::Create)?;
    file.write_all_at(story.join("\n").as_bytes(), 0, path)
}

/// Writes a simulated disk into a directory, for who wants to look at it.
pub(crate) fn dump(from: &SimDisk, dir: &Path) -> tidestore::disk::Result<()> {
    let to = RealDisk::create(dir)?;
    for path in from.files() {
        if let Some(parent) = path.parent() {
            to.create_dir_all(parent)?;
        }
        let file = to.open(&path, OpenMode::Create)?;
        file.write_all_at(&from.read_all(&path)?, 0, &path)?;
    }
    Ok(())
}
