//! What a user's own token may do, and what it may not.

use serde_json::{Value, json};

use crate::harness::{Reply, Service};

/// Somebody asks for something.
struct Ask<'s> {
    service: &'s Service,
    tokens: Vec<(&'static str, String)>,
}

impl Ask<'_> {
    fn of<'s>(service: &'s Service, names: &[&'static str]) -> Ask<'s> {
        let tokens = names.iter().map(|name| (*name, service.user_token(name)));
        Ask {
            service,
            tokens: tokens.collect(),
        }
    }

    #[track_caller]
    fn ask(&self, who: &str, what: &str, body: &Value) -> Reply {
        let (method, path) = what.split_once(' ').unwrap();
        let token = self.tokens.iter().find(|(name, _)| *name == who);
        let body = Some(body).filter(|body| !body.is_null());
        self.service.call_as(&token.unwrap().1, method, path, body)
    }

    #[track_caller]
    fn may(&self, who: &str, what: &str, body: &Value) -> Value {
        let reply = self.ask(who, what, body);
        assert_eq!(reply.status, 200, "{who} {what}: {reply:?}");
        reply.body
    }

    #[track_caller]
    fn may_not(&self, who: &str, what: &str, body: &Value) {
        let reply = self.ask(who, what, body);
        assert_eq!(reply.status, 403, "{who} {what}: {reply:?}");
        reply.refused(403, "forbidden_op");
    }
}

fn new_group(owner: &str, members: &[&str]) -> Value {
    json!({"groupname": "g", "description": "", "public": true, "membersonly": false, "allowinvites": false,
        "owner": owner, "members": members})
}

fn make(service: &Service, settings: &Value) -> String {
    let mut new = new_group("ann", &["bob"]);
    for (name, value) in settings.as_object().unwrap() {
        new[name] = value.clone();
    }
    format!("/chatgroups/{}", service.make("/chatgroups", &new))
}

const NONE: Value = Value::Null;

#[test]
fn whoever_joins_himself_joins_only_what_is_open() {
    let service = Service::start();
    service.register(&["ann", "bob", "carl", "dora"]);
    let all = Ask::of(&service, &["ann", "bob", "carl"]);
    // Public or not, by word only or not, members may invite or not: who may join himself, and whom may a member bring.
    for (public, membersonly, allowinvites, joins, invites) in [
        (true, false, false, true, false),
        (true, false, true, true, true),
        (true, true, false, false, false),
        (true, true, true, false, true),
        (false, false, false, false, false),
        (false, true, true, false, true),
    ] {
        let settings =
            json!({"public": public, "membersonly": membersonly, "allowinvites": allowinvites});
        let path = make(&service, &settings);
        let join = format!("POST {path}/users/carl");
        let bring = format!("POST {path}/users/dora");
        let both = format!("POST {path}/users");
        all.may_not("carl", &bring, &NONE);
        all.may_not("carl", &both, &json!({"usernames": ["carl", "dora"]}));
        if invites {
            all.may("bob", &bring, &NONE);
        } else {
            all.may_not("bob", &bring, &NONE);
        }
        if joins {
            all.may("carl", &join, &NONE);
            all.may_not("carl", &join, &NONE);
            all.may("carl", &format!("DELETE {path}/users/carl"), &NONE);
            all.may("carl", &both, &json!({"usernames": ["carl"]}));
        } else {
            all.may_not("carl", &join, &NONE);
            all.may_not("carl", &both, &json!({"usernames": ["carl"]}));
            // The owner may always bring somebody.
            all.may("ann", &join, &NONE);
        }
    }
    // A private group is not there for those who are not in it, also not in a list.
    let hidden = make(&service, &json!({"public": false}));
    let open = make(&service, &json!({}));
    all.ask("carl", &format!("GET {hidden}"), &NONE)
        .refused(404, "resource_not_found");
    let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let two = all.may(
        "carl",
        &format!("GET /chatgroups/{},{}", id(&hidden), id(&open)),
        &NONE,
    );
    assert!(two["data"][0]["error"].is_string(), "{two}");
    assert_eq!(two["data"][1]["id"], json!(id(&open)));
    // Who is not in it does not learn who is.
    assert!(two["data"][1].get("affiliations").is_none(), "{two}");
    let seen = all.may("bob", &format!("GET {hidden}"), &NONE);
    assert_eq!(seen["data"][0]["affiliations_count"], 2);
    assert!(seen["data"][0]["affiliations"].is_array());
    // Chatrooms are open to all.
    let room = json!({"name": "r", "description": "", "owner": "ann"});
    let room = format!("/chatrooms/{}", service.make("/chatrooms", &room));
    all.may_not("carl", &format!("POST {room}/users/dora"), &NONE);
    all.may("carl", &format!("POST {room}/users/carl"), &NONE);
}

