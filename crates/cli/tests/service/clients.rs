//! What clients of the hosted service send that is on no page any more.

use serde_json::{Value, json};

use crate::harness::Service;

#[test]
fn the_older_form_of_sending_names_its_kind_of_target() {
    let service = Service::start();
    service.register(&["ann", "bob"]);
    let group = json!({"groupname": "tea", "public": true, "owner": "ann", "members": ["bob"]});
    let group = service.post("/chatgroups", &group).data()["groupid"].clone();
    let room = json!({"name": "hall", "description": "d", "maxusers": 10, "owner": "ann"});
    let room = service.post("/chatrooms", &room).data()["id"].clone();
    let old = |kind: &str, target: &Value, msg: Value| {
        let body = json!({"target_type": kind, "target": [target], "msg": msg, "from": "ann", "ext": {"a": 1}});
        service.post("/messages", &body)
    };
    let bob = json!("bob");
    for msg in [
        json!({"type": "txt", "msg": "hello"}),
        json!({"type": "img", "url": "http://h/a", "filename": "a.png", "secret": "s", "size": {"width": 1, "height": 2}}),
        json!({"type": "audio", "url": "http://h/a", "filename": "a.amr", "length": 3, "secret": "s"}),
        json!({"type": "cmd", "action": "blink"}),
    ] {
        assert_eq!(old("users", &bob, msg).data(), json!({"bob": "success"}));
    }
    let said = old("chatgroups", &group, json!({"type": "txt", "msg": "all"})).data();
    assert_eq!(said[group.as_str().unwrap()], "success");
    let said = old("chatrooms", &room, json!({"type": "txt", "msg": "all"})).data();
    assert_eq!(said[room.as_str().unwrap()], "success");
    // They wait for bob as if they had come in the newer form; commands too.
    let waiting = service.get("/users/bob/offline_msg_count").data();
    assert_eq!(waiting, json!({"bob": 5}));
    for (body, word) in [
        (
            json!({"target": ["bob"], "msg": {"type": "txt", "msg": "x"}}),
            "target_type",
        ),
        (
            json!({"target_type": "users", "msg": {"type": "txt", "msg": "x"}}),
            "empty",
        ),
        (
            json!({"target_type": "users", "target": ["bob"], "msg": {"msg": "x"}}),
            "type",
        ),
        (json!({"target_type": "users", "target": ["bob"]}), "type"),
    ] {
        let text = service
            .post("/messages", &body)
            .refused(400, "message_send_error");
        assert!(text.contains(word), "{body}: {text}");
    }
}
