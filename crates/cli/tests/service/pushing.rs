//! Offline push and push: rows 117 to 134.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::harness::Service;

#[test]
fn settings_of_a_user_a_peer_and_a_group() {
    let mut service = Service::start();
    service.register(&["ann", "bob"]);
    let whole = "/users/ann/notification/user/ann";
    let data = service
        .put(
            whole,
            &json!({"type": "AT", "ignoreInterval": "22:00-07:30"}),
        )
        .data();
    assert_eq!(data, json!({"type": "AT", "ignoreInterval": "22:00-07:30"}));
    let peer = "/users/ann/notification/user/bob";
    let data = service
        .put(peer, &json!({"ignoreDuration": 604_800_000}))
        .data();
    let until = data["ignoreDuration"].as_u64().unwrap();
    assert!(until > 1_700_000_000_000 + 604_800_000, "{data}");
    service
        .put(
            "/users/ann/notification/chatgroup/77",
            &json!({"type": "NONE"}),
        )
        .ok();
    service.kill_and_restart();
    assert_eq!(service.get(whole).data()["type"], "AT");
    assert_eq!(
        service.get(peer).data(),
        json!({"type": "DEFAULT", "ignoreDuration": until})
    );
    assert_eq!(
        service.get("/users/ann/notification/chatgroup/77").data()["type"],
        "NONE"
    );
    for wrong in [
        json!({"type": "SOME"}),
        json!({"ignoreDuration": 604_800_001}),
        json!({"ignoreDuration": -1}),
        json!({"ignoreInterval": "25:00-01:00"}),
    ] {
        service.put(whole, &wrong).refused(400, "illegal_argument");
    }
    service
        .put(peer, &json!({"ignoreInterval": "22:00-07:30"}))
        .refused(400, "illegal_argument");
    service
        .put("/users/ann/notification/planet/bob", &json!({}))
        .refused(400, "illegal_argument");
    let missing = "required_property_not_found";
    service
        .put(
            "/users/nobody/notification/user/bob",
            &json!({"type": "ALL"}),
        )
        .refused(400, missing);
    service
        .get("/users/nobody/notification/user/bob")
        .refused(400, missing);

    let language = "/users/ann/notification/language";
    let data = service
        .put(language, &json!({"translationLanguage": "zh-Hans"}))
        .data();
    assert_eq!(data, json!({"language": "zh-Hans"}));
    assert_eq!(service.get(language).data(), json!({"language": "zh-Hans"}));
    service
        .put(language, &json!({"translationLanguage": ""}))
        .ok();
    assert_eq!(service.get(language).data(), json!({"language": ""}));
    service
        .get("/users/nobody/notification/language")
        .refused(400, missing);
}

#[test]
fn templates() {
    let mut service = Service::start();
    let new = json!({"name": "default", "title_pattern": "{0}", "content_pattern": "{1}"});
    let made = service.post("/notification/template", &new).data();
    assert_eq!(
        (&made["name"], &made["title_pattern"]),
        (&json!("default"), &json!("{0}"))
    );
    assert!(made["createAt"].is_u64());
    service
        .post("/notification/template", &new)
        .refused(400, "illegal_argument");
    service.kill_and_restart();
    assert_eq!(service.get("/notification/template/default").data(), made);
    assert_eq!(
        service.delete("/notification/template/default").data(),
        made
    );
    service
        .get("/notification/template/default")
        .refused(400, "illegal_argument");
    service
        .delete("/notification/template/default")
        .refused(400, "illegal_argument");
    for wrong in [
        json!({}),
        json!({"name": "a b", "title_pattern": "x", "content_pattern": "y"}),
        json!({"name": "x".repeat(65), "title_pattern": "x", "content_pattern": "y"}),
    ] {
        service
            .post("/notification/template", &wrong)
            .refused(400, "illegal_argument");
    }
}

#[test]
fn labels_and_their_users() {
    let mut service = Service::start();
    service.register(&["ann", "bob", "carl"]);
    let made = service
        .post(
            "/push/label",
            &json!({"name": "Tea", "description": "drinks"}),
        )
        .data();
    assert_eq!(
        (&made["name"], &made["description"]),
        (&json!("Tea"), &json!("drinks"))
    );
    service.post("/push/label", &json!({"name": "tea"})).ok();
    let again = service.post("/push/label", &json!({"name": "Tea"}));
    assert!((400..500).contains(&again.status), "{again:?}");
    for wrong in [
        json!({}),
        json!({"name": "a b"}),
        json!({"name": "x".repeat(65)}),
        json!({"name": "ok", "description": "x".repeat(256)}),
    ] {
        service
            .post("/push/label", &wrong)
            .refused(400, "illegal_argument");
    }
    let users = json!({"usernames": ["ann", "bob", "nobody"]});
    let data = service.post("/push/label/Tea/user", &users).data();
    assert_eq!(data["success"], json!(["ann", "bob"]));
    assert!(data["fail"]["nobody"].is_string());
    service.kill_and_restart();
    assert_eq!(service.get("/push/label/Tea").data()["count"], 2);
    let page = service.get("/push/label/Tea/user?limit=1").ok();
    assert_eq!(page["data"][0]["username"], "ann");
    let cursor = page["cursor"].as_str().unwrap();
    let page = service
        .get(&format!("/push/label/Tea/user?limit=1&cursor={cursor}"))
        .ok();
    assert_eq!(page["data"][0]["username"], "bob");
    assert_eq!(
        service.get("/push/label/Tea/user/ann").data()["username"],
        "ann"
    );
    assert!(
        service
            .get("/push/label/Tea/user/carl")
            .ok()
            .get("data")
            .is_none()
    );
    let data = service
        .call(
            "DELETE",
            "/push/label/Tea/user",
            Some(&json!({"usernames": ["ann"]})),
        )
        .data();
    assert_eq!(data["success"], json!(["ann"]));
    assert_eq!(service.get("/push/label/Tea").data()["count"], 1);
    let names: Vec<Value> = service
        .get("/push/label")
        .data()
        .as_array()
        .unwrap()
        .iter()
        .map(|label| label["name"].clone())
        .collect();
    assert_eq!(names, ["Tea", "tea"]);
    assert_eq!(service.delete("/push/label/Tea").data(), json!("success"));
    let missing = service.get("/push/label/Tea");
    assert!((400..500).contains(&missing.status), "{missing:?}");
    let many: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
    service
        .post("/push/label/tea/user", &json!({"usernames": many}))
        .refused(400, "invalid_parameter");
}

