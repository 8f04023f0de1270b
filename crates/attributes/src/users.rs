//! Attributes of users.

use std::collections::BTreeMap;

use tidestore_kv::{Rows, row};
use tidestore_plan::{Limit, Limits, UserId};

use crate::attributes::{Attributes, AttributesEditor};
use crate::error::{Error, Result};
use crate::tables::{USER_ATTRIBUTES, USER_TOTALS, app_key, user_key};

/// Keys and values.
pub(crate) type Pairs = BTreeMap<String, String>;

/// Keys with a meaning and a length of their own (row 37 of the service's reference).
const WELL_KNOWN: [(&str, Limit); 6] = [
    ("nickname", Limit::AttributeNickname),
    ("avatarurl", Limit::AttributeAvatarUrl),
    ("phone", Limit::AttributePhone),
    ("mail", Limit::AttributeMail),
    ("sign", Limit::AttributeSign),
    ("birth", Limit::AttributeBirth),
];

impl<R: Rows + ?Sized> Attributes<'_, R> {
    /// Attributes of a user: those of some keys, or all. What is not there is left out, an unknown user has none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if they cannot be read.
    pub fn get(&self, user: &UserId, keys: Option<&[String]>) -> Result<BTreeMap<String, String>> {
        let mut pairs = self.pairs(user)?.unwrap_or_default();
        if let Some(keys) = keys {
            pairs.retain(|key, _| keys.contains(key));
        }
        Ok(pairs)
    }

    /// Attributes of several users, in their order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) over 100 users.
    pub fn get_many(
        &self,
        users: &[UserId],
        keys: Option<&[String]>,
        limits: &Limits,
    ) -> Result<Vec<(UserId, BTreeMap<String, String>)>> {
        limits.check(Limit::AttributeTargets, users.len() as u64)?;
        let get = |user: &UserId| Ok((user.clone(), self.get(user, keys)?));
        users.iter().map(get).collect()
    }

    pub(crate) fn pairs(&self, user: &UserId) -> Result<Option<Pairs>> {
        Ok(row(self.rows, USER_ATTRIBUTES, &user_key(self.app, user))?)
    }
}

impl AttributesEditor<'_, '_> {
    /// Removes what belonged to a user who is gone.
    ///
    /// # Errors
    ///
    /// As [`delete`](Self::delete).
    pub fn user_deleted(&mut self, user: &UserId) -> Result<()> {
        self.delete(user)
    }

    /// Sets some attributes of a user; the others stay.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the user would have more than 2,048 bytes or the app more than
    /// 10 GB, and would have more than before, or a well-known key is too long;
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument) if a key is empty or given twice.
    pub fn set(&mut self, user: &UserId, pairs: Vec<(String, String)>) -> Result<()> {
        let mut all = self.attributes().pairs(user)?.unwrap_or_default();
        all.extend(self.checked(pairs)?);
        self.put_pairs(user, &all)
    }

    /// Sets all attributes of a user: those that are not given go.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn replace(&mut self, user: &UserId, pairs: Vec<(String, String)>) -> Result<()> {
        let all = self.checked(pairs)?;
        self.put_pairs(user, &all)
    }

    /// Removes all attributes of a user; one without any is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if they cannot be read.
    pub fn delete(&mut self, user: &UserId) -> Result<()> {
        self.put_pairs(user, &Pairs::new())
    }

    fn checked(&self, pairs: Vec<(String, String)>) -> Result<Pairs> {
        let mut all = Pairs::new();
        for (key, value) in pairs {
            if key.is_empty() {
                return Err(Error::argument("the key of an attribute is empty"));
            }
            if let Some((_, limit)) = WELL_KNOWN.iter().find(|(known, _)| *known == key) {
                self.scope.limits.check_text(*limit, &value)?;
            }
            if all.contains_key(&key) {
                // A key may be as long as a body; the error quotes its head.
                let head: String = key.chars().take(64).collect();
                return Err(Error::argument(format!("the key {head:?} is given twice")));
            }
            all.insert(key, value);
        }
        Ok(all)
    }

    fn put_pairs(&mut self, user: &UserId, pairs: &Pairs) -> Result<()> {
        let before = self.attributes().pairs(user)?.as_ref().map(bytes);
        let after = (!pairs.is_empty()).then(|| bytes(pairs));
        let total = self.attributes().user_total()?;
        let would_be = total.changed(before, after);
        // What is too much already, after a limit was lowered, may still shrink.
        if after > before {
            let limits = &self.scope.limits;
            limits.check(Limit::UserAttributes, after.unwrap_or(0))?;
            limits.check(Limit::AppUserAttributes, would_be.bytes)?;
        }
        let key = user_key(self.scope.app, user);
        if pairs.is_empty() {
            self.rows.delete(USER_ATTRIBUTES, key);
        } else {
            self.rows.put(USER_ATTRIBUTES, key, pairs)?;
        }
        self.put_total(USER_TOTALS, app_key(self.scope.app), would_be)
    }
}

/// Bytes of keys and values.
pub(crate) fn bytes(pairs: &Pairs) -> u64 {
    let bytes = pairs.iter().map(|(key, value)| key.len() + value.len());
    bytes.sum::<usize>() as u64
}
