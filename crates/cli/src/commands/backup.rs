//! `backup DIR|FILE.tar|- [--app KEY] [--base DIR]` and `restore SOURCE`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use tidestore::plan::AppKey;
use tidestore::{
    BackupOptions, BackupPlace, BackupReport, BackupTarget, Copied, RestoreReport, Store,
};

use crate::args::app_key;
use crate::error::Failure;
use crate::output::{Output, count, facts, plain};
use crate::session::{Missing, Place, close};
use crate::times;

/// Copy the store, as it is at one moment, into an empty directory or a tar file
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// A directory, a file whose name ends in .tar, or - for a tar file on standard output
    #[arg(value_name = "DIR|FILE.tar|-")]
    target: PathBuf,
    /// Only this app, with nothing of any other
    #[arg(long, value_name = "KEY", value_parser = app_key)]
    app: Option<AppKey>,
    /// An earlier backup in a directory of the same filesystem: what is the same there is linked, not copied
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
}

/// Make a data directory out of a backup, and verify it
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// A backup: its directory or tar file
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
}

pub(crate) async fn run(place: &Place, output: Output, args: &Backup) -> Result<ExitCode, Failure> {
    let base = args.base.as_deref().map(BackupPlace::path).transpose()?;
    let options = BackupOptions {
        app: args.app.clone(),
        base,
    };
    let is_stream = args.target == Path::new("-");
    let target = if is_stream {
        BackupTarget::stream(io::stdout())
    } else if args
        .target
        .extension()
        .is_some_and(|extension| extension == "tar")
    {
        BackupTarget::archive(&args.target)
    } else {
        BackupTarget::directory(&args.target)
    };
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let bar = output.progress(None, "{spinner} backing up, {elapsed}");
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    let ended = store.backup(target, options).await.map_err(Failure::from);
    bar.finish_and_clear();
    let report = close(&store, ended).await?;
    for damage in &report.damaged {
        output.warning(&format!("{damage}: the backup has what there is"));
    }
    let code = ExitCode::from(u8::from(!report.damaged.is_empty()));
    if is_stream {
        // Standard output is the archive.
        output.note(&text(&report));
        return Ok(code);
    }
    output.show(|| text(&report), || value(&report))?;
    Ok(code)
}

pub(crate) async fn restore(place: &Place, output: Output, args: &Restore) -> Result<(), Failure> {
    let bar = output.progress(None, "{spinner} restoring and verifying, {elapsed}");
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    let restored = Store::restore(&args.source, place.dir()).await;
    bar.finish_and_clear();
    let report = restored?;
    for app in &report.raised {
        output.warning(&format!(
            "the clock is far ahead of the backup: what {app} has expired since is invisible at once; if the clock is wrong, \
             `tidestore app undo` brings it back for a day"
        ));
    }
    output.show(|| restored_text(&report), || restored_value(&report))
}

fn copied(what: &Copied) -> String {
    format!("{} files, {} bytes", count(what.files), count(what.bytes))
}

fn text(report: &BackupReport) -> String {
    let rows = [
        ("moment", times::show(report.moment)),
        ("all", copied(&report.all)),
        ("copied", copied(&report.copied)),
        ("linked to the store", copied(&report.linked)),
        ("linked to the base", copied(&report.reused)),
        ("rows", count(report.rows)),
        ("batches of the logs", count(report.batches)),
        (
            "writers stood still",
            format!("{} µs", count(micros(report))),
        ),
    ];
    facts(rows.map(|(name, value)| (name.to_owned(), value))).to_string()
}

fn micros(report: &BackupReport) -> u64 {
    u64::try_from(report.pause.as_micros()).unwrap_or(u64::MAX)
}

fn value(report: &BackupReport) -> Value {
    json!({
        "moment": report.moment,
        "all": files(&report.all),
        "copied": files(&report.copied),
        "linked": files(&report.linked),
        "reused": files(&report.reused),
        "rows": report.rows,
        "batches": report.batches,
        "pause_us": micros(report),
        "damaged": report.damaged,
    })
}

fn files(what: &Copied) -> Value {
    json!({ "files": what.files, "bytes": what.bytes })
}

fn restored_text(report: &RestoreReport) -> String {
    let rows = [
        ("moment", times::show(report.moment)),
        ("app", report.app.as_deref().map_or("all".to_owned(), plain)),
        ("files", copied(&report.files)),
        ("rows", count(report.rows)),
        ("batches of the logs", count(report.batches)),
        ("messages verified", count(report.verified.messages)),
        ("attachments verified", count(report.verified.attachments)),
    ];
    facts(rows.map(|(name, value)| (name.to_owned(), value))).to_string()
}

fn restored_value(report: &RestoreReport) -> Value {
    json!({
        "moment": report.moment,
        "app": report.app,
        "files": files(&report.files),
        "rows": report.rows,
        "batches": report.batches,
        "raised": report.raised,
        "messages": report.verified.messages,
        "attachments": report.verified.attachments,
    })
}
