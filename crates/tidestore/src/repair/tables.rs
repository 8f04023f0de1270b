//! What keeps a shard from opening: damaged tables, a damaged log, or the two not fitting together.
//!
//! New tables are made beside the old ones, then a new log beside the old one; only when both are whole and durable do
//! they take the place of what is damaged, which is set aside.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use tidestore_blobs::index;
use tidestore_disk::{Disk, ShadowDisk};
use tidestore_kv::{Batch, Engine, LostRows, Staged, Table, TableProblem};
use tidestore_log::LogSalvage;
use tidestore_messages::{AppId, MessageId, segment_path};

use super::Work;
use super::evidence::{self, Evidence, Manifest, Readers};
use super::log::{self, Plan};
use crate::apps::{AppRecord, Registry};
use crate::error::Result;
use crate::guard::ClockGuard;
use crate::record::{Event, Record};
use crate::shard::{log_dir, views_dir};
use crate::store::Inner;
use crate::tables;

/// One shard, looked at from outside.
#[derive(Debug)]
struct State {
    number: u16,
    problems: Vec<TableProblem>,
    /// New tables with what could be read of the old ones.
    staged: Option<Staged>,
    /// The tables as they can be read.
    engine: Arc<dyn Engine>,
    log: LogSalvage,
    lost: Vec<LostRows>,
    /// Whether nothing could be read of the old tables.
    is_empty: bool,
}

/// Mends the tables and logs of all shards, so that the store opens.
pub(super) fn mend(work: &mut Work) -> Result<()> {
    let mut states = Vec::new();
    for number in 0..work.store.shards {
        states.push(examine(work, number)?);
    }
    let mut plans = Vec::new();
    for state in &mut states {
        plans.push(Plan::of(&state.log, numbers(&*state.engine)?, 0)?);
    }
    for (source, plan) in (0..work.store.shards).zip(&mut plans) {
        let noted = states
            .iter()
            .filter_map(|state| index::noted_through(&*state.engine, source).ok())
            .max()
            .unwrap_or_default();
        if let Some(state) = states.get(usize::from(source))
            && noted > plan.end
        {
            *plan = Plan::of(&state.log, numbers(&*state.engine)?, noted)?;
        }
    }
    for (state, plan) in states.iter_mut().zip(&plans) {
        // A lost change of the manifest is told from the files, and that needs tables that may be written to.
        if plan.is_bad && plan.loses_rows() && state.staged.is_none() {
            let rescued =
                tidestore_kv::rescue(&work.env.disk, &views_dir(state.number), work.store.engine)?;
            state.engine = Arc::clone(&rescued.staged.engine);
            state.staged = Some(rescued.staged);
        }
    }
    let is_needed = states.iter().any(|state| state.staged.is_some());
    let (registry, deleted) = registry(work, &states)?;
    let evidence = if is_needed {
        Evidence::gather(&work.env.disk, work.store.id)?
    } else {
        Evidence::default()
    };
    for state in &states {
        if state.staged.is_some() {
            let mut batch = Batch::new();
            let shard = state.number;
            evidence::bring_back_apps(work, shard, &evidence, &registry, &deleted, &mut batch)?;
            state.engine.write(batch)?;
        }
    }
    for (state, plan) in states.into_iter().zip(plans) {
        mend_shard(work, state, &plan, &evidence, &registry)?;
    }
    set_aside_old_tables(work)
}

fn examine(work: &mut Work, number: u16) -> Result<State> {
    let dir = views_dir(number);
    let disk = Arc::clone(&work.env.disk);
    let log = tidestore_log::salvage(&disk, &log_dir(number), work.store.id, number)?;
    let mut problems = tidestore_kv::check(&disk, &dir)?;
    problems.retain(|problem| !problem.is_unknown);
    let is_new = log.files.is_empty() && tidestore_kv::engine_of(&disk, &dir).is_none();
    if is_new && !holds_anything(work)? {
        problems.clear();
    }
    let shadow: Arc<dyn Disk> = Arc::new(ShadowDisk::new(Arc::clone(&disk)));
    let readable = problems
        .is_empty()
        .then(|| tidestore_kv::open(work.store.engine, &shadow, &dir));
    if let Some(Ok(engine)) = readable {
        return Ok(State {
            number,
            problems,
            staged: None,
            engine,
            log,
            lost: Vec::new(),
            is_empty: false,
        });
    }
    let rescued = tidestore_kv::rescue(&disk, &dir, work.store.engine)?;
    let text = format!(
        "shard {number}: {} rows of its tables were saved into {}",
        rescued.rows,
        dir.join(&rescued.staged.name).display()
    );
    work.step(text);
    Ok(State {
        number,
        problems,
        engine: Arc::clone(&rescued.staged.engine),
        staged: Some(rescued.staged),
        log,
        lost: rescued.lost,
        is_empty: rescued.is_empty,
    })
}

