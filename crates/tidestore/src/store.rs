//! The store: opening, apps, closing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidestore_disk::sync::atomic::AtomicU64;

use tidestore_blobs::{Buffers, Site, Volumes};
use tidestore_disk::sync::Mutex;
use tidestore_disk::{Env, FileCache, Lock, Millis};
use tidestore_messages::{AppId, BlockCache, CacheBytes};
use tidestore_plan::{AppKey, Terms};

use crate::app::App;
use crate::apps::{AppInfo, AppRecord, Registry, TermsRecord, app_dir};
use crate::attachments::{Clerk, Desk, Desks, Request, forget_deleted};
use crate::background::{Background, Bell};
use crate::directory::AllSessions;
use crate::error::{Error, ErrorKind, Result};
use crate::expiry::{ExpiryReport, MergeReport};
use crate::format::{self, StoreFile};
use crate::guard::{ClockAlarm, ClockGuard, millis};
use crate::meters::{self, Status, StoreMeters};
use crate::options::Options;
use crate::places::Places;
use crate::record::Event;
use crate::scrub::Scrubber;
use crate::shard::{Command, Committer, Parts, Shard, open_shard, recover};
use crate::shards::Shards;
pub(crate) use crate::threads::{blocking, spawn};
use crate::{repair, sweep, tables};

/// A handle to an open store. Cheap to clone; all clones are one store.
///
/// The data directory is locked until the last handle is dropped; dropping without [`close`](Self::close) is safe and
/// costs the next opening a replay.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) file: Arc<StoreFile>,
    pub(crate) options: Arc<Options>,
    pub(crate) env: Env,
    pub(crate) guard: Arc<ClockGuard>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) desks: Desks,
    pub(crate) files: Arc<FileCache>,
    /// For reading attachments.
    pub(crate) buffers: Buffers,
    /// Held while pins of shared files are set or taken back.
    pub(crate) pins: tokio::sync::Mutex<()>,
    /// Held while what is left of a user is erased: whoever registers under the same id waits for the end of it.
    pub(crate) erasures: tokio::sync::Mutex<()>,
    /// Who is connected.
    pub(crate) sessions: AllSessions,
    /// Held while a backup is taken: two at once would wait for each other's shards.
    pub(crate) backing_up: Mutex<()>,
    pub(crate) notices: Vec<String>,
    /// Files that no manifest names, where opening was to leave them.
    pub(crate) unnamed: Vec<PathBuf>,
    pub(crate) scrubber: Arc<Scrubber>,
    background: Mutex<Option<Background>>,
    closed: Mutex<bool>,
    /// Declared last, so that everything that has files open is gone before another process may come in.
    _lock: Option<Box<dyn Lock>>,
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be used.
    Use,
    /// To be looked at or repaired by somebody who holds the lock: what nobody names stays where it is.
    Inspection,
}

impl Store {
    /// Opens the store in a directory, creating it if the directory is empty or missing.
    ///
    /// Costs one pass over the log that was not yet turned into segments (at most a few memtables), and nothing per
    /// stored message.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Argument`]: an option is out of its range.
    /// - [`ErrorKind::Locked`]: another process has it open.
    /// - [`ErrorKind::NotAStore`], [`ErrorKind::Format`]: not a data directory, or of another version.
    /// - [`ErrorKind::Corruption`]: the log or the tables are damaged where it matters; nothing was changed.
    pub async fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self> {
        let env = Env::real(dir.as_ref())?;
        Self::open_env(env, options).await
    }

