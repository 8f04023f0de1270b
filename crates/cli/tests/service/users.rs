//! Accounts and global mutes: rows 1 to 19, and tokens.

use serde_json::{Value, json};

use crate::harness::Service;

fn names(body: &Value) -> Vec<&str> {
    let users = body["entities"].as_array().unwrap().iter();
    users
        .map(|user| user["username"].as_str().unwrap())
        .collect()
}

#[test]
fn users_are_registered_changed_listed_and_deleted() {
    let mut service = Service::start();
    // Row 1, as an object and as a list of one.
    let ann = json!({"username": "Ann", "password": "secret", "nickname": "Annie"});
    let body = service.post("/users", &ann).ok();
    let user = &body["entities"][0];
    assert_eq!(
        (user["username"].as_str(), user["nickname"].as_str()),
        (Some("ann"), Some("Annie"))
    );
    assert_eq!(
        (user["type"].as_str(), user["activated"].as_bool()),
        (Some("user"), Some(true))
    );
    for (field, value) in [
        ("action", json!("post")),
        ("organization", json!("test")),
        ("applicationName", json!("chat")),
        ("path", json!("/users")),
    ] {
        assert_eq!(body[field], value, "{field}");
    }
    service
        .post("/users", &json!([{"username": "bob", "password": "x"}]))
        .ok();
    let taken = "duplicate_unique_property_exists";
    service.post("/users", &ann).refused(400, taken);
    service
        .post("/users", &json!([{"username": "bob", "password": "x"}]))
        .refused(400, taken);
    // Row 2: those who can be are registered.
    let many = json!([
        {"username": "carl", "password": "x"},
        {"username": "ann", "password": "x"},
        {"username": "dora", "password": "x"},
        {"username": "carl", "password": "x"},
    ]);
    let body = service.post("/users", &many).ok();
    assert_eq!(names(&body), ["carl", "dora"]);
    assert_eq!(body["data"][0]["username"], "ann");
    assert!(body["data"][0]["registerUserFailReason"].is_string());

    // Rows 3 and 4.
    let body = service.put("/users/ann", &json!({"nickname": "A"})).ok();
    assert_eq!(body["entities"][0]["nickname"], "A");
    let quiet = json!({"notification_display_style": "1", "notification_no_disturbing": 1,
        "notification_no_disturbing_start": 8, "notification_no_disturbing_end": "10"});
    let user = service.put("/users/ANN", &quiet).ok()["entities"][0].take();
    assert_eq!(user["notification_display_style"], 1);
    assert_eq!(user["notification_no_disturbing"], true);
    assert_eq!(user["notification_no_disturbing_end"], 10);
    service
        .put("/users/nobody", &json!({"nickname": "A"}))
        .refused(400, "illegal_argument");
    service
        .put("/users/ann", &json!({"nickname": "x".repeat(101)}))
        .refused(400, "illegal_argument");
    service
        .put("/users/ann", &json!({"notification_display_style": 2}))
        .refused(400, "illegal_argument");

    // Rows 5 and 6, also after kill -9.
    service.kill_and_restart();
    let body = service.get("/users/Ann").ok();
    assert_eq!(
        (body["count"].as_u64(), names(&body)),
        (Some(1), vec!["ann"])
    );
    service
        .get("/users/nobody")
        .refused(404, "service_resource_not_found");
    let body = service.get("/users?limit=3&cursor=&_v=1").ok();
    assert_eq!(names(&body), ["ann", "bob", "carl"]);
    assert_eq!(body["params"]["limit"], json!(["3"]));
    let cursor = body["cursor"].as_str().unwrap();
    let body = service.get(&format!("/users?limit=3&cursor={cursor}")).ok();
    assert_eq!(names(&body), ["dora"]);
    assert!(body.get("cursor").is_none(), "{body}");
    service
        .get("/users?limit=0")
        .refused(400, "illegal_argument");
    service
        .get("/users?limit=x")
        .refused(400, "illegal_argument");
    service
        .get("/users?cursor=made-up")
        .refused(400, "illegal_argument");

    // Rows 7 and 8; a UUID names a user too.
    let uuid = service.get("/users/bob").ok()["entities"][0]["uuid"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        names(&service.delete(&format!("/users/{uuid}")).ok()),
        ["bob"]
    );
    service
        .delete("/users/bob")
        .refused(404, "service_resource_not_found");
    let body = service.delete("/users?limit=2").ok();
    assert_eq!(names(&body), ["ann", "carl"]);
    assert_eq!(names(&service.get("/users").ok()), ["dora"]);
}

