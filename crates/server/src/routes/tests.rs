//! The table against the page that it has to be.

use std::collections::BTreeMap;

use tidestore::plan::{Method, RATES};

use super::{Charge, Found, Table};

/// Rows that one route answers, because method and path are the same: told apart by the body, or by a comma in the path.
const SHARED: [&[u8]; 7] = [
    &[1, 2],
    &[3, 4],
    &[48, 64],
    &[59, 60],
    &[68, 69],
    &[95, 96],
    &[103, 104],
];

#[test]
fn every_row_of_the_page_has_exactly_one_route() {
    let table = Table::new();
    assert_eq!(table.clashes, Vec::<String>::new());
    let mut by_row: BTreeMap<u8, usize> = BTreeMap::new();
    for (number, route) in table.routes.iter().enumerate() {
        for row in &route.rows {
            assert_eq!(by_row.insert(*row, number), None, "row {row} twice");
        }
        if route.rows.len() > 1 {
            assert!(SHARED.contains(&route.rows.as_slice()), "{route:?}");
        }
    }
    let rows: Vec<u8> = by_row.keys().copied().collect();
    assert_eq!(rows, (1..=152).collect::<Vec<u8>>());
}

#[test]
fn the_page_is_found_by_method_and_path_row_by_row() {
    let table = Table::new();
    // The page itself, copied from the service's documentation: see crates/plan/src/rates.
    for rate in &RATES {
        let (method, path) = rate.route();
        let path = path.replace(['{', '}'], "");
        match table.find(Some(method), &path) {
            Found::Route(route, _) => assert!(route.rows.contains(&rate.row), "{rate:?} {route:?}"),
            other => panic!("{rate:?}: {other:?}"),
        }
    }
}

/// The page itself, as it was transcribed.
const PAGE: &str = include_str!("../../../plan/data/rate_limits.csv");
const BASE: &str = "/{org_name}/{app_name}";

/// A row of the page: its number, and method and path to implement.
fn rows() -> Vec<(u8, Method, String)> {
    let row = |(index, line): (usize, &str)| {
        let mut fields = line.split(',');
        let (method, path) = (fields.nth(2).unwrap(), fields.next().unwrap());
        // The last column corrects what is misprinted; no other one before it holds a comma.
        let (method, path) = match fields.next_back().unwrap().split_once(' ') {
            Some(corrected) => corrected,
            None => (method, path),
        };
        let method = match method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            other => panic!("method {other}"),
        };
        let path = path.strip_prefix(BASE).unwrap().to_owned();
        (u8::try_from(index + 1).unwrap(), method, path)
    };
    PAGE.lines().skip(1).enumerate().map(row).collect()
}

#[test]
fn the_transcribed_page_is_what_is_routed_row_by_row() {
    let table = Table::new();
    let rows = rows();
    assert_eq!(rows.len(), 152);
    for (row, method, path) in rows {
        let named = table.routes.iter().find(|route| route.rows.contains(&row));
        let named = named.unwrap_or_else(|| panic!("row {row} has no route"));
        match table.find(Some(method), &path.replace(['{', '}'], "")) {
            Found::Route(found, _) => assert!(std::ptr::eq(found, named), "row {row}: {found:?}"),
            other => panic!("row {row}: {other:?}"),
        }
        // Whoever shares a route has a way to be told apart; all others are counted before anything is read.
        let charge = match row {
            1..=4 | 20..=22 | 48 | 64 => Charge::Handler,
            59 | 60 | 68 | 69 | 95 | 96 | 103 | 104 => Charge::List("username"),
            _ => Charge::First,
        };
        assert_eq!(named.charge, charge, "row {row}");
    }
}

#[test]
fn printed_forms_that_name_no_other_call_work_too() {
    let table = Table::new();
    for rate in &RATES {
        // Two rows are printed with the path of another call; one is printed with a word for a variable.
        if rate.implemented_as.is_none() || [18, 72, 120].contains(&rate.row) {
            continue;
        }
        let path = rate.path.replace(['{', '}', '$'], "");
        match table.find(Some(rate.method), &path) {
            Found::Route(route, _) => assert!(route.rows.contains(&rate.row), "{rate:?} {route:?}"),
            other => panic!("{rate:?}: {other:?}"),
        }
    }
}

#[test]
fn parts_of_a_path_are_decoded_one_by_one() {
    let table = Table::new();
    let param = |path: &str| match table.find(Some(Method::Get), path) {
        Found::Route(_, params) => params.0[0].1.clone(),
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(param("/users/a%2Fb"), "a/b");
    assert_eq!(param("/users/%2e%2e"), "..");
    assert_eq!(param("/users/ann/"), "ann");
    assert_eq!(param("/users/%00"), "\0");
    assert!(matches!(
        table.find(Some(Method::Get), "/users/%ff"),
        Found::Malformed
    ));
    for nothing in [
        "",
        "/",
        "//users",
        "/users//status",
        "/nothing",
        "/users/a/b/c/d/e",
    ] {
        assert!(
            matches!(table.find(Some(Method::Get), nothing), Found::Nothing),
            "{nothing}"
        );
    }
    assert!(matches!(
        table.find(Some(Method::Put), "/mutes"),
        Found::OtherMethod
    ));
    assert!(matches!(table.find(None, "/mutes"), Found::OtherMethod));
    // A user may have the name of a part of another path.
    assert!(matches!(
        table.find(Some(Method::Get), "/users/batch/status"),
        Found::Route(..)
    ));
}
