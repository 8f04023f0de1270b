//! Repair: whatever is damaged, all the rest is there byte for byte afterwards, and what is not is named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tidestore::disk::{Disk, Env, SimDisk, Survival};
use tidestore::plan::{AttachmentId, Plan};
use tidestore::{
    Conversation, EngineKind, ErrorKind, Message, NewAttachment, NewMessage, RepairOptions,
    RepairReport, Store,
};
use tidestore_tests::{Machine, group, key, run, text, user, whole};

/// What a store held before it was damaged.
#[derive(Clone, Debug, Default)]
struct Held {
    messages: BTreeMap<Conversation, Vec<Message>>,
    attachments: BTreeMap<AttachmentId, Vec<u8>>,
}

const GROUPS: [&str; 3] = ["a", "b", "c"];

fn conversations() -> Vec<Conversation> {
    let pair = Conversation::direct(&user("ann"), &user("bob"));
    let groups = GROUPS.iter().map(|name| group(name));
    groups.chain([pair]).collect()
}

/// Two segments of many blocks in one shard, messages and rows that are only in the log, attachments, receipts.
async fn filled(engine: EngineKind, shards: u16) -> (Machine, Held) {
    let mut machine = Machine::new();
    machine.options.shards = shards;
    machine.options.engine = engine;
    machine.options.block_bytes = 400;
    let (store, app) = machine.open_app(Plan::Pro).await;
    let users = ["ann", "bob", "cid"].map(|name| tidestore::Account::new(user(name)));
    app.users().register_many(users.into()).await.unwrap();
    let mut held = Held::default();
    for n in 0..5_u8 {
        // Those of the last two have volumes of their own.
        let len = if n < 3 { 3_000 } else { 300_000 };
        let mut draw = u64::from(n) + 1;
        let body: Vec<u8> = (0..len)
            .map(|_| {
                draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                draw.to_be_bytes()[0]
            })
            .collect();
        let new = NewAttachment::new(user("ann"), format!("picture {n}.png"));
        let stored = app.put_attachment(new, &body[..]).await.unwrap();
        held.attachments.insert(stored.id, body);
    }
    for round in 0..2 {
        for n in 0..20 {
            machine.pass(1_000);
            for to in conversations() {
                let body = format!("{to} {round} {n} {}", "x".repeat(30));
                let mut message = NewMessage::text(to, user("ann"), body);
                message.client_id = format!("{round}-{n}").into();
                app.append(message).await.unwrap();
            }
        }
        store.flush().await.unwrap();
    }
    for n in 0..8 {
        machine.pass(1_000);
        for name in GROUPS {
            app.append(text(name, "bob", format!("{name}, in the log {n}")))
                .await
                .unwrap();
        }
    }
    for conversation in conversations() {
        let found = whole(&app, &conversation).await.unwrap();
        held.messages.insert(conversation, found);
    }
    drop((app, store));
    (machine, held)
}

fn copy(machine: &Machine) -> Machine {
    Machine {
        disk: machine.disk.crash(0, Survival::ALL),
        ..machine.clone()
    }
}

fn env(machine: &Machine) -> Env {
    Env::sim(machine.disk.clone(), machine.clock.clone(), 1)
}

async fn repair(machine: &Machine, dry_run: bool) -> RepairReport {
    let options = RepairOptions {
        dry_run,
        store: machine.options.clone(),
    };
    Store::repair_env(env(machine), options).await.unwrap()
}

fn bytes_of(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = disk.files().into_iter();
    files
        .map(|path| (path.clone(), disk.read_all(&path).unwrap()))
        .collect()
}

fn files(disk: &SimDisk, ending: &str) -> Vec<PathBuf> {
    let mut files = disk.files();
    files.retain(|path| {
        let name = path.to_string_lossy();
        name.ends_with(ending) && !name.contains("spare-")
    });
    files
}

