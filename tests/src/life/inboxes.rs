//! Inboxes and what users make of conversations: cursors, reading marks, pins.

use std::collections::BTreeSet;

use tidestore::{App, MessageId, Result, Revision};

use super::facts::ABSENT;
use super::{CHAPTERS, Judge, Stage};
use crate::{group, user};

/// What is known of inboxes.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Whether bob's phone is known: the first page that a device asks for notes where it begins.
    pub begun: bool,
    /// What bob's phone has acknowledged: it must not come again.
    pub done: BTreeSet<MessageId>,
    /// What it has asked to be acknowledged: it may come again or not.
    pub asked: BTreeSet<MessageId>,
}

pub(super) async fn chapter(stage: &Stage, number: usize) -> Result<()> {
    match number {
        0 => {
            acknowledge(stage).await?;
            stage
                .change("read bob", "2", async || {
                    let bob = user("bob");
                    let view = stage.app.as_user(&bob);
                    view.mark_read(&group("tea"), Some(tidestore::Seq(2))).await
                })
                .await
        }
        1 => {
            stage
                .change("pinned bob", "tea", async || {
                    let bob = user("bob");
                    stage
                        .app
                        .as_user(&bob)
                        .set_pinned(&group("tea"), true)
                        .await
                })
                .await
        }
        2 | CHAPTERS => acknowledge(stage).await,
        _ => Ok(()),
    }
}

async fn acknowledge(stage: &Stage) -> Result<()> {
    let bob = user("bob");
    let inbox = stage.app.inbox(&bob, "phone")?;
    let page = stage.act(async || inbox.page(None, 100).await).await?;
    let ids: Vec<_> = page.items.iter().map(|item| item.message.id).collect();
    {
        let told = &mut stage.told.borrow_mut().inboxes;
        let again = ids.iter().find(|id| told.done.contains(id));
        assert_eq!(again, None, "it was acknowledged before");
        told.begun = true;
        told.asked.extend(&ids);
    }
    stage
        .act(async || inbox.acknowledge(&page.cursor).await)
        .await?;
    stage.told.borrow_mut().inboxes.done.extend(ids);
    Ok(())
}

/// Compares what waits for bob's phone with what was told of it.
pub(super) async fn check(app: &App, told: &super::Told, judge: &mut Judge) {
    if !told.inboxes.begun {
        return;
    }
    let bob = user("bob");
    let Some(inbox) = judge.answer(app.inbox(&bob, "phone")) else {
        return;
    };
    let Some(page) = judge.answer(inbox.page(None, 1_000).await) else {
        return;
    };
    let waiting: BTreeSet<_> = page.items.iter().map(|item| item.message.id).collect();
    let again = waiting.intersection(&told.inboxes.done).count();
    if again > 0 {
        assert!(judge.is_torn(), "{}: {again} come again", judge.what());
    }
    if !is_member(app, judge).await {
        return;
    }
    let of_tea = told.messages.there.iter().filter(|known| {
        known.to == "tea" && known.is_live && known.receipt.id.millis() >= told.messages.floor
    });
    for known in of_tea {
        let id = known.receipt.id;
        let is_known = told.inboxes.asked.contains(&id) || known.may_be_lost();
        if is_known || waiting.contains(&id) {
            continue;
        }
        // Not acknowledged, so it waits; unless it is gone itself, which the check of messages has judged.
        let found = judge.answer(app.message(id).await);
        if let Some(Some((_, found))) = found {
            let waits = matches!(found.revision, Revision::Recalled { .. });
            assert!(
                waits || judge.is_damaged(),
                "{}: {id} does not wait",
                judge.what()
            );
        }
    }
}

async fn is_member(app: &App, judge: &mut Judge) -> bool {
    let groups = app.groups();
    let tea = super::directory::resource("tea");
    let members = groups.members(&tea);
    match members.get(&user("bob")).await {
        Err(error) if matches!(error.kind(), tidestore::ErrorKind::Directory(_)) => false,
        found => judge.answer(found).is_some(),
    }
}

/// What somebody has made of a conversation.
pub(super) async fn probe(app: &App, part: &str, name: &str) -> Result<String> {
    let who = user(name);
    let view = app.as_user(&who);
    // With the group goes what somebody made of it.
    let tea = app.groups().get(&super::directory::resource("tea")).await;
    if tea.is_err_and(|error| matches!(error.kind(), tidestore::ErrorKind::Directory(_))) {
        return Ok(if part == "read" { "2" } else { "tea" }.to_owned());
    }
    if part == "read" {
        let seq = view.read_up_to(&group("tea")).await?;
        return Ok(if seq.0 == 0 {
            ABSENT.to_owned()
        } else {
            seq.0.to_string()
        });
    }
    let list = view.conversations(None, 100).await?;
    let pinned = list.items.iter().filter(|item| item.pinned.is_some());
    let names: Vec<_> = pinned.map(|item| item.conversation.to_string()).collect();
    Ok(if names.is_empty() {
        ABSENT.to_owned()
    } else {
        names.join(",").replace("group:", "")
    })
}
