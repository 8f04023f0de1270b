//! Messages: rows 20 to 22 and 25 to 30.

use std::io::Read;

use serde_json::{Value, json};

use crate::harness::Service;

fn text(from: &str, to: &[&str], msg: &str) -> Value {
    json!({"from": from, "to": to, "type": "txt", "body": {"msg": msg}})
}

fn group(service: &Service, owner: &str, members: &[&str]) -> String {
    let new = json!({"groupname": "tea", "description": "d", "public": true, "owner": owner, "members": members});
    service.post("/chatgroups", &new).data()["groupid"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Conversations of a user as the list shows them: channel, unread, what the last one says.
fn listed(service: &Service, user: &str) -> Vec<(String, u64, String)> {
    let data = service.get(&format!("/user/{user}/user_channels")).data();
    let channels = data["channel_infos"].as_array().unwrap().iter();
    let one = |info: &Value| {
        let payload: Value =
            serde_json::from_str(info["meta"]["payload"].as_str().unwrap()).unwrap();
        let said = payload["bodies"][0]["msg"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (
            info["channel_id"].as_str().unwrap().to_owned(),
            info["unread_num"].as_u64().unwrap(),
            said,
        )
    };
    channels.map(one).collect()
}

#[test]
fn every_type_is_sent_and_survives_with_its_order() {
    let mut service = Service::start();
    service.register(&["ann", "bob"]);
    let bodies = [
        ("txt", json!({"msg": "hello 你好"})),
        (
            "img",
            json!({"url": "http://h/a", "filename": "a.png", "secret": "s", "size": {"width": 1, "height": 2}}),
        ),
        ("audio", json!({"url": "http://h/a", "length": 3})),
        (
            "video",
            json!({"url": "http://h/a", "thumb": "http://h/t", "length": 3, "file_length": 4}),
        ),
        ("file", json!({"url": "http://h/a"})),
        (
            "loc",
            json!({"lat": "39.9", "lng": "116.3", "addr": "here"}),
        ),
        (
            "custom",
            json!({"customEvent": "gift", "customExts": {"a": "b"}}),
        ),
        ("cmd", json!({"action": "blink"})),
    ];
    let mut ids = Vec::new();
    for (kind, body) in &bodies {
        let message = json!({"from": "ann", "to": ["bob"], "type": kind, "body": body, "ext": {"k": "v"}, "routetype": ""});
        let data = service
            .post("/messages/users?useMsgId=true", &message)
            .data();
        ids.push(data["bob"].as_str().unwrap().parse::<u64>().unwrap());
    }
    assert!(ids.is_sorted(), "{ids:?}");
    service.kill_and_restart();
    // Commands wait for devices, but do not count as unread.
    assert_eq!(service.get("/users/bob/offline_msg_count").data()["bob"], 8);
    let (channel, unread, _) = listed(&service, "bob").remove(0);
    assert_eq!((channel.as_str(), unread), ("test#chat_ann@easemob.com", 7));
    let state = service
        .get(&format!("/users/bob/offline_msg_status/{}", ids[0]))
        .data();
    assert_eq!(state, json!({ids[0].to_string(): "undelivered"}));
}

#[test]
fn many_receivers_groups_and_rooms() {
    let service = Service::start();
    service.register(&["ann", "bob", "carl"]);
    let group = group(&service, "ann", &["bob", "carl"]);
    let data = service
        .post("/messages/chatgroups", &text("ann", &[&group], "to all"))
        .data();
    assert!(data[&group].as_str().unwrap().parse::<u64>().is_ok());
    assert_eq!(
        listed(&service, "bob")[0],
        (
            format!("test#chat_{group}@conference.easemob.com"),
            1,
            "to all".to_owned()
        )
    );
    let room = json!({"name": "r", "description": "", "owner": "ann"});
    let room = service.post("/chatrooms", &room).data()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    service
        .post("/messages/chatrooms", &text("ann", &[&room], "to the room"))
        .ok();
    // Without a sender it is the admin; nobody has to exist.
    let anybody = json!({"to": ["x", "y", "x"], "type": "txt", "body": {"msg": "hi"}, "ext": null});
    assert_eq!(
        service
            .post("/messages/users", &anybody)
            .data()
            .as_object()
            .unwrap()
            .len(),
        2
    );
    let all: Vec<String> = (0..600).map(|n| format!("{n:064}")).collect();
    let most = json!({"to": all, "type": "txt", "body": {"msg": "hi"}});
    assert_eq!(
        service
            .post("/messages/users", &most)
            .data()
            .as_object()
            .unwrap()
            .len(),
        600
    );
    // To those online only: nothing waits for anybody.
    let online = json!({"from": "ann", "to": ["carl"], "type": "txt", "body": {"msg": "now"}, "routetype": "ROUTE_ONLINE"});
    assert!(service.post("/messages/users", &online).data()["carl"].is_string());
    assert_eq!(
        service.get("/users/carl/offline_msg_count").data()["carl"],
        1
    );
}

#[test]
fn what_is_no_message_is_not_sent() {
    let service = Service::start();
    service.register(&["ann", "bob"]);
    let wrong = "message_send_error";
    let ok = text("ann", &["bob"], "hi");
    let with = |field: &str, value: Value| {
        let mut message = ok.clone();
        message[field] = value;
        message
    };
    for message in [
        with("from", json!("")),
        with("to", json!([])),
        with("type", json!("")),
        with("type", json!("smoke")),
        with("body", json!("hi")),
        with("body", json!({})),
        with("ext", json!([])),
        with("ext", json!("x")),
        with("to", json!(["a b"])),
        with("routetype", json!("ROUTE_66")),
        json!({"to": ["bob"], "type": "txt"}),
        json!({"type": "txt", "body": {"msg": "x"}}),
    ] {
        service
            .post("/messages/users", &message)
            .refused(400, wrong);
    }
    let many: Vec<String> = (0..601).map(|n| format!("u{n}")).collect();
    service
        .post("/messages/users", &with("to", json!(many)))
        .refused(400, wrong);
    service
        .post(
            "/messages/chatgroups",
            &with("to", json!(["1", "2", "3", "4"])),
        )
        .refused(400, wrong);
    let rooms: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    service
        .post("/messages/chatrooms", &with("to", json!(rooms)))
        .refused(400, wrong);
    // Body and extension together: {"msg":"…"} is ten bytes more than the text.
    service
        .post(
            "/messages/users",
            &text("ann", &["bob"], &"x".repeat(3_062)),
        )
        .ok();
    service
        .post(
            "/messages/users",
            &text("ann", &["bob"], &"x".repeat(3_063)),
        )
        .refused(400, wrong);
    let large = json!({"from": "ann", "to": ["bob"], "type": "txt", "body": {"msg": "x"}, "other": "x".repeat(5_100)});
    assert_eq!(service.post("/messages/users", &large).status, 413);
    assert_eq!(service.get("/users/bob/offline_msg_count").data()["bob"], 1);
}

#[test]
fn mutes_blocks_and_bans_hold_for_sends_too() {
    let service = Service::start();
    service.register(&["ann", "bob"]);
    let group = group(&service, "ann", &["bob"]);
    let direct = |from: &str, to: &str| service.post("/messages/users", &text(from, &[to], "hi"));
    let to_group = |from: &str| service.post("/messages/chatgroups", &text(from, &[&group], "hi"));
    service
        .post("/mutes", &json!({"username": "bob", "chat": 100}))
        .ok();
    direct("bob", "ann").refused(403, "forbidden_op");
    to_group("bob").ok();
    service
        .post("/mutes", &json!({"username": "bob", "chat": 0}))
        .ok();
    direct("bob", "ann").ok();
    service
        .post("/users/ann/blocks/users", &json!({"usernames": ["bob"]}))
        .ok();
    // One of two targets is refused: neither gets anything.
    let two = json!({"from": "bob", "to": ["ann", "carl"], "type": "txt", "body": {"msg": "hi"}});
    service
        .post("/messages/users", &two)
        .refused(403, "forbidden_op");
    service.delete("/users/ann/blocks/users/bob").ok();
    service
        .call("POST", &format!("/chatgroups/{group}/ban"), None)
        .ok();
    to_group("bob").refused(403, "forbidden_op");
    to_group("ann").ok();
    service
        .call("DELETE", &format!("/chatgroups/{group}/ban"), None)
        .ok();
    service
        .call("POST", &format!("/chatgroups/{group}/disable"), None)
        .ok();
    to_group("ann").refused(403, "forbidden_op");
    to_group("admin").refused(403, "forbidden_op");
    service.call("POST", "/users/bob/deactivate", None).ok();
    direct("bob", "ann").refused(403, "forbidden_op");
    // A user's own token sends in his name only.
    let token = service.user_token("ann");
    service
        .call_as(
            &token,
            "POST",
            "/messages/users",
            Some(&text("carl", &["bob"], "x")),
        )
        .refused(403, "forbidden_op");
}

#[test]
fn recall_in_both_forms() {
    let mut service = Service::start();
    service.register(&["ann", "bob"]);
    let send = |service: &Service| {
        service
            .post("/messages/users", &text("ann", &["bob"], "oops"))
            .data()["bob"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let first = send(&service);
    let asked = json!({"msg_id": first, "to": "bob", "chat_type": "chat", "from": "ann"});
    let data = service.post("/messages/msg_recall", &asked).data();
    assert_eq!(
        data,
        json!({"msg_id": first, "recalled": "yes", "from": "ann", "to": "bob", "chattype": "chat"})
    );
    service.kill_and_restart();
    let said = service
        .post("/messages/recall", &asked)
        .refused(403, "message_recall_error");
    assert!(said.contains("not_found msg"), "{said}");
    let (second, third) = (send(&service), send(&service));
    let msgs = json!({"msgs": [
        {"msg_id": second, "to": "bob", "chat_type": "chat"},
        {"msg_id": third, "to": "carl", "chat_type": "chat"},
    ]});
    let data = service.post("/messages/recall", &msgs).data();
    assert_eq!(data["msgs"][0]["recalled"], "yes");
    assert!(
        data["msgs"][1]["recalled"]
            .as_str()
            .unwrap()
            .contains("not_found")
    );
    for field in ["msg_id", "to", "chat_type"] {
        let mut missing = json!({"msg_id": third, "to": "bob", "chat_type": "chat"});
        missing[field] = json!("");
        service
            .post("/messages/msg_recall", &missing)
            .refused(400, "message_recall_error");
    }
    let command = json!({"from": "ann", "to": ["bob"], "type": "cmd", "body": {"action": "a"}});
    let command = service.post("/messages/users", &command).data()["bob"].clone();
    let refused = service.post(
        "/messages/msg_recall",
        &json!({"msg_id": command, "to": "bob", "chat_type": "chat"}),
    );
    assert_eq!(refused.status, 403, "{refused:?}");
    // What was sent long ago is only recalled by force.
    let now = service
        .post("/users/batch/status", &json!({"usernames": []}))
        .body["timestamp"]
        .as_u64()
        .unwrap();
    let old = json!({"from": "ann", "target": "bob", "type": "txt", "body": {"msg": "old"}, "msg_timestamp": now - 3_600_000});
    let old = service.post("/messages/users/import", &old).data()["msg_id"].clone();
    let mut asked = json!({"msg_id": old, "to": "bob", "chat_type": "chat", "from": "ann"});
    let said = service
        .post("/messages/msg_recall", &asked)
        .refused(403, "message_recall_error");
    assert!(said.contains("exceed recall time limit"), "{said}");
    asked["force"] = json!(true);
    service.post("/messages/msg_recall", &asked).ok();
}

#[test]
fn import_and_the_history_file_of_an_hour() {
    let mut service = Service::start();
    service.register(&["ann", "bob"]);
    let group = group(&service, "ann", &["bob"]);
    let now = service.get("/users/ann").ok()["timestamp"]
        .as_u64()
        .unwrap();
    // The middle of the hour before the last.
    let hour = now / 3_600_000 * 3_600_000 - 7_200_000;
    let import = |target: &str, path: &str, time: Value| {
        let message = json!({"from": "ann", "target": target, "type": "txt", "body": {"msg": format!("to {target}")},
            "ext": {"k": 1}, "is_ack_read": true, "msg_timestamp": time});
        service.post(path, &message)
    };
    let id = import("bob", "/messages/users/import", json!(hour + 1)).data()["msg_id"].clone();
    import(
        &group,
        "/messages/chatgroups/import",
        json!((hour + 2).to_string()),
    )
    .ok();
    import("bob", "/messages/users/import", Value::Null).ok();
    import("12345", "/messages/chatgroups/import", json!(hour)).refused(404, "resource_not_found");
    import(
        "bob",
        "/messages/users/import",
        json!(now - 91 * 86_400_000),
    )
    .refused(400, "illegal_argument");
    import("bob", "/messages/users/import", json!(now + 2 * 86_400_000))
        .refused(400, "illegal_argument");
    let bad = json!({"from": "ann", "target": "bob", "type": "txt", "body": {}});
    service
        .post("/messages/users/import", &bad)
        .refused(400, "illegal_argument");
    let fetch = json!({"from": "ann", "target": "bob", "type": "img", "body": {"url": "http://h/a"}, "need_download": true});
    service
        .post("/messages/users/import", &fetch)
        .refused(400, "illegal_argument");

    service.kill_and_restart();
    let name = |millis: u64| {
        let output = std::process::Command::new("date")
            .args(["-u", "-d", &format!("@{}", millis / 1_000), "+%Y%m%d%H"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let url = service.get(&format!("/chatmessages/{}", name(hour))).data()[0]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = url.strip_prefix(&service.url).unwrap().to_owned();
    // The link needs no token.
    let (status, _, bytes) = service.fetch("GET", &path, None, &[], None);
    assert_eq!(status, 200);
    let mut lines = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_string(&mut lines)
        .unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    let direct = lines
        .iter()
        .find(|line| line["chat_type"] == "chat")
        .unwrap();
    assert_eq!(direct["msg_id"], id);
    assert_eq!(
        direct["payload"]["bodies"][0],
        json!({"type": "txt", "msg": "to bob"})
    );
    assert_eq!(
        (&direct["from"], &direct["to"], &direct["direction"]),
        (&json!("ann"), &json!("bob"), &json!("outgoing"))
    );
    for forged in [
        path.replace("Signature=", "Signature=0"),
        path.replace("Expires=1", "Expires=2"),
        path.split('?').next().unwrap().to_owned(),
    ] {
        let (status, _, _) = service.fetch("GET", &forged, None, &[], None);
        assert_eq!(status, 401, "{forged}");
    }
    service
        .get(&format!("/chatmessages/{}", name(hour - 3_600_000)))
        .refused(404, "storage_object_not_found");
    service
        .get(&format!("/chatmessages/{}", name(now)))
        .refused(400, "illegal_argument");
    service
        .get("/chatmessages/2024")
        .refused(400, "illegal_argument");
    service
        .get("/chatmessages/2001010100")
        .refused(400, "illegal_argument");
}

#[test]
fn conversations_leave_the_list_with_or_without_what_they_hold() {
    let mut service = Service::start();
    service.register(&["ann", "bob", "carl"]);
    for from in ["bob", "carl"] {
        service
            .post("/messages/users", &text(from, &["ann"], "one"))
            .ok();
    }
    assert_eq!(listed(&service, "ann").len(), 2);
    let delete = |service: &Service, path: &str, channel: &str, roam: bool| {
        let body = json!({"channel": channel, "type": "chat", "delete_roam": roam});
        service.call("DELETE", path, Some(&body))
    };
    assert_eq!(
        delete(&service, "/users/ann/user_channel", "bob", true).data(),
        json!({"result": "ok"})
    );
    delete(&service, "/user/ann/user_channel", "carl", false).ok();
    service.kill_and_restart();
    assert_eq!(listed(&service, "ann"), []);
    // Something new brings it back; what was deleted stays away.
    service
        .post("/messages/users", &text("carl", &["ann"], "two"))
        .ok();
    assert_eq!(
        listed(&service, "ann"),
        [("test#chat_carl@easemob.com".to_owned(), 2, "two".to_owned())]
    );
    assert_eq!(listed(&service, "carl").len(), 1);
    for wrong in [
        json!({}),
        json!({"channel": "bob", "type": "chat"}),
        json!({"channel": "bob", "type": "planet", "delete_roam": true}),
    ] {
        service
            .call("DELETE", "/users/ann/user_channel", Some(&wrong))
            .refused(400, "illegal_argument");
    }
    service
        .get("/users/nobody/user_channels")
        .refused(404, "service_resource_not_found");
}
