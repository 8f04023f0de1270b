//! Maps from conversations, looked up without a copy of the name.
//!
//! The names of conversations are longer than what a string holds inline, so that a key made for each look would be an
//! allocation; a message was looked up six times on its way in.

use hashbrown::{Equivalent, HashMap};

use crate::types::{AppId, Conversation};

/// A map from conversations of apps. Its hashes are seeded anew in each process: anybody may choose names, and nobody
/// shall aim at one bucket.
pub type ByConversation<V> = HashMap<(AppId, Conversation), V, ahash::RandomState>;

/// A conversation of an app, to look for in a [`ByConversation`].
///
/// ```
/// use tidestore_messages::{AppId, ByConversation, Conversation, Place};
///
/// let hall = Conversation::parse("group:hall").unwrap();
/// let mut counts = ByConversation::<u32>::default();
/// *counts.entry_ref(&Place(AppId(1), &hall)).or_default() += 1;
/// assert_eq!(counts.get(&Place(AppId(1), &hall)), Some(&1));
/// assert_eq!(counts.get(&Place(AppId(2), &hall)), None);
/// ```
#[derive(Clone, Copy, Debug, Hash)]
pub struct Place<'a>(
    /// The app.
    pub AppId,
    /// One of its conversations.
    pub &'a Conversation,
);

impl Equivalent<(AppId, Conversation)> for Place<'_> {
    fn equivalent(&self, (app, conversation): &(AppId, Conversation)) -> bool {
        self.0 == *app && self.1 == conversation
    }
}

impl From<&Place<'_>> for (AppId, Conversation) {
    fn from(place: &Place<'_>) -> Self {
        (place.0, place.1.clone())
    }
}
