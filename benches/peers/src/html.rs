//! A page with a bar chart for each figure, without anything from elsewhere.

use std::fmt::Write;

use crate::report::{Report, Row};
use crate::{svg, work};

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
    let bars = svg::bars(row);
    let _ = write!(
        page,
        "<figure><figcaption>{} <small>{} {}</small></figcaption><svg width=340 height={} role=img>{bars}</svg></figure>\n",
        row.figure.name,
        row.figure.unit,
        svg::good(row),
        svg::height(row),
    );
}
