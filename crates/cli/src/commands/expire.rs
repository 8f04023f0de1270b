//! `expire [--now TIME] [--confirm-clock]`.

use clap::Args;
use serde_json::{Value, json};
use tidestore::{ExpiryReport, Store};

use crate::error::Failure;
use crate::output::{Output, count, right, table};
use crate::session::{Missing, Place, close};
use crate::times;

#[derive(Debug, Args)]
pub(crate) struct Expire {
    /// Expire as if it were this time; you vouch for it, and what expires stays expired
    #[arg(long, value_name = "TIME", value_parser = times::parse, allow_hyphen_values = true)]
    now: Option<u64>,
    /// Confirm that the machine's clock is right, after a warning that it may not be
    #[arg(long)]
    confirm_clock: bool,
}

pub(crate) async fn run(place: &Place, output: Output, args: &Expire) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = expire(&store, output, args).await;
    close(&store, ended).await
}

async fn expire(store: &Store, output: Output, args: &Expire) -> Result<(), Failure> {
    if args.confirm_clock {
        store.confirm_clock();
    }
    // What is only in the log expires with its bucket, and for that it must be in one.
    store.flush().await?;
    let report = match args.now {
        Some(now) => store.expire_at(now).await?,
        None => store.expire().await?,
    };
    if let Some(alarm) = &report.paused {
        output.warning(&format!(
            "nothing was expired: {alarm}; `tidestore expire --confirm-clock` confirms it"
        ));
    }
    for damage in &report.damaged {
        output.warning(&format!("a volume was left as it is: {damage}"));
    }
    output.show(|| text(&report), || value(&report))
}

fn text(report: &ExpiryReport) -> String {
    let mut table = table([
        "app",
        "messages",
        "segments",
        "bytes freed",
        "attachments",
        "bytes of attachments",
        "volumes",
    ]);
    for (key, app) in &report.apps {
        table.add_row([
            key.into(),
            right(count(app.messages)),
            right(count(app.segments)),
            right(count(app.bytes)),
            right(count(app.attachments)),
            right(count(app.attachment_bytes)),
            right("-"),
        ]);
    }
    table.add_row([
        "all".into(),
        right(count(report.messages)),
        right(count(report.segments)),
        right(count(report.bytes)),
        right(count(report.attachments)),
        right(count(report.attachment_bytes)),
        right(count(report.volumes)),
    ]);
    table.to_string()
}

fn value(report: &ExpiryReport) -> Value {
    let apps: Vec<_> = report
        .apps
        .iter()
        .map(|(key, app)| {
            json!({
                "app": key,
                "messages": app.messages,
                "segments": app.segments,
                "bytes": app.bytes,
                "attachments": app.attachments,
                "attachment_bytes": app.attachment_bytes,
            })
        })
        .collect();
    json!({
        "messages": report.messages,
        "segments": report.segments,
        "bytes": report.bytes,
        "attachments": report.attachments,
        "attachment_bytes": report.attachment_bytes,
        "volumes": report.volumes,
        "carried": report.carried,
        "damaged": report.damaged,
        "paused": report.paused.map(|alarm| alarm.to_string()),
        "apps": apps,
    })
}
