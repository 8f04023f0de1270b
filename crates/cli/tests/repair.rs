//! `verify`, `scrub` and `repair` on files that an operator's disk has damaged.

#![expect(
    clippy::disallowed_methods,
    reason = "the test plays the disk that damages files"
)]

mod common;

use std::path::PathBuf;

use common::{KEY, Place, chat, code, stderr, text};

fn segments(place: &Place) -> Vec<PathBuf> {
    let mut files = place.files("apps");
    files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    files.sort();
    files
}

#[test]
fn a_damaged_segment_is_found_repaired_and_told_to_the_message() {
    let place = Place::with_app();
    let file = place.file("chat.jsonl", text(&chat(2_000)));
    place.json(&["import", KEY, &file]);
    let segment = segments(&place).remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    assert_eq!(code(&place.run(&["scrub"])), 1);
    let before = place.run(&["--json", "verify"]);
    assert_eq!(code(&before), 1, "{}", stderr(&before));
    let found: serde_json::Value = serde_json::from_slice(&before.stdout).unwrap();
    assert_eq!(found["problems"][0]["mendable"], true, "{found}");
    assert!(found["problems"][0]["offset"].is_u64(), "{found}");

    let dry = place.run(&["--json", "repair", "--dry-run"]);
    assert_eq!(code(&dry), 1);
    assert_eq!(
        std::fs::read(&segment).unwrap(),
        bytes,
        "nothing was changed"
    );
    let repaired = place.run(&["--json", "repair"]);
    assert_eq!(code(&repaired), 1, "something is lost");
    let report: serde_json::Value = serde_json::from_slice(&repaired.stdout).unwrap();
    let dry: serde_json::Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!(report["lost_messages"], dry["lost_messages"]);
    let lost: u64 = report["lost_messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lost| lost["messages"].as_u64().unwrap())
        .sum();
    assert!((1..2_000).contains(&lost));
    assert_eq!(place.lines(&["export", KEY]).len() as u64, 2_000 - lost);
    assert_eq!(place.json(&["verify"])["problems"], serde_json::json!([]));
    let again = place.json(&["repair"]);
    assert_eq!(again["clean"], true, "{again}");
    assert_eq!(
        place.json(&["scrub", "--rate", "500000000"])["problems"],
        serde_json::json!([])
    );
}

#[test]
fn a_store_that_does_not_open_is_verified_and_repaired() {
    for engine in ["redb", "sled"] {
        let place = Place::empty();
        let create = [
            "--kv",
            engine,
            "app",
            "create",
            KEY,
            "--plan",
            "enterprise",
            "--retention",
        ];
        assert_eq!(code(&place.run(&[&create[..], &["10000"]].concat())), 0);
        let file = place.file("chat.jsonl", text(&chat(500)));
        place.json(&["import", KEY, &file]);
        std::fs::remove_file(place.data().join("STORE")).unwrap();
        assert_eq!(code(&place.run(&["verify"])), 1);
        let repaired = place.run(&["repair"]);
        let said = String::from_utf8(repaired.stdout.clone()).unwrap();
        assert_eq!(code(&repaired), 0, "{engine}: {said}{}", stderr(&repaired));
        assert!(said.contains("STORE was written anew"), "{said}");
        assert_eq!(place.lines(&["export", KEY]).len(), 500, "{engine}");
        assert_eq!(code(&place.run(&["verify"])), 0, "{engine}");
    }
}