fn holds_anything(work: &Work) -> Result<bool> {
    let files = super::all_files(&work.env.disk, Path::new(""))?;
    Ok(files
        .iter()
        .any(|path| path.starts_with("apps") || path.starts_with("shared")))
}

/// Up to where the tables hold rows and messages; `None` if they do not say.
fn numbers(engine: &dyn Engine) -> Result<Option<(u64, u64)>> {
    let has = |name: &str| engine.get(tables::META, name.as_bytes());
    if has(tables::APPLIED)?.is_none() && has(tables::FLUSHED)?.is_none() {
        return Ok(None);
    }
    Ok(Some((
        tables::number(engine, tables::APPLIED)?,
        tables::number(engine, tables::FLUSHED)?,
    )))
}

/// Every app that tables or logs name, and the numbers of those that were deleted.
fn registry(work: &Work, states: &[State]) -> Result<(Registry, HashSet<u32>)> {
    let guard = ClockGuard::start(Arc::clone(&work.env.clock), work.options.clock_drift_max);
    let (registry, mut deleted) = (Registry::new(Arc::new(guard)), HashSet::new());
    for state in states {
        for record in tables::rows::<AppRecord>(&*state.engine, tables::APPS).unwrap_or_default() {
            registry.put(record);
        }
    }
    for state in states {
        log::each_record(&state.log, 0, &mut |_, record| {
            if let Record::Event(event) = record {
                if let Event::AppDeleted(id) = &event {
                    deleted.insert(*id);
                }
                registry.apply(&event);
            }
            Ok(())
        })?;
    }
    Ok((registry, deleted))
}

