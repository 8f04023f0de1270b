//! A page that shows what was tried, without anything from elsewhere.

use std::fmt::Write;

use crate::tune::{Gains, Trial, Tuned};

const HEAD: &str = "<!doctype html><meta charset=utf-8><title>Tuning</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#223}
table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #dde}
th:first-child,td:first-child{text-align:left}text{font:12px system-ui,sans-serif;fill:#223}
pre{background:#f4f6f8;padding:1rem}</style><h1>Tuning</h1>\n";

/// One of the things that may be wanted: its name, its colour, and where it stands.
type Thing = (&'static str, &'static str, fn(&Gains) -> f64);

const THINGS: [Thing; 4] = [
    ("throughput", "#0a7", |gains| gains.throughput),
    ("latency", "#68b", |gains| gains.latency),
    ("disk", "#c83", |gains| gains.disk),
    ("memory", "#a5a", |gains| gains.memory),
];

/// The page of a search: what is recommended, and for each option what its values change.
pub fn page(tuned: &Tuned) -> String {
    let mut page = HEAD.to_owned();
    let options = toml::to_string(&tuned.recommended).unwrap_or_default();
    let options = if options.is_empty() {
        "# the default options".to_owned()
    } else {
        options
    };
    let _ = write!(
        page,
        "<h2>Recommended</h2><pre>[options]\n{options}</pre><p>Beside the default options, measured in turn at the end: {:.2} times as \
         good by the goal.</p>",
        tuned.score
    );
    table(&mut page, &[("recommended", &tuned.gains)]);
    page.push_str(
        "<h2>What was tried</h2><p>Each value beside the best options of that moment. Bars to the right of the line are better, \
         to the left worse; the line is the same.</p>",
    );
    let mut names: Vec<&str> = Vec::new();
    for trial in &tuned.trials {
        let name = trial.knob.as_deref().unwrap_or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let of = |trial: &&Trial| trial.knob.as_deref() == Some(name);
        let _ = write!(page, "<h3>{name}</h3>");
        for trial in tuned.trials.iter().filter(of) {
            bars(&mut page, trial);
        }
    }
    if let Some(all) = &tuned.exhaustive {
        let _ = write!(
            page,
            "<h2>All {} combinations</h2><p>The recommended options are {:.2} times as good as the best of them.</p>",
            all.trials.len(),
            all.recommended_to_best
        );
    }
    page
}

fn table(page: &mut String, rows: &[(&str, &Gains)]) {
    page.push_str("<table><tr><th>");
    for (thing, ..) in THINGS {
        let _ = write!(page, "<th>{thing}");
    }
    for (name, gains) in rows {
        let _ = write!(page, "<tr><td>{name}");
        for (.., of) in THINGS {
            let _ = write!(page, "<td>{:.2}", of(gains));
        }
    }
    page.push_str("</table>");
}

fn bars(page: &mut String, trial: &Trial) {
    /// Pixels of a doubling.
    const DOUBLING: f64 = 110.0;
    const MIDDLE: f64 = 260.0;
    let taken = if trial.is_taken { ", taken" } else { "" };
    let _ = write!(
        page,
        "<p>{}{taken}<br><svg width=560 height=72 role=img><line x1={MIDDLE} x2={MIDDLE} y1=0 y2=72 stroke=#889 />",
        trial.value
    );
    for (index, (thing, colour, of)) in THINGS.iter().enumerate() {
        let (top, ratio) = (index * 18, of(&trial.gains));
        let length = (ratio.max(1e-3).log2() * DOUBLING).clamp(-MIDDLE + 90.0, MIDDLE - 40.0);
        let left = MIDDLE + length.min(0.0);
        let _ = write!(
            page,
            "<text x=0 y={0}>{thing} {ratio:.2}</text><rect x={left:.1} y={top} width={1:.1} height=13 fill={colour} />",
            top + 12,
            length.abs().max(1.0),
        );
    }
    page.push_str("</svg></p>");
}
