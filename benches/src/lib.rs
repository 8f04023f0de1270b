//! What the benches share: a store on the real disk, filled with generated chat.

pub mod attachments;

use std::future::Future;

use tempfile::TempDir;
use tidestore::plan::{AppKey, Plan, Terms, UserId};
use tidestore::{App, Conversation, NewMessage, Options, Store};
use tidestore_workload::{Workload, WorkloadOptions};

/// A store in a directory of its own, on the disk that holds the build (never a memory filesystem).
pub struct Bench {
    /// The runtime that a server would have.
    pub runtime: tokio::runtime::Runtime,
    /// The directory; goes when the bench ends.
    pub dir: TempDir,
    /// The open store.
    pub store: Option<Store>,
}

impl Bench {
    /// Opens an empty store with one app on the Pro plan.
    pub fn new(options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let dir = tempfile::Builder::new()
            .prefix("tidestore-bench-")
            .tempdir_in(target())
            .unwrap();
        let store = runtime.block_on(async {
            let store = Store::open(dir.path().join("data"), options).await.unwrap();
            store
                .create_app(&key(), Terms::of(Plan::Pro))
                .await
                .unwrap();
            store
        });
        Self {
            runtime,
            dir,
            store: Some(store),
        }
    }

    /// The app.
    pub fn app(&self) -> App {
        self.store.as_ref().unwrap().app(&key()).unwrap()
    }

    /// Runs a future on the runtime.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Lets go of the store without closing it, as a crash would, and opens it again.
    pub fn reopen(&mut self, options: Options) {
        drop(self.store.take());
        let data = self.dir.path().join("data");
        self.store = Some(self.runtime.block_on(Store::open(data, options)).unwrap());
    }

    /// Appends generated chat, durably, in batches.
    pub fn fill(&self, messages: usize) {
        let app = self.app();
        let chat: Vec<_> = chat(messages).collect();
        self.run(async {
            for batch in chat.chunks(1_000) {
                for receipt in app.append_many(batch.to_vec()).await {
                    receipt.unwrap();
                }
            }
        });
    }
}

/// The directory of the running binary: below `target/`, so on a disk and not in memory.
fn target() -> std::path::PathBuf {
    let binary = std::env::current_exe().unwrap();
    binary.parent().unwrap().to_owned()
}

/// The key of the benches' app.
pub fn key() -> AppKey {
    AppKey::parse("bench#chat").unwrap()
}

/// Generated chat, always the same.
pub fn chat(messages: usize) -> impl Iterator<Item = NewMessage> {
    let workload = Workload::new(WorkloadOptions {
        seed: 7,
        ..WorkloadOptions::default()
    });
    workload.take(messages).map(|line| {
        let conversation = Conversation::parse(&line.conversation).unwrap();
        NewMessage::text(
            conversation,
            UserId::parse(&line.sender).unwrap(),
            line.body,
        )
    })
}
