//! `verify [--erased USER]`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tidestore::plan::{AppKey, UserId};
use tidestore::{Problem, Store, Traces, VerifyReport};

use crate::args::user;
use crate::error::Failure;
use crate::output::{Output, count, plain, table};
use crate::session::{Missing, Place, close};

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Look for what is left of an erased user instead, in all apps
    #[arg(long, value_name = "USER", value_parser = user)]
    erased: Option<UserId>,
}

pub(crate) async fn run(place: &Place, output: Output, args: &Verify) -> Result<ExitCode, Failure> {
    if let Some(user) = &args.erased {
        let store = place.open_briefly(output, Missing::Refuse).await?;
        let ended = find_traces(&store, output, user).await;
        return close(&store, ended).await;
    }
    let dir = place.existing()?;
    let bar = output.progress(None, "{spinner} verifying, {elapsed}");
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    let ended = Store::verify_dir(dir).await.map_err(Failure::from);
    bar.finish_and_clear();
    let report = ended?;
    for notice in &report.notices {
        output.warning(notice);
    }
    output.show(|| text(&report), || value(&report))?;
    Ok(if report.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

async fn find_traces(store: &Store, output: Output, user: &UserId) -> Result<ExitCode, Failure> {
    let mut found = Vec::new();
    for info in store.apps() {
        found.push((
            info.key.clone(),
            store.app(&info.key)?.find_traces(user).await?,
        ));
    }
    output.show(
        || {
            let rows = found.iter().map(|(key, traces)| {
                let is_left = |is_left| if is_left { "left" } else { "gone" };
                [
                    key.to_string(),
                    is_left(traces.account).to_owned(),
                    is_left(traces.attributes).to_owned(),
                    count(traces.rows),
                    count(traces.sent_marks),
                    count(traces.messages),
                    count(traces.log_records),
                ]
            });
            let mut table = table([
                "app",
                "account",
                "attributes",
                "rows",
                "marks",
                "messages",
                "in the log",
            ]);
            table.add_rows(rows);
            table.to_string()
        },
        || {
            let value = |(key, traces): &(AppKey, Traces)| {
                json!({
                    "app": key.as_str(),
                    "account": traces.account,
                    "attributes": traces.attributes,
                    "rows": traces.rows,
                    "marks": traces.sent_marks,
                    "messages": traces.messages,
                    "log_records": traces.log_records,
                })
            };
            found.iter().map(value).collect()
        },
    )?;
    let is_gone = found.iter().all(|(_, traces)| traces.is_empty());
    Ok(ExitCode::from(u8::from(!is_gone)))
}

fn text(report: &VerifyReport) -> String {
    let mut lines: Vec<_> = report
        .problems
        .iter()
        .map(|problem| plain(&problem.to_string()))
        .collect();
    let verdict = match report.problems.len() {
        0 => "all right".to_owned(),
        1 => "1 problem".to_owned(),
        problems => format!("{problems} problems"),
    };
    if report.problems.iter().any(|problem| problem.is_mendable) {
        lines.push(
            "`tidestore repair --dry-run` says what would be saved and what would be lost"
                .to_owned(),
        );
    }
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
    let problems: Vec<_> = report.problems.iter().map(problem_value).collect();
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
        "batches": report.batches,
    })
}

/// A problem for programs.
pub(crate) fn problem_value(problem: &Problem) -> serde_json::Value {
    json!({
        "path": problem.path.display().to_string(),
        "offset": problem.offset,
        "detail": problem.detail,
        "mendable": problem.is_mendable,
    })
}
