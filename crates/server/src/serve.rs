//! The listener: connections with bounds on their number and on the patience with them, and an orderly end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tidestore::Store;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::dispatch::Peer;
use crate::options::ServerOptions;
use crate::push::PushGateway;
use crate::service::Service;
use crate::{background, router, tls};

/// A service that listens.
pub struct Server {
    service: Arc<Service>,
    listener: TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of the head of one request: the longest path, a token, and room for what proxies add.
const HEAD_BYTES: usize = 32 << 10;
/// A TLS handshake takes two round trips; whoever has less patience with the head of a request has no more with this.
const HANDSHAKE: Duration = Duration::from_secs(10);

impl Server {
    /// Takes the address. Nothing is answered before [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// The address is taken or not this machine's, or certificate or key cannot be read.
    pub async fn bind(store: Store, options: ServerOptions) -> io::Result<Self> {
        Self::bind_with(store, options, Vec::new()).await
    }

    /// The same with push gateways of one's own, beside those that the options name.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub async fn bind_with(
        store: Store,
        options: ServerOptions,
        gateways: Vec<Arc<dyn PushGateway>>,
    ) -> io::Result<Self> {
        let tls = tls::acceptor(&options)?;
        let listener = TcpListener::bind(options.listen).await?;
        let service = Service::new(store, options, gateways)?;
        Ok(Self {
            service: Arc::new(service),
            listener,
            tls,
        })
    }

    /// Where it listens; the port that the system chose if 0 was asked for.
    ///
    /// # Errors
    ///
    /// What the system reports.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` ends; then nothing new is accepted, calls under way are finished, and live connections are told
    /// to come back. The store stays open: its owner closes it.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let options = &self.service.options;
        let connections = u32::try_from(options.connections).unwrap_or(u32::MAX);
        let places = Arc::new(Semaphore::new(connections as usize));
        let patience = Duration::from_secs(options.head_seconds);
        let grace = Duration::from_secs(options.shutdown_seconds);
        let shutdown = self.service.shutdown.clone();
        let background = tokio::spawn(background::run(Arc::clone(&self.service)));
        let pusher = tokio::spawn(crate::push::run(Arc::clone(&self.service)));
        let app = router(&self.service);
        tokio::pin!(stop);
        loop {
            let (stream, peer, place) = tokio::select! {
                () = &mut stop => break,
                accepted = accept(&self.listener, &places) => accepted,
            };
            let connection = Connection {
                app: app.clone(),
                peer,
                patience,
                shutdown: shutdown.clone(),
            };
            tokio::spawn(handle(connection, stream, self.tls.clone(), place));
        }
        drop(self.listener);
        shutdown.cancel();
        // Whoever has all places knows that all connections have ended.
        let ended = tokio::time::timeout(grace, places.acquire_many(connections));
        if ended.await.is_err() {
            tracing::warn!(
                seconds = grace.as_secs(),
                "calls that did not end in time were cut"
            );
        }
        let rest = async { tokio::join!(background, pusher) };
        drop(tokio::time::timeout(grace, rest).await);
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are written whole.
                drop(stream.set_nodelay(true));
                return (stream, peer, place);
            }
            // No descriptors, most likely: some will come back.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

struct Connection {
    app: axum::Router,
    peer: SocketAddr,
    patience: Duration,
    shutdown: CancellationToken,
}

async fn handle(
    connection: Connection,
    stream: TcpStream,
    tls: Option<tokio_rustls::TlsAcceptor>,
    _place: Option<OwnedSemaphorePermit>,
) {
    let peer = connection.peer;
    let Some(tls) = tls else {
        return connection.speak(stream).await;
    };
    let patience = HANDSHAKE.min(connection.patience);
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(patience, tls.accept(stream)) => shaken,
        () = connection.shutdown.cancelled() => return,
    };
    match shaken {
        Ok(Ok(stream)) => connection.speak(stream).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS came about"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

impl Connection {
    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let peer = Peer(self.peer.ip());
        let app = self.app;
        let service = tower::service_fn(move |mut request: Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer);
            let mut app = app.clone();
            async move { app.call(request.map(Body::new)).await }
        });
        // Not the builder that tells versions of HTTP apart: it waits for the first byte with all the patience in the world.
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES);
        let service = TowerToHyperService::new(service);
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = self.shutdown.cancelled() => {
                // The call under way is finished, and no other one begun.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %self.peer, %error, "a connection ended early");
        }
    }
}
