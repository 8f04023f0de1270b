//! The lease of a listening device.

use std::time::Duration;

use tidestore::App;
use tidestore::plan::UserId;
use tokio::time::Instant;

use super::frames::Ending;
use crate::call::Call;
use crate::refusal::{Refusal, Result};
use crate::service::Service;

/// How soon a device that somebody has disconnected learns of it.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// A device that is online for as long as this is there.
#[derive(Debug)]
pub(super) struct Online {
    app: App,
    pub(super) user: UserId,
    pub(super) device: String,
    ttl: Duration,
    renewed: Instant,
    service: std::sync::Arc<Service>,
}

impl Online {
    /// Takes a lease for the device that the call names; refused if the plan has no place for one more user online.
    pub(super) async fn begin(call: &Call) -> Result<Self> {
        let user = match call.caller_user() {
            Some(user) => user.clone(),
            // The app may listen for a user of its own.
            None => UserId::parse(call.query_value("username").ok_or_else(|| {
                Refusal::argument("with the app's token, say for which username")
            })?)?,
        };
        let device = call.query_value("device").unwrap_or("live").to_owned();
        let ttl = Duration::from_secs(call.service.options.lease_seconds.max(1));
        call.app.inbox(&user, &device)?;
        call.app.connections().connect(&user, &device, ttl).await?;
        Ok(Self {
            app: call.app.clone(),
            user,
            device,
            ttl,
            renewed: Instant::now(),
            service: std::sync::Arc::clone(&call.service),
        })
    }

    /// Whether the device is still connected: a ban, the force-offline call and a deletion end its lease.
    pub(super) fn is_there(&self) -> bool {
        self.app
            .connections()
            .devices(&self.user)
            .contains_key(&self.device)
    }

    /// The device gave a sign of life: its lease begins anew, at most once in a third of it.
    pub(super) async fn renew(&mut self) -> Result<(), Ending> {
        if self.renewed.elapsed() < self.ttl / 3 {
            return Ok(());
        }
        if !self.is_there() {
            return Err(Ending::Disconnected);
        }
        let renewed = self
            .app
            .connections()
            .connect(&self.user, &self.device, self.ttl)
            .await;
        renewed.map_err(|_| Ending::Disconnected)?;
        self.renewed = Instant::now();
        Ok(())
    }

    /// What others see of the device.
    pub(super) fn show(&self, status: &str, note: &str) -> tidestore::Result<bool> {
        self.app
            .connections()
            .set_status(&self.user, &self.device, status, note)
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        self.app.connections().disconnect(&self.user, &self.device);
        if !self.app.connections().is_online(&self.user) {
            self.service.away.saw(&self.app, &self.user);
        }
    }
}
