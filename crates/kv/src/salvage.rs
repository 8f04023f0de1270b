//! Tables that are damaged: finding out, and saving the rows that can still be read.
//!
//! Everything here looks at the files through a [`ShadowDisk`], so that an engine which mends, replays or commits while it
//! opens leaves them as they are. What is saved goes to a new place beside them, which takes effect when the file
//! `CURRENT` names it: before that the old tables are there, damaged as they are.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, EntryKind, ErrorKind as DiskErrorKind, ShadowDisk};

use crate::engine::open_plain;
use crate::{
    Batch, CURRENT, Engine, EngineKind, ErrorKind, Range, RedbEngine, Result, Table, place,
    redb_engine,
};

/// Something about the tables that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableProblem {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub detail: String,
    /// Whether the files could only not be looked at in this way, as sled's: nothing is known against them.
    pub is_unknown: bool,
}

/// Rows that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRows {
    /// The table.
    pub table: Table,
    /// The row, if it is known which one.
    pub key: Option<Vec<u8>>,
    /// The last row before them that can be read, and the first one behind them; `None` at an end of the table.
    pub between: (Option<Vec<u8>>, Option<Vec<u8>>),
}

/// New tables beside the old ones.
#[derive(Debug)]
pub struct Staged {
    /// The new tables: whoever adds rows flushes them before [`put`](Self::put).
    pub engine: Arc<dyn Engine>,
    /// Their subdirectory.
    pub name: String,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Staged {
    /// Makes them the tables.
    ///
    /// # Errors
    ///
    /// What the disk reports: the old ones are still the tables, or the new ones are.
    pub fn put(self) -> Result<()> {
        self.engine.flush()?;
        self.disk.sync_dir(&self.dir)?;
        place::put(&self.disk, &self.dir, &self.name)
    }
}

/// What came of saving rows.
#[derive(Debug)]
pub struct Rescued {
    /// The new tables, with every row that can be read.
    pub staged: Staged,
    /// Rows in them.
    pub rows: u64,
    /// What is lost; one entry for a table without an end on either side says that all of it may be.
    pub lost: Vec<LostRows>,
    /// Whether nothing could be read at all.
    pub is_empty: bool,
}

/// Looks at every page and row of the tables in a directory and changes nothing. No problem: they are whole.
///
/// # Errors
///
/// What the disk reports about the directory; damage is a problem, not an error.
pub fn check(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Vec<TableProblem>> {
    let shadow: Arc<dyn Disk> = Arc::new(ShadowDisk::new(Arc::clone(disk)));
    let problem = |path: &Path, detail: String| TableProblem {
        path: path.to_owned(),
        detail,
        is_unknown: false,
    };
    let found = match place::find(&shadow, dir) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let detail = "there are no tables".to_owned();
            return Ok(vec![problem(dir, detail)]);
        }
        Err(error) => return Ok(vec![problem(&dir.join(CURRENT), error.to_string())]),
    };
    let (kind, place) = found;
    let file = match kind {
        EngineKind::Redb => place.join(redb_engine::FILE),
        _ => place.clone(),
    };
    let opened: Result<Arc<dyn Engine>> = if kind == EngineKind::Redb {
        RedbEngine::open_checked(&shadow, &place).map(|engine| Arc::new(engine) as _)
    } else {
        open_plain(kind, &shadow, &place)
    };
    let engine = match opened {
        Ok(engine) => engine,
        Err(error) => {
            let mut problem = problem(&file, said(&error));
            problem.is_unknown = kind == EngineKind::Sled && error.kind() == ErrorKind::Unsupported;
            if problem.is_unknown {
                "sled's files can only be looked at by opening the store"
                    .clone_into(&mut problem.detail);
            }
            return Ok(vec![problem]);
        }
    };
    let mut problems = Vec::new();
    for table in (0..=u8::MAX).map(Table) {
        let mut lost = Vec::new();
        save(&*engine, table, &mut |_, _| Ok(()), &mut lost)?;
        for rows in lost {
            let what = match &rows.key {
                Some(key) => format!("row {} of table {table}", key.escape_ascii()),
                None => format!("rows of table {table}"),
            };
            problems.push(problem(&file, format!("{what} cannot be read")));
        }
    }
    Ok(problems)
}

/// Which engine the tables in a directory have; `None` if there are none, or nobody can say.
pub fn engine_of(disk: &Arc<dyn Disk>, dir: &Path) -> Option<EngineKind> {
    let places = candidates(disk, dir).ok()?;
    places.first().map(|(kind, _)| *kind)
}

