//! Accounts: rows 1 to 16.

use std::collections::{BTreeMap, HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidestore::plan::{Limit, Limits, Method, UserId};
use tidestore::{Account, DeliveryState, MessageId, User, UserChange};

use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, required, users as ids};
use crate::entities::UserEntity;
use crate::lenient::{self, OneOrMany};
use crate::pages::ByCursor;
use crate::refusal::{Refusal, Result};
use crate::routes::{Charge, Route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(1, Access::App, register)
            .and(2)
            .charged(Charge::Handler)
            .body::<OneOrMany<Registration>>()
            .entities::<UserEntity>(),
        Route::new(3, Access::Own, change)
            .and(4)
            .charged(Charge::Handler)
            .body::<Change>()
            .entities::<UserEntity>(),
        Route::new(5, Access::User, get).entities::<UserEntity>(),
        Route::new(6, Access::App, list)
            .query::<ByCursor>()
            .entities::<UserEntity>(),
        Route::new(7, Access::App, delete).entities::<UserEntity>(),
        Route::new(8, Access::App, delete_many)
            .query::<ByCursor>()
            .entities::<UserEntity>(),
        Route::new(9, Access::App, set_password)
            .also(Method::Post, "/users/{username}/password")
            .body::<NewPassword>(),
        Route::new(10, Access::User, status).data::<BTreeMap<String, Online>>(),
        Route::new(11, Access::User, statuses)
            .body::<Usernames>()
            .data::<Vec<BTreeMap<String, Online>>>(),
        Route::new(12, Access::Own, count_offline).data::<BTreeMap<String, u64>>(),
        Route::new(13, Access::Own, delivery).data::<BTreeMap<String, String>>(),
        Route::new(14, Access::App, deactivate).entities::<UserEntity>(),
        Route::new(15, Access::App, activate),
        Route::new(16, Access::App, disconnect).data::<BTreeMap<String, bool>>(),
    ]
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
struct Registration {
    #[serde(deserialize_with = "lenient::text")]
    username: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    password: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    nickname: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotRegistered {
    username: String,
    register_user_fail_reason: String,
}

impl Registration {
    fn account(self, limits: &Limits) -> Result<Account> {
        let id = UserId::parse(&required(self.username, "username")?)?;
        let password = required(self.password, "password")?;
        limits.check_text(Limit::Password, &password)?;
        if let Some(nickname) = &self.nickname {
            limits.check_text(Limit::PushNickname, nickname)?;
        }
        Ok(Account {
            id,
            password: Some(password),
            nickname: self.nickname,
        })
    }
}

/// One is refused as a whole; of many those are registered that can be.
async fn register(mut call: Call) -> Result<Answer> {
    let body = call.any_json::<OneOrMany<Registration>>().await;
    let is_many = matches!(&body, Ok(OneOrMany::Many(many)) if many.len() != 1);
    call.charge(if is_many { 2 } else { 1 }, 1)?;
    let mut asked = match body? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    };
    call.limits()
        .check(Limit::RegistrationBatch, asked.len() as u64)?;
    let users = call.app.users();
    match (asked.len(), asked.pop()) {
        (1, Some(one)) => {
            let user = users.register(one.account(call.limits())?).await?;
            Answer::entities(&[UserEntity::of(&user)])
        }
        (_, Some(last)) => {
            asked.push(last);
            register_many(&call, asked).await
        }
        (_, None) => Err(Refusal::argument("there is nobody to register")),
    }
}

async fn register_many(call: &Call, asked: Vec<Registration>) -> Result<Answer> {
    let limits = call.limits();
    let accounts = asked.into_iter().map(|one| one.account(limits));
    let accounts = once_each(accounts.collect::<Result<_>>()?)?;
    let names: Vec<_> = accounts.iter().map(|account| account.id.clone()).collect();
    let registered = call.app.users().register_many(accounts).await?;
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (name, result) in names.iter().zip(registered) {
        match result.map_err(Refusal::from) {
            Ok(user) => done.push(UserEntity::of(&user)),
            Err(refusal) if refusal.error == "duplicate_unique_property_exists" => {
                failed.push(NotRegistered {
                    username: name.as_str().to_owned(),
                    register_user_fail_reason: refusal.description,
                });
            }
            // The plan has no place for all of them: what was registered stays, and the caller learns which.
            Err(refusal) if done.is_empty() => return Err(refusal),
            Err(refusal) => failed.push(NotRegistered {
                username: name.as_str().to_owned(),
                register_user_fail_reason: refusal.description,
            }),
        }
    }
    Ok(Answer::entities(&done)?.with_data(json!(failed)))
}

