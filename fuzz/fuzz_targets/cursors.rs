//! Cursors and pages of lists, as clients hand them in: arbitrary texts, and arbitrary places behind right checksums. Every
//! answer is a page or says that the cursor is none of this list; nobody is told that the store is damaged.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidestore::disk::{Env, SimClock, SimDisk};
use tidestore::plan::{AppKey, Plan, ResourceId, Terms, UserId};
use tidestore::{
    Account, App, Conversation, DirectoryErrorKind, EngineKind, Error, ErrorKind, MessageId,
    NewChannel, NewMessage, Options, Store, encode_cursor,
};
use tokio::runtime::Runtime;

struct World {
    runtime: Runtime,
    _store: Store,
    app: App,
    ann: UserId,
    tea: ResourceId,
    message: MessageId,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(build()).into_world(runtime)
});

struct Built(Store, App, MessageId);

impl Built {
    fn into_world(self, runtime: Runtime) -> World {
        let Self(store, app, message) = self;
        World { runtime, _store: store, app, ann: user("ann"), tea: tea(), message }
    }
}

fn user(text: &str) -> UserId {
    UserId::parse(text).expect("a user id")
}

fn tea() -> ResourceId {
    ResourceId::parse("tea").expect("a group id")
}

async fn build() -> Built {
    let options =
        Options { engine: EngineKind::Memory, background: false, shards: 2, ..Options::default() };
    let env = Env::sim(SimDisk::new(), SimClock::new(1_767_225_600_000), 1);
    let store = Store::open_env(env, options).await.expect("a store");
    let key = AppKey::parse("acme#chat").expect("an app key");
    let app = store.create_app(&key, Terms::of(Plan::Pro)).await.expect("an app");
    for name in ["ann", "bob", "cid"] {
        app.users().register(Account::new(user(name))).await.expect("a user");
    }
    app.groups().create(NewChannel::new(tea(), user("ann"))).await.expect("a group");
    for name in ["bob", "cid"] {
        app.groups().members(&tea()).add(&user(name)).await.expect("a member");
        app.contacts(&user("ann")).add(&user(name)).await.expect("a contact");
        let chat = Conversation::direct(&user("ann"), &user(name));
        app.send(NewMessage::text(chat, user(name), "hi")).await.expect("a message");
    }
    let to = Conversation::group(&tea());
    let sent = app.send(NewMessage::text(to, user("bob"), "tea?")).await.expect("a message");
    for name in ["ann", "bob"] {
        app.react(sent.id, &user(name), "yes").await.expect("a reaction");
    }
    app.inbox(&user("ann"), "phone").expect("a device").page(None, 10).await.expect("a page");
    Built(store, app, sent.id)
}

fuzz_target!(|bytes: &[u8]| {
    let [list, kind, place @ ..] = bytes else { return };
    let world = &*WORLD;
    let text = world.text(list % 8, *kind, place);
    match world.runtime.block_on(world.page(list % 8, &text)) {
        Ok(()) => {}
        Err(error) => {
            let is_refused = match error.kind() {
                ErrorKind::Cursor => true,
                ErrorKind::Directory(kind) => matches!(kind, DirectoryErrorKind::Cursor),
                _ => false,
            };
            assert!(is_refused, "list {list}: {text:?} is answered {error:?}");
        }
    }
});

impl World {
    /// A cursor for a list: the bytes as text, or as the place in one that has the right checksum.
    fn text(&self, list: u8, kind: u8, place: &[u8]) -> String {
        if kind & 1 == 0 {
            return String::from_utf8_lossy(place).into_owned();
        }
        let (app, ann) = (self.app.key().as_str(), self.ann.as_str());
        let number = self.app.id().0.to_be_bytes();
        let directory = |table, rest: &[u8]| {
            let prefix = [&number, rest].concat();
            of_directory(table, kind & 2 != 0, &prefix, place)
        };
        match list {
            0 => encode_cursor(&["inbox", app, ann], place),
            1 => encode_cursor(&["conversations", app, ann], place),
            2 => encode_cursor(&["reactors", app, &self.message.to_string(), "yes"], place),
            3 => directory(22, b""),
            4 => directory(29, b"\x01"),
            5 => directory(30, b"\x01tea\0"),
            6 => directory(23, b"ann\0"),
            _ => directory(31, b"\x01ann\0"),
        }
    }

    async fn page(&self, list: u8, text: &str) -> Result<(), Error> {
        let (app, ann, behind) = (&self.app, &self.ann, Some(text));
        match list {
            0 => drop(app.inbox(ann, "phone")?.page(behind, 10).await?),
            1 => drop(app.as_user(ann).conversations(behind, 10).await?),
            2 => drop(app.reactors(self.message, "yes", behind, 10).await?),
            3 => drop(app.users().list(behind, 10).await?),
            4 => drop(app.groups().list(behind, 10).await?),
            5 => drop(app.groups().members(&self.tea).list(behind, 10).await?),
            6 => drop(app.contacts(ann).list(behind, 10).await?),
            _ => drop(app.groups().joined(ann, behind, 10).await?),
        }
        Ok(())
    }
}

/// A cursor of one of the directory's lists, as its module describes it.
fn of_directory(table: u8, newest_first: bool, prefix: &[u8], rest: &[u8]) -> String {
    let head = [1, table, newest_first.into()];
    let mut sum = crc32fast::Hasher::new();
    sum.update(&head);
    sum.update(&(prefix.len() as u64).to_le_bytes());
    sum.update(prefix);
    sum.update(rest);
    let bytes = [&head[..], &sum.finalize().to_le_bytes(), rest].concat();
    data_encoding::BASE64URL_NOPAD.encode(&bytes)
}
