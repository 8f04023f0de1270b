//! Tidestore, with its default options but for what the load names.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tidestore::plan::{AppKey, Caps, Plan, ResourceId, Retention, Terms, UserId};
use tidestore::{
    Account, App, Conversation, Cursor, Durability, NewChannel, NewMessage, OldMessage, Options,
    Page as TidePage, Seq, Store,
};
use tokio::runtime::Runtime;

use super::{Mode, Names};
use crate::chat::{DAY, Message};
use crate::peer::{Page, Peer, each};

pub struct Tide {
    runtime: Runtime,
    store: Store,
    app: App,
    mode: Mode,
    conversations: Vec<Conversation>,
    users: Vec<UserId>,
    cursors: Mutex<Vec<(UserId, String)>>,
}

fn storm_user(n: u32) -> UserId {
    UserId::parse(&format!("member-{n}")).unwrap()
}

impl Tide {
    pub fn open(dir: &Path, mode: Mode, names: &Names) -> Self {
        let runtime = crate::runtime();
        let options = Options {
            durability: if mode.durable {
                Durability::Synced
            } else {
                Durability::Buffered
            },
            memtable_bytes: mode.memtable,
            // Reads happen where they are asked for, as with the others.
            reads_in_place: true,
            // Whoever restores an old directory waits for nobody's word here.
            clock_gap_max: std::time::Duration::from_hours(24 * 365),
            ..Options::default()
        };
        let key = AppKey::parse("bench#chat").unwrap();
        let caps = Caps {
            users: None,
            group_members: None,
            ..Plan::Enterprise.caps()
        };
        let retention = Retention::days(mode.keeps_days).unwrap();
        let terms = Terms::enterprise(caps).with_retention(retention).unwrap();
        let (store, app) = runtime.block_on(async {
            let store = Store::open(dir, options).await.unwrap();
            let app = match store.app(&key) {
                Ok(app) => app,
                Err(_) => store.create_app(&key, terms).await.unwrap(),
            };
            (store, app)
        });
        let conversation = |name: &String| Conversation::parse(name).unwrap();
        let user = |name: &String| UserId::parse(name).unwrap();
        Self {
            runtime,
            store,
            app,
            mode,
            conversations: names.conversations.iter().map(conversation).collect(),
            users: names.users.iter().map(user).collect(),
            cursors: Mutex::default(),
        }
    }

    fn message(&self, message: &Message) -> NewMessage {
        NewMessage::text(
            self.conversations[message.conversation as usize].clone(),
            self.users[message.sender as usize].clone(),
            message.body.clone(),
        )
    }

    async fn found_group(&self, group: &ResourceId, members: u32) {
        if self.app.groups().get(group).await.is_ok() {
            return;
        }
        let all: Vec<_> = (0..members).map(storm_user).collect();
        for some in all.chunks(60) {
            let accounts = some.iter().cloned().map(Account::new).collect();
            self.app.users().register_many(accounts).await.unwrap();
        }
        let new = NewChannel {
            max_users: Some(1_000_000),
            ..NewChannel::new(group.clone(), all[0].clone())
        };
        self.app.groups().create(new).await.unwrap();
        for some in all[1..].chunks(60) {
            let group = self.app.groups().members(group);
            group.add_many(some).await.unwrap();
        }
        // Members' devices are known before; the first look of a device is a durable change.
        for some in all.chunks(256) {
            let mut tasks = tokio::task::JoinSet::new();
            for user in some.iter().cloned() {
                let app = self.app.clone();
                tasks.spawn(async move {
                    let inbox = app.inbox(&user, "phone").unwrap();
                    inbox.page(None, 1).await.unwrap();
                });
            }
            tasks.join_all().await;
        }
    }
}

impl Peer for Tide {
    fn write(&self, batch: &[Message], _: bool) {
        let receipts = self.runtime.block_on(async {
            if self.mode.history {
                let old = |m| OldMessage::new(self.message(m), m.time());
                let old = batch.iter().map(|m: &Message| old(m)).collect();
                self.app.import(old).await
            } else {
                let new = batch.iter().map(|m| self.message(m)).collect();
                self.app.append_many(new).await
            }
        });
        receipts
            .into_iter()
            .for_each(|receipt| assert!(receipt.is_ok(), "{receipt:?}"));
    }

    fn sync(&self) {
        self.runtime.block_on(self.store.sync()).unwrap();
    }

    fn page(&self, conversation: u32, before: Option<u64>, limit: usize) -> Page {
        let page = match before {
            Some(seq) => TidePage::before(Cursor::Seq(Seq(seq)), limit),
            None => TidePage::newest(limit),
        };
        let conversation = &self.conversations[conversation as usize];
        let found = self.runtime.block_on(self.app.history(conversation, page));
        let found = found.unwrap();
        let bytes = found.iter().map(|m| crate::layout::looked_at(&m.body));
        let next = found.last().map(|message| message.seq.0);
        Page {
            count: found.len(),
            bytes: bytes.sum(),
            next: next.filter(|_| found.len() == limit),
        }
    }

    fn expire(&self, _: u32, before: u64) {
        // The moment at which what is older than this has to be gone.
        let now = (before >> 22) + u64::from(self.mode.keeps_days) * DAY;
        self.runtime.block_on(self.store.expire_at(now)).unwrap();
    }

    fn fan_out(&self, batch: &[Message], members: u32) {
        let group = ResourceId::parse("storm").unwrap();
        let place = Conversation::group(&group);
        self.runtime.block_on(async {
            self.found_group(&group, members).await;
            for message in batch {
                let new = NewMessage::text(place.clone(), storm_user(0), message.body.clone());
                self.app.append(new).await.unwrap();
            }
        });
    }

    fn drain(&self, member: u32) -> (usize, u64) {
        let user = storm_user(member);
        let inbox = self.app.inbox(&user, "phone").unwrap();
        let page = self.runtime.block_on(inbox.page(None, 1_000)).unwrap();
        assert!(!page.more);
        let count = page.items.len();
        // A cursor is a text; it is kept here, and its place handed out.
        let mut cursors = self.cursors.lock().unwrap();
        cursors.push((user, page.cursor));
        (count, cursors.len() as u64 - 1)
    }

    fn acknowledge(&self, cursors: &[(u32, u64)]) {
        self.runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for (_, place) in cursors {
                let index = usize::try_from(*place).unwrap();
                let (user, cursor) = self.cursors.lock().unwrap()[index].clone();
                let app = self.app.clone();
                tasks.spawn(async move {
                    let inbox = app.inbox(&user, "phone").unwrap();
                    inbox.acknowledge(&cursor).await.unwrap();
                });
            }
            tasks.join_all().await;
        });
    }

    fn groups_itself(&self) -> bool {
        true
    }

    fn settle(&self) {
        self.runtime.block_on(async {
            self.store.flush().await.unwrap();
            self.store.merge().await.unwrap();
        });
    }

    fn append_each(self: Arc<Self>, writers: usize, messages: Vec<Message>) -> Vec<u32> {
        each(writers, messages, move |message| {
            let (app, new) = (self.app.clone(), self.message(&message));
            async move {
                app.append(new).await.unwrap();
            }
        })
    }
}

impl Drop for Tide {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.store.close());
    }
}
