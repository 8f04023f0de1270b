//! The messages that every engine stores: generated chat, or a corpus, with numbers for conversations and users.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use tidestore_workload::{Workload, WorkloadOptions, times};

/// Milliseconds of a day.
pub const DAY: u64 = 86_400_000;

/// One message, as small as an engine can be given it.
#[derive(Clone, Debug)]
pub struct Message {
    /// Time in milliseconds in the upper bits, a running number in the lower 22: ids follow time.
    pub id: u64,
    /// Where: see [`Chat::conversations`].
    pub conversation: u32,
    /// Who: see [`Chat::users`].
    pub sender: u32,
    /// Whose inbox it waits in; of a group's members it is one.
    pub receiver: u32,
    /// What.
    pub body: String,
}

impl Message {
    /// When.
    pub fn time(&self) -> u64 {
        self.id >> 22
    }
}

/// The oldest id of a time.
pub fn id_at(time: u64) -> u64 {
    time << 22
}

/// Messages, with the names behind their numbers.
pub struct Chat {
    /// In the order of their ids.
    pub messages: Vec<Message>,
    /// `group:name` or `direct:a,b`.
    pub conversations: Vec<String>,
    /// Names.
    pub users: Vec<String>,
}

impl Chat {
    /// Generated chat of `days` days up to `end`. Chatrooms are groups here: no engine is asked to do less for them.
    pub fn generated(count: usize, days: u64, end: u64) -> Self {
        let options = WorkloadOptions {
            seed: 7,
            users: (count / 20).clamp(100, 100_000),
            groups: (count / 2_000).clamp(20, 2_000),
            directs: (count / 200).clamp(50, 20_000),
            ..WorkloadOptions::default()
        };
        let times = times(7, end - days * DAY, end, count);
        let lines = times.into_iter().zip(Workload::new(options));
        let mut chat = Builder::default();
        for (time, line) in lines {
            let conversation = line.conversation.replace("room:", "group:room-");
            chat.add(time, &conversation, &line.sender, line.body);
        }
        chat.finish()
    }

    /// Chat of a file with a JSON object a line: `{chat, from, ts, body}`, `ts` in seconds or milliseconds; zstd or plain.
    pub fn corpus(path: &Path, most: usize) -> Self {
        let file = std::fs::File::open(path).unwrap();
        let reader: Box<dyn std::io::Read> = if path.extension().is_some_and(|end| end == "zst") {
            Box::new(zstd::Decoder::new(file).unwrap())
        } else {
            Box::new(file)
        };
        let mut lines: Vec<Line> = std::io::BufReader::new(reader)
            .lines()
            .take(most)
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        lines.sort_by_key(Line::millis);
        let mut chat = Builder::default();
        for line in lines {
            let conversation = format!("group:{}", plain(&line.chat));
            let time = line.millis();
            chat.add(time, &conversation, &plain(&line.from), line.body);
        }
        chat.finish()
    }

    /// Bytes of all bodies.
    pub fn body_bytes(&self) -> u64 {
        self.messages.iter().map(|m| m.body.len() as u64).sum()
    }

    /// For each conversation, how many messages it has.
    pub fn sizes(&self) -> Vec<u32> {
        let mut sizes = vec![0; self.conversations.len()];
        for message in &self.messages {
            sizes[message.conversation as usize] += 1;
        }
        sizes
    }
}

#[derive(serde::Deserialize)]
struct Line {
    chat: String,
    from: String,
    ts: serde_json::Number,
    body: String,
}

impl Line {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times of real messages"
    )]
    fn millis(&self) -> u64 {
        let ts = self.ts.as_f64().unwrap_or_default();
        if ts < 1e11 {
            (ts * 1e3) as u64
        } else {
            ts as u64
        }
    }
}

/// A name that is an id everywhere.
fn plain(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    let name: String = name
        .chars()
        .map(|c| if fits(c) { c } else { '_' })
        .collect();
    name.to_ascii_lowercase()
}

#[derive(Default)]
struct Builder {
    messages: Vec<Message>,
    conversations: Numbers,
    users: Numbers,
    /// The sender of the last message of a conversation: who hears the next one.
    last: HashMap<u32, u32>,
}

#[derive(Default)]
struct Numbers(HashMap<String, u32>, Vec<String>);

impl Numbers {
    fn of(&mut self, name: &str) -> u32 {
        if let Some(number) = self.0.get(name) {
            return *number;
        }
        let number = u32::try_from(self.1.len()).unwrap();
        self.0.insert(name.to_owned(), number);
        self.1.push(name.to_owned());
        number
    }
}

impl Builder {
    fn add(&mut self, time: u64, conversation: &str, sender: &str, body: String) {
        let number = self.conversations.of(conversation);
        let from = self.users.of(sender);
        let receiver = match conversation.strip_prefix("direct:") {
            Some(pair) => {
                let (a, b) = pair.split_once(',').unwrap();
                self.users.of(if a == sender { b } else { a })
            }
            None => self.last.insert(number, from).unwrap_or(from),
        };
        let n = self.messages.len() as u64;
        self.messages.push(Message {
            id: id_at(time) | (n & ((1 << 22) - 1)),
            conversation: number,
            sender: from,
            receiver,
            body,
        });
    }

    fn finish(mut self) -> Chat {
        self.messages.sort_by_key(|message| message.id);
        Chat {
            messages: self.messages,
            conversations: self.conversations.1,
            users: self.users.1,
        }
    }
}
