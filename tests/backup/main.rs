//! Backup and restore: one moment over all parts, incremental, one app, what may not come back, and what goes wrong.

mod faults;
mod incremental;
mod input;
mod load;
mod moment;
mod picture;
mod retention;
mod watched;
