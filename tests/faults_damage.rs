//! Damage to files of every kind, in a store that has lived through all of its parts: rows 1, 2, 3, 8 and 15 of
//! `FAULTS.md`.
//!
//! What is there is right, what is not says so and names the file; a synced part of a log is never taken for a torn tail;
//! files that are not what their name says are never deleted. The sweeps take strides; every byte:
//!
//! ```sh
//! cargo test --release -p tidestore-tests --test faults_damage -- --ignored
//! ```

use std::path::{Path, PathBuf};

use tidestore::disk::{Disk, SimDisk, Survival};
use tidestore::{EngineKind, ErrorKind, NewAttachment};
use tidestore_tests::life::{
    CHAPTERS, Judge, Rigor, Told, WhenFull, begin, check, is_refused, log_file, machine, reopen,
    used_of_log, with_disk,
};
use tidestore_tests::{Machine, group, run, text, user, whole};

/// A store that has lived through three chapters: messages in segments and in the log, changes, receipts, attachments in
/// volumes of both kinds, rows of every part. It is left as a killed process leaves it, or closed.
fn grown(engine: EngineKind, seed: u64, closed: bool) -> (Machine, Told) {
    let mut machine = machine(engine, 1);
    machine.seed = seed;
    machine.options.block_bytes = 256;
    let told = run(async {
        let stage = begin(&machine, WhenFull::GiveUp).await.unwrap();
        stage.live(3).await.unwrap();
        if closed {
            stage.store.close().await.unwrap();
        }
        stage.told.into_inner()
    });
    let disk = machine.disk.crash(1, Survival::ALL);
    (with_disk(&machine, disk), told)
}

fn copy(machine: &Machine) -> Machine {
    with_disk(machine, machine.disk.crash(1, Survival::ALL))
}

/// What became of a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It does not open, and says why.
    Refused,
    /// It opens and says what it cannot serve.
    Damaged,
    /// Everything is there.
    Whole,
}

/// How a store behaves whose files were damaged.
fn judge(machine: &Machine, told: &Told, what: &str) -> Outcome {
    run(async {
        let stage = match reopen(machine, told, what).await {
            Ok(stage) => stage.unwrap(),
            Err(error) => {
                let known = [
                    ErrorKind::Corruption,
                    ErrorKind::NotAStore,
                    ErrorKind::Format,
                ];
                let is_known = known.contains(error.kind()) || is_refused(&error);
                assert!(is_known, "{what}: {error:?}");
                return Outcome::Refused;
            }
        };
        let says = |word: &str| stage.store.notices().iter().any(|n| n.contains(word));
        let (torn, missing) = (says("torn batch"), says("is missing"));
        let mut judge = Judge::new(what, Rigor::Damaged { torn, missing });
        stage.look(&mut judge).await;
        let found = match stage.store.verify().await {
            Ok(report) => !report.problems.is_empty(),
            Err(error) => {
                let named = *error.kind() == ErrorKind::Corruption || is_refused(&error);
                assert!(named, "{what}: {error:?}");
                true
            }
        };
        let suffered = judge.damaged > 0 || judge.gone > 0 && !torn;
        assert!(found || !suffered, "{what}: verify passes over the damage");
        if suffered || torn || missing {
            Outcome::Damaged
        } else {
            Outcome::Whole
        }
    })
}

