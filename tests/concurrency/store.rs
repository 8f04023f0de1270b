//! The whole store under a scheduler: its committer, its clerk, its threads in the background, callers, readers and expiry,
//! on a simulated disk and clock. Each lock, each atomic and each operation of the disk is a point where another thread
//! may go on. See `tests/concurrency/README.md`.

#![cfg(shuttle)]

use std::sync::Arc;

use shuttle::future::block_on;
use tidestore::disk::Survival;
use tidestore::plan::Plan;
use tidestore::{App, ErrorKind, Message, NewAttachment, Page, Store};
use tidestore_disk::sync::{explore, thread};
use tidestore_tests::{DAY, HOUR, Machine, group, key, old, text, user};

/// A small store: one shard, and nearly every read opens a file.
fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.options.shards = 1;
    machine.options.log_file_bytes = 16 << 10;
    machine.options.queue_depth = 2;
    machine.options.open_files = 1;
    machine.options.cache_bytes = 0;
    machine
}

struct World {
    machine: Machine,
    store: Store,
    app: App,
}

impl World {
    fn open(machine: Machine) -> Arc<Self> {
        let (store, app) = block_on(machine.open_app(Plan::Free));
        Arc::new(Self {
            machine,
            store,
            app,
        })
    }

    fn thread<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let world = Arc::clone(self);
        thread::spawn("test".to_owned(), move || work(&world)).unwrap()
    }

    /// Appends messages one after the other, as long as the store takes them; says which it acknowledged.
    fn sender(
        self: &Arc<Self>,
        name: &'static str,
        count: usize,
    ) -> thread::JoinHandle<Vec<String>> {
        self.thread(move |world| {
            let mut acknowledged = Vec::new();
            for n in 0..count {
                let body = format!("{name} {n} {}", "x".repeat(300));
                match block_on(world.app.append(text("tea", name, body.clone()))) {
                    Ok(_) => acknowledged.push(body),
                    Err(error) => {
                        assert_eq!(*error.kind(), ErrorKind::Closed, "{error}");
                        break;
                    }
                }
            }
            acknowledged
        })
    }

    fn read(&self) -> Vec<Message> {
        block_on(self.app.history(&group("tea"), Page::newest(100)))
            .expect("a reader never sees an error")
    }
}

/// The numbers of a page of everything, newest first: without a hole and without one twice.
fn check_numbers(page: &[Message]) {
    for pair in page.windows(2) {
        assert_eq!(pair[0].seq.0, pair[1].seq.0 + 1, "a hole, or one twice");
    }
}

/// Opens what is left after a power cut in which nothing unsynced survives, and finds all that was acknowledged.
fn check_after_a_power_cut(world: &World, acknowledged: &[String]) {
    let mut machine = world.machine.clone();
    machine.disk = world.machine.disk.crash(1, Survival::NONE);
    machine.options.background = false;
    let store = block_on(machine.open()).unwrap();
    let app = store.app(&key("acme#chat")).unwrap();
    let page = block_on(app.history(&group("tea"), Page::newest(100))).unwrap();
    check_numbers(&page);
    let found: Vec<_> = page.iter().map(|message| message.body.clone()).collect();
    for body in acknowledged {
        let times = found.iter().filter(|found| *found == body.as_bytes());
        assert_eq!(times.count(), 1, "{body}");
    }
    block_on(store.close()).unwrap();
}

/// The life of a command from the caller to the answer, against flushes, merges and readers.
#[test]
fn what_is_acknowledged_is_read_and_survives_while_memtables_are_flushed_and_merged() {
    explore(2_000, || {
        let world = World::open(machine());
        let senders = [world.sender("ann", 2), world.sender("bob", 2)];
        let flusher = world.thread(|world| {
            block_on(world.store.flush()).unwrap();
            block_on(world.store.flush()).unwrap();
            block_on(world.store.merge()).unwrap();
        });
        let reader = world.thread(|world| {
            let mut seen = 0;
            for _ in 0..4 {
                let page = world.read();
                check_numbers(&page);
                assert!(page.len() >= seen, "a message is gone again");
                seen = page.len();
            }
        });
        let acknowledged: Vec<_> = senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect();
        assert_eq!(acknowledged.len(), 4);
        check_after_a_power_cut(&world, &acknowledged);
        flusher.join().unwrap();
        reader.join().unwrap();
        assert_eq!(world.read().len(), 4);
        block_on(world.store.close()).unwrap();
    });
}

