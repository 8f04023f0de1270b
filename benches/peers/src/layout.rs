//! Keys and values of the peers: what a chat server stores in an ordered key-value store.

use crate::chat::Message;

/// Conversation and id, so that a conversation lies together in the order of time.
pub fn message_key(conversation: u32, id: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&conversation.to_be_bytes());
    key[4..].copy_from_slice(&id.to_be_bytes());
    key
}

/// User and id: what waits for him in the order of time.
pub fn inbox_key(message: &Message) -> [u8; 12] {
    message_key(message.receiver, message.id)
}

/// The id in a key.
pub fn id_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[4..12].try_into().unwrap())
}

/// Sender, then the body.
pub fn value(message: &Message, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&message.sender.to_be_bytes());
    out.extend_from_slice(message.body.as_bytes());
}

/// Bytes of the body in a value; looks at each, as a reader would.
pub fn body_bytes(value: &[u8]) -> usize {
    looked_at(&value[4..])
}

/// Bytes of a body; looks at each.
pub fn looked_at(body: &[u8]) -> usize {
    usize::from(body.iter().fold(0, |sum: u8, byte| sum | byte) == 0) + body.len()
}

/// What an inbox entry says.
pub fn entry(message: &Message) -> [u8; 4] {
    message.conversation.to_be_bytes()
}

/// A page from an iterator over keys and values that runs from the newest to the oldest.
pub fn page<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    rows: impl Iterator<Item = (K, V)>,
    limit: usize,
) -> crate::peer::Page {
    let mut page = crate::peer::Page::default();
    for (key, value) in rows.take(limit) {
        page.count += 1;
        page.bytes += body_bytes(value.as_ref());
        page.next = Some(id_of(key.as_ref()));
    }
    if page.count < limit {
        page.next = None;
    }
    page
}
