//! What a directory with small caps ought to be: users, contacts, groups, chatrooms and attributes, as sets and maps.
//!
//! Caps are so small that most requests stand at an edge. Deleting takes several records; a model makes it in one.

use std::collections::{BTreeMap, BTreeSet};

use tidestore::plan::{Caps, Limit, Limits, Plan, Terms};

use crate::op::{PeopleOp, Said};
use crate::verdict::{Verdict, contradicts};

/// Names that are used: users, channels of a kind, keys.
pub(crate) const NAMES: [u8; 3] = [6, 4, 3];
const USERS_MAX: usize = 5;
const CONTACTS_MAX: usize = 2;
const CHANNELS_MAX: usize = 3;
const MEMBERS_MAX: usize = 3;
const JOINED_MAX: usize = 2;
/// Bytes of attributes of all users together, and of all chatrooms together.
const BYTES_MAX: usize = 60;

/// Terms with the caps of this model.
pub(crate) fn terms() -> Terms {
    Terms::enterprise(Caps {
        users: Some(USERS_MAX as u64),
        contacts_per_user: Some(CONTACTS_MAX as u64),
        groups: Some(CHANNELS_MAX as u64),
        group_members: Some(MEMBERS_MAX as u64),
        groups_per_user: Some(JOINED_MAX as u64),
        rooms: Some(CHANNELS_MAX as u64),
        room_members: Some(MEMBERS_MAX as u64),
        rooms_per_user: Some(JOINED_MAX as u64),
        ..Plan::Enterprise.caps()
    })
}

/// Limits with the sizes of this model.
pub(crate) fn limits() -> Limits {
    Limits::default()
        .with(Limit::AppUserAttributes, BYTES_MAX as u64)
        .with(Limit::AppRoomAttributes, BYTES_MAX as u64)
}

/// A group or a chatroom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) owner: u8,
    /// Members, with whether they are admins and muted.
    pub(crate) members: BTreeMap<u8, (bool, bool)>,
    /// Of chatrooms: value, who set it, whether it goes with him.
    pub(crate) attributes: BTreeMap<u8, (String, u8, bool)>,
}

/// Everything of the app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct People {
    /// Users, and whether they are banned.
    pub(crate) users: BTreeMap<u8, bool>,
    pub(crate) contacts: BTreeSet<(u8, u8)>,
    pub(crate) blocks: BTreeSet<(u8, u8)>,
    /// Groups, then chatrooms.
    pub(crate) channels: [BTreeMap<u8, Channel>; 2],
    pub(crate) attributes: BTreeMap<u8, BTreeMap<u8, String>>,
}

impl People {
    /// Applies a request; as [`Chat::apply`](crate::chat::Chat::apply).
    pub(crate) fn apply(&mut self, op: &PeopleOp, said: Option<&Said>) -> Verdict {
        let before = self.clone();
        let is_done = self.change(op);
        if !is_done {
            *self = before;
        }
        if let Some(why) = self.over_a_cap() {
            return contradicts(why);
        }
        match said {
            // Attributes of chatrooms are refused key by key, in an answer that is no error.
            Some(Said::Changed(changed)) => Verdict::or(*changed == is_done, || {
                format!("{op:?}: changed: {changed}, expected: {is_done}")
            }),
            _ => Verdict::of(is_done),
        }
    }

