//! Row 19: many files and few descriptors. Running out closes what is only kept open, fails one operation at worst, and never
//! ends a shard.

use tidestore::disk::{Fault, OpKind};
use tidestore::plan::{AttachmentId, Plan};
use tidestore::{App, Error, ErrorKind, NewAttachment, Page, Store};
use tidestore_tests::{DAY, HOUR, Machine, group, key, run, text, user, whole};

/// Short log files, so that new ones are needed often, and no cached blocks.
fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.options.shards = 1;
    machine.options.log_file_bytes = 4 << 10;
    machine.options.cache_bytes = 0;
    machine
}

/// A text that does not compress, different for each number.
fn body(n: usize) -> String {
    let mut state = n as u64 + 1;
    let letter = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    };
    (0..900).map(letter).collect()
}

fn bytes(n: usize) -> Vec<u8> {
    vec![u8::try_from(n).unwrap(); 90_000]
}

/// Whatever has no descriptor may fail, but says so, and is done when it is asked for again.
macro_rules! done {
    ($work:expr) => {
        match $work {
            Ok(done) => done,
            Err(error) => {
                let error: Error = error;
                assert_ne!(*error.kind(), ErrorKind::Poisoned, "{error}");
                $work.unwrap()
            }
        }
    };
}

/// Opens files of every kind: logs, segments, receipts, tables, volumes; for writing and for reading.
async fn work(store: &Store, app: &App) {
    let mut put: Vec<AttachmentId> = Vec::new();
    for n in 0..6 {
        let mut message = text("tea", "ann", body(n));
        // A retry must not make a second message of a first that was taken all the same.
        message.client_id = format!("client {n}").into();
        done!(app.append(message.clone()).await);
        let new = || NewAttachment::new(user("ann"), "a file");
        put.push(done!(app.put_attachment(new(), &bytes(n)[..]).await).id);
        if n % 2 == 1 {
            done!(store.flush().await);
        }
    }
    done!(store.merge().await);
    let found = done!(app.history(&group("tea"), Page::oldest(10)).await);
    let bodies: Vec<_> = found.iter().map(|message| message.body.clone()).collect();
    assert_eq!(bodies, (0..6).map(body).collect::<Vec<_>>());
    for (n, id) in put.iter().enumerate() {
        let read = async || app.open_attachment(*id).await?.read_to_end().await;
        assert!(done!(read().await) == bytes(n));
    }
    done!(app.delete_attachment(put[0]).await);
    done!(store.expire().await);
}

/// The k-th opening of a file fails for want of a descriptor, for every k.
#[test]
fn running_out_of_descriptors_at_any_file_fails_one_operation_and_ends_nothing() {
    run(async {
        for k in 1.. {
            let machine = machine();
            let (store, app) = machine.open_app(Plan::Free).await;
            let before = machine.disk.count(OpKind::Open);
            machine
                .disk
                .fail_matching(OpKind::Open, k, Fault::NoHandles);
            work(&store, &app).await;
            let opened = machine.disk.count(OpKind::Open) - before;
            machine.disk.clear_faults();
            assert_eq!(store.verify().await.unwrap().problems, [], "{k}");
            store.close().await.unwrap();
            drop((app, store));
            let store = machine.open().await.unwrap();
            let app = store.app(&key("acme#chat")).unwrap();
            assert_eq!(whole(&app, &group("tea")).await.unwrap().len(), 6, "{k}");
            store.close().await.unwrap();
            if opened < k {
                assert!(k > 20, "the work opens too few files: {opened}");
                break;
            }
        }
    });
}

/// Opening fails as a whole, changes nothing, and can be repeated.
#[test]
fn running_out_of_descriptors_while_opening_costs_nothing() {
    run(async {
        for k in 1.. {
            let machine = machine();
            let (store, app) = machine.open_app(Plan::Free).await;
            work(&store, &app).await;
            drop((app, store));
            machine
                .disk
                .fail_matching(OpKind::Open, k, Fault::NoHandles);
            let first = machine.open().await;
            machine.disk.clear_faults();
            let met = first.is_err();
            drop(first);
            let store = machine.open().await.unwrap();
            let app = store.app(&key("acme#chat")).unwrap();
            assert_eq!(whole(&app, &group("tea")).await.unwrap().len(), 6, "{k}");
            assert_eq!(store.verify().await.unwrap().problems, [], "{k}");
            if !met && k > 20 {
                break;
            }
        }
    });
}

/// As long as there is none at all, whatever needs one is refused, and the shard goes on as soon as there is.
#[test]
fn without_any_descriptor_writes_are_refused_and_go_on_later() {
    run(async {
        let machine = machine();
        let (store, app) = machine.open_app(Plan::Free).await;
        machine.disk.fail_always(OpKind::Open, Fault::NoHandles);
        let mut taken = Vec::new();
        for n in 0..20 {
            match app.append(text("tea", "ann", body(n))).await {
                Ok(_) => taken.push(body(n)),
                Err(error) => assert_eq!(*error.kind(), ErrorKind::Full, "{error}"),
            }
        }
        assert!(taken.len() < 20, "the log never needed a new file");
        store.flush().await.unwrap_err();
        let new = NewAttachment::new(user("ann"), "a file");
        app.put_attachment(new, &bytes(1)[..]).await.unwrap_err();
        machine.disk.clear_faults();
        app.append(text("tea", "ann", body(20))).await.unwrap();
        taken.push(body(20));
        store.flush().await.unwrap();
        drop((app, store));
        let store = machine.open().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        let found = whole(&app, &group("tea")).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|message| message.body).collect();
        assert_eq!(found, taken);
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}

/// Hundreds of segments: with one that may be kept open, and with a process that has hardly more descriptors than the store
/// needs to write, though it is allowed to keep 512.
#[test]
fn hundreds_of_segments_are_read_with_a_handful_of_descriptors() {
    run(async {
        for (open_files, spare) in [(1, usize::MAX), (512, 3)] {
            let mut machine = machine();
            machine.options.open_files = open_files;
            let (store, app) = machine.open_app(Plan::Free).await;
            // One segment an hour of each of four conversations' bucket of three hours: many of each.
            for n in 0..240 {
                machine.pass(HOUR / 4);
                app.append(text(&format!("g{}", n % 4), "ann", body(n)))
                    .await
                    .unwrap();
                store.flush().await.unwrap();
            }
            let files = machine.disk.files();
            let segments = files
                .iter()
                .filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
            assert!(segments.count() > 200);
            let idle = machine.disk.open_files();
            machine.disk.limit_open_files(idle.saturating_add(spare));
            for round in 0..2 {
                for n in 0..4 {
                    let found = whole(&app, &group(&format!("g{n}"))).await.unwrap();
                    assert_eq!(found.len(), 60, "{round}");
                }
                assert!(machine.disk.open_files() <= idle.saturating_add(spare.min(1)) + 2);
                store.merge().await.unwrap();
                app.append(text("h", "ann", body(round))).await.unwrap();
                store.flush().await.unwrap();
            }
            machine.pass(4 * DAY);
            store.confirm_clock();
            store.expire().await.unwrap();
            assert_eq!(whole(&app, &group("g1")).await.unwrap().len(), 0);
            store.close().await.unwrap();
        }
    });
}