/// Flips bits of every file, so many of each.
fn flips(engine: EngineKind, per_file: u64) {
    for closed in [false, true] {
        let (machine, told) = grown(engine, 1, closed);
        let mut outcomes = [0; 3];
        for path in machine.disk.files() {
            let len = machine.disk.read_all(&path).unwrap().len() as u64;
            let used = if path.starts_with("log") {
                used_of_log(&machine.disk).min(len)
            } else {
                len
            };
            let stride = (used / per_file).max(1);
            for at in (0..used).step_by(usize::try_from(stride).unwrap()) {
                let damaged = copy(&machine);
                let bit = u8::try_from(at % 8).unwrap();
                damaged.disk.flip_bit(&path, at, bit).unwrap();
                let what = format!("{engine}: bit {bit} of byte {at} of {}", path.display());
                outcomes[judge(&damaged, &told, &what) as usize] += 1;
            }
        }
        let [refused, hurt, unhurt] = outcomes;
        assert!(
            refused > 0 && hurt > 0 && unhurt > 0,
            "closed {closed}: {refused} refused, {hurt} damaged, {unhurt} whole"
        );
    }
}

/// Row 2.
#[test]
fn a_flipped_bit_in_any_file_of_any_part_is_named_or_harmless() {
    flips(EngineKind::Memory, 80);
}

#[test]
#[ignore = "minutes: every byte of every file"]
fn a_flipped_bit_in_every_byte_of_any_part_is_named_or_harmless() {
    flips(EngineKind::Memory, u64::MAX);
}

/// Row 3: sectors of zeros, sectors of another place of the file, of another file of its kind, and of the same place of
/// another store that lived exactly the same life.
fn overlays(sector: u64, per_file: u64) {
    let (machine, told) = grown(EngineKind::Memory, 1, false);
    let (twin, _) = grown(EngineKind::Memory, 2, false);
    for path in machine.disk.files() {
        let bytes = machine.disk.read_all(&path).unwrap();
        let len = bytes.len() as u64;
        let stride = sector * (len / sector / per_file).max(1);
        for at in (0..len).step_by(usize::try_from(stride).unwrap()) {
            let part = |bytes: &[u8], from: u64| {
                let (from, most) = (usize::try_from(from).unwrap(), bytes.len());
                let until = (from + usize::try_from(sector.min(len - at)).unwrap()).min(most);
                bytes.get(from..until).unwrap_or_default().to_vec()
            };
            let elsewhere = if at == 0 { sector } else { at - sector };
            let of_twin = twin.disk.read_all(&path).unwrap_or_default();
            let neighbour = sibling(&machine.disk, &path);
            for (kind, overlay) in [
                ("zeros", vec![0; part(&bytes, at).len()]),
                ("another place", part(&bytes, elsewhere)),
                ("another file", part(&neighbour, at)),
                ("another store", part(&of_twin, at)),
            ] {
                let damaged = copy(&machine);
                damaged.disk.overwrite(&path, at, &overlay).unwrap();
                let what = format!("{kind} over byte {at} of {}", path.display());
                let outcome = judge(&damaged, &told, &what);
                if damaged.disk.read_all(&path).unwrap_or_default() != bytes {
                    continue;
                }
                assert_eq!(outcome, Outcome::Whole, "{what} changes nothing");
            }
        }
    }
}

/// The bytes of another file of the same kind, or none.
fn sibling(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let is_sibling = |other: &PathBuf| other != path && other.extension() == path.extension();
    let found = disk.files().into_iter().find(is_sibling);
    found.map_or(Vec::new(), |other| disk.read_all(&other).unwrap())
}

#[test]
fn a_sector_that_was_written_to_the_wrong_place_is_never_believed() {
    overlays(512, 10);
}

#[test]
#[ignore = "a minute: every sector, and every page"]
fn every_sector_that_was_written_to_the_wrong_place_is_never_believed() {
    overlays(512, u64::MAX);
    overlays(4_096, u64::MAX);
}

/// A frame may end in zeros that `used_of_log` takes for nothing.
const SLACK: u64 = 16;

