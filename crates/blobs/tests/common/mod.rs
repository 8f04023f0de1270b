//! Attachments on a simulated disk, changed as the engine changes them, next to a model of what must be there.
//!
//! The tables are a memory engine on a disk of its own: a batch that was written to them counts as logged, and a crash
//! of the attachments' disk leaves them as they are. That is what a log which never loses an acknowledged batch does.
//!
//! The property test and the fuzz target `upload` share this module.

pub(crate) mod model;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidestore_blobs::index::{self, Moment};
use tidestore_blobs::{
    Apps, Attachment, Change, Collected, Content, Destination, Error, ErrorKind, Intake, Keeping,
    NewAttachment, Prepared, Punched, Reference, Result, Site, Span, Volumes, recount,
};
use tidestore_disk::{Clock, Disk, Env, Fault, FileCache, OpKind, SimClock, SimDisk, Survival};
use tidestore_kv::{Engine, EngineKind, batch_of};
use tidestore_plan::{AppId, Limit, UserId};

use self::model::{Known, Model, bytes_of};

const STORE: [u8; 16] = [7; 16];
const SHARD: u16 = 3;
const HOUR: u64 = 3_600_000;
const BUCKET: u64 = 48 * HOUR;
/// The floor for files follows the floor for readers after so long.
const UNDO: u64 = 24 * HOUR;
const KEEPING: Keeping = Keeping {
    retention: 7 * 24 * HOUR,
    grace: 24 * HOUR,
};
const START: u64 = 1_767_225_600_000;
const APPS: [AppId; 2] = [AppId(1), AppId(9)];
const HEADER: u64 = 4_096;
const KINDS: [OpKind; 10] = [
    OpKind::Write,
    OpKind::Sync,
    OpKind::Open,
    OpKind::SyncDir,
    OpKind::CreateDir,
    OpKind::Remove,
    OpKind::SetLen,
    OpKind::Punch,
    OpKind::Read,
    OpKind::Metadata,
];

/// What happens to a world.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Requests that share a flush.
    Change {
        requests: Vec<Request>,
        log: Log,
        trouble: Option<Trouble>,
    },
    /// A pass of expiry. One attachment may be held by a message that is just being appended.
    Collect {
        held: Option<u8>,
        trouble: Option<Trouble>,
    },
    /// Time passes.
    Pass { hours: u16 },
    /// Messages older than so many hours are not visible any more.
    RaiseFloor { hours: u16 },
    /// The power goes, and comes back.
    Crash { seed: u64, percent: u32 },
}

/// A request of a client.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Put(Upload),
    /// A message, a profile or a group begins to refer to an attachment.
    Refer {
        which: u8,
        kind: u8,
        number: u8,
    },
    /// One of its references is taken back.
    Unrefer {
        which: u8,
        number: u8,
    },
    Delete {
        which: u8,
    },
}

/// A content that streams in.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) app: u8,
    pub(crate) seed: u8,
    pub(crate) len: u32,
    /// Bytes per push.
    pub(crate) piece: u32,
    /// What is announced: the length plus so much.
    pub(crate) declared: Option<i32>,
    pub(crate) media_type: Option<&'static str>,
    pub(crate) shared_max: u32,
    /// The upload is dropped after so many bytes.
    pub(crate) abandoned: Option<u32>,
}

/// What becomes of the rows of a change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Log {
    /// They are logged.
    Written,
    /// They are logged once what is to go has made room.
    AfterRoom,
    /// They are surely not logged.
    Refused,
    /// Only the next opening tells whether they are logged.
    Unsure { written: bool },
}

/// An operation of the disk that fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) kind: u8,
    pub(crate) nth: u8,
    pub(crate) fault: u8,
}

/// Two apps with one floor.
#[derive(Debug, Default)]
struct SomeApps {
    floor: AtomicU64,
}

impl Apps for SomeApps {
    fn dir(&self, app: AppId) -> Option<PathBuf> {
        Some(PathBuf::from(format!("apps/{}", app.0)))
    }

    fn bucket(&self, _app: AppId, time: u64) -> Span {
        let start = time - time % BUCKET;
        Span {
            start,
            end: start + BUCKET,
        }
    }

    fn floor(&self, _app: AppId) -> u64 {
        self.floor.load(Ordering::Relaxed)
    }

    fn physical_floor(&self, app: AppId) -> u64 {
        self.floor(app).saturating_sub(UNDO)
    }
}

