//! Offline push: what users want to be told of, in which language, and templates. Rows 117 to 123.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidestore::plan::{ResourceId, UserId};
use tidestore::{PushMode, PushScope, PushSetting, PushSettingChange, PushTemplate};

use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, required};
use crate::lenient;
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(117, Access::Own, set)
            .body::<Change>()
            .data::<Setting>(),
        Route::new(118, Access::Own, get).data::<Setting>(),
        Route::new(119, Access::Own, set_language)
            .body::<NewLanguage>()
            .data::<Language>(),
        Route::new(120, Access::Own, language).data::<Language>(),
        Route::new(121, Access::App, create_template)
            .body::<NewTemplate>()
            .data::<Template>(),
        Route::new(122, Access::App, template).data::<Template>(),
        Route::new(123, Access::App, delete_template).data::<Template>(),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Change {
    /// `DEFAULT`, `ALL`, `AT` or `NONE`.
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    mode: Option<String>,
    /// `HH:MM-HH:MM`, daily; for the whole app only. Empty takes it away.
    #[serde(deserialize_with = "lenient::kept_text")]
    ignore_interval: Option<String>,
    /// Milliseconds from now.
    #[serde(deserialize_with = "lenient::number")]
    ignore_duration: Option<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Setting {
    #[serde(rename = "type")]
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_interval: Option<String>,
    /// Until when, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_duration: Option<u64>,
}

impl From<PushSetting> for Setting {
    fn from(setting: PushSetting) -> Self {
        Self {
            mode: match setting.mode.unwrap_or_default() {
                PushMode::Default => "DEFAULT",
                PushMode::All => "ALL",
                PushMode::At => "AT",
                PushMode::None => "NONE",
            },
            ignore_interval: setting.ignore_interval,
            ignore_duration: setting.silent_until,
        }
    }
}

/// The service's word for a user who does not exist, in calls about push.
fn nobody(error: tidestore::Error) -> Refusal {
    Refusal::from(error).missing_is_property()
}

/// What the path speaks of: a peer, a group, or with the user's own id the whole app.
fn scope(call: &Call, user: &UserId) -> Result<PushScope> {
    let kind = call
        .params
        .get("chattype")
        .or_else(|| call.params.get("type"));
    let key = call.param("key")?;
    match kind {
        Some("user" | "chat") => {
            let peer = UserId::parse(key)?;
            Ok(if peer == *user {
                PushScope::App
            } else {
                PushScope::User(peer)
            })
        }
        Some("chatgroup" | "groupchat") => Ok(PushScope::Group(ResourceId::parse(key)?)),
        other => {
            let text = format!(
                "{:?} is neither user nor chatgroup",
                other.unwrap_or_default()
            );
            Err(Refusal::argument(text))
        }
    }
}

async fn set(mut call: Call) -> Result<Answer> {
    let user = call.user()?;
    let scope = scope(&call, &user)?;
    let asked: Change = call.json().await?;
    let mode = match asked.mode.as_deref() {
        None => None,
        Some("DEFAULT") => Some(PushMode::Default),
        Some("ALL") => Some(PushMode::All),
        Some("AT") => Some(PushMode::At),
        Some("NONE") => Some(PushMode::None),
        Some(other) => {
            return Err(Refusal::argument(format!(
                "{other:?} is none of DEFAULT, ALL, AT, NONE"
            )));
        }
    };
    let duration = asked.ignore_duration.map(u64::try_from).transpose();
    let change = PushSettingChange {
        mode,
        ignore_interval: asked.ignore_interval,
        ignore_duration_ms: duration
            .map_err(|_| Refusal::argument("ignoreDuration is negative"))?,
    };
    let set = call
        .app
        .push()
        .set_setting(&user, &scope, change)
        .await
        .map_err(nobody)?;
    Answer::data(&Setting::from(set))
}

async fn get(call: Call) -> Result<Answer> {
    let user = call.user()?;
    let scope = scope(&call, &user)?;
    let setting = call
        .app
        .push()
        .setting(&user, &scope)
        .await
        .map_err(nobody)?;
    Answer::data(&Setting::from(setting))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct NewLanguage {
    /// Empty for none.
    #[serde(
        rename = "translationLanguage",
        deserialize_with = "lenient::kept_text"
    )]
    translation_language: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Language {
    language: String,
}

async fn set_language(mut call: Call) -> Result<Answer> {
    let user = call.user()?;
    let asked: NewLanguage = call.json().await?;
    let language = required(asked.translation_language, "translationLanguage")?;
    call.app
        .push()
        .set_language(&user, &language)
        .await
        .map_err(nobody)?;
    Answer::data(&Language { language })
}

async fn language(call: Call) -> Result<Answer> {
    let language = call
        .app
        .push()
        .language(&call.user()?)
        .await
        .map_err(nobody)?;
    Answer::data(&Language { language })
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct NewTemplate {
    #[serde(deserialize_with = "lenient::text")]
    name: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    title_pattern: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    content_pattern: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Template {
    name: String,
    #[serde(rename = "createAt")]
    created: u64,
    #[serde(rename = "updateAt")]
    updated: u64,
    title_pattern: String,
    content_pattern: String,
}

impl From<PushTemplate> for Template {
    fn from(template: PushTemplate) -> Self {
        Self {
            name: template.name,
            created: template.created,
            updated: template.updated,
            title_pattern: template.title_pattern,
            content_pattern: template.content_pattern,
        }
    }
}

/// The service's answer to a name that no template has.
fn no_template(error: tidestore::Error) -> Refusal {
    Refusal::from(error).missing_is_argument()
}

async fn create_template(mut call: Call) -> Result<Answer> {
    let new: NewTemplate = call.json().await?;
    let name = required(new.name, "name")?;
    let title = required(new.title_pattern, "title_pattern")?;
    let content = required(new.content_pattern, "content_pattern")?;
    let created = call
        .app
        .push()
        .create_template(&name, &title, &content)
        .await?;
    Answer::data(&Template::from(created))
}

async fn template(call: Call) -> Result<Answer> {
    let found = call.app.push().template(call.param("name")?).await;
    Answer::data(&Template::from(found.map_err(no_template)?))
}

async fn delete_template(call: Call) -> Result<Answer> {
    let deleted = call.app.push().delete_template(call.param("name")?).await;
    Answer::data(&Template::from(deleted.map_err(no_template)?))
}
