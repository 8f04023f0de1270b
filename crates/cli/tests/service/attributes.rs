//! Attributes of users and chatrooms: rows 37 to 41 and 87 to 91.

use serde_json::{Value, json};

use crate::harness::Service;

fn form(service: &Service, path: &str, body: &str) -> crate::harness::Reply {
    let body = Some((
        body.as_bytes().to_vec(),
        "application/x-www-form-urlencoded",
    ));
    service.bytes(
        "PUT",
        &format!("/test/chat{path}"),
        Some(&service.token),
        &[],
        body,
    )
}

#[test]
fn attributes_of_users_come_as_form_query_or_json() {
    let mut service = Service::start();
    let body = form(
        &service,
        "/metadata/user/Ann",
        "nickname=Annie%20B&ext=%7B%22a%22%3A1%7D",
    )
    .ok();
    assert_eq!(
        body["data"],
        json!({"nickname": "Annie B", "ext": "{\"a\":1}"})
    );
    service
        .call("PUT", "/metadata/user/ann?sign=hi%20there", None)
        .ok();
    service
        .put("/metadata/user/ann", &json!({"gender": 1, "mail": "a@b.c"}))
        .ok();
    form(&service, "/metadata/user/bob", "nickname=Bob").ok();
    service.kill_and_restart();
    let all = json!({"nickname": "Annie B", "ext": "{\"a\":1}", "sign": "hi there", "gender": "1", "mail": "a@b.c"});
    assert_eq!(service.get("/metadata/user/ann").data(), all);
    let asked = json!({"targets": ["Ann", "bob", "nobody"], "properties": ["nickname", "none"]});
    let data = service.post("/metadata/user/get", &asked).data();
    assert_eq!(
        data,
        json!({"ann": {"nickname": "Annie B"}, "bob": {"nickname": "Bob"}, "nobody": {}})
    );
    let total = service
        .get("/metadata/user/capacity")
        .data()
        .as_u64()
        .unwrap();
    assert!(total > 40, "{total}");
    assert_eq!(service.delete("/metadata/user/ann").data(), json!(true));
    assert_eq!(service.delete("/metadata/user/ann").data(), json!(true));
    assert_eq!(service.get("/metadata/user/ann").data(), json!({}));
    assert_eq!(service.get("/metadata/user/capacity").data(), json!(11));
}

#[test]
fn attributes_of_users_keep_their_limits() {
    let service = Service::start();
    // Keys and values together: 2,048 bytes pass.
    let value = "v".repeat(2_047);
    form(&service, "/metadata/user/ann", &format!("k={value}")).ok();
    form(&service, "/metadata/user/ann", "x=1").refused(403, "FORBIDDEN");
    assert_eq!(
        service.get("/metadata/user/ann").data(),
        json!({"k": value})
    );
    form(&service, "/metadata/user/bob", &format!("k={value}v")).refused(403, "FORBIDDEN");
    form(
        &service,
        "/metadata/user/bob",
        &format!("phone={}", "1".repeat(33)),
    )
    .refused(400, "illegal_argument");
    form(
        &service,
        "/metadata/user/bob",
        &format!("phone={}", "1".repeat(32)),
    )
    .ok();
    form(&service, "/metadata/user/bob", "").refused(400, "illegal_argument");
    service
        .put("/metadata/user/bob", &json!({"a": {}}))
        .refused(400, "illegal_argument");
    let too_many: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
    service
        .post("/metadata/user/get", &json!({"targets": too_many}))
        .refused(400, "invalid_parameter");
    service
        .post("/metadata/user/get", &json!({}))
        .refused(400, "illegal_argument");
}

