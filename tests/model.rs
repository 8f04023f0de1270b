//! The store against a plain model of it: a list of messages and the retention rule, written down as simply as can be.
//!
//! Both are driven with the same random operations, crashes included. Every operation is awaited, so at a crash nothing
//! is in flight and the model is exact: all of it must be there.

use std::collections::BTreeMap;

use compact_str::{CompactString, format_compact};
use proptest::prelude::*;
use tidestore::disk::{Millis, Survival};
use tidestore::plan::{AttachmentId, Plan, Terms};
use tidestore::{
    App, Cursor, DayCount, ErrorKind, Message, MessageId, NewMessage, OldMessage, Page, Seq, Store,
};
use tidestore_tests::{DAY, HOUR, Machine, group, key, run, user};

const APPS: [&str; 3] = ["acme#one", "acme#two", "zoo#one"];
const GROUPS: [&str; 4] = ["a", "b", "c", "d"];
const GRACE: Millis = 24 * HOUR;

#[derive(Clone, Debug)]
enum Op {
    Append {
        app: usize,
        group: usize,
        client: Option<u8>,
        body: u16,
    },
    AppendMany {
        app: usize,
        count: u8,
    },
    Import {
        app: usize,
        group: usize,
        age: Millis,
        body: u8,
        attachments: Vec<AttachmentId>,
    },
    Page {
        app: usize,
        group: usize,
        page: PageOp,
    },
    Lookup {
        nth: usize,
    },
    Heads {
        app: usize,
    },
    Usage {
        app: usize,
    },
    Flush,
    Merge,
    Expire,
    Pass(Millis),
    WrongClock(i64),
    Terms {
        app: usize,
        plan: usize,
    },
    Preview {
        app: usize,
        plan: usize,
    },
    Undo {
        app: usize,
    },
    Recreate {
        app: usize,
    },
    Reopen,
    Crash {
        seed: u64,
        survival: usize,
    },
}

#[derive(Clone, Copy, Debug)]
enum PageOp {
    Newest,
    Oldest,
    Seq(u64, bool),
    Id(usize, bool),
    Time(Millis, bool),
}

fn op() -> impl Strategy<Value = Op> {
    let (app, group) = (0..APPS.len(), 0..GROUPS.len());
    let page = prop_oneof![
        Just(PageOp::Newest),
        Just(PageOp::Oldest),
        (0..60_u64, any::<bool>()).prop_map(|(seq, after)| PageOp::Seq(seq, after)),
        (any::<usize>(), any::<bool>()).prop_map(|(nth, after)| PageOp::Id(nth, after)),
        (0..20 * DAY, any::<bool>()).prop_map(|(age, after)| PageOp::Time(age, after)),
    ];
    prop_oneof![
        12 => (app.clone(), group.clone(), proptest::option::of(0..6_u8), any::<u16>())
            .prop_map(|(app, group, client, body)| Op::Append { app, group, client, body }),
        4 => (app.clone(), 1..40_u8).prop_map(|(app, count)| Op::AppendMany { app, count }),
        8 => (app.clone(), group.clone(), 0..8 * DAY, 0..3_u8, attachments())
            .prop_map(|(app, group, age, body, attachments)| {
                Op::Import { app, group, age: age / HOUR * HOUR, body, attachments }
            }),
        14 => (app.clone(), group, page).prop_map(|(app, group, page)| Op::Page { app, group, page }),
        4 => any::<usize>().prop_map(|nth| Op::Lookup { nth }),
        2 => app.clone().prop_map(|app| Op::Heads { app }),
        3 => app.clone().prop_map(|app| Op::Usage { app }),
        4 => Just(Op::Flush),
        2 => Just(Op::Merge),
        4 => Just(Op::Expire),
        6 => (1..3 * DAY).prop_map(Op::Pass),
        1 => prop_oneof![-400..-1_i64, 1..400_i64].prop_map(Op::WrongClock),
        2 => (app.clone(), 0..4_usize).prop_map(|(app, plan)| Op::Terms { app, plan }),
        1 => (app.clone(), 0..4_usize).prop_map(|(app, plan)| Op::Preview { app, plan }),
        1 => app.clone().prop_map(|app| Op::Undo { app }),
        1 => app.prop_map(|app| Op::Recreate { app }),
        2 => Just(Op::Reopen),
        4 => (any::<u64>(), 0..4_usize).prop_map(|(seed, survival)| Op::Crash { seed, survival }),
    ]
}

