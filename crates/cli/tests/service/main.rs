//! The REST service from outside: the real program, real HTTP, `kill -9`. One file for each table of the limits page.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a failure here fails the test"
)]
#![allow(
    clippy::too_many_lines,
    clippy::cast_possible_truncation,
    clippy::assigning_clones,
    reason = "a test reads as a story"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the tests are clients, which have no clock to be simulated"
)]

mod attributes;
mod bad_input;
mod channel_lists;
mod channels;
mod clients;
mod contacts;
mod files;
mod harness;
mod limits;
mod limits_of_calls;
mod live;
mod message_rules;
mod messages;
mod presence;
mod push_offline;
mod pushing;
mod rates;
mod threads;
mod transport;
mod user_tokens;
mod users;