/// Takes one request of a webhook and answers it.
fn one_post(listener: &TcpListener) -> Value {
    let (mut stream, _) = listener.accept().unwrap();
    let mut seen = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let read = stream.read(&mut piece).unwrap();
        seen.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&seen);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            });
            if body.len() >= length.unwrap().parse().unwrap() {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .unwrap();
                return serde_json::from_str(body).unwrap();
            }
        }
    }
}

#[test]
fn what_is_pushed_reaches_the_log_and_the_webhook() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let mut service = Service::start_with(&["--no-rates", "--push-webhook", &url]);
    service.register(&["ann"]);
    let message = json!({"title": "hello", "content": "there"});
    let single = json!({"targets": ["ann", "nobody"], "pushMessage": message});
    let data = std::thread::scope(|scope| {
        let hook = scope.spawn(|| one_post(&listener));
        let data = service.post("/push/single", &single).data();
        let posted = hook.join().unwrap();
        assert_eq!(posted["app"], "test#chat");
        assert_eq!(posted["notifications"][0]["targets"], json!(["ann"]));
        data
    });
    assert_eq!(
        (&data[0]["pushStatus"], &data[1]["pushStatus"]),
        (&json!("ASYNC_SUCCESS"), &json!("FAIL"))
    );
    // Nobody answers there any more.
    drop(listener);
    let alone = json!({"targets": ["ann"], "async": false, "pushMessage": message});
    assert_eq!(
        service.post("/push/single", &alone).data()[0]["pushStatus"],
        "ERROR"
    );
    service.kill_and_restart();
    let log = service.get("/push/log").data();
    assert_eq!(log.as_array().unwrap().len(), 2);
    assert_eq!(
        (&log[1]["kind"], &log[1]["targets"], &log[1]["content"]),
        (&json!("single"), &json!(["ann"]), &message)
    );
    service.stop();
    let shown = service.command(&["--json", "push", "log", "test#chat"]);
    assert!(shown.status.success(), "{shown:?}");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("hello"));
}

#[test]
fn pushing_to_labels_and_to_all() {
    let service = Service::start();
    service.register(&["ann"]);
    service.post("/push/label", &json!({"name": "tea"})).ok();
    let message =
        json!({"title": "t".repeat(32), "subTitle": "s".repeat(10), "content": "c".repeat(100)});
    let label = json!({"targets": ["tea"], "pushMessage": message});
    assert!(service.post("/push/list/label", &label).data()["taskId"].is_u64());
    assert!(
        service
            .post("/push/task", &json!({"pushMessage": message}))
            .data()
            .is_u64()
    );
    let log = service.get("/push/log?limit=1").ok();
    assert_eq!(log["data"][0]["kind"], "all");
    let cursor = log["cursor"].as_str().unwrap();
    let log = service
        .get(&format!("/push/log?limit=5&cursor={cursor}"))
        .data();
    assert_eq!(
        (&log[0]["kind"], &log[0]["targets"]),
        (&json!("label"), &json!(["tea"]))
    );

    let push = |path: &str, body: Value| service.post(path, &body);
    let missing = push(
        "/push/list/label",
        json!({"targets": ["none"], "pushMessage": message}),
    );
    assert!((400..500).contains(&missing.status), "{missing:?}");
    push(
        "/push/list/label",
        json!({"targets": [], "pushMessage": message}),
    )
    .refused(400, "illegal_argument");
    push(
        "/push/list/label",
        json!({"targets": ["a", "b", "c", "d", "e", "f"], "pushMessage": message}),
    )
    .refused(400, "invalid_parameter");
    push("/push/task", json!({})).refused(400, "illegal_argument");
    for (field, value) in [
        ("title", json!("t".repeat(33))),
        ("subTitle", json!("s".repeat(11))),
        ("content", json!("c".repeat(101))),
        ("content", json!(5)),
        ("ext", json!({"a": "x".repeat(1_020)})),
    ] {
        push("/push/task", json!({"pushMessage": {field: value}})).refused(400, "illegal_argument");
    }
    push(
        "/push/single",
        json!({"targets": ["ann", "bob"], "async": false, "pushMessage": message}),
    )
    .refused(400, "illegal_argument");
    push(
        "/push/single",
        json!({"targets": ["ann"], "strategy": 4, "pushMessage": message}),
    )
    .refused(400, "illegal_argument");
    let many: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
    push(
        "/push/single",
        json!({"targets": many, "pushMessage": message}),
    )
    .refused(400, "invalid_parameter");
}
