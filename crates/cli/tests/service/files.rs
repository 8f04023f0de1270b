//! Files: rows 23, 24 and 52 to 55.

use std::io::Write;

use serde_json::json;

use crate::harness::{Reply, Service};

const BOUNDARY: &str = "----a-boundary";

fn multipart(name: &str, kind: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"a \\\"b\\\".bin\"\r\ncontent-type: {kind}\r\n\r\n"
    );
    [
        head.as_bytes(),
        bytes,
        format!("\r\n--{BOUNDARY}--\r\n").as_bytes(),
    ]
    .concat()
}

fn upload(
    service: &Service,
    path: &str,
    headers: &[(&str, &str)],
    kind: &str,
    bytes: &[u8],
) -> Reply {
    let kind_of_body = format!("multipart/form-data; boundary={BOUNDARY}");
    let body = Some((multipart("file", kind, bytes), kind_of_body.as_str()));
    service.bytes(
        "POST",
        &format!("/test/chat{path}"),
        Some(&service.token),
        headers,
        body,
    )
}

fn download(
    service: &Service,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, Vec<(String, String)>, Vec<u8>) {
    service.fetch(
        "GET",
        &format!("/test/chat{path}"),
        Some(&service.token),
        headers,
        None,
    )
}

#[test]
fn a_file_comes_back_whole_and_in_parts() {
    let mut service = Service::start();
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    let body = upload(&service, "/chatfiles", &[], "text/plain", &bytes).ok();
    let entity = &body["entities"][0];
    assert_eq!(entity["type"], "chatfile");
    assert!(entity["share-secret"].is_string());
    let path = format!("/chatfiles/{}", entity["uuid"].as_str().unwrap());
    service.kill_and_restart();
    let (status, headers, got) = download(&service, &path, &[]);
    assert_eq!((status, got == bytes), (200, true));
    let header = |name: &str| {
        headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(
        (header("content-type"), header("content-length")),
        (Some("text/plain"), Some("300000"))
    );
    assert!(
        header("content-disposition")
            .unwrap()
            .starts_with("attachment")
    );
    let (status, _, got) = download(&service, &path, &[("range", "bytes=100-199")]);
    assert_eq!((status, got.as_slice()), (206, &bytes[100..200]));
    assert_eq!(
        download(&service, &path, &[("range", "bytes=300000-")]).0,
        416
    );
    service
        .get("/chatfiles/01234567-89ab-8def-8123-456789abcdef")
        .refused(404, "entity_not_found");
    service
        .get("/chatfiles/..%2F..%2Fetc%2Fpasswd")
        .refused(404, "entity_not_found");
    let (_, _, shown) = download(&service, &path, &[("thumbnail", "true")]);
    assert!(String::from_utf8_lossy(&shown).contains("entity_not_found"));
}

#[test]
fn ten_megabytes_pass_and_one_byte_more_leaves_nothing() {
    let mut service = Service::start();
    let most = vec![7; 10 << 20];
    let entity = upload(&service, "/chatfiles", &[], "application/zip", &most).ok();
    let path = format!(
        "/chatfiles/{}",
        entity["entities"][0]["uuid"].as_str().unwrap()
    );
    assert!(download(&service, &path, &[]).2 == most);
    upload(
        &service,
        "/chatfiles",
        &[],
        "application/zip",
        &vec![8; (10 << 20) + 1],
    )
    .refused(413, "file exceeding maximum limit");
    // Cut half-way.
    let mut stream = service.connect();
    write!(stream, "POST /test/chat/chatfiles HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: 1000000\r\n\r\n", service.token).unwrap();
    stream
        .write_all(&multipart("file", "image/png", &[1; 1_000])[..800])
        .unwrap();
    drop(stream);
    upload(&service, "/chatfiles", &[], "text/plain", b"after").ok();
    service.stop();
    let listed = service.command(&["--json", "blob", "list", "test#chat"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed.matches("\"id\"").count(), 2, "{listed}");
}

#[test]
fn what_is_no_upload() {
    let service = Service::start();
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let put = |bytes: Vec<u8>, kind: &str| {
        service.bytes(
            "POST",
            "/test/chat/chatfiles",
            Some(&service.token),
            &[],
            Some((bytes, kind)),
        )
    };
    put(multipart("other", "text/plain", b"x"), &kind).refused(400, "illegal_argument");
    put(b"{}".to_vec(), "application/json").refused(415, "web_application");
    put(b"--x".to_vec(), &kind).refused(400, "invalid_request_body");
    put(multipart("other", "text/plain", &[b'x'; 5_000]), &kind).refused(400, "illegal_argument");
}

#[test]
fn a_restricted_file_needs_its_secret_and_a_picture_has_a_thumbnail() {
    let service = Service::start();
    let entity = upload(
        &service,
        "/chatfiles",
        &[("restrict-access", "1")],
        "text/plain",
        b"secret",
    )
    .ok()["entities"][0]
        .take();
    let path = format!("/chatfiles/{}", entity["uuid"].as_str().unwrap());
    let secret = entity["share-secret"].as_str().unwrap();
    service.get(&path).refused(401, "unauthorized");
    assert_eq!(
        download(&service, &path, &[("share-secret", secret)]).2,
        b"secret"
    );
    assert_eq!(
        download(&service, &format!("{path}?share-secret={secret}"), &[]).2,
        b"secret"
    );
    assert_eq!(
        download(&service, &path, &[("share-secret", &"0".repeat(64))]).0,
        401
    );

    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_fn(400, 200, |x, y| {
        image::Rgb([x as u8, y as u8, (x * y) as u8])
    })
    .write_to(&mut png, image::ImageFormat::Png)
    .unwrap();
    let headers = [("thumbnail-width", "100"), ("thumbnail-height", "100")];
    let entity = upload(
        &service,
        "/chatfiles",
        &headers,
        "image/png",
        &png.into_inner(),
    )
    .ok()["entities"][0]
        .take();
    let path = format!("/chatfiles/{}", entity["uuid"].as_str().unwrap());
    for _ in 0..2 {
        let (status, _, small) = download(&service, &path, &[("thumbnail", "true")]);
        assert_eq!(status, 200);
        let small = image::load_from_memory(&small).unwrap();
        assert_eq!((small.width(), small.height()), (100, 50));
    }
    assert_eq!(
        download(&service, &path, &[])
            .1
            .iter()
            .find(|(name, _)| name == "content-type")
            .unwrap()
            .1,
        "image/png"
    );
}

#[test]
fn shared_files_of_a_group() {
    let mut service = Service::start();
    service.register(&["ann", "bob", "carl"]);
    let new = json!({"groupname": "g", "description": "", "public": true, "owner": "ann", "members": ["bob"]});
    let group = service.post("/chatgroups", &new).data()["groupid"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/chatgroups/{group}/share_files");
    let shared = upload(&service, &path, &[], "text/plain", b"for all").data();
    assert_eq!(
        (&shared["file_size"], &shared["group_id"]),
        (&json!(7), &json!(group))
    );
    assert!(
        shared["file_url"]
            .as_str()
            .unwrap()
            .starts_with(&service.url)
    );
    let file = format!("{path}/{}", shared["file_id"].as_str().unwrap());
    service.kill_and_restart();
    let listed = service.get(&format!("{path}?pagenum=1&pagesize=10")).data();
    assert_eq!(
        (&listed[0]["file_owner"], &listed[0]["file_id"]),
        (&json!("ann"), &shared["file_id"])
    );
    assert_eq!(download(&service, &file, &[]).2, b"for all");
    let (bob, carl) = (service.user_token("bob"), service.user_token("carl"));
    assert_eq!(service.call_as(&bob, "GET", &file, None).status, 200);
    service
        .call_as(&carl, "GET", &file, None)
        .refused(403, "forbidden_op");
    service
        .call_as(&bob, "DELETE", &file, None)
        .refused(403, "forbidden_op");
    assert_eq!(service.delete(&file).data()["result"], true);
    assert_eq!(service.get(&path).data(), json!([]));
    service.get(&file).refused(404, "resource_not_found");
    upload(
        &service,
        "/chatgroups/12345/share_files",
        &[],
        "text/plain",
        b"x",
    )
    .refused(404, "resource_not_found");
}
