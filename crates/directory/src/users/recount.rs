//! The recount: whether counters and indexes agree with the rows they speak of.

use tidestore_kv::{Key, Rows, Table, decode_row, each_row, row};
use tidestore_plan::UserId;

use super::blocks::blocks_of;
use super::contacts::contacts_of;
use super::mutes::MuteRow;
use super::{UserRow, user_behind, user_in};
use crate::directory::Directory;
use crate::error::Result;
use crate::tables::{
    BLOCKS, BLOCKS_BY_AGE, CONTACTS, MUTES, USERS, USERS_BY_AGE, key_of, number_behind,
};

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Walks over all users, contacts, block lists and mutes of the app, and adds a line for everything that does not agree.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if a row cannot be read at all.
    pub fn recount_users(&self, problems: &mut Vec<String>) -> Result<()> {
        self.recount_rows(problems)?;
        self.recount_ages(problems)?;
        self.recount_contacts(problems)?;
        self.recount_blocks(problems)?;
        self.recount_marks(problems)
    }

    /// The rows of users, and what is counted in them.
    fn recount_rows(&self, problems: &mut Vec<String>) -> Result<()> {
        let counters = self.counters()?;
        let mut users = 0_u64;
        self.each_below(&key_of(self.app), USERS, |key, value| {
            users += 1;
            let app = key_of(self.app);
            let user = user_behind(USERS, key, app.bytes())?;
            let row: UserRow = decode_row(USERS, key, value)?;
            let contacts = self.rows_below(&contacts_of(self.app, &user), CONTACTS)?;
            let blocks = self.rows_below(&blocks_of(self.app, &user), BLOCKS)?;
            let ages = self.rows_below(&blocks_of(self.app, &user), BLOCKS_BY_AGE)?;
            compare(problems, &user, "contacts", row.contacts.into(), contacts);
            compare(problems, &user, "blocks", row.blocks.into(), blocks);
            compare(problems, &user, "blocks by age", blocks, ages);
            if row.serial == 0 || row.serial > counters.serial {
                let (given, last) = (row.serial, counters.serial);
                problems.push(format!(
                    "{user} has serial {given}; the last given is {last}"
                ));
            }
            // One whose deletion has begun is on no list.
            let by_age = self.user_by_age(row.serial)?;
            let expected = (!self.is_leaving(&user)?).then_some(&user);
            if by_age.as_ref() != expected {
                let serial = row.serial;
                problems.push(format!(
                    "{user} is not what the list has at {serial}: {by_age:?}"
                ));
            }
            Ok(())
        })?;
        if users != counters.users {
            let counted = counters.users;
            problems.push(format!(
                "{counted} users are counted, and there are {users}"
            ));
        }
        Ok(())
    }

    /// The list of users by age names users, and each by his serial.
    fn recount_ages(&self, problems: &mut Vec<String>) -> Result<()> {
        let app = key_of(self.app);
        self.each_below(&app, USERS_BY_AGE, |key, value| {
            let user = user_in(USERS_BY_AGE, key, value)?;
            let serial = number_behind(key, app.bytes());
            let found = self.any_user_row(&user)?.map(|row| row.serial);
            if found.is_none() || found != serial {
                problems.push(format!(
                    "the list has {user} at {serial:?}, his row says {found:?}"
                ));
            }
            Ok(())
        })
    }

    /// Every side of a contact has its other side, and both users exist.
    fn recount_contacts(&self, problems: &mut Vec<String>) -> Result<()> {
        self.each_pair(CONTACTS, problems, |user, friend, _, problems| {
            if self.contact_row(friend, user)?.is_none() {
                problems.push(format!("{user} has the contact {friend}, who has not him"));
            }
            Ok(())
        })
    }

    /// Every block has its place by age. The count of places is compared user by user, so none is left over.
    fn recount_blocks(&self, problems: &mut Vec<String>) -> Result<()> {
        self.each_pair(BLOCKS, problems, |user, other, value, problems| {
            let list = blocks_of(self.app, user);
            let key = list.clone().name(other.as_str());
            let by_age = list.number(decode_row(BLOCKS, key.bytes(), value)?);
            let found: Option<String> = row(self.rows, BLOCKS_BY_AGE, by_age.bytes())?;
            if found.as_deref() != Some(other.as_str()) {
                problems.push(format!(
                    "{user} has blocked {other}; his list by age has {found:?} there"
                ));
            }
            Ok(())
        })?;
        let app = key_of(self.app);
        self.each_below(&app, BLOCKS_BY_AGE, |key, _| {
            let rest = key.strip_prefix(app.bytes()).unwrap_or_default();
            let user = rest.split(|byte| *byte == 0).next().unwrap_or_default();
            let whole = [app.bytes(), user].concat();
            let user = user_behind(BLOCKS_BY_AGE, &whole, app.bytes())?;
            self.expect_user(&user, "a block list by age", problems)
        })
    }

    /// Mutes and begun deletions are of users that there are.
    fn recount_marks(&self, problems: &mut Vec<String>) -> Result<()> {
        let app = key_of(self.app);
        self.each_below(&app, MUTES, |key, value| {
            let user = user_behind(MUTES, key, app.bytes())?;
            let row: MuteRow = decode_row(MUTES, key, value)?;
            if row == MuteRow::default() {
                problems.push(format!("{user} has a row of mutes without a mute"));
            }
            if self.is_leaving(&user)? {
                problems.push(format!("{user} is being deleted and still has mutes"));
            }
            self.expect_user(&user, "mutes", problems)
        })?;
        for user in self.leaving_users()? {
            self.expect_user(&user, "a begun deletion", problems)?;
        }
        Ok(())
    }

    fn expect_user(&self, user: &UserId, what: &str, problems: &mut Vec<String>) -> Result<()> {
        if self.any_user_row(user)?.is_none() {
            problems.push(format!("{user} has {what} and is not registered"));
        }
        Ok(())
    }

    fn user_by_age(&self, serial: u64) -> Result<Option<UserId>> {
        let key = key_of(self.app).number(serial);
        let value = self.rows.bytes(USERS_BY_AGE, key.bytes())?;
        let user = value.map(|value| user_in(USERS_BY_AGE, key.bytes(), &value));
        user.transpose()
    }

    /// Shows every row of a table whose keys are two users.
    fn each_pair(
        &self,
        table: Table,
        problems: &mut Vec<String>,
        mut visit: impl FnMut(&UserId, &UserId, &[u8], &mut Vec<String>) -> Result<()>,
    ) -> Result<()> {
        let app = key_of(self.app);
        self.each_below(&app, table, |key, value| {
            let rest = key.strip_prefix(app.bytes()).unwrap_or_default();
            let zero = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
            let (user, _) = rest.split_at(zero);
            let whole = [app.bytes(), user].concat();
            let user = user_behind(table, &whole, app.bytes())?;
            let prefix = app.clone().names(user.as_str());
            let other = user_behind(table, key, prefix.bytes())?;
            self.expect_user(
                &user,
                &format!("a row for {other} in table {table}"),
                problems,
            )?;
            visit(&user, &other, value, problems)
        })
    }

    fn each_below(
        &self,
        prefix: &Key,
        table: Table,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        each_row(self.rows, table, prefix.bytes(), |key, value| {
            visit(key, value).map(|()| true)
        })
    }

    fn rows_below(&self, prefix: &Key, table: Table) -> Result<u64> {
        let mut rows = 0;
        self.each_below(prefix, table, |_, _| {
            rows += 1;
            Ok(())
        })?;
        Ok(rows)
    }
}

fn compare(problems: &mut Vec<String>, user: &UserId, what: &str, counted: u64, found: u64) {
    if counted != found {
        problems.push(format!(
            "{user}: {counted} {what} are counted, and there are {found}"
        ));
    }
}
