//! The directory of one app in memory, and short ways to change it.

use std::path::Path;
use std::sync::Arc;

use tidestore_directory::{Directory, Editor, ErrorKind, NewUser, Page, Result, Scope};
use tidestore_disk::{Disk, SimDisk};
use tidestore_kv::{Engine, EngineKind, Overlay};
use tidestore_plan::{AppId, Limits, Plan, UserId};

pub(crate) struct World {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) scope: Scope,
}

impl World {
    /// An app of the largest plan.
    pub(crate) fn with(names: &[&str], limits: Limits) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let scope = Scope {
            app: AppId(3),
            caps: Plan::Enterprise.caps(),
            limits,
            now: 1_000,
        };
        let engine = tidestore_kv::open(EngineKind::Memory, &disk, Path::new("t")).unwrap();
        let world = Self { engine, scope };
        for name in names {
            world
                .edit(|editor| editor.register(new_user(name)))
                .unwrap();
        }
        world
    }

    /// Makes one call, all of it or nothing, writes what came of it, and counts everything again.
    pub(crate) fn edit<T>(&self, call: impl FnOnce(&mut Editor<'_, '_>) -> Result<T>) -> Result<T> {
        let mut overlay = Overlay::new(&*self.engine);
        let done = overlay.attempt(|rows| call(&mut Editor::new(rows, &self.scope)));
        self.engine.write(overlay.into_batch()).unwrap();
        assert_eq!(self.problems(), [] as [&str; 0]);
        done
    }

    pub(crate) fn read(&self) -> Directory<'_, dyn Engine> {
        Directory::new(&*self.engine, self.scope.app)
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.read().recount(&mut problems).unwrap();
        problems
    }
}

pub(crate) fn id(text: &str) -> UserId {
    UserId::parse(text).unwrap()
}

pub(crate) fn ids(names: &[&str]) -> Vec<UserId> {
    names.iter().map(|name| id(name)).collect()
}

pub(crate) fn new_user(name: &str) -> NewUser {
    NewUser {
        id: id(name),
        uuid: [7; 16],
        nickname: None,
        password_hash: None,
    }
}

/// A whole list, read in pages of a size.
pub(crate) fn all<T>(mut page: impl FnMut(Option<&str>) -> Result<Page<T>>) -> Vec<T> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let found = page(cursor.as_deref()).unwrap();
        items.extend(found.items);
        cursor = found.next;
        if cursor.is_none() {
            return items;
        }
    }
}

/// Why a call was refused; the text of an argument error is left out.
pub(crate) fn refusal<T: std::fmt::Debug>(done: Result<T>) -> ErrorKind {
    match done.unwrap_err().kind() {
        ErrorKind::Argument(_) => argument(),
        kind => kind.clone(),
    }
}

pub(crate) fn argument() -> ErrorKind {
    ErrorKind::Argument(String::new())
}
