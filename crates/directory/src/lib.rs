//! Who exists in an app and who belongs where: users, contacts, groups, chatrooms, threads, and every cap of the plan on them.
//!
//! A [`Directory`] reads rows. An [`Editor`] changes them: each call checks the rules and the caps on the rows as they will
//! be, and either makes the whole change or none of it. It changes an overlay; what becomes of that is the caller's affair
//! (the store makes one log record of it). So no call here waits, locks, or touches a file, a clock or randomness.

mod channel_kind;
mod channels;
mod counters;
mod cursor;
mod directory;
mod error;
mod presence;
mod sending;
mod sessions;
mod shared_files;
mod super_admins;
mod tables;
mod threads;
mod users;

pub use channel_kind::ChannelKind;
pub use channels::{Channel, ChannelChange, Member, NewChannel, Role, going_channels};
pub use counters::Counters;
pub use cursor::Page;
pub use directory::{Directory, Editor, Effect, Scope};
pub use error::{Error, ErrorKind, Result};
pub use presence::Subscription;
pub use sessions::{Lease, Sessions};
pub use shared_files::{SharedFile, unpins, unpins_of};
pub use threads::{NewThread, Thread};
pub use users::{
    Contact, Deletion, MuteChange, MuteEnd, MuteFor, MuteKind, MutedUser, Mutes, NewUser, Password,
    PasswordCost, User, UserChange, UserCounts, leaving_users,
};
