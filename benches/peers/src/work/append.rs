//! W1 and W2: appending.

use std::sync::Arc;

use super::Task;
use crate::chat::{Chat, Message};
use crate::engines::{Mode, Names, Visit};
use crate::measure::{Figures, Meter, disk_bytes};
use crate::peer::Peer;

/// Messages of one writer, of eight and of sixty-four.
const WRITERS: [(usize, usize); 3] = [(1, 2_000), (8, 20_000), (64, 150_000)];

pub fn durable(task: &Task) -> Figures {
    let sizes = WRITERS.map(|(writers, full)| (writers, task.count(full)));
    let chat = task.chat(150_000 + 22_000);
    let mut rest = chat.messages.clone();
    let mut figures = Figures::default();
    for (writers, count) in sizes {
        let messages: Vec<Message> = rest.drain(..count.min(rest.len())).collect();
        let visit = Durable { writers, messages };
        let (rate, median) = task.with(Mode::default(), &chat, visit);
        let name = format!("{writers} writers");
        figures.more(&name, rate, "messages/s");
        if writers == 1 {
            figures.less("1 writer, median", median, "µs");
        }
    }
    figures
}

struct Durable {
    writers: usize,
    messages: Vec<Message>,
}

impl Visit for Durable {
    type Out = (f64, f64);

    fn visit<P: Peer + 'static>(self, peer: Arc<P>, _: &Names) -> (f64, f64) {
        let count = self.messages.len();
        let meter = Meter::start();
        let mut times = peer.append_each(self.writers, self.messages);
        let seconds = meter.seconds();
        times.sort_unstable();
        (count as f64 / seconds, f64::from(times[times.len() / 2]))
    }
}

pub fn buffered(task: &Task) -> Figures {
    let chat = task.chat(2_000_000);
    let mode = Mode {
        durable: false,
        ..Mode::default()
    };
    task.with(mode, &chat, Buffered { chat: &chat, task })
}

struct Buffered<'a> {
    chat: &'a Chat,
    task: &'a Task<'a>,
}

impl Visit for Buffered<'_> {
    type Out = Figures;

    fn visit<P: Peer + 'static>(self, peer: Arc<P>, _: &Names) -> Figures {
        let (messages, bytes) = (&self.chat.messages, self.chat.body_bytes());
        let mut figures = Figures::default();
        let meter = Meter::start();
        for batch in messages.chunks(256) {
            peer.write(batch, false);
        }
        peer.sync();
        let seconds = meter.seconds();
        figures.more("appended", messages.len() as f64 / seconds, "messages/s");
        figures.more("bodies", bytes as f64 / 1e6 / seconds, "MB/s");
        meter.costs(&mut figures, messages.len(), bytes);
        let settling = Meter::start();
        peer.settle();
        figures.less("written out and merged after that", settling.seconds(), "s");
        let disk = disk_bytes(self.task.dir) as f64 / bytes as f64;
        figures.less("bytes on disk a byte of body", disk, "");
        figures
    }
}
