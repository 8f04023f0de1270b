//! What commands on lists have in common: pages, and an answer for each of several.

use clap::Args;
use serde_json::{Value, json};
use tidestore::ListPage;

use crate::error::Failure;
use crate::output::{Output, print, table};

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// Where the page before ended
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
}

impl Listing {
    pub(crate) fn limit(&self) -> usize {
        self.limit.into()
    }
}

/// Prints a page, and where the next one goes on.
pub(crate) fn show_list<T>(
    output: Output,
    page: &ListPage<T>,
    text: impl FnOnce(&[T]) -> String,
    value: impl Fn(&T) -> Value,
) -> Result<(), Failure> {
    output.show(
        || text(&page.items),
        || {
            let items: Vec<Value> = page.items.iter().map(value).collect();
            json!({ "items": items, "next": page.next })
        },
    )?;
    if let Some(next) = &page.next {
        output.note(&format!("more: --cursor {next}"));
    }
    Ok(())
}

/// Prints names, one a line.
pub(crate) fn names(output: Output, names: &[String]) -> Result<(), Failure> {
    output.show(|| names.join("\n"), || json!(names))
}

/// Says of each of several how it went; an error if all were refused.
pub(crate) fn each<K: ToString, T>(
    output: Output,
    keys: &[K],
    answers: Vec<tidestore::Result<T>>,
    done: &str,
) -> Result<(), Failure> {
    let count = answers.len();
    let refused: Vec<(String, String)> = keys
        .iter()
        .zip(&answers)
        .filter_map(|(key, answer)| Some((key.to_string(), answer.as_ref().err()?.to_string())))
        .collect();
    let succeeded = count - refused.len();
    if output.is_json() {
        let refused: serde_json::Map<String, Value> = refused
            .iter()
            .map(|(key, why)| (key.clone(), json!(why)))
            .collect();
        print(&json!({ "done": succeeded, "refused": refused }).to_string())?;
    } else {
        let mut rows = table(["refused", "why"]);
        for (key, why) in &refused {
            rows.add_row([key, why]);
        }
        print(&format!("{succeeded} of {count} {done}"))?;
        if !refused.is_empty() {
            print(&rows.to_string())?;
        }
    }
    match answers.into_iter().find_map(Result::err) {
        Some(error) if succeeded == 0 => Err(error.into()),
        _ => Ok(()),
    }
}
