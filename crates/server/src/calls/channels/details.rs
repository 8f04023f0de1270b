//! One group or chatroom, or several, with all that is known of them: rows 44 and 81.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tidestore::plan::ResourceId;
use tidestore::{Channel, ChannelKind, Members};

use super::Kind;
use super::kind::all;
use super::members::Affiliation;
use crate::answer::Answer;
use crate::call::Call;
use crate::pages::slice;
use crate::refusal::{Refusal, Result};

/// What is known of one, or that there is none.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Detail {
    Found(Box<Known>),
    Missing { id: String, error: String },
}

/// What is known of one.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings of the service"
)]
pub(super) struct Known {
    id: String,
    name: String,
    description: String,
    public: bool,
    membersonly: bool,
    allowinvites: bool,
    invite_need_confirm: bool,
    maxusers: u32,
    owner: String,
    /// Milliseconds since 1970.
    created: u64,
    custom: String,
    mute: bool,
    disabled: bool,
    affiliations_count: u64,
    /// All members; left out for users who are not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    affiliations: Option<Vec<Affiliation>>,
}

impl Known {
    fn of(channel: Channel, affiliations: Option<Vec<Affiliation>>) -> Self {
        Self {
            id: channel.id.as_str().to_owned(),
            name: channel.name,
            description: channel.description,
            public: channel.is_public,
            membersonly: channel.members_only,
            allowinvites: channel.allow_invites,
            invite_need_confirm: channel.invite_needs_confirm,
            maxusers: channel.max_users,
            owner: channel.owner.as_str().to_owned(),
            created: channel.created,
            custom: channel.extension,
            mute: channel.is_muted,
            disabled: channel.is_disabled,
            affiliations_count: channel.members,
            affiliations,
        }
    }
}

async fn affiliations(members: &Members<'_>) -> Result<Vec<Affiliation>> {
    let all = slice(0, usize::MAX, |cursor, limit| async move {
        members.list(cursor.as_deref(), limit).await
    });
    Ok(all.await?.iter().map(Affiliation::of).collect())
}

/// One with its members, for those who may see them. What a user must not know of is not there for him.
async fn describe<K: Kind>(call: &Call, id: &str) -> Result<Known> {
    let missing = || {
        let text = format!("{} id doesn't exist", K::KIND);
        Refusal::new(StatusCode::NOT_FOUND, "resource_not_found", text)
    };
    // What is no id cannot exist.
    let id = ResourceId::parse(id).map_err(|_| missing())?;
    let channel = all::<K>(call).get(&id).await?;
    let members = all::<K>(call).members(&id);
    let is_in = match call.caller_user() {
        Some(user) => {
            members.find(user).await?.is_some()
                || K::KIND == ChannelKind::Room && call.app.rooms().is_super_admin(user).await?
        }
        None => true,
    };
    if is_in {
        let affiliations = affiliations(&members).await?;
        Ok(Known::of(channel, Some(affiliations)))
    } else if channel.is_public {
        Ok(Known::of(channel, None))
    } else {
        Err(missing())
    }
}

pub(super) async fn get<K: Kind>(call: Call) -> Result<Answer> {
    let ids = call.list_in(K::IDS)?;
    call.limits().check(K::DETAILS, ids.len() as u64)?;
    if let [id] = ids.as_slice() {
        let found = Detail::Found(Box::new(describe::<K>(&call, id).await?));
        return Answer::list(&[found]);
    }
    let mut details = Vec::new();
    for id in ids {
        details.push(match describe::<K>(&call, &id).await {
            Ok(known) => Detail::Found(Box::new(known)),
            Err(refusal) if refusal.is_not_found() => Detail::Missing {
                error: format!("{} id doesn't exist", K::KIND),
                id,
            },
            Err(refusal) => return Err(refusal),
        });
    }
    Answer::list(&details)
}
