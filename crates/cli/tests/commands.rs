//! Every command does what its help says.

mod common;

use common::{DAY, KEY, Place, START, assert_export_is, chat, code, sorted, stderr, text};

#[test]
fn help_names_every_command_and_exit_code() {
    let output = Place::empty().run(&["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    for word in [
        "demo", "app", "user", "group", "room", "thread", "attr", "send", "blob", "import",
        "export", "history", "usage", "expire", "inspect", "rebuild", "backup", "restore",
        "repair", "scrub", "verify", "torture",
    ] {
        assert!(help.contains(word), "{word}");
    }
    assert!(
        (0..=7).all(|code| help.contains(&format!("\n  {code}  "))),
        "{help}"
    );
}

#[test]
fn apps_are_created_listed_changed_and_deleted() {
    let place = Place::empty();
    let created = place.json(&["app", "create", "Acme#Chat", "--plan", "pro"]);
    assert_eq!(
        (created["app"].as_str(), created["retention_days"].as_u64()),
        (Some("acme#chat"), Some(90))
    );
    place.json(&[
        "app",
        "create",
        "acme#own",
        "--plan",
        "enterprise",
        "--retention",
        "400",
    ]);
    let list = place.json(&["app", "list"]);
    let rows: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|app| (&app["app"], &app["plan"]))
        .collect();
    assert_eq!(format!("{rows:?}").matches("acme#").count(), 2);

    let changed = place.json(&["app", "plan", "acme#chat", "basic"]);
    assert_eq!(
        (changed["plan"].as_str(), changed["retention_days"].as_u64()),
        (Some("basic"), Some(7))
    );
    assert!(changed["undo_until"].is_u64());
    assert_eq!(place.json(&["app", "undo", "acme#chat"])["plan"], "pro");
    assert_eq!(
        place.fails(&["app", "undo", "acme#chat"]),
        (4, "nothing_to_undo".to_owned())
    );

    assert_eq!(
        place.json(&["app", "delete", "acme#own"])["deleted"],
        "acme#own"
    );
    assert_eq!(place.json(&["app", "list"]).as_array().unwrap().len(), 1);
    let table = place.run(&["app", "list"]);
    assert!(
        String::from_utf8(table.stdout)
            .unwrap()
            .contains("acme#chat")
    );
}

#[test]
fn what_is_imported_is_exported_body_for_body() {
    let place = Place::with_app();
    let lines = chat(3_000);
    let file = place.file("chat.jsonl", text(&lines));
    let report = place.json(&["import", KEY, &file]);
    let figures = ["stored", "duplicates", "refused"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(figures, [3_000, 0, 0]);
    let exported = place.lines(&["export", KEY]);
    assert_export_is(&exported, &lines);

    // An export is an import: into another store, compressed, through a pipe.
    let other = Place::with_app();
    let packed = zstd::encode_all(text(&exported).as_bytes(), 3).unwrap();
    let mut child = other.start(&["--json", "import", KEY, "-"]);
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &packed).unwrap();
    assert_eq!(code(&child.wait_with_output().unwrap()), 0);
    assert_eq!(sorted(&other.lines(&["export", KEY])), sorted(&lines));
}

#[test]
fn an_import_that_is_run_again_stores_nothing_twice_but_keeps_lines_that_stand_twice() {
    let place = Place::with_app();
    let mut lines = chat(1_500);
    lines.insert(700, lines[600].clone());
    let file = place.file("chat.jsonl", text(&lines));
    for stored in [1_501, 0] {
        let report = place.json(&["import", KEY, &file]);
        assert_eq!(
            (report["stored"].as_u64(), report["duplicates"].as_u64()),
            (Some(stored), Some(1_501 - stored))
        );
    }
    assert_eq!(sorted(&place.lines(&["export", KEY])), sorted(&lines));
}