/// The subdirectory that `CURRENT` names; `None` if there is none.
///
/// # Errors
///
/// What the disk reports; [`ErrorKind::Corruption`] for one that is damaged.
pub fn current_of(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Option<String>> {
    place::current(disk, dir)
}

/// The files that the tables in a directory consist of, and what names them; those of `except` are left out.
///
/// # Errors
///
/// What the disk reports.
pub fn files_of(disk: &Arc<dyn Disk>, dir: &Path, except: Option<&str>) -> Result<Vec<PathBuf>> {
    let (mut files, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(next) = dirs.pop() {
        let entries = match disk.list(&next) {
            Ok(entries) => entries,
            Err(error) if error.kind() == DiskErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            if next == dir && except == Some(entry.name.as_str()) {
                continue;
            }
            let path = next.join(&entry.name);
            match entry.kind {
                EntryKind::Dir => dirs.push(path),
                EntryKind::File => files.push(path),
                EntryKind::Other => {}
            }
        }
    }
    Ok(files)
}

/// An error with its causes on one line.
fn said(error: &crate::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Makes empty tables beside those in a directory.
///
/// # Errors
///
/// What the disk reports; the tables stay as they are.
pub fn stage(disk: &Arc<dyn Disk>, dir: &Path, kind: EngineKind) -> Result<Staged> {
    disk.create_dir_all(dir)?;
    let name = place::next_name(disk, dir, kind)?;
    let path = dir.join(&name);
    disk.create_dir_all(&path)?;
    let engine = open_plain(kind, disk, &path)?;
    Ok(Staged {
        engine,
        name,
        disk: Arc::clone(disk),
        dir: dir.to_owned(),
    })
}

/// Saves every row that can be read into new tables beside the old ones.
///
/// Of several places where the tables may be, because `CURRENT` is damaged, the youngest that gives any row is taken.
///
/// # Errors
///
/// What the disk reports about the new tables; the old ones stay as they are.
pub fn rescue(disk: &Arc<dyn Disk>, dir: &Path, fallback: EngineKind) -> Result<Rescued> {
    let places = candidates(disk, dir)?;
    let kind = places.first().map_or(fallback, |(kind, _)| *kind);
    let staged = stage(disk, dir, kind)?;
    let (mut rows, mut lost) = (0, Vec::new());
    for (kind, place) in places {
        let shadow: Arc<dyn Disk> = Arc::new(ShadowDisk::new(Arc::clone(disk)));
        // sled opens files by itself, so there is no shadow for it; it leaves a log that it cannot read as it is.
        let seen = if kind == EngineKind::Sled {
            disk
        } else {
            &shadow
        };
        let Ok(engine) = open_plain(kind, seen, &place) else {
            continue;
        };
        lost.clear();
        for table in (0..=u8::MAX).map(Table) {
            rows += copy(&*engine, table, &*staged.engine, &mut lost)?;
        }
        if rows > 0 {
            break;
        }
    }
    staged.engine.flush()?;
    Ok(Rescued {
        staged,
        rows,
        lost,
        is_empty: rows == 0,
    })
}

/// Where tables may be, the likeliest first.
fn candidates(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Vec<(EngineKind, PathBuf)>> {
    if let Ok(Some(found)) = place::find(disk, dir) {
        return Ok(vec![found]);
    }
    let entries = match disk.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == DiskErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut places: Vec<_> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Dir)
        .filter_map(|entry| {
            let number = place::number_of(&entry.name)?;
            Some((number, place::kind_of(&entry.name)?, dir.join(&entry.name)))
        })
        .collect();
    places.sort_unstable_by_key(|(number, ..)| std::cmp::Reverse(*number));
    let mut places: Vec<_> = places
        .into_iter()
        .map(|(_, kind, path)| (kind, path))
        .collect();
    if entries.iter().any(|entry| entry.name == redb_engine::FILE) {
        places.push((EngineKind::Redb, dir.to_owned()));
    }
    Ok(places)
}

/// Rows written to the new tables at a time.
const BATCH_BYTES: usize = 1 << 20;

fn copy(from: &dyn Engine, table: Table, to: &dyn Engine, lost: &mut Vec<LostRows>) -> Result<u64> {
    let (mut batch, mut bytes, mut rows) = (Batch::new(), 0, 0);
    save(
        from,
        table,
        &mut |key, value| {
            bytes += key.len() + value.len();
            rows += 1;
            batch.put(table, key, value);
            if bytes >= BATCH_BYTES {
                bytes = 0;
                to.write(std::mem::take(&mut batch))?;
            }
            Ok(())
        },
        lost,
    )?;
    to.write(batch)?;
    Ok(rows)
}

type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// Shows every row of a table that can be read, and says which cannot.
fn save(
    engine: &dyn Engine,
    table: Table,
    visit: &mut Visit<'_>,
    lost: &mut Vec<LostRows>,
) -> Result<()> {
    let mut saving = Saving {
        engine,
        table,
        visit,
        lost,
        tries: TRIES_MAX,
    };
    saving.between(None, None)
}

/// So many attempts at a table: damage is approached by halving, and each step costs a look at the tree.
const TRIES_MAX: u32 = 2_000;
const PAGE: usize = 512;

/// How reading from one end of a range ended.
enum End {
    /// At its other end.
    Reached,
    /// At something that cannot be read, behind this key; `None` if not even one could be.
    Stuck(Option<Vec<u8>>),
}

struct Saving<'a, 'v> {
    engine: &'a dyn Engine,
    table: Table,
    visit: &'a mut Visit<'v>,
    lost: &'a mut Vec<LostRows>,
    tries: u32,
}

impl Saving<'_, '_> {
    /// Saves what lies behind one key and before another: from the front, from the back, and then each half of what is
    /// left between.
    fn between(&mut self, low: Option<&[u8]>, high: Option<&[u8]>) -> Result<()> {
        let owned = |key: Option<&[u8]>| key.map(<[u8]>::to_vec);
        let End::Stuck(front) = self.run(owned(low), owned(high), false)? else {
            return Ok(());
        };
        let End::Stuck(back) = self.run(front.clone(), owned(high), true)? else {
            return Ok(());
        };
        let middle = midpoint(front.as_deref(), back.as_deref());
        if let Some(middle) = middle.filter(|_| self.tries > 0) {
            self.between(front.as_deref(), Some(&middle))?;
            // The middle itself belongs to the upper half.
            return self.between(Some(&below(&middle)), back.as_deref());
        }
        self.lose(front, back);
        Ok(())
    }

    fn lose(&mut self, front: Option<Vec<u8>>, back: Option<Vec<u8>>) {
        // Neighbouring gaps are one.
        if let Some(last) = self.lost.last_mut()
            && last.table == self.table
            && last.key.is_none()
            && last.between.1.is_some()
            && last.between.1 >= front
        {
            last.between.1 = back;
            return;
        }
        self.lost.push(LostRows {
            table: self.table,
            key: None,
            between: (front, back),
        });
    }

    /// Reads from one end until the other or until nothing more can be read: then the last key that could be.
    fn run(
        &mut self,
        mut low: Option<Vec<u8>>,
        mut high: Option<Vec<u8>>,
        reverse: bool,
    ) -> Result<End> {
        let mut limit = PAGE;
        loop {
            let bound =
                |key: &Option<Vec<u8>>| key.clone().map_or(Bound::Unbounded, Bound::Excluded);
            let range = Range {
                start: bound(&low),
                end: bound(&high),
                reverse,
                limit,
            };
            self.tries = self.tries.saturating_sub(1);
            let page = match self.engine.range_damaged(self.table, range) {
                Ok(page) => page,
                Err(_) if limit > 1 => {
                    limit = 1;
                    continue;
                }
                Err(_) => return Ok(End::Stuck(if reverse { high } else { low })),
            };
            for (key, value) in &page {
                match value {
                    Some(value) => (self.visit)(key, value)?,
                    None => self.lost.push(LostRows {
                        table: self.table,
                        key: Some(key.clone()),
                        between: (None, None),
                    }),
                }
            }
            let is_last = page.len() < limit;
            if let Some((last, _)) = page.into_iter().next_back() {
                if reverse {
                    high = Some(last);
                } else {
                    low = Some(last);
                }
            }
            if is_last {
                return Ok(End::Reached);
            }
        }
    }
}

/// The longest key that is looked between.
const KEY_LEN: usize = 40;

/// A key in the middle between two; `None` if they are next to each other.
fn midpoint(low: Option<&[u8]>, high: Option<&[u8]>) -> Option<Vec<u8>> {
    let len = low.map_or(0, <[u8]>::len).max(high.map_or(0, <[u8]>::len));
    let len = (len + 1).min(KEY_LEN);
    let digit = |key: Option<&[u8]>, at: usize, open: u16| match key {
        Some(key) => u16::from(key.get(at).copied().unwrap_or(0)),
        None => open,
    };
    // The sum of both, one digit longer, halved from the front.
    let mut sum = vec![0_u16; len + 1];
    let mut carry = 0;
    for at in (0..len).rev() {
        let both = digit(low, at, 0) + digit(high, at, 0xff) + carry;
        if let Some(place) = sum.get_mut(at + 1) {
            *place = both & 0xff;
        }
        carry = both >> 8;
    }
    if let Some(place) = sum.first_mut() {
        *place = carry;
    }
    let mut rest = 0;
    let mut middle = Vec::with_capacity(len);
    for (at, digit) in sum.into_iter().enumerate() {
        let whole = rest << 8 | digit;
        rest = whole & 1;
        if at > 0 {
            middle.push(u8::try_from(whole >> 1).unwrap_or(u8::MAX));
        }
    }
    let is_between = low.is_none_or(|low| middle.as_slice() > low)
        && high.is_none_or(|high| middle.as_slice() < high);
    is_between.then_some(middle)
}

/// The largest key of the looked-at length below one: so that what begins at that one is included.
fn below(key: &[u8]) -> Vec<u8> {
    let mut below = key.to_vec();
    while let Some(last) = below.pop() {
        if let Some(less) = last.checked_sub(1) {
            below.push(less);
            below.resize(KEY_LEN + 24, 0xff);
            return below;
        }
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidestore_disk::SimDisk;

    #[test]
    fn a_middle_lies_between() {
        for (low, high) in [
            (None, None),
            (Some(&b"a"[..]), None),
            (None, Some(&b"a"[..])),
            (Some(b"a"), Some(&b"b"[..])),
            (Some(b"tea/ann"), Some(&b"tea/bob"[..])),
        ] {
            let middle = midpoint(low, high).unwrap();
            assert!(low.is_none_or(|low| low < &middle[..]));
            assert!(high.is_none_or(|high| &middle[..] < high));
        }
        assert_eq!(midpoint(Some(b"a"), Some(b"a\0")), None);
    }

    /// A damaged page of redb used to cost the whole table, or a panic.
    #[test]
    fn rows_around_damage_are_saved_and_never_invented() {
        let sim = SimDisk::new();
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let dir = Path::new("views");
        disk.create_dir_all(dir).unwrap();
        {
            let engine = crate::open(EngineKind::Redb, &disk, dir).unwrap();
            let mut batch = Batch::new();
            for n in 0..3_000_u32 {
                let value = format!("value {n}").repeat(4);
                batch.put(
                    Table(u8::try_from(n % 3 + 1).unwrap()),
                    n.to_be_bytes(),
                    value,
                );
            }
            engine.write(batch).unwrap();
            engine.flush().unwrap();
        }
        assert_eq!(check(&disk, dir).unwrap(), []);
        let file = dir.join(redb_engine::FILE);
        let bytes = sim.read_all(&file).unwrap();
        let pages: Vec<u64> = (1..bytes.len() / 4_096)
            .filter(|page| bytes[page * 4_096..][..4_096].iter().any(|byte| *byte != 0))
            .map(|page| page as u64 * 4_096)
            .collect();
        let mut saved_some = 0;
        for page in pages {
            for (at, what) in [(0, "head"), (1_500, "middle"), (4_000, "end")] {
                let damaged = sim.crash(0, tidestore_disk::Survival::ALL);
                damaged.overwrite(&file, page + at, &[0xa5; 64]).unwrap();
                let disk: Arc<dyn Disk> = Arc::new(damaged.clone());
                let before = damaged.read_all(&file).unwrap();
                let problems = check(&disk, dir).unwrap();
                assert_eq!(damaged.read_all(&file).unwrap(), before);
                let rescued = rescue(&disk, dir, EngineKind::Redb).unwrap();
                assert_eq!(damaged.read_all(&file).unwrap(), before);
                let engine = &rescued.staged.engine;
                let mut rows = 0;
                for table in 1..4 {
                    crate::scan(&**engine, Table(table), b"", |key, value| {
                        let n = u32::from_be_bytes(key.try_into().unwrap());
                        assert_eq!(value, format!("value {n}").repeat(4).as_bytes(), "{what}");
                        rows += 1;
                        Ok(())
                    })
                    .unwrap();
                }
                assert_eq!(rows, rescued.rows);
                if rows < 3_000 {
                    assert!(
                        !problems.is_empty(),
                        "{what} of page {page}: lost in silence"
                    );
                    saved_some += u32::from(rows > 0);
                }
                rescued.staged.put().unwrap();
                drop(damaged);
            }
        }
        assert!(saved_some > 10, "{saved_some}");
    }
}
