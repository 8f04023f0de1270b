//! Caps at their edges: the last place is taken, and who comes next hears why there is none.

use serde_json::{Value, json};
use tidestore::plan::{AppKey, Plan, ResourceId, Terms, UserId};
use tidestore::{Account, App, ErrorKind, NewChannel, RoomSet, Store};

use crate::error::Failure;
use crate::output::{right, table};

/// One cap, and what was answered beyond it.
pub(crate) struct Cap {
    what: &'static str,
    plan: Plan,
    taken: u64,
    answer: String,
}

/// Takes every place of three caps, and asks for one more.
pub(crate) async fn try_out(store: &Store) -> Result<Vec<Cap>, Failure> {
    let free = app(store, Plan::Free).await?;
    let basic = app(store, Plan::Basic).await?;
    Ok(vec![
        users(&free).await?,
        room_attributes(&basic).await?,
        members(&basic).await?,
    ])
}

async fn app(store: &Store, plan: Plan) -> Result<App, Failure> {
    let key = AppKey::parse(&format!("caps#{plan}")).map_err(tidestore::Error::from)?;
    Ok(store.create_app(&key, Terms::of(plan)).await?)
}

fn user(number: u64) -> Result<UserId, Failure> {
    let id = UserId::parse(&format!("user{number}"));
    Ok(id.map_err(tidestore::Error::from)?)
}

fn id(text: &str) -> Result<ResourceId, Failure> {
    Ok(ResourceId::parse(text).map_err(tidestore::Error::from)?)
}

/// Registers users until one is refused.
async fn users(app: &App) -> Result<Cap, Failure> {
    let mut taken = 0;
    loop {
        match app.users().register(Account::new(user(taken + 1)?)).await {
            Ok(_) => taken += 1,
            Err(error) => return refused("registered users", Plan::Free, taken, error),
        }
    }
}

/// Sets attributes of a chatroom until one is refused.
async fn room_attributes(app: &App) -> Result<Cap, Failure> {
    let owner = user(0)?;
    app.users().register(Account::new(owner.clone())).await?;
    let room = app
        .rooms()
        .create(NewChannel::new(id("lobby")?, owner.clone()))
        .await?;
    let mut taken = 0;
    loop {
        let pairs = [(format!("key{}", taken + 1), "value".to_owned())];
        let attributes = app.room_attributes(&room.id);
        let mut results = attributes.set(&owner, pairs, RoomSet::default()).await?;
        let Some((_, refusal)) = results.refused.pop() else {
            taken += 1;
            continue;
        };
        return Ok(Cap {
            what: "attributes of a chatroom",
            plan: Plan::Basic,
            taken,
            answer: refusal.to_string(),
        });
    }
}

/// Adds members to a group until one is refused.
async fn members(app: &App) -> Result<Cap, Failure> {
    let new = NewChannel {
        max_users: Some(300),
        ..NewChannel::new(id("everybody")?, user(0)?)
    };
    let group = app.groups().create(new).await?;
    let mut taken = group.members;
    loop {
        let next = user(taken)?;
        app.users().register(Account::new(next.clone())).await?;
        match app.groups().members(&group.id).add(&next).await {
            Ok(()) => taken += 1,
            Err(error) => return refused("members of a group", Plan::Basic, taken, error),
        }
    }
}

/// Only a limit is what was looked for.
fn refused(
    what: &'static str,
    plan: Plan,
    taken: u64,
    error: tidestore::Error,
) -> Result<Cap, Failure> {
    if !matches!(error.kind(), ErrorKind::Limit(_)) {
        return Err(error.into());
    }
    Ok(Cap {
        what,
        plan,
        taken,
        answer: error.to_string(),
    })
}

/// For people.
pub(crate) fn text(caps: &[Cap]) -> String {
    let mut table = table(["cap", "plan", "places", "the answer to one more"]);
    for cap in caps {
        table.add_row([
            cap.what.into(),
            cap.plan.as_str().into(),
            right(cap.taken),
            cap.answer.as_str().into(),
        ]);
    }
    format!("Every cap of every plan holds exactly\n{table}")
}

/// For programs.
pub(crate) fn value(caps: &[Cap]) -> Value {
    let one = |cap: &Cap| {
        json!({
            "cap": cap.what,
            "plan": cap.plan.as_str(),
            "places": cap.taken,
            "answer": cap.answer,
        })
    };
    caps.iter().map(one).collect()
}
