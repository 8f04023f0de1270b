use tidestore::{MessageId, Seq};

use super::*;

fn line(fields: &str) -> String {
    format!(r#"{{"chat":"group:g","from":"alice","ts":7,{fields}}}"#)
}

fn read(fields: &str) -> Result<OldLine, LineError> {
    parse(line(fields).as_bytes())
}

fn written(message: &NewMessage, time: u64) -> String {
    let stored = Message {
        id: MessageId::new(time, 3, true, 9),
        seq: Seq(12),
        sender: message.sender.clone().into(),
        kind: message.kind,
        body: message.body.clone(),
        ext: message.ext.clone(),
        client_id: message.client_id.clone(),
        attachments: message.attachments.clone(),
        revision: tidestore::Revision::Original,
    };
    serde_json::to_string(&Outgoing::new(&message.conversation, &stored)).unwrap()
}

#[test]
fn the_least_line_is_a_text_message() {
    let found = read(r#""body":"hi""#).unwrap();
    let conversation = Conversation::parse("group:g").unwrap();
    let expected = NewMessage::text(conversation, UserId::parse("alice").unwrap(), "hi");
    assert_eq!(
        found,
        OldLine {
            message: expected,
            time: 7
        }
    );
}

#[test]
fn every_field_is_read_and_unknown_ones_are_not() {
    let found =
        read(r#""body":"a\"b\u00e9","kind":"img","id":"c1","ext":{"k": [1]},"msg_id":4,"seq":"x""#);
    let message = found.unwrap().message;
    assert_eq!(
        (message.kind, message.client_id.as_str()),
        (Kind::Image, "c1")
    );
    assert_eq!(
        (&message.body[..], &message.ext[..]),
        ("a\"bé".as_bytes(), &br#"{"k": [1]}"#[..])
    );
}

#[test]
fn an_extension_may_be_text_or_any_json() {
    for (json, stored) in [
        (r#""a\nb""#, "a\nb"),
        ("17", "17"),
        ("null", ""),
        ("[1, 2]", "[1, 2]"),
    ] {
        let message = read(&format!(r#""body":"","ext":{json}"#)).unwrap().message;
        assert_eq!(&message.ext[..], stored.as_bytes(), "{json}");
    }
}

#[test]
fn what_is_no_message_is_refused_with_a_reason() {
    let long = "x".repeat(65);
    for (line, reason) in [
        (String::new(), "json"),
        ("{".to_owned(), "json"),
        ("[1]".to_owned(), "json"),
        (line(r#""body":5"#), "json"),
        (line(r#""kind":"txt""#), "json"),
        (line(r#""body":"a","body":"b""#), "json"),
        (line(r#""body":"a","ts":8"#), "json"),
        (line(r#""body":"a","kind":"smell""#), "kind"),
        (line(r#""body":"a","kind":1"#), "json"),
        (line(r#""body":"a","body_hex":"61""#), "json"),
        (line(r#""body_hex":"6""#), "json"),
        (line(r#""body":"a","attachments":"x""#), "json"),
        (line(r#""body":"a","attachments":[7]"#), "json"),
        (line(r#""body":"a","attachments":[null]"#), "json"),
        (line(r#""body":"a","attachments":["x"]"#), "attachment"),
        (line(r#""body_hex":"+f""#), "json"),
        (
            r#"{"chat":"group:g","from":"alice","ts":-7,"body":""}"#.to_owned(),
            "json",
        ),
        (
            r#"{"chat":"group:g","from":"alice","ts":1.5,"body":""}"#.to_owned(),
            "json",
        ),
        (
            r#"{"chat":"group:g","from":"alice","ts":"7","body":""}"#.to_owned(),
            "json",
        ),
        (
            r#"{"chat":"group:g","from":"al ice","ts":7,"body":""}"#.to_owned(),
            "id",
        ),
        (
            format!(r#"{{"chat":"group:g","from":"{long}","ts":7,"body":""}}"#),
            "id",
        ),
        (
            r#"{"chat":"club:g","from":"alice","ts":7,"body":""}"#.to_owned(),
            "conversation",
        ),
        (
            r#"{"chat":"group:../x","from":"alice","ts":7,"body":""}"#.to_owned(),
            "conversation",
        ),
    ] {
        let error = parse(line.as_bytes()).unwrap_err();
        assert_eq!(error.reason(), reason, "{line}: {error}");
        assert!(error.to_string().len() < 400, "{error}");
    }
    assert_eq!(parse(b"{\"chat\":\"\xff\"}").unwrap_err().reason(), "json");
}

#[test]
fn attachments_are_a_list_of_ids_and_stay_in_order() {
    let (a, b) = (
        "01234567-89ab-8def-8123-456789abcdef",
        "fedcba98-7654-8210-8fed-cba987654321",
    );
    let message = read(&format!(r#""body":"","attachments":["{b}","{a}"]"#))
        .unwrap()
        .message;
    let ids = [b, a].map(|id| AttachmentId::parse(id).unwrap());
    assert_eq!(message.attachments, ids);
    let text = written(&message, 7);
    assert!(
        text.contains(&format!(r#""attachments":["{b}","{a}"]"#)),
        "{text}"
    );
    assert_eq!(parse(text.as_bytes()), Ok(OldLine { message, time: 7 }));
    let none = read(r#""body":"","attachments":[]"#).unwrap().message;
    assert_eq!(none, read(r#""body":"" "#).unwrap().message);
    assert!(!written(&none, 7).contains("attachments"));
    let error = read(&format!(r#""body":"","attachments":["{a}","../{b}"]"#)).unwrap_err();
    assert_eq!(error.reason(), "attachment");
    assert!(error.to_string().contains(&format!("../{b}")), "{error}");
}

#[test]
fn what_is_written_reads_as_the_same_message() {
    for (body, ext) in [
        (&b"hello"[..], &b""[..]),
        ("群\u{0}\u{7f}\"\\\n".as_bytes(), b"plain"),
        (b"\xff\xfe", b"\x80"),
        (b"", br#"{"a": 1,"b":"\u0041"}"#),
        (b"x", b"[1,\n2]"),
        (b"x", b" {}"),
        (b"x", b"null"),
        (b"x", b"{broken"),
    ] {
        let mut message = read(r#""body":"","id":"c","kind":"custom""#)
            .unwrap()
            .message;
        message.body = Bytes::copy_from_slice(body);
        message.ext = Bytes::copy_from_slice(ext);
        let text = written(&message, 7);
        assert!(!text.contains('\n'), "{text}");
        assert_eq!(
            parse(text.as_bytes()),
            Ok(OldLine { message, time: 7 }),
            "{text}"
        );
    }
}
