//! `FAULTS.md` names tests that exist, under the file and name that they have, and leaves out no fault. The same holds for the
//! tests that `docs/PROMISES.md` links to.

#![expect(
    clippy::disallowed_methods,
    reason = "it reads the sources, not a store"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The parts of the store, as the columns of the table have them.
const PARTS: [&str; 7] = [
    "log",
    "messages",
    "attachments",
    "attributes",
    "directory",
    "inboxes",
    "tables and ledger",
];

/// The cells of a line of a table, if it is one.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

#[test]
fn every_test_that_the_index_of_faults_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let index = std::fs::read_to_string(root.join("tests/FAULTS.md")).unwrap();
    let tests = tests_by_letter(&index, &root);
    let mut rows = BTreeSet::new();
    let mut used = BTreeSet::new();
    for row in index.lines().filter_map(cells) {
        let Ok(number) = row[0].parse::<u32>() else {
            continue;
        };
        assert!(rows.insert(number), "row {number} is there twice");
        assert_eq!(row.len(), PARTS.len() + 2, "row {number}: {row:?}");
        for (part, cell) in PARTS.iter().zip(&row[2..]) {
            assert!(!cell.is_empty(), "row {number}: nothing about {part}");
            for name in cell.split_whitespace() {
                if name == "–" {
                    continue;
                }
                let known = tests.contains_key(name) || name.starts_with("other:");
                assert!(known, "row {number}, {part}: no test is called {name}");
                used.insert(name.to_owned());
            }
        }
    }
    let all: BTreeSet<u32> = (1..=20).collect();
    assert_eq!(rows, all);
    let unused: Vec<_> = tests.keys().filter(|name| !used.contains(*name)).collect();
    assert_eq!(unused, [] as [&String; 0], "tests that no row names");
}

/// The list of tests: what the table calls them, and where they are. Each must be a test of that name in that file.
fn tests_by_letter(index: &str, root: &Path) -> BTreeMap<String, String> {
    let mut tests = BTreeMap::new();
    for row in index.lines().filter_map(cells) {
        let [short, file, name] = row[..] else {
            continue;
        };
        let (Some(file), Some(name)) = (quoted(file), quoted(name)) else {
            continue;
        };
        let path = root.join(file);
        let source = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(is_test(&source, name), "{file} has no test {name}");
        let before = tests.insert(short.to_owned(), name.to_owned());
        assert_eq!(before, None, "{short} is there twice");
    }
    assert!(tests.len() > 40, "{} tests are named", tests.len());
    tests
}

fn quoted(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

/// Whether a source has a function of this name that is a test, also in a macro that makes tests.
fn is_test(source: &str, name: &str) -> bool {
    let declared = format!("fn {name}(");
    let Some(at) = source.find(&declared) else {
        return false;
    };
    let before: Vec<&str> = source[..at].lines().rev().take(8).collect();
    before
        .iter()
        .any(|line| line.contains("test]") || line.contains("proptest"))
}

/// Links carry the name of a test as their title: `[text](path "name_of_the_test")`.
#[test]
fn every_test_that_the_promises_link_to_is_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = std::fs::read_to_string(docs.join("PROMISES.md")).unwrap();
    let targets = page.split("](").skip(1).filter_map(|it| it.split_once(')'));
    let tests = targets.filter_map(|(target, _)| target.strip_suffix('"')?.split_once(" \""));
    let mut count = 0;
    for (file, name) in tests {
        let source = std::fs::read_to_string(docs.join(file))
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(is_test(&source, name), "{file} has no test {name}");
        count += 1;
    }
    assert!(count > 60, "{count} links");
}