#[test]
fn an_export_is_narrowed_by_chat_and_time() {
    let place = Place::with_app();
    let lines = chat(2_000);
    let file = place.file("chat.jsonl", text(&lines));
    place.json(&["import", KEY, &file]);
    let chat = lines[0]["chat"].as_str().unwrap();
    let (since, until) = (START + 5 * DAY, START + 9 * DAY);
    let found = place.lines(&[
        "export",
        KEY,
        "--chat",
        chat,
        "--since",
        "2024-01-06",
        "--until",
        &until.to_string(),
    ]);
    let is_wanted = |line: &&serde_json::Value| {
        line["chat"] == chat && (since..until).contains(&line["ts"].as_u64().unwrap())
    };
    let expected: Vec<_> = lines.iter().filter(is_wanted).cloned().collect();
    assert!(!expected.is_empty());
    assert_eq!(sorted(&found), sorted(&expected));
    assert!(
        place
            .lines(&["export", KEY, "--chat", "group:nobody"])
            .is_empty()
    );
}

#[test]
fn history_pages_back_from_the_newest() {
    let place = Place::with_app();
    let lines = chat(2_000);
    let file = place.file("chat.jsonl", text(&lines));
    place.json(&["import", KEY, &file]);
    let name = lines[0]["chat"].as_str().unwrap();
    let mut expected = place.lines(&["export", KEY, "--chat", name]);
    expected.reverse();
    let mut found = place.lines(&["--json", "history", KEY, name, "--limit", "7"]);
    while found.len() < expected.len() {
        let before = found.last().unwrap()["msg_id"].to_string();
        let page = place.lines(&[
            "--json", "history", KEY, name, "--limit", "60", "--before", &before,
        ]);
        assert!(!page.is_empty());
        found.extend(page);
    }
    assert_eq!(found, expected);
    let table = String::from_utf8(place.run(&["history", KEY, name]).stdout).unwrap();
    assert!(
        table.contains(expected[0]["from"].as_str().unwrap()),
        "{table}"
    );
}

#[test]
fn a_page_for_people_shows_no_control_characters() {
    let place = Place::with_app();
    let line = r#"{"chat":"group:g","from":"a","ts":1704067200000,"body":"\u001b[2J\u0007evil"}"#;
    let file = place.file("evil.jsonl", line);
    place.json(&["import", KEY, &file]);
    let table = String::from_utf8(place.run(&["history", KEY, "group:g"]).stdout).unwrap();
    assert!(
        table.contains("evil") && !table.contains(['\u{1b}', '\u{7}']),
        "{table:?}"
    );
}

#[test]
fn usage_counts_messages_and_bytes_of_bodies() {
    let place = Place::with_app();
    let lines = chat(1_000);
    let file = place.file("chat.jsonl", text(&lines));
    place.json(&["import", KEY, &file]);
    let usage = place.json(&["usage", KEY]);
    let bytes: usize = lines
        .iter()
        .map(|line| line["body"].as_str().unwrap().len())
        .sum();
    assert_eq!(usage["messages"]["count"], 1_000);
    assert_eq!(usage["messages"]["body_bytes"], bytes);
    assert!(usage["disk_bytes"].as_u64().unwrap() > 0 && usage["segments"].as_u64().unwrap() > 0);
    assert_eq!(
        (usage["plan"].as_str(), usage["retention_days"].as_u64()),
        (Some("enterprise"), Some(10_000))
    );
    assert!(
        String::from_utf8(place.run(&["usage", KEY]).stdout)
            .unwrap()
            .contains("1,000")
    );
}

#[test]
fn a_downgrade_is_previewed_made_and_undone() {
    let place = Place::with_app();
    let file = place.file("chat.jsonl", text(&chat(1_000)));
    place.json(&["import", KEY, &file, "--shift-to-now"]);
    let count = || {
        place.json(&["usage", KEY])["messages"]["count"]
            .as_u64()
            .unwrap()
    };
    let preview = place.json(&["app", "plan", KEY, "basic", "--preview"]);
    let hidden = preview["hidden_messages"].as_u64().unwrap();
    assert!((500..1_000).contains(&hidden), "{preview}");
    assert_eq!(count(), 1_000);
    place.json(&["app", "plan", KEY, "basic"]);
    // A message may have crossed the floor between the two commands.
    assert!(
        (0..=2).contains(&(1_000 - hidden - count())),
        "{hidden} hidden, {} visible",
        count()
    );
    place.json(&["app", "undo", KEY]);
    assert_eq!(count(), 1_000);
}

