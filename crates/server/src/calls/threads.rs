//! Threads in groups: rows 144 to 152.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidestore::plan::{Limit, Limits, Method, ResourceId, UserId};
use tidestore::{ListPage, MessageId, NewThread, Parties, Thread};

use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, required, users as ids};
use crate::ids::fresh_resource;
use crate::lenient;
use crate::pages::{ByCursor, size};
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(144, Access::User, create)
            .body::<New>()
            .data::<Created>(),
        Route::new(145, Access::User, rename)
            .body::<NewName>()
            .data::<Named>(),
        Route::new(146, Access::User, delete).data::<Status>(),
        Route::new(147, Access::App, list)
            .query::<Paging>()
            .entities::<Id>(),
        Route::new(148, Access::Own, joined)
            .query::<Paging>()
            .entities::<Listed>(),
        Route::new(149, Access::Own, joined)
            .query::<Paging>()
            .entities::<Listed>(),
        Route::new(150, Access::User, members)
            .query::<ByCursor>()
            .data::<Members>(),
        Route::new(151, Access::User, join)
            .body::<Usernames>()
            .data::<Status>(),
        Route::new(152, Access::User, leave)
            .also(Method::Delete, "/threads/{thread_id}/users")
            .body::<Usernames>()
            .entities::<Left>(),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct New {
    #[serde(deserialize_with = "lenient::text")]
    group_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    name: Option<String>,
    /// The message that it is about.
    #[serde(deserialize_with = "lenient::text")]
    msg_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    owner: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Created {
    thread_id: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct NewName {
    #[serde(deserialize_with = "lenient::text")]
    name: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Named {
    name: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Status {
    status: &'static str,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Paging {
    #[serde(deserialize_with = "lenient::number")]
    limit: Option<i64>,
    #[serde(deserialize_with = "lenient::text")]
    cursor: Option<String>,
    /// `asc` or `desc`.
    #[serde(deserialize_with = "lenient::text")]
    sort: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Id {
    id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Listed {
    id: String,
    name: String,
    owner: String,
    msg_id: String,
    group_id: String,
    created: u64,
}

impl Listed {
    fn of(thread: &Thread) -> Self {
        Self {
            id: thread.id.to_string(),
            name: thread.name.clone(),
            owner: thread.owner.to_string(),
            msg_id: MessageId(thread.parent).to_string(),
            group_id: thread.group.to_string(),
            created: thread.created,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Members {
    affiliations: Vec<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Usernames {
    #[serde(deserialize_with = "lenient::names")]
    usernames: Option<Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Left {
    user: String,
    result: bool,
}

/// The service has one word for whatever is wrong with a thread.
fn group_error(error: tidestore::Error) -> Refusal {
    let refusal = Refusal::from(error);
    if refusal.status.is_client_error() {
        refusal.called("group_error")
    } else {
        refusal
    }
}

fn bad_parent(text: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "group_error", text)
}

async fn create(mut call: Call) -> Result<Answer> {
    let new: New = call.json().await?;
    let group = ResourceId::parse(&required(new.group_id, "group_id")?)?;
    let name = required(new.name, "name")?;
    let owner = UserId::parse(&required(new.owner, "owner")?)?;
    call.acts_for(&owner)?;
    let text = required(new.msg_id, "msg_id")?;
    let parent = text.parse().map(MessageId);
    let parent = parent.map_err(|_| bad_parent(format!("{text:?} is no id of a message")))?;
    let found = call.app.message(parent).await?;
    let (conversation, _) = found.ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            "group_error",
            format!("there is no message {parent}"),
        )
    })?;
    if conversation.parties() != Some(Parties::Group(group.clone())) {
        return Err(bad_parent(
            "a thread begins at a message of its group, and of no thread",
        ));
    }
    let thread = NewThread {
        id: fresh_resource()?,
        group,
        name,
        owner,
        parent: parent.0,
    };
    let created = call
        .app
        .threads()
        .create(thread)
        .await
        .map_err(group_error)?;
    let thread_id = created.id.to_string();
    Answer::data(&Created { thread_id })
}

async fn found(call: &Call) -> Result<Thread> {
    let id = call.resource_in("thread_id")?;
    call.app.threads().get(&id).await.map_err(group_error)
}

/// A thread that the caller may change: the app may, its owner, and who keeps order in its group.
async fn managed(call: &Call) -> Result<Thread> {
    use tidestore::Role;
    let thread = found(call).await?;
    let Some(user) = call.caller_user().filter(|user| **user != thread.owner) else {
        return Ok(thread);
    };
    let member = call.app.groups().members(&thread.group).get(user).await;
    match member.map(|member| member.role) {
        Ok(Role::Admin | Role::Owner) => Ok(thread),
        _ => Err(Refusal::forbidden("the user may not manage this thread")),
    }
}

async fn rename(mut call: Call) -> Result<Answer> {
    let thread = managed(&call).await?;
    let name = required(call.json::<NewName>().await?.name, "name")?;
    call.app
        .threads()
        .rename(&thread.id, &name)
        .await
        .map_err(group_error)?;
    Answer::data(&Named { name })
}

async fn delete(call: Call) -> Result<Answer> {
    let thread = managed(&call).await?;
    call.app
        .threads()
        .delete(&thread.id)
        .await
        .map_err(group_error)?;
    Answer::data(&Status { status: "ok" })
}

impl Paging {
    fn size(&self, limits: &Limits) -> Result<usize> {
        let max = limits.max(Limit::ThreadPage);
        if self
            .limit
            .is_some_and(|limit| u64::try_from(limit).is_ok_and(|limit| limit > max))
        {
            return Err(Refusal::argument(format!("limit has to be 1 to {max}")));
        }
        size(self.limit, 50, max, "limit")
    }

    fn newest_first(&self) -> Result<bool> {
        match self.sort.as_deref() {
            None | Some("desc") => Ok(true),
            Some("asc") => Ok(false),
            Some(other) => Err(Refusal::argument(format!(
                "{other:?} is neither asc nor desc"
            ))),
        }
    }
}

fn page_of(
    page: ListPage<Thread>,
    entity: impl Fn(&Thread) -> serde_json::Value,
) -> Result<Answer> {
    let entities: Vec<_> = page.items.iter().map(entity).collect();
    let properties = match page.next {
        Some(cursor) => json!({"cursor": cursor}),
        None => json!({}),
    };
    Ok(Answer::entities(&entities)?.properties(properties))
}

async fn list(call: Call) -> Result<Answer> {
    let asked: Paging = call.query()?;
    let (size, newest_first) = (asked.size(call.limits())?, asked.newest_first()?);
    let page = call
        .app
        .threads()
        .list(newest_first, asked.cursor.as_deref(), size)
        .await?;
    page_of(page, |thread| {
        json!(Id {
            id: thread.id.to_string()
        })
    })
}

/// All, or those of the group in the path.
async fn joined(call: Call) -> Result<Answer> {
    let asked: Paging = call.query()?;
    let (size, newest_first, user) = (
        asked.size(call.limits())?,
        asked.newest_first()?,
        call.user()?,
    );
    let group = match call.params.get("group_id") {
        Some(_) => Some(call.resource_in("group_id")?),
        None => None,
    };
    if let Some(group) = &group {
        call.app.groups().get(group).await?;
    }
    let threads = call.app.threads();
    let page = threads.joined(
        &user,
        group.as_ref(),
        newest_first,
        asked.cursor.as_deref(),
        size,
    );
    page_of(page.await?, |thread| json!(Listed::of(thread)))
}

async fn members(call: Call) -> Result<Answer> {
    let asked: ByCursor = call.query()?;
    let limit = asked.size(50, call.limits().max(Limit::ThreadPage))?;
    let thread = found(&call).await?;
    if let Some(user) = call.caller_user() {
        let of_group = call.app.groups().members(&thread.group).get(user).await;
        of_group.map_err(|_| Refusal::forbidden("the user is not a member of the group"))?;
    }
    let page = call
        .app
        .threads()
        .members(&thread.id, asked.cursor.as_deref(), limit)
        .await?;
    let affiliations = page.items.iter().map(ToString::to_string).collect();
    let properties = match page.next {
        Some(cursor) => json!({"cursor": cursor}),
        None => json!({}),
    };
    Ok(Answer::data(&Members { affiliations })?.properties(properties))
}

async fn named(call: &mut Call) -> Result<Vec<UserId>> {
    let names = required(call.json::<Usernames>().await?.usernames, "usernames")?;
    call.limits()
        .check(Limit::ThreadBatch, names.len() as u64)?;
    if names.is_empty() {
        return Err(Refusal::argument("usernames is empty"));
    }
    let users = ids(&names)?;
    users.iter().try_for_each(|user| call.acts_for(user))?;
    Ok(users)
}

async fn join(mut call: Call) -> Result<Answer> {
    let thread = found(&call).await?;
    let users = named(&mut call).await?;
    let joined = call
        .app
        .threads()
        .join(&thread.id, &users)
        .await
        .map_err(group_error)?;
    let (total, mut refused) = (
        joined.len(),
        joined.into_iter().filter_map(Result::err).peekable(),
    );
    // An error only if nobody could join: the answer has no place for some.
    match refused.next() {
        Some(first) if refused.count() + 1 == total => Err(group_error(first)),
        _ => Answer::data(&Status { status: "ok" }),
    }
}

async fn leave(mut call: Call) -> Result<Answer> {
    let thread = found(&call).await?;
    let users = named(&mut call).await?;
    let left = call
        .app
        .threads()
        .leave(&thread.id, &users)
        .await
        .map_err(group_error)?;
    let results = users.iter().zip(left).map(|(user, left)| Left {
        user: user.to_string(),
        result: left.is_ok(),
    });
    Answer::entities(&results.collect::<Vec<_>>())
}
