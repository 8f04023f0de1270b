//! Both sides of each limit on what a call may name and say, and an operator's own in its place.

use serde_json::{Map, Value, json};

use crate::harness::Service;
use crate::limits::{both, numbered, text};

#[test]
fn what_one_call_may_name() {
    let service = Service::start();
    service.register(&["ann", "bob"]);
    let word = "invalid_parameter";
    let group = json!({"groupname": "g", "description": "", "public": true, "owner": "ann", "members": ["bob"]});
    let group = service.make("/chatgroups", &group);
    let room = json!({"name": "r", "description": "", "owner": "ann"});
    let room = service.make("/chatrooms", &room);
    let about = json!({"from": "ann", "to": [group], "type": "txt", "body": {"msg": "x"}});
    let parent = service.post("/messages/chatgroups", &about).data()[&group].take();
    let thread = json!({"group_id": group, "name": "t", "msg_id": parent, "owner": "ann"});
    let thread = service.post("/thread", &thread).data()["thread_id"].take();
    let thread = thread.as_str().unwrap();
    service.post("/push/label", &json!({"name": "tea"})).ok();
    // The two who are there come first, so that somebody is served.
    let named = |n: usize| {
        let mut names = vec!["ann".to_owned(), "bob".to_owned()];
        names.extend(numbered("n", n));
        names.truncate(n);
        names
    };
    let message = |n: usize| json!({"from": "ann", "to": numbered("t", n), "type": "txt", "body": {"msg": "x"}});
    let send = |path: &'static str| {
        let service = &service;
        move |n: usize| service.post(path, &message(n))
    };
    both(
        "users",
        send("/messages/users"),
        600,
        400,
        "message_send_error",
    );
    both(
        "groups",
        send("/messages/chatgroups"),
        3,
        400,
        "message_send_error",
    );
    both(
        "rooms",
        send("/messages/chatrooms"),
        10,
        400,
        "message_send_error",
    );
    let hide = |n: usize| {
        let mut message = message(1);
        message["roam_ignore_users"] = json!(numbered("h", n));
        service.post("/messages/users", &message)
    };
    both("roam_ignore_users", hide, 20, 400, "message_send_error");
    let custom = |n: usize| {
        let entries: Map<String, Value> = numbered("k", n)
            .into_iter()
            .map(|key| (key, json!("v")))
            .collect();
        let body = json!({"customEvent": "e", "customExts": entries});
        let message = json!({"from": "ann", "to": ["bob"], "type": "custom", "body": body});
        service.post("/messages/users", &message)
    };
    both("customExts", custom, 16, 400, "message_send_error");
    let status = |n: usize| service.post("/users/batch/status", &json!({"usernames": named(n)}));
    both("status", status, 100, 400, word);
    let wanted = |n: usize| service.post("/metadata/user/get", &json!({"targets": named(n)}));
    both("attributes", wanted, 100, 400, word);
    let metadata = format!("/metadata/chatroom/{room}/user/ann");
    let set = |n: usize| {
        let pairs: Map<String, Value> = numbered("k", n)
            .into_iter()
            .map(|key| (key, json!("v")))
            .collect();
        service.put(&metadata, &json!({"metaData": pairs}))
    };
    both("metaData", set, 10, 400, word);
    let unset = |n: usize| {
        let keys = json!({"keys": numbered("k", n)});
        service.call("DELETE", &metadata, Some(&keys))
    };
    both("keys", unset, 10, 400, word);
    let reactions = |n: usize| {
        let ids = vec![parent.as_str().unwrap(); n].join(",");
        let query = format!("msgIdList={ids}&msgType=groupchat&groupId={group}");
        service.get(&format!("/reaction/user/ann?{query}"))
    };
    both("msgIdList", reactions, 20, 400, word);
    let join = |n: usize| {
        service.post(
            &format!("/thread/{thread}/users"),
            &json!({"usernames": named(n)}),
        )
    };
    both("join", join, 10, 400, word);
    let label = |n: usize| service.post("/push/label/tea/user", &json!({"usernames": named(n)}));
    both("label", label, 100, 400, word);
    let push = |n: usize| {
        let push = json!({"targets": named(n), "pushMessage": {"title": "t"}});
        service.post("/push/single", &push)
    };
    both("push", push, 100, 400, word);
    let show = |n: usize| {
        service.post(
            "/users/ann/presence/web_1/1",
            &json!({"ext": "x".repeat(n)}),
        )
    };
    both("presence", show, 1_024, 400, "illegal_argument");
    let subscribe = |n: usize| {
        service.post(
            &format!("/users/ann/presence/{n}"),
            &json!({"usernames": ["bob"]}),
        )
    };
    both("expiry", subscribe, 2_592_000, 400, "illegal_argument");
    let mute = |n: usize| service.post("/mutes", &json!({"username": "bob", "chatroom": n}));
    both("mute", mute, 2_147_483_647, 400, "illegal_argument");
}