    /// As [`open`](Self::open), on a disk and a clock of the caller's choice: a simulation, or a demonstration that
    /// walks through months in seconds.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_env(env: Env, options: Options) -> Result<Self> {
        let store = blocking(move || {
            format::refuse_unfinished(&env.disk)?;
            Self::open_blocking(env, options, Purpose::Use)
        })
        .await?;
        if let Err(error) = store.resume_deletions().await {
            // They are invisible already; a full disk must not keep a store from being opened.
            tracing::warn!(%error, "a deletion could not be finished and will be at the next opening");
        }
        Ok(store)
    }

    pub(crate) fn open_blocking(env: Env, options: Options, purpose: Purpose) -> Result<Self> {
        options.check()?;
        meters::describe();
        let begun = env.clock.monotonic();
        let (env, files) = with_room(env, &options);
        // Before the lock, which is a file: a directory of something else is left exactly as it was.
        format::refuse_strangers(&env.disk)?;
        let lock = take_lock(&env, purpose)?;
        let file = Arc::new(format::open_or_create(&env, &options)?);
        let options = Arc::new(options);
        let guard = Arc::new(ClockGuard::start(
            Arc::clone(&env.clock),
            options.clock_drift_max,
        ));
        let registry = Arc::new(Registry::new(Arc::clone(&guard)));
        let desks: Desks = (0..file.shards)
            .map(|_| Arc::new(Desk::new(options.queue_depth, options.queue_bytes)))
            .collect();
        let parts = Parts {
            desks: Arc::clone(&desks),
            disk: Arc::clone(&env.disk),
            clock: Arc::clone(&env.clock),
            options: Arc::clone(&options),
            store: Arc::clone(&file),
            guard: Arc::clone(&guard),
            registry: Arc::clone(&registry),
            files,
            blocks: Arc::new(caches(&options)),
            bell: Arc::new(Bell::default()),
            listeners: Arc::default(),
        };
        let mut notices = Vec::new();
        let mut opened = Vec::new();
        for number in 0..file.shards {
            opened.push(open_shard(&parts, number, &mut notices)?);
        }
        // Only now are all apps known, and with them which files belong to the store.
        let recovered: Vec<_> = opened
            .into_iter()
            .map(|opened| recover(&parts, opened))
            .collect::<Result<_>>()?;
        let list: Vec<_> = recovered
            .iter()
            .map(|(shard, _)| Arc::clone(shard))
            .collect();
        resume_clock(&guard, &list, &options)?;
        let clerks = clerks(&env, &parts, &list)?;
        let swept = sweep::sweep(&env.disk, &registry, &list, purpose == Purpose::Inspection)?;
        notices.extend(swept.notices);
        let found = notices.len();
        shorten(&mut notices);
        start(recovered, clerks)?;
        let shards = Arc::new(Shards {
            store: file.id,
            list,
            guard: Arc::clone(&guard),
            registry: Arc::clone(&registry),
            transfers: Places::new(options.transfers, "uploads and downloads"),
            streams: Places::new(options.streams, "streams"),
            notices: AtomicU64::new(found as u64),
            meters: StoreMeters::new(),
        });
        meters::publish(&meters::of_shards(&shards));
        let scrubber = Arc::new(Scrubber::new(&env, file.id, &shards, &options));
        let background = options
            .background
            .then(|| Background::start(&shards, &options, parts.bell, &scrubber))
            .transpose()?;
        let took_ms = millis(env.clock.monotonic().saturating_sub(begun));
        let (number, apps) = (shards.list.len(), registry.all().len());
        tracing::info!(
            shards = number,
            apps,
            notices = found,
            took_ms,
            "the store is open"
        );
        let inner = Inner {
            file,
            options,
            env,
            guard,
            registry,
            shards,
            desks,
            files: parts.files,
            buffers: Buffers::default(),
            pins: tokio::sync::Mutex::default(),
            erasures: tokio::sync::Mutex::default(),
            sessions: AllSessions::default(),
            backing_up: Mutex::default(),
            notices,
            unnamed: swept.unnamed,
            scrubber,
            background: Mutex::new(background),
            closed: Mutex::new(false),
            _lock: lock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Creates an app.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AppExists`]: there is one with this key.
    pub async fn create_app(&self, key: &AppKey, terms: Terms) -> Result<App> {
        let shard = self.inner.shards.home(key.as_str());
        let shards = u64::from(self.inner.file.shards);
        let (wanted, created) = (key.clone(), self.inner.guard.now());
        let terms = TermsRecord::of(&terms);
        shard
            .decide(Box::new(move |shard| {
                if shard.registry.by_key(&wanted).is_some() {
                    let text = format!("the app {wanted} exists already");
                    return Err(Error::new(ErrorKind::AppExists, text));
                }
                let last = tables::number(&*shard.engine, tables::LAST_APP)?;
                // Numbers of different home shards never meet.
                let next = if last == 0 {
                    shards + u64::from(shard.number)
                } else {
                    last + shards
                };
                let id = u32::try_from(next).map_err(|_| {
                    Error::new(ErrorKind::Argument, "the store has no app numbers left")
                })?;
                let key = wanted.as_str().to_owned();
                Ok(Some(Event::App(AppRecord {
                    id,
                    key,
                    terms,
                    created,
                    floor: 0,
                    undo: None,
                })))
            }))
            .await?;
        self.app(key)
    }

    /// Finds an app.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownApp`]: there is none with this key.
    pub fn app(&self, key: &AppKey) -> Result<App> {
        let record = self
            .inner
            .registry
            .by_key(key)
            .ok_or_else(|| unknown_app(key))?;
        Ok(App::new(self.clone(), AppId(record.id), key.clone()))
    }

    /// Every app, sorted by key.
    pub fn apps(&self) -> Vec<AppInfo> {
        let all = self.inner.registry.all();
        all.iter()
            .filter_map(|record| self.inner.registry.info(record).ok())
            .collect()
    }

    /// Deletes an app with all it holds, at once and for good. Its files leave the disk before this returns; what it
    /// had in segments shared with other small apps is invisible at once and leaves with the next merge.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownApp`]: there is none with this key.
    pub async fn delete_app(&self, key: &AppKey) -> Result<()> {
        let id = self.app(key)?.id();
        let wanted = key.clone();
        self.inner
            .shards
            .home(key.as_str())
            .decide(Box::new(move |shard| match shard.registry.by_id(id) {
                Some(_) => Ok(Some(Event::AppDeleted(id.0))),
                None => Err(unknown_app(&wanted)),
            }))
            .await?;
        let (inner, key) = (Arc::clone(&self.inner), key.clone());
        blocking(move || {
            for shard in &inner.shards.list {
                shard.decide_own(Box::new(move |_| Ok(Some(Event::AppForgotten(id.0)))))?;
                let dir = app_dir(key.as_str());
                shard
                    .desk()
                    .ask_own(|reply| Request::Forget(id, dir, reply))?;
                shard.expire(&mut ExpiryReport::default())?;
                shard.merge(false, &mut MergeReport::default())?;
            }
            inner.sessions.forget(id);
            for shard in &inner.shards.list {
                shard.forget_rows(id)?;
            }
            app_dir(key.as_str()).map_or(Ok(()), |dir| sweep::remove_app_dir(&inner.env.disk, &dir))
        })
        .await
    }

    /// Runs expiry once, by the guarded clock: floors rise, and segments below them leave the disk.
    ///
    /// # Errors
    ///
    /// What the disk reports; what was not done is done by the next pass.
    pub async fn expire(&self) -> Result<ExpiryReport> {
        let inner = Arc::clone(&self.inner);
        let report = blocking(move || inner.shards.expire()).await?;
        self.do_leftovers().await?;
        Ok(report)
    }

    /// Runs expiry once as if it were `now`; the operator vouches for the time. What expires stays expired.
    ///
    /// # Errors
    ///
    /// As [`expire`](Self::expire).
    pub async fn expire_at(&self, now: Millis) -> Result<ExpiryReport> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.shards.expire_by(now)).await
    }

    /// Turns every memtable into segments and trims the logs.
    ///
    /// # Errors
    ///
    /// What the disk reports; the messages are still in the logs.
    pub async fn flush(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.shards.list.iter().try_for_each(|shard| shard.flush())).await
    }

    /// Merges the segments of each bucket into one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corruption`] if one cannot be read: it and its neighbours stay as they are.
    pub async fn merge(&self) -> Result<MergeReport> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let mut report = MergeReport::default();
            for shard in &inner.shards.list {
                shard.merge(true, &mut report)?;
                shard.purge(&mut report)?;
            }
            Ok(report)
        })
        .await
    }

    /// Makes everything acknowledged as [`Buffered`](crate::Durability::Buffered) durable now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Poisoned`] if a flush failed.
    pub async fn sync(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            inner
                .shards
                .list
                .iter()
                .try_for_each(|shard| shard.ask_own(Command::Sync))
        })
        .await
    }

    /// Why expiry is paused, if the clock is not trusted.
    pub fn clock_alarm(&self) -> Option<ClockAlarm> {
        self.inner.guard.alarm()
    }

    /// The operator vouches for the wall clock; expiry goes on from it.
    pub fn confirm_clock(&self) {
        self.inner.guard.confirm();
    }

    /// How the store is at this moment, for whoever watches it without a recorder of metrics; gauges are set to the same.
    /// Costs a pass over the manifests and a look at the sizes of the tables' files.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] if the runtime is going down.
    pub async fn status(&self) -> Result<Status> {
        let shards = Arc::clone(&self.inner.shards);
        blocking(move || {
            let status = meters::of_shards(&shards);
            meters::publish(&status);
            Ok(status)
        })
        .await
    }

    /// What opening found and healed or left alone: foreign files, missing segments, torn tails; a thousand
    /// of them at most.
    pub fn notices(&self) -> &[String] {
        &self.inner.notices
    }

    /// The limits in force: those of the contract, but for what [`Options::limits`] says otherwise.
    pub fn limits(&self) -> &tidestore_plan::Limits {
        &self.inner.options.limits
    }

    /// What the data directory says of itself.
    pub fn file(&self) -> &StoreFile {
        &self.inner.file
    }

    /// Finishes what waits and turns memtables into segments, so that the next opening has nothing to replay. Changes
    /// get [`ErrorKind::Closed`] from now on. The directory is free once the last handle is dropped. Closing twice is
    /// harmless.
    ///
    /// # Errors
    ///
    /// What the disk reports; nothing acknowledged is lost.
    pub async fn close(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.close()).await
    }
}

