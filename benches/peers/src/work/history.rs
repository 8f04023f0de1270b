//! W3, W4, W5: reading thirty days, and letting the oldest go.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Fill, Task};
use crate::chat::{Chat, DAY, id_at};
use crate::engines::{Mode, Names, Visit};
use crate::measure::{Figures, Meter, disk_bytes, drop_caches};
use crate::peer::Peer;

const PAGE: usize = 20;
const DEEP: usize = 50;

pub fn run(task: &Task) -> Figures {
    let chat = task.chat(1_000_000);
    let mode = Mode {
        durable: false,
        history: true,
        keeps_days: 31,
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
    // Opened anew: nothing is in memory but what reading brings there.
    task.with(mode, &chat, Read { chat: &chat, task })
}

struct Read<'a> {
    chat: &'a Chat,
    task: &'a Task<'a>,
}

impl Visit for Read<'_> {
    type Out = Figures;

    fn visit<P: Peer + 'static>(self, peer: Arc<P>, _: &Names) -> Figures {
        let Self { chat, task } = self;
        if task.engine == "clustered" {
            // It is nothing but a file made at once, and is made here.
            Fill {
                chat,
                settles: true,
            }
            .visit(
                Arc::clone(&peer),
                &Names {
                    conversations: &[],
                    users: &[],
                },
            );
        }
        let mut figures = Figures::default();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let pick = |rng: &mut ChaCha8Rng| {
            chat.messages[rng.random_range(0..chat.messages.len())].conversation
        };
        cold(&mut figures, &*peer, || pick(&mut rng));
        warm(&mut figures, &*peer, task, || pick(&mut rng));
        whole(&mut figures, &*peer, chat);
        if task.engine != "clustered" {
            expire(&mut figures, &*peer, chat, task);
        }
        figures
    }
}

fn cold(figures: &mut Figures, peer: &dyn Peer, mut pick: impl FnMut() -> u32) {
    if !drop_caches() {
        return;
    }
    // What an engine keeps of where things lie, it may keep.
    for _ in 0..8 {
        peer.page(pick(), None, PAGE);
    }
    let mut times = Vec::new();
    for _ in 0..60 {
        let conversation = pick();
        drop_caches();
        let meter = Meter::start();
        let page = peer.page(conversation, None, PAGE);
        times.push(meter.seconds() * 1e6);
        assert!(page.count > 0);
    }
    figures.times("newest page, cold", times);
}

fn warm(figures: &mut Figures, peer: &dyn Peer, task: &Task, mut pick: impl FnMut() -> u32) {
    let count = task.count(40_000);
    let mut times = Vec::with_capacity(count);
    for round in 0..2 {
        for _ in 0..count {
            let conversation = pick();
            let meter = Meter::start();
            peer.page(conversation, None, PAGE);
            if round == 1 {
                times.push(meter.seconds() * 1e6);
            }
        }
    }
    figures.times("newest page, warm", times);
}

fn whole(figures: &mut Figures, peer: &dyn Peer, chat: &Chat) {
    let sizes = chat.sizes();
    let mut largest: Vec<u32> = (0..u32::try_from(sizes.len()).unwrap()).collect();
    largest.sort_by_key(|conversation| std::cmp::Reverse(sizes[*conversation as usize]));
    largest.truncate((sizes.len() / 2).max(1));
    let meter = Meter::start();
    let mut read = 0;
    for conversation in largest {
        let mut before = None;
        loop {
            let page = peer.page(conversation, before, DEEP);
            read += page.count;
            before = page.next;
            if before.is_none() {
                break;
            }
        }
    }
    figures.more(
        "whole conversations",
        read as f64 / meter.seconds(),
        "messages/s",
    );
}

fn expire(figures: &mut Figures, peer: &dyn Peer, chat: &Chat, task: &Task) {
    let oldest = chat.messages[0].time();
    // The end of a day, as buckets have it.
    let until = (oldest / DAY + 2) * DAY;
    let gone = chat.messages.iter().filter(|m| m.time() < until).count();
    // Some engines make their logs with the first write after opening; that is no part of it.
    let mut last = chat.messages[chat.messages.len() - 64..].to_vec();
    for message in &mut last {
        message.body.push('!');
        message.id += 64;
    }
    peer.write(&last, true);
    peer.sync();
    let before = disk_bytes(task.dir);
    let meter = Meter::start();
    peer.expire(
        u32::try_from(chat.conversations.len()).unwrap(),
        id_at(until),
    );
    let seconds = meter.seconds();
    let freed = before.saturating_sub(disk_bytes(task.dir)) as f64;
    let share = gone as f64 / chat.messages.len() as f64;
    figures.less("expiry of the oldest day", seconds * 1e3, "ms");
    let fair = before as f64 * share;
    figures.more("its bytes given back at once", freed / fair * 100.0, "%");
}