#[test]
fn a_send_call_has_five_kilobytes_besides_its_receivers() {
    let service = Service::start();
    let send = |names: &[String]| {
        let names = names.to_vec();
        let service = &service;
        move |bytes: usize| {
            let of = |pad: usize| json!({"to": names, "type": "txt", "body": {"msg": "x"}, "pad": "x".repeat(pad)});
            // A receiver with its quotes and comma is not counted.
            let receivers: usize = names.iter().map(|name| name.len() + 3).sum();
            let rest = of(0).to_string().len() - receivers;
            service.post("/messages/users", &of(bytes - rest))
        }
    };
    let word = "Request Entity Too Large";
    both("one", send(&numbered("t", 1)), 5_120, 413, word);
    let long: Vec<String> = (0..600).map(|n| format!("{n:064}")).collect();
    both("many", send(&long), 5_120, 413, word);
}

#[test]
fn texts_of_users_messages_and_push() {
    let service = Service::start();
    service.register(&["ann", "bob"]);
    let word = "illegal_argument";
    let user = |n: usize| {
        service.post(
            "/users",
            &json!({"username": "x".repeat(n), "password": "x"}),
        )
    };
    both("username", user, 64, 400, word);
    let password = |n: usize| service.put("/users/ann/password", &json!({"newpassword": text(n)}));
    both("password", password, 64, 400, word);
    let nickname = |n: usize| service.put("/users/ann", &json!({"nickname": text(n)}));
    both("nickname", nickname, 100, 400, word);
    for (key, max) in [
        ("nickname", 64),
        ("avatarurl", 256),
        ("phone", 32),
        ("mail", 64),
        ("sign", 256),
        ("birth", 64),
    ] {
        let set = |n: usize| service.put("/metadata/user/ann", &json!({key: "x".repeat(n)}));
        both(key, set, max, 400, word);
    }
    let sent = json!({"from": "ann", "to": ["bob"], "type": "txt", "body": {"msg": "x"}});
    let id = service.post("/messages/users", &sent).data()["bob"].take();
    let react = |n: usize| {
        let reaction = json!({"msgId": id, "message": text(n)});
        service.post("/reaction/user/ann", &reaction)
    };
    both("reaction", react, 128, 400, word);
    let label = |n: usize| {
        let new = json!({"name": format!("l{n}"), "description": text(n)});
        service.post("/push/label", &new)
    };
    both("label", label, 255, 400, word);
    let template = |n: usize| {
        let new = json!({"name": "x".repeat(n), "title_pattern": "t", "content_pattern": "c"});
        service.post("/notification/template", &new)
    };
    both("template", template, 64, 400, word);
    let push = |message: Value| service.post("/push/task", &json!({"pushMessage": message}));
    for (field, max) in [("title", 32), ("subTitle", 10), ("content", 100)] {
        both(field, |n| push(json!({field: text(n)})), max, 400, word);
    }
    let keys = |n: usize| {
        let ext: Map<String, Value> = numbered("k", n)
            .into_iter()
            .map(|k| (k, json!(1)))
            .collect();
        push(json!({"ext": ext}))
    };
    both("ext keys", keys, 10, 400, word);
    // {"k":"…"} is eight characters more than the text.
    both(
        "ext",
        |n| push(json!({"ext": {"k": text(n - 8)}})),
        1_024,
        400,
        word,
    );
    for n in 1..100 {
        service
            .post("/push/label", &json!({"name": format!("more{n}")}))
            .ok();
    }
    let full = service.post("/push/label", &json!({"name": "one-more"}));
    full.refused(403, "exceed_limit");
}

