//! What every engine promises, asked of each in the same words.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{
    Change, DIR, House, Model, TABLES, apply, batch_of, change, contents, key, model_range,
    seeds_beside,
};
use proptest::prelude::*;
use tidestore_kv::{
    Batch, Engine, EngineKind, ErrorKind, KEY_BYTES_MAX, Range, Table, VALUE_BYTES_MAX, open,
    prefix_range,
};

const T: Table = Table(7);

/// Runs each function once for each engine, as a test of its own.
macro_rules! on_every_engine {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $name() { super::$name(&super::House::new(super::EngineKind::Memory)); })*
        }
        mod redb {
            $(#[test] fn $name() { super::$name(&super::House::new(super::EngineKind::Redb)); })*
        }
        mod sled {
            $(#[test] fn $name() { super::$name(&super::House::new(super::EngineKind::Sled)); })*
        }
    };
}

on_every_engine! {
    a_new_engine_is_empty_and_knows_its_kind,
    what_is_put_is_got_and_what_is_deleted_is_gone,
    the_later_change_of_one_key_in_a_batch_wins,
    empty_keys_and_empty_values_are_entries,
    tables_do_not_see_each_other_not_even_the_last,
    pages_honour_bounds_direction_and_limit,
    ranges_that_hold_nothing_are_empty_and_not_errors,
    prefix_ranges_hold_exactly_the_prefix,
    keys_and_values_over_the_limit_are_refused_whole,
    keys_and_values_at_the_limit_are_kept,
    flushed_batches_are_there_after_reopening,
    reopening_at_once_works_again_and_again,
    large_values_survive_reopening_and_overwriting,
    twenty_thousand_keys_are_paged_in_order_both_ways,
    a_page_never_shows_a_part_of_a_batch,
    the_size_on_disk_grows_with_what_is_flushed,
    every_history_matches_the_model,
}

fn put(engine: &dyn Engine, table: Table, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(table, key, value);
    engine.write(batch).unwrap();
}

fn everything(reverse: bool) -> Range {
    Range {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
        reverse,
        limit: usize::MAX,
    }
}

fn keys(engine: &dyn Engine, range: Range) -> Vec<String> {
    let page = engine.range(T, range).unwrap();
    page.into_iter()
        .map(|(key, _)| String::from_utf8(key).unwrap())
        .collect()
}

fn a_new_engine_is_empty_and_knows_its_kind(house: &House) {
    let engine = house.open();
    assert_eq!(engine.kind(), house.kind);
    assert_eq!(
        engine.kind().to_string().parse::<EngineKind>().unwrap(),
        house.kind
    );
    assert_eq!(engine.get(T, b"a").unwrap(), None);
    assert_eq!(engine.range(T, everything(false)).unwrap(), []);
    assert!(engine.quarantined().is_empty());
    engine.write(Batch::new()).unwrap();
    engine.flush().unwrap();
}

fn what_is_put_is_got_and_what_is_deleted_is_gone(house: &House) {
    let engine = house.open();
    put(&*engine, T, b"a", b"1");
    assert_eq!(
        engine.get(T, b"a").unwrap().as_deref(),
        Some(b"1".as_slice())
    );
    put(&*engine, T, b"a", b"22");
    assert_eq!(
        engine.get(T, b"a").unwrap().as_deref(),
        Some(b"22".as_slice())
    );
    let mut batch = Batch::new();
    batch.delete(T, "a");
    batch.delete(T, "never there");
    engine.write(batch).unwrap();
    assert_eq!(engine.get(T, b"a").unwrap(), None);
}

fn the_later_change_of_one_key_in_a_batch_wins(house: &House) {
    let engine = house.open();
    let mut batch = Batch::new();
    batch.put(T, "put twice", "old");
    batch.put(T, "put twice", "new");
    batch.put(T, "put, deleted", "old");
    batch.delete(T, "put, deleted");
    batch.delete(T, "deleted, put");
    batch.put(T, "deleted, put", "new");
    assert_eq!(batch.len(), 6);
    engine.write(batch).unwrap();
    assert_eq!(
        keys(&*engine, everything(false)),
        ["deleted, put", "put twice"]
    );
    assert_eq!(engine.get(T, b"put twice").unwrap().unwrap(), b"new");
}

