//! Capped key-value stores for users and chatrooms.
//!
//! - A user's attributes: at most 2 KB over keys and values, 10 GB in an app.
//! - A chatroom's attributes: at most 100 keys, each owned by the member who set it; 10 GB in an app.
//! - The totals are rows that change with what they count, so caps hold exactly and the totals can be read at once.
//!
//! [`Attributes`] reads rows, [`AttributesEditor`] changes them in an overlay: it checks everything on the rows as they will
//! be and leaves it to its caller to make one record of the change. Whether a user is registered or in a room is not asked
//! here; the store asks the directory.
//!
//! # Example
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use tidestore_attributes::{Attributes, AttributesEditor, Scope};
//! use tidestore_disk::{Disk, SimDisk};
//! use tidestore_kv::{EngineKind, Overlay, open};
//! use tidestore_plan::{AppId, Limits, UserId};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
//! let tables = open(EngineKind::Memory, &disk, Path::new("views"))?;
//! let scope = Scope { app: AppId(1), limits: Limits::default(), now: 0 };
//!
//! let ann = UserId::parse("ann")?;
//! let mut rows = Overlay::new(&*tables);
//! let pairs = vec![("nickname".to_owned(), "Ann".to_owned())];
//! AttributesEditor::new(&mut rows, &scope).set(&ann, pairs)?;
//! tables.write(rows.into_batch())?;
//!
//! let attributes = Attributes::new(&*tables, AppId(1));
//! assert_eq!(attributes.get(&ann, None)?["nickname"], "Ann");
//! assert_eq!(attributes.user_total()?.bytes, 11);
//! # Ok(())
//! # }
//! ```

mod attributes;
mod error;
mod mend;
mod recount;
mod rooms;
mod rows;
mod tables;
mod users;

pub use attributes::{Attributes, AttributesEditor, Scope, Total};
pub use error::{Error, ErrorKind, Result};
pub use mend::mend;
pub use rooms::{KeyResults, Refusal, RoomAttribute};
#[doc(hidden)]
pub use rows::recode_row;