    fn change(&mut self, op: &PeopleOp) -> bool {
        match op {
            PeopleOp::Register(a) => {
                let fits = !self.users.contains_key(a) && self.users.len() < USERS_MAX;
                if fits {
                    self.users.insert(*a, false);
                }
                fits
            }
            PeopleOp::Delete(a) => self.delete(*a),
            PeopleOp::Ban(a, is_on) => self
                .users
                .get_mut(a)
                .map(|banned| *banned = *is_on)
                .is_some(),
            PeopleOp::Contact(a, b, is_on) => self.contact(*a, *b, *is_on),
            PeopleOp::Block(a, b, true) => {
                self.exists(*a) && self.exists(*b) && a != b && {
                    self.blocks.insert((*a, *b));
                    true
                }
            }
            PeopleOp::Block(a, b, false) => {
                // The list may hold somebody who is gone.
                let is_listed = self.blocks.remove(&(*a, *b));
                self.exists(*a) && (is_listed || self.exists(*b))
            }
            PeopleOp::Create(kind, c, owner, others) => self.create(*kind, *c, *owner, others),
            PeopleOp::DeleteChannel(kind, c) => {
                self.of(*kind).is_some_and(|all| all.remove(c).is_some())
            }
            PeopleOp::Member(kind, c, a, true) => self.enter(*kind, *c, *a),
            PeopleOp::Member(kind, c, a, false) => {
                let fits = self.other_member(*kind, *c, *a, |_| true);
                if fits {
                    self.leave(*kind, *c, *a);
                }
                fits
            }
            PeopleOp::Transfer(kind, c, a) => {
                let channel = self.of(*kind).and_then(|all| all.get_mut(c));
                let fits = channel.filter(|c| c.owner != *a && c.members.contains_key(a));
                fits.is_some_and(|channel| {
                    channel.owner = *a;
                    channel.members.insert(*a, (false, false)).is_some()
                })
            }
            PeopleOp::Admin(kind, c, a, is_on) => self.other_member(*kind, *c, *a, |flags| {
                let fits = *is_on || flags.0;
                flags.0 = *is_on;
                fits
            }),
            PeopleOp::Mute(kind, c, a, is_on) => self.other_member(*kind, *c, *a, |flags| {
                flags.1 = *is_on;
                true
            }),
            PeopleOp::SetAttribute(a, key, value) => self.set_attribute(*a, *key, value),
            PeopleOp::DropAttributes(a) => {
                self.attributes.remove(a);
                true
            }
            PeopleOp::SetRoomAttribute { .. } => self.set_room_attribute(op),
        }
    }

    fn exists(&self, user: u8) -> bool {
        self.users.contains_key(&user)
    }

    fn of(&mut self, kind: usize) -> Option<&mut BTreeMap<u8, Channel>> {
        self.channels.get_mut(kind)
    }

    fn joined(&self, kind: usize, user: u8) -> usize {
        let all = self
            .channels
            .get(kind)
            .into_iter()
            .flat_map(BTreeMap::values);
        all.filter(|channel| channel.members.contains_key(&user))
            .count()
    }

    fn contacts_of(&self, user: u8) -> usize {
        self.contacts.iter().filter(|(a, _)| *a == user).count()
    }

    fn delete(&mut self, user: u8) -> bool {
        for kind in 0..self.channels.len() {
            let Some(all) = self.of(kind) else { continue };
            all.retain(|_, channel| channel.owner != user);
            let rest: Vec<u8> = all.keys().copied().collect();
            for channel in rest {
                self.leave(kind, channel, user);
            }
        }
        self.contacts.retain(|(a, b)| *a != user && *b != user);
        self.blocks.retain(|(a, _)| *a != user);
        let was_there = self.users.remove(&user).is_some();
        // Attributes need no account, but go with one.
        if was_there {
            self.attributes.remove(&user);
        }
        was_there
    }

    fn contact(&mut self, a: u8, b: u8, is_on: bool) -> bool {
        if !self.exists(a) || !self.exists(b) {
            return false;
        }
        if !is_on {
            self.contacts.remove(&(a, b));
            self.contacts.remove(&(b, a));
            return true;
        }
        let has_room = |user| self.contacts_of(user) < CONTACTS_MAX;
        let fits = a != b && (self.contacts.contains(&(a, b)) || has_room(a) && has_room(b));
        if fits {
            self.contacts.extend([(a, b), (b, a)]);
        }
        fits
    }

