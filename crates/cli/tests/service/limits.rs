//! Both sides of each limit of groups, chatrooms and plans, as a client meets them: what is allowed passes, one more is
//! refused.

use serde_json::json;

use crate::harness::{Reply, Service};

pub(crate) fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:03}")).collect()
}

pub(crate) fn text(length: usize) -> String {
    // Characters are counted, not bytes.
    "群".repeat(length)
}

/// What passes and what is refused must differ in nothing but one.
#[track_caller]
pub(crate) fn both(name: &str, call: impl Fn(usize) -> Reply, max: usize, status: u16, word: &str) {
    let passed = call(max);
    assert_eq!(passed.status, 200, "{name} {max}: {passed:?}");
    let refused = call(max + 1);
    assert_eq!(refused.status, status, "{name} {}: {refused:?}", max + 1);
    refused.refused(status, word);
}

#[test]
fn members_in_one_call_are_sixty_and_rooms_let_a_hundred_go() {
    let service = Service::start();
    let all = numbered("u", 101);
    service.register(&all);
    let (owner, others) = all.split_first().unwrap();
    let group = json!({"groupname": "g", "description": "", "public": true, "owner": owner, "maxusers": 200});
    let room = json!({"name": "r", "description": "", "owner": owner});
    for (place, new, removed) in [("/chatgroups", group, 60), ("/chatrooms", room, 100)] {
        let path = format!("{place}/{}", service.make(place, &new));
        let batch = |at: &str, n: usize| {
            let body = json!({"usernames": others[..n], "mute_duration": 60_000});
            service.post(&format!("{path}/{at}"), &body)
        };
        let listed =
            |at: &str, n: usize| service.delete(&format!("{path}/{at}/{}", others[..n].join(",")));
        let word = "invalid_parameter";
        both("add", |n| batch("users", n), 60, 400, word);
        for at in ["mute", "white/users"] {
            // The last one is no member: he is refused alone, if the call is not.
            both(at, |n| batch(at, n), 60, 400, word);
            both(at, |n| listed(at, n), 60, 400, word);
        }
        both("block", |n| batch("blocks/users", n), 60, 400, word);
        both("unblock", |n| listed("blocks/users", n), 60, 400, word);
        for some in others.chunks(60) {
            service
                .post(&format!("{path}/users"), &json!({"usernames": some}))
                .ok();
        }
        assert_eq!(
            service.get(&format!("{path}/users?pagesize=1000")).ok()["count"],
            101
        );
        // A hundred are all there are besides the owner.
        let most: Vec<String> = others.iter().chain([owner]).cloned().collect();
        let remove = |n: usize| service.delete(&format!("{path}/users/{}", most[..n].join(",")));
        both("remove", remove, removed, 400, word);
        let left = service.get(&format!("{path}/users?pagesize=1000")).ok();
        assert_eq!(left["count"], 101 - removed);
    }
}

#[test]
fn a_group_or_chatroom_has_ninety_nine_admins_and_a_hundred_founders() {
    let service = Service::start();
    let all = numbered("u", 102);
    service.register(&all);
    let (owner, others) = all.split_first().unwrap();
    for (place, name) in [("/chatgroups", "groupname"), ("/chatrooms", "name")] {
        let found = |n: usize| {
            let new = json!({name: "x", "description": "", "public": true, "owner": owner, "members": others[..n]});
            service.post(place, &new)
        };
        both("founders", found, 100, 400, "invalid_parameter");
        let new = json!({name: "x", "description": "", "public": true, "owner": owner, "members": others[..100]});
        let path = format!("{place}/{}/admin", service.make(place, &new));
        for admin in &others[..99] {
            service.post(&path, &json!({"newadmin": admin})).ok();
        }
        let one_more = json!({"newadmin": others[99]});
        service.post(&path, &one_more).refused(403, "exceed_limit");
        // Who is one already takes no place, and who goes makes one free.
        service.post(&path, &json!({"newadmin": others[0]})).ok();
        service.delete(&format!("{path}/{}", others[0])).ok();
        service.post(&path, &one_more).ok();
        assert_eq!(service.get(&path).ok()["count"], 99);
    }
}

