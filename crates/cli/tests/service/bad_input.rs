//! What nobody should send: the right envelope and status, never a failure, nothing half done; and apps that cannot see each
//! other.

use serde_json::{Value, json};

use crate::harness::Service;

fn with_body(service: &Service, method: &str, path: &str, kind: &str, body: &str) -> (u16, String) {
    let reply = service.bytes(
        method,
        path,
        Some(&service.token),
        &[],
        Some((body.as_bytes().to_vec(), kind)),
    );
    (
        reply.status,
        reply.body["error"].as_str().unwrap_or_default().to_owned(),
    )
}

#[test]
fn bodies_that_are_none() {
    let service = Service::start();
    let post = |body: &str| {
        with_body(
            &service,
            "POST",
            "/test/chat/users",
            "application/json",
            body,
        )
    };
    for broken in ["{", "[1,", "\"", "{\"username\":}", "\u{feff}x", "nul"] {
        assert_eq!(post(broken), (400, "json_parse".to_owned()), "{broken}");
    }
    for other in ["5", "null", "\"x\"", "{\"username\":{}}", "[5]"] {
        assert_eq!(
            post(other),
            (400, "invalid_request_body".to_owned()),
            "{other}"
        );
    }
    let deep = "[".repeat(100_000);
    assert_eq!(post(&deep).0, 400);
    let huge = format!("{{\"username\":\"{}\"}}", "x".repeat(200_000));
    assert_eq!(post(&huge).0, 413);
    assert_eq!(post("{\"username\":1e999,\"password\":\"x\"}").0, 400);
    assert_eq!(
        with_body(&service, "POST", "/test/chat/users", "text/xml", "<a/>"),
        (415, "web_application".to_owned())
    );
    assert_eq!(service.get("/users").ok()["entities"], json!([]));
}

#[test]
fn a_hundred_megabytes_are_refused_before_they_are_read() {
    let service = Service::start();
    let head = |path: &str, kind: &str| {
        format!(
            "POST /test/chat{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: {kind}\r\ncontent-length: 104857600\r\nconnection: close\r\n\r\n",
            service.token
        )
    };
    assert!(
        service
            .say(&head("/users", "application/json"))
            .starts_with("HTTP/1.1 413")
    );
    assert!(
        service
            .say(&head("/chatfiles", "multipart/form-data; boundary=x"))
            .starts_with("HTTP/1.1 413")
    );
    // Without a length, as some clients send it, the bytes are counted as they come.
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let chunked = format!(
        "POST /test/chat/users HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}{chunk}",
        service.token
    );
    assert!(service.say(&chunked).starts_with("HTTP/1.1 413"));
}

#[test]
fn what_real_clients_send_works() {
    let service = Service::start();
    let body = json!({"username": "ann", "password": "secret"}).to_string();
    let chunked = format!(
        "POST /test/chat/users HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        service.token,
        body.len()
    );
    assert!(service.say(&chunked).starts_with("HTTP/1.1 200"));
    let bodyless = |path: &str| {
        format!(
            "POST /test/chat{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n",
            service.token
        )
    };
    assert!(
        service
            .say(&bodyless("/users/ann/deactivate"))
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        service
            .say(&bodyless("/users/ann/activate"))
            .starts_with("HTTP/1.1 200")
    );
    service
        .get("/users/ann/?resource=web&version=v3&_v=5&cursor=undefined&limit=")
        .ok();
    let got = format!(
        "GET /test/chat/users/ann HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        service.token
    );
    assert!(service.say(&got).starts_with("HTTP/1.1 200"));
}

