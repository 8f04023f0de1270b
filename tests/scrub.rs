//! The scrub: it finds damage before a reader does, and takes nothing for damage that only left.

use std::path::PathBuf;
use std::time::Duration;

use tidestore::disk::{Clock, SimDisk};
use tidestore::plan::Plan;
use tidestore::{App, EngineKind, NewAttachment, NewMessage, Page, Store};
use tidestore_tests::{DAY, Machine, group, run, text, user};

async fn filled(engine: EngineKind) -> (Machine, Store, App) {
    let mut machine = Machine::new();
    machine.options.engine = engine;
    machine.options.block_bytes = 400;
    let (store, app) = machine.open_app(Plan::Pro).await;
    let new = NewAttachment::new(user("ann"), "soup.txt");
    app.put_attachment(new, &[b's'; 9_000][..]).await.unwrap();
    for n in 0..40 {
        let body = format!("{n} {}", "x".repeat(40));
        let message = NewMessage {
            client_id: n.to_string().into(),
            ..text("tea", "ann", body)
        };
        app.append(message).await.unwrap();
    }
    store.flush().await.unwrap();
    for n in 0..5 {
        app.append(text("tea", "bob", format!("in the log {n}")))
            .await
            .unwrap();
    }
    (machine, store, app)
}

fn find(disk: &SimDisk, what: &str) -> PathBuf {
    let mut files = disk.files();
    files.retain(|path| path.to_string_lossy().contains(what));
    files.retain(|path| !path.to_string_lossy().contains("spare"));
    files.pop().unwrap()
}

#[test]
fn damage_in_every_kind_of_file_is_found_and_told_once() {
    run(async {
        let (machine, store, _app) = filled(EngineKind::Redb).await;
        let whole = store.scrub().await.unwrap();
        assert_eq!(whole.problems, []);
        assert!(whole.bytes_read > 10_000, "{}", whole.bytes_read);
        let log = find(&machine.disk, ".log");
        let bytes = machine.disk.read_all(&log).unwrap();
        let frame = bytes
            .windows(12)
            .position(|at| at == b"in the log 1")
            .unwrap();
        let cases = [
            (find(&machine.disk, ".seg"), 200),
            (find(&machine.disk, ".rcp"), 90),
            (find(&machine.disk, ".vol"), 4_096 + 30),
            (log, frame as u64),
        ];
        for (path, at) in &cases {
            machine.disk.flip_bit(path, *at, 2).unwrap();
        }
        for pass in 0..3 {
            let status = store.scrub().await.unwrap();
            assert_eq!(
                status.problems.len(),
                cases.len(),
                "pass {pass}: {status:?}"
            );
            for (path, _) in &cases {
                let name = path.display().to_string();
                let named = status.problems.iter().filter(|problem| {
                    problem.to_string().contains(&name) && problem.offset.is_some()
                });
                assert_eq!(named.count(), 1, "{name}: {status:?}");
            }
        }
        for (path, at) in &cases {
            machine.disk.flip_bit(path, *at, 2).unwrap();
        }
        let mended = store.scrub().await.unwrap();
        assert_eq!(
            mended.problems,
            [],
            "what is whole again is no problem any more"
        );
        assert_eq!((mended.passes, mended.is_running), (5, false));
    });
}

#[test]
fn full_passes_are_remembered_across_restarts() {
    run(async {
        let (machine, store, app) = filled(EngineKind::Memory).await;
        assert_eq!(store.scrub_status().last_full_pass, None);
        store.scrub().await.unwrap();
        let before = store.scrub_status();
        assert!(before.last_full_pass.is_some());
        store.close().await.unwrap();
        drop((store, app));
        let store = machine.open().await.unwrap();
        let after = store.scrub_status();
        assert_eq!(
            (after.passes, after.last_full_pass),
            (1, before.last_full_pass)
        );
    });
}

#[test]
fn what_readers_have_in_the_cache_stays_there() {
    run(async {
        let (mut machine, store, app) = filled(EngineKind::Memory).await;
        store.close().await.unwrap();
        drop((store, app));
        machine.options.cache_bytes = 64 << 10;
        let store = machine.open().await.unwrap();
        let app = store.app(&tidestore_tests::key("acme#chat")).unwrap();
        let page = Page::oldest(5);
        app.history(&group("tea"), page).await.unwrap();
        store.scrub().await.unwrap();
        let before = machine.disk.operations();
        app.history(&group("tea"), page).await.unwrap();
        assert_eq!(machine.disk.operations(), before, "the page was read again");
    });
}

#[test]
fn a_scrub_reads_no_faster_than_the_clock_allows() {
    const RATE: u64 = 100_000;
    run(async {
        let (machine, store, _app) = filled(EngineKind::Memory).await;
        let start = machine.clock.monotonic();
        let pass = tokio::spawn({
            let store = store.clone();
            async move { store.scrub_at(RATE).await.unwrap() }
        });
        while !pass.is_finished() {
            machine.clock.advance(Duration::from_millis(20));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let status = pass.await.unwrap();
        assert_eq!(status.problems, []);
        let took = machine.clock.monotonic().saturating_sub(start);
        let allowed = Duration::from_millis(status.bytes_read * 1_000 / RATE);
        let burst = Duration::from_millis(200);
        assert!(
            took + burst >= allowed,
            "{took:?} for {} bytes",
            status.bytes_read
        );
    });
}

#[test]
fn files_that_leave_while_they_are_read_are_no_damage() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (machine, store, app) = filled(EngineKind::Memory).await;
        let scrubs = tokio::spawn({
            let store = store.clone();
            async move {
                let mut passes = 0;
                while passes < 60 {
                    let status = store.scrub().await.unwrap();
                    assert_eq!(status.problems, [], "pass {passes}");
                    passes += 1;
                }
            }
        });
        let mut round = 0;
        while !scrubs.is_finished() {
            round += 1;
            for n in 0..4 {
                let body = format!("{round} {n}");
                app.append(text("tea", "ann", body)).await.unwrap();
            }
            let new = NewAttachment::new(user("ann"), "soup.txt");
            app.put_attachment(new, format!("soup {round}").as_bytes())
                .await
                .unwrap();
            store.flush().await.unwrap();
            match round % 3 {
                0 => drop(store.merge().await.unwrap()),
                1 => {
                    machine.pass(DAY);
                    store.confirm_clock();
                    drop(store.expire().await.unwrap());
                }
                _ => machine.pass(40 * DAY),
            }
        }
        scrubs.await.unwrap();
        assert!(round > 3, "{round}");
    });
}
