//! The gateway that writes a log in the store, which `tidestore push log` shows.

use tidestore::{App, NewNotification};

use super::gateway::{PushFuture, PushGateway, PushNotice};

/// Writes what is pushed into the store.
#[derive(Debug)]
pub(super) struct LogGateway;

impl PushGateway for LogGateway {
    fn name(&self) -> &'static str {
        "log"
    }

    fn push<'a>(&'a self, app: &'a App, notices: &'a [PushNotice]) -> PushFuture<'a> {
        Box::pin(async move {
            let new = notices.iter().map(|notice| NewNotification {
                kind: notice.kind,
                targets: notice.targets.clone(),
                content: notice.content.to_string().into(),
            });
            let logged = app.log_notifications(new.collect()).await;
            logged.map(drop).map_err(|error| error.to_string())
        })
    }
}