/// A shard's attachments and the model of them.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about what has happened"
)]
pub(crate) struct World {
    disk: SimDisk,
    punches: bool,
    clock: SimClock,
    site: Site,
    files: Arc<FileCache>,
    tables: Arc<dyn Engine>,
    volumes: Volumes,
    apps: SomeApps,
    model: Model,
    /// Whether the disk fails in the step at hand.
    fails: bool,
    /// Whether anything failed since the files were swept: then some may be left that nobody names.
    failed: bool,
    /// Whether removing a file failed since then.
    kept: bool,
    /// Whether anything ever failed: then a file may be longer than the tables say, or have more holes.
    scarred: bool,
    /// Whether the volumes were opened since the last pass.
    opened: bool,
}

impl World {
    pub(crate) fn new(punches: bool, seed: u64) -> Self {
        let (disk, clock) = (SimDisk::new(), SimClock::new(START));
        disk.set_punching(punches);
        let table_disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let tables = tidestore_kv::open(EngineKind::Memory, &table_disk, Path::new("t")).unwrap();
        let apps = SomeApps::default();
        let env = Env::sim(disk.clone(), clock.clone(), seed);
        let site = Site::new(&env, STORE);
        let files = Arc::new(FileCache::new(Arc::clone(&site.disk), 4));
        let volumes =
            Volumes::open(site.clone(), Arc::clone(&files), SHARD, &*tables, &apps).unwrap();
        Self {
            disk,
            punches,
            clock,
            site,
            files,
            tables,
            volumes,
            apps,
            model: Model::default(),
            fails: false,
            failed: false,
            kept: false,
            scarred: false,
            opened: true,
        }
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Change {
                requests,
                log,
                trouble,
            } => {
                self.arm(*trouble);
                self.change(requests, *log);
            }
            Step::Collect { held, trouble } => {
                self.arm(*trouble);
                self.collect(*held);
            }
            Step::Pass { hours } => {
                let by = Duration::from_millis(u64::from(*hours) * HOUR);
                self.clock.advance(by);
            }
            Step::RaiseFloor { hours } => {
                let floor = self.clock.wall() - u64::from(*hours) * HOUR;
                self.apps.floor.fetch_max(floor, Ordering::Relaxed);
            }
            Step::Crash { seed, percent } => self.crash(*seed, *percent),
        }
        self.disk.clear_faults();
        self.fails = false;
    }

    fn arm(&mut self, trouble: Option<Trouble>) {
        let Some(Trouble { kind, nth, fault }) = trouble else {
            return;
        };
        let kind = KINDS[usize::from(kind) % KINDS.len()];
        let fault = match fault % 5 {
            0 => Fault::Eio,
            1 => Fault::NoHandles,
            2 => Fault::ShortIo(usize::from(nth)),
            _ => Fault::NoSpace,
        };
        self.disk.fail_matching(kind, u64::from(nth % 4) + 1, fault);
        self.fails = true;
        (self.failed, self.scarred) = (true, true);
        self.kept |= kind == OpKind::Remove;
    }

    fn change(&mut self, requests: &[Request], log: Log) {
        let mut prepared: Vec<Option<Prepared>> = Vec::new();
        for request in requests {
            prepared.push(match request {
                Request::Put(upload) => self.take_in(upload),
                _ => None,
            });
        }
        let (now, fails, failed) = (self.clock.wall(), self.fails, self.failed);
        let floor = self.apps.physical_floor(APPS[0]);
        self.commit(log, |change, _, apps, model| {
            for (request, prepared) in requests.iter().zip(prepared) {
                let done = match (request, prepared) {
                    (Request::Put(upload), Some(prepared)) => change
                        .put(prepared)
                        .map(|stored| model.put(upload, &stored, now, &KEEPING)),
                    (Request::Put(_), None) => Ok(()),
                    (edit, _) => apply(change, model, edit, now, floor),
                };
                if let Err(error) = done {
                    let expected = fails || failed && is_latched(&error);
                    assert!(expected, "{request:?}: {error}");
                }
            }
            change.settle_volumes(apps, &mut Collected::default())
        });
    }

    /// Streams a content in. `None` if it was refused or dropped, as it must have been.
    fn take_in(&self, upload: &Upload) -> Option<Prepared> {
        let content = bytes_of(upload.seed, upload.len);
        let mut new = NewAttachment::new(UserId::parse("ann").unwrap(), format!("{}", upload.seed));
        new.media_type = upload.media_type.map(str::to_owned);
        new.length = upload.announced();
        match self.stream(upload, new, &content) {
            Ok(prepared) => {
                if let Some(prepared) = &prepared {
                    assert!(upload.is_right(), "{upload:?} was taken");
                    assert_eq!(prepared.hash(), blake3::hash(&content).as_bytes());
                }
                prepared
            }
            Err(error) => {
                match error.kind() {
                    ErrorKind::Limit(limit) => {
                        assert!(limit.actual() > Limit::Attachment.max(), "{upload:?}");
                    }
                    ErrorKind::Length { declared, actual } => {
                        assert!(declared != actual && !upload.is_right(), "{upload:?}");
                    }
                    _ => assert!(self.fails, "{upload:?}: {error}"),
                }
                None
            }
        }
    }

    fn stream(
        &self,
        upload: &Upload,
        new: NewAttachment,
        content: &[u8],
    ) -> Result<Option<Prepared>> {
        let app = upload.app();
        let to = Destination {
            app,
            app_dir: self.apps.dir(app).unwrap(),
            bucket: self.apps.bucket(app, self.clock.wall()),
            shared_max: upload.shared_max as usize,
        };
        let mut intake = Intake::new(self.site.clone(), to, new)?;
        let mut sent = 0;
        for piece in content.chunks(upload.piece.max(1) as usize) {
            if upload.abandoned.is_some_and(|after| sent >= after as usize) {
                return Ok(None);
            }
            intake.push(piece)?;
            sent += piece.len();
        }
        if upload.abandoned.is_some() {
            return Ok(None);
        }
        intake.finish(|_| SHARD).map(Some)
    }

    /// Carries a change out in the order that the engine keeps: flush, log, files.
    fn commit(
        &mut self,
        log: Log,
        decide: impl FnOnce(&mut Change<'_>, &dyn Engine, &SomeApps, &mut Model) -> Result<()>,
    ) {
        let now = self.clock.wall();
        let engine = Arc::clone(&self.tables);
        let mut model = self.model.clone();
        let mut change = Change::new(&*engine, None, &mut self.volumes, now, KEEPING);
        let decided = decide(&mut change, &*engine, &self.apps, &mut model);
        let (rows, after) = match (decided, change.finish()) {
            (Ok(()), Ok(finished)) => finished,
            (Err(error), Ok((_, after))) => {
                self.expect_failure(&error);
                return self.volumes.abandon(&*engine, after, true);
            }
            (_, Err(error)) => {
                // A failed flush: nothing more is written before the store was opened anew.
                self.expect_failure(&error);
                return self.crash(now, 50);
            }
        };
        if !rows.is_empty() {
            self.scarred |= !matches!(log, Log::Written | Log::AfterRoom);
            match log {
                Log::Refused => return self.volumes.abandon(&*engine, after, true),
                Log::Unsure { written } => {
                    self.volumes.abandon(&*engine, after, false);
                    if written {
                        engine.write(batch_of(&rows)).unwrap();
                        self.model = model;
                    }
                    return self.crash(now, 50);
                }
                Log::AfterRoom => {
                    if let Err(error) = self.volumes.make_room(&after) {
                        self.expect_failure(&error);
                    }
                }
                Log::Written => {}
            }
            engine.write(batch_of(&rows)).unwrap();
        }
        self.model = model;
        let settled = self.volumes.settle(after);
        if let Some(error) = settled.failed {
            self.expect_failure(&error);
        }
        self.note(&settled.punched);
    }

    fn note(&mut self, punched: &[Punched]) {
        if !punched.is_empty() {
            self.commit(Log::Written, |change, _, _, _| change.punched(punched));
        }
    }

    fn expect_failure(&self, error: &Error) {
        let expected = self.fails || self.failed && is_latched(error);
        assert!(expected, "nothing failed, but the attachments say: {error}");
    }

    fn collect(&mut self, held: Option<u8>) {
        let now = self.clock.wall();
        let held = held.and_then(|which| self.model.pick(which));
        let floor = self.apps.physical_floor(APPS[0]);
        // Dead records that were not punched when they died are taken up again.
        let revisit = self.failed || self.opened;
        self.opened = false;
        self.commit(Log::Written, |change, engine, apps, model| {
            let is_held = |app, id| Some((app, id)) == held;
            if revisit {
                change.revisit(engine)?;
            }
            let found = change.collect(engine, apps, &is_held)?;
            let removed = model.expire(now, floor, held);
            assert_eq!(found.attachments.len(), removed, "attachments collected");
            assert!(!found.more);
            assert_eq!(found.damaged, Vec::<String>::new());
            Ok(())
        });
    }

    /// Opens what a power cut leaves, as the engine does: what nobody names is removed.
    fn crash(&mut self, seed: u64, percent: u32) {
        self.disk = self.disk.crash(seed, Survival { percent });
        self.fails = false;
        self.site.disk = Arc::new(self.disk.clone());
        self.files = Arc::new(FileCache::new(Arc::clone(&self.site.disk), 4));
        let (site, files) = (self.site.clone(), Arc::clone(&self.files));
        self.volumes = Volumes::open(site, files, SHARD, &*self.tables, &self.apps).unwrap();
        let named = self.named();
        for file in self.disk.files() {
            if !named.contains(&file) {
                self.disk.remove_file(&file).unwrap();
            }
        }
        (self.failed, self.kept, self.opened) = (false, false, true);
    }

    fn named(&self) -> BTreeSet<PathBuf> {
        let volumes = index::volumes(&*self.tables, &self.apps, SHARD).unwrap();
        volumes.into_iter().map(|volume| volume.path).collect()
    }

    /// Compares everything with the model. Contents above a size are passed over.
    pub(crate) fn check(&self, content_max: u64) {
        let count = recount(&*self.tables, &self.apps, SHARD).unwrap();
        assert_eq!(count.problems, Vec::<String>::new());
        assert_eq!(count.attachments, self.model.known.len() as u64);
        for volume in &count.volumes {
            if self.disk.metadata(&volume.path).unwrap().len <= content_max {
                let read = volume.read_through(&self.files, STORE);
                assert_eq!(read.problems, Vec::<String>::new());
            }
        }
        for app in APPS {
            self.check_app(app, content_max);
        }
        for (app, id) in &self.model.gone {
            let error = index::find(&*self.tables, &STORE, *app, *id, self.moment(*app));
            let kind = error.unwrap_err().kind().clone();
            assert!(matches!(kind, ErrorKind::NotFound | ErrorKind::Expired));
        }
        self.check_files();
    }

    fn moment(&self, app: AppId) -> Moment {
        Moment {
            now: self.clock.wall(),
            floor: self.apps.floor(app),
            retention: KEEPING.retention,
        }
    }

    fn check_app(&self, app: AppId, content_max: u64) {
        let (engine, moment) = (&*self.tables, self.moment(app));
        let mut alive = Vec::new();
        for ((_, id), known) in self.model.of(app) {
            let found = index::find(engine, &STORE, app, *id, moment);
            if !known.is_alive(moment.now, moment.floor) {
                assert_eq!(*found.unwrap_err().kind(), ErrorKind::Expired);
                continue;
            }
            let found = found.unwrap();
            known.compare(&found);
            if known.length() <= content_max {
                self.read_back(app, &found, known);
            }
            alive.push(found);
        }
        assert_eq!(index::list(engine, app, None, 3, moment).unwrap(), {
            alive.iter().take(3).cloned().collect::<Vec<_>>()
        });
        let after = alive.get(2).map(|third| third.id);
        let rest = index::list(engine, app, after, usize::MAX, moment).unwrap();
        assert_eq!(rest, alive.split_off(if after.is_some() { 3 } else { 0 }));
    }

    fn read_back(&self, app: AppId, attachment: &Attachment, known: &Known) {
        let dir = self.apps.dir(app).unwrap();
        let at = index::locate(&*self.tables, app, &dir, SHARD, attachment).unwrap();
        let content = Content::open(&self.files, STORE, at).unwrap();
        let content = content.expect("the file of a content that lives");
        assert_eq!(content.len(), known.length());
        let wanted = bytes_of(known.seed, known.len);
        let mut read = Vec::with_capacity(wanted.len());
        // In runs of several lengths, because runs of plain chunks and others are read differently.
        let (mut next, chunks) = (0, content.head().chunks.len());
        while next < chunks {
            let end = (next + next % 3 + 1).min(chunks);
            read.extend_from_slice(&content.chunks(next..end).unwrap());
            next = end;
        }
        assert!(
            read == wanted,
            "{known:?} is read back as {} bytes",
            read.len()
        );
        assert!(content.chunks(chunks..chunks + 3).unwrap().is_empty());
    }

    /// Compares the files with the tables, and the ledger with the disk.
    fn check_files(&self) {
        let named = self.named();
        let files: BTreeSet<_> = self.disk.files().into_iter().collect();
        assert!(named.is_subset(&files), "{named:?} {files:?}");
        for file in files.difference(&named).filter(|_| !self.kept) {
            let is_shared = file.file_name().unwrap().to_string_lossy().contains('-');
            let len = self.disk.metadata(file).unwrap().len;
            // A shared volume stays for the next content if the first one could not be written to it.
            let may_stay = self.failed && is_shared && len <= HEADER;
            assert!(may_stay, "{} was left behind", file.display());
        }
        if !self.scarred {
            let days = APPS.map(|app| index::usage(&*self.tables, app).unwrap());
            let said: u64 = days
                .iter()
                .flatten()
                .map(|(_, day)| day.physical_bytes)
                .sum();
            // The ledger counts whole blocks. The last one of a file may be written in part, and if its record was
            // punched while it was the last, the simulated disk keeps that block.
            let punched = if self.punches {
                self.model.gone.len()
            } else {
                0
            };
            let slack = (named.len() + punched) as u64 * HEADER;
            let taken = self.disk.total_bytes();
            assert!(
                said.abs_diff(taken) <= slack,
                "{said} charged, {taken} taken"
            );
        }
    }

    /// Lets everything end, and looks whether anything stays.
    pub(crate) fn drain(mut self) {
        self.crash(1, 100);
        let pinned: Vec<_> = self.model.known.keys().copied().collect();
        for (which, _) in pinned.iter().enumerate() {
            let which = u8::try_from(which % 256).unwrap();
            let number = |number| Request::Unrefer { which, number };
            let requests = (0..8).map(number).collect();
            self.step(&Step::Change {
                requests,
                log: Log::Written,
                trouble: None,
            });
        }
        self.step(&Step::Pass { hours: 24 * 365 });
        self.step(&Step::RaiseFloor { hours: 0 });
        for _ in 0..2 {
            self.step(&Step::Collect {
                held: None,
                trouble: None,
            });
        }
        self.check(u64::MAX);
        let pinned = self.model.known.values().any(Known::is_pinned);
        if !pinned {
            assert_eq!(self.disk.files(), Vec::<PathBuf>::new());
            for app in APPS {
                assert!(index::usage(&*self.tables, app).unwrap().is_empty());
            }
        }
    }
}