#[test]
fn texts_and_sizes_of_groups_and_chatrooms() {
    let service = Service::start();
    service.register(&["ann"]);
    for (place, name, most, above) in [
        // A group holds what the plan allows.
        ("/chatgroups", "groupname", 3_000, 403),
        ("/chatrooms", "name", 10_000, 400),
    ] {
        let plain = json!({name: "x", "description": "", "public": true, "owner": "ann"});
        let path = format!("{place}/{}", service.make(place, &plain));
        for (field, max) in [(name, 128), ("description", 512), ("custom", 1_024)] {
            let make = |n: usize| {
                let mut new = plain.clone();
                new[field] = json!(text(n));
                service.post(place, &new)
            };
            both(field, make, max, 403, "exceed_limit");
            let change = |n: usize| service.put(&path, &json!({field: text(n)}));
            both(field, change, max, 403, "exceed_limit");
        }
        let announce = |n: usize| {
            service.post(
                &format!("{path}/announcement"),
                &json!({"announcement": text(n)}),
            )
        };
        both("announcement", announce, 512, 403, "exceed_limit");
        let word = if above == 403 {
            "exceed_limit"
        } else {
            "invalid_parameter"
        };
        let make = |n: usize| {
            let mut new = plain.clone();
            new["maxusers"] = json!(n);
            service.post(place, &new)
        };
        both("maxusers", make, most, above, word);
        let change = |n: usize| service.put(&path, &json!({"maxusers": n}));
        both("maxusers", change, most, above, word);
        let describe = |n: usize| {
            let ids: Vec<String> = (1..=n).map(|id| id.to_string()).collect();
            service.get(&format!("{place}/{}", ids.join(",")))
        };
        both("details", describe, 100, 400, "invalid_parameter");
    }
}

#[test]
fn the_caps_of_the_small_plans() {
    let service = Service::start_with(&["--no-rates", "--plan", "basic"]);
    service.register(&["ann"]);
    let room = json!({"name": "r", "description": "", "owner": "ann"});
    let rooms: Vec<String> = (0..100)
        .map(|_| service.make("/chatrooms", &room))
        .collect();
    service
        .post("/chatrooms", &room)
        .refused(403, "exceed_limit");
    service.delete(&format!("/chatrooms/{}", rooms[0])).ok();
    service.post("/chatrooms", &room).ok();
    let group = |n: usize| {
        let new = json!({"groupname": "g", "description": "", "public": true, "owner": "ann", "maxusers": n});
        service.post("/chatgroups", &new)
    };
    both("members", group, 300, 403, "exceed_limit");

    let service = Service::start_with(&["--no-rates", "--plan", "free"]);
    let all = numbered("u", 100);
    service.register(&all);
    let (owner, others) = all.split_first().unwrap();
    let one_more = json!({"username": "one-more", "password": "x"});
    service
        .post("/users", &one_more)
        .refused(429, "resource_limited");
    let new = |owner: &str, n: usize| json!({"groupname": "g", "description": "", "public": true, "owner": owner, "maxusers": n});
    both(
        "members",
        |n| service.post("/chatgroups", &new(owner, n)),
        100,
        403,
        "exceed_limit",
    );
    for _ in 1..100 {
        service.make("/chatgroups", &new(owner, 2));
    }
    // The app has no place for another group, nor this user for another that he would join.
    for owner in [owner, &others[0]] {
        service
            .post("/chatgroups", &new(owner, 2))
            .refused(403, "exceed_limit");
    }
    let groups = service.get("/chatgroups?limit=100").data();
    let last = groups[0]["groupid"].as_str().unwrap();
    service.delete(&format!("/chatgroups/{last}")).ok();
    let other = service.make("/chatgroups", &new(&others[0], 3));
    service
        .call("POST", &format!("/chatgroups/{other}/users/{owner}"), None)
        .ok();
    // He is in a hundred groups now; there is place for another in this one.
    let last = groups[1]["groupid"].as_str().unwrap();
    service.delete(&format!("/chatgroups/{last}")).ok();
    let third = service.make("/chatgroups", &new(&others[1], 3));
    service
        .call("POST", &format!("/chatgroups/{third}/users/{owner}"), None)
        .ok();
    assert_eq!(
        service
            .get(&format!("/users/{owner}/joined_chatgroups?pagesize=100"))
            .ok()["count"],
        100
    );
}
