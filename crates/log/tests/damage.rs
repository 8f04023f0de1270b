//! Damaged, moved and half-made files, failed trims and refused batches.
#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, Fault, OpKind, SimDisk, Survival};
use tidestore_log::{ErrorKind, FileLog, Log, LogOptions, Position, RecoveryReport, Result};

const DIR: &str = "log";

fn options() -> LogOptions {
    LogOptions {
        file_bytes: 1_024,
        zero_ahead: 256,
        ..LogOptions::default()
    }
}
fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk
}
fn open(disk: &SimDisk) -> Result<(FileLog, RecoveryReport)> {
    FileLog::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        [7; 16],
        0,
        options(),
    )
}
fn batch(n: u64) -> Vec<u8> {
    let len = n * 37 % 150 + 1;
    (0..len)
        .map(|at| u8::try_from((n * 31 + at * 7) % 251).unwrap())
        .collect()
}
fn logs(disk: &SimDisk) -> Vec<PathBuf> {
    let ok = |p: &PathBuf| {
        let name = p.file_name().unwrap().to_string_lossy().into_owned();
        p.extension() == Some("log".as_ref()) && !name.starts_with("spare")
    };
    disk.files().into_iter().filter(ok).collect()
}
fn read(log: &FileLog) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    log.replay(log.first(), &mut |p, b| {
        all.push((p.0, b.to_vec()));
        Ok(())
    })
    .unwrap();
    all
}
fn filled(n: u64) -> SimDisk {
    let disk = disk();
    let (mut log, _) = open(&disk).unwrap();
    for n in 1..=n {
        log.append(&batch(n)).unwrap();
        log.sync().unwrap();
    }
    disk
}

/// One zeroed sector at the start of the newest file.
#[test]
fn a_zeroed_first_sector_of_the_newest_file_is_damage() {
    for count in [12, 30] {
        let disk = filled(count);
        let newest = logs(&disk).pop().unwrap();
        let before = disk.read_all(&newest).unwrap();
        for len in [64_usize, 96, 128, 512] {
            let hurt = disk.crash(0, Survival::ALL);
            hurt.overwrite(&newest, 0, &vec![0; len.min(before.len())])
                .unwrap();
            match open(&hurt) {
                Err(e) => assert_eq!(e.kind(), ErrorKind::Corruption),
                Ok((log, report)) => panic!(
                    "count {count}, {len} bytes zeroed: opened with end {} of {count}, file still there: {}, notices {}",
                    log.end(),
                    hurt.files().contains(&newest),
                    report.notices().count()
                ),
            }
        }
    }
}

/// The same when it is the only file: everything is gone.
#[test]
fn a_zeroed_first_sector_of_the_only_file_is_damage() {
    let disk = filled(5);
    let only = logs(&disk).pop().unwrap();
    assert_eq!(logs(&disk).len(), 1);
    disk.overwrite(&only, 0, &[0; 512]).unwrap();
    match open(&disk) {
        Err(e) => assert_eq!(e.kind(), ErrorKind::Corruption),
        Ok((log, r)) => panic!(
            "opened with end {}, files {:?}, notices {}",
            log.end(),
            disk.files(),
            r.notices().count()
        ),
    }
}

/// Each file under another name, never deleted.
#[test]
fn a_renamed_file_is_refused_and_left_where_it_is() {
    let disk = filled(40);
    for file in logs(&disk) {
        let hurt = disk.crash(0, Survival::ALL);
        let other = Path::new(DIR).join("00000099.log");
        hurt.rename(&file, &other).unwrap();
        let opened = open(&hurt).map(|(l, _)| (l.first(), l.end()));
        assert!(
            hurt.files().contains(&other),
            "{} was deleted; open: {opened:?}",
            file.display()
        );
        assert_eq!(
            opened.unwrap_err().kind(),
            ErrorKind::Corruption,
            "{}",
            file.display()
        );
    }
}