/// Numbers that a report names as lost, by conversation.
fn named(report: &RepairReport) -> BTreeMap<Conversation, BTreeSet<u64>> {
    let mut named: BTreeMap<Conversation, BTreeSet<u64>> = BTreeMap::new();
    for lost in &report.messages {
        if let Some(conversation) = &lost.conversation {
            let numbers = lost.numbers.iter().cloned().flatten();
            named
                .entry(conversation.clone())
                .or_default()
                .extend(numbers);
        }
    }
    named
}

/// What a repaired store is held to; says how many messages are lost.
async fn check(machine: &Machine, held: &Held, report: &RepairReport, what: &str) -> u64 {
    assert_eq!(report.left, [], "{what}: {report}");
    let clean = Store::verify_env(env(machine)).await.unwrap();
    assert_eq!(clean.problems, [], "{what}: {report}");
    let store = machine.open().await.unwrap_or_else(|error| {
        panic!("{what}: {error}: {report}");
    });
    let app = store.app(&key("acme#chat")).unwrap();
    let named = named(report);
    let mut lost = 0;
    for (conversation, before) in &held.messages {
        let now = whole(&app, conversation).await.unwrap();
        let count = now.len();
        let now: BTreeMap<u64, &Message> = now.iter().map(|m| (m.seq.0, m)).collect();
        assert_eq!(count, now.len(), "{what}: a message is there twice");
        for message in before {
            if let Some(found) = now.get(&message.seq.0) {
                assert_eq!(*found, message, "{what}");
                continue;
            }
            lost += 1;
            let is_named = named
                .get(conversation)
                .is_some_and(|numbers| numbers.contains(&message.seq.0));
            // The last messages of a conversation that a lost batch of the log held leave no trace of their number.
            let in_log = report
                .other_losses
                .iter()
                .any(|text| text.contains("of the log: the messages") || text.contains("tables"));
            let is_last = now.keys().next_back() < Some(&message.seq.0);
            assert!(
                is_named || in_log && is_last,
                "{what}: number {} of {conversation} is lost in silence: {report}",
                message.seq.0
            );
        }
        assert!(
            now.keys().all(|seq| before.iter().any(|m| m.seq.0 == *seq)),
            "{what}: invented"
        );
        // No number and no id is given twice.
        let next = app
            .append(NewMessage::text(
                conversation.clone(),
                user("ann"),
                "after the repair",
            ))
            .await
            .unwrap();
        let newest = before.last().unwrap();
        assert!(
            next.seq > newest.seq && next.id > newest.id,
            "{what}: number {} of {conversation} was {}: {report}",
            next.seq,
            newest.seq
        );
    }
    for (id, body) in &held.attachments {
        let is_named = report.attachments.iter().any(|lost| lost.id == *id);
        match app.attachment(*id).await {
            Ok(_) => {
                assert!(!is_named, "{what}: {id} is named as lost and is there");
                let content = app.open_attachment(*id).await.unwrap();
                let found = content.read_to_end().await.unwrap();
                assert!(found == *body, "{what}");
            }
            Err(_) => assert!(
                is_named
                    || report
                        .other_losses
                        .iter()
                        .any(|text| text.contains("tables")),
                "{what}: {id} is lost in silence: {report}"
            ),
        }
    }
    store.close().await.unwrap();
    drop((app, store));
    let clean = Store::verify_env(env(machine)).await.unwrap();
    assert_eq!(clean.problems, [], "{what}, later");
    lost
}

/// Damages a copy, says first what a repair would do, then repairs it.
async fn damaged(
    machine: &Machine,
    held: &Held,
    what: &str,
    damage: impl FnOnce(&SimDisk),
) -> (Machine, RepairReport, u64) {
    let copy = copy(machine);
    damage(&copy.disk);
    let before = bytes_of(&copy.disk);
    let found = Store::verify_env(env(&copy)).await.unwrap();
    assert_ne!(found.problems, [], "{what}: verification passes over it");
    let dry = repair(&copy, true).await;
    assert_eq!(
        bytes_of(&copy.disk),
        before,
        "{what}: a dry run changes something"
    );
    let report = repair(&copy, false).await;
    assert_eq!(
        report.messages, dry.messages,
        "{what}: the dry run said something else"
    );
    assert_eq!(report.attachments, dry.attachments, "{what}");
    let lost = check(&copy, held, &report, what).await;
    (copy, report, lost)
}

