//! What goes over a live connection: JSON, one object a frame.

use serde::Deserialize;
use serde_json::{Value, json};
use tidestore::{Conversation, Event, Kind, Message, Parties, Pending, Signal};

/// What a client may say.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Said {
    /// Everything that was handed out so far has arrived.
    Ack,
    /// I am here. Every frame says that; this one says nothing else.
    Ping,
    /// What others see of me.
    Status {
        status: String,
        #[serde(default)]
        ext: String,
    },
}

/// Why a connection ends, as the client is told. The codes are those that `WebSockets` have for private use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The service stops: come back in a moment.
    Stopping,
    /// Somebody has disconnected the user, or banned him.
    Disconnected,
    /// The client sent nothing for longer than a lease.
    Silent,
    /// The client said what cannot be understood.
    Malformed,
    /// The store failed.
    Failed,
}

impl Ending {
    pub(super) fn code(self) -> u16 {
        match self {
            Self::Stopping => 1012,
            Self::Failed => 1011,
            Self::Disconnected => 4001,
            Self::Silent => 4002,
            Self::Malformed => 4003,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Failed => "failed",
            Self::Disconnected => "disconnected",
            Self::Silent => "silent",
            Self::Malformed => "malformed",
        }
    }
}

/// A message or signal as the client gets it.
pub(super) fn frame(event: &Event, reader: &str) -> Value {
    match event {
        Event::Message(pending) => message(pending, reader),
        Event::Signal(signal) => of_signal(signal, reader),
    }
}

fn message(pending: &Pending, reader: &str) -> Value {
    let Pending {
        conversation,
        message,
        ..
    } = pending;
    let mut frame = json!({
        "type": if message.kind == Kind::Notice { "notice" } else { "message" },
        "msg_id": message.id.to_string(),
        "seq": message.seq.0,
        "timestamp": message.millis(),
        "from": message.sender.as_str(),
        "kind": message.kind.as_str(),
        "body": content(&message.body),
        "ext": content(&message.ext),
        "state": state(message),
    });
    place(&mut frame, conversation, reader);
    frame
}

fn of_signal(signal: &Signal, reader: &str) -> Value {
    let mut frame = json!({
        "type": "signal",
        "from": signal.from.as_str(),
        "kind": signal.kind.as_str(),
        "body": content(&signal.body),
        "ext": content(&signal.ext),
    });
    if let Some(id) = signal.id {
        frame["msg_id"] = id.to_string().into();
    }
    place(&mut frame, &signal.conversation, reader);
    frame
}

/// Says where it belongs, as the reader sees it: for a direct conversation that is the other one.
fn place(frame: &mut Value, conversation: &Conversation, reader: &str) {
    let (chat_type, to) = match conversation.main().parties() {
        Some(Parties::Direct(low, high)) => (
            "chat",
            if low.as_str() == reader {
                high.to_string()
            } else {
                low.to_string()
            },
        ),
        Some(Parties::Group(id)) => ("groupchat", id.to_string()),
        Some(Parties::Thread(id)) => ("thread", id.to_string()),
        Some(Parties::Room(id)) => ("chatroom", id.to_string()),
        None => ("chat", String::new()),
    };
    frame["chat_type"] = chat_type.into();
    frame["conversation"] = to.into();
}

fn state(message: &Message) -> &'static str {
    use tidestore::Revision;
    match message.revision {
        Revision::Original => "original",
        Revision::Edited { .. } => "edited",
        Revision::Recalled { .. } => "recalled",
        Revision::Erased => "erased",
    }
}

/// JSON as it is; what is none as text; nothing as an empty object.
fn content(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return json!({});
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into())
}

/// The last frame of a connection.
pub(super) fn farewell(ending: Ending) -> Value {
    json!({"type": "end", "reason": ending.word()})
}
