//! Many tasks on one store with real threads: senders, readers, downloads, exports, devices, and time that runs fast, so
//! that messages and attachments expire, segments are merged and volumes are carried, punched and unlinked under those who
//! read them.
//!
//! The files lie on a real disk; the clock is moved by the test. The number of steps is bounded, how they interleave is up
//! to the machine. The same under a scheduler, smaller but with every interleaving to be replayed, stands in
//! `tests/concurrency`. `STRESS=30 cargo test -p tidestore-tests --test stress` makes it thirty times as long, and
//! `tests/concurrency/run tsan` runs it under the thread sanitizer.

use std::future::Future;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidestore::disk::{Clock, Env, Millis, RealDisk, SimClock, SimEntropy};
use tidestore::plan::{AttachmentId, Plan, Terms};
use tidestore::{
    App, Conversation, Cursor, EngineKind, Error, ErrorKind, Message, NewAttachment, NewMessage,
    Options, Page, Store,
};
use tidestore_tests::{DAY, HOUR, START, group, key, text, user};

/// Conversations, and messages in each before anything begins: one an hour.
const CHATS: usize = 4;
const OLD: u64 = 60;
/// The plan keeps messages so long.
const RETENTION: Millis = 3 * DAY;

/// How many steps time makes, an hour each.
fn steps() -> usize {
    let times = std::env::var("STRESS").ok();
    let times: usize = times.and_then(|text| text.parse().ok()).unwrap_or(1);
    24 * times
}

struct World {
    store: Store,
    app: App,
    clock: SimClock,
    /// How many messages of each chat are acknowledged.
    acknowledged: [AtomicU64; CHATS],
    /// Attachments there are or were: which, and what they are filled with.
    attachments: Mutex<Vec<(AttachmentId, Vec<u8>)>>,
    /// Set when time has run out: whoever goes round and round stops.
    over: AtomicBool,
}

fn chat(number: usize) -> String {
    format!("chat{number}")
}

/// What a message says. Each chat has one sender, who knows the number that his next message will get.
fn body(number: usize, seq: u64) -> String {
    format!("{number} {seq} ").repeat(20 + usize::try_from(seq % 7).unwrap_or_default())
}

/// When a message was sent at the earliest.
fn sent(seq: u64) -> Millis {
    START + seq.min(OLD) * HOUR
}

