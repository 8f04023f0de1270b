//! `serve`: the REST service over a data directory.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use tidestore::plan::{AppKey, Limit, Limits, Plan, Terms};
use tidestore::{App, Durability, ErrorKind, Options, Store};
use tidestore_server::{Server, ServerOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{app_key, plan};
use crate::commands::credentials;
use crate::error::Failure;
use crate::output::Output;
use crate::session::{Missing, Place, close};

/// Serve the apps of a data directory over HTTP: the 152 calls of the service's limits page, and live delivery
///
/// Answers until it gets SIGINT or SIGTERM; then calls under way are finished, and the store is closed in order. Options
/// are taken from the command line, from the environment, and from a file, in this order.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen [default: 127.0.0.1:7700]
    #[arg(long, env = "TIDESTORE_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Make this app if it is not there, and print its credentials once
    #[arg(long, env = "TIDESTORE_APP", value_name = "KEY", value_parser = app_key)]
    app: Option<AppKey>,
    /// The plan of an app that is made: free, basic, pro or enterprise
    #[arg(long, env = "TIDESTORE_PLAN", value_parser = plan, default_value = "pro")]
    plan: Plan,
    /// A file with options, in TOML; see docs/SERVE.md
    #[arg(long, env = "TIDESTORE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A certificate chain in PEM; with it only TLS is spoken
    #[arg(
        long,
        env = "TIDESTORE_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM
    #[arg(
        long,
        env = "TIDESTORE_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// Lets every call pass however often it is made; for benchmarks
    #[arg(long, env = "TIDESTORE_NO_RATES")]
    no_rates: bool,
    /// Answers sends after the write and before the flush of the device, at most 100 ms early
    #[arg(long, env = "TIDESTORE_BUFFERED")]
    buffered: bool,
    /// Posts push notifications as JSON to this URL
    #[arg(long, env = "TIDESTORE_PUSH_WEBHOOK", value_name = "URL")]
    push_webhook: Option<String>,
    /// What is logged to standard error: error, warn, info, debug, or directives for parts, as those of `RUST_LOG`
    #[arg(
        long,
        env = "TIDESTORE_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    log: String,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    server: ServerOptions,
    store: StoreConfig,
    /// Limits that are not the contract's, by name.
    limits: BTreeMap<String, u64>,
}

/// The options of the store that an operator changes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StoreConfig {
    buffered: Option<bool>,
    cache_bytes: Option<usize>,
    memtable_bytes: Option<usize>,
    open_files: Option<usize>,
    recall_window_seconds: Option<u64>,
    commands_in_history: Option<bool>,
    /// Whether inboxes show no more than the service's caps on offline messages.
    offline_caps: Option<bool>,
}

pub(crate) async fn run(place: &Place, output: Output, serve: Serve) -> Result<(), Failure> {
    let config = read(serve.config.as_deref())?;
    let (server, options) = merged(&serve, config)?;
    log_to_stderr(&serve.log, output.is_json())?;
    if tidestore_server::metrics().is_err() {
        output.warning("metrics are collected elsewhere; /metrics is empty");
    }
    let missing = if serve.app.is_some() {
        Missing::Create
    } else {
        Missing::Refuse
    };
    let store = place.open(output, missing, options).await?;
    let ended = answer(&store, output, &serve, server).await;
    close(&store, ended).await
}

async fn answer(
    store: &Store,
    output: Output,
    serve: &Serve,
    options: ServerOptions,
) -> Result<(), Failure> {
    if let Some(key) = &serve.app {
        let app = ensure(store, key, serve.plan).await?;
        if app.signing_key().await?.is_none() {
            credentials::issue(&app, output).await?;
        }
    }
    let is_secure = options.tls_cert.is_some();
    let server = Server::bind(store.clone(), options).await;
    let server = server.map_err(|error| Failure::Argument(format!("cannot listen: {error}")))?;
    let address = server
        .address()
        .map_err(|error| Failure::io("no address", error))?;
    let url = format!("{}://{address}", if is_secure { "https" } else { "http" });
    output.show(
        || format!("listening on {url}; the interface is described there"),
        || json!({"listening": url}),
    )?;
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|error| Failure::io("signals cannot be heard", error))?;
    server
        .run(async {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            output.note("stopping; calls under way are finished");
        })
        .await;
    Ok(())
}

async fn ensure(store: &Store, key: &AppKey, plan: Plan) -> Result<App, Failure> {
    match store.app(key) {
        Err(error) if *error.kind() == ErrorKind::UnknownApp => {
            Ok(store.create_app(key, Terms::of(plan)).await?)
        }
        found => Ok(found?),
    }
}

fn read(path: Option<&std::path::Path>) -> Result<Config, Failure> {
    let Some(path) = path else {
        return Ok(Config::default());
    };
    let text = crate::input::text(path)?;
    toml::from_str(&text).map_err(|error| Failure::Argument(format!("{}: {error}", path.display())))
}

/// What the command line says goes before the file.
fn merged(serve: &Serve, config: Config) -> Result<(ServerOptions, Options), Failure> {
    let mut server = config.server;
    if let Some(listen) = serve.listen {
        server.listen = listen;
    }
    server.tls_cert = serve.tls_cert.clone().or(server.tls_cert);
    server.tls_key = serve.tls_key.clone().or(server.tls_key);
    server.push_webhook = serve.push_webhook.clone().or(server.push_webhook);
    server.rates &= !serve.no_rates;
    let (mut options, own) = (Options::default(), config.store);
    if serve.buffered || own.buffered == Some(true) {
        options.durability = Durability::Buffered;
    }
    options.cache_bytes = own.cache_bytes.unwrap_or(options.cache_bytes);
    options.memtable_bytes = own.memtable_bytes.unwrap_or(options.memtable_bytes);
    options.open_files = own.open_files.unwrap_or(options.open_files);
    options.commands_in_history = own
        .commands_in_history
        .unwrap_or(options.commands_in_history);
    if let Some(seconds) = own.recall_window_seconds {
        options.recall_window = std::time::Duration::from_secs(seconds);
    }
    // The service caps what waits for a user; a store that is embedded leaves that to its server.
    if own.offline_caps != Some(false) {
        options.offline_caps = Some(tidestore::OfflineCaps::of_service());
    }
    options.limits = limits(&config.limits)?;
    // The runtime of this program has more threads than the machine has cores.
    options.reads_in_place = true;
    Ok((server, options))
}

fn limits(named: &BTreeMap<String, u64>) -> Result<Limits, Failure> {
    let mut limits = Limits::default();
    for (name, max) in named {
        let all = Limit::ALL.iter();
        let limit = all.copied().find(|limit| limit.name() == name);
        let limit = limit.ok_or_else(|| Failure::Argument(format!("{name:?} is no limit")))?;
        limits = limits.with(limit, *max);
    }
    Ok(limits)
}

/// Structured lines on standard error: for people on a terminal, JSON for programs.
fn log_to_stderr(filter: &str, json: bool) -> Result<(), Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::Argument(format!("--log: {error}"));
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| wrong(&error))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if json {
        lines.json().try_init()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    started.map_err(|error| wrong(&error))
}
