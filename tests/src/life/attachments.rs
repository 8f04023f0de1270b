//! Attachments: small ones that share a volume, a large one with its own, referred to, deleted, expired.

use std::collections::BTreeMap;

use tidestore::plan::AttachmentId;
use tidestore::{App, ErrorKind, NewAttachment, Reference, Result};

use super::{CHAPTERS, Judge, Stage};
use crate::{DAY, user};

/// What is known of attachments.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Those that were acknowledged: their contents, and until when they live at least.
    pub there: BTreeMap<AttachmentId, (Vec<u8>, u64)>,
    /// Contents of uploads that were begun.
    pub begun: Vec<Vec<u8>>,
    /// The first of each chapter.
    pub firsts: Vec<AttachmentId>,
    /// When expiry was last asked for.
    pub now: u64,
}

pub(super) async fn chapter(stage: &Stage, number: usize) -> Result<()> {
    match number {
        0 => {
            for seed in 0..3 {
                put(stage, seed, 3_000).await?;
            }
            put(stage, 10, 40_000).await.map(drop)
        }
        1 => {
            let pinned = put(stage, 4, 5_000).await?;
            stage
                .act(async || {
                    let of = Reference::Profile(user("ann"));
                    stage.app.refer_attachment(pinned, of).await
                })
                .await?;
            live_until(stage, pinned, u64::MAX);
            let Some(deleted) = forget_first(stage) else {
                return Ok(());
            };
            stage
                .act(async || match stage.app.delete_attachment(deleted).await {
                    Err(error) if *error.kind() == ErrorKind::AttachmentNotFound => Ok(()),
                    done => done,
                })
                .await
        }
        2 | 3 | CHAPTERS => {
            let seed = u8::try_from(20 + number).unwrap_or(99);
            put(stage, seed, 9_000).await.map(drop)
        }
        _ => Ok(()),
    }
}

/// The first attachment, of which nothing is known from now on: once its deletion is asked for, either is right.
fn forget_first(stage: &Stage) -> Option<AttachmentId> {
    let told = &mut stage.told.borrow_mut().attachments;
    let first = told.firsts.first().copied()?;
    told.there.remove(&first).map(|_| first)
}

/// Content that no compression shortens, the same for the same seed.
pub(super) fn bytes(seed: u8, len: usize) -> Vec<u8> {
    let mut state = u32::from(seed) * 77 + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

async fn put(stage: &Stage, seed: u8, len: usize) -> Result<AttachmentId> {
    let content = bytes(seed, len);
    stage
        .told
        .borrow_mut()
        .attachments
        .begun
        .push(content.clone());
    stage.mark();
    let put = stage
        .act(async || {
            let new = NewAttachment::new(user("ann"), format!("{seed}"));
            stage.app.put_attachment(new, &content[..]).await
        })
        .await?;
    {
        let told = &mut stage.told.borrow_mut().attachments;
        told.there.insert(put.id, (content, stage.now() + 7 * DAY));
        told.firsts.push(put.id);
    }
    stage.mark();
    Ok(put.id)
}

/// Something refers to it: it lives at least as long as that.
pub(super) fn live_until(stage: &Stage, id: AttachmentId, time: u64) {
    let told = &mut stage.told.borrow_mut().attachments;
    if let Some((_, until)) = told.there.get_mut(&id) {
        *until = (*until).max(time);
    }
}

/// Compares attachments with what was told of them.
pub(super) async fn check(app: &App, told: &Told, judge: &mut Judge) {
    for (id, (content, until)) in &told.there {
        let read = async { app.open_attachment(*id).await?.read_to_end().await };
        match read.await {
            Ok(found) => assert!(
                found == *content,
                "{}: {id} holds other bytes",
                judge.what()
            ),
            Err(error) => match error.kind() {
                ErrorKind::AttachmentExpired | ErrorKind::AttachmentNotFound => {
                    if *until > told.now {
                        judge.miss(id);
                    }
                }
                _ => drop(judge.answer::<()>(Err(error))),
            },
        }
    }
    let Some(listed) = judge.answer(app.attachments(None, 1_000).await) else {
        return;
    };
    for attachment in listed {
        let read = async {
            app.open_attachment(attachment.id)
                .await?
                .read_to_end()
                .await
        };
        if let Some(found) = judge.answer(read.await) {
            let asked = told.begun.iter().any(|content| *content == found);
            assert!(asked, "{}: nobody uploaded {attachment:?}", judge.what());
        }
    }
}
