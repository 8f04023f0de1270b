//! Readers of one shard's messages under a scheduler, while memtables become segments, segments become one, and segments
//! expire. The view, its segments, the cache of open files and the simulated disk are the real ones; the test is the
//! committer and the threads in the background. See `tests/concurrency/README.md`.

#![cfg(shuttle)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::sync::atomic::{AtomicU64, Ordering};
use tidestore_disk::sync::{explore, thread};
use tidestore_disk::{Clock, Disk, FileCache, Millis, SimClock, SimDisk};
use tidestore_messages::{
    AppId, Applied, Apps, BlockCache, Conversation, Io, Kind, Manifest, MergeTime, Message,
    MessageId, MessageView, Page, Revision, SegmentOptions, Seq, StoreId, ViewParts,
};

const HOUR: Millis = 3_600_000;
const APP: AppId = AppId(1);
/// Where time starts: the beginning of a bucket of an hour.
const START: Millis = 1_000 * HOUR;

/// One app whose messages live a day, in buckets of an hour. Its floor is moved by the test.
#[derive(Debug, Default)]
struct OneApp {
    floor: AtomicU64,
}

impl Apps for OneApp {
    fn dir(&self, _: AppId) -> Option<PathBuf> {
        Some("apps/one".into())
    }
    fn retention_days(&self, _: AppId) -> u32 {
        1
    }
    fn physical_floor(&self, _: AppId) -> Millis {
        self.floor.load(Ordering::SeqCst)
    }
}

struct World {
    disk: SimDisk,
    files: Arc<FileCache>,
    apps: Arc<OneApp>,
    view: MessageView,
    /// The number of the last message that can be read.
    inserted: AtomicU64,
}

/// The conversation, two messages an hour.
fn tea() -> Conversation {
    Conversation::parse("group:tea").unwrap()
}

fn time_of(seq: u64) -> Millis {
    START + (seq - 1) * HOUR / 2
}

fn body_of(seq: u64) -> String {
    format!("message {seq} ").repeat(9)
}

impl World {
    /// With a cache of so few files and no cached blocks, nearly every read opens a file.
    fn new() -> Arc<Self> {
        let disk = SimDisk::new();
        let arc: Arc<dyn Disk> = Arc::new(disk.clone());
        let clock: Arc<dyn Clock> = Arc::new(SimClock::new(START));
        let apps = Arc::new(OneApp::default());
        let files = Arc::new(FileCache::new(Arc::clone(&arc), 1));
        let parts = ViewParts {
            files: Arc::clone(&files),
            blocks: Arc::new(BlockCache::new(0)),
            disk: arc,
            clock,
            apps: Arc::clone(&apps) as Arc<dyn Apps>,
            redacted: Arc::default(),
            store: StoreId([7; 16]),
            shard: 0,
            options: SegmentOptions::default(),
        };
        let manifest = Manifest {
            next_generation: 1,
            ..Manifest::default()
        };
        Arc::new(Self {
            disk,
            files,
            apps,
            view: MessageView::open(parts, manifest),
            inserted: AtomicU64::new(0),
        })
    }

    fn insert(&self, seq: u64) {
        let message = Message {
            id: MessageId::new(time_of(seq), 0, false, 0),
            seq: Seq(seq),
            sender: "ann".into(),
            kind: Kind::Text,
            body: body_of(seq).into(),
            ext: "".into(),
            client_id: "".into(),
            attachments: Vec::new(),
            revision: Revision::Original,
        };
        self.view.insert([Applied {
            app: APP,
            conversation: tea(),
            message,
            receipt: None,
        }]);
        self.inserted.store(seq, Ordering::SeqCst);
    }

    /// Turns what is in memory into segments, as the committer and the flusher do.
    fn flush(&self) {
        self.view.freeze(self.inserted.load(Ordering::SeqCst));
        while let Some(frozen) = self.view.oldest_frozen() {
            let flushed = self.view.write_frozen(&frozen, START).unwrap();
            self.view.install_flush(flushed);
        }
    }

    fn merge(&self) {
        let time = MergeTime {
            now: START,
            monotonic: std::time::Duration::ZERO,
            force: true,
        };
        for job in self.view.plan_merges(time) {
            let merged = self.view.write_merge(&job).unwrap();
            self.view
                .install_change(merged.added.into_iter().collect(), &merged.removed);
            self.view.unlink(&job.paths()).unwrap();
        }
    }

    fn expire(&self, floor: Millis) {
        self.apps.floor.store(floor, Ordering::SeqCst);
        let gone = self.view.expirable();
        let generations: Vec<_> = gone.iter().map(|gone| gone.meta.generation).collect();
        self.view.install_change(Vec::new(), &generations);
        let paths: Vec<_> = gone.into_iter().map(|gone| gone.path).collect();
        self.view.unlink(&paths).unwrap();
    }

