//! Random changes of directory and attributes against a plain model, with a crash or a failure at every disk operation.
//!
//! Caps are small, so that most calls stand at an edge. What was acknowledged must be there, what was not is there as a
//! whole or not at all, caps were never exceeded, and counters equal a recount.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tidestore::disk::{Fault, OpKind, Survival};
use tidestore::plan::{Caps, Limit, Limits, Plan, ResourceId, Terms, UserId};
use tidestore::{
    Account, App, ChannelKind, ErrorKind, MuteFor, NewChannel, Result, RoomSet, Store,
};
use tidestore_tests::{Machine, key, run};

const USERS: u64 = 6;
const USERS_MAX: usize = 5;
const CONTACTS_MAX: usize = 2;
const CHANNELS_MAX: usize = 3;
const MEMBERS_MAX: usize = 3;
const JOINED_MAX: usize = 2;
const BYTES_MAX: usize = 40;
const KINDS: [ChannelKind; 2] = [ChannelKind::Group, ChannelKind::Room];

fn caps() -> Caps {
    Caps {
        users: Some(USERS_MAX as u64),
        contacts_per_user: Some(CONTACTS_MAX as u64),
        groups: Some(CHANNELS_MAX as u64),
        group_members: Some(MEMBERS_MAX as u64),
        groups_per_user: Some(JOINED_MAX as u64),
        rooms: Some(CHANNELS_MAX as u64),
        room_members: Some(MEMBERS_MAX as u64),
        rooms_per_user: Some(JOINED_MAX as u64),
        ..Plan::Enterprise.caps()
    }
}

fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.options.limits = Limits::default()
        .with(Limit::AppUserAttributes, BYTES_MAX as u64)
        .with(Limit::AppRoomAttributes, BYTES_MAX as u64);
    // So that nearly every deletion takes several records, and a crash comes between them.
    machine.options.deletion_rows = 2;
    machine
}

/// A change; numbers name users, channels and keys.
#[derive(Clone, Debug)]
enum Op {
    Register(u64),
    Delete(u64),
    Ban(u64, bool),
    Contact(u64, u64, bool),
    Block(u64, u64, bool),
    Create(usize, u64, u64, Vec<u64>),
    DeleteChannel(usize, u64),
    Member(usize, u64, u64, bool),
    Transfer(usize, u64, u64),
    Admin(usize, u64, u64, bool),
    Mute(usize, u64, u64, bool),
    BlockMember(usize, u64, u64),
    Attribute(u64, u64, usize),
    DropAttributes(u64),
    RoomAttribute(u64, u64, u64, usize, bool, bool),
    Subscribe(u64, u64),
    Flush,
}

fn op() -> impl Strategy<Value = Op> {
    let (who, other, on) = (0..USERS, 0..USERS, any::<bool>());
    let place = (0_usize..2, 0_u64..4);
    let members = proptest::collection::vec(0..USERS, 0..3);
    prop_oneof![
        6 => who.clone().prop_map(Op::Register),
        1 => who.clone().prop_map(Op::Delete),
        1 => (who.clone(), on).prop_map(|(a, on)| Op::Ban(a, on)),
        4 => (who.clone(), other.clone(), on).prop_map(|(a, b, on)| Op::Contact(a, b, on)),
        2 => (who.clone(), other.clone(), on).prop_map(|(a, b, on)| Op::Block(a, b, on)),
        4 => (place.clone(), who.clone(), members)
            .prop_map(|((k, c), a, all)| Op::Create(k, c, a, all)),
        1 => place.clone().prop_map(|(k, c)| Op::DeleteChannel(k, c)),
        8 => (place.clone(), who.clone(), proptest::bool::weighted(0.7))
            .prop_map(|((k, c), a, on)| Op::Member(k, c, a, on)),
        1 => (place.clone(), who.clone()).prop_map(|((k, c), a)| Op::Transfer(k, c, a)),
        2 => (place.clone(), who.clone(), on).prop_map(|((k, c), a, on)| Op::Admin(k, c, a, on)),
        2 => (place.clone(), who.clone(), on).prop_map(|((k, c), a, on)| Op::Mute(k, c, a, on)),
        1 => (place, who.clone()).prop_map(|((k, c), a)| Op::BlockMember(k, c, a)),
        4 => (who.clone(), 0_u64..3, 0_usize..12).prop_map(|(a, k, len)| Op::Attribute(a, k, len)),
        1 => who.clone().prop_map(Op::DropAttributes),
        6 => (0_u64..3, who.clone(), 0_u64..3, 0_usize..12, on, on)
            .prop_map(|(c, a, k, len, auto, force)| Op::RoomAttribute(c, a, k, len, auto, force)),
        2 => (who, other).prop_map(|(a, b)| Op::Subscribe(a, b)),
        1 => Just(Op::Flush),
    ]
}

