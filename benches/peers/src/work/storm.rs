//! W8: a large group hears something while nobody is there, and then everybody comes.

use std::sync::Arc;

use super::Task;
use crate::chat::{Chat, Message};
use crate::engines::{Mode, Names, Visit};
use crate::measure::{Figures, Meter, disk_bytes};
use crate::peer::Peer;

const MEMBERS: u32 = 8_000;
const MESSAGES: usize = 1_000;

pub fn run(task: &Task) -> Figures {
    let messages: Vec<Message> = (0..MESSAGES as u64)
        .map(|n| Message {
            id: crate::chat::id_at(crate::now()) + n,
            conversation: 0,
            sender: 0,
            receiver: 0,
            body: format!("message {n} to everybody, of the length that messages have"),
        })
        .collect();
    let chat = Chat {
        messages,
        conversations: vec!["group:storm".to_owned()],
        users: vec!["member-0".to_owned()],
    };
    let members = u32::try_from(task.count(MEMBERS as usize)).unwrap();
    let visit = Storm {
        chat: &chat,
        members,
        task,
    };
    task.with(Mode::default(), &chat, visit)
}

struct Storm<'a> {
    chat: &'a Chat,
    members: u32,
    task: &'a Task<'a>,
}

impl Visit for Storm<'_> {
    type Out = Figures;

    fn visit<P: Peer + 'static>(self, peer: Arc<P>, _: &Names) -> Figures {
        // Founds the group, where an engine knows groups; that is no part of it.
        peer.fan_out(&[], self.members);
        let mut figures = Figures::default();
        let messages = &self.chat.messages;
        let before = disk_bytes(self.task.dir);
        let meter = Meter::start();
        peer.fan_out(messages, self.members);
        let wrote = meter.seconds();
        figures.more(
            "durable messages to all",
            messages.len() as f64 / wrote,
            "messages/s",
        );
        let disk = disk_bytes(self.task.dir).saturating_sub(before) as f64;
        let pairs = messages.len() as f64 * f64::from(self.members);
        figures.less("bytes on disk a message and member", disk / pairs, "bytes");
        let draining = Meter::start();
        let mut cursors = Vec::new();
        for member in 0..self.members {
            let (count, last) = peer.drain(member);
            assert_eq!(count, messages.len());
            cursors.push((member, last));
            if cursors.len() == 256 || member + 1 == self.members {
                peer.acknowledge(&cursors);
                cursors.clear();
            }
        }
        let drained = draining.seconds();
        figures.more("taken by members", pairs / drained, "messages/s");
        figures.less(
            "from the first message to the last member",
            wrote + drained,
            "s",
        );
        figures
    }
}
