//! Counting all attributes of an app again.

use std::collections::BTreeMap;

use tidestore_kv::{Rows, decode_row, each_row};

use crate::attributes::{Attributes, Total};
use crate::error::{Error, Result};
use crate::rooms::{RoomAttribute, bytes as room_bytes};
use crate::tables::{ROOM_ATTRIBUTES, ROOM_TOTALS, USER_ATTRIBUTES, app_key};
use crate::users::{Pairs, bytes};

impl<R: Rows + ?Sized> Attributes<'_, R> {
    /// Counts all attributes again, says where a total differs, and how many rows there are.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if they cannot be read.
    pub fn recount(&self, problems: &mut Vec<String>) -> Result<u64> {
        let prefix = app_key(self.app);
        let mut users = Total::default();
        each_row(self.rows, USER_ATTRIBUTES, &prefix, |key, value| {
            let pairs: Pairs = decode_row(USER_ATTRIBUTES, key, value)?;
            users = users.changed(None, Some(bytes(&pairs)));
            Ok::<_, Error>(true)
        })?;
        compare("attributes of users", self.user_total()?, users, problems);

        // Keyed as their totals are: the app alone, and each room.
        let mut found: BTreeMap<Vec<u8>, Total> = BTreeMap::new();
        each_row(self.rows, ROOM_ATTRIBUTES, &prefix, |key, value| {
            let attribute: RoomAttribute = decode_row(ROOM_ATTRIBUTES, key, value)?;
            // The app's number may hold zeros, so the room is looked for behind it.
            let (app, rest) = key.split_at_checked(4).unwrap_or_default();
            let mut rest = rest.splitn(2, |byte| *byte == 0);
            let (room, name) = (
                rest.next().unwrap_or_default(),
                rest.next().unwrap_or_default(),
            );
            let len = room_bytes(&String::from_utf8_lossy(name), &attribute);
            for place in [app.to_vec(), [app, room].concat()] {
                let total = found.entry(place).or_default();
                *total = total.changed(None, Some(len));
            }
            Ok::<_, Error>(true)
        })?;
        let rooms = found.get(&prefix).copied().unwrap_or_default();
        each_row(self.rows, ROOM_TOTALS, &prefix, |key, value| {
            let total: Total = decode_row(ROOM_TOTALS, key, value)?;
            let counted = found.remove(key).unwrap_or_default();
            let name = key.get(4..).unwrap_or_default().escape_ascii().to_string();
            compare(
                &format!("attributes of room {name:?}"),
                total,
                counted,
                problems,
            );
            Ok::<_, Error>(true)
        })?;
        for place in found.keys() {
            let name = place
                .get(4..)
                .unwrap_or_default()
                .escape_ascii()
                .to_string();
            problems.push(format!("the attributes of room {name:?} are not counted"));
        }
        Ok(users.count + rooms.count)
    }
}

fn compare(what: &str, total: Total, found: Total, problems: &mut Vec<String>) {
    if total != found {
        problems.push(format!(
            "{what}: {} with {} bytes, {} with {} are counted",
            found.count, found.bytes, total.count, total.bytes
        ));
    }
}
