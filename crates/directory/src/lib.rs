//! Who exists in an app and who belongs where: users, contacts, groups, chatrooms, threads, push settings and labels, and every
//! cap of the plan on them.
//!
//! A [`Directory`] reads rows. An [`Editor`] changes them: each call checks the rules and the caps on the rows as they will
//! be, and either makes the whole change or none of it. It changes an overlay; what becomes of that is the caller's affair
//! (the store makes one log record of it). So no call here waits, locks, or touches a file, a clock or randomness.
//!
//! # Example
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use tidestore_directory::{ChannelKind, Directory, Editor, NewChannel, NewUser, Scope};
//! use tidestore_disk::{Disk, SimDisk};
//! use tidestore_kv::{EngineKind, Overlay, open};
//! use tidestore_plan::{AppId, Limits, Plan, ResourceId, UserId};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
//! let tables = open(EngineKind::Memory, &disk, Path::new("views"))?;
//! let scope = Scope {
//!     app: AppId(1),
//!     caps: Plan::Free.caps(),
//!     limits: Limits::default(),
//!     now: 1_700_000_000_000,
//! };
//! let (ann, tea) = (UserId::parse("ann")?, ResourceId::parse("tea")?);
//!
//! // Both calls make one change, or none.
//! let mut rows = Overlay::new(&*tables);
//! rows.attempt(|rows| {
//!     let mut editor = Editor::new(rows, &scope);
//!     let new = NewUser { id: ann.clone(), uuid: [9; 16], nickname: None, password_hash: None };
//!     editor.register(new)?;
//!     editor.create_channel(ChannelKind::Group, NewChannel::new(tea.clone(), ann.clone()))
//! })?;
//! tables.write(rows.into_batch())?;
//!
//! let directory = Directory::new(&*tables, AppId(1));
//! assert!(directory.check_send(&ann, ChannelKind::Group, &tea, scope.now).is_ok());
//! assert_eq!(directory.counters()?.groups, 1);
//! # Ok(())
//! # }
//! ```

mod channel_kind;
mod channels;
mod counters;
mod cursor;
mod directory;
mod error;
mod mend;
mod presence;
mod push;
mod rows;
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
pub use mend::mend;
pub use presence::Subscription;
pub use push::{
    PushLabel, PushLabelUser, PushMode, PushScope, PushSetting, PushSettingChange, PushTemplate,
    going_labels, wants_push,
};
#[doc(hidden)]
pub use rows::recode_row;
pub use sessions::{Lease, Sessions};
pub use shared_files::{SharedFile, unpins, unpins_of};
pub use threads::{NewThread, Thread};
pub use users::{
    Contact, Deletion, MuteChange, MuteEnd, MuteFor, MuteKind, MutedUser, Mutes, NewUser, Password,
    PasswordCost, User, UserChange, UserCounts, leaving_users,
};
