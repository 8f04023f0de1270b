//! Segments: arbitrary bytes as the columns of a block, and arbitrary damage to a whole file.

#![no_main]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tidestore_disk::{Disk, SimDisk};
use tidestore_messages::{
    AppId, Block, Bucket, Conversation, Kind, Message, MessageId, Owner, SegmentHead,
    SegmentOptions, SegmentWriter, Seq, StoreId, inspect,
};
use tidestore_plan::AttachmentId;

const BUCKET: Bucket = Bucket { start: 1_000_000, end: 2_000_000 };

fuzz_target!(|input: (u16, Vec<u8>)| {
    let (at, bytes) = input;
    if let Ok(block) = Block::decode(&bytes, BUCKET.start, 3) {
        let mut row = 0;
        while block.id(row) != MessageId(0) {
            drop(block.message(row));
            row += 1;
        }
    }
    damaged_file(at.into(), &bytes);
});

/// A segment of a few rows with the input written over it: it is read whole or refused.
fn damaged_file(at: u64, bytes: &[u8]) {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let path = Path::new("s.seg");
    let head = SegmentHead {
        store: StoreId([7; 16]),
        shard: 3,
        generation: 5,
        owner: Owner::App(AppId(1)),
        bucket: BUCKET,
    };
    let options = SegmentOptions { block_bytes: 100, level: 1 };
    let mut writer = SegmentWriter::create(&disk, path, head, options).expect("a writer");
    let conversation = Conversation::parse("group:g").expect("a group");
    for n in 0..6 {
        let message = Message {
            id: MessageId::new(BUCKET.start + n, 3, false, 0),
            seq: Seq(n + 1),
            sender: "ann".into(),
            kind: Kind::Text,
            body: Bytes::from(format!("message number {n}")),
            ext: Bytes::new(),
            client_id: "".into(),
            attachments: (0..n % 3).map(|n| AttachmentId::from_bits(n.into())).collect(),
            revision: tidestore_messages::Revision::Original,
        };
        writer.push(AppId(1), &conversation, &message).expect("rows in order");
    }
    let meta = writer.finish().expect("a segment");
    let at = at % meta.file_len;
    let end = (at + bytes.len() as u64).min(meta.file_len);
    let part = &bytes[..usize::try_from(end - at).unwrap_or(0)];
    let before = sim.read_all(path).expect("the file");
    sim.overwrite(path, at, part).expect("in range");
    let changed = sim.read_all(path).expect("the file") != before;
    assert_eq!(inspect(&disk, path).is_err(), changed, "a changed file passed for a whole one");
}
