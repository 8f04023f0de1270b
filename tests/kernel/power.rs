//! The power goes: ext4 stops in the middle, and its journal is replayed.

use std::path::Path;
use std::time::Duration;

use rustix::fd::AsFd;
use tidestore::EngineKind;
use tidestore_tests::{group, key, run, whole};

use crate::child::Process;
use crate::host::{Host, Mount, need, pause, rounds};
use crate::said::Said;
use crate::work::{self, Task};

/// How ext4 is stopped.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Nothing more reaches the device, not even the journal that is in memory. The power cut.
    NoLogFlush = 2,
    /// The journal is written first, dirty data is not.
    LogFlush = 1,
    /// The filesystem is frozen first: an orderly stop, as of a volume that is taken away.
    Default = 0,
}

/// Stops a filesystem from now on: what is dirty is lost, and everything fails with EIO.
#[expect(unsafe_code, reason = "no crate offers this call")]
fn cut_power(dir: &Path, cut: Cut) {
    use rustix::ioctl::{Setter, ioctl, opcode};
    /// `EXT4_IOC_SHUTDOWN`, which XFS and F2FS have by the same number.
    const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
    let dir = std::fs::File::open(dir).unwrap();
    // SAFETY: the call reads a u32 through the pointer that it gets, and `Setter` passes one that lives until it returns.
    unsafe { ioctl(dir.as_fd(), Setter::<SHUTDOWN, u32>::new(cut as u32)) }.unwrap();
}

/// A filesystem that can be cut, its image in memory: whatever the device was given survives.
fn filesystem(host: &Host, options: &str) -> Result<(Mount, Mount), String> {
    let below = host.tmpfs("below", "size=512m")?;
    let image = below.dir().join("image");
    let mount = host.ext4(&image, 400, &["-O", "has_journal"], options)?;
    Ok((mount, below))
}

const PROGRAMS: [&str; 3] = ["mount", "umount", "mkfs.ext4"];

fn power_cuts(engine: EngineKind, options: &str) {
    let host = need!(Host::take(&PROGRAMS));
    let (mount, _below) = need!(filesystem(&host, options));
    let dir = mount.dir().join("data");
    let mut said = Said::default();
    let count = rounds(4);
    for round in 0..count {
        let task = Task {
            what: "write",
            engine,
            shards: 2,
            round,
            dir: dir.clone(),
        };
        let mut process = Process::start(&task.line());
        process.until(|line| line == "opened");
        pause(Duration::from_millis(50 + round * 7_919 % 600));
        let cut = [
            Cut::NoLogFlush,
            Cut::LogFlush,
            Cut::NoLogFlush,
            Cut::Default,
        ];
        cut_power(mount.dir(), cut[usize::try_from(round % 4).unwrap()]);
        // It goes on for a while without a disk.
        pause(Duration::from_millis(30));
        said.hear(&process.kill());
        mount.again();
        said.check(&dir, engine, 2);
    }
    println!("{engine} {options}: {count} cuts, {}", said.figures());
    assert!(said.acknowledgements > 50 * count);
}

#[test]
fn what_was_acknowledged_before_a_power_cut_is_there_with_redb() {
    power_cuts(EngineKind::Redb, "data=ordered");
}

#[test]
fn what_was_acknowledged_before_a_power_cut_is_there_with_sled() {
    power_cuts(EngineKind::Sled, "data=ordered");
}

#[test]
fn what_was_acknowledged_before_a_power_cut_is_there_with_writeback_data() {
    power_cuts(EngineKind::Redb, "data=writeback");
}

#[test]
fn a_store_whose_making_is_cut_short_can_be_opened_and_keeps_what_it_acknowledged() {
    let host = need!(Host::take(&PROGRAMS));
    let (mount, _below) = need!(filesystem(&host, "data=ordered"));
    let mut created = 0;
    let count = rounds(4) * 2;
    for round in 0..count {
        let engine = if round % 2 == 0 {
            EngineKind::Redb
        } else {
            EngineKind::Sled
        };
        let dir = mount.dir().join(format!("deep/er/data{round}"));
        let task = Task {
            what: "create",
            engine,
            shards: 2,
            round,
            dir: dir.clone(),
        };
        let mut process = Process::start(&task.line());
        process.until(|line| line == "begin");
        if round % 4 < 2 {
            pause(Duration::from_millis(round * 13 % 60));
        } else {
            // As soon as anything was promised.
            process.until(|line| line == "created");
        }
        cut_power(mount.dir(), Cut::NoLogFlush);
        let words = process.kill();
        mount.again();
        let mut said = Said::default();
        said.hear(&words);
        let was_created = words.iter().any(|line| line == "created");
        created += u64::from(was_created);
        run(async {
            let store = tidestore::Store::open(&dir, work::options(engine, 2)).await;
            let store = store.unwrap();
            let app = store.app(&key("acme#chat"));
            assert!(app.is_ok() || !was_created, "the app is gone");
            let sent = words.iter().filter(|line| line.starts_with("sent")).count();
            if let Ok(app) = app {
                assert!(whole(&app, &group("g0")).await.unwrap().len() >= sent);
            }
            assert_eq!(store.verify().await.unwrap().problems, []);
            store.close().await.unwrap();
        });
    }
    println!("{count} cuts, {created} of them after the store was made");
    assert!(created > 0);
}

#[test]
fn segments_that_come_back_after_a_power_cut_expire_again() {
    let host = need!(Host::take(&PROGRAMS));
    let (mount, _below) = need!(filesystem(&host, "data=ordered"));
    let dir = mount.dir().join("data");
    let mut said = Said::default();
    let mut back = 0;
    let count = rounds(4).min(8);
    for round in 0..count {
        let task = Task {
            what: "expire",
            engine: EngineKind::Redb,
            shards: 2,
            round,
            dir: dir.clone(),
        };
        let mut process = Process::start(&task.line());
        // In the middle of the unlinking, or behind it, before anything has made it durable.
        let word = if round % 2 == 0 {
            "expired"
        } else {
            "imported"
        };
        process.until(|line| line.starts_with(word));
        pause(Duration::from_millis(round / 2 * 3));
        cut_power(mount.dir(), Cut::NoLogFlush);
        let words = process.kill();
        said.hear(&words);
        mount.again();
        let before = segments(&dir);
        let has_expired = words.iter().any(|line| line.starts_with("expired"));
        run(async {
            let (store, app) = work::open(&dir, EngineKind::Redb, 2).await.unwrap();
            if !has_expired {
                // It was cut short; the same time once more.
                store
                    .expire_at(work::time_that_expires(round))
                    .await
                    .unwrap();
            }
            for n in 0..8 {
                let found = whole(&app, &group(&format!("old{n}"))).await.unwrap();
                assert_eq!(found, [], "expired messages are back");
            }
            said.compare(&store, &app).await;
            store.flush().await.unwrap();
            let named = store.verify().await.unwrap().segments;
            let after = segments(&dir);
            assert_eq!(after as u64, named, "files are left that nothing names");
            back += usize::from(has_expired) * before.saturating_sub(after);
            store.close().await.unwrap();
        });
    }
    println!("{count} cuts; {back} segments came back after they were unlinked, and went");
}

/// How many segment files there are.
fn segments(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let count = entries.map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            segments(&path)
        } else {
            usize::from(path.extension().is_some_and(|kind| kind == "seg"))
        }
    });
    count.sum()
}
