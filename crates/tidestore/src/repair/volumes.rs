//! Damaged volumes of an open store: what cannot be read is taken out of the tables, attachment by attachment, and told;
//! the others stay where they are.

use std::path::Path;
use std::sync::Arc;

use tidestore_blobs::{RecountedVolume, index};
use tidestore_disk::{FileExt, OpenMode};

use super::Work;
use super::report::LostAttachment;
use crate::attachments::{Edit, EditKind, Request};
use crate::error::Result;
use crate::shard::Shard;
use crate::store::Inner;

pub(super) fn mend(inner: &Arc<Inner>, work: &mut Work) -> Result<()> {
    for shard in &inner.shards.list {
        let recount = shard.desk().ask_own(Request::Recount)?;
        for volume in recount.volumes {
            mend_volume(inner, shard, &volume, work)?;
        }
    }
    Ok(())
}

fn mend_volume(
    inner: &Inner,
    shard: &Shard,
    volume: &RecountedVolume,
    work: &mut Work,
) -> Result<()> {
    let damage = volume.damage(&inner.files, inner.file.id);
    if let Some(why) = damage.head.as_ref().filter(|_| damage.whole > 0) {
        write_head(inner, volume, why, work)?;
    }
    if damage.contents.is_empty() {
        if let Some(why) = damage.head.as_ref().filter(|_| damage.whole == 0) {
            // Nothing in it is anybody's; what is damaged is kept all the same.
            replace_by_empty(inner, volume, why, work)?;
        }
        return Ok(());
    }
    let hashes = damage.contents.iter().map(|lost| lost.hash).collect();
    let lost = index::with_contents(&*shard.engine, volume.app, &hashes)?;
    let app = shard
        .registry
        .by_id(volume.app)
        .map_or_else(|| format!("app {}", volume.app.0), |app| app.key.clone());
    for attachment in &lost {
        work.report.attachments.push(LostAttachment {
            app: app.clone(),
            id: attachment.id,
            name: attachment.name.clone(),
            uploader: attachment.uploader.clone(),
            length: attachment.length,
            file: volume.path.clone(),
        });
    }
    let why = damage
        .contents
        .first()
        .map(|lost| lost.why.clone())
        .unwrap_or_default();
    work.step(format!(
        "{}: {} contents cannot be read; {} stay where they are",
        volume.path.display(),
        damage.contents.len(),
        damage.whole
    ));
    work.save_report()?;
    inner.files.forget(&volume.path);
    if damage.whole == 0 {
        replace_by_empty(inner, volume, &why, work)?;
    } else {
        let parts: Vec<_> = damage
            .contents
            .iter()
            .map(|lost| (lost.offset, lost.len))
            .collect();
        work.quarantine.copy_parts(&volume.path, &parts, &why)?;
    }
    for attachment in lost {
        let edit = Edit {
            app: volume.app,
            attachment: attachment.id,
            what: EditKind::Delete,
        };
        shard.desk().ask_own(|reply| Request::Edit(edit, reply))?;
    }
    Ok(())
}

/// Sets a volume aside of which nothing is whole, and puts one without contents in its place: the tables name it until what
/// expires in it has gone.
fn replace_by_empty(
    inner: &Inner,
    volume: &RecountedVolume,
    why: &str,
    work: &mut Work,
) -> Result<()> {
    inner.files.forget(&volume.path);
    work.quarantine.set_aside(&volume.path, why)?;
    let (disk, dir) = (&work.env.disk, volume.path.parent());
    let dir = dir.unwrap_or(Path::new(""));
    disk.create_dir_all(dir)?;
    let header = volume.header(inner.file.id);
    let file = disk.open(&volume.path, OpenMode::Create)?;
    file.write_all_at(&header, 0, &volume.path)?;
    file.set_len(volume.len.max(header.len() as u64))?;
    file.sync_data()?;
    Ok(disk.sync_dir(dir)?)
}

/// Writes the header of a volume anew: all that it says is in the tables.
fn write_head(inner: &Inner, volume: &RecountedVolume, why: &str, work: &mut Work) -> Result<()> {
    let header = volume.header(inner.file.id);
    let parts = [(0, header.len() as u64)];
    work.quarantine.copy_parts(&volume.path, &parts, why)?;
    inner.files.forget(&volume.path);
    let file = work.env.disk.open(&volume.path, OpenMode::Write)?;
    file.write_all_at(&header, 0, &volume.path)?;
    file.sync_data()?;
    work.step(format!(
        "{}: its header was written anew",
        volume.path.display()
    ));
    Ok(())
}