#[test]
fn a_whole_store_is_left_alone() {
    run(async {
        let (machine, _) = filled(EngineKind::Memory, 1).await;
        let before = bytes_of(&machine.disk);
        assert!(repair(&machine, false).await.is_clean());
        assert_eq!(bytes_of(&machine.disk), before);
    });
}

#[test]
fn a_damaged_block_costs_its_messages_and_each_is_named() {
    run(async {
        let (machine, held) = filled(EngineKind::Memory, 1).await;
        let path = files(&machine.disk, ".seg").remove(0);
        let original = machine.disk.read_all(&path).unwrap();
        let (copy, report, lost) = damaged(&machine, &held, "a block", |disk| {
            disk.flip_bit(&path, 200, 3).unwrap();
        })
        .await;
        assert!((1..20).contains(&lost), "{report}");
        let told: u64 = report
            .messages
            .iter()
            .filter_map(|lost| lost.messages)
            .sum();
        assert_eq!(told, lost, "{report}");
        let [aside] = &report.quarantined[..] else {
            panic!("{report}")
        };
        assert_eq!(aside.path, path);
        let mut kept = copy.disk.read_all(&aside.to).unwrap();
        kept[200] ^= 1 << 3;
        assert!(kept == original, "what is damaged is kept as it was");
        let note = PathBuf::from(format!("{}.why.txt", aside.to.display()));
        assert!(!copy.disk.read_all(&note).unwrap().is_empty());
    });
}

#[test]
fn a_segment_is_saved_without_its_index_or_its_footer() {
    run(async {
        let (machine, held) = filled(EngineKind::Memory, 1).await;
        let path = files(&machine.disk, ".seg").remove(0);
        let len = machine.disk.read_all(&path).unwrap().len() as u64;
        for (what, at) in [
            ("the trailer", len - 5),
            ("the footer", len - 60),
            ("the header", 20),
        ] {
            let (_, report, lost) = damaged(&machine, &held, what, |disk| {
                disk.flip_bit(&path, at, 1).unwrap();
            })
            .await;
            assert_eq!(lost, 0, "{what}: {report}");
        }
        // The index lies before the footer: without it blocks are found by walking.
        let (_, report, lost) = damaged(&machine, &held, "the index", |disk| {
            disk.overwrite(&path, len - 300, &[0x5a; 280]).unwrap();
        })
        .await;
        assert_eq!((lost, report.messages.len()), (0, 0), "{report}");
        let (_, report, lost) = damaged(&machine, &held, "index and a block", |disk| {
            disk.overwrite(&path, len - 300, &[0x5a; 280]).unwrap();
            disk.flip_bit(&path, 400, 1).unwrap();
        })
        .await;
        let told: u64 = report
            .messages
            .iter()
            .filter_map(|lost| lost.messages)
            .sum();
        assert!(lost > 0 && told == lost, "{report}");
    });
}

