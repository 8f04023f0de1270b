//! `verify`.

use std::process::ExitCode;

use serde_json::json;
use tidestore::VerifyReport;

use crate::error::Failure;
use crate::output::{Output, count, plain};
use crate::session::{Missing, Place, close};

pub(crate) async fn run(place: &Place, output: Output) -> Result<ExitCode, Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let bar = output.progress(None, "{spinner} verifying, {elapsed}");
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    let ended = store.verify().await.map_err(Failure::from);
    bar.finish_and_clear();
    let report = close(&store, ended).await?;
    output.show(|| text(&report), || value(&report))?;
    Ok(if report.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn text(report: &VerifyReport) -> String {
    let mut lines: Vec<_> = report
        .problems
        .iter()
        .map(|problem| plain(&format!("{}: {}", problem.path.display(), problem.detail)))
        .collect();
    let verdict = match report.problems.len() {
        0 => "all right".to_owned(),
        1 => "1 problem".to_owned(),
        problems => format!("{problems} problems"),
    };
    lines.push(format!(
        "{verdict}: {} messages in {} segments, {} receipt runs, {} conversations, \
         {} attachments with {} contents in {} volumes, \
         {} users and {} attributes counted again; {} bytes read",
        count(report.messages),
        count(report.segments),
        count(report.receipt_runs),
        count(report.conversations),
        count(report.attachments),
        count(report.contents),
        count(report.volumes),
        count(report.users),
        count(report.attributes),
        count(report.bytes)
    ));
    lines.join("\n")
}

fn value(report: &VerifyReport) -> serde_json::Value {
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|problem| json!({ "path": problem.path.display().to_string(), "detail": problem.detail }))
        .collect();
    json!({
        "problems": problems,
        "notices": report.notices,
        "messages": report.messages,
        "segments": report.segments,
        "bytes": report.bytes,
        "receipt_runs": report.receipt_runs,
        "conversations": report.conversations,
        "users": report.users,
        "attributes": report.attributes,
        "attachments": report.attachments,
        "contents": report.contents,
        "volumes": report.volumes,
    })
}
