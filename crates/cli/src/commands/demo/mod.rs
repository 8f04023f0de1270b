//! `demo [--messages N]`: the main job in one command.
//!
//! Four apps, one per plan, live through 200 days in a few seconds: messages are appended durably while a simulated
//! clock walks from day to day, and expiry runs each day, on the real disk. What is printed is measured, and what
//! remains is compared with what was acknowledged. Two more apps send attachments, two fill caps of their
//! plans, and in the last one a phone comes back after two days.

mod caps;
mod comeback;
mod latency;
mod media;
mod reads;
mod report;
mod terms;
mod walk;

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use tidestore::disk::{Env, OsEntropy, RealDisk, SimClock};
use tidestore::{Options, Store};

use crate::error::Failure;
use crate::output::Output;
use crate::session::{Place, close, holds_something, warn};
use crate::times;

/// Show the main job on generated chat: 200 days, four apps, one per plan, two more that send media
///
/// Works in a temporary directory that is gone afterwards, unless --data names an empty or missing one, which is kept.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many messages to send, in all apps together
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..=50_000_000))]
    messages: u64,
    /// Where the generated chat begins; the same seed, the same chat
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// How long the apps live.
const DAYS: u64 = 200;
const DAY: u64 = 86_400_000;

pub(crate) async fn run(place: &Place, output: Output, args: &Demo) -> Result<(), Failure> {
    if let Some(dir) = place.named() {
        // The clock of the demonstration begins in the past, which is nothing for a store that is in use.
        if holds_something(dir) {
            let text = format!(
                "{} is not empty; the demonstration needs an empty directory",
                dir.display()
            );
            return Err(Failure::Argument(text));
        }
        return demo(dir, output, args).await;
    }
    let failed = |error| Failure::io("a temporary directory cannot be made", error);
    let dir = tempfile::Builder::new()
        .prefix("tidestore-demo-")
        .tempdir()
        .map_err(failed)?;
    let ended = demo(dir.path(), output, args).await;
    // A directory that stays behind would be noticed, so that is said; the result counts more.
    if let Err(error) = dir.close() {
        output.warning(&format!(
            "the temporary directory could not be removed: {error}"
        ));
    }
    ended
}

async fn demo(dir: &Path, output: Output, args: &Demo) -> Result<(), Failure> {
    // The last day ends now, so that a directory that is kept can be used under the real clock.
    let clock = SimClock::new(times::now().saturating_sub((DAYS + 1) * DAY));
    let env = Env {
        disk: Arc::new(RealDisk::create(dir).map_err(tidestore::Error::from)?),
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(OsEntropy),
    };
    // Flush, merge and expiry are called when the simulated time has come; threads of their own go by real time.
    let options = Options {
        background: false,
        ..Options::default()
    };
    let store = Store::open_env(env.clone(), options.clone()).await?;
    warn(&store, output);
    let walked = walk::walk(&store, &clock, output, args).await;
    let (mut walked, warm) = match walked {
        Ok(walked) => {
            let warm = reads::warm(&store, &walked, args.seed).await;
            close(&store, warm.map(|warm| (walked, warm))).await?
        }
        Err(failure) => return close(&store, Err(failure)).await,
    };
    drop(store);

    let (store, opening) = reads::reopen(env, options).await?;
    let ended = async {
        let cold = reads::cold(&store, &walked, args.seed).await?;
        walk::compare(&store, &mut walked).await?;
        walked.media.look(&store).await?;
        let downgrade = terms::downgrade(&store).await?;
        let refused = terms::refused(&store).await?;
        let caps = caps::try_out(&store).await?;
        let comeback = comeback::come_back(&store, &clock).await?;
        Ok(report::Report {
            walked,
            warm,
            cold,
            opening,
            downgrade,
            refused,
            caps,
            comeback,
        })
    }
    .await;
    let report = close(&store, ended).await?;
    output.show(|| report.text(), || report.value())
}
