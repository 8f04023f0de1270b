//! Threads inside groups.

use tidestore_disk::Millis;
use tidestore_kv::{Key, Rows, decode_row, page_of, row};
use tidestore_plan::{AppId, Limit, ResourceId, UserId};

use crate::ChannelKind;
use crate::channels::parse_id;
use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor, Effect};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::{
    GROUP_THREADS, THREAD_MEMBERS, THREAD_PARENTS, THREADS, THREADS_BY_AGE, THREADSHIPS, key_of,
    name_behind,
};
use crate::users::{each_once, parse_user};

/// A thread as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct ThreadRow {
    serial: u64,
    group: String,
    name: String,
    owner: String,
    parent: u64,
    created: Millis,
    members: u32,
}

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The id.
    pub id: ResourceId,
    /// The group that it is in.
    pub group: ResourceId,
    /// What people call it.
    pub name: String,
    /// Who created it.
    pub owner: UserId,
    /// The id of the message that it is about.
    pub parent: u64,
    /// When it was created.
    pub created: Millis,
    /// How many users are in it.
    pub members: u64,
}

/// A thread to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewThread {
    /// The id; free in the app.
    pub id: ResourceId,
    /// The group.
    pub group: ResourceId,
    /// What people call it, at most 64 characters.
    pub name: String,
    /// Who creates it; a member of the group.
    pub owner: UserId,
    /// The id of the message that it is about; each has one thread at most.
    pub parent: u64,
}

