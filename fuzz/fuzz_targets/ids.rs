//! Ids and names from outside: texts and numbers that clients hand in. What is accepted is written the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidestore_disk::{decode_name, encode_name};
use tidestore_messages::{Conversation, Kind, MessageId};
use tidestore_plan::{AppId, AppKey, AttachmentId, ResourceId, UserId};

fuzz_target!(|bytes: &[u8]| {
    numbers(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(user) = UserId::parse(text) {
        assert_eq!(UserId::parse(user.as_str()), Ok(user));
    }
    if let Ok(id) = ResourceId::parse(text) {
        assert_eq!(ResourceId::parse(id.as_str()), Ok(id));
    }
    if let Ok(key) = AppKey::parse(text) {
        assert_eq!(format!("{}#{}", key.org(), key.app()), key.as_str());
        let name = encode_name(key.as_str()).expect("a key fits into a name");
        assert!(!name.contains(['/', '\0']) && name != "." && name != "..", "{name:?}");
        assert_eq!(decode_name(&name).expect("a name of ours"), key.as_str());
    }
    if let Ok(conversation) = Conversation::parse(text) {
        let stored = Conversation::from_stored(conversation.as_str()).expect("a canonical text");
        assert!(stored == conversation && conversation.as_str().len() <= Conversation::TEXT_MAX);
        assert_eq!(Conversation::parse(conversation.as_str()).expect("canonical"), conversation);
        assert!(conversation.parties().is_some() && conversation.aside().is_aside());
        assert_eq!(conversation.aside().main(), conversation);
    }
    if let Some(stored) = Conversation::from_stored(text) {
        drop((stored.parties(), stored.pair().map(|_| ()), stored.aside()));
    }
    if let Ok(id) = AttachmentId::parse(text) {
        assert_eq!(AttachmentId::parse(&id.to_string()), Ok(id));
    }
    if let Some(name) = decode_name(text) {
        assert_eq!(encode_name(&name).as_deref(), Ok(text), "two names for one file");
    }
    drop(Kind::parse(text));
});

fn numbers(bytes: &[u8]) {
    if let Some(id) = bytes.first_chunk() {
        let id = MessageId(u64::from_le_bytes(*id));
        let counter = id.low() & MessageId::COUNTER_MAX;
        let again = MessageId::new(id.millis(), id.shard(), id.is_imported(), counter);
        assert!(again == id || id.millis() > MessageId::MILLIS_MAX);
    }
    if let Some(id) = bytes.first_chunk() {
        let id = AttachmentId::from_bytes(*id);
        assert_eq!(id.to_bytes(), *bytes.first_chunk().expect("16 bytes"));
        assert!(tidestore_blobs::id::shard(id) < 64);
        assert!(tidestore_blobs::id::time(id) < 1 << 48);
        let is_genuine = tidestore_blobs::id::is_genuine(&[7; 16], AppId(1), id);
        let of_other = tidestore_blobs::id::is_genuine(&[8; 16], AppId(1), id);
        assert!(!(is_genuine && of_other), "an id of two stores");
    }
}
