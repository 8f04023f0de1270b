//! Which row of the limits page a call is counted on, and how much. Each row has a quota for a whole day here, so that
//! nothing depends on time.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::harness::Service;

fn start(quotas: &[(u8, u32)]) -> Service {
    let mut config = "[server.own_rates.\"test#chat\"]\n".to_owned();
    for (row, count) in quotas {
        writeln!(config, "{row} = {{count = {count}, seconds = 86400}}").unwrap();
    }
    Service::start_configured(&config, &[])
}

#[test]
fn rows_that_share_a_route_are_counted_each_for_itself() {
    let rows = [1, 2, 3, 4, 48, 64, 59, 60, 68, 69, 95, 96, 103, 104];
    let service = start(&rows.map(|row| (row, 1)));
    let user = |name: &str| json!({"username": name, "password": "x"});
    let calls: [(u8, &str, &str, Value); 14] = [
        (1, "POST", "/users", user("ann")),
        (2, "POST", "/users", json!([user("bob"), user("carl")])),
        (3, "PUT", "/users/ann", json!({"nickname": "A"})),
        (
            4,
            "PUT",
            "/users/ann",
            json!({"notification_display_style": 1}),
        ),
        (48, "PUT", "/chatgroups/1", json!({"description": "new"})),
        (64, "PUT", "/chatgroups/1", json!({"newowner": "bob"})),
        (59, "DELETE", "/chatgroups/1/users/bob", Value::Null),
        (60, "DELETE", "/chatgroups/1/users/bob,carl", Value::Null),
        (68, "DELETE", "/chatgroups/1/blocks/users/bob", Value::Null),
        (
            69,
            "DELETE",
            "/chatgroups/1/blocks/users/bob%2Ccarl",
            Value::Null,
        ),
        (95, "DELETE", "/chatrooms/1/users/bob", Value::Null),
        (96, "DELETE", "/chatrooms/1/users/bob,carl", Value::Null),
        (103, "DELETE", "/chatrooms/1/blocks/users/bob", Value::Null),
        (
            104,
            "DELETE",
            "/chatrooms/1/blocks/users/bob,carl",
            Value::Null,
        ),
    ];
    let call = |(_, method, path, body): &(u8, &str, &str, Value)| {
        let body = Some(body).filter(|body| !body.is_null());
        service.call(method, path, body)
    };
    // The first of each passes, whatever becomes of it; then none does.
    for one in &calls {
        let reply = call(one);
        let expected = if one.0 <= 4 { 200 } else { 404 };
        assert_eq!(reply.status, expected, "row {}: {reply:?}", one.0);
    }
    for one in &calls {
        let reply = call(one);
        assert_eq!(reply.status, 429, "row {}: {reply:?}", one.0);
        reply.refused(429, "reach_limit");
    }
}

#[test]
fn rows_of_messages_count_each_target_once_and_nothing_of_a_refused_call_is_sent() {
    let service = start(&[(20, 5), (21, 3), (22, 4)]);
    service.register(&["ann", "bob"]);
    let send = |path: &str, to: &[&str]| {
        let message = json!({"from": "ann", "to": to, "type": "txt", "body": {"msg": "x"}});
        service.post(path, &message)
    };
    let waiting = || service.get("/users/bob/offline_msg_count").data()["bob"].take();
    send("/messages/users", &["bob", "c", "d", "bob", "BOB"]).ok();
    send("/messages/users", &["bob", "c", "d"]).refused(429, "reach_limit");
    assert_eq!(waiting(), 1);
    // What cannot be sent is not counted.
    send("/messages/users", &[]).refused(400, "message_send_error");
    send("/messages/users", &["bob", "c"]).ok();
    assert_eq!(waiting(), 2);
    send("/messages/users", &["bob"]).refused(429, "reach_limit");
    send("/messages/chatgroups", &["1", "2"]).ok();
    send("/messages/chatgroups", &["1", "2"]).refused(429, "reach_limit");
    send("/messages/chatgroups", &["3"]).ok();
    send("/messages/chatrooms", &["1", "2", "3", "4"]).ok();
    send("/messages/chatrooms", &["1"]).refused(429, "reach_limit");
}
