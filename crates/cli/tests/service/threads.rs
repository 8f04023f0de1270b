//! Reactions and threads: rows 140 to 152.

use serde_json::{Value, json};

use crate::harness::Service;

struct Place {
    service: Service,
    group: String,
    message: String,
}

fn place() -> Place {
    let service = Service::start();
    service.register(&["ann", "bob", "carl", "dora"]);
    let new = json!({"groupname": "g", "description": "", "public": true, "owner": "ann", "members": ["bob", "carl"]});
    let group = service.post("/chatgroups", &new).data()["groupid"]
        .as_str()
        .unwrap()
        .to_owned();
    let sent = json!({"from": "ann", "to": [group], "type": "txt", "body": {"msg": "hi"}});
    let message = service.post("/messages/chatgroups", &sent).data()[&group]
        .as_str()
        .unwrap()
        .to_owned();
    Place {
        service,
        group,
        message,
    }
}

#[test]
fn reactions_are_added_counted_and_taken_back() {
    let Place {
        mut service,
        group,
        message,
    } = place();
    let react = |service: &Service, user: &str, what: &str| {
        service.post(
            &format!("/reaction/user/{user}"),
            &json!({"msgId": message, "message": what}),
        )
    };
    let added = react(&service, "ann", "👍").ok();
    assert_eq!(
        (&added["requestStatusCode"], &added["data"]["groupId"]),
        (&json!("ok"), &json!(group))
    );
    assert_eq!(added["data"]["msgType"], "groupchat");
    react(&service, "bob", "👍").ok();
    react(&service, "bob", "tea").ok();
    react(&service, "bob", "tea").refused(400, "illegal_argument");
    react(&service, "dora", "👍").refused(400, "illegal_argument");
    react(&service, "ann", "").refused(400, "illegal_argument");
    react(&service, "ann", &"x".repeat(129)).refused(400, "illegal_argument");
    service.kill_and_restart();
    let path = format!("/reaction/user/carl?msgIdList={message}&msgType=groupchat&groupId={group}");
    let list = service.get(&path).ok()["data"][0]["reactionList"].take();
    assert_eq!(
        (&list[0]["reaction"], &list[0]["count"], &list[0]["state"]),
        (&json!("👍"), &json!(2), &json!(false))
    );
    assert_eq!(list[0]["userList"], json!(["ann", "bob"]));
    let detail = format!("/reaction/user/bob/detail?msgId={message}&message=%F0%9F%91%8D&limit=1");
    let detail = service.get(&detail).ok()["data"].take();
    assert_eq!(
        (&detail["state"], &detail["userList"]),
        (&json!(true), &json!(["ann"]))
    );
    assert!(detail["cursor"].is_string());
    let back = format!("/reaction/user/bob?msgId={message}&message=tea");
    assert!(service.delete(&back).ok().get("data").is_none());
    service.delete(&back).refused(400, "illegal_argument");
    service
        .get(&format!(
            "/reaction/user/bob/detail?msgId={message}&message=tea"
        ))
        .refused(400, "illegal_argument");
    service
        .get(&format!(
            "/reaction/user/ann?msgIdList={message}&msgType=chat"
        ))
        .refused(400, "illegal_argument");
    service
        .get("/reaction/user/ann?msgIdList=x&msgType=chat")
        .refused(400, "illegal_argument");
    for kind in 0..19 {
        react(&service, "ann", &format!("r{kind}")).ok();
    }
    react(&service, "ann", "one-more").refused(400, "illegal_argument");
}

#[test]
fn threads_are_made_joined_listed_and_ended() {
    let Place {
        mut service,
        group,
        message,
    } = place();
    let new = json!({"group_id": group.parse::<u64>().unwrap(), "name": "about", "msg_id": message, "owner": "ann"});
    let id = service.post("/thread", &new).data()["thread_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let word = "group_error";
    service.post("/thread", &new).refused(400, word);
    let with = |field: &str, value: Value| {
        let mut other = new.clone();
        other[field] = value;
        service.post("/thread", &other)
    };
    with("msg_id", json!("1")).refused(404, word);
    with("name", json!("x".repeat(65))).refused(400, word);
    with("owner", json!("")).refused(400, "illegal_argument");
    service
        .put(&format!("/thread/{id}"), &json!({"name": "renamed"}))
        .ok();
    let users = format!("/thread/{id}/users");
    assert_eq!(
        service
            .post(&users, &json!({"usernames": ["bob", "carl"]}))
            .data(),
        json!({"status": "ok"})
    );
    let outsider = service.post(&users, &json!({"usernames": ["dora"]}));
    assert!((400..500).contains(&outsider.status), "{outsider:?}");
    service.kill_and_restart();
    let page = service.get(&format!("{users}?limit=2")).ok();
    assert_eq!(page["data"]["affiliations"], json!(["ann", "bob"]));
    let cursor = page["properties"]["cursor"].as_str().unwrap();
    let page = service
        .get(&format!("{users}?limit=2&cursor={cursor}"))
        .ok();
    assert_eq!(page["data"]["affiliations"], json!(["carl"]));
    let all = service.get("/thread?limit=50&sort=asc").ok();
    assert_eq!(all["entities"], json!([{"id": id}]));
    service
        .get("/thread?limit=51")
        .refused(400, "illegal_argument");
    let joined = service.get("/threads/user/bob").ok()["entities"][0].take();
    assert_eq!(
        (&joined["name"], &joined["msgId"], &joined["groupId"]),
        (&json!("renamed"), &json!(message), &json!(group))
    );
    assert_eq!(
        service
            .get(&format!("/threads/chatgroups/{group}/user/bob"))
            .ok()["entities"][0]["id"],
        json!(id)
    );
    for path in [users.clone(), format!("/threads/{id}/users")] {
        let left = service
            .call("DELETE", &path, Some(&json!({"usernames": ["bob"]})))
            .ok();
        assert_eq!(left["entities"][0]["user"], "bob");
    }
    let many: Vec<String> = (0..11).map(|n| format!("u{n}")).collect();
    service
        .post(&users, &json!({"usernames": many}))
        .refused(400, "invalid_parameter");
    assert_eq!(
        service.delete(&format!("/thread/{id}")).data(),
        json!({"status": "ok"})
    );
    for gone in [
        service.delete(&format!("/thread/{id}")),
        service.get(&users),
        service.put(&format!("/thread/{id}"), &json!({"name": "x"})),
    ] {
        gone.refused(404, word);
    }
}
