//! What is asked next: drawn by chance, aimed at what the model says is there.

#![expect(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "requests of all kinds are drawn by functions of one shape"
)]

use tidestore::disk::Millis;
use tidestore_workload::{Line, Workload, WorkloadOptions};

use crate::chat::{Chat, DAY, HOUR, Sent, Window};
use crate::draw::Draw;
use crate::op::{Answer, DEVICES, GROUPS, Op, PLACES, PendingSeen, PeopleOp, Said, USERS};
use crate::people::NAMES;
use crate::state::State;

/// What a writer may ask for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manners {
    /// Messages may be answered before they are flushed: only a power cut or a failed flush would tell.
    pub(crate) may_buffer: bool,
    /// Nothing whose outcome depends on the time, because the clock is wrong.
    pub(crate) is_timeless: bool,
    /// The store works in the background, so that flush, merge and expiry need no request.
    pub(crate) is_in_background: bool,
}

/// Draws a request of one kind; `None` if there is nothing that it could be about.
type Kind = fn(&mut Writer, &mut Draw, &Chat, Window, Manners) -> Option<Op>;

/// One source of requests.
pub(crate) struct Writer {
    count: u64,
    texts: Workload,
    line: Line,
    /// The page of an inbox that was read last.
    page: Option<(usize, usize, PendingSeen)>,
}

impl Writer {
    pub(crate) fn new(seed: u64) -> Self {
        let options = WorkloadOptions {
            seed,
            ..WorkloadOptions::default()
        };
        Self {
            count: 0,
            texts: Workload::new(options),
            line: Line::default(),
            page: None,
        }
    }

    /// Remembers what later requests build on.
    pub(crate) fn hear(&mut self, op: &Op, answer: &Answer) {
        if let (Op::Inbox { user, device, .. }, Answer::Done(Said::Pending(page))) = (op, answer) {
            self.page = Some((*user, *device, page.clone()));
        }
    }

    /// Forgets what a store that is gone has said.
    pub(crate) fn forget(&mut self) {
        self.page = None;
    }

    /// The next request.
    pub(crate) fn next(
        &mut self,
        draw: &mut Draw,
        state: &State,
        window: Window,
        manners: Manners,
    ) -> Op {
        if self.page.is_some() && draw.chance(80) {
            return self.acknowledge(draw);
        }
        let kinds: [(u64, Kind); 11] = [
            (22, Self::send),
            (5, Self::send_many),
            (6, Self::import),
            (8, Self::read),
            (7, Self::inbox),
            (5, Self::mark),
            (4, Self::join),
            (9, Self::change),
            (9, Self::file),
            (2, Self::terms),
            (5, Self::upkeep),
        ];
        if draw.chance(30) {
            return Op::People(self.people(draw));
        }
        let kind = draw.weighted(&kinds, Self::send);
        kind(self, draw, &state.chat, window, manners)
            .unwrap_or_else(|| Op::People(self.people(draw)))
    }

    fn text(&mut self) -> String {
        self.count += 1;
        self.texts.next_into(&mut self.line);
        let text: String = self.line.body.chars().take(80).collect();
        format!("{} {text}", self.count)
    }

    fn acknowledge(&mut self, draw: &mut Draw) -> Op {
        let Some((user, device, page)) = self.page.take() else {
            return Op::Sync;
        };
        let taken = if draw.chance(50) {
            page.items.len()
        } else {
            draw.index(page.items.len() + 1)
        };
        let cursor = match page.items.get(taken.wrapping_sub(1)) {
            Some((.., cursor)) if taken < page.items.len() => cursor.clone(),
            _ => page.cursor.clone(),
        };
        let taken = if taken == 0 { page.items.len() } else { taken };
        Op::Acknowledge {
            user,
            device,
            cursor,
            places: page
                .items
                .iter()
                .take(taken)
                .map(|(place, ..)| *place)
                .collect(),
        }
    }