/// A file whose making failed and that could not be removed (as after a kill) must not block a later opening.
#[test]
fn a_file_whose_making_was_cut_short_never_blocks_opening() {
    for recycled in [false, true] {
        for kind in [OpKind::Write, OpKind::Sync, OpKind::Rename, OpKind::SyncDir] {
            let disk = disk();
            let (mut log, _) = open(&disk).unwrap();
            for n in 1..=30 {
                log.append(&batch(n)).unwrap();
                log.sync().unwrap();
                if recycled {
                    log.trim(Position(n)).unwrap();
                }
            }
            drop(log);
            let (mut log, _) = open(&disk).unwrap();
            disk.fail_matching(kind, 1, Fault::Eio);
            disk.fail_always(OpKind::Remove, Fault::Eio);
            drop(log.append(&batch(31)));
            drop(log);
            disk.clear_faults();
            let (mut log, _) = open(&disk).unwrap();
            log.append(&batch(32)).unwrap();
            log.sync().unwrap();
            let end = log.end();
            drop(log);
            for survival in Survival::LEVELS {
                for seed in 0..20 {
                    let (log, _) = open(&disk.crash(seed, survival)).unwrap_or_else(|e| {
                        panic!(
                            "recycled {recycled}, {kind:?} failed, {survival:?}, seed {seed}: {e}"
                        )
                    });
                    assert_eq!(log.end(), end);
                }
            }
        }
    }
}

/// Appends go on after a full disk; then the power goes at any operation.
#[test]
fn going_on_after_a_full_disk_survives_a_crash_anywhere() {
    let (mut refused, mut reached) = (0, 0);
    for j in 1..=140 {
        for k in (j + 1)..=(j + 40) {
            let disk = disk();
            let mut fulls = 0;
            disk.fail_at(j, Fault::NoSpace);
            disk.crash_at(k);
            let mut synced: Vec<Vec<u8>> = Vec::new();
            let mut pending: Vec<Vec<u8>> = Vec::new();
            let Ok((mut log, _)) = open(&disk) else {
                continue;
            };
            for n in 1..=40 {
                match log.append(&batch(n)) {
                    Ok(_) => pending.push(batch(n)),
                    Err(e) if e.kind() == ErrorKind::Full => {
                        fulls += 1;
                        continue;
                    }
                    Err(_) => break,
                }
                if log.sync().is_err() {
                    break;
                }
                synced.append(&mut pending);
            }
            drop(log);
            if !disk.is_crashed() || fulls == 0 {
                continue;
            }
            reached += 1;
            for survival in Survival::LEVELS {
                for seed in 0..4 {
                    match open(&disk.crash(seed, survival)) {
                        Err(e) => {
                            refused += 1;
                            if refused < 4 {
                                eprintln!(
                                    "nospace at {j}, crash at {k}, {survival:?}, seed {seed}: {e}"
                                );
                            }
                        }
                        Ok((log, _)) => {
                            let found: Vec<_> = read(&log).into_iter().map(|(_, b)| b).collect();
                            assert!(found.len() >= synced.len(), "j {j} k {k}: lost");
                            assert_eq!(found[..synced.len()], synced[..]);
                        }
                    }
                }
            }
        }
    }
    assert!(reached > 100, "{reached} states reached");
    assert_eq!(refused, 0, "legitimate crash states that do not open");
}

/// A trim whose directory sync fails; `first` must not claim what is gone.
#[test]
fn a_failed_trim_leaves_first_and_replay_telling_the_truth() {
    for kind in [OpKind::SyncDir, OpKind::Rename, OpKind::Remove] {
        let disk = filled(40);
        let (mut log, _) = open(&disk).unwrap();
        disk.fail_matching(kind, 1, Fault::Eio);
        let result = log.trim(Position(30));
        let first = log.first().0;
        let found = read(&log);
        assert_eq!(
            found[0].0, first,
            "{kind:?}: trim {result:?}: replay from first() begins at {}",
            found[0].0
        );
    }
}

/// Trim, killed before the directory sync, opened again, trimmed again, power cut: no gap.
#[test]
fn trims_around_a_killed_process_leave_no_gap() {
    let mut refused = Vec::new();
    for first_op in 1..=6 {
        let disk = filled(40);
        let (mut log, _) = open(&disk).unwrap();
        // EIO at SyncDir stands for a process that died before it.
        disk.fail_matching(OpKind::SyncDir, first_op, Fault::Eio);
        drop(log.trim(Position(12)));
        drop(log);
        disk.clear_faults();
        for k in 1..30 {
            // the same state cannot be forked without a crash, so do it again
            let disk = filled(40);
            let (mut log, _) = open(&disk).unwrap();
            disk.fail_matching(OpKind::SyncDir, first_op, Fault::Eio);
            drop(log.trim(Position(12)));
            drop(log);
            disk.clear_faults();
            let Ok((mut log, _)) = open(&disk) else {
                panic!()
            };
            disk.crash_at(k);
            drop(log.trim(Position(30)));
            drop(log);
            for survival in Survival::LEVELS {
                for seed in 0..16 {
                    if let Err(e) = open(&disk.crash(seed, survival)) {
                        refused.push(format!(
                            "op {first_op}, k {k}, {survival:?}, seed {seed}: {e}"
                        ));
                    }
                }
            }
        }
    }
    assert!(
        refused.is_empty(),
        "{} refusals, e.g. {}",
        refused.len(),
        refused[0]
    );
}