#[test]
fn what_is_no_registration_registers_nobody() {
    let service = Service::start();
    for wrong in [
        json!({"username": "a b", "password": "x"}),
        json!({"username": "x".repeat(65), "password": "x"}),
        json!({"username": "", "password": "x"}),
        json!({"username": "ann"}),
        json!({"username": "ann", "password": "x".repeat(65)}),
        json!({"username": "ann", "password": "x", "nickname": "群".repeat(101)}),
        json!([{"username": "ann", "password": "x"}, {"username": "ann", "password": "y"}]),
        json!([{"username": "ann", "password": "x"}, {"username": "b/c", "password": "y"}]),
        json!([]),
    ] {
        service
            .post("/users", &wrong)
            .refused(400, "illegal_argument");
    }
    let too_many: Vec<Value> = (0..61)
        .map(|n| json!({"username": format!("u{n}"), "password": "x"}))
        .collect();
    service
        .post("/users", &json!(too_many))
        .refused(400, "invalid_parameter");
    service
        .post("/users", &json!("ann"))
        .refused(400, "invalid_request_body");
    service
        .post("/users", &json!({"username": ["ann"], "password": "x"}))
        .refused(400, "invalid_request_body");
    assert_eq!(service.get("/users").ok()["entities"], json!([]));
    // As many as may be, and names and passwords as long as they may be.
    let most: Vec<Value> = (0..60)
        .map(|n| json!({"username": format!("{n:064}"), "password": "p".repeat(64)}))
        .collect();
    assert_eq!(names(&service.post("/users", &json!(most)).ok()).len(), 60);
}

