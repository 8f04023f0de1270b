//! A thin image whose host is full: a flush fails, and the next one would claim success.
//!
//! What the flush could not write is lost although it can still be read. So the store must not say anything on the strength of
//! a later flush, and must write its tail anew when it is opened.
//!
//! Such a device does not always tell. Seen with Linux 6.18: of 75 images that were filled so, two had lost pages after mounting again;
//! where it was looked at, an acknowledged record of an attachment was half there and half zeros, in extents marked as written. A short
//! program that only appends and flushes lost flushed records there too, in the one round that it got through. What in the kernel
//! does it was not found. This test cannot tell such a loss from a rare fault of the store's; a store that goes on after a failed flush
//! should lose something in most rounds. So one image in four may be lost, and no more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tidestore::EngineKind;

use crate::child::Process;
use crate::host::{Host, fill, need, pause, rounds};
use crate::said::Said;
use crate::work::Task;

fn thin(engine: EngineKind) {
    let host = need!(Host::take(&["mount", "umount", "mkfs.ext4"]));
    let rounds = rounds(4);
    let mut lost = 0;
    for round in 0..rounds {
        let below = need!(host.tmpfs("below", "size=96m"));
        let image = below.dir().join("image");
        // A small journal is allocated soon, so that it goes on when data cannot be written any more.
        let format = ["-J", "size=4", "-E", "nodiscard"];
        let mount = need!(host.ext4(&image, 400, &format, "nodiscard"));
        let dir = mount.dir().join("data");
        let task = Task {
            what: "write",
            engine,
            // One shard, so that one failed flush must silence everybody.
            shards: 1,
            round,
            dir: dir.clone(),
        };
        let mut process = Process::start(&task.line());
        process.until(|line| line == "opened");
        pause(Duration::from_millis(700 + round * 331 % 500));
        let filler = below.dir().join("filler");
        fill(&filler);
        process.until(|line| line == "all stopped");
        let reads = process.until(|line| line.starts_with("reads"));
        let words = process.kill();
        let mut said = Said::default();
        said.hear(&words);
        // sled does not outlive a full disk: it is opened anew, and where the disk is too full for that, it stays closed until
        // there is room (docs/PROMISES.md). What it holds is checked below like everything else.
        let is_closed =
            engine == EngineKind::Sled && reads.contains("closed since the disk was full");
        assert!(
            is_closed || reads == "reads work",
            "{reads}: {:?}",
            said.stopped
        );
        // A flush of a file that is not in use yet fails as a full disk, or as the filesystem says when it has given up; one
        // that may hold what was promised latches.
        let count = |wanted: &str| said.stopped.iter().filter(|(_, k)| k == wanted).count();
        let (full, failed, poisoned) = (count("Full"), count("Io"), count("Poisoned"));
        let known = full + failed + poisoned;
        assert_eq!(known, said.stopped.len(), "{:?}", said.stopped);
        println!(
            "{engine}: {}; writers stopped: {full} full, {failed} failed, {poisoned} poisoned",
            said.figures(),
        );

        std::fs::remove_file(&filler).unwrap();
        // First with the page cache as the failed flush left it, where lost pages pass for clean ones. A filesystem that
        // has given up must be mounted again before.
        let probe = std::fs::write(mount.dir().join("probe"), "x");
        let is_alive = probe.is_ok();
        if is_alive && !Said::is_refused_for_sled(&dir, engine, 1) {
            said.check(&dir, engine, 1);
            println!("{engine}: opened at once");
        }
        mount.again();
        if Said::is_refused_for_sled(&dir, engine, 1) {
            println!("sled lost what it had flushed, and opening says so");
            continue;
        }
        let is_kept = catch_unwind(AssertUnwindSafe(|| said.check(&dir, engine, 1))).is_ok();
        lost += u64::from(!is_kept);
        println!(
            "{engine}: {}opened after mounting again, {}",
            if is_alive { "" } else { "read-only before; " },
            if is_kept {
                "all is there"
            } else {
                "and flushed pages are gone"
            }
        );
    }
    assert!(
        lost <= rounds / 4,
        "{engine}: {lost} of {rounds} images lost what was acknowledged"
    );
}

#[test]
fn a_flush_that_fails_once_silences_the_store_and_costs_nothing_with_redb() {
    thin(EngineKind::Redb);
}

#[test]
fn a_flush_that_fails_once_silences_the_store_and_costs_nothing_with_sled() {
    thin(EngineKind::Sled);
}
