//! Live delivery: the WebSocket and server-sent events of `docs/live.md`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

use crate::harness::Service;

type Socket = WebSocket<MaybeTlsStream<TcpStream>>;

fn listen(service: &Service, user: &str, device: &str) -> Socket {
    let token = service.user_token(user);
    let url = format!(
        "{}/test/chat/live?device={device}&access_token={token}",
        service.url.replace("http", "ws")
    );
    let (socket, _) = tungstenite::connect(url).unwrap();
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
    }
    socket
}

fn next(socket: &mut Socket) -> Value {
    loop {
        match socket.read().unwrap() {
            Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
            Message::Close(close) => {
                return json!({"closed": close.map(|close| u16::from(close.code))});
            }
            _ => {}
        }
    }
}

fn say(socket: &mut Socket, what: &Value) {
    socket.send(Message::text(what.to_string())).unwrap();
}

fn send(service: &Service, to: &str, msg: &str) {
    let message = json!({"from": "ann", "to": [to], "type": "txt", "body": {"msg": msg}});
    service.post("/messages/users", &message).ok();
}

#[test]
fn a_device_gets_what_waits_and_what_comes_and_acknowledges() {
    let mut service = Service::start();
    service.register(&["ann", "bob"]);
    send(&service, "bob", "before");
    let mut phone = listen(&service, "bob", "phone");
    assert_eq!(next(&mut phone)["body"]["msg"], "before");
    assert_eq!(
        service.get("/users/bob/status").data(),
        json!({"bob": "online"})
    );
    send(&service, "bob", "now");
    let frame = next(&mut phone);
    for (field, value) in [
        ("type", "message"),
        ("chat_type", "chat"),
        ("conversation", "ann"),
        ("from", "ann"),
        ("kind", "txt"),
        ("state", "original"),
    ] {
        assert_eq!(frame[field], value, "{frame}");
    }
    say(&mut phone, &json!({"type": "ack"}));
    assert_eq!(next(&mut phone), json!({"type": "acked"}));
    send(&service, "bob", "not acknowledged");
    next(&mut phone);
    // Nothing stored for those online only.
    let online = json!({"from": "ann", "to": ["bob"], "type": "cmd", "body": {"action": "typing"}, "routetype": "ROUTE_ONLINE"});
    service.post("/messages/users", &online).ok();
    assert_eq!(next(&mut phone)["type"], "signal");
    say(
        &mut phone,
        &json!({"type": "status", "status": "100", "ext": "busy"}),
    );
    say(&mut phone, &json!({"type": "ping"}));
    drop(phone);
    service.kill_and_restart();
    let mut phone = listen(&service, "bob", "phone");
    assert_eq!(next(&mut phone)["body"]["msg"], "not acknowledged");
    // Force-offline ends it, and so does a ban.
    service.get("/users/bob/disconnect").ok();
    assert_eq!(
        next(&mut phone),
        json!({"type": "end", "reason": "disconnected"})
    );
    assert_eq!(next(&mut phone), json!({"closed": 4001}));
    let mut phone = listen(&service, "bob", "phone");
    assert_eq!(next(&mut phone)["body"]["msg"], "not acknowledged");
    say(&mut phone, &json!({"type": "nonsense"}));
    assert_eq!(next(&mut phone)["reason"], "malformed");
    // An orderly stop tells whoever listens, and loses nothing.
    let mut phone = listen(&service, "bob", "phone");
    next(&mut phone);
    assert_eq!(service.stop(), Some(0));
    assert_eq!(
        next(&mut phone),
        json!({"type": "end", "reason": "stopping"})
    );
}