fn mend_shard(
    work: &mut Work,
    state: State,
    plan: &Plan,
    evidence: &Evidence,
    registry: &Registry,
) -> Result<()> {
    let shard = state.number;
    let key_of = |app: AppId| {
        registry
            .by_id(app)
            .map_or_else(|| format!("app {}", app.0), |record| record.key.clone())
    };
    tell_lost_rows(work, &state, &key_of);
    let mut manifest = Manifest::default();
    let mut batch = Batch::new();
    if state.staged.is_some() {
        manifest = evidence::tell_manifest(work, shard, evidence, registry, &*state.engine)?;
        let last_live = evidence::write_views(work, registry, &*state.engine, &manifest)?;
        evidence::adopt_receipts(work, shard, &*state.engine)?;
        let next = evidence
            .generations
            .get(&shard)
            .copied()
            .unwrap_or_default()
            + 1;
        let next = next.max(tables::number(&*state.engine, tables::NEXT_GENERATION)?);
        tables::put_number(&mut batch, tables::NEXT_GENERATION, next);
        let now = MessageId::first_at(work.env.clock.wall().min(MessageId::MILLIS_MAX));
        tables::put_number(&mut batch, tables::LAST_LIVE, last_live.max(now.0));
        if tables::number(&*state.engine, tables::LAST_SEEN)? == 0 {
            tables::put_number(&mut batch, tables::LAST_SEEN, work.env.clock.wall());
        }
        if !manifest.adopted.is_empty() {
            work.step(format!(
                "shard {shard}: {} segments that nothing named were taken back",
                manifest.adopted.len()
            ));
        }
    }
    if plan.is_bad {
        work.report.other_losses.extend(plan.losses(shard));
        if plan.loses_messages() {
            let lost = log::lost_numbers(shard, &state.log, plan, &*state.engine, &key_of)?;
            work.report.messages.extend(lost);
            let count = plan.lost_messages_max(&state.log);
            let now = MessageId::first_at(work.env.clock.wall().min(MessageId::MILLIS_MAX));
            tables::put_number(&mut batch, tables::GAP, count);
            tables::put_number(&mut batch, tables::GAP_BEFORE, now.0);
        }
    }
    if plan.is_bad || state.staged.is_some() {
        // What lies before the first batch that is kept is held by tables and segments, or lost.
        let held = plan.first - 1;
        tables::put_number(&mut batch, tables::APPLIED, plan.applied.max(held));
        tables::put_number(&mut batch, tables::FLUSHED, plan.flushed.max(held));
        write(work, &state, batch)?;
    }
    let readers = Readers::new(work);
    let adopted: Vec<_> = manifest
        .adopted
        .iter()
        .filter_map(|meta| Some((meta, readers.segment(&segment_path(registry, meta)?, meta))))
        .collect();
    let is_stored = |record: &Record| match record {
        Record::Message { app, message, .. } => adopted.iter().any(|(meta, segment)| {
            let bounds = meta.share(*app);
            bounds.is_some_and(|bounds| (bounds.min_id..=bounds.max_id).contains(&message.id))
                && evidence::holds(segment, *app, message.id)
        }),
        Record::Event(_) => false,
    };
    let mut is_doubled = false;
    if !adopted.is_empty() && !plan.is_bad {
        log::each_record(&state.log, plan.flushed + 1, &mut |_, record| {
            is_doubled |= is_stored(&record);
            Ok(())
        })?;
    }
    // Written down before anything takes effect that would hide it from the next repair.
    work.save_report()?;
    if plan.is_bad || is_doubled {
        let (disk, id) = (&work.env.disk, work.store.id);
        let path = log::rebuild(disk, id, shard, &state.log, plan, &is_stored)?;
        let kept = if plan.first > plan.end {
            format!("an empty log that goes on with batch {}", plan.first)
        } else {
            format!("batches {} to {} of its log", plan.first, plan.end)
        };
        work.step(format!(
            "shard {shard}: {kept} was written anew, to {}",
            path.display()
        ));
    }
    let why = reason(&state);
    if let Some(staged) = state.staged {
        drop(state.engine);
        staged.put()?;
        work.step(format!("shard {shard}: new tables are in place"));
    }
    if plan.is_bad || is_doubled {
        for path in &state.log.files {
            work.quarantine.set_aside(path, &why)?;
        }
    }
    Ok(())
}

fn reason(state: &State) -> String {
    let damage = state.log.damage.iter().map(|damage| {
        let path = damage.path.display();
        format!("{path} at byte {}: {}", damage.offset, damage.detail)
    });
    let problems = state.problems.iter().map(|problem| {
        let path = problem.path.display();
        format!("{path}: {}", problem.detail)
    });
    let all: Vec<String> = damage.chain(problems).collect();
    if all.is_empty() {
        return "log and tables did not fit together".to_owned();
    }
    all.join("; ")
}

/// Writes numbers: into the new tables, or into those that are whole, as one change.
fn write(work: &Work, state: &State, batch: Batch) -> Result<()> {
    if state.staged.is_some() {
        state.engine.write(batch)?;
        return Ok(state.engine.flush()?);
    }
    let dir = views_dir(state.number);
    let engine = tidestore_kv::open(work.store.engine, &work.env.disk, &dir)?;
    engine.write(batch)?;
    Ok(engine.flush()?)
}

