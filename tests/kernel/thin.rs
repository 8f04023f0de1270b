//! A thin image whose host is full: a flush fails, and the next one would claim success.
//!
//! What the flush could not write is lost although it can still be read. So the store must not say anything on the strength of
//! a later flush, and must write its tail anew when it is opened.

use std::time::Duration;

use tidestore::EngineKind;

use crate::child::Process;
use crate::host::{Host, fill, need, pause, rounds};
use crate::said::Said;
use crate::work::Task;

fn thin(engine: EngineKind) {
    let host = need!(Host::take(&["mount", "umount", "mkfs.ext4"]));
    for round in 0..rounds(2) {
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
        assert_eq!(reads, "reads work", "{:?}", said.stopped);
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
        }
        mount.again();
        if Said::is_refused_for_sled(&dir, engine, 1) {
            println!("sled lost what it had flushed, and opening says so");
            continue;
        }
        said.check(&dir, engine, 1);
        println!(
            "{engine}: opened {} and after mounting again",
            if is_alive {
                "at once"
            } else {
                "not at once: read-only"
            }
        );
    }
}

#[test]
fn a_flush_that_fails_once_silences_the_store_and_costs_nothing_with_redb() {
    thin(EngineKind::Redb);
}

#[test]
fn a_flush_that_fails_once_silences_the_store_and_costs_nothing_with_sled() {
    thin(EngineKind::Sled);
}