    /// Reads the whole conversation once: every message that is visible all the while exactly once, whole, in order;
    /// those that expire meanwhile are there or not, but without a hole.
    fn read(&self, page: Page) {
        let there_before = self.inserted.load(Ordering::SeqCst);
        let floor = self.apps.floor.load(Ordering::SeqCst);
        let found = self
            .view
            .page(APP, &tea(), page, floor, Io::Allowed)
            .expect("a reader never sees an error")
            .ready()
            .expect("reading was allowed");
        let floor_after = self.apps.floor.load(Ordering::SeqCst);
        let there_after = self.inserted.load(Ordering::SeqCst);
        let mut seqs: Vec<_> = found.iter().map(|message| message.seq.0).collect();
        seqs.sort_unstable();
        let first = seqs.first().copied().unwrap_or(there_before + 1);
        let last = seqs.last().copied().unwrap_or(first - 1);
        assert_eq!(
            seqs,
            (first..=last).collect::<Vec<_>>(),
            "a hole, or one twice"
        );
        assert!(
            (there_before..=there_after + 1).contains(&last),
            "{last} of {there_before}"
        );
        assert!(first > there_before || time_of(first) >= floor, "expired");
        assert!(
            first == 1 || time_of(first - 1) < floor_after,
            "{} is missing",
            first - 1
        );
        for message in found {
            assert_eq!(message.body, body_of(message.seq.0).as_str());
        }
    }

    fn reader(self: &Arc<Self>, page: Page, times: usize) -> thread::JoinHandle<()> {
        self.thread(move |world| (0..times).for_each(|_| world.read(page)))
    }

    fn thread(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) + Send + 'static,
    ) -> thread::JoinHandle<()> {
        let world = Arc::clone(self);
        thread::spawn("shard".to_owned(), move || work(&world)).unwrap()
    }

    /// Nothing but the segments of the view is on the disk, and nothing that is gone is held open.
    fn check(&self) {
        let paths = self.view.manifest().segments.into_iter();
        let mut named: Vec<_> = paths
            .filter_map(|meta| tidestore_messages::segment_path(&*self.apps, &meta))
            .collect();
        named.sort_unstable();
        let mut found = self.disk.files();
        found.retain(|path| path.starts_with(Path::new("apps")));
        found.sort_unstable();
        assert_eq!(found, named);
        self.read(Page::newest(100));
        self.files.clear();
        assert_eq!(self.disk.open_files(), 0);
    }
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_page_has_each_message_once_while_memtables_become_segments() {
    explore(5_000, || {
        let world = World::new();
        world.insert(1);
        let committer = world.thread(|world| {
            world.insert(2);
            world.flush();
            world.insert(3);
            world.flush();
            world.insert(4);
        });
        join([
            world.reader(Page::newest(100), 3),
            world.reader(Page::oldest(100), 2),
            committer,
        ]);
        world.check();
    });
}

#[test]
fn a_page_has_each_message_once_while_segments_become_one() {
    explore(5_000, || {
        let world = World::new();
        for seq in [1, 2] {
            world.insert(seq);
            world.flush();
        }
        let committer = world.thread(|world| {
            world.merge();
            for seq in [3, 4] {
                world.insert(seq);
                world.flush();
            }
            world.merge();
        });
        join([
            world.reader(Page::newest(100), 2),
            world.reader(Page::oldest(100), 2),
            committer,
        ]);
        world.check();
    });
}

/// Row 20: whole, or expired; never a mix, never an error of a file that is gone.
#[test]
fn a_reader_finds_messages_whole_or_expired_while_their_files_leave() {
    explore(5_000, || {
        let world = World::new();
        for seq in 1..=4 {
            world.insert(seq);
            world.flush();
        }
        let expiry = world.thread(|world| {
            // The first only hides a message, the second is the end of the bucket.
            world.expire(time_of(2));
            world.expire(time_of(3));
        });
        join([
            world.reader(Page::newest(100), 3),
            world.reader(Page::oldest(100), 3),
            expiry,
        ]);
        world.check();
        world.files.clear();
        assert_eq!(world.disk.files().len(), 2, "two of four files are gone");
    });
}

/// A file that is gone is not held open, or its bytes would stay on the disk as long as the cache has room.
#[test]
fn an_expired_file_gives_its_bytes_back_though_somebody_was_just_reading_it() {
    explore(5_000, || {
        let world = World::new();
        for seq in 1..=2 {
            world.insert(seq);
            world.flush();
        }
        let expiry = world.thread(|world| world.expire(time_of(3)));
        join([world.reader(Page::newest(100), 2), expiry]);
        assert!(world.disk.files().is_empty());
        assert_eq!(world.disk.open_files(), 0, "a removed file is held open");
    });
}
