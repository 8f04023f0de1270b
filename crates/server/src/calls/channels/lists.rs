//! Lists of groups and chatrooms: rows 42, 43, 79 and 80.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidestore::plan::Limit;
use tidestore::{Channel, Channels};

use crate::answer::Answer;
use crate::call::Call;
use crate::lenient;
use crate::pages::{ByNumber, size, slice};
use crate::refusal::{Refusal, Result};

/// Pages by cursor; or by number, as some clients ask.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Paging {
    /// How many entries; more than a page holds are cut.
    #[serde(deserialize_with = "lenient::number")]
    #[schemars(range(min = 1))]
    limit: Option<i64>,
    /// What the page before answered.
    #[serde(deserialize_with = "lenient::text")]
    cursor: Option<String>,
    /// From 1.
    #[serde(alias = "pageNum", deserialize_with = "lenient::number")]
    #[schemars(range(min = 1))]
    pagenum: Option<i64>,
    #[serde(alias = "pageSize", deserialize_with = "lenient::number")]
    #[schemars(range(min = 1))]
    pagesize: Option<i64>,
}

/// How many entries a page has if nothing is said.
const PAGE: usize = 10;

/// A group in the list of all.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ListedGroup {
    groupid: String,
    groupname: String,
    /// With the app key: `org#app_user`.
    owner: String,
    /// How many members it has.
    affiliations: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Milliseconds since 1970, as text.
    last_modified: String,
    /// The same, as other clients read it.
    #[serde(rename = "lastModified")]
    last_modified_too: String,
}

/// A group in the list of a user.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct JoinedGroup {
    groupid: String,
    groupname: String,
}

/// A chatroom in the list of all.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ListedRoom {
    id: String,
    name: String,
    owner: String,
    affiliations_count: u64,
    disabled: bool,
}

/// A chatroom in the list of a user.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct JoinedRoom {
    id: String,
    name: String,
    disabled: bool,
}

async fn page(
    call: &Call,
    channels: Channels<'_>,
    max: Limit,
) -> Result<(Vec<Channel>, Option<String>)> {
    let asked: Paging = call.query()?;
    let is_by_number = asked.pagenum.is_some() || asked.pagesize.is_some();
    if is_by_number && asked.limit.is_none() && asked.cursor.is_none() {
        let asked = ByNumber {
            pagenum: asked.pagenum,
            pagesize: asked.pagesize,
        };
        let size = asked.size(PAGE, call.limits().max(max))?;
        let skip = asked.number()?.saturating_mul(size);
        let found = slice(skip, size, |cursor, limit| async move {
            channels.list(cursor.as_deref(), limit).await
        });
        return Ok((found.await?, None));
    }
    let limit = size(asked.limit, PAGE, call.limits().max(max), "limit")?;
    let page = channels.list(asked.cursor.as_deref(), limit).await?;
    Ok((page.items, page.next))
}

pub(super) async fn groups(call: Call) -> Result<Answer> {
    let (groups, next) = page(&call, call.app.groups(), Limit::GroupPage).await?;
    let key = call.app.key();
    let listed = groups.into_iter().map(|group| ListedGroup {
        groupid: group.id.as_str().to_owned(),
        groupname: group.name,
        owner: format!("{key}_{}", group.owner),
        affiliations: group.members,
        kind: "group",
        last_modified: group.modified.to_string(),
        last_modified_too: group.modified.to_string(),
    });
    Ok(Answer::list(&listed.collect::<Vec<_>>())?.cursor(next))
}

pub(super) async fn rooms(call: Call) -> Result<Answer> {
    let (rooms, next) = page(&call, call.app.rooms(), Limit::RoomPage).await?;
    let listed = rooms.into_iter().map(|room| ListedRoom {
        id: room.id.as_str().to_owned(),
        name: room.name,
        owner: room.owner.as_str().to_owned(),
        affiliations_count: room.members,
        disabled: room.is_disabled,
    });
    Ok(Answer::list(&listed.collect::<Vec<_>>())?.cursor(next))
}

/// A page of those that the user is in; the latest if no page is asked for.
async fn joined(
    call: &Call,
    channels: Channels<'_>,
    paged: Limit,
    unpaged: Limit,
) -> Result<Vec<Channel>> {
    let asked: ByNumber = call.query()?;
    let (skip, size) = if asked.pagenum.is_none() && asked.pagesize.is_none() {
        let latest = usize::try_from(call.limits().max(unpaged));
        (0, latest.map_err(|_| Refusal::argument("ask for a page"))?)
    } else {
        let size = asked.size(PAGE, call.limits().max(paged))?;
        (asked.number()?.saturating_mul(size), size)
    };
    let user = &call.user()?;
    slice(skip, size, |cursor, limit| async move {
        channels.joined(user, cursor.as_deref(), limit).await
    })
    .await
}

pub(super) async fn joined_groups(call: Call) -> Result<Answer> {
    let (paged, unpaged) = (Limit::JoinedGroupPage, Limit::JoinedGroupsUnpaged);
    let groups = joined(&call, call.app.groups(), paged, unpaged).await?;
    let listed = groups.into_iter().map(|group| JoinedGroup {
        groupid: group.id.as_str().to_owned(),
        groupname: group.name,
    });
    Answer::list(&listed.collect::<Vec<_>>())
}

pub(super) async fn joined_rooms(call: Call) -> Result<Answer> {
    let (paged, unpaged) = (Limit::JoinedRoomPage, Limit::JoinedRoomsUnpaged);
    let rooms = joined(&call, call.app.rooms(), paged, unpaged).await?;
    let listed = rooms.into_iter().map(|room| JoinedRoom {
        id: room.id.as_str().to_owned(),
        name: room.name,
        disabled: room.is_disabled,
    });
    Answer::list(&listed.collect::<Vec<_>>())
}
