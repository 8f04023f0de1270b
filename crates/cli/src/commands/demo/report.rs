//! What the demonstration prints.

use std::time::Duration;

use comfy_table::Cell;
use serde_json::{Value, json};
use tidestore::plan::Terms;

use super::DAYS;
use super::caps::{self, Cap};
use super::comeback::Comeback;
use super::latency::{Latencies, show};
use super::reads::Cold;
use super::terms::{Downgrade, Refused};
use super::walk::{Tenant, Walked};
use crate::output::{count, quotient, ratio, right, table};

/// Everything that was measured.
pub(crate) struct Report {
    pub(crate) walked: Walked,
    pub(crate) warm: Latencies,
    pub(crate) cold: Cold,
    pub(crate) opening: Duration,
    pub(crate) downgrade: Downgrade,
    pub(crate) refused: Refused,
    pub(crate) caps: Vec<Cap>,
    pub(crate) comeback: Comeback,
}

impl Report {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let Downgrade {
            preview,
            visible: [before, after, undone],
        } = &self.downgrade;
        let walked = &self.walked;
        format!(
            "{DAYS} days of chat, and one day of silence: what each plan keeps\n{}\n\
             Kept messages are those that were acknowledged and are within the retention, counted after reopening.\n\n\
             {}\n\n\
             How long it took\n{}\n\
             {} flushing and {} in {} merges on top; reopening took {}. After it the store's caches are empty \
             at first, those of the operating system are not.\n\n\
             demo#pro on basic: the preview says that {} messages ({} bytes) would be hidden; \
             visible {} -> {}, undone -> {}\n\
             A message of one byte too many: {}\n\n{}\n\n{}",
            self.apps(),
            walked.media.text(),
            self.latencies(),
            show(walked.flushing),
            show(walked.merging),
            count(walked.merges),
            show(self.opening),
            count(preview.hidden_messages),
            count(preview.hidden_bytes),
            count(*before),
            count(*after),
            count(*undone),
            self.refused.text,
            caps::text(&self.caps),
            self.comeback.text()
        )
    }

    fn apps(&self) -> String {
        let mut table = table([
            "app",
            "plan",
            "days",
            "sent",
            "kept",
            "expired",
            "files",
            "files unlinked",
            "bytes of kept bodies",
            "disk before last expiry",
            "disk after",
            "bytes a message",
        ]);
        for tenant in &self.walked.tenants {
            let mut row = vec![Cell::new(&tenant.key), Cell::new(tenant.plan)];
            row.extend(tenant.figures().map(|figure| right(count(figure))));
            row.push(right(ratio(
                tenant.after.disk_bytes,
                tenant.after.messages,
                1,
            )));
            table.add_row(row);
        }
        table.to_string()
    }

    fn latencies(&self) -> String {
        let mut table = table(["what", "times", "p50", "p99", "max", "a second"]);
        for (name, unit, latencies) in self.measured() {
            let mut row = vec![Cell::new(name), right(count(latencies.count()))];
            row.extend(latencies.figures().map(|figure| right(show(figure))));
            row.push(right(format!("{} {unit}", count(latencies.rate()))));
            table.add_row(row);
        }
        table.to_string()
    }

    fn measured(&self) -> [(String, &'static str, &Latencies); 5] {
        let appends = &self.walked.appends;
        let batch = ratio(appends.items, appends.count(), 1);
        [
            (
                format!("append a batch durably ({batch} messages, 8 writers)"),
                "messages",
                appends,
            ),
            (
                "expire, once a day".to_owned(),
                "passes",
                &self.walked.expiries,
            ),
            ("newest page of 50, warm".to_owned(), "pages", &self.warm),
            (
                "newest page of 50, after reopening".to_owned(),
                "pages",
                &self.cold.pages,
            ),
            (
                "one message by its id".to_owned(),
                "messages",
                &self.cold.lookups,
            ),
        ]
    }

    /// For programs.
    pub(crate) fn value(&self) -> Value {
        let walked = &self.walked;
        let Downgrade {
            preview,
            visible: [before, after, undone],
        } = &self.downgrade;
        let apps: Vec<_> = walked.tenants.iter().map(Tenant::value).collect();
        json!({
            "days": DAYS,
            "apps": apps,
            "attachments": walked.media.value(),
            "append_batch": walked.appends.value(),
            "expire": walked.expiries.value(),
            "page_warm": self.warm.value(),
            "page_cold": self.cold.pages.value(),
            "lookup": self.cold.lookups.value(),
            "flush_seconds": walked.flushing.as_secs_f64(),
            "merge_seconds": walked.merging.as_secs_f64(),
            "merges": walked.merges,
            "reopen_seconds": self.opening.as_secs_f64(),
            "downgrade": {
                "app": "demo#pro",
                "to": "basic",
                "hidden_messages": preview.hidden_messages,
                "hidden_bytes": preview.hidden_bytes,
                "visible_before": before,
                "visible_after": after,
                "visible_undone": undone,
            },
            "refused": { "kind": self.refused.kind, "message": self.refused.text },
            "caps": caps::value(&self.caps),
            "comeback": self.comeback.value(),
        })
    }
}

impl Tenant {
    fn days(&self) -> u32 {
        Terms::of(self.plan).retention().as_days()
    }

    /// Days, sent, kept, expired, files, files unlinked, bytes of kept bodies, disk before, disk after.
    fn figures(&self) -> [u64; 9] {
        [
            u64::from(self.days()),
            self.sent,
            self.after.messages,
            self.sent - self.after.messages.min(self.sent),
            self.after.segments,
            self.expired.1,
            self.after.body_bytes,
            self.before.disk_bytes,
            self.after.disk_bytes,
        ]
    }

    fn value(&self) -> Value {
        json!({
            "app": self.key.as_str(),
            "plan": self.plan.as_str(),
            "retention_days": self.days(),
            "sent": self.sent,
            "sent_bytes": self.sent_bytes,
            "kept": self.after.messages,
            "expired": self.sent - self.after.messages.min(self.sent),
            "unlinked": {
                "segments": self.expired.1,
                "messages": self.expired.0,
                "bytes": self.expired.2,
            },
            "segments": self.after.segments,
            "body_bytes": self.after.body_bytes,
            "disk_bytes_before_last_expiry": self.before.disk_bytes,
            "disk_bytes": self.after.disk_bytes,
            "bytes_per_message": quotient(self.after.disk_bytes, self.after.messages),
        })
    }
}
