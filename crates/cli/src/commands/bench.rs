//! `bench`: a load from a file, against a store on the disk at hand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tidestore_tuning::{CallFigures, Knobs, Outcome, Spec};

use crate::error::Failure;
use crate::output::{Output, count, facts, right, table};
use crate::session::Place;

/// Run a load against a store, and say what it came to
///
/// Without FILE: 64 clients, 70 % durable appends, 25 % newest pages, 5 % pages from the past, over 100,000 messages of the last 30 days,
/// for 20 seconds. The store is a temporary one unless --data names a directory; one that holds messages already keeps them, and
/// gets the load's in an app of its own, `bench#chat`. docs/BENCH.md says what may stand in FILE.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The load, in TOML
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// How long, in seconds; goes before what the file says
    #[arg(long)]
    seconds: Option<f64>,
    /// Writes the outcome as JSON there too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Options in JSON that go before the file's; how `tune` hands them to its processes
    #[arg(long, hide = true)]
    knobs: Option<String>,
}

pub(crate) async fn run(place: &Place, output: Output, bench: &Bench) -> Result<(), Failure> {
    let mut spec = read(bench.file.as_deref())?;
    if let Some(seconds) = bench.seconds {
        spec.seconds = seconds;
    }
    let knobs = match &bench.knobs {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Failure::Argument(format!("--knobs: {error}")))?,
        None => spec.options,
    };
    let temporary = match place.named() {
        Some(_) => None,
        None => Some(tempfile::tempdir_in(".").map_err(|error| {
            Failure::io("no temporary directory here; name one with --data", error)
        })?),
    };
    let dir = temporary
        .as_ref()
        .map_or_else(|| place.dir().to_owned(), |dir| dir.path().join("data"));
    let outcome = watched(&dir, &spec, knobs, output).await?;
    if let Some(path) = &bench.out {
        let text = serde_json::to_string_pretty(&outcome).unwrap_or_default();
        write(path, &text)?;
    }
    output.show(|| text(&spec, &outcome), || json!(outcome))
}

/// The load of a file, or the usual one.
pub(super) fn read(path: Option<&Path>) -> Result<Spec, Failure> {
    let Some(path) = path else {
        return Ok(Spec::default());
    };
    let text = crate::input::text(path)?;
    Spec::parse(&text).map_err(|error| Failure::Argument(format!("{}: {error}", path.display())))
}

/// Writes a file of the operator's.
#[expect(
    clippy::disallowed_methods,
    reason = "a file of the operator's, none of the store's"
)]
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::io(format!("{} cannot be written", path.display()), error))
}

async fn watched(
    dir: &Path,
    spec: &Spec,
    knobs: Knobs,
    output: Output,
) -> Result<Outcome, Failure> {
    let bar = output.progress(None, "{spinner} {elapsed} {msg} {bar:30} {percent} %");
    bar.enable_steady_tick(Duration::from_millis(100));
    let watch = |phase: &str, done: u64, all: u64| {
        if bar.message() != phase {
            bar.set_message(phase.to_owned());
        }
        bar.set_length(all);
        bar.set_position(done);
    };
    let ran = tidestore_tuning::run(dir, spec, knobs, &watch).await;
    bar.finish_and_clear();
    Ok(ran?)
}

fn text(spec: &Spec, outcome: &Outcome) -> String {
    let mut calls = table([
        spec.name.as_str(),
        "calls",
        "a second",
        "p50, µs",
        "p99, µs",
        "p99.9, µs",
        "slowest, µs",
    ]);
    for (name, figures) in &outcome.calls {
        let CallFigures {
            calls: made,
            per_second,
            p50_us,
            p99_us,
            p999_us,
            max_us,
        } = *figures;
        let mut row = vec![comfy_table::Cell::new(name.replace('_', " "))];
        row.push(right(count(made)));
        row.push(right(count(whole(per_second))));
        row.extend([p50_us, p99_us, p999_us, max_us].map(|time| right(count(time))));
        calls.add_row(row);
    }
    let facts = facts(
        [
            (
                "messages a second",
                count(whole(outcome.messages_per_second)),
            ),
            (
                "MB of bodies a second",
                format!("{:.2}", outcome.megabytes_per_second),
            ),
            ("refused", count(outcome.refused)),
            (
                "bytes on disk a byte of body",
                format!("{:.2}", outcome.disk_per_body),
            ),
            (
                "bytes to the device a byte of body",
                format!("{:.2}", outcome.written_per_body),
            ),
            (
                "processor seconds a million calls",
                format!("{:.1}", outcome.cpu_seconds_per_million),
            ),
            (
                "memory at the most, MiB",
                count(outcome.peak_memory_bytes >> 20),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    format!("{calls}\n{facts}")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn whole(rate: f64) -> u64 {
    rate.max(0.0) as u64
}
