//! What the tests of the whole store share: a simulated machine to run it on, and short ways to say things.

pub mod example;
pub mod killed;
pub mod life;
pub mod world;

use std::future::Future;
use std::time::Duration;

use tidestore::disk::{Env, Millis, SimClock, SimDisk};
use tidestore::plan::{AppKey, Plan, ResourceId, Terms, UserId};
use tidestore::{
    App, Conversation, EngineKind, Message, NewMessage, OldMessage, Options, Page, Result, Store,
};

/// 2026-01-01T00:00:00Z: where simulated clocks start.
pub const START: Millis = 1_767_225_600_000;
/// Milliseconds of an hour.
pub const HOUR: Millis = 3_600_000;
/// Milliseconds of a day.
pub const DAY: Millis = 24 * HOUR;

/// A simulated machine: its disk survives crashes, its clock moves only when told.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The disk.
    pub disk: SimDisk,
    /// The clock.
    pub clock: SimClock,
    /// How the store is opened.
    pub options: Options,
    /// What its random bytes come from: another seed makes a store with another id.
    pub seed: u64,
}

impl Machine {
    /// An empty machine; a store on it does nothing by itself, so that every operation of the disk is the test's own.
    pub fn new() -> Self {
        let options = Options {
            shards: 2,
            engine: EngineKind::Memory,
            log_file_bytes: 64 << 10,
            background: false,
            ..Options::default()
        };
        Self {
            disk: SimDisk::new(),
            clock: SimClock::new(START),
            options,
            seed: 1,
        }
    }

    /// Opens the store.
    ///
    /// # Errors
    ///
    /// Those of [`Store::open_env`].
    pub async fn open(&self) -> Result<Store> {
        let env = Env::sim(self.disk.clone(), self.clock.clone(), self.seed);
        Store::open_env(env, self.options.clone()).await
    }

    /// Opens the store and creates the app `acme#chat` in it.
    pub async fn open_app(&self, plan: Plan) -> (Store, App) {
        let store = self.open().await.unwrap();
        let app = store
            .create_app(&key("acme#chat"), Terms::of(plan))
            .await
            .unwrap();
        (store, app)
    }

    /// Lets time pass, on both clocks.
    pub fn pass(&self, millis: Millis) {
        self.clock.advance(Duration::from_millis(millis));
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a test on one thread, so that the order of its operations is its own.
///
/// # Panics
///
/// If the runtime cannot be built, which fails the test.
#[expect(clippy::expect_used, reason = "fails the test")]
pub fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(test)
}

/// An app key.
///
/// # Panics
///
/// If the text is none.
#[expect(clippy::expect_used, reason = "fails the test")]
pub fn key(text: &str) -> AppKey {
    AppKey::parse(text).expect("an app key")
}

/// A user id.
///
/// # Panics
///
/// If the text is none.
#[expect(clippy::expect_used, reason = "fails the test")]
pub fn user(text: &str) -> UserId {
    UserId::parse(text).expect("a user id")
}

/// A group's conversation.
///
/// # Panics
///
/// If the text is no id.
#[expect(clippy::expect_used, reason = "fails the test")]
pub fn group(id: &str) -> Conversation {
    Conversation::group(&ResourceId::parse(id).expect("a group id"))
}

/// A text message to a group.
pub fn text(to: &str, from: &str, body: impl Into<bytes::Bytes>) -> NewMessage {
    NewMessage::text(group(to), user(from), body)
}

/// A text message to a group with a time of its own.
pub fn old(to: &str, from: &str, body: impl Into<bytes::Bytes>, time: Millis) -> OldMessage {
    OldMessage {
        message: text(to, from, body),
        time,
        occurrence: 0,
        is_pending: false,
        is_read: false,
    }
}

/// Reads a whole conversation, oldest first, page by page.
///
/// # Errors
///
/// Those of [`App::history`].
pub async fn whole(app: &App, conversation: &Conversation) -> Result<Vec<Message>> {
    let mut all: Vec<Message> = Vec::new();
    loop {
        let page = match all.last() {
            None => Page::oldest(7),
            Some(last) => Page::after(tidestore::Cursor::Id(last.id), 7),
        };
        let found = app.history(conversation, page).await?;
        if found.is_empty() {
            return Ok(all);
        }
        all.extend(found);
    }
}
