//! An import that is killed again and again loses nothing that it acknowledged and stores nothing twice.

#![expect(
    clippy::disallowed_methods,
    reason = "the test plays the operator, who reads files"
)]

mod common;

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Duration;

use common::{KEY, Place, assert_export_is, chat, code, essence, text};

const LINES: usize = 60_000;
const KILLS: u64 = 10;

/// What the program said to be safe: line number, message id, seq.
fn acknowledged(place: &Place) -> Vec<(usize, u64, u64)> {
    let text = std::fs::read(place.path("acks")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // The last line may be cut by the kill.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |line: &str| -> Option<(usize, u64, u64)> {
        let (number, rest) = line.split_once(' ')?;
        let (id, seq) = rest.split_once(' ')?;
        Some((number.parse().ok()?, id.parse().ok()?, seq.parse().ok()?))
    };
    whole.lines().filter_map(parse).collect()
}

fn acks_len(place: &Place) -> u64 {
    std::fs::metadata(place.path("acks")).map_or(0, |metadata| metadata.len())
}

fn wait(millis: u64) {
    let (_keep, never) = mpsc::channel::<()>();
    assert!(never.recv_timeout(Duration::from_millis(millis)).is_err());
}

#[test]
fn a_killed_import_keeps_what_it_acknowledged_and_ends_complete() {
    let place = Place::with_app();
    let lines = chat(LINES);
    let file = place.file("chat.jsonl", text(&lines));
    let mut cut_short = 0;
    for round in 0..KILLS {
        let before = acks_len(&place);
        let mut child = place.start(&["--json", "import", KEY, &file, "--acks", "acks"]);
        // The moments follow a fixed sequence, so that a failure can be run again: every other run is killed at some
        // time, the others once they have acknowledged some more.
        let chance = round * 7_919 % 400;
        if round.is_multiple_of(2) {
            wait(20 + chance);
        } else {
            let enough = before + 1_000 * chance;
            while acks_len(&place) <= enough && child.try_wait().unwrap().is_none() {
                wait(1);
            }
        }
        cut_short += u64::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        println!(
            "round {round}: {} bytes of acknowledgements",
            acks_len(&place) - before
        );

        let acks = acknowledged(&place);
        let exported = place.lines(&["export", KEY]);
        let stored: HashMap<_, _> = exported
            .iter()
            .map(|line| (line["msg_id"].as_u64().unwrap(), line))
            .collect();
        assert_eq!(
            stored.len(),
            exported.len(),
            "round {round}: an id was given twice"
        );
        for (number, id, seq) in acks {
            let found = stored
                .get(&id)
                .unwrap_or_else(|| panic!("round {round}: line {number} is lost"));
            assert_eq!(essence(found), essence(&lines[number - 1]), "round {round}");
            assert_eq!(found["seq"].as_u64(), Some(seq), "round {round}");
        }
        let mut prefix_of: HashMap<&str, u64> = HashMap::new();
        for line in &exported {
            let seq = prefix_of.entry(line["chat"].as_str().unwrap()).or_default();
            *seq += 1;
            assert_eq!(
                line["seq"].as_u64(),
                Some(*seq),
                "round {round}: out of order"
            );
        }
    }
    println!("{cut_short} of {KILLS} runs were cut short");
    let report = place.json(&["import", KEY, &file]);
    let total = report["stored"].as_u64().unwrap() + report["duplicates"].as_u64().unwrap();
    assert_eq!((total, report["refused"].as_u64()), (LINES as u64, Some(0)));
    assert_export_is(&place.lines(&["export", KEY]), &lines);
    assert_eq!(code(&place.run(&["verify"])), 0);
}