/// Row 1: a log with events of all parts, cut behind every byte and filled with nothing, zeros or garbage. What was told when
/// the log was so long is there, and it is written on.
fn torn_tails(stride: u64) {
    let mut machine = machine(EngineKind::Memory, 1);
    machine.options.log_file_bytes = 256 << 10;
    let marks = run(async {
        let stage = begin(&machine, WhenFull::GiveUp).await.unwrap();
        let begun = (used_of_log(&machine.disk), stage.told.borrow().clone());
        *stage.marks.borrow_mut() = Some(vec![begun]);
        // Without deletions: what is punched out of a volume goes only after the log has it for certain.
        for number in [0, CHAPTERS, CHAPTERS] {
            stage.chapter(number).await.unwrap();
        }
        stage.marks.take().unwrap()
    });
    let machine = copy(&machine);
    let (path, used) = (log_file(&machine.disk), used_of_log(&machine.disk));
    let (first, _) = marks[0];
    assert!(
        used - first > 4_000 && marks.len() > 30,
        "{used} {}",
        marks.len()
    );
    let mut cuts: Vec<u64> = (first..used)
        .step_by(usize::try_from(stride).unwrap())
        .collect();
    for (len, _) in &marks {
        cuts.extend([len + SLACK, len + 17, len + 40]);
    }
    cuts.retain(|cut| (first + SLACK..used).contains(cut));
    cuts.sort_unstable();
    cuts.dedup();
    for (nth, cut) in cuts.into_iter().enumerate() {
        let torn = copy(&machine);
        let len = torn.disk.read_all(&path).unwrap().len() as u64;
        let rest = usize::try_from(len - cut).unwrap();
        let kind = match nth % 3 {
            0 => {
                torn.disk.truncate(&path, cut).unwrap();
                "cut"
            }
            1 => {
                torn.disk.overwrite(&path, cut, &vec![0; rest]).unwrap();
                "zeros"
            }
            _ => {
                torn.disk.overwrite(&path, cut, &garbage(rest)).unwrap();
                "garbage"
            }
        };
        let (_, told) = marks.iter().rfind(|(len, _)| len + SLACK <= cut).unwrap();
        run(check(
            &torn,
            told,
            &format!("{kind} behind byte {cut} of {used}"),
        ));
    }
}

fn garbage(len: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn a_log_of_all_parts_cut_anywhere_keeps_what_was_told_by_then_and_goes_on() {
    torn_tails(41);
}

#[test]
#[ignore = "a minute: every byte"]
fn a_log_of_all_parts_cut_behind_every_byte_keeps_what_was_told_by_then() {
    for stride in [1, 1, 1] {
        torn_tails(stride);
    }
}

/// One way to make a file something else than its name says.
type Exchange = fn(&Machine, &Path, &Machine, &Machine) -> bool;

fn remove(machine: &Machine, path: &Path, _: &Machine, _: &Machine) -> bool {
    machine.disk.remove_file(path).is_ok()
}

/// Becomes a link, socket or device: none of them may be followed.
fn replace_by_a_link(machine: &Machine, path: &Path, _: &Machine, _: &Machine) -> bool {
    machine.disk.remove_file(path).is_ok() && machine.disk.plant_other(path).is_ok()
}

/// Under a name that the store would give to another file.
fn copy_under_another_name(machine: &Machine, path: &Path, _: &Machine, _: &Machine) -> bool {
    let Some(other) = another_name(path) else {
        return false;
    };
    let bytes = machine.disk.read_all(path).unwrap();
    machine.disk.plant(&other, &bytes).is_ok()
}

fn rename_to_another_name(machine: &Machine, path: &Path, _: &Machine, _: &Machine) -> bool {
    let Some(other) = another_name(path) else {
        return false;
    };
    let bytes = machine.disk.read_all(path).unwrap();
    machine.disk.remove_file(path).is_ok() && machine.disk.plant(&other, &bytes).is_ok()
}

fn another_name(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let (stem, extension) = name.split_once('.')?;
    let digits = stem
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |at| at + 1);
    let number: u64 = stem[digits..].parse().ok()?;
    let width = stem.len() - digits;
    let name = format!("{}{:0width$}.{extension}", &stem[..digits], number + 900);
    Some(path.with_file_name(name))
}