fn empty_keys_and_empty_values_are_entries(house: &House) {
    let engine = house.open();
    put(&*engine, T, b"", b"");
    assert_eq!(engine.get(T, b"").unwrap(), Some(Vec::new()));
    assert_eq!(engine.get(Table(8), b"").unwrap(), None);
    assert_eq!(
        engine.range(T, everything(true)).unwrap(),
        [(Vec::new(), Vec::new())]
    );
}

fn tables_do_not_see_each_other_not_even_the_last(house: &House) {
    let engine = house.open();
    for table in [0, 6, 7, 8, 255] {
        put(&*engine, Table(table), b"\xff\xff", &[table]);
        put(&*engine, Table(table), b"", &[table]);
    }
    for table in [0, 6, 7, 8, 255] {
        for reverse in [false, true] {
            let mut page = engine.range(Table(table), everything(reverse)).unwrap();
            page.sort();
            let expected = [
                (b"".to_vec(), vec![table]),
                (b"\xff\xff".to_vec(), vec![table]),
            ];
            assert_eq!(page, expected, "table {table}, reverse {reverse}");
        }
    }
    assert_eq!(engine.range(Table(254), everything(false)).unwrap(), []);
}

fn pages_honour_bounds_direction_and_limit(house: &House) {
    use Bound::{Excluded, Included, Unbounded};
    let engine = house.open();
    for key in ["a", "b", "c", "d", "e"] {
        put(&*engine, T, key.as_bytes(), b"x");
    }
    let ask = |start: Bound<&str>, end: Bound<&str>, reverse, limit| {
        let owned = |bound: Bound<&str>| bound.map(|key| key.as_bytes().to_vec());
        keys(
            &*engine,
            Range {
                start: owned(start),
                end: owned(end),
                reverse,
                limit,
            },
        )
        .concat()
    };
    assert_eq!(ask(Unbounded, Unbounded, false, 9), "abcde");
    assert_eq!(ask(Unbounded, Unbounded, true, 9), "edcba");
    assert_eq!(ask(Included("b"), Included("d"), false, 9), "bcd");
    assert_eq!(ask(Excluded("b"), Excluded("d"), false, 9), "c");
    assert_eq!(ask(Included("b"), Excluded("d"), true, 9), "cb");
    assert_eq!(ask(Excluded("b"), Unbounded, true, 2), "ed");
    assert_eq!(ask(Unbounded, Excluded("d"), false, 2), "ab");
    assert_eq!(ask(Included("aa"), Included("dd"), true, 9), "dcb");
    assert_eq!(ask(Unbounded, Unbounded, true, 0), "");
}

fn ranges_that_hold_nothing_are_empty_and_not_errors(house: &House) {
    use Bound::{Excluded, Included};
    let engine = house.open();
    put(&*engine, T, b"a", b"x");
    put(&*engine, T, b"b", b"x");
    let a = || b"a".to_vec();
    let b = || b"b".to_vec();
    let hollow = [
        (Included(b()), Included(a())),
        (Excluded(b()), Excluded(a())),
        (Excluded(a()), Excluded(a())),
        (Excluded(a()), Included(a())),
        (Included(a()), Excluded(a())),
        (Excluded(a()), Excluded(b())),
    ];
    for (start, end) in hollow {
        for reverse in [false, true] {
            let range = Range {
                start: start.clone(),
                end: end.clone(),
                reverse,
                limit: 9,
            };
            assert_eq!(keys(&*engine, range), [""; 0], "{start:?} to {end:?}");
        }
    }
}

fn prefix_ranges_hold_exactly_the_prefix(house: &House) {
    let engine = house.open();
    let all: [&[u8]; 7] = [b"", b"a", b"a\0", b"a\xff", b"a\xff\xff", b"b", b"\xff\xff"];
    for key in all {
        put(&*engine, T, key, b"x");
    }
    let prefixes: [&[u8]; 6] = [b"", b"a", b"a\xff", b"b", b"\xff", b"\xff\xff\xff"];
    for prefix in prefixes {
        let (start, end) = prefix_range(prefix);
        let page = engine
            .range(
                T,
                Range {
                    start,
                    end,
                    reverse: false,
                    limit: 99,
                },
            )
            .unwrap();
        let found: Vec<&[u8]> = page.iter().map(|(key, _)| key.as_slice()).collect();
        let expected: Vec<&[u8]> = all
            .into_iter()
            .filter(|key| key.starts_with(prefix))
            .collect();
        assert_eq!(found, expected, "prefix {prefix:?}");
    }
}

