//! Reading pages and single messages, warm and cold.

use std::time::Duration;

use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use tidestore::disk::Env;
use tidestore::plan::Plan;
use tidestore::{App, Conversation, Options, Page, Store};

use super::latency::{Latencies, timed};
use super::walk::{Walked, key};
use crate::error::Failure;

/// Messages of a page.
const PAGE: usize = 50;
/// Pages and lookups that are measured warm.
const READS: usize = 5_000;
/// Conversations that are read.
const CONVERSATIONS: usize = 300;

/// What reading cost after the store was opened again.
pub(crate) struct Cold {
    pub(crate) pages: Latencies,
    pub(crate) lookups: Latencies,
}

/// Newest pages of conversations that were read before.
pub(crate) async fn warm(store: &Store, walked: &Walked, seed: u64) -> Result<Latencies, Failure> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let places = conversations(store, walked).await?;
    let mut pages = Latencies::new()?;
    for (app, conversation) in &places {
        app.history(conversation, Page::newest(PAGE)).await?;
    }
    for _ in 0..READS {
        let Some((app, conversation)) = places.choose(&mut rng) else {
            break;
        };
        pages
            .time(app.history(conversation, Page::newest(PAGE)))
            .await?;
    }
    Ok(pages)
}

/// Opens the store again and says how long that took.
pub(crate) async fn reopen(env: Env, options: Options) -> Result<(Store, Duration), Failure> {
    let (store, took) = timed(Store::open_env(env, options)).await;
    Ok((store?, took))
}

/// The first page of each conversation with empty caches, then single messages by their ids. The caches of the
/// operating system are not emptied: that is not a program's to do.
pub(crate) async fn cold(store: &Store, walked: &Walked, seed: u64) -> Result<Cold, Failure> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut cold = Cold {
        pages: Latencies::new()?,
        lookups: Latencies::new()?,
    };
    for (app, conversation) in conversations(store, walked).await? {
        cold.pages
            .time(app.history(&conversation, Page::newest(PAGE)))
            .await?;
    }
    for tenant in walked
        .tenants
        .iter()
        .filter(|tenant| tenant.plan == Plan::Enterprise)
    {
        let app = store.app(&tenant.key)?;
        let floor = app.info()?.floor;
        let kept: Vec<_> = tenant
            .sample
            .iter()
            .filter(|id| id.millis() >= floor)
            .collect();
        for _ in 0..READS {
            let Some(id) = kept.choose(&mut rng) else {
                break;
            };
            if cold.lookups.time(app.message(**id)).await?.is_none() {
                let text = format!("message {id} was acknowledged and is not found");
                let kind = tidestore::ErrorKind::Corruption;
                return Err(Failure::Store(tidestore::Error::new(kind, text)));
            }
        }
    }
    Ok(cold)
}

/// Conversations of the two apps that keep most, as far as they hold something.
async fn conversations(
    store: &Store,
    walked: &Walked,
) -> Result<Vec<(App, Conversation)>, Failure> {
    let mut found = Vec::new();
    for plan in [Plan::Pro, Plan::Enterprise] {
        if !walked.tenants.iter().any(|tenant| tenant.plan == plan) {
            continue;
        }
        let app = store.app(&key(plan)?)?;
        let floor = app.info()?.floor;
        let heads = app.conversations(None, 100_000).await?;
        let alive = heads
            .into_iter()
            .filter(|head| head.last_id.millis() >= floor);
        found.extend(
            alive
                .take(CONVERSATIONS)
                .map(|head| (app.clone(), head.conversation)),
        );
    }
    Ok(found)
}
