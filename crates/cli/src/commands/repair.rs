//! `repair [--dry-run]`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tidestore::{RepairOptions, RepairReport, Store};

use crate::commands::verify::problem_value;
use crate::error::Failure;
use crate::output::{Output, plain};
use crate::session::Place;

#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// Change nothing; say what would be done, and what would be lost
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(place: &Place, output: Output, args: &Repair) -> Result<ExitCode, Failure> {
    let dir = place.existing()?;
    let bar = output.progress(None, "{spinner} repairing, {elapsed}");
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    let options = RepairOptions {
        dry_run: args.dry_run,
        ..RepairOptions::default()
    };
    let ended = Store::repair(dir, options).await;
    bar.finish_and_clear();
    let report = ended?;
    output.show(|| text(&report), || value(&report))?;
    // Whoever asks a script whether all is well hears that something is lost.
    let is_well = report.left.is_empty() && !report.has_losses();
    Ok(ExitCode::from(u8::from(!is_well)))
}

fn text(report: &RepairReport) -> String {
    let lines = report.to_string();
    let lines: Vec<String> = lines.lines().map(plain).collect();
    lines.join("\n")
}

fn value(report: &RepairReport) -> serde_json::Value {
    let messages = report.messages.iter().map(|lost| {
        let numbers = lost.numbers.iter();
        json!({
            "app": lost.app,
            "conversation": lost.conversation.as_ref().map(ToString::to_string),
            "messages": lost.messages,
            "numbers": numbers.map(|range| json!([range.start(), range.end()])).collect::<Vec<_>>(),
            "ids": lost.ids.map(|(first, last)| json!([first.0, last.0])),
            "file": lost.file.display().to_string(),
        })
    });
    let attachments = report.attachments.iter().map(|lost| {
        json!({
            "app": lost.app,
            "id": lost.id.to_string(),
            "name": lost.name,
            "uploader": lost.uploader,
            "length": lost.length,
            "file": lost.file.display().to_string(),
        })
    });
    let moved = report.quarantined.iter().map(|one| {
        json!({
            "path": one.path.display().to_string(),
            "to": one.to.display().to_string(),
            "why": one.why,
        })
    });
    json!({
        "dry_run": report.is_dry_run,
        "clean": report.is_clean(),
        "found": report.found.iter().map(problem_value).collect::<Vec<_>>(),
        "steps": report.steps,
        "quarantined": moved.collect::<Vec<_>>(),
        "lost_messages": messages.collect::<Vec<_>>(),
        "lost_attachments": attachments.collect::<Vec<_>>(),
        "other_losses": report.other_losses,
        "earlier": report.earlier,
        "left": report.left.iter().map(problem_value).collect::<Vec<_>>(),
    })
}
