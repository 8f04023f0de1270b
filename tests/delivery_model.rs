//! Inboxes, conversations and changes against a plain model of them: lists of messages, and sets of what each device has
//! and each user may not see.
//!
//! Both are driven with the same random operations, crashes included. After each, every user's inbox on every device, his
//! unread counts, his list and his pages are compared. All operations are awaited, so at a crash nothing is in flight.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tidestore::disk::{Millis, Survival};
use tidestore::plan::{Plan, ResourceId, Terms, UserId};
use tidestore::{
    Account, App, By, Conversation, Cursor, DeliveryState, ErrorKind, Filter, Kind, Message,
    MessageId, NewChannel, NewMessage, Notice, OldMessage, Page, Revision, Seq, Store,
};
use tidestore_tests::{DAY, HOUR, Machine, group, key, run, user};

const USERS: [&str; 4] = ["ann", "bob", "cid", "dora"];
const GROUPS: [&str; 2] = ["tea", "chess"];
const DEVICES: [&str; 2] = ["phone", "desk"];
const REACTIONS: [&str; 2] = ["👍", "no"];

#[derive(Clone, Debug)]
enum Op {
    Send {
        from: usize,
        to: usize,
        kind: u8,
        hidden: Option<usize>,
    },
    SendMany {
        from: usize,
        to: usize,
        count: u8,
    },
    Import {
        from: usize,
        to: usize,
        age: Millis,
        count: u8,
        pending: bool,
        read: bool,
    },
    Acknowledge {
        user: usize,
        device: usize,
        limit: u8,
        take: u8,
    },
    MarkRead {
        user: usize,
        to: usize,
        nth: Option<u8>,
    },
    Join {
        user: usize,
        group: usize,
    },
    Leave {
        user: usize,
        group: usize,
    },
    Clear {
        user: usize,
        to: usize,
        how: u8,
        at: u8,
    },
    Hide {
        user: usize,
        nth: usize,
    },
    Mark {
        user: usize,
        to: usize,
        pinned: bool,
        muted: bool,
    },
    Recall {
        nth: usize,
        by: Option<usize>,
    },
    Edit {
        nth: usize,
        body: u8,
    },
    React {
        nth: usize,
        user: usize,
        reaction: usize,
        add: bool,
    },
    Pin {
        nth: usize,
        pinned: bool,
    },
    Erase {
        user: usize,
        messages: bool,
    },
    Terms {
        plan: usize,
    },
    Pass(Millis),
    Flush,
    Merge,
    Expire,
    Reopen,
    Crash {
        seed: u64,
        survival: usize,
    },
}

/// Places: three direct conversations of each pair with ann, then the groups.
const PLACES: usize = 5;

fn op() -> impl Strategy<Value = Op> {
    let (user, to) = (0..USERS.len(), 0..PLACES);
    let group = 0..GROUPS.len();
    let nth = any::<usize>();
    prop_oneof![
        14 => (user.clone(), to.clone(), 0..6_u8, proptest::option::weighted(0.2, user.clone()))
            .prop_map(|(from, to, kind, hidden)| Op::Send { from, to, kind, hidden }),
        4 => (user.clone(), to.clone(), 2..20_u8).prop_map(|(from, to, count)| Op::SendMany { from, to, count }),
        6 => (user.clone(), to.clone(), 0..9 * DAY, 1..6_u8, any::<bool>(), any::<bool>())
            .prop_map(|(from, to, age, count, pending, read)| Op::Import { from, to, age, count, pending, read }),
        10 => (user.clone(), 0..DEVICES.len(), 1..30_u8, 0..30_u8)
            .prop_map(|(user, device, limit, take)| Op::Acknowledge { user, device, limit, take }),
        6 => (user.clone(), to.clone(), proptest::option::of(0..12_u8))
            .prop_map(|(user, to, nth)| Op::MarkRead { user, to, nth }),
        3 => (user.clone(), group.clone()).prop_map(|(user, group)| Op::Join { user, group }),
        2 => (user.clone(), group).prop_map(|(user, group)| Op::Leave { user, group }),
        3 => (user.clone(), to.clone(), 0..3_u8, any::<u8>())
            .prop_map(|(user, to, how, at)| Op::Clear { user, to, how, at }),
        3 => (user.clone(), nth).prop_map(|(user, nth)| Op::Hide { user, nth }),
        2 => (user.clone(), to, any::<bool>(), any::<bool>())
            .prop_map(|(user, to, pinned, muted)| Op::Mark { user, to, pinned, muted }),
        4 => (nth, proptest::option::of(user.clone())).prop_map(|(nth, by)| Op::Recall { nth, by }),
        4 => (nth, any::<u8>()).prop_map(|(nth, body)| Op::Edit { nth, body }),
        4 => (nth, user.clone(), 0..REACTIONS.len(), any::<bool>())
            .prop_map(|(nth, user, reaction, add)| Op::React { nth, user, reaction, add }),
        2 => (nth, any::<bool>()).prop_map(|(nth, pinned)| Op::Pin { nth, pinned }),
        1 => (user, any::<bool>()).prop_map(|(user, messages)| Op::Erase { user, messages }),
        1 => (0..2_usize).prop_map(|plan| Op::Terms { plan }),
        5 => prop_oneof![(1..3 * HOUR).prop_map(Op::Pass), (1..3 * DAY).prop_map(Op::Pass)],
        4 => Just(Op::Flush),
        2 => Just(Op::Merge),
        3 => Just(Op::Expire),
        2 => Just(Op::Reopen),
        4 => (any::<u64>(), 0..4_usize).prop_map(|(seed, survival)| Op::Crash { seed, survival }),
    ]
}

