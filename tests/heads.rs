//! The head table under crashes: where conversations stand reaches the tables a few at a time.

use tidestore::disk::Survival;
use tidestore::plan::Plan;
use tidestore::{Conversation, EngineKind, NewMessage, Seq};
use tidestore_tests::{Machine, key, run, user};

/// Very many conversations change before a flush, so that their heads go to the tables in many small batches, between which
/// messages arrive. Wherever the power goes, each conversation goes on with its next number.
#[test]
fn heads_that_are_written_few_at_a_time_survive_a_cut_anywhere() {
    let whole = flush_many(&many_conversations(), None);
    for k in (1..=whole).step_by(usize::try_from(whole / 12).unwrap().max(1)) {
        let machine = many_conversations();
        flush_many(&machine, Some(k));
        for survival in [Survival::NONE, Survival::ALL] {
            let mut after = machine.clone();
            after.disk = machine.disk.crash(k, survival);
            run(async {
                let store = after.open().await.unwrap();
                let app = store.app(&key("acme#chat")).unwrap();
                for n in (0..CONVERSATIONS).step_by(7) {
                    let receipt = app.append(hello(n)).await.unwrap();
                    assert_eq!(receipt.seq, Seq(2), "cut at {k}, {survival:?}, user {n}");
                }
                store.close().await.unwrap();
            });
        }
    }
}

const CONVERSATIONS: usize = 2_500;

fn hello(n: usize) -> NewMessage {
    let (to, from) = (user(&format!("user-{n}")), user("host"));
    NewMessage::text(Conversation::direct(&from, &to), from, "hello")
}

fn many_conversations() -> Machine {
    let mut machine = Machine::new();
    machine.options.engine = EngineKind::Redb;
    machine.options.shards = 1;
    machine
}

/// Appends to all and flushes, with the power cut at an operation of the flush; answers how many those are.
fn flush_many(machine: &Machine, cut: Option<u64>) -> u64 {
    run(async {
        let (store, app) = machine.open_app(Plan::Pro).await;
        for receipt in app
            .append_many((0..CONVERSATIONS).map(hello).collect())
            .await
        {
            receipt.unwrap();
        }
        let before = machine.disk.operations();
        if let Some(k) = cut {
            machine.disk.crash_at(k);
        }
        drop(store.flush().await);
        let after = machine.disk.operations();
        drop(store.close().await);
        after - before
    })
}
