//! Does the checker notice? Against a disk that lies, and against stores that are not what they were.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore::disk::{Disk, Entry, File, Lock, Metadata, OpenMode, Result};

use super::*;

/// A disk that says that it has flushed, and has not.
#[derive(Debug)]
struct Liar(SimDisk);

#[derive(Debug)]
struct LyingFile(Arc<dyn File>);

impl Disk for Liar {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        Ok(Arc::new(LyingFile(self.0.open(path, mode)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.0.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        self.0.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.0.remove_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.0.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.0.sync_dir(path)
    }
    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        self.0.list(path)
    }
    fn metadata(&self, path: &Path) -> Result<Metadata> {
        self.0.metadata(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.0.lock(path)
    }
    fn native_path(&self, path: &Path) -> Option<PathBuf> {
        self.0.native_path(path)
    }
}

impl File for LyingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        self.0.write_at(buf, offset)
    }
    fn sync_data(&self) -> Result<()> {
        Ok(())
    }
    fn len(&self) -> Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.0.set_len(len)
    }
    fn punch(&self, offset: u64, len: u64) -> Result<bool> {
        self.0.punch(offset, len)
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(test)
}

/// Sets a store up; the fault, if any, is the caller's.
async fn begun(seed: u64) -> Round {
    let mut round = Round::new(Draw::from_seed(seed));
    round.open().await.unwrap();
    let answer = act(round.store().unwrap(), 0, &Op::SetUp).await;
    assert!(matches!(answer, Answer::Done(_)), "{answer:?}");
    round
}

/// Makes so many requests, all of which are answered.
async fn busy(round: &mut Round, requests: u32) {
    for _ in 0..requests {
        let (window, state) = (round.window(), round.states.any().unwrap().clone());
        let op = round
            .writer
            .next(&mut round.draw, &state, window, Manners::default());
        assert!(!round.ask(&op, Armed::default()).await.unwrap());
    }
}

async fn reopened(round: &mut Round, disk: SimDisk) -> std::result::Result<(), String> {
    round.store = None;
    round.disk = disk;
    round.open().await?;
    round.store()?.confirm_clock();
    round.check().await
}

#[test]
fn a_disk_that_drops_acknowledged_syncs_is_found_out() {
    for seed in 0..8 {
        run(async {
            let mut round = begun(seed).await;
            busy(&mut round, 10).await;
            round.store.take().unwrap().close().await.unwrap();
            round.wrap = |disk| Arc::new(Liar(disk));
            round.open().await.unwrap();
            busy(&mut round, 60).await;
            let cut = round.disk.crash(seed, Survival::NONE);
            round.wrap = |disk| Arc::new(disk);
            let found = reopened(&mut round, cut).await;
            assert!(found.is_err(), "seed {seed}: nobody noticed");

            // The same without the lie goes well.
            let mut round = begun(seed).await;
            busy(&mut round, 70).await;
            let cut = round.disk.crash(seed, Survival::NONE);
            reopened(&mut round, cut).await.unwrap();
        });
    }
}

#[test]
fn an_older_copy_of_a_store_is_found_out() {
    for seed in 0..8 {
        run(async {
            let mut round = begun(seed).await;
            busy(&mut round, 30).await;
            let older = round.disk.crash(0, Survival::ALL);
            // One message, acknowledged: no more is missing.
            let op = Op::Send {
                from: 1,
                to: 0,
                body: "acknowledged".to_owned(),
                client: None,
                attachments: Vec::new(),
                is_command: false,
                is_buffered: false,
            };
            assert!(!round.ask(&op, Armed::default()).await.unwrap());
            let why = reopened(&mut round, older).await.unwrap_err();
            assert!(why.contains("conversation 0"), "seed {seed}: {why}");
        });
    }
}

/// A row of each part is changed behind the back of the store; every one is noticed.
#[test]
fn a_change_of_any_part_that_was_not_asked_for_is_found_out() {
    run(async {
        let mut round = begun(1).await;
        busy(&mut round, 80).await;
        let put = Op::Put {
            name: "mine".to_owned(),
            len: 3_000,
        };
        assert!(!round.ask(&put, Armed::default()).await.unwrap());
        let whole = round.disk.crash(0, Survival::ALL);
        let states = round.states.clone();
        let strange = [
            Op::SendMany {
                from: 1,
                to: 0,
                bodies: vec!["strange".to_owned()],
            },
            Op::MarkRead {
                user: 0,
                to: 0,
                seq: None,
            },
            Op::Put {
                name: "strange".to_owned(),
                len: 10,
            },
            Op::People(crate::op::PeopleOp::DropAttributes(0)),
        ];
        let mut noticed = 0;
        for op in strange {
            reopened(&mut round, whole.crash(0, Survival::ALL))
                .await
                .unwrap();
            let answer = act(round.store().unwrap(), 0, &op).await;
            let mut after = states.clone();
            after.hear(&op, &answer, round.window()).unwrap();
            if after.any() == states.any() {
                continue;
            }
            let disk = round.disk.crash(0, Survival::ALL);
            round.states = states.clone();
            assert!(reopened(&mut round, disk).await.is_err(), "{op:?} went by");
            round.states = states.clone();
            noticed += 1;
        }
        assert!(noticed >= 3);
    });
}
