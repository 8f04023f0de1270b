//! What becomes of callers when a committer panics, which would be a bug of ours. The scheduler takes any panic for a failed
//! test, so this one runs on real threads; what is left behind is under the scheduler in `queue/schedules.rs`.

#![cfg(not(shuttle))]

use tidestore_disk::{Env, SimClock, SimDisk};
use tidestore_kv::EngineKind;
use tidestore_messages::Conversation;
use tidestore_plan::{AppKey, Plan, ResourceId, Terms, UserId};

use super::*;
use crate::store::Store;

async fn append_until_it_fails(app: crate::App) -> ErrorKind {
    let to = Conversation::group(&ResourceId::parse("tea").unwrap());
    let from = UserId::parse("ann").unwrap();
    loop {
        let message = NewMessage::text(to.clone(), from.clone(), "hello");
        if let Err(error) = app.append(message).await {
            return error.kind().clone();
        }
    }
}

#[test]
fn a_committer_that_panics_leaves_nobody_waiting() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let options = Options {
        shards: 1,
        engine: EngineKind::Memory,
        queue_depth: 2,
        ..Options::default()
    };
    runtime.block_on(async {
        let env = Env::sim(SimDisk::new(), SimClock::new(1 << 40), 1);
        let store = Store::open_env(env, options).await.unwrap();
        let key = AppKey::parse("acme#chat").unwrap();
        let app = store.create_app(&key, Terms::of(Plan::Free)).await.unwrap();
        let callers: Vec<_> = (0..8)
            .map(|_| tokio::spawn(append_until_it_fails(app.clone())))
            .collect();
        let shard = &store.inner.shards.list[0];
        let change = shard.change(|_, _| -> Result<()> { panic!("as a bug would") });
        assert_eq!(*change.await.unwrap_err().kind(), ErrorKind::Poisoned);
        for caller in callers {
            let kind = caller.await.unwrap();
            assert!(
                matches!(kind, ErrorKind::Poisoned | ErrorKind::Closed),
                "{kind:?}"
            );
        }
        assert!(shard.ask_own(Command::Sync).is_err());
        assert!(store.close().await.is_err());
    });
}
