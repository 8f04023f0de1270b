//! Push: what is told to users whose devices are not connected.
//!
//! The service talks to no vendor's network itself. It hands notifications to gateways: the log in the store, a webhook, and
//! whatever whoever embeds the service brings.

mod gateway;
mod log;
mod message;
mod pusher;
mod webhook;

pub(crate) use message::SentMessage;
pub(crate) use pusher::{Pusher, run};
pub(crate) use webhook::word;

pub use gateway::{PushFuture, PushGateway, PushNotice};
