//! The same chat on Tidestore and on the engines that a chat server would otherwise be built on, in turn, side by side.
//!
//! `peers` runs all loads on all engines three times, each run in a process of its own and a directory of its own, the engines
//! in turn; it prints tables with the medians. `peers --help` says how to run less.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people to read"
)]

mod chat;
mod engines;
mod html;
mod layout;
mod measure;
mod peer;
mod report;
mod svg;
mod work;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::{Args, Parser, Subcommand};

use crate::measure::Figures;
use crate::report::Report;
use crate::work::{Load, Task};

/// The allocator of all engines that take Rust's; Tidestore's program has the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The same chat on Tidestore and its peers, side by side
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    all: All,
    #[command(subcommand)]
    one: Option<One>,
}

#[derive(Args)]
struct All {
    /// Engines, with commas between
    #[arg(long, value_delimiter = ',', default_values_t = engines::NAMES.map(str::to_owned))]
    engines: Vec<String>,
    /// Loads, with commas between: append, buffered, history, reopen, storm, sparse, mixed
    #[arg(long, value_delimiter = ',', default_values_t = work::ALL.map(|load| load.name.to_owned()))]
    work: Vec<String>,
    /// Runs of each; medians are shown
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// A part of the full size: 0.1 for a first look
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Messages of a file with JSON lines {chat, from, ts, body} in place of generated ones
    #[arg(long)]
    corpus: Option<PathBuf>,
    /// Where the data lies meanwhile; on the disk that is to be measured
    #[arg(long, default_value = "target/data")]
    dir: PathBuf,
    /// Writes all figures there
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes a page with charts there
    #[arg(long)]
    html: Option<PathBuf>,
    /// Writes a picture of the headlines there, as SVG.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Makes tables, and a page, of a file that --json wrote, and runs nothing
    #[arg(long)]
    from: Option<PathBuf>,
}

#[derive(Subcommand)]
enum One {
    /// One run of one load, in this process
    #[command(hide = true)]
    Run {
        #[arg(long)]
        engine: String,
        #[arg(long)]
        work: String,
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        scale: f64,
        #[arg(long)]
        corpus: Option<PathBuf>,
    },
    /// Writes and waits to be killed
    #[command(hide = true)]
    Fill {
        #[arg(long)]
        engine: String,
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        scale: f64,
        #[arg(long)]
        count: usize,
    },
}

fn main() {
    let cli = Cli::parse();
    match &cli.one {
        Some(One::Run {
            engine,
            work,
            dir,
            scale,
            corpus,
        }) => {
            let task = Task {
                engine,
                dir,
                scale: *scale,
                corpus: corpus.as_deref(),
            };
            let figures = (load(work).run)(&task);
            println!("{}", serde_json::to_string(&figures).unwrap());
        }
        Some(One::Fill {
            engine,
            dir,
            scale,
            count,
        }) => {
            let task = Task {
                engine,
                dir,
                scale: *scale,
                corpus: None,
            };
            work::fill_and_wait(&task, *count);
        }
        None => {
            let report = match &cli.all.from {
                Some(path) => {
                    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
                }
                None => run_all(&cli.all),
            };
            print!("{}", report.tables());
            if let Some(path) = &cli.all.html {
                std::fs::write(path, html::page(&report)).unwrap();
            }
            if let Some(path) = &cli.all.svg {
                std::fs::write(path, svg::picture(&report)).unwrap();
            }
        }
    }
}

fn load(name: &str) -> &'static Load {
    let found = work::ALL.iter().find(|load| load.name == name);
    found.unwrap_or_else(|| panic!("no load {name}"))
}

fn run_all(all: &All) -> Report {
    let mut report = Report::default();
    for name in &all.work {
        let load = load(name);
        let engines = all.engines.iter();
        let engines: Vec<_> = engines
            .filter(|e| !load.without.contains(&e.as_str()))
            .collect();
        for run in 1..=all.runs {
            for engine in &engines {
                eprint!("{name}, run {run} of {}: {engine} ", all.runs);
                let began = std::time::Instant::now();
                let figures = run_one(all, engine, load);
                eprintln!("{:.1} s", began.elapsed().as_secs_f64());
                if let Some(figures) = figures {
                    report.add(load.name, engine, figures);
                }
                // What is there so far outlives an interruption.
                if let Some(path) = &all.json {
                    std::fs::write(path, serde_json::to_string_pretty(&report).unwrap()).unwrap();
                }
            }
        }
        eprint!("{}", report.table(load));
    }
    report
}

/// One run in a process and a directory of its own. An engine that fails is missing from the table, and says why.
fn run_one(all: &All, engine: &str, load: &Load) -> Option<Figures> {
    std::fs::create_dir_all(&all.dir).unwrap();
    let dir = tempfile::tempdir_in(&all.dir).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["run", "--engine", engine, "--work", load.name, "--dir"]);
    command.arg(dir.path().join("data"));
    command.arg("--scale").arg(all.scale.to_string());
    if let Some(corpus) = &all.corpus {
        command.arg("--corpus").arg(corpus);
    }
    // What others left behind is not this one's to write.
    rustix::fs::sync();
    let output = command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    let output = output.output().unwrap();
    if !output.status.success() {
        eprint!("FAILED: {} ", output.status);
        return None;
    }
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// The runtime that a server would have.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis() as u64
}
