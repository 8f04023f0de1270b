//! Messages: live, buffered and imported, with receipts, attachments, edits, recalls and reactions.

use std::collections::BTreeMap;

use tidestore::{
    App, By, Conversation, Durability, ErrorKind, Message, MessageId, NewMessage, OldMessage,
    Receipt, Result, Revision,
};

use super::attachments::live_until;
use super::{CHAPTERS, Judge, Stage};
use crate::{DAY, HOUR, group, user, whole};

/// What is known of messages.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Those that were acknowledged.
    pub there: Vec<Known>,
    /// Bodies that were asked for, with their conversation.
    pub asked: Vec<(String, String)>,
    /// Everything older than this may be gone: expiry was asked for.
    pub floor: u64,
}

/// A message that was acknowledged.
#[derive(Clone, Debug)]
pub struct Known {
    /// The group it was sent to.
    pub to: String,
    /// What was answered.
    pub receipt: Receipt,
    /// Bodies it may have: the one that was acknowledged last, and those that were asked for since. `None` is recalled.
    pub bodies: Vec<Option<String>>,
    /// Whether it came live, so that it waits for devices.
    pub is_live: bool,
}

/// The groups that are written to.
const GROUPS: [&str; 3] = ["tea", "walks", "news"];

pub(super) async fn chapter(stage: &Stage, number: usize) -> Result<()> {
    match number {
        0 => {
            for n in 0..4 {
                append(stage, GROUPS[n % 2], Durability::Synced, false).await?;
            }
            append(stage, "tea", Durability::Buffered, false).await?;
            stage.act(async || stage.store.sync().await).await?;
            settle(stage);
            append(stage, "tea", Durability::Synced, true).await
        }
        1 => {
            import(stage, 3).await?;
            append(stage, "walks", Durability::Synced, false).await?;
            change(stage).await
        }
        2 | 3 | CHAPTERS => {
            append(stage, "news", Durability::Synced, true).await?;
            append(stage, "tea", Durability::Synced, false).await
        }
        _ => Ok(()),
    }
}

/// Appends; with a client id, and once more as a device does that did not hear the answer.
async fn append(stage: &Stage, to: &str, durability: Durability, attached: bool) -> Result<()> {
    let body = ask(stage, to);
    let attachment = stage.told.borrow().attachments.firsts.last().copied();
    let message = NewMessage {
        ext: "{}".into(),
        client_id: format!("c-{body}").into(),
        attachments: attachment.filter(|_| attached).into_iter().collect(),
        ..NewMessage::text(group(to), user("ann"), body.clone())
    };
    let receipt = stage
        .act(async || stage.app.append_with(message.clone(), durability).await)
        .await?;
    let again = stage
        .act(async || stage.app.append_with(message.clone(), durability).await)
        .await?;
    assert_eq!((again.id, again.seq), (receipt.id, receipt.seq));
    if let Some(attachment) = attachment.filter(|_| attached) {
        live_until(stage, attachment, stage.now() + 3 * DAY);
    }
    acknowledge(stage, to, body, receipt, durability == Durability::Synced);
    Ok(())
}

async fn import(stage: &Stage, count: u64) -> Result<()> {
    for n in 0..count {
        let body = ask(stage, "news");
        let old = OldMessage {
            message: NewMessage::text(group("news"), user("bob"), body.clone()),
            time: stage.now() - 2 * HOUR - n,
            occurrence: 0,
            is_pending: false,
            is_read: false,
        };
        let receipt = stage
            .act(async || stage.app.import(vec![old.clone()]).await.remove(0))
            .await?;
        acknowledge(stage, "news", body, receipt, true);
        if let Some(known) = stage.told.borrow_mut().messages.there.last_mut() {
            known.is_live = false;
        }
    }
    Ok(())
}

/// An edit, a recall and a reaction.
async fn change(stage: &Stage) -> Result<()> {
    let by = By::Server(user("ann"));
    let id = |nth: usize| stage.told.borrow().messages.there[nth].receipt.id;
    let (edited, recalled) = (id(0), id(2));
    may_be(stage, 0, Some("edited".to_owned()));
    stage
        .act(async || stage.app.edit_message(edited, &by, "edited", "").await)
        .await?;
    is_last(stage, 0);
    may_be(stage, 2, None);
    stage
        .act(async || match stage.app.recall(recalled, &by).await {
            // The first attempt may have been carried out.
            Err(error) if *error.kind() == ErrorKind::MessageNotFound => Ok(()),
            done => done,
        })
        .await?;
    is_last(stage, 2);
    stage
        .act(
            async || match stage.app.react(edited, &user("bob"), "ok").await {
                Err(error) if *error.kind() == ErrorKind::Reaction => Ok(()),
                done => done,
            },
        )
        .await
}