/// As it was in an earlier chapter.
fn replace_by_an_older_copy(machine: &Machine, path: &Path, older: &Machine, _: &Machine) -> bool {
    let Ok(bytes) = older.disk.read_all(path) else {
        return false;
    };
    machine.disk.plant(path, &bytes).is_ok()
}

/// Of another store that lived the same life.
fn replace_by_a_strangers(machine: &Machine, path: &Path, _: &Machine, twin: &Machine) -> bool {
    let Ok(bytes) = twin.disk.read_all(path) else {
        return false;
    };
    machine.disk.plant(path, &bytes).is_ok()
}

/// Row 8.
#[test]
fn a_file_that_is_not_what_its_name_says_is_noticed_and_nothing_of_it_is_deleted() {
    let exchanges: [(&str, Exchange); 6] = [
        ("removed", remove),
        ("a link", replace_by_a_link),
        ("copied", copy_under_another_name),
        ("renamed", rename_to_another_name),
        ("older", replace_by_an_older_copy),
        ("a stranger's", replace_by_a_strangers),
    ];
    for closed in [true, false] {
        let (machine, told) = grown(EngineKind::Memory, 1, closed);
        let (twin, _) = grown(EngineKind::Memory, 2, closed);
        let older = younger_self();
        for path in machine.disk.files() {
            for (how, exchange) in exchanges {
                let other = copy(&machine);
                if !exchange(&other, &path, &older, &twin) {
                    continue;
                }
                let what = format!("{} {how}, closed: {closed}", path.display());
                is_noticed(&other, &machine, &told, &path, &what);
            }
        }
    }
}

/// The same store in its first chapter.
fn younger_self() -> Machine {
    let mut machine = machine(EngineKind::Memory, 1);
    machine.options.block_bytes = 256;
    run(async {
        let stage = begin(&machine, WhenFull::GiveUp).await.unwrap();
        stage.live(1).await.unwrap();
        stage.after(0).await.unwrap();
        // Killed.
    });
    copy(&machine)
}

fn is_noticed(other: &Machine, machine: &Machine, told: &Told, path: &Path, what: &str) {
    let name = path.to_string_lossy();
    let planted = other.disk.files();
    let outcome = judge(other, told, what);
    let same = |disk: &SimDisk| disk.read_all(path).ok() == machine.disk.read_all(path).ok();
    if name == "LOCK"
        || name.contains("spare")
        || same(&other.disk) && planted == machine.disk.files()
    {
        return;
    }
    // Sealed files that are not what their name says must still be there after opening, and after what comes then.
    run(async {
        if let Ok(store) = other.open().await {
            drop(store.merge().await);
            drop(store.close().await);
        }
    });
    for file in planted {
        let is_sealed = ["seg", "vol", "rcp"].map(|e| file.extension() == Some(e.as_ref()));
        let is_foreign = machine.disk.read_all(&file).is_err();
        if is_sealed.contains(&true) && is_foreign {
            let kept = other.disk.read_all(&file).is_ok();
            assert!(kept, "{what}: {} was deleted", file.display());
        }
    }
    let copied = what.contains(" copied,");
    let is_table = name.starts_with("views");
    // An older copy of a log or of tables may hold all that the other needs.
    if outcome == Outcome::Whole && !copied && !(is_table && what.contains(" older,")) {
        // Without the name of the newest log file it is only not known whether one is missing.
        let harmless = what.contains(" older,")
            || name.ends_with(".rcp")
            || name.ends_with("NEWEST")
            || name.contains("shared");
        assert!(harmless, "{what}: nobody noticed");
    }
}

