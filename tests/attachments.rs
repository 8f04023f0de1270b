//! Attachments end to end: sizes, streams, sharing, lifetimes, space.

use tidestore::disk::Survival;
use tidestore::plan::{AttachmentId, Plan, Terms};
use tidestore::{
    App, Attachment, AttachmentUsage, Cursor, ErrorKind, NewAttachment, Page, Reference, Store,
};
use tidestore_tests::{DAY, HOUR, Machine, group, key, old, run, text, user};

const LIMIT: usize = 10 << 20;

/// Bytes that do not compress, different for each seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

fn file(name: &str) -> NewAttachment {
    NewAttachment::new(user("ann"), name)
}

async fn put(app: &App, name: &str, bytes: &[u8]) -> Attachment {
    app.put_attachment(file(name), bytes).await.unwrap()
}

async fn get(app: &App, id: AttachmentId) -> Result<Vec<u8>, ErrorKind> {
    let download = app.open_attachment(id).await;
    let download = download.map_err(|error| error.kind().clone())?;
    let bytes = download.read_to_end().await;
    Ok(bytes.map_err(|error| error.kind().clone())?.to_vec())
}

async fn clean(store: &Store) {
    assert_eq!(store.verify().await.unwrap().problems, []);
}

fn volumes(machine: &Machine) -> usize {
    let files = machine.disk.files();
    files
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "vol"))
        .count()
}

#[test]
fn contents_of_every_size_come_back_whole_and_by_range() {
    let machine = Machine::new();
    run(async {
        let (store, app) = machine.open_app(Plan::Pro).await;
        let shared = machine.options.shared_attachment_bytes;
        let sizes = [
            0,
            1,
            4_095,
            65_535,
            65_536,
            65_537,
            shared,
            shared + 1,
            1_000_000,
            LIMIT,
        ];
        let mut all = Vec::new();
        for (seed, len) in (0..).zip(sizes) {
            let bytes = noise(seed, len);
            let attachment = put(&app, "x.bin", &bytes).await;
            assert_eq!(attachment.length, len as u64);
            all.push((attachment.id, bytes));
        }
        let compressible = "soup at noon? ".repeat(40_000);
        let soup = put(&app, "soup.txt", compressible.as_bytes()).await;
        assert_eq!(soup.media_type, "text/plain");
        all.push((soup.id, compressible.into_bytes()));
        let check = async |app: &App| {
            for (id, bytes) in &all {
                assert_eq!(get(app, *id).await.unwrap(), *bytes);
                let len = bytes.len() as u64;
                for range in [
                    0..1,
                    len / 2..len / 2 + 70_000,
                    len.saturating_sub(1)..u64::MAX,
                    len..len,
                ] {
                    let end = range.end.min(len);
                    let index = |at: u64| usize::try_from(at).unwrap();
                    let Some(wanted) = bytes.get(index(range.start)..index(end)) else {
                        continue;
                    };
                    let part = app.open_attachment_range(*id, range).await.unwrap();
                    assert_eq!(part.remaining(), wanted.len() as u64);
                    assert_eq!(part.read_to_end().await.unwrap(), wanted);
                }
                let error = app.open_attachment_range(*id, len + 1..len + 2).await;
                assert_eq!(*error.unwrap_err().kind(), ErrorKind::Argument);
            }
        };
        check(&app).await;
        clean(&store).await;
        let usage = app.attachment_usage().await.unwrap();
        assert_eq!(usage.total.attachments, 11);
        let logical: usize = all.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(usage.total.logical_bytes, logical as u64);
        assert!(
            usage.total.physical_bytes < logical as u64,
            "text was not compressed"
        );
        store.close().await.unwrap();
        drop((store, app));
        let store = machine.open().await.unwrap();
        check(&store.app(&key("acme#chat")).unwrap()).await;
        clean(&store).await;
    });
}

