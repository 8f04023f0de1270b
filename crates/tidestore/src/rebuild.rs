//! Moving the tables of a store into new files, of the same engine or another.

use std::path::Path;

use tidestore_disk::Env;
use tidestore_kv::{EngineKind, Rebuilt};

use crate::error::Result;
use crate::format;
use crate::shard::views_dir;
use crate::store::{Store, blocking};

impl Store {
    /// Copies the tables of the store in a directory into new files of an engine, compares every row, and puts the copies in
    /// their place, shard by shard. The store must not be open. Killed half-way, some shards have moved and others have
    /// not: the store opens all the same, and the next rebuild goes on.
    ///
    /// `progress` is told the shard and how many of its rows are copied.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Locked`](crate::ErrorKind::Locked) if the store is open, [`ErrorKind::NotAStore`](crate::ErrorKind::NotAStore),
    /// [`ErrorKind::Full`](crate::ErrorKind::Full): the copies need as much space as the tables.
    pub async fn rebuild(
        dir: impl AsRef<Path>,
        engine: EngineKind,
        progress: impl FnMut(u16, u64) + Send + 'static,
    ) -> Result<Vec<Rebuilt>> {
        let dir = dir.as_ref().to_owned();
        blocking(move || rebuild(&Env::real(&dir)?, engine, progress)).await
    }

    /// As [`rebuild`](Self::rebuild), on a disk of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`rebuild`](Self::rebuild).
    pub async fn rebuild_env(
        env: Env,
        engine: EngineKind,
        progress: impl FnMut(u16, u64) + Send + 'static,
    ) -> Result<Vec<Rebuilt>> {
        blocking(move || rebuild(&env, engine, progress)).await
    }
}

fn rebuild(
    env: &Env,
    engine: EngineKind,
    mut progress: impl FnMut(u16, u64),
) -> Result<Vec<Rebuilt>> {
    format::refuse_strangers(&env.disk)?;
    format::refuse_unfinished(&env.disk)?;
    let mut store = format::read(env)?;
    let _lock = env.disk.lock(Path::new("LOCK"))?;
    let mut rebuilt = Vec::new();
    for shard in 0..store.shards {
        let told = &mut |rows| progress(shard, rows);
        rebuilt.push(tidestore_kv::rebuild(
            &env.disk,
            &views_dir(shard),
            engine,
            told,
        )?);
    }
    store.engine = engine;
    format::write(env, &store)?;
    Ok(rebuilt)
}
