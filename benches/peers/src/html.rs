//! A page with a bar chart for each figure, without anything from elsewhere.

use std::fmt::Write;

use crate::engines;
use crate::measure::Better;
use crate::report::{BOUNDS, Report, Row, number};
use crate::work;

const HEAD: &str = "<!doctype html><meta charset=utf-8><title>Tidestore and its peers</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#223}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(21rem,1fr));gap:1.5rem}
figure{margin:0}figcaption{font-weight:600}small{color:#667;font-weight:400}
text{font:12px system-ui,sans-serif;fill:#223}</style><h1>Tidestore and its peers</h1>
<p>Medians of all runs. Longer bars are more; the words say which way is good. Grey bars are bounds of the machine, no engines.</p>\n";

/// The page.
pub fn page(report: &Report) -> String {
    let mut page = HEAD.to_owned();
    for load in &work::ALL {
        let rows = report.rows(load.name);
        if rows.is_empty() {
            continue;
        }
        let _ = write!(page, "<h2>{}</h2><div class=charts>", load.title);
        for row in &rows {
            chart(&mut page, row);
        }
        page.push_str("</div>\n");
    }
    page
}

fn chart(page: &mut String, row: &Row) {
    const LINE: usize = 20;
    const LEFT: usize = 76;
    const WIDTH: f64 = 180.0;
    let bars: Vec<(&str, f64)> = engines::NAMES
        .iter()
        .zip(&row.medians)
        .filter_map(|(name, median)| Some((*name, (*median)?)))
        .collect();
    let most = bars
        .iter()
        .map(|bar| bar.1)
        .fold(f64::MIN_POSITIVE, f64::max);
    let good = match row.figure.better {
        Better::Higher => "more is better",
        Better::Lower => "less is better",
    };
    let _ = write!(
        page,
        "<figure><figcaption>{} <small>{} {good}</small></figcaption><svg width=340 height={} role=img>",
        row.figure.name,
        row.figure.unit,
        bars.len() * LINE,
    );
    for (index, (name, value)) in bars.iter().enumerate() {
        let (top, width) = (index * LINE, (value / most * WIDTH).max(1.0));
        let colour = match *name {
            "tidestore" => "#0a7",
            name if BOUNDS.contains(&name) => "#bbb",
            _ => "#68b",
        };
        let _ = write!(
            page,
            "<text x=0 y={0}>{name}</text><rect x={LEFT} y={top} width={width:.1} height=15 fill={colour} />\
             <text x={1:.1} y={0}>{2}</text>",
            top + 12,
            LEFT as f64 + width + 5.0,
            number(*value),
        );
    }
    page.push_str("</svg></figure>\n");
}
