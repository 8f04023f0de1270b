//! Members of a group or chatroom, and its lists.

use tidestore_directory::{ChannelKind, ErrorKind as Kind, Member, MuteEnd, MuteFor, Page};
use tidestore_plan::{ResourceId, UserId};

use crate::app::App;
use crate::directory::Channels;
use crate::directory::names;
use crate::error::{Error, Result};

/// The members of one group or chatroom.
///
/// Calls for several users take at most 60 of them (100 when they are removed from a chatroom) and answer for each, in
/// order; too many, one twice, or a group or chatroom that does not exist or is banned refuse the whole call.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    app: &'a App,
    kind: ChannelKind,
    id: ResourceId,
}

impl<'a> Channels<'a> {
    /// The members of one of them.
    pub fn members(&self, id: &ResourceId) -> Members<'a> {
        Members {
            app: self.app,
            kind: self.kind,
            id: id.clone(),
        }
    }

    /// Makes a user a super admin of all chatrooms, or takes that back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is no such user, or he is none.
    pub async fn set_super_admin(&self, user: &UserId, is_super: bool) -> Result<()> {
        let user = user.clone();
        self.app
            .edit_directory(move |editor| {
                if is_super {
                    editor.add_super_admin(&user)
                } else {
                    editor.remove_super_admin(&user)
                }
            })
            .await
    }

    /// Whether a user is a super admin of all chatrooms.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the tables failed.
    pub async fn is_super_admin(&self, user: &UserId) -> Result<bool> {
        let user = user.clone();
        self.app
            .look_up(move |directory| directory.is_super_admin(&user))
            .await
    }

    /// A page of super admins of chatrooms, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the cursor is not of this list.
    pub async fn super_admins(&self, cursor: Option<&str>, limit: usize) -> Result<Page<UserId>> {
        let cursor = cursor.map(str::to_owned);
        self.app
            .look_up(move |directory| directory.super_admins(cursor.as_deref(), limit))
            .await
    }
}

/// What each of several users is answered.
type Each<T> = Vec<Result<T>>;

fn each<T>(answers: Vec<tidestore_directory::Result<T>>) -> Each<T> {
    let answers = answers.into_iter();
    answers.map(|answer| answer.map_err(Error::from)).collect()
}

