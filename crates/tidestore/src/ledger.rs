//! The usage ledger: who uses what, and how much of what the plan allows.
//!
//! Nothing is counted here. Users, groups, rooms, threads and bytes of attributes are rows that each change rewrites in the
//! same record; attachments likewise; messages by day are noted with each segment when it is sealed, and those that are in
//! no segment yet are counted in memory. `verify` counts all of it again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use tidestore_messages::DayCount;
use tidestore_plan::{CapKind, Limit};

use crate::app::{App, Usage};
use crate::attachments::AttachmentUsage;
use crate::error::Result;
use crate::store::blocking;
use crate::tables;

/// Something that is counted, and how much of it is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    /// How much there is.
    pub used: u64,
    /// How much the plan or the contract allows; `None` is no limit.
    pub limit: Option<u64>,
}

impl Gauge {
    /// How much of the limit is used, in percent, rounded to tenths; more than 100 after a downgrade below current use.
    /// `None` where there is no limit. A limit of none at all is used up by anything.
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub fn percent(&self) -> Option<f64> {
        match self.limit? {
            0 => Some(if self.used == 0 { 0.0 } else { f64::INFINITY }),
            limit => Some((self.used as f64 * 1_000.0 / limit as f64).round() / 10.0),
        }
    }

    /// Whether there is more than is allowed, as after a downgrade. Then nothing is taken away, and nothing can be added.
    pub fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.used > limit)
    }
}

/// What an app uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// Registered users.
    pub users: Gauge,
    /// Users online now.
    pub users_online: Gauge,
    /// Groups.
    pub groups: Gauge,
    /// Chatrooms.
    pub rooms: Gauge,
    /// Threads.
    pub threads: Gauge,
    /// Bytes of user attributes, keys and values.
    pub user_attributes: Gauge,
    /// Bytes of chatroom attributes, keys and values.
    pub room_attributes: Gauge,
    /// Visible messages, and what they take up. There is no limit on them but their time.
    pub messages: Usage,
    /// Visible messages and bytes of their bodies and extensions by day, in days since 1970 UTC.
    pub days: BTreeMap<u32, DayCount>,
    /// Attachments, and by day of their upload.
    pub attachments: AttachmentUsage,
}

impl App {
    /// What the app uses, and how much of what it may. Exact at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownApp`](crate::ErrorKind::UnknownApp); what reading reports.
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method itself is not general enough in its lifetimes"
    )]
    pub async fn ledger(&self) -> Result<Ledger> {
        let caps = *self.info()?.terms.caps();
        let limits = self.store().inner.options.limits.clone();
        let counters = self.look_up(|directory| directory.counters()).await?;
        let cap = |used, kind| Gauge {
            used,
            limit: caps.get(kind),
        };
        let limited = |used, limit| Gauge {
            used,
            limit: Some(limits.max(limit)),
        };
        let user_attributes = self.user_attributes().total().await?.bytes;
        let room_attributes = self.room_attributes_total().await?.bytes;
        Ok(Ledger {
            users: cap(counters.users, CapKind::Users),
            users_online: cap(self.connections().online(), CapKind::UsersOnline),
            groups: cap(counters.groups, CapKind::Groups),
            rooms: cap(counters.rooms, CapKind::Rooms),
            threads: limited(counters.threads, Limit::Threads),
            user_attributes: limited(user_attributes, Limit::AppUserAttributes),
            room_attributes: limited(room_attributes, Limit::AppRoomAttributes),
            messages: self.usage().await?,
            days: self.messages_by_day().await?,
            attachments: self.attachment_usage().await?,
        })
    }

    /// Visible messages and their bytes by day, in days since 1970 UTC. Exact, to the millisecond of the floor.
    ///
    /// Costs a row of the tables for each segment that spans days; one that was written before days were noted is read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corruption`](crate::ErrorKind::Corruption) if a segment that must be read is damaged.
    pub async fn messages_by_day(&self) -> Result<BTreeMap<u32, DayCount>> {
        let (app, floor) = (self.id(), self.floor()?);
        let inner = Arc::clone(&self.store().inner);
        blocking(move || {
            let mut days: BTreeMap<u32, DayCount> = BTreeMap::new();
            for shard in &inner.shards.list {
                let trouble = RefCell::new(None);
                let noted = |generation| {
                    let noted = tables::days(&*shard.engine, generation);
                    noted.unwrap_or_else(|error| {
                        trouble.replace(Some(error));
                        None
                    })
                };
                for (day, count) in shard.view.count_days(app, floor, &noted)? {
                    days.entry(day).or_default().add(count);
                }
                trouble.take().map_or(Ok(()), Err)?;
            }
            Ok(days)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_says_how_much_is_used_and_whether_it_is_too_much() {
        let gauge = |used, limit| Gauge { used, limit };
        assert_eq!(gauge(1, Some(3)).percent(), Some(33.3));
        assert_eq!(gauge(3, Some(3)).percent(), Some(100.0));
        assert!(!gauge(3, Some(3)).is_over());
        assert!(gauge(4, Some(3)).is_over());
        assert_eq!(gauge(0, Some(0)).percent(), Some(0.0));
        assert_eq!(gauge(1, Some(0)).percent(), Some(f64::INFINITY));
        assert_eq!(
            (gauge(9, None).percent(), gauge(9, None).is_over()),
            (None, false)
        );
    }
}