/// Few lists, so that the same message comes with the same attachments, in another order, or with others.
fn attachments() -> impl Strategy<Value = Vec<AttachmentId>> {
    let ids: Vec<_> = (0..16)
        .map(|n| AttachmentId::from_bits(u128::MAX / 17 * (n + 1)))
        .collect();
    let (one, all) = (ids[..1].to_vec(), ids.clone());
    let (pair, turned) = (ids[..2].to_vec(), vec![ids[1], ids[0]]);
    prop_oneof![
        6 => Just(Vec::new()),
        2 => Just(one),
        1 => Just(pair),
        1 => Just(turned),
        1 => Just(all),
        1 => any::<u128>().prop_map(|bits| vec![AttachmentId::from_bits(bits)]),
    ]
}

/// What an app should be.
#[derive(Clone, Debug)]
struct ModelApp {
    plan: Plan,
    floor: Millis,
    undo: Option<(Plan, Millis, Millis)>,
    conversations: BTreeMap<usize, Vec<Message>>,
    /// Numbers go on even when everything has expired.
    last_seq: BTreeMap<usize, u64>,
    receipts: BTreeMap<(usize, u8), (MessageId, Seq, Millis)>,
}

fn retention(plan: Plan) -> Millis {
    Millis::from([3_u32, 7, 90, 180][Plan::ALL.iter().position(|p| *p == plan).unwrap()]) * DAY
}

impl ModelApp {
    fn new(plan: Plan) -> Self {
        Self {
            plan,
            floor: 0,
            undo: None,
            conversations: BTreeMap::new(),
            last_seq: BTreeMap::new(),
            receipts: BTreeMap::new(),
        }
    }

    fn floor_at(&self, now: Millis) -> Millis {
        self.floor.max(now - retention(self.plan))
    }

    fn visible(&self, group: usize, now: Millis) -> Vec<Message> {
        let floor = self.floor_at(now);
        let all = self.conversations.get(&group).into_iter().flatten();
        let mut visible: Vec<_> = all.filter(|m| m.id.millis() >= floor).cloned().collect();
        visible.sort_by_key(|m| m.id);
        visible
    }

    fn store(&mut self, group: usize, message: Message) {
        let last = self.last_seq.entry(group).or_default();
        assert_eq!(
            message.seq.0,
            *last + 1,
            "numbers are contiguous in append order"
        );
        *last += 1;
        let rows = self.conversations.entry(group).or_default();
        assert!(
            rows.iter().all(|m| m.id != message.id),
            "an id was given twice"
        );
        rows.push(message);
    }

    fn set_plan(&mut self, plan: Plan, now: Millis) {
        let before = self.floor_at(now);
        match self.undo.filter(|(.., until)| now < *until) {
            Some((old, floor, _)) => self.undo = Some((old, floor, now + GRACE)),
            None if retention(plan) < retention(self.plan) => {
                self.undo = Some((self.plan, before, now + GRACE));
            }
            None => self.undo = None,
        }
        self.plan = plan;
        self.floor = before;
        self.floor = self.floor_at(now);
    }
}

struct World {
    machine: Machine,
    store: Store,
    apps: Vec<ModelApp>,
    /// The time that is right, whatever the wall clock says.
    now: Millis,
}

impl World {
    async fn new() -> Self {
        let mut machine = Machine::new();
        machine.options.memtable_bytes = 24 << 10;
        machine.options.block_bytes = 700;
        let store = machine.open().await.unwrap();
        let mut apps = Vec::new();
        for (name, plan) in APPS
            .into_iter()
            .zip([Plan::Free, Plan::Basic, Plan::Enterprise])
        {
            store.create_app(&key(name), Terms::of(plan)).await.unwrap();
            apps.push(ModelApp::new(plan));
        }
        let now = tidestore_tests::START;
        Self {
            machine,
            store,
            apps,
            now,
        }
    }

    fn app(&self, app: usize) -> App {
        self.store.app(&key(APPS[app])).unwrap()
    }

