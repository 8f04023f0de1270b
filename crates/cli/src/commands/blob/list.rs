//! `blob list KEY [--after ID] [--limit N]`.

use std::num::NonZeroUsize;

use clap::Args;
use tidestore::plan::{AppKey, AttachmentId};
use tidestore::{Attachment, Store};

use crate::args::{app_key, attachment_id};
use crate::error::Failure;
use crate::output::{Lines, Output, count, cut, escaped, print, right, table};
use crate::times;

/// List the attachments that can be read, oldest first
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// Only those behind the attachment with this id
    #[arg(long, value_name = "ID", value_parser = attachment_id)]
    after: Option<AttachmentId>,
    /// How many at most [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
}

/// Attachments that are asked for, and shown in one table, at a time.
const PAGE: usize = 1_000;
/// Characters of a name that are shown.
const NAME_WIDTH: usize = 48;

impl List {
    pub(super) async fn run(&self, store: &Store, output: Output) -> Result<(), Failure> {
        let app = store.app(&self.key)?;
        let mut lines = output.is_json().then(Lines::start);
        let mut left = self.limit.map_or(usize::MAX, NonZeroUsize::get);
        let (mut after, mut shown) = (self.after, 0);
        while left > 0 {
            let page = app.attachments(after, left.min(PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            left -= page.len();
            shown += page.len();
            match &mut lines {
                Some(lines) => page
                    .iter()
                    .try_for_each(|attachment| lines.write(&super::value(attachment)))?,
                None => print(&text(&page))?,
            }
        }
        if let Some(lines) = lines {
            return lines.finish();
        }
        if shown == 0 {
            return print(&format!("no attachments in {}", self.key));
        }
        if let Some(last) = after.filter(|_| left == 0) {
            output.note(&format!("younger ones: --after {last}"));
        }
        Ok(())
    }
}

fn text(attachments: &[Attachment]) -> String {
    let mut table = table([
        "id",
        "name",
        "type",
        "bytes",
        "uploaded (UTC)",
        "kept until (UTC)",
        "messages",
        "pins",
    ]);
    for attachment in attachments {
        table.add_row([
            attachment.id.to_string().into(),
            cut(&escaped(&attachment.name), NAME_WIDTH).into(),
            cut(&escaped(&attachment.media_type), NAME_WIDTH).into(),
            right(count(attachment.length)),
            times::show(attachment.uploaded).into(),
            times::show(attachment.keep_until).into(),
            right(count(attachment.messages)),
            right(count(attachment.pins)),
        ]);
    }
    table.to_string()
}
