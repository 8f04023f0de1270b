//! The gateway that posts notifications as JSON to a URL of the operator's.

use std::time::Duration;

use serde_json::{Value, json};
use tidestore::{App, NotificationKind};

use super::gateway::{PushFuture, PushGateway, PushNotice};

/// A webhook that does not answer in this time has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Posts what is pushed.
#[derive(Debug)]
pub(super) struct Webhook {
    url: String,
    agent: ureq::Agent,
}

impl Webhook {
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let parsed: ureq::http::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none() {
            return Err(format!("{url}: a webhook is an http or https URL"));
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .build();
        Ok(Self {
            url: url.to_owned(),
            agent: config.into(),
        })
    }
}

/// The kind of a notification as programs read it.
pub(crate) fn word(kind: NotificationKind) -> &'static str {
    match kind {
        NotificationKind::Message => "message",
        NotificationKind::Single => "single",
        NotificationKind::Label => "label",
        NotificationKind::All => "all",
    }
}

impl PushGateway for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn push<'a>(&'a self, app: &'a App, notices: &'a [PushNotice]) -> PushFuture<'a> {
        let notices: Vec<Value> = notices
            .iter()
            .map(|notice| {
                json!({
                    "kind": word(notice.kind),
                    "targets": notice.targets,
                    "content": notice.content,
                })
            })
            .collect();
        let body = json!({"app": app.key().as_str(), "notifications": notices}).to_string();
        let (agent, url) = (self.agent.clone(), self.url.clone());
        Box::pin(async move {
            // The client is a simple one that waits; such calls are few, each with up to 256 notifications.
            let posting = tokio::task::spawn_blocking(move || {
                let request = agent.post(&url).header("content-type", "application/json");
                request
                    .send(body)
                    .map(drop)
                    .map_err(|error| error.to_string())
            });
            posting.await.map_err(|error| error.to_string())?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_a_url() {
        assert!(Webhook::new("https://example.org/push").is_ok());
        for wrong in ["", "example.org", "file:///etc/passwd", "http://"] {
            assert!(Webhook::new(wrong).is_err(), "{wrong}");
        }
    }
}
