//! `user …`: the users of an app.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidestore::plan::{AppKey, UserId};
use tidestore::{Account, App, MuteChange, MuteEnd, MuteFor, Store, User};

use crate::args::{app_key, user};
use crate::commands::listing::{Listing, each, names, show_list};
use crate::error::Failure;
use crate::output::{Output, facts, plain, table};
use crate::session::{Missing, Place, close};
use crate::times;

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Register users, sixty at a time; each is answered
    Register {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
        /// Their ids; `u1..u100` stands for a hundred of them
        #[arg(required = true, value_parser = ids)]
        users: Vec<Ids>,
        /// The password of all of them; only its hash is kept
        #[arg(long, value_name = "TEXT")]
        password: Option<String>,
        /// What push notices call them
        #[arg(long, value_name = "TEXT")]
        nickname: Option<String>,
    },
    /// Show a user
    Show(One),
    /// List users, oldest registration first
    List {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
        #[command(flatten)]
        listing: Listing,
    },
    /// Delete a user with the groups and chatrooms that he owns
    Delete(One),
    /// Ban a user
    Ban(One),
    /// Take a ban back
    Unban(One),
    /// Say whether a password is the user's; exit code 4 if it is not
    Login {
        #[command(flatten)]
        one: One,
        /// The password
        password: String,
    },
    /// Mute a user in the whole app: seconds, `forever` or `lift`
    Mute {
        #[command(flatten)]
        one: One,
        /// In direct conversations
        #[arg(long, value_name = "HOW", value_parser = mute_for)]
        chat: Option<MuteFor>,
        /// In groups
        #[arg(long, value_name = "HOW", value_parser = mute_for)]
        groups: Option<MuteFor>,
        /// In chatrooms
        #[arg(long, value_name = "HOW", value_parser = mute_for)]
        rooms: Option<MuteFor>,
    },
    /// Make users contacts of a user, or list his contacts
    Contact {
        #[command(flatten)]
        one: One,
        /// Contacts to add; without any, the contacts are listed
        #[arg(value_parser = user)]
        others: Vec<UserId>,
        /// Remove them instead
        #[arg(long)]
        remove: bool,
    },
    /// Block users for a user, or list whom he has blocked
    Block {
        #[command(flatten)]
        one: One,
        /// Users to block; without any, the list is shown
        #[arg(value_parser = user)]
        others: Vec<UserId>,
        /// Take them off the list instead
        #[arg(long)]
        remove: bool,
    },
}

/// One user of an app.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// The user's id
    #[arg(value_parser = user)]
    user: UserId,
}

/// One id, or a range of numbered ones.
#[derive(Clone, Debug)]
pub(crate) struct Ids(Vec<UserId>);

fn ids(text: &str) -> Result<Ids, String> {
    let numbered = |id: &str| {
        let digits = id.len() - id.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (stem, number) = id.split_at(digits);
        Some((stem.to_owned(), number.parse::<u32>().ok()?))
    };
    let Some((first, last)) = text.split_once("..") else {
        return Ok(Ids(vec![user(text)?]));
    };
    match (numbered(first), numbered(last)) {
        (Some((stem, from)), Some((other, to))) if stem == other && from <= to => {
            let all = (from..=to).map(|number| user(&format!("{stem}{number}")));
            all.collect::<Result<_, _>>().map(Ids)
        }
        _ => Err(format!("{text:?} is no range such as u1..u100")),
    }
}

/// Parses how long somebody is muted.
pub(crate) fn mute_for(text: &str) -> Result<MuteFor, String> {
    match text {
        "lift" => Ok(MuteFor::Lift),
        "forever" => Ok(MuteFor::Forever),
        seconds => seconds
            .parse()
            .map(MuteFor::Seconds)
            .map_err(|_| format!("{text:?} is neither seconds nor `forever` nor `lift`")),
    }
}

impl UserCommand {
    fn key(&self) -> &AppKey {
        match self {
            Self::Register { key, .. } | Self::List { key, .. } => key,
            Self::Show(one)
            | Self::Delete(one)
            | Self::Ban(one)
            | Self::Unban(one)
            | Self::Login { one, .. }
            | Self::Mute { one, .. }
            | Self::Contact { one, .. }
            | Self::Block { one, .. } => &one.key,
        }
    }
}

pub(crate) async fn run(
    place: &Place,
    output: Output,
    command: UserCommand,
) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = perform(&store, output, command).await;
    close(&store, ended).await
}

