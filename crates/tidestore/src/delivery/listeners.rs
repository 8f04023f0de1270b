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
    signals: Mutex<Signals>,
}

/// Signals that wait to be taken.
#[derive(Debug, Default)]
struct Signals {
    list: VecDeque<Signal>,
    bytes: usize,
}

impl Signals {
    fn pop(&mut self) -> Option<Signal> {
        let signal = self.list.pop_front()?;
        self.bytes -= signal.memory();
        Some(signal)
    }
}

/// So many signals wait for a slow listener; then the oldest are dropped, as they are worth least.
const SIGNALS_MAX: usize = 256;
/// And so many bytes of them.
const SIGNAL_BYTES_MAX: usize = 256 << 10;

impl Listener {
    /// Waits to be woken.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }

    pub(crate) fn take_signal(&self) -> Option<Signal> {
        self.signals.lock().pop()
    }

    /// Lets a signal wait; says whether there was room for it at all.
    fn signal(&self, signal: Signal) -> bool {
        let bytes = signal.memory();
        if bytes > SIGNAL_BYTES_MAX {
            return false;
        }
        let mut signals = self.signals.lock();
        while signals.list.len() >= SIGNALS_MAX || signals.bytes + bytes > SIGNAL_BYTES_MAX {
            signals.pop();
        }
        signals.list.push_back(signal);
        signals.bytes += bytes;
        drop(signals);
        self.notify.notify_one();
        true
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
                // Those who went while they were being noted. Looked for when there is no room: at little cost each.
                if list.len() == list.capacity() {
                    list.retain(|other| other.strong_count() > 0);
                }
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
        let taken = found
            .iter()
            .filter(|listener| listener.signal(signal.clone()));
        taken.count()
    }

    /// Forgets that a listener waits for channels that its user is no longer in.
    pub(crate) fn leave<'a>(
        &self,
        listener: &Arc<Listener>,
        app: AppId,
        channels: impl Iterator<Item = &'a Conversation>,
    ) {
        let mut waiting = self.waiting.lock();
        for channel in channels {
            drop_from(&mut waiting, &(app, channel.main_str().into()), listener);
        }
        self.count.store(waiting.len(), Ordering::Release);
    }

    /// Forgets a listener that goes.
    pub(crate) fn forget(
        &self,
        listener: &Arc<Listener>,
        app: AppId,
        user: &str,
        channels: &[Conversation],
    ) {
        drop_from(&mut self.listening.lock(), &(app, user_key(user)), listener);
        let mut waiting = self.waiting.lock();
        drop_from(&mut waiting, &(app, user_key(user)), listener);
        for channel in channels {
            drop_from(&mut waiting, &(app, channel.main_str().into()), listener);
        }
        self.count.store(waiting.len(), Ordering::Release);
    }
}

fn drop_from(map: &mut HashMap<Key, Vec<Weak<Listener>>>, key: &Key, listener: &Arc<Listener>) {
    if let Some(list) = map.get_mut(key) {
        list.retain(|other| other.as_ptr() != Arc::as_ptr(listener));
        if list.is_empty() {
            map.remove(key);
        }
    }
}

fn notify(woken: Vec<Vec<Weak<Listener>>>) {
    for listener in woken.into_iter().flatten() {
        if let Some(listener) = listener.upgrade() {
            listener.notify.notify_one();
        }
    }
}
