//! All that an app holds, in one value that can be compared; and a life that fills every part of a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidestore::disk::{Disk, Env, SimDisk};
use tidestore::plan::{Plan, ResourceId, Terms};
use tidestore::{
    Account, App, BackupOptions, BackupPlace, BackupReport, BackupTarget, By, NewAttachment,
    NewChannel, RestoreReport, Result, Store,
};
use tidestore_tests::{HOUR, Machine, group, key, old, text, user, whole};

/// What an app holds, by names for people.
#[derive(Clone, Default)]
pub struct Picture(BTreeMap<String, String>);

impl Picture {
    fn insert(&mut self, name: String, value: String) {
        self.0.insert(name, value);
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Says on the way what differs: a whole picture in an assertion would say nothing to anybody.
impl PartialEq for Picture {
    fn eq(&self, other: &Self) -> bool {
        for name in self.0.keys().chain(other.0.keys()) {
            let (left, right) = (self.0.get(name), other.0.get(name));
            if left != right {
                eprintln!("{name}:\n  {left:?}\n  {right:?}");
            }
        }
        self.0 == other.0
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a picture of {} things", self.0.len())
    }
}

/// Bytes that do not compress, different for each seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// Reads everything of an app that these tests put into one.
pub async fn picture(app: &App) -> Picture {
    let mut picture = Picture::default();
    for head in app.conversations(None, 1_000).await.unwrap() {
        let conversation = head.conversation.clone();
        picture.insert(format!("head {conversation}"), format!("{head:?}"));
        for message in whole(app, &conversation).await.unwrap() {
            let name = format!("{conversation} {}", message.seq);
            picture.insert(name, format!("{message:?}"));
        }
    }
    for attachment in app.attachments(None, 1_000).await.unwrap() {
        let download = app.open_attachment(attachment.id).await.unwrap();
        let bytes = download.read_to_end().await.unwrap();
        assert_eq!(bytes.len() as u64, attachment.length);
        let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
        picture.insert(
            format!("attachment {}", attachment.id),
            format!("{attachment:?} {sum}"),
        );
    }
    for person in app.users().list(None, 50).await.unwrap().items {
        let id = &person.id;
        let attributes = app.user_attributes().get(id, None).await.unwrap();
        picture.insert(format!("user {id}"), format!("{person:?} {attributes:?}"));
        let inbox = app.inbox(id, "phone").unwrap();
        let page = inbox.page(None, 500).await.unwrap();
        let pending: Vec<_> = page.items.iter().map(|item| item.message.id).collect();
        picture.insert(format!("inbox {id}"), format!("{pending:?}"));
        let list = app.as_user(id).conversations(None, 50).await.unwrap();
        let list: Vec<_> = list
            .items
            .iter()
            .map(|item| format!("{} {}", item.conversation, item.unread))
            .collect();
        picture.insert(format!("list {id}"), format!("{list:?}"));
    }
    let mut ledger = app.ledger().await.unwrap();
    // In how many files it lies, and what of them is dead, may differ; `verify` counts that again.
    (ledger.messages.segments, ledger.messages.disk_bytes) = (0, 0);
    ledger.attachments.total.physical_bytes = 0;
    ledger.attachments.days.clear();
    picture.insert("ledger".into(), format!("{ledger:?}"));
    let info = app.info().unwrap();
    // The floor moves with the clock.
    let fixed = (info.key, info.id, info.terms, info.created, info.undo);
    picture.insert("info".into(), format!("{fixed:?}"));
    picture
}

/// Two users in a group, with messages in segments and in the log, attachments small and large, attributes, cursors.
pub async fn live(store: &Store, app: &App, seed: u64) {
    let names = ["ann", "bob"];
    let accounts = names.map(|name| Account::new(user(name)));
    for registered in app.users().register_many(accounts.to_vec()).await.unwrap() {
        registered.unwrap();
    }
    let mut tea = NewChannel::new(ResourceId::parse("tea").unwrap(), user("ann"));
    tea.members = vec![user("bob")];
    app.groups().create(tea).await.unwrap();
    let now = app.info().unwrap().created;
    let lines = (0..8).map(|n| old("old", "ann", format!("old {n}"), now - 5 * HOUR + n));
    for receipt in app.import(lines.collect()).await {
        receipt.unwrap();
    }
    let small = put(app, seed, 3_000).await;
    let large = put(app, seed + 1, 300_000).await;
    let mut with = text("tea", "ann", noise(seed + 2, 80));
    with.attachments = vec![small, large];
    app.append(with).await.unwrap();
    for n in 0..10 {
        change(app, seed + 100 + n).await;
    }
    store.flush().await.unwrap();
    for n in 0..5 {
        change(app, seed + 200 + n).await;
    }
    let inbox = app.inbox(&user("bob"), "phone").unwrap();
    let page = inbox.page(None, 3).await.unwrap();
    inbox.acknowledge(&page.cursor).await.unwrap();
}

/// A little of everything.
pub async fn change(app: &App, seed: u64) {
    for conversation in ["tea", "walks", "soup"] {
        let mut message = text(conversation, "ann", noise(seed, 60));
        message.client_id = format!("{conversation} {seed}").into();
        app.append(message).await.unwrap();
    }
    let pairs = [(format!("mood{}", seed % 5), format!("m{seed}"))];
    app.user_attributes()
        .set(&user("bob"), pairs)
        .await
        .unwrap();
    let gone = put(app, seed * 7 + 1, 2_000).await;
    put(app, seed * 7 + 2, 2_000).await;
    app.delete_attachment(gone).await.unwrap();
}

pub async fn put(app: &App, seed: u64, len: usize) -> tidestore::plan::AttachmentId {
    let new = NewAttachment::new(user("ann"), format!("{seed}"));
    app.put_attachment(new, &noise(seed, len)[..])
        .await
        .unwrap()
        .id
}

/// Takes a message back.
pub async fn recall_first(app: &App, conversation: &str) {
    let first = whole(app, &group(conversation)).await.unwrap().remove(0);
    app.recall(first.id, &By::Server(user("ann")))
        .await
        .unwrap();
}

/// A machine with one full app, and its store.
pub async fn full_machine() -> (Machine, Store, App) {
    let machine = Machine::new();
    let store = machine.open().await.unwrap();
    let app = store
        .create_app(&key("acme#chat"), Terms::of(Plan::Pro))
        .await
        .unwrap();
    live(&store, &app, 1_000).await;
    (machine, store, app)
}

pub fn place(disk: &SimDisk, path: &str) -> BackupPlace {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    BackupPlace::on(disk, path)
}

/// Backs up into a directory of a disk.
pub async fn back_up(
    store: &Store,
    disk: &SimDisk,
    path: &str,
    options: BackupOptions,
) -> Result<BackupReport> {
    store
        .backup(BackupTarget::directory_on(place(disk, path)), options)
        .await
}

/// A machine of its own with the same clock.
pub fn beside(machine: &Machine) -> Machine {
    Machine {
        disk: SimDisk::new(),
        ..machine.clone()
    }
}

/// Restores onto a machine.
pub async fn restore(machine: &Machine, source: BackupPlace) -> Result<RestoreReport> {
    let env = Env::sim(machine.disk.clone(), machine.clock.clone(), 2);
    Store::restore_env(source, env, machine.options.clone()).await
}

/// Restores onto an empty machine and reads everything of an app.
pub async fn restored_picture(machine: &Machine, source: BackupPlace, app: &str) -> Picture {
    let target = beside(machine);
    restore(&target, source).await.unwrap();
    let store = target.open().await.unwrap();
    let picture = picture(&store.app(&key(app)).unwrap()).await;
    store.close().await.unwrap();
    picture
}