    fn send(
        &mut self,
        draw: &mut Draw,
        chat: &Chat,
        window: Window,
        manners: Manners,
    ) -> Option<Op> {
        let client = draw
            .chance(15)
            .then(|| u8::try_from(draw.below(4)).unwrap_or_default());
        let is_command = draw.chance(8);
        let mut attachments = Vec::new();
        if draw.chance(12)
            && let Some((name, id)) = some_file(draw, chat, window)
        {
            attachments.push((name, id));
        }
        Some(Op::Send {
            from: draw.index(USERS.len()),
            to: draw.index(PLACES),
            body: self.text(),
            client: client.filter(|_| !is_command && !manners.is_timeless),
            attachments: if manners.is_timeless {
                Vec::new()
            } else {
                attachments
            },
            is_command,
            is_buffered: manners.may_buffer && draw.chance(30),
        })
    }

    fn send_many(&mut self, draw: &mut Draw, _: &Chat, _: Window, _: Manners) -> Option<Op> {
        Some(Op::SendMany {
            from: draw.index(USERS.len()),
            to: draw.index(PLACES),
            bodies: (0..=draw.below(20)).map(|_| self.text()).collect(),
        })
    }

    fn import(
        &mut self,
        draw: &mut Draw,
        chat: &Chat,
        window: Window,
        manners: Manners,
    ) -> Option<Op> {
        if manners.is_timeless {
            return None;
        }
        let to = draw.index(PLACES);
        let from = if to + 1 < USERS.len() {
            [0, to + 1][draw.index(2)]
        } else {
            draw.index(USERS.len())
        };
        let (is_pending, is_read) = (draw.chance(50), draw.chance(20));
        let rows = chat.talks.get(to).map(|talk| &talk.messages);
        let again: Vec<&Sent> = rows
            .into_iter()
            .flatten()
            .filter(|row| {
                row.is_imported && row.version == Some(0) && chat.must_see(row.time, window)
            })
            .collect();
        if draw.chance(20)
            && let Some(row) = draw.pick(&again)
        {
            return Some(Op::Import {
                from: row.sender,
                to,
                time: row.time,
                bodies: vec![row.body.clone()],
                is_pending: row.is_delivered,
                is_read: false,
            });
        }
        // Half an hour off the hours, so that no floor comes near it while a request is under way.
        let age = draw.below(8 * 24) * HOUR + HOUR / 2;
        let time: Millis = window.now / HOUR * HOUR - age;
        Some(Op::Import {
            from,
            to,
            time,
            bodies: (0..=draw.below(5)).map(|_| self.text()).collect(),
            is_pending,
            is_read,
        })
        .filter(|_| time.abs_diff(chat.floor_at(window.now)) > window.slack)
    }

    fn read(&mut self, draw: &mut Draw, chat: &Chat, _: Window, _: Manners) -> Option<Op> {
        let to = draw.index(PLACES);
        let last = chat.talks.get(to)?.messages.len() as u64;
        Some(Op::History {
            to,
            seq: draw.below(last + 3),
            is_after: draw.chance(50),
        })
    }

    fn inbox(&mut self, draw: &mut Draw, _: &Chat, _: Window, _: Manners) -> Option<Op> {
        Some(Op::Inbox {
            user: draw.index(USERS.len()),
            device: draw.index(DEVICES.len()),
            limit: 1 + draw.index(40),
        })
    }

    fn mark(&mut self, draw: &mut Draw, chat: &Chat, _: Window, _: Manners) -> Option<Op> {
        let to = draw.index(PLACES);
        let last = chat.talks.get(to)?.messages.len() as u64;
        Some(Op::MarkRead {
            user: draw.index(USERS.len()),
            to,
            seq: draw.chance(60).then(|| draw.below(last + 2)),
        })
    }

    fn join(&mut self, draw: &mut Draw, _: &Chat, _: Window, _: Manners) -> Option<Op> {
        Some(Op::Join {
            user: draw.index(USERS.len()),
            group: draw.index(GROUPS.len()),
            is_in: draw.chance(70),
        })
    }

    fn change(&mut self, draw: &mut Draw, chat: &Chat, window: Window, _: Manners) -> Option<Op> {
        let to = draw.index(PLACES);
        let rows = chat.talks.get(to).map(|talk| &talk.messages)?;
        // The younger ones, which are in memory, in the log and in segments alike.
        let young = draw.index(rows.len().min(30));
        let row = rows.get(rows.len().checked_sub(young + 1)?)?;
        let (seq, id) = (row.seq, row.id.filter(|_| chat.must_see(row.time, window))?);
        Some(match draw.below(6) {
            0 => Op::Recall { to, seq, id },
            1 | 2 => Op::Edit {
                to,
                seq,
                id,
                body: self.text(),
            },
            _ => Op::React {
                to,
                seq,
                id,
                user: draw.index(USERS.len()),
                is_on: draw.chance(70),
            },
        })
    }