async fn perform(store: &Store, output: Output, command: UserCommand) -> Result<(), Failure> {
    let app = store.app(command.key())?;
    match command {
        UserCommand::Register {
            users,
            password,
            nickname,
            ..
        } => register(&app, output, users, password, nickname).await,
        UserCommand::Show(one) => show_whole(&app, output, &one.user).await,
        UserCommand::List { listing, .. } => {
            let page = app
                .users()
                .list(listing.cursor.as_deref(), listing.limit())
                .await?;
            show_list(output, &page, table_of, value)
        }
        UserCommand::Delete(one) => show(output, &app.users().delete(&one.user).await?),
        UserCommand::Ban(one) => show(output, &app.users().ban(&one.user).await?),
        UserCommand::Unban(one) => show(output, &app.users().unban(&one.user).await?),
        UserCommand::Login { one, password } => {
            if app.users().check_password(&one.user, &password).await? {
                return output.show(|| "welcome".to_owned(), || json!({ "welcome": true }));
            }
            Err(Failure::Refused("the password is another".to_owned()))
        }
        UserCommand::Mute {
            one,
            chat,
            groups,
            rooms,
        } => {
            let change = MuteChange {
                chat,
                groupchat: groups,
                chatroom: rooms,
            };
            let mutes = app.users().mute(&one.user, change).await?;
            let until = |until| until_text(until, "not muted");
            output.show(
                || {
                    let parts = [
                        ("direct conversations", mutes.chat),
                        ("groups", mutes.groupchat),
                        ("chatrooms", mutes.chatroom),
                    ];
                    let parts = parts.map(|(name, time)| format!("{name}: {}", until(time)));
                    parts.join(", ")
                },
                || {
                    json!({
                        "chat": until_value(mutes.chat),
                        "groups": until_value(mutes.groupchat),
                        "rooms": until_value(mutes.chatroom),
                    })
                },
            )
        }
        UserCommand::Contact {
            one,
            others,
            remove,
        } => contacts(&app, output, &one.user, &others, remove).await,
        UserCommand::Block {
            one,
            others,
            remove,
        } => blocks(&app, output, &one.user, &others, remove).await,
    }
}

async fn register(
    app: &App,
    output: Output,
    users: Vec<Ids>,
    password: Option<String>,
    nickname: Option<String>,
) -> Result<(), Failure> {
    let users: Vec<UserId> = users.into_iter().flat_map(|ids| ids.0).collect();
    let mut answers = Vec::new();
    for batch in users.chunks(60) {
        let account = |user: &UserId| Account {
            id: user.clone(),
            password: password.clone(),
            nickname: nickname.clone(),
        };
        let accounts = batch.iter().map(account).collect();
        let done = app.users().register_many(accounts).await?;
        answers.extend(done.into_iter().map(|answer| answer.map(drop)));
    }
    each(output, &users, answers, "registered")
}

async fn contacts(
    app: &App,
    output: Output,
    user: &UserId,
    others: &[UserId],
    remove: bool,
) -> Result<(), Failure> {
    let contacts = app.contacts(user);
    if others.is_empty() {
        let page = contacts.list(None, 10_000).await?;
        let all = page.items.iter().map(|contact| contact.friend.to_string());
        return names(output, &all.collect::<Vec<_>>());
    }
    let mut answers = Vec::new();
    for other in others {
        answers.push(if remove {
            contacts.remove(other).await.map(drop)
        } else {
            contacts.add(other).await.map(drop)
        });
    }
    each(
        output,
        others,
        answers,
        if remove { "removed" } else { "added" },
    )
}

async fn blocks(
    app: &App,
    output: Output,
    user: &UserId,
    others: &[UserId],
    remove: bool,
) -> Result<(), Failure> {
    let blocks = app.blocks(user);
    if remove {
        for other in others {
            blocks.remove(other).await?;
        }
    } else if !others.is_empty() {
        blocks.add(others).await?;
    }
    let page = blocks.list(None, 1_000).await?;
    let all: Vec<String> = page.items.iter().map(ToString::to_string).collect();
    names(output, &all)
}

/// Until when, for people.
pub(crate) fn until_text(until: Option<MuteEnd>, none: &str) -> String {
    match until {
        None => none.to_owned(),
        Some(MuteEnd::Never) => "for ever".to_owned(),
        Some(MuteEnd::At(until)) => format!("until {}", times::show(until)),
    }
}

/// Until when, for programs: milliseconds, `forever`, or null.
pub(crate) fn until_value(until: Option<MuteEnd>) -> Value {
    match until {
        None => Value::Null,
        Some(MuteEnd::Never) => json!("forever"),
        Some(MuteEnd::At(until)) => json!(until),
    }
}

fn show(output: Output, user: &User) -> Result<(), Failure> {
    output.show(|| table_of(std::slice::from_ref(user)), || value(user))
}

/// A user with all that is known of him.
async fn show_whole(app: &App, output: Output, user: &UserId) -> Result<(), Failure> {
    let (user, counts) = (
        app.users().get(user).await?,
        app.users().counts(user).await?,
    );
    let rows = [
        ("user", user.id.to_string()),
        ("registered", times::show(user.created)),
        ("state", state(&user).to_owned()),
        ("nickname", user.nickname.clone().unwrap_or_default()),
        ("contacts", counts.contacts.to_string()),
        ("blocked users", counts.blocked.to_string()),
        ("groups", counts.groups.to_string()),
        ("chatrooms", counts.rooms.to_string()),
    ];
    output.show(
        || facts(rows.map(|(name, value)| (name.to_owned(), value))).to_string(),
        || {
            let mut value = value(&user);
            value["contacts"] = json!(counts.contacts);
            value["blocked"] = json!(counts.blocked);
            value["groups"] = json!(counts.groups);
            value["rooms"] = json!(counts.rooms);
            value
        },
    )
}

fn state(user: &User) -> &'static str {
    if user.is_banned { "banned" } else { "active" }
}

fn table_of(users: &[User]) -> String {
    let mut table = table(["user", "registered", "state", "nickname"]);
    for user in users {
        let nickname = user.nickname.as_deref().unwrap_or_default();
        table.add_row([
            user.id.to_string(),
            times::show(user.created),
            state(user).to_owned(),
            plain(nickname),
        ]);
    }
    table.to_string()
}

fn value(user: &User) -> Value {
    json!({
        "user": user.id.as_str(),
        "created": user.created,
        "modified": user.modified,
        "banned": user.is_banned,
        "nickname": user.nickname,
    })
}
