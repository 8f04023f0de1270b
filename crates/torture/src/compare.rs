//! Comparing what was read with what a model says.

use std::collections::{BTreeMap, BTreeSet};

use crate::act::PLANS;
use crate::chat::{Chat, Window, name};
use crate::observe::{Observed, Part, TalkSeen};
use crate::state::State;

/// How much may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Nothing: every part is there and right.
    All,
    /// Parts may be unreadable if an error says that they are damaged; what is read is right and whole.
    Readable,
    /// Things may be missing, because files are; what is there is right.
    Right,
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Compared {
    pub(crate) messages: u64,
    pub(crate) imported: u64,
    pub(crate) changes: u64,
    pub(crate) attachments: u64,
    pub(crate) directory: u64,
    pub(crate) attributes: u64,
    pub(crate) pending: u64,
    pub(crate) counts: u64,
    pub(crate) ledgers: u64,
    /// Parts that could not be read.
    pub(crate) damaged: u64,
}

/// Compares, and learns the ids that nobody was told.
///
/// # Errors
///
/// The first difference, in words.
pub(crate) fn compare(
    state: &mut State,
    seen: &Observed,
    window: Window,
    demand: Demand,
) -> Result<Compared, String> {
    let mut done = Compared::default();
    for (to, talk) in seen.talks.iter().enumerate() {
        compare_talk(&mut state.chat, to, talk, window, demand, &mut done)?;
    }
    if let Some(plan) = part(&seen.plan, demand, &mut done)? {
        let expected = PLANS.get(state.chat.plan);
        if demand != Demand::Right && Some(plan) != expected {
            return Err(format!("the plan is {plan} instead of {expected:?}"));
        }
    }
    compare_pending(&state.chat, seen, window, demand, &mut done)?;
    compare_files(&mut state.chat, seen, window, demand, &mut done)?;
    if let Some(people) = part(&seen.people, demand, &mut done)? {
        if demand != Demand::Right && *people != state.people {
            return Err(format!(
                "directory: found {people:?}\ninstead of {:?}",
                state.people
            ));
        }
        let channels = people.channels.iter().flatten();
        let members: usize = channels.map(|(_, channel)| channel.members.len()).sum();
        done.directory += (people.users.len() + people.contacts.len() + members) as u64;
        done.attributes += people
            .attributes
            .values()
            .map(|all| all.len() as u64)
            .sum::<u64>();
        let rooms = people.channels.iter().flat_map(BTreeMap::values);
        done.attributes += rooms.map(|room| room.attributes.len() as u64).sum::<u64>();
    }
    compare_ledger(state, seen, window, demand, &mut done)?;
    Ok(done)
}

/// The value of a part; `None` if it is damaged and may be.
fn part<'a, T>(
    part: &'a Part<T>,
    demand: Demand,
    done: &mut Compared,
) -> Result<Option<&'a T>, String> {
    match part {
        Ok(value) => Ok(Some(value)),
        Err(error) if demand != Demand::All && error.starts_with("Corruption") => {
            // Damage must be found again: the error says in which file.
            if demand == Demand::Readable && !names_a_file(error) {
                return Err(format!("an error that names no file: {error}"));
            }
            done.damaged += 1;
            Ok(None)
        }
        Err(_) if demand == Demand::Right => {
            done.damaged += 1;
            Ok(None)
        }
        Err(error) => Err(format!("reading failed: {error}")),
    }
}

fn names_a_file(error: &str) -> bool {
    [".seg", ".vol", ".log", ".rcp", "views/"]
        .iter()
        .any(|file| error.contains(file))
}

fn compare_talk(
    chat: &mut Chat,
    to: usize,
    seen: &TalkSeen,
    window: Window,
    demand: Demand,
    done: &mut Compared,
) -> Result<(), String> {
    let model = chat.clone();
    let Some(talk) = chat.talks.get_mut(to) else {
        return Err(format!("there is no conversation {to}"));
    };
    if let Some(last) = part(&seen.last_seq, demand, done)? {
        let expected = talk.messages.len() as u64;
        if demand != Demand::Right && *last != expected {
            return Err(format!(
                "conversation {to} ends at {last} instead of {expected}"
            ));
        }
    }
    if let Some(messages) = part(&seen.messages, demand, done)? {
        let mut found = BTreeSet::new();
        for message in messages {
            let at = usize::try_from(message.seq)
                .unwrap_or_default()
                .wrapping_sub(1);
            let Some(row) = talk.messages.get_mut(at) else {
                return Err(format!("conversation {to}: nobody sent {message:?}"));
            };
            if let Some(why) = row.differs(message) {
                // What is older than the files that are missing may be seen as it was before it was changed.
                if demand != Demand::Right || row.version == message.version {
                    return Err(format!("conversation {to}: {why}"));
                }
            }
            if row.id.is_none() {
                row.id = Some(message.id);
                row.time = crate::chat::time_of(message.id);
            }
            if !found.insert(message.seq) {
                return Err(format!("conversation {to}: number {} twice", message.seq));
            }
            if !model.may_see(row.time, window) {
                return Err(format!("conversation {to}: {message:?} has expired"));
            }
            done.messages += u64::from(!row.is_imported);
            done.imported += u64::from(row.is_imported);
            done.changes += u64::from(message.version != Some(0));
        }
        let lost = talk
            .messages
            .iter()
            .find(|row| model.must_see(row.time, window) && !found.contains(&row.seq));
        if let Some(lost) = lost.filter(|_| demand != Demand::Right) {
            return Err(format!("conversation {to}: {lost:?} is lost"));
        }
    }
    if let Some(reactions) = part(&seen.reactions, demand, done)?
        && demand != Demand::Right
    {
        for row in talk
            .messages
            .iter()
            .filter(|row| model.must_see(row.time, window))
        {
            let found = row
                .id
                .and_then(|id| reactions.get(&id))
                .copied()
                .unwrap_or_default();
            if found != row.reactors.len() as u64 {
                return Err(format!("conversation {to}: {found} reactions to {row:?}"));
            }
            done.changes += found;
        }
    }
    for (user, unread) in seen.unread.iter().enumerate() {
        let Some(found) = part(unread, demand, done)? else {
            continue;
        };
        let expected = model.unread(user, to, window);
        let fits = match (found, expected) {
            (Some(found), Some((least, most))) => (least..=most).contains(found),
            (found, expected) => found.is_none() && expected.is_none(),
        };
        if !fits && demand != Demand::Right {
            return Err(format!(
                "conversation {to}: {found:?} unread for {} instead of {expected:?}",
                name(user)
            ));
        }
        done.counts += 1;
    }
    Ok(())
}