fn keys_and_values_over_the_limit_are_refused_whole(house: &House) {
    let engine = house.open();
    for (key, value) in [(KEY_BYTES_MAX + 1, 0), (0, VALUE_BYTES_MAX + 1)] {
        let mut batch = Batch::new();
        batch.put(T, "before", "x");
        batch.put(T, vec![b'k'; key], vec![b'v'; value]);
        let error = engine.write(batch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("limit"), "{error}");
    }
    assert_eq!(keys(&*engine, everything(false)), [""; 0]);
    put(&*engine, T, b"after", b"x");
}

fn keys_and_values_at_the_limit_are_kept(house: &House) {
    let key = vec![b'k'; KEY_BYTES_MAX];
    let value = vec![b'v'; VALUE_BYTES_MAX];
    let engine = house.open();
    put(&*engine, T, &key, &value);
    engine.flush().unwrap();
    drop(engine);
    assert!(house.open().get(T, &key).unwrap() == Some(value));
}

fn flushed_batches_are_there_after_reopening(house: &House) {
    let engine = house.open();
    let mut batch = Batch::new();
    batch.put(Table(0), "position", "42");
    batch.put(T, "a", "1");
    engine.write(batch).unwrap();
    engine.flush().unwrap();
    engine.flush().unwrap();
    drop(engine);
    let engine = house.open();
    assert_eq!(engine.get(Table(0), b"position").unwrap().unwrap(), b"42");
    assert_eq!(engine.get(T, b"a").unwrap().unwrap(), b"1");
}

fn reopening_at_once_works_again_and_again(house: &House) {
    for round in 0..40_u32 {
        let engine = house.open();
        if let Some(last) = round.checked_sub(1) {
            let found = engine.get(T, b"round").unwrap().unwrap();
            assert_eq!(found, last.to_le_bytes());
        }
        for key in 0..50_u32 {
            put(&*engine, T, &key.to_be_bytes(), &[0; 500]);
        }
        put(&*engine, T, b"round", &round.to_le_bytes());
        engine.flush().unwrap();
    }
}

fn large_values_survive_reopening_and_overwriting(house: &House) {
    let value = |round: u8, key: u8| -> Vec<u8> {
        (0..1_u32 << 20)
            .map(|i| i.to_le_bytes()[0] ^ round ^ key)
            .collect()
    };
    for round in 0..3 {
        let engine = house.open();
        for key in 0..4 {
            put(&*engine, T, &[key], &value(round, key));
        }
        engine.flush().unwrap();
        drop(engine);
        let engine = house.open();
        for key in 0..4 {
            assert!(engine.get(T, &[key]).unwrap() == Some(value(round, key)));
        }
    }
}

fn twenty_thousand_keys_are_paged_in_order_both_ways(house: &House) {
    const KEYS: u32 = 20_000;
    let engine = house.open();
    for chunk in 0..KEYS / 100 {
        let mut batch = Batch::new();
        // The chunks interleave, so that the tree does not grow at its end only.
        for key in (0..100).map(|i| i * (KEYS / 100) + chunk) {
            batch.put(T, key.to_be_bytes(), format!("value {key}"));
        }
        engine.write(batch).unwrap();
    }
    engine.flush().unwrap();
    drop(engine);
    let engine = house.open();
    for reverse in [false, true] {
        let mut range = Range {
            limit: 1_000,
            ..everything(reverse)
        };
        let mut found = Vec::new();
        loop {
            let page = engine.range(T, range.clone()).unwrap();
            let Some((last, _)) = page.last() else { break };
            assert!(page.len() <= 1_000);
            let next = Bound::Excluded(last.clone());
            *(if reverse {
                &mut range.end
            } else {
                &mut range.start
            }) = next;
            found.extend(page.into_iter().map(|(key, _)| key));
        }
        if reverse {
            found.reverse();
        }
        let expected: Vec<Vec<u8>> = (0..KEYS).map(|key| key.to_be_bytes().to_vec()).collect();
        assert!(found == expected, "{} keys, reverse {reverse}", found.len());
    }
}