    fn file(
        &mut self,
        draw: &mut Draw,
        chat: &Chat,
        window: Window,
        manners: Manners,
    ) -> Option<Op> {
        let old = some_file(draw, chat, window).filter(|_| !manners.is_timeless);
        match (draw.below(6), old) {
            (0, Some((name, id))) => Some(Op::DeleteFile { name, id }),
            (1 | 2, Some((name, id))) => Some(Op::PinFile {
                name,
                id,
                user: draw.index(USERS.len()),
                is_on: draw.chance(60),
            }),
            _ => {
                self.count += 1;
                let len = match draw.below(10) {
                    0 => 60_000 + draw.index(90_000),
                    1 => draw.index(40),
                    _ => draw.index(6_000),
                };
                Some(Op::Put {
                    name: format!("file {}", self.count),
                    len,
                })
            }
        }
    }

    fn terms(&mut self, draw: &mut Draw, _: &Chat, _: Window, manners: Manners) -> Option<Op> {
        let op = if draw.chance(30) {
            Op::Undo
        } else {
            Op::Terms {
                plan: draw.index(3),
            }
        };
        (!manners.is_timeless).then_some(op)
    }

    fn upkeep(&mut self, draw: &mut Draw, _: &Chat, _: Window, manners: Manners) -> Option<Op> {
        if manners.is_in_background && draw.chance(50) {
            return None;
        }
        Some(match draw.below(10) {
            0..=3 => Op::Flush,
            4 | 5 => Op::Merge,
            6..=8 => Op::Expire,
            _ => Op::Sync,
        })
    }

    fn people(&mut self, draw: &mut Draw) -> PeopleOp {
        let byte =
            |draw: &mut Draw, end: u8| u8::try_from(draw.below(end.into())).unwrap_or_default();
        let [users, channels, keys] = NAMES;
        let (a, b, c) = (byte(draw, users), byte(draw, users), byte(draw, channels));
        let (kind, is_on) = (draw.index(2), draw.chance(65));
        let mut value = |draw: &mut Draw| {
            self.count += 1;
            let len = draw.index(14);
            format!("{}{}", self.count, "x".repeat(len))
                .chars()
                .take(len)
                .collect::<String>()
        };
        match draw.below(40) {
            0..=5 => PeopleOp::Register(a),
            6 => PeopleOp::Delete(a),
            7 => PeopleOp::Ban(a, is_on),
            8..=11 => PeopleOp::Contact(a, b, is_on),
            12 | 13 => PeopleOp::Block(a, b, is_on),
            14..=17 => {
                let others = (0..draw.below(3)).map(|_| byte(draw, users)).collect();
                PeopleOp::Create(kind, c, a, others)
            }
            18 => PeopleOp::DeleteChannel(kind, c),
            19..=25 => PeopleOp::Member(kind, c, a, is_on),
            26 => PeopleOp::Transfer(kind, c, a),
            27 | 28 => PeopleOp::Admin(kind, c, a, is_on),
            29 | 30 => PeopleOp::Mute(kind, c, a, is_on),
            31..=34 => PeopleOp::SetAttribute(a, byte(draw, keys), value(draw)),
            35 => PeopleOp::DropAttributes(a),
            _ => PeopleOp::SetRoomAttribute {
                room: c,
                by: a,
                key: byte(draw, keys),
                value: value(draw),
                goes_with_him: draw.chance(50),
                force: draw.chance(50),
            },
        }
    }
}

/// An attachment that must be there, far from its end.
fn some_file(draw: &mut Draw, chat: &Chat, window: Window) -> Option<(String, String)> {
    let later = Window {
        now: window.now + DAY / 24,
        ..window
    };
    let there = chat.files.iter().filter_map(|(name, file)| {
        let id = file
            .id
            .clone()
            .filter(|_| chat.must_have(name, file, later))?;
        Some((name.clone(), id))
    });
    let there: Vec<_> = there.collect();
    draw.pick(&there).cloned()
}
