//! Deleting a group or chatroom, and a user's part in all of them, in steps of a bounded number of rows.
//!
//! The first step marks the row and notes in `GOING` that it goes: from then on nobody finds it, and its id is not given
//! anew. Steps may be repeated from any state; who opens the store goes on with those that the note names.

use tidestore_kv::{Rows, decode_row, each_row, page_of, row};
use tidestore_plan::{AppId, ResourceId, UserId};

use crate::ChannelKind;
use crate::channels::lists::lists_prefix;
use crate::channels::members::members_prefix;
use crate::channels::{ChannelRow, MemberRow, Role, parse_id};
use crate::directory::{Editor, Effect};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::{
    CHANNEL_LISTS, CHANNELS, CHANNELS_BY_AGE, GOING, MEMBERS, MEMBERSHIPS, key_of, name_behind,
};
use crate::users::parse_user;

/// Groups and chatrooms of all apps whose deletion has begun and not ended, at most `limit`.
///
/// # Errors
///
/// [`ErrorKind::Tables`] if they cannot be read.
pub fn going_channels(
    rows: &(impl Rows + ?Sized),
    limit: usize,
) -> Result<Vec<(AppId, ChannelKind, ResourceId)>> {
    let mut all = Vec::new();
    for (key, _) in page_of(rows, GOING, b"", None, false, limit)? {
        if let Some((app, rest)) = key.split_first_chunk::<4>()
            && let Some((kind, id)) = going(rest)?
        {
            all.push((AppId(u32::from_be_bytes(*app)), kind, id));
        }
    }
    Ok(all)
}

/// What a key of `GOING` names behind its app.
fn going(key: &[u8]) -> Result<Option<(ChannelKind, ResourceId)>> {
    let kinds = [ChannelKind::Group, ChannelKind::Room];
    let kind = kinds
        .into_iter()
        .find(|kind| key.first() == Some(&kind.byte()));
    let name = key.get(1..).and_then(|name| std::str::from_utf8(name).ok());
    match (kind, name) {
        (Some(kind), Some(name)) => Ok(Some((kind, parse_id(name)?))),
        _ => Ok(None),
    }
}

impl Editor<'_, '_> {
    /// Does a part of the deletion of a group or chatroom: about `budget` rows. Says whether all is gone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`].
    pub fn delete_channel_step(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        budget: usize,
    ) -> Result<bool> {
        self.delete_channel_within(kind, id, &mut budget.max(1))
    }

    fn delete_channel_within(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        budget: &mut usize,
    ) -> Result<bool> {
        let found = self.directory().any_channel_row(kind, id)?;
        let mut channel = found.ok_or_else(|| ErrorKind::ChannelNotFound(kind, id.clone()))?;
        let place = key_of(self.scope.app).byte(kind.byte()).name(id.as_str());
        if !channel.is_going {
            channel.is_going = true;
            self.rows.put(GOING, place.clone(), &())?;
        }
        let is_group = kind == ChannelKind::Group;
        let of_groups = !is_group
            || self.delete_threads_of(id, budget)? && self.unshare_all(id, &mut channel, budget)?;
        let done = of_groups
            && self.drop_lists(kind, id, budget)?
            && self.drop_members(kind, id, &mut channel, budget)?;
        if !done {
            self.put_channel_row(kind, id, &channel)?;
            return Ok(false);
        }
        self.rows.delete(CHANNELS, place.clone());
        self.rows.delete(GOING, place);
        let by_age = key_of(self.scope.app)
            .byte(kind.byte())
            .number(channel.serial);
        self.rows.delete(CHANNELS_BY_AGE, by_age);
        self.count(|counters| {
            let all = counters.channels(kind);
            *all = all.saturating_sub(1);
        })?;
        self.effects.push(Effect::ChannelDeleted(kind, id.clone()));
        Ok(true)
    }

