//! How the service behaves; what the store does is in its own options.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rates::OwnRate;

/// How the service behaves. Every field can stand in the configuration file under its own name.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings of an operator"
)]
pub struct ServerOptions {
    /// Where to listen. By default only this machine is answered.
    pub listen: SocketAddr,
    /// A certificate chain in PEM; with it only TLS is spoken.
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    pub tls_key: Option<PathBuf>,
    /// Whether the rates of the limits page hold. Off for benchmarks.
    pub rates: bool,
    /// Other rates for apps, by app key and row of the limits page.
    pub own_rates: HashMap<String, HashMap<u8, OwnRate>>,
    /// Takes the address of a client from the last entry of `X-Forwarded-For`. Only behind a proxy that sets it.
    pub trusts_forwarded: bool,
    /// Whether pages from elsewhere may call the service in a browser (CORS). Tokens come in a header, so this gives no page
    /// anything that it does not have.
    pub cors: bool,
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// How long a client may take for the head of a request, and between two requests, in seconds.
    pub head_seconds: u64,
    /// How long the body of a call without a file may take, in seconds.
    pub body_seconds: u64,
    /// After how many seconds without a byte an upload is given up.
    pub idle_seconds: u64,
    /// How long running calls may take to end when the service stops, in seconds.
    pub shutdown_seconds: u64,
    /// How long the link to a history file holds, in seconds: 30 minutes, by the reference's example.
    pub link_seconds: u64,
    /// Bytes of thumbnails that are kept in memory.
    pub thumbnail_bytes: usize,
    /// How long a device stays online without a sign of life, in seconds.
    pub lease_seconds: u64,
    /// After how many seconds offline a chatroom member leaves the room: 120 by the reference; 0 for never.
    pub room_seconds: u64,
    /// Keeps a log of push notifications in the store.
    pub push_log: bool,
    /// Posts push notifications as JSON to this URL.
    pub push_webhook: Option<String>,
    /// Notifications that wait for the gateways; more are dropped and counted.
    pub push_queue: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7700)),
            tls_cert: None,
            tls_key: None,
            rates: true,
            own_rates: HashMap::new(),
            trusts_forwarded: false,
            cors: true,
            connections: 10_000,
            head_seconds: 30,
            body_seconds: 30,
            idle_seconds: 20,
            shutdown_seconds: 30,
            link_seconds: 30 * 60,
            thumbnail_bytes: 64 << 20,
            lease_seconds: 60,
            room_seconds: 120,
            push_log: true,
            push_webhook: None,
            push_queue: 10_000,
        }
    }
}

impl ServerOptions {
    /// See [`body_seconds`](Self::body_seconds).
    pub(crate) fn body_patience(&self) -> Duration {
        Duration::from_secs(self.body_seconds)
    }

    /// See [`idle_seconds`](Self::idle_seconds).
    pub(crate) fn idle_patience(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }
}
