//! `group …` and `room …`: groups and chatrooms, which are told apart by the kind alone.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidestore::plan::{AppKey, AttachmentId, ResourceId, UserId};
use tidestore::{
    App, Channel, ChannelChange, ChannelKind, Member, MuteFor, NewChannel, Role, SharedFile, Store,
};

use crate::args::{app_key, attachment_id, resource, user};
use crate::commands::listing::{Listing, each, names, show_list};
use crate::commands::user::{mute_for, until_text, until_value};
use crate::error::Failure;
use crate::output::{Output, plain, right, table};
use crate::session::{Missing, Place, close};
use crate::times;

#[derive(Debug, Subcommand)]
pub(crate) enum ChannelCommand {
    /// Create one
    Create {
        #[command(flatten)]
        one: One,
        /// Who owns it
        #[arg(long, value_parser = user)]
        owner: UserId,
        /// What people call it
        #[arg(long, default_value = "", value_name = "TEXT")]
        name: String,
        /// For how many members
        #[arg(long, value_name = "N")]
        max_users: Option<u32>,
        /// Others who are in it from the start
        #[arg(long = "member", value_name = "USER", value_parser = user)]
        members: Vec<UserId>,
    },
    /// Show one
    Show(One),
    /// List them, newest first; or those that a user has joined
    List {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
        /// Only those that this user is in, the last joined first
        #[arg(long, value_name = "USER", value_parser = user)]
        joined_by: Option<UserId>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Rename one, or change for how many members it is
    Change {
        #[command(flatten)]
        one: One,
        /// What people call it
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// For how many members
        #[arg(long, value_name = "N")]
        max_users: Option<u32>,
    },
    /// Delete one with all that is in it
    Delete(One),
    /// Ban one: nobody can send to it or change it
    Ban(One),
    /// Take a ban back
    Unban(One),
    /// Show the announcement, or set it
    Announcement {
        #[command(flatten)]
        one: One,
        /// The new one
        text: Option<String>,
    },
    /// Give it to another member
    Transfer {
        #[command(flatten)]
        one: One,
        /// The new owner
        #[arg(value_parser = user)]
        to: UserId,
    },
    /// Mute everybody but owner, admins and those on the allow list
    MuteAll {
        #[command(flatten)]
        one: One,
        /// Lift that instead
        #[arg(long)]
        lift: bool,
    },
    /// List members, by id
    Members {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        listing: Listing,
    },
    /// Add members, at most 60 at a time
    Add(Several),
    /// Remove members
    Remove(Several),
    /// Make members admins
    Admin(Listed),
    /// Put members on the allow list, or show it
    Allow(Listed),
    /// Put members on the block list, by which they leave, or show it
    Block(Listed),
    /// Share an attachment with a group, or list what it shares
    File {
        #[command(flatten)]
        one: One,
        /// The attachment, see `blob put`; without one, the files are shown
        #[arg(value_parser = attachment_id, requires = "owner")]
        attachment: Option<AttachmentId>,
        /// The member who shares it
        #[arg(long = "as", value_name = "USER", value_parser = user)]
        owner: Option<UserId>,
        /// What people call it
        #[arg(long, default_value = "file", value_name = "TEXT")]
        name: String,
        /// End the sharing of this one instead
        #[arg(long, value_name = "ATTACHMENT", value_parser = attachment_id, conflicts_with = "attachment")]
        remove: Option<AttachmentId>,
    },
    /// Make users super admins of all chatrooms, or list these
    SuperAdmin {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
        /// The users
        #[arg(value_parser = user)]
        users: Vec<UserId>,
        /// Take that back instead
        #[arg(long)]
        remove: bool,
    },
    /// Mute members: seconds, `forever` or `lift`
    Mute {
        #[command(flatten)]
        several: Several,
        /// For how long
        #[arg(long = "for", value_name = "HOW", default_value = "forever", value_parser = mute_for)]
        how: MuteFor,
    },
}

/// One group or chatroom of an app.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// Its id
    #[arg(value_parser = resource)]
    id: ResourceId,
}

/// Users, in one group or chatroom.
#[derive(Debug, Args)]
pub(crate) struct Several {
    #[command(flatten)]
    one: One,
    /// The users
    #[arg(required = true, value_parser = user)]
    users: Vec<UserId>,
}

/// Users of a list that can also be shown.
#[derive(Debug, Args)]
pub(crate) struct Listed {
    #[command(flatten)]
    one: One,
    /// The users; without any, the list is shown
    #[arg(value_parser = user)]
    users: Vec<UserId>,
    /// Take them off instead
    #[arg(long)]
    remove: bool,
}

