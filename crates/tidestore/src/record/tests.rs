use super::*;

fn message(attachments: Vec<AttachmentId>) -> Message {
    Message {
        id: MessageId(0x0102_0304_0506_0708),
        seq: Seq(9),
        sender: "ann".into(),
        kind: Kind::Image,
        body: "hi".into(),
        ext: "x".into(),
        client_id: "c1".into(),
        attachments,
        revision: Revision::Original,
    }
}

fn batch(attachments: &[&[AttachmentId]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    start_batch(&mut bytes, 1_000);
    let conversation = Conversation::from_stored("group:g").unwrap();
    for ids in attachments {
        put_message(&mut bytes, AppId(2), &conversation, &message(ids.to_vec()));
    }
    bytes
}

fn record(attachments: Vec<AttachmentId>) -> Record {
    Record::Message {
        app: AppId(2),
        conversation: Conversation::from_stored("group:g").unwrap(),
        message: message(attachments),
    }
}

fn id(n: u128) -> AttachmentId {
    AttachmentId::from_bits(0x0011_2233_4455_6677_8899_aabb_ccdd_ee00 + n)
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    let byte = |pair: &[u32]| u8::try_from(pair[0] << 4 | pair[1]).unwrap();
    digits.chunks_exact(2).map(byte).collect()
}

/// One message without attachments, its kind, and the rest of it.
const MESSAGE: [&str; 3] = [
    "01 02000000 0807060504030201 0900000000000000",
    "01",
    "07 03 02 0200 0100 67726f75703a67 616e6e 6331 6869 78",
];
const TIME: &str = "e803000000000000";
const ALIVE: &str = "02 01000000 05";

#[test]
fn a_batch_of_version_1_can_be_read_for_ever() {
    let [head, kind, tail] = MESSAGE;
    let bytes = from_hex(&format!("01 {TIME} {head} {kind} {tail} {ALIVE}"));
    let expected = vec![record(Vec::new()), Record::Event(Event::Alive)];
    assert_eq!(decode_batch(&bytes), Ok((1_000, expected)));
    let bytes = from_hex(&format!(
        "01 {TIME} {head} 81 {tail} 01 {}",
        "00".repeat(16)
    ));
    assert!(
        decode_batch(&bytes).is_err(),
        "version 1 knew no attachments"
    );
}

#[test]
fn version_2_is_written_byte_for_byte() {
    let [head, kind, tail] = MESSAGE;
    let ids = "02 00112233445566778899aabbccddee01 00112233445566778899aabbccddee00";
    let plain = format!("{head} {kind} {tail}");
    let attached = format!("{head} 81 {tail} {ids}");
    let expected = from_hex(&format!("02 {TIME} {plain} {attached} {plain} {ALIVE}"));
    let mut bytes = batch(&[&[], &[id(1), id(0)], &[]]);
    put_event(&mut bytes, &Event::Alive).unwrap();
    assert_eq!(bytes, expected);
    let records = vec![
        record(Vec::new()),
        record(vec![id(1), id(0)]),
        record(Vec::new()),
        Record::Event(Event::Alive),
    ];
    assert_eq!(decode_batch(&bytes), Ok((1_000, records)));
}

#[test]
fn as_many_attachments_as_a_message_may_have_come_back() {
    let ids: Vec<_> = (0..16).map(id).collect();
    assert_eq!(ids.len(), Message::ATTACHMENTS_MAX);
    assert_eq!(
        decode_batch(&batch(&[&ids])),
        Ok((1_000, vec![record(ids)]))
    );
}

#[test]
fn attachments_that_are_missing_or_too_many_are_refused() {
    let [head, _, tail] = MESSAGE;
    let id = "00".repeat(16);
    for count in [0_usize, 17, 255] {
        let bytes = from_hex(&format!(
            "02 {TIME} {head} 81 {tail} {count:02x} {}",
            id.repeat(count)
        ));
        assert!(decode_batch(&bytes).is_err(), "{count}");
    }
    let whole = from_hex(&format!("02 {TIME} {head} 81 {tail} 02 {id} {id}"));
    assert!(decode_batch(&whole).is_ok());
    for len in 10..whole.len() {
        assert!(decode_batch(&whole[..len]).is_err(), "cut to {len} bytes");
    }
    for version in [0, 3, 255] {
        let mut bytes = whole.clone();
        bytes[0] = version;
        assert!(decode_batch(&bytes).is_err(), "version {version}");
    }
}
