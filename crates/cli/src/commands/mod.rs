//! One file a command.

pub(crate) mod app;
pub(crate) mod blob;
pub(crate) mod demo;
pub(crate) mod expire;
pub(crate) mod export;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod usage;
pub(crate) mod verify;
