//! Contacts and block lists: rows 31 to 36.

use serde_json::json;

use crate::harness::Service;

#[test]
fn contacts_are_for_both_sides_and_survive() {
    let mut service = Service::start();
    service.register(&["ann", "bob", "carl"]);
    let body = service
        .call("POST", "/users/ann/contacts/users/Bob", None)
        .ok();
    assert_eq!(body["entities"][0]["username"], "bob");
    service
        .call("POST", "/users/ann/contacts/users/bob", None)
        .ok();
    service
        .call("POST", "/users/carl/contacts/users/ann", None)
        .ok();
    service.kill_and_restart();
    let body = service.get("/users/ann/contacts/users").ok();
    assert_eq!(
        (&body["data"], &body["count"]),
        (&json!(["bob", "carl"]), &json!(2))
    );
    assert_eq!(
        service.get("/users/bob/contacts/users").data(),
        json!(["ann"])
    );
    let body = service.delete("/users/bob/contacts/users/ann").ok();
    assert_eq!(body["entities"][0]["username"], "ann");
    assert_eq!(
        service.get("/users/ann/contacts/users").data(),
        json!(["carl"])
    );
    let missing = "service_resource_not_found";
    service
        .call("POST", "/users/ann/contacts/users/nobody", None)
        .refused(404, missing);
    service
        .call("POST", "/users/nobody/contacts/users/ann", None)
        .refused(404, missing);
    service
        .delete("/users/ann/contacts/users/nobody")
        .refused(404, missing);
    service
        .get("/users/nobody/contacts/users")
        .refused(404, missing);
    service
        .call("POST", "/users/ann/contacts/users/a%20b", None)
        .refused(400, "illegal_argument");
}

#[test]
fn the_cap_on_contacts_holds_on_both_sides() {
    let service = Service::start_with(&["--no-rates", "--plan", "free"]);
    let all: Vec<String> = (0..100).map(|n| format!("u{n:02}")).collect();
    service.register(&all.iter().map(String::as_str).collect::<Vec<_>>());
    // The free plan has as many contacts as users, so nobody can have too many here; but oneself is no contact.
    for name in &all[1..] {
        service
            .call("POST", &format!("/users/u00/contacts/users/{name}"), None)
            .ok();
    }
    let refused = service.call("POST", "/users/u00/contacts/users/u00", None);
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert_eq!(service.get("/users/u00/contacts/users").ok()["count"], 99);
}

#[test]
fn block_lists_are_newest_first_and_paged_on_demand() {
    let mut service = Service::start();
    service.register(&["ann", "bob", "carl", "dora"]);
    let body = service
        .post(
            "/users/ann/blocks/users",
            &json!({"usernames": ["bob", "Carl"]}),
        )
        .ok();
    assert_eq!(body["data"], json!(["bob", "carl"]));
    service
        .post("/users/ann/blocks/users", &json!({"usernames": ["dora"]}))
        .ok();
    service.kill_and_restart();
    let all = service.get("/users/ann/blocks/users").ok();
    assert_eq!(
        (&all["data"][0], &all["count"]),
        (&json!("dora"), &json!(3))
    );
    assert!(all.get("cursor").is_none());
    let page = service
        .get("/users/ann/blocks/users?pageSize=2&cursor=")
        .ok();
    assert_eq!(page["count"], 2);
    let cursor = page["cursor"].as_str().unwrap();
    let page = service
        .get(&format!(
            "/users/ann/blocks/users?pageSize=2&cursor={cursor}"
        ))
        .ok();
    assert_eq!((&page["count"], page.get("cursor")), (&json!(1), None));
    assert_eq!(
        service.delete("/users/ann/blocks/users/bob").ok()["entities"][0]["username"],
        "bob"
    );
    assert_eq!(service.get("/users/ann/blocks/users").ok()["count"], 2);

    let too_many: Vec<String> = (0..51).map(|n| format!("u{n}")).collect();
    service
        .post("/users/ann/blocks/users", &json!({"usernames": too_many}))
        .refused(400, "invalid_parameter");
    service
        .post("/users/ann/blocks/users", &json!({"usernames": ["nobody"]}))
        .refused(404, "service_resource_not_found");
    service
        .post("/users/nobody/blocks/users", &json!({"usernames": ["ann"]}))
        .refused(404, "service_resource_not_found");
    service
        .post("/users/ann/blocks/users", &json!({}))
        .refused(400, "illegal_argument");
    service
        .delete("/users/ann/blocks/users/nobody")
        .refused(404, "service_resource_not_found");
}
