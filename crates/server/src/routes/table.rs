//! All routes, and the way from a path to one of them.

use matchit::Router;
use percent_encoding::percent_decode_str;
use tidestore::plan::Method;

use super::Route;
use crate::call::Params;
use crate::{auth, calls, live};

/// All routes.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) routes: Vec<Route>,
    /// For each method the places of the routes by path.
    by_method: [Router<usize>; 4],
    /// Paths that clash, which cannot happen in a table that its test has seen.
    pub(crate) clashes: Vec<String>,
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Found<'t> {
    Route(&'t Route, Params),
    /// The path is known, but not with this method.
    OtherMethod,
    /// A part of the path is no UTF-8.
    Malformed,
    Nothing,
}

fn place(method: Method) -> usize {
    match method {
        Method::Get => 0,
        Method::Post => 1,
        Method::Put => 2,
        Method::Delete => 3,
    }
}

impl Table {
    pub(crate) fn new() -> Self {
        let mut routes = auth::routes();
        routes.extend(calls::routes());
        routes.extend(live::routes());
        let mut table = Self {
            routes,
            by_method: Default::default(),
            clashes: Vec::new(),
        };
        for (number, route) in table.routes.iter().enumerate() {
            for (method, path) in route.forms() {
                if let Err(error) = table.by_method[place(method)].insert(path, number) {
                    table.clashes.push(format!("{method} {path}: {error}"));
                }
            }
        }
        table
    }

    /// Finds the route of a path behind the app's base path, as it stands in the request.
    pub(crate) fn find(&self, method: Option<Method>, path: &str) -> Found<'_> {
        // Old clients end paths with a slash.
        let path = if path.len() > 1 {
            path.strip_suffix('/').unwrap_or(path)
        } else {
            path
        };
        let found = method.and_then(|method| self.by_method[place(method)].at(path).ok());
        let Some(found) = found else {
            let is_known = self.by_method.iter().any(|router| router.at(path).is_ok());
            return if is_known {
                Found::OtherMethod
            } else {
                Found::Nothing
            };
        };
        let decode = |(name, value): (&str, &str)| {
            let value = percent_decode_str(value).decode_utf8().ok()?;
            Some((name.to_owned(), value.into_owned()))
        };
        // Parts are decoded one by one: an encoded slash is part of a name and never of the path.
        match (
            self.routes.get(*found.value),
            found.params.iter().map(decode).collect(),
        ) {
            (Some(route), Some(params)) => Found::Route(route, Params(params)),
            (Some(_), None) => Found::Malformed,
            (None, _) => Found::Nothing,
        }
    }
}
