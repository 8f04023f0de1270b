//! Counting labels and templates again, and writing what was counted.

use std::collections::BTreeMap;

use tidestore_disk::Millis;
use tidestore_kv::{Overlay, decode_row, each_row, row};
use tidestore_plan::AppId;

use super::label_users::{labels_of, users_of};
use super::{LabelRow, PushCounts};
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::tables::{
    GOING_LABELS, LABEL_USERS, LABELS, LABELS_OF, PUSH_COUNTS, PUSH_TEMPLATES, key_of, name_behind,
};
use crate::users::parse_user;

/// How many users a label has, and since when the first of them.
type Found = BTreeMap<String, (u64, Millis)>;

/// Writes the counters of labels and templates that do not fit, and makes both directions of the index of labels agree. A
/// label whose row was lost comes back without a description if it has users. Says how many rows it changed.
pub(crate) fn mend_labels(rows: &mut Overlay<'_>, app: AppId) -> Result<u64> {
    let mut changed = mend_index(rows, app)?;
    let prefix = key_of(app);
    let mut labels = users_by_label(rows, app)?;
    each_row(&*rows, LABELS, prefix.bytes(), |key, _| {
        let name = name_behind(key, prefix.bytes()).unwrap_or_default();
        labels.entry(name.to_owned()).or_default();
        Ok::<_, Error>(true)
    })?;
    for (name, (users, since)) in &labels {
        let key = prefix.clone().name(name);
        let old: Option<LabelRow> = row(&*rows, LABELS, key.bytes())?;
        let is_going = rows.bytes_of(GOING_LABELS, key.bytes())?.is_some();
        let label = LabelRow {
            description: old
                .as_ref()
                .map_or_else(String::new, |old| old.description.clone()),
            created: old.as_ref().map_or(*since, |old| old.created),
            users: *users,
            is_going: is_going || old.as_ref().is_some_and(|old| old.is_going),
        };
        if label.is_going && !is_going {
            changed += 1;
            rows.put(GOING_LABELS, key.clone(), &())?;
        }
        if old.as_ref() != Some(&label) {
            changed += 1;
            rows.put(LABELS, key, &label)?;
        }
    }
    let mut counts = PushCounts {
        templates: 0,
        labels: labels.len() as u64,
    };
    each_row(&*rows, PUSH_TEMPLATES, prefix.bytes(), |_, _| {
        counts.templates += 1;
        Ok::<_, Error>(true)
    })?;
    if counts != Directory::new(&*rows, app).push_counts()? {
        changed += 1;
        rows.put(PUSH_COUNTS, prefix, &counts)?;
    }
    Ok(changed)
}

fn users_by_label(rows: &Overlay<'_>, app: AppId) -> Result<Found> {
    let mut found = Found::new();
    each_row(rows, LABEL_USERS, key_of(app).bytes(), |key, value| {
        let (label, _) = two_names(key);
        let since: Millis = decode_row(LABEL_USERS, key, value)?;
        let (users, first) = found.entry(label.to_owned()).or_insert((0, since));
        *users += 1;
        *first = since.min(*first);
        Ok::<_, Error>(true)
    })?;
    Ok(found)
}

/// The rows of labels decide; what a user knows of them follows, and a note of a deletion needs its label.
fn mend_index(rows: &mut Overlay<'_>, app: AppId) -> Result<u64> {
    let prefix = key_of(app);
    let (mut missing, mut stray, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    each_row(&*rows, LABEL_USERS, prefix.bytes(), |key, _| {
        let (label, user) = two_names(key);
        let back = labels_of(app, &parse_user(user)?).name(label);
        if rows.bytes_of(LABELS_OF, back.bytes())?.is_none() {
            missing.push(back);
        }
        Ok::<_, Error>(true)
    })?;
    each_row(&*rows, LABELS_OF, prefix.bytes(), |key, _| {
        let (user, label) = two_names(key);
        let there = users_of(app, label).name(user);
        if rows.bytes_of(LABEL_USERS, there.bytes())?.is_none() {
            stray.push(key.to_vec());
        }
        Ok::<_, Error>(true)
    })?;
    each_row(&*rows, GOING_LABELS, prefix.bytes(), |key, _| {
        let name = name_behind(key, prefix.bytes()).unwrap_or_default();
        let users = users_of(app, name);
        let has_users =
            !tidestore_kv::page_of(&*rows, LABEL_USERS, users.bytes(), None, false, 1)?.is_empty();
        if !has_users && rows.bytes_of(LABELS, key)?.is_none() {
            idle.push(key.to_vec());
        }
        Ok::<_, Error>(true)
    })?;
    let changed = missing.len() + stray.len() + idle.len();
    for key in missing {
        rows.put(LABELS_OF, key, &())?;
    }
    for key in stray {
        rows.delete(LABELS_OF, key);
    }
    for key in idle {
        rows.delete(GOING_LABELS, key);
    }
    Ok(changed as u64)
}

/// The two names of a key behind its app; empty where there is none.
fn two_names(key: &[u8]) -> (&str, &str) {
    let rest = key.get(4..).and_then(|rest| std::str::from_utf8(rest).ok());
    rest.and_then(|rest| rest.split_once('\0'))
        .unwrap_or_default()
}