/// A memtable is full after a few messages, so callers are held back until the store's own thread has flushed; and the store
/// is closed meanwhile. Nobody waits for ever, and nobody hears of success in vain.
#[test]
fn closing_while_callers_are_held_back_answers_everybody() {
    explore(1_500, || {
        let mut machine = machine();
        machine.options.background = true;
        machine.options.memtable_bytes = 4 << 10;
        let world = World::open(machine);
        let senders = ["ann", "bob", "cem"].map(|name| world.sender(name, 4));
        block_on(world.store.close()).unwrap();
        let acknowledged: Vec<_> = senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect();
        check_after_a_power_cut(&world, &acknowledged);
    });
}

/// Puts a conversation of two days on the disk, of which one is about to expire.
fn two_days(world: &World) {
    let start = tidestore_tests::START;
    for (n, time) in [start, start + HOUR, start + 30 * HOUR]
        .into_iter()
        .enumerate()
    {
        world.machine.pass(if n == 2 { 30 * HOUR } else { 0 });
        for half in 0..2 {
            let body = format!("message {n} {half}");
            let message = old("tea", "ann", body, time + half);
            for receipt in block_on(world.app.import(vec![message])) {
                receipt.unwrap();
            }
            block_on(world.store.flush()).unwrap();
        }
    }
    assert_eq!(world.read().len(), 6);
}

/// Row 20, through the whole store, also when the disk is full and expiry has to make its own room.
#[test]
fn readers_find_messages_whole_or_expired_while_the_store_expires_and_merges() {
    for full in [false, true] {
        explore(800, move || {
            let world = World::open(machine());
            two_days(&world);
            let reader = world.thread(|world| {
                for _ in 0..4 {
                    let page = world.read();
                    check_numbers(&page);
                    assert!(page.len() >= 2, "only what expires may be missing");
                }
            });
            let finder = world.thread(|world| {
                for message in world.read() {
                    let found = block_on(world.app.message(message.id)).unwrap();
                    assert!(found.is_none_or(|(_, found)| found.body == message.body));
                }
                block_on(world.app.usage()).unwrap();
            });
            let expiry = world.thread(move |world| {
                if full {
                    world.machine.disk.set_space(Some(0));
                } else {
                    block_on(world.store.merge()).unwrap();
                }
                // The first day is over for a plan of three days.
                world.machine.pass(2 * DAY);
                world.store.confirm_clock();
                drop(block_on(world.store.expire()));
            });
            for thread in [reader, finder, expiry] {
                thread.join().unwrap();
            }
            world.machine.disk.set_space(None);
            block_on(world.store.expire()).unwrap();
            assert_eq!(world.read().len(), 2);
            block_on(world.store.close()).unwrap();
        });
    }
}

/// An attachment that is being downloaded while it expires and its volume is carried, punched or unlinked.
#[test]
fn a_download_is_whole_or_expired_while_the_attachment_leaves() {
    explore(1_000, || {
        let world = World::open(machine());
        let bytes = |fill| vec![fill; 100_000];
        let put = |fill: u8| {
            let new = NewAttachment::new(user("ann"), "a picture");
            block_on(world.app.put_attachment(new, &bytes(fill)[..]))
                .unwrap()
                .id
        };
        let ids = [put(1), put(2)];
        let readers = [(1, ids[0]), (2, ids[1])].map(|(fill, id)| {
            world.thread(move |world| {
                for _ in 0..2 {
                    let opened = block_on(world.app.open_attachment(id));
                    let read = opened.and_then(|download| block_on(download.read_to_end()));
                    match read {
                        Ok(read) => assert!(read == bytes(fill), "a mix"),
                        Err(error) => assert!(
                            matches!(
                                error.kind(),
                                ErrorKind::AttachmentExpired | ErrorKind::AttachmentNotFound
                            ),
                            "{error}"
                        ),
                    }
                }
            })
        });
        let expiry = world.thread(move |world| {
            block_on(world.app.delete_attachment(ids[0])).unwrap();
            world.machine.pass(8 * DAY);
            world.store.confirm_clock();
            block_on(world.store.expire()).unwrap();
        });
        for thread in readers.into_iter().chain([expiry]) {
            thread.join().unwrap();
        }
        block_on(world.store.close()).unwrap();
    });
}

/// Dropped without being closed: nothing is left running, nothing is left open, and all is there.
#[test]
fn a_store_that_is_dropped_ends_its_threads() {
    explore(1_000, || {
        let world = World::open(machine());
        let sender = world.sender("ann", 2);
        sender.join().unwrap();
        let world = Arc::into_inner(world).unwrap();
        drop((world.app, world.store));
        assert_eq!(world.machine.disk.open_files(), 0);
        let store = block_on(world.machine.open()).unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        let page = block_on(app.history(&group("tea"), Page::newest(9))).unwrap();
        assert_eq!(page.len(), 2);
    });
}
