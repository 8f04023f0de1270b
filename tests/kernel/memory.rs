//! A large store in a small memory cgroup: nothing is killed for want of memory.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::host::{Host, Permitted, need, pause};
use crate::program::{KEY, Program};

/// The limit, in MiB.
const MIB: u64 = 192;
/// Messages of the store.
const LINES: u64 = 400_000;

/// A cgroup that limits memory; removed when dropped.
struct Group {
    dir: PathBuf,
    is_v1: bool,
}

impl Group {
    fn make(bytes: u64) -> Permitted<Self> {
        let name = format!("tidestore-kernel-{}", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let is_v1 = v1.join("memory.limit_in_bytes").exists();
        let v2 = Path::new("/sys/fs/cgroup");
        let root = if is_v1 { v1 } else { v2 };
        if !is_v1 && !v2.join("cgroup.controllers").exists() {
            return Err("no memory cgroup".to_owned());
        }
        let group = Self {
            dir: root.join(name),
            is_v1,
        };
        let failed = |error| format!("no memory cgroup: {error}");
        std::fs::create_dir_all(&group.dir).map_err(failed)?;
        let limit = if is_v1 {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        };
        std::fs::write(group.dir.join(limit), bytes.to_string()).map_err(failed)?;
        Ok(group)
    }

    /// The most that was charged, page cache included, in bytes.
    fn peak(&self) -> String {
        let name = if self.is_v1 {
            "memory.max_usage_in_bytes"
        } else {
            "memory.peak"
        };
        let found = std::fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        found.trim().to_owned()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.dir);
    }
}

/// Runs the program in the group; answers the most memory that it had for itself, in KiB.
fn run_within(group: &Group, program: &Program, args: &[&str]) -> u64 {
    let procs = group.dir.join("cgroup.procs");
    let enter = format!("echo $$ > {} && exec \"$@\"", procs.display());
    let mut command = program.command(&["sh", "-c", &enter, "sh"], args);
    let out = std::fs::File::create(program.dir.join("out")).unwrap();
    let mut child = command.stdout(Stdio::from(out)).spawn().unwrap();
    let mut most = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let path = format!("/proc/{}/status", child.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        most = most.max(kib.unwrap_or(0));
        pause(Duration::from_millis(20));
    };
    assert!(status.success(), "{args:?}: {status}, {most} KiB");
    most
}

#[test]
fn a_large_import_and_its_export_live_in_a_small_memory() {
    let host = need!(Host::take(&["cp", "timeout", "sh"]));
    let program = need!(Program::with_app(&host, "memory"));

    let group = need!(Group::make(MIB << 20));

    program.write_lines("large.jsonl", 0..LINES);
    let import = run_within(&group, &program, &["import", KEY, "large.jsonl"]);
    let export = run_within(&group, &program, &["export", KEY]);
    let out = std::fs::read(program.dir.join("out")).unwrap();
    let lines = out.split(|byte| *byte == b'\n').count() - 1;
    assert_eq!(lines as u64, LINES);
    let verify = run_within(&group, &program, &["verify"]);
    println!(
        "within {MIB} MiB: import {import} KiB, export {export} KiB, verify {verify} KiB resident; with page cache {} bytes",
        group.peak()
    );
}
