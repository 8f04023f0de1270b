//! The REST service over Tidestore: the 152 calls of the hosted service's limits page, with its paths, fields, errors and
//! rates, so that programs written for that service can be pointed at it.
//!
//! Everything that a call does it does in the store; nothing is kept here but what may be lost with the process: rate
//! counters, leases, thumbnails. One table of routes says for each call where it goes, what it costs and who may make it; the
//! description of the interface, served under `/openapi.json`, is written from the same table.
//!
//! ```
//! use tidestore::plan::{AppKey, Plan, Terms};
//! use tidestore::{Options, Store};
//! use tidestore_server::{Server, ServerOptions};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path().join("data");
//! let store = Store::open(&dir, Options::default()).await?;
//! let app = store.create_app(&AppKey::parse("acme#chat")?, Terms::of(Plan::Pro)).await?;
//! let credentials = app.issue_credentials().await?;
//!
//! let options = ServerOptions { listen: "127.0.0.1:0".parse()?, ..ServerOptions::default() };
//! let server = Server::bind(store.clone(), options).await?;
//! println!("http://{}/acme/chat/token for {}", server.address()?, credentials.client_id);
//! // Answers until the future ends; here it has ended already.
//! server.run(async {}).await;
//! store.close().await?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod auth;
mod background;
mod body;
mod call;
mod calls;
mod dispatch;
mod entities;
mod ids;
mod lenient;
mod live;
mod open;
mod openapi;
mod options;
mod pages;
mod push;
mod rates;
mod refusal;
mod routes;
mod serve;
mod service;
mod thumbnails;
mod tls;
mod upload;

pub use open::metrics;
pub use options::ServerOptions;
pub use push::{PushFuture, PushGateway, PushNotice};
pub use rates::OwnRate;
pub use serve::Server;
pub(crate) use service::router;