    fn create(&mut self, kind: usize, c: u8, owner: u8, others: &[u8]) -> bool {
        let members: BTreeSet<u8> = others.iter().copied().chain([owner]).collect();
        let may_come = |user: &u8| self.exists(*user) && self.joined(kind, *user) < JOINED_MAX;
        let fits = members.len() <= MEMBERS_MAX && members.iter().all(may_come);
        let Some(all) = self.of(kind).filter(|all| fits && all.len() < CHANNELS_MAX) else {
            return false;
        };
        let new = Channel {
            owner,
            members: members
                .into_iter()
                .map(|user| (user, (false, false)))
                .collect(),
            attributes: BTreeMap::new(),
        };
        match all.entry(c) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(new);
                true
            }
            std::collections::btree_map::Entry::Occupied(_) => false,
        }
    }

    fn enter(&mut self, kind: usize, c: u8, user: u8) -> bool {
        let may = self.exists(user) && self.joined(kind, user) < JOINED_MAX;
        let channel = self.of(kind).and_then(|all| all.get_mut(&c));
        channel.filter(|_| may).is_some_and(|channel| {
            let fits = channel.members.len() < MEMBERS_MAX && !channel.members.contains_key(&user);
            if fits {
                channel.members.insert(user, (false, false));
            }
            fits
        })
    }

    fn leave(&mut self, kind: usize, c: u8, user: u8) {
        if let Some(channel) = self.of(kind).and_then(|all| all.get_mut(&c)) {
            channel.members.remove(&user);
            channel
                .attributes
                .retain(|_, (_, setter, goes)| !*goes || *setter != user);
        }
    }

    /// Changes a member who is not the owner.
    fn other_member(
        &mut self,
        kind: usize,
        c: u8,
        user: u8,
        change: impl FnOnce(&mut (bool, bool)) -> bool,
    ) -> bool {
        let channel = self.of(kind).and_then(|all| all.get_mut(&c));
        let channel = channel.filter(|channel| channel.owner != user);
        channel
            .and_then(|channel| channel.members.get_mut(&user))
            .is_some_and(change)
    }

    fn set_attribute(&mut self, user: u8, key: u8, value: &str) -> bool {
        let bytes = |pairs: Option<&BTreeMap<u8, String>>| -> usize {
            pairs
                .into_iter()
                .flatten()
                .map(|(_, value)| 1 + value.len())
                .sum()
        };
        let before = bytes(self.attributes.get(&user));
        let pairs = self.attributes.entry(user).or_default();
        pairs.insert(key, value.to_owned());
        let after = bytes(Some(pairs));
        self.user_bytes() <= BYTES_MAX || after <= before
    }

    fn set_room_attribute(&mut self, op: &PeopleOp) -> bool {
        let PeopleOp::SetRoomAttribute {
            room,
            by,
            key,
            value,
            goes_with_him,
            force,
        } = op
        else {
            return false;
        };
        let bytes = self.room_bytes();
        let Some(room) = self.of(1).and_then(|rooms| rooms.get_mut(room)) else {
            return false;
        };
        let before = room.attributes.get(key);
        let is_his = before.is_none_or(|(_, setter, _)| setter == by || *force);
        let old = before.map_or(0, |(value, ..)| 1 + value.len());
        let fits = value.len() < old || bytes - old + 1 + value.len() <= BYTES_MAX;
        if !room.members.contains_key(by) || !is_his || !fits {
            return false;
        }
        room.attributes
            .insert(*key, (value.clone(), *by, *goes_with_him));
        true
    }

    /// Bytes of the attributes of all users.
    pub(crate) fn user_bytes(&self) -> usize {
        let all = self.attributes.values().flat_map(BTreeMap::values);
        all.map(|value| 1 + value.len()).sum()
    }

    /// Bytes of the attributes of all chatrooms.
    pub(crate) fn room_bytes(&self) -> usize {
        let rooms = self.channels.get(1).into_iter().flat_map(BTreeMap::values);
        let all = rooms.flat_map(|room| room.attributes.values());
        all.map(|(value, ..)| 1 + value.len()).sum()
    }

    /// A cap that is exceeded, which no order of requests can bring about.
    fn over_a_cap(&self) -> Option<String> {
        let members = self.channels.iter().flat_map(BTreeMap::values);
        let is_over = self.users.len() > USERS_MAX
            || self.channels.iter().any(|all| all.len() > CHANNELS_MAX)
            || members
                .map(|channel| channel.members.len())
                .any(|len| len > MEMBERS_MAX)
            || self.user_bytes() > BYTES_MAX
            || self.room_bytes() > BYTES_MAX;
        is_over.then(|| format!("over a cap: {self:?}"))
    }
}
