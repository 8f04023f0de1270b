//! Users, contacts, block lists, groups, rooms and threads.

use tidestore::plan::ResourceId;
use tidestore::{
    Account, App, ChannelKind, DirectoryErrorKind, ErrorKind, MuteFor, NewChannel, NewThread,
    Result,
};

use super::facts::ABSENT;
use super::{CHAPTERS, Stage};
use crate::user;

/// A resource id.
pub(super) fn resource(id: &str) -> ResourceId {
    ResourceId::parse(id).unwrap()
}

pub(super) async fn chapter(stage: &Stage, number: usize) -> Result<()> {
    match number {
        0 => {
            for name in ["ann", "bob", "cid", "dan"] {
                register(stage, name).await?;
            }
            contact(stage, "ann", "bob").await?;
            create(stage, ChannelKind::Group, "tea", &["ann", "bob"]).await?;
            create(stage, ChannelKind::Room, "hall", &["cid"]).await?;
            join(stage, ChannelKind::Room, "hall", "ann", "cid ann,cid").await
        }
        1 => {
            stage
                .change("blocks ann", "dan", async || {
                    stage.app.blocks(&user("ann")).add(&[user("dan")]).await
                })
                .await?;
            join(stage, ChannelKind::Group, "tea", "cid", "ann ann,bob,cid").await?;
            thread(stage).await
        }
        2 => {
            stage
                .change("user bob", "banned", async || {
                    stage.app.users().ban(&user("bob")).await
                })
                .await?;
            stage
                .change("muted cid", "true", async || {
                    let members = stage.app.groups();
                    let members = members.members(&resource("tea"));
                    let all = members.mute(&[user("cid")], MuteFor::Forever).await?;
                    all.into_iter().collect::<Result<Vec<_>>>()
                })
                .await
                .map(drop)
        }
        3 => {
            // Takes contacts, block lists and memberships along, in one record or several.
            stage
                .change("user dan", ABSENT, async || {
                    forgive(stage.app.users().delete(&user("dan")).await.map(drop))
                })
                .await?;
            stage
                .change("group tea", ABSENT, async || {
                    forgive(stage.app.groups().delete(&resource("tea")).await)
                })
                .await
        }
        CHAPTERS => register(stage, "eve").await,
        _ => Ok(()),
    }
}

/// A call that failed may have been carried out: then there is nothing left to do.
fn forgive(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if matches!(error.kind(), ErrorKind::Directory(_)) => Ok(()),
        done => done,
    }
}

async fn register(stage: &Stage, name: &str) -> Result<()> {
    stage
        .change(&format!("user {name}"), "here", async || {
            let account = Account::new(user(name));
            forgive(stage.app.users().register(account).await.map(drop))
        })
        .await
}

async fn contact(stage: &Stage, a: &str, b: &str) -> Result<()> {
    stage
        .change(&format!("contacts {a}"), b, async || {
            stage.app.contacts(&user(a)).add(&user(b)).await
        })
        .await
        .map(drop)
}

async fn create(stage: &Stage, kind: ChannelKind, id: &str, members: &[&str]) -> Result<()> {
    let name = format!("{} {id}", word(kind));
    let value = format!("{} {}", members[0], members.join(","));
    stage
        .change(&name, &value, async || {
            let new = NewChannel {
                members: members[1..].iter().map(|name| user(name)).collect(),
                ..NewChannel::new(resource(id), user(members[0]))
            };
            forgive(stage.app.channels(kind).create(new).await.map(drop))
        })
        .await
}

async fn join(stage: &Stage, kind: ChannelKind, id: &str, who: &str, then: &str) -> Result<()> {
    stage
        .change(&format!("{} {id}", word(kind)), then, async || {
            let channels = stage.app.channels(kind);
            forgive(channels.members(&resource(id)).add(&user(who)).await)
        })
        .await
}

async fn thread(stage: &Stage) -> Result<()> {
    stage
        .change("thread talk", "Talk", async || {
            let new = NewThread {
                id: resource("talk"),
                group: resource("tea"),
                name: "Talk".to_owned(),
                owner: user("ann"),
                parent: 7,
            };
            forgive(stage.app.threads().create(new).await.map(drop))
        })
        .await
}

fn word(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Group => "group",
        ChannelKind::Room => "room",
    }
}

/// What a thing is now.
pub(super) async fn probe(app: &App, part: &str, name: &str) -> Result<String> {
    let found = match part {
        "user" => app.users().get(&user(name)).await.map(|user| {
            let state = if user.is_banned { "banned" } else { "here" };
            state.to_owned()
        }),
        "contacts" => app.contacts(&user(name)).list(None, 9).await.map(|page| {
            let all = page.items.iter().map(|contact| contact.friend.to_string());
            joined(all.collect())
        }),
        "blocks" => app.blocks(&user(name)).list(None, 9).await.map(|page| {
            let all = page.items.iter().map(ToString::to_string);
            joined(all.collect())
        }),
        "group" => channel(app, ChannelKind::Group, name).await,
        "room" => channel(app, ChannelKind::Room, name).await,
        "thread" => app.threads().get(&resource(name)).await.map(|t| t.name),
        "muted" => {
            let members = app.groups();
            let member = members.members(&resource("tea")).get(&user(name)).await;
            member.map(|member| match member.muted_until {
                Some(_) => "true".to_owned(),
                None => ABSENT.to_owned(),
            })
        }
        other => panic!("no such part: {other}"),
    };
    match found {
        Err(error) => match error.kind() {
            // With the group goes what was true in it.
            ErrorKind::Directory(_) if part == "muted" => Ok("true".to_owned()),
            ErrorKind::Directory(DirectoryErrorKind::ThreadNotFound(_)) => {
                gone_with_group(app).await
            }
            ErrorKind::Directory(_) if part == "blocks" || part == "contacts" => {
                Ok(ABSENT.to_owned())
            }
            ErrorKind::Directory(_) => Ok(ABSENT.to_owned()),
            _ => Err(error),
        },
        found => found,
    }
}

/// A thread goes with its group, which the life deletes at its end.
async fn gone_with_group(app: &App) -> Result<String> {
    let group = channel(app, ChannelKind::Group, "tea").await;
    Ok(match group {
        Err(error) if matches!(error.kind(), ErrorKind::Directory(_)) => "Talk".to_owned(),
        _ => ABSENT.to_owned(),
    })
}

async fn channel(app: &App, kind: ChannelKind, id: &str) -> Result<String> {
    let channel = app.channels(kind).get(&resource(id)).await?;
    let channels = app.channels(kind);
    let members = channels.members(&resource(id)).list(None, 9).await?;
    let mut all: Vec<_> = members.items.iter().map(|m| m.user.to_string()).collect();
    all.sort();
    Ok(format!("{} {}", channel.owner, all.join(",")))
}

fn joined(mut all: Vec<String>) -> String {
    all.sort();
    if all.is_empty() {
        ABSENT.to_owned()
    } else {
        all.join(",")
    }
}