impl ChannelCommand {
    fn key(&self) -> &AppKey {
        match self {
            Self::List { key, .. } | Self::SuperAdmin { key, .. } => key,
            Self::Create { one, .. }
            | Self::Change { one, .. }
            | Self::Announcement { one, .. }
            | Self::Transfer { one, .. }
            | Self::MuteAll { one, .. }
            | Self::File { one, .. }
            | Self::Members { one, .. }
            | Self::Show(one)
            | Self::Delete(one)
            | Self::Ban(one)
            | Self::Unban(one) => &one.key,
            Self::Add(several) | Self::Remove(several) | Self::Mute { several, .. } => {
                &several.one.key
            }
            Self::Admin(listed) | Self::Allow(listed) | Self::Block(listed) => &listed.one.key,
        }
    }
}

pub(crate) async fn run(
    place: &Place,
    output: Output,
    kind: ChannelKind,
    command: ChannelCommand,
) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = perform(&store, output, kind, command).await;
    close(&store, ended).await
}

async fn perform(
    store: &Store,
    output: Output,
    kind: ChannelKind,
    command: ChannelCommand,
) -> Result<(), Failure> {
    let app = store.app(command.key())?;
    let channels = app.channels(kind);
    match command {
        ChannelCommand::Create {
            one,
            owner,
            name,
            max_users,
            members,
        } => {
            let new = NewChannel {
                name,
                max_users,
                members,
                ..NewChannel::new(one.id, owner)
            };
            show(output, &channels.create(new).await?)
        }
        ChannelCommand::Show(one) => show(output, &channels.get(&one.id).await?),
        ChannelCommand::List {
            joined_by, listing, ..
        } => {
            let (cursor, limit) = (listing.cursor.as_deref(), listing.limit());
            let page = match &joined_by {
                Some(user) => channels.joined(user, cursor, limit).await?,
                None => channels.list(cursor, limit).await?,
            };
            show_list(output, &page, table_of, value)
        }
        ChannelCommand::Change {
            one,
            name,
            description,
            max_users,
        } => {
            let change = ChannelChange {
                name,
                description,
                max_users,
                ..ChannelChange::default()
            };
            show(output, &channels.change(&one.id, change).await?)
        }
        ChannelCommand::Delete(one) => {
            channels.delete(&one.id).await?;
            done(output, "deleted")
        }
        ChannelCommand::Ban(one) => {
            channels.disable(&one.id).await?;
            done(output, "banned")
        }
        ChannelCommand::Unban(one) => {
            channels.enable(&one.id).await?;
            done(output, "open again")
        }
        ChannelCommand::Announcement { one, text } => {
            if let Some(text) = &text {
                channels.announce(&one.id, text).await?;
            }
            let text = channels.announcement(&one.id).await?;
            output.show(|| plain(&text), || json!(text))
        }
        ChannelCommand::Transfer { one, to } => {
            channels.transfer(&one.id, &to).await?;
            show(output, &channels.get(&one.id).await?)
        }
        ChannelCommand::MuteAll { one, lift } => {
            channels.mute_all(&one.id, !lift).await?;
            show(output, &channels.get(&one.id).await?)
        }
        ChannelCommand::SuperAdmin { users, remove, .. } => {
            for user in &users {
                channels.set_super_admin(user, !remove).await?;
            }
            show_names(output, &channels.super_admins(None, 10_000).await?.items)
        }
        file @ ChannelCommand::File { .. } => files(&app, output, kind, file).await,
        other => members(&app, output, kind, other).await,
    }
}

async fn files(
    app: &App,
    output: Output,
    kind: ChannelKind,
    command: ChannelCommand,
) -> Result<(), Failure> {
    let ChannelCommand::File {
        one,
        attachment,
        owner,
        name,
        remove,
    } = command
    else {
        return Ok(());
    };
    if kind == ChannelKind::Room {
        return Err(Failure::Argument("only groups share files".to_owned()));
    }
    let files = app.shared_files(&one.id);
    if let Some(attachment) = remove {
        files.unshare(attachment).await?;
    } else if let (Some(attachment), Some(owner)) = (attachment, owner) {
        files.share(&owner, attachment, &name).await?;
    }
    let page = files.list(None, 10_000).await?;
    show_list(output, &page, file_table, file_value)
}

fn file_table(files: &[SharedFile]) -> String {
    let mut table = table(["attachment", "name", "bytes", "shared by", "since"]);
    for file in files {
        table.add_row([
            file.attachment.to_string().into(),
            plain(&file.name).into(),
            right(file.size),
            file.owner.to_string().into(),
            times::show(file.created).into(),
        ]);
    }
    table.to_string()
}

