//! Running a load.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidestore::disk::{Clock, RealClock};
use tidestore::plan::{AppKey, Caps, Plan, Terms, UserId};
use tidestore::{
    App, Conversation, Cursor, Durability, ErrorKind, NewMessage, OldMessage, Page, Seq, Store,
};
use tidestore_workload::{Line, Workload, WorkloadOptions, times};

use crate::counters::{self, Counters};
use crate::error::{Error, Result};
use crate::knobs::Knobs;
use crate::outcome::{CallFigures, Outcome};
use crate::spec::{Mix, Spec, Wait};

/// Messages that are drawn from: enough that compression finds no more repetition than in chat.
const POOL: usize = 200_000;
/// Messages imported together.
const IMPORT: usize = 4_096;
/// The kinds of calls, in the order of [`Mix`].
const CALLS: [&str; 4] = ["append", "newest_page", "deep_page", "inbox"];

/// Runs a load against the store in a directory, which is made if it is not there, with the load's options and those of `knobs` over
/// them. `watch` hears what goes on: a phase, how far it is and how far it goes.
///
/// # Errors
///
/// What the store reports; an append that it refuses is counted and no error.
pub async fn run(
    dir: &Path,
    spec: &Spec,
    knobs: Knobs,
    watch: &(dyn Fn(&str, u64, u64) + Sync),
) -> Result<Outcome> {
    let mut options = knobs.options();
    options.durability = match spec.durability {
        Wait::Synced => Durability::Synced,
        Wait::Buffered => Durability::Buffered,
    };
    let store = Store::open(dir, options).await?;
    let ended = on(&store, dir, spec, watch).await;
    let closed = store.close().await;
    let outcome = ended?;
    closed?;
    Ok(outcome)
}

