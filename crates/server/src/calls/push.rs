//! Pushing: rows 132 to 134, and the log of what was pushed.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tidestore::NotificationKind;
use tidestore::plan::{Limit, Limits, Method};

use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, required, users as ids};
use crate::lenient;
use crate::pages::ByCursor;
use crate::push::PushNotice;
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(132, Access::App, single)
            .body::<Push>()
            .data::<Vec<Pushed>>(),
        Route::new(133, Access::App, label)
            .body::<Push>()
            .data::<Task>(),
        Route::new(134, Access::App, all)
            .body::<Push>()
            .data::<u64>(),
        Route::beside(
            "list_notifications",
            Method::Get,
            "/push/log",
            Access::App,
            log,
        )
        .query::<ByCursor>()
        .data::<Vec<Logged>>(),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Push {
    /// Users, or labels of which a user must have all.
    #[serde(deserialize_with = "lenient::names")]
    targets: Option<Vec<String>>,
    /// `false` waits for the gateways, for one target.
    #[serde(rename = "async", deserialize_with = "lenient::flag")]
    is_async: Option<bool>,
    /// 0 to 3; which networks a gateway tries is its own business.
    #[serde(deserialize_with = "lenient::number")]
    strategy: Option<i64>,
    #[serde(rename = "pushMessage")]
    push_message: Option<Map<String, Value>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Pushed {
    id: String,
    push_status: &'static str,
    desc: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Task {
    task_id: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Logged {
    id: u64,
    time: u64,
    kind: &'static str,
    targets: Vec<String>,
    content: Value,
}

impl Push {
    /// What is pushed, if it is what may be.
    fn content(&self, limits: &Limits) -> Result<Value> {
        if self
            .strategy
            .is_some_and(|strategy| !(0..=3).contains(&strategy))
        {
            return Err(Refusal::argument("strategy has to be 0 to 3"));
        }
        let message = required(self.push_message.clone(), "pushMessage")?;
        for (name, limit) in [
            ("title", Limit::PushTitle),
            ("subTitle", Limit::PushSubtitle),
            ("content", Limit::PushContent),
        ] {
            match message.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => limits.check_text(limit, text)?,
                Some(_) => return Err(Refusal::argument(format!("{name} is no text"))),
            }
        }
        match message.get("ext") {
            None | Some(Value::Null) => {}
            Some(Value::Object(ext)) => {
                limits.check(Limit::PushExtensionKeys, ext.len() as u64)?;
                limits.check_text(Limit::PushExtension, &json!(ext).to_string())?;
            }
            Some(_) => return Err(Refusal::argument("ext is no object")),
        }
        let content = Value::Object(message);
        // What the log keeps of one; settings of vendors have no bound of their own.
        let (bytes, max) = (content.to_string().len(), 4 << 10);
        if bytes > max {
            let text = format!("pushMessage is {bytes} bytes long; at most {max} are possible");
            return Err(Refusal::argument(text));
        }
        Ok(content)
    }

    fn targets(&self, limits: &Limits, limit: Limit) -> Result<&[String]> {
        let targets = self.targets.as_deref().unwrap_or_default();
        if targets.is_empty() {
            return Err(Refusal::argument("targets is missing"));
        }
        limits.check(limit, targets.len() as u64)?;
        Ok(targets)
    }
}

/// Without a gateway nobody would get anything.
fn check_gateway(call: &Call) -> Result<()> {
    if call.service.pusher.is_idle() {
        return Err(Refusal::forbidden("this service has no push gateway"));
    }
    Ok(())
}

async fn deliver(call: &Call, notice: PushNotice) -> Result<(), String> {
    call.service.pusher.deliver(&call.app, &[notice]).await
}

/// The refusal of a call whose notification no gateway took.
fn not_taken(why: &str) -> Refusal {
    let text = format!("the notification was not taken: {why}");
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", text)
}

async fn single(mut call: Call) -> Result<Answer> {
    let asked: Push = call.json().await?;
    let content = asked.content(call.limits())?;
    let users = ids(asked.targets(call.limits(), Limit::PushTargets)?)?;
    let waits = asked.is_async == Some(false);
    if waits && users.len() > 1 {
        return Err(Refusal::argument(
            "without async there can be only one target",
        ));
    }
    check_gateway(&call)?;
    let (mut there, mut pushed) = (Vec::new(), Vec::new());
    for user in users {
        let known = call.app.users().get(&user).await.map_err(Refusal::from);
        let (push_status, desc) = match known {
            Ok(_) => (
                if waits { "SUCCESS" } else { "ASYNC_SUCCESS" },
                String::new(),
            ),
            Err(refusal) if refusal.is_not_found() => ("FAIL", refusal.description),
            Err(refusal) => return Err(refusal),
        };
        let id = user.as_str().to_owned();
        if push_status != "FAIL" {
            there.push(id.clone());
        }
        pushed.push(Pushed {
            id,
            push_status,
            desc,
        });
    }
    if there.is_empty() {
        return Answer::data(&pushed);
    }
    let done = deliver(
        &call,
        PushNotice {
            kind: NotificationKind::Single,
            targets: there,
            content,
        },
    );
    if let Err(why) = done.await {
        for one in pushed.iter_mut().filter(|one| one.push_status != "FAIL") {
            (one.push_status, one.desc) = ("ERROR", why.clone());
        }
    }
    Answer::data(&pushed)
}

async fn label(mut call: Call) -> Result<Answer> {
    let asked: Push = call.json().await?;
    let content = asked.content(call.limits())?;
    let labels = asked
        .targets(call.limits(), Limit::PushLabelTargets)?
        .to_vec();
    check_gateway(&call)?;
    for label in &labels {
        call.app.push().label(label).await?;
    }
    let _place = call
        .service
        .pusher
        .task(call.app.id(), call.limits().max(Limit::PushTasks))?;
    // Who has all of the labels is the gateway's to find out: it may be 200,000 users.
    let notice = PushNotice {
        kind: NotificationKind::Label,
        targets: labels,
        content,
    };
    deliver(&call, notice)
        .await
        .map_err(|why| not_taken(&why))?;
    let task_id = crate::ids::fresh();
    Answer::data(&Task { task_id })
}

async fn all(mut call: Call) -> Result<Answer> {
    let asked: Push = call.json().await?;
    let content = asked.content(call.limits())?;
    check_gateway(&call)?;
    let notice = PushNotice {
        kind: NotificationKind::All,
        targets: Vec::new(),
        content,
    };
    deliver(&call, notice)
        .await
        .map_err(|why| not_taken(&why))?;
    Answer::data(&crate::ids::fresh())
}

/// The newest first; `cursor` is the id of the last one that was seen.
async fn log(call: Call) -> Result<Answer> {
    let asked: ByCursor = call.query()?;
    let limit = asked.size(100, 1_000)?;
    let before = asked.cursor.as_deref().map(str::parse).transpose();
    let before = before.map_err(|_| Refusal::argument("cursor is no id of a notification"))?;
    let found = call.app.notifications(before, limit).await?;
    let next = (found.len() == limit).then(|| found.last().map(|last| last.id.to_string()));
    let found: Vec<Logged> = found
        .into_iter()
        .map(|one| Logged {
            id: one.id,
            time: one.time,
            kind: crate::push::word(one.kind),
            targets: one.targets,
            content: serde_json::from_slice(&one.content).unwrap_or_default(),
        })
        .collect();
    Ok(Answer::list(&found)?.cursor(next.flatten()))
}