impl Inner {
    /// Looks at a few rows, or at a page: where the options say.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.options.reads_in_place {
            look()
        } else {
            blocking(look).await
        }
    }

    /// Random bytes.
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.env.entropy.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Lets go of a store that was only looked at.
    pub(crate) fn abandon(&self) {
        *self.closed.lock() = true;
        self.stop();
    }

    pub(crate) fn close(&self) -> Result<()> {
        let mut closed = self.closed.lock();
        if std::mem::replace(&mut *closed, true) {
            return Ok(());
        }
        if let Some(background) = self.background.lock().take() {
            background.stop();
        }
        let noted = self.shards.note_alive();
        let flushed = self.shards.list.iter().try_for_each(|shard| shard.flush());
        self.stop();
        let done = noted.and(flushed);
        match &done {
            Ok(()) => tracing::info!("the store is closed"),
            Err(error) => {
                tracing::warn!(%error, "the store is closed, but not all was written out");
            }
        }
        done
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(background) = self.background.lock().take() {
            background.stop();
        }
        self.stop();
    }
}

impl Inner {
    /// Ends the threads that change things: first those that still ask the others.
    fn stop(&self) {
        self.desks.iter().for_each(|desk| desk.stop());
        self.shards.list.iter().for_each(|shard| shard.stop());
    }
}

