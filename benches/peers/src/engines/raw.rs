//! The physical limit of appending: checksummed frames into blocks that were written before, with one flush for all who wait.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::chat::Message;
use crate::layout;
use crate::peer::{Page, Peer, append_in_groups};

/// Zeros ahead, so that a flush has no metadata to write.
const AHEAD: u64 = 64 << 20;

pub struct Raw {
    file: File,
    end: Mutex<End>,
}

struct End {
    at: u64,
    zeroed: u64,
    frames: Vec<u8>,
    value: Vec<u8>,
}

impl Raw {
    pub fn open(dir: &Path) -> Self {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("log"))
            .unwrap();
        let end = End {
            at: 0,
            zeroed: 0,
            frames: Vec::new(),
            value: Vec::new(),
        };
        let raw = Self {
            file,
            end: Mutex::new(end),
        };
        raw.zero(&mut raw.end.lock().unwrap());
        raw
    }

    fn zero(&self, end: &mut End) {
        let zeros = vec![0; 1 << 20];
        for _ in 0..AHEAD / zeros.len() as u64 {
            self.file.write_all_at(&zeros, end.zeroed).unwrap();
            end.zeroed += zeros.len() as u64;
        }
        self.file.sync_all().unwrap();
    }
}

impl Peer for Raw {
    fn write(&self, batch: &[Message], sync: bool) {
        let end = &mut *self.end.lock().unwrap();
        end.frames.clear();
        for message in batch {
            layout::value(message, &mut end.value);
            let key = layout::message_key(message.conversation, message.id);
            let mut crc = crc32fast::Hasher::new();
            crc.update(&key);
            crc.update(&end.value);
            let len = u32::try_from(key.len() + end.value.len()).unwrap();
            end.frames.extend_from_slice(&len.to_le_bytes());
            end.frames.extend_from_slice(&crc.finalize().to_le_bytes());
            end.frames.extend_from_slice(&key);
            end.frames.extend_from_slice(&end.value);
        }
        if end.at + end.frames.len() as u64 > end.zeroed {
            self.zero(end);
        }
        self.file.write_all_at(&end.frames, end.at).unwrap();
        end.at += end.frames.len() as u64;
        if sync {
            self.file.sync_data().unwrap();
        }
    }

    fn sync(&self) {
        self.file.sync_data().unwrap();
    }

    fn page(&self, _: u32, _: Option<u64>, _: usize) -> Page {
        unimplemented!("nothing can be found in a log")
    }

    fn expire(&self, _: u32, _: u64) {
        unimplemented!("nothing can be found in a log")
    }

    fn fan_out(&self, batch: &[Message], _: u32) {
        self.write(batch, true);
    }

    fn drain(&self, _: u32) -> (usize, u64) {
        unimplemented!("nothing can be found in a log")
    }

    fn acknowledge(&self, _: &[(u32, u64)]) {
        unimplemented!("nothing can be found in a log")
    }

    fn settle(&self) {}

    fn append_each(self: Arc<Self>, writers: usize, messages: Vec<Message>) -> Vec<u32> {
        append_in_groups(move |batch| self.write(batch, true), writers, messages)
    }
}
