//! Damaged segments and receipt runs of an open store.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, ErrorKind as DiskErrorKind};
use tidestore_messages::{
    AppId, Conversation, DamagedSegment, MessageId, MessageView, Owner, Salvage, SegmentMeta, Seq,
    conversation_hash,
};

use super::Work;
use super::identity::all_files;
use super::report::LostMessages;
use crate::error::Result;
use crate::record::ManifestChange;
use crate::shard::Shard;
use crate::store::Inner;
use crate::tables;

/// What a damaged segment held, and what was saved of it.
#[derive(Debug)]
struct Loss {
    meta: SegmentMeta,
    path: PathBuf,
    salvage: Salvage,
}

/// Puts segments back to where they belong that lie under each other's names. They are known by their headers.
pub(super) fn put_in_place(work: &mut Work) -> Result<()> {
    let disk = Arc::clone(&work.env.disk);
    let mut moves: Vec<(PathBuf, PathBuf)> = Vec::new();
    for path in all_files(&disk, Path::new(""))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(".seg") && !name.ends_with(MOVED) {
            continue;
        }
        let Ok((head, _)) = tidestore_messages::identify(&disk, &path) else {
            continue;
        };
        let own = format!("{:02}-{:010}.seg", head.shard, head.generation);
        let bucket = format!("{:013}", head.bucket.start);
        let dir = path.parent().unwrap_or(Path::new(""));
        let is_at_home = name == own && dir.file_name() == Some(bucket.as_ref());
        // Only inside one app's directory: which other one it may be of is in the tables.
        let right = dir
            .parent()
            .map(|messages| messages.join(&bucket).join(&own));
        let Some(right) = right.filter(|_| !is_at_home && head.store.0 == work.store.id) else {
            continue;
        };
        // Whoever lies in its place is set aside, unless that is the segment itself.
        let is_free = tidestore_messages::inspect(&disk, &right).is_err()
            || is_another(&disk, &right, head.generation);
        if is_free && tidestore_messages::inspect(&disk, &path).is_ok() {
            moves.push((path, right));
        }
    }
    if moves.is_empty() {
        return Ok(());
    }
    work.save_report()?;
    // First all out of each other's way, then each to its place.
    for (from, right) in &mut moves {
        let aside = with_suffix(right, MOVED);
        if *from != aside {
            disk.create_dir_all(aside.parent().unwrap_or(Path::new("")))?;
            disk.rename(from, &aside)?;
            sync_both(&disk, from, &aside)?;
        }
        work.report.steps.push(format!(
            "{} is {}: it was put there",
            from.display(),
            right.display()
        ));
        *from = aside;
    }
    for (aside, right) in &moves {
        work.quarantine
            .set_aside(right, "another file belongs here")?;
        disk.rename(aside, right)?;
        sync_both(&disk, aside, right)?;
    }
    Ok(())
}

/// What a segment's name ends with while it is on its way.
const MOVED: &str = ".seg.moved";

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".seg").unwrap_or(&name);
    path.with_file_name(format!("{stem}{suffix}"))
}

/// Whether another segment lies under a name.
fn is_another(disk: &Arc<dyn Disk>, path: &Path, generation: u64) -> bool {
    tidestore_messages::identify(disk, path).is_ok_and(|(head, _)| head.generation != generation)
}

