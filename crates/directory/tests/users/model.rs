//! What the directory must do, told with maps and lists.

use std::collections::BTreeMap;

use tidestore_directory::{
    Contact, ErrorKind, MuteChange, MuteEnd, MuteFor, MutedUser, Mutes, NewUser, User, UserChange,
};
use tidestore_plan::{CapKind, Caps, Limit, Limits, UserId};

use crate::world::argument;

type Done<T> = Result<T, ErrorKind>;

#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) user: User,
    pub(crate) password: Option<String>,
    pub(crate) contacts: BTreeMap<UserId, (u64, Option<String>)>,
    /// Oldest first.
    pub(crate) blocks: Vec<UserId>,
    mutes: Mutes,
    pub(crate) is_leaving: bool,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) people: BTreeMap<UserId, Person>,
    /// Oldest first, leaving ones included.
    order: Vec<UserId>,
    pub(crate) caps: Caps,
    pub(crate) limits: Limits,
    pub(crate) now: u64,
}

fn limited(done: Result<(), tidestore_plan::LimitError>) -> Done<()> {
    done.map_err(ErrorKind::Limit)
}

impl Model {
    pub(crate) fn new(caps: Caps, limits: Limits, now: u64) -> Self {
        Self {
            people: BTreeMap::new(),
            order: Vec::new(),
            caps,
            limits,
            now,
        }
    }

    pub(crate) fn person(&self, id: &UserId) -> Done<&Person> {
        let found = self.people.get(id).filter(|person| !person.is_leaving);
        found.ok_or_else(|| ErrorKind::UserNotFound(id.clone()))
    }

    fn person_mut(&mut self, id: &UserId) -> Done<&mut Person> {
        self.person(id)?;
        Ok(self.people.get_mut(id).unwrap())
    }

    pub(crate) fn listed(&self) -> Vec<User> {
        let there = self.order.iter().filter_map(|id| self.person(id).ok());
        there.map(|person| person.user.clone()).collect()
    }

    pub(crate) fn leaving(&self) -> Vec<UserId> {
        let people = self.people.values().filter(|person| person.is_leaving);
        people.map(|person| person.user.id.clone()).collect()
    }

    pub(crate) fn register(&mut self, new: NewUser) -> Done<User> {
        if self.people.contains_key(&new.id) {
            return Err(ErrorKind::UserExists(new.id));
        }
        let nickname = new.nickname.filter(|text| !text.is_empty());
        limited(
            self.limits
                .check_text(Limit::PushNickname, nickname.as_deref().unwrap_or("")),
        )?;
        limited(
            self.caps
                .check(CapKind::Users, self.people.len() as u64 + 1),
        )?;
        let user = User {
            id: new.id.clone(),
            uuid: new.uuid,
            created: self.now,
            modified: self.now,
            is_banned: false,
            nickname,
            display_style: None,
            no_disturbing: None,
            no_disturbing_hours: None,
        };
        let person = Person {
            user: user.clone(),
            password: new.password_hash,
            contacts: BTreeMap::new(),
            blocks: Vec::new(),
            mutes: Mutes::default(),
            is_leaving: false,
        };
        self.order.push(new.id.clone());
        self.people.insert(new.id, person);
        Ok(user)
    }

    pub(crate) fn register_many(&mut self, new: Vec<NewUser>) -> Done<Vec<Done<User>>> {
        limited(
            self.limits
                .check(Limit::RegistrationBatch, new.len() as u64),
        )?;
        for (at, one) in new.iter().enumerate() {
            if new[..at].iter().any(|earlier| earlier.id == one.id) {
                return Err(argument());
            }
        }
        Ok(new.into_iter().map(|one| self.register(one)).collect())
    }

    pub(crate) fn change_user(&mut self, id: &UserId, change: UserChange) -> Done<User> {
        let hours = change.no_disturbing_hours.unwrap_or_default();
        if change.display_style > Some(1) || hours.0 > 23 || hours.1 > 23 {
            return Err(argument());
        }
        let nickname = change.nickname.as_deref().unwrap_or("");
        limited(self.limits.check_text(Limit::PushNickname, nickname))?;
        self.modify(id, |person| {
            let user = &mut person.user;
            if let Some(nickname) = change.nickname {
                user.nickname = Some(nickname).filter(|text| !text.is_empty());
            }
            if change.display_style.is_some() {
                user.display_style = change.display_style;
            }
            if change.no_disturbing.is_some() {
                user.no_disturbing = change.no_disturbing;
            }
            if change.no_disturbing_hours.is_some() {
                user.no_disturbing_hours = change.no_disturbing_hours;
            }
        })
    }