/// Starts the threads that change things.
fn start(recovered: Vec<(Arc<Shard>, Committer)>, clerks: Vec<(Arc<Shard>, Clerk)>) -> Result<()> {
    for (shard, committer) in recovered {
        let name = format!("tidestore-commit-{:02}", shard.number);
        let lifeline = shard.lifeline();
        let work = move || {
            let _lifeline = lifeline;
            committer.run();
        };
        shard.keep_thread(spawn(name, work)?);
    }
    for (shard, clerk) in clerks {
        let name = format!("tidestore-blobs-{:02}", shard.number);
        let lifeline = shard.desk_lifeline();
        let work = move || {
            let _lifeline = lifeline;
            clerk.run();
        };
        shard.desk().keep_thread(spawn(name, work)?);
    }
    Ok(())
}

fn caches(options: &Options) -> BlockCache {
    BlockCache::bounded(CacheBytes {
        blocks: options.cache_bytes,
        indexes: options.index_bytes,
        prefixes: options.receipt_bytes,
    })
}

/// Notices that are kept: whoever fills the directory with foreign files must not fill the memory with their names.
const NOTICES_MAX: usize = 1_000;

/// Says aloud what opening found, as far as it is kept.
fn shorten(notices: &mut Vec<String>) {
    if notices.len() > NOTICES_MAX {
        let more = notices.len() - NOTICES_MAX;
        notices.truncate(NOTICES_MAX);
        notices.push(format!("and {more} more"));
    }
    for notice in notices {
        tracing::warn!(notice, "found while opening");
    }
}