#[test]
fn who_is_blocked_is_let_in_by_the_app_alone() {
    let service = Service::start();
    service.register(&["ann", "bob", "carl", "dora"]);
    let all = Ask::of(&service, &["ann", "bob"]);
    let group = make(&service, &json!({"allowinvites": true}));
    let room = json!({"name": "r", "description": "", "owner": "ann", "members": ["bob"]});
    let room = format!("/chatrooms/{}", service.make("/chatrooms", &room));
    for path in [group, room] {
        let join = format!("{path}/users/bob");
        service
            .call("POST", &format!("{path}/blocks/users/bob"), None)
            .ok();
        all.may_not("bob", &format!("POST {join}"), &NONE);
        all.may_not("ann", &format!("POST {join}"), &NONE);
        // Of several the others are let in, and the list stays as it is.
        let several = json!({"usernames": ["bob", "carl", "dora"]});
        let added = all.may("ann", &format!("POST {path}/users"), &several);
        assert_eq!(added["data"]["newmembers"], json!(["carl", "dora"]));
        assert_eq!(
            service.get(&format!("{path}/blocks/users")).data(),
            json!(["bob"])
        );
        service.call("POST", &join, None).ok();
        assert_eq!(
            service.get(&format!("{path}/blocks/users")).data(),
            json!([])
        );
        // The owner may also take him off the list first.
        service
            .call("POST", &format!("{path}/blocks/users/bob"), None)
            .ok();
        all.may("ann", &format!("DELETE {path}/blocks/users/bob"), &NONE);
        all.may("ann", &format!("POST {join}"), &NONE);
    }
}

/// Calls with their bodies.
type Calls = Vec<(String, Value)>;

/// Calls for those who keep order, and for the owner alone.
fn order(path: &str) -> (Calls, Calls) {
    let one = json!({"usernames": ["carl"], "mute_duration": -1});
    let admins = vec![
        (format!("PUT {path}"), json!({"description": "new"})),
        (
            format!("POST {path}/announcement"),
            json!({"announcement": "hear"}),
        ),
        (format!("POST {path}/users/dora"), NONE),
        (format!("DELETE {path}/users/dora"), NONE),
        (format!("POST {path}/mute"), one.clone()),
        (format!("GET {path}/mute"), NONE),
        (format!("DELETE {path}/mute/carl"), NONE),
        (format!("POST {path}/ban"), NONE),
        (format!("DELETE {path}/ban"), NONE),
        (format!("POST {path}/white/users"), one.clone()),
        (format!("GET {path}/white/users"), NONE),
        (format!("DELETE {path}/white/users/carl"), NONE),
        (format!("POST {path}/white/users/carl"), NONE),
        (format!("POST {path}/blocks/users/carl"), NONE),
        (format!("GET {path}/blocks/users"), NONE),
        (format!("DELETE {path}/blocks/users/carl"), NONE),
        (format!("POST {path}/users"), one.clone()),
        (format!("POST {path}/blocks/users"), one),
        (format!("DELETE {path}/blocks/users/carl"), NONE),
        (format!("POST {path}/users/carl"), NONE),
    ];
    let owner = vec![
        (format!("POST {path}/admin"), json!({"newadmin": "carl"})),
        (format!("DELETE {path}/admin/carl"), NONE),
        (format!("PUT {path}"), json!({"newowner": "carl"})),
        (format!("DELETE {path}"), NONE),
    ];
    (admins, owner)
}