/// A stream that says how much was read of it, in pieces of any size, and may fail.
struct Stream {
    len: u64,
    piece: usize,
    read: u64,
    fails_at: u64,
}

impl tokio::io::AsyncRead for Stream {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.read >= self.fails_at {
            return std::task::Poll::Ready(Err(std::io::Error::other("the line is dead")));
        }
        let left = usize::try_from(self.len - self.read).unwrap_or(usize::MAX);
        let piece = self.piece.min(buf.remaining()).min(left);
        buf.put_slice(&vec![7; piece]);
        self.read += piece as u64;
        std::task::Poll::Ready(Ok(()))
    }
}

fn stream(len: u64) -> Stream {
    Stream {
        len,
        piece: 1 << 20,
        read: 0,
        fails_at: u64::MAX,
    }
}

#[test]
fn the_byte_past_the_limit_ends_an_upload_and_nothing_of_it_stays() {
    let machine = Machine::new();
    run(async {
        let (store, app) = machine.open_app(Plan::Free).await;
        let before = machine.disk.total_bytes();
        for (len, piece) in [
            (LIMIT as u64 + 1, 1 << 20),
            (u64::MAX, 3_333),
            (u64::MAX, 1 << 22),
        ] {
            let mut endless = Stream {
                piece,
                ..stream(len)
            };
            let error = app
                .put_attachment(file("x"), &mut endless)
                .await
                .unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
            assert_eq!(endless.read, LIMIT as u64 + 1);
        }
        let mut upload = app.upload(file("x")).unwrap();
        upload.write(&noise(1, LIMIT)).await.unwrap();
        let error = upload.write(&[1]).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Limit(_)));
        drop(upload);
        assert_eq!(machine.disk.total_bytes(), before);
        assert_eq!(
            app.attachment_usage().await.unwrap(),
            AttachmentUsage::default()
        );
        let whole = app
            .put_attachment(file("x"), stream(LIMIT as u64))
            .await
            .unwrap();
        assert_eq!(whole.length, LIMIT as u64);
        clean(&store).await;
    });
}

#[test]
fn a_wrong_length_and_a_stream_that_fails_leave_nothing() {
    let machine = Machine::new();
    let before = run(async {
        let (store, app) = machine.open_app(Plan::Free).await;
        let before = machine.disk.total_bytes();
        for (declared, len) in [(10, 9), (10, 11), (0, 1), (1_000_000, 999_999)] {
            let mut new = file("x");
            new.length = Some(declared);
            let error = app.put_attachment(new, stream(len)).await.unwrap_err();
            let ErrorKind::Length {
                declared: said,
                actual,
            } = *error.kind()
            else {
                panic!("{error}");
            };
            assert_eq!(said, declared);
            assert!(actual == len || actual > declared, "{error}");
        }
        for fails_at in [0, 1, 2 << 20] {
            let broken = Stream {
                fails_at,
                ..stream(5 << 20)
            };
            let error = app.put_attachment(file("x"), broken).await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Source);
        }
        // Abandoned half-way, while a piece is being written too.
        for len in [5, 300_000, 3_000_000] {
            let mut upload = app.upload(file("x")).unwrap();
            upload.write(&noise(3, len)).await.unwrap();
        }
        let mut upload = app.upload(file("x")).unwrap();
        upload.write(&noise(3, 1_000_000)).await.unwrap();
        drop(upload);
        clean(&store).await;
        before
    });
    // What was handed to another thread is dropped when that is done; the end of the runtime waits for it.
    assert_eq!(machine.disk.total_bytes(), before);
    assert_eq!(volumes(&machine), 0);
}

