//! Shared files of groups: rows 52 to 55.

use schemars::JsonSchema;
use serde::Serialize;
use tidestore::SharedFile;
use tidestore::plan::{AttachmentId, Limit, ResourceId};

use super::messages::{Shown, serve};
use crate::answer::Answer;
use crate::auth::Access;
use crate::call::Call;
use crate::pages::{ByNumber, slice};
use crate::refusal::{Refusal, Result};
use crate::routes::Route;
use crate::upload;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(52, Access::Member, list)
            .query::<ByNumber>()
            .data::<Vec<Listed>>(),
        Route::new(53, Access::Member, share)
            .multipart::<File>()
            .data::<Shared>(),
        Route::new(54, Access::Member, get).bytes(),
        Route::new(55, Access::Member, unshare).data::<Unshared>(),
    ]
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct File {
    file: Vec<u8>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    file_id: String,
    file_name: String,
    file_owner: String,
    file_size: u64,
    created: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Shared {
    file_url: String,
    group_id: String,
    file_name: String,
    created: u64,
    file_id: String,
    file_size: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Unshared {
    group_id: String,
    file_id: String,
    result: bool,
}

async fn list(call: Call) -> Result<Answer> {
    let asked: ByNumber = call.query()?;
    let size = asked.size(1_000, call.limits().max(Limit::SharedFilePage))?;
    let skip = asked.number()?.saturating_mul(size);
    let files = call.app.shared_files(&call.resource_in("group_id")?);
    let found = slice(skip, size, |cursor, limit| {
        let files = files.clone();
        async move { files.list(cursor.as_deref(), limit).await }
    });
    let listed = found.await?.into_iter().map(|file| Listed {
        file_id: file.attachment.to_string(),
        file_name: file.name,
        file_owner: file.owner.to_string(),
        file_size: file.size,
        created: file.created,
    });
    Answer::list(&listed.collect::<Vec<_>>())
}

async fn share(mut call: Call) -> Result<Answer> {
    let group = call.resource_in("group_id")?;
    let found = call.app.groups().get(&group).await?;
    // Known before the file comes, which may be large.
    if found.is_disabled {
        let text = format!("the group {group} is banned");
        return Err(Refusal::forbidden(text));
    }
    // What the app shares it shares as the owner of the group.
    let owner = call.caller_user().cloned().unwrap_or(found.owner);
    let uploaded = upload::store(&mut call, owner.clone(), |kind, _| kind)
        .await?
        .attachment;
    let shared = call
        .app
        .shared_files(&group)
        .share(&owner, uploaded.id, &uploaded.name)
        .await;
    let file = match shared {
        Ok(file) => file,
        Err(error) => {
            // Nobody would find it again.
            if let Err(left) = call.app.delete_attachment(uploaded.id).await {
                tracing::warn!(error = %left, "a file that could not be shared is left until its time is over");
            }
            return Err(error.into());
        }
    };
    let base = call.base_url();
    Answer::data(&Shared {
        file_url: format!("{base}/chatgroups/{group}/share_files/{}", file.attachment),
        group_id: group.to_string(),
        file_name: file.name,
        created: file.created,
        file_id: file.attachment.to_string(),
        file_size: file.size,
    })
}

async fn found(call: &Call) -> Result<(ResourceId, SharedFile)> {
    let group = call.resource_in("group_id")?;
    let id = AttachmentId::parse(call.param("file_id")?);
    let id =
        id.map_err(|error| Refusal::not_found(error.to_string()).called("resource_not_found"))?;
    let file = call.app.shared_files(&group).get(id).await?;
    Ok((group, file))
}

async fn get(call: Call) -> Result<Answer> {
    let (_, file) = found(&call).await?;
    let attachment = call.app.attachment(file.attachment).await?;
    let shown = Shown {
        id: file.attachment,
        name: &file.name,
        kind: &attachment.media_type,
        length: attachment.length,
    };
    serve(&call, &shown).await
}

async fn unshare(call: Call) -> Result<Answer> {
    let (group, file) = found(&call).await?;
    if let Some(user) = call.caller_user().filter(|user| **user != file.owner) {
        use tidestore::Role;
        let member = call.app.groups().members(&group).get(user).await?;
        if member.role == Role::Member {
            return Err(Refusal::forbidden("the file is somebody else's"));
        }
    }
    call.app
        .shared_files(&group)
        .unshare(file.attachment)
        .await?;
    Answer::data(&Unshared {
        group_id: group.to_string(),
        file_id: file.attachment.to_string(),
        result: true,
    })
}