/// A message as the model has it.
#[derive(Clone, Debug)]
struct Sent {
    id: MessageId,
    seq: u64,
    sender: String,
    kind: Kind,
    body: String,
    revision: Revision,
    /// Whether devices wait for it.
    delivers: bool,
    hidden_from: BTreeSet<usize>,
    reactions: BTreeMap<&'static str, Vec<usize>>,
    pinned: bool,
}

/// What one user has made of one conversation.
#[derive(Clone, Debug, Default)]
struct Seen {
    member: bool,
    since: u64,
    aside_since: u64,
    read: u64,
    sent: u64,
    cleared: u64,
    cleared_before: Millis,
    pinned: bool,
    muted: bool,
}

#[derive(Clone, Debug)]
struct Talk {
    conversation: Conversation,
    messages: Vec<Sent>,
    aside: Vec<Sent>,
    read_by_all: u64,
    seen: [Seen; 4],
}

type Place = (usize, bool, u64);

#[derive(Debug)]
struct World {
    machine: Machine,
    store: Store,
    app: App,
    plan: Plan,
    floor: Millis,
    talks: Vec<Talk>,
    /// What each device of each user has acknowledged: talk, whether of its aside, number. `None` before its first page.
    acknowledged: [[Option<BTreeSet<Place>>; 2]; 4],
}

fn resource(id: &str) -> ResourceId {
    ResourceId::parse(id).unwrap()
}

fn name(index: usize) -> UserId {
    user(USERS[index])
}

impl World {
    async fn new() -> Self {
        let mut machine = Machine::new();
        machine.options.memtable_bytes = 32 << 10;
        machine.options.block_bytes = 512;
        let (store, app) = machine.open_app(Plan::Basic).await;
        let owner = Account::new(user("owner"));
        app.users().register(owner).await.unwrap();
        for name in USERS {
            app.users()
                .register(Account::new(user(name)))
                .await
                .unwrap();
        }
        for id in GROUPS {
            let new = NewChannel::new(resource(id), user("owner"));
            app.groups().create(new).await.unwrap();
        }
        let directs = (1..4).map(|other| Conversation::direct(&name(0), &name(other)));
        let talks = directs.chain(GROUPS.map(group)).enumerate();
        let talk = |(at, conversation): (usize, Conversation)| {
            let mut seen: [Seen; 4] = Default::default();
            for (index, seen) in seen.iter_mut().enumerate() {
                seen.member = at < 3 && (index == 0 || index == at + 1);
            }
            Talk {
                conversation,
                messages: Vec::new(),
                aside: Vec::new(),
                read_by_all: 0,
                seen,
            }
        };
        let talks = talks.map(talk).collect();
        Self {
            machine,
            store,
            app,
            plan: Plan::Basic,
            floor: 0,
            talks,
            acknowledged: Default::default(),
        }
    }

    fn now(&self) -> Millis {
        tidestore::disk::Clock::wall(&self.machine.clock)
    }

