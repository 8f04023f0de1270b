//! What attachments there must be: a map, and the rule by which one lives.

use std::collections::{BTreeMap, BTreeSet};

use tidestore_blobs::{Attachment, Keeping, Reference};
use tidestore_plan::{AppId, AttachmentId, ResourceId, UserId};

use super::{HOUR, Upload};

type Key = (AppId, AttachmentId);

/// All attachments that have rows, and the ids of those that had.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) known: BTreeMap<Key, Known>,
    pub(crate) gone: Vec<Key>,
}

/// One attachment.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) seed: u8,
    pub(crate) len: u32,
    media_type: Option<&'static str>,
    uploaded: u64,
    keep_until: u64,
    references: BTreeSet<Reference>,
}

impl Model {
    pub(crate) fn put(&mut self, upload: &Upload, stored: &Attachment, now: u64, keep: &Keeping) {
        let known = Known {
            seed: upload.seed,
            len: upload.len,
            media_type: upload.media_type,
            uploaded: now,
            keep_until: now + keep.retention,
            references: BTreeSet::new(),
        };
        known.compare(stored);
        let before = self.known.insert((upload.app(), stored.id), known);
        assert!(before.is_none(), "an id was given twice");
    }

    pub(crate) fn of(&self, app: AppId) -> impl Iterator<Item = (&Key, &Known)> {
        self.known.iter().filter(move |((of, _), _)| *of == app)
    }

    /// Some attachment, if there is any.
    pub(crate) fn pick(&self, which: u8) -> Option<Key> {
        let at = usize::from(which) % self.known.len().max(1);
        self.known.keys().nth(at).copied()
    }

    /// One of the references of an attachment, if it has any.
    pub(crate) fn reference_of(&self, key: Key, number: u8) -> Option<Reference> {
        let references = &self.known[&key].references;
        let at = usize::from(number) % references.len().max(1);
        references.iter().nth(at).cloned()
    }

    pub(crate) fn refer(&mut self, key: Key, reference: Reference, keep: &Keeping) {
        let known = self.known.get_mut(&key).unwrap();
        if known.references.insert(reference) {
            known.keep_until = known.keep_until.max(known.uploaded + keep.retention);
        }
    }

    pub(crate) fn unrefer(
        &mut self,
        key: Key,
        reference: &Reference,
        now: u64,
        floor: u64,
        keep: &Keeping,
    ) {
        let known = self.known.get_mut(&key).unwrap();
        let was_held = known.is_held(floor);
        if known.references.remove(reference) && was_held && !known.is_held(floor) {
            known.keep_until = now + keep.grace;
        }
    }

    pub(crate) fn remove(&mut self, key: Key) {
        self.known.remove(&key);
        self.gone.push(key);
    }

    /// Removes what is over; returns how many.
    pub(crate) fn expire(&mut self, now: u64, floor: u64, held: Option<Key>) -> usize {
        let is_over = |(key, known): (&Key, &Known)| {
            (!known.is_alive(now, floor) && Some(*key) != held).then_some(*key)
        };
        let over: Vec<_> = self.known.iter().filter_map(is_over).collect();
        for key in &over {
            self.remove(*key);
        }
        over.len()
    }
}

impl Known {
    pub(crate) fn length(&self) -> u64 {
        self.len.into()
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.references.iter().any(Reference::is_pin)
    }

    fn newest(&self) -> Option<u64> {
        let time = |reference: &Reference| match reference {
            Reference::Message { time, .. } => Some(*time),
            _ => None,
        };
        self.references.iter().filter_map(time).max()
    }

    fn is_held(&self, floor: u64) -> bool {
        self.is_pinned() || self.newest().is_some_and(|time| time >= floor)
    }

    pub(crate) fn is_alive(&self, now: u64, floor: u64) -> bool {
        now < self.keep_until || self.is_held(floor)
    }

    /// Compares what is stored with what must be.
    pub(crate) fn compare(&self, stored: &Attachment) {
        let pins = self.references.iter().filter(|one| one.is_pin()).count() as u64;
        let messages = self.references.len() as u64 - pins;
        assert_eq!(stored.length, self.length());
        assert_eq!(stored.name, format!("{}", self.seed));
        assert_eq!(
            (stored.uploaded, stored.keep_until, stored.newest_message),
            (self.uploaded, self.keep_until, self.newest())
        );
        assert_eq!((stored.pins, stored.messages), (pins, messages));
        match self.media_type {
            Some(media_type) => assert_eq!(stored.media_type, media_type),
            None => assert!(stored.media_type.contains('/')),
        }
    }
}

/// A reference; those of messages lie six hours apart.
pub(crate) fn reference(kind: u8, start: u64, number: u8) -> Reference {
    match kind % 4 {
        0 => Reference::Profile(UserId::parse(&format!("user{}", number % 4)).unwrap()),
        1 => Reference::GroupFile(ResourceId::parse(&format!("group{}", number % 4)).unwrap()),
        _ => Reference::Message {
            time: start + u64::from(number) * 6 * HOUR,
            id: u64::from(kind / 4),
        },
    }
}

/// The content that a seed and a length stand for: some compress, some do not, some only at first or in part.
pub(crate) fn bytes_of(seed: u8, len: u32) -> Vec<u8> {
    let len = len as usize;
    let mut bytes = vec![b'a' + seed % 20; len];
    let mut noise = blake3::Hasher::new().update(&[seed]).finalize_xof();
    let (first, step) = match seed & 3 {
        0 => (len, 1),
        1 => (0, 1),
        2 => (70_000.min(len), 1),
        _ => (0, 2),
    };
    let runs = bytes[first..].chunks_mut(50_000).step_by(step);
    runs.for_each(|run| noise.fill(run));
    if seed & 4 != 0 {
        let magic = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        bytes
            .iter_mut()
            .zip(magic)
            .for_each(|(to, from)| *to = *from);
    }
    bytes
}