/// The lock of a store that is going to be used; whoever only looks at it has it already.
fn take_lock(env: &Env, purpose: Purpose) -> Result<Option<Box<dyn Lock>>> {
    if purpose == Purpose::Inspection {
        return Ok(None);
    }
    let lock = env.disk.lock(Path::new("LOCK"))?;
    repair::refuse_unfinished(&env.disk)?;
    Ok(Some(lock))
}

/// The open files, and a disk that closes them before anything fails for want of a descriptor. The rest of the process needs
/// descriptors too: the cache is at most a quarter of them.
fn with_room(env: Env, options: &Options) -> (Env, Arc<FileCache>) {
    let most = env.disk.handles_max().map_or(usize::MAX, |most| most / 4);
    let capacity = options.open_files.min(most.max(1));
    let files = Arc::new(FileCache::new(env.disk, capacity));
    let disk = files.roomy_disk();
    (Env { disk, ..env }, files)
}

/// Compares the clock with what the shards know of time.
fn resume_clock(guard: &ClockGuard, shards: &[Arc<Shard>], options: &Options) -> Result<()> {
    let seen = shards.iter().map(|shard| shard.status.lock().last_seen);
    let seen = seen.max().unwrap_or_default();
    let mut jumped = false;
    for shard in shards {
        jumped |= tables::number(&*shard.engine, tables::JUMPED)? == 1;
    }
    guard.resume(seen, options.clock_gap_max, jumped);
    Ok(())
}

/// The clerks of all shards, with their volumes cut to what the tables know.
fn clerks(env: &Env, parts: &Parts, shards: &[Arc<Shard>]) -> Result<Vec<(Arc<Shard>, Clerk)>> {
    let clerk = |shard: &Arc<Shard>| {
        forget_deleted(shard)?;
        let site = Site::new(env, parts.store.id);
        let (files, apps) = (Arc::clone(&parts.files), &*parts.registry);
        let volumes = Volumes::open(site, files, shard.number, &*shard.engine, apps)?;
        Ok((Arc::clone(shard), Clerk::new(Arc::clone(shard), volumes)))
    };
    shards.iter().map(clerk).collect()
}

pub(crate) fn unknown_app(key: &AppKey) -> Error {
    Error::new(
        ErrorKind::UnknownApp,
        format!("there is no app {key}; create it first"),
    )
}