fn name(user: u64) -> UserId {
    tidestore_tests::user(&format!("u{user}"))
}

fn place(channel: u64) -> ResourceId {
    ResourceId::parse(&format!("c{channel}")).unwrap()
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Channel {
    owner: u64,
    /// Members, with whether they are admins and muted.
    members: BTreeMap<u64, (bool, bool)>,
    blocked: BTreeSet<u64>,
    /// Of rooms: value length, setter, whether it goes with him.
    attributes: BTreeMap<u64, (usize, u64, bool)>,
}

/// What ought to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    users: BTreeMap<u64, bool>,
    contacts: BTreeSet<(u64, u64)>,
    blocks: BTreeSet<(u64, u64)>,
    channels: [BTreeMap<u64, Channel>; 2],
    attributes: BTreeMap<u64, BTreeMap<u64, usize>>,
    subscriptions: BTreeSet<(u64, u64)>,
}

impl Model {
    fn joined(&self, kind: usize, user: u64) -> usize {
        let all = self.channels[kind].values();
        all.filter(|channel| channel.members.contains_key(&user))
            .count()
    }

    fn contacts_of(&self, user: u64) -> usize {
        self.contacts.iter().filter(|(a, _)| *a == user).count()
    }

    fn leave(&mut self, kind: usize, channel: u64, user: u64) {
        if let Some(channel) = self.channels[kind].get_mut(&channel) {
            channel.members.remove(&user);
            channel
                .attributes
                .retain(|_, (_, setter, goes)| !*goes || *setter != user);
        }
    }

    fn room_bytes(&self) -> usize {
        let rooms = self.channels[1]
            .values()
            .flat_map(|room| room.attributes.values());
        rooms.map(|(len, ..)| 1 + len).sum()
    }

    fn user_bytes(&self) -> usize {
        let all = self.attributes.values().flat_map(BTreeMap::values);
        all.map(|len| 1 + len).sum()
    }

    /// Makes the change if it is allowed; says whether it was.
    fn apply(&mut self, op: &Op) -> bool {
        let exists = |user: &u64| self.users.contains_key(user);
        match op {
            Op::Register(a) => {
                let free = !exists(a) && self.users.len() < USERS_MAX;
                if free {
                    self.users.insert(*a, false);
                }
                free
            }
            Op::Delete(a) => exists(a) && self.delete(*a),
            Op::Ban(a, on) => self.users.get_mut(a).map(|banned| *banned = *on).is_some(),
            Op::Contact(a, b, on) => self.contact(*a, *b, *on),
            Op::Block(a, b, on) => {
                // The list may hold somebody who is gone.
                let listed = !*on && self.blocks.contains(&(*a, *b));
                let fine = exists(a) && (listed || exists(b)) && (!*on || a != b);
                if fine && *on {
                    self.blocks.insert((*a, *b));
                } else if fine {
                    self.blocks.remove(&(*a, *b));
                }
                fine
            }
            Op::Create(kind, channel, owner, others) => {
                self.create(*kind, *channel, *owner, others)
            }
            Op::DeleteChannel(kind, channel) => self.channels[*kind].remove(channel).is_some(),
            Op::Member(kind, channel, a, on) => self.member(*kind, *channel, *a, *on),
            Op::Transfer(kind, channel, a) => {
                let found = self.channels[*kind].get_mut(channel);
                let fine = found.filter(|c| c.owner != *a && c.members.contains_key(a));
                fine.map(|channel| {
                    channel.owner = *a;
                    channel.members.insert(*a, (false, false));
                })
                .is_some()
            }
            Op::Admin(kind, channel, a, on) => self.other_member(*kind, *channel, *a, |flags| {
                let fine = *on || flags.0;
                flags.0 = *on;
                fine
            }),
            Op::Mute(kind, channel, a, on) => self.other_member(*kind, *channel, *a, |flags| {
                flags.1 = *on;
                true
            }),
            Op::BlockMember(kind, channel, a) => {
                let fine = self.other_member(*kind, *channel, *a, |_| true);
                if fine {
                    self.leave(*kind, *channel, *a);
                    let found = self.channels[*kind].get_mut(channel);
                    found.map(|channel| channel.blocked.insert(*a));
                }
                fine
            }
            Op::Attribute(a, key, len) => self.attribute(*a, *key, *len),
            Op::DropAttributes(a) => {
                self.attributes.remove(a);
                true
            }
            Op::RoomAttribute(..) => self.room_attribute(op),
            Op::Subscribe(a, b) => {
                let fine = a != b && exists(a) && exists(b);
                if fine {
                    self.subscriptions.insert((*a, *b));
                }
                fine
            }
            Op::Flush => true,
        }
    }

