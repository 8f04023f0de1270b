//! Messages as they come: an inbox that waits.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use futures_util::Stream;
use tidestore_messages::{AppId, Conversation, MessageId};
use tidestore_plan::UserId;

use crate::app::App;
use crate::delivery::devices::Reached;
use crate::delivery::inbox::{Inbox, Pending, Span};
use crate::delivery::listeners::{Listener, Listeners};
use crate::error::Result;
use crate::message::NewMessage;
use crate::meters;
use crate::places::Place;

/// Something that is worth telling only those who are listening: that somebody types, has come online, has read, or a
/// message for those online only. It is never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Where it belongs.
    pub conversation: Conversation,
    /// The id of the message that it is, as its sender was answered; `None` for what is no message.
    pub id: Option<MessageId>,
    /// Who caused it.
    pub from: UserId,
    /// What it is, in the server's own words, such as `typing`.
    pub kind: CompactString,
    /// What it says.
    pub body: Bytes,
    /// The extension of a message for those online only.
    pub ext: Bytes,
}

impl Signal {
    /// About how much memory it takes up, in bytes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.conversation.as_str().len()
            + self.kind.len()
            + self.body.len()
            + self.ext.len()
    }
}

/// What a [`InboxStream`] yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message of the inbox.
    Message(Pending),
    /// A signal.
    Signal(Signal),
}

/// Messages that are read ahead.
const PAGE: usize = 256;

/// The messages of an inbox from its acknowledged cursor on, as they come: none missing, none twice.
///
/// It reads from the store at the pace of its caller: a slow one costs no memory. Nothing is acknowledged by itself.
#[derive(Debug)]
pub struct InboxStream {
    app: App,
    user: UserId,
    device: String,
    listener: Arc<Listener>,
    /// Where the next page begins.
    next: Reached,
    /// From where to where what is read ahead goes.
    span: Span,
    /// The arrival of the last message of it that was handed out.
    handed: Option<u64>,
    ahead: std::vec::IntoIter<Pending>,
    channels: Vec<Conversation>,
    _place: Place,
}

impl InboxStream {
    pub(crate) async fn start(inbox: &Inbox<'_>) -> Result<Self> {
        let place = meters::refused(inbox.app.store().inner.shards.streams.take())?;
        let begin = inbox.begin().await?;
        let subscription = Self {
            app: inbox.app.clone(),
            user: inbox.user.clone(),
            device: inbox.device.clone(),
            listener: Arc::default(),
            span: Span {
                from: begin.clone(),
                to: begin.clone(),
            },
            next: begin,
            handed: None,
            ahead: Vec::new().into_iter(),
            channels: Vec::new(),
            _place: place,
        };
        let name = subscription.user.as_str();
        let (listener, app) = (&subscription.listener, subscription.app.id());
        listeners(&subscription.app).listen(listener, app, name);
        Ok(subscription)
    }

    /// Waits for the next message or signal. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`Inbox::page`]. The next call tries again.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(signal) = self.listener.take_signal() {
                return Ok(Event::Signal(signal));
            }
            if let Some(pending) = self.ahead.next() {
                self.handed = Some(pending.arrival);
                return Ok(Event::Message(pending));
            }
            if self.read_ahead().await? {
                continue;
            }
            self.channels = self.wait_for().await?;
            // What came before that has woken nobody.
            if !self.read_ahead().await? {
                self.listener.wait().await;
            }
        }
    }

    /// Acknowledges all messages that were handed out.
    ///
    /// # Errors
    ///
    /// As [`Inbox::acknowledge`].
    pub async fn acknowledge(&self) -> Result<()> {
        let inbox = self.app.inbox(&self.user, &self.device)?;
        let reached = match self.handed {
            Some(arrival) => self.span.up_to(arrival),
            None => self.span.from.clone(),
        };
        inbox.reach(reached).await
    }

    /// The same as a stream, which ends with the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Event>> + Send {
        futures_util::stream::unfold(Some(self), |subscription| async move {
            let mut subscription = subscription?;
            let event = subscription.next().await;
            let rest = event.is_ok().then_some(subscription);
            Some((event, rest))
        })
    }

    async fn read_ahead(&mut self) -> Result<bool> {
        let (user, from) = (self.user.clone(), self.next.clone());
        let drained = self
            .app
            .read(move |reader| reader.drain(&user, &from, PAGE, None))
            .await?;
        let found = !drained.items.is_empty();
        self.handed = None;
        self.ahead = drained.items.into_iter();
        self.span = Span {
            from: std::mem::replace(&mut self.next, drained.reached.clone()),
            to: drained.reached,
        };
        Ok(found)
    }

    async fn wait_for(&self) -> Result<Vec<Conversation>> {
        let (user, listener) = (self.user.clone(), Arc::clone(&self.listener));
        let (app, before) = (self.app.id(), self.channels.clone());
        self.app
            .read(move |reader| {
                let channels = reader.channels_of(&user)?;
                let listeners = reader.home.listeners.as_ref();
                if before != channels {
                    let now: HashSet<_> = channels.iter().collect();
                    let left = before.iter().filter(|channel| !now.contains(channel));
                    listeners.leave(&listener, app, left);
                }
                listeners.wait_for(&listener, app, user.as_str(), &channels);
                Ok(channels)
            })
            .await
    }
}

impl Drop for InboxStream {
    fn drop(&mut self) {
        let (app, user) = (self.app.id(), self.user.as_str());
        listeners(&self.app).forget(&self.listener, app, user, &self.channels);
    }
}

fn listeners(app: &App) -> &Listeners {
    &app.home().listeners
}

impl App {
    /// Hands a message to those of its receivers who are listening now, if the directory says that its sender may send it;
    /// says how many devices that are. It is not stored: nobody finds it later, offline or in a history.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_online(&self, message: NewMessage) -> Result<usize> {
        message.check(self.store().limits())?;
        let NewMessage {
            conversation,
            sender,
            ..
        } = &message;
        self.check_send(sender, conversation).await?;
        let (to, sender) = (conversation.clone(), sender.clone());
        let receivers = self
            .read(move |reader| reader.receivers(&to, &sender))
            .await?;
        let hidden_from = message.hidden_from;
        let receivers = receivers.iter().filter(|user| !hidden_from.contains(user));
        let signal = Signal {
            conversation: message.conversation,
            id: None,
            from: message.sender,
            kind: message.kind.as_str().into(),
            body: message.body,
            ext: message.ext,
        };
        Ok(self.signal(receivers, &signal))
    }

    /// Hands a signal to everybody of some users who is listening, and says how many devices that are. Nothing is stored,
    /// and a slow listener may lose old ones: at most 256 of them and 256 KiB wait for it. A signal that is larger than that
    /// reaches nobody.
    pub fn signal<'a>(&self, to: impl IntoIterator<Item = &'a UserId>, signal: &Signal) -> usize {
        let app: AppId = self.id();
        let signal = Signal {
            // In memory of its own: it may be a small part of a large buffer, and wait for long.
            body: Bytes::copy_from_slice(&signal.body),
            ext: Bytes::copy_from_slice(&signal.ext),
            ..signal.clone()
        };
        let reached = |user: &UserId| listeners(self).signal(app, user.as_str(), &signal);
        to.into_iter().map(reached).sum()
    }
}
