//! Who is connected: leases of users and devices, in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tidestore_directory::{Lease, Sessions};
use tidestore_disk::sync::Mutex;
use tidestore_messages::AppId;
use tidestore_plan::UserId;

use crate::app::App;
use crate::error::Result;
use crate::guard::millis;

/// The leases of all apps. Nothing of it outlives the process: whoever was connected connects again.
#[derive(Debug, Default)]
pub(crate) struct AllSessions(Mutex<HashMap<AppId, Arc<Sessions>>>);

impl AllSessions {
    fn of(&self, app: AppId) -> Arc<Sessions> {
        Arc::clone(self.0.lock().entry(app).or_default())
    }

    /// Lets go of a deleted app's.
    pub(crate) fn forget(&self, app: AppId) {
        self.0.lock().remove(&app);
    }
}

/// Who of an app is connected.
#[derive(Clone, Debug)]
pub struct Connections<'a> {
    app: &'a App,
    sessions: Arc<Sessions>,
}

impl App {
    /// Who of the app is connected.
    pub fn connections(&self) -> Connections<'_> {
        Connections {
            app: self,
            sessions: self.store().inner.sessions.of(self.id()),
        }
    }
}

impl Connections<'_> {
    /// Connects a device of a user, or renews its lease; it ends by itself after `ttl`. Many devices of a user count as
    /// one user online.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the user is unknown or banned, or has 32 devices connected;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the plan allows no more users online.
    pub async fn connect(&self, user: &UserId, device: &str, ttl: Duration) -> Result<()> {
        self.check(user).await?;
        let caps = *self.app.info()?.terms.caps();
        let now = self.app.now();
        self.sessions
            .connect(user, device, &caps, now, millis(ttl))?;
        // A ban ends all leases there are. One that came between the two would leave this.
        let still = self.check(user).await;
        if still.is_err() {
            self.sessions.disconnect(user, device);
        }
        still
    }

    async fn check(&self, user: &UserId) -> Result<()> {
        let user = user.clone();
        self.app
            .look_up(move |directory| directory.check_sender(&user))
            .await
    }

    /// Sets what a connected device shows of its user, such as `1`, and a note of at most 1,024 bytes. A device that is
    /// not connected shows nothing: answers `false`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit), [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the status is
    /// over 128 bytes.
    pub fn set_status(
        &self,
        user: &UserId,
        device: &str,
        status: &str,
        note: &str,
    ) -> Result<bool> {
        let limits = &self.app.store().inner.options.limits;
        let now = self.app.now();
        Ok(self
            .sessions
            .set_status(user, device, status, note, limits, now)?)
    }

    /// Disconnects a device; says whether it was connected.
    pub fn disconnect(&self, user: &UserId, device: &str) -> bool {
        self.sessions.disconnect(user, device)
    }

    /// Disconnects all devices of a user; says how many there were.
    pub fn disconnect_user(&self, user: &UserId) -> usize {
        self.sessions.disconnect_user(user)
    }

    /// How many users are online.
    pub fn online(&self) -> u64 {
        self.sessions.online(self.app.now())
    }

    /// Whether a user is online.
    pub fn is_online(&self, user: &UserId) -> bool {
        self.sessions.is_online(user, self.app.now())
    }

    /// The connected devices of a user, by name.
    pub fn devices(&self, user: &UserId) -> BTreeMap<String, Lease> {
        self.sessions.devices(user, self.app.now())
    }
}
