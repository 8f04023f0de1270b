//! The seam between the service and whatever reaches devices.

use std::fmt::Debug;
use std::pin::Pin;

use serde_json::Value;
use tidestore::{App, NotificationKind};

/// A notification on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct PushNotice {
    /// Why it is pushed.
    pub kind: NotificationKind,
    /// To whom: users, or labels; at most 100.
    pub targets: Vec<String>,
    /// What is pushed: an object with `title` and `content`, and what else the sender gave.
    pub content: Value,
}

/// What a gateway is doing; its error is for the log.
pub type PushFuture<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Something that takes notifications further.
pub trait PushGateway: Debug + Send + Sync {
    /// Its name, for metrics and the log.
    fn name(&self) -> &'static str;

    /// Takes some notifications of an app further: all, or an error that is reported to whoever waits. It is not called
    /// again with the same ones.
    fn push<'a>(&'a self, app: &'a App, notices: &'a [PushNotice]) -> PushFuture<'a>;
}
