//! The same attachments put into a store and into one plain file each, and read again.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidestore::plan::{AttachmentId, UserId};
use tidestore::{App, NewAttachment};
use tokio::io::AsyncReadExt;

use crate::Bench;

/// Where attachments are kept.
#[derive(Clone, Debug)]
pub enum Keeper {
    /// A store.
    Store(App),
    /// One file each in this directory: written under another name, `fsync`, rename.
    Plain(PathBuf),
}

/// What was put, to be read again.
#[derive(Clone, Debug)]
pub enum Kept {
    /// In a store.
    Store(AttachmentId),
    /// In a file.
    Plain(PathBuf),
}

/// Contents of one size that are all different and do not compress.
#[derive(Debug)]
pub struct Contents {
    noise: Vec<u8>,
    next: AtomicU64,
}

impl Contents {
    /// Contents of so many bytes.
    pub fn new(len: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[5]
        };
        Self {
            noise: (0..len).map(|_| next()).collect(),
            next: AtomicU64::new(1),
        }
    }

    /// Bytes of each.
    pub fn size(&self) -> usize {
        self.noise.len()
    }

    /// One that was never handed out before.
    pub fn fresh(&self) -> Vec<u8> {
        let mut bytes = self.noise.clone();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes
    }
}

static FILES: AtomicU64 = AtomicU64::new(0);

impl Keeper {
    /// Puts a content; durable when this returns.
    pub async fn put(&self, bytes: Vec<u8>) -> Kept {
        match self {
            Self::Store(app) => {
                let new = NewAttachment {
                    media_type: Some("image/jpeg".to_owned()),
                    ..NewAttachment::new(UserId::parse("ann").unwrap(), "photo.jpg")
                };
                Kept::Store(app.put_attachment(new, &bytes[..]).await.unwrap().id)
            }
            Self::Plain(dir) => {
                let number = FILES.fetch_add(1, Ordering::Relaxed);
                let path = dir.join(number.to_string());
                let work = {
                    let path = path.clone();
                    move || put_plain(&path, &bytes)
                };
                tokio::task::spawn_blocking(work).await.unwrap();
                Kept::Plain(path)
            }
        }
    }

    /// Reads a content from front to back in pieces of half a megabyte; returns its length.
    pub async fn get(&self, kept: &Kept) -> u64 {
        match (self, kept) {
            (Self::Store(app), Kept::Store(id)) => {
                let mut download = app.open_attachment(*id).await.unwrap();
                let mut len = 0;
                while let Some(piece) = download.next().await.unwrap() {
                    len += piece.len() as u64;
                }
                len
            }
            (_, Kept::Plain(path)) => get_plain(path).await,
            (Self::Plain(_), Kept::Store(_)) => 0,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "what the store is compared with")]
fn put_plain(path: &Path, bytes: &[u8]) {
    let temporary = path.with_extension("tmp");
    let mut file = std::fs::File::create(&temporary).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
    std::fs::rename(&temporary, path).unwrap();
}

/// As an async server reads a file: the pieces are handed to the runtime.
async fn get_plain(path: &Path) -> u64 {
    let mut file = tokio::fs::File::open(path).await.unwrap();
    let most = usize::try_from(file.metadata().await.unwrap().len()).unwrap();
    let mut buffer = vec![0; most.min(512 << 10)];
    let mut len = 0;
    loop {
        match file.read(&mut buffer).await.unwrap() {
            0 => return len,
            read => len += read as u64,
        }
    }
}

/// Puts so many contents with so many writers, each of which waits before it goes on.
#[expect(clippy::disallowed_methods, reason = "the bench measures real time")]
pub fn put_all(
    bench: &Bench,
    keeper: &Keeper,
    contents: &Arc<Contents>,
    writers: usize,
    total: usize,
) -> (Duration, Vec<Kept>) {
    let left = Arc::new(AtomicU64::new(total as u64));
    bench.run(async {
        let start = Instant::now();
        let tasks: Vec<_> = (0..writers)
            .map(|_| {
                let (keeper, contents, left) = (keeper.clone(), Arc::clone(contents), left.clone());
                tokio::spawn(async move {
                    let mut kept = Vec::new();
                    let take = |left: u64| left.checked_sub(1);
                    while left
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                        .is_ok()
                    {
                        kept.push(keeper.put(contents.fresh()).await);
                    }
                    kept
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        (start.elapsed(), all)
    })
}

/// Reads all of them, so many at a time.
#[expect(clippy::disallowed_methods, reason = "the bench measures real time")]
pub fn get_all(bench: &Bench, keeper: &Keeper, kept: &Arc<Vec<Kept>>, readers: usize) -> Duration {
    let next = Arc::new(AtomicU64::new(0));
    bench.run(async {
        let start = Instant::now();
        let tasks: Vec<_> = (0..readers)
            .map(|_| {
                let (keeper, kept, next) = (keeper.clone(), Arc::clone(kept), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(kept) = kept.get(usize::try_from(index).unwrap()) else {
                            return;
                        };
                        assert!(keeper.get(kept).await > 0);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        start.elapsed()
    })
}

/// Removes what was put.
pub fn remove_all(bench: &Bench, keeper: &Keeper, kept: &[Kept]) {
    for kept in kept {
        match (keeper, kept) {
            (Keeper::Store(app), Kept::Store(id)) => {
                bench.run(app.delete_attachment(*id)).unwrap();
            }
            (_, Kept::Plain(path)) => {
                #[expect(clippy::disallowed_methods, reason = "a file of the bench")]
                std::fs::remove_file(path).unwrap();
            }
            _ => {}
        }
    }
}

/// The store of a bench and a directory of plain files beside it.
pub fn keepers(bench: &Bench) -> (Keeper, Keeper) {
    let dir = bench.dir.path().join("plain");
    #[expect(clippy::disallowed_methods, reason = "a directory of the bench")]
    std::fs::create_dir_all(&dir).unwrap();
    (Keeper::Store(bench.app()), Keeper::Plain(dir))
}