#[test]
fn members_admins_and_owners_may_what_is_theirs() {
    let service = Service::start();
    service.register(&["ann", "bob", "carl", "dora", "member"]);
    let all = Ask::of(&service, &["ann", "bob", "carl", "dora", "member"]);
    let group = make(&service, &json!({"members": ["bob", "carl", "member"]}));
    let room = json!({"name": "r", "description": "", "owner": "ann", "members": ["bob", "carl", "member"]});
    let room = format!("/chatrooms/{}", service.make("/chatrooms", &room));
    for path in [group, room] {
        let (admins, owner) = order(&path);
        for (what, body) in admins.iter().chain(&owner) {
            all.may_not("member", what, body);
        }
        // Not even to be seen by those who are not in it.
        for what in ["users", "admin", "announcement"] {
            all.may("member", &format!("GET {path}/{what}"), &NONE);
            all.may_not("dora", &format!("GET {path}/{what}"), &NONE);
        }
        all.may(
            "ann",
            &format!("POST {path}/admin"),
            &json!({"newadmin": "bob"}),
        );
        for (what, body) in &admins {
            all.may("bob", what, body);
        }
        for (what, body) in &owner {
            all.may_not("bob", what, body);
        }
        for what in ["DELETE", "POST"] {
            let target = if what == "DELETE" {
                "users/ann"
            } else {
                "blocks/users/ann"
            };
            all.may_not("bob", &format!("{what} {path}/{target}"), &NONE);
        }
        for (what, body) in &owner[..3] {
            all.may("ann", what, body);
        }
        // It is carl's now.
        for (what, body) in &owner {
            all.may_not("ann", what, body);
        }
        all.may("carl", &format!("DELETE {path}"), &NONE);
    }
    // What the app has banned its owner does not take back, nor away.
    let banned = make(&service, &json!({}));
    all.may_not("bob", &format!("POST {banned}/disable"), &NONE);
    service
        .call("POST", &format!("{banned}/disable"), None)
        .ok();
    for what in [
        "POST enable",
        "DELETE ",
        "PUT ",
        "POST announcement",
        "POST ban",
    ] {
        let (method, rest) = what.split_once(' ').unwrap();
        let path = format!("{method} {banned}/{rest}");
        let body = json!({"announcement": "x", "description": "x"});
        let body = if method == "PUT" {
            json!({"description": "x"})
        } else {
            body
        };
        all.may_not("ann", path.trim_end_matches('/'), &body);
    }
}

#[test]
fn super_admins_keep_order_in_chatrooms_and_nowhere_else() {
    let service = Service::start();
    service.register(&["ann", "bob", "carl", "dora", "super"]);
    let room = json!({"name": "r", "description": "", "owner": "ann", "members": ["carl"]});
    let room = format!("/chatrooms/{}", service.make("/chatrooms", &room));
    let group = make(&service, &json!({"members": ["carl", "super"]}));
    let all = Ask::of(&service, &["super"]);
    let (admins, owner) = order(&room);
    for (what, body) in admins.iter().chain(&owner) {
        all.may_not("super", what, body);
    }
    service
        .post("/chatrooms/super_admin", &json!({"superadmin": "super"}))
        .ok();
    for (what, body) in &admins {
        all.may("super", what, body);
    }
    for what in ["users", "admin", "announcement"] {
        all.may("super", &format!("GET {room}/{what}"), &NONE);
    }
    for (what, body) in &owner {
        all.may_not("super", what, body);
    }
    all.may_not("super", &format!("DELETE {room}/users/ann"), &NONE);
    let (admins, owner) = order(&group);
    for (what, body) in admins.iter().chain(&owner) {
        all.may_not("super", what, body);
    }
    service.delete("/chatrooms/super_admin/super").ok();
    all.may_not("super", &format!("POST {room}/ban"), &NONE);
}

