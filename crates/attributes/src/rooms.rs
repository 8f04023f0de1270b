//! Attributes of chatrooms.

use std::collections::BTreeMap;
use std::fmt;

use tidestore_disk::Millis;
use tidestore_kv::{Rows, decode_row, each_row, row};
use tidestore_plan::{AppId, KeyError, Limit, LimitError, ResourceId, UserId, room_attribute_key};

use crate::attributes::{Attributes, AttributesEditor, Total};
use crate::error::{Error, Result};
use crate::tables::{ROOM_ATTRIBUTES, ROOM_TOTALS, app_key, room_key, room_prefix};

/// An attribute of a chatroom.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RoomAttribute {
    /// Any text.
    pub value: String,
    /// The member who set it last; others change it by force only.
    pub setter: String,
    /// Whether it goes when the setter leaves the room.
    pub auto_delete: bool,
    /// When it was set.
    pub modified: Millis,
}

/// What became of each key of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyResults {
    /// Keys that were set or removed, in the order of the call.
    pub done: Vec<String>,
    /// The others, and why not.
    pub refused: Vec<(String, Refusal)>,
}

/// Why one key of a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The key breaks the rule for keys.
    Key(KeyError),
    /// A limit is exceeded: of the value, the room or the app.
    Limit(LimitError),
    /// Another member has set it.
    NotSetter {
        /// Who has.
        setter: String,
    },
    /// The room has no such attribute.
    NotFound,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => error.fmt(f),
            Self::Limit(error) => error.fmt(f),
            Self::NotSetter { setter } => {
                write!(f, "{setter} has set it; only by force can others change it")
            }
            Self::NotFound => f.write_str("there is no such attribute"),
        }
    }
}

impl<R: Rows + ?Sized> Attributes<'_, R> {
    /// Attributes of a room: those of some keys, or all. What is not there is left out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if they cannot be read.
    pub fn room(
        &self,
        room: &ResourceId,
        keys: Option<&[String]>,
    ) -> Result<BTreeMap<String, RoomAttribute>> {
        let mut all = BTreeMap::new();
        let prefix = room_prefix(self.app, room);
        if let Some(keys) = keys {
            for key in keys {
                let found = self.room_attribute(&prefix, key)?;
                all.extend(found.map(|found| (key.clone(), found)));
            }
            return Ok(all);
        }
        each_row(self.rows, ROOM_ATTRIBUTES, &prefix, |key, value| {
            let name = key.strip_prefix(prefix.as_slice()).unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            all.insert(name, decode_row(ROOM_ATTRIBUTES, key, value)?);
            Ok::<_, Error>(true)
        })?;
        Ok(all)
    }

    /// How many attributes a room has, and their bytes. Costs one row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if it cannot be read.
    pub fn total_of_room(&self, room: &ResourceId) -> Result<Total> {
        self.total(ROOM_TOTALS, &room_key(self.app, room))
    }

    fn room_attribute(&self, prefix: &[u8], key: &str) -> Result<Option<RoomAttribute>> {
        let place = [prefix, key.as_bytes()].concat();
        Ok(row(self.rows, ROOM_ATTRIBUTES, &place)?)
    }
}

impl AttributesEditor<'_, '_> {
    /// Sets up to 10 attributes of a room for a member, and says of each key how it went. By force, keys that others have
    /// set are taken over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) over 10 pairs, [`ErrorKind::Argument`](crate::ErrorKind::Argument) for
    /// none or for one key twice; nothing was set.
    pub fn set_room(
        &mut self,
        room: &ResourceId,
        member: &UserId,
        pairs: Vec<(String, String)>,
        auto_delete: bool,
        force: bool,
    ) -> Result<KeyResults> {
        self.check_call(pairs.iter().map(|(key, _)| key))?;
        let mut results = KeyResults::default();
        for (key, value) in pairs {
            let attribute = RoomAttribute {
                value,
                setter: member.as_str().to_owned(),
                auto_delete,
                modified: self.scope.now,
            };
            let done = self.set_key(room, &key, &attribute, force)?;
            results.add(key, done);
        }
        Ok(results)
    }

    /// Removes up to 10 attributes of a room for a member, and says of each key how it went. By force, also those that
    /// others have set.
    ///
    /// # Errors
    ///
    /// As [`set_room`](Self::set_room).
    pub fn delete_room_keys(
        &mut self,
        room: &ResourceId,
        member: &UserId,
        keys: &[String],
        force: bool,
    ) -> Result<KeyResults> {
        self.check_call(keys.iter())?;
        let mut results = KeyResults::default();
        for key in keys {
            let found = self.own_attribute(room, key, member.as_str(), force)?;
            let done = match found {
                Ok(None) => Err(Refusal::NotFound),
                Ok(Some(attribute)) => {
                    self.put_key(room, key, Some(&attribute), None)?;
                    Ok(())
                }
                Err(refusal) => Err(refusal),
            };
            results.add(key.clone(), done);
        }
        Ok(results)
    }

