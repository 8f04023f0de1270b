//! `user`, `group`, `room`, `attr`, `send`, `usage` and `rebuild`: each rule can be tried by hand.

mod common;

use common::{KEY, Place, code, stderr};
use serde_json::json;

/// A store with an app on a plan.
fn place(plan: &str) -> Place {
    let place = Place::empty();
    place.json(&["app", "create", KEY, "--plan", plan]);
    place
}

#[test]
fn the_101st_user_of_free_is_refused() {
    let place = place("free");
    let done = place.json(&["user", "register", KEY, "u1..u101"]);
    assert_eq!(done["done"], 100);
    let refused = done["refused"]["u101"].as_str().unwrap();
    assert!(refused.contains("100"), "{refused}");
    assert_eq!(
        place.fails(&["user", "register", KEY, "more"]),
        (4, "limit".to_owned())
    );
    let taken = place.fails(&["user", "register", KEY, "U7"]);
    assert_eq!(taken, (4, "refused".to_owned()));
    let page = place.json(&["user", "list", KEY, "--limit", "60"]);
    assert_eq!(page["items"].as_array().unwrap().len(), 60);
    let next = page["next"].as_str().unwrap();
    let rest = place.json(&["user", "list", KEY, "--cursor", next]);
    assert_eq!(rest["items"].as_array().unwrap().len(), 40);
    assert!(rest["next"].is_null());
    let wrong = place.fails(&["group", "list", KEY, "--cursor", next]);
    assert_eq!(wrong, (2, "argument".to_owned()));
    let usage = place.json(&["usage", KEY]);
    assert_eq!(
        usage["users"],
        json!({ "used": 100, "limit": 100, "percent": 100.0, "over": false })
    );
    let text = place.command(&["usage", KEY]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains(&"█".repeat(20)), "{text}");
}