async fn on(
    store: &Store,
    dir: &Path,
    spec: &Spec,
    watch: &(dyn Fn(&str, u64, u64) + Sync),
) -> Result<Outcome> {
    let app = app(store).await?;
    let pool = pool(spec);
    let mut bodies = preload(store, &app, spec, &pool, watch).await?;
    counters::forget_peak();
    let before = Counters::now(dir);
    let counted = drive(&app, spec, pool, watch).await?;
    let (seconds, cpu, _) = before.since();
    // Written out, so that everything that was appended costs what it will cost.
    store.flush().await?;
    let (_, _, written) = before.since();
    bodies += counted.body_bytes;
    Ok(outcome(dir, &counted, seconds, cpu, written, bodies))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
fn outcome(
    dir: &Path,
    counted: &Counted,
    seconds: f64,
    cpu: f64,
    written: u64,
    bodies: u64,
) -> Outcome {
    let made = CALLS.iter().zip(&counted.times);
    let made = made.filter(|(_, times)| !times.is_empty());
    let calls: u64 = counted.times.iter().map(Histogram::len).sum();
    Outcome {
        seconds,
        calls: made
            .map(|(name, times)| ((*name).to_owned(), CallFigures::of(times, seconds)))
            .collect(),
        messages_per_second: counted.messages as f64 / seconds,
        megabytes_per_second: counted.body_bytes as f64 / 1e6 / seconds,
        refused: counted.refused,
        disk_per_body: counters::disk_bytes(dir) as f64 / bodies.max(1) as f64,
        written_per_body: written as f64 / counted.body_bytes.max(1) as f64,
        cpu_seconds_per_million: cpu * 1e6 / calls.max(1) as f64,
        peak_memory_bytes: counters::peak_memory(),
    }
}

async fn app(store: &Store) -> Result<App> {
    let key = AppKey::parse("bench#chat").map_err(|error| Error::Spec(error.to_string()))?;
    match store.app(&key) {
        Err(error) if *error.kind() == ErrorKind::UnknownApp => {
            let caps = Caps {
                users: None,
                ..Plan::Enterprise.caps()
            };
            Ok(store.create_app(&key, Terms::enterprise(caps)).await?)
        }
        found => Ok(found?),
    }
}

/// The messages that are drawn from.
fn pool(spec: &Spec) -> Vec<Drawn> {
    let chat = spec.chat;
    let options = WorkloadOptions {
        seed: spec.seed,
        users: chat.users,
        groups: chat.groups,
        directs: chat.directs,
        rooms: chat.rooms,
        english_share: chat.english_share,
    };
    let lines = Workload::new(options).take(POOL);
    lines
        .filter_map(|line| Drawn::of(line, chat.body_bytes))
        .collect()
}

/// One message to be sent, as often as it is drawn.
#[derive(Debug)]
struct Drawn {
    conversation: Conversation,
    sender: UserId,
    body: String,
}

impl Drawn {
    fn of(line: Line, mean: Option<usize>) -> Option<Self> {
        /// Bytes of a generated body, on average.
        const MEAN: usize = 58;
        let body = match mean {
            Some(mean) => stretched(&line.body, (line.body.len() * mean / MEAN).max(1)),
            None => line.body,
        };
        Some(Self {
            conversation: Conversation::parse(&line.conversation).ok()?,
            sender: UserId::parse(&line.sender).ok()?,
            body,
        })
    }

    fn message(&self) -> NewMessage {
        NewMessage::text(
            self.conversation.clone(),
            self.sender.clone(),
            self.body.clone(),
        )
    }
}

/// A text of about so many bytes: repeated, or cut between two characters.
fn stretched(text: &str, bytes: usize) -> String {
    let mut long = String::with_capacity(bytes + text.len());
    while long.len() < bytes && !text.is_empty() {
        long.push_str(text);
        long.push(' ');
    }
    let mut end = bytes.min(long.len());
    while !long.is_char_boundary(end) {
        end -= 1;
    }
    long.truncate(end);
    long
}

/// Fills an empty store. Returns the bytes of bodies that it holds then, as far as this run put them there.
async fn preload(
    store: &Store,
    app: &App,
    spec: &Spec,
    pool: &[Drawn],
    watch: &(dyn Fn(&str, u64, u64) + Sync),
) -> Result<u64> {
    if spec.preload == 0 || !app.conversations(None, 1).await?.is_empty() {
        return Ok(0);
    }
    let now = RealClock.wall();
    let span = Duration::from_hours(24 * spec.days).as_millis();
    let start = now.saturating_sub(u64::try_from(span).unwrap_or_default());
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
    let (mut bodies, mut done) = (0, 0);
    for times in times(spec.seed, start, now, spec.preload).chunks(IMPORT) {
        let draw = |time: &u64| {
            let drawn = draw(pool, &mut rng)?;
            bodies += drawn.body.len() as u64;
            Some(OldMessage::new(drawn.message(), *time))
        };
        let old = times.iter().filter_map(draw).collect();
        for receipt in app.import(old).await {
            receipt?;
        }
        done += times.len() as u64;
        watch("filling", done, spec.preload as u64);
    }
    store.flush().await?;
    store.merge().await?;
    Ok(bodies)
}

fn draw<'p>(pool: &'p [Drawn], rng: &mut ChaCha8Rng) -> Option<&'p Drawn> {
    pool.get(rng.random_range(0..pool.len().max(1)))
}

/// What the clients have counted.
struct Counted {
    times: [Histogram<u64>; 4],
    messages: u64,
    body_bytes: u64,
    refused: u64,
}

impl Counted {
    fn new() -> Result<Self> {
        let empty = || {
            Histogram::new_with_max(600_000_000, 3).map_err(|error| Error::Spec(error.to_string()))
        };
        Ok(Self {
            times: [empty()?, empty()?, empty()?, empty()?],
            messages: 0,
            body_bytes: 0,
            refused: 0,
        })
    }

    fn add(&mut self, other: &Self) {
        for (all, one) in self.times.iter_mut().zip(&other.times) {
            // Of the same shape.
            let _ = all.add(one);
        }
        self.messages += other.messages;
        self.body_bytes += other.body_bytes;
        self.refused += other.refused;
    }
}

