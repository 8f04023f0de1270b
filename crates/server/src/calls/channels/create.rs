//! Making groups and chatrooms: rows 45 and 82.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidestore::plan::{Limit, UserId};
use tidestore::{ChannelKind, NewChannel};

use super::Kind;
use super::kind::{Place, all};
use super::update::Settings;
use crate::answer::Answer;
use crate::call::{Call, users as ids};
use crate::ids::fresh_resource;
use crate::lenient;
use crate::refusal::{Refusal, Result};

/// A new group or chatroom.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct New {
    /// Who owns it; the user himself if it is his token.
    #[serde(deserialize_with = "lenient::text")]
    owner: Option<String>,
    /// Who else is in it.
    #[serde(deserialize_with = "lenient::names")]
    members: Option<Vec<String>>,
    #[serde(flatten)]
    settings: Settings,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Created {
    #[serde(flatten)]
    place: Place,
}

fn owner(call: &Call, named: Option<String>) -> Result<UserId> {
    match (named, call.caller_user()) {
        (Some(named), _) => {
            let owner = UserId::parse(&named)?;
            call.acts_for(&owner)?;
            Ok(owner)
        }
        (None, Some(user)) => Ok(user.clone()),
        (None, None) => Err(Refusal::parameter("owner is missing")),
    }
}

impl New {
    fn checked<K: Kind>(self, call: &Call) -> Result<NewChannel> {
        let Self {
            owner: named,
            members,
            settings,
        } = self;
        let change = settings.change()?;
        let name = change.name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Refusal::parameter("the name is missing"))?;
        if K::KIND == ChannelKind::Room && members.as_ref().is_some_and(Vec::is_empty) {
            return Err(Refusal::parameter("members is empty; leave it out"));
        }
        let members = members.unwrap_or_default();
        call.limits()
            .check(Limit::GroupFounders, members.len() as u64)?;
        let new = NewChannel::new(fresh_resource()?, owner(call, named)?);
        Ok(NewChannel {
            members: ids(&members)?,
            name,
            description: change.description.unwrap_or_default(),
            extension: change.extension.unwrap_or_default(),
            max_users: change.max_users,
            is_public: change.is_public.unwrap_or(new.is_public),
            members_only: change.members_only.unwrap_or(new.members_only),
            allow_invites: change.allow_invites.unwrap_or(new.allow_invites),
            invite_needs_confirm: change
                .invite_needs_confirm
                .unwrap_or(new.invite_needs_confirm),
            ..new
        })
    }
}

pub(super) async fn create<K: Kind>(mut call: Call) -> Result<Answer> {
    let asked: New = call.json().await?;
    let new = asked.checked::<K>(&call)?;
    let created = all::<K>(&call).create(new).await?;
    Answer::data(&Created {
        place: K::place(&created.id),
    })
}