#[test]
fn the_same_content_is_stored_once_in_an_app_and_never_across_apps() {
    let machine = Machine::new();
    run(async {
        let (store, app) = machine.open_app(Plan::Free).await;
        let other = store
            .create_app(&key("acme#other"), Terms::of(Plan::Free))
            .await
            .unwrap();
        for len in [20_000, 400_000] {
            let bytes = noise(9, len);
            let first = put(&app, "first.bin", &bytes).await;
            let alone = app.attachment_usage().await.unwrap().total;
            let again = put(&app, "again.bin", &bytes).await;
            assert_ne!(first.id, again.id);
            let both = app.attachment_usage().await.unwrap().total;
            assert_eq!(both.physical_bytes, alone.physical_bytes);
            assert_eq!(both.logical_bytes, alone.logical_bytes + len as u64);
            let elsewhere = put(&other, "first.bin", &bytes).await;
            assert!(other.attachment_usage().await.unwrap().total.physical_bytes >= len as u64);
            // An id of another app is no id.
            for (app, id) in [(&app, elsewhere.id), (&other, first.id)] {
                assert_eq!(get(app, id).await, Err(ErrorKind::AttachmentNotFound));
                let error = app.delete_attachment(id).await.unwrap_err();
                assert_eq!(*error.kind(), ErrorKind::AttachmentNotFound);
            }
            app.delete_attachment(first.id).await.unwrap();
            assert_eq!(get(&app, again.id).await.unwrap(), bytes);
            assert_eq!(get(&other, elsewhere.id).await.unwrap(), bytes);
            app.delete_attachment(again.id).await.unwrap();
            assert_eq!(
                get(&app, again.id).await,
                Err(ErrorKind::AttachmentNotFound)
            );
        }
        clean(&store).await;
    });
}

#[test]
fn a_deleted_attachment_gives_its_space_back_and_leaves_its_neighbours() {
    for punches in [true, false] {
        let machine = Machine::new();
        machine.disk.set_punching(punches);
        run(async {
            let (store, app) = machine.open_app(Plan::Free).await;
            let mut all = Vec::new();
            for seed in 0..12 {
                let bytes = noise(seed, 30_000);
                all.push((put(&app, "x", &bytes).await.id, bytes));
            }
            let (used, usage) = (
                machine.disk.total_bytes(),
                app.attachment_usage().await.unwrap(),
            );
            for (id, _) in all.iter().step_by(3) {
                app.delete_attachment(*id).await.unwrap();
            }
            let after = app.attachment_usage().await.unwrap().total;
            assert_eq!(after.attachments, 8);
            assert_eq!(after.logical_bytes, 8 * 30_000);
            let freed = usage.total.physical_bytes - after.physical_bytes;
            if punches {
                // The blocks of a record: 30,000 bytes and its head, in whole blocks.
                assert_eq!(freed, 4 * 32_768);
                let on_disk = used - machine.disk.total_bytes();
                assert!((4 * 28_000..=4 * 32_768).contains(&on_disk), "{on_disk}");
            } else {
                // What cannot be given back is not said to be.
                assert_eq!(freed, 0);
            }
            clean(&store).await;
            for (n, (id, bytes)) in all.iter().enumerate() {
                match get(&app, *id).await {
                    Ok(found) => assert_eq!(found, *bytes),
                    Err(kind) => assert_eq!((kind, n % 3), (ErrorKind::AttachmentNotFound, 0)),
                }
            }
        });
    }
}

