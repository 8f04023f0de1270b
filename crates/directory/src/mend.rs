//! Counting again, and writing what was counted: after a repair that could not save every row.

use tidestore_kv::{Key, Overlay, Table, decode_row, each_row};
use tidestore_plan::AppId;

use crate::ChannelKind;
use crate::channels::members::members_prefix;
use crate::channels::{ChannelRow, MemberRow, Role, parse_id};
use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::tables::{
    BLOCKS, CHANNELS, CHANNELS_BY_AGE, CONTACTS, MEMBERS, MEMBERSHIPS, SHARED_FILES, THREADS,
    USERS, USERS_BY_AGE, key_of, name_behind,
};
use crate::users::UserRow;

/// Writes every counter of an app's directory that does not fit what it counts, and puts users, groups and chatrooms back
/// into the order of their creation; says how many rows it changed.
///
/// # Errors
///
/// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if rows cannot be read.
pub fn mend(rows: &mut Overlay<'_>, app: AppId) -> Result<u64> {
    let before = Counters::read(rows, app)?;
    let mut counted = before;
    let mut changed = 0;
    let users = all(rows, USERS, &key_of(app))?;
    counted.users = users.len() as u64;
    for (key, value) in users {
        let mut user: UserRow = decode_row(USERS, &key, &value)?;
        let old = user.clone();
        let prefix = key_of(app);
        let name = name_behind(&key, prefix.bytes())
            .unwrap_or_default()
            .to_owned();
        let of_user = prefix.clone().names(&name);
        user.contacts = count(rows, CONTACTS, &of_user)?;
        user.blocks = count(rows, BLOCKS, &of_user)?;
        let joined = |kind: ChannelKind| key_of(app).byte(kind.byte()).names(&name);
        user.groups = count(rows, MEMBERSHIPS, &joined(ChannelKind::Group))?;
        user.rooms = count(rows, MEMBERSHIPS, &joined(ChannelKind::Room))?;
        counted.serial = counted.serial.max(user.serial);
        if user != old {
            changed += 1;
            rows.put(USERS, key.clone(), &user)?;
        }
        let by_age = key_of(app).number(user.serial);
        let is_leaving = rows
            .bytes_of(crate::tables::LEAVING, key_of(app).name(&name).bytes())?
            .is_some();
        if !is_leaving && rows.bytes_of(USERS_BY_AGE, by_age.bytes())?.is_none() {
            changed += 1;
            rows.put(USERS_BY_AGE, by_age, &name)?;
        }
    }
    for kind in [ChannelKind::Group, ChannelKind::Room] {
        let prefix = key_of(app).byte(kind.byte());
        let channels = all(rows, CHANNELS, &prefix)?;
        *counted.channels(kind) = channels.len() as u64;
        for (key, value) in channels {
            let mut channel: ChannelRow = decode_row(CHANNELS, &key, &value)?;
            let old = channel.clone();
            let name = name_behind(&key, prefix.bytes())
                .unwrap_or_default()
                .to_owned();
            let members = all(rows, MEMBERS, &members_prefix(app, kind, &parse_id(&name)?))?;
            channel.members = u32::try_from(members.len()).unwrap_or(u32::MAX);
            channel.admins = 0;
            for (key, value) in &members {
                let member: MemberRow = decode_row(MEMBERS, key, value)?;
                channel.admins += u32::from(member.role == Role::Admin);
            }
            if kind == ChannelKind::Group {
                channel.files = count(rows, SHARED_FILES, &key_of(app).names(&name))?;
            }
            counted.serial = counted.serial.max(channel.serial);
            if channel != old && !channel.is_going {
                changed += 1;
                rows.put(CHANNELS, key.clone(), &channel)?;
            }
            let by_age = prefix.clone().number(channel.serial);
            if rows.bytes_of(CHANNELS_BY_AGE, by_age.bytes())?.is_none() {
                changed += 1;
                rows.put(CHANNELS_BY_AGE, by_age, &name)?;
            }
        }
    }
    counted.threads = u64::from(count(rows, THREADS, &key_of(app))?);
    changed += crate::push::mend_labels(rows, app)?;
    if counted != before {
        changed += 1;
        counted.write(rows, app)?;
    }
    Ok(changed)
}

type Found = Vec<(Vec<u8>, Vec<u8>)>;

fn all(rows: &Overlay<'_>, table: Table, prefix: &Key) -> Result<Found> {
    let mut found = Found::new();
    each_row(rows, table, prefix.bytes(), |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        Ok::<_, Error>(true)
    })?;
    Ok(found)
}

fn count(rows: &Overlay<'_>, table: Table, prefix: &Key) -> Result<u32> {
    let mut count = 0;
    each_row(rows, table, prefix.bytes(), |_, _| {
        count += 1;
        Ok::<_, Error>(true)
    })?;
    Ok(count)
}
