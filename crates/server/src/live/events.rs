//! Server-sent events, for those who only listen: the same frames, and acknowledgement by a call of its own.

use std::convert::Infallible;

use axum::response::IntoResponse;
use axum::response::sse::{Event as Sse, KeepAlive, Sse as Response};
use futures_util::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidestore::InboxStream;
use tidestore::plan::UserId;
use tokio_util::sync::CancellationToken;

use super::frames::{Ending, farewell, frame};
use super::presence::{LOOK, Online};
use crate::answer::Answer;
use crate::call::{Call, required};
use crate::lenient;
use crate::refusal::{Refusal, Result};

/// Messages of one acknowledgement are looked for so far.
const PAGE: usize = 1_000;

struct Live {
    online: Online,
    inbox: InboxStream,
    shutdown: CancellationToken,
    is_over: bool,
}

pub(super) async fn open(call: Call) -> Result<Answer> {
    let online = Online::begin(&call).await?;
    let inbox = call
        .app
        .inbox(&online.user, &online.device)?
        .subscribe()
        .await?;
    let live = Live {
        online,
        inbox,
        shutdown: call.service.shutdown.clone(),
        is_over: false,
    };
    let events = stream::unfold(live, |mut live| async move {
        if live.is_over {
            return None;
        }
        let event = live.next().await;
        Some((Ok::<_, Infallible>(event), live))
    });
    let response = Response::new(events).keep_alive(KeepAlive::default());
    Ok(Answer::Raw(response.into_response()))
}

impl Live {
    async fn next(&mut self) -> Sse {
        match self.wait().await {
            Ok(event) => event,
            Err(ending) => {
                self.is_over = true;
                Sse::default()
                    .event("end")
                    .data(farewell(ending).to_string())
            }
        }
    }

    async fn wait(&mut self) -> Result<Sse, Ending> {
        loop {
            // The client says nothing here: it is there for as long as the connection is.
            self.online.renew().await?;
            tokio::select! {
                () = self.shutdown.cancelled() => return Err(Ending::Stopping),
                event = self.inbox.next() => {
                    let event = event.map_err(|_| Ending::Failed)?;
                    let text = frame(&event, self.online.user.as_str());
                    let id = text["msg_id"].as_str().unwrap_or_default().to_owned();
                    return Ok(Sse::default().id(id).data(text.to_string()));
                }
                () = tokio::time::sleep(LOOK) => {
                    if !self.online.is_there() {
                        return Err(Ending::Disconnected);
                    }
                }
            }
        }
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Acknowledgement {
    /// The device that has them.
    #[serde(deserialize_with = "lenient::text")]
    device: Option<String>,
    /// Whose, with the app's token.
    #[serde(deserialize_with = "lenient::text")]
    username: Option<String>,
    /// The last message that has arrived: that one and all before it.
    #[serde(deserialize_with = "lenient::text")]
    msg_id: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Acknowledged {
    result: bool,
}

/// Acknowledges up to a message that is pending.
pub(super) async fn acknowledge(mut call: Call) -> Result<Answer> {
    let said: Acknowledgement = call.json().await?;
    let user = match (call.caller_user(), said.username) {
        (Some(user), _) => user.clone(),
        (None, name) => UserId::parse(&required(name, "username")?)?,
    };
    let device = said.device.unwrap_or_else(|| "live".to_owned());
    let id = required(said.msg_id, "msg_id")?;
    let inbox = call.app.inbox(&user, &device)?;
    let mut cursor: Option<String> = None;
    loop {
        let page = inbox.page(cursor.as_deref(), PAGE).await?;
        let mut all = page.items.iter();
        if let Some(last) = all.find(|pending| pending.message.id.to_string() == id) {
            inbox.acknowledge(&inbox.cursor_of(&page, last)).await?;
            return Answer::data(&Acknowledged { result: true });
        }
        if !page.more {
            return Err(Refusal::not_found(format!("message {id} is not pending")));
        }
        cursor = Some(page.cursor);
    }
}