fn may_be(stage: &Stage, nth: usize, body: Option<String>) {
    let told = &mut stage.told.borrow_mut().messages;
    told.there[nth].bodies.push(body);
}

fn is_last(stage: &Stage, nth: usize) {
    let bodies = &mut stage.told.borrow_mut().messages.there[nth].bodies;
    bodies.drain(..bodies.len() - 1);
}

fn ask(stage: &Stage, to: &str) -> String {
    let body = {
        let asked = &mut stage.told.borrow_mut().messages.asked;
        let body = format!("{to} {}", asked.len());
        asked.push((to.to_owned(), body.clone()));
        body
    };
    stage.mark();
    body
}

fn acknowledge(stage: &Stage, to: &str, body: String, receipt: Receipt, is_durable: bool) {
    let known = Known {
        to: to.to_owned(),
        receipt,
        bodies: vec![Some(body)],
        is_live: true,
    };
    let mut told = stage.told.borrow_mut();
    if is_durable {
        told.messages.there.push(known);
    } else {
        told.messages.buffered(known);
    }
    drop(told);
    stage.mark();
}

/// What was buffered is durable now.
fn settle(stage: &Stage) {
    let told = &mut stage.told.borrow_mut().messages;
    for known in &mut told.there {
        known.bodies.retain(|body| body.as_deref() != Some(""));
    }
}

impl Told {
    /// A message that may be lost until the next sync: it is known with a body that nothing has.
    fn buffered(&mut self, mut known: Known) {
        known.bodies.push(Some(String::new()));
        self.there.push(known);
    }
}

impl Known {
    /// Whether it was buffered and never flushed. A power cut may take it, and then another message gets its id.
    pub(super) fn may_be_lost(&self) -> bool {
        self.bodies.iter().any(|body| body.as_deref() == Some(""))
    }
}

/// Compares messages with what was told of them.
pub(super) async fn check(app: &App, told: &super::Told, judge: &mut Judge) {
    for name in GROUPS {
        let conversation = group(name);
        let Some(found) = judge.answer(whole(app, &conversation).await) else {
            // A damaged block costs its page; what lies in others can still be had one by one.
            one_by_one(app, told, name, judge).await;
            continue;
        };
        compare(&told.messages, name, &found, judge);
        look_up(app, &conversation, &found, judge).await;
    }
}

fn compare(told: &Told, name: &str, found: &[Message], judge: &mut Judge) {
    let by_id: BTreeMap<_, _> = found.iter().map(|m| (m.id, m)).collect();
    let by_seq: BTreeMap<_, _> = found.iter().map(|m| (m.seq, m)).collect();
    assert_eq!(by_id.len(), found.len(), "{}: an id twice", judge.what());
    assert_eq!(by_seq.len(), found.len(), "{}: a seq twice", judge.what());
    for known in told.there.iter().filter(|known| known.to == name) {
        match by_id.get(&known.receipt.id) {
            Some(found) => is_as_told(known, found, judge),
            None if known.receipt.id.millis() < told.floor || known.may_be_lost() => {}
            None => judge.miss(&known),
        }
    }
    for message in found.iter().filter(|m| m.revision == Revision::Original) {
        let body = String::from_utf8_lossy(&message.body).into_owned();
        let asked = told.asked.contains(&(name.to_owned(), body));
        assert!(asked, "{}: nobody sent {message:?}", judge.what());
    }
}

fn is_as_told(known: &Known, found: &Message, judge: &mut Judge) {
    let what = judge.what().to_owned();
    let is_it = found.seq == known.receipt.seq || known.may_be_lost();
    assert!(is_it, "{what}: {found:?} has another number than {known:?}");
    let body = match found.revision {
        Revision::Recalled { .. } => None,
        _ => Some(String::from_utf8_lossy(&found.body).into_owned()),
    };
    if known.bodies.contains(&body) || known.may_be_lost() {
        return;
    }
    assert!(judge.is_torn(), "{what}: {found:?} is not {known:?}");
    judge.behind();
}

async fn one_by_one(app: &App, told: &super::Told, name: &str, judge: &mut Judge) {
    let of_group = told.messages.there.iter().filter(|known| known.to == name);
    for known in of_group {
        let found = judge.answer(app.message(known.receipt.id).await);
        if let Some(Some((_, found))) = found {
            is_as_told(known, &found, judge);
        }
    }
}

/// What a page shows can be had by its id alone.
async fn look_up(app: &App, conversation: &Conversation, found: &[Message], judge: &mut Judge) {
    let ids: Vec<MessageId> = found.iter().map(|message| message.id).collect();
    for (id, message) in ids.into_iter().zip(found) {
        let one = judge.answer(app.message(id).await);
        let Some(one) = one else { continue };
        assert_eq!(
            one.as_ref(),
            Some(&(conversation.clone(), message.clone())),
            "{}",
            judge.what()
        );
    }
}