    /// Removes what a member has set and wanted to go with him.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if it cannot be read.
    pub fn left(&mut self, room: &ResourceId, member: &UserId) -> Result<()> {
        self.drop_where(room, |attribute| {
            attribute.auto_delete && attribute.setter == member.as_str()
        })
    }

    /// Removes all attributes of a room.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if they cannot be read.
    pub fn room_deleted(&mut self, room: &ResourceId) -> Result<()> {
        self.drop_where(room, |_| true)
    }

    fn drop_where(
        &mut self,
        room: &ResourceId,
        goes: impl Fn(&RoomAttribute) -> bool,
    ) -> Result<()> {
        // Most rooms have none, and one row says so.
        if self.attributes().total_of_room(room)?.count == 0 {
            return Ok(());
        }
        for (key, attribute) in self.attributes().room(room, None)? {
            if goes(&attribute) {
                self.put_key(room, &key, Some(&attribute), None)?;
            }
        }
        Ok(())
    }

    fn check_call<'k>(&self, keys: impl Iterator<Item = &'k String>) -> Result<()> {
        let mut keys: Vec<&String> = keys.collect();
        let count = keys.len();
        self.scope
            .limits
            .check(Limit::RoomAttributesPerCall, count as u64)?;
        if count == 0 {
            return Err(Error::argument("the call names no attribute"));
        }
        keys.sort_unstable();
        keys.dedup();
        if keys.len() < count {
            return Err(Error::argument("the call names one attribute twice"));
        }
        Ok(())
    }

    fn set_key(
        &mut self,
        room: &ResourceId,
        key: &str,
        next: &RoomAttribute,
        force: bool,
    ) -> Result<Result<(), Refusal>> {
        if let Err(error) = room_attribute_key(key) {
            return Ok(Err(Refusal::Key(error)));
        }
        let limits = &self.scope.limits;
        if let Err(error) = limits.check_text(Limit::RoomAttributeValue, &next.value) {
            return Ok(Err(Refusal::Limit(error)));
        }
        let found = match self.own_attribute(room, key, &next.setter, force)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (before, after) = (
            found.as_ref().map(|a| bytes(key, a)),
            Some(bytes(key, next)),
        );
        let of_room = self
            .attributes()
            .total_of_room(room)?
            .changed(before, after);
        let of_app = self.attributes().room_total()?.changed(before, after);
        let new = before.is_none();
        let checks = [
            (new, Limit::RoomAttributeKeys, of_room.count),
            (after > before, Limit::AppRoomAttributes, of_app.bytes),
        ];
        for (grows, limit, would_be) in checks {
            if grows && let Err(error) = self.scope.limits.check(limit, would_be) {
                return Ok(Err(Refusal::Limit(error)));
            }
        }
        self.put_key(room, key, found.as_ref(), Some(next))?;
        Ok(Ok(()))
    }

    /// The attribute as it is, if the member may change it.
    fn own_attribute(
        &self,
        room: &ResourceId,
        key: &str,
        member: &str,
        force: bool,
    ) -> Result<Result<Option<RoomAttribute>, Refusal>> {
        let prefix = room_prefix(self.scope.app, room);
        let found = self.attributes().room_attribute(&prefix, key)?;
        Ok(match found {
            Some(found) if !force && found.setter != member => Err(Refusal::NotSetter {
                setter: found.setter,
            }),
            found => Ok(found),
        })
    }

    fn put_key(
        &mut self,
        room: &ResourceId,
        key: &str,
        before: Option<&RoomAttribute>,
        after: Option<&RoomAttribute>,
    ) -> Result<()> {
        let app = self.scope.app;
        let change = |total: Total| {
            total.changed(before.map(|a| bytes(key, a)), after.map(|a| bytes(key, a)))
        };
        let of_room = change(self.attributes().total_of_room(room)?);
        let of_app = change(self.attributes().room_total()?);
        self.put_total(ROOM_TOTALS, room_key(app, room), of_room)?;
        self.put_total(ROOM_TOTALS, app_key(app), of_app)?;
        let place = place(app, room, key);
        match after {
            Some(after) => self.rows.put(ROOM_ATTRIBUTES, place, after)?,
            None => self.rows.delete(ROOM_ATTRIBUTES, place),
        }
        Ok(())
    }
}

impl KeyResults {
    fn add(&mut self, key: String, done: Result<(), Refusal>) {
        match done {
            Ok(()) => self.done.push(key),
            Err(refusal) => self.refused.push((key, refusal)),
        }
    }
}

/// Bytes of key and value.
pub(crate) fn bytes(key: &str, attribute: &RoomAttribute) -> u64 {
    (key.len() + attribute.value.len()) as u64
}

fn place(app: AppId, room: &ResourceId, key: &str) -> Vec<u8> {
    [room_prefix(app, room).as_slice(), key.as_bytes()].concat()
}
