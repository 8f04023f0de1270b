//! `attr …`: attributes of users and chatrooms.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use tidestore::plan::{AppKey, ResourceId, UserId};
use tidestore::{KeyResults, RoomSet, Store};

use crate::args::{app_key, resource, user};
use crate::error::Failure;
use crate::output::{Output, count, plain, print, table};
use crate::session::{Missing, Place, close};

#[derive(Debug, Subcommand)]
pub(crate) enum AttrCommand {
    /// Read, set and delete attributes of a user
    User {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
        /// The user; need not be registered
        #[arg(value_parser = user)]
        user: UserId,
        /// KEY=VALUE to set; without any, all are shown
        #[arg(value_parser = pair)]
        pairs: Vec<(String, String)>,
        /// Let those go that are not named
        #[arg(long)]
        replace: bool,
        /// Delete all
        #[arg(long, conflicts_with_all = ["pairs", "replace"])]
        delete: bool,
    },
    /// Read, set and delete attributes of a chatroom, at most 10 at a time
    Room(Room),
    /// How many bytes the app has
    Total {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Room {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// The chatroom
    #[arg(value_name = "ROOM", value_parser = resource)]
    id: ResourceId,
    /// KEY=VALUE to set; without any, all are shown
    #[arg(value_parser = pair, requires = "member")]
    pairs: Vec<(String, String)>,
    /// The member who changes them
    #[arg(long = "as", value_name = "USER", value_parser = user)]
    member: Option<UserId>,
    /// Also those that others have set
    #[arg(long)]
    force: bool,
    /// Remove them when the member leaves
    #[arg(long)]
    auto_delete: bool,
    /// A key to delete; may be repeated
    #[arg(
        long,
        value_name = "KEY",
        requires = "member",
        conflicts_with = "pairs"
    )]
    delete: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(crate) async fn run(
    place: &Place,
    output: Output,
    command: AttrCommand,
) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = perform(&store, output, command).await;
    close(&store, ended).await
}

async fn perform(store: &Store, output: Output, command: AttrCommand) -> Result<(), Failure> {
    match command {
        AttrCommand::User {
            key,
            user,
            pairs,
            replace,
            delete,
        } => {
            let app = store.app(&key)?;
            let attributes = app.user_attributes();
            if delete {
                attributes.delete(&user).await?;
            } else if replace {
                attributes.replace(&user, pairs).await?;
            } else if !pairs.is_empty() {
                attributes.set(&user, pairs).await?;
            }
            show(output, &attributes.get(&user, None).await?)
        }
        AttrCommand::Room(room) => of_room(store, output, room).await,
        AttrCommand::Total { key } => {
            let app = store.app(&key)?;
            let (users, rooms) = (
                app.user_attributes().total().await?,
                app.room_attributes_total().await?,
            );
            output.show(
                || {
                    format!(
                        "{} bytes of {} users, {} bytes of {} attributes of chatrooms",
                        count(users.bytes),
                        count(users.count),
                        count(rooms.bytes),
                        count(rooms.count)
                    )
                },
                || {
                    json!({
                        "users": { "count": users.count, "bytes": users.bytes },
                        "rooms": { "count": rooms.count, "bytes": rooms.bytes },
                    })
                },
            )
        }
    }
}

async fn of_room(store: &Store, output: Output, args: Room) -> Result<(), Failure> {
    let app = store.app(&args.key)?;
    let attributes = app.room_attributes(&args.id);
    let Some(member) = args.member else {
        let all = attributes.get(None).await?;
        let all = all.into_iter().map(|(key, found)| (key, found.value));
        return show(output, &all.collect());
    };
    let results = if args.delete.is_empty() {
        let how = RoomSet {
            auto_delete: args.auto_delete,
            force: args.force,
        };
        attributes.set(&member, args.pairs, how).await?
    } else {
        attributes.delete(&member, &args.delete, args.force).await?
    };
    answer(output, results)
}

fn show(output: Output, pairs: &BTreeMap<String, String>) -> Result<(), Failure> {
    output.show(
        || {
            let mut rows = table(["key", "value"]);
            for (key, value) in pairs {
                rows.add_row([plain(key), plain(value)]);
            }
            rows.to_string()
        },
        || json!(pairs),
    )
}

/// Says of each key how it went; exit code 4 if all were refused.
fn answer(output: Output, results: KeyResults) -> Result<(), Failure> {
    let nothing = results.done.is_empty();
    if output.is_json() {
        let refused: Map<String, Value> = results
            .refused
            .iter()
            .map(|(key, why)| (key.clone(), json!(why.to_string())))
            .collect();
        print(&json!({ "done": results.done, "refused": refused }).to_string())?;
    } else {
        let mut rows = table(["key", "answer"]);
        for key in &results.done {
            rows.add_row([plain(key), "done".to_owned()]);
        }
        for (key, why) in &results.refused {
            rows.add_row([plain(key), plain(&why.to_string())]);
        }
        print(&rows.to_string())?;
    }
    match results.refused.into_iter().next() {
        Some((key, why)) if nothing => Err(Failure::Refused(format!("{key}: {why}"))),
        _ => Ok(()),
    }
}