#[test]
fn the_free_plan_has_room_for_a_hundred_users() {
    let service = Service::start_with(&["--no-rates", "--plan", "free"]);
    let all: Vec<String> = (0..100).map(|n| format!("u{n}")).collect();
    service.register(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let one_more = json!({"username": "one-more", "password": "x"});
    service
        .post("/users", &one_more)
        .refused(429, "resource_limited");
    service.delete("/users/u7").ok();
    service.post("/users", &one_more).ok();
}

#[test]
fn passwords_bans_and_tokens() {
    let mut service = Service::start();
    service.register(&["ann", "bob"]);
    let log_in = |service: &Service, password: &str| {
        let asked =
            json!({"grant_type": "password", "username": "ann", "password": password, "ttl": ""});
        service.raw("POST", "/test/chat/token", None, Some(&asked))
    };
    let body = log_in(&service, "secret").ok();
    assert_eq!(body["user"]["username"], "ann");
    assert!(
        body["expires_in"].as_u64().unwrap() > 0 && body.get("data").is_none(),
        "{body}"
    );
    let token = body["access_token"].as_str().unwrap().to_owned();
    log_in(&service, "wrong").refused(400, "invalid_grant");

    // It acts for him and for nobody else.
    service
        .call_as(&token, "GET", "/users/ann/offline_msg_count", None)
        .ok();
    service
        .call_as(&token, "GET", "/users/bob/offline_msg_count", None)
        .refused(403, "forbidden_op");
    service
        .call_as(&token, "DELETE", "/users/ann", None)
        .refused(403, "forbidden_op");
    service
        .call_as(&token, "GET", "/users", None)
        .refused(403, "forbidden_op");

    // Row 9, in both forms; the tokens before end, also after kill -9.
    assert_eq!(
        service
            .put("/users/ann/password", &json!({"newpassword": "new"}))
            .ok()["action"],
        "set user password"
    );
    service
        .call_as(&token, "GET", "/users/ann", None)
        .refused(401, "unauthorized");
    service.kill_and_restart();
    service
        .call_as(&token, "GET", "/users/ann", None)
        .refused(401, "unauthorized");
    log_in(&service, "secret").refused(400, "invalid_grant");
    let token = log_in(&service, "new").ok()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    service
        .post("/users/bob/password", &json!({"newpassword": "other"}))
        .ok();
    service
        .put("/users/nobody/password", &json!({"newpassword": "new"}))
        .refused(404, "entity_not_found");
    service
        .put("/users/ann/password", &json!({}))
        .refused(400, "illegal_argument");
    service
        .put(
            "/users/ann/password",
            &json!({"newpassword": "x".repeat(65)}),
        )
        .refused(400, "illegal_argument");

    // Rows 14 and 15: a ban ends his tokens for good.
    let body = service.post("/users/ann/deactivate", &json!({})).ok();
    assert_eq!(
        (
            body["action"].as_str(),
            body["entities"][0]["activated"].as_bool()
        ),
        (Some("Deactivate user"), Some(false))
    );
    log_in(&service, "new").refused(400, "invalid_grant");
    service
        .call_as(&token, "GET", "/users/ann", None)
        .refused(401, "unauthorized");
    assert_eq!(
        service.call("POST", "/users/ann/activate", None).ok()["action"],
        "activate user"
    );
    service
        .call_as(&token, "GET", "/users/ann", None)
        .refused(401, "unauthorized");
    log_in(&service, "new").ok();
    service
        .call("POST", "/users/nobody/activate", None)
        .refused(404, "service_resource_not_found");
    service
        .call("POST", "/users/nobody/deactivate", None)
        .refused(404, "service_resource_not_found");
}

#[test]
fn what_gets_no_token() {
    let service = Service::start();
    let ask = |asked: Value| service.raw("POST", "/test/chat/token", None, Some(&asked));
    let wrong = json!({"grant_type": "client_credentials", "client_id": service.client_id, "client_secret": "no"});
    ask(wrong).refused(400, "invalid_grant");
    ask(json!({"grant_type": "client_credentials", "client_id": "no", "client_secret": service.client_secret})).refused(400, "invalid_grant");
    ask(json!({"grant_type": "client_credentials", "client_id": "no"}))
        .refused(400, "illegal_argument");
    ask(json!({})).refused(400, "illegal_argument");
    ask(json!({"grant_type": "magic"})).refused(400, "illegal_argument");
    ask(json!({"grant_type": "password", "username": "nobody", "password": "x"}))
        .refused(404, "invalid_grant");
    // Only the app gives tokens without a password.
    ask(json!({"grant_type": "inherit", "username": "ann"})).refused(401, "unauthorized");
    service
        .post(
            "/token",
            &json!({"grant_type": "inherit", "username": "ann"}),
        )
        .refused(404, "invalid_grant");
    let made =
        json!({"grant_type": "inherit", "username": "ann", "autoCreateUser": true, "ttl": "0"});
    let body = service.post("/token", &made).ok();
    assert_eq!(
        (
            body["user"]["username"].as_str(),
            body["expires_in"].as_u64()
        ),
        (Some("ann"), Some(0))
    );
    let no_app = service.raw(
        "POST",
        "/test/other/token",
        None,
        Some(&json!({"grant_type": "password"})),
    );
    no_app.refused(404, "organization_application_not_found");

    // Tokens that are none, and one that has expired.
    for token in ["x", "a.b.c", ""] {
        service
            .call_as(token, "GET", "/users", None)
            .refused(401, "auth_bad_access_token");
    }
    service
        .raw("GET", "/test/chat/users", None, None)
        .refused(401, "unauthorized");
    let short = json!({"grant_type": "inherit", "username": "ann", "ttl": 1});
    let token = service.post("/token", &short).ok()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    service
        .call_as(&token, "GET", "/users/ann", None)
        .refused(401, "unauthorized");
}

#[test]
fn status_and_offline_messages() {
    let service = Service::start();
    service.register(&["ann", "bob"]);
    assert_eq!(
        service.get("/users/ann/status").data(),
        json!({"ann": "offline"})
    );
    service
        .get("/users/nobody/status")
        .refused(404, "service_resource_not_found");
    let asked = json!({"usernames": ["Ann", "nobody"]});
    let data = service.post("/users/batch/status", &asked).data();
    assert_eq!(data, json!([{"ann": "offline"}, {"nobody": "offline"}]));
    let too_many: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
    service
        .post("/users/batch/status", &json!({"usernames": too_many}))
        .refused(400, "invalid_parameter");
    service
        .post("/users/batch/status", &json!({}))
        .refused(400, "illegal_argument");
    assert_eq!(
        service.get("/users/ann/offline_msg_count").data(),
        json!({"ann": 0})
    );
    service
        .get("/users/nobody/offline_msg_count")
        .refused(404, "service_resource_not_found");
    service
        .get("/users/ann/offline_msg_status/x")
        .refused(400, "illegal_argument");
    service.get("/users/ann/offline_msg_status/1").ok();
    assert_eq!(
        service.get("/users/ann/disconnect").data(),
        json!({"result": true})
    );
    service
        .get("/users/nobody/disconnect")
        .refused(404, "service_resource_not_found");
}

#[test]
fn global_mutes_are_set_read_listed_and_lifted() {
    let mut service = Service::start();
    service.register(&["ann", "bob"]);
    let mute = json!({"username": "ann", "chat": 100, "groupchat": "-1", "chatroom": -5});
    assert_eq!(
        service.post("/mutes", &mute).data(),
        json!({"result": "ok"})
    );
    service.kill_and_restart();
    let data = service.get("/mutes/ann").data();
    assert_eq!(data["userid"], "test#chat_ann");
    assert!(
        (90..=100).contains(&data["chat"].as_i64().unwrap()),
        "{data}"
    );
    assert_eq!(
        (data["groupchat"].as_i64(), data["chatroom"].as_i64()),
        (Some(-1), Some(0))
    );
    service
        .post(
            "/mutes",
            &json!({"username": "bob", "chatroom": 2_147_483_647}),
        )
        .ok();
    let list = service.get("/mutes?pageNum=1&pageSize=10").data();
    let of = |list: &Value| {
        let entries = list["data"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["username"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&list), ["ann", "ann", "bob"]);
    assert_eq!(
        of(&service.get("/mutes?pageNum=2&pageSize=1").data()),
        ["bob"]
    );
    service
        .post(
            "/mutes",
            &json!({"username": "ann", "chat": 0, "groupchat": 0}),
        )
        .ok();
    assert_eq!(of(&service.get("/mutes").data()), ["bob"]);
    let missing = "required_property_not_found";
    service
        .post("/mutes", &json!({"username": "nobody", "chat": 1}))
        .refused(400, missing);
    service.get("/mutes/nobody").refused(400, missing);
    service
        .post("/mutes", &json!({"chat": 1}))
        .refused(400, "illegal_argument");
    service
        .post(
            "/mutes",
            &json!({"username": "ann", "chat": 2_147_483_648_u64}),
        )
        .refused(400, "illegal_argument");
    service
        .post("/mutes", &json!({"username": "ann", "chat": "soon"}))
        .refused(400, "invalid_request_body");
}
