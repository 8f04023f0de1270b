//! Block lists: rows 65 to 69 and 100 to 104.

use schemars::JsonSchema;
use serde::Deserialize;
use tidestore::plan::Limit;

use super::kind::{id, members};
use super::outcome::{Deed, each};
use super::{Kind, Usernames, admins};
use crate::answer::Answer;
use crate::call::Call;
use crate::lenient;
use crate::pages::{size, slice};
use crate::refusal::Result;

/// Without either the whole list is answered.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Paging {
    #[serde(alias = "pagesize", deserialize_with = "lenient::number")]
    #[schemars(range(min = 1))]
    page_size: Option<i64>,
    /// What the page before answered.
    #[serde(deserialize_with = "lenient::text")]
    cursor: Option<String>,
}

pub(super) async fn list<K: Kind>(call: Call) -> Result<Answer> {
    let asked: Paging = call.query()?;
    let members = &members::<K>(&call)?;
    if asked.page_size.is_some() || asked.cursor.is_some() {
        let max = call.limits().max(Limit::GroupBlockPage);
        let size = size(asked.page_size, 10, max, "pageSize")?;
        let page = members.blocked(asked.cursor.as_deref(), size).await?;
        return Ok(admins::names(&page.items)?.cursor(page.next));
    }
    let blocked = slice(0, usize::MAX, |cursor, limit| async move {
        members.blocked(cursor.as_deref(), limit).await
    });
    admins::names(&blocked.await?)
}

fn deed<K: Kind>(call: &Call, action: &'static str) -> Result<Deed> {
    let place = K::place_of_list(&id::<K>(call)?);
    Ok(Deed { action, place })
}

const ADD: &str = "add_blocks";

pub(super) async fn add<K: Kind>(call: Call) -> Result<Answer> {
    let user = call.user_in("username")?;
    let one = vec![user.clone()];
    let done = members::<K>(&call)?.block(&one).await?;
    each(one, done)?;
    deed::<K>(&call, ADD)?.one(&user)
}

pub(super) async fn add_many<K: Kind>(mut call: Call) -> Result<Answer> {
    let users = call.json::<Usernames>().await?.checked(call.limits())?;
    let done = members::<K>(&call)?.block(&users).await?;
    deed::<K>(&call, ADD)?.many(users, done)
}

pub(super) async fn remove<K: Kind>(call: Call) -> Result<Answer> {
    let is_list = call.param("username")?.contains(',');
    let users = call.users_in("username")?;
    let done = members::<K>(&call)?.unblock(&users).await?;
    deed::<K>(&call, "remove_blocks")?.as_named(is_list, users, done)
}
