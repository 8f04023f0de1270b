//! The process that gets killed: it opens a store and does what it is told, as many requests at a time as there are lanes.
//!
//! Orders come as lines of JSON on standard input, words go as lines of JSON to standard output. An answer is written
//! after the store has given it, in one write, so that a kill cuts at most the last line.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidestore::disk::{Env, OsEntropy, RealDisk};
use tidestore::{EngineKind, Options, Store};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::act::act;
use crate::faulty::{FaultyDisk, ShiftedClock, Switch, Trouble};
use crate::op::{Answer, Op};
use crate::people;

/// What a worker is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    /// The data directory.
    pub(crate) dir: String,
    /// Shards of a new store.
    pub(crate) shards: u16,
    /// Where the tables of a new store live.
    pub(crate) engine: String,
    /// How far the wall clock is off, in milliseconds.
    pub(crate) clock: i64,
    /// Whether somebody vouches for the clock.
    pub(crate) is_confirmed: bool,
}

impl Task {
    /// How the store is opened.
    pub(crate) fn options(&self, background: bool) -> Options {
        Options {
            shards: self.shards,
            engine: self.engine.parse().unwrap_or(EngineKind::Redb),
            log_file_bytes: 64 << 10,
            memtable_bytes: 48 << 10,
            block_bytes: 1_024,
            shared_attachment_bytes: 16 << 10,
            deletion_rows: 2,
            limits: people::limits(),
            expiry_interval: Duration::from_millis(300),
            background,
            ..Options::default()
        }
    }
}

/// What a worker is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Do something, for one lane.
    Ask { lane: usize, op: Op },
    /// Fail from now on.
    Fail(Trouble),
    /// The wall clock is off by so much from now on.
    Clock(i64),
}

/// What a worker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// The store is open.
    Open,
    /// It is not.
    NotOpen(String),
    /// What became of a lane's request.
    Answer { lane: usize, answer: Answer },
    /// The disk failed, at a file, and the store is about to hear it.
    Struck { trouble: Trouble, path: String },
    /// An order to fail, or to fail no more, holds from now on.
    Fails(Trouble),
}

fn say(word: &Word) {
    let Ok(mut line) = serde_json::to_string(word) else {
        return;
    };
    line.push('\n');
    let mut out = std::io::stdout().lock();
    // Nobody listens to one whose parent is gone.
    drop(out.write_all(line.as_bytes()).and_then(|()| out.flush()));
}

/// Runs a worker until it is killed, or its standard input ends.
pub fn work(task: &str) -> ExitCode {
    let Ok(task) = serde_json::from_str::<Task>(task) else {
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve(&task)),
        Err(_) => ExitCode::FAILURE,
    }
}

async fn serve(task: &Task) -> ExitCode {
    let clock = ShiftedClock::by(task.clock);
    let switch = Switch::new(|trouble, path| {
        let path = path.display().to_string();
        say(&Word::Struck { trouble, path });
    });
    let store = match open(task, &clock, &switch).await {
        Ok(store) => store,
        Err(error) => {
            say(&Word::NotOpen(format!("{error} {error:?}")));
            return ExitCode::FAILURE;
        }
    };
    if task.is_confirmed {
        store.confirm_clock();
    }
    say(&Word::Open);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Order::Ask { lane, op }) => {
                let store = store.clone();
                tokio::spawn(async move {
                    let answer = act(&store, lane, &op).await;
                    say(&Word::Answer { lane, answer });
                });
            }
            Ok(Order::Fail(trouble)) => {
                switch.set(trouble);
                say(&Word::Fails(trouble));
            }
            Ok(Order::Clock(millis)) => clock.shift(millis),
            Err(_) => return ExitCode::from(2),
        }
    }
    ExitCode::SUCCESS
}

async fn open(task: &Task, clock: &ShiftedClock, switch: &Arc<Switch>) -> tidestore::Result<Store> {
    let disk = FaultyDisk {
        inner: RealDisk::create(Path::new(&task.dir))?,
        switch: Arc::clone(switch),
    };
    let env = Env {
        disk: Arc::new(disk),
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(OsEntropy),
    };
    Store::open_env(env, task.options(true)).await
}
