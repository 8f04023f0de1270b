//! `usage KEY`.

use clap::Args;
use comfy_table::Cell;
use serde_json::{Value, json};
use tidestore::plan::AppKey;
use tidestore::{AppInfo, AttachmentUsage, DayCount, DayUsage, Gauge, Ledger, Store};

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
    /// Show every day of messages and uploads, not only the newest
    #[arg(long)]
    days: bool,
}

/// Days that are shown without being asked for.
const DAYS_SHOWN: usize = 14;
const DAY_MILLIS: u64 = 86_400_000;
/// Characters of a full bar.
const BAR: u64 = 20;

pub(crate) async fn run(place: &Place, output: Output, args: &Usage) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = show(&store, output, args).await;
    close(&store, ended).await
}

async fn show(store: &Store, output: Output, args: &Usage) -> Result<(), Failure> {
    let app = store.app(&args.key)?;
    let (info, ledger) = (app.info()?, app.ledger().await?);
    output.show(
        || text(&info, &ledger, args.days),
        || value_of(&info, &ledger),
    )
}

/// What has a limit, or might have one, in the order in which it is shown.
fn gauges(ledger: &Ledger) -> [(&'static str, &'static str, Gauge); 7] {
    [
        ("registered users", "users", ledger.users),
        ("users online", "users_online", ledger.users_online),
        ("groups", "groups", ledger.groups),
        ("chatrooms", "rooms", ledger.rooms),
        ("threads", "threads", ledger.threads),
        (
            "bytes of user attributes",
            "user_attribute_bytes",
            ledger.user_attributes,
        ),
        (
            "bytes of chatroom attributes",
            "room_attribute_bytes",
            ledger.room_attributes,
        ),
    ]
}

fn value_of(info: &AppInfo, ledger: &Ledger) -> Value {
    let usage = &ledger.messages;
    let days = ledger.days.iter().map(|(day, count)| {
        json!({
            "day": u64::from(*day) * DAY_MILLIS,
            "messages": count.messages,
            "body_bytes": count.body_bytes,
        })
    });
    let mut value = json!({
        "app": info.key.as_str(),
        "plan": info.terms.plan().as_str(),
        "retention_days": info.terms.retention().as_days(),
        "floor": info.floor,
        "messages": {
            "count": usage.messages,
            "body_bytes": usage.body_bytes,
            "days": days.collect::<Vec<_>>(),
        },
        "disk_bytes": usage.disk_bytes,
        "segments": usage.segments,
        "oldest": usage.oldest,
        "newest": usage.newest,
        "attachments": attachments_value(&ledger.attachments),
    });
    for (_, name, gauge) in gauges(ledger) {
        value[name] = json!({
            "used": gauge.used,
            "limit": gauge.limit,
            // A limit of none at all has no percentage.
            "percent": gauge.percent().filter(|percent| percent.is_finite()),
            "over": gauge.is_over(),
        });
    }
    value
}

/// All days together, and each one by its first millisecond.
fn attachments_value(usage: &AttachmentUsage) -> Value {
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

fn text(info: &AppInfo, ledger: &Ledger, all_days: bool) -> String {
    let mut parts = vec![rows(info, ledger), caps(ledger)];
    let shown = if all_days { usize::MAX } else { DAYS_SHOWN };
    let (days, uploads) = (&ledger.days, &ledger.attachments.days);
    if !days.is_empty() {
        parts.push(message_days(days, shown));
    }
    if !uploads.is_empty() {
        parts.push(upload_days(&ledger.attachments, shown));
    }
    if days.len().max(uploads.len()) > shown {
        parts.push("older days: --days".to_owned());
    }
    parts.join("\n")
}

fn rows(info: &AppInfo, ledger: &Ledger) -> String {
    let (usage, attachments) = (&ledger.messages, &ledger.attachments.total);
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

/// What there is of what is allowed.
fn caps(ledger: &Ledger) -> String {
    let mut table = table(["of what the plan allows", "used", "limit", "", ""]);
    for (name, _, gauge) in gauges(ledger) {
        let percent = match gauge.percent() {
            Some(percent) if percent.is_finite() => format!("{percent:.1} %"),
            _ => String::new(),
        };
        let state = if gauge.is_over() {
            "over the limit"
        } else {
            ""
        };
        let bar = gauge
            .limit
            .map_or(String::new(), |limit| bar(gauge.used, limit));
        table.add_row([
            Cell::new(name),
            right(count(gauge.used)),
            right(gauge.limit.map_or("none".to_owned(), count)),
            Cell::new(bar),
            Cell::new(format!("{percent} {state}").trim()),
        ]);
    }
    table.to_string()
}

/// How much of a whole there is, as a picture.
fn bar(part: u64, whole: u64) -> String {
    let full = if whole == 0 {
        if part == 0 { 0 } else { BAR }
    } else {
        // Something is never nothing.
        (u128::from(part) * u128::from(BAR))
            .div_ceil(u128::from(whole))
            .min(u128::from(BAR))
            .try_into()
            .unwrap_or(BAR)
    };
    let (full, rest) = (usize::try_from(full).unwrap_or_default(), BAR - full);
    "█".repeat(full) + &"░".repeat(usize::try_from(rest).unwrap_or_default())
}

fn message_days(days: &std::collections::BTreeMap<u32, DayCount>, shown: usize) -> String {
    let most = days
        .values()
        .map(|day| day.messages)
        .max()
        .unwrap_or_default();
    let mut table = table(["sent on", "messages", "bytes of bodies", ""]);
    for (day, counted) in days.iter().skip(days.len().saturating_sub(shown)) {
        table.add_row([
            Cell::new(date(*day)),
            right(count(counted.messages)),
            right(count(counted.body_bytes)),
            Cell::new(bar(counted.messages, most)),
        ]);
    }
    table.to_string()
}

fn upload_days(attachments: &AttachmentUsage, shown: usize) -> String {
    let mut table = table([
        "uploaded on",
        "attachments",
        "bytes of contents",
        "bytes on disk",
    ]);
    let older = attachments.days.len().saturating_sub(shown);
    for day in attachments.days.iter().skip(older) {
        table.add_row([
            date(day.day).into(),
            right(count(day.usage.attachments)),
            right(count(day.usage.logical_bytes)),
            right(count(day.usage.physical_bytes)),
        ]);
    }
    table.to_string()
}

fn date(day: u32) -> String {
    let time = times::show(u64::from(day) * DAY_MILLIS);
    time.split(' ').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_empty_for_nothing_and_full_from_the_limit_on() {
        assert_eq!(bar(0, 100), "░".repeat(20));
        assert_eq!(bar(1, 100_000), "█".to_owned() + &"░".repeat(19));
        assert_eq!(bar(50, 100), "█".repeat(10) + &"░".repeat(10));
        for over in [100, 101, u64::MAX] {
            assert_eq!(bar(over, 100), "█".repeat(20));
        }
        assert_eq!(bar(0, 0), "░".repeat(20));
        assert_eq!(bar(1, 0), "█".repeat(20));
    }
}