/// Says which rows are lost, in words.
fn tell_lost_rows(work: &mut Work, state: &State, key_of: &dyn Fn(AppId) -> String) {
    let shard = state.number;
    for lost in &state.lost {
        let what = table_name(lost.table);
        let text = match (&lost.key, &lost.between) {
            (Some(key), _) => format!("shard {shard}: a row of {what}: {}", row_name(key, key_of)),
            (None, (None, None)) => format!("shard {shard}: all rows of {what}"),
            (None, (from, to)) => {
                let end = |key: &Option<Vec<u8>>, open: &str| {
                    key.as_ref()
                        .map_or_else(|| open.to_owned(), |key| row_name(key, key_of))
                };
                format!(
                    "shard {shard}: rows of {what} between {} and {}",
                    end(from, "the first one"),
                    end(to, "the last one")
                )
            }
        };
        work.report.other_losses.push(text);
    }
    if state.is_empty {
        work.report.other_losses.push(format!(
            "shard {shard}: all rows that only its tables had: users, groups, attributes, cursors, recalls, attachments"
        ));
    } else if !state.problems.is_empty() && state.lost.is_empty() {
        work.report.other_losses.push(format!(
            "shard {shard}: rows of its tables that the damage hid without a trace, if there were any"
        ));
    }
}

/// A key for people: the app, and the names in it.
fn row_name(key: &[u8], key_of: &dyn Fn(AppId) -> String) -> String {
    match key.split_first_chunk::<4>() {
        Some((app, rest)) => format!(
            "{} {}",
            key_of(AppId(u32::from_be_bytes(*app))),
            rest.escape_ascii()
        ),
        None => key.escape_ascii().to_string(),
    }
}

/// What a table holds, in the words of an operator.
fn table_name(table: Table) -> String {
    let name = match table.0 {
        0 => "the shard's own numbers",
        1 => "apps",
        2 => "segments (told from the files)",
        3 => "receipt runs (told from the files)",
        4 => "conversations (counted again)",
        5 => "attachments",
        6..=8 => "contents of attachments",
        9 => "references to attachments",
        10 | 17 => "what is due and when (counted again)",
        11 => "usage of attachments (counted again)",
        13 => "attributes of users",
        15 => "attributes of chatrooms",
        14 | 16 => "totals of attributes (counted again)",
        20 => "counters of the directory (counted again)",
        21 => "users",
        23 => "contacts",
        24 => "block lists",
        26 => "mutes",
        28 => "groups and chatrooms",
        30 | 31 => "members",
        34..=39 => "threads",
        40 | 43 => "shared files",
        46 => "users' views of conversations",
        47 => "devices and their cursors",
        50 => "the order of conversations (made anew)",
        51 => "who has sent up to where",
        54 => "one-sided deletions",
        55 => "recalled and edited messages",
        56..=58 => "reactions",
        59 => "pins",
        63 | 64 => "push settings",
        65 => "push templates",
        66 => "counters of push labels and templates (counted again)",
        67..=70 => "push labels and their users",
        71 => "revisions of tokens",
        72 => "credentials of apps",
        73 => "logged notifications",
        74 => "the last notification (counted again)",
        _ => "table",
    };
    if name == "table" {
        format!("table {table}")
    } else {
        format!("{name} (table {table})")
    }
}

/// Sets aside what new tables have replaced, before opening would remove it.
fn set_aside_old_tables(work: &mut Work) -> Result<()> {
    for shard in 0..work.store.shards {
        let dir = views_dir(shard);
        let Some(current) = tidestore_kv::current_of(&work.env.disk, &dir)? else {
            continue;
        };
        for path in tidestore_kv::files_of(&work.env.disk, &dir, Some(&current))? {
            if path != dir.join(tidestore_kv::CURRENT) {
                let why = "new tables were made of what could be read in it";
                work.quarantine.set_aside(&path, why)?;
            }
        }
    }
    Ok(())
}

/// Writes counters that do not fit what they count.
pub(super) fn mend_counters(inner: &Arc<Inner>, work: &mut Work) -> Result<()> {
    let mut mended: BTreeMap<String, u64> = BTreeMap::new();
    for record in inner.registry.all() {
        let app = AppId(record.id);
        let shard = inner.shards.home(&record.key);
        let counted = shard.change_own(move |rows, _| {
            let attributes = tidestore_attributes::mend(rows, app)?;
            let notifications = crate::delivery::notifications::mend(rows, app)?;
            Ok(attributes + notifications + tidestore_directory::mend(rows, app)?)
        })?;
        if counted > 0 {
            *mended.entry(record.key.clone()).or_default() += counted;
        }
    }
    for (key, counted) in mended {
        work.step(format!("{key}: {counted} counters were counted again"));
    }
    Ok(())
}
