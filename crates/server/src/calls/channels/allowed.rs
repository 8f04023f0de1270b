//! Allow lists: rows 70 to 73 and 105 to 108.

use super::kind::{id, members};
use super::outcome::{Deed, each};
use super::{Kind, Usernames, admins};
use crate::answer::Answer;
use crate::call::Call;
use crate::pages::slice;
use crate::refusal::Result;

pub(super) async fn list<K: Kind>(call: Call) -> Result<Answer> {
    let members = &members::<K>(&call)?;
    let allowed = slice(0, usize::MAX, |cursor, limit| async move {
        members.allowed(cursor.as_deref(), limit).await
    });
    admins::names(&allowed.await?)
}

fn deed<K: Kind>(call: &Call, action: &'static str) -> Result<Deed> {
    let place = K::place_of_list(&id::<K>(call)?);
    Ok(Deed { action, place })
}

const ADD: &str = "add_user_whitelist";

pub(super) async fn add<K: Kind>(call: Call) -> Result<Answer> {
    let user = call.user_in("username")?;
    let one = vec![user.clone()];
    let done = members::<K>(&call)?.allow(&one, true).await?;
    each(one, done)?;
    deed::<K>(&call, ADD)?.one(&user)
}

pub(super) async fn add_many<K: Kind>(mut call: Call) -> Result<Answer> {
    let users = call.json::<Usernames>().await?.checked(call.limits())?;
    let done = members::<K>(&call)?.allow(&users, true).await?;
    deed::<K>(&call, ADD)?.many(users, done)
}

/// Answers a list for one user too, as the service does here.
pub(super) async fn remove<K: Kind>(call: Call) -> Result<Answer> {
    let users = call.users_in("username")?;
    let done = members::<K>(&call)?.allow(&users, false).await?;
    deed::<K>(&call, "remove_user_whitelist")?.many(users, done)
}
