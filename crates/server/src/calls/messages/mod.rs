//! Messages: rows 20 to 30, and the files that they speak of.

mod content;
mod conversations;
mod files;
mod history;
mod import;
mod recall;
mod send;

use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    let tables = [
        send::routes(),
        files::routes(),
        history::routes(),
        recall::routes(),
        conversations::routes(),
        import::routes(),
    ];
    tables.into_iter().flatten().collect()
}

pub(super) use files::{Shown, serve};
