//! Every bad input has a clear error and its exit code, and nothing is lost or half written.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "the tests play the operator, who damages files"
)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use common::{DAY, KEY, Place, START, chat, code, sorted, stderr, text};
use serde_json::{Value, json};

fn import(place: &Place, content: impl AsRef<[u8]>) -> Value {
    let file = place.file("input.jsonl", content);
    place.json(&["import", KEY, &file])
}

fn only_reason(report: &Value) -> (&str, u64) {
    let reasons = report["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 1, "{report}");
    (
        reasons[0]["reason"].as_str().unwrap(),
        reasons[0]["lines"][0]["line"].as_u64().unwrap(),
    )
}

fn line(body: &str, ts: u64) -> String {
    format!(
        "{}\n",
        json!({ "chat": "group:g", "from": "a", "ts": ts, "body": body })
    )
}

#[test]
fn a_body_and_extension_of_3_073_bytes_are_refused_and_3_072_are_not() {
    let place = Place::with_app();
    let fits = json!({ "chat": "group:g", "from": "a", "ts": START, "body": "b".repeat(3_000), "ext": "e".repeat(72) });
    let over = json!({ "chat": "group:g", "from": "a", "ts": START, "body": "b".repeat(3_000), "ext": "e".repeat(73) });
    let report = import(&place, format!("{fits}\n{over}\n"));
    assert_eq!(
        (report["stored"].as_u64(), report["refused"].as_u64()),
        (Some(1), Some(1))
    );
    assert_eq!(only_reason(&report), ("limit", 2));
    assert!(
        report["reasons"][0]["lines"][0]["text"]
            .as_str()
            .unwrap()
            .contains("3073")
    );
    assert_eq!(place.lines(&["export", KEY])[0]["ext"], "e".repeat(72));
}

#[test]
fn an_unknown_app_and_a_missing_store_are_not_found() {
    let place = Place::empty();
    let file = place.file("chat.jsonl", text(&chat(10)));
    for args in [
        &["usage", KEY][..],
        &["app", "list"],
        &["verify"],
        &["import", KEY, &file],
    ] {
        assert_eq!(place.fails(args), (3, "not_found".to_owned()), "{args:?}");
        assert!(!place.data().exists(), "{args:?} left a directory behind");
    }
    let place = Place::with_app();
    let file = place.file("chat.jsonl", text(&chat(10)));
    for args in [
        &["usage", "no#body"][..],
        &["import", "no#body", &file],
        &["export", "no#body"],
        &["history", "no#body", "group:g"],
        &["app", "plan", "no#body", "pro"],
        &["app", "delete", "no#body"],
    ] {
        assert_eq!(place.fails(args), (3, "unknown_app".to_owned()), "{args:?}");
    }
    assert_eq!(
        place.fails(&["import", KEY, "missing.jsonl"]),
        (3, "not_found".to_owned())
    );
    assert_eq!(
        place.fails(&["inspect", "missing.seg"]),
        (3, "not_found".to_owned())
    );
}

#[test]
fn bad_ids_and_arguments_are_usage_errors() {
    let place = Place::with_app();
    let long = format!("{}#app", "x".repeat(65));
    for args in [
        &["app", "create", "nohash", "--plan", "pro"][..],
        &["app", "create", "a#b#c", "--plan", "pro"],
        &["app", "create", "../etc#b", "--plan", "pro"],
        &["app", "create", &long, "--plan", "pro"],
        &["app", "create", "a#b", "--plan", "gold"],
        &["usage", "a b#c"],
        &["history", KEY, "club:x"],
        &["history", KEY, "group:a/b"],
        &["history", KEY, "group:g", "--limit", "0"],
        &["history", KEY, "group:g", "--limit", "1001"],
        &["export", KEY, "--since", "yesterday"],
        &["frobnicate"],
    ] {
        let output = place.run(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("error:"), "{args:?}");
    }
}

#[test]
fn lines_with_bad_ids_are_refused_with_their_numbers() {
    let place = Place::with_app();
    let bad = r#"{"chat":"group:g","from":"al ice","ts":1704067200000,"body":"x"}"#;
    let report = import(
        &place,
        format!("{}{bad}\n{bad}\n{}", line("one", START), line("two", START)),
    );
    assert_eq!(
        (report["stored"].as_u64(), report["refused"].as_u64()),
        (Some(2), Some(2))
    );
    assert_eq!(only_reason(&report), ("id", 2));
}

#[test]
fn contract_rules_refuse_with_exit_code_4() {
    let place = Place::with_app();
    assert_eq!(
        place.fails(&["app", "create", KEY, "--plan", "pro"]),
        (4, "app_exists".to_owned())
    );
    let args = [
        "app",
        "create",
        "a#b",
        "--plan",
        "free",
        "--retention",
        "30",
    ];
    assert_eq!(place.fails(&args), (4, "terms".to_owned()));
    // And no store is made for terms that are refused.
    let empty = Place::empty();
    assert_eq!(empty.fails(&args), (4, "terms".to_owned()));
    assert!(!empty.data().exists());
}

#[test]
fn messages_older_than_the_floor_and_from_the_future_are_refused() {
    let place = Place::empty();
    place.json(&["app", "create", KEY, "--plan", "basic"]);
    let now = place.json(&["app", "list"])[0]["created"].as_u64().unwrap();
    let minute = 60_000;
    let content = [
        line("old", now - 8 * DAY),
        line("young enough", now - 7 * DAY + 10 * minute),
        line("near future", now + DAY - 10 * minute),
        line("far future", now + DAY + 10 * minute),
        line("absurd", u64::MAX),
    ];
    let report = import(&place, content.concat());
    assert_eq!(
        (report["stored"].as_u64(), report["refused"].as_u64()),
        (Some(2), Some(3)),
        "{report}"
    );
    let reasons = report["reasons"].as_array().unwrap();
    let found: Vec<_> = reasons
        .iter()
        .map(|r| {
            (
                r["reason"].as_str().unwrap(),
                r["lines"][0]["line"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, [("future", 4), ("too_old", 1)]);
    // Unless the times are moved.
    let chat = chat(50);
    let file = place.file("chat.jsonl", text(&chat[40..]));
    let shifted = place.json(&["import", KEY, &file, "--shift-to-now"]);
    assert!(shifted["stored"].as_u64().unwrap() > 0, "{shifted}");
    let again = place.json(&[
        "import",
        KEY,
        &file,
        "--shift-by",
        &shifted["shift_ms"].to_string(),
    ]);
    assert_eq!(
        (again["stored"].as_u64(), again["duplicates"].as_u64()),
        (Some(0), shifted["stored"].as_u64())
    );
}

#[test]
fn what_is_no_message_is_counted_and_the_rest_is_stored() {
    let place = Place::with_app();
    let mut content = b"\xef\xbb\xbf".to_vec();
    content.extend(line("first", START).bytes());
    content.extend(b"\n   \r\nnot json\n{\"chat\":\"group:g\"}\n");
    content
        .extend(b"{\"chat\":\"group:g\",\"from\":\"a\",\"ts\":\"1\",\"body\":\"x\"}\n\xff\xfe\n");
    content.extend(line(&"x".repeat(70_000), START).bytes());
    content.extend(line("last", START).trim_end().bytes());
    let report = import(&place, content);
    assert_eq!(
        (report["stored"].as_u64(), report["refused"].as_u64()),
        (Some(2), Some(5)),
        "{report}"
    );
    let reasons = report["reasons"].as_array().unwrap();
    let counts: Vec<_> = reasons
        .iter()
        .map(|r| (r["reason"].as_str().unwrap(), r["count"].as_u64().unwrap()))
        .collect();
    assert_eq!(counts, [("json", 4), ("line_too_long", 1)]);
}

#[test]
fn only_the_first_refused_lines_are_shown() {
    let place = Place::with_app();
    let file = place.file("bad.jsonl", "nonsense\n".repeat(3_000));
    let output = place.run(&["import", KEY, &file]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && shown.contains("3,000 refused"),
        "{shown}"
    );
    assert!(
        shown.contains("line 5:") && !shown.contains("line 6:"),
        "{shown}"
    );
}

#[test]
fn a_compressed_file_that_is_cut_short_fails_but_what_was_read_is_stored_once() {
    let place = Place::with_app();
    let lines = chat(4_000);
    let packed = zstd::encode_all(text(&lines).as_bytes(), 3).unwrap();
    let file = place.file("cut.zst", &packed[..packed.len() - 100]);
    assert_eq!(
        place.fails(&["import", KEY, &file]),
        (6, "input".to_owned())
    );
    let stored = place.lines(&["export", KEY]).len();
    let file = place.file("whole.zst", &packed);
    let report = place.json(&["import", KEY, &file]);
    assert_eq!(report["duplicates"].as_u64(), Some(stored as u64));
    assert_eq!(sorted(&place.lines(&["export", KEY])), sorted(&lines));
}

#[test]
fn a_data_directory_of_another_format_version_is_refused_untouched() {
    let place = Place::with_app();
    let path = place.data().join("STORE");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] += 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(place.fails(&["app", "list"]), (6, "format".to_owned()));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_directory_of_somebody_else_is_refused_untouched() {
    let place = Place::empty();
    std::fs::create_dir(place.data()).unwrap();
    std::fs::write(place.data().join("thesis.txt"), "years of work").unwrap();
    let create = ["app", "create", KEY, "--plan", "pro"];
    assert_eq!(place.fails(&create), (6, "not_a_store".to_owned()));
    assert_eq!(
        std::fs::read(place.data().join("thesis.txt")).unwrap(),
        b"years of work"
    );
    std::fs::write(place.path("file"), "").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidestore"));
    let output = command
        .arg("--data")
        .arg(place.path("file"))
        .args(create)
        .output()
        .unwrap();
    assert_eq!(code(&output), 7, "{}", stderr(&output));
}

#[test]
fn the_demonstration_stays_away_from_a_store_in_use() {
    let place = Place::with_app();
    assert_eq!(
        place.fails(&["demo", "--messages", "1000"]),
        (2, "argument".to_owned())
    );
    assert_eq!(place.json(&["app", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_second_process_on_the_same_directory_is_locked_out_while_the_first_lives() {
    let place = Place::with_app();
    let lines = chat(8_000);
    let mut first = place.start(&["import", KEY, "-", "--acks", "acks"]);
    let mut input = first.stdin.take().unwrap();
    // More lines than can be in flight: the first process has the store open once it has acknowledged some of them,
    // and then waits for more.
    input.write_all(text(&lines[..7_500]).as_bytes()).unwrap();
    input.flush().unwrap();
    let acks = place.path("acks");
    let (_keep, never) = mpsc::channel::<()>();
    let has_begun = (0..6_000).any(|_| {
        assert!(
            first.try_wait().unwrap().is_none(),
            "the import ended early"
        );
        never.recv_timeout(Duration::from_millis(10)).is_err()
            && std::fs::read(&acks).is_ok_and(|acks| !acks.is_empty())
    });
    assert!(has_begun, "nothing was acknowledged");
    assert_eq!(place.fails(&["usage", KEY]), (5, "locked".to_owned()));
    assert_eq!(
        place.fails(&["app", "create", "x#y", "--plan", "pro"]),
        (5, "locked".to_owned())
    );
    input.write_all(text(&lines[7_500..]).as_bytes()).unwrap();
    drop(input);
    assert_eq!(code(&first.wait_with_output().unwrap()), 0);
    assert_eq!(place.json(&["usage", KEY])["messages"]["count"], 8_000);
}

#[test]
fn truncated_segments_are_reported_with_their_names_and_the_rest_is_served() {
    let place = Place::with_app();
    let file = place.file("chat.jsonl", text(&chat(2_000)));
    place.json(&["import", KEY, &file]);
    let segments: Vec<_> = place
        .files("apps")
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .collect();
    let victim = &segments[0];
    let bytes = std::fs::read(victim).unwrap();
    std::fs::write(victim, &bytes[..bytes.len() / 2]).unwrap();
    let output = place.run(&["--json", "verify"]);
    assert_ne!(code(&output), 0);
    let said = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
    assert!(
        said.contains(victim.file_name().unwrap().to_str().unwrap()),
        "{said}"
    );
    let (inspected, kind) = place.fails(&["inspect", victim.to_str().unwrap()]);
    assert_eq!((inspected, kind.as_str()), (6, "corruption"));
    // What lies in the other segments is exported; the exit code says that it is not all.
    let export = place.run(&["export", KEY]);
    assert_eq!(code(&export), 6, "{}", stderr(&export));
    let served = common::parse_lines(&export.stdout).len();
    assert!((1..2_000).contains(&served), "{served} of 2000 served");
    // Nothing was deleted or rewritten on the way: with the bytes put back, all is well again.
    let length = std::fs::metadata(victim).unwrap().len();
    assert_eq!(length, bytes.len() as u64 / 2);
    std::fs::write(victim, &bytes).unwrap();
    assert_eq!(code(&place.run(&["verify"])), 0);
    assert_eq!(place.lines(&["export", KEY]).len(), 2_000);
}

#[test]
fn a_flipped_byte_in_a_segment_makes_verify_exit_with_1() {
    let place = Place::with_app();
    let file = place.file("chat.jsonl", text(&chat(2_000)));
    place.json(&["import", KEY, &file]);
    let segments: Vec<_> = place
        .files("apps")
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .collect();
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    // Behind the header, inside the first block.
    bytes[200] ^= 1;
    std::fs::write(&segments[0], bytes).unwrap();
    let output = place.run(&["verify"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(
        report.contains(segments[0].file_name().unwrap().to_str().unwrap()),
        "{report}"
    );
}

#[test]
fn a_foreign_file_in_the_data_directory_is_left_alone_and_named() {
    let place = Place::with_app();
    let file = place.file("chat.jsonl", text(&chat(500)));
    place.json(&["import", KEY, &file]);
    let segment = place.files("apps").remove(0);
    let foreign = segment.with_file_name("holiday.jpg");
    std::fs::write(&foreign, "not a segment").unwrap();
    let output = place.run(&["export", KEY]);
    assert_eq!(code(&output), 0);
    assert_eq!(common::parse_lines(&output.stdout).len(), 500);
    assert!(
        stderr(&output).contains("warning:") && stderr(&output).contains("holiday.jpg"),
        "{}",
        stderr(&output)
    );
    assert_eq!(std::fs::read(&foreign).unwrap(), b"not a segment");
}

#[test]
fn a_reader_that_has_seen_enough_ends_an_export_quietly() {
    let place = Place::with_app();
    let file = place.file("chat.jsonl", text(&chat(5_000)));
    place.json(&["import", KEY, &file]);
    let mut child = place.start(&["export", KEY]);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    drop(reader);
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert_eq!(said, "");
    assert!(first.starts_with("{\"msg_id\":"));
    assert_eq!(code(&place.run(&["verify"])), 0);
}

#[test]
fn errors_for_people_say_what_to_do() {
    let output = Place::with_app().run(&["usage", "no#body"]);
    let said = stderr(&output);
    assert!(
        said.starts_with("error: ") && said.contains("\n  help: "),
        "{said}"
    );
    assert!(output.stdout.is_empty());
}