/// The same user twice is one, unless the two want different passwords.
fn once_each(accounts: Vec<Account>) -> Result<Vec<Account>> {
    let mut known: HashMap<UserId, Option<String>> = HashMap::new();
    let mut once = Vec::new();
    for account in accounts {
        match known.get(&account.id) {
            Some(password) if *password == account.password => {}
            Some(_) => {
                let text = format!("{} comes twice, with different passwords", account.id);
                return Err(Refusal::argument(text));
            }
            None => {
                known.insert(account.id.clone(), account.password.clone());
                once.push(account);
            }
        }
    }
    Ok(once)
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Change {
    #[serde(deserialize_with = "lenient::kept_text")]
    nickname: Option<String>,
    /// 0: who it is from; 1: what it says.
    #[serde(deserialize_with = "lenient::number")]
    notification_display_style: Option<i64>,
    #[serde(deserialize_with = "lenient::flag")]
    notification_no_disturbing: Option<bool>,
    /// An hour of the day.
    #[serde(deserialize_with = "lenient::number")]
    notification_no_disturbing_start: Option<i64>,
    #[serde(deserialize_with = "lenient::number")]
    notification_no_disturbing_end: Option<i64>,
}

impl Change {
    fn checked(self) -> Result<UserChange> {
        let within = |value: Option<i64>, max: u8, name: &str| match value.map(u8::try_from) {
            None => Ok(None),
            Some(Ok(value)) if value <= max => Ok(Some(value)),
            Some(_) => Err(Refusal::argument(format!("{name} has to be 0 to {max}"))),
        };
        let style = within(
            self.notification_display_style,
            1,
            "notification_display_style",
        )?;
        let start = within(self.notification_no_disturbing_start, 23, "the first hour")?;
        let end = within(self.notification_no_disturbing_end, 23, "the last hour")?;
        if start.is_some() != end.is_some() {
            let text = "the first and the last hour without notifications go together";
            return Err(Refusal::argument(text));
        }
        let change = UserChange {
            nickname: self.nickname,
            display_style: style,
            no_disturbing: self.notification_no_disturbing,
            no_disturbing_hours: start.zip(end),
        };
        if change == UserChange::default() {
            return Err(Refusal::argument("there is nothing to change"));
        }
        Ok(change)
    }
}

async fn change(mut call: Call) -> Result<Answer> {
    let user = call.user()?;
    let asked = call.json::<Change>().await;
    let is_nickname = asked
        .as_ref()
        .is_ok_and(|asked| asked.nickname.is_some() && asked.notification_display_style.is_none());
    call.charge(if is_nickname { 3 } else { 4 }, 1)?;
    let change = asked?.checked()?;
    let changed = call
        .app
        .users()
        .change(&user, change)
        .await
        .map_err(|error| Refusal::from(error).missing_is_argument());
    Answer::entities(&[UserEntity::of(&changed?)])
}

async fn get(call: Call) -> Result<Answer> {
    let user = call.app.users().get(&call.user()?).await?;
    Ok(Answer::entities(&[UserEntity::of(&user)])?.count(1))
}

async fn list(call: Call) -> Result<Answer> {
    let asked: ByCursor = call.query()?;
    let limit = asked.size(10, call.limits().max(Limit::UserPage))?;
    let page = call
        .app
        .users()
        .list(asked.cursor.as_deref(), limit)
        .await?;
    let users: Vec<_> = page.items.iter().map(UserEntity::of).collect();
    Ok(Answer::entities(&users)?
        .count(users.len())
        .cursor(page.next))
}

/// A user by id, or by the UUID that his entity shows. Searching for a UUID looks at all users, the oldest first.
async fn by_name_or_uuid(call: &Call) -> Result<User> {
    let name = call.param("username")?;
    let users = call.app.users();
    let missing = match users
        .get(&UserId::parse(name)?)
        .await
        .map_err(Refusal::from)
    {
        Err(missing) if missing.is_not_found() => missing,
        found => return found,
    };
    let Ok(uuid) = uuid::Uuid::try_parse(name) else {
        return Err(missing);
    };
    let mut cursor: Option<String> = None;
    loop {
        let page = users.list(cursor.as_deref(), 1_000).await?;
        if let Some(user) = page
            .items
            .into_iter()
            .find(|user| user.uuid == *uuid.as_bytes())
        {
            return Ok(user);
        }
        cursor = page.next;
        if cursor.is_none() {
            return Err(missing);
        }
    }
}

async fn delete(call: Call) -> Result<Answer> {
    let user = by_name_or_uuid(&call).await?;
    let user = call.app.users().delete(&user.id).await?;
    Answer::entities(&[UserEntity::of(&user)])
}

async fn delete_many(call: Call) -> Result<Answer> {
    let asked: ByCursor = call.query()?;
    let limit = asked.size(10, call.limits().max(Limit::UserPage))?;
    let users = call.app.users();
    let page = users.list(asked.cursor.as_deref(), limit).await?;
    let mut deleted = Vec::new();
    for user in page.items {
        match users.delete(&user.id).await.map_err(Refusal::from) {
            Ok(user) => deleted.push(UserEntity::of(&user)),
            // Somebody else was faster.
            Err(refusal) if refusal.is_not_found() => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(Answer::entities(&deleted)?
        .count(deleted.len())
        .cursor(page.next))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct NewPassword {
    #[serde(deserialize_with = "lenient::text")]
    newpassword: Option<String>,
}

async fn set_password(mut call: Call) -> Result<Answer> {
    let user = call.user()?;
    let password = required(call.json::<NewPassword>().await?.newpassword, "newpassword")?;
    call.limits().check_text(Limit::Password, &password)?;
    let done = call.app.users().set_password(&user, &password).await;
    done.map_err(|error| {
        Refusal::from(error).if_missing(|refusal| refusal.called("entity_not_found"))
    })?;
    Ok(Answer::empty().action("set user password"))
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Online {
    Online,
    Offline,
}

fn online(call: &Call, user: &UserId) -> BTreeMap<String, Online> {
    let status = if call.app.connections().is_online(user) {
        Online::Online
    } else {
        Online::Offline
    };
    BTreeMap::from([(user.as_str().to_owned(), status)])
}

async fn status(call: Call) -> Result<Answer> {
    let user = call.user()?;
    call.app.users().get(&user).await?;
    Answer::data(&online(&call, &user))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Usernames {
    #[serde(deserialize_with = "lenient::names")]
    usernames: Option<Vec<String>>,
}

async fn statuses(mut call: Call) -> Result<Answer> {
    let names = required(call.json::<Usernames>().await?.usernames, "usernames")?;
    call.limits()
        .check(Limit::StatusBatch, names.len() as u64)?;
    let mut seen = HashSet::new();
    let users = ids(&names)?
        .into_iter()
        .filter(|user| seen.insert(user.clone()));
    let statuses: Vec<_> = users.map(|user| online(&call, &user)).collect();
    Answer::list(&statuses)
}

async fn count_offline(call: Call) -> Result<Answer> {
    let user = call.user()?;
    call.app.users().get(&user).await?;
    let count = call.app.offline_count(&user).await?;
    Answer::data(&BTreeMap::from([(user.as_str(), count)]))
}

async fn delivery(call: Call) -> Result<Answer> {
    let user = call.user()?;
    call.app.users().get(&user).await?;
    let text = call.param("msg_id")?;
    let id = text.parse().map(MessageId);
    let id = id.map_err(|_| Refusal::argument(format!("{text:?} is no id of a message")))?;
    let state = match call.app.delivery_state(&user, id).await? {
        DeliveryState::Pending => "undelivered",
        // Nothing waits for him any more.
        _ => "delivered",
    };
    Answer::data(&BTreeMap::from([(text, state)]))
}

async fn deactivate(call: Call) -> Result<Answer> {
    let user = call.app.users().ban(&call.user()?).await?;
    Ok(Answer::entities(&[UserEntity::of(&user)])?.action("Deactivate user"))
}

async fn activate(call: Call) -> Result<Answer> {
    call.app.users().unban(&call.user()?).await?;
    Ok(Answer::empty().action("activate user"))
}

async fn disconnect(call: Call) -> Result<Answer> {
    let user = call.user()?;
    call.app.users().get(&user).await?;
    call.app.connections().disconnect_user(&user);
    Answer::data(&json!({"result": true}))
}
