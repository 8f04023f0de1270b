//! Contacts and block lists of users: rows 31 to 36.

use schemars::JsonSchema;
use serde::Deserialize;
use tidestore::plan::Limit;

use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, required, users as ids};
use crate::entities::UserEntity;
use crate::lenient;
use crate::pages::{size, slice};
use crate::refusal::Result;
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(31, Access::Own, add).entities::<UserEntity>(),
        Route::new(32, Access::Own, remove).entities::<UserEntity>(),
        Route::new(33, Access::Own, list).data::<Vec<String>>(),
        Route::new(34, Access::Own, blocked)
            .query::<BlockPage>()
            .data::<Vec<String>>(),
        Route::new(35, Access::Own, block)
            .body::<Usernames>()
            .data::<Vec<String>>(),
        Route::new(36, Access::Own, unblock).entities::<UserEntity>(),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Usernames {
    #[serde(deserialize_with = "lenient::names")]
    usernames: Option<Vec<String>>,
}

/// Without a size, the whole list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct BlockPage {
    #[serde(rename = "pageSize", deserialize_with = "lenient::number")]
    page_size: Option<i64>,
    #[serde(deserialize_with = "lenient::text")]
    cursor: Option<String>,
}

async fn add(call: Call) -> Result<Answer> {
    let (user, friend) = (call.user()?, call.user_in("friend_username")?);
    call.app.contacts(&user).add(&friend).await?;
    let friend = call.app.users().get(&friend).await?;
    Answer::entities(&[UserEntity::of(&friend)])
}

async fn remove(call: Call) -> Result<Answer> {
    let (user, friend) = (call.user()?, call.user_in("friend_username")?);
    let friend = call.app.users().get(&friend).await?;
    call.app.contacts(&user).remove(&friend.id).await?;
    Answer::entities(&[UserEntity::of(&friend)])
}

/// All of them: the service has no pages here.
async fn list(call: Call) -> Result<Answer> {
    let contacts = call.app.contacts(&call.user()?);
    let all = slice(0, usize::MAX, |cursor, limit| {
        let contacts = contacts.clone();
        async move { contacts.list(cursor.as_deref(), limit).await }
    });
    let all: Vec<_> = all
        .await?
        .into_iter()
        .map(|contact| contact.friend.to_string())
        .collect();
    Answer::list(&all)
}

async fn blocked(call: Call) -> Result<Answer> {
    let asked: BlockPage = call.query()?;
    let most = call.app.blocks(&call.user()?);
    let limit = match asked.page_size {
        None => usize::try_from(call.limits().max(Limit::BlockList)).unwrap_or(usize::MAX),
        asked => size(asked, 10, call.limits().max(Limit::BlockPage), "pageSize")?,
    };
    let page = most.list(asked.cursor.as_deref(), limit).await?;
    let names: Vec<_> = page.items.iter().map(ToString::to_string).collect();
    Ok(Answer::list(&names)?.cursor(page.next))
}

async fn block(mut call: Call) -> Result<Answer> {
    let user = call.user()?;
    let names = required(call.json::<Usernames>().await?.usernames, "usernames")?;
    let others = ids(&names)?;
    call.app.blocks(&user).add(&others).await?;
    let names: Vec<_> = others.iter().map(ToString::to_string).collect();
    Answer::list(&names)
}

async fn unblock(call: Call) -> Result<Answer> {
    let (user, other) = (call.user()?, call.user_in("blocked_username")?);
    let other = call.app.users().get(&other).await?;
    call.app.blocks(&user).remove(&other.id).await?;
    Answer::entities(&[UserEntity::of(&other)])
}