async fn drive(
    app: &App,
    spec: &Spec,
    pool: Vec<Drawn>,
    watch: &(dyn Fn(&str, u64, u64) + Sync),
) -> Result<Counted> {
    let shared = Arc::new(Shared {
        app: app.clone(),
        spec: spec.clone(),
        pool,
        stop: AtomicBool::new(false),
    });
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..spec.writers {
        let shared = Arc::clone(&shared);
        clients.spawn(async move { act(&shared, client as u64).await });
    }
    let tenth = Duration::from_secs_f64(spec.seconds / 10.0);
    for passed in 1..=10 {
        tokio::time::sleep(tenth).await;
        watch("calls", passed, 10);
    }
    shared.stop.store(true, Ordering::Relaxed);
    let mut all = Counted::new()?;
    while let Some(ended) = clients.join_next().await {
        let one = ended.map_err(|error| Error::Spec(format!("a client broke: {error}")))?;
        all.add(&one?);
    }
    Ok(all)
}

struct Shared {
    app: App,
    spec: Spec,
    pool: Vec<Drawn>,
    stop: AtomicBool,
}

/// One client: calls, waits, calls again.
async fn act(shared: &Shared, client: u64) -> Result<Counted> {
    let mut rng = ChaCha8Rng::seed_from_u64(shared.spec.seed ^ (client << 32));
    let mut counted = Counted::new()?;
    while !shared.stop.load(Ordering::Relaxed) {
        let call = choose(shared.spec.mix, &mut rng);
        let began = RealClock.monotonic();
        match call {
            0 => append(shared, &mut rng, &mut counted).await?,
            1 => newest(shared, &mut rng).await?,
            2 => deep(shared, &mut rng).await?,
            _ => inbox(shared, &mut rng).await?,
        }
        let took = RealClock.monotonic().saturating_sub(began).as_micros();
        if let Some(times) = counted.times.get_mut(call) {
            times.saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
        }
    }
    Ok(counted)
}

fn choose(mix: Mix, rng: &mut ChaCha8Rng) -> usize {
    let shares = [mix.append, mix.newest_page, mix.deep_page, mix.inbox];
    let mut left = rng.random_range(0..shares.iter().sum::<u32>().max(1));
    for (call, share) in shares.iter().enumerate() {
        if left < *share {
            return call;
        }
        left -= share;
    }
    0
}

async fn append(shared: &Shared, rng: &mut ChaCha8Rng, counted: &mut Counted) -> Result<()> {
    let drawn = (0..shared.spec.batch).filter_map(|_| draw(&shared.pool, rng));
    let messages: Vec<NewMessage> = drawn.map(Drawn::message).collect();
    let lengths: Vec<u64> = messages.iter().map(|m| m.body.len() as u64).collect();
    for (receipt, length) in shared.app.append_many(messages).await.iter().zip(lengths) {
        match receipt {
            Ok(_) => {
                counted.messages += 1;
                counted.body_bytes += length;
            }
            Err(error) if matches!(error.kind(), ErrorKind::Full | ErrorKind::Poisoned) => {
                return Err(error.clone().into());
            }
            Err(_) => counted.refused += 1,
        }
    }
    Ok(())
}

async fn newest(shared: &Shared, rng: &mut ChaCha8Rng) -> Result<()> {
    if let Some(drawn) = draw(&shared.pool, rng) {
        let page = Page::newest(20);
        shared.app.history(&drawn.conversation, page).await?;
    }
    Ok(())
}

async fn deep(shared: &Shared, rng: &mut ChaCha8Rng) -> Result<()> {
    if let Some(drawn) = draw(&shared.pool, rng) {
        let head = shared.app.head(&drawn.conversation).await?;
        let seq = Seq(rng.random_range(0..=head.last_seq.0) + 1);
        let page = Page::before(Cursor::Seq(seq), 50);
        shared.app.history(&drawn.conversation, page).await?;
    }
    Ok(())
}

async fn inbox(shared: &Shared, rng: &mut ChaCha8Rng) -> Result<()> {
    if let Some(drawn) = draw(&shared.pool, rng) {
        let inbox = shared.app.inbox(&drawn.sender, "bench")?;
        let page = inbox.page(None, 100).await?;
        inbox.acknowledge(&page.cursor).await?;
    }
    Ok(())
}
