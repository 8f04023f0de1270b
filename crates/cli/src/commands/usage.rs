//! `usage KEY`.

use clap::Args;
use serde_json::json;
use tidestore::plan::AppKey;
use tidestore::{AppInfo, Store};

use crate::args::app_key;
use crate::error::Failure;
use crate::output::{Output, count, facts, ratio};
use crate::session::{Missing, Place, close};
use crate::times;

#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
}

pub(crate) async fn run(place: &Place, output: Output, args: &Usage) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = show(&store, output, &args.key).await;
    close(&store, ended).await
}

async fn show(store: &Store, output: Output, key: &AppKey) -> Result<(), Failure> {
    let app = store.app(key)?;
    let (info, usage) = (app.info()?, app.usage().await?);
    output.show(
        || rows(&info, &usage),
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
            })
        },
    )
}

fn rows(info: &AppInfo, usage: &tidestore::Usage) -> String {
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
    ];
    facts(rows.map(|(name, value)| (name.to_owned(), value))).to_string()
}
