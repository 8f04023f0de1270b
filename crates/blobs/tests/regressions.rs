//! Bugs that were found by reading and fuzzing, each with the steps that showed it.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidestore_blobs::index::{self, Moment};
use tidestore_blobs::{
    Apps, Attachment, Change, Collected, Content, Destination, Intake, Keeping, NewAttachment,
    Prepared, Reference, Site, Span, Volumes, recount,
};
use tidestore_disk::{Clock, Disk, Env, Fault, FileCache, OpKind, SimClock, SimDisk, Survival};
use tidestore_kv::{Engine, EngineKind, batch_of};
use tidestore_plan::{AppId, UserId};

const APP: AppId = AppId(1);
const STORE: [u8; 16] = [7; 16];
const START: u64 = 1_767_225_600_000;
const DAY: u64 = 86_400_000;
const KEEPING: Keeping = Keeping {
    retention: 7 * DAY,
    grace: DAY,
};

#[derive(Debug)]
struct AnyApp;

impl Apps for AnyApp {
    fn dir(&self, app: AppId) -> Option<PathBuf> {
        Some(PathBuf::from(format!("a{}", app.0)))
    }

    fn bucket(&self, _: AppId, time: u64) -> Span {
        let start = time - time % (2 * DAY);
        Span {
            start,
            end: start + 2 * DAY,
        }
    }

    fn floor(&self, _: AppId) -> u64 {
        0
    }

    fn physical_floor(&self, _: AppId) -> u64 {
        0
    }
}

struct World {
    disk: SimDisk,
    clock: SimClock,
    site: Site,
    files: Arc<FileCache>,
    tables: Arc<dyn Engine>,
    volumes: Volumes,
}

impl World {
    fn new() -> Self {
        let (disk, clock) = (SimDisk::new(), SimClock::new(START));
        let apart: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let tables = tidestore_kv::open(EngineKind::Memory, &apart, Path::new("t")).unwrap();
        let site = Site::new(&Env::sim(disk.clone(), clock.clone(), 1), STORE);
        let files = Arc::new(FileCache::new(Arc::clone(&site.disk), 4));
        let volumes = Volumes::open(site.clone(), Arc::clone(&files), 3, &*tables, &AnyApp);
        Self {
            volumes: volumes.unwrap(),
            disk,
            clock,
            site,
            files,
            tables,
        }
    }

    fn pass(&self, days: u64) {
        self.clock.advance(Duration::from_millis(days * DAY));
    }

    fn take(&self, app: AppId, bytes: &[u8], piece: usize, shared_max: usize) -> Prepared {
        let to = Destination {
            app,
            app_dir: AnyApp.dir(app).unwrap(),
            bucket: AnyApp.bucket(app, self.clock.wall()),
            shared_max,
        };
        let new = NewAttachment::new(UserId::parse("ann").unwrap(), "n");
        let mut intake = Intake::new(self.site.clone(), to, new).unwrap();
        for piece in bytes.chunks(piece) {
            intake.push(piece).unwrap();
        }
        intake.finish(|_| 3).unwrap()
    }

