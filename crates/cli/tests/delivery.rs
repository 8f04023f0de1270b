//! `inbox`, `ack`, `conversations`, `read`, `recall`, `edit`, `react`, `tail`, `erase` and `export --hour`, as people use
//! them.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use common::{KEY, Place, code};
use flate2::read::GzDecoder;

/// Ann and bob, a group of both, and what they said.
fn place() -> Place {
    let place = Place::empty();
    place.json(&["app", "create", KEY, "--plan", "pro"]);
    place.json(&["user", "register", KEY, "ann", "bob"]);
    place.json(&["group", "create", KEY, "tea", "--owner", "ann"]);
    place.json(&["group", "add", KEY, "tea", "bob"]);
    place
}

fn send(place: &Place, chat: &str, from: &str, text: &str) -> String {
    let sent = place.json(&["send", KEY, chat, "--from", from, text]);
    sent["id"].to_string()
}

#[test]
fn a_phone_gets_what_it_missed_and_acknowledges() {
    let place = place();
    send(&place, "direct:ann,bob", "bob", "hello");
    send(&place, "group:tea", "bob", "tea is ready");
    let list = place.json(&["conversations", KEY, "ann"]);
    let unread = |n: usize| list["items"][n]["unread"].as_u64().unwrap();
    assert_eq!((unread(0), unread(1)), (1, 1));
    assert_eq!(list["items"][0]["chat"], "group:tea");
    let inbox = place.json(&["inbox", KEY, "ann"]);
    assert_eq!(inbox["pending"], 2);
    assert_eq!(inbox["items"][1]["body"], "tea is ready");
    // Unacknowledged it comes again; acknowledged it does not; another device is where this one is.
    assert_eq!(place.json(&["inbox", KEY, "ann"])["items"], inbox["items"]);
    let cursor = inbox["cursor"].as_str().unwrap();
    assert_eq!(place.json(&["ack", KEY, "ann", cursor])["pending"], 0);
    assert_eq!(
        place.json(&["inbox", KEY, "ann", "--device", "new"])["pending"],
        0
    );
    let wrong = place.fails(&["ack", KEY, "bob", cursor]);
    assert_eq!(wrong, (2, "argument".to_owned()));
    assert_eq!(place.json(&["read", KEY, "ann", "group:tea"])["unread"], 0);
    let text = place.run(&["conversations", KEY, "ann"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("tea is ready") && text.contains("unread"),
        "{text}"
    );
}

#[test]
fn messages_are_recalled_edited_and_reacted_to() {
    let place = place();
    let first = send(&place, "group:tea", "bob", "a kingfisher");
    let second = send(&place, "group:tea", "ann", "typo");
    place.json(&["react", KEY, &first, "ann", "👍"]);
    assert_eq!(place.fails(&["react", KEY, &first, "ann", "👍"]).0, 4);
    assert_eq!(place.json(&["react", KEY, &first])[0]["count"], 1);
    assert_eq!(
        place.json(&["edit", KEY, &second, "no typo", "--by", "ann"])["version"],
        1
    );
    let not_his = place.fails(&["recall", KEY, &first, "--by", "ann"]);
    assert_eq!(not_his, (4, "refused".to_owned()));
    place.json(&["recall", KEY, &first, "--by", "bob"]);
    assert_eq!(place.fails(&["recall", KEY, &first]).0, 3);
    let text = place.run(&["history", KEY, "group:tea"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("[recalled]") && text.contains("no typo (edited)"),
        "{text}"
    );
    let export = place.lines(&["export", KEY]);
    assert_eq!((export.len(), &export[0]["body"]), (1, &"no typo".into()));
    let inbox = place.run(&["inbox", KEY, "bob"]);
    let inbox = String::from_utf8(inbox.stdout).unwrap();
    assert!(
        inbox.contains("[recalled ") && inbox.contains("👍"),
        "{inbox}"
    );
}

#[test]
fn an_erased_user_leaves_no_trace() {
    let place = place();
    send(&place, "group:tea", "bob", "a kingfisher");
    send(&place, "group:tea", "ann", "a heron");
    place.json(&["inbox", KEY, "bob"]);
    assert_eq!(code(&place.run(&["verify", "--erased", "bob"])), 1);
    place.json(&["erase", KEY, "bob", "--messages"]);
    let traces = place.json(&["verify", "--erased", "bob"]);
    assert_eq!(traces[0]["messages"], 0);
    let history = place.run(&["history", KEY, "group:tea"]);
    let history = String::from_utf8(history.stdout).unwrap();
    assert!(
        history.contains("[erased]") && history.contains("a heron"),
        "{history}"
    );
    assert_eq!(code(&place.run(&["verify"])), 0);
}

#[test]
fn tail_follows_a_conversation() {
    let place = place();
    send(&place, "group:tea", "bob", "one");
    let mut tail = place
        .command(&["tail", KEY, "group:tea", "--until", "3"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().ends_with("bob: one"));
    // Whoever comes while the other has the directory is told so, and tries again.
    for text in ["two", "three"] {
        while code(&place.run(&["send", KEY, "group:tea", "--from", "ann", text])) != 0 {}
        let line = lines.next().unwrap().unwrap();
        assert!(line.ends_with(&format!("ann: {text}")), "{line}");
    }
    assert!(tail.wait().unwrap().success());
}

#[test]
fn the_history_file_of_an_hour_is_gzip_of_json_lines() {
    let place = Place::with_app();
    let lines = place.path("in.jsonl");
    #[expect(clippy::disallowed_methods, reason = "the operator's file")]
    std::fs::write(
        &lines,
        r#"{"chat":"direct:ann,bob","from":"bob","ts":1704067200000,"body":"in the hour"}
{"chat":"direct:ann,bob","from":"bob","ts":1704070800000,"body":"behind it"}
"#,
    )
    .unwrap();
    place.json(&["import", KEY, lines.to_str().unwrap()]);
    let file = place.run(&["export", KEY, "--hour", "2024010100"]);
    assert_eq!(code(&file), 0);
    let mut text = String::new();
    GzDecoder::new(&file.stdout[..])
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("in the hour"), "{text}");
    for wrong in ["2024", "2024013200", "20240101aa", "2999010100"] {
        assert_eq!(
            code(&place.run(&["export", KEY, "--hour", wrong])),
            2,
            "{wrong}"
        );
    }
}