fn sync_both(disk: &Arc<dyn Disk>, from: &Path, to: &Path) -> Result<()> {
    for path in [to, from] {
        match disk.sync_dir(path.parent().unwrap_or(Path::new(""))) {
            Err(error) if error.kind() != DiskErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Carries what is whole in damaged segments into new ones, drops damaged receipt runs, and tells what is lost.
pub(super) fn mend(inner: &Arc<Inner>, work: &mut Work) -> Result<()> {
    for shard in &inner.shards.list {
        let (segments, runs) = shard.view.damaged();
        let mut losses = Vec::new();
        for damaged in segments {
            losses.extend(mend_segment(shard, damaged, work)?);
        }
        tell(shard, &losses, work)?;
        for run in runs {
            let change = ManifestChange {
                receipts_removed: vec![run.generation],
                ..ManifestChange::default()
            };
            work.report.other_losses.push(format!(
                "shard {}: {} receipts in {}: a retry of one of these messages is stored a second time",
                shard.number,
                run.receipts,
                run.path.display()
            ));
            work.save_report()?;
            shard.change_manifest(change, Vec::new())?;
            inner.files.forget(&run.path);
            work.quarantine
                .set_aside(&run.path, &run.error.to_string())?;
            work.step(format!("{} was dropped", run.path.display()));
        }
    }
    Ok(())
}

fn mend_segment(shard: &Shard, damaged: DamagedSegment, work: &mut Work) -> Result<Option<Loss>> {
    let DamagedSegment { meta, path, error } = damaged;
    let carried = shard.view.write_carried(meta.generation)?;
    let (added, days): (Vec<_>, Vec<_>) = carried.added.into_iter().unzip();
    let text = match added.first() {
        Some(new) => format!(
            "{}: {} of {} messages were carried into a new segment, number {}",
            path.display(),
            carried.salvage.messages,
            meta.messages.max(carried.salvage.messages),
            new.generation
        ),
        None => format!("{}: nothing in it could be read", path.display()),
    };
    work.step(text);
    work.save_report()?;
    let change = ManifestChange {
        added,
        removed: vec![meta.generation],
        ..ManifestChange::default()
    };
    shard.change_manifest(change, days)?;
    shard.view.forget_file(&path);
    let why = carried
        .salvage
        .damage
        .first()
        .map_or_else(|| error.to_string(), |(_, detail)| detail.clone());
    work.quarantine.set_aside(&path, &why)?;
    Ok(Some(Loss {
        meta,
        path,
        salvage: carried.salvage,
    }))
}

/// Tells which messages are lost, when all that could be saved is in place.
fn tell(shard: &Shard, losses: &[Loss], work: &mut Work) -> Result<()> {
    for loss in losses {
        let found = match &loss.salvage.lost {
            Some(_) => by_index(shard, loss)?,
            None => by_contiguity(shard, loss)?,
        };
        work.report.messages.extend(found);
    }
    Ok(())
}

fn app_name(shard: &Shard, app: AppId) -> String {
    let record = shard.registry.by_id(app);
    record.map_or_else(|| format!("app {}", app.0), |record| record.key.clone())
}

/// Every conversation of an app that a shard has ever had, with its last number and id.
fn conversations(shard: &Shard, app: AppId) -> Result<Vec<(Conversation, tables::Position)>> {
    let mut all: Vec<(Conversation, tables::Position)> = Vec::new();
    loop {
        let after = all.last().map(|(last, _)| last.as_str().to_owned());
        let page = shard
            .heads
            .page(&*shard.engine, app, after.as_deref(), 1_024)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

fn apps_of(meta: &SegmentMeta) -> Vec<AppId> {
    match meta.owner {
        Owner::App(app) => vec![app],
        Owner::Shared => meta.apps.iter().map(|share| share.app).collect(),
    }
}

/// The index of a damaged segment says how many messages of which conversation it held, and between which numbers.
fn by_index(shard: &Shard, loss: &Loss) -> Result<Vec<LostMessages>> {
    let runs = loss.salvage.lost.as_deref().unwrap_or_default();
    let mut names: HashMap<u64, (AppId, Conversation)> = HashMap::new();
    if runs.iter().any(|run| run.conversation.is_none()) {
        for app in apps_of(&loss.meta) {
            for (name, _) in conversations(shard, app)? {
                names.insert(conversation_hash(shard.store, app, &name), (app, name));
            }
        }
    }
    let mut found = Vec::new();
    for run in runs {
        let name = run
            .conversation
            .clone()
            .or_else(|| names.get(&run.hash).cloned());
        let Some((app, conversation)) = name else {
            let app = apps_of(&loss.meta).first().copied();
            found.push(LostMessages {
                app: app.map_or_else(String::new, |app| app_name(shard, app)),
                conversation: None,
                messages: Some(run.messages),
                numbers: vec![run.first_seq.0..=run.last_seq.0],
                ids: None,
                file: loss.path.clone(),
            });
            continue;
        };
        let within = run.first_seq.0..=run.last_seq.0;
        let gaps = gaps(&shard.view, app, &conversation, within, u64::MAX)?;
        found.push(LostMessages {
            app: app_name(shard, app),
            conversation: Some(conversation),
            messages: Some(run.messages),
            ids: span(&gaps, &loss.meta, app),
            numbers: gaps.into_iter().map(|gap| gap.numbers).collect(),
            file: loss.path.clone(),
        });
    }
    Ok(found)
}

/// Numbers of a conversation that nothing holds.
#[derive(Clone, Debug)]
struct Gap {
    numbers: RangeInclusive<u64>,
    /// Ids of the messages before and behind it.
    between: (u64, u64),
}

impl Gap {
    fn len(&self) -> u64 {
        self.numbers.end() - self.numbers.start() + 1
    }
}

fn gaps(
    view: &MessageView,
    app: AppId,
    conversation: &Conversation,
    within: RangeInclusive<u64>,
    last_id: u64,
) -> Result<Vec<Gap>> {
    let there: BTreeMap<u64, u64> = view
        .numbers_of(app, conversation)?
        .into_iter()
        .map(|(Seq(seq), MessageId(id))| (seq, id))
        .collect();
    let mut found = Vec::new();
    let mut next = *within.start();
    let mut before = there.range(..next).next_back().map_or(0, |(_, id)| *id);
    for (&seq, &id) in there.range(within.clone()) {
        if seq > next {
            found.push(Gap {
                numbers: next..=seq - 1,
                between: (before, id),
            });
        }
        (next, before) = (seq + 1, id);
    }
    if next <= *within.end() {
        let behind = there.range(next..).next().map_or(last_id, |(_, id)| *id);
        found.push(Gap {
            numbers: next..=*within.end(),
            between: (before, behind),
        });
    }
    Ok(found)
}

/// Between which ids lost messages lie: what their neighbours and the segment's own bounds leave.
fn span(gaps: &[Gap], meta: &SegmentMeta, app: AppId) -> Option<(MessageId, MessageId)> {
    let share = meta.share(app)?;
    let first = gaps.iter().map(|gap| gap.between.0).min()?;
    let last = gaps.iter().map(|gap| gap.between.1).max()?;
    let (low, high) = (share.min_id.0.max(first), share.max_id.0.min(last));
    (low <= high).then_some((MessageId(low), MessageId(high)))
}

/// Nothing says what a segment held but the manifest: how many messages of which apps, between which ids. Numbers are
/// contiguous, so those that are missing between or behind others are told; whether the first ones of a conversation were
/// lost or had expired before is told only if the count leaves no doubt.
fn by_contiguity(shard: &Shard, loss: &Loss) -> Result<Vec<LostMessages>> {
    let mut found = Vec::new();
    let is_whole = loss.meta.messages > 0 && loss.salvage.messages >= loss.meta.messages;
    for share in loss.meta.apps.iter().filter(|_| !is_whole) {
        let mut missing: Vec<(Conversation, Vec<Gap>)> = Vec::new();
        for (conversation, head) in conversations(shard, share.app)? {
            let within = 1..=head.last_seq;
            let all = gaps(&shard.view, share.app, &conversation, within, head.last_id)?;
            let near: Vec<Gap> = all
                .into_iter()
                .filter(|gap| gap.between.0 <= share.max_id.0 && gap.between.1 >= share.min_id.0)
                .collect();
            if !near.is_empty() {
                missing.push((conversation, near));
            }
        }
        // With one app in the file the count is exact; what was walked through is not lost.
        let expected = (loss.meta.apps.len() == 1 || loss.salvage.messages == 0)
            .then(|| share.messages.saturating_sub(loss.salvage.messages))
            .filter(|count| *count > 0);
        let count = |missing: &[(Conversation, Vec<Gap>)]| {
            let all = missing.iter().flat_map(|(_, gaps)| gaps);
            all.map(Gap::len).sum::<u64>()
        };
        if Some(count(&missing)) != expected {
            let mut later = missing.clone();
            for (_, gaps) in &mut later {
                gaps.retain(|gap| *gap.numbers.start() > 1 || gap.between.0 > 0);
            }
            later.retain(|(_, gaps)| !gaps.is_empty());
            if Some(count(&later)) == expected {
                missing = later;
            }
        }
        let is_exact = Some(count(&missing)) == expected;
        if missing.is_empty() {
            // Every number is there: another file has these messages.
            continue;
        }
        for (conversation, gaps) in missing {
            found.push(LostMessages {
                app: app_name(shard, share.app),
                conversation: Some(conversation),
                messages: is_exact.then(|| gaps.iter().map(Gap::len).sum()),
                ids: span(&gaps, &loss.meta, share.app),
                numbers: gaps.into_iter().map(|gap| gap.numbers).collect(),
                file: loss.path.clone(),
            });
        }
        if !is_exact && let Some(count) = expected {
            found.push(LostMessages {
                app: app_name(shard, share.app),
                conversation: None,
                messages: Some(count),
                numbers: Vec::new(),
                ids: Some((share.min_id, share.max_id)),
                file: loss.path.clone(),
            });
        }
    }
    Ok(found)
}
