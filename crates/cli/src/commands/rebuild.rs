//! `rebuild --kv ENGINE`: the tables into new files.

use clap::Args;
use serde_json::json;
use tidestore::{EngineKind, Rebuilt, Store};

use crate::args::engine;
use crate::error::Failure;
use crate::output::{Output, count, right, table};
use crate::session::Place;

#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// The engine of the new tables: sled or redb
    #[arg(long, value_name = "ENGINE", value_parser = engine)]
    kv: EngineKind,
}

pub(crate) async fn run(place: &Place, output: Output, args: &Rebuild) -> Result<(), Failure> {
    let dir = place.existing()?;
    let bar = output.progress(None, "{spinner} {msg}");
    let told = bar.clone();
    let rebuilt = Store::rebuild(dir, args.kv, move |shard, rows| {
        told.set_message(format!("shard {shard}: {} rows copied", count(rows)));
    })
    .await?;
    bar.finish_and_clear();
    output.show(|| text(&rebuilt), || rebuilt.iter().map(value).collect())
}

fn text(rebuilt: &[Rebuilt]) -> String {
    let mut table = table([
        "shard",
        "engine",
        "rows",
        "bytes in them",
        "files before",
        "files now",
    ]);
    for (shard, one) in rebuilt.iter().enumerate() {
        table.add_row([
            right(shard),
            one.kind.to_string().into(),
            right(count(one.rows)),
            right(count(one.logical_bytes)),
            right(count(one.bytes_before)),
            right(count(one.bytes_after)),
        ]);
    }
    table.to_string()
}

fn value(one: &Rebuilt) -> serde_json::Value {
    json!({
        "engine": one.kind.to_string(),
        "rows": one.rows,
        "logical_bytes": one.logical_bytes,
        "bytes_before": one.bytes_before,
        "bytes_after": one.bytes_after,
    })
}
