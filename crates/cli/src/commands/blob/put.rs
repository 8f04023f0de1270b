//! `blob put KEY FILE|- [--type MIME] [--name NAME] [--from USER]`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use tidestore::plan::{AppKey, UserId};
use tidestore::{Attachment, NewAttachment, Store};

use crate::args::{app_key, user};
use crate::error::Failure;
use crate::input::Source;
use crate::output::{Output, count, escaped};

/// Store a file as an attachment and print its id
///
/// The file is streamed and counted on the way; one that is too large leaves nothing behind. An attachment lives
/// 7 days, and as long as a message names it.
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// The file; - reads standard input
    file: PathBuf,
    /// The media type, such as image/png [default: told from the first bytes]
    #[arg(long = "type", value_name = "MIME")]
    media_type: Option<String>,
    /// The name that readers see [default: the file's own]
    #[arg(long)]
    name: Option<String>,
    /// Who uploads it
    #[arg(long, value_name = "USER", default_value = "cli", value_parser = user)]
    from: UserId,
}

impl Put {
    /// Opens what is to be stored.
    pub(super) fn open(&self) -> Result<Source, Failure> {
        Source::open(&self.file)
    }

    pub(super) async fn run(
        &self,
        store: &Store,
        output: Output,
        source: Source,
    ) -> Result<(), Failure> {
        let app = store.app(&self.key)?;
        let new = NewAttachment {
            media_type: self.media_type.clone(),
            length: source.exact_len(),
            ..NewAttachment::new(self.from.clone(), self.name())
        };
        // Nobody else has the store open, so what the disk holds more afterwards is this content.
        let before = app.attachment_usage().await?.total.physical_bytes;
        let stored = app.put_attachment(new, source.bytes()).await?;
        let after = app.attachment_usage().await?.total.physical_bytes;
        let is_new = after > before;
        output.show(|| text(&stored, is_new), || full_value(&stored, is_new))
    }

    fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        if self.file == Path::new("-") {
            return "stdin".to_owned();
        }
        let name = self.file.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

fn text(stored: &Attachment, is_new: bool) -> String {
    let how = if is_new {
        "stored anew"
    } else {
        "stored before, shared"
    };
    format!(
        "{}\n{} bytes, {}, {}: {how}",
        stored.id,
        count(stored.length),
        escaped(&stored.media_type),
        escaped(&stored.name)
    )
}

fn full_value(stored: &Attachment, is_new: bool) -> Value {
    let mut value = super::value(stored);
    if let Value::Object(fields) = &mut value {
        fields.insert("stored_anew".to_owned(), json!(is_new));
    }
    value
}
