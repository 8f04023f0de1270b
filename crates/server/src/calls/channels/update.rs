//! Changing, transferring, banning and deleting groups and chatrooms: rows 46 to 49, 64, 83 and 84.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidestore::ChannelChange;
use tidestore::plan::{ResourceId, UserId};

use super::kind::{Groups, Kind, Place, Rooms, all, id};
use crate::answer::Answer;
use crate::auth::Access;
use crate::call::Call;
use crate::lenient::{self, is_absent};
use crate::refusal::{Refusal, Result};

/// What can be said of a group or chatroom. Some fields have an old name too.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Settings {
    /// The name of a group.
    #[serde(deserialize_with = "lenient::kept_text")]
    groupname: Option<String>,
    /// The name of a chatroom.
    #[serde(deserialize_with = "lenient::kept_text")]
    name: Option<String>,
    #[serde(deserialize_with = "lenient::kept_text")]
    description: Option<String>,
    /// The old name of `description`.
    #[serde(deserialize_with = "lenient::kept_text")]
    desc: Option<String>,
    /// Anything.
    #[serde(deserialize_with = "lenient::kept_text")]
    custom: Option<String>,
    #[serde(deserialize_with = "lenient::number")]
    maxusers: Option<i64>,
    /// Groups only, as all below.
    #[serde(deserialize_with = "lenient::flag")]
    public: Option<bool>,
    #[serde(deserialize_with = "lenient::flag")]
    membersonly: Option<bool>,
    /// The old name of `membersonly`.
    #[serde(deserialize_with = "lenient::flag")]
    members_only: Option<bool>,
    #[serde(deserialize_with = "lenient::flag")]
    allowinvites: Option<bool>,
    #[serde(deserialize_with = "lenient::flag")]
    invite_need_confirm: Option<bool>,
    /// The member who owns it from now on; stands alone.
    #[serde(deserialize_with = "lenient::text")]
    newowner: Option<String>,
}

/// Fields that an update of either may have, and those of groups alone.
const OF_BOTH: [&str; 6] = [
    "groupname",
    "name",
    "description",
    "desc",
    "custom",
    "maxusers",
];
const OF_GROUPS: [&str; 5] = [
    "public",
    "membersonly",
    "members_only",
    "allowinvites",
    "invite_need_confirm",
];
const NEW_OWNER: &str = "newowner";

/// The two names of a setting.
type Names = [&'static str; 2];
const GROUPNAME: Names = ["groupname", "name"];
const DESCRIPTION: Names = ["description", "desc"];
const MEMBERSONLY: Names = ["membersonly", "members_only"];

/// A setting under either of its names. Under both it has to be the same: else one of them would be answered as changed and
/// was not.
fn either<T: PartialEq>(one: Option<T>, other: Option<T>, names: Names) -> Result<Option<T>> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => {
            let [one, other] = names;
            let text = format!("{one} and {other} are one setting: give one of them");
            Err(Refusal::parameter(text))
        }
        (one, other) => Ok(one.or(other)),
    }
}

/// The same for text, where an empty one beside another is one that the client left out.
fn either_text(one: Option<String>, other: Option<String>, names: Names) -> Result<Option<String>> {
    match (one, other) {
        (Some(one), Some(other)) if one.is_empty() => Ok(Some(other)),
        (Some(one), Some(other)) if other.is_empty() => Ok(Some(one)),
        (one, other) => either(one, other, names),
    }
}

/// Takes away the empty one of two names of a setting, so that it is not answered as changed.
fn drop_empty_twins(fields: &mut Map<String, Value>) {
    let is = |fields: &Map<String, Value>, name: &str, empty: bool| matches!(fields.get(name), Some(Value::String(text)) if text.is_empty() == empty);
    for [one, other] in [GROUPNAME, DESCRIPTION] {
        for [empty, filled] in [[one, other], [other, one]] {
            if is(fields, empty, true) && is(fields, filled, false) {
                fields.remove(empty);
            }
        }
    }
}

