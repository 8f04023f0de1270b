//! `backup` and `restore` through the program.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]
#![expect(
    clippy::disallowed_methods,
    reason = "the test plays the operator, who reads files"
)]

mod common;

use common::{KEY, Place, assert_export_is, chat, code, stderr, text};

fn imported() -> (Place, Vec<serde_json::Value>) {
    let place = Place::with_app();
    let lines = chat(600);
    let name = place.file("chat.jsonl", text(&lines));
    assert_eq!(code(&place.run(&["import", KEY, &name])), 0);
    (place, lines)
}

/// Runs a command on another data directory of the same place.
fn on(place: &Place, data: &str, args: &[&str]) -> std::process::Output {
    let path = place.path(data);
    let args = [&["--data", path.to_str().unwrap()], args].concat();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidestore"));
    command.args(args).current_dir(place.path("."));
    command.output().unwrap()
}

fn export(place: &Place, data: &str) -> Vec<serde_json::Value> {
    let output = on(place, data, &["export", KEY]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    common::parse_lines(&output.stdout)
}

#[test]
fn a_store_comes_back_from_a_directory_an_archive_and_a_pipe() {
    let (place, lines) = imported();
    let first = place.json(&["backup", "one"]);
    assert!(first["linked"]["files"].as_u64().unwrap() > 0, "{first}");
    let second = place.json(&["backup", "two", "--base", "one"]);
    assert!(second["reused"]["files"].as_u64().unwrap() > 0, "{second}");
    let third = place.json(&["backup", "three.tar", "--app", KEY]);
    assert!(third["pause_us"].is_u64());
    let piped = place.run(&["backup", "-"]);
    assert_eq!(code(&piped), 0, "{}", stderr(&piped));
    place.file("four.tar", &piped.stdout);
    for (data, source) in [
        ("r1", "one"),
        ("r2", "two"),
        ("r3", "three.tar"),
        ("r4", "four.tar"),
    ] {
        let output = on(&place, data, &["--json", "restore", source]);
        assert_eq!(code(&output), 0, "{source}: {}", stderr(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["messages"].as_u64(), Some(600), "{report}");
        assert_export_is(&export(&place, data), &lines);
        assert_eq!(code(&on(&place, data, &["verify"])), 0);
    }
}

#[test]
fn what_cannot_be_backed_up_or_restored_is_refused_with_its_exit_code() {
    let (place, lines) = imported();
    assert_eq!(
        place.fails(&["backup", "b", "--app", "acme#none"]),
        (3, "unknown_app".to_owned())
    );
    assert_eq!(
        place.fails(&["backup", "data/b"]),
        (4, "occupied".to_owned())
    );
    assert_eq!(place.fails(&["backup", "."]), (4, "occupied".to_owned()));
    assert_eq!(
        place.fails(&["backup", "b", "--base", "none"]),
        (6, "not_a_backup".to_owned())
    );
    assert!(!place.path("b").exists() && !place.path("data/b").exists());
    place.json(&["backup", "b.tar"]);
    assert_eq!(
        place.fails(&["backup", "b.tar"]),
        (4, "occupied".to_owned())
    );
    assert_eq!(
        place.fails(&["restore", "b.tar"]),
        (4, "occupied".to_owned())
    );
    let archive = std::fs::read(place.path("b.tar")).unwrap();
    place.file("cut.tar", &archive[..archive.len() / 2]);
    place.file("text.tar", "no archive");
    for (source, kind) in [
        ("none", "not_a_backup"),
        ("text.tar", "not_a_backup"),
        ("cut.tar", "corruption"),
    ] {
        let output = on(&place, "new", &["--json", "restore", source]);
        assert_eq!(code(&output), 6, "{source}: {}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains(kind), "{source}: {said}");
        assert_eq!(
            code(&on(&place, "new", &["app", "list"])),
            3,
            "{source} left a store"
        );
    }
    assert_eq!(code(&on(&place, "new", &["restore", "b.tar"])), 0);
    assert_export_is(&export(&place, "new"), &lines);
}

/// Files below a directory.
fn count(dir: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .map(|path| if path.is_dir() { count(&path) } else { 1 })
        .sum()
}

/// Killed while it writes, a backup is visibly none, the store is as it was, and the next one into the same place works.
#[test]
fn a_backup_that_is_killed_is_none_and_the_next_one_works() {
    let (place, lines) = imported();
    let mut cut = 0;
    for files in [1, 2, 4, 7, 11] {
        let mut child = place.start(&["backup", "b"]);
        while count(&place.path("b")) < files && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let whole = place.path("b/BACKUP").exists();
        let output = on(&place, "new", &["restore", "b"]);
        assert_eq!(code(&output) == 0, whole, "{}", stderr(&output));
        cut += u32::from(place.path("b").exists() && !whole);
        if whole {
            break;
        }
    }
    eprintln!("{cut} backups were cut short");
    if !place.path("b/BACKUP").exists() {
        place.json(&["backup", "b"]);
    }
    assert_eq!(code(&on(&place, "newer", &["restore", "b"])), 0);
    assert_export_is(&export(&place, "newer"), &lines);
    assert_eq!(code(&place.run(&["verify"])), 0);
    assert_export_is(&place.lines(&["export", KEY]), &lines);
}
