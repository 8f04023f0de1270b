//! W10: a server's day, compressed: appends and reads at once, while memtables are written out, merged, and days expire.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Fill, Task};
use crate::chat::{Chat, DAY, Message, id_at};
use crate::engines::{Mode, Names, Visit};
use crate::measure::{Figures, Meter, disk_bytes};
use crate::peer::{Group, Peer};

const CLIENTS: u64 = 8;
const SECONDS: f64 = 60.0;

pub fn run(task: &Task) -> Figures {
    let chat = task.chat(300_000);
    let history = Mode {
        durable: false,
        history: true,
        keeps_days: 31,
        ..Mode::default()
    };
    task.with(
        history,
        &chat,
        Fill {
            chat: &chat,
            settles: false,
        },
    );
    let mode = Mode {
        keeps_days: 31,
        // Written out every few seconds, so that a minute sees all of it many times.
        memtable: 4 << 20,
        ..Mode::default()
    };
    task.with(mode, &chat, Mixed { chat: &chat, task })
}

struct Mixed<'a> {
    chat: &'a Chat,
    task: &'a Task<'a>,
}

/// What one client measured, in microseconds.
#[derive(Default)]
struct Times {
    appends: Vec<f64>,
    newest: Vec<f64>,
    deep: Vec<f64>,
}

impl Visit for Mixed<'_> {
    type Out = Figures;

    fn visit<P: Peer + 'static>(self, peer: Arc<P>, _: &Names) -> Figures {
        let Self { chat, task } = self;
        let until = Instant::now() + Duration::from_secs_f64(SECONDS * task.scale.min(1.0));
        let stop = AtomicBool::new(false);
        let next = AtomicU64::new(0);
        let conversations = u32::try_from(chat.conversations.len()).unwrap();
        let group = (!peer.groups_itself()).then(|| {
            let peer = Arc::clone(&peer);
            Group::start(move |batch| peer.write(batch, true))
        });
        let meter = Meter::start();
        let times = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (peer, next, group) = (Arc::clone(&peer), &next, group.as_ref());
                    scope.spawn(move || {
                        let append = |message| match group {
                            Some(group) => group.append(message),
                            None => peer.write(&[message], true),
                        };
                        act(&*peer, append, chat, client, next, until)
                    })
                })
                .collect();
            // Once in ten seconds another of the oldest days goes.
            let (peer, stop) = (Arc::clone(&peer), &stop);
            scope.spawn(move || {
                let first = chat.messages[0].time() / DAY;
                for day in 1.. {
                    std::thread::park_timeout(Duration::from_secs_f64(10.0 * task.scale.min(1.0)));
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    peer.expire(conversations, id_at((first + 1 + day) * DAY));
                }
            });
            let times: Vec<Times> = clients.into_iter().map(|c| c.join().unwrap()).collect();
            stop.store(true, Ordering::Relaxed);
            times
        });
        let seconds = meter.seconds();
        let mut all = Times::default();
        for one in times {
            all.appends.extend(one.appends);
            all.newest.extend(one.newest);
            all.deep.extend(one.deep);
        }
        let mut figures = Figures::default();
        let done = all.appends.len() + all.newest.len() + all.deep.len();
        figures.more("all together", done as f64 / seconds, "calls/s");
        let appended = all.appends.len();
        figures.times("append", all.appends);
        figures.times("newest page", all.newest);
        figures.times("deep page", all.deep);
        let body = chat.body_bytes() as f64 / chat.messages.len() as f64 * appended as f64;
        meter.costs(&mut figures, appended.max(1), body as u64);
        let disk = disk_bytes(task.dir) as f64 / 1e6;
        figures.less("on disk at the end", disk, "MB");
        figures
    }
}

fn act(
    peer: &impl Peer,
    append: impl Fn(Message),
    chat: &Chat,
    client: u64,
    next: &AtomicU64,
    until: Instant,
) -> Times {
    let mut rng = ChaCha8Rng::seed_from_u64(client);
    let mut times = Times::default();
    let now = crate::now();
    while Instant::now() < until {
        let like = &chat.messages[rng.random_range(0..chat.messages.len())];
        let began = Instant::now();
        let list = match rng.random_range(0..100) {
            0..70 => {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let message = Message {
                    id: id_at(now) + n,
                    ..like.clone()
                };
                append(message);
                &mut times.appends
            }
            70..95 => {
                peer.page(like.conversation, None, 20);
                &mut times.newest
            }
            _ => {
                let page = peer.page(like.conversation, None, 50);
                if let Some(before) = page.next {
                    peer.page(like.conversation, Some(before), 50);
                }
                &mut times.deep
            }
        };
        list.push(began.elapsed().as_secs_f64() * 1e6);
    }
    times
}
