//! Groups, chatrooms and their members: rows 42 to 51, 56 to 86 and 92 to 116.

use serde_json::{Value, json};

use crate::harness::Service;

fn start() -> (Service, String) {
    let service = Service::start();
    service.register(&["ann", "bob", "carl", "dora"]);
    let new = json!({"groupname": "tea", "desc": "about tea", "public": "true", "owner": "ann", "members": ["bob"],
        "maxusers": 3, "members_only": false, "allowinvites": true, "custom": "x"});
    let id = service.post("/chatgroups", &new).data()["groupid"]
        .as_str()
        .unwrap()
        .to_owned();
    (service, id)
}

fn room(service: &Service) -> String {
    let new = json!({"name": "lobby", "description": "d", "owner": "ann", "members": ["bob"]});
    service.post("/chatrooms", &new).data()["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_group_is_made_shown_changed_banned_and_deleted() {
    let (mut service, id) = start();
    let path = format!("/chatgroups/{id}");
    service.kill_and_restart();
    let body = service.get(&path).ok();
    assert_eq!(body["count"], 1);
    let group = &body["data"][0];
    for (field, value) in [
        ("id", json!(id)),
        ("name", json!("tea")),
        ("description", json!("about tea")),
        ("owner", json!("ann")),
        ("public", json!(true)),
        ("membersonly", json!(false)),
        ("allowinvites", json!(true)),
        ("maxusers", json!(3)),
        ("custom", json!("x")),
        ("mute", json!(false)),
        ("disabled", json!(false)),
        ("affiliations_count", json!(2)),
    ] {
        assert_eq!(group[field], value, "{field}: {group}");
    }
    assert!(
        group["affiliations"]
            .as_array()
            .unwrap()
            .contains(&json!({"owner": "ann"})),
        "{group}"
    );
    let two = service.get(&format!("/chatgroups/{id},12345")).data();
    assert_eq!(two.as_array().unwrap().len(), 2, "{two}");
    service
        .get("/chatgroups/12345")
        .refused(404, "resource_not_found");
    let listed = service.get("/chatgroups?limit=10").ok();
    assert_eq!(
        (&listed["data"][0]["groupid"], &listed["data"][0]["owner"]),
        (&json!(id), &json!("test#chat_ann"))
    );
    let joined = service
        .get("/users/bob/joined_chatgroups?pagesize=10&pagenum=1")
        .data();
    assert_eq!(joined, json!([{"groupid": id, "groupname": "tea"}]));
    assert_eq!(service.get("/users/bob/joined_chatgroups").data(), joined);

    assert_eq!(
        service
            .put(&path, &json!({"groupname": "coffee", "description": "new"}))
            .data(),
        json!({"groupname": true, "description": true})
    );
    service
        .put(&path, &json!({"maxusers": "", "public": "undefined"}))
        .refused(400, "invalid_parameter");
    service
        .put(&path, &json!({"colour": "red"}))
        .refused(400, "invalid_parameter");
    assert_eq!(
        service
            .put(&path, &json!({"groupname": "x".repeat(129)}))
            .status,
        403
    );
    assert_eq!(
        service.put(&path, &json!({"newowner": "bob"})).data(),
        json!({"newowner": true})
    );
    service
        .put(&path, &json!({"newowner": "dora"}))
        .refused(403, "forbidden_op");
    service
        .put(&path, &json!({"newowner": "bob"}))
        .refused(403, "forbidden_op");
    service
        .put("/chatgroups/12345", &json!({"groupname": "x"}))
        .refused(404, "resource_not_found");

    let word = json!({"announcement": "hear"});
    assert_eq!(
        service.post(&format!("{path}/announcement"), &word).data(),
        json!({"id": id, "result": true})
    );
    assert_eq!(service.get(&format!("{path}/announcement")).data(), word);
    service
        .post(
            &format!("{path}/announcement"),
            &json!({"announcement": "x".repeat(513)}),
        )
        .refused(403, "exceed_limit");
    assert_eq!(
        service
            .call("POST", &format!("{path}/disable"), None)
            .data(),
        json!({"disabled": true})
    );
    assert_eq!(
        service
            .call("POST", &format!("{path}/users/carl"), None)
            .status,
        403
    );
    service.kill_and_restart();
    assert_eq!(service.get(&path).data()[0]["disabled"], true);
    assert_eq!(
        service.call("POST", &format!("{path}/enable"), None).data(),
        json!({"disabled": false})
    );
    assert_eq!(
        service.delete(&path).data(),
        json!({"success": true, "groupid": id})
    );
    service.delete(&path).refused(404, "resource_not_found");
    for wrong in [
        json!({}),
        json!({"groupname": "g", "description": "", "public": true}),
    ] {
        assert_eq!(service.post("/chatgroups", &wrong).status, 400);
    }
    let missing = json!({"groupname": "g", "description": "", "public": true, "owner": "ann", "members": ["nobody"]});
    assert_eq!(service.post("/chatgroups", &missing).status, 404);
}

/// Members, admins, blocks, allowed and muted of a group or chatroom.
fn lists(service: &mut Service, path: &str) {
    let post = |service: &Service, path: String, body: Value| service.post(&path, &body);
    // Members: one, several, out again.
    let added = service
        .call("POST", &format!("{path}/users/carl"), None)
        .data();
    assert_eq!(
        (&added["result"], &added["action"], &added["user"]),
        (&json!(true), &json!("add_member"), &json!("carl"))
    );
    service
        .call("POST", &format!("{path}/users/carl"), None)
        .refused(403, "forbidden_op");
    service
        .call("POST", &format!("{path}/users/nobody"), None)
        .refused(404, "service_resource_not_found");
    let removed = service.delete(&format!("{path}/users/carl")).data();
    assert_eq!(
        (&removed["result"], &removed["action"]),
        (&json!(true), &json!("remove_member"))
    );
    service
        .delete(&format!("{path}/users/carl"))
        .refused(403, "forbidden_op");
    service
        .delete(&format!("{path}/users/ann"))
        .refused(403, "forbidden_op");
    let added = post(
        service,
        format!("{path}/users"),
        json!({"usernames": ["carl"]}),
    )
    .data();
    assert_eq!(
        (&added["newmembers"], &added["action"]),
        (&json!(["carl"]), &json!("add_member"))
    );
    let many: Vec<String> = (0..61).map(|n| format!("u{n}")).collect();
    assert_eq!(
        post(service, format!("{path}/users"), json!({"usernames": many})).status,
        400
    );
    service.kill_and_restart();
    let members = service
        .get(&format!("{path}/users?pagenum=1&pagesize=100"))
        .ok();
    assert_eq!(
        (&members["count"], &members["data"][0]),
        (&json!(3), &json!({"owner": "ann"}))
    );

    // Admins.
    let made = post(service, format!("{path}/admin"), json!({"newadmin": "bob"})).data();
    assert_eq!(
        (&made["result"], &made["newadmin"]),
        (&json!("success"), &json!("bob"))
    );
    assert_eq!(service.get(&format!("{path}/admin")).data(), json!(["bob"]));
    let outsider = post(
        service,
        format!("{path}/admin"),
        json!({"newadmin": "dora"}),
    );
    assert!([403, 404].contains(&outsider.status), "{outsider:?}");
    assert_eq!(
        service.delete(&format!("{path}/admin/bob")).data(),
        json!({"result": "success", "oldadmin": "bob"})
    );
    service
        .delete(&format!("{path}/admin/bob"))
        .refused(403, "forbidden_op");

    // Muted, one and all.
    let muted = post(
        service,
        format!("{path}/mute"),
        json!({"usernames": ["bob"], "mute_duration": 60_000}),
    )
    .data();
    assert_eq!(
        (&muted[0]["result"], &muted[0]["user"]),
        (&json!(true), &json!("bob"))
    );
    let listed = service.get(&format!("{path}/mute")).data();
    assert_eq!(listed[0]["user"], "bob");
    assert!(
        listed[0]["expire"].as_u64().unwrap() > 1_700_000_000_000,
        "{listed}"
    );
    assert_eq!(
        service.delete(&format!("{path}/mute/bob")).data()[0]["result"],
        true
    );
    assert_eq!(service.get(&format!("{path}/mute")).data(), json!([]));
    assert_eq!(
        post(
            service,
            format!("{path}/mute"),
            json!({"usernames": ["ann"], "mute_duration": 1_000})
        )
        .status,
        403
    );
    assert_eq!(
        service.call("POST", &format!("{path}/ban"), None).data(),
        json!({"mute": true})
    );
    assert_eq!(
        service.call("DELETE", &format!("{path}/ban"), None).data(),
        json!({"mute": false})
    );

    // Allowed to speak.
    let allowed = service
        .call("POST", &format!("{path}/white/users/bob"), None)
        .data();
    assert_eq!(
        (&allowed["result"], &allowed["action"]),
        (&json!(true), &json!("add_user_whitelist"))
    );
    let both = post(
        service,
        format!("{path}/white/users"),
        json!({"usernames": ["bob", "carl"]}),
    )
    .data();
    assert_eq!(both.as_array().unwrap().len(), 2);
    let mut names: Vec<String> =
        serde_json::from_value(service.get(&format!("{path}/white/users")).data()).unwrap();
    names.sort();
    assert_eq!(names, ["bob", "carl"]);
    let off = service
        .delete(&format!("{path}/white/users/bob%2Ccarl"))
        .data();
    assert_eq!(
        (off.as_array().unwrap().len(), &off[0]["action"]),
        (2, &json!("remove_user_whitelist"))
    );

    // Blocked: they leave, and do not come back when they are let off the list.
    let blocked = service
        .call("POST", &format!("{path}/blocks/users/carl"), None)
        .data();
    assert_eq!(
        (&blocked["result"], &blocked["action"]),
        (&json!(true), &json!("add_blocks"))
    );
    assert_eq!(
        service.get(&format!("{path}/blocks/users")).data(),
        json!(["carl"])
    );
    service
        .call("POST", &format!("{path}/blocks/users/ann"), None)
        .refused(403, "forbidden_op");
    let several = post(
        service,
        format!("{path}/blocks/users"),
        json!({"usernames": ["bob"]}),
    )
    .data();
    assert_eq!(several[0]["result"], true);
    let off = service
        .delete(&format!("{path}/blocks/users/bob,carl"))
        .data();
    assert_eq!(
        (off.as_array().unwrap().len(), &off[0]["action"]),
        (2, &json!("remove_blocks"))
    );
    service
        .delete(&format!("{path}/blocks/users/bob"))
        .refused(403, "forbidden_op");
    assert_eq!(service.get(&format!("{path}/users")).ok()["count"], 1);
    service
        .call("POST", &format!("{path}/users/bob"), None)
        .ok();
    let gone = service.delete(&format!("{path}/users/bob,dora")).data();
    assert_eq!(
        (gone[0]["result"].as_bool(), gone[1]["result"].as_bool()),
        (Some(true), Some(false)),
        "{gone}"
    );
}

#[test]
fn lists_of_a_group() {
    let (mut service, id) = start();
    lists(&mut service, &format!("/chatgroups/{id}"));
    let nobody = format!("/chatgroups/{}", 12_345);
    for path in ["users", "admin", "blocks/users", "white/users", "mute"] {
        service
            .get(&format!("{nobody}/{path}"))
            .refused(404, "resource_not_found");
    }
    // Made for three.
    for name in ["bob", "carl"] {
        service
            .call("POST", &format!("/chatgroups/{id}/users/{name}"), None)
            .ok();
    }
    service
        .call("POST", &format!("/chatgroups/{id}/users/dora"), None)
        .refused(403, "exceed_limit");
}

#[test]
fn lists_of_a_chatroom() {
    let (mut service, _) = start();
    let id = room(&service);
    lists(&mut service, &format!("/chatrooms/{id}"));
    for path in ["users", "admin", "blocks/users", "white/users", "mute"] {
        service
            .get(&format!("/chatrooms/12345/{path}"))
            .refused(404, "resource_not_found");
    }
}

#[test]
fn a_chatroom_is_made_shown_changed_and_deleted() {
    let (mut service, _) = start();
    let id = room(&service);
    let path = format!("/chatrooms/{id}");
    service.kill_and_restart();
    let shown = service.get(&path).data();
    assert_eq!(
        (
            &shown[0]["name"],
            &shown[0]["owner"],
            &shown[0]["affiliations_count"]
        ),
        (&json!("lobby"), &json!("ann"), &json!(2))
    );
    assert_eq!(service.get("/chatrooms?limit=1").data()[0]["id"], json!(id));
    assert_eq!(
        service.get("/users/bob/joined_chatrooms").data()[0]["id"],
        json!(id)
    );
    let changed = service
        .put(&path, &json!({"name": "hall", "maxusers": 10}))
        .data();
    assert_eq!(changed, json!({"groupname": true, "maxusers": true}));
    service
        .put(&path, &json!({"colour": "red"}))
        .refused(400, "invalid_parameter");
    service
        .post(
            &format!("{path}/announcement"),
            &json!({"announcement": "hear"}),
        )
        .ok();
    assert_eq!(
        service.get(&format!("{path}/announcement")).data(),
        json!({"announcement": "hear"})
    );
    assert_eq!(
        service.delete(&path).data(),
        json!({"success": true, "id": id})
    );
    service.get(&path).refused(404, "resource_not_found");
    service
        .get("/users/nobody/joined_chatrooms")
        .refused(404, "service_resource_not_found");

    let admin = json!({"superadmin": "bob"});
    assert_eq!(
        service.post("/chatrooms/super_admin", &admin).data(),
        json!({"result": "success", "resource": ""})
    );
    assert_eq!(
        service
            .get("/chatrooms/super_admin?pagenum=1&pagesize=10")
            .data(),
        json!(["bob"])
    );
    service
        .post("/chatrooms/super_admin", &json!({"superadmin": "nobody"}))
        .refused(404, "service_resource_not_found");
    let removed = service.delete("/chatrooms/super_admin/bob").data();
    assert_eq!(removed, json!({"newSuperAdmin": "bob", "resource": ""}));
}

#[test]
fn the_free_plan_has_no_chatrooms() {
    let service = Service::start_with(&["--no-rates", "--plan", "free"]);
    service.register(&["ann"]);
    let new = json!({"name": "lobby", "description": "d", "owner": "ann"});
    service
        .post("/chatrooms", &new)
        .refused(403, "exceed_limit");
}

#[test]
fn users_manage_what_is_theirs_and_nothing_else() {
    let (service, id) = start();
    let path = format!("/chatgroups/{id}");
    let [ann, bob, carl] = ["ann", "bob", "carl"].map(|name| service.user_token(name));
    service
        .call_as(&bob, "GET", &format!("{path}/users"), None)
        .ok();
    service
        .call_as(&carl, "GET", &format!("{path}/users"), None)
        .refused(403, "forbidden_op");
    service
        .call_as(&bob, "POST", &format!("{path}/ban"), None)
        .refused(403, "forbidden_op");
    service
        .call_as(&ann, "POST", &format!("{path}/ban"), None)
        .ok();
    service
        .call_as(&bob, "DELETE", &path, None)
        .refused(403, "forbidden_op");
    let own = json!({"groupname": "g", "description": "", "public": true, "owner": "carl"});
    service
        .call_as(&carl, "POST", "/chatgroups", Some(&own))
        .ok();
    service
        .call_as(&bob, "POST", "/chatgroups", Some(&own))
        .refused(403, "forbidden_op");
    // Leaving is anybody's right, throwing others out is not.
    service
        .call_as(&bob, "DELETE", &format!("{path}/users/ann"), None)
        .refused(403, "forbidden_op");
    service
        .call_as(&bob, "DELETE", &format!("{path}/users/bob"), None)
        .ok();
    service.call_as(&ann, "DELETE", &path, None).ok();
}