#[test]
fn a_missing_cut_or_foreign_segment_is_told_to_the_number() {
    run(async {
        let (machine, held) = filled(EngineKind::Memory, 1).await;
        let segments = files(&machine.disk, ".seg");
        for path in &segments {
            let (_, report, lost) = damaged(&machine, &held, "missing", |disk| {
                Disk::remove_file(disk, path).unwrap();
            })
            .await;
            let told: u64 = report
                .messages
                .iter()
                .filter_map(|lost| lost.messages)
                .sum();
            assert_eq!((lost, told), (80, 80), "{report}");
        }
        let path = &segments[0];
        let (_, report, lost) = damaged(&machine, &held, "cut", |disk| {
            disk.truncate(path, 1_000).unwrap();
        })
        .await;
        assert!((1..80).contains(&lost), "{report}");
        let (copy, report, lost) = damaged(&machine, &held, "foreign", |disk| {
            disk.plant(path, b"%PDF-1.7 somebody's thesis").unwrap();
        })
        .await;
        assert_eq!(lost, 80, "{report}");
        let kept = copy.disk.read_all(&report.quarantined[0].to).unwrap();
        assert_eq!(kept, b"%PDF-1.7 somebody's thesis");
        let (_, report, lost) = damaged(&machine, &held, "exchanged", |disk| {
            let (one, two) = (&segments[0], &segments[1]);
            let (first, second) = (disk.read_all(one).unwrap(), disk.read_all(two).unwrap());
            disk.plant(one, &second).unwrap();
            disk.plant(two, &first).unwrap();
        })
        .await;
        assert_eq!((lost, report.messages.len()), (0, 0), "{report}");
    });
}

#[test]
fn a_damaged_receipt_run_is_dropped_and_told() {
    run(async {
        let (machine, held) = filled(EngineKind::Memory, 1).await;
        let path = files(&machine.disk, ".rcp").remove(0);
        let (_, report, lost) = damaged(&machine, &held, "receipts", |disk| {
            disk.flip_bit(&path, 50, 0).unwrap();
        })
        .await;
        assert_eq!(lost, 0);
        assert!(report.other_losses[0].contains("receipts"), "{report}");
    });
}

#[test]
fn a_damaged_volume_costs_what_cannot_be_read_of_it() {
    run(async {
        let (machine, held) = filled(EngineKind::Memory, 1).await;
        let volumes = files(&machine.disk, ".vol");
        let is_shared = |path: &&PathBuf| path.to_string_lossy().contains("/00-");
        let shared = volumes.iter().find(is_shared).unwrap();
        let solo = volumes.iter().find(|path| !is_shared(path)).unwrap();
        let cases: [(&str, &PathBuf, u64, usize); 4] = [
            ("one content of a shared volume", shared, 4_096 + 700, 1),
            ("the header of a shared volume", shared, 9, 0),
            ("a content of its own", solo, 4_096 + 9_000, 1),
            ("the head of a content of its own", solo, 4_096 + 30, 1),
        ];
        for (what, path, at, lost) in cases {
            let (_, report, _) = damaged(&machine, &held, what, |disk| {
                disk.flip_bit(path, at, 5).unwrap();
            })
            .await;
            assert_eq!(report.attachments.len(), lost, "{what}: {report}");
            assert!(
                report
                    .attachments
                    .iter()
                    .all(|lost| lost.name.starts_with("picture"))
            );
        }
        let (_, report, _) = damaged(&machine, &held, "missing volume", |disk| {
            Disk::remove_file(disk, shared).unwrap();
        })
        .await;
        assert_eq!(report.attachments.len(), 3, "{report}");
    });
}

#[test]
fn whole_batches_around_damage_in_the_log_are_kept() {
    run(async {
        let (machine, held) = filled(EngineKind::Memory, 1).await;
        let path = files(&machine.disk, ".log").pop().unwrap();
        let bytes = machine.disk.read_all(&path).unwrap();
        // The last frames are the messages that are only in the log; each holds one.
        let frames: Vec<usize> = (0..bytes.len() - 20)
            .filter(|at| bytes[*at..].starts_with(b", in the log "))
            .collect();
        assert_eq!(frames.len(), 24);
        for frame in [0, 5, 20] {
            let what = format!("frame {frame}");
            let (_, report, lost) = damaged(&machine, &held, &what, |disk| {
                disk.flip_bit(&path, frames[frame] as u64, 2).unwrap();
            })
            .await;
            assert_eq!(lost, 1, "{report}");
            assert!(report.other_losses[0].contains("of the log"), "{report}");
            if frame < 21 {
                let told: u64 = report
                    .messages
                    .iter()
                    .filter_map(|lost| lost.messages)
                    .sum();
                assert_eq!(told, 1, "{report}");
            }
        }
        let (_, _, lost) = damaged(&machine, &held, "the head of the file", |disk| {
            disk.overwrite(&path, 0, &[0; 40]).unwrap();
        })
        .await;
        assert_eq!(lost, 0);
        let (_, report, lost) = damaged(&machine, &held, "no log at all", |disk| {
            for path in files(disk, ".log") {
                Disk::remove_file(disk, &path).unwrap();
            }
        })
        .await;
        assert_eq!(lost, 24, "{report}");
    });
}