#[test]
fn what_is_anothers_or_the_apps_is_no_users_business() {
    let service = Service::start();
    service.register(&["ann", "bob"]);
    let ann = service.user_token("ann");
    let (_, _, bytes) = service.fetch("GET", "/openapi.json", None, &[], None);
    let described: Value = serde_json::from_slice(&bytes).unwrap();
    let mut asked = (0, 0);
    for (path, methods) in described["paths"].as_object().unwrap() {
        let bobs = path
            .replace("{org_name}", "test")
            .replace("{app_name}", "chat")
            .replace("{username}", "bob")
            .replace("{owner_username}", "bob");
        for (method, operation) in methods.as_object().unwrap() {
            let access = operation["x-access"].as_str().unwrap_or_default();
            match access {
                "App" => asked.0 += 1,
                "Own" => asked.1 += 1,
                _ => continue,
            }
            let reply = service.raw(&method.to_uppercase(), &bobs, Some(&ann), Some(&json!({})));
            assert_eq!(reply.status, 403, "{method} {bobs}: {reply:?}");
        }
    }
    assert!(asked.0 > 25 && asked.1 > 25, "{asked:?}");
    // Everything that is bob's is as it was.
    let bob = service.get("/users/bob").ok();
    assert_eq!(bob["entities"][0]["activated"], true);

    let all = Ask::of(&service, &["ann", "bob"]);
    // In somebody else's name nothing is sent, taken back, shared, owned or begun.
    let message = json!({"from": "bob", "to": ["ann"], "type": "txt", "body": {"msg": "x"}});
    all.may_not("ann", "POST /messages/users", &message);
    let id = service.post("/messages/users", &message).data()["ann"].take();
    let mut recall = json!({"msg_id": id, "to": "ann", "chat_type": "chat", "from": "bob"});
    all.may_not("ann", "POST /messages/msg_recall", &recall);
    recall.as_object_mut().unwrap().remove("from");
    let refused = all.ask("ann", "POST /messages/msg_recall", &recall);
    assert_eq!(refused.status, 403, "{refused:?}");
    recall["force"] = json!(true);
    let refused = all.ask("ann", "POST /messages/msg_recall", &recall);
    assert_eq!(refused.status, 403, "{refused:?}");
    let taken = all.may("bob", "POST /messages/msg_recall", &recall);
    assert_eq!(taken["data"]["from"], "bob");
    for (place, name) in [("/chatgroups", "groupname"), ("/chatrooms", "name")] {
        let new = json!({name: "x", "description": "", "public": true, "owner": "bob"});
        all.may_not("ann", &format!("POST {place}"), &new);
        let own = json!({name: "x", "description": "", "public": true});
        let id = all.may("ann", &format!("POST {place}"), &own)["data"].take();
        let id = id
            .get("groupid")
            .or(id.get("id"))
            .and_then(Value::as_str)
            .unwrap();
        assert_eq!(
            service.get(&format!("{place}/{id}")).data()[0]["owner"],
            "ann"
        );
    }
    // A banned user's token is worth nothing, and neither is one of before a new password.
    service.call("POST", "/users/ann/deactivate", None).ok();
    all.ask("ann", "GET /users/ann", &NONE)
        .refused(401, "unauthorized");
    service
        .put("/users/bob/password", &json!({"newpassword": "other"}))
        .ok();
    all.ask("bob", "GET /users/bob", &NONE)
        .refused(401, "unauthorized");
}