    fn drop_lists(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        budget: &mut usize,
    ) -> Result<bool> {
        let prefix = lists_prefix(self.scope.app, kind, id);
        let page = page_of(
            &*self.rows,
            CHANNEL_LISTS,
            prefix.bytes(),
            None,
            false,
            *budget,
        )?;
        let done = page.len() < *budget;
        *budget = budget.saturating_sub(page.len());
        for (key, _) in page {
            self.rows.delete(CHANNEL_LISTS, key);
        }
        Ok(done)
    }

    fn drop_members(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        channel: &mut ChannelRow,
        budget: &mut usize,
    ) -> Result<bool> {
        let prefix = members_prefix(self.scope.app, kind, id);
        // A member has three rows to change.
        let most = (*budget / 3).max(1);
        let page = page_of(&*self.rows, MEMBERS, prefix.bytes(), None, false, most)?;
        let done = page.len() < most;
        *budget = budget.saturating_sub(3 * page.len());
        for (key, value) in page {
            let member: MemberRow = decode_row(MEMBERS, &key, &value)?;
            let user = parse_user(name_behind(&key, prefix.bytes()).unwrap_or_default())?;
            self.drop_member(kind, id, &user, &member)?;
            channel.members = channel.members.saturating_sub(1);
        }
        Ok(done)
    }

    /// Takes a user out of everything he belongs to and deletes what he owns, until `budget` rows are used up. Says whether
    /// nothing is left.
    pub(crate) fn abandon_channels(&mut self, user: &UserId, budget: &mut usize) -> Result<bool> {
        for kind in [ChannelKind::Group, ChannelKind::Room] {
            let prefix = key_of(self.scope.app)
                .byte(kind.byte())
                .names(user.as_str());
            loop {
                let page = page_of(&*self.rows, MEMBERSHIPS, prefix.bytes(), None, false, 1)?;
                let Some((key, value)) = page.into_iter().next() else {
                    break;
                };
                if *budget == 0 {
                    return Ok(false);
                }
                let id: String = decode_row(MEMBERSHIPS, &key, &value)?;
                if !self.abandon(kind, &parse_id(&id)?, user, budget)? {
                    return Ok(false);
                }
            }
        }
        self.finish_owned(user, budget)
    }

    /// Goes on with what the user owned and what is being deleted with him: it may have lost him as a member before its last.
    fn finish_owned(&mut self, user: &UserId, budget: &mut usize) -> Result<bool> {
        let prefix = key_of(self.scope.app);
        let mut owned = Vec::new();
        each_row(&*self.rows, GOING, prefix.bytes(), |key, _| {
            if let Some((kind, id)) = going(key.get(4..).unwrap_or_default())? {
                let channel = self.directory().any_channel_row(kind, &id)?;
                if channel.is_some_and(|channel| channel.owner == user.as_str()) {
                    owned.push((kind, id));
                }
            }
            Ok::<_, Error>(true)
        })?;
        for (kind, id) in owned {
            if *budget == 0 || !self.delete_channel_within(kind, &id, budget)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn abandon(
        &mut self,
        kind: ChannelKind,
        id: &ResourceId,
        user: &UserId,
        budget: &mut usize,
    ) -> Result<bool> {
        let found = self.directory().any_channel_row(kind, id)?;
        let mut channel = found.ok_or_else(|| ErrorKind::ChannelNotFound(kind, id.clone()))?;
        let key = members_prefix(self.scope.app, kind, id).name(user.as_str());
        let member: Option<MemberRow> = row(&*self.rows, MEMBERS, key.bytes())?;
        let member = member.ok_or_else(|| ErrorKind::NotMember(user.clone()))?;
        if member.role == Role::Owner || channel.is_going {
            return self.delete_channel_within(kind, id, budget);
        }
        *budget = budget.saturating_sub(8);
        self.part_from(kind, id, &mut channel, user, member)?;
        self.put_channel_row(kind, id, &channel)?;
        Ok(true)
    }
}