fn file_value(file: &SharedFile) -> Value {
    json!({
        "attachment": file.attachment.to_string(),
        "name": file.name,
        "bytes": file.size,
        "owner": file.owner.as_str(),
        "created": file.created,
    })
}

async fn members(
    app: &App,
    output: Output,
    kind: ChannelKind,
    command: ChannelCommand,
) -> Result<(), Failure> {
    let channels = app.channels(kind);
    match command {
        ChannelCommand::Members { one, listing } => {
            let members = channels.members(&one.id);
            let page = members
                .list(listing.cursor.as_deref(), listing.limit())
                .await?;
            show_list(output, &page, member_table, member_value)
        }
        ChannelCommand::Add(several) => {
            let members = channels.members(&several.one.id);
            let mut answers = Vec::new();
            for batch in several.users.chunks(60) {
                answers.extend(members.add_many(batch).await?);
            }
            each(output, &several.users, answers, "added")
        }
        ChannelCommand::Remove(several) => {
            let members = channels.members(&several.one.id);
            let answers = members.remove_many(&several.users).await?;
            each(output, &several.users, answers, "removed")
        }
        ChannelCommand::Mute { several, how } => {
            let members = channels.members(&several.one.id);
            let answers = members.mute(&several.users, how).await?;
            each(output, &several.users, answers, "changed")
        }
        ChannelCommand::Admin(listed) => {
            let members = channels.members(&listed.one.id);
            for user in &listed.users {
                members.set_admin(user, !listed.remove).await?;
            }
            show_names(output, &members.admins(None, 1_000).await?.items)
        }
        ChannelCommand::Allow(listed) => {
            let members = channels.members(&listed.one.id);
            if listed.users.is_empty() {
                return show_names(output, &members.allowed(None, 10_000).await?.items);
            }
            let answers = members.allow(&listed.users, !listed.remove).await?;
            each(output, &listed.users, answers, "changed")
        }
        ChannelCommand::Block(listed) => {
            let members = channels.members(&listed.one.id);
            if listed.users.is_empty() {
                return show_names(output, &members.blocked(None, 10_000).await?.items);
            }
            let answers = if listed.remove {
                members.unblock(&listed.users).await?
            } else {
                members.block(&listed.users).await?
            };
            each(output, &listed.users, answers, "changed")
        }
        _ => Ok(()),
    }
}

fn done(output: Output, what: &str) -> Result<(), Failure> {
    output.show(|| what.to_owned(), || json!({ "done": what }))
}

fn show_names(output: Output, users: &[UserId]) -> Result<(), Failure> {
    let users: Vec<String> = users.iter().map(ToString::to_string).collect();
    names(output, &users)
}

fn show(output: Output, channel: &Channel) -> Result<(), Failure> {
    output.show(
        || table_of(std::slice::from_ref(channel)),
        || value(channel),
    )
}

fn table_of(channels: &[Channel]) -> String {
    let mut table = table([
        "id", "name", "owner", "members", "made for", "created", "state",
    ]);
    for channel in channels {
        let state = match (channel.is_disabled, channel.is_muted) {
            (true, _) => "banned",
            (false, true) => "muted",
            (false, false) => "open",
        };
        table.add_row([
            channel.id.to_string().into(),
            plain(&channel.name).into(),
            channel.owner.to_string().into(),
            right(channel.members),
            right(channel.max_users),
            times::show(channel.created).into(),
            state.into(),
        ]);
    }
    table.to_string()
}

fn value(channel: &Channel) -> Value {
    json!({
        "id": channel.id.as_str(),
        "name": channel.name,
        "description": channel.description,
        "extension": channel.extension,
        "owner": channel.owner.as_str(),
        "members": channel.members,
        "admins": channel.admins,
        "max_users": channel.max_users,
        "created": channel.created,
        "banned": channel.is_disabled,
        "muted": channel.is_muted,
    })
}

fn member_table(members: &[Member]) -> String {
    let mut table = table(["user", "role", "joined", "muted", "allow list"]);
    for member in members {
        table.add_row([
            member.user.to_string(),
            role(member.role).to_owned(),
            times::show(member.joined),
            until_text(member.muted_until, ""),
            if member.is_allowed { "yes" } else { "" }.to_owned(),
        ]);
    }
    table.to_string()
}

fn member_value(member: &Member) -> Value {
    json!({
        "user": member.user.as_str(),
        "role": role(member.role),
        "joined": member.joined,
        "muted_until": until_value(member.muted_until),
        "allowed": member.is_allowed,
    })
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}
