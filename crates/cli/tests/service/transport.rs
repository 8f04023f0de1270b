//! What lies below the calls: TLS, addresses behind a proxy, browsers, and clients that are slow or leave half-way.
//!
//! Patience is one second here, and no test asks how long anything took: only that it ends, and how.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Service;

const IMPATIENT: &str =
    "[server]\nrates = false\nhead_seconds = 1\nbody_seconds = 1\nidle_seconds = 1\n";

/// The head of a call with the app's token.
fn head(service: &Service, path: &str, kind: &str, length: &str) -> String {
    format!(
        "POST /test/chat{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: {kind}\r\n{length}\r\n\r\n",
        service.token
    )
}

fn users(service: &Service) -> usize {
    let listed = service.get("/users?limit=100").ok();
    listed["entities"].as_array().unwrap().len()
}

#[test]
fn with_a_certificate_only_tls_is_spoken() {
    let mut service = Service::start_secure(IMPATIENT);
    assert!(service.url.starts_with("https://"), "{}", service.url);
    service.register(&["ann"]);
    service.kill_and_restart();
    assert_eq!(service.get("/users/ann").ok()["count"], 1);
    // Links lead to where the client is.
    let hour = "/messages/users/import";
    let now = service.get("/users/ann").ok()["timestamp"]
        .as_u64()
        .unwrap();
    let old = json!({"from": "ann", "target": "bob", "type": "txt", "body": {"msg": "x"}, "msg_timestamp": now - 7_200_000});
    service.post(hour, &old).ok();
    let time = std::process::Command::new("date")
        .args([
            "-u",
            "-d",
            &format!("@{}", now / 1_000 - 7_200),
            "+%Y%m%d%H",
        ])
        .output()
        .unwrap();
    let time = String::from_utf8(time.stdout).unwrap();
    let link = service
        .get(&format!("/chatmessages/{}", time.trim()))
        .data();
    let link = link[0]["url"].as_str().unwrap();
    let path = link.strip_prefix(&service.url).unwrap();
    assert_eq!(service.fetch("GET", path, None, &[], None).0, 200);
    // Whoever does not speak TLS, does not trust the certificate, or says nothing, gets nothing.
    let plain = service.say("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(!plain.contains("HTTP/1.1"), "{plain}");
    assert!(
        ureq::get(format!("{}/healthz", service.url))
            .call()
            .is_err()
    );
    assert_eq!(service.say(""), "");
    assert_eq!(service.fetch("GET", "/healthz", None, &[], None).0, 200);
    service.stop();
    for (cert, key, status) in [("cert.pem", "nowhere.pem", 2), ("key.pem", "cert.pem", 2)] {
        let (cert, key) = (service.path(cert), service.path(key));
        let refused = service.command(&[
            "serve",
            "--tls-cert",
            cert.to_str().unwrap(),
            "--tls-key",
            key.to_str().unwrap(),
        ]);
        assert_eq!(refused.status.code(), Some(status), "{refused:?}");
    }
}

#[test]
fn clients_behind_a_proxy_are_told_apart_only_if_it_is_trusted() {
    let config = |trusts: bool| {
        format!(
            "[server]\ntrusts_forwarded = {trusts}\n[server.own_rates.\"test#chat\"]\n147 = {{count = 1, seconds = 86400}}\n"
        )
    };
    let list = |service: &Service, forwarded: &[&str]| {
        let headers: Vec<_> = forwarded
            .iter()
            .map(|value| ("x-forwarded-for", *value))
            .collect();
        let path = "/test/chat/thread?limit=1";
        service
            .bytes("GET", path, Some(&service.token), &headers, None)
            .status
    };
    let trusting = Service::start_configured(&config(true), &[]);
    for (forwarded, status) in [
        (vec!["10.0.0.1"], 200),
        (vec!["10.0.0.1"], 429),
        (vec!["10.0.0.2"], 200),
        // What the client wrote itself stands before what the proxy has seen, in one header or in two.
        (vec!["10.9.9.1, 10.0.0.1"], 429),
        (vec!["10.9.9.2", "10.0.0.1"], 429),
        (vec!["10.0.0.1, 10.0.0.3"], 200),
        // One customer of IPv6.
        (vec!["2001:db8::1"], 200),
        (vec!["2001:db8::2"], 429),
        (vec!["2001:db8:0:1::1"], 200),
        // What is no address is not believed: it counts as the proxy's own.
        (vec!["nonsense"], 200),
        (vec!["other nonsense"], 429),
        (vec![], 429),
    ] {
        assert_eq!(list(&trusting, &forwarded), status, "{forwarded:?}");
    }
    let wary = Service::start_configured(&config(false), &[]);
    assert_eq!(list(&wary, &["10.0.0.1"]), 200);
    assert_eq!(list(&wary, &["10.0.0.2"]), 429);
}

#[test]
fn pages_from_elsewhere_may_call_unless_the_operator_says_no() {
    let asked = [
        ("origin", "https://page.example"),
        ("access-control-request-method", "DELETE"),
        (
            "access-control-request-headers",
            "authorization, content-type",
        ),
    ];
    let service = Service::start();
    // The browser asks without a token.
    let told = service.bytes("OPTIONS", "/test/chat/users/ann", None, &asked, None);
    assert_eq!(told.status, 204, "{told:?}");
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, POST, PUT, DELETE"),
        (
            "access-control-allow-headers",
            "authorization, content-type",
        ),
    ] {
        assert_eq!(told.header(name), Some(value), "{told:?}");
    }
    service.register(&["ann"]);
    for (path, status) in [
        ("/users/ann", 200),
        ("/users/nobody", 404),
        ("/nothing", 404),
    ] {
        let answer = service.get(path);
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        // A token in a header is all that lets a page in.
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    let service = Service::start_configured("[server]\ncors = false\n", &["--no-rates"]);
    let told = service.bytes("OPTIONS", "/test/chat/users/ann", None, &asked, None);
    assert_eq!(told.status, 405, "{told:?}");
    for answer in [told, service.get("/users/nobody")] {
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[test]
fn whoever_is_too_slow_is_cut_off() {
    let mut service = Service::start_configured(IMPATIENT, &[]);
    // A head that does not come to its end, and a connection on which nothing comes.
    for begun in ["", "GET /test/chat/users HTTP/1.1\r\nhost: x\r\n"] {
        let answer = service.say(begun);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
            "{answer}"
        );
    }
    // A body that does not come to its end, small or large, with or without a length.
    let json = "application/json";
    let large = "x".repeat(20_000);
    for begun in [
        head(&service, "/users", json, "content-length: 100") + "[{\"username\":\"ann\"",
        head(&service, "/users", json, "content-length: 60000") + "[\"" + &large,
        head(&service, "/users", json, "transfer-encoding: chunked") + "5\r\n[{\"us\r\n",
        head(&service, "/users", json, "transfer-encoding: chunked") + "4e20\r\n" + &large + "\r\n",
        head(&service, "/messages/users", json, "content-length: 100") + "{",
    ] {
        let answer = service.say(&begun);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("\"web_application\""), "{answer}");
    }
    // One that comes byte by byte, and never to an end.
    let mut stream = service.connect();
    let begun = head(&service, "/users", json, "content-length: 100000");
    stream.write_all(begun.as_bytes()).unwrap();
    let mut dripping = stream.try_clone().unwrap();
    let drips = std::thread::spawn(move || {
        while dripping.write_all(b"[").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let mut answer = [0; 12];
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    drop(stream);
    drips.join().unwrap();
    // A file of which the rest does not come is not there.
    let part =
        "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhalf of it";
    let kind = "multipart/form-data; boundary=x";
    let answer = service.say(&(head(&service, "/chatfiles", kind, "content-length: 90000") + part));
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(users(&service), 0);
    service.stop();
    let files = service.command(&["--json", "blob", "list", "test#chat"]);
    assert!(files.status.success(), "{files:?}");
    assert!(
        !String::from_utf8_lossy(&files.stdout).contains("\"id\""),
        "{files:?}"
    );
}

#[test]
fn a_call_that_is_cut_half_way_is_not_begun_and_one_that_came_is_done_wholly() {
    let mut service = Service::start();
    service.register(&["ann", "bob"]);
    let many: Vec<Value> = (0..40)
        .map(|n| json!({"username": format!("new{n}"), "password": "x"}))
        .collect();
    let group = json!({"groupname": "g", "description": "", "public": true, "owner": "ann", "members": ["bob"]});
    let send = json!({"from": "ann", "to": ["bob"], "type": "txt", "body": {"msg": "x"}});
    for (path, body) in [
        ("/users", json!(many)),
        ("/chatgroups", group),
        ("/messages/users", send),
    ] {
        let body = body.to_string();
        let length = format!("content-length: {}", body.len());
        let whole = head(&service, path, "application/json", &length) + &body;
        for cut in [1, 40, whole.len() - body.len() + 1, whole.len() - 1] {
            let mut stream = service.connect();
            stream.write_all(&whole.as_bytes()[..cut]).unwrap();
            drop(stream);
        }
    }
    assert_eq!(users(&service), 2);
    assert_eq!(service.get("/chatgroups").data(), json!([]));
    assert_eq!(service.get("/users/bob/offline_msg_count").data()["bob"], 0);
    // All of it came, and nobody waits for the answer.
    let body = json!(many).to_string();
    let length = format!("content-length: {}", body.len());
    let whole = head(&service, "/users", "application/json", &length) + &body;
    service.connect().write_all(whole.as_bytes()).unwrap();
    service.stop();
    service.restart_with(&["--no-rates"]);
    let there = users(&service);
    assert!(there == 2 || there == 42, "{there} users");
}

#[test]
fn a_file_without_a_length_is_counted_as_it_comes() {
    let mut service = Service::start();
    let part = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    let begun = head(
        &service,
        "/chatfiles",
        "multipart/form-data; boundary=x",
        "transfer-encoding: chunked",
    );
    let mut stream = service.connect();
    write!(stream, "{begun}{:x}\r\n{part}\r\n", part.len()).unwrap();
    let piece = vec![b'x'; 1 << 20];
    // As much as it takes: the service stops reading long before the end.
    for _ in 0..100 {
        let sent = write!(stream, "100000\r\n")
            .and_then(|()| stream.write_all(&piece))
            .and_then(|()| stream.write_all(b"\r\n"));
        if sent.is_err() {
            break;
        }
    }
    drop(stream);
    service.stop();
    let files = service.command(&["--json", "blob", "list", "test#chat"]);
    assert!(
        !String::from_utf8_lossy(&files.stdout).contains("\"id\""),
        "{files:?}"
    );
}