impl World {
    async fn open(dir: &Path, clock: &SimClock, options: Options) -> Store {
        let env = Env {
            disk: Arc::new(RealDisk::create(dir).unwrap()),
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SimEntropy::new(clock.wall())),
        };
        Store::open_env(env, options).await.unwrap()
    }

    /// A store with two and a half days of conversations, in many segments.
    async fn begin(dir: &Path, options: Options) -> Arc<Self> {
        let clock = SimClock::new(START);
        let store = Self::open(dir, &clock, options).await;
        let terms = Terms::of(Plan::Free);
        let app = store.create_app(&key("acme#chat"), terms).await.unwrap();
        let world = Self {
            store,
            app,
            clock,
            acknowledged: Default::default(),
            attachments: Mutex::default(),
            over: AtomicBool::new(false),
        };
        for seq in 1..=OLD {
            world.clock.advance(Duration::from_millis(HOUR));
            for number in 0..CHATS {
                world.send(number).await;
            }
            if seq % 6 == 0 {
                world.store.flush().await.unwrap();
            }
        }
        Arc::new(world)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    async fn send(&self, number: usize) {
        let seq = self.acknowledged[number].load(Ordering::Acquire) + 1;
        let message = text(&chat(number), "ann", body(number, seq));
        let receipt = self.app.append(message).await.unwrap();
        assert_eq!(receipt.seq.0, seq);
        self.acknowledged[number].store(seq, Ordering::Release);
    }

    /// Walks through a chat from its newest message to its oldest, or the other way round. What is visible from the beginning
    /// to the end of the walk is found once, whole and in order; what expires meanwhile may be found.
    async fn walk(&self, number: usize, newest_first: bool) {
        let there = self.acknowledged[number].load(Ordering::Acquire);
        let mut seqs: Vec<u64> = Vec::new();
        let mut page = if newest_first {
            Page::newest(7)
        } else {
            Page::oldest(7)
        };
        loop {
            let found = self.app.history(&group(&chat(number)), page).await;
            let found = found.expect("a reader never sees an error");
            for message in &found {
                assert_eq!(message.body, body(number, message.seq.0), "a mix");
                seqs.push(message.seq.0);
            }
            let Some(last) = found.last() else { break };
            page = if newest_first {
                Page::before(Cursor::Id(last.id), 7)
            } else {
                Page::after(Cursor::Id(last.id), 7)
            };
            self.find(number, last).await;
        }
        if newest_first {
            seqs.reverse();
        }
        let end = self.clock.wall();
        let visible = (1..=there).find(|seq| sent(*seq) + RETENTION > end);
        let (first, last) = (*seqs.first().unwrap_or(&0), *seqs.last().unwrap_or(&0));
        assert!(
            seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "{seqs:?}"
        );
        if let Some(visible) = visible {
            assert!(
                first <= visible && last >= there,
                "{first} to {last}; {visible} to {there} were there all the time"
            );
        }
    }

    /// Looks for a message by its id: it is what was just read, or has expired.
    async fn find(&self, number: usize, message: &Message) {
        match self.app.message(message.id).await.unwrap() {
            Some((conversation, found)) => {
                assert_eq!((conversation, &found), (group(&chat(number)), message));
            }
            None => assert!(sent(message.seq.0) + RETENTION <= self.clock.wall()),
        }
    }

    async fn put(&self, n: usize) {
        let fill = u8::try_from(n % 251).unwrap();
        let bytes: Vec<u8> = (0..[300, 3_000, 70_000, 400_000][n % 4])
            .map(|at: usize| fill ^ u8::try_from(at % 249).unwrap())
            .collect();
        let new = NewAttachment::new(user("ann"), format!("file {n}"));
        let put = self.app.put_attachment(new, &bytes[..]).await.unwrap();
        self.attachments.lock().unwrap().push((put.id, bytes));
    }

    /// Downloads an attachment: it is whole, or has expired or was deleted.
    async fn download(&self, n: usize) {
        let picked = {
            let all = self.attachments.lock().unwrap();
            all.get(n.checked_rem(all.len()).unwrap_or_default())
                .cloned()
        };
        let Some((id, bytes)) = picked else { return };
        let read = async { self.app.open_attachment(id).await?.read_to_end().await };
        match read.await {
            Ok(read) => assert!(read == bytes, "a mix"),
            Err(error) => assert!(is_gone(&error), "{error}"),
        }
    }

    /// Deletes one of the oldest attachments: its record is punched out of its volume.
    async fn delete(&self, n: usize) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let picked = self.attachments.lock().unwrap().get(n).map(|(id, _)| *id);
        if let Some(id) = picked
            && let Err(error) = self.app.delete_attachment(id).await
        {
            assert!(is_gone(&error), "{error}");
        }
    }

    /// Exports an hour: the file is complete and every line is whole, or the hour has expired before it began.
    async fn export(&self, n: usize) {
        let time = START + (n as u64 % OLD) * HOUR;
        let Ok(mut file) = self.app.history_file(time) else {
            return;
        };
        let mut packed = Vec::new();
        while let Some(piece) = file.next().await.expect("an export never sees an error") {
            packed.extend_from_slice(&piece);
        }
        let mut lines = String::new();
        let mut unpacked = flate2::read::GzDecoder::new(&packed[..]);
        unpacked.read_to_string(&mut lines).unwrap();
        for line in lines.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert_eq!(lines.lines().count() as u64, file.messages());
    }

    /// Counts, lists, and recounts everything from the files, while they leave.
    async fn look(&self) {
        self.app.usage().await.unwrap();
        self.app.attachments(None, 1_000).await.unwrap();
        let problems = self.store.verify().await.unwrap().problems;
        assert_eq!(problems, [], "in a store that is whole");
    }
}

fn is_gone(error: &Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        ErrorKind::AttachmentExpired | ErrorKind::AttachmentNotFound
    )
}

/// Does something again and again until time has run out; returns how often.
fn repeat<F: Future<Output = ()> + Send + 'static>(
    world: &Arc<World>,
    mut work: impl FnMut(Arc<World>, usize) -> F + Send + 'static,
) -> tokio::task::JoinHandle<usize> {
    let world = Arc::clone(world);
    tokio::spawn(async move {
        let mut done = 0;
        while !world.is_over() {
            work(Arc::clone(&world), done).await;
            done += 1;
            tokio::task::yield_now().await;
        }
        done
    })
}