#[test]
fn an_attachment_lives_as_long_as_the_youngest_message_that_refers_to_it() {
    let machine = Machine::new();
    run(async {
        let (store, app) = machine.open_app(Plan::Pro).await;
        let (small, large) = (noise(1, 20_000), noise(2, 500_000));
        let alone = put(&app, "alone", &noise(3, 20_000)).await.id;
        let sent = [
            put(&app, "s", &small).await.id,
            put(&app, "l", &large).await.id,
        ];
        let name = |ids: &[AttachmentId]| {
            let mut message = text("a", "ann", "look");
            message.attachments = ids.to_vec();
            message
        };
        app.append(name(&sent)).await.unwrap();
        // Its own retention is over, and nothing refers to it: gone; what a message names stays.
        machine.pass(7 * DAY + HOUR);
        store.confirm_clock();
        assert_eq!(get(&app, alone).await, Err(ErrorKind::AttachmentExpired));
        let report = store.expire().await.unwrap();
        assert_eq!((report.attachments, report.attachment_bytes), (1, 20_000));
        assert_eq!(get(&app, alone).await, Err(ErrorKind::AttachmentExpired));
        assert_eq!(get(&app, sent[0]).await.unwrap(), small);
        // Forwarded on day 50: it lives until day 140.
        machine.pass(43 * DAY);
        store.confirm_clock();
        app.append(name(&sent[..1])).await.unwrap();
        for (days, first, second) in [
            (39, true, true),
            (2, true, false),
            (48, true, false),
            (2, false, false),
        ] {
            machine.pass(days * DAY);
            store.confirm_clock();
            store.expire().await.unwrap();
            for (id, lives, bytes) in [(sent[0], first, &small), (sent[1], second, &large)] {
                let found = get(&app, id).await;
                if lives {
                    assert_eq!(found.as_ref(), Ok(bytes), "{days}");
                } else {
                    assert_eq!(found, Err(ErrorKind::AttachmentExpired), "{days}");
                }
            }
            clean(&store).await;
        }
        assert_eq!(volumes(&machine), 0);
        assert_eq!(
            app.attachment_usage().await.unwrap(),
            AttachmentUsage::default()
        );
    });
}

/// One that is still referred to among many that are not is carried, and the volume goes.
#[test]
fn what_still_lives_is_carried_into_a_younger_volume() {
    let machine = Machine::new();
    run(async {
        let (store, app) = machine.open_app(Plan::Pro).await;
        let mut all = Vec::new();
        for seed in 0..40 {
            let bytes = noise(seed, 20_000);
            all.push((put(&app, "x", &bytes).await.id, bytes));
        }
        let mut message = text("a", "ann", "keep this");
        message.attachments = vec![all[7].0];
        app.append(message).await.unwrap();
        app.refer_attachment(all[9].0, Reference::Profile(user("ann")))
            .await
            .unwrap();
        let reader = app.open_attachment(all[7].0).await.unwrap();
        machine.pass(8 * DAY);
        store.confirm_clock();
        let report = store.expire().await.unwrap();
        assert_eq!((report.attachments, report.carried), (38, 2));
        // Two contents with their blocks, and the headers of at most two volumes.
        assert!(
            app.attachment_usage().await.unwrap().total.physical_bytes <= 2 * 24_576 + 2 * 4_096
        );
        assert_eq!(
            reader.read_to_end().await.unwrap(),
            all[7].1,
            "a reader was cut off"
        );
        assert_eq!(get(&app, all[7].0).await.unwrap(), all[7].1);
        clean(&store).await;
        // The message ends on day 90, the profile never.
        machine.pass(90 * DAY);
        store.confirm_clock();
        store.expire().await.unwrap();
        assert_eq!(get(&app, all[7].0).await, Err(ErrorKind::AttachmentExpired));
        assert_eq!(get(&app, all[9].0).await.unwrap(), all[9].1);
        app.unrefer_attachment(all[9].0, Reference::Profile(user("ann")))
            .await
            .unwrap();
        assert_eq!(
            get(&app, all[9].0).await.unwrap(),
            all[9].1,
            "within the grace time"
        );
        machine.pass(25 * HOUR);
        store.expire().await.unwrap();
        assert_eq!(get(&app, all[9].0).await, Err(ErrorKind::AttachmentExpired));
        clean(&store).await;
        assert_eq!(volumes(&machine), 0);
    });
}