fn a_page_never_shows_a_part_of_a_batch(house: &House) {
    let engine = house.open();
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (engine, done) = (Arc::clone(&engine), Arc::clone(&done));
        std::thread::spawn(move || {
            for round in 0..200_u32 {
                let mut batch = Batch::new();
                for key in 0..100_u32 {
                    batch.put(T, key.to_be_bytes(), round.to_le_bytes());
                }
                engine.write(batch).unwrap();
            }
            done.store(true, Ordering::Release);
        })
    };
    while !done.load(Ordering::Acquire) && !writer.is_finished() {
        let page = engine.range(T, everything(false)).unwrap();
        assert!(page.is_empty() || page.len() == 100);
        assert!(page.windows(2).all(|pair| pair[0].1 == pair[1].1));
    }
    writer.join().unwrap();
}

fn the_size_on_disk_grows_with_what_is_flushed(house: &House) {
    let engine = house.open();
    let before = engine.size_on_disk().unwrap();
    for key in 0..200_u32 {
        put(&*engine, T, &key.to_be_bytes(), &vec![b'x'; 20_000]);
    }
    engine.flush().unwrap();
    let after = engine.size_on_disk().unwrap();
    assert!(
        after >= before + 2_000_000,
        "{before} bytes before, {after} after"
    );
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Change>),
    Flush,
    Reopen,
    Range(u8, Range),
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        key().prop_map(Bound::Included),
        key().prop_map(Bound::Excluded),
        Just(Bound::Unbounded),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let range = (
        prop::sample::select(TABLES.to_vec()),
        bound(),
        bound(),
        any::<bool>(),
        0..20_usize,
    )
        .prop_map(|(table, start, end, reverse, limit)| {
            Step::Range(
                table,
                Range {
                    start,
                    end,
                    reverse,
                    limit,
                },
            )
        });
    prop_oneof![
        6 => prop::collection::vec(change(), 0..12).prop_map(Step::Write),
        2 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        6 => range,
    ]
}

fn every_history_matches_the_model(house: &House) {
    let config = seeds_beside(file!(), 48);
    let kind = house.kind;
    proptest!(config, |(steps in prop::collection::vec(step(), 1..60))| {
        let house = House::new(kind);
        run_history(&house, &steps);
    });
}

/// Without a flush, reopening may find any state since the last one: never a part of a batch, and
/// never a batch without those before it.
fn run_history(house: &House, steps: &[Step]) {
    let mut engine = house.open();
    let mut model = Model::new();
    let mut possible = vec![Model::new()];
    for step in steps {
        match step {
            Step::Write(changes) => {
                engine.write(batch_of(changes)).unwrap();
                apply(&mut model, changes);
                possible.push(model.clone());
                for (table, key, _) in changes {
                    let expected = model.get(&(Table(*table), key.clone())).cloned();
                    assert_eq!(engine.get(Table(*table), key).unwrap(), expected);
                }
            }
            Step::Flush => {
                engine.flush().unwrap();
                possible = vec![model.clone()];
            }
            Step::Reopen => {
                drop(engine);
                engine = house.open();
                model = contents(&*engine, &TABLES);
                assert!(
                    possible.contains(&model),
                    "a state that never was: {model:?}"
                );
                possible = vec![model.clone()];
            }
            Step::Range(table, range) => {
                let found = engine.range(Table(*table), range.clone()).unwrap();
                assert_eq!(found, model_range(&model, Table(*table), range));
            }
        }
    }
    assert_eq!(contents(&*engine, &TABLES), model);
}

#[test]
fn unknown_engines_are_refused_by_name() {
    let error = "rocks".parse::<EngineKind>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("rocks"), "{error}");
}

#[test]
fn sled_on_a_disk_without_native_paths_is_refused() {
    let house = House::new(EngineKind::Memory);
    let error = open(EngineKind::Sled, &house.disk, Path::new(DIR)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
