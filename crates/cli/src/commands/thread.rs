//! `thread …`: threads inside groups.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidestore::plan::{AppKey, ResourceId, UserId};
use tidestore::{NewThread, Store, Thread};

use crate::args::{app_key, resource, user};
use crate::commands::listing::{Listing, each, names, show_list};
use crate::error::Failure;
use crate::output::{Output, plain, right, table};
use crate::session::{Missing, Place, close};
use crate::times;

#[derive(Debug, Subcommand)]
pub(crate) enum ThreadCommand {
    /// Create a thread about a message of a group
    Create {
        #[command(flatten)]
        one: One,
        /// The group
        #[arg(long, value_name = "ID", value_parser = resource)]
        group: ResourceId,
        /// The id of the message
        #[arg(long, value_name = "ID")]
        about: u64,
        /// Who creates it; a member of the group
        #[arg(long, value_name = "USER", value_parser = user)]
        owner: UserId,
        /// What people call it
        #[arg(long, default_value = "", value_name = "TEXT")]
        name: String,
    },
    /// List threads, newest first: all, or those that a user has joined
    List {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
        /// Only those that this user is in
        #[arg(long, value_name = "USER", value_parser = user)]
        joined_by: Option<UserId>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Let members of the group join; without any, those in it are shown
    Join {
        #[command(flatten)]
        one: One,
        /// The users
        #[arg(value_parser = user)]
        users: Vec<UserId>,
        /// Let them leave instead
        #[arg(long)]
        leave: bool,
    },
    /// Give it another name
    Rename {
        #[command(flatten)]
        one: One,
        /// The new name
        name: String,
    },
    /// Delete it
    Delete(One),
}

/// One thread of an app.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// Its id
    #[arg(value_parser = resource)]
    id: ResourceId,
}

impl ThreadCommand {
    fn key(&self) -> &AppKey {
        match self {
            Self::List { key, .. } => key,
            Self::Create { one, .. }
            | Self::Join { one, .. }
            | Self::Rename { one, .. }
            | Self::Delete(one) => &one.key,
        }
    }
}

pub(crate) async fn run(
    place: &Place,
    output: Output,
    command: ThreadCommand,
) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = perform(&store, output, command).await;
    close(&store, ended).await
}

async fn perform(store: &Store, output: Output, command: ThreadCommand) -> Result<(), Failure> {
    let app = store.app(command.key())?;
    let threads = app.threads();
    match command {
        ThreadCommand::Create {
            one,
            group,
            about,
            owner,
            name,
        } => {
            let new = NewThread {
                id: one.id,
                group,
                name,
                owner,
                parent: about,
            };
            show(output, &threads.create(new).await?)
        }
        ThreadCommand::List {
            joined_by, listing, ..
        } => {
            let (cursor, limit) = (listing.cursor.as_deref(), listing.limit());
            let page = match &joined_by {
                Some(user) => threads.joined(user, None, true, cursor, limit).await?,
                None => threads.list(true, cursor, limit).await?,
            };
            show_list(output, &page, table_of, value)
        }
        ThreadCommand::Join { one, users, leave } => {
            if users.is_empty() {
                let page = threads.members(&one.id, None, 10_000).await?;
                let all: Vec<String> = page.items.iter().map(ToString::to_string).collect();
                return names(output, &all);
            }
            if leave {
                let answers = threads.leave(&one.id, &users).await?;
                return each(output, &users, answers, "left");
            }
            let answers = threads.join(&one.id, &users).await?;
            each(output, &users, answers, "joined")
        }
        ThreadCommand::Rename { one, name } => {
            threads.rename(&one.id, &name).await?;
            show(output, &threads.get(&one.id).await?)
        }
        ThreadCommand::Delete(one) => {
            threads.delete(&one.id).await?;
            output.show(|| "deleted".to_owned(), || json!({ "done": "deleted" }))
        }
    }
}

fn show(output: Output, thread: &Thread) -> Result<(), Failure> {
    output.show(|| table_of(std::slice::from_ref(thread)), || value(thread))
}

fn table_of(threads: &[Thread]) -> String {
    let mut table = table([
        "id", "name", "group", "owner", "about", "members", "created",
    ]);
    for thread in threads {
        table.add_row([
            thread.id.to_string().into(),
            plain(&thread.name).into(),
            thread.group.to_string().into(),
            thread.owner.to_string().into(),
            thread.parent.to_string().into(),
            right(thread.members),
            times::show(thread.created).into(),
        ]);
    }
    table.to_string()
}

fn value(thread: &Thread) -> Value {
    json!({
        "id": thread.id.as_str(),
        "name": thread.name,
        "group": thread.group.as_str(),
        "owner": thread.owner.as_str(),
        "about": thread.parent,
        "members": thread.members,
        "created": thread.created,
    })
}
