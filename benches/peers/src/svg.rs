//! Bars as SVG: for the page, and a picture of the headlines that a README can show.

use std::fmt::Write;

use crate::engines;
use crate::measure::Better;
use crate::report::{BOUNDS, Report, Row, number};

const LINE: usize = 20;
const LEFT: usize = 76;
const WIDTH: f64 = 180.0;
/// Room for one chart of the picture, with its title.
const COLUMN: usize = 360;
const COLUMNS: usize = 2;
const TITLE: usize = 24;

/// The figures of the picture: load, figure.
const HEADLINES: [(&str, &str); 8] = [
    ("append", "64 writers"),
    ("buffered", "appended"),
    ("history", "newest page, warm, median"),
    ("history", "whole conversations"),
    ("history", "expiry of the oldest day"),
    ("storm", "from the first message to the last member"),
    ("sparse", "newest page, cold, median"),
    ("buffered", "bytes on disk a byte of body"),
];

/// The bars of a figure, one a line; elements of an SVG.
pub fn bars(row: &Row) -> String {
    let bars = shown(row);
    let most = bars
        .iter()
        .map(|bar| bar.1)
        .fold(f64::MIN_POSITIVE, f64::max);
    let mut text = String::new();
    for (index, (name, value)) in bars.iter().enumerate() {
        let (top, width) = (index * LINE, (value / most * WIDTH).max(1.0));
        let colour = match *name {
            "tidestore" => "#0a7",
            name if BOUNDS.contains(&name) => "#bbb",
            _ => "#68b",
        };
        let _ = write!(
            text,
            "<text x=\"0\" y=\"{0}\">{name}</text>\
             <rect x=\"{LEFT}\" y=\"{top}\" width=\"{width:.1}\" height=\"15\" fill=\"{colour}\"/>\
             <text x=\"{1:.1}\" y=\"{0}\">{2}</text>",
            top + 12,
            LEFT as f64 + width + 5.0,
            number(*value),
        );
    }
    text
}

/// How high the bars of a figure are, in pixels.
pub fn height(row: &Row) -> usize {
    shown(row).len() * LINE
}

/// Which way is good.
pub fn good(row: &Row) -> &'static str {
    match row.figure.better {
        Better::Higher => "more is better",
        Better::Lower => "less is better",
    }
}

fn shown<'a>(row: &Row) -> Vec<(&'a str, f64)> {
    let named = engines::NAMES.iter().zip(&row.medians);
    named
        .filter_map(|(name, median)| Some((*name, (*median)?)))
        .collect()
}

/// The headlines in one picture, as far as they were measured.
pub fn picture(report: &Report) -> String {
    let mut charts = String::new();
    let (mut column, mut top, mut tallest) = (0, 0, 0);
    for (load, figure) in HEADLINES {
        let rows = report.rows(load);
        let Some(row) = rows.iter().find(|row| row.figure.name == figure) else {
            continue;
        };
        let _ = write!(
            charts,
            "<g transform=\"translate({} {top})\"><text y=\"12\" font-weight=\"bold\">{figure}, {} \
             <tspan font-weight=\"normal\" fill=\"#667\">{}</tspan></text>\
             <g transform=\"translate(0 {TITLE})\">{}</g></g>\n",
            column * COLUMN,
            row.figure.unit,
            good(row),
            bars(row),
        );
        tallest = tallest.max(height(row) + 2 * TITLE);
        column += 1;
        if column == COLUMNS {
            (column, top, tallest) = (0, top + tallest, 0);
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"-10 -10 {0} {1}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#223\">\
         <rect x=\"-10\" y=\"-10\" width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n{charts}</svg>\n",
        COLUMNS * COLUMN + 20,
        top + tallest + 20,
    )
}
