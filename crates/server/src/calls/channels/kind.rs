//! How groups and chatrooms differ in their calls.

use schemars::JsonSchema;
use serde::Serialize;
use tidestore::plan::{Limit, ResourceId};
use tidestore::{ChannelKind, Channels, Members};

use crate::call::Call;
use crate::refusal::Result;

/// One of the two kinds.
pub(super) trait Kind: 'static {
    const KIND: ChannelKind;
    /// The part of the path that names one of them.
    const ID: &'static str;
    /// The part of the path that names several.
    const IDS: &'static str;
    /// The part of the path that names muted members.
    const MUTED: &'static str;
    /// How many one call describes.
    const DETAILS: Limit;
    /// How many members a page has at most.
    const MEMBER_PAGE: Limit;
    /// How many members a page has if nothing is said.
    const MEMBERS: usize;

    /// The id as most calls answer it.
    fn place(id: &ResourceId) -> Place;

    /// The id as calls about the block and allow lists answer it.
    fn place_of_list(id: &ResourceId) -> Place;

    /// The name under which a field is answered that was changed.
    fn answered(field: String) -> String {
        field
    }
}

/// Groups.
#[derive(Debug)]
pub(super) enum Groups {}

/// Chatrooms.
#[derive(Debug)]
pub(super) enum Rooms {}

/// The id of a group or chatroom, under the one name that the call has for it.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(super) struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    groupid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chatroomid: Option<String>,
}

impl Kind for Groups {
    const KIND: ChannelKind = ChannelKind::Group;
    const ID: &'static str = "group_id";
    const IDS: &'static str = "group_ids";
    const MUTED: &'static str = "member_id";
    const DETAILS: Limit = Limit::GroupDetails;
    const MEMBER_PAGE: Limit = Limit::MemberPage;
    const MEMBERS: usize = 10;

    fn place(id: &ResourceId) -> Place {
        Place {
            groupid: Some(id.as_str().to_owned()),
            ..Place::default()
        }
    }

    fn place_of_list(id: &ResourceId) -> Place {
        Self::place(id)
    }
}

impl Kind for Rooms {
    const KIND: ChannelKind = ChannelKind::Room;
    const ID: &'static str = "chatroom_id";
    const IDS: &'static str = "chatroom_id";
    const MUTED: &'static str = "member";
    const DETAILS: Limit = Limit::RoomDetails;
    const MEMBER_PAGE: Limit = Limit::RoomMemberPage;
    const MEMBERS: usize = 1_000;

    fn place(id: &ResourceId) -> Place {
        Place {
            id: Some(id.as_str().to_owned()),
            ..Place::default()
        }
    }

    fn place_of_list(id: &ResourceId) -> Place {
        Place {
            chatroomid: Some(id.as_str().to_owned()),
            ..Place::default()
        }
    }

    /// The service calls the name of a chatroom that of a group here.
    fn answered(field: String) -> String {
        match field.as_str() {
            "name" => "groupname".to_owned(),
            _ => field,
        }
    }
}

/// The groups or chatrooms of the app.
pub(super) fn all<K: Kind>(call: &Call) -> Channels<'_> {
    call.app.channels(K::KIND)
}

/// The one that the path names.
pub(super) fn id<K: Kind>(call: &Call) -> Result<ResourceId> {
    call.resource_in(K::ID)
}

/// The members of the one that the path names.
pub(super) fn members<K: Kind>(call: &Call) -> Result<Members<'_>> {
    Ok(all::<K>(call).members(&id::<K>(call)?))
}
