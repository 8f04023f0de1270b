//! What the rows of each table must be, by the number of the table: for checks that know nothing else, and for fuzzing.

use tidestore_disk::Millis;
use tidestore_kv::Table;
use tidestore_kv::codec::{Malformed, check};

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

/// Checks the value of a row; `None` for a table that is none of the directory's.
#[doc(hidden)]
pub fn check_row(table: Table, key: &[u8], value: &[u8]) -> Option<Result<(), Malformed>> {
    Some(match table {
        COUNTERS => check::<Counters>(value),
        USERS => check::<UserRow>(value),
        CONTACTS => check::<ContactRow>(value),
        MUTES => check::<MuteRow>(value),
        CHANNELS => check::<ChannelRow>(value),
        MEMBERS => check::<MemberRow>(value),
        CHANNEL_LISTS if is_list_of_muted(key) => check::<MuteEnd>(value),
        THREADS => check::<ThreadRow>(value),
        SHARED_FILES => check::<SharedFileRow>(value),
        USERS_BY_AGE | BLOCKS_BY_AGE | CHANNELS_BY_AGE | MEMBERSHIPS | THREADS_BY_AGE
        | GROUP_THREADS | THREAD_PARENTS | THREADSHIPS => check::<String>(value),
        BLOCKS | THREAD_MEMBERS | SHARED_FILE_IDS => check::<u64>(value),
        CHANNEL_LISTS | SUPER_ADMINS | SUBSCRIPTIONS => check::<Millis>(value),
        LEAVING | SUBSCRIBERS | GOING => check::<()>(value),
        UNPINS => check::<u8>(value),
        _ => return None,
    })
}