#[test]
fn a_store_whose_tables_are_lost_gets_its_messages_back() {
    run(async {
        for engine in [EngineKind::Memory, EngineKind::Redb] {
            for shards in [1, 3] {
                let (machine, held) = filled(engine, shards).await;
                let what = format!("{engine}, {shards} shards");
                let (copy, report, lost) = damaged(&machine, &held, &what, |disk| {
                    for path in disk.files() {
                        if path.starts_with("views") {
                            let len = disk.read_all(&path).unwrap().len();
                            disk.overwrite(&path, 0, &vec![0x77; len]).unwrap();
                        }
                    }
                })
                .await;
                assert_eq!(lost, 0, "{what}: {report}");
                let store = copy.open().await.unwrap();
                let info = store.apps().remove(0);
                assert_eq!(info.key, key("acme#chat"));
                assert_eq!(info.terms.plan(), Plan::Enterprise, "expires nothing");
                let (copy, _, lost) = damaged(&machine, &held, &what, |disk| {
                    for path in disk.files() {
                        if path.starts_with("views") {
                            Disk::remove_file(disk, &path).unwrap();
                        }
                    }
                })
                .await;
                assert_eq!(lost, 0, "{what}");
                drop(copy);
            }
        }
    });
}

#[test]
fn segments_that_a_merge_had_replaced_are_not_taken_back() {
    run(async {
        let (machine, held) = filled(EngineKind::Memory, 1).await;
        let old = files(&machine.disk, ".seg");
        let old: Vec<_> = old
            .into_iter()
            .map(|path| (machine.disk.read_all(&path).unwrap(), path))
            .collect();
        let store = machine.open().await.unwrap();
        store.merge().await.unwrap();
        store.close().await.unwrap();
        drop(store);
        let (_, report, lost) = damaged(&machine, &held, "after a merge", |disk| {
            // Their unlinking was not durable, and the tables that would know are gone.
            for (bytes, path) in &old {
                disk.plant(path, bytes).unwrap();
            }
            for path in disk.files() {
                if path.starts_with("views") {
                    disk.overwrite(&path, 0, &[0x77; 400]).unwrap();
                }
            }
        })
        .await;
        assert_eq!(lost, 0, "{report}");
        assert_eq!(
            report
                .quarantined
                .iter()
                .filter(|one| old.iter().any(|(_, path)| *path == one.path))
                .count(),
            old.len(),
            "{report}"
        );
    });
}

#[test]
fn rows_around_damage_in_the_tables_are_kept() {
    run(async {
        let (machine, held) = filled(EngineKind::Redb, 1).await;
        let path = files(&machine.disk, "tables.redb").remove(0);
        let bytes = machine.disk.read_all(&path).unwrap();
        let pages = (1..bytes.len() / 4_096)
            .filter(|page| bytes[page * 4_096..][..4_096].iter().any(|byte| *byte != 0));
        let mut damages = 0;
        for page in pages.take(40) {
            let copy = copy(&machine);
            let at = page as u64 * 4_096;
            copy.disk.overwrite(&path, at, &[0x99; 4_096]).unwrap();
            if Store::verify_env(env(&copy))
                .await
                .unwrap()
                .problems
                .is_empty()
            {
                continue;
            }
            damages += 1;
            let report = repair(&copy, false).await;
            let what = format!("page {page}");
            assert_eq!(
                check(&copy, &held, &report, &what).await,
                0,
                "{what}: {report}"
            );
        }
        assert!(damages > 3, "{damages}");
    });
}