fn compare_pending(
    chat: &Chat,
    seen: &Observed,
    window: Window,
    demand: Demand,
    done: &mut Compared,
) -> Result<(), String> {
    for (user, devices) in seen.pending.iter().enumerate() {
        for (device, items) in devices.iter().enumerate() {
            let of = format!("device {device} of {}", name(user));
            let Some(items) = part(items, demand, done)? else {
                continue;
            };
            if demand == Demand::Right {
                continue;
            }
            let (must, may) = chat.pending(user, device, window);
            let mut found = BTreeSet::new();
            for (place, message) in items {
                let Some(row) = may.get(place) else {
                    return Err(format!("{of} is not to get {message:?}"));
                };
                if let Some(why) = row.differs(message) {
                    return Err(format!("{of}: {why}"));
                }
                if !found.insert(*place) {
                    return Err(format!("{of} gets {place:?} twice"));
                }
            }
            let lost: Vec<_> = must.keys().filter(|at| !found.contains(*at)).collect();
            if let Some(first) = lost.first().and_then(|first| must.get(first)) {
                return Err(format!("{of} does not get {lost:?}, first {first:?}"));
            }
            done.pending += items.len() as u64;
        }
    }
    Ok(())
}

fn compare_files(
    chat: &mut Chat,
    seen: &Observed,
    window: Window,
    demand: Demand,
    done: &mut Compared,
) -> Result<(), String> {
    let Some(files) = part(&seen.files, demand, done)? else {
        return Ok(());
    };
    for found in files {
        let file = chat.files.get_mut(&found.name);
        match (file, demand) {
            (Some(file), _) => {
                if file.id.as_ref().is_some_and(|id| *id != found.id)
                    || file.len as u64 != found.len
                {
                    return Err(format!("attachment {found:?} instead of {file:?}"));
                }
                if file.id.is_none() {
                    file.id = Some(found.id.clone());
                    file.keep_until = found.keep_until;
                }
            }
            (None, Demand::Right) => {}
            (None, _) => return Err(format!("attachment {found:?} was deleted or never stored")),
        }
        if let Some(is_right) = part(&found.is_right, demand, done)? {
            if !is_right {
                return Err(format!("attachment {found:?} has wrong bytes"));
            }
            done.attachments += 1;
        }
    }
    if demand == Demand::Right {
        return Ok(());
    }
    for (name, file) in &chat.files {
        let is_there = files.iter().any(|found| found.name == *name);
        if !is_there && chat.must_have(name, file, window) {
            return Err(format!("attachment {name} {file:?} is lost"));
        }
        if is_there && !chat.may_have(name, file, window) {
            return Err(format!("attachment {name} {file:?} has expired"));
        }
    }
    Ok(())
}

fn compare_ledger(
    state: &State,
    seen: &Observed,
    window: Window,
    demand: Demand,
    done: &mut Compared,
) -> Result<(), String> {
    let Some(ledger) = part(&seen.ledger, demand, done)? else {
        return Ok(());
    };
    if demand == Demand::Right {
        return Ok(());
    }
    let (chat, people) = (&state.chat, &state.people);
    let all = chat
        .talks
        .iter()
        .flat_map(|talk| talk.messages.iter().chain(&talk.aside));
    let count =
        |is_seen: &dyn Fn(u64) -> bool| all.clone().filter(|row| is_seen(row.time)).count() as u64;
    let least = count(&|time| chat.must_see(time, window));
    let most = count(&|time| chat.may_see(time, window));
    let files = chat.files.iter();
    let files = files
        .filter(|(name, file)| chat.must_have(name, file, window))
        .count() as u64;
    let expected = [
        people.users.len(),
        people.channels[0].len(),
        people.channels[1].len(),
        people.user_bytes(),
        people.room_bytes(),
    ];
    let found = [
        ledger.users,
        ledger.groups,
        ledger.rooms,
        ledger.user_attributes,
        ledger.room_attributes,
    ];
    let fits = (least..=most).contains(&ledger.messages)
        && ledger.days == ledger.messages
        && ledger.attachments >= files
        && expected.map(|count| count as u64) == found;
    if !fits {
        return Err(format!(
            "ledger: found {ledger:?} instead of {least} to {most} messages, {files} attachments, {expected:?}"
        ));
    }
    done.ledgers += 1;
    Ok(())
}
