//! `inspect FILE`.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tidestore::inspect::Report;

use crate::error::Failure;
use crate::output::{Output, facts};

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A file of a data directory
    file: PathBuf,
}

pub(crate) async fn run(output: Output, args: &Inspect) -> Result<(), Failure> {
    let file = args.file.clone();
    let read = tokio::task::spawn_blocking(move || tidestore::inspect::file(&file)).await;
    let report = match read {
        Ok(report) => report.map_err(|error| not_found(args, error))?,
        Err(error) => return Err(Failure::io("the file cannot be read", error.into())),
    };
    output.show(
        || text(&report),
        || json!({ "title": report.title, "rows": report.rows }),
    )
}

fn text(report: &Report) -> String {
    format!("{}\n{}", report.title, facts(report.rows.clone()))
}

/// A file that is not there is the caller's slip, not the disk's failure.
fn not_found(args: &Inspect, error: tidestore::Error) -> Failure {
    let mut cause = error.source();
    let mut is_missing = false;
    while let Some(found) = cause {
        let io = found.downcast_ref::<io::Error>();
        is_missing |= io.is_some_and(|io| io.kind() == io::ErrorKind::NotFound);
        cause = found.source();
    }
    if is_missing {
        return Failure::NotFound {
            what: format!("there is no file {}", args.file.display()),
            help: "segments lie in apps/*/messages/, volumes in apps/*/blobs/, logs in log/, tables in views/".to_owned(),
        };
    }
    error.into()
}
