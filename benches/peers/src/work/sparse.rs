//! W9: many conversations in which little happens.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Fill, Task};
use crate::chat::{Chat, DAY, Message, id_at};
use crate::engines::{Mode, Names, Visit};
use crate::measure::{Figures, Meter, disk_bytes, drop_caches};
use crate::peer::Peer;

const CONVERSATIONS: usize = 5_000;
const DAYS: u64 = 90;

pub fn run(task: &Task) -> Figures {
    let conversations = u32::try_from(task.count(CONVERSATIONS)).unwrap();
    let start = crate::now() / DAY * DAY - DAYS * DAY;
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let bodies = Chat::generated(10_000, 1, crate::now()).messages;
    let mut messages = Vec::new();
    for day in 0..DAYS {
        for conversation in 0..conversations {
            let n = messages.len() as u64;
            let time = start + day * DAY + rng.random_range(0..DAY);
            messages.push(Message {
                id: id_at(time) | (n & 0x3f_ffff),
                conversation,
                sender: conversation % 100,
                receiver: (conversation + 1) % 100,
                body: bodies[rng.random_range(0..bodies.len())].body.clone(),
            });
        }
    }
    messages.sort_by_key(|message| message.id);
    let chat = Chat {
        messages,
        conversations: (0..conversations)
            .map(|n| format!("group:sparse-{n}"))
            .collect(),
        users: (0..100).map(|n| format!("user-{n}")).collect(),
    };
    let mode = Mode {
        durable: false,
        history: true,
        keeps_days: 91,
        ..Mode::default()
    };
    task.with(
        mode,
        &chat,
        Fill {
            chat: &chat,
            settles: true,
        },
    );
    task.with(mode, &chat, Sparse { chat: &chat, task })
}

struct Sparse<'a> {
    chat: &'a Chat,
    task: &'a Task<'a>,
}

impl Visit for Sparse<'_> {
    type Out = Figures;

    fn visit<P: Peer + 'static>(self, peer: Arc<P>, names: &Names) -> Figures {
        if self.task.engine == "clustered" {
            Fill {
                chat: self.chat,
                settles: true,
            }
            .visit(Arc::clone(&peer), names);
        }
        let mut figures = Figures::default();
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let count = u32::try_from(self.chat.conversations.len()).unwrap();
        if drop_caches() {
            for _ in 0..8 {
                peer.page(rng.random_range(0..count), None, 20);
            }
            let mut times = Vec::new();
            for _ in 0..60 {
                let conversation = rng.random_range(0..count);
                drop_caches();
                let meter = Meter::start();
                assert_eq!(peer.page(conversation, None, 20).count, 20);
                times.push(meter.seconds() * 1e6);
            }
            figures.times("newest page, cold", times);
        }
        let disk = disk_bytes(self.task.dir) as f64 / self.chat.body_bytes() as f64;
        figures.less("bytes on disk a byte of body", disk, "");
        figures
    }
}
