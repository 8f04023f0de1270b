//! The directory's tables: what lies under which key.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/tables.md`.
//!
//! `app` is an app number of four bytes, `serial` a number of eight, both big-endian so that keys sort by them. Names are
//! text; where another part follows, a zero byte ends them, which no name can hold. `kind` is one byte, see
//! [`ChannelKind`](crate::ChannelKind). Values are bincode of the row types, which are beside the code that writes them.
//!
//! | table | key | value |
//! |---|---|---|
//! | 20 `COUNTERS` | app | `Counters` |
//! | 21 `USERS` | app, user | `UserRow` |
//! | 22 `USERS_BY_AGE` | app, serial of registration | user |
//! | 23 `CONTACTS` | app, user, 0, friend | `ContactRow` |
//! | 24 `BLOCKS` | app, user, 0, blocked user | serial |
//! | 25 `BLOCKS_BY_AGE` | app, user, 0, serial | blocked user |
//! | 26 `MUTES` | app, user | `MuteRow` |
//! | 27 `LEAVING` | app, user | nothing: a user whose deletion has begun |
//! | 28 `CHANNELS` | app, kind, id | `ChannelRow` |
//! | 29 `CHANNELS_BY_AGE` | app, kind, serial of creation | id |
//! | 30 `MEMBERS` | app, kind, id, 0, user | `MemberRow` |
//! | 31 `MEMBERSHIPS` | app, kind, user, 0, serial of joining | id |
//! | 32 `CHANNEL_LISTS` | app, kind, id, 0, list (1), user | since when; of a muted member, until when: `MuteEnd` |
//! | 33 `SUPER_ADMINS` | app, user | when |
//! | 34 `THREADS` | app, id | `ThreadRow` |
//! | 35 `THREADS_BY_AGE` | app, serial of creation | id |
//! | 36 `GROUP_THREADS` | app, group, 0, serial of creation | id |
//! | 37 `THREAD_PARENTS` | app, message id (8) | id |
//! | 38 `THREAD_MEMBERS` | app, id, 0, user | serial of joining |
//! | 39 `THREADSHIPS` | app, user, 0, serial of joining | id |
//! | 40 `SHARED_FILES` | app, group, 0, serial of sharing | `SharedFileRow` |
//! | 41 `SUBSCRIPTIONS` | app, subscriber, 0, user | until when, milliseconds |
//! | 42 `SUBSCRIBERS` | app, user, 0, subscriber | nothing |
//! | 43 `SHARED_FILE_IDS` | app, group, 0, attachment (16) | serial of sharing |
//! | 45 `GOING` | app, kind, id | nothing: a group or chatroom whose deletion has begun |
//! | 44 `UNPINS` | app, attachment (16), group | 0: a pin to be taken back, 1: one that is being taken back |
//! | 63 `PUSH_SETTINGS` | app, user, 0, scope (1), peer or group | `PushSettingRow` |
//! | 64 `PUSH_LANGUAGES` | app, user | language |
//! | 65 `PUSH_TEMPLATES` | app, name | `TemplateRow` |
//! | 66 `PUSH_COUNTS` | app | `PushCounts` |
//! | 67 `LABELS` | app, name | `LabelRow` |
//! | 68 `LABEL_USERS` | app, name, 0, user | since when |
//! | 69 `LABELS_OF` | app, user, 0, name | nothing |
//! | 70 `GOING_LABELS` | app, name | nothing: a label whose deletion has begun |
//! | 71 `TOKENS` | app, user | how often all his tokens were revoked |

use tidestore_kv::{Key, Table};
use tidestore_plan::AppId;

pub(crate) const COUNTERS: Table = Table(20);
pub(crate) const USERS: Table = Table(21);
pub(crate) const USERS_BY_AGE: Table = Table(22);
pub(crate) const CONTACTS: Table = Table(23);
pub(crate) const BLOCKS: Table = Table(24);
pub(crate) const BLOCKS_BY_AGE: Table = Table(25);
pub(crate) const MUTES: Table = Table(26);
pub(crate) const LEAVING: Table = Table(27);
pub(crate) const CHANNELS: Table = Table(28);
pub(crate) const CHANNELS_BY_AGE: Table = Table(29);
pub(crate) const MEMBERS: Table = Table(30);
pub(crate) const MEMBERSHIPS: Table = Table(31);
pub(crate) const CHANNEL_LISTS: Table = Table(32);
pub(crate) const SUPER_ADMINS: Table = Table(33);
pub(crate) const THREADS: Table = Table(34);
pub(crate) const THREADS_BY_AGE: Table = Table(35);
pub(crate) const GROUP_THREADS: Table = Table(36);
pub(crate) const THREAD_PARENTS: Table = Table(37);
pub(crate) const THREAD_MEMBERS: Table = Table(38);
pub(crate) const THREADSHIPS: Table = Table(39);
pub(crate) const SHARED_FILES: Table = Table(40);
pub(crate) const SUBSCRIPTIONS: Table = Table(41);
pub(crate) const SUBSCRIBERS: Table = Table(42);
pub(crate) const SHARED_FILE_IDS: Table = Table(43);
pub(crate) const UNPINS: Table = Table(44);
pub(crate) const GOING: Table = Table(45);
pub(crate) const PUSH_SETTINGS: Table = Table(63);
pub(crate) const PUSH_LANGUAGES: Table = Table(64);
pub(crate) const PUSH_TEMPLATES: Table = Table(65);
pub(crate) const PUSH_COUNTS: Table = Table(66);
pub(crate) const LABELS: Table = Table(67);
pub(crate) const LABEL_USERS: Table = Table(68);
pub(crate) const LABELS_OF: Table = Table(69);
pub(crate) const GOING_LABELS: Table = Table(70);
pub(crate) const TOKENS: Table = Table(71);

/// Every key begins with its app.
pub(crate) fn key_of(app: AppId) -> Key {
    Key::starting_with(app.0)
}

/// The last part of a key whose prefix is known, as a number.
pub(crate) fn number_behind(key: &[u8], prefix: &[u8]) -> Option<u64> {
    let rest = key.strip_prefix(prefix)?;
    Some(u64::from_be_bytes(rest.try_into().ok()?))
}

/// The last part of a key whose prefix is known, as a name.
pub(crate) fn name_behind<'a>(key: &'a [u8], prefix: &[u8]) -> Option<&'a str> {
    std::str::from_utf8(key.strip_prefix(prefix)?).ok()
}
