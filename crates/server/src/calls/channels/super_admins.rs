//! Super admins of chatrooms: rows 114 to 116.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidestore::plan::{Limit, UserId};

use super::admins;
use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, required};
use crate::lenient;
use crate::pages::{ByNumber, slice};
use crate::refusal::Result;
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(114, Access::App, list)
            .query::<ByNumber>()
            .data::<Vec<String>>(),
        Route::new(115, Access::App, add)
            .body::<NewSuperAdmin>()
            .data::<Added>(),
        Route::new(116, Access::App, remove).data::<Removed>(),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct NewSuperAdmin {
    #[serde(deserialize_with = "lenient::text")]
    superadmin: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Added {
    result: &'static str,
    /// Always empty.
    resource: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Removed {
    /// Who was removed: the name is the service's.
    new_super_admin: String,
    /// Always empty.
    resource: &'static str,
}

async fn list(call: Call) -> Result<Answer> {
    let asked: ByNumber = call.query()?;
    let size = asked.size(10, call.limits().max(Limit::RoomMemberPage))?;
    let skip = asked.number()?.saturating_mul(size);
    let rooms = call.app.rooms();
    let found = slice(skip, size, |cursor, limit| async move {
        rooms.super_admins(cursor.as_deref(), limit).await
    });
    admins::names(&found.await?)
}

async fn add(mut call: Call) -> Result<Answer> {
    let asked: NewSuperAdmin = call.json().await?;
    let user = UserId::parse(&required(asked.superadmin, "superadmin")?)?;
    call.app.rooms().set_super_admin(&user, true).await?;
    Answer::data(&Added {
        result: "success",
        resource: "",
    })
}

async fn remove(call: Call) -> Result<Answer> {
    let user = call.user_in("superAdmin")?;
    call.app.rooms().set_super_admin(&user, false).await?;
    Answer::data(&Removed {
        new_super_admin: user.as_str().to_owned(),
        resource: "",
    })
}
