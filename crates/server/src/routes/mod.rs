//! The table of routes: the one source of paths, methods, rates, access and the description of the interface.

mod route;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use route::{AnswerKind, BodyKind, Charge, Route};
pub(crate) use table::{Found, Table};
