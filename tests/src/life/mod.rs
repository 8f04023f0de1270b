//! One life of a store that touches every part of it, for tests that make something go wrong on the way.
//!
//! A life is told in [`CHAPTERS`]. In each of them every part has its turn, and between them the store does what stores do:
//! flush, merge, change plans, let time pass, expire, close. What callers were told is kept in [`Told`], part by part, and
//! [`Stage::look`] compares a store with it.
//!
//! A new part is a module with a `Told`, a `chapter` and a `check`, and one line in [`Told`], [`Stage::chapter`] and
//! [`Stage::look`] each.

mod attachments;
mod attributes;
mod directory;
pub mod facts;
mod inboxes;
mod judge;
mod messages;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;

use tidestore::disk::{Clock, SimDisk};
use tidestore::plan::{Plan, Terms};
use tidestore::{App, EngineKind, ErrorKind, Result, Store};

use crate::{DAY, HOUR, Machine, key};

pub use facts::Facts;
pub use judge::{Judge, Rigor, is_refused};

/// How many chapters a life has.
pub const CHAPTERS: usize = 4;

/// What callers were told, and what they asked for without hearing back.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Whether the app was acknowledged.
    pub app: bool,
    /// Messages, their changes and receipts.
    pub messages: messages::Told,
    /// Attachments and what refers to them.
    pub attachments: attachments::Told,
    /// Users, contacts, groups, rooms, threads, attributes, settings: whatever is a named thing with a value.
    pub facts: Facts,
    /// What devices acknowledged.
    pub inboxes: inboxes::Told,
}

/// Where a life is played: a store on a machine, and what its callers know.
#[derive(Debug)]
pub struct Stage {
    /// The machine.
    pub machine: Machine,
    /// The open store.
    pub store: Store,
    /// The app that lives in it.
    pub app: App,
    /// What was told so far.
    pub told: RefCell<Told>,
    /// What is done when the disk is full.
    pub when_full: WhenFull,
    /// How often the disk was found full.
    pub full: Cell<usize>,
    /// If wanted: what was told, and how long the log was then.
    pub marks: RefCell<Option<Vec<(u64, Told)>>>,
}

/// What a caller does when the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// He gives up.
    GiveUp,
    /// He makes sure that everything can still be read, makes room, and tries the same again on the same store.
    MakeRoomAndGoOn,
}

/// Runs a store through its life until something fails; what callers were told by then is in `told`.
///
/// # Errors
///
/// What the store says when something went wrong.
pub async fn live(machine: &Machine, told: &mut Told) -> Result<()> {
    let stage = begin(machine, WhenFull::GiveUp).await?;
    let lived = stage.live(CHAPTERS).await;
    *told = stage.told.into_inner();
    lived
}

/// Opens a store and creates the app in it.
///
/// # Errors
///
/// What the store says.
pub async fn begin(machine: &Machine, when_full: WhenFull) -> Result<Stage> {
    let begun = try_begin(machine, when_full).await;
    if when_full == WhenFull::GiveUp || begun.is_ok() {
        return begun;
    }
    make_room(machine);
    try_begin(machine, when_full).await
}

async fn try_begin(machine: &Machine, when_full: WhenFull) -> Result<Stage> {
    let store = machine.open().await?;
    let (key, terms) = (key("acme#chat"), Terms::of(Plan::Basic));
    let app = match store.app(&key) {
        Ok(app) => app,
        Err(_) => store.create_app(&key, terms).await?,
    };
    let told = Told {
        app: true,
        ..Told::default()
    };
    Ok(Stage {
        machine: machine.clone(),
        store,
        app,
        told: RefCell::new(told),
        when_full,
        full: Cell::new(0),
        marks: RefCell::default(),
    })
}

fn make_room(machine: &Machine) {
    machine.disk.set_space(None);
    machine.disk.clear_faults();
}

/// A machine for a life: parts of every size that matter, small files, and nothing that happens by itself.
pub fn machine(engine: EngineKind, shards: u16) -> Machine {
    let mut machine = Machine::new();
    machine.options.shards = shards;
    machine.options.engine = engine;
    machine.options.shared_attachment_bytes = 16 << 10;
    machine.options.log_file_bytes = 16 << 10;
    machine.options.deletion_rows = 2;
    machine
}

/// The same machine with another disk.
pub fn with_disk(machine: &Machine, disk: SimDisk) -> Machine {
    Machine {
        disk,
        ..machine.clone()
    }
}

impl Stage {
    /// Lives through so many chapters, and closes after the last.
    ///
    /// # Errors
    ///
    /// What the store says when something went wrong.
    pub async fn live(&self, chapters: usize) -> Result<()> {
        for number in 0..chapters.min(CHAPTERS) {
            self.chapter(number).await?;
            // What happens between two chapters belongs to the later one.
            if number + 1 < chapters || chapters == CHAPTERS {
                self.after(number).await?;
            }
        }
        Ok(())
    }

    /// What the store does behind a chapter.
    ///
    /// # Errors
    ///
    /// What the store says when something went wrong.
    pub async fn after(&self, number: usize) -> Result<()> {
        match number {
            0 => {
                self.act(async || self.store.flush().await).await?;
                self.machine.pass(HOUR);
            }
            1 => {
                self.act(async || self.store.flush().await).await?;
                self.act(async || self.store.merge().await).await?;
                self.change_plan(Plan::Pro).await?;
                self.machine.pass(2 * DAY);
            }
            2 => {
                self.change_plan(Plan::Free).await?;
                self.machine.pass(2 * DAY);
                self.expire_below(self.now() - 3 * DAY).await?;
            }
            _ => {
                self.machine.pass(6 * DAY);
                self.expire_below(self.now() - 3 * DAY).await?;
                self.act(async || self.store.close().await).await?;
            }
        }
        Ok(())
    }