    async fn apply(&mut self, op: Op) {
        match op {
            Op::Append {
                app,
                group,
                client,
                body,
            } => self.append(app, group, client, body).await,
            Op::AppendMany { app, count } => self.append_many(app, count).await,
            Op::Import {
                app,
                group,
                age,
                body,
                attachments,
            } => self.import(app, group, age, body, attachments).await,
            Op::Page { app, group, page } => self.page(app, group, page).await,
            Op::Lookup { nth } => self.lookup(nth).await,
            Op::Heads { app } => self.heads(app).await,
            Op::Usage { app } => self.usage(app).await,
            Op::Flush => self.store.flush().await.unwrap(),
            Op::Merge => drop(self.store.merge().await.unwrap()),
            Op::Expire => self.expire().await,
            Op::Pass(millis) => {
                self.machine.pass(millis);
                self.now += millis;
            }
            Op::WrongClock(days) => self.wrong_clock(days).await,
            Op::Terms { app, plan } => {
                let plan = Plan::ALL[plan];
                self.app(app).change_terms(Terms::of(plan)).await.unwrap();
                self.apps[app].set_plan(plan, self.now);
            }
            Op::Preview { app, plan } => self.preview(app, plan).await,
            Op::Undo { app } => self.undo(app).await,
            Op::Recreate { app } => {
                self.store.delete_app(&key(APPS[app])).await.unwrap();
                let plan = self.apps[app].plan;
                self.store
                    .create_app(&key(APPS[app]), Terms::of(plan))
                    .await
                    .unwrap();
                self.apps[app] = ModelApp::new(plan);
            }
            Op::Reopen => {
                self.store.close().await.unwrap();
                self.reopen().await;
            }
            Op::Crash { seed, survival } => {
                let disk = self.machine.disk.crash(seed, Survival::LEVELS[survival]);
                self.machine.disk = disk;
                self.reopen().await;
            }
        }
    }

    async fn reopen(&mut self) {
        // The old handle must not hold the lock of a disk that lives on.
        let closed = std::mem::replace(&mut self.store, Machine::new().open().await.unwrap());
        drop(closed);
        self.store = self.machine.open().await.unwrap();
        // Only long quiet times may raise an alarm here; an operator would confirm them.
        self.store.confirm_clock();
        assert_eq!(self.store.notices(), &[] as &[String]);
    }

    async fn append(&mut self, app: usize, to: usize, client: Option<u8>, body: u16) {
        let text = format!("{app} {to} {body} {}", "x".repeat(usize::from(body % 300)));
        let client_id = client.map_or_else(CompactString::default, |c| format_compact!("c{c}"));
        let message = NewMessage {
            client_id: client_id.clone(),
            ..NewMessage::text(group(GROUPS[to]), user("ann"), text.clone())
        };
        let receipt = self.app(app).append(message).await.unwrap();
        let known = client.and_then(|client| self.apps[app].receipts.get(&(to, client)).copied());
        if let Some((id, seq, at)) = known {
            // Within the window the first receipt must come back; after it, it may.
            assert!(
                receipt.duplicate || self.now - at >= DAY,
                "a retry was stored twice"
            );
            if receipt.duplicate {
                assert_eq!((receipt.id, receipt.seq), (id, seq));
                return;
            }
        }
        assert!(!receipt.duplicate);
        if let Some(client) = client {
            self.apps[app]
                .receipts
                .insert((to, client), (receipt.id, receipt.seq, self.now));
        }
        let stored = stored(receipt.id, receipt.seq, "ann", &text, client_id);
        self.apps[app].store(to, stored);
    }

    async fn append_many(&mut self, app: usize, count: u8) {
        let bodies: Vec<_> = (0..count).map(|n| format!("many {n}")).collect();
        let message = |(n, body): (usize, &String)| {
            NewMessage::text(group(GROUPS[n % GROUPS.len()]), user("bob"), body.clone())
        };
        let messages = bodies.iter().enumerate().map(message).collect();
        let receipts = self.app(app).append_many(messages).await;
        for (n, (receipt, body)) in receipts.into_iter().zip(&bodies).enumerate() {
            let receipt = receipt.unwrap();
            let stored = stored(
                receipt.id,
                receipt.seq,
                "bob",
                body,
                CompactString::default(),
            );
            self.apps[app].store(n % GROUPS.len(), stored);
        }
    }

