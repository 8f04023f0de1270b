//! Tables: medians of all runs, and how Tidestore stands to the best of the others.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::engines;
use crate::measure::{Better, Figure, Figures};
use crate::work::{self, Load};

/// All runs: by load, by engine.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    runs: BTreeMap<String, BTreeMap<String, Vec<Figures>>>,
}

/// One figure on all engines.
pub struct Row<'a> {
    /// What it is.
    pub figure: &'a Figure,
    /// Medians, in the order of [`engines::NAMES`]; `None` where an engine has none.
    pub medians: Vec<Option<f64>>,
    /// How many times better Tidestore is than the best peer that is no bound; under 1, worse.
    pub ratio: Option<f64>,
}

/// Bounds, with which nobody competes.
pub const BOUNDS: [&str; 2] = ["raw", "clustered"];

impl Report {
    /// Notes one run.
    pub fn add(&mut self, load: &str, engine: &str, figures: Figures) {
        let runs = self.runs.entry(load.to_owned()).or_default();
        runs.entry(engine.to_owned()).or_default().push(figures);
    }

    /// The figures of a load.
    pub fn rows(&self, load: &str) -> Vec<Row<'_>> {
        let Some(runs) = self.runs.get(load) else {
            return Vec::new();
        };
        // The engine that was asked most says what rows there are.
        let fullest = runs.values().filter_map(|runs| runs.first());
        let Some(fullest) = fullest.max_by_key(|figures| figures.0.len()) else {
            return Vec::new();
        };
        fullest.0.iter().map(|figure| row(figure, runs)).collect()
    }

    /// One load's table.
    pub fn table(&self, load: &Load) -> String {
        let rows = self.rows(load.name);
        let mut text = format!("\n### {}\n\n", load.title);
        let shown: Vec<usize> = (0..engines::NAMES.len())
            .filter(|index| rows.iter().any(|row| row.medians[*index].is_some()))
            .collect();
        text.push_str("| |");
        for index in &shown {
            let _ = write!(text, " {} |", engines::NAMES[*index]);
        }
        text.push_str(" against the best peer |\n|---|");
        text.push_str(&"---|".repeat(shown.len() + 1));
        text.push('\n');
        for row in &rows {
            let unit = if row.figure.unit.is_empty() {
                String::new()
            } else {
                format!(", {}", row.figure.unit)
            };
            let _ = write!(text, "| {}{unit} |", row.figure.name);
            for index in &shown {
                let median = row.medians[*index];
                let _ = write!(text, " {} |", median.map_or_else(|| "-".to_owned(), number));
            }
            let ratio = row.ratio.map_or_else(
                || "-".to_owned(),
                |ratio| format!("{} times", number(ratio)),
            );
            let _ = writeln!(text, " {ratio} |");
        }
        text
    }

    /// All tables.
    pub fn tables(&self) -> String {
        let known = work::ALL
            .iter()
            .filter(|load| self.runs.contains_key(load.name));
        known.map(|load| self.table(load)).collect()
    }
}

fn row<'a>(figure: &'a Figure, runs: &BTreeMap<String, Vec<Figures>>) -> Row<'a> {
    let median = |engine: &&str| {
        let runs = runs.get(*engine)?.iter();
        let mut values: Vec<f64> = runs
            .filter_map(|figures| figures.0.iter().find(|f| f.name == figure.name))
            .map(|figure| figure.value)
            .collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let medians: Vec<_> = engines::NAMES.iter().map(median).collect();
    let peers = engines::NAMES.iter().zip(&medians).skip(1);
    let peers = peers.filter(|(name, _)| !BOUNDS.contains(name));
    let peers = peers.filter_map(|(_, median)| *median);
    let best = match figure.better {
        Better::Higher => peers.max_by(f64::total_cmp),
        Better::Lower => peers.min_by(f64::total_cmp),
    };
    let ratio = medians[0]
        .zip(best)
        .map(|(ours, best)| match figure.better {
            Better::Higher => ours / best,
            Better::Lower => best / ours,
        });
    Row {
        figure,
        medians,
        ratio: ratio.filter(|ratio| ratio.is_finite()),
    }
}

/// Three digits, with commas.
pub fn number(value: f64) -> String {
    if value >= 1_000.0 {
        let digits = format!("{value:.0}");
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
