//! Attachments go in and come out as they are, are shown as they are, and what is refused leaves nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "the tests play the operator, who has files of their own and damages those of the store"
)]

mod common;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Output;

use common::{DAY, KEY, Place, code, parse_lines, stderr, text};
use serde_json::{Value, json};

const OTHER: &str = "test#other";
const LIMIT: usize = 10 << 20;
/// Has the form of an id, and was never given.
const FORGED: &str = "019b76da-a87b-8a7f-bfff-ffffa8b3184b";

/// Bytes that do not repeat and cannot be compressed.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn put(place: &Place, name: &str, content: &[u8]) -> Value {
    let file = place.file(name, content);
    place.json(&["blob", "put", KEY, &file])
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

fn get(place: &Place, id: &str) -> Vec<u8> {
    let output = place.run(&["blob", "get", KEY, id]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    output.stdout
}

/// Gives a command its standard input.
fn feed(place: &Place, args: &[&str], input: &[u8]) -> Output {
    let mut child = place.start(args);
    // A program that refuses early does not read to the end.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

/// Attachments, bytes of contents, bytes on disk.
fn usage(place: &Place, key: &str) -> [u64; 3] {
    let usage = place.json(&["usage", key]);
    ["count", "logical_bytes", "physical_bytes"]
        .map(|name| usage["attachments"][name].as_u64().unwrap())
}

fn volumes(place: &Place) -> Vec<PathBuf> {
    let mut files = place.files("apps");
    files.retain(|path| path.extension().is_some_and(|extension| extension == "vol"));
    files
}

fn message(body: &str, attachments: &[&str]) -> Value {
    json!({ "chat": "group:g", "from": "a", "ts": 1_767_225_600_000_u64, "body": body, "attachments": attachments })
}

#[test]
fn contents_of_every_size_come_back_as_they_went_in() {
    let place = Place::with_app();
    for len in [0, 1, 65_536, 300_000, LIMIT] {
        let content = noise(len);
        let stored = put(&place, "file.bin", &content);
        assert_eq!(stored["size"].as_u64(), Some(len as u64));
        let id = id(&stored);
        assert!(
            get(&place, &id) == content,
            "{len} bytes on standard output"
        );
        let read = place.json(&["blob", "get", KEY, &id, "-o", "out.bin"]);
        assert_eq!(read["id"], stored["id"]);
        let written = std::fs::read(place.path("out.bin")).unwrap();
        assert!(written == content, "{len} bytes in a file");
    }
    assert_eq!(place.json(&["verify"])["problems"], json!([]));
}

#[test]
fn one_byte_over_the_limit_is_refused_and_nothing_is_left() {
    let place = Place::with_app();
    let content = vec![7; LIMIT + 1];
    let file = place.file("large.bin", &content);
    let put = ["blob", "put", KEY, &file];
    assert_eq!(place.fails(&put), (4, "limit".to_owned()));
    // Nobody says beforehand how much comes through a pipe.
    let output = feed(&place, &["--json", "blob", "put", KEY, "-"], &content);
    assert_eq!(code(&output), 4, "{}", stderr(&output));
    assert!(stderr(&output).contains("10485761"), "{}", stderr(&output));
    assert_eq!(usage(&place, KEY), [0, 0, 0]);
    assert_eq!(volumes(&place), Vec::<PathBuf>::new());
    let report = place.json(&["verify"]);
    assert_eq!(
        (&report["problems"], &report["notices"]),
        (&json!([]), &json!([]))
    );
}

#[test]
fn what_comes_through_a_pipe_is_described_by_options() {
    let place = Place::with_app();
    let args = [
        "--json",
        "blob",
        "put",
        KEY,
        "-",
        "--type",
        "audio/ogg",
        "--name",
        "a.ogg",
        "--from",
        "Ann",
    ];
    let output = feed(&place, &args, b"not really");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let stored = &parse_lines(&output.stdout)[0];
    let told = ["type", "name", "from"].map(|name| stored[name].as_str().unwrap());
    assert_eq!(told, ["audio/ogg", "a.ogg", "ann"]);
    assert_eq!(get(&place, &id(stored)), b"not really");
    // Without options: told from the bytes, and from where they come.
    let stored = put(&place, "hello.txt", b"hello");
    let told = ["type", "name", "from"].map(|name| stored[name].as_str().unwrap());
    assert_eq!(told, ["text/plain", "hello.txt", "cli"]);
}

#[test]
fn the_same_content_is_stored_once_until_its_last_attachment_is_deleted() {
    let place = Place::with_app();
    let content = noise(100_000);
    let first = put(&place, "a.bin", &content);
    let [_, _, once] = usage(&place, KEY);
    let second = put(&place, "b.bin", &content);
    assert_eq!(
        (&first["stored_anew"], &second["stored_anew"]),
        (&json!(true), &json!(false))
    );
    assert_ne!(first["id"], second["id"]);
    assert_eq!(usage(&place, KEY), [2, 200_000, once]);
    let rm = place.json(&["blob", "rm", KEY, &id(&first)]);
    assert_eq!(rm["deleted"], first["id"]);
    for command in ["get", "rm"] {
        let gone = place.fails(&["blob", command, KEY, &id(&first)]);
        assert_eq!(gone, (3, "attachment_not_found".to_owned()));
    }
    assert!(get(&place, &id(&second)) == content);
    place.json(&["blob", "rm", KEY, &id(&second)]);
    assert_eq!(usage(&place, KEY)[..2], [0, 0]);
    assert_eq!(place.json(&["verify"])["problems"], json!([]));
}

#[test]
fn a_list_is_paged_oldest_first() {
    let place = Place::with_app();
    let none = place.run(&["blob", "list", KEY]);
    assert!(
        String::from_utf8(none.stdout)
            .unwrap()
            .contains("no attachments")
    );
    let stored: Vec<_> = (0..7)
        .map(|number| id(&put(&place, "file", format!("content {number}").as_bytes())))
        .collect();
    let ids = |lines: Vec<Value>| lines.iter().map(id).collect::<Vec<_>>();
    let list = ["--json", "blob", "list", KEY];
    assert_eq!(ids(place.lines(&list)), stored);
    let page = place.lines(&[&list[..], &["--limit", "3", "--after", &stored[1]]].concat());
    assert_eq!(ids(page), stored[2..5]);
    let output = place.run(&["blob", "list", KEY, "--limit", "2"]);
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        table.contains(&stored[1]) && !table.contains(&stored[2]),
        "{table}"
    );
    let hint = format!("--after {}", stored[1]);
    assert!(stderr(&output).contains(&hint), "{}", stderr(&output));
}

#[test]
fn hostile_names_are_kept_and_shown_escaped() {
    let place = Place::with_app();
    let file = place.file("file", "x");
    let name = "\u{202e}gpj.exe\n\u{1b}[2J";
    let put = ["blob", "put", KEY, &file, "--name", name];
    let output = place.run(&put);
    let list = place.run(&["blob", "list", KEY]);
    for shown in [output, list].map(|output| String::from_utf8(output.stdout).unwrap()) {
        assert!(shown.contains(r"\u{202e}gpj.exe\n\u{1b}[2J"), "{shown:?}");
        assert!(!shown.contains(['\u{202e}', '\u{1b}']), "{shown:?}");
    }
    assert_eq!(
        place.lines(&["--json", "blob", "list", KEY])[0]["name"],
        name
    );
    let long = "x".repeat(4_097);
    for bad in [["--name", &long], ["--type", "png"], ["--from", "no body"]] {
        let output = place.run(&[&put[..4], &bad].concat());
        assert_eq!(code(&output), 2, "{}", stderr(&output));
    }
    assert_eq!(usage(&place, KEY)[0], 1);
}

#[test]
fn only_ids_that_were_given_to_the_app_open_anything() {
    let place = Place::with_app();
    place.json(&["app", "create", OTHER, "--plan", "pro"]);
    let stored = id(&put(&place, "file", b"secret"));
    for command in ["get", "rm"] {
        for (key, id) in [(OTHER, stored.as_str()), (KEY, FORGED)] {
            let refused = place.fails(&["blob", command, key, id]);
            assert_eq!(
                refused,
                (3, "attachment_not_found".to_owned()),
                "{command} {key}"
            );
        }
        let unknown = place.fails(&["blob", command, "no#body", FORGED]);
        assert_eq!(unknown, (3, "unknown_app".to_owned()));
        assert_eq!(
            code(&place.run(&["blob", command, KEY, "../../etc/passwd"])),
            2
        );
    }
    assert_eq!(get(&place, &stored), b"secret");
}

#[test]
fn what_is_no_file_is_told_before_the_store_is_opened() {
    let place = Place::empty();
    let put = |file| ["blob", "put", KEY, file];
    assert_eq!(place.fails(&put("missing")), (3, "not_found".to_owned()));
    assert_eq!(place.fails(&put(".")), (2, "argument".to_owned()));
    let get = ["blob", "get", KEY, FORGED, "-o", "."];
    assert_eq!(place.fails(&get), (2, "argument".to_owned()));
    assert!(!place.data().exists());
}

#[test]
fn a_range_is_cut_out() {
    let place = Place::with_app();
    let content = noise(200_000);
    let id = id(&put(&place, "file", &content));
    let args = |range| ["blob", "get", KEY, id.as_str(), "--range", range];
    for (range, expected) in [
        ("0-0", 0..1),
        ("65530-65540", 65_530..65_541),
        ("199999-", 199_999..200_000),
        ("150000-999999", 150_000..200_000),
    ] {
        assert!(
            place.run(&args(range)).stdout == content[expected],
            "{range}"
        );
    }
    assert_eq!(place.fails(&args("200001-")), (2, "argument".to_owned()));
    assert_eq!(code(&place.run(&args("9-8"))), 2);
}

#[test]
fn an_attachment_goes_after_a_week_unless_a_message_names_it() {
    let place = Place::with_app();
    let alone = put(&place, "alone", &noise(50_000));
    let named = put(&place, "named", &noise(60_000));
    let mut line = message("look", &[&id(&named)]);
    line["ts"] = named["uploaded"].clone();
    let file = place.file("chat.jsonl", text(&[line]));
    assert_eq!(
        place.json(&["import", KEY, &file])["missing_attachments"],
        0
    );
    let listed = place.lines(&["--json", "blob", "list", KEY]);
    let messages: Vec<_> = listed
        .iter()
        .map(|line| line["messages"].as_u64().unwrap())
        .collect();
    assert_eq!(messages, [0, 1]);

    let later = (alone["uploaded"].as_u64().unwrap() + 8 * DAY).to_string();
    let report = place.json(&["expire", "--now", &later]);
    assert_eq!(
        ["attachments", "attachment_bytes"].map(|name| report[name].as_u64().unwrap()),
        [1, 50_000]
    );
    assert_eq!(report["apps"][0]["attachments"], 1);
    assert_eq!(place.fails(&["blob", "get", KEY, &id(&alone)]).0, 3);
    assert_eq!(get(&place, &id(&named)).len(), 60_000);
    assert_eq!(usage(&place, KEY)[..2], [1, 60_000]);
    let report = place.json(&["verify"]);
    assert_eq!(
        ["attachments", "contents"].map(|name| report[name].as_u64().unwrap()),
        [1, 1]
    );
}

#[test]
fn references_travel_with_the_messages_and_those_into_nowhere_are_counted() {
    let place = Place::with_app();
    let (a, b) = (id(&put(&place, "a", b"a")), id(&put(&place, "b", b"b")));
    let lines = [
        message("both", &[&a, &b]),
        message("one", &[&b]),
        message("none", &[]),
        message("forged", &[&a, FORGED]),
    ];
    let file = place.file("chat.jsonl", text(&lines));
    let report = place.json(&["import", KEY, &file]);
    let figures = |report: &Value| {
        [
            "stored",
            "messages_with_missing_attachments",
            "missing_attachments",
        ]
        .map(|name| report[name].as_u64().unwrap())
    };
    assert_eq!(figures(&report), [4, 1, 1]);
    let exported = place.lines(&["export", KEY]);
    let named = |lines: &[Value]| -> Vec<(Value, Value)> {
        let pair = |line: &Value| (line["body"].clone(), line["attachments"].clone());
        lines.iter().map(pair).collect()
    };
    let mut expected = named(&lines);
    // A message without any says nothing.
    expected[2].1 = Value::Null;
    assert_eq!(named(&exported), expected);

    let other = Place::with_app();
    let file = other.file("export.jsonl", text(&exported));
    assert_eq!(figures(&other.json(&["import", KEY, &file])), [4, 3, 3]);
    assert_eq!(named(&other.lines(&["export", KEY])), expected);
    let again = other.run(&["import", KEY, &file]);
    let said = String::from_utf8(again.stdout).unwrap();
    assert!(
        said.contains("3 messages name 3 attachments that are not in this store"),
        "{said}"
    );
    // What is no id is no line.
    let file = other.file("bad.jsonl", text(&[message("x", &["nonsense"])]));
    let report = other.json(&["import", KEY, &file]);
    assert_eq!(report["reasons"][0]["reason"], "attachment", "{report}");
}

#[test]
fn inspect_reads_a_volume_and_lists_its_first_records() {
    let place = Place::with_app();
    for number in 0..25 {
        put(&place, "file", format!("content {number}").as_bytes());
    }
    let listed: u64 = volumes(&place)
        .iter()
        .map(|path| {
            let report = place.json(&["inspect", path.to_str().unwrap()]);
            let rows = report["rows"].as_array().unwrap();
            let value = |name: &str| {
                let row = rows.iter().find(|row| row[0] == name);
                row.map(|row| row[1].as_str().unwrap().to_owned())
            };
            let records: u64 = value("records").unwrap().parse().unwrap();
            let shown = rows.iter().filter(|row| row[0] == "record").count() as u64;
            assert_eq!(shown, records.min(20));
            let more = (records > 20).then(|| (records - 20).to_string());
            assert_eq!(value("further records, not shown"), more);
            assert!(value("store").is_some() && value("empty bytes").is_some());
            records
        })
        .sum();
    assert_eq!(listed, 25);
    assert_eq!(
        place.fails(&["inspect", "missing.vol"]),
        (3, "not_found".to_owned())
    );
    let empty = place.file("empty.vol", "");
    assert_eq!(
        place.fails(&["inspect", &empty]),
        (6, "corruption".to_owned())
    );
}

#[test]
fn a_flipped_byte_in_a_volume_is_found_and_never_handed_out() {
    let place = Place::with_app();
    let id = id(&put(&place, "file", &noise(700_000)));
    let path = volumes(&place).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let place_of_damage = bytes.len() - 5_000;
    bytes[place_of_damage] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let inspect = ["inspect", path.to_str().unwrap()];
    assert_eq!(place.fails(&inspect), (6, "corruption".to_owned()));
    let said = stderr(&place.run(&inspect));
    assert!(said.contains("is damaged at byte 4096"), "{said}");
    let verify = place.run(&["verify"]);
    assert_eq!(code(&verify), 1);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(String::from_utf8(verify.stdout).unwrap().contains(name));

    // What stood in the file before is still there, and nothing beside it.
    place.file("out", "before");
    let output = ["blob", "get", KEY, &id, "-o", "out"];
    assert_eq!(place.fails(&output), (6, "corruption".to_owned()));
    assert_eq!(std::fs::read(place.path("out")).unwrap(), b"before");
    let left: Vec<_> = std::fs::read_dir(place.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".tidestore"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    // The chunks before the damage are whole.
    let head = place.run(&["blob", "get", KEY, &id, "--range", "0-99999"]);
    assert!(head.stdout == noise(700_000)[..100_000]);
}

#[test]
fn a_full_or_closed_output_ends_a_download() {
    let place = Place::with_app();
    let id = id(&put(&place, "file", &noise(900_000)));
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = place.command(&["--json", "blob", "get", KEY, &id]);
    let output = command.stdout(full).output().unwrap();
    assert_eq!(code(&output), 7);
    assert!(stderr(&output).contains("\"full\""), "{}", stderr(&output));
    let onto = ["blob", "get", KEY, &id, "-o", "/dev/full"];
    assert_eq!(place.fails(&onto), (7, "full".to_owned()));

    let mut child = place.start(&["blob", "get", KEY, &id]);
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(first, noise(10)[..]);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((code(&ended), stderr(&ended).as_str()), (0, ""));
}

#[test]
fn usage_shows_attachments_by_day() {
    let place = Place::with_app();
    put(&place, "file", &noise(1_234));
    let usage = place.json(&["usage", KEY]);
    let attachments = &usage["attachments"];
    assert_eq!(
        (&attachments["count"], &attachments["logical_bytes"]),
        (&json!(1), &json!(1_234))
    );
    let days = attachments["days"].as_array().unwrap();
    assert_eq!(days.len(), 1);
    assert!(days[0]["day"].as_u64().unwrap().is_multiple_of(DAY));
    assert_eq!(days[0]["physical_bytes"], attachments["physical_bytes"]);
    let table = String::from_utf8(place.run(&["usage", KEY, "--days"]).stdout).unwrap();
    assert!(
        table.contains("1,234") && table.contains("uploaded on"),
        "{table}"
    );
}