    pub(crate) fn set_password(&mut self, id: &UserId, hash: &str) -> Done<()> {
        self.modify(id, |person| person.password = Some(hash.to_owned()))?;
        Ok(())
    }

    pub(crate) fn set_banned(&mut self, id: &UserId, is_banned: bool) -> Done<User> {
        self.modify(id, |person| person.user.is_banned = is_banned)
    }

    fn modify(&mut self, id: &UserId, change: impl FnOnce(&mut Person)) -> Done<User> {
        let now = self.now;
        let person = self.person_mut(id)?;
        let before = (person.user.clone(), person.password.clone());
        change(person);
        if before != (person.user.clone(), person.password.clone()) {
            person.user.modified = now;
        }
        Ok(person.user.clone())
    }

    pub(crate) fn contact(&self, user: &UserId, friend: &UserId) -> Done<Option<Contact>> {
        let person = self.person(user)?;
        self.person(friend)?;
        Ok(person
            .contacts
            .get(friend)
            .map(|side| contact(friend, side)))
    }

    pub(crate) fn contacts(&self, user: &UserId) -> Done<Vec<Contact>> {
        let contacts = &self.person(user)?.contacts;
        Ok(contacts
            .iter()
            .map(|(friend, side)| contact(friend, side))
            .collect())
    }

    pub(crate) fn add_contact(&mut self, user: &UserId, friend: &UserId) -> Done<bool> {
        let counts = [self.person(user)?, self.person(friend)?].map(|side| side.contacts.len());
        if user == friend {
            return Err(argument());
        }
        if self.person(user)?.contacts.contains_key(friend) {
            return Ok(false);
        }
        for count in counts {
            limited(self.caps.check(CapKind::ContactsPerUser, count as u64 + 1))?;
        }
        let side = (self.now, None);
        self.person_mut(user)?
            .contacts
            .insert(friend.clone(), side.clone());
        self.person_mut(friend)?.contacts.insert(user.clone(), side);
        Ok(true)
    }

    pub(crate) fn remove_contact(&mut self, user: &UserId, friend: &UserId) -> Done<bool> {
        self.person(friend)
            .and(self.person(user))
            .map_err(|_| self.missing(user, friend))?;
        self.person_mut(friend)?.contacts.remove(user);
        Ok(self.person_mut(user)?.contacts.remove(friend).is_some())
    }

    /// The first of two users who is not there.
    fn missing(&self, user: &UserId, friend: &UserId) -> ErrorKind {
        let missing = if self.person(user).is_err() {
            user
        } else {
            friend
        };
        ErrorKind::UserNotFound(missing.clone())
    }

    pub(crate) fn set_remark(&mut self, user: &UserId, friend: &UserId, text: &str) -> Done<()> {
        limited(self.limits.check_text(Limit::PushNickname, text))?;
        self.contact(user, friend)?;
        let side = self.person_mut(user)?.contacts.get_mut(friend);
        let side = side.ok_or_else(|| ErrorKind::NotListed(friend.clone()))?;
        side.1 = Some(text.to_owned()).filter(|text| !text.is_empty());
        Ok(())
    }

    pub(crate) fn block(&mut self, user: &UserId, others: &[UserId]) -> Done<()> {
        limited(self.limits.check(Limit::BlockBatch, others.len() as u64))?;
        let mut list = self.person(user)?.blocks.clone();
        let before = list.len();
        for other in others {
            if other == user {
                return Err(argument());
            }
            self.person(other)?;
            if !list.contains(other) {
                list.push(other.clone());
            }
        }
        if list.len() > before {
            limited(self.limits.check(Limit::BlockList, list.len() as u64))?;
        }
        self.person_mut(user)?.blocks = list;
        Ok(())
    }

    pub(crate) fn unblock(&mut self, user: &UserId, other: &UserId) -> Done<bool> {
        let list = &mut self.person_mut(user)?.blocks;
        let before = list.len();
        list.retain(|listed| listed != other);
        if list.len() < before {
            return Ok(true);
        }
        self.person(other).map(|_| false)
    }

