//! Two devices follow 100,000 messages, one of them slowly, while the process with the store in it is killed again and
//! again: neither misses one, and what comes twice was not acknowledged.
//!
//! The test starts itself as the process to be killed, on the real disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tidestore::plan::{Plan, Terms, UserId};
use tidestore::{App, Conversation, Event, NewMessage, Options, Store};
use tidestore_tests::killed::{self, say};
use tidestore_tests::{key, user};

const CHILD: &str = "TIDESTORE_TEST_DELIVERY_DIR";
const CHATS: usize = 4;
const EACH: u64 = 25_000;
const BATCH: u64 = 125;
const DEVICES: [&str; 2] = ["quick", "slow"];

async fn open(dir: &Path) -> (Store, App) {
    let options = Options {
        // Small, so that messages are read from memory, from segments, and while they become such.
        memtable_bytes: 2 << 20,
        ..Options::default()
    };
    let store = Store::open(dir, options).await.unwrap();
    let app = match store.app(&key("acme#chat")) {
        Ok(app) => app,
        Err(_) => store
            .create_app(&key("acme#chat"), Terms::of(Plan::Pro))
            .await
            .unwrap(),
    };
    (store, app)
}

fn friend(chat: usize) -> UserId {
    user(&format!("friend{chat}"))
}

fn chat(number: usize) -> Conversation {
    Conversation::direct(&user("ann"), &friend(number))
}

/// Sends what is not there yet, batch by batch.
async fn write(app: App, number: usize) {
    let mut sent = app.head(&chat(number)).await.unwrap().last_seq.0;
    // What a killed one could not say any more.
    say(&format!("sent {number} {sent}"));
    while sent < EACH {
        let batch = (0..BATCH.min(EACH - sent))
            .map(|_| NewMessage::text(chat(number), friend(number), "hello"))
            .collect();
        for receipt in app.append_many(batch).await {
            sent = sent.max(receipt.unwrap().seq.0);
        }
        say(&format!("sent {number} {sent}"));
    }
}

/// Follows the inbox for ever and says what comes.
async fn follow(app: App, device: &'static str) {
    let ann = user("ann");
    let inbox = app.inbox(&ann, device).unwrap();
    let mut stream = inbox.subscribe().await.unwrap();
    say(&format!("begin {device}"));
    for n in 1_u64.. {
        let Event::Message(pending) = stream.next().await.unwrap() else {
            continue;
        };
        let with = pending.conversation.as_str();
        let number = with.strip_prefix("direct:ann,friend").unwrap();
        say(&format!("got {device} {number} {}", pending.message.seq));
        if n.is_multiple_of(500) {
            stream.acknowledge().await.unwrap();
            say(&format!("acknowledged {device}"));
        }
        if device == "slow" && n.is_multiple_of(1_000) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What a device has got of each conversation, and acknowledged for certain.
#[derive(Debug, Default)]
struct Device {
    got: [u64; CHATS],
    acknowledged: [u64; CHATS],
    total: u64,
}

impl Device {
    fn hear(&mut self, words: &[&str], fresh: &mut [bool; CHATS]) {
        match words {
            ["got", _, number, seq] => {
                let number: usize = number.parse().unwrap();
                let seq: u64 = seq.parse().unwrap();
                if std::mem::take(&mut fresh[number]) {
                    // After a kill: from somewhere behind what was acknowledged, never behind what was not got.
                    assert!(
                        seq > self.acknowledged[number],
                        "came again though acknowledged"
                    );
                    assert!(seq <= self.got[number] + 1, "a gap after a restart");
                } else {
                    assert_eq!(seq, self.got[number] + 1, "a gap or a duplicate");
                }
                self.got[number] = seq;
                self.total += 1;
            }
            ["acknowledged", _] => self.acknowledged = self.got,
            _ => {}
        }
    }
}

#[test]
fn two_devices_and_a_killed_store_miss_nothing() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (_store, app) = open(Path::new(&dir)).await;
            let writers = (0..CHATS).map(|number| tokio::spawn(write(app.clone(), number)));
            let writers: Vec<_> = writers.collect();
            let followers = DEVICES.map(|device| tokio::spawn(follow(app.clone(), device)));
            for writer in writers {
                writer.await.unwrap();
            }
            say("all sent");
            for follower in followers {
                follower.await.unwrap();
            }
        });
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let mut devices: BTreeMap<&str, Device> = DEVICES.map(|d| (d, Device::default())).into();
    let (mut sent, mut kills) = ([0_u64; CHATS], 0);
    while sent.iter().any(|sent| *sent < EACH) || kills < 6 {
        kills += 1;
        let moment = Duration::from_millis(15 + 25 * (kills % 5));
        let name = "two_devices_and_a_killed_store_miss_nothing";
        let is_word = |line: &str| line.starts_with("sent") || line == "all sent";
        let task = dir.to_str().unwrap();
        let said = killed::run_and_kill(name, CHILD, task, is_word, moment);
        let mut fresh = BTreeMap::from(DEVICES.map(|device| (device, [true; CHATS])));
        for line in &said {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["sent", number, seq] => {
                    sent[number.parse::<usize>().unwrap()] = seq.parse().unwrap();
                }
                [_, device, ..] => {
                    if let Some(device) = DEVICES.iter().find(|known| *known == device) {
                        let fresh = fresh.get_mut(device).unwrap();
                        devices.get_mut(device).unwrap().hear(&words, fresh);
                    }
                }
                _ => {}
            }
        }
        assert!(kills < 60, "it does not get on: {sent:?}");
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (store, app) = open(&dir).await;
        for (name, device) in &mut devices {
            let ann = user("ann");
            let inbox = app.inbox(&ann, name).unwrap();
            let mut fresh = [true; CHATS];
            let mut behind = None;
            loop {
                let page = inbox.page(behind.as_deref(), 1_000).await.unwrap();
                for item in &page.items {
                    let number = &item.conversation.as_str()["direct:ann,friend".len()..];
                    let seq = item.message.seq.to_string();
                    device.hear(&["got", name, number, &seq], &mut fresh);
                }
                behind = Some(page.cursor);
                if !page.more {
                    break;
                }
            }
            assert_eq!(device.got, [EACH; CHATS], "{name}");
            println!("{name}: {} handed out in {kills} lives", device.total);
        }
        assert_eq!(store.verify().await.unwrap().problems, []);
        store.close().await.unwrap();
    });
}