    async fn import(
        &mut self,
        app: usize,
        to: usize,
        age: Millis,
        body: u8,
        attachments: Vec<AttachmentId>,
    ) {
        let time = self.now / HOUR * HOUR - age;
        let body = format!("old {body}");
        let message = NewMessage {
            attachments: attachments.clone(),
            ..NewMessage::text(group(GROUPS[to]), user("old"), body.clone())
        };
        let import = OldMessage {
            message,
            time,
            occurrence: 0,
            is_pending: false,
            is_read: false,
        };
        let receipt = self.app(app).import(vec![import]).await.pop().unwrap();
        let floor = self.apps[app].floor_at(self.now);
        if time < floor {
            let error = receipt.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::TooOld { time, floor });
            return;
        }
        let receipt = receipt.unwrap();
        let same = |m: &&Message| {
            let of_old = m.id.millis() == time && m.sender == "old";
            of_old && m.body == body.as_bytes() && m.attachments == attachments
        };
        let known = self.apps[app]
            .conversations
            .get(&to)
            .and_then(|all| all.iter().find(same));
        assert_eq!(receipt.duplicate, known.is_some());
        if let Some(known) = known {
            assert_eq!((receipt.id, receipt.seq), (known.id, known.seq));
            return;
        }
        assert_eq!(receipt.id.millis(), time);
        let stored = stored(
            receipt.id,
            receipt.seq,
            "old",
            &body,
            CompactString::default(),
        );
        let stored = Message {
            attachments,
            ..stored
        };
        self.apps[app].store(to, stored);
    }

    async fn page(&mut self, app: usize, to: usize, page: PageOp) {
        let mut expected = self.apps[app].visible(to, self.now);
        let limit = 9;
        let (page, after) = match page {
            PageOp::Newest => (Page::newest(limit), false),
            PageOp::Oldest => (Page::oldest(limit), true),
            PageOp::Seq(seq, after) => {
                expected.retain(|m| if after { m.seq.0 > seq } else { m.seq.0 < seq });
                expected.sort_by_key(|m| m.seq);
                (at(Cursor::Seq(Seq(seq)), after, limit), after)
            }
            PageOp::Id(nth, after) => {
                let all = self.apps[app]
                    .conversations
                    .get(&to)
                    .map_or(&[][..], Vec::as_slice);
                let id = all
                    .get(nth % all.len().max(1))
                    .map_or(MessageId(5), |m| m.id);
                expected.retain(|m| if after { m.id > id } else { m.id < id });
                (at(Cursor::Id(id), after, limit), after)
            }
            PageOp::Time(age, after) => {
                let time = self.now - age;
                expected.retain(|m| (m.id.millis() >= time) == after);
                (at(Cursor::Time(time), after, limit), after)
            }
        };
        if !after {
            expected.reverse();
        }
        expected.truncate(limit);
        let found = self
            .app(app)
            .history(&group(GROUPS[to]), page)
            .await
            .unwrap();
        assert_eq!(found, expected, "{page:?} of {} {}", APPS[app], GROUPS[to]);
    }

    async fn lookup(&mut self, nth: usize) {
        for (app, model) in self.apps.iter().enumerate() {
            let all: Vec<_> = model
                .conversations
                .iter()
                .flat_map(|(to, rows)| rows.iter().map(move |row| (*to, row)))
                .collect();
            let Some((to, message)) = all.get(nth % all.len().max(1)) else {
                continue;
            };
            let found = self.app(app).message(message.id).await.unwrap();
            let visible = message.id.millis() >= model.floor_at(self.now);
            let expected = visible.then(|| (group(GROUPS[*to]), (*message).clone()));
            assert_eq!(found, expected);
            let absent = MessageId(message.id.0 ^ 1 << 40);
            assert_eq!(self.app(app).message(absent).await.unwrap(), None);
        }
    }

    async fn heads(&mut self, app: usize) {
        let mut found = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self
                .app(app)
                .conversations(after.as_ref(), 2)
                .await
                .unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.conversation.clone());
            found.extend(
                page.into_iter()
                    .map(|h| (h.conversation.to_string(), h.last_seq.0)),
            );
        }
        let name = |(to, seq): (&usize, &u64)| (group(GROUPS[*to]).to_string(), *seq);
        let expected: BTreeMap<_, _> = self.apps[app].last_seq.iter().map(name).collect();
        assert_eq!(found, expected);
    }

    async fn usage(&mut self, app: usize) {
        let usage = self.app(app).usage().await.unwrap();
        let all = (0..GROUPS.len()).flat_map(|to| self.apps[app].visible(to, self.now));
        let expected = all.fold((0, 0), |(n, bytes), m| (n + 1, bytes + m.content_len()));
        assert_eq!((usage.messages, usage.body_bytes), expected);

        let mut days: BTreeMap<u32, DayCount> = BTreeMap::new();
        for message in (0..GROUPS.len()).flat_map(|to| self.apps[app].visible(to, self.now)) {
            let day = u32::try_from(message.millis() / DAY).unwrap();
            days.entry(day).or_default().add(DayCount {
                messages: 1,
                body_bytes: message.content_len(),
            });
        }
        assert_eq!(self.app(app).messages_by_day().await.unwrap(), days);
    }

    async fn expire(&mut self) {
        let report = self.store.expire().await.unwrap();
        assert_eq!(report.paused, None);
        for app in &mut self.apps {
            app.floor = app.floor_at(self.now);
        }
    }

    /// The wall clock jumps, somebody looks and expires, and it is set right again: nothing may have changed.
    async fn wrong_clock(&mut self, days: i64) {
        let jump = days * i64::try_from(DAY).unwrap();
        self.machine.clock.jump(jump);
        let report = self.store.expire().await.unwrap();
        assert!(report.paused.is_some());
        assert_eq!(report.segments, 0);
        for app in 0..APPS.len() {
            self.page(app, 0, PageOp::Newest).await;
        }
        self.machine.clock.jump(-jump);
        self.store.confirm_clock();
        assert_eq!(self.store.clock_alarm(), None);
    }

    async fn preview(&mut self, app: usize, plan: usize) {
        let plan = Plan::ALL[plan];
        let preview = self.app(app).preview(&Terms::of(plan)).await.unwrap();
        let mut changed = self.apps[app].clone();
        changed.set_plan(plan, self.now);
        let count = |app: &ModelApp| -> u64 {
            (0..GROUPS.len())
                .map(|to| app.visible(to, self.now).len() as u64)
                .sum()
        };
        assert_eq!(
            preview.hidden_messages,
            count(&self.apps[app]) - count(&changed)
        );
    }

    async fn undo(&mut self, app: usize) {
        let undone = self.app(app).undo().await;
        match self.apps[app].undo.filter(|(.., until)| self.now < *until) {
            Some((plan, floor, _)) => {
                undone.unwrap();
                (self.apps[app].plan, self.apps[app].floor) = (plan, floor);
                self.apps[app].undo = None;
            }
            None => assert_eq!(*undone.unwrap_err().kind(), ErrorKind::NothingToUndo),
        }
    }

    async fn check_everything(&mut self) {
        for app in 0..APPS.len() {
            for (to, name) in GROUPS.iter().enumerate() {
                let found = tidestore_tests::whole(&self.app(app), &group(name))
                    .await
                    .unwrap();
                assert_eq!(found, self.apps[app].visible(to, self.now));
            }
            self.usage(app).await;
            self.heads(app).await;
        }
        let report = self.store.verify().await.unwrap();
        assert_eq!(report.problems, []);
    }
}

fn at(cursor: Cursor, after: bool, limit: usize) -> Page {
    if after {
        Page::after(cursor, limit)
    } else {
        Page::before(cursor, limit)
    }
}

fn stored(id: MessageId, seq: Seq, from: &str, body: &str, client_id: CompactString) -> Message {
    Message {
        id,
        seq,
        sender: from.into(),
        kind: tidestore::Kind::Text,
        body: body.to_owned().into(),
        ext: bytes::Bytes::new(),
        client_id,
        attachments: Vec::new(),
        revision: tidestore::Revision::Original,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn the_store_and_its_model_agree(ops in proptest::collection::vec(op(), 1..120)) {
        run(async {
            let mut world = World::new().await;
            for op in ops {
                world.apply(op).await;
            }
            world.check_everything().await;
            world.apply(Op::Crash { seed: 7, survival: 0 }).await;
            world.check_everything().await;
            world.apply(Op::Merge).await;
            world.apply(Op::Expire).await;
            world.check_everything().await;
        });
    }
}