    /// One change, logged at once.
    fn commit<T>(&mut self, decide: impl FnOnce(&mut Change<'_>, &dyn Engine) -> T) -> T {
        let (tables, now) = (Arc::clone(&self.tables), self.clock.wall());
        let mut change = Change::new(&*tables, None, &mut self.volumes, now, KEEPING);
        let decided = decide(&mut change, &*tables);
        let some = &mut Collected::default();
        change.settle_volumes(&AnyApp, some).unwrap();
        let (rows, after) = change.finish().unwrap();
        tables.write(batch_of(&rows)).unwrap();
        self.volumes.settle(after);
        decided
    }

    /// One change that the log refuses.
    fn abandon<T>(
        &mut self,
        decide: impl FnOnce(&mut Change<'_>, &dyn Engine) -> T,
        room: bool,
    ) -> T {
        let (tables, now) = (Arc::clone(&self.tables), self.clock.wall());
        let mut change = Change::new(&*tables, None, &mut self.volumes, now, KEEPING);
        let decided = decide(&mut change, &*tables);
        let (_, after) = change.finish().unwrap();
        if room {
            self.volumes.make_room(&after).unwrap();
        }
        self.volumes.abandon(&*tables, after, true);
        decided
    }

    fn put(&mut self, all: Vec<Prepared>) -> Vec<Attachment> {
        self.commit(|change, _| {
            all.into_iter()
                .map(|one| change.put(one).unwrap())
                .collect()
        })
    }

    fn delete(&mut self, all: &[Attachment]) {
        self.commit(|change, _| {
            for one in all {
                change.delete(APP, one.id).unwrap();
            }
        });
    }

    fn collect(&mut self) -> Collected {
        self.commit(|change, tables| change.collect(tables, &AnyApp, &|_, _| false).unwrap())
    }

    fn is_there(&self, files: &FileCache, attachment: &Attachment) -> bool {
        let dir = AnyApp.dir(APP).unwrap();
        let at = index::locate(&*self.tables, APP, &dir, 3, attachment).unwrap();
        matches!(Content::open(files, STORE, at), Ok(Some(_)))
    }

    fn find(&self, attachment: &Attachment, floor: u64) -> bool {
        let moment = Moment {
            now: self.clock.wall(),
            floor,
            retention: KEEPING.retention,
        };
        index::find(&*self.tables, &STORE, APP, attachment.id, moment).is_ok()
    }

    /// Fills the shared volume of today until the next large record does not fit.
    fn fill(&mut self) -> Vec<Attachment> {
        let large = |n| self.take(APP, &noise(10 << 20, n), 1 << 20, 10 << 20);
        let all: Vec<_> = (0..25).map(large).collect();
        all.into_iter()
            .flat_map(|one| self.put(vec![one]))
            .collect()
    }
}

/// Something like a photo, which nobody tries to compress.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed * 77 + 1;
    let mut bytes = b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec();
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[test]
fn making_room_for_a_log_that_stays_full_loses_no_content_that_was_carried() {
    let mut world = World::new();
    let keep = world.take(APP, &[b'a'; 100], 100, 99_999);
    let keep = world.put(vec![keep]).remove(0);
    let large = (0..8).map(|n| world.take(APP, &noise(9_000, n), 9_000, 99_999));
    let large = large.collect();
    let gone = world.put(large);
    let pin = Reference::Profile(UserId::parse("bob").unwrap());
    world.commit(|change, _| change.refer(APP, keep.id, &pin).unwrap());
    world.delete(&gone);
    world.pass(3);
    let collect = |change: &mut Change<'_>, tables: &dyn Engine| {
        change
            .collect(tables, &AnyApp, &|_, _| false)
            .unwrap()
            .carried
    };
    assert_eq!(world.abandon(collect, true), 1);
    assert!(
        world.is_there(&world.files, &keep),
        "a pinned attachment lost its content"
    );
}

#[test]
fn making_room_for_a_log_that_stays_full_takes_nothing_that_can_still_be_read() {
    let mut world = World::new();
    let large = world.take(APP, &noise(90_000, 1), 90_000, 99_999);
    let solo = world.take(APP, &noise(150_000, 2), 150_000, 99_999);
    let both = world.put(vec![large, solo]);
    world.pass(3);
    let delete = |change: &mut Change<'_>, _: &dyn Engine| {
        for one in &both {
            change.delete(APP, one.id).unwrap();
        }
        let found = &mut Collected::default();
        change.settle_volumes(&AnyApp, found).unwrap();
    };
    world.abandon(delete, true);
    for one in &both {
        assert!(
            world.is_there(&world.files, one),
            "a refused deletion took the file"
        );
    }
}

/// What is over may go before the log knows. Whoever uploads the same again must not be given what has gone.
#[test]
fn a_content_whose_file_has_gone_is_stored_anew() {
    let mut world = World::new();
    for len in [9_000, 150_000] {
        let bytes = noise(len, 5);
        let first = world.take(APP, &bytes, len, 99_999);
        world.put(vec![first]);
        world.pass(8);
        let collect = |change: &mut Change<'_>, tables: &dyn Engine| {
            change.collect(tables, &AnyApp, &|_, _| false).unwrap()
        };
        assert_eq!(world.abandon(collect, true).attachments.len(), 1);
        let again = world.take(APP, &bytes, len, 99_999);
        let again = world.put(vec![again]).remove(0);
        assert!(world.is_there(&world.files, &again), "{len} bytes");
        world.collect();
        assert!(world.is_there(&world.files, &again), "{len} bytes");
        let recount = recount(&*world.tables, &AnyApp, 3).unwrap();
        assert_eq!(recount.problems, Vec::<String>::new());
        world.delete(&[again]);
        world.collect();
    }
}

