//! What is printed: tables for people or JSON for programs on standard output, the rest on standard error.

use std::io::{self, BufWriter, Write};

use clap::builder::styling::{AnsiColor, Style};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::error::Failure;

/// How the command speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints a table, or the same as one JSON value on one line.
    pub(crate) fn show(
        self,
        table: impl FnOnce() -> String,
        value: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        let text = if self.json {
            value().to_string()
        } else {
            table()
        };
        print(&text)
    }

    /// Says on standard error what the reader should know although the command goes on.
    pub(crate) fn warning(self, text: &str) {
        let text = plain(text);
        if self.json {
            drop(writeln!(
                anstream::stderr(),
                "{}",
                json!({ "warning": text })
            ));
            return;
        }
        let style = AnsiColor::Yellow.on_default().bold();
        // Nobody can be told that standard error is closed.
        drop(writeln!(
            anstream::stderr(),
            "{style}warning:{style:#} {text}"
        ));
    }

    /// Says on standard error how the command goes on.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            drop(writeln!(anstream::stderr(), "{}", plain(text)));
        }
    }

    /// Says on standard error why the command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        let mut stderr = anstream::stderr();
        let written = if self.json {
            let mut error = json!({ "kind": failure.kind(), "message": failure.message() });
            if let Value::Object(error) = &mut error {
                let causes = failure.causes();
                if !causes.is_empty() {
                    error.insert("causes".to_owned(), json!(causes));
                }
                if let Some(help) = failure.help() {
                    error.insert("help".to_owned(), json!(help));
                }
            }
            writeln!(stderr, "{}", json!({ "error": error }))
        } else {
            let red = AnsiColor::Red.on_default().bold();
            let bold = Style::new().bold();
            let causes = failure
                .causes()
                .into_iter()
                .map(|cause| ("caused by:", cause));
            let help = failure.help().map(|help| ("help:", help));
            writeln!(stderr, "{red}error:{red:#} {}", plain(&failure.message())).and_then(|()| {
                causes.chain(help).try_for_each(|(label, text)| {
                    writeln!(stderr, "  {bold}{label}{bold:#} {}", plain(&text))
                })
            })
        };
        drop(written);
    }

    /// A progress bar on standard error; invisible for programs and where standard error is no terminal.
    pub(crate) fn progress(self, total: Option<u64>, template: &str) -> ProgressBar {
        let target = if self.json {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(total, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar
    }
}

/// Prints a line of text.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(Failure::stdout)
}

/// Standard output for many lines of JSON.
pub(crate) struct Lines {
    out: BufWriter<io::StdoutLock<'static>>,
}

impl Lines {
    /// Takes standard output.
    pub(crate) fn start() -> Self {
        Self {
            out: BufWriter::with_capacity(64 << 10, io::stdout().lock()),
        }
    }

    /// Writes one value on one line.
    pub(crate) fn write(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.out, value)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(Failure::stdout)
    }

    /// Hands everything over.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::stdout)
    }
}

/// An empty table with a heading that fits the terminal.
pub(crate) fn table<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings);
    table
}

/// A table of names and values.
pub(crate) fn facts(rows: impl IntoIterator<Item = (String, String)>) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic);
    for (name, value) in rows {
        table.add_row([plain(&name), plain(&value)]);
    }
    table
}

/// A cell that stands at the right edge, as numbers do.
pub(crate) fn right(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// A count with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A quotient with so many decimals; `-` where there is nothing to divide by.
pub(crate) fn ratio(part: u64, whole: u64, decimals: usize) -> String {
    match quotient(part, whole) {
        Some(value) => format!("{value:.decimals$}"),
        None => "-".to_owned(),
    }
}

/// A quotient; `None` where there is nothing to divide by.
#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
pub(crate) fn quotient(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Text of others on a terminal: control characters, which could move the cursor or rename the window, are shown.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// A name that somebody else chose, on a terminal: what is invisible, or turns the direction of what follows, is
/// written as an escape, so that a name looks like nothing but itself.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else if is_deceptive(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Marks of direction, spaces of no width, and separators of lines.
fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Cuts a text to a width in characters, with an ellipsis.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            (ratio(1, 3, 2).as_str(), ratio(1, 0, 2).as_str()),
            ("0.33", "-")
        );
    }

    #[test]
    fn text_of_others_cannot_command_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(
            escaped("a\u{202e}gpj.exe\n\u{1b}[2J 夜 👩\u{200d}🚀"),
            "a\\u{202e}gpj.exe\\n\\u{1b}[2J 夜 👩\u{200d}🚀"
        );
        assert_eq!(
            (cut("群聊消息", 3).as_str(), cut("abc", 3).as_str()),
            ("群聊…", "abc")
        );
    }
}
