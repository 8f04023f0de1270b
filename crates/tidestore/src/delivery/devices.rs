//! Up to where each device of a user has acknowledged what it got.
//!
//! A cursor is one id for each shard: everything that arrived there up to it is acknowledged. Ids of one shard rise in the
//! order in which messages can be read, those of several shards do not; one id for all would skip messages.

use tidestore_disk::Millis;
use tidestore_kv::{Key, Overlay, Rows, decode_row, page_of, row};
use tidestore_messages::AppId;
use tidestore_plan::UserId;

use crate::delivery::tables::{DEVICES, key_of, text};
use crate::error::{Error, ErrorKind, Result};

/// An id for each shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct Reached(pub(crate) Vec<u64>);

impl Reached {
    pub(crate) fn on(&self, shard: usize) -> u64 {
        self.0.get(shard).copied().unwrap_or_default()
    }

    /// Moves on to where another is further.
    pub(crate) fn advance(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own = (*own).max(*other);
        }
    }
}

/// The value of `DEVICES`.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct DeviceRow {
    pub(crate) reached: Reached,
    /// When it last acknowledged something.
    pub(crate) seen: Millis,
}

/// So many devices of a user are remembered; a further one takes the place of the one that was quiet longest.
const DEVICES_MAX: usize = 64;
/// Longest name of a device, in bytes.
const NAME_MAX: usize = 128;

/// Makes sure that a name is one of a device.
pub(crate) fn check_name(device: &str) -> Result<()> {
    if device.is_empty() || device.len() > NAME_MAX || device.chars().any(char::is_control) {
        let text = format!(
            "a device is named by 1 to {NAME_MAX} bytes without control characters; this are {}",
            device.len()
        );
        return Err(Error::new(ErrorKind::Argument, text));
    }
    Ok(())
}

fn prefix(app: AppId, user: &UserId) -> Key {
    key_of(app).names(user.as_str())
}

pub(crate) fn device(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    user: &UserId,
    name: &str,
) -> Result<Option<DeviceRow>> {
    Ok(row(rows, DEVICES, prefix(app, user).name(name).bytes())?)
}

/// All devices of a user, by name.
pub(crate) fn devices(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    user: &UserId,
) -> Result<Vec<(String, DeviceRow)>> {
    let prefix = prefix(app, user);
    let page = page_of(rows, DEVICES, prefix.bytes(), None, false, 2 * DEVICES_MAX)?;
    let decode = |(key, value): (Vec<u8>, Vec<u8>)| {
        let name = text(key.strip_prefix(prefix.bytes()).unwrap_or_default())?;
        Ok((name.to_owned(), decode_row(DEVICES, &key, &value)?))
    };
    page.into_iter().map(decode).collect()
}

/// How far any device of a user has come, shard by shard: what arrived up to there reached him.
pub(crate) fn furthest(rows: &(impl Rows + ?Sized), app: AppId, user: &UserId) -> Result<Reached> {
    let mut furthest = Reached::default();
    for (_, device) in devices(rows, app, user)? {
        furthest.advance(&device.reached);
    }
    Ok(furthest)
}

/// Gets to know a device. A new one begins where the user's others are: what reached him is not pending.
pub(crate) fn get_or_begin(
    rows: &mut Overlay<'_>,
    app: AppId,
    user: &UserId,
    name: &str,
    now: Millis,
) -> Result<DeviceRow> {
    if let Some(known) = device(rows, app, user, name)? {
        return Ok(known);
    }
    let others = devices(rows, app, user)?;
    let begin = DeviceRow {
        reached: furthest(rows, app, user)?,
        seen: now,
    };
    if others.len() >= DEVICES_MAX
        && let Some((quiet, _)) = others.iter().min_by_key(|(_, device)| device.seen)
    {
        rows.delete(DEVICES, prefix(app, user).name(quiet));
    }
    rows.put(DEVICES, prefix(app, user).name(name), &begin)?;
    Ok(begin)
}

/// Moves a device on.
pub(crate) fn acknowledge(
    rows: &mut Overlay<'_>,
    app: AppId,
    user: &UserId,
    name: &str,
    reached: &Reached,
    now: Millis,
) -> Result<()> {
    let mut device = get_or_begin(rows, app, user, name, now)?;
    device.reached.advance(reached);
    device.seen = now;
    Ok(rows.put(DEVICES, prefix(app, user).name(name), &device)?)
}

/// Forgets a device; one that is not known is fine.
pub(crate) fn forget(rows: &mut Overlay<'_>, app: AppId, user: &UserId, name: &str) {
    rows.delete(DEVICES, prefix(app, user).name(name));
}
