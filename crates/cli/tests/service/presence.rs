//! Presence: rows 135 to 139.

use serde_json::json;

use crate::harness::Service;

#[test]
fn presence_is_set_shown_subscribed_to_and_left() {
    let mut service = Service::start();
    service.register(&["ann", "bob", "carl"]);
    let set = |path: &str, body| service.call("POST", path, Some(&body)).ok();
    assert_eq!(
        set("/users/ann/presence/web_1/1", json!({"ext": "busy"})),
        json!({"result": "ok"})
    );
    set("/users/ann/presence/ios_1/100", json!({}));
    assert_eq!(
        service.get("/users/ann/status").data(),
        json!({"ann": "online"})
    );
    let shown = service
        .post(
            "/users/bob/presence/600",
            &json!({"usernames": ["ann", "carl"]}),
        )
        .ok();
    let ann = &shown["result"][0];
    assert_eq!(
        (&ann["uid"], &ann["status"]),
        (&json!("ann"), &json!({"ios_1": "100", "web_1": "1"}))
    );
    assert!(ann["expiry"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    assert!(ann["last_time"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    assert_eq!(
        (
            &shown["result"][1]["status"],
            &shown["result"][1]["last_time"]
        ),
        (&json!({}), &json!("0"))
    );
    // Status 0 takes a device off.
    set("/users/ann/presence/ios_1/0", json!({}));
    let shown = service
        .post("/users/bob/presence", &json!({"usernames": ["ann"]}))
        .ok();
    assert_eq!(shown["result"][0]["status"], json!({"web_1": "1"}));
    assert_eq!(shown["result"][0]["ext"], "busy");
    assert!(shown["result"][0].get("expiry").is_none());
    service.get("/users/ann/disconnect").ok();
    assert_eq!(
        service.get("/users/ann/status").data(),
        json!({"ann": "offline"})
    );

    service.kill_and_restart();
    let list = service
        .get("/users/bob/presence/sublist?pageNum=1&pageSize=10")
        .ok();
    assert_eq!(list["result"]["totalnum"], "2");
    assert_eq!(list["result"]["sublist"][0]["uid"], "ann");
    let list = service.get("/users/bob/presence/sublist?pageNum=2").ok();
    assert_eq!(list["result"]["sublist"][0]["uid"], "carl");
    let off = service
        .call("DELETE", "/users/bob/presence", Some(&json!(["ann"])))
        .ok();
    assert_eq!(off, json!({"result": "ok"}));
    service
        .call(
            "DELETE",
            "/users/bob/presence",
            Some(&json!({"users": ["carl"]})),
        )
        .ok();
    assert_eq!(
        service.get("/users/bob/presence/sublist").ok()["result"]["totalnum"],
        "0"
    );
}

#[test]
fn what_presence_refuses() {
    let service = Service::start();
    service.register(&["ann", "bob"]);
    let post = |path: &str, body| service.post(path, &body);
    let many: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
    let wrong = "illegal_argument";
    post("/users/ann/presence/web_1/x", json!({})).refused(400, wrong);
    post(
        "/users/ann/presence/web_1/1",
        json!({"ext": "x".repeat(1_025)}),
    )
    .refused(400, wrong);
    post("/users/nobody/presence/web_1/1", json!({})).refused(400, wrong);
    post("/users/ann/presence/600", json!({"usernames": []})).refused(400, wrong);
    post("/users/ann/presence/600", json!({"usernames": ["ann"]})).refused(400, wrong);
    post("/users/ann/presence/600", json!({"usernames": ["nobody"]})).refused(400, wrong);
    post("/users/ann/presence/2592001", json!({"usernames": ["bob"]})).refused(400, wrong);
    post("/users/ann/presence/2592000", json!({"usernames": ["bob"]})).ok();
    post("/users/ann/presence/soon", json!({"usernames": ["bob"]})).refused(400, wrong);
    post("/users/ann/presence/600", json!({"usernames": many})).refused(400, "invalid_parameter");
    post("/users/ann/presence", json!({"usernames": many})).refused(400, "invalid_parameter");
    service
        .call("DELETE", "/users/ann/presence", Some(&json!([])))
        .refused(400, wrong);
    service
        .call("DELETE", "/users/ann/presence", Some(&json!({})))
        .refused(400, "invalid_request_body");
    service
        .get("/users/ann/presence/sublist?pageSize=0")
        .refused(400, wrong);
    service
        .get("/users/nobody/presence/sublist")
        .refused(400, wrong);
}