    async fn change_plan(&self, plan: Plan) -> Result<()> {
        let changed = self.act(async || self.app.change_terms(Terms::of(plan)).await);
        changed.await.map(drop)
    }

    async fn expire_below(&self, floor: u64) -> Result<()> {
        // From the moment that it is asked for, either is right.
        {
            let told = &mut self.told.borrow_mut();
            told.messages.floor = floor;
            told.attachments.now = self.now();
        }
        self.act(async || self.store.expire().await).await.map(drop)
    }

    /// Every part's turn.
    ///
    /// # Errors
    ///
    /// What the store says when something went wrong.
    pub async fn chapter(&self, number: usize) -> Result<()> {
        directory::chapter(self, number).await?;
        attributes::chapter(self, number).await?;
        attachments::chapter(self, number).await?;
        messages::chapter(self, number).await?;
        inboxes::chapter(self, number).await
    }

    /// What the store's clock says.
    pub fn now(&self) -> u64 {
        self.machine.clock.wall()
    }

    /// Asks the store for something, again if the disk was full and the caller is one who makes room.
    ///
    /// # Errors
    ///
    /// What the store says; on a full disk only if it says so again when there is room.
    ///
    /// # Panics
    ///
    /// If something cannot be read while the disk is full.
    pub async fn act<T>(&self, call: impl AsyncFn() -> Result<T>) -> Result<T> {
        match call().await {
            Err(error)
                if *error.kind() == ErrorKind::Full && self.when_full != WhenFull::GiveUp =>
            {
                self.full.set(self.full.get() + 1);
                let mut judge = Judge::new("on a full disk", Rigor::Whole);
                self.look(&mut judge).await;
                make_room(&self.machine);
                call().await
            }
            answer => answer,
        }
    }

    /// Changes a named thing: until the answer it may have either value, afterwards the new one.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn change<T>(
        &self,
        name: &str,
        value: &str,
        call: impl AsyncFn() -> Result<T>,
    ) -> Result<T> {
        self.told.borrow_mut().facts.ask(name, value);
        self.mark();
        let done = self.act(call).await?;
        self.told.borrow_mut().facts.acknowledge(name);
        self.mark();
        Ok(done)
    }

    /// Notes what is told at this length of the log, if that is wanted.
    fn mark(&self) {
        if let Some(marks) = &mut *self.marks.borrow_mut() {
            let len = used_of_log(&self.machine.disk);
            marks.push((len, self.told.borrow().clone()));
        }
    }

    /// Compares the store with what was told.
    ///
    /// # Panics
    ///
    /// If it does not agree as far as the judge demands.
    pub async fn look(&self, judge: &mut Judge) {
        let told = self.told.borrow().clone();
        let app = &self.app;
        messages::check(app, &told, judge).await;
        attachments::check(app, &told.attachments, judge).await;
        facts::check(app, &told.facts, judge).await;
        inboxes::check(app, &told, judge).await;
    }

    /// Uses every part once more.
    ///
    /// # Panics
    ///
    /// If one does not go on.
    pub async fn go_on(&self, judge: &mut Judge) {
        let what = judge.what().to_owned();
        self.chapter(CHAPTERS)
            .await
            .unwrap_or_else(|error| panic!("{what}: it does not go on: {error:?}"));
        self.look(judge).await;
    }
}

/// Opens what is on the machine; `None` if the app was never acknowledged and is not there.
///
/// # Errors
///
/// Those of [`Store::open_env`].
///
/// # Panics
///
/// If the app was acknowledged and is gone.
pub async fn reopen(machine: &Machine, told: &Told, what: &str) -> Result<Option<Stage>> {
    let store = machine.open().await?;
    let Ok(app) = store.app(&key("acme#chat")) else {
        assert!(!told.app, "{what}: the app is gone");
        return Ok(None);
    };
    Ok(Some(Stage {
        machine: machine.clone(),
        store,
        app,
        told: RefCell::new(told.clone()),
        when_full: WhenFull::GiveUp,
        full: Cell::new(0),
        marks: RefCell::default(),
    }))
}

/// Reopens, compares with what was told, verifies, and uses the store once more.
///
/// # Panics
///
/// If anything acknowledged is missing, anything else is there, or the store does not go on.
pub async fn check(machine: &Machine, told: &Told, what: &str) {
    let stage = reopen(machine, told, what)
        .await
        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let Some(stage) = stage else { return };
    stage.store.confirm_clock();
    let mut judge = Judge::new(what, Rigor::Whole);
    let verified = stage.store.verify().await.unwrap();
    assert_eq!(verified.problems, [], "{what}");
    stage.look(&mut judge).await;
    stage.go_on(&mut judge).await;
    let verified = stage.store.verify().await.unwrap();
    assert_eq!(verified.problems, [], "{what}, later");
    stage.store.close().await.unwrap();
    let half_made = |path: &PathBuf| {
        let path = path.to_string_lossy();
        path.ends_with(".tmp") || path.ends_with(".new")
    };
    let left = machine.disk.files().into_iter().find(half_made);
    assert_eq!(left, None, "{what}: half-made files are left");
}

/// The newest log file of the first shard.
///
/// # Panics
///
/// If there is none.
pub fn log_file(disk: &SimDisk) -> PathBuf {
    let is_log = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.starts_with("log/shard-00") && name.ends_with(".log") && !name.starts_with("spare")
    };
    disk.files().into_iter().rfind(is_log).unwrap()
}

/// How much of it is used: its length without the zeros at its end.
pub fn used_of_log(disk: &SimDisk) -> u64 {
    let bytes = disk.read_all(&log_file(disk)).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0);
    used.map_or(0, |last| last as u64 + 1)
}
