//! The command line of Tidestore.
//!
//! The program is [`run`]; everything else is private, except [`lines`], which a fuzzer calls.

mod args;
mod commands;
mod error;
mod input;
#[doc(hidden)]
pub mod lines;
mod occurrences;
mod output;
mod session;
mod times;

use std::process::ExitCode;

use clap::Parser;
use tidestore::ChannelKind;
use tokio::signal::unix::SignalKind;

use crate::args::{Args, Command};
use crate::error::Failure;
use crate::output::Output;

/// Runs the command that the process's arguments name and says how it ended.
///
/// Exit codes are part of the interface; `tidestore --help` lists them.
pub fn run() -> ExitCode {
    let args = Args::parse();
    if let Command::TortureWorker(worker) = &args.command {
        return commands::torture::work(worker);
    }
    let output = Output::new(args.json);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(args, output)),
        Err(error) => Err(Failure::io("the runtime cannot be started", error)),
    };
    match ended {
        Ok(code) => code,
        // Whoever reads has seen enough: `export | head` is no failure.
        Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// More threads than cores: the service lets them wait for the disk where a look at the tables needs it, and the others go on.
fn worker_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    (4 * cores).max(8)
}

/// A limit on the size of files shall be a full disk. The system's way is to end the process without a word, unless the
/// signal is handled; then the write fails, and the store says what it says of a full disk.
fn outlive_file_size_limits() {
    let signal = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // Handled from the first stream on, also when that is gone. Where it cannot be, the system's way it is.
    drop(tokio::signal::unix::signal(signal));
}

async fn dispatch(args: Args, output: Output) -> Result<ExitCode, Failure> {
    outlive_file_size_limits();
    let place = session::Place::new(args.data, args.kv);
    match args.command {
        Command::Demo(demo) => commands::demo::run(&place, output, &demo).await?,
        Command::App(app) => commands::app::run(&place, output, app).await?,
        Command::User(user) => commands::user::run(&place, output, user).await?,
        Command::Group(group) => {
            commands::channel::run(&place, output, ChannelKind::Group, group).await?;
        }
        Command::Room(room) => {
            commands::channel::run(&place, output, ChannelKind::Room, room).await?;
        }
        Command::Thread(thread) => commands::thread::run(&place, output, thread).await?,
        Command::Attr(attr) => commands::attr::run(&place, output, attr).await?,
        Command::Push(push) => commands::push::run(&place, output, push).await?,
        #[cfg(feature = "service")]
        Command::Serve(serve) => commands::serve::run(&place, output, *serve).await?,
        Command::Send(send) => commands::send::run(&place, output, send).await?,
        Command::Inbox(inbox) => commands::inbox::inbox(&place, output, &inbox).await?,
        Command::Ack(ack) => commands::inbox::ack(&place, output, &ack).await?,
        Command::Conversations(list) => {
            commands::inbox::conversations(&place, output, &list).await?;
        }
        Command::Read(read) => commands::inbox::read(&place, output, &read).await?,
        Command::Recall(recall) => commands::change::recall(&place, output, &recall).await?,
        Command::Edit(edit) => commands::change::edit(&place, output, edit).await?,
        Command::React(react) => commands::change::react(&place, output, &react).await?,
        Command::Erase(erase) => commands::change::erase(&place, output, &erase).await?,
        Command::Tail(tail) => commands::tail::run(&place, output, &tail).await?,
        Command::Rebuild(rebuild) => commands::rebuild::run(&place, output, &rebuild).await?,
        Command::Repair(repair) => return commands::repair::run(&place, output, &repair).await,
        Command::Scrub(scrub) => return commands::scrub::run(&place, output, &scrub).await,
        Command::Blob(blob) => commands::blob::run(&place, output, &blob).await?,
        Command::Import(import) => commands::import::run(&place, output, &import).await?,
        Command::Export(export) => commands::export::run(&place, output, &export).await?,
        Command::History(history) => commands::history::run(&place, output, &history).await?,
        Command::Usage(usage) => commands::usage::run(&place, output, &usage).await?,
        Command::Expire(expire) => commands::expire::run(&place, output, &expire).await?,
        Command::Inspect(inspect) => commands::inspect::run(output, &inspect).await?,
        Command::Bench(bench) => commands::bench::run(&place, output, &bench).await?,
        Command::Tune(tune) => commands::tune::run(&place, output, &tune).await?,
        Command::Torture(torture) => return commands::torture::run(output, torture).await,
        // It has a runtime of its own, see above.
        Command::TortureWorker(_) => {}
        Command::Backup(backup) => {
            return commands::backup::run(&place, output, &backup).await;
        }
        Command::Restore(restore) => {
            commands::backup::restore(&place, output, &restore).await?;
        }
        Command::Verify(verify) => return commands::verify::run(&place, output, &verify).await,
    }
    Ok(ExitCode::SUCCESS)
}
