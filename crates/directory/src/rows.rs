//! What the rows of each table must be, by the number of the table: for checks that know nothing else, and for fuzzing.

use tidestore_disk::Millis;
use tidestore_kv::Table;
use tidestore_kv::codec::{Malformed, recode};

use crate::channels::{ChannelRow, MemberRow, is_list_of_muted};
use crate::counters::Counters;
use crate::push::{LabelRow, PushCounts, PushSettingRow, TemplateRow};
use crate::shared_files::SharedFileRow;
use crate::tables::{
    BLOCKS, BLOCKS_BY_AGE, CHANNEL_LISTS, CHANNELS, CHANNELS_BY_AGE, CONTACTS, COUNTERS, GOING,
    GOING_LABELS, GROUP_THREADS, LABEL_USERS, LABELS, LABELS_OF, LEAVING, MEMBERS, MEMBERSHIPS,
    MUTES, PUSH_COUNTS, PUSH_LANGUAGES, PUSH_SETTINGS, PUSH_TEMPLATES, SHARED_FILE_IDS,
    SHARED_FILES, SUBSCRIBERS, SUBSCRIPTIONS, SUPER_ADMINS, THREAD_MEMBERS, THREAD_PARENTS,
    THREADS, THREADS_BY_AGE, THREADSHIPS, TOKENS, UNPINS, USERS, USERS_BY_AGE,
};
use crate::threads::ThreadRow;
use crate::users::{ContactRow, MuteEnd, MuteRow, UserRow};

/// Decodes the value of a row and encodes it again; `None` for a table that is none of the directory's.
#[doc(hidden)]
pub fn recode_row(table: Table, key: &[u8], value: &[u8]) -> Option<Result<Vec<u8>, Malformed>> {
    Some(match table {
        COUNTERS => recode::<Counters>(value),
        USERS => recode::<UserRow>(value),
        CONTACTS => recode::<ContactRow>(value),
        MUTES => recode::<MuteRow>(value),
        CHANNELS => recode::<ChannelRow>(value),
        MEMBERS => recode::<MemberRow>(value),
        CHANNEL_LISTS if is_list_of_muted(key) => recode::<MuteEnd>(value),
        THREADS => recode::<ThreadRow>(value),
        SHARED_FILES => recode::<SharedFileRow>(value),
        PUSH_SETTINGS => recode::<PushSettingRow>(value),
        PUSH_TEMPLATES => recode::<TemplateRow>(value),
        PUSH_COUNTS => recode::<PushCounts>(value),
        LABELS => recode::<LabelRow>(value),
        USERS_BY_AGE | BLOCKS_BY_AGE | CHANNELS_BY_AGE | MEMBERSHIPS | THREADS_BY_AGE
        | GROUP_THREADS | THREAD_PARENTS | THREADSHIPS | PUSH_LANGUAGES => recode::<String>(value),
        BLOCKS | THREAD_MEMBERS | SHARED_FILE_IDS | TOKENS => recode::<u64>(value),
        CHANNEL_LISTS | SUPER_ADMINS | SUBSCRIPTIONS | LABEL_USERS => recode::<Millis>(value),
        LEAVING | SUBSCRIBERS | GOING | LABELS_OF | GOING_LABELS => recode::<()>(value),
        UNPINS => recode::<u8>(value),
        _ => return None,
    })
}