fn room(service: &Service) -> String {
    service.register(&["ann", "bob", "carl"]);
    let new = json!({"name": "tea", "description": "", "owner": "ann", "members": ["bob"]});
    service.post("/chatrooms", &new).data()["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn attributes_of_chatrooms_belong_to_who_set_them() {
    let mut service = Service::start();
    let room = room(&service);
    let of = |user: &str| format!("/metadata/chatroom/{room}/user/{user}");
    let set = json!({"metaData": {"a": "1", "b": "2", "no good": "3"}, "autoDelete": "NO_DELETE"});
    let data = service.put(&of("ann"), &set).data();
    assert_eq!(data["successKeys"], json!(["a", "b"]));
    assert!(data["errorKeys"]["no good"].is_string(), "{data}");
    // Another's key is his only by force; then it is his.
    let data = service
        .put(&of("bob"), &json!({"metaData": {"a": "x", "c": "y"}}))
        .data();
    assert_eq!(data["successKeys"], json!(["c"]));
    assert!(data["errorKeys"]["a"].is_string());
    let forced = format!("{}/forced", of("bob"));
    assert_eq!(
        service
            .put(&forced, &json!({"metaData": {"b": "bob's"}}))
            .data()["successKeys"],
        json!(["b"])
    );
    service.kill_and_restart();
    let read = |keys: Value| {
        service
            .post(
                &format!("/metadata/chatroom/{room}"),
                &json!({"keys": keys}),
            )
            .data()
    };
    assert_eq!(read(json!([])), json!({"a": "1", "b": "bob's", "c": "y"}));
    assert_eq!(read(json!(["a", "none"])), json!({"a": "1"}));
    let delete =
        |path: &str, keys: Value| service.call("DELETE", path, Some(&json!({"keys": keys})));
    let data = delete(&of("ann"), json!(["a", "b"])).data();
    assert_eq!(
        (&data["successKeys"], data["errorKeys"]["b"].is_string()),
        (&json!(["a"]), true)
    );
    let data = delete(&format!("{}/forced", of("ann")), json!(["b"])).data();
    assert_eq!(data["successKeys"], json!(["b"]));
    // What was set without a word about it goes with its setter.
    service.delete(&format!("/chatrooms/{room}/users/bob")).ok();
    assert_eq!(read(json!([])), json!({}));

    let set = json!({"metaData": {"a": "1"}});
    service.put(&of("carl"), &set).refused(401, "unauthorized");
    service
        .put(&format!("{}/forced", of("carl")), &set)
        .refused(401, "unauthorized");
    service
        .call("DELETE", &of("carl"), Some(&json!({"keys": ["a"]})))
        .refused(401, "unauthorized");
    let many: serde_json::Map<String, Value> =
        (0..11).map(|n| (format!("k{n}"), json!("v"))).collect();
    service
        .put(&of("ann"), &json!({"metaData": many}))
        .refused(400, "invalid_parameter");
    service
        .put(&of("ann"), &json!({"metaData": {}}))
        .refused(400, "illegal_argument");
    service
        .put(&of("ann"), &json!({}))
        .refused(400, "illegal_argument");
    service
        .put(
            &of("ann"),
            &json!({"metaData": {"a": "1"}, "autoDelete": "MAYBE"}),
        )
        .refused(400, "illegal_argument");
    service
        .post("/metadata/chatroom/12345", &json!({}))
        .refused(404, "resource_not_found");
}

#[test]
fn a_chatroom_has_a_hundred_keys_and_values_of_4096_characters() {
    let service = Service::start();
    let room = room(&service);
    let path = format!("/metadata/chatroom/{room}/user/ann");
    for ten in 0..10 {
        let some: serde_json::Map<String, Value> = (0..10)
            .map(|n| (format!("k{}", ten * 10 + n), json!("v")))
            .collect();
        assert_eq!(
            service.put(&path, &json!({"metaData": some})).data()["errorKeys"],
            json!({})
        );
    }
    let data = service
        .put(
            &path,
            &json!({"metaData": {"one-more": "v", "k1": "群".repeat(4_096)}}),
        )
        .data();
    assert_eq!(data["successKeys"], json!(["k1"]));
    assert!(data["errorKeys"]["one-more"].is_string());
    let data = service
        .put(&path, &json!({"metaData": {"k1": "群".repeat(4_097)}}))
        .data();
    assert!(data["errorKeys"]["k1"].is_string());
}