/// A device of Bob's: what it gets is in order and whole.
async fn device(world: Arc<World>, conversation: Conversation) -> usize {
    let (bob, mut seen, mut pages) = (user("bob"), 0, 0);
    while !world.is_over() {
        let inbox = world.app.inbox(&bob, "phone").unwrap();
        let page = inbox.page(None, 20).await.unwrap();
        for item in &page.items {
            assert_eq!(item.conversation, conversation);
            assert!(item.message.seq.0 > seen, "acknowledged and came again");
            seen = item.message.seq.0;
            assert_eq!(item.message.body, body(0, seen), "a mix");
        }
        inbox.acknowledge(&page.cursor).await.unwrap();
        pages += 1;
        tokio::task::yield_now().await;
    }
    pages
}

/// One attribute that counts up, seen by whoever sets it.
async fn attribute(world: Arc<World>, n: usize) {
    let (ann, pair) = (user("ann"), ("count".to_owned(), n.to_string()));
    let attributes = world.app.user_attributes();
    attributes.set(&ann, [pair]).await.unwrap();
    let found = attributes.get(&ann, None).await.unwrap();
    assert_eq!(found["count"], n.to_string());
}

async fn stress(world: &Arc<World>) {
    let direct = Conversation::direct(&user("ann"), &user("bob"));
    let tasks = vec![
        repeat(world, |w, n| async move { w.send(n % 2).await }),
        repeat(world, |w, n| async move { w.send(2 + n % 2).await }),
        repeat(world, |w, n| async move { w.walk(n % CHATS, true).await }),
        repeat(world, |w, n| async move { w.walk(n % CHATS, false).await }),
        repeat(world, |w, n| async move { w.put(n).await }),
        repeat(world, |w, n| async move { w.download(n * 7).await }),
        repeat(world, |w, n| async move { w.download(n * 5).await }),
        repeat(world, |w, n| async move { w.delete(n * 3).await }),
        repeat(world, |w, n| async move { w.export(n).await }),
        repeat(world, |w, _| async move { w.look().await }),
        repeat(world, attribute),
        tokio::spawn(device(Arc::clone(world), direct.clone())),
        repeat(world, move |w, n| {
            let message = NewMessage::text(direct.clone(), user("ann"), body(0, n as u64 + 1));
            async move {
                w.app.append(message).await.unwrap();
            }
        }),
    ];
    for step in 0..steps() {
        world.clock.advance(Duration::from_millis(HOUR));
        world.store.expire().await.unwrap();
        if step % 3 == 0 {
            world.store.flush().await.unwrap();
        }
        if step % 4 == 0 {
            world.store.merge().await.unwrap();
        }
    }
    world.over.store(true, Ordering::Release);
    let mut rounds = Vec::new();
    for task in tasks {
        rounds.push(task.await.unwrap());
    }
    println!("rounds of each task: {rounds:?}");
    assert!(
        rounds.iter().all(|rounds| *rounds > 0),
        "somebody stood still"
    );
}

fn options(engine: EngineKind) -> Options {
    Options {
        shards: 2,
        engine,
        memtable_bytes: 64 << 10,
        log_file_bytes: 256 << 10,
        cache_bytes: 64 << 10,
        queue_depth: 8,
        ..Options::default()
    }
}

fn run_on(threads: usize, engine: EngineKind, change: impl FnOnce(&mut Options)) {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(engine);
    change(&mut options);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::begin(dir.path(), options.clone()).await;
        stress(&world).await;
        world.look().await;
        world.store.close().await.unwrap();
        let world = Arc::into_inner(world).unwrap();
        drop((world.app, world.store));
        let store = World::open(dir.path(), &world.clock, options).await;
        assert_eq!(store.verify().await.unwrap().problems, []);
        store.close().await.unwrap();
    });
}

#[test]
fn whoever_reads_finds_it_whole_or_expired_while_time_runs_and_everything_moves() {
    run_on(4, EngineKind::Redb, |_| {});
}

/// Row 19: hundreds of files, and one of them may be kept open.
#[test]
fn the_same_with_one_open_file() {
    run_on(4, EngineKind::Memory, |options| {
        options.open_files = 1;
        options.cache_bytes = 0;
    });
}