/// A batch refused with Full must not be there after reopening.
#[test]
fn a_batch_refused_for_space_is_not_there_after_reopening() {
    let mut ghosts = Vec::new();
    for room in 0..400_u64 {
        let disk = disk();
        let (mut log, _) = open(&disk).unwrap();
        log.append(&batch(1)).unwrap();
        log.sync().unwrap();
        disk.set_space(Some(disk.total_bytes() + room));
        let mut ok = 1;
        let mut full = false;
        for n in 2..20 {
            match log.append(&batch(n)) {
                Ok(_) => ok += 1,
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Full);
                    full = true;
                    break;
                }
            }
        }
        drop(log);
        disk.set_space(None);
        let (log, _) = open(&disk).unwrap();
        if full && log.end().0 != ok {
            ghosts.push((room, ok, log.end().0));
        }
    }
    assert!(ghosts.is_empty(), "(room, accepted, found) {ghosts:?}");
}

/// What an opening replayed after a failure is durable: a power cut right after it takes nothing back.
#[test]
fn what_was_replayed_after_a_failure_stays() {
    for fault in [Fault::Eio, Fault::NoSpace, Fault::ShortIo(1)] {
        for j in 1..=200 {
            let disk = disk();
            disk.fail_at(j, fault);
            let Ok((mut log, _)) = open(&disk) else {
                continue;
            };
            for n in 1..=40 {
                match log.append(&batch(n)) {
                    Err(e) if e.kind() != ErrorKind::Full => break,
                    _ => {}
                }
                if n % 3 == 0 && log.sync().is_err() {
                    break;
                }
            }
            drop(log);
            disk.clear_faults();
            let (log, _) = open(&disk).unwrap();
            let told = read(&log);
            drop(log);
            for seed in 0..4 {
                let (log, _) = open(&disk.crash(seed, Survival::NONE)).unwrap();
                assert_eq!(read(&log), told, "{fault:?} at {j}");
            }
        }
    }
}

/// Zeroed or garbage sectors anywhere: a batch that an intact later frame vouches for is never silently gone.
#[test]
fn a_bad_sector_anywhere_is_never_silent_loss_of_vouched_batches() {
    let mut silent = Vec::new();
    let disk = filled(40);
    for file in logs(&disk) {
        let len = disk.read_all(&file).unwrap().len();
        for at in (0..len).step_by(64) {
            for fill in [0_u8, 0xa5] {
                for width in [64_usize, 128, 256] {
                    let width = width.min(len - at);
                    let hurt = disk.crash(0, Survival::ALL);
                    hurt.overwrite(&file, at as u64, &vec![fill; width])
                        .unwrap();
                    // frames behind the damage in the same file, or a younger file, vouch
                    if let Ok((log, _)) = open(&hurt) {
                        let bytes = disk.read_all(&file).unwrap();
                        let later = bytes[at + width..]
                            .chunks(8)
                            .filter(|c| c.iter().any(|b| *b != 0))
                            .count()
                            > 40;
                        if log.end().0 < 40 && (later || file != *logs(&disk).last().unwrap()) {
                            silent.push(format!(
                                "{} at {at} width {width} fill {fill:#x}: end {}",
                                file.display(),
                                log.end()
                            ));
                        }
                    }
                }
            }
        }
    }
    assert!(
        silent.is_empty(),
        "{} cases, e.g. {}",
        silent.len(),
        silent[0]
    );
}

