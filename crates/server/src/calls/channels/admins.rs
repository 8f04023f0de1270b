//! Admins: rows 61 to 63 and 97 to 99.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidestore::plan::UserId;
use tidestore::{DirectoryErrorKind, ErrorKind};

use super::Kind;
use super::kind::members;
use crate::answer::Answer;
use crate::call::{Call, required};
use crate::lenient;
use crate::pages::slice;
use crate::refusal::{Refusal, Result};

/// Whom to make an admin.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct NewAdmin {
    #[serde(deserialize_with = "lenient::text")]
    newadmin: Option<String>,
}

/// Who is an admin now, or is none any more.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Appointed {
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    newadmin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldadmin: Option<String>,
}

pub(super) async fn list<K: Kind>(call: Call) -> Result<Answer> {
    let members = &members::<K>(&call)?;
    let admins = slice(0, usize::MAX, |cursor, limit| async move {
        members.admins(cursor.as_deref(), limit).await
    });
    names(&admins.await?)
}

/// Ids with their number.
pub(super) fn names(users: &[UserId]) -> Result<Answer> {
    let names: Vec<_> = users.iter().map(UserId::as_str).collect();
    Answer::list(&names)
}

/// The service says of this call alone that somebody who is not in it does not exist.
fn not_in_it(error: tidestore::Error) -> Refusal {
    let is_missing = matches!(
        error.kind(),
        ErrorKind::Directory(DirectoryErrorKind::NotMember(_))
    );
    let refusal = Refusal::from(error);
    if is_missing {
        refusal.with_status(StatusCode::NOT_FOUND, "resource_not_found")
    } else {
        refusal
    }
}

pub(super) async fn add<K: Kind>(mut call: Call) -> Result<Answer> {
    let user = UserId::parse(&required(
        call.json::<NewAdmin>().await?.newadmin,
        "newadmin",
    )?)?;
    let done = members::<K>(&call)?.set_admin(&user, true).await;
    done.map_err(not_in_it)?;
    Answer::data(&Appointed {
        result: "success",
        newadmin: Some(user.as_str().to_owned()),
        oldadmin: None,
    })
}

pub(super) async fn remove<K: Kind>(call: Call) -> Result<Answer> {
    let user = call.user_in("oldadmin")?;
    members::<K>(&call)?.set_admin(&user, false).await?;
    Answer::data(&Appointed {
        result: "success",
        newadmin: None,
        oldadmin: Some(user.as_str().to_owned()),
    })
}