#[test]
fn taking_the_last_reference_back_ends_an_attachment_after_a_grace_time() {
    let machine = Machine::new();
    run(async {
        let (store, app) = machine.open_app(Plan::Pro).await;
        let id = put(&app, "x", &noise(1, 5_000)).await.id;
        let mut receipts = Vec::new();
        for _ in 0..2 {
            let mut message = text("a", "ann", "look");
            message.attachments = vec![id];
            receipts.push(app.append(message).await.unwrap());
        }
        let reference = |n: usize| Reference::Message {
            time: receipts[n].id.millis(),
            id: receipts[n].id.0,
        };
        app.unrefer_attachment(id, reference(0)).await.unwrap();
        app.unrefer_attachment(id, reference(0)).await.unwrap();
        assert_eq!(app.attachment(id).await.unwrap().messages, 1);
        machine.pass(30 * HOUR);
        store.expire().await.unwrap();
        app.unrefer_attachment(id, reference(1)).await.unwrap();
        assert_eq!(app.attachment(id).await.unwrap().messages, 0);
        // Recalled references do not come back with a restart.
        store.close().await.unwrap();
        drop((store, app));
        let store = machine.open().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        assert_eq!(app.attachment(id).await.unwrap().messages, 0);
        machine.pass(23 * HOUR);
        store.expire().await.unwrap();
        app.attachment(id).await.unwrap();
        machine.pass(2 * HOUR);
        store.expire().await.unwrap();
        // Its own retention is not over, so it is not expired but gone.
        assert_eq!(get(&app, id).await, Err(ErrorKind::AttachmentNotFound));
        clean(&store).await;
    });
}

#[test]
fn a_message_may_only_name_what_can_be_read_but_an_import_keeps_what_it_names() {
    let machine = Machine::new();
    run(async {
        let (store, app) = machine.open_app(Plan::Free).await;
        let here = put(&app, "x", b"hello").await.id;
        let forged = AttachmentId::from_bits(here.to_bits() ^ 1 << 40);
        let nowhere = AttachmentId::from_bits(u128::MAX);
        let mut messages = Vec::new();
        for ids in [vec![here], vec![forged], vec![here, nowhere], vec![]] {
            let mut message = text("a", "ann", "look");
            message.attachments = ids;
            messages.push(message);
        }
        let receipts = app.append_many(messages.clone()).await;
        let kinds: Vec<_> = receipts
            .iter()
            .map(|r| r.as_ref().err().map(tidestore::Error::kind))
            .collect();
        let missing = Some(&ErrorKind::AttachmentNotFound);
        assert_eq!(kinds, [None, missing, missing, None]);
        let error = app.append(messages[1].clone()).await.unwrap_err();
        assert_eq!(Some(error.kind()), missing);
        let time = receipts[0].as_ref().unwrap().id.millis();
        let mut line = old("a", "ann", "from elsewhere", time - HOUR);
        line.message.attachments = vec![forged, here];
        app.import(vec![line]).await.remove(0).unwrap();
        let page = app.history(&group("a"), Page::oldest(1)).await.unwrap();
        assert_eq!(page[0].attachments, [forged, here]);
        assert_eq!(app.attachment(here).await.unwrap().messages, 2);
        machine.pass(8 * DAY);
        store.confirm_clock();
        let error = app.append(messages[0].clone()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::AttachmentExpired);
        let found = app
            .history(&group("a"), Page::after(Cursor::Id(page[0].id), 9))
            .await
            .unwrap();
        assert!(found.is_empty());
        clean(&store).await;
    });
}