impl Settings {
    pub(super) fn change(self) -> Result<ChannelChange> {
        let max_users = match self.maxusers.map(u32::try_from) {
            None => None,
            Some(Ok(number)) if number > 0 => Some(number),
            Some(_) => return Err(Refusal::parameter("maxusers has to be a positive number")),
        };
        Ok(ChannelChange {
            name: either_text(self.groupname, self.name, GROUPNAME)?,
            description: either_text(self.description, self.desc, DESCRIPTION)?,
            extension: self.custom,
            max_users,
            is_public: self.public,
            members_only: either(self.membersonly, self.members_only, MEMBERSONLY)?,
            allow_invites: self.allowinvites,
            invite_needs_confirm: self.invite_need_confirm,
        })
    }
}

/// Each field that was changed, with `true`.
pub(super) type Changed = BTreeMap<String, bool>;

/// Whether it is banned now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Disabled {
    disabled: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Deleted {
    success: bool,
    #[serde(flatten)]
    place: Place,
}

pub(super) async fn group(mut call: Call) -> Result<Answer> {
    let body = call.json::<Map<String, Value>>().await;
    let is_transfer = body
        .as_ref()
        .is_ok_and(|fields| fields.contains_key(NEW_OWNER));
    call.charge(if is_transfer { 64 } else { 48 }, 1)?;
    update::<Groups>(&call, body?, &[&OF_BOTH, &OF_GROUPS]).await
}

pub(super) async fn room(mut call: Call) -> Result<Answer> {
    let fields = call.json().await?;
    update::<Rooms>(&call, fields, &[&OF_BOTH]).await
}

/// Settings whose empty text means something: it takes the old one away.
const TEXTS: [&str; 5] = ["groupname", "name", "description", "desc", "custom"];

/// What clients send for a field that they leave out; answering that it was changed would be untrue.
fn is_nothing(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => !TEXTS.contains(&name) && is_absent(text),
        _ => false,
    }
}

async fn update<K: Kind>(
    call: &Call,
    mut fields: Map<String, Value>,
    known: &[&[&str]],
) -> Result<Answer> {
    fields.retain(|name, value| !is_nothing(name, value));
    drop_empty_twins(&mut fields);
    let is_known = |name: &str| name == NEW_OWNER || known.iter().any(|some| some.contains(&name));
    if let Some(name) = fields.keys().find(|name| !is_known(name)) {
        return Err(Refusal::parameter(format!("{name} cannot be changed")));
    }
    let names: Vec<String> = fields.keys().cloned().collect();
    let settings: Settings = serde_json::from_value(fields.into()).map_err(|error| {
        let text = format!("the body: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_request_body", text)
    })?;
    let id = id::<K>(call)?;
    match (names.as_slice(), &settings.newowner) {
        ([], _) => return Err(Refusal::parameter("there is nothing to change")),
        ([_], Some(owner)) => transfer::<K>(call, &id, owner).await?,
        (names, _) if names.iter().any(|name| name == NEW_OWNER) => {
            return Err(Refusal::parameter(
                "newowner names a member, and stands alone",
            ));
        }
        _ => {
            all::<K>(call).change(&id, settings.change()?).await?;
        }
    }
    let changed = names.into_iter().map(|name| (K::answered(name), true));
    Answer::data(&changed.collect::<Changed>())
}

/// Only for the owner, while an update is for admins too.
async fn transfer<K: Kind>(call: &Call, id: &ResourceId, to: &str) -> Result<()> {
    Access::Owner.check(call).await?;
    let to = UserId::parse(to)?;
    Ok(all::<K>(call).transfer(id, &to).await?)
}

pub(super) async fn disable(call: Call) -> Result<Answer> {
    call.app.groups().disable(&id::<Groups>(&call)?).await?;
    Answer::data(&Disabled { disabled: true })
}

pub(super) async fn enable(call: Call) -> Result<Answer> {
    call.app.groups().enable(&id::<Groups>(&call)?).await?;
    Answer::data(&Disabled { disabled: false })
}

pub(super) async fn delete<K: Kind>(call: Call) -> Result<Answer> {
    let id = id::<K>(&call)?;
    let channels = all::<K>(&call);
    // The app may delete what it has banned; the owner may not.
    if call.caller_user().is_some() && channels.get(&id).await?.is_disabled {
        let text = format!("the {} {id} is banned", K::KIND);
        return Err(Refusal::forbidden(text));
    }
    channels.delete(&id).await?;
    Answer::data(&Deleted {
        success: true,
        place: K::place(&id),
    })
}