#[test]
fn the_store_file_is_learned_from_the_others() {
    run(async {
        let (machine, held) = filled(EngineKind::Redb, 3).await;
        let store = Path::new("STORE");
        let before = machine.disk.read_all(store).unwrap();
        let (copy, ..) = damaged(&machine, &held, "flipped", |disk| {
            disk.flip_bit(store, 20, 0).unwrap();
        })
        .await;
        let after = copy.disk.read_all(store).unwrap();
        // When the store was created nothing else says.
        assert_eq!(
            (&before[..28], &before[36..40]),
            (&after[..28], &after[36..40])
        );
        damaged(&machine, &held, "missing", |disk| {
            Disk::remove_file(disk, store).unwrap();
        })
        .await;
        let empty = Machine::new();
        let error = Store::repair_env(env(&empty), RepairOptions::default()).await;
        assert_eq!(*error.unwrap_err().kind(), ErrorKind::NotAStore);
    });
}

#[test]
fn a_repair_that_is_cut_short_anywhere_is_finished_by_the_next() {
    run(async {
        let (machine, held) = filled(EngineKind::Memory, 1).await;
        let segments = files(&machine.disk, ".seg");
        let (log, volume) = (files(&machine.disk, ".log"), files(&machine.disk, ".vol"));
        let damage = |disk: &SimDisk| {
            disk.flip_bit(&segments[0], 200, 3).unwrap();
            Disk::remove_file(disk, &segments[1]).unwrap();
            disk.flip_bit(&volume[0], 4_096 + 700, 1).unwrap();
            let bytes = disk.read_all(&log[log.len() - 1]).unwrap();
            let at = bytes
                .windows(13)
                .position(|bytes| bytes == b", in the log ")
                .unwrap();
            disk.flip_bit(&log[log.len() - 1], at as u64, 2).unwrap();
        };
        let broken = copy(&machine);
        damage(&broken.disk);
        let whole_run = copy(&broken);
        let expected = repair(&whole_run, false).await;
        let total = {
            let counted = copy(&broken);
            let before = counted.disk.operations();
            repair(&counted, false).await;
            counted.disk.operations() - before
        };
        let lost = check(&whole_run, &held, &expected, "not cut short").await;
        assert!(lost > 80);
        let step = (total / 150).max(1);
        let mut at = 1;
        while at < total {
            let cut = copy(&broken);
            cut.disk.crash_at(at);
            let options = RepairOptions {
                dry_run: false,
                store: machine.options.clone(),
            };
            let ended = Store::repair_env(env(&cut), options).await;
            assert!(ended.is_err() || !cut.disk.is_crashed());
            let percent = Survival::LEVELS[usize::try_from(at % 4).unwrap()];
            let after = Machine {
                disk: cut.disk.crash(at, percent),
                ..machine.clone()
            };
            let what = format!("cut at operation {at} of {total}");
            let mut report = repair(&after, false).await;
            // What the first run wrote down counts as told.
            report.messages.extend(expected.messages.iter().cloned());
            report
                .other_losses
                .extend(expected.other_losses.iter().cloned());
            report
                .attachments
                .extend(expected.attachments.iter().cloned());
            let again = check(&after, &held, &report, &what).await;
            assert_eq!(again, lost, "{what}: {report}");
            at += step;
        }
    });
}

#[test]
fn a_store_does_not_open_while_its_repair_is_unfinished() {
    run(async {
        let (machine, _) = filled(EngineKind::Memory, 1).await;
        machine
            .disk
            .plant(Path::new("REPAIR"), b"quarantine/0000000000001\n")
            .unwrap();
        let error = machine.open().await.unwrap_err();
        assert!(error.to_string().contains("tidestore repair"), "{error}");
        repair(&machine, false).await;
        machine.open().await.unwrap();
    });
}