#[test]
fn a_change_that_is_abandoned_after_its_flush_gives_the_space_back() {
    let mut world = World::new();
    let small = world.take(APP, &[1; 100], 100, 99_999);
    world.put(vec![small]);
    let before = world.disk.total_bytes();
    let large = world.take(APP, &noise(90_000, 1), 90_000, 99_999);
    world.abandon(|change, _| change.put(large).unwrap(), false);
    assert_eq!(world.disk.total_bytes(), before);
}

#[test]
fn the_media_type_does_not_depend_on_how_the_stream_is_cut() {
    let mut world = World::new();
    let png = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &[0; 300]].concat();
    let both = vec![world.take(APP, &png, 999, 0), world.take(APP, &png, 1, 0)];
    let types: Vec<_> = world
        .put(both)
        .into_iter()
        .map(|one| one.media_type)
        .collect();
    assert_eq!(types, ["image/png", "image/png"]);
}

#[test]
fn a_pass_reaches_what_is_over_behind_a_portion_that_lives() {
    let mut world = World::new();
    let all = (0..600).map(|_| world.take(APP, b"same", 9, 99)).collect();
    let all = world.put(all);
    let other = world.take(AppId(2), b"over", 9, 99);
    world.put(vec![other]);
    let message = Reference::Message { time: START, id: 1 };
    world.commit(|change, _| {
        for one in &all {
            change.refer(APP, one.id, &message).unwrap();
        }
    });
    world.pass(30);
    let mut removed = 0;
    loop {
        let found = world.collect();
        removed += found.attachments.len();
        if !found.more {
            break;
        }
    }
    assert_eq!(removed, 1);
}

#[test]
fn a_file_that_cannot_be_removed_is_tried_again_and_keeps_no_other_on_the_disk() {
    let mut world = World::new();
    let all = (0..3)
        .map(|n| world.take(APP, &noise(9_000, n), 9_000, 0))
        .collect();
    let all = world.put(all);
    world.disk.fail_matching(OpKind::Remove, 1, Fault::Eio);
    world.delete(&all);
    assert_eq!(world.disk.files().len(), 1);
    world.collect();
    assert_eq!(world.disk.files(), Vec::<PathBuf>::new());
}

#[test]
fn an_attachment_that_expired_does_not_come_back() {
    let mut world = World::new();
    let one = world.take(APP, b"x", 9, 99);
    let one = world.put(vec![one]).remove(0);
    let message = Reference::Message { time: 5, id: 1 };
    world.commit(|change, _| change.refer(APP, one.id, &message).unwrap());
    world.pass(30);
    assert!(!world.find(&one, 9));
    world.commit(|change, _| change.unrefer(APP, one.id, &message, 9).unwrap());
    assert!(!world.find(&one, 9), "it lives again");
}

#[test]
fn a_full_volume_is_closed_although_the_change_that_filled_it_was_abandoned() {
    let mut world = World::new();
    let mut all = world.fill();
    let more = world.take(APP, &noise(9 << 20, 99), 1 << 20, 10 << 20);
    world.abandon(|change, _| change.put(more).unwrap(), false);
    let more = world.take(APP, &noise(9 << 20, 99), 1 << 20, 10 << 20);
    all.extend(world.put(vec![more]));
    world.delete(&all);
    world.pass(30);
    world.collect();
    assert_eq!(world.disk.files(), Vec::<PathBuf>::new());
}

#[test]
fn a_failed_flush_of_a_full_volume_is_not_tried_again() {
    let mut world = World::new();
    world.fill();
    let small = world.take(APP, b"acknowledged?", 99, 99);
    let large = world.take(APP, &noise(9 << 20, 99), 1 << 20, 10 << 20);
    let (tables, now) = (Arc::clone(&world.tables), world.clock.wall());
    let mut change = Change::new(&*tables, None, &mut world.volumes, now, KEEPING);
    let small = change.put(small).unwrap();
    world.disk.fail_matching(OpKind::Sync, 1, Fault::Eio);
    let put = change.put(large);
    // Either is right: the failure shows when the change is finished, or nothing of it was lost.
    if let Ok((rows, after)) = change.finish() {
        put.unwrap_err();
        tables.write(batch_of(&rows)).unwrap();
        world.volumes.settle(after);
        let disk: Arc<dyn Disk> = Arc::new(world.disk.crash(1, Survival::NONE));
        assert!(
            world.is_there(&FileCache::new(disk, 1), &small),
            "lost by a power cut"
        );
    }
}
