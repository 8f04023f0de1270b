//! Members: rows 56 to 60 and 92 to 96.

use schemars::JsonSchema;
use serde::Serialize;
use tidestore::plan::UserId;
use tidestore::{ChannelKind, Member, Role};

use super::kind::{Place, all, id, members};
use super::outcome::{Deed, each};
use super::{Kind, Usernames};
use crate::answer::Answer;
use crate::auth::Access;
use crate::call::Call;
use crate::pages::{ByNumber, slice};
use crate::refusal::{Refusal, Result};

/// A member, by what he is; admins are members here.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Affiliation {
    Owner(String),
    Member(String),
}

impl Affiliation {
    pub(super) fn of(member: &Member) -> Self {
        let user = member.user.as_str().to_owned();
        match member.role {
            Role::Owner => Self::Owner(user),
            Role::Admin | Role::Member => Self::Member(user),
        }
    }
}

/// Who was added.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Added {
    newmembers: Vec<String>,
    action: &'static str,
    #[serde(flatten)]
    place: Place,
}

const ADD: &str = "add_member";

pub(super) async fn list<K: Kind>(call: Call) -> Result<Answer> {
    let mut asked: ByNumber = call.query()?;
    // The service takes 0 as a size of pages of chatrooms, which says nothing.
    asked.pagesize = asked.pagesize.filter(|size| *size != 0);
    let size = asked.size(K::MEMBERS, call.limits().max(K::MEMBER_PAGE))?;
    let skip = asked.number()?.saturating_mul(size);
    let members = &members::<K>(&call)?;
    let found = slice(skip, size, |cursor, limit| async move {
        members.list(cursor.as_deref(), limit).await
    });
    let found: Vec<_> = found.await?.iter().map(Affiliation::of).collect();
    Answer::list(&found)
}

/// Refuses a user's token where he may not add these users: owner and admins may, members where they may invite, and
/// whoever wants to join himself where that is open.
async fn may_add<K: Kind>(call: &Call, users: &[UserId]) -> Result<()> {
    let Some(caller) = call.caller_user() else {
        return Ok(());
    };
    let channel = all::<K>(call).get(&id::<K>(call)?).await?;
    let members = members::<K>(call)?;
    let is_himself = users.iter().all(|user| user == caller);
    let is_open = channel.is_public && !channel.members_only;
    let may = match members.find(caller).await?.map(|member| member.role) {
        Some(Role::Owner | Role::Admin) => true,
        // Who is in it and joins again is told so.
        Some(Role::Member) if channel.allow_invites || is_himself => true,
        None if is_himself && (is_open || K::KIND == ChannelKind::Room) => true,
        _ => K::KIND == ChannelKind::Room && call.app.rooms().is_super_admin(caller).await?,
    };
    if !may {
        return Err(Refusal::forbidden("the user may not add members"));
    }
    Ok(())
}

/// Adds whom the caller may add. Only the app lets somebody in who is blocked.
async fn admit<K: Kind>(call: &Call, users: &[UserId]) -> Result<Vec<tidestore::Result<()>>> {
    may_add::<K>(call, users).await?;
    let members = members::<K>(call)?;
    let done = if call.caller_user().is_some() {
        members.admit(users).await
    } else {
        members.add_many(users).await
    };
    Ok(done?)
}

pub(super) async fn add<K: Kind>(call: Call) -> Result<Answer> {
    let user = call.user_in("username")?;
    let one = vec![user.clone()];
    let done = admit::<K>(&call, &one).await?;
    each(one, done)?;
    deed::<K>(&call, ADD)?.one(&user)
}

fn deed<K: Kind>(call: &Call, action: &'static str) -> Result<Deed> {
    let place = K::place(&id::<K>(call)?);
    Ok(Deed { action, place })
}

pub(super) async fn add_many<K: Kind>(mut call: Call) -> Result<Answer> {
    let users = call.json::<Usernames>().await?.checked(call.limits())?;
    let done = admit::<K>(&call, &users).await?;
    let added = each(users, done)?.into_iter();
    let added = added.filter(|(_, done)| done.is_ok());
    Answer::data(&Added {
        newmembers: added.map(|(user, _)| user.as_str().to_owned()).collect(),
        action: ADD,
        place: K::place(&id::<K>(&call)?),
    })
}

/// Whoever removes himself leaves; others are for owner and admins to remove.
pub(super) async fn remove<K: Kind>(call: Call) -> Result<Answer> {
    let is_list = call.param("username")?.contains(',');
    let users = call.users_in("username")?;
    let is_himself = call
        .caller_user()
        .is_some_and(|caller| users.iter().all(|user| user == caller));
    if !is_himself {
        Access::Admin.check(&call).await?;
    }
    let done = members::<K>(&call)?.remove_many(&users).await?;
    deed::<K>(&call, "remove_member")?.as_named(is_list, users, done)
}