    pub(crate) fn has_blocked(&self, user: &UserId, other: &UserId) -> bool {
        let person = self.people.get(user);
        person.is_some_and(|person| person.blocks.contains(other))
    }

    pub(crate) fn mutes(&self, user: &UserId) -> Done<Mutes> {
        let open = |end: Option<MuteEnd>| match end {
            Some(MuteEnd::At(end)) if end <= self.now => None,
            end => end,
        };
        let mutes = self.person(user)?.mutes;
        Ok(Mutes {
            chat: open(mutes.chat),
            groupchat: open(mutes.groupchat),
            chatroom: open(mutes.chatroom),
        })
    }

    pub(crate) fn muted_users(&self) -> Vec<MutedUser> {
        let muted = self.people.keys().filter_map(|user| {
            let mutes = self.mutes(user).ok()?;
            let user = user.clone();
            (mutes != Mutes::default()).then_some(MutedUser { user, mutes })
        });
        muted.collect()
    }

    pub(crate) fn set_mutes(&mut self, user: &UserId, change: MuteChange) -> Done<Mutes> {
        self.person(user)?;
        let asked = [change.chat, change.groupchat, change.chatroom];
        for asked in asked {
            if let Some(MuteFor::Seconds(seconds)) = asked {
                limited(self.limits.check(Limit::MuteSeconds, seconds))?;
            }
        }
        let now = self.now;
        let mutes = &mut self.person_mut(user)?.mutes;
        let places = [&mut mutes.chat, &mut mutes.groupchat, &mut mutes.chatroom];
        for (place, asked) in places.into_iter().zip(asked) {
            match asked {
                None => {}
                Some(MuteFor::Lift) => *place = None,
                Some(MuteFor::Forever) => *place = Some(MuteEnd::Never),
                Some(MuteFor::Millis(n)) => *place = Some(MuteEnd::At(now + n)),
                Some(MuteFor::Seconds(n)) => *place = Some(MuteEnd::At(now + n * 1_000)),
            }
        }
        self.mutes(user)
    }

    pub(crate) fn check_sender(&self, user: &UserId) -> Done<()> {
        let is_banned = self.person(user)?.user.is_banned;
        let refused = is_banned.then(|| ErrorKind::UserBanned(user.clone()));
        refused.map_or(Ok(()), Err)
    }

    pub(crate) fn check_direct(&self, sender: &UserId, receiver: &UserId) -> Done<()> {
        self.check_sender(sender)?;
        if self.person(receiver)?.blocks.contains(sender) {
            return Err(ErrorKind::BlockedByReceiver(receiver.clone()));
        }
        match self.mutes(sender)?.chat {
            None => Ok(()),
            Some(MuteEnd::At(end)) => Err(ErrorKind::Muted(Some(end))),
            Some(MuteEnd::Never) => Err(ErrorKind::Muted(None)),
        }
    }

    /// One step of a deletion: the user as he was if it was the last.
    pub(crate) fn delete_step(&mut self, id: &UserId, budget: usize) -> Done<Option<User>> {
        let person = self.people.get_mut(id);
        let person = person.ok_or_else(|| ErrorKind::UserNotFound(id.clone()))?;
        person.is_leaving = true;
        person.mutes = Mutes::default();
        let mut names: Vec<UserId> = person.blocks.clone();
        names.sort();
        let friends = person.contacts.keys().cloned().map(|friend| (true, friend));
        let work: Vec<_> = friends
            .chain(names.into_iter().map(|name| (false, name)))
            .collect();
        let budget = budget.max(1);
        for (is_contact, name) in work.iter().take(budget) {
            let person = self.people.get_mut(id).unwrap();
            if *is_contact {
                person.contacts.remove(name);
                self.people.get_mut(name).unwrap().contacts.remove(id);
            } else {
                person.blocks.retain(|listed| listed != name);
            }
        }
        if work.len() > budget {
            return Ok(None);
        }
        self.order.retain(|listed| listed != id);
        Ok(self.people.remove(id).map(|person| person.user))
    }
}

fn contact(friend: &UserId, (since, remark): &(u64, Option<String>)) -> Contact {
    Contact {
        friend: friend.clone(),
        since: *since,
        remark: remark.clone(),
    }
}