/// Names of files are data.
#[test]
fn hostile_names_are_kept_and_never_become_paths() {
    let machine = Machine::new();
    run(async {
        let (_store, app) = machine.open_app(Plan::Free).await;
        let long = "夜".repeat(4_000);
        let names = [
            "",
            "/",
            "../../etc/passwd",
            "a\0b",
            "\u{202e}gpj.exe",
            "CON",
            &long,
        ];
        for name in names {
            let id = put(&app, name, name.as_bytes()).await.id;
            assert_eq!(app.attachment(id).await.unwrap().name, name);
        }
        let listed = app.attachments(None, 100).await.unwrap();
        assert_eq!(listed.len(), names.len());
        for pair in listed.windows(2) {
            assert!(pair[0].id < pair[1].id);
            let after = app.attachments(Some(pair[0].id), 1).await.unwrap();
            assert_eq!(after[0], pair[1]);
        }
        for path in machine.disk.files() {
            let path = path.to_string_lossy().into_owned();
            assert!(!path.contains("passwd") && !path.contains("exe"), "{path}");
        }
        let error = app
            .put_attachment(file(&"x".repeat(5_000)), &b"x"[..])
            .await
            .unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Argument);
    });
}

#[test]
fn a_damaged_volume_costs_only_what_stood_there() {
    let machine = Machine::new();
    run(async {
        let (store, app) = machine.open_app(Plan::Free).await;
        let mut all = Vec::new();
        for seed in 0..4 {
            let bytes = noise(seed, 100_000);
            all.push((put(&app, "x", &bytes).await.id, bytes));
        }
        let solo = put(&app, "solo", &noise(9, 700_000)).await.id;
        store.close().await.unwrap();
        drop((store, app));
        let files = machine.disk.files();
        let vols: Vec<_> = files
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "vol"))
            .collect();
        for (nth, path) in vols.iter().enumerate() {
            let len = machine.disk.read_all(path).unwrap().len() as u64;
            // A flipped byte in the middle of each, then cut short, then missing.
            for damage in 0..3 {
                let disk = machine.disk.crash(1, Survival::ALL);
                match damage {
                    0 => disk.flip_bit(path, len / 2, 3).unwrap(),
                    1 => disk.truncate(path, len / 2).unwrap(),
                    _ => tidestore::disk::Disk::remove_file(&disk, path).unwrap(),
                }
                let damaged = Machine {
                    disk,
                    ..machine.clone()
                };
                let store = damaged.open().await.unwrap();
                let app = store.app(&key("acme#chat")).unwrap();
                let mut lost = 0;
                for (id, bytes) in &all {
                    match get(&app, *id).await {
                        Ok(found) => assert_eq!(found, *bytes),
                        Err(kind) => {
                            assert_eq!(kind, ErrorKind::Corruption);
                            lost += 1;
                        }
                    }
                }
                lost += usize::from(get(&app, solo).await.is_err());
                assert!(
                    lost >= 1 && (damage > 0 || lost == 1),
                    "volume {nth}, damage {damage}: {lost}"
                );
                let problems = store.verify().await.unwrap().problems;
                assert!(!problems.is_empty(), "volume {nth}, damage {damage}");
                assert!(problems.iter().any(|p| p.path == **path), "{problems:?}");
                put(&app, "goes on", b"goes on").await;
            }
        }
    });
}

#[test]
fn puts_share_volumes_and_a_deleted_app_leaves_none() {
    let machine = Machine::new();
    run(async {
        let (store, app) = machine.open_app(Plan::Free).await;
        let puts: Vec<_> = (0..64_u64)
            .map(|seed| {
                let app = app.clone();
                tokio::spawn(async move { put(&app, "x", &noise(seed, 3_000)).await })
            })
            .collect();
        for put in puts {
            put.await.unwrap();
        }
        // One a shard, whoever came first.
        assert_eq!(volumes(&machine), 2);
        put(&app, "solo", &noise(1, 600_000)).await;
        assert!(volumes(&machine) > 0);
        store.delete_app(&key("acme#chat")).await.unwrap();
        assert_eq!(volumes(&machine), 0);
        let app = store
            .create_app(&key("acme#chat"), Terms::of(Plan::Free))
            .await
            .unwrap();
        assert_eq!(
            app.attachment_usage().await.unwrap(),
            AttachmentUsage::default()
        );
        clean(&store).await;
    });
}