/// The oldest log file, the tables or a segment of an older copy of the store: opening refuses, or serves all that was told,
/// never less in silence; `judge` has looked.
#[test]
fn an_older_copy_of_a_directory_is_refused_or_complete() {
    let (machine, told) = grown(EngineKind::Memory, 1, true);
    let older = younger_self();
    for (dir, may_open) in [("log", false), ("views", true)] {
        let other = copy(&machine);
        for file in other
            .disk
            .files()
            .into_iter()
            .filter(|f| f.starts_with(dir))
        {
            other.disk.remove_file(&file).unwrap();
        }
        for file in older
            .disk
            .files()
            .into_iter()
            .filter(|f| f.starts_with(dir))
        {
            let bytes = older.disk.read_all(&file).unwrap();
            other.disk.plant(&file, &bytes).unwrap();
        }
        let segments = |m: &Machine| {
            let files = m.disk.files().into_iter();
            files
                .filter(|f| f.extension() == Some("seg".as_ref()))
                .count()
        };
        let before = segments(&other);
        let outcome = judge(&other, &told, &format!("an older {dir}"));
        assert!(
            may_open || outcome == Outcome::Refused,
            "an older {dir}: {outcome:?}"
        );
        if outcome == Outcome::Refused {
            assert_eq!(segments(&other), before, "refusing to open deletes nothing");
        }
    }
}

/// A segment that somebody renamed used to be deleted at the next opening, as one that no manifest names; it held the only
/// copy of its messages.
#[test]
fn a_renamed_segment_can_be_given_its_name_back() {
    let (machine, told) = grown(EngineKind::Memory, 1, true);
    let sealed: Vec<_> = machine
        .disk
        .files()
        .into_iter()
        .filter(|file| {
            ["seg", "vol"]
                .map(|e| file.extension() == Some(e.as_ref()))
                .contains(&true)
        })
        .collect();
    assert!(sealed.len() > 2);
    for path in sealed {
        let other = copy(&machine);
        let to = another_name(&path).unwrap();
        let bytes = other.disk.read_all(&path).unwrap();
        other.disk.remove_file(&path).unwrap();
        other.disk.plant(&to, &bytes).unwrap();
        run(async {
            let store = other.open().await.unwrap();
            let (name, gone) = (to.display().to_string(), path.display().to_string());
            let says = |text: &str| store.notices().iter().any(|n| n.contains(text));
            assert!(says(&name) && says(&gone), "{:?}", store.notices());
            drop(store);
        });
        let bytes = other.disk.read_all(&to).unwrap();
        other.disk.remove_file(&to).unwrap();
        other.disk.plant(&path, &bytes).unwrap();
        run(check(&other, &told, "given back"));
    }
}

