//! `recall`, `edit`, `react`, `erase`: what becomes of messages after they were sent.

use clap::Args;
use serde_json::json;
use tidestore::plan::{AppKey, UserId};
use tidestore::{App, By, MessageId, Store};

use crate::args::{app_key, user};
use crate::error::Failure;
use crate::output::{Output, table};
use crate::session::{Missing, Place, close};

/// A message of an app.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// The message's id
    id: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Recall {
    #[command(flatten)]
    which: Which,
    /// As this user, who may recall his own messages for two minutes; without it anything at any time
    #[arg(long, value_name = "USER", value_parser = user)]
    by: Option<UserId>,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    #[command(flatten)]
    which: Which,
    /// The new text
    text: String,
    /// As this user, who may edit his own messages; without it any
    #[arg(long, value_name = "USER", value_parser = user)]
    by: Option<UserId>,
}

#[derive(Debug, Args)]
pub(crate) struct React {
    #[command(flatten)]
    which: Which,
    /// Who reacts; without it the reactions are shown
    #[arg(value_parser = user, requires = "reaction")]
    user: Option<UserId>,
    /// How, such as 👍
    reaction: Option<String>,
    /// Take it back instead
    #[arg(long, requires = "user")]
    remove: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// The user's id
    #[arg(value_parser = user)]
    user: UserId,
    /// Also all that he sent, in every conversation; reads all messages of the app
    #[arg(long)]
    messages: bool,
}

fn by(user: Option<&UserId>) -> Result<By, Failure> {
    if let Some(user) = user {
        return Ok(By::User(user.clone()));
    }
    let admin = UserId::parse("admin").map_err(tidestore::Error::from)?;
    Ok(By::Server(admin))
}

/// Takes a message back.
pub(crate) async fn recall(place: &Place, output: Output, args: &Recall) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = async {
        let (app, id) = message(&store, &args.which)?;
        app.recall(id, &by(args.by.as_ref())?).await?;
        let shown = format!("recalled {id}; its content leaves the disk with the next merge");
        output.show(|| shown, || json!({ "recalled": id.0 }))
    }
    .await;
    close(&store, ended).await
}

/// Replaces the text of a message.
pub(crate) async fn edit(place: &Place, output: Output, args: Edit) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = async {
        let (app, id) = message(&store, &args.which)?;
        let by = by(args.by.as_ref())?;
        let version = app.edit_message(id, &by, args.text, "").await?;
        output.show(
            || format!("edited {id}, version {version}"),
            || json!({ "edited": id.0, "version": version }),
        )
    }
    .await;
    close(&store, ended).await
}

/// Changes or shows the reactions to a message.
pub(crate) async fn react(place: &Place, output: Output, args: &React) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = async {
        let (app, id) = message(&store, &args.which)?;
        if let (Some(user), Some(reaction)) = (&args.user, &args.reaction) {
            if args.remove {
                app.unreact(id, user, reaction).await?;
            } else {
                app.react(id, user, reaction).await?;
            }
        }
        show_reactions(&app, id, output).await
    }
    .await;
    close(&store, ended).await
}

async fn show_reactions(app: &App, id: MessageId, output: Output) -> Result<(), Failure> {
    let counts = app.reactions(&[id]).await?.pop().unwrap_or_default();
    let mut reactions = Vec::new();
    for count in counts {
        let page = app.reactors(id, &count.reaction, None, 3).await?;
        let users = page
            .items
            .into_iter()
            .map(|reactor| reactor.user.to_string());
        reactions.push((count, users.collect::<Vec<_>>()));
    }
    output.show(
        || {
            if reactions.is_empty() {
                return "no reactions".to_owned();
            }
            let mut table = table(["reaction", "users", "first"]);
            for (count, users) in &reactions {
                let row = [&count.reaction, &count.count.to_string(), &users.join(", ")];
                table.add_row(row);
            }
            table.to_string()
        },
        || {
            let value = |(count, users): &(tidestore::ReactionCount, Vec<String>)| {
                json!({ "reaction": count.reaction, "count": count.count, "first": users })
            };
            reactions.iter().map(value).collect()
        },
    )
}

fn message(store: &Store, which: &Which) -> Result<(App, MessageId), Failure> {
    Ok((store.app(&which.key)?, MessageId(which.id)))
}

/// Erases a user.
pub(crate) async fn erase(place: &Place, output: Output, args: &Erase) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = async {
        let app = store.app(&args.key)?;
        let bar = output.progress(None, "{spinner} erasing, {elapsed}");
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        let erased = app.erase_user(&args.user, args.messages).await;
        bar.finish_and_clear();
        erased?;
        let user = &args.user;
        output.show(
            || format!("erased {user}; `tidestore verify --erased {user}` looks for what is left"),
            || json!({ "erased": user.as_str(), "messages": args.messages }),
        )
    }
    .await;
    close(&store, ended).await
}
