//! `usage KEY`.

use clap::Args;
use serde_json::{Value, json};
use tidestore::plan::AppKey;
use tidestore::{AppInfo, AttachmentUsage, DayUsage, Store};

use crate::args::app_key;
use crate::error::Failure;
use crate::output::{Output, count, facts, ratio, right, table};
use crate::session::{Missing, Place, close};
use crate::times;

#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// Show every day of uploads, not only the newest
    #[arg(long)]
    days: bool,
}

/// Days of uploads that are shown without being asked for.
const DAYS_SHOWN: usize = 14;
const DAY_MILLIS: u64 = 86_400_000;

pub(crate) async fn run(place: &Place, output: Output, args: &Usage) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = show(&store, output, args).await;
    close(&store, ended).await
}

async fn show(store: &Store, output: Output, args: &Usage) -> Result<(), Failure> {
    let app = store.app(&args.key)?;
    let (info, usage) = (app.info()?, app.usage().await?);
    let attachments = app.attachment_usage().await?;
    output.show(
        || text(&info, &usage, &attachments, args.days),
        || {
            json!({
                "app": info.key.as_str(),
                "plan": info.terms.plan().as_str(),
                "retention_days": info.terms.retention().as_days(),
                "floor": info.floor,
                "messages": { "count": usage.messages, "body_bytes": usage.body_bytes },
                "disk_bytes": usage.disk_bytes,
                "segments": usage.segments,
                "oldest": usage.oldest,
                "newest": usage.newest,
                "attachments": value(&attachments),
            })
        },
    )
}

/// All days together, and each one by its first millisecond.
fn value(usage: &AttachmentUsage) -> Value {
    let figures = |usage: &DayUsage| {
        json!({
            "count": usage.attachments,
            "logical_bytes": usage.logical_bytes,
            "physical_bytes": usage.physical_bytes,
        })
    };
    let mut value = figures(&usage.total);
    let days = usage.days.iter().map(|day| {
        let mut value = figures(&day.usage);
        value["day"] = json!(u64::from(day.day) * DAY_MILLIS);
        value
    });
    value["days"] = days.collect();
    value
}

fn text(
    info: &AppInfo,
    usage: &tidestore::Usage,
    attachments: &AttachmentUsage,
    all_days: bool,
) -> String {
    let mut text = rows(info, usage, &attachments.total);
    if attachments.days.is_empty() {
        return text;
    }
    let shown = if all_days {
        attachments.days.len()
    } else {
        DAYS_SHOWN
    };
    let older = attachments.days.len().saturating_sub(shown);
    let mut table = table([
        "uploaded on",
        "attachments",
        "bytes of contents",
        "bytes on disk",
    ]);
    for day in attachments.days.iter().skip(older) {
        let date = times::show(u64::from(day.day) * DAY_MILLIS);
        table.add_row([
            date.split(' ').next().unwrap_or_default().into(),
            right(count(day.usage.attachments)),
            right(count(day.usage.logical_bytes)),
            right(count(day.usage.physical_bytes)),
        ]);
    }
    text.push('\n');
    text.push_str(&table.to_string());
    if older > 0 {
        text.push_str("\nolder days: --days");
    }
    text
}

fn rows(info: &AppInfo, usage: &tidestore::Usage, attachments: &DayUsage) -> String {
    let time = |time: Option<u64>| time.map_or("-".to_owned(), times::show);
    let rows = [
        ("app", info.key.to_string()),
        ("plan", info.terms.plan().to_string()),
        (
            "messages live",
            format!("{} days", info.terms.retention().as_days()),
        ),
        ("visible from", times::show(info.floor)),
        ("messages", count(usage.messages)),
        ("bytes of bodies and extensions", count(usage.body_bytes)),
        ("bytes on disk", count(usage.disk_bytes)),
        (
            "bytes on disk a message",
            ratio(usage.disk_bytes, usage.messages, 1),
        ),
        ("segments", count(usage.segments)),
        ("oldest message", time(usage.oldest)),
        ("newest message", time(usage.newest)),
        ("attachments", count(attachments.attachments)),
        (
            "bytes of attachments, each counted",
            count(attachments.logical_bytes),
        ),
        (
            "bytes of attachments on disk",
            count(attachments.physical_bytes),
        ),
    ];
    facts(rows.map(|(name, value)| (name.to_owned(), value))).to_string()
}
