//! What goes on beside the calls: members who stay away leave their chatrooms.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidestore::App;
use tidestore::plan::{AppKey, UserId};
use tokio::time::Instant;

use crate::service::Service;

/// Users who were connected here, and since when they are not.
///
/// Only they leave by themselves: a member whom the operator adds, and whose devices are connected elsewhere, stays.
#[derive(Debug, Default)]
pub(crate) struct Away(Mutex<HashMap<(AppKey, UserId), Instant>>);

impl Away {
    /// A user was here a moment ago.
    pub(crate) fn saw(&self, app: &App, user: &UserId) {
        self.0
            .lock()
            .insert((app.key().clone(), user.clone()), Instant::now());
    }

    fn take_longer_than(&self, time: Duration) -> Vec<(AppKey, UserId)> {
        let mut all = self.0.lock();
        let gone = all.extract_if(|_, since| since.elapsed() > time);
        gone.map(|(who, _)| who).collect()
    }
}

/// Runs until the service stops.
pub(crate) async fn run(service: Arc<Service>) {
    if service.options.room_seconds == 0 {
        return;
    }
    let time = Duration::from_secs(service.options.room_seconds);
    let pause = (time / 10).max(Duration::from_millis(100));
    loop {
        tokio::select! {
            () = service.shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        for (key, user) in service.away.take_longer_than(time) {
            let Ok(app) = service.store.app(&key) else {
                continue;
            };
            if app.connections().is_online(&user) {
                service.away.saw(&app, &user);
            } else if let Err(error) = leave_rooms(&app, &user).await {
                tracing::warn!(%error, "a user could not be taken out of his chatrooms");
            }
        }
    }
}

/// Takes a user out of the chatrooms that he neither owns nor may stay in while he is away.
async fn leave_rooms(app: &App, user: &UserId) -> tidestore::Result<()> {
    let mut cursor: Option<String> = None;
    loop {
        let page = app.rooms().joined(user, cursor.as_deref(), 100).await?;
        for room in page.items {
            let members = app.rooms().members(&room.id);
            let stays = room.owner == *user || members.get(user).await?.is_allowed;
            if !stays {
                members.remove(user).await?;
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}