    fn delete(&mut self, user: u64) -> bool {
        for kind in 0..2 {
            self.channels[kind].retain(|_, channel| channel.owner != user);
            let all: Vec<u64> = self.channels[kind].keys().copied().collect();
            for channel in all {
                self.leave(kind, channel, user);
            }
        }
        self.contacts.retain(|(a, b)| *a != user && *b != user);
        self.blocks.retain(|(a, _)| *a != user);
        self.subscriptions.retain(|(a, b)| *a != user && *b != user);
        self.attributes.remove(&user);
        self.users.remove(&user);
        true
    }

    fn contact(&mut self, a: u64, b: u64, on: bool) -> bool {
        let known = self.users.contains_key(&a) && self.users.contains_key(&b);
        if !on {
            if known {
                self.contacts.remove(&(a, b));
                self.contacts.remove(&(b, a));
            }
            return known;
        }
        let room = |user| self.contacts_of(user) < CONTACTS_MAX;
        let fine = known && a != b && (self.contacts.contains(&(a, b)) || room(a) && room(b));
        if fine {
            self.contacts.extend([(a, b), (b, a)]);
        }
        fine
    }

    fn create(&mut self, kind: usize, channel: u64, owner: u64, others: &[u64]) -> bool {
        let members: BTreeSet<u64> = others.iter().copied().chain([owner]).collect();
        let room =
            |user: &u64| self.users.contains_key(user) && self.joined(kind, *user) < JOINED_MAX;
        let fine = !self.channels[kind].contains_key(&channel)
            && self.channels[kind].len() < CHANNELS_MAX
            && members.len() <= MEMBERS_MAX
            && members.iter().all(room);
        if fine {
            let members = members.into_iter().map(|user| (user, (false, false)));
            let new = Channel {
                owner,
                members: members.collect(),
                ..Channel::default()
            };
            self.channels[kind].insert(channel, new);
        }
        fine
    }

    fn member(&mut self, kind: usize, channel: u64, a: u64, on: bool) -> bool {
        if !on {
            let fine = self.other_member(kind, channel, a, |_| true);
            if fine {
                self.leave(kind, channel, a);
            }
            return fine;
        }
        let may = self.users.contains_key(&a) && self.joined(kind, a) < JOINED_MAX;
        let found = self.channels[kind].get_mut(&channel);
        let fine = found.filter(|channel| {
            may && channel.members.len() < MEMBERS_MAX && !channel.members.contains_key(&a)
        });
        fine.map(|channel| {
            channel.blocked.remove(&a);
            channel.members.insert(a, (false, false));
        })
        .is_some()
    }