impl Members<'_> {
    /// Adds a member. Somebody on the block list is taken off it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if he does not exist or is in it already;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if there is no place, or he may join no more.
    pub async fn add(&self, user: &UserId) -> Result<()> {
        let (kind, id, user) = (self.kind, self.id.clone(), user.clone());
        self.app
            .edit_directory(move |editor| editor.add_member(kind, &id, &user))
            .await
    }

    /// Adds several members.
    ///
    /// # Errors
    ///
    /// See [`Members`]; each answer as [`add`](Self::add).
    pub async fn add_many(&self, users: &[UserId]) -> Result<Each<()>> {
        let (kind, id, users) = (self.kind, self.id.clone(), names(users)?);
        self.app
            .edit_directory(move |editor| editor.add_members(kind, &id, &users))
            .await
            .map(each)
    }

    /// Adds several members, but nobody who is on the block list: for those who may not take him off it. Decided where
    /// blocks are written, so a block that was acknowledged before this call holds.
    ///
    /// # Errors
    ///
    /// As [`add_many`](Self::add_many).
    pub async fn admit(&self, users: &[UserId]) -> Result<Each<()>> {
        let (kind, id, users) = (self.kind, self.id.clone(), names(users)?);
        self.app
            .edit_directory(move |editor| editor.admit_members(kind, &id, &users))
            .await
            .map(each)
    }

    /// Removes a member. What he set as attributes of a chatroom goes with him, if he wanted so.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if he is not in it, or the owner.
    pub async fn remove(&self, user: &UserId) -> Result<()> {
        let (kind, id, user) = (self.kind, self.id.clone(), user.clone());
        self.app
            .edit_directory(move |editor| editor.remove_member(kind, &id, &user))
            .await
    }

    /// Removes several members.
    ///
    /// # Errors
    ///
    /// See [`Members`]; each answer as [`remove`](Self::remove).
    pub async fn remove_many(&self, users: &[UserId]) -> Result<Each<()>> {
        let (kind, id, users) = (self.kind, self.id.clone(), names(users)?);
        self.app
            .edit_directory(move |editor| editor.remove_members(kind, &id, &users))
            .await
            .map(each)
    }

    /// A page of members, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is no such group or chatroom, or the cursor is not of
    /// this list; so with all lists below.
    pub async fn list(&self, cursor: Option<&str>, limit: usize) -> Result<Page<Member>> {
        let (kind, id, cursor) = (self.kind, self.id.clone(), cursor.map(str::to_owned));
        self.app
            .look_up(move |directory| directory.members(kind, &id, cursor.as_deref(), limit))
            .await
    }

    /// Finds a member.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if he is not in it.
    pub async fn get(&self, user: &UserId) -> Result<Member> {
        let (kind, id, user) = (self.kind, self.id.clone(), user.clone());
        self.app
            .look_up(move |directory| directory.member(kind, &id, &user))
            .await
    }

    /// Finds a member; `None` for somebody who is not in it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is no such group or chatroom.
    pub async fn find(&self, user: &UserId) -> Result<Option<Member>> {
        let (kind, id, user) = (self.kind, self.id.clone(), user.clone());
        self.app
            .look_up(move |directory| match directory.member(kind, &id, &user) {
                Err(error) if matches!(error.kind(), Kind::NotMember(_)) => Ok(None),
                found => found.map(Some),
            })
            .await
    }

    /// Makes a member an admin, at most 99 beside the owner; or an admin a member.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if he is not in it, the owner, or no admin;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit).
    pub async fn set_admin(&self, user: &UserId, is_admin: bool) -> Result<()> {
        let (kind, id, user) = (self.kind, self.id.clone(), user.clone());
        self.app
            .edit_directory(move |editor| {
                if is_admin {
                    editor.add_admin(kind, &id, &user)
                } else {
                    editor.remove_admin(kind, &id, &user)
                }
            })
            .await
    }

    /// A page of admins, by id; the owner is none.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn admins(&self, cursor: Option<&str>, limit: usize) -> Result<Page<UserId>> {
        let (kind, id, cursor) = (self.kind, self.id.clone(), cursor.map(str::to_owned));
        self.app
            .look_up(move |directory| directory.admins(kind, &id, cursor.as_deref(), limit))
            .await
    }

    /// Mutes members, or lifts that; answers until when.
    ///
    /// # Errors
    ///
    /// See [`Members`]; each answer [`ErrorKind::Directory`](crate::ErrorKind::Directory) if he is not in it, or the owner.
    pub async fn mute(&self, users: &[UserId], how: MuteFor) -> Result<Each<Option<MuteEnd>>> {
        let (kind, id, users) = (self.kind, self.id.clone(), names(users)?);
        self.app
            .edit_directory(move |editor| editor.mute_members(kind, &id, &users, how))
            .await
            .map(each)
    }

    /// A page of members who are muted now, by id, and until when.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn muted(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<(UserId, MuteEnd)>> {
        let (kind, id, cursor) = (self.kind, self.id.clone(), cursor.map(str::to_owned));
        let now = self.app.now();
        self.app
            .look_up(move |directory| {
                directory.muted_members(kind, &id, now, cursor.as_deref(), limit)
            })
            .await
    }

    /// Puts members on the block list, by which they leave.
    ///
    /// # Errors
    ///
    /// As [`remove_many`](Self::remove_many).
    pub async fn block(&self, users: &[UserId]) -> Result<Each<()>> {
        let (kind, id, users) = (self.kind, self.id.clone(), names(users)?);
        self.app
            .edit_directory(move |editor| editor.block_members(kind, &id, &users))
            .await
            .map(each)
    }

    /// Takes users off the block list. They do not come back by that.
    ///
    /// # Errors
    ///
    /// See [`Members`]; each answer [`ErrorKind::Directory`](crate::ErrorKind::Directory) if he is not on it.
    pub async fn unblock(&self, users: &[UserId]) -> Result<Each<()>> {
        let (kind, id, users) = (self.kind, self.id.clone(), names(users)?);
        self.app
            .edit_directory(move |editor| editor.unblock_members(kind, &id, &users))
            .await
            .map(each)
    }

    /// A page of the block list, by id.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn blocked(&self, cursor: Option<&str>, limit: usize) -> Result<Page<UserId>> {
        let (kind, id, cursor) = (self.kind, self.id.clone(), cursor.map(str::to_owned));
        self.app
            .look_up(move |directory| {
                directory.blocked_members(kind, &id, cursor.as_deref(), limit)
            })
            .await
    }

    /// Whether a user is on the block list; `false` also if there is no such group or chatroom.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the tables failed.
    pub async fn is_blocked(&self, user: &UserId) -> Result<bool> {
        let (kind, id, user) = (self.kind, self.id.clone(), user.clone());
        self.app
            .look_up(move |directory| directory.is_blocked(kind, &id, &user))
            .await
    }

    /// Puts members on the allow list, so that they may speak although they or all are muted, or takes them off.
    ///
    /// # Errors
    ///
    /// See [`Members`]; each answer [`ErrorKind::Directory`](crate::ErrorKind::Directory) if he is not in it, or not on it.
    pub async fn allow(&self, users: &[UserId], is_allowed: bool) -> Result<Each<()>> {
        let (kind, id, users) = (self.kind, self.id.clone(), names(users)?);
        self.app
            .edit_directory(move |editor| editor.allow_members(kind, &id, &users, is_allowed))
            .await
            .map(each)
    }

    /// A page of the allow list, by id.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn allowed(&self, cursor: Option<&str>, limit: usize) -> Result<Page<UserId>> {
        let (kind, id, cursor) = (self.kind, self.id.clone(), cursor.map(str::to_owned));
        self.app
            .look_up(move |directory| {
                directory.allowed_members(kind, &id, cursor.as_deref(), limit)
            })
            .await
    }
}