    fn visible_from(&self) -> Millis {
        let days = if self.plan == Plan::Free { 3 } else { 7 };
        self.floor.max(self.now().saturating_sub(days * DAY))
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each operation")]
    async fn apply(&mut self, op: Op) {
        match op {
            Op::Send {
                from,
                to,
                kind,
                hidden,
            } => self.send(from, to, kind, hidden).await,
            Op::SendMany { from, to, count } => {
                for _ in 0..count {
                    self.send(from, to, 0, None).await;
                }
            }
            Op::Import {
                from,
                to,
                age,
                count,
                pending,
                read,
            } => {
                self.import(from, to, age, count, pending, read).await;
            }
            Op::Acknowledge {
                user,
                device,
                limit,
                take,
            } => {
                self.acknowledge(user, device, limit, take).await;
            }
            Op::MarkRead { user, to, nth } => self.mark_read(user, to, nth).await,
            Op::Join { user, group } => {
                let talk = &mut self.talks[3 + group];
                if !talk.seen[user].member {
                    let members = self.app.groups();
                    members
                        .members(&resource(GROUPS[group]))
                        .add(&name(user))
                        .await
                        .unwrap();
                    let seen = &mut talk.seen[user];
                    seen.member = true;
                    seen.since = talk.messages.len() as u64;
                    seen.aside_since = talk.aside.len() as u64;
                }
            }
            Op::Leave { user, group } => {
                let seen = &mut self.talks[3 + group].seen[user];
                if std::mem::take(&mut seen.member) {
                    let members = self.app.groups();
                    members
                        .members(&resource(GROUPS[group]))
                        .remove(&name(user))
                        .await
                        .unwrap();
                }
            }
            Op::Clear { user, to, how, at } => self.clear(user, to, how, at).await,
            Op::Hide { user, nth } => {
                let Some((to, at)) = self.pick(nth) else {
                    return;
                };
                if !self.talks[to].seen[user].member {
                    return;
                }
                let (conversation, id) = self.named(to, at);
                self.app
                    .as_user(&name(user))
                    .hide(&conversation, &[id])
                    .await
                    .unwrap();
                self.talks[to].messages[at].hidden_from.insert(user);
            }
            Op::Mark {
                user,
                to,
                pinned,
                muted,
            } => {
                let conversation = self.talks[to].conversation.clone();
                let of = name(user);
                let view = self.app.as_user(&of);
                let set = view.set_pinned(&conversation, pinned).await;
                assert_eq!(set.is_ok(), self.talks[to].seen[user].member);
                if set.is_ok() {
                    view.set_muted(&conversation, muted).await.unwrap();
                    let seen = &mut self.talks[to].seen[user];
                    (seen.pinned, seen.muted) = (pinned, muted);
                }
            }
            Op::Recall { nth, by } => self.recall(nth, by).await,
            Op::Edit { nth, body } => self.edit(nth, body).await,
            Op::React {
                nth,
                user,
                reaction,
                add,
            } => self.react(nth, user, reaction, add).await,
            Op::Pin { nth, pinned } => {
                let Some((to, at)) = self.pick(nth) else {
                    return;
                };
                let (_, id) = self.named(to, at);
                let done = self.app.pin_message(id, &user("owner"), pinned).await;
                let now = self.now();
                let message = &mut self.talks[to].messages[at];
                if is_gone(message.revision) {
                    assert_eq!(done.unwrap_err().kind(), &ErrorKind::MessageNotFound);
                } else {
                    done.unwrap();
                    if std::mem::replace(&mut message.pinned, pinned) != pinned {
                        let notice = if pinned {
                            Notice::Pinned(id)
                        } else {
                            Notice::Unpinned(id)
                        };
                        self.noticed(to, "owner", &notice, now);
                    }
                }
            }
            Op::Erase { user, messages } => self.erase(user, messages).await,
            Op::Terms { plan } => {
                self.floor = self.visible_from();
                self.plan = [Plan::Free, Plan::Basic][plan];
                self.app.change_terms(Terms::of(self.plan)).await.unwrap();
                self.floor = self.visible_from();
            }
            Op::Pass(millis) => self.machine.pass(millis),
            Op::Flush => self.store.flush().await.unwrap(),
            Op::Merge => drop(self.store.merge().await.unwrap()),
            Op::Expire => drop(self.store.expire().await.unwrap()),
            Op::Reopen => self.reopen().await,
            Op::Crash { seed, survival } => {
                let disk = self.machine.disk.crash(seed, Survival::LEVELS[survival]);
                self.machine.disk = disk;
                self.reopen().await;
            }
        }
    }

    async fn reopen(&mut self) {
        // The old handle must not hold the lock of a disk that lives on.
        (self.store, self.app) = Machine::new().open_app(Plan::Free).await;
        self.store = self.machine.open().await.unwrap();
        self.store.confirm_clock();
        self.app = self.store.app(&key("acme#chat")).unwrap();
    }

    /// A message that is visible.
    fn pick(&self, nth: usize) -> Option<(usize, usize)> {
        let from = self.visible_from();
        let all = self.talks.iter().enumerate();
        let all: Vec<_> = all
            .flat_map(|(to, talk)| {
                let messages = talk.messages.iter().enumerate();
                let visible = messages.filter(|(_, m)| m.id.millis() >= from);
                visible.map(move |(at, _)| (to, at))
            })
            .collect();
        all.get(nth.checked_rem(all.len())?).copied()
    }

    fn named(&self, to: usize, at: usize) -> (Conversation, MessageId) {
        let talk = &self.talks[to];
        (talk.conversation.clone(), talk.messages[at].id)
    }

    fn noticed(&mut self, to: usize, by: &str, notice: &Notice, now: Millis) {
        let aside = &mut self.talks[to].aside;
        aside.push(Sent {
            // The id of a notice is not told; its time is.
            id: MessageId::first_at(now),
            seq: aside.len() as u64 + 1,
            sender: by.to_owned(),
            kind: Kind::Notice,
            body: format!("{notice:?}"),
            revision: Revision::Original,
            delivers: true,
            hidden_from: BTreeSet::new(),
            reactions: BTreeMap::new(),
            pinned: false,
        });
    }

    async fn send(&mut self, from: usize, to: usize, kind: u8, hidden: Option<usize>) {
        let talk = &mut self.talks[to];
        let is_command = kind == 5;
        let body = format!("{from} {to} {}", talk.messages.len() + talk.aside.len());
        let message = NewMessage {
            kind: if is_command {
                Kind::Command
            } else {
                Kind::Text
            },
            hidden_from: hidden.iter().map(|hidden| name(*hidden)).collect(),
            ..NewMessage::text(talk.conversation.clone(), name(from), body.clone())
        };
        let sent = self.app.send(message.clone()).await;
        assert_eq!(sent.is_ok(), talk.seen[from].member, "{sent:?}");
        let Ok(receipt) = sent else { return };
        let list = if is_command {
            &mut talk.aside
        } else {
            &mut talk.messages
        };
        assert_eq!(receipt.seq.0, list.len() as u64 + 1);
        list.push(Sent {
            id: receipt.id,
            seq: receipt.seq.0,
            sender: USERS[from].to_owned(),
            kind: message.kind,
            body,
            revision: Revision::Original,
            delivers: true,
            hidden_from: hidden.into_iter().collect(),
            reactions: BTreeMap::new(),
            pinned: false,
        });
        if !is_command {
            talk.seen[from].sent = receipt.seq.0;
        }
    }

    async fn import(
        &mut self,
        from: usize,
        to: usize,
        age: Millis,
        count: u8,
        pending: bool,
        read: bool,
    ) {
        let (now, floor) = (self.now(), self.visible_from());
        let talk = &mut self.talks[to];
        if to < 3 && !talk.seen[from].member {
            return;
        }
        let time = now.saturating_sub(age / HOUR * HOUR);
        let body = |n: u8| format!("old {from} {to} {} {n}", talk.messages.len());
        let old = |n: u8| OldMessage {
            is_pending: pending,
            is_read: read,
            ..OldMessage::new(
                NewMessage::text(talk.conversation.clone(), name(from), body(n)),
                time,
            )
        };
        let receipts = self.app.import((0..count).map(old).collect()).await;
        let bodies: Vec<_> = (0..count).map(body).collect();
        for (receipt, body) in receipts.into_iter().zip(bodies) {
            assert_eq!(receipt.is_ok(), time >= floor);
            let Ok(receipt) = receipt else { continue };
            assert_eq!(receipt.seq.0, talk.messages.len() as u64 + 1);
            talk.messages.push(Sent {
                id: receipt.id,
                seq: receipt.seq.0,
                sender: USERS[from].to_owned(),
                kind: Kind::Text,
                body,
                revision: Revision::Original,
                delivers: pending,
                hidden_from: BTreeSet::new(),
                reactions: BTreeMap::new(),
                pinned: false,
            });
            talk.seen[from].sent = receipt.seq.0;
            if read {
                talk.read_by_all = receipt.seq.0;
            }
        }
    }

    async fn acknowledge(&mut self, user: usize, device: usize, limit: u8, take: u8) {
        let of = name(user);
        let inbox = self.app.inbox(&of, DEVICES[device]).unwrap();
        let page = inbox.page(None, limit.into()).await.unwrap();
        let take = usize::from(take).min(page.items.len());
        let taken: Vec<Place> = page.items[..take]
            .iter()
            .map(|item| self.place(&item.conversation, item.message.seq))
            .collect();
        if take == page.items.len() {
            inbox.acknowledge(&page.cursor).await.unwrap();
        } else if let Some(last) = take.checked_sub(1) {
            inbox
                .acknowledge(&inbox.cursor_of(&page, &page.items[last]))
                .await
                .unwrap();
        }
        self.begin(user, device).extend(taken);
    }

    /// A device is known from its first page on, and begins where the user's others are.
    fn begin(&mut self, user: usize, device: usize) -> &mut BTreeSet<Place> {
        let all = self.reached(user);
        self.acknowledged[user][device].get_or_insert(all)
    }

    fn reached(&self, user: usize) -> BTreeSet<Place> {
        self.acknowledged[user]
            .iter()
            .flatten()
            .flatten()
            .copied()
            .collect()
    }

    fn place(&self, conversation: &Conversation, seq: Seq) -> Place {
        let main = conversation.main();
        let at = self.talks.iter().position(|talk| talk.conversation == main);
        (at.unwrap(), conversation.is_aside(), seq.0)
    }

    async fn mark_read(&mut self, user: usize, to: usize, nth: Option<u8>) {
        let talk = &mut self.talks[to];
        let seq = nth.map(|nth| Seq(nth.into()));
        let of = name(user);
        let marked = self
            .app
            .as_user(&of)
            .mark_read(&talk.conversation, seq)
            .await;
        assert_eq!(marked.is_ok(), talk.seen[user].member);
        if marked.is_ok() {
            let last = talk.messages.len() as u64;
            let seen = &mut talk.seen[user];
            seen.read = seen.read.max(seq.map_or(last, |seq| seq.0.min(last)));
        }
    }

    async fn clear(&mut self, user: usize, to: usize, how: u8, at: u8) {
        let time = self.now().saturating_sub(Millis::from(at) * HOUR);
        let talk = &mut self.talks[to];
        let (of, last) = (name(user), talk.messages.len() as u64);
        if !talk.seen[user].member {
            return;
        }
        let view = self.app.as_user(&of);
        let seen = &mut talk.seen[user];
        match how {
            0 => {
                view.clear(&talk.conversation).await.unwrap();
                seen.cleared = last;
            }
            1 => {
                view.clear_up_to(&talk.conversation, Seq(at.into()))
                    .await
                    .unwrap();
                seen.cleared = seen.cleared.max(last.min(at.into()));
            }
            _ => {
                view.clear_before(&talk.conversation, time).await.unwrap();
                seen.cleared_before = seen.cleared_before.max(time);
            }
        }
    }

    async fn recall(&mut self, nth: usize, by: Option<usize>) {
        let Some((to, at)) = self.pick(nth) else {
            return;
        };
        let (now, (_, id)) = (self.now(), self.named(to, at));
        let message = &mut self.talks[to].messages[at];
        let who = by.map_or("owner", |by| USERS[by]);
        let as_who = match by {
            Some(by) => By::User(name(by)),
            None => By::Server(user("owner")),
        };
        let done = self.app.recall(id, &as_who).await;
        let refused = if is_gone(message.revision) {
            Some("gone")
        } else if by.is_some_and(|by| message.sender != USERS[by]) {
            Some("not his")
        } else if by.is_some() && now.saturating_sub(id.millis()) > 120_000 {
            Some("late")
        } else {
            None
        };
        match (refused, done) {
            (None, done) => {
                done.unwrap();
                message.revision = Revision::Recalled { at: now };
                message.body.clear();
                message.pinned = false;
                self.noticed(to, who, &Notice::Recalled(id), now);
            }
            (Some("gone"), Err(error)) => assert_eq!(error.kind(), &ErrorKind::MessageNotFound),
            (Some("not his"), Err(error)) => assert_eq!(error.kind(), &ErrorKind::NotAllowed),
            (Some(_), Err(error)) => {
                assert!(matches!(error.kind(), ErrorKind::RecallWindow { .. }));
            }
            (Some(why), Ok(())) => panic!("recalled though {why}"),
        }
    }

    async fn edit(&mut self, nth: usize, body: u8) {
        let Some((to, at)) = self.pick(nth) else {
            return;
        };
        let (now, (_, id)) = (self.now(), self.named(to, at));
        let message = &mut self.talks[to].messages[at];
        let text = format!("edited {body}");
        let by = By::Server(user("owner"));
        let done = self.app.edit_message(id, &by, text.clone(), "").await;
        if is_gone(message.revision) {
            assert_eq!(done.unwrap_err().kind(), &ErrorKind::MessageNotFound);
            return;
        }
        let version = match message.revision {
            Revision::Edited { version, .. } => version + 1,
            _ => 1,
        };
        assert_eq!(done.unwrap(), version);
        message.revision = Revision::Edited { version, at: now };
        message.body = text;
        self.noticed(to, "owner", &Notice::Edited(id, version), now);
    }

    async fn react(&mut self, nth: usize, user: usize, reaction: usize, add: bool) {
        let Some((to, at)) = self.pick(nth) else {
            return;
        };
        let (now, (_, id)) = (self.now(), self.named(to, at));
        let (talk, reaction) = (&mut self.talks[to], REACTIONS[reaction]);
        let of = name(user);
        let done = if add {
            self.app.react(id, &of, reaction).await
        } else {
            self.app.unreact(id, &of, reaction).await
        };
        let message = &mut talk.messages[at];
        let reactors = message.reactions.entry(reaction).or_default();
        let is_there = reactors.contains(&user);
        if is_gone(message.revision) || !talk.seen[user].member || is_there == add {
            assert!(done.is_err());
            return;
        }
        done.unwrap();
        let notice = if add {
            reactors.push(user);
            Notice::Reacted(id, reaction.to_owned())
        } else {
            reactors.retain(|other| *other != user);
            Notice::Unreacted(id, reaction.to_owned())
        };
        self.noticed(to, USERS[user], &notice, now);
    }

    async fn erase(&mut self, user: usize, messages: bool) {
        let of = name(user);
        self.app.erase_user(&of, messages).await.unwrap();
        let mut traces = self.app.find_traces(&of).await.unwrap();
        if !messages {
            (traces.messages, traces.log_records, traces.sent_marks) = (0, 0, 0);
        }
        assert!(traces.is_empty(), "{traces:?}");
        self.acknowledged[user] = Default::default();
        for talk in &mut self.talks {
            let member = talk.conversation.pair().is_some() && talk.seen[user].member;
            let sent = if messages { 0 } else { talk.seen[user].sent };
            talk.seen[user] = Seen {
                member,
                sent,
                ..Seen::default()
            };
            for message in talk.messages.iter_mut().chain(&mut talk.aside) {
                message.hidden_from.remove(&user);
                for reactors in message.reactions.values_mut() {
                    reactors.retain(|other| *other != user);
                }
                if messages && message.sender == USERS[user] {
                    message.sender.clear();
                    message.body.clear();
                    message.revision = Revision::Erased;
                }
            }
        }
        self.app.users().register(Account::new(of)).await.unwrap();
    }

    /// What a user may see of a conversation.
    fn seen(&self, user: usize, to: usize) -> Vec<&Sent> {
        let (talk, from) = (&self.talks[to], self.visible_from());
        let seen = &talk.seen[user];
        let may_see = |m: &&Sent| {
            m.id.millis() >= from.max(seen.cleared_before)
                && m.seq > seen.since.max(seen.cleared)
                && !m.hidden_from.contains(&user)
        };
        talk.messages.iter().filter(may_see).collect()
    }

    fn aside(&self, user: usize, to: usize) -> Vec<&Sent> {
        let (talk, from) = (&self.talks[to], self.visible_from());
        let seen = &talk.seen[user];
        let may_see = |m: &&Sent| {
            m.id.millis() >= from && m.seq > seen.aside_since && !m.hidden_from.contains(&user)
        };
        talk.aside.iter().filter(may_see).collect()
    }

    /// What waits for a user who has acknowledged this.
    fn pending(&self, user: usize, acknowledged: &BTreeSet<Place>) -> BTreeMap<Place, &Sent> {
        let mut pending = BTreeMap::new();
        for (to, talk) in self.talks.iter().enumerate() {
            if !talk.seen[user].member {
                continue;
            }
            let messages = self.seen(user, to).into_iter().filter(|m| m.delivers);
            pending.extend(messages.map(|m| ((to, false, m.seq), m)));
            pending.extend(
                self.aside(user, to)
                    .into_iter()
                    .map(|m| ((to, true, m.seq), m)),
            );
        }
        pending.retain(|place, _| !acknowledged.contains(place));
        pending
    }

    async fn check(&mut self) {
        for index in 0..USERS.len() {
            self.check_inboxes(index).await;
            self.check_list(index).await;
            for to in 0..PLACES {
                self.check_conversation(index, to).await;
            }
        }
        self.check_changes().await;
    }

    async fn check_inboxes(&mut self, user: usize) {
        let of = name(user);
        let reached = self.reached(user);
        let others = self.pending(user, &reached);
        let others = others.values().filter(|m| m.sender != USERS[user]).count();
        assert_eq!(
            self.app.offline_count(&of).await.unwrap(),
            others as u64,
            "{of}"
        );
        for (device, device_name) in DEVICES.into_iter().enumerate() {
            let acknowledged = self.begin(user, device).clone();
            let inbox = self.app.inbox(&of, device_name).unwrap();
            let expected = self.pending(user, &acknowledged);
            assert_eq!(
                inbox.count().await.unwrap(),
                expected.len() as u64,
                "{of} {device_name}"
            );
            let (mut found, mut behind, mut last) = (BTreeSet::new(), None, MessageId(0));
            loop {
                let page = inbox.page(behind.as_deref(), 5).await.unwrap();
                for item in &page.items {
                    let place = self.place(&item.conversation, item.message.seq);
                    assert!(found.insert(place), "{place:?} twice");
                    let sent = expected.get(&place);
                    let sent = sent.unwrap_or_else(|| panic!("{of} is not to get {place:?}"));
                    same(sent, &item.message);
                    if !item.message.id.is_imported() {
                        assert!(last < item.message.id, "not in the order of arrival");
                        last = item.message.id;
                    }
                }
                if !page.more {
                    break;
                }
                behind = Some(page.cursor);
            }
            assert_eq!(found.len(), expected.len(), "{of} {device_name}");
        }
    }

    fn unread(&self, user: usize, to: usize) -> u64 {
        let talk = &self.talks[to];
        let seen = &talk.seen[user];
        let read = seen.read.max(seen.sent).max(talk.read_by_all);
        self.seen(user, to).iter().filter(|m| m.seq > read).count() as u64
    }

    async fn check_list(&self, user: usize) {
        let of = name(user);
        let mut expected: Vec<usize> = (0..PLACES)
            .filter(|to| self.talks[*to].seen[user].member && !self.seen(user, *to).is_empty())
            .collect();
        let newest = |to: &usize| self.talks[*to].messages.iter().map(|m| m.id).max();
        expected.sort_by_key(|to| std::cmp::Reverse(newest(to)));
        let (mut found, mut behind) = (Vec::new(), None);
        loop {
            let page = self
                .app
                .as_user(&of)
                .conversations(behind.as_deref(), 2)
                .await
                .unwrap();
            found.extend(page.items);
            behind = page.next;
            if behind.is_none() {
                break;
            }
        }
        let names: Vec<_> = found
            .iter()
            .map(|listed| listed.conversation.clone())
            .collect();
        let wanted: Vec<_> = expected
            .iter()
            .map(|to| self.talks[*to].conversation.clone())
            .collect();
        assert_eq!(names, wanted, "{of}");
        for (listed, to) in found.iter().zip(expected) {
            let visible = self.seen(user, to);
            let last = visible.iter().max_by_key(|m| m.id).unwrap();
            same(last, &listed.last);
            assert_eq!(
                listed.unread,
                self.unread(user, to),
                "{of} {}",
                listed.conversation
            );
            let seen = &self.talks[to].seen[user];
            assert_eq!(
                (listed.pinned.is_some(), listed.muted),
                (seen.pinned, seen.muted)
            );
        }
    }

    async fn check_conversation(&self, user: usize, to: usize) {
        let (of, talk) = (name(user), &self.talks[to]);
        let view = self.app.as_user(&of);
        let unread = view.unread(&talk.conversation).await;
        if !talk.seen[user].member {
            unread.unwrap_err();
            return;
        }
        assert_eq!(
            unread.unwrap(),
            self.unread(user, to),
            "{of} {}",
            talk.conversation
        );
        let mut expected = self.seen(user, to);
        expected.sort_by_key(|m| m.id);
        let sender = &USERS[(user + to) % USERS.len()];
        let filter = Filter {
            sender: Some(tidestore_tests::user(sender)),
            ..Filter::default()
        };
        for filter in [Filter::default(), filter] {
            let wanted = expected
                .iter()
                .filter(|m| filter.sender.is_none() || m.sender == *sender);
            let wanted: Vec<_> = wanted.collect();
            for towards_past in [false, true] {
                let mut page = if towards_past {
                    Page::newest(4)
                } else {
                    Page::oldest(4)
                };
                let mut found: Vec<Message> = Vec::new();
                loop {
                    let part = view
                        .history(&talk.conversation, page, &filter)
                        .await
                        .unwrap();
                    assert!(part.messages.len() <= 4);
                    found.extend(part.messages);
                    let Some(next) = part.next else { break };
                    page = page.behind(next);
                }
                if towards_past {
                    found.reverse();
                }
                assert_eq!(
                    found.len(),
                    wanted.len(),
                    "{of} {} {filter:?}",
                    talk.conversation
                );
                for (sent, message) in wanted.iter().zip(&found) {
                    same(sent, message);
                }
            }
        }
        // Gaps are filled by number, and nobody gets more than he may see that way.
        let page = Page::after(Cursor::Seq(Seq(2)), 50);
        let found = view
            .history(&talk.conversation, page, &Filter::default())
            .await
            .unwrap();
        let numbers: Vec<_> = found.messages.iter().map(|m| m.seq.0).take(50).collect();
        let wanted = self.seen(user, to).into_iter().map(|m| m.seq);
        assert_eq!(
            numbers,
            wanted.filter(|seq| *seq > 2).take(50).collect::<Vec<_>>()
        );
        let Some(message) = self.seen(user, to).last().copied() else {
            return;
        };
        let state = self.app.delivery_state(&of, message.id).await.unwrap();
        let read = talk.seen[user]
            .read
            .max(talk.seen[user].sent)
            .max(talk.read_by_all);
        let has_reached = self.reached(user).contains(&(to, false, message.seq));
        let expected = if is_gone(message.revision) {
            DeliveryState::Recalled
        } else if !message.delivers
            || has_reached
            || read >= message.seq
            || message.sender == USERS[user]
        {
            DeliveryState::Delivered
        } else {
            DeliveryState::Pending
        };
        assert_eq!(state, expected, "{of} {}", talk.conversation);
    }

    async fn check_changes(&self) {
        let from = self.visible_from();
        for talk in &self.talks {
            let visible = talk.messages.iter().filter(|m| m.id.millis() >= from);
            let pinned = self.app.pinned_messages(&talk.conversation).await.unwrap();
            let pinned: Vec<_> = pinned.iter().map(|(message, _)| message.id).collect();
            let mut wanted: Vec<_> = visible.clone().filter(|m| m.pinned).map(|m| m.id).collect();
            wanted.sort_unstable();
            assert_eq!(pinned, wanted);
            for message in visible.filter(|m| m.reactions.values().any(|r| !r.is_empty())) {
                let counts = self.app.reactions(&[message.id]).await.unwrap();
                for (reaction, users) in message.reactions.iter().filter(|(_, r)| !r.is_empty()) {
                    let count = counts[0].iter().find(|count| count.reaction == **reaction);
                    assert_eq!(count.unwrap().count, users.len() as u64);
                    if is_gone(message.revision) {
                        continue;
                    }
                    let page = self
                        .app
                        .reactors(message.id, reaction, None, 10)
                        .await
                        .unwrap();
                    let found: Vec<_> =
                        page.items.into_iter().map(|reactor| reactor.user).collect();
                    assert_eq!(
                        found,
                        users.iter().map(|user| name(*user)).collect::<Vec<_>>()
                    );
                }
            }
        }
    }
}

fn is_gone(revision: Revision) -> bool {
    matches!(revision, Revision::Recalled { .. } | Revision::Erased)
}

#[track_caller]
fn same(sent: &Sent, message: &Message) {
    if sent.kind == Kind::Notice {
        let notice = Notice::of(message).map(|notice| format!("{notice:?}"));
        assert_eq!(notice.unwrap_or_default(), sent.body);
    } else {
        let body = std::str::from_utf8(&message.body).unwrap();
        assert_eq!((message.id, body), (sent.id, sent.body.as_str()));
    }
    assert_eq!((message.seq.0, message.kind), (sent.seq, sent.kind));
    assert_eq!(
        (message.sender.as_str(), message.revision),
        (sent.sender.as_str(), sent.revision)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_view_of_every_user_is_the_models(ops in proptest::collection::vec(op(), 1..60)) {
        run(async {
            let mut world = World::new().await;
            for op in ops {
                world.apply(op).await;
                world.check().await;
            }
            world.apply(Op::Crash { seed: 7, survival: 0 }).await;
            world.apply(Op::Merge).await;
            world.check().await;
            assert_eq!(world.store.verify().await.unwrap().problems, []);
        });
    }
}