#[test]
fn expire_frees_what_is_older_than_the_retention() {
    let place = Place::empty();
    place.json(&[
        "app",
        "create",
        KEY,
        "--plan",
        "enterprise",
        "--retention",
        "10000",
    ]);
    let file = place.file("chat.jsonl", text(&chat(1_000)));
    place.json(&["import", KEY, &file]);
    assert_eq!(place.json(&["expire"])["messages"], 0);
    // 10,000 days after the chat and one bucket.
    let report = place.json(&["expire", "--now", "2053-06-01"]);
    assert_eq!(report["messages"], 1_000, "{report}");
    assert!(report["bytes"].as_u64().unwrap() > 0);
    assert!(place.lines(&["export", KEY]).is_empty());
    assert_eq!(place.json(&["usage", KEY])["disk_bytes"], 0);
    assert!(place.json(&["expire", "--confirm-clock"]).is_object());
}

#[test]
fn verify_is_content_with_a_sound_store_and_inspect_reads_its_files() {
    let place = Place::with_app();
    let file = place.file("chat.jsonl", text(&chat(1_000)));
    place.json(&["import", KEY, &file]);
    let report = place.json(&["verify"]);
    assert_eq!(report["problems"].as_array().unwrap().len(), 0);
    assert_eq!(report["messages"], 1_000);
    let all = [
        place.files("apps"),
        place.files("log"),
        vec![place.data().join("STORE")],
    ]
    .concat();
    assert!(all.len() > 2);
    for path in &all {
        let report = place.json(&["inspect", path.to_str().unwrap()]);
        assert!(!report["rows"].as_array().unwrap().is_empty(), "{report}");
    }
    let tables = place.data().join("views/shard-00");
    assert!(
        !place.json(&["inspect", tables.to_str().unwrap()])["rows"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_small_demonstration_keeps_what_it_should_and_leaves_nothing_behind() {
    let place = Place::empty();
    let temporary = place.path("tmp");
    #[expect(clippy::disallowed_methods, reason = "the test plays the operator")]
    std::fs::create_dir(&temporary).unwrap();
    // The temporary directory is only used where none is named, so the program runs without --data here.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidestore"));
    command
        .args(["--json", "demo", "--messages", "2000"])
        .env("TMPDIR", &temporary);
    let output = command.current_dir(place.path("")).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let apps = report["apps"].as_array().unwrap();
    assert_eq!(
        apps.iter()
            .map(|app| app["sent"].as_u64().unwrap())
            .sum::<u64>(),
        2_000
    );
    let kept: Vec<_> = apps
        .iter()
        .map(|app| app["kept"].as_u64().unwrap())
        .collect();
    assert!(
        kept.is_sorted() && kept[0] < 20 && kept[3] > 400,
        "{kept:?}"
    );
    assert_eq!(report["refused"]["kind"], "limit");
    assert_eq!(
        report["downgrade"]["visible_before"],
        report["downgrade"]["visible_undone"]
    );
    let media = report["attachments"].as_array().unwrap();
    let there: Vec<_> = media
        .iter()
        .map(|app| {
            (
                app["before"]["count"].as_u64(),
                app["after"]["count"].as_u64(),
            )
        })
        .collect();
    assert_eq!(there, [(Some(5), Some(0)), (Some(5), Some(4))]);
    for app in media {
        let bytes = |name: &str| app["before"][name].as_u64().unwrap();
        assert!(bytes("physical_bytes") < bytes("logical_bytes"), "{app}");
    }
    #[expect(clippy::disallowed_methods, reason = "the test plays the operator")]
    let left = std::fs::read_dir(&temporary).unwrap().count();
    assert_eq!(left, 0);
}
