//! Rules of sending, importing and taking back that hold where somebody or something is not there.

use serde_json::{Value, json};

use crate::harness::{Reply, Service};

fn text(from: &str, to: &str) -> Value {
    json!({"from": from, "to": [to], "type": "txt", "body": {"msg": "hi"}})
}

#[test]
fn a_muted_or_blocked_sender_is_held_to_it_wherever_he_writes() {
    let service = Service::start();
    service.register(&["ann", "bob", "carl"]);
    let group = json!({"groupname": "g", "description": "", "public": true, "owner": "ann", "members": ["carl"]});
    let group = service.make("/chatgroups", &group);
    let room = json!({"name": "r", "description": "", "owner": "ann", "members": ["carl"]});
    let room = service.make("/chatrooms", &room);
    let places = [
        ("chat", "/messages/users", "somebody-unknown"),
        ("groupchat", "/messages/chatgroups", group.as_str()),
        ("groupchat", "/messages/chatgroups", "12345"),
        ("chatroom", "/messages/chatrooms", room.as_str()),
        ("chatroom", "/messages/chatrooms", "12345"),
    ];
    for (kind, path, to) in places {
        // Bob is in none of them, which the app's token does not mind; nobody minds where he is not muted.
        service.post(path, &text("bob", to)).ok();
        service
            .post("/mutes", &json!({"username": "bob", kind: -1}))
            .ok();
        service
            .post(path, &text("bob", to))
            .refused(403, "forbidden_op");
        service.post(path, &text("unknown", to)).ok();
        for (other, path, to) in places.iter().filter(|(other, ..)| *other != kind) {
            let sent = service.post(path, &text("bob", to));
            assert_eq!(sent.status, 200, "{kind} {other}: {sent:?}");
        }
        service
            .post("/mutes", &json!({"username": "bob", kind: 0}))
            .ok();
        service.post(path, &text("bob", to)).ok();
    }
    for (place, path, id) in [
        ("/chatgroups", "/messages/chatgroups", &group),
        ("/chatrooms", "/messages/chatrooms", &room),
    ] {
        service.post(path, &text("carl", id)).ok();
        let block = format!("{place}/{id}/blocks/users/carl");
        service.call("POST", &block, None).ok();
        service
            .post(path, &text("carl", id))
            .refused(403, "forbidden_op");
        service.delete(&block).ok();
        service.post(path, &text("carl", id)).ok();
    }
}

#[test]
fn only_a_file_that_is_here_can_be_kept_with_an_import() {
    let service = Service::start();
    service.register(&["ann", "bob"]);
    let part = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhello\r\n--x--\r\n";
    let body = Some((part.as_bytes().to_vec(), "multipart/form-data; boundary=x"));
    let put = service.bytes(
        "POST",
        "/test/chat/chatfiles",
        Some(&service.token),
        &[],
        body,
    );
    let here = put.ok()["entities"][0]["uuid"].as_str().unwrap().to_owned();
    let elsewhere = "01234567-89ab-8def-8123-456789abcdef";
    let import = |id: &str, need: Value| {
        let url = format!("{}/test/chat/chatfiles/{id}", service.url);
        let message = json!({"from": "ann", "target": "bob", "type": "img", "body": {"url": url}, "need_download": need});
        service.post("/messages/users/import", &message)
    };
    import(&here, json!(true)).ok();
    import(&here, json!(false)).ok();
    import(elsewhere, json!(false)).ok();
    // The word of the caller that it is kept would be untrue.
    import(elsewhere, json!(true)).refused(400, "illegal_argument");
}

#[test]
fn what_cannot_be_taken_back_is_refused_in_the_calls_own_words() {
    let service = Service::start();
    service.register(&["ann", "bob"]);
    let id = service.post("/messages/users", &text("ann", "bob")).data()["bob"].take();
    let word = "message_recall_error";
    let with = |field: &str, value: Value| -> Reply {
        let mut asked = json!({"msg_id": id, "to": "bob", "chat_type": "chat", "from": "ann"});
        asked[field] = value;
        service.post("/messages/msg_recall", &asked)
    };
    for (field, value, status) in [
        ("to", json!("not a user"), 403),
        ("to", json!("carl"), 403),
        ("chat_type", json!("groupchat"), 403),
        ("chat_type", json!("planet"), 400),
        ("msg_id", json!("nonsense"), 403),
        ("msg_id", json!(12345), 403),
        ("from", json!("not a user"), 400),
    ] {
        with(field, value.clone()).refused(status, word);
    }
    with("to", json!("BOB")).ok();
}
