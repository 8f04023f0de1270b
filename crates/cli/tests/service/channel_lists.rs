//! Groups and chatrooms: their lists with their order, what is done for some of several, and what a crash leaves.

use serde_json::{Value, json};

use crate::harness::Service;

fn new(place: &str, name: &str, members: &[&str]) -> Value {
    let field = if place == "/chatgroups" {
        "groupname"
    } else {
        "name"
    };
    json!({field: name, "description": "", "public": true, "owner": "ann", "members": members})
}

const PLACES: [&str; 2] = ["/chatgroups", "/chatrooms"];

#[test]
fn of_several_those_are_added_who_can_be() {
    let service = Service::start();
    service.register(&["ann", "bob", "carl", "dora"]);
    for place in PLACES {
        let id = service.make(place, &new(place, "x", &["bob"]));
        let path = format!("{place}/{id}");
        let add =
            |names: Value| service.post(&format!("{path}/users"), &json!({"usernames": names}));
        // One is in it already, one does not exist, and one is named in two spellings.
        let added = add(json!(["bob", "carl", "nobody", "Carl", "carl"])).data();
        assert_eq!(
            (&added["newmembers"], &added["action"]),
            (&json!(["carl"]), &json!("add_member"))
        );
        let named = added.get("groupid").or(added.get("id"));
        assert_eq!(named, Some(&json!(id)));
        // An error only if nobody could be added: that of the first.
        add(json!(["bob", "carl"])).refused(403, "forbidden_op");
        add(json!(["nobody"])).refused(404, "service_resource_not_found");
        add(json!([])).refused(400, "illegal_argument");
        // A blocked one whom the app adds is let off the list.
        service
            .call("POST", &format!("{path}/blocks/users/carl"), None)
            .ok();
        let added = service
            .call("POST", &format!("{path}/users/carl"), None)
            .data();
        assert_eq!(added["result"], true);
        assert_eq!(
            service.get(&format!("{path}/blocks/users")).data(),
            json!([])
        );
        service
            .call("POST", &format!("{path}/blocks/users/carl"), None)
            .ok();
        assert_eq!(
            add(json!(["dora", "carl"])).data()["newmembers"],
            json!(["dora", "carl"])
        );
        assert_eq!(
            service.get(&format!("{path}/blocks/users")).data(),
            json!([])
        );
    }
}

#[test]
fn a_name_twice_in_a_list_is_done_and_answered_once() {
    let service = Service::start();
    service.register(&["ann", "bob", "carl"]);
    for place in PLACES {
        let path = format!(
            "{place}/{}",
            service.make(place, &new(place, "x", &["bob", "carl"]))
        );
        let twice = json!({"usernames": ["bob", "BOB", "carl", "bob"], "mute_duration": -1});
        for (at, word) in [("mute", "user"), ("white/users", "user")] {
            let done = service.post(&format!("{path}/{at}"), &twice).data();
            let users: Vec<_> = done
                .as_array()
                .unwrap()
                .iter()
                .map(|one| &one[word])
                .collect();
            assert_eq!(users, ["bob", "carl"], "{at}");
            let undone = service
                .delete(&format!("{path}/{at}/bob,BOB,carl,bob"))
                .data();
            assert_eq!(undone.as_array().unwrap().len(), 2, "{at}: {undone}");
            assert_eq!(service.get(&format!("{path}/{at}")).data(), json!([]));
        }
        let blocked = service.post(&format!("{path}/blocks/users"), &twice).data();
        assert_eq!(blocked.as_array().unwrap().len(), 2, "{blocked}");
        let unblocked = service
            .delete(&format!("{path}/blocks/users/carl%2Cbob%2Ccarl"))
            .data();
        let users: Vec<_> = unblocked
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["user"])
            .collect();
        assert_eq!(users, ["carl", "bob"]);
        service
            .post(
                &format!("{path}/users"),
                &json!({"usernames": ["bob", "carl"]}),
            )
            .ok();
        let gone = service.delete(&format!("{path}/users/bob,bob")).data();
        assert_eq!(gone.as_array().unwrap().len(), 1, "{gone}");
        assert_eq!(service.get(&format!("{path}/users")).ok()["count"], 2);
        let id = path.rsplit('/').next().unwrap();
        let details = service.get(&format!("{place}/{id},{id}")).ok();
        assert_eq!(details["count"], 1, "{details}");
    }
    // So it is wherever users are named.
    let twice = json!({"usernames": ["bob", "Bob"]});
    let blocked = service.post("/users/ann/blocks/users", &twice).data();
    assert_eq!(blocked, json!(["bob"]));
    service.post("/push/label", &json!({"name": "tea"})).ok();
    let labelled = service.post("/push/label/tea/user", &twice).data();
    assert_eq!(labelled, json!({"success": ["bob"], "fail": {}}));
    let push = json!({"targets": ["bob", "BOB"], "async": false, "pushMessage": {"title": "t"}});
    let pushed = service.post("/push/single", &push).data();
    assert_eq!(pushed.as_array().unwrap().len(), 1, "{pushed}");
    let sent =
        json!({"from": "ann", "to": ["carl", "Carl", "carl"], "type": "txt", "body": {"msg": "x"}});
    let ids = service.post("/messages/users", &sent).data();
    assert_eq!(ids.as_object().unwrap().len(), 1, "{ids}");
    assert_eq!(
        service.get("/users/carl/offline_msg_count").data()["carl"],
        1
    );
}

