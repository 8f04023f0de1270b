//! Row 16 of `FAULTS.md`: ids and names from outside, of every part, are never part of a path as they are.

use std::collections::BTreeSet;

use tidestore::plan::{AppKey, Plan, ResourceId, Terms, UserId};
use tidestore::{
    Account, App, Conversation, EngineKind, NewAttachment, NewChannel, NewMessage, Page, RoomSet,
};
use tidestore_tests::life::machine;
use tidestore_tests::{run, user};

/// What breaks stores that trust names: other places, ends of strings, devices, things that some filesystems fold into one.
fn hostile() -> Vec<String> {
    let mut all: Vec<String> = [
        "..",
        ".",
        "...",
        "../x",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "C:\\x",
        "\\\\host\\x",
        "a\0b",
        "\0",
        "a\nb",
        "a\rb",
        "\u{1b}[2J",
        " ",
        " a",
        "a ",
        "a.",
        ".a",
        "~",
        "~root",
        "$HOME",
        "`id`",
        "%2e%2e",
        "%00",
        "%",
        "%zz",
        "a%2Fb",
        "CON",
        "nul",
        "com1.txt",
        "LOCK",
        "STORE",
        "log",
        "views",
        "apps",
        "00000001.log",
        "a.seg",
        "a.tmp",
        "CURRENT",
        "Case",
        "case",
        "CASE",
        "\u{e9}",
        "e\u{301}",
        "\u{212b}",
        "\u{c5}",
        "\u{fb01}",
        "\u{202e}gpj",
        "\u{feff}",
        "\u{1f600}",
        "-rf",
        "--",
        "*",
        "?",
        "a:b",
        "a#b",
        "#",
        "a'b",
        "a\"b",
        "<a>",
        "a|b",
        "a&b",
        ";",
        "",
    ]
    .map(str::to_owned)
    .into();
    all.push("x".repeat(64));
    all.push(".".repeat(64));
    all.push("x".repeat(65));
    all.push("y".repeat(255));
    all.push("z".repeat(5_000));
    all
}

/// Uses a text wherever a part takes one; what is refused is refused without a trace.
async fn use_everywhere(app: &App, name: &str) {
    let device = app.inbox(&user("ann"), name);
    if let Ok(inbox) = device {
        drop(inbox.page(None, 10).await);
    }
    let new = NewAttachment::new(user("ann"), name);
    if let Ok(put) = app.put_attachment(new, name.as_bytes()).await {
        assert_eq!(app.attachment(put.id).await.unwrap().name, name);
    }
    let pairs = || [(name.to_owned(), name.to_owned())];
    let attributes = app.user_attributes();
    if attributes.set(&user("ann"), pairs()).await.is_ok() {
        let keys = [name.to_owned()];
        let found = attributes.get(&user("ann"), Some(&keys)).await.unwrap();
        assert_eq!(found.get(name).map(String::as_str), Some(name));
        attributes.delete(&user("ann")).await.unwrap();
    }
    let hall = ResourceId::parse("hall").unwrap();
    let room = app.room_attributes(&hall);
    drop(room.set(&user("ann"), pairs(), RoomSet::default()).await);
    let message = NewMessage {
        client_id: name.into(),
        ext: name.to_owned().into(),
        ..NewMessage::text(Conversation::room(&hall), user("ann"), name.to_owned())
    };
    if app.append(message).await.is_ok() {
        let found = app
            .history(&Conversation::room(&hall), Page::newest(1))
            .await;
        assert_eq!(found.unwrap()[0].body, name.as_bytes());
    }
    if let Ok(id) = UserId::parse(name) {
        drop(app.users().register(Account::new(id.clone())).await);
        assert_eq!(app.users().get(&id).await.unwrap().id, id);
        drop(
            app.blocks(&user("ann"))
                .add(std::slice::from_ref(&id))
                .await,
        );
    }
    if let Ok(id) = ResourceId::parse(name) {
        drop(
            app.groups()
                .create(NewChannel::new(id.clone(), user("ann")))
                .await,
        );
        assert_eq!(app.groups().get(&id).await.unwrap().id, id);
        let to = Conversation::group(&id);
        app.append(NewMessage::text(to.clone(), user("ann"), "hi"))
            .await
            .unwrap();
        assert_eq!(app.history(&to, Page::newest(9)).await.unwrap().len(), 1);
    }
}

#[test]
fn hostile_ids_of_every_part_never_become_paths() {
    let machine = machine(EngineKind::Memory, 2);
    run(async {
        let (store, app) = machine.open_app(Plan::Enterprise).await;
        for who in ["ann", "bob"] {
            app.users().register(Account::new(user(who))).await.unwrap();
        }
        let hall = ResourceId::parse("hall").unwrap();
        app.rooms()
            .create(NewChannel::new(hall, user("ann")))
            .await
            .unwrap();
        let (mut made, mut refused) = (Vec::new(), 0);
        let mut seen = BTreeSet::new();
        for name in hostile() {
            for text in [
                format!("{name}#chat"),
                format!("org#{name}"),
                format!("{name}#{name}"),
            ] {
                let Ok(key) = AppKey::parse(&text) else {
                    refused += 1;
                    continue;
                };
                if !seen.insert(key.to_string()) {
                    // Differs from one that is there in no more than case.
                    store
                        .create_app(&key, Terms::of(Plan::Free))
                        .await
                        .unwrap_err();
                    continue;
                }
                let app = store.create_app(&key, Terms::of(Plan::Pro)).await.unwrap();
                let tea = tidestore_tests::group("tea");
                app.append(NewMessage::text(tea, user("ann"), text.clone()))
                    .await
                    .unwrap();
                let new = NewAttachment::new(user("ann"), "x");
                app.put_attachment(new, text.as_bytes()).await.unwrap();
                made.push((key, text));
            }
            if !["Case", "CASE", "nul"].contains(&&*name) {
                use_everywhere(&app, &name).await;
            }
        }
        assert!(made.len() > 40 && refused > 60, "{} {refused}", made.len());
        store.flush().await.unwrap();
        paths_are_harmless(&machine.disk.files());
        store.close().await.unwrap();
        drop((app, store));
        let store = machine.open().await.unwrap();
        assert_eq!(store.notices(), [] as [String; 0]);
        for (key, text) in made {
            let app = store.app(&key).unwrap();
            let tea = tidestore_tests::group("tea");
            let found = app.history(&tea, Page::newest(9)).await.unwrap();
            assert_eq!(found.len(), 1, "{key}");
            assert_eq!(found[0].body, text.as_bytes());
            assert_eq!(app.attachments(None, 9).await.unwrap().len(), 1);
        }
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}

fn paths_are_harmless(files: &[std::path::PathBuf]) {
    let mut folded = BTreeSet::new();
    for path in files {
        let text = path.to_str().unwrap();
        assert!(
            folded.insert(text.to_ascii_lowercase()),
            "{text} differs in case only"
        );
        for part in text.split('/') {
            let fine = |c: char| c.is_ascii_alphanumeric() || "-_.%#".contains(c);
            assert!(
                !part.is_empty() && part.len() <= 255 && part.chars().all(fine),
                "{text}"
            );
            assert!(part != "." && part != "..", "{text}");
        }
    }
    assert!(files.len() > 40);
}
