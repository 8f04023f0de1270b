//! What the rows of each table must be, by the number of the table: for checks that know nothing else, and for fuzzing.

use tidestore_disk::Millis;
use tidestore_kv::Table;
use tidestore_kv::codec::{Malformed, recode};

use crate::channels::{ChannelRow, MemberRow, is_list_of_muted};
use crate::counters::Counters;
use crate::shared_files::SharedFileRow;
use crate::tables::{
    BLOCKS, BLOCKS_BY_AGE, CHANNEL_LISTS, CHANNELS, CHANNELS_BY_AGE, CONTACTS, COUNTERS, GOING,
    GROUP_THREADS, LEAVING, MEMBERS, MEMBERSHIPS, MUTES, SHARED_FILE_IDS, SHARED_FILES,
    SUBSCRIBERS, SUBSCRIPTIONS, SUPER_ADMINS, THREAD_MEMBERS, THREAD_PARENTS, THREADS,
    THREADS_BY_AGE, THREADSHIPS, UNPINS, USERS, USERS_BY_AGE,
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
        USERS_BY_AGE | BLOCKS_BY_AGE | CHANNELS_BY_AGE | MEMBERSHIPS | THREADS_BY_AGE
        | GROUP_THREADS | THREAD_PARENTS | THREADSHIPS => recode::<String>(value),
        BLOCKS | THREAD_MEMBERS | SHARED_FILE_IDS => recode::<u64>(value),
        CHANNEL_LISTS | SUPER_ADMINS | SUBSCRIPTIONS => recode::<Millis>(value),
        LEAVING | SUBSCRIBERS | GOING => recode::<()>(value),
        UNPINS => recode::<u8>(value),
        _ => return None,
    })
}
