//! Labels of users, for pushing to all who have them: rows 124 to 131.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidestore::PushLabel;
use tidestore::plan::{Limit, UserId};

use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, required, users as ids};
use crate::lenient;
use crate::pages::ByCursor;
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(124, Access::App, create)
            .body::<New>()
            .data::<Label>(),
        Route::new(125, Access::App, get).data::<Label>(),
        Route::new(126, Access::App, list)
            .query::<ByCursor>()
            .data::<Vec<Label>>(),
        Route::new(127, Access::App, delete).data::<String>(),
        Route::new(128, Access::App, add)
            .body::<Usernames>()
            .data::<Outcome>(),
        Route::new(129, Access::App, user),
        Route::new(130, Access::App, users)
            .query::<ByCursor>()
            .data::<Vec<Labelled>>(),
        Route::new(131, Access::App, remove)
            .body::<Usernames>()
            .data::<Outcome>(),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct New {
    #[serde(deserialize_with = "lenient::text")]
    name: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    description: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Label {
    name: String,
    description: String,
    #[serde(rename = "createdAt")]
    created: u64,
    /// How many users have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

impl Label {
    fn of(label: PushLabel, is_counted: bool) -> Self {
        Self {
            name: label.name,
            description: label.description,
            created: label.created,
            count: is_counted.then_some(label.users),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Labelled {
    username: String,
    created: u64,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Usernames {
    #[serde(deserialize_with = "lenient::names")]
    usernames: Option<Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Outcome {
    success: Vec<String>,
    fail: BTreeMap<String, String>,
}

impl Outcome {
    fn of(users: &[UserId], results: Vec<tidestore::Result<()>>) -> Self {
        let (mut success, mut fail) = (Vec::new(), BTreeMap::new());
        for (user, result) in users.iter().zip(results) {
            match result {
                Ok(()) => success.push(user.to_string()),
                Err(error) => {
                    fail.insert(user.to_string(), error.to_string());
                }
            }
        }
        Self { success, fail }
    }
}

async fn create(mut call: Call) -> Result<Answer> {
    let new: New = call.json().await?;
    let name = required(new.name, "name")?;
    let description = new.description.unwrap_or_default();
    let label = call.app.push().create_label(&name, &description).await?;
    Answer::data(&Label::of(label, false))
}

async fn get(call: Call) -> Result<Answer> {
    let label = call.app.push().label(call.param("labelname")?).await?;
    Answer::data(&Label::of(label, true))
}

async fn list(call: Call) -> Result<Answer> {
    let asked: ByCursor = call.query()?;
    let limit = asked.size(100, call.limits().max(Limit::PushLabelPage))?;
    let page = call
        .app
        .push()
        .labels(asked.cursor.as_deref(), limit)
        .await?;
    let labels: Vec<_> = page
        .items
        .into_iter()
        .map(|label| Label::of(label, true))
        .collect();
    Ok(Answer::list(&labels)?.cursor(page.next))
}

async fn delete(call: Call) -> Result<Answer> {
    call.app
        .push()
        .delete_label(call.param("labelname")?)
        .await?;
    Answer::data(&"success")
}

async fn named(call: &mut Call) -> Result<(String, Vec<UserId>)> {
    let label = call.param("labelname")?.to_owned();
    let names = required(call.json::<Usernames>().await?.usernames, "usernames")?;
    if names.is_empty() {
        return Err(Refusal::argument("usernames is empty"));
    }
    Ok((label, ids(&names)?))
}

async fn add(mut call: Call) -> Result<Answer> {
    let (label, users) = named(&mut call).await?;
    let added = call.app.push().add_to_label(&label, &users).await?;
    Answer::data(&Outcome::of(&users, added))
}

async fn remove(mut call: Call) -> Result<Answer> {
    let (label, users) = named(&mut call).await?;
    let removed = call.app.push().remove_from_label(&label, &users).await?;
    Answer::data(&Outcome::of(&users, removed))
}

/// Data only if he has the label.
async fn user(call: Call) -> Result<Answer> {
    let user = call.user()?;
    let since = call
        .app
        .push()
        .label_user(call.param("labelname")?, &user)
        .await?;
    match since {
        Some(created) => Answer::data(&Labelled {
            username: user.to_string(),
            created,
        }),
        None => Ok(Answer::empty()),
    }
}

async fn users(call: Call) -> Result<Answer> {
    let asked: ByCursor = call.query()?;
    let limit = asked.size(100, call.limits().max(Limit::PushLabelPage))?;
    let label = call.param("labelname")?;
    let page = call
        .app
        .push()
        .label_users(label, asked.cursor.as_deref(), limit)
        .await?;
    let users = page.items.into_iter().map(|labelled| Labelled {
        username: labelled.user.to_string(),
        created: labelled.created,
    });
    let users: Vec<_> = users.collect();
    Ok(Answer::list(&users)?.cursor(page.next))
}