/// A 32 MiB batch, twice, through default options and one-byte-short reads of heads.
#[test]
fn a_batch_of_32_mib_comes_back() {
    let disk = disk();
    let open = || {
        FileLog::open(
            Arc::new(disk.clone()),
            Path::new(DIR),
            [7; 16],
            0,
            LogOptions::default(),
        )
    };
    let mut x = 1_u64;
    let big: Vec<u8> = (0..32 << 20)
        .map(|_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (x >> 56) as u8
        })
        .collect();
    let (mut log, _) = open().unwrap();
    log.append(b"a").unwrap();
    log.append(&big).unwrap();
    log.append(b"b").unwrap();
    log.sync().unwrap();
    drop(log);
    let (log, _) = open().unwrap();
    let found = read(&log);
    assert_eq!(found.len(), 3);
    assert!(found[1].1 == big);
}

/// A disk that is full for writes into existing blocks too stays retryable.
#[test]
fn a_disk_that_refuses_every_write_for_space_is_not_final() {
    let disk = disk();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&batch(1)).unwrap();
    log.sync().unwrap();
    disk.fail_always(OpKind::Write, Fault::NoSpace);
    for _ in 0..3 {
        assert_eq!(log.append(&batch(2)).unwrap_err().kind(), ErrorKind::Full);
    }
    disk.clear_faults();
    assert_eq!(log.append(&batch(2)).unwrap(), Position(2));
    log.sync().unwrap();
    drop(log);
    let (log, _) = open(&disk.crash(0, Survival::NONE)).unwrap();
    assert_eq!(log.end(), Position(2));
}

/// One bit of the head of the last batch. No later frame vouches for it, so it is taken for torn; but opening used to say
/// nothing, because what is there did not begin like a frame, and a synced batch was gone in silence.
#[test]
fn a_flipped_bit_in_the_last_head_is_told_of() {
    for count in [1, 2, 5] {
        let disk = filled(count);
        let newest = logs(&disk).pop().unwrap();
        let bytes = disk.read_all(&newest).unwrap();
        let payload = batch(count);
        let at = bytes.windows(payload.len()).rposition(|w| w == payload);
        let head = at.unwrap() as u64 - 32;
        for bit in 0..32 * 8 {
            let hurt = disk.crash(0, Survival::ALL);
            let place = u8::try_from(bit % 8).unwrap();
            hurt.flip_bit(&newest, head + bit / 8, place).unwrap();
            let (log, report) = open(&hurt).unwrap();
            assert_eq!(read(&log).len() as u64, count - 1, "bit {bit}");
            let notices: Vec<_> = report.notices().map(ToString::to_string).collect();
            assert!(
                notices.iter().any(|notice| notice.contains("torn batch")),
                "bit {bit} of the head of batch {count}: {notices:?}"
            );
        }
    }
}

/// The newest file was moved away, or lost by a repair of the filesystem: the chain of positions does not tell of it, and the
/// log opened without what was acknowledged last.
#[test]
fn a_newest_file_that_is_missing_is_damage() {
    for count in [1, 12, 30] {
        let disk = filled(count);
        let newest = logs(&disk).pop().unwrap();
        let hurt = disk.crash(0, Survival::NONE);
        hurt.remove_file(&newest).unwrap();
        let error = open(&hurt).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{count}");
        let name = newest.display().to_string();
        assert!(error.to_string().contains(&name), "{error}");
    }
}

/// Whatever becomes of the file that names the newest one, no log that is whole is refused, and none loses a batch.
#[test]
fn what_names_the_newest_file_may_be_lost_or_damaged() {
    let disk = filled(30);
    let name = Path::new(DIR).join("NEWEST");
    for damage in 0..3 {
        let hurt = disk.crash(0, Survival::NONE);
        match damage {
            0 => hurt.remove_file(&name).unwrap(),
            1 => hurt.flip_bit(&name, 17, 2).unwrap(),
            _ => hurt.truncate(&name, 5).unwrap(),
        }
        let (mut log, report) = open(&hurt).unwrap();
        let is_told = report.notices().any(|it| it.to_string().contains("NEWEST"));
        assert_eq!(is_told, damage > 0);
        assert_eq!(log.end(), Position(30));
        log.append(&batch(31)).unwrap();
        log.sync().unwrap();
        drop(log);
        // The next log file has written it anew.
        let (log, report) = open(&hurt).unwrap();
        assert_eq!((log.end(), report.notices().count()), (Position(31), 0));
        drop(log);
        hurt.remove_file(&logs(&hurt).pop().unwrap()).unwrap();
        open(&hurt).unwrap_err();
    }
}
