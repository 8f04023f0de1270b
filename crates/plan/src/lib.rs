//! The service contract as data: every plan, cap, length, rule and rate, and the checks that follow from them. No I/O.
//!
//! ```
//! use tidestore_plan::{AppKey, CapKind, Limit, Plan, Terms, UserId, message_content};
//!
//! let terms = Terms::of(Plan::Basic);
//! assert_eq!(terms.retention().as_days(), 7);
//! assert!(terms.caps().check(CapKind::GroupMembers, 300).is_ok());
//! assert!(terms.caps().check(CapKind::GroupMembers, 301).is_err());
//!
//! assert_eq!(UserId::parse("Alice").unwrap(), UserId::parse("alice").unwrap());
//! assert_eq!(AppKey::parse("acme#chat").unwrap().org(), "acme");
//!
//! // A limit counts in its own unit: names in characters, messages in bytes.
//! assert!(Limit::GroupName.check_text(&"群".repeat(128)).is_ok());
//! assert!(message_content("群".repeat(1_024).len() as u64, 0).is_ok());
//! let error = message_content(3_000, 73).unwrap_err();
//! assert_eq!((error.max(), error.actual()), (3_072, 3_073));
//! ```

mod checks;
mod ids;
mod limits;
mod numbers;
mod overrides;
mod plans;
mod rates;

pub use checks::{KeyError, message_content, room_attribute_key};
pub use ids::{AppKey, IdError, IdKind, ResourceId, UserId};
pub use limits::{Exceeded, Limit, LimitError, Unit};
pub use numbers::{AppId, AttachmentId, AttachmentIdError};
pub use overrides::Limits;
pub use plans::{CapKind, Caps, Plan, Retention, Terms, TermsError};
pub use rates::{Method, Module, Pool, Quota, RATES, Rate, RateUnit, Scope, rate};
