//! An app on tables in memory, and changes of it.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use tidestore_directory::{
    Directory, Editor, Effect, ErrorKind, NewUser, Page, Password, PasswordCost, Result, Scope,
};
use tidestore_disk::{Disk, SimDisk};
use tidestore_kv::{Engine, EngineKind, Overlay};
use tidestore_plan::{AppId, Limits, Plan, UserId};

/// Two password hashes, cheap to make.
pub(crate) static HASHES: LazyLock<[String; 2]> = LazyLock::new(|| {
    let cost = PasswordCost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    [[1; 16], [2; 16]]
        .map(|salt| Password::hash_with(&Limits::default(), cost, "tea", salt).unwrap())
});

pub(crate) fn id(text: &str) -> UserId {
    UserId::parse(text).unwrap()
}

pub(crate) fn new_user(name: &str) -> NewUser {
    NewUser {
        id: id(name),
        uuid: [7; 16],
        nickname: None,
        password_hash: None,
    }
}

/// Makes one call of an editor, all of it or nothing.
pub(crate) fn change<T>(
    overlay: &mut Overlay<'_>,
    scope: &Scope,
    call: impl FnOnce(&mut Editor<'_, '_>) -> Result<T>,
) -> Result<(T, Vec<Effect>)> {
    overlay.attempt(|rows| {
        let mut editor = Editor::new(rows, scope);
        let done = call(&mut editor)?;
        Ok((done, editor.into_effects()))
    })
}

pub(crate) struct World {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) scope: Scope,
}

impl World {
    /// An empty app of the largest plan.
    pub(crate) fn new() -> Self {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let scope = Scope {
            app: AppId(3),
            caps: Plan::Enterprise.caps(),
            limits: Limits::default(),
            now: 1_000,
        };
        Self {
            engine: tidestore_kv::open(EngineKind::Memory, &disk, Path::new("t")).unwrap(),
            scope,
        }
    }

    pub(crate) fn with(names: &[&str]) -> Self {
        let world = Self::new();
        for name in names {
            world
                .change(|editor| editor.register(new_user(name)))
                .unwrap();
        }
        world
    }

    /// Makes one call and writes what came of it.
    pub(crate) fn change<T>(
        &self,
        call: impl FnOnce(&mut Editor<'_, '_>) -> Result<T>,
    ) -> Result<T> {
        self.change_with_effects(call).map(|(done, _)| done)
    }

    pub(crate) fn change_with_effects<T>(
        &self,
        call: impl FnOnce(&mut Editor<'_, '_>) -> Result<T>,
    ) -> Result<(T, Vec<Effect>)> {
        let mut overlay = Overlay::new(&*self.engine);
        let done = change(&mut overlay, &self.scope, call);
        self.engine.write(overlay.into_batch()).unwrap();
        done
    }

    pub(crate) fn read(&self) -> Directory<'_, dyn Engine> {
        Directory::new(&*self.engine, self.scope.app)
    }

    /// The recount finds nothing.
    pub(crate) fn assert_sound(&self) {
        assert_eq!(self.problems(), Vec::<String>::new());
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.read().recount_users(&mut problems).unwrap();
        problems
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
        ErrorKind::Argument(_) => ErrorKind::Argument(String::new()),
        kind => kind.clone(),
    }
}

pub(crate) fn argument() -> ErrorKind {
    ErrorKind::Argument(String::new())
}
