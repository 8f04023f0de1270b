//! `torture`: everything that may go wrong, on stores of its own.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tidestore::disk::{Clock, RealClock};
use tidestore_torture::{Finding, NAMES, Options, Program, Report};

use crate::error::Failure;
use crate::output::{Output, count, facts, plain};

/// Torture stores with power cuts, kills, failing disks, damage and wrong clocks, and compare what is left
///
/// Makes stores of its own: simulated ones on a simulated disk and clock, and real ones in a temporary directory, kept
/// busy by a process that is killed at a random moment. After each blow the store is opened again, and every message,
/// attachment, attribute, member, pending message, unread count and ledger is compared with what was acknowledged.
/// Stops at the first loss with exit code 1, keeps the files for inspection, and prints the command that does the
/// round again. Simulated rounds are the same again exactly; of real ones the requests and the moment of the kill are,
/// but not how far the process has come by then.
#[derive(Debug, Args)]
pub(crate) struct Torture {
    /// What chance begins with; the same seed does the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Only this round of the seed
    #[arg(long)]
    round: Option<u64>,
    /// Only simulated rounds: no processes
    #[arg(long)]
    simulated: bool,
    /// Where real stores are made, and those with a loss are kept [default: the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The process that gets killed. It takes its orders from `torture`.
#[derive(Debug, Args)]
pub(crate) struct Worker {
    task: String,
}

/// The name of the command for a worker.
pub(crate) const WORKER: &str = "torture-worker";

pub(crate) fn work(worker: &Worker) -> ExitCode {
    tidestore_torture::work(&worker.task)
}

pub(crate) async fn run(output: Output, torture: Torture) -> Result<ExitCode, Failure> {
    let time = Duration::try_from_secs_f64(torture.minutes * 60.0)
        .map_err(|error| Failure::Argument(format!("--minutes: {error}")))?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::io("this program cannot be found", error))?;
    let program = Program {
        path: program,
        arguments: vec![OsString::from(WORKER)],
        variable: None,
    };
    let options = Options {
        seed: torture.seed,
        time,
        round: torture.round,
        dir: torture.dir,
        program: (!torture.simulated).then_some(program),
    };
    let ran = tokio::task::spawn_blocking(move || watch(output, &options)).await;
    let report = ran
        .map_err(|error| Failure::io("the torture itself broke", error.into()))?
        .map_err(|error| Failure::io("no directory for stores", error))?;
    output.show(
        || text(torture.seed, &report),
        || value(torture.seed, &report),
    )?;
    Ok(ExitCode::from(u8::from(!report.findings.is_empty())))
}

/// Runs it with a bar on a terminal, and a line now and then elsewhere.
fn watch(output: Output, options: &Options) -> std::io::Result<Report> {
    let bar = output.progress(None, "{spinner} {elapsed} {msg}");
    bar.enable_steady_tick(Duration::from_millis(100));
    let begun = RealClock.monotonic();
    let mut told = Duration::ZERO;
    let ran = tidestore_torture::run(options, &mut |report| {
        let line = brief(report);
        let elapsed = RealClock.monotonic().saturating_sub(begun);
        if bar.is_hidden() && elapsed.saturating_sub(told) >= Duration::from_secs(10) {
            told = elapsed;
            output.note(&format!("{} s: {line}", elapsed.as_secs()));
        }
        bar.set_message(line);
    });
    bar.finish_and_clear();
    ran
}

fn brief(report: &Report) -> String {
    let numbers = [
        "rounds",
        "operations",
        "cuts",
        "kills",
        "failed_syncs",
        "full_disks",
        "flips",
    ];
    let numbers =
        numbers.map(|name| format!("{} {}", count(report.count(name)), name.replace('_', " ")));
    format!("{}, losses: {}", numbers.join(", "), report.findings.len())
}

fn text(seed: u64, report: &Report) -> String {
    let rows = NAMES
        .iter()
        .map(|(name, label)| ((*label).to_owned(), count(report.count(name))));
    let losses = [
        ("seed".to_owned(), seed.to_string()),
        ("LOSSES".to_owned(), report.findings.len().to_string()),
    ];
    let mut text = facts(rows.chain(losses)).to_string();
    for finding in &report.findings {
        text.push_str("\n\n");
        text.push_str(&told(finding));
    }
    text
}

fn told(finding: &Finding) -> String {
    let lines = finding.what.lines().map(plain);
    let kept = finding.kept.as_ref();
    let kept = kept.map_or_else(String::new, |kept| format!("\nkept: {}", kept.display()));
    format!(
        "LOST in round {}: {}{kept}\nagain: {}",
        finding.round,
        lines.collect::<Vec<_>>().join("\n"),
        finding.command()
    )
}

fn value(seed: u64, report: &Report) -> serde_json::Value {
    let findings = report.findings.iter().map(|finding| {
        json!({
            "round": finding.round,
            "what": finding.what,
            "kept": finding.kept.as_ref().map(|kept| kept.display().to_string()),
            "again": finding.command(),
        })
    });
    let counts = NAMES
        .iter()
        .map(|(name, _)| ((*name).to_owned(), json!(report.count(name))));
    json!({
        "seed": seed,
        "counts": counts.collect::<serde_json::Map<_, _>>(),
        "losses": report.findings.len(),
        "findings": findings.collect::<Vec<_>>(),
    })
}
