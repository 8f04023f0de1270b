//! Named things with a value: what was acknowledged last, and what was asked for since.

use std::collections::BTreeMap;

use tidestore::App;

use super::{Judge, attributes, directory, inboxes};

/// What stands for a thing that does not exist.
pub const ABSENT: &str = "-";

/// The values that named things were given.
#[derive(Clone, Debug, Default)]
pub struct Facts(BTreeMap<String, Fact>);

#[derive(Clone, Debug)]
struct Fact {
    /// All values, oldest first.
    values: Vec<String>,
    /// The last that was acknowledged.
    acknowledged: usize,
}

impl Facts {
    /// From now on a thing may have this value.
    pub fn ask(&mut self, name: &str, value: &str) {
        let new = || Fact {
            values: vec![ABSENT.to_owned()],
            acknowledged: 0,
        };
        let fact = self.0.entry(name.to_owned()).or_insert_with(new);
        fact.values.push(value.to_owned());
    }

    /// From now on it has the value that was asked for last.
    pub fn acknowledge(&mut self, name: &str) {
        if let Some(fact) = self.0.get_mut(name) {
            fact.acknowledged = fact.values.len() - 1;
        }
    }
}

/// Compares things with what was told of them.
pub(super) async fn check(app: &App, facts: &Facts, judge: &mut Judge) {
    for (name, fact) in &facts.0 {
        let (part, rest) = name.split_once(' ').unwrap_or((name, ""));
        let found = match part {
            "user-attributes" | "room-attributes" => attributes::probe(app, part, rest).await,
            "read" | "pinned" => inboxes::probe(app, part, rest).await,
            _ => directory::probe(app, part, rest).await,
        };
        let Some(found) = judge.answer(found) else {
            continue;
        };
        if fact.values[fact.acknowledged..].contains(&found) {
            continue;
        }
        let before = fact.acknowledged.saturating_sub(1);
        assert!(
            judge.is_torn() && fact.values[before] == found,
            "{}: {name} is {found:?}; told {:?} of {:?}",
            judge.what(),
            fact.values[fact.acknowledged],
            fact.values
        );
        judge.behind();
    }
}
