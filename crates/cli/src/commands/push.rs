//! `push log`: what was pushed.

use clap::Subcommand;
use serde_json::{Value, json};
use tidestore::plan::AppKey;
use tidestore::{Notification, NotificationKind};

use crate::args::app_key;
use crate::error::Failure;
use crate::output::{Output, escaped, table};
use crate::session::{Missing, Place, close};
use crate::times;

#[derive(Debug, Subcommand)]
pub(crate) enum PushCommand {
    /// Show what was pushed to users of an app, the newest first
    Log {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
        /// How many notifications
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
        /// Only those before this one
        #[arg(long, value_name = "ID")]
        before: Option<u64>,
    },
}

pub(crate) async fn run(
    place: &Place,
    output: Output,
    command: PushCommand,
) -> Result<(), Failure> {
    let PushCommand::Log { key, limit, before } = command;
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = async {
        let found = store.app(&key)?.notifications(before, limit.into()).await?;
        output.show(|| text(&found), || found.iter().map(value).collect())
    };
    let ended = ended.await;
    close(&store, ended).await
}

fn word(kind: NotificationKind) -> &'static str {
    match kind {
        NotificationKind::Message => "message",
        NotificationKind::Single => "single",
        NotificationKind::Label => "label",
        NotificationKind::All => "all",
    }
}

fn text(found: &[Notification]) -> String {
    let mut rows = table(["id", "time", "why", "to", "what"]);
    for one in found {
        rows.add_row([
            one.id.to_string(),
            times::show(one.time),
            word(one.kind).to_owned(),
            escaped(&one.targets.join(" ")),
            escaped(&String::from_utf8_lossy(&one.content)),
        ]);
    }
    rows.to_string()
}

fn value(one: &Notification) -> Value {
    let content: Value = serde_json::from_slice(&one.content).unwrap_or_default();
    json!({
        "id": one.id,
        "time": one.time,
        "kind": word(one.kind),
        "targets": one.targets,
        "content": content,
    })
}