    /// Changes a member who is not the owner.
    fn other_member(
        &mut self,
        kind: usize,
        channel: u64,
        user: u64,
        change: impl FnOnce(&mut (bool, bool)) -> bool,
    ) -> bool {
        let found = self.channels[kind].get_mut(&channel);
        let found = found.filter(|channel| channel.owner != user);
        let member = found.and_then(|channel| channel.members.get_mut(&user));
        member.is_some_and(change)
    }

    fn attribute(&mut self, user: u64, key: u64, len: usize) -> bool {
        let before = self.clone();
        self.attributes.entry(user).or_default().insert(key, len);
        let of = |model: &Self| -> usize {
            let pairs = model.attributes.get(&user).into_iter().flatten();
            pairs.map(|(_, len)| 1 + len).sum()
        };
        let fine = self.user_bytes() <= BYTES_MAX || of(self) <= of(&before);
        if !fine {
            *self = before;
        }
        fine
    }

    fn room_attribute(&mut self, op: &Op) -> bool {
        let Op::RoomAttribute(channel, a, key, len, auto, force) = op else {
            return false;
        };
        let bytes = self.room_bytes();
        let Some(room) = self.channels[1].get_mut(channel) else {
            return false;
        };
        let before = room.attributes.get(key).copied();
        let mine = before.is_none_or(|(_, setter, _)| setter == *a || *force);
        let old = before.map_or(0, |(len, ..)| 1 + len);
        let fits = *len < old || bytes - old + 1 + len <= BYTES_MAX;
        let fine = room.members.contains_key(a) && mine && fits;
        if fine {
            room.attributes.insert(*key, (*len, *a, *auto));
        }
        fine
    }

    fn keeps_caps(&self) {
        assert!(self.users.len() <= USERS_MAX);
        for kind in 0..2 {
            assert!(self.channels[kind].len() <= CHANNELS_MAX);
            let members = self.channels[kind].values().map(|c| c.members.len());
            assert!(members.max().unwrap_or(0) <= MEMBERS_MAX);
            assert!(
                self.users
                    .keys()
                    .all(|user| self.joined(kind, *user) <= JOINED_MAX)
            );
        }
        assert!(
            self.users
                .keys()
                .all(|user| self.contacts_of(*user) <= CONTACTS_MAX)
        );
        assert!(self.user_bytes() <= BYTES_MAX && self.room_bytes() <= BYTES_MAX);
    }
}

/// Makes a change in the store; `false` if it was refused.
async fn perform(store: &Store, app: &App, op: &Op) -> Result<bool> {
    let text = |len: usize| "x".repeat(len);
    let done = match op {
        Op::Register(a) => app.users().register(Account::new(name(*a))).await.map(drop),
        Op::Delete(a) => app.users().delete(&name(*a)).await.map(drop),
        Op::Ban(a, true) => app.users().ban(&name(*a)).await.map(drop),
        Op::Ban(a, false) => app.users().unban(&name(*a)).await.map(drop),
        Op::Contact(a, b, true) => app.contacts(&name(*a)).add(&name(*b)).await.map(drop),
        Op::Contact(a, b, false) => app.contacts(&name(*a)).remove(&name(*b)).await.map(drop),
        Op::Block(a, b, true) => app.blocks(&name(*a)).add(&[name(*b)]).await,
        Op::Block(a, b, false) => app.blocks(&name(*a)).remove(&name(*b)).await.map(drop),
        Op::Create(kind, c, owner, members) => {
            let new = NewChannel {
                members: members.iter().map(|user| name(*user)).collect(),
                ..NewChannel::new(place(*c), name(*owner))
            };
            app.channels(KINDS[*kind]).create(new).await.map(drop)
        }
        Op::DeleteChannel(kind, c) => app.channels(KINDS[*kind]).delete(&place(*c)).await,
        Op::Member(kind, c, a, on) => {
            let members = app.channels(KINDS[*kind]).members(&place(*c));
            if *on {
                members.add(&name(*a)).await
            } else {
                members.remove(&name(*a)).await
            }
        }
        Op::Transfer(kind, c, a) => {
            app.channels(KINDS[*kind])
                .transfer(&place(*c), &name(*a))
                .await
        }
        Op::Admin(kind, c, a, on) => {
            let members = app.channels(KINDS[*kind]).members(&place(*c));
            members.set_admin(&name(*a), *on).await
        }
        Op::Mute(kind, c, a, on) => {
            let members = app.channels(KINDS[*kind]).members(&place(*c));
            let how = if *on { MuteFor::Forever } else { MuteFor::Lift };
            first(members.mute(&[name(*a)], how).await)
        }
        Op::BlockMember(kind, c, a) => {
            let members = app.channels(KINDS[*kind]).members(&place(*c));
            first(members.block(&[name(*a)]).await)
        }
        Op::Attribute(a, k, len) => {
            app.user_attributes()
                .set(&name(*a), [(k.to_string(), text(*len))])
                .await
        }
        Op::DropAttributes(a) => app.user_attributes().delete(&name(*a)).await,
        Op::RoomAttribute(c, a, k, len, auto_delete, force) => {
            let how = RoomSet {
                auto_delete: *auto_delete,
                force: *force,
            };
            let pairs = [(k.to_string(), text(*len))];
            match app
                .room_attributes(&place(*c))
                .set(&name(*a), pairs, how)
                .await
            {
                Ok(results) => return Ok(!results.done.is_empty()),
                Err(error) => Err(error),
            }
        }
        Op::Subscribe(a, b) => {
            app.presence(&name(*a))
                .subscribe(&[name(*b)], 1_000_000)
                .await
        }
        Op::Flush => store.flush().await,
    };
    match done {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            ErrorKind::Directory(_) | ErrorKind::Limit(_) => Ok(false),
            _ => Err(error),
        },
    }
}

