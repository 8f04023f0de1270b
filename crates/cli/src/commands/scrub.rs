//! `scrub [--rate BYTES]`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tidestore::ScrubStatus;

use crate::commands::verify::problem_value;
use crate::error::Failure;
use crate::output::{Output, count, plain};
use crate::session::{Missing, Place, close};

#[derive(Debug, Args)]
pub(crate) struct Scrub {
    /// Read at most so many bytes a second; 0 is as fast as it goes
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    rate: u64,
}

pub(crate) async fn run(place: &Place, output: Output, args: &Scrub) -> Result<ExitCode, Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let bar = output.progress(None, "{spinner} scrubbing, {elapsed}");
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    let ended = store.scrub_at(args.rate).await.map_err(Failure::from);
    bar.finish_and_clear();
    let status = close(&store, ended).await?;
    output.show(|| text(&status), || value(&status))?;
    Ok(ExitCode::from(u8::from(!status.problems.is_empty())))
}

fn text(status: &ScrubStatus) -> String {
    let problems = status.problems.iter();
    let mut lines: Vec<String> = problems
        .map(|problem| plain(&problem.to_string()))
        .collect();
    if !lines.is_empty() {
        lines.push(
            "`tidestore repair --dry-run` says what would be saved and what would be lost"
                .to_owned(),
        );
    }
    let verdict = match status.problems.len() {
        0 => "all right".to_owned(),
        1 => "1 problem".to_owned(),
        problems => format!("{problems} problems"),
    };
    lines.push(format!(
        "{verdict}: {} bytes read; full pass {} of this store",
        count(status.bytes_read),
        count(status.passes)
    ));
    lines.join("\n")
}

fn value(status: &ScrubStatus) -> serde_json::Value {
    json!({
        "passes": status.passes,
        "last_full_pass": status.last_full_pass,
        "bytes_read": status.bytes_read,
        "problems": status.problems.iter().map(problem_value).collect::<Vec<_>>(),
    })
}
