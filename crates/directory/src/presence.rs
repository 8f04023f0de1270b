//! Presence: who wants to know of whom whether he is online, and until when.

use tidestore_disk::Millis;
use tidestore_kv::{Key, Rows, decode_row, each_row, page_of};
use tidestore_plan::{AppId, Limit, UserId};

use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{Error, Result};
use crate::tables::{SUBSCRIBERS, SUBSCRIPTIONS, USERS, key_of, name_behind};
use crate::users::{UserRow, each_once, parse_user};

/// A subscription to the presence of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Of whom.
    pub user: UserId,
    /// Until when, in milliseconds since 1970.
    pub until: Millis,
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// A page of a user's subscriptions that have not ended, by user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound), [`ErrorKind::Cursor`](crate::ErrorKind::Cursor).
    pub fn subscriptions(
        &self,
        user: &UserId,
        now: Millis,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Subscription>> {
        self.user_row(user)?;
        let prefix = key_of(self.app).names(user.as_str());
        let list = List {
            table: SUBSCRIPTIONS,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        list.page_where(self.rows, cursor, limit, |key, value| {
            let until: Millis = decode_row(SUBSCRIPTIONS, key, value)?;
            if until <= now {
                return Ok(None);
            }
            let user = parse_user(name_behind(key, prefix.bytes()).unwrap_or_default())?;
            Ok(Some(Subscription { user, until }))
        })
    }

    /// How many of a user's subscriptions have not ended. Looks at each: at most 3,000.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound).
    pub fn subscription_count(&self, user: &UserId, now: Millis) -> Result<u64> {
        self.user_row(user)?;
        let all = self.subscriptions_of(user)?;
        Ok(all.iter().filter(|one| one.until > now).count() as u64)
    }

    /// A page of those who want to know of a user's presence, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound), [`ErrorKind::Cursor`](crate::ErrorKind::Cursor).
    pub fn subscribers(
        &self,
        user: &UserId,
        now: Millis,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<UserId>> {
        self.user_row(user)?;
        let prefix = key_of(self.app).names(user.as_str());
        let list = List {
            table: SUBSCRIBERS,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        list.page_where(self.rows, cursor, limit, |key, _| {
            let subscriber = parse_user(name_behind(key, prefix.bytes()).unwrap_or_default())?;
            let until = self.until(&subscriber, user)?;
            Ok(until.filter(|until| *until > now).map(|_| subscriber))
        })
    }

    fn until(&self, subscriber: &UserId, user: &UserId) -> Result<Option<Millis>> {
        let key = pair(self.app, subscriber, user);
        Ok(tidestore_kv::row(self.rows, SUBSCRIPTIONS, key.bytes())?)
    }

    fn subscriptions_of(&self, user: &UserId) -> Result<Vec<Subscription>> {
        let prefix = key_of(self.app).names(user.as_str());
        let mut all = Vec::new();
        each_row(self.rows, SUBSCRIPTIONS, prefix.bytes(), |key, value| {
            let user = parse_user(name_behind(key, prefix.bytes()).unwrap_or_default())?;
            let until = decode_row(SUBSCRIPTIONS, key, value)?;
            all.push(Subscription { user, until });
            Ok::<_, Error>(true)
        })?;
        Ok(all)
    }

    /// Counts subscriptions again, in both directions.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if they cannot be read.
    pub(crate) fn recount_presence(&self, problems: &mut Vec<String>) -> Result<()> {
        let prefix = key_of(self.app);
        each_row(self.rows, USERS, prefix.bytes(), |key, value| {
            let id = parse_user(name_behind(key, prefix.bytes()).unwrap_or_default())?;
            let user: UserRow = decode_row(USERS, key, value)?;
            let all = self.subscriptions_of(&id)?;
            for one in &all {
                let back = pair(self.app, &one.user, &id);
                if self.rows.bytes(SUBSCRIBERS, back.bytes())?.is_none() {
                    let other = &one.user;
                    problems.push(format!(
                        "{id} has subscribed to {other}, who does not know it"
                    ));
                }
            }
            let mine = key_of(self.app).names(id.as_str());
            let mut subscribers = 0;
            each_row(self.rows, SUBSCRIBERS, mine.bytes(), |_, _| {
                subscribers += 1;
                Ok::<_, Error>(true)
            })?;
            let found = (all.len() as u64, subscribers);
            let counted = (u64::from(user.subscriptions), u64::from(user.subscribers));
            if found != counted {
                problems.push(format!(
                    "subscriptions and subscribers of {id}: {found:?}, {counted:?} are counted"
                ));
            }
            Ok::<_, Error>(true)
        })
    }
}

impl Editor<'_, '_> {
    /// Subscribes a user to the presence of others for some seconds; again means a new end. Where he has as many
    /// subscriptions as he may, the one that ends first makes room; so it is with the subscribers of one user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound) for anyone of them,
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) over 100 users or 30 days,
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument) for nobody, one twice, oneself, or no time.
    pub fn subscribe(&mut self, user: &UserId, to: &[UserId], seconds: u64) -> Result<()> {
        let limits = &self.scope.limits;
        limits.check(Limit::PresenceBatch, to.len() as u64)?;
        limits.check(Limit::PresenceSeconds, seconds)?;
        each_once(to.iter())?;
        if to.is_empty() || seconds == 0 || to.contains(user) {
            let text = "subscribe to at least one other user, for at least a second";
            return Err(Error::argument(text));
        }
        self.directory().user_row(user)?;
        let until = self.scope.now.saturating_add(seconds.saturating_mul(1_000));
        for other in to {
            self.directory().user_row(other)?;
            let key = pair(self.scope.app, user, other);
            if self.rows.bytes_of(SUBSCRIPTIONS, key.bytes())?.is_none() {
                self.make_room(user, other)?;
                let back = pair(self.scope.app, other, user);
                self.rows.put(SUBSCRIBERS, back, &())?;
                self.change_user_row(user, |row| row.subscriptions += 1)?;
                self.change_user_row(other, |row| row.subscribers += 1)?;
            }
            self.rows.put(SUBSCRIPTIONS, key, &until)?;
        }
        Ok(())
    }

    fn make_room(&mut self, user: &UserId, other: &UserId) -> Result<()> {
        let max = self.scope.limits.max(Limit::PresenceSubscriptions);
        if u64::from(self.directory().user_row(user)?.subscriptions) >= max {
            let all = self.directory().subscriptions_of(user)?;
            if let Some(first) = all.into_iter().min_by_key(|one| one.until) {
                self.end(user, &first.user)?;
            }
        }
        let max = self.scope.limits.max(Limit::PresenceSubscribers);
        if u64::from(self.directory().user_row(other)?.subscribers) >= max {
            let prefix = key_of(self.scope.app).names(other.as_str());
            let mut all = Vec::new();
            each_row(&*self.rows, SUBSCRIBERS, prefix.bytes(), |key, _| {
                let who = parse_user(name_behind(key, prefix.bytes()).unwrap_or_default())?;
                all.push((self.directory().until(&who, other)?, who));
                Ok::<_, Error>(true)
            })?;
            if let Some((_, first)) = all.into_iter().min() {
                self.end(&first, other)?;
            }
        }
        Ok(())
    }

    /// Ends subscriptions; those that are not there are fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound) for the subscriber,
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) over 100 users.
    pub fn unsubscribe(&mut self, user: &UserId, from: &[UserId]) -> Result<()> {
        self.scope
            .limits
            .check(Limit::PresenceBatch, from.len() as u64)?;
        self.directory().user_row(user)?;
        from.iter().try_for_each(|other| self.end(user, other))
    }

    fn end(&mut self, user: &UserId, other: &UserId) -> Result<()> {
        let key = pair(self.scope.app, user, other);
        if self.rows.bytes_of(SUBSCRIPTIONS, key.bytes())?.is_none() {
            return Ok(());
        }
        self.rows.delete(SUBSCRIPTIONS, key);
        self.rows
            .delete(SUBSCRIBERS, pair(self.scope.app, other, user));
        self.change_user_row(user, |row| {
            row.subscriptions = row.subscriptions.saturating_sub(1);
        })?;
        self.change_user_row(other, |row| {
            row.subscribers = row.subscribers.saturating_sub(1);
        })
    }

    /// Ends all subscriptions of a user and to him, until `budget` rows are used up. Says whether none is left.
    pub(crate) fn abandon_presence(&mut self, user: &UserId, budget: &mut usize) -> Result<bool> {
        let prefix = key_of(self.scope.app).names(user.as_str());
        let mut done = true;
        for table in [SUBSCRIPTIONS, SUBSCRIBERS] {
            let most = (*budget / 2).max(1);
            let page = page_of(&*self.rows, table, prefix.bytes(), None, false, most)?;
            done &= page.len() < most;
            *budget = budget.saturating_sub(2 * page.len());
            for (key, _) in page {
                let other = parse_user(name_behind(&key, prefix.bytes()).unwrap_or_default())?;
                if table == SUBSCRIPTIONS {
                    self.end(user, &other)?;
                } else {
                    self.end(&other, user)?;
                }
            }
        }
        Ok(done)
    }
}

fn pair(app: AppId, one: &UserId, other: &UserId) -> Key {
    key_of(app).names(one.as_str()).name(other.as_str())
}
