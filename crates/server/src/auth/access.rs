//! What the token of a user allows. The app's own token allows everything in its app.

use tidestore::plan::{ResourceId, UserId};
use tidestore::{ChannelKind, Member, Role};

use super::Caller;
use crate::call::Call;
use crate::refusal::{Refusal, Result};

/// For whom a route is, besides the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) enum Access {
    /// For nobody.
    App,
    /// For the user whom the path names.
    Own,
    /// For every user; what he may do there the handler says.
    User,
    /// For the members of the group or chatroom that the path names, and for super admins of chatrooms.
    Member,
    /// For its owner and admins, and for super admins of chatrooms.
    Admin,
    /// For its owner.
    Owner,
    /// For whoever asks, without a token: what has a secret or signature of its own.
    Open,
}

impl Access {
    /// Refuses what the token does not allow.
    pub(crate) async fn check(self, call: &Call) -> Result<()> {
        let Caller::User(user) = &call.caller else {
            return Ok(());
        };
        let is_allowed = match self {
            Self::Open | Self::User => true,
            Self::App => false,
            Self::Own => call.user()? == *user,
            Self::Member => {
                member(call, user).await?.is_some() || is_super_admin(call, user).await?
            }
            Self::Admin => {
                matches!(role(call, user).await?, Some(Role::Admin | Role::Owner))
                    || is_super_admin(call, user).await?
            }
            Self::Owner => matches!(role(call, user).await?, Some(Role::Owner)),
        };
        if is_allowed {
            return Ok(());
        }
        let text = match self {
            Self::App => "this call needs the app's own token",
            Self::Own => "the token is of another user",
            Self::Member => "the user is not a member",
            _ => "the user may not manage this",
        };
        Err(Refusal::forbidden(text))
    }
}

async fn role(call: &Call, user: &UserId) -> Result<Option<Role>> {
    Ok(member(call, user).await?.map(|member| member.role))
}

/// The group that the path names; where there is none it names a chatroom.
fn group(call: &Call) -> Option<&str> {
    let params = &call.params;
    params.get("group_id").or_else(|| params.get("group_ids"))
}

/// Whether the path names a chatroom, and the user keeps order in all of them.
async fn is_super_admin(call: &Call, user: &UserId) -> Result<bool> {
    if group(call).is_some() {
        return Ok(false);
    }
    Ok(call.app.rooms().is_super_admin(user).await?)
}

/// The user as a member of what the path names.
async fn member(call: &Call, user: &UserId) -> Result<Option<Member>> {
    let (kind, id) = match group(call) {
        Some(id) => (ChannelKind::Group, id),
        None => (ChannelKind::Room, call.param("chatroom_id")?),
    };
    let id = ResourceId::parse(id)?;
    match call.app.channels(kind).members(&id).get(user).await {
        Ok(member) => Ok(Some(member)),
        Err(error) => {
            let refusal = Refusal::from(error);
            // Not in it, or there is no such thing: the handler says which to those who may know.
            if refusal.status.is_client_error() {
                Ok(None)
            } else {
                Err(refusal)
            }
        }
    }
}