impl Upload {
    pub(crate) fn app(&self) -> AppId {
        APPS[usize::from(self.app) % APPS.len()]
    }

    fn announced(&self) -> Option<u64> {
        let by = i64::from(self.declared?);
        Some(u64::from(self.len).saturating_add_signed(by))
    }

    /// Whether it may be taken: as long as was announced, and not longer than anything may be.
    fn is_right(&self) -> bool {
        let len = u64::from(self.len);
        len <= Limit::Attachment.max() && self.announced().is_none_or(|declared| declared == len)
    }
}

/// Applies an edit to the tables and to the model.
fn apply(
    change: &mut Change<'_>,
    model: &mut Model,
    edit: &Request,
    now: u64,
    floor: u64,
) -> Result<()> {
    let (Request::Refer { which, .. } | Request::Unrefer { which, .. } | Request::Delete { which }) =
        edit
    else {
        return Ok(());
    };
    let Some((app, id)) = model.pick(*which) else {
        return Ok(());
    };
    match edit {
        Request::Refer { kind, number, .. } => {
            let reference = model::reference(*kind, START, *number);
            change.refer(app, id, &reference)?;
            // Twice is as good as once.
            change.refer(app, id, &reference)?;
            model.refer((app, id), reference, &KEEPING);
        }
        Request::Unrefer { number, .. } => {
            let reference = model.reference_of((app, id), *number);
            let absent = Reference::Profile(UserId::parse("nobody").unwrap());
            let reference = reference.unwrap_or(absent);
            change.unrefer(app, id, &reference, floor)?;
            model.unrefer((app, id), &reference, now, floor, &KEEPING);
        }
        _ => {
            change.delete(app, id)?;
            model.remove((app, id));
            let again = change.delete(app, id).unwrap_err();
            assert_eq!(*again.kind(), ErrorKind::NotFound);
        }
    }
    Ok(())
}

/// A file of which a flush has failed is flushed by nobody before the store is opened anew.
fn is_latched(error: &Error) -> bool {
    error.to_string().contains("an earlier flush of")
}
