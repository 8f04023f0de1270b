//! A message for somebody who is away: whether he is told, what he is shown, and where an operator reads it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::Service;

/// Who was told of a message, and of what: title and content by user.
type Told = BTreeMap<String, (String, String)>;

/// What the log says of each message, by its id.
fn told(log: &[Value]) -> BTreeMap<String, Told> {
    let mut all: BTreeMap<String, Told> = BTreeMap::new();
    for one in log {
        assert_eq!(one["kind"], "message", "{one}");
        let text = |name: &str| one["content"][name].as_str().unwrap().to_owned();
        let of = all.entry(text("msg_id")).or_default();
        for user in one["targets"].as_array().unwrap() {
            let user = user.as_str().unwrap().to_owned();
            assert_eq!(
                of.insert(user, (text("title"), text("content"))),
                None,
                "{one}"
            );
        }
    }
    all
}

fn expected(users: &[(&str, &str, &str)]) -> Told {
    let one = |(user, title, content): &(&str, &str, &str)| {
        (
            (*user).to_owned(),
            ((*title).to_owned(), (*content).to_owned()),
        )
    };
    users.iter().map(one).collect()
}

#[test]
fn who_is_away_is_told_as_he_wants_to_be() {
    let mut service = Service::start();
    let all = [
        "ann", "bob", "carl", "dora", "emil", "fred", "gina", "hank", "ivan",
    ];
    service.register(&all);
    let put = |path: &str, body: Value| service.put(path, &body).ok();
    put("/users/ann", json!({"nickname": "Annie"}));
    put("/users/bob", json!({"notification_display_style": 1}));
    put(
        "/users/dora/notification/user/dora",
        json!({"type": "NONE"}),
    );
    put(
        "/users/emil/notification/user/emil",
        json!({"ignoreDuration": 604_800_000}),
    );
    put("/users/fred/notification/user/ann", json!({"type": "NONE"}));
    put("/users/hank", json!({"notification_no_disturbing": true}));
    service
        .post("/users/ivan/presence/web_1/1", &json!({}))
        .ok();
    let members = &all[1..];
    let group = json!({"groupname": "g", "description": "", "public": true, "owner": "ann", "members": members});
    let group = service.make("/chatgroups", &group);
    put(
        &format!("/users/gina/notification/chatgroup/{group}"),
        json!({"type": "AT"}),
    );
    // One conversation that is louder than the rest of the app.
    put(
        &format!("/users/dora/notification/chatgroup/{group}"),
        json!({"type": "ALL"}),
    );

    let direct = |to: &str, ext: Value| {
        let message =
            json!({"from": "ann", "to": [to], "type": "txt", "body": {"msg": "hello"}, "ext": ext});
        service.post("/messages/users", &message).data()[to]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let to_group = |kind: &str, body: Value, ext: Value| {
        let message = json!({"from": "ann", "to": [group], "type": kind, "body": body, "ext": ext});
        service.post("/messages/chatgroups", &message).data()[&group]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let hidden = "you have a new message";
    let mut wanted: BTreeMap<String, Told> = BTreeMap::new();
    for (user, content) in [
        ("bob", Some("hello")),
        ("carl", Some(hidden)),
        ("dora", None),
        ("emil", None),
        ("fred", None),
        ("hank", None),
        ("ivan", None),
    ] {
        let id = direct(user, Value::Null);
        if let Some(content) = content {
            wanted.insert(id, expected(&[(user, "Annie", content)]));
        }
    }
    direct("bob", json!({"em_ignore_notification": true}));
    let in_group = [
        ("carl", "Annie", hidden),
        ("dora", "Annie", hidden),
        ("fred", "Annie", hidden),
    ];
    let with =
        |more: &[(&'static str, &'static str, &'static str)]| expected(&[&in_group, more].concat());
    let text = || json!({"msg": "hello"});
    let id = to_group("txt", text(), Value::Null);
    wanted.insert(id, with(&[("bob", "Annie", "hello")]));
    let id = to_group("txt", text(), json!({"em_at_list": ["gina"]}));
    wanted.insert(
        id,
        with(&[("bob", "Annie", "hello"), ("gina", "Annie", hidden)]),
    );
    let id = to_group("txt", text(), json!({"em_at_list": "ALL"}));
    wanted.insert(
        id,
        with(&[("bob", "Annie", "hello"), ("gina", "Annie", hidden)]),
    );
    let id = to_group("img", json!({"url": "http://h/a"}), Value::Null);
    wanted.insert(id, with(&[("bob", "Annie", "[img]")]));
    to_group("cmd", json!({"action": "a"}), Value::Null);

    // The app's own words; and those who change their minds are told from then on.
    let template =
        json!({"name": "default", "title_pattern": "{0} writes", "content_pattern": "<{1}> {2}"});
    service.post("/notification/template", &template).ok();
    put(
        "/users/emil/notification/user/emil",
        json!({"ignoreDuration": 0}),
    );
    put("/users/hank", json!({"notification_no_disturbing": false}));
    put(
        "/users/fred/notification/user/ann",
        json!({"type": "DEFAULT"}),
    );
    put("/users/carl", json!({"notification_display_style": "1"}));
    service
        .post("/users/ivan/presence/web_1/0", &json!({}))
        .ok();
    let filled = |text: &str| format!("<{text}> {{2}}");
    for (user, content) in [
        ("carl", "hello"),
        ("emil", hidden),
        ("fred", hidden),
        ("hank", hidden),
        ("ivan", hidden),
    ] {
        let id = direct(user, Value::Null);
        wanted.insert(id, expected(&[(user, "Annie writes", &filled(content))]));
    }

    // What waits to be pushed when the service is told to stop is pushed still.
    assert_eq!(service.stop(), Some(0));
    let shown = service.command(&["--json", "push", "log", "test#chat", "--limit", "100"]);
    assert!(shown.status.success(), "{shown:?}");
    let shown: Vec<Value> = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(told(&shown), wanted);
    assert!(
        shown.iter().all(|one| one["content"]["from"] == "ann"),
        "{shown:?}"
    );
    service.restart_with(&["--no-rates"]);
    let read = service.get("/push/log?limit=100").ok();
    assert_eq!(read["data"], json!(shown));
    assert_eq!(read["count"], shown.len());
}
