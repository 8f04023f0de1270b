//! `app credentials`: what a server of the app's own gets tokens with.

use serde_json::json;
use tidestore::App;

use crate::error::Failure;
use crate::output::{Output, facts};

/// Issues new credentials and prints them. They are not shown again; the ones before and every token end.
pub(crate) async fn issue(app: &App, output: Output) -> Result<(), Failure> {
    let issued = app.issue_credentials().await?;
    output.show(
        || {
            let rows = [
                ("app", app.key().as_str()),
                ("client id", &issued.client_id),
                ("client secret", &issued.client_secret),
            ];
            let rows = rows.map(|(name, value)| (name.to_owned(), value.to_owned()));
            format!("{}\nkeep the secret: it is not shown again", facts(rows))
        },
        || {
            json!({
                "app": app.key().as_str(),
                "client_id": issued.client_id,
                "client_secret": issued.client_secret,
            })
        },
    )
}