#[test]
fn paths_and_methods_that_are_none() {
    let service = Service::start();
    for (path, status, word) in [
        ("/test/chat/nothing", 404, "service_resource_not_found"),
        ("/test/chat/", 404, "service_resource_not_found"),
        ("/test", 404, "service_resource_not_found"),
        ("/test/chat//users", 404, "service_resource_not_found"),
        (
            "/test/other/users",
            404,
            "organization_application_not_found",
        ),
        (
            "/test/%2e%2e/users",
            404,
            "organization_application_not_found",
        ),
        (
            "/te%23st/chat/users",
            404,
            "organization_application_not_found",
        ),
        ("/test/chat/users/%2e%2e", 404, "service_resource_not_found"),
        ("/test/chat/users/%00", 400, "illegal_argument"),
        ("/test/chat/users/%ff", 400, "illegal_argument"),
        ("/test/chat/users/a%2Fb", 400, "illegal_argument"),
        ("/test/chat/users/a%23b", 400, "illegal_argument"),
        (
            "/test/chat/chatgroups/%2e%2e%2f%2e%2e",
            404,
            "resource_not_found",
        ),
    ] {
        service
            .raw("GET", path, Some(&service.token), None)
            .refused(status, word);
    }
    for method in ["PATCH", "PUT", "TRACE", "BREW"] {
        service
            .raw(method, "/test/chat/mutes", Some(&service.token), None)
            .refused(405, "web_application");
    }
    let long = format!("/test/chat/users/{}", "x".repeat(20_000));
    let reply = service.raw("GET", &long, Some(&service.token), None);
    assert!((400..500).contains(&reply.status), "{reply:?}");
    assert!(service.say("nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    let many = "h: x\r\n".repeat(200);
    let answer = service.say(&format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[test]
fn an_operator_sets_other_rates() {
    let mut service = Service::start();
    let config = service.path("serve.toml");
    let text = "[server.own_rates.\"test#chat\"]\n5 = {count = 2, seconds = 60}\n[limits]\n\"message body and extension\" = 5120\n";
    std::fs::write(&config, text).unwrap();
    service.restart_with(&["--config", config.to_str().unwrap()]);
    let statuses: Vec<u16> = (0..3).map(|_| service.get("/users/ann").status).collect();
    assert_eq!(statuses, [404, 404, 429]);
    service.stop();
    std::fs::write(&config, "[server]\ncolour = 5\n").unwrap();
    let refused = service.command(&["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn rates_refuse_with_a_time_to_come_back() {
    let service = Service::start_with(&[]);
    service.register(&["ann"]);
    let mut passed = 0;
    let refused = loop {
        let reply = service.get("/user/ann/user_channels");
        if reply.status != 200 {
            break reply;
        }
        passed += 1;
    };
    assert_eq!(passed, 5);
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    refused.refused(429, "reach_limit");
    // Rows of messages count what is sent: 20 groups a second are seven calls to three.
    let to = json!({"to": ["1", "2", "3"], "type": "txt", "body": {"msg": "x"}});
    let refused = (0..12)
        .map(|_| service.post("/messages/chatgroups", &to))
        .find(|reply| reply.status != 200);
    refused.unwrap().refused(429, "reach_limit");
}

/// Every route of the interface, with parts of the path filled in.
fn every_route(service: &Service) -> Vec<(String, String)> {
    let (_, _, bytes) = service.fetch("GET", "/openapi.json", None, &[], None);
    let described: Value = serde_json::from_slice(&bytes).unwrap();
    let mut routes = Vec::new();
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation["x-access"] == "Open" {
                continue;
            }
            let mut path = path
                .replace("{org_name}", "test")
                .replace("{app_name}", "chat");
            while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
                path.replace_range(from..=to, "1");
            }
            routes.push((method.to_uppercase(), path));
        }
    }
    routes
}

#[test]
fn no_route_takes_another_apps_token_or_none() {
    let mut service = Service::start();
    service.stop();
    assert!(
        service
            .command(&["app", "create", "other#app", "--plan", "pro"])
            .status
            .success()
    );
    let issued = service.command(&["--json", "app", "credentials", "other#app"]);
    let issued: Value = serde_json::from_slice(&issued.stdout).unwrap();
    service.restart_with(&["--no-rates"]);
    let asked = json!({"grant_type": "client_credentials", "client_id": issued["client_id"], "client_secret": issued["client_secret"]});
    let token = service
        .raw("POST", "/other/app/token", None, Some(&asked))
        .ok()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    service
        .raw("POST", "/test/chat/token", None, Some(&asked))
        .refused(400, "invalid_grant");
    let routes = every_route(&service);
    assert!(routes.len() > 150, "{}", routes.len());
    for (method, path) in &routes {
        service
            .raw(method, path, Some(&token), None)
            .refused(401, "auth_bad_access_token");
        let none = service.raw(method, path, None, None);
        assert_eq!(none.status, 401, "{method} {path}: {none:?}");
    }
    // The ids of one app mean nothing in the other.
    service.register(&["ann", "bob"]);
    let new = json!({"groupname": "g", "description": "", "public": true, "owner": "ann"});
    let group = service.post("/chatgroups", &new).data()["groupid"]
        .as_str()
        .unwrap()
        .to_owned();
    let sent = json!({"from": "ann", "to": ["bob"], "type": "txt", "body": {"msg": "x"}});
    let id = service.post("/messages/users", &sent).data()["bob"]
        .as_str()
        .unwrap()
        .to_owned();
    let other = |method: &str, path: String, body: Option<&Value>| {
        service.raw(method, &format!("/other/app{path}"), Some(&token), body)
    };
    other("GET", format!("/chatgroups/{group}"), None).refused(404, "resource_not_found");
    other("GET", "/users/ann".to_owned(), None).refused(404, "service_resource_not_found");
    let recall = json!({"msg_id": id, "to": "bob", "chat_type": "chat", "force": true});
    other("POST", "/messages/msg_recall".to_owned(), Some(&recall))
        .refused(403, "message_recall_error");
}

#[test]
fn no_route_fails_on_nonsense() {
    let service = Service::start();
    for (method, path) in every_route(&service) {
        for body in [
            json!({}),
            json!([]),
            json!({"usernames": 5}),
            json!({"to": {}, "from": []}),
            json!(null),
        ] {
            let reply = service.raw(&method, &path, Some(&service.token), Some(&body));
            assert!(reply.status < 500, "{method} {path} {body}: {reply:?}");
        }
        let query = format!(
            "{path}?limit=-1&pagenum=999999999999&pagesize=x&cursor=%00&msgId=x&msgIdList=,&msgType=chat"
        );
        let reply = service.raw(&method, &query, Some(&service.token), None);
        assert!(reply.status < 500, "{method} {query}: {reply:?}");
    }
}

#[test]
fn operators_see_how_it_is() {
    let service = Service::start();
    service.register(&["ann"]);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(service.fetch("GET", path, None, &[], None).0, 200);
    }
    let (_, _, metrics) = service.fetch("GET", "/metrics", None, &[], None);
    let metrics = String::from_utf8(metrics).unwrap();
    for name in [
        "tidestore_http_requests_total",
        "tidestore_http_seconds_bucket",
    ] {
        assert!(metrics.contains(name), "{metrics}");
    }
    assert!(!metrics.contains(&service.client_secret));
    let (_, _, page) = service.fetch("GET", "/", None, &[], None);
    assert!(String::from_utf8(page).unwrap().contains("openapi.json"));
}
