//! Simulated rounds in every run of the tests, real ones with kills, and hours of both by command.
//!
//! ```sh
//! cargo test --release -p tidestore-torture --test torture -- --ignored --nocapture
//! ```
//!
//! runs for ten minutes; `TIDESTORE_TORTURE_MINUTES` and `TIDESTORE_TORTURE_SEED` say otherwise.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use tidestore_torture::{Options, Program, Report, run, simulate};

/// Holds the task of a worker, for a test that starts itself.
const TASK: &str = "TIDESTORE_TORTURE_TASK";

/// This test, started as the process that gets killed.
fn program() -> Program {
    let arguments = ["--exact", "the_process_that_gets_killed", "--nocapture"];
    Program {
        path: std::env::current_exe().unwrap(),
        arguments: arguments.map(Into::into).to_vec(),
        variable: Some(TASK.to_owned()),
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.map_or(otherwise, |value| value.parse().unwrap())
}

fn no_losses(report: &Report) {
    for finding in &report.findings {
        println!(
            "{}\n{:?}\n{}",
            finding.what,
            finding.kept,
            finding.command()
        );
    }
    assert!(report.findings.is_empty());
}

#[test]
fn the_process_that_gets_killed() {
    if let Ok(task) = std::env::var(TASK) {
        // Ends with its input; whatever else the harness of tests would say is not for the one who listens.
        let _ = tidestore_torture::work(&task);
        std::process::exit(0);
    }
}

#[test]
fn simulated_rounds_lose_nothing_and_meet_every_hardship() {
    let mut total = Report::default();
    for round in 0..60 {
        let (report, _) = simulate(6, round).unwrap_or_else(|why| panic!("round {round}: {why}"));
        total.absorb(report);
    }
    let met = [
        "cuts",
        "crashes",
        "failed_syncs",
        "io_errors",
        "full_disks",
        "expired_when_full",
        "clock_jumps",
        "flips",
        "cut_files",
        "lost_files",
        "stale_files",
        "strange_files",
        "messages",
        "imported",
        "changes",
        "attachments",
        "directory",
        "attributes",
        "pending",
    ];
    for name in met {
        assert!(total.count(name) > 0, "no {name}");
    }
}

#[test]
fn the_same_seed_and_round_do_the_same() {
    let mut traces = std::collections::BTreeSet::new();
    for round in 0..12 {
        let (_, trace) = simulate(11, round).unwrap();
        assert_eq!(simulate(11, round).unwrap().1, trace, "round {round}");
        traces.insert(trace);
    }
    assert_eq!(traces.len(), 12, "rounds are like each other");
}

#[test]
fn a_killed_process_loses_nothing() {
    let mut total = Report::default();
    // The disk of seed 1 stays full while attachments are deleted.
    for seed in [1, 11, 12] {
        let options = Options {
            seed,
            time: Duration::ZERO,
            round: Some(15),
            dir: None,
            program: Some(program()),
        };
        total.absorb(run(&options, &mut |_| {}).unwrap());
    }
    no_losses(&total);
    assert!(total.count("real") == 3 && total.count("kills") > 3);
    assert!(total.count("messages") > 0 && total.count("attachments") > 0);
}

#[test]
#[ignore = "ten minutes; see above"]
fn for_a_long_time() {
    let options = Options {
        seed: number("TIDESTORE_TORTURE_SEED", 1),
        time: Duration::from_mins(number("TIDESTORE_TORTURE_MINUTES", 10)),
        round: None,
        dir: None,
        program: Some(program()),
    };
    let report = run(&options, &mut |_| {}).unwrap();
    for (name, count) in &report.counts {
        println!("{count:>12} {name}");
    }
    no_losses(&report);
}
