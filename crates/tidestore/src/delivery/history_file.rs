//! The history file of an hour: all messages of an app, a JSON object a line, compressed, as the service offers it for
//! download. Nothing is kept for it: it is written out of the segments when somebody asks. Its fields:
//! `docs/format/history-file.md`.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tidestore_disk::Millis;
use tidestore_messages::{Conversation, Cursor, Kind, Message, Page, Parties, Revision};

use crate::app::App;
use crate::delivery::reader::Reader;
use crate::error::{Error, ErrorKind, Result};
use crate::store::blocking;

const HOUR: Millis = 3_600_000;
/// Conversations looked at for one piece.
const CONVERSATIONS: usize = 256;

/// The history file of one hour, piece by piece. The lines are sorted by conversation, and by time in each.
#[derive(Debug)]
pub struct HistoryFile {
    app: App,
    hour: Millis,
    encoder: Option<GzEncoder<Vec<u8>>>,
    shard: usize,
    after: Option<Conversation>,
    messages: u64,
}

impl App {
    /// The history file of the hour in which a time lies: a gzip stream of JSON lines. Recalled and erased messages,
    /// commands and notices are not in it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`]: the hour is not over, or has expired.
    pub fn history_file(&self, time: Millis) -> Result<HistoryFile> {
        let hour = time / HOUR * HOUR;
        let refused = if hour.saturating_add(HOUR) > self.now() {
            "is not over"
        } else if hour.saturating_add(HOUR) <= self.floor()? {
            "has expired"
        } else {
            return Ok(HistoryFile {
                app: self.clone(),
                hour,
                encoder: Some(GzEncoder::new(Vec::new(), Compression::default())),
                shard: 0,
                after: None,
                messages: 0,
            });
        };
        let text = format!("the hour that begins at {hour} {refused}");
        Err(Error::new(ErrorKind::Argument, text))
    }
}

impl HistoryFile {
    /// How many messages were written so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// The next piece of the stream; `None` behind the last.
    ///
    /// # Errors
    ///
    /// What the disk reports; the stream cannot be continued.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(mut encoder) = self.encoder.take() {
            let (hour, shard, after) = (self.hour, self.shard, self.after.take());
            let read = self.app.read(move |reader| {
                let found = reader.hour_lines(hour, shard, after.as_ref())?;
                Ok((reader.inner.shards.list.len(), found))
            });
            let (shards, found) = read.await?;
            self.messages += found.messages;
            self.after = found.last;
            if self.after.is_none() {
                self.shard += 1;
            }
            let is_last = self.shard >= shards;
            let done = blocking(move || {
                encoder.write_all(&found.text).map_err(compressed)?;
                if is_last {
                    return Ok((encoder.finish().map_err(compressed)?, None));
                }
                Ok((std::mem::take(encoder.get_mut()), Some(encoder)))
            });
            let (piece, encoder) = done.await?;
            self.encoder = encoder;
            if !piece.is_empty() {
                return Ok(Some(piece.into()));
            }
        }
        Ok(None)
    }
}

fn compressed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "a history file could not be compressed").with_source(error)
}

/// A part of the lines.
struct Lines {
    text: Vec<u8>,
    messages: u64,
    /// Where to go on; `None` behind the last conversation of a shard.
    last: Option<Conversation>,
}

impl Reader {
    fn hour_lines(
        &self,
        hour: Millis,
        shard: usize,
        after: Option<&Conversation>,
    ) -> Result<Lines> {
        let mut found = Lines {
            text: Vec::new(),
            messages: 0,
            last: None,
        };
        let Some(shard) = self.inner.shards.list.get(shard).map(Arc::clone) else {
            return Ok(found);
        };
        let heads = shard.heads.page(
            &*shard.engine,
            self.app,
            after.map(Conversation::as_str),
            CONVERSATIONS,
        )?;
        if heads.len() == CONVERSATIONS {
            found.last = heads.last().map(|(last, _)| last.clone());
        }
        for (conversation, head) in heads {
            let is_older = tidestore_messages::MessageId(head.last_id).millis() < hour;
            if !is_older && !conversation.is_aside() {
                self.add_lines(&conversation, hour, &mut found)?;
            }
        }
        Ok(found)
    }

    fn add_lines(&self, conversation: &Conversation, hour: Millis, to: &mut Lines) -> Result<()> {
        let mut page = Page::after(Cursor::Time(hour), Page::LIMIT_MAX);
        loop {
            let messages = self.page(conversation, page)?;
            for message in &messages {
                if message.millis() >= hour + HOUR {
                    return Ok(());
                }
                let is_shown = matches!(
                    message.revision,
                    Revision::Original | Revision::Edited { .. }
                );
                if is_shown && !matches!(message.kind, Kind::Command | Kind::Notice) {
                    let line = line(conversation, message);
                    to.text.extend_from_slice(line.to_string().as_bytes());
                    to.text.push(b'\n');
                    to.messages += 1;
                }
            }
            match messages.last() {
                Some(last) if messages.len() == Page::LIMIT_MAX => {
                    page = page.behind(page.at(last));
                }
                _ => return Ok(()),
            }
        }
    }
}

/// A message as the service writes it.
fn line(conversation: &Conversation, message: &Message) -> Value {
    let from = message.sender.as_str();
    let (chat_type, to) = match conversation.parties() {
        Some(Parties::Direct(low, high)) => {
            let other = if low.as_str() == from { high } else { low };
            ("chat", other.as_str().to_owned())
        }
        Some(Parties::Group(id) | Parties::Thread(id)) => ("groupchat", id.as_str().to_owned()),
        Some(Parties::Room(id)) => ("chatroom", id.as_str().to_owned()),
        None => ("chat", String::new()),
    };
    let ext = serde_json::from_slice::<Value>(&message.ext);
    let ext = ext
        .ok()
        .filter(Value::is_object)
        .unwrap_or_else(|| json!({}));
    json!({
        "msg_id": message.id.to_string(),
        "timestamp": message.millis(),
        "direction": "outgoing",
        "from": from,
        "to": to,
        "chat_type": chat_type,
        "payload": {"bodies": [body(message)], "ext": ext, "from": from, "to": to},
    })
}

/// A body: its fields if it is a JSON object, its text otherwise.
fn body(message: &Message) -> Value {
    let parsed = serde_json::from_slice::<Value>(&message.body);
    let mut body = match parsed {
        Ok(Value::Object(fields)) => Value::Object(fields),
        _ => json!({"msg": String::from_utf8_lossy(&message.body)}),
    };
    body["type"] = message.kind.as_str().into();
    body
}
