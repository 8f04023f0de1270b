//! One file a command.

pub(crate) mod app;
pub(crate) mod attr;
pub(crate) mod backup;
pub(crate) mod blob;
pub(crate) mod change;
pub(crate) mod channel;
pub(crate) mod demo;
pub(crate) mod expire;
pub(crate) mod export;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod inbox;
pub(crate) mod inspect;
pub(crate) mod listing;
pub(crate) mod rebuild;
pub(crate) mod repair;
pub(crate) mod scrub;
pub(crate) mod send;
pub(crate) mod tail;
pub(crate) mod thread;
pub(crate) mod torture;
pub(crate) mod usage;
pub(crate) mod user;
pub(crate) mod verify;
