//! `app create`, `app list`, `app plan`, `app undo`, `app delete`.

use clap::Subcommand;
use serde_json::{Value, json};
use tidestore::plan::{AppKey, Plan, Retention, Terms};
use tidestore::{AppInfo, Preview, Store};

use crate::args::{app_key, plan};
use crate::commands::credentials;
use crate::error::Failure;
use crate::output::{Output, count, right, table};
use crate::session::{Missing, Place, close};
use crate::times;

#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// Create an app; makes the data directory if there is none
    Create {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
        /// free, basic, pro or enterprise
        #[arg(long, value_parser = plan)]
        plan: Plan,
        /// How long messages live; only enterprise has a figure of its own
        #[arg(long, value_name = "DAYS")]
        retention: Option<u32>,
    },
    /// List the apps
    List,
    /// Put an app on another plan; a downgrade can be undone for 24 hours
    Plan {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
        /// free, basic, pro or enterprise
        #[arg(value_parser = plan)]
        plan: Plan,
        /// How long messages live; only enterprise has a figure of its own
        #[arg(long, value_name = "DAYS")]
        retention: Option<u32>,
        /// Only say what the change would hide
        #[arg(long)]
        preview: bool,
    },
    /// Take the last downgrade back, with everything it hid
    Undo {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
    },
    /// Issue new credentials, with which the app's own server gets tokens; those before and all tokens end
    Credentials {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
    },
    /// Delete an app with all it holds, at once and for good
    Delete {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
    },
}

pub(crate) async fn run(place: &Place, output: Output, command: AppCommand) -> Result<(), Failure> {
    let missing = match command {
        AppCommand::Create {
            plan, retention, ..
        } => {
            // Refused terms must not leave a new data directory behind.
            terms(plan, retention)?;
            Missing::Create
        }
        _ => Missing::Refuse,
    };
    let store = place.open_briefly(output, missing).await?;
    let ended = perform(&store, output, command).await;
    close(&store, ended).await
}

async fn perform(store: &Store, output: Output, command: AppCommand) -> Result<(), Failure> {
    match command {
        AppCommand::Create {
            key,
            plan,
            retention,
        } => {
            let app = store.create_app(&key, terms(plan, retention)?).await?;
            show_one(output, &app.info()?, "created")
        }
        AppCommand::List => {
            let apps = store.apps();
            output.show(|| list(&apps), || apps.iter().map(value).collect())
        }
        AppCommand::Plan {
            key,
            plan,
            retention,
            preview,
        } => {
            let app = store.app(&key)?;
            let terms = terms(plan, retention)?;
            let found = app.preview(&terms).await?;
            if preview {
                return output.show(
                    || preview_text(&key, &terms, &found),
                    || preview_value(&found),
                );
            }
            let info = app.change_terms(terms).await?;
            if found.hidden_messages > 0 {
                output.note(&format!(
                    "{} messages are hidden now; `tidestore app undo {key}` brings them back within 24 hours",
                    count(found.hidden_messages)
                ));
            }
            show_one(output, &info, "changed")
        }
        AppCommand::Undo { key } => show_one(output, &store.app(&key)?.undo().await?, "restored"),
        AppCommand::Credentials { key } => credentials::issue(&store.app(&key)?, output).await,
        AppCommand::Delete { key } => {
            store.delete_app(&key).await?;
            output.show(
                || format!("{key} is deleted"),
                || json!({ "deleted": key.as_str() }),
            )
        }
    }
}

/// The terms that plan and retention name.
fn terms(plan: Plan, retention: Option<u32>) -> Result<Terms, Failure> {
    let terms = Terms::of(plan);
    let Some(days) = retention else {
        return Ok(terms);
    };
    let custom = Retention::days(days).and_then(|retention| terms.with_retention(retention));
    custom.map_err(|error| Failure::Store(error.into()))
}

fn show_one(output: Output, info: &AppInfo, done: &str) -> Result<(), Failure> {
    let text = || {
        let days = info.terms.retention().as_days();
        format!(
            "{} is {done}: {}, messages live {days} days",
            info.key,
            info.terms.plan()
        )
    };
    output.show(text, || value(info))
}

fn list(apps: &[AppInfo]) -> String {
    let mut table = table([
        "app",
        "plan",
        "retention",
        "created",
        "visible from",
        "undo until",
    ]);
    for app in apps {
        let undo = app
            .undo
            .as_ref()
            .map_or(String::new(), |undo| times::show(undo.until));
        table.add_row([
            app.key.to_string().into(),
            app.terms.plan().to_string().into(),
            right(format!("{} days", app.terms.retention().as_days())),
            times::show(app.created).into(),
            times::show(app.floor).into(),
            undo.into(),
        ]);
    }
    table.to_string()
}

/// An app as one JSON object; times in milliseconds since 1970.
fn value(app: &AppInfo) -> Value {
    json!({
        "app": app.key.as_str(),
        "plan": app.terms.plan().as_str(),
        "retention_days": app.terms.retention().as_days(),
        "created": app.created,
        "floor": app.floor,
        "undo_until": app.undo.as_ref().map(|undo| undo.until),
    })
}

fn preview_text(key: &AppKey, terms: &Terms, preview: &Preview) -> String {
    format!(
        "{key} on {} ({} days) would hide {} messages with {} bytes: visible from {} instead of {}",
        terms.plan(),
        terms.retention().as_days(),
        count(preview.hidden_messages),
        count(preview.hidden_bytes),
        times::show(preview.floor_after),
        times::show(preview.floor_before)
    )
}

fn preview_value(preview: &Preview) -> Value {
    json!({
        "hidden_messages": preview.hidden_messages,
        "hidden_bytes": preview.hidden_bytes,
        "floor_before": preview.floor_before,
        "floor_after": preview.floor_after,
    })
}