#[test]
fn the_301st_member_and_the_101st_attribute_are_refused_on_basic() {
    let place = place("basic");
    place.json(&["user", "register", KEY, "u1..u301"]);
    place.json(&[
        "group",
        "create",
        KEY,
        "tea",
        "--owner",
        "u1",
        "--max-users",
        "300",
    ]);
    let users: Vec<String> = (2..=301).map(|n| format!("u{n}")).collect();
    let mut add = vec!["group", "add", KEY, "tea"];
    add.extend(users.iter().map(String::as_str));
    let done = place.json(&add);
    assert_eq!(done["done"], 299);
    assert!(done["refused"]["u301"].as_str().unwrap().contains("301"));
    place.json(&["group", "remove", KEY, "tea", "u9"]);
    place.json(&["group", "add", KEY, "tea", "u301"]);
    assert_eq!(place.json(&["group", "show", KEY, "tea"])["members"], 300);

    place.json(&[
        "room", "create", KEY, "lobby", "--owner", "u1", "--member", "u2",
    ]);
    for ten in 0..10 {
        let pairs: Vec<String> = (0..10).map(|n| format!("k{ten}{n}=v")).collect();
        let mut set = vec!["attr", "room", KEY, "lobby", "--as", "u1"];
        set.extend(pairs.iter().map(String::as_str));
        assert_eq!(place.json(&set)["done"].as_array().unwrap().len(), 10);
    }
    let set = ["attr", "room", KEY, "lobby", "--as", "u1", "one=more"];
    let refused = place.run(&set);
    assert_eq!(code(&refused), 4, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("101"), "{}", stderr(&refused));
    let set = ["attr", "room", KEY, "lobby", "--as", "u2", "k00=mine"];
    assert_eq!(place.fails(&set), (4, "refused".to_owned()));
    let set = [
        "attr", "room", KEY, "lobby", "--as", "u2", "--force", "k00=mine",
    ];
    assert_eq!(place.json(&set)["done"], json!(["k00"]));
    let set = ["attr", "room", KEY, "lobby", "--as", "u5", "k=v"];
    assert_eq!(place.fails(&set), (4, "refused".to_owned()));
    let delete = [
        "attr", "room", KEY, "lobby", "--as", "u1", "--delete", "k01",
    ];
    assert_eq!(place.json(&delete)["done"], json!(["k01"]));
    assert_eq!(
        place
            .json(&["attr", "room", KEY, "lobby"])
            .as_object()
            .unwrap()
            .len(),
        99
    );
    assert!(
        place.json(&["verify"])["problems"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn who_may_send_can_be_tried_by_hand() {
    let place = place("pro");
    place.json(&[
        "user",
        "register",
        KEY,
        "ann",
        "bob",
        "cem",
        "--password",
        "p4ss",
    ]);
    place.json(&[
        "group", "create", KEY, "tea", "--owner", "ann", "--member", "bob",
    ]);
    let send = |chat: &str, from: &str| {
        let output = place.run(&["send", KEY, chat, "--from", from, "hello"]);
        (code(&output), stderr(&output))
    };
    assert_eq!(send("group:tea", "bob").0, 0);
    assert_eq!(send("group:tea", "cem").0, 4);
    assert_eq!(send("group:tea", "zoe").0, 3);
    place.json(&["user", "block", KEY, "ann", "bob"]);
    assert_eq!(send("direct:ann,bob", "bob").0, 4);
    assert_eq!(send("direct:ann,bob", "ann").0, 0);
    place.json(&["user", "block", KEY, "ann", "bob", "--remove"]);
    place.json(&["group", "mute", KEY, "tea", "bob", "--for", "3600"]);
    assert_eq!(send("group:tea", "bob").0, 4);
    place.json(&["group", "allow", KEY, "tea", "bob"]);
    assert_eq!(send("group:tea", "bob").0, 0);
    place.json(&["user", "mute", KEY, "bob", "--groups", "forever"]);
    let (muted, why) = send("group:tea", "bob");
    assert!(muted == 4 && why.contains("for good"), "{why}");
    place.json(&["user", "mute", KEY, "bob", "--groups", "lift"]);
    place.json(&["group", "ban", KEY, "tea"]);
    assert_eq!(send("group:tea", "ann").0, 4);
    place.json(&["group", "unban", KEY, "tea"]);
    place.json(&["group", "mute-all", KEY, "tea"]);
    place.json(&["group", "allow", KEY, "tea", "bob", "--remove"]);
    assert_eq!(send("group:tea", "bob").0, 4);
    place.json(&["group", "transfer", KEY, "tea", "bob"]);
    place.json(&["user", "login", KEY, "bob", "p4ss"]);
    assert_eq!(
        place.fails(&["user", "login", KEY, "bob", "P4ss"]),
        (4, "refused".to_owned())
    );
    place.json(&["user", "ban", KEY, "bob"]);
    assert_eq!(send("group:tea", "bob").0, 4);
    place.json(&["user", "contact", KEY, "ann", "cem"]);
    assert_eq!(place.json(&["user", "contact", KEY, "cem"]), json!(["ann"]));
    place.json(&["user", "delete", KEY, "bob"]);
    assert_eq!(
        place.fails(&["group", "show", KEY, "tea"]),
        (3, "not_found".to_owned())
    );
    assert_eq!(place.json(&["user", "show", KEY, "ann"])["contacts"], 1);
}

#[test]
fn attributes_of_a_user_are_merged_replaced_deleted_and_counted() {
    let place = place("pro");
    place.json(&["attr", "user", KEY, "ann", "nickname=Ann", "ext=a=b"]);
    let all = place.json(&["attr", "user", KEY, "ann"]);
    assert_eq!(all, json!({ "nickname": "Ann", "ext": "a=b" }));
    assert_eq!(
        place.json(&["attr", "total", KEY])["users"],
        json!({ "count": 1, "bytes": 17 })
    );
    let long = format!("ext={}", "x".repeat(2_048));
    assert_eq!(
        place.fails(&["attr", "user", KEY, "ann", &long]),
        (4, "limit".to_owned())
    );
    assert_eq!(
        place.fails(&["attr", "user", KEY, "ann", "=x"]),
        (2, "argument".to_owned())
    );
    place.json(&["attr", "user", KEY, "ann", "--replace", "mail=a@b.c"]);
    assert_eq!(
        place.json(&["attr", "user", KEY, "ann"]),
        json!({ "mail": "a@b.c" })
    );
    place.json(&["attr", "user", KEY, "ann", "--delete"]);
    assert_eq!(place.json(&["attr", "total", KEY])["users"]["bytes"], 0);
}

#[test]
fn a_store_is_made_on_one_engine_and_moved_to_the_other() {
    let place = Place::empty();
    place.json(&["app", "create", KEY, "--plan", "pro", "--kv", "sled"]);
    place.json(&["user", "register", KEY, "u1..u70"]);
    for engine in ["redb", "sled", "redb"] {
        let shards = place.json(&["rebuild", "--kv", engine]);
        assert!(
            shards
                .as_array()
                .unwrap()
                .iter()
                .all(|shard| shard["engine"] == *engine)
        );
        let page = place.json(&["user", "list", KEY]);
        assert_eq!(page["items"].as_array().unwrap().len(), 70);
        assert!(
            place.json(&["verify"])["problems"]
                .as_array()
                .unwrap()
                .is_empty()
        );
    }
    assert_eq!(code(&place.run(&["rebuild", "--kv", "memory"])), 2);
    assert_eq!(
        Place::empty().fails(&["rebuild", "--kv", "redb"]),
        (3, "not_found".to_owned())
    );
}

#[test]
fn threads_and_files_of_a_group_can_be_tried_by_hand() {
    let place = place("pro");
    place.json(&["user", "register", KEY, "ann", "bob", "cem"]);
    place.json(&[
        "group", "create", KEY, "tea", "--owner", "ann", "--member", "bob",
    ]);
    let create = [
        "thread", "create", KEY, "cake", "--group", "tea", "--about", "7", "--owner", "bob",
        "--name", "cake?",
    ];
    assert_eq!(place.json(&create)["members"], 1);
    let again = [
        "thread", "create", KEY, "pie", "--group", "tea", "--about", "7", "--owner", "bob",
    ];
    assert_eq!(place.fails(&again), (4, "refused".to_owned()));
    let done = place.json(&["thread", "join", KEY, "cake", "ann", "cem"]);
    assert_eq!(done["done"], 1);
    place.json(&["send", KEY, "thread:cake", "--from", "ann", "yes"]);
    assert_eq!(
        place.json(&["thread", "join", KEY, "cake"]),
        json!(["ann", "bob"])
    );
    let listed = place.json(&["thread", "list", KEY, "--joined-by", "ann"]);
    assert_eq!(listed["items"][0]["id"], "cake");

    let file = place.file("plan.txt", "the plan");
    let put = place.json(&["blob", "put", KEY, &file]);
    let id = put["id"].as_str().unwrap();
    let shared = place.json(&[
        "group", "file", KEY, "tea", id, "--as", "bob", "--name", "plan",
    ]);
    assert_eq!(shared["items"][0]["bytes"], 8);
    let twice = place.fails(&["group", "file", KEY, "tea", id, "--as", "bob"]);
    assert_eq!(twice, (2, "argument".to_owned()));
    let stranger = place.fails(&["group", "file", KEY, "tea", id, "--as", "cem"]);
    assert_eq!(stranger, (4, "refused".to_owned()));
    let left = place.json(&["group", "file", KEY, "tea", "--remove", id]);
    assert_eq!(left["items"], json!([]));
    assert_eq!(
        place.json(&["room", "super-admin", KEY, "cem"]),
        json!(["cem"])
    );
    assert_eq!(
        place.json(&["room", "super-admin", KEY, "cem", "--remove"]),
        json!([])
    );
    place.json(&["thread", "delete", KEY, "cake"]);
    assert_eq!(
        place.fails(&["thread", "rename", KEY, "cake", "x"]),
        (3, "not_found".to_owned())
    );
}
