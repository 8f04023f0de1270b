//! The kernel refuses a call of the program, or kills it there.
//!
//! `strace` counts the calls of each thread; the k-th of every thread fails, k = 1, 2, 3 …

use std::os::unix::process::ExitStatusExt;

use crate::host::{Host, need, rounds};
use crate::program::{KEY, Program, stderr};

/// Lines that are there before, and lines that the disturbed import brings.
const BEFORE: u64 = 300;
const LINES: u64 = 1_500;

/// A store with some messages, and a file with more.
fn prepared(host: &Host) -> Result<Program, String> {
    let program = Program::with_app(host, "base")?;
    program.write_lines("first.jsonl", 0..BEFORE);
    program.write_lines("more.jsonl", BEFORE..BEFORE + LINES);
    let args = ["import", KEY, "first.jsonl", "--acks", "first"];
    assert_eq!(program.run(&[], &args).status.code(), Some(0));
    let users = program.run(&[], &["user", "register", KEY, "u1", "u2"]);
    assert_eq!(users.status.code(), Some(0), "{}", stderr(&users));
    Ok(program)
}

/// What is tried at every call: calls, and what is done to them.
const FAULTS: [(&str, &str); 9] = [
    ("fdatasync,fsync", "error=EIO:when="),
    ("fdatasync,fsync", "signal=SIGKILL:when="),
    ("pwrite64", "error=ENOSPC:when="),
    ("pwrite64", "error=EIO:when="),
    ("pwrite64", "signal=SIGKILL:when="),
    ("openat2", "error=EMFILE:when="),
    ("renameat,renameat2,rename", "error=EIO:when="),
    ("ftruncate,fallocate,mkdirat", "error=ENOSPC:when="),
    ("unlinkat", "error=EIO:when="),
];

/// Which call: all of the first ones, then ever fewer.
fn moments() -> Vec<u64> {
    let dense = rounds(2);
    let mut moments: Vec<u64> = (1..=dense).collect();
    let mut next = dense;
    while next < 12 {
        next += next / 2 + 1;
        moments.push(next);
    }
    moments
}

#[derive(Debug, Default)]
struct Tally {
    runs: u64,
    failed: u64,
    killed: u64,
    acknowledged: u64,
}

fn disturb(program: &Program, calls: &str, fault: &str, tally: &mut Tally) {
    let what = format!("{calls} {fault}");
    let here = program.copy("run");
    let inject = format!("inject={calls}:{fault}");
    let trace = format!("trace={calls}");
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &trace,
        "-e",
        &inject,
    ];
    let import = ["import", KEY, "more.jsonl", "--acks", "acks"];
    let output = here.run(&strace, &import);
    let said = stderr(&output);
    tally.runs += 1;
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => {}
        (None, Some(9)) => tally.killed += 1,
        // A store that cannot be opened or goes no further says why.
        (Some(5..=7), _) => tally.failed += 1,
        other => panic!("{what}: ended with {other:?}: {said}"),
    }
    assert!(!said.contains("panicked"), "{what}: {said}");
    let stored = here.stored();
    let acknowledged = here.check_in(&stored, "acks", BEFORE, &what);
    here.check_in(&stored, "first", 0, &what);
    tally.acknowledged += acknowledged as u64;
    if output.status.code() == Some(0) {
        assert_eq!(
            acknowledged as u64, LINES,
            "{what}: it said that all is well"
        );
    }
    here.verify(&what);
    let again = here.run(&[], &["import", KEY, "more.jsonl"]);
    assert_eq!(again.status.code(), Some(0), "{what}: {}", stderr(&again));
    assert_eq!(
        here.stored().len() as u64,
        BEFORE + LINES,
        "{what}: stored twice"
    );
}

#[test]
fn whatever_call_of_an_import_fails_or_kills_it_what_it_acknowledged_is_there() {
    let host = need!(Host::take(&["strace", "cp", "timeout"]));
    let program = need!(prepared(&host));
    for (calls, fault) in FAULTS {
        let mut tally = Tally::default();
        for moment in moments() {
            disturb(&program, calls, &format!("{fault}{moment}"), &mut tally);
        }
        // And from some call on for ever, where that is not the end of the process.
        if fault.starts_with("error") {
            for moment in [1, 4] {
                disturb(&program, calls, &format!("{fault}{moment}+"), &mut tally);
            }
        }
        println!("{calls} {fault}K: {tally:?}");
        assert!(
            tally.failed + tally.killed > 0
                || calls.contains("unlink")
                || calls.contains("truncate")
        );
    }
}

/// A signal that comes while a call waits is no fault: the call is made again, and nobody hears of it.
#[test]
fn an_interrupted_read_or_write_is_made_again() {
    let host = need!(Host::take(&["strace", "cp", "timeout"]));
    let program = need!(prepared(&host));
    // The first reads are those of the loader, which gives up.
    let calls = [
        ("pread64", 12),
        ("pwrite64", 0),
        ("openat2", 0),
        ("ftruncate,fallocate", 0),
    ];
    for (calls, before) in calls {
        let mut tally = Tally::default();
        for moment in moments().into_iter().map(|moment| before + moment) {
            disturb(
                &program,
                calls,
                &format!("error=EINTR:when={moment}"),
                &mut tally,
            );
        }
        // And every third call.
        let often = format!("error=EINTR:when={}+3", before + 2);
        disturb(&program, calls, &often, &mut tally);
        println!("{calls} EINTR: {tally:?}");
        assert_eq!((tally.failed, tally.killed), (0, 0), "{calls}: {tally:?}");
    }
}

#[test]
fn whatever_flush_of_a_send_fails_or_kills_it_a_message_that_was_acknowledged_is_there() {
    let host = need!(Host::take(&["strace", "cp", "timeout"]));
    let program = need!(prepared(&host));
    let mut acknowledged = 0;
    for fault in ["error=EIO:when=", "signal=SIGKILL:when="] {
        for moment in moments() {
            let what = format!("{fault}{moment}");
            let here = program.copy("run");
            let inject = format!("inject=fdatasync,fsync:{what}");
            let strace = [
                "strace",
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=fdatasync,fsync",
                "-e",
                &inject,
            ];
            let send = ["send", KEY, "direct:u1,u2", "--from", "u1", "999999 sent"];
            let output = here.run(&strace, &send);
            let stored = here.stored();
            if !output.stdout.is_empty() {
                let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                let id = said["id"].as_u64().unwrap();
                assert_eq!(
                    stored.get(&id).map(|found| found.0),
                    Some(999_999),
                    "{what}"
                );
                acknowledged += 1;
            }
            here.check("first", 0, &what);
            here.verify(&what);
        }
    }
    println!("{acknowledged} messages were acknowledged");
    assert!(acknowledged > 0);
}
