//! How often each call may be made: the 152 rows of the service's limits page, as data.
//!
//! Rows keep the page's order and numbers, from 1. Method and path are as printed, misprints
//! included; [`Rate::route`] gives the form to implement. Nothing here counts calls or knows time.

mod table;
#[cfg(test)]
mod tests;

use std::fmt;

pub use table::RATES;

/// The part of the service a call belongs to: one table of the limits page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Module {
    /// Registration, passwords, status.
    UserAccounts,
    /// Mutes that hold in the whole app.
    GlobalMutes,
    /// Sending, files, history, recall, import.
    Messages,
    /// Contacts and block lists of users.
    Contacts,
    /// Attributes of users.
    UserAttributes,
    /// Groups and their shared files.
    Groups,
    /// Members, admins, lists and mutes of groups.
    GroupMembers,
    /// Chatrooms and their attributes.
    Rooms,
    /// Members, admins, lists and mutes of chatrooms.
    RoomMembers,
    /// Settings and templates of offline push.
    OfflinePush,
    /// Push labels and push calls.
    Push,
    /// Presence and subscriptions to it.
    Presence,
    /// Reactions to messages.
    Reactions,
    /// Threads of groups.
    Threads,
}

/// The HTTP method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
}

/// Whose calls are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Those of one app.
    App,
    /// Those that concern one user of the app.
    User,
    /// Those from one client address: where the page names nothing else.
    Ip,
}

/// So many in so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// The most that pass in one period; exactly this many pass.
    pub count: u32,
    /// The length of the period, in seconds.
    pub period_secs: u32,
    /// Whose calls are counted together.
    pub scope: Scope,
}

/// Rows that draw from one common quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Pool {
    /// Rows 1 to 4.
    UserRegistration,
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RateUnit {
    /// Calls.
    Calls,
    /// Messages: a call to n targets counts n.
    Messages,
}

/// One row of the limits page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// The number of the row, 1 to 152.
    pub row: u8,
    /// The table it stands in.
    pub module: Module,
    /// Our name of the call, unique, in snake case.
    pub operation: &'static str,
    /// The method as printed.
    pub method: Method,
    /// The path as printed, without the base path of the app.
    pub path: &'static str,
    /// The query as printed, without `?`.
    pub query: Option<&'static str>,
    /// Method and path to implement, where what is printed is wrong.
    pub implemented_as: Option<(Method, &'static str)>,
    /// How often it may be called.
    pub limit: Quota,
    /// A further quota that holds as well.
    pub second: Option<Quota>,
    /// The pool whose rows share [`limit`](Self::limit).
    pub pool: Option<Pool>,
    /// What both quotas count.
    pub unit: RateUnit,
}

impl Rate {
    /// Method and path to implement: the printed ones unless they are known to be wrong.
    pub fn route(&self) -> (Method, &'static str) {
        self.implemented_as.unwrap_or((self.method, self.path))
    }
}

/// The rate of a row of the limits page; `None` outside 1 to 152.
///
/// ```
/// use tidestore_plan::{RateUnit, rate};
///
/// let send = rate(20).unwrap();
/// assert_eq!((send.operation, send.limit.count), ("send_direct_message", 6_000));
/// assert_eq!(send.unit, RateUnit::Messages);
/// assert!(rate(153).is_none());
/// ```
pub fn rate(row: u8) -> Option<&'static Rate> {
    RATES.get(usize::from(row.checked_sub(1)?))
}

impl Method {
    /// The method as it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
