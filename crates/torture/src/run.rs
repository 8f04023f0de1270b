//! Rounds, one after the other, until the time is up or something is lost.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tidestore::disk::{Clock, RealClock};

use crate::draw::{Draw, mix};
use crate::real::{self, Program};
use crate::report::{Finding, Report};
use crate::{panics, sim};

/// Each so many rounds one is real.
const REAL_EVERY: u64 = 16;

/// What to do, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// The same seed does the same.
    pub seed: u64,
    /// Rounds begin until this time is over.
    pub time: Duration,
    /// Only this round.
    pub round: Option<u64>,
    /// Where real stores are made, and those in which something was lost are kept. A temporary directory if absent.
    pub dir: Option<PathBuf>,
    /// How a process is started that will be killed; without it all rounds are simulated.
    pub program: Option<Program>,
}

/// Runs, and reports after each round. Stops at the first loss.
///
/// Simulated rounds depend on the seed and the number of the round alone. Of real ones the requests and the moment of the
/// kill are the same again, but not how far the process has come by then.
///
/// # Errors
///
/// No temporary directory, or no runtime.
pub fn run(options: &Options, after_round: &mut dyn FnMut(&Report)) -> std::io::Result<Report> {
    panics::watch();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let begun = RealClock.monotonic();
    let mut total = Report::default();
    for round in options.round.unwrap_or_default().. {
        let panicked = panics::count();
        let mut report = match &options.program {
            Some(program) if round % REAL_EVERY == REAL_EVERY - 1 => {
                runtime.block_on(real_round(options, program, round))?
            }
            _ => runtime.block_on(simulated_round(options, round)),
        };
        if panics::count() > panicked && report.findings.is_empty() {
            report.findings.push(Finding {
                seed: options.seed,
                round,
                what: "something panicked; see above".to_owned(),
                kept: None,
            });
        }
        report.add("rounds", 1);
        total.absorb(report);
        after_round(&total);
        let is_over = RealClock.monotonic().saturating_sub(begun) >= options.time;
        if is_over || options.round.is_some() || !total.findings.is_empty() {
            break;
        }
    }
    Ok(total)
}

/// One simulated round, and the hash of all that was asked, answered and read in it.
///
/// # Errors
///
/// What was lost or wrong.
pub fn simulate(seed: u64, round: u64) -> Result<(Report, u64), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let mut simulated = begin(seed, round);
    let lives = lives(&mut simulated);
    let trace = runtime.block_on(simulated.run(lives))?;
    Ok((simulated.report, trace))
}

/// The whole store driven by bytes: each decides something, until there are none left.
///
/// # Errors
///
/// What was lost or wrong.
pub fn drive(bytes: &[u8]) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let mut simulated = sim::Round::new(Draw::from_bytes(bytes));
    runtime.block_on(simulated.run(64))?;
    Ok(simulated.report)
}

fn begin(seed: u64, round: u64) -> sim::Round {
    sim::Round::new(Draw::from_seed(mix(seed, round)))
}

fn lives(simulated: &mut sim::Round) -> u64 {
    3 + simulated.draw.below(6)
}

async fn simulated_round(options: &Options, round: u64) -> Report {
    let mut simulated = begin(options.seed, round);
    let lives = lives(&mut simulated);
    let ended = simulated.run(lives).await;
    let mut report = std::mem::take(&mut simulated.report);
    report.add("simulated", 1);
    if let Err(what) = ended {
        let kept = place(options.dir.as_deref(), round).ok();
        let kept = kept.filter(|kept| real::dump(&simulated.disk, kept).is_ok());
        report.findings.push(Finding {
            seed: options.seed,
            round,
            what,
            kept,
        });
    }
    report
}

async fn real_round(options: &Options, program: &Program, round: u64) -> std::io::Result<Report> {
    let place = match &options.dir {
        Some(dir) => tempfile::Builder::new()
            .prefix("torture-")
            .tempdir_in(dir)?,
        None => tempfile::Builder::new().prefix("torture-").tempdir()?,
    };
    let dir = place.path().join("data");
    let mut killed = real::Round::new(Draw::from_seed(mix(options.seed, round)), &dir, program);
    let lives = 2 + killed.draw.below(4);
    let ended = killed.run(lives).await;
    let mut report = std::mem::take(&mut killed.report);
    report.add("real", 1);
    if let Err(what) = ended {
        let place = place.keep();
        // A finding without its story is a finding all the same.
        drop(real::write_story(&place, &killed.story));
        report.findings.push(Finding {
            seed: options.seed,
            round,
            what,
            kept: Some(place.join("data")),
        });
    }
    Ok(report)
}

/// A new directory that stays.
fn place(dir: Option<&Path>, round: u64) -> std::io::Result<PathBuf> {
    let prefix = format!("torture-{round}-");
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(&prefix);
    let made = match dir {
        Some(dir) => builder.tempdir_in(dir)?,
        None => builder.tempdir()?,
    };
    Ok(made.keep().join("data"))
}
