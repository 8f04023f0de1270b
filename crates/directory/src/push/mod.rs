//! Push: who wants to be told of what, templates of what he is told, and labels under which users are gathered.
//!
//! Nothing is pushed here: these are the rows that whoever pushes has to look at.

mod counts;
mod label_users;
mod labels;
mod leaving;
mod mend;
mod recount;
mod settings;
mod templates;

pub(crate) use counts::PushCounts;
pub use label_users::PushLabelUser;
pub(crate) use labels::LabelRow;
pub use labels::PushLabel;
pub use leaving::going_labels;
pub(crate) use mend::mend_labels;
pub(crate) use settings::PushSettingRow;
pub use settings::{PushMode, PushScope, PushSetting, PushSettingChange, wants_push};
pub use templates::PushTemplate;
pub(crate) use templates::TemplateRow;