/// Row 15: payloads that are files of the store, byte for byte: of a segment, a volume, and the log that holds them.
#[test]
fn payloads_that_are_files_of_the_store_are_only_payloads() {
    let (machine, _) = grown(EngineKind::Memory, 1, false);
    let take = |extension: &str, len: usize| {
        let mut files = machine.disk.files().into_iter();
        let path = files.rfind(|f| f.extension() == Some(extension.as_ref()));
        let mut bytes = machine.disk.read_all(&path.unwrap()).unwrap();
        bytes.truncate(len);
        bytes
    };
    let used = usize::try_from(used_of_log(&machine.disk)).unwrap();
    let payloads = [take("seg", 40_000), take("vol", 12_000), take("log", used)];
    let (bodies, ids) = run(async {
        let store = machine.open().await.unwrap();
        let app = store.app(&tidestore_tests::key("acme#chat")).unwrap();
        let (mut bodies, mut ids) = (Vec::new(), Vec::new());
        for payload in &payloads {
            for part in payload.chunks(1_400) {
                let mut message = text("forged", "ann", part.to_vec());
                message.ext = part.to_vec().into();
                app.append(message).await.unwrap();
                bodies.push(part.to_vec());
                let value: String = part
                    .iter()
                    .take(900)
                    .map(|b| char::from(b & 0x7f))
                    .collect();
                let pairs = [("forged".to_owned(), value)];
                app.user_attributes()
                    .set(&user("ann"), pairs)
                    .await
                    .unwrap();
            }
            let new = NewAttachment::new(user("ann"), "forged");
            ids.push(app.put_attachment(new, &payload[..]).await.unwrap().id);
        }
        (bodies, ids)
    });
    // Killed; then with the tail of the log torn, so that the log is searched for what lies behind.
    let (log, used) = (log_file(&machine.disk), used_of_log(&machine.disk));
    for torn in [None, Some(used - 3), Some(used - 900)] {
        let after = copy(&machine);
        if let Some(cut) = torn {
            after.disk.flip_bit(&log, cut, 3).unwrap();
        }
        run(async {
            let store = match after.open().await {
                Ok(store) => store,
                Err(error) => {
                    assert_eq!(*error.kind(), ErrorKind::Corruption, "{torn:?}");
                    assert!(torn.is_some(), "{error:?}");
                    return;
                }
            };
            let app = store.app(&tidestore_tests::key("acme#chat")).unwrap();
            let found = whole(&app, &group("forged")).await.unwrap();
            assert!(found.len() + usize::from(torn.is_some()) >= bodies.len());
            for (message, body) in found.iter().zip(&bodies) {
                assert_eq!(
                    (&message.body[..], &message.ext[..]),
                    (&body[..], &body[..])
                );
            }
            for (id, payload) in ids.iter().zip(&payloads) {
                let read = async { app.open_attachment(*id).await?.read_to_end().await };
                match read.await {
                    Ok(bytes) => assert!(bytes == *payload),
                    Err(error) => {
                        assert!(torn.is_some(), "{error:?}");
                        assert_eq!(*error.kind(), ErrorKind::AttachmentNotFound);
                    }
                }
            }
            assert_eq!(store.verify().await.unwrap().problems, []);
        });
    }
}

/// The worst forger knows the store's secret id, the file and the offset: a message carries a frame that is valid exactly
/// where it will lie. The frame around it is damaged. What it carries is never replayed; at most it counts as evidence that
/// the damage was synced, and opening refuses.
#[test]
fn a_frame_that_is_valid_where_it_lies_inside_a_body_is_never_replayed() {
    let noise = garbage(3_000);
    let lay = |first: &[u8], second: Option<&str>| {
        let mut machine = machine(EngineKind::Memory, 1);
        machine.options.log_file_bytes = 256 << 10;
        let begin = run(async {
            let (store, app) = machine.open_app(tidestore::plan::Plan::Pro).await;
            store.flush().await.unwrap();
            let begin = used_of_log(&machine.disk);
            app.append(text("tea", "ann", first.to_vec()))
                .await
                .unwrap();
            if let Some(second) = second {
                app.append(text("tea", "eve", second.to_owned()))
                    .await
                    .unwrap();
            }
            begin
        });
        let bytes = machine.disk.read_all(&log_file(&machine.disk)).unwrap();
        (copy(&machine), bytes, begin)
    };
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|w| w == what);
    // What a second, short message looks like behind a first one of 1,000 bytes.
    let (_, bytes, _) = lay(&noise[..1_000], None);
    let behind = find(&bytes, &noise[..1_000]).unwrap() + 1_000;
    let (_, bytes, _) = lay(&noise[..1_000], Some("EVIL"));
    let start = (behind..bytes.len())
        .find(|at| at % 8 == 0 && bytes[*at] != 0)
        .unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let frame = &bytes[start..end];
    assert!((40..400).contains(&frame.len()), "{}", frame.len());
    // The same place inside a first message of 3,000 bytes.
    let (_, bytes, _) = lay(&noise, None);
    let body = find(&bytes, &noise).unwrap();
    let mut forged = noise.clone();
    forged[start - body..end - body].copy_from_slice(frame);
    let (machine, bytes, _) = lay(&forged, None);
    assert_eq!(
        &bytes[start..end],
        frame,
        "the frame lies where it is valid"
    );
    for damaged in [body + 10, body + 2_900, body - 20] {
        let after = copy(&machine);
        let log = log_file(&after.disk);
        after.disk.flip_bit(&log, damaged as u64, 1).unwrap();
        run(async {
            match after.open().await {
                Err(error) => assert_eq!(*error.kind(), ErrorKind::Corruption, "{error:?}"),
                Ok(store) => {
                    let app = store.app(&tidestore_tests::key("acme#chat")).unwrap();
                    assert_eq!(whole(&app, &group("tea")).await.unwrap(), []);
                }
            }
        });
    }
}

