//! The physical limit of reading: each conversation by itself in compressed blocks, and where they lie known by heart. It is made
//! at once from everything, which no store can wait for.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use crate::chat::Message;
use crate::layout;
use crate::peer::{Page, Peer};

/// Bytes of a block before compression, as Tidestore's.
const BLOCK: usize = 32 << 10;

pub struct Clustered {
    path: PathBuf,
    waiting: Mutex<HashMap<u32, Vec<Message>>>,
    made: OnceLock<Made>,
}

struct Made {
    file: File,
    /// For each conversation, oldest first.
    blocks: HashMap<u32, Vec<Block>>,
}

struct Block {
    oldest: u64,
    offset: u64,
    len: usize,
}

impl Clustered {
    pub fn open(dir: &Path) -> Self {
        Self {
            path: dir.join("clustered"),
            waiting: Mutex::default(),
            made: OnceLock::new(),
        }
    }

    fn made(&self) -> &Made {
        self.made.get_or_init(|| {
            let file = File::options()
                .create(true)
                .truncate(true)
                .read(true)
                .write(true)
                .open(&self.path)
                .unwrap();
            let (mut blocks, mut at) = (HashMap::new(), 0);
            for (conversation, messages) in std::mem::take(&mut *self.waiting.lock().unwrap()) {
                let list: &mut Vec<Block> = blocks.entry(conversation).or_default();
                let (mut raw, mut value, mut oldest) = (Vec::new(), Vec::new(), None);
                for (index, message) in messages.iter().enumerate() {
                    layout::value(message, &mut value);
                    oldest.get_or_insert(message.id);
                    raw.extend_from_slice(&message.id.to_be_bytes());
                    raw.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
                    raw.extend_from_slice(&value);
                    if raw.len() >= BLOCK || index + 1 == messages.len() {
                        let packed = zstd::bulk::compress(&raw, 3).unwrap();
                        file.write_all_at(&packed, at).unwrap();
                        list.push(Block {
                            oldest: oldest.take().unwrap(),
                            offset: at,
                            len: packed.len(),
                        });
                        at += packed.len() as u64;
                        raw.clear();
                    }
                }
            }
            file.sync_all().unwrap();
            Made { file, blocks }
        })
    }
}

impl Peer for Clustered {
    fn write(&self, batch: &[Message], _: bool) {
        let mut waiting = self.waiting.lock().unwrap();
        for message in batch {
            let list = waiting.entry(message.conversation).or_default();
            list.push(message.clone());
        }
    }

    fn sync(&self) {}

    fn page(&self, conversation: u32, before: Option<u64>, limit: usize) -> Page {
        let made = self.made();
        let before = before.unwrap_or(u64::MAX);
        let mut page = Page::default();
        let blocks = made.blocks.get(&conversation).map_or(&[][..], |all| all);
        let end = blocks.partition_point(|block| block.oldest < before);
        for block in blocks[..end].iter().rev() {
            let mut packed = vec![0; block.len];
            made.file.read_exact_at(&mut packed, block.offset).unwrap();
            let raw = zstd::bulk::decompress(&packed, 4 * BLOCK).unwrap();
            let mut rows = Vec::new();
            let mut rest = &raw[..];
            while !rest.is_empty() {
                let id = u64::from_be_bytes(rest[..8].try_into().unwrap());
                let len = u32::from_be_bytes(rest[8..12].try_into().unwrap()) as usize;
                rows.push((id, &rest[12..12 + len]));
                rest = &rest[12 + len..];
            }
            for (id, value) in rows.into_iter().rev().filter(|(id, _)| *id < before) {
                page.count += 1;
                page.bytes += layout::body_bytes(value);
                page.next = Some(id);
                if page.count == limit {
                    return page;
                }
            }
        }
        page.next = None;
        page
    }

    fn expire(&self, _: u32, _: u64) {
        unimplemented!("it is made once")
    }

    fn fan_out(&self, _: &[Message], _: u32) {
        unimplemented!("it is made once")
    }

    fn drain(&self, _: u32) -> (usize, u64) {
        unimplemented!("it is made once")
    }

    fn acknowledge(&self, _: &[(u32, u64)]) {
        unimplemented!("it is made once")
    }

    fn settle(&self) {
        self.made();
    }

    fn append_each(self: Arc<Self>, _: usize, _: Vec<Message>) -> Vec<u32> {
        unimplemented!("it is made once")
    }
}