#[test]
fn signals_that_are_messages_have_the_ids_that_were_answered() {
    let service = Service::start();
    service.register(&["ann", "bob", "carl"]);
    let mut bob = listen(&service, "bob", "phone");
    let online = |to: Value, path: &str| {
        let message = json!({"from": "ann", "to": to, "type": "txt", "body": {"msg": "x"}, "ext": {"k": 1}, "routetype": "ROUTE_ONLINE"});
        service.post(path, &message).data()
    };
    let ids = online(json!(["bob", "carl"]), "/messages/users");
    let frame = next(&mut bob);
    for (field, value) in [
        ("type", json!("signal")),
        ("msg_id", ids["bob"].clone()),
        ("from", json!("ann")),
        ("kind", json!("txt")),
        ("body", json!({"msg": "x"})),
        ("ext", json!({"k": 1})),
    ] {
        assert_eq!(frame[field], value, "{frame}");
    }
    assert_ne!(ids["bob"], ids["carl"]);
    // Nothing is stored under it: not for carl, who was away, and not to be taken back.
    assert_eq!(
        service.get("/users/carl/offline_msg_count").data()["carl"],
        0
    );
    let recall = json!({"msg_id": ids["bob"], "to": "bob", "chat_type": "chat", "from": "ann"});
    service
        .post("/messages/msg_recall", &recall)
        .refused(403, "message_recall_error");
    // What is sent to a chatroom is stored under the id that its members see.
    let room = json!({"name": "r", "description": "", "owner": "ann", "members": ["bob"]});
    let room = service.make("/chatrooms", &room);
    let message = json!({"from": "ann", "to": [room], "type": "txt", "body": {"msg": "x"}});
    let id = service.post("/messages/chatrooms", &message).data()[&room].take();
    assert_eq!(next(&mut bob)["msg_id"], id);
    let recall = json!({"msg_id": id, "to": room, "chat_type": "chatroom", "from": "ann"});
    service.post("/messages/msg_recall", &recall).ok();
}

#[test]
fn events_are_the_same_frames_and_acknowledged_by_a_call() {
    let service = Service::start();
    service.register(&["ann", "bob"]);
    send(&service, "bob", "one");
    let token = service.user_token("bob");
    let mut stream = service.connect();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(stream, "GET /test/chat/live/events?device=web HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut frame = || loop {
        let line = lines.next().unwrap().unwrap();
        if let Some(data) = line
            .strip_prefix("data: ")
            .or_else(|| line.strip_prefix("data:"))
        {
            return serde_json::from_str::<Value>(data).unwrap();
        }
    };
    let first = frame();
    assert_eq!(first["body"]["msg"], "one");
    send(&service, "bob", "two");
    assert_eq!(frame()["body"]["msg"], "two");
    let ack = json!({"device": "web", "msg_id": first["msg_id"]});
    assert_eq!(
        service
            .call_as(&token, "POST", "/live/ack", Some(&ack))
            .data(),
        json!({"result": true})
    );
    service
        .call_as(&token, "POST", "/live/ack", Some(&ack))
        .refused(404, "service_resource_not_found");
    assert_eq!(service.get("/users/bob/offline_msg_count").data()["bob"], 1);
}

#[test]
fn who_may_not_listen() {
    let service = Service::start_with(&["--no-rates", "--plan", "free"]);
    service.register(&["ann"]);
    let plain = service.call_as(&service.user_token("ann"), "GET", "/live", None);
    plain.refused(400, "illegal_argument");
    service
        .raw("GET", "/test/chat/live/events", None, None)
        .refused(401, "auth_bad_access_token");
    service.get("/live/events").refused(400, "illegal_argument");
    service
        .get("/live/events?username=nobody")
        .refused(404, "service_resource_not_found");
}

#[test]
fn who_stays_away_leaves_his_chatrooms() {
    let mut service = Service::start();
    let config = service.path("serve.toml");
    std::fs::write(&config, "[server]\nroom_seconds = 1\n").unwrap();
    service.restart_with(&["--no-rates", "--config", config.to_str().unwrap()]);
    service.register(&["ann", "bob", "carl", "dora"]);
    let new =
        json!({"name": "r", "description": "", "owner": "ann", "members": ["bob", "carl", "dora"]});
    let room = service.post("/chatrooms", &new).data()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    service
        .call("POST", &format!("/chatrooms/{room}/white/users/carl"), None)
        .ok();
    for name in ["bob", "carl"] {
        drop(listen(&service, name, "phone"));
    }
    let members = || {
        service
            .get(&format!("/chatrooms/{room}/users?pagesize=10"))
            .ok()["count"]
            .as_u64()
            .unwrap()
    };
    while members() == 4 {
        std::thread::sleep(Duration::from_millis(50));
    }
    // Bob was here and went; Carl may stay; nobody has ever seen Dora.
    assert_eq!(members(), 3);
    assert_eq!(service.get("/users/bob/joined_chatrooms").data(), json!([]));
}