#[test]
fn lists_of_all_are_newest_first_and_go_on_from_a_cursor() {
    let service = Service::start();
    service.register(&["ann"]);
    for place in PLACES {
        let mut ids: Vec<String> = (0..5)
            .map(|n| service.make(place, &new(place, &format!("n{n}"), &["ann"])))
            .collect();
        ids.reverse();
        let word = if place == "/chatgroups" {
            "groupid"
        } else {
            "id"
        };
        let of = |page: &Value| -> Vec<String> {
            let entries = page["data"].as_array().unwrap().iter();
            entries
                .map(|one| one[word].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(of(&service.get(place).ok()), ids);
        let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
        for count in [2, 2, 1] {
            let page = service.get(&format!("{place}{query}")).ok();
            assert_eq!(page["count"], count, "{page}");
            seen.extend(of(&page));
            // What comes in between is before the first page, not in the middle of the second.
            let newer = service.make(place, &new(place, "newer", &["ann"]));
            service.delete(&format!("{place}/{newer}")).ok();
            match page["cursor"].as_str() {
                Some(cursor) => query = format!("?limit=2&cursor={cursor}"),
                None => assert_eq!(count, 1, "{page}"),
            }
        }
        assert_eq!(seen, ids);
        service
            .get(&format!("{place}?cursor=nonsense"))
            .refused(400, "illegal_argument");
        // More than a page holds is cut; less than one is none.
        assert_eq!(service.get(&format!("{place}?limit=5000")).ok()["count"], 5);
        for wrong in ["0", "-1", "x"] {
            service
                .get(&format!("{place}?limit={wrong}"))
                .refused(400, "illegal_argument");
        }
    }
}

#[test]
fn all_lists_are_there_again_after_a_crash() {
    let mut service = Service::start();
    service.register(&["ann", "bob", "carl", "dora", "emil"]);
    let part = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"notes.txt\"\r\n\r\nhello\r\n--x--\r\n";
    let mut paths = Vec::new();
    for place in PLACES {
        let members = ["bob", "carl", "dora", "emil"];
        let path = format!(
            "{place}/{}",
            service.make(place, &new(place, "x", &members))
        );
        service
            .post(&format!("{path}/admin"), &json!({"newadmin": "bob"}))
            .ok();
        for (who, millis) in [("carl", 3_600_000), ("dora", -1)] {
            let mute = json!({"usernames": [who], "mute_duration": millis});
            let muted = service.post(&format!("{path}/mute"), &mute).data();
            let forever = muted[0]["expire"] == -1;
            assert_eq!(forever, millis == -1, "{muted}");
        }
        for wrong in [json!(0), json!(-2), json!("soon"), json!(null)] {
            let mute = json!({"usernames": ["carl"], "mute_duration": wrong});
            let refused = service.post(&format!("{path}/mute"), &mute);
            assert_eq!(refused.status, 400, "{refused:?}");
        }
        service
            .call("POST", &format!("{path}/blocks/users/emil"), None)
            .ok();
        service
            .call("POST", &format!("{path}/white/users/carl"), None)
            .ok();
        service
            .post(
                &format!("{path}/announcement"),
                &json!({"announcement": "hear"}),
            )
            .ok();
        service.call("POST", &format!("{path}/ban"), None).ok();
        paths.push(path);
    }
    let body = Some((part.as_bytes().to_vec(), "multipart/form-data; boundary=x"));
    let share = format!("/test/chat{}/share_files", paths[0]);
    let shared = service
        .bytes("POST", &share, Some(&service.token), &[], body)
        .data();
    let seen = |service: &Service| -> Vec<Value> {
        let mut seen = Vec::new();
        for path in &paths {
            for list in [
                "admin",
                "mute",
                "blocks/users",
                "white/users",
                "announcement",
                "users",
            ] {
                seen.push(service.get(&format!("{path}/{list}")).data());
            }
            seen.push(service.get(path).data());
        }
        seen.push(service.get(&format!("{}/share_files", paths[0])).data());
        seen
    };
    let before = seen(&service);
    for at in [0, 7] {
        assert_eq!(before[at], json!(["bob"]));
        assert_eq!(before[at + 1].as_array().unwrap().len(), 2);
        assert_eq!(before[at + 1][1], json!({"user": "dora", "expire": -1}));
        assert_eq!(before[at + 2], json!(["emil"]));
        assert_eq!(before[at + 3], json!(["carl"]));
        assert_eq!(before[at + 4], json!({"announcement": "hear"}));
        assert_eq!(before[at + 6][0]["mute"], true);
    }
    service.kill_and_restart();
    assert_eq!(seen(&service), before);
    let file = format!(
        "/test/chat{}/share_files/{}",
        paths[0],
        shared["file_id"].as_str().unwrap()
    );
    let (status, _, bytes) = service.fetch("GET", &file, Some(&service.token), &[], None);
    assert_eq!((status, bytes.as_slice()), (200, b"hello".as_slice()));
    // The mutes hold, and so does the list of those who may speak all the same.
    let say = |who: &str| {
        let group = paths[0].rsplit('/').next().unwrap();
        let message = json!({"from": who, "to": [group], "type": "txt", "body": {"msg": "x"}});
        service.post("/messages/chatgroups", &message).status
    };
    assert_eq!(
        [
            say("ann"),
            say("bob"),
            say("carl"),
            say("dora"),
            say("emil")
        ],
        [200, 200, 200, 403, 403]
    );
    service.delete(&format!("{}/ban", paths[0])).ok();
    assert_eq!(say("dora"), 403);
    service.delete(&format!("{}/mute/dora", paths[0])).ok();
    assert_eq!(say("dora"), 200);
}

#[test]
fn two_names_of_one_setting_say_the_same_or_nothing_is_changed() {
    let service = Service::start();
    service.register(&["ann"]);
    let path = format!(
        "/chatgroups/{}",
        service.make("/chatgroups", &new("/chatgroups", "x", &[]))
    );
    let refused = "invalid_parameter";
    for twins in [
        json!({"desc": "one", "description": "other"}),
        json!({"groupname": "one", "name": "other"}),
        json!({"membersonly": true, "members_only": false}),
    ] {
        service.put(&path, &twins).refused(400, refused);
        let mut group = new("/chatgroups", "x", &[]);
        group
            .as_object_mut()
            .unwrap()
            .extend(twins.as_object().unwrap().clone());
        service.post("/chatgroups", &group).refused(400, refused);
    }
    let before = service.get(&path).data()[0].take();
    assert_eq!(
        (&before["name"], &before["description"]),
        (&json!("x"), &json!(""))
    );
    let same =
        json!({"desc": "same", "description": "same", "members_only": true, "membersonly": "1"});
    assert_eq!(
        service.put(&path, &same).data(),
        json!({"desc": true, "description": true, "members_only": true, "membersonly": true})
    );
    // One that a client leaves out as empty text says nothing, and is not answered as changed.
    let one = json!({"desc": "", "description": "filled"});
    assert_eq!(
        service.put(&path, &one).data(),
        json!({"description": true})
    );
    assert_eq!(service.get(&path).data()[0]["description"], "filled");
    let cleared = json!({"desc": ""});
    assert_eq!(service.put(&path, &cleared).data(), json!({"desc": true}));
    assert_eq!(service.get(&path).data()[0]["description"], "");
    let created = json!({"groupname": "g", "desc": "", "description": "filled", "public": true, "owner": "ann"});
    let created = service.make("/chatgroups", &created);
    assert_eq!(
        service.get(&format!("/chatgroups/{created}")).data()[0]["description"],
        "filled"
    );
}