#[test]
fn an_operators_own_limits_hold_in_the_calls_too() {
    let config = "[server]\nrates = false\n[limits]\n\
        \"message body and extension\" = 4096\n\"request of a send call\" = 8192\n\"attachment\" = 1000\n\
        \"users in one registration\" = 3\n\"password\" = 70\n\"members in one call\" = 61\n\"users in one status call\" = 2\n\
        \"users in one send call\" = 2\n\"users in one attribute call\" = 2\n\"users in one push call\" = 2\n\
        \"groups in one detail call\" = 2\n\"entries in the block list of one user\" = 2\n\"push title\" = 40\n\
        \"user attribute phone\" = 40\n\"users in one presence call\" = 2\n\"users on one page\" = 2\n";
    let service = Service::start_configured(config, &[]);
    let word = "invalid_parameter";
    let register = |n: usize| {
        let users: Vec<Value> = (0..n)
            .map(|k| json!({"username": format!("r{k}"), "password": "x".repeat(70)}))
            .collect();
        service.post("/users", &json!(users))
    };
    both("registration", register, 3, 400, word);
    let long = json!({"username": "y", "password": "x".repeat(71)});
    service
        .post("/users", &long)
        .refused(400, "illegal_argument");
    let group = json!({"groupname": "g", "description": "", "public": true, "owner": "r0", "members": ["r1"]});
    let group = service.make("/chatgroups", &group);
    // Only the number of names is looked at here: r1 is muted, and nobody else is there.
    let mute = |n: usize| {
        let mut names = numbered("m", n);
        names[0] = "r1".to_owned();
        let body = json!({"usernames": names, "mute_duration": 1_000});
        service.post(&format!("/chatgroups/{group}/mute"), &body)
    };
    both("members", mute, 61, 400, word);
    // {"msg":"…"} is ten bytes more than the text.
    let send = |n: usize| {
        let message =
            json!({"from": "r0", "to": ["r1"], "type": "txt", "body": {"msg": "x".repeat(n - 10)}});
        service.post("/messages/users", &message)
    };
    both("message", send, 4_096, 400, "message_send_error");
    let import = |n: usize| {
        let message = json!({"from": "r0", "target": "r1", "type": "txt", "body": {"msg": "x".repeat(n - 10)}});
        service.post("/messages/users/import", &message)
    };
    both("import", import, 4_096, 400, "illegal_argument");
    let upload = |n: usize| {
        let part = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        let body = format!("{part}{}\r\n--x--\r\n", "x".repeat(n));
        let body = Some((body.into_bytes(), "multipart/form-data; boundary=x"));
        service.bytes(
            "POST",
            "/test/chat/chatfiles",
            Some(&service.token),
            &[],
            body,
        )
    };
    both("file", upload, 1_000, 413, "file exceeding maximum limit");
    let targets = |n: usize| {
        let message =
            json!({"from": "r0", "to": numbered("t", n), "type": "txt", "body": {"msg": "x"}});
        service.post("/messages/users", &message)
    };
    both("targets", targets, 2, 400, "message_send_error");
    let status = |n: usize| {
        service.post(
            "/users/batch/status",
            &json!({"usernames": numbered("s", n)}),
        )
    };
    both("status", status, 2, 400, word);
    let wanted =
        |n: usize| service.post("/metadata/user/get", &json!({"targets": numbered("s", n)}));
    both("attributes", wanted, 2, 400, word);
    let shown = |n: usize| {
        service.post(
            "/users/r0/presence",
            &json!({"usernames": numbered("s", n)}),
        )
    };
    both("presence", shown, 2, 400, word);
    let push = |n: usize| {
        let push = json!({"targets": numbered("s", n), "pushMessage": {"title": "t".repeat(40)}});
        service.post("/push/single", &push)
    };
    both("push", push, 2, 400, word);
    let details = |n: usize| {
        let ids: Vec<String> = (1..=n).map(|id| id.to_string()).collect();
        service.get(&format!("/chatgroups/{}", ids.join(",")))
    };
    both("details", |n| details(n.max(2)), 2, 400, word);
    let phone = |n: usize| service.put("/metadata/user/r0", &json!({"phone": "1".repeat(n)}));
    both("phone", phone, 40, 400, "illegal_argument");
    let page = service.get("/users?limit=100").ok();
    assert_eq!(
        (page["count"].as_u64(), page["cursor"].is_string()),
        (Some(2), true)
    );
    let block = |name: &str| service.post("/users/r0/blocks/users", &json!({"usernames": [name]}));
    let more = json!([{"username": "r3", "password": "x"}]);
    service.post("/users", &more).ok();
    block("r1").ok();
    block("r2").ok();
    block("r3").refused(403, "exceed_limit");
}
