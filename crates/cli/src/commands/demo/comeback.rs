//! A device that comes back after two days: what it missed, and what it costs to tell.

use std::time::Duration;

use serde_json::{Value, json};
use tidestore::disk::SimClock;
use tidestore::plan::{AppKey, Plan, ResourceId, Terms, UserId};
use tidestore::{
    Account, App, By, Conversation, InboxPage, Listed, Message, NewChannel, NewMessage, Store,
};

use super::latency::{Latencies, show};
use crate::commands::history::shown;
use crate::error::Failure;
use crate::output::{count, cut, right, table};

/// What the device found.
pub(crate) struct Comeback {
    before: u64,
    pending: u64,
    list: Vec<Listed>,
    newest: Vec<(Conversation, Message)>,
    drained: u64,
    draining: Duration,
    after: u64,
}

/// Members of the group.
const MEMBERS: usize = 200;
/// Friends who write.
const FRIENDS: usize = 5;
/// Rounds of messages while the device is away.
const ROUNDS: usize = 48;

/// Lets a phone acknowledge, two days pass, and the phone come back.
pub(crate) async fn come_back(store: &Store, clock: &SimClock) -> Result<Comeback, Failure> {
    let key = AppKey::parse("comeback#pro").map_err(tidestore::Error::from)?;
    let app = store.create_app(&key, Terms::of(Plan::Pro)).await?;
    let tea = found(&app).await?;
    let ann = user(0)?;
    let phone = app.inbox(&ann, "phone")?;
    say(&app, &tea, 1, "see you the day after tomorrow").await?;
    let first = phone.page(None, 100).await?;
    phone.acknowledge(&first.cursor).await?;
    let before = phone.count().await?;
    let mut latest = None;
    for round in 0..ROUNDS {
        clock.advance(Duration::from_hours(48) / u32::try_from(ROUNDS).unwrap_or(1));
        for n in 0..10 {
            say(
                &app,
                &tea,
                1 + (round * 10 + n) % (MEMBERS - 1),
                "and so on",
            )
            .await?;
        }
        let friend = 1 + round % FRIENDS;
        let chat = Conversation::direct(&ann, &user(friend)?);
        latest = Some(say(&app, &chat, friend, "are you there?").await?);
    }
    if let Some(latest) = latest {
        app.react(latest.id, &ann, "👋").await?;
        let regretted = say(&app, &tea, 7, "something silly").await?;
        app.recall(regretted.id, &By::User(user(7)?)).await?;
    }
    let pending = phone.count().await?;
    let list = app.as_user(&ann).conversations(None, 6).await?.items;
    let (mut pages, mut drained) = (Latencies::new()?, 0);
    let mut newest = Vec::new();
    let mut behind: Option<String> = None;
    loop {
        let drain = async {
            let page: InboxPage = phone.page(behind.as_deref(), 100).await?;
            phone.acknowledge(&page.cursor).await?;
            Ok::<_, Failure>(page)
        };
        let page = pages.time(drain).await?;
        drained += page.items.len() as u64;
        newest.extend(
            page.items
                .into_iter()
                .map(|item| (item.conversation, item.message)),
        );
        newest.drain(..newest.len().saturating_sub(3));
        behind = Some(page.cursor);
        if !page.more {
            break;
        }
    }
    Ok(Comeback {
        before,
        pending,
        list,
        newest,
        drained,
        draining: pages.elapsed,
        after: phone.count().await?,
    })
}

async fn found(app: &App) -> Result<Conversation, Failure> {
    let users: Vec<UserId> = (0..MEMBERS).map(user).collect::<Result<_, _>>()?;
    for users in users.chunks(60) {
        let accounts = users.iter().cloned().map(Account::new).collect();
        app.users().register_many(accounts).await?;
    }
    let tea = ResourceId::parse("tea").map_err(tidestore::Error::from)?;
    let new = NewChannel {
        max_users: u32::try_from(MEMBERS).ok(),
        ..NewChannel::new(tea.clone(), user(0)?)
    };
    app.groups().create(new).await?;
    for users in users.get(1..).unwrap_or_default().chunks(60) {
        app.groups().members(&tea).add_many(users).await?;
    }
    Ok(Conversation::group(&tea))
}

fn user(number: usize) -> Result<UserId, Failure> {
    let name = if number == 0 {
        "ann".to_owned()
    } else {
        format!("user{number}")
    };
    Ok(UserId::parse(&name).map_err(tidestore::Error::from)?)
}

async fn say(
    app: &App,
    to: &Conversation,
    from: usize,
    text: &'static str,
) -> Result<tidestore::Receipt, Failure> {
    let message = NewMessage::text(to.clone(), user(from)?, text);
    Ok(app.send(message).await?)
}

impl Comeback {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut list = table(["ann's conversations", "unread", "last"]);
        for listed in &self.list {
            list.add_row([
                listed.conversation.as_str().into(),
                right(count(listed.unread)),
                cut(&shown(&listed.last), 40).into(),
            ]);
        }
        let newest = self.newest.iter();
        let newest = newest.map(|(chat, message)| format!("  {}: {}", chat.main(), shown(message)));
        format!(
            "A phone comes back after two days: {} pending when it left, {} now\n{list}\n\
             All {} drained and acknowledged in {}, {} pending after; the last ones:\n{}",
            count(self.before),
            count(self.pending),
            count(self.drained),
            show(self.draining),
            count(self.after),
            newest.collect::<Vec<_>>().join("\n")
        )
    }

    /// For programs.
    pub(crate) fn value(&self) -> Value {
        json!({
            "pending_before": self.before,
            "pending": self.pending,
            "unread": self.list.iter().map(|listed| listed.unread).sum::<u64>(),
            "drained": self.drained,
            "draining_us": u64::try_from(self.draining.as_micros()).unwrap_or(u64::MAX),
            "pending_after": self.after,
        })
    }
}