/// The only answer of a call for one user.
fn first<T>(answers: Result<Vec<Result<T>>>) -> Result<()> {
    answers?.pop().map_or(Ok(()), |answer| answer.map(drop))
}

fn number(id: &str) -> u64 {
    id[1..].parse().unwrap()
}

/// Reads all of it back.
async fn read(app: &App) -> Model {
    let mut found = Model::default();
    for one in app.users().list(None, 100).await.unwrap().items {
        let a = number(one.id.as_str());
        found.users.insert(a, one.is_banned);
        for contact in app.contacts(&one.id).list(None, 100).await.unwrap().items {
            found.contacts.insert((a, number(contact.friend.as_str())));
        }
        for other in app.blocks(&one.id).list(None, 100).await.unwrap().items {
            found.blocks.insert((a, number(other.as_str())));
        }
        for one in app
            .presence(&one.id)
            .subscriptions(None, 100)
            .await
            .unwrap()
            .items
        {
            found.subscriptions.insert((a, number(one.user.as_str())));
        }
    }
    for a in 0..USERS {
        let pairs = app.user_attributes().get(&name(a), None).await.unwrap();
        if !pairs.is_empty() {
            let pairs = pairs
                .iter()
                .map(|(key, value)| (key.parse().unwrap(), value.len()));
            found.attributes.insert(a, pairs.collect());
        }
    }
    for (index, kind) in KINDS.into_iter().enumerate() {
        for channel in app.channels(kind).list(None, 100).await.unwrap().items {
            let read = read_channel(app, kind, &channel).await;
            found.channels[index].insert(number(channel.id.as_str()), read);
        }
    }
    found
}

async fn read_channel(app: &App, kind: ChannelKind, channel: &tidestore::Channel) -> Channel {
    let mut read = Channel {
        owner: number(channel.owner.as_str()),
        ..Channel::default()
    };
    let members = app.channels(kind).members(&channel.id);
    for member in members.list(None, 100).await.unwrap().items {
        let flags = (
            member.role == tidestore::Role::Admin,
            member.muted_until.is_some(),
        );
        read.members.insert(number(member.user.as_str()), flags);
    }
    for blocked in members.blocked(None, 100).await.unwrap().items {
        read.blocked.insert(number(blocked.as_str()));
    }
    if kind == ChannelKind::Room {
        for (key, a) in app.room_attributes(&channel.id).get(None).await.unwrap() {
            let attribute = (a.value.len(), number(&a.setter), a.auto_delete);
            read.attributes.insert(key.parse().unwrap(), attribute);
        }
    }
    read
}

