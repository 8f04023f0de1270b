//! Counting again, and writing what was counted: after a repair that could not save every row.

use std::collections::BTreeMap;

use tidestore_kv::{Overlay, decode_row, each_row};
use tidestore_plan::AppId;

use crate::attributes::{Attributes, Total};
use crate::error::{Error, Result};
use crate::rooms::{RoomAttribute, bytes as room_bytes};
use crate::tables::{ROOM_ATTRIBUTES, ROOM_TOTALS, USER_ATTRIBUTES, USER_TOTALS, app_key};
use crate::users::{Pairs, bytes};

/// Writes every total of an app's attributes that does not fit them; says how many it changed.
///
/// # Errors
///
/// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if rows cannot be read.
pub fn mend(rows: &mut Overlay<'_>, app: AppId) -> Result<u64> {
    let prefix = app_key(app);
    let mut users = Total::default();
    each_row(&*rows, USER_ATTRIBUTES, &prefix, |key, value| {
        let pairs: Pairs = decode_row(USER_ATTRIBUTES, key, value)?;
        users = users.changed(None, Some(bytes(&pairs)));
        Ok::<_, Error>(true)
    })?;
    let mut changed = 0;
    if Attributes::new(&*rows, app).user_total()? != users {
        changed += 1;
        rows.put(USER_TOTALS, prefix.clone(), &users)?;
    }
    // Keyed as their totals are: the app alone, and each room.
    let mut found: BTreeMap<Vec<u8>, Total> = BTreeMap::new();
    each_row(&*rows, ROOM_ATTRIBUTES, &prefix, |key, value| {
        let attribute: RoomAttribute = decode_row(ROOM_ATTRIBUTES, key, value)?;
        let (of_app, rest) = key.split_at_checked(4).unwrap_or_default();
        let mut rest = rest.splitn(2, |byte| *byte == 0);
        let (room, name) = (
            rest.next().unwrap_or_default(),
            rest.next().unwrap_or_default(),
        );
        let len = room_bytes(&String::from_utf8_lossy(name), &attribute);
        for place in [of_app.to_vec(), [of_app, room].concat()] {
            let total = found.entry(place).or_default();
            *total = total.changed(None, Some(len));
        }
        Ok::<_, Error>(true)
    })?;
    let mut wrong = Vec::new();
    each_row(&*rows, ROOM_TOTALS, &prefix, |key, value| {
        let total: Total = decode_row(ROOM_TOTALS, key, value)?;
        let counted = found.remove(key).unwrap_or_default();
        if total != counted {
            wrong.push((key.to_vec(), counted));
        }
        Ok::<_, Error>(true)
    })?;
    wrong.extend(found);
    for (key, total) in wrong {
        changed += 1;
        rows.put(ROOM_TOTALS, key, &total)?;
    }
    Ok(changed)
}