/// redb does not compare the checksums of its pages when it reads them, so damaged tables may not name a file that they should.
/// Opening deleted what no table names; now it looks at all pages before it does.
#[test]
fn a_file_that_damaged_tables_do_not_name_is_left_alone() {
    let (machine, _) = grown(EngineKind::Redb, 1, true);
    let tables = Path::new("views/shard-00/tables.redb");
    let is_segment = |file: &PathBuf| file.extension() == Some("seg".as_ref());
    let segment = machine.disk.files().into_iter().find(is_segment).unwrap();
    let bytes = machine.disk.read_all(&segment).unwrap();
    // Its removal is durable in the tables, and it comes back.
    run(async {
        let store = machine.open().await.unwrap();
        let later = tidestore::disk::Clock::wall(&machine.clock) + 4_000 * tidestore_tests::DAY;
        store.expire_at(later).await.unwrap();
        store.close().await.unwrap();
    });
    machine.disk.plant(&segment, &bytes).unwrap();
    let whole = copy(&machine);
    drop(run(whole.open()).unwrap());
    assert!(whole.disk.read_all(&segment).is_err(), "it is swept");

    let len = machine.disk.read_all(tables).unwrap().len() as u64;
    let mut left_alone = 0;
    for at in (0..len).step_by(1_024) {
        let hurt = copy(&machine);
        hurt.disk.flip_bit(tables, at + 700, 3).unwrap();
        let Ok(store) = run(hurt.open()) else {
            assert!(hurt.disk.read_all(&segment).is_ok(), "byte {at}");
            continue;
        };
        let told = |notice: &String| notice.contains("the tables are damaged; left alone");
        let is_told = store.notices().iter().any(told);
        assert_eq!(hurt.disk.read_all(&segment).is_ok(), is_told, "byte {at}");
        left_alone += usize::from(is_told);
    }
    assert!(left_alone > 0);
}

/// A separator of redb's tree that was changed leads a search astray: rows came that were not behind the last ones, and
/// whoever went on behind them never came to an end. Opening hung.
#[test]
fn tables_that_lead_astray_are_named_and_end() {
    let (machine, _) = grown(EngineKind::Redb, 1, true);
    let tables = Path::new("views/shard-00/tables.redb");
    let bytes = machine.disk.read_all(tables).unwrap();
    let mut refused = 0;
    let is_branch = |page: &usize| bytes[*page] == 2;
    for page in (0..bytes.len()).step_by(4_096).filter(is_branch) {
        // Behind the head, checksums and numbers of the pages below and the ends of the separators come the separators; the
        // first byte of one is the table.
        let count = usize::from(u16::from_le_bytes([bytes[page + 2], bytes[page + 3]]));
        let first = page + 8 + 24 * (count + 1) + 4 * count;
        for bit in 0..3 * 8 {
            let hurt = copy(&machine);
            let (at, bit) = (first as u64 + bit / 8, u8::try_from(bit % 8).unwrap());
            hurt.disk.flip_bit(tables, at, bit).unwrap();
            if let Err(error) = run(hurt.open()) {
                let known = [ErrorKind::Corruption, ErrorKind::NotAStore];
                assert!(known.contains(error.kind()), "bit {bit} of {at}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}
