//! Who waits for new messages, and whom to wake.
//!
//! A listener is noted under its user and under each group and thread the user is in. Once woken it is no longer noted:
//! it comes back when it has read what there is. So a storm of messages wakes it once, not once a message.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use compact_str::{CompactString, format_compact};
use tidestore_disk::sync::Mutex;
use tidestore_disk::sync::atomic::{AtomicUsize, Ordering, fence};
use tidestore_messages::{AppId, Conversation};
use tokio::sync::Notify;

use crate::delivery::stream::Signal;

type Key = (AppId, CompactString);

/// Everybody who waits, of all shards.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    waiting: Mutex<HashMap<Key, Vec<Weak<Listener>>>>,
    /// Those who get signals, whether they wait or not; by user.
    listening: Mutex<HashMap<Key, Vec<Weak<Listener>>>>,
    /// How many keys there are in `waiting`: nearly always a committer finds none.
    count: AtomicUsize,
}

/// One who waits.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    notify: Notify,
    signals: Mutex<VecDeque<Signal>>,
}

/// So many signals wait for a slow listener; then the oldest are dropped, as they are worth least.
const SIGNALS_MAX: usize = 256;

impl Listener {
    /// Waits to be woken.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }

    pub(crate) fn take_signal(&self) -> Option<Signal> {
        self.signals.lock().pop_front()
    }

    fn signal(&self, signal: Signal) {
        let mut signals = self.signals.lock();
        if signals.len() >= SIGNALS_MAX {
            signals.pop_front();
        }
        signals.push_back(signal);
        drop(signals);
        self.notify.notify_one();
    }
}

fn user_key(user: &str) -> CompactString {
    format_compact!("user:{user}")
}

impl Listeners {
    /// Notes a listener until it is woken.
    pub(crate) fn wait_for(
        &self,
        listener: &Arc<Listener>,
        app: AppId,
        user: &str,
        channels: &[Conversation],
    ) {
        let channels = channels.iter().map(|c| CompactString::from(c.main_str()));
        let keys = std::iter::once(user_key(user)).chain(channels);
        let mut waiting = self.waiting.lock();
        for key in keys {
            let list = waiting.entry((app, key)).or_default();
            let is_there = |other: &Weak<Listener>| other.as_ptr() == Arc::as_ptr(listener);
            if !list.iter().any(is_there) {
                list.push(Arc::downgrade(listener));
            }
        }
        self.count.store(waiting.len(), Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Lets a listener get signals for its user as long as it lives.
    pub(crate) fn listen(&self, listener: &Arc<Listener>, app: AppId, user: &str) {
        let mut listening = self.listening.lock();
        let list = listening.entry((app, user_key(user))).or_default();
        list.retain(|other| other.strong_count() > 0);
        list.push(Arc::downgrade(listener));
    }

    /// Wakes those who wait for any of these conversations.
    pub(crate) fn wake<'a>(&self, conversations: impl Iterator<Item = &'a (AppId, Conversation)>) {
        // What was applied before must be seen by whoever is not seen here, and the other way round.
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut waiting = self.waiting.lock();
        let mut woken = Vec::new();
        for (app, conversation) in conversations {
            if let Some((low, high)) = conversation.pair() {
                for user in [low, high] {
                    woken.extend(waiting.remove(&(*app, user_key(user))));
                }
            } else {
                let key = (*app, CompactString::from(conversation.main_str()));
                woken.extend(waiting.remove(&key));
            }
        }
        self.count.store(waiting.len(), Ordering::Release);
        drop(waiting);
        notify(woken);
    }

    /// Wakes those who wait for a user: what he may see has changed.
    pub(crate) fn wake_user(&self, app: AppId, user: &str) {
        let mut waiting = self.waiting.lock();
        let woken = waiting.remove(&(app, user_key(user)));
        self.count.store(waiting.len(), Ordering::Release);
        drop(waiting);
        notify(woken.into_iter().collect());
    }

    /// Hands a signal to all who listen for a user; says how many.
    pub(crate) fn signal(&self, app: AppId, user: &str, signal: &Signal) -> usize {
        let key = (app, user_key(user));
        let mut listening = self.listening.lock();
        let Some(list) = listening.get_mut(&key) else {
            return 0;
        };
        list.retain(|listener| listener.strong_count() > 0);
        let found: Vec<_> = list.iter().filter_map(Weak::upgrade).collect();
        if found.is_empty() {
            listening.remove(&key);
        }
        drop(listening);
        for listener in &found {
            listener.signal(signal.clone());
        }
        found.len()
    }

    /// Forgets a listener that goes.
    pub(crate) fn forget(
        &self,
        listener: &Arc<Listener>,
        app: AppId,
        user: &str,
        channels: &[Conversation],
    ) {
        let is_other = |other: &Weak<Listener>| other.as_ptr() != Arc::as_ptr(listener);
        let leave = |map: &mut HashMap<Key, Vec<Weak<Listener>>>, key: Key| {
            if let Some(list) = map.get_mut(&key) {
                list.retain(is_other);
                if list.is_empty() {
                    map.remove(&key);
                }
            }
        };
        leave(&mut self.listening.lock(), (app, user_key(user)));
        let mut waiting = self.waiting.lock();
        leave(&mut waiting, (app, user_key(user)));
        for channel in channels {
            leave(&mut waiting, (app, channel.main_str().into()));
        }
        self.count.store(waiting.len(), Ordering::Release);
    }
}

fn notify(woken: Vec<Vec<Weak<Listener>>>) {
    for listener in woken.into_iter().flatten() {
        if let Some(listener) = listener.upgrade() {
            listener.notify.notify_one();
        }
    }
}
