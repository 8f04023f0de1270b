//! `tune`: the options that suit a load on the disk at hand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tidestore_tuning::{Error, Gains, Goal, Knobs, Outcome, Plan, Spec, Trial, Tuned, all_knobs};

use super::bench;
use crate::error::Failure;
use crate::output::{Output, right, table};
use crate::session::Place;

/// Look for the options that suit a load on this disk
///
/// Turns one option after the other, each value in turn with the best so far and each run in a process and a store of its own, until
/// nothing helps any more; then measures what it recommends beside the default options once more. Options are those of `tidestore bench`
/// files. Everything lies below --data, or here, and goes again.
#[derive(Debug, Args)]
pub(crate) struct Tune {
    /// The load, in TOML; see `bench`
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// What is wanted: throughput, latency, disk, memory or balanced
    #[arg(long, default_value = "balanced")]
    goal: Goal,
    /// Options to turn, with commas between [default: all]
    #[arg(long, value_delimiter = ',')]
    knobs: Vec<String>,
    /// How long one run takes, in seconds
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Pairs of runs for each candidate
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// Try all combinations too, and say how far from the best of them the search has come
    #[arg(long)]
    exhaustive: bool,
    /// Writes everything that was measured as JSON there
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Writes a page with charts there
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) async fn run(place: &Place, output: Output, tune: &Tune) -> Result<(), Failure> {
    let mut spec = bench::read(tune.file.as_deref())?;
    spec.seconds = tune.seconds;
    let plan = Plan {
        goal: tune.goal,
        knobs: tune.knobs.clone(),
        pairs: tune.pairs,
        is_exhaustive: tune.exhaustive,
        ..Plan::on(place.named().unwrap_or(Path::new(".")))
    };
    let scratch = tempfile::tempdir().map_err(|error| Failure::io("no temporary files", error))?;
    let file = scratch.path().join("load.toml");
    bench::write(&file, &toml(&spec)?)?;
    let tuned = watched(output, &spec, &plan, &file).await?;
    if let Some(path) = &tune.out {
        let text = serde_json::to_string_pretty(&tuned).unwrap_or_default();
        bench::write(path, &text)?;
    }
    if let Some(path) = &tune.html {
        bench::write(path, &tidestore_tuning::page(&tuned))?;
    }
    output.show(|| text(&spec, &tuned), || json!(tuned))
}

fn toml(spec: &Spec) -> Result<String, Failure> {
    spec.to_toml()
        .map_err(|error| Failure::Argument(error.to_string()))
}

async fn watched(output: Output, spec: &Spec, plan: &Plan, file: &Path) -> Result<Tuned, Failure> {
    let bar = output.progress(None, "{spinner} {elapsed} {msg}");
    bar.enable_steady_tick(Duration::from_millis(100));
    let watch = |trial: &Trial| {
        let line = line(trial);
        if bar.is_hidden() {
            output.note(&line);
        }
        bar.println(line);
    };
    let run = |dir: PathBuf, knobs: Knobs| {
        let file = file.to_owned();
        async move { once(&file, &dir, knobs).await }
    };
    bar.set_message(format!("{}: {} s a run", spec.name, spec.seconds));
    let tuned = tidestore_tuning::tune(spec, plan, run, &watch).await;
    bar.finish_and_clear();
    Ok(tuned?)
}

/// One run in a process of its own: what another one has left in memory is not counted.
async fn once(file: &Path, dir: &Path, knobs: Knobs) -> Result<Outcome, Error> {
    let knobs = serde_json::to_string(&knobs).map_err(|error| Error::Spec(error.to_string()))?;
    let program = std::env::current_exe()?;
    let mut command = std::process::Command::new(program);
    command.args(["--json", "--data"]).arg(dir).arg("bench");
    command.arg(file).arg("--knobs").arg(knobs);
    command.stderr(std::process::Stdio::inherit());
    let ran = tokio::task::spawn_blocking(move || command.output()).await;
    let output = ran.map_err(|error| Error::Spec(error.to_string()))??;
    if !output.status.success() {
        return Err(Error::Spec(format!("a run failed: {}", output.status)));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Error::Spec(format!("a run said something else: {error}")))
}

fn line(trial: &Trial) -> String {
    let what = match &trial.knob {
        Some(knob) => format!("{knob} = {}", trial.value),
        None => serde_json::to_string(&trial.knobs).unwrap_or_default(),
    };
    format!("{what}: {:.2} ({})", trial.score, words(&trial.gains))
}

fn words(gains: &Gains) -> String {
    let Gains {
        throughput,
        latency,
        disk,
        memory,
    } = gains;
    format!("throughput {throughput:.2}, latency {latency:.2}, disk {disk:.2}, memory {memory:.2}")
}

fn text(spec: &Spec, tuned: &Tuned) -> String {
    let mut tried = table([
        "option",
        "value",
        "score",
        "throughput",
        "latency",
        "disk",
        "memory",
        "",
    ]);
    for trial in &tuned.trials {
        let Gains {
            throughput,
            latency,
            disk,
            memory,
        } = trial.gains;
        let ratios = [trial.score, throughput, latency, disk, memory];
        let mut row = vec![
            comfy_table::Cell::new(trial.knob.as_deref().unwrap_or_default()),
            right(trial.value),
        ];
        row.extend(ratios.map(|ratio| right(format!("{ratio:.2}"))));
        row.push(comfy_table::Cell::new(if trial.is_taken {
            "taken"
        } else {
            ""
        }));
        tried.add_row(row);
    }
    let mut options = String::new();
    for knob in all_knobs(spec.durability) {
        let value = knob.get(&tuned.recommended);
        if value != knob.get(&Knobs::default()) {
            options.extend(["\n", knob.name, " = ", &value.to_string()]);
        }
    }
    let recommended = if options.is_empty() {
        "The default options suit this load; nothing helped by more than 3 %.".to_owned()
    } else {
        format!(
            "Recommended, {:.2} times as good as the default options ({}):\n\n[options]{options}",
            tuned.score,
            words(&tuned.gains)
        )
    };
    let exhaustive = tuned.exhaustive.as_ref().map_or_else(String::new, |all| {
        format!(
            "\n\nOf all {} combinations the best is {}; the recommended options are {:.2} times as good.",
            all.trials.len(),
            serde_json::to_string(&all.best).unwrap_or_default(),
            all.recommended_to_best
        )
    });
    format!(
        "{tried}\nEach value beside the best options of that moment; over 1 is better.\n\n{recommended}{exhaustive}"
    )
}
