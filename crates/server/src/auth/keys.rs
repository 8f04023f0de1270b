//! The signing keys of apps, kept at hand: every call needs one.

use std::collections::HashMap;

use parking_lot::RwLock;
use tidestore::App;
use tidestore::plan::AppId;

use crate::refusal::Result;

/// The signing keys that were asked for.
#[derive(Default)]
pub(crate) struct Keys(RwLock<HashMap<AppId, [u8; 32]>>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No secret in a log.
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// The key of an app; `None` before it has credentials. An app's number is never another's, so a kept key is never a
    /// younger app's; credentials are only issued anew while nobody serves.
    pub(crate) async fn of(&self, app: &App) -> Result<Option<[u8; 32]>> {
        if let Some(key) = self.0.read().get(&app.id()) {
            return Ok(Some(*key));
        }
        let key = app.signing_key().await?;
        if let Some(key) = key {
            self.0.write().insert(app.id(), key);
        }
        Ok(key)
    }
}