/// What was acknowledged, and what was asked for without an answer.
#[derive(Debug, Default)]
struct Told {
    app: bool,
    model: Model,
    asked: Option<Op>,
}

/// Makes changes until something fails.
async fn script(machine: &Machine, ops: &[Op], told: &mut Told) -> Result<()> {
    let store = machine.open().await?;
    let app = store
        .create_app(&key("acme#chat"), Terms::enterprise(caps()))
        .await?;
    told.app = true;
    for op in ops {
        told.asked = Some(op.clone());
        let done = perform(&store, &app, op).await?;
        assert_eq!(done, told.model.apply(op), "{op:?}");
        told.model.keeps_caps();
        told.asked = None;
    }
    store.close().await
}

async fn check(machine: &Machine, told: &Told, what: &str) {
    let store = machine
        .open()
        .await
        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_eq!(store.verify().await.unwrap().problems, [], "{what}");
    let Ok(app) = store.app(&key("acme#chat")) else {
        assert!(!told.app, "{what}: the app is gone");
        return;
    };
    let found = read(&app).await;
    let mut also = told.model.clone();
    if let Some(asked) = &told.asked {
        also.apply(asked);
    }
    assert!(
        found == told.model || found == also,
        "{what}: {found:#?} is not {also:#?}"
    );
    let ledger = app.ledger().await.unwrap();
    assert_eq!(ledger.users.used, found.users.len() as u64);
    assert_eq!(ledger.user_attributes.used, found.user_bytes() as u64);
    assert_eq!(ledger.room_attributes.used, found.room_bytes() as u64);
    // It goes on working.
    let (mut model, more) = (found, Op::Attribute(0, 0, 1));
    let done = perform(&store, &app, &more).await.unwrap();
    assert_eq!(done, model.apply(&more), "{what}");
    store.close().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_or_failure_at_any_operation_takes_nothing_that_was_acknowledged(
        ops in proptest::collection::vec(op(), 20..60),
    ) {
        run(async {
            let whole = machine();
            let mut told = Told::default();
            script(&whole, &ops, &mut told).await.unwrap();
            check(&whole, &told, "to the end").await;
            let all = whole.disk.operations();
            for k in 0..all {
                let crashing = machine();
                crashing.disk.crash_at(k);
                let mut told = Told::default();
                drop(script(&crashing, &ops, &mut told).await);
                let survival = if k % 2 == 0 { Survival::NONE } else { Survival::ALL };
                let after = Machine { disk: crashing.disk.crash(k, survival), ..crashing };
                check(&after, &told, &format!("crash at {k} of {all}")).await;
                if k % 5 != 0 {
                    continue;
                }
                let failing = machine();
                failing.disk.fail_at(k, if k % 10 == 0 { Fault::Eio } else { Fault::NoSpace });
                let mut told = Told::default();
                drop(script(&failing, &ops, &mut told).await);
                failing.disk.clear_faults();
                check(&failing, &told, &format!("failure at {k} of {all}")).await;
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn directory_and_model_agree(ops in proptest::collection::vec(op(), 1..250)) {
        run(async {
            let machine = machine();
            let mut told = Told::default();
            script(&machine, &ops, &mut told).await.unwrap();
            check(&machine, &told, "to the end").await;
        });
    }
}

/// A flush of the device that fails: nobody is told that it went well.
#[test]
fn a_change_whose_flush_fails_is_refused_and_the_shard_takes_no_more() {
    run(async {
        let machine = machine();
        let (store, app) = machine.open_app(Plan::Pro).await;
        machine.disk.fail_always(OpKind::Sync, Fault::Eio);
        let failed = app
            .users()
            .register(Account::new(name(1)))
            .await
            .unwrap_err();
        assert!(
            matches!(failed.kind(), ErrorKind::Io | ErrorKind::Poisoned),
            "{failed:?}"
        );
        machine.disk.clear_faults();
        let refused = app
            .users()
            .register(Account::new(name(2)))
            .await
            .unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Poisoned), "{refused:?}");
        drop(store);
    });
}