impl ThreadRow {
    fn thread(self, id: ResourceId) -> Result<Thread> {
        Ok(Thread {
            id,
            group: parse_id(&self.group)?,
            name: self.name,
            owner: parse_user(&self.owner)?,
            parent: self.parent,
            created: self.created,
            members: self.members.into(),
        })
    }
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Finds a thread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadNotFound`].
    pub fn thread(&self, id: &ResourceId) -> Result<Thread> {
        self.thread_row(id)?.thread(id.clone())
    }

    /// The thread about a message, if there is one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`] if that cannot be read.
    pub fn thread_of(&self, parent: u64) -> Result<Option<ResourceId>> {
        let key = key_of(self.app).number(parent);
        let id: Option<String> = row(self.rows, THREAD_PARENTS, key.bytes())?;
        id.map(|id| parse_id(&id)).transpose()
    }

    fn thread_row(&self, id: &ResourceId) -> Result<ThreadRow> {
        let key = key_of(self.app).name(id.as_str());
        let found: Option<ThreadRow> = row(self.rows, THREADS, key.bytes())?;
        found.ok_or_else(|| ErrorKind::ThreadNotFound(id.clone()).into())
    }

    /// Whether a user is in a thread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`] if that cannot be read.
    pub fn is_in_thread(&self, id: &ResourceId, user: &UserId) -> Result<bool> {
        let key = thread_member(self.app, id, user);
        Ok(self.rows.bytes(THREAD_MEMBERS, key.bytes())?.is_some())
    }

    /// A page of all threads, by creation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cursor`].
    pub fn threads(
        &self,
        newest_first: bool,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Thread>> {
        let prefix = key_of(self.app);
        let list = List {
            table: THREADS_BY_AGE,
            prefix: prefix.bytes(),
            newest_first,
        };
        self.threads_in(list, cursor, limit, |_| true)
    }

    /// A page of the threads of a group, by creation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::Cursor`].
    pub fn group_threads(
        &self,
        group: &ResourceId,
        newest_first: bool,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Thread>> {
        self.channel_row(ChannelKind::Group, group)?;
        let prefix = key_of(self.app).names(group.as_str());
        let list = List {
            table: GROUP_THREADS,
            prefix: prefix.bytes(),
            newest_first,
        };
        self.threads_in(list, cursor, limit, |_| true)
    }

    /// A page of the threads that a user has joined, by joining; all, or those of one group.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`], [`ErrorKind::Cursor`].
    pub fn threads_joined(
        &self,
        user: &UserId,
        group: Option<&ResourceId>,
        newest_first: bool,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Thread>> {
        self.user_row(user)?;
        let prefix = key_of(self.app).names(user.as_str());
        let list = List {
            table: THREADSHIPS,
            prefix: prefix.bytes(),
            newest_first,
        };
        let in_group = |thread: &Thread| group.is_none_or(|group| *group == thread.group);
        self.threads_in(list, cursor, limit, in_group)
    }

    /// The ids of all threads that a user is in, without looking at them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`] if they cannot be read.
    pub fn thread_ids(&self, user: &UserId) -> Result<Vec<ResourceId>> {
        let prefix = key_of(self.app).names(user.as_str());
        crate::channels::ids_in(self.rows, THREADSHIPS, prefix.bytes())
    }

    fn threads_in(
        &self,
        list: List<'_>,
        cursor: Option<&str>,
        limit: usize,
        keep: impl Fn(&Thread) -> bool,
    ) -> Result<Page<Thread>> {
        list.page_where(self.rows, cursor, limit, |key, value| {
            let id: String = decode_row(list.table, key, value)?;
            Ok(Some(self.thread(&parse_id(&id)?)?).filter(&keep))
        })
    }

    /// A page of those who are in a thread, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadNotFound`], [`ErrorKind::Cursor`].
    pub fn thread_members(
        &self,
        id: &ResourceId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<UserId>> {
        self.thread_row(id)?;
        let prefix = key_of(self.app).names(id.as_str());
        let list = List {
            table: THREAD_MEMBERS,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        list.page(self.rows, cursor, limit)?
            .try_map(|(key, _)| parse_user(name_behind(&key, prefix.bytes()).unwrap_or_default()))
    }

    /// Counts threads again and compares all directions of their indexes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`] if they cannot be read.
    pub(crate) fn recount_threads(&self, problems: &mut Vec<String>) -> Result<()> {
        let prefix = key_of(self.app);
        let mut threads = 0;
        tidestore_kv::each_row(self.rows, THREADS, prefix.bytes(), |key, value| {
            threads += 1;
            let name = name_behind(key, prefix.bytes()).unwrap_or_default();
            let id = parse_id(name)?;
            let thread: ThreadRow = decode_row(THREADS, key, value)?;
            let places = [
                (THREADS_BY_AGE, key_of(self.app).number(thread.serial)),
                (GROUP_THREADS, group_thread(self.app, &thread)),
                (THREAD_PARENTS, key_of(self.app).number(thread.parent)),
            ];
            for (table, place) in places {
                let named: Option<String> = row(self.rows, table, place.bytes())?;
                if named.as_deref() != Some(name) {
                    problems.push(format!("thread {id} is missing in table {table}"));
                }
            }
            self.recount_thread_members(&id, &thread, problems)?;
            Ok::<_, Error>(true)
        })?;
        let counted = self.counters()?.threads;
        if threads != counted {
            problems.push(format!(
                "there are {threads} threads, {counted} are counted"
            ));
        }
        Ok(())
    }

    fn recount_thread_members(
        &self,
        id: &ResourceId,
        thread: &ThreadRow,
        problems: &mut Vec<String>,
    ) -> Result<()> {
        let (prefix, group) = (
            key_of(self.app).names(id.as_str()),
            parse_id(&thread.group)?,
        );
        let mut members = 0;
        tidestore_kv::each_row(self.rows, THREAD_MEMBERS, prefix.bytes(), |key, value| {
            members += 1;
            let user = parse_user(name_behind(key, prefix.bytes()).unwrap_or_default())?;
            let serial: u64 = decode_row(THREAD_MEMBERS, key, value)?;
            let back = threadship(self.app, &user, serial);
            if self.rows.bytes(THREADSHIPS, back.bytes())?.is_none() {
                problems.push(format!("{user} is in thread {id} and does not know it"));
            }
            if !self.is_member(ChannelKind::Group, &group, &user)? {
                problems.push(format!("{user} is in thread {id} and not in its group"));
            }
            Ok::<_, Error>(true)
        })?;
        if members != thread.members {
            let counted = thread.members;
            problems.push(format!(
                "thread {id} has {members} members, {counted} are counted"
            ));
        }
        Ok(())
    }
}

impl Editor<'_, '_> {
    /// Creates a thread, with its owner in it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ChannelNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::NotMember`],
    /// [`ErrorKind::ThreadExists`] if the message has one or the id is taken, [`ErrorKind::Limit`].
    pub fn create_thread(&mut self, new: NewThread) -> Result<Thread> {
        let NewThread {
            id,
            group,
            name,
            owner,
            parent,
        } = new;
        self.scope.limits.check_text(Limit::ThreadName, &name)?;
        self.open_channel(ChannelKind::Group, &group)?;
        self.directory().user_row(&owner)?;
        self.directory()
            .member_row(ChannelKind::Group, &group, &owner)?;
        if let Some(taken) = self.directory().thread_of(parent)? {
            return Err(ErrorKind::ThreadExists(taken).into());
        }
        let place = key_of(self.scope.app).name(id.as_str());
        if self.rows.bytes_of(THREADS, place.bytes())?.is_some() {
            return Err(ErrorKind::ThreadExists(id).into());
        }
        let would_be = self.directory().counters()?.threads + 1;
        self.scope.limits.check(Limit::Threads, would_be)?;
        let serial = self.count(|counters| {
            counters.threads += 1;
            counters.next_serial()
        })?;
        let thread = ThreadRow {
            serial,
            group: group.as_str().to_owned(),
            name,
            owner: owner.as_str().to_owned(),
            parent,
            created: self.scope.now,
            members: 0,
        };
        let text = id.as_str().to_owned();
        let app = self.scope.app;
        self.rows
            .put(THREADS_BY_AGE, key_of(app).number(serial), &text)?;
        self.rows
            .put(GROUP_THREADS, group_thread(app, &thread), &text)?;
        self.rows
            .put(THREAD_PARENTS, key_of(app).number(parent), &text)?;
        self.put_thread_row(&id, &thread)?;
        self.join_one(&id, &owner)?;
        self.directory().thread(&id)
    }

    /// Gives a thread another name, at most 64 characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::Limit`].
    pub fn rename_thread(&mut self, id: &ResourceId, name: &str) -> Result<()> {
        self.scope.limits.check_text(Limit::ThreadName, name)?;
        let mut thread = self.open_thread(id)?;
        name.clone_into(&mut thread.name);
        self.put_thread_row(id, &thread)
    }

    /// Deletes a thread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadNotFound`], [`ErrorKind::ChannelDisabled`].
    pub fn delete_thread(&mut self, id: &ResourceId) -> Result<()> {
        self.open_thread(id)?;
        let mut unbounded = usize::MAX;
        self.delete_thread_within(id, &mut unbounded).map(drop)
    }

    /// Lets up to 10 members of the thread's group join, and says of each how it went.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ThreadNotFound`], [`ErrorKind::ChannelDisabled`], [`ErrorKind::Limit`] over 10,
    /// [`ErrorKind::Argument`] for one twice; nobody joined.
    pub fn join_thread(&mut self, id: &ResourceId, users: &[UserId]) -> Result<Vec<Result<()>>> {
        self.each_in_thread(id, users, |editor, user| editor.join_one(id, user))
    }

    /// Lets up to 10 users leave, and says of each how it went.
    ///
    /// # Errors
    ///
    /// As [`join_thread`](Self::join_thread).
    pub fn leave_thread(&mut self, id: &ResourceId, users: &[UserId]) -> Result<Vec<Result<()>>> {
        self.each_in_thread(id, users, |editor, user| editor.leave_one(id, user))
    }

    fn each_in_thread(
        &mut self,
        id: &ResourceId,
        users: &[UserId],
        change: impl Fn(&mut Editor<'_, '_>, &UserId) -> Result<()>,
    ) -> Result<Vec<Result<()>>> {
        self.scope
            .limits
            .check(Limit::ThreadBatch, users.len() as u64)?;
        each_once(users.iter())?;
        self.open_thread(id)?;
        let one = |user| self.attempt(|editor| change(editor, user));
        Ok(users.iter().map(one).collect())
    }

    fn join_one(&mut self, id: &ResourceId, user: &UserId) -> Result<()> {
        let mut thread = self.directory().thread_row(id)?;
        let group = parse_id(&thread.group)?;
        self.directory().user_row(user)?;
        self.directory()
            .member_row(ChannelKind::Group, &group, user)?;
        if self.directory().is_in_thread(id, user)? {
            return Err(ErrorKind::AlreadyMember(user.clone()).into());
        }
        let serial = self.next_serial()?;
        let app = self.scope.app;
        self.rows
            .put(THREAD_MEMBERS, thread_member(app, id, user), &serial)?;
        let text = id.as_str().to_owned();
        self.rows
            .put(THREADSHIPS, threadship(app, user, serial), &text)?;
        thread.members += 1;
        self.put_thread_row(id, &thread)
    }

    fn leave_one(&mut self, id: &ResourceId, user: &UserId) -> Result<()> {
        let mut thread = self.directory().thread_row(id)?;
        let key = thread_member(self.scope.app, id, user);
        let serial: Option<u64> = self.rows.get(THREAD_MEMBERS, key.bytes())?;
        let serial = serial.ok_or_else(|| ErrorKind::NotMember(user.clone()))?;
        self.rows.delete(THREAD_MEMBERS, key);
        let back = threadship(self.scope.app, user, serial);
        self.rows.delete(THREADSHIPS, back);
        thread.members = thread.members.saturating_sub(1);
        self.put_thread_row(id, &thread)
    }

    /// Lets a user leave all threads of a group.
    pub(crate) fn leave_threads_of(&mut self, group: &ResourceId, user: &UserId) -> Result<()> {
        let prefix = key_of(self.scope.app).names(user.as_str());
        let mut joined = Vec::new();
        tidestore_kv::each_row(&*self.rows, THREADSHIPS, prefix.bytes(), |key, value| {
            joined.push(decode_row::<String>(THREADSHIPS, key, value)?);
            Ok::<_, Error>(true)
        })?;
        for id in joined {
            let id = parse_id(&id)?;
            if self.directory().thread_row(&id)?.group == group.as_str() {
                self.leave_one(&id, user)?;
            }
        }
        Ok(())
    }

    /// Deletes threads of a group until `budget` rows are used up. Says whether none is left.
    pub(crate) fn delete_threads_of(
        &mut self,
        group: &ResourceId,
        budget: &mut usize,
    ) -> Result<bool> {
        let prefix = key_of(self.scope.app).names(group.as_str());
        loop {
            let page = page_of(&*self.rows, GROUP_THREADS, prefix.bytes(), None, false, 1)?;
            let Some((key, value)) = page.into_iter().next() else {
                return Ok(true);
            };
            let id: String = decode_row(GROUP_THREADS, &key, &value)?;
            if *budget == 0 || !self.delete_thread_within(&parse_id(&id)?, budget)? {
                return Ok(false);
            }
        }
    }

    fn delete_thread_within(&mut self, id: &ResourceId, budget: &mut usize) -> Result<bool> {
        let mut thread = self.directory().thread_row(id)?;
        let prefix = key_of(self.scope.app).names(id.as_str());
        let most = (*budget / 2).clamp(1, 1 << 20);
        let page = page_of(
            &*self.rows,
            THREAD_MEMBERS,
            prefix.bytes(),
            None,
            false,
            most,
        )?;
        let done = page.len() < most;
        *budget = budget.saturating_sub(2 * page.len() + 4);
        for (key, value) in page {
            let user = parse_user(name_behind(&key, prefix.bytes()).unwrap_or_default())?;
            let serial: u64 = decode_row(THREAD_MEMBERS, &key, &value)?;
            self.rows.delete(THREAD_MEMBERS, key);
            let back = threadship(self.scope.app, &user, serial);
            self.rows.delete(THREADSHIPS, back);
            thread.members = thread.members.saturating_sub(1);
        }
        if !done {
            self.put_thread_row(id, &thread)?;
            return Ok(false);
        }
        let app = self.scope.app;
        self.rows.delete(THREADS, key_of(app).name(id.as_str()));
        self.rows
            .delete(THREADS_BY_AGE, key_of(app).number(thread.serial));
        self.rows.delete(GROUP_THREADS, group_thread(app, &thread));
        self.rows
            .delete(THREAD_PARENTS, key_of(app).number(thread.parent));
        self.count(|counters| counters.threads = counters.threads.saturating_sub(1))?;
        self.effects.push(Effect::ThreadDeleted(id.clone()));
        Ok(true)
    }

    /// The row of a thread that may be changed: its group is not banned.
    fn open_thread(&self, id: &ResourceId) -> Result<ThreadRow> {
        let thread = self.directory().thread_row(id)?;
        self.open_channel(ChannelKind::Group, &parse_id(&thread.group)?)?;
        Ok(thread)
    }

    fn put_thread_row(&mut self, id: &ResourceId, thread: &ThreadRow) -> Result<()> {
        let key = key_of(self.scope.app).name(id.as_str());
        Ok(self.rows.put(THREADS, key, thread)?)
    }
}

fn group_thread(app: AppId, thread: &ThreadRow) -> Key {
    key_of(app).names(&thread.group).number(thread.serial)
}

fn thread_member(app: AppId, id: &ResourceId, user: &UserId) -> Key {
    key_of(app).names(id.as_str()).name(user.as_str())
}

fn threadship(app: AppId, user: &UserId, serial: u64) -> Key {
    key_of(app).names(user.as_str()).number(serial)
}
