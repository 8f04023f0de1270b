//! Attributes of users and rooms, set, overwritten and taken away.

use tidestore::{App, ErrorKind, Result, RoomSet};

use super::directory::resource;
use super::facts::ABSENT;
use super::{CHAPTERS, Stage};
use crate::user;

pub(super) async fn chapter(stage: &Stage, number: usize) -> Result<()> {
    match number {
        0 => {
            set(stage, "ann", "mood", "calm").await?;
            set(stage, "bob", "mood", "loud").await?;
            set_of_room(stage, "hall", "theme", "night").await
        }
        1 => {
            set(stage, "ann", "mood", "bright").await?;
            set_of_room(stage, "hall", "theme", "day").await
        }
        2 => {
            stage
                .change("user-attributes bob", ABSENT, async || {
                    stage.app.user_attributes().delete(&user("bob")).await
                })
                .await
        }
        3 | CHAPTERS => set(stage, "cid", "mood", &format!("in chapter {number}")).await,
        _ => Ok(()),
    }
}

async fn set(stage: &Stage, who: &str, key: &str, value: &str) -> Result<()> {
    stage
        .change(
            &format!("user-attributes {who}"),
            &format!("{key}={value}"),
            async || {
                let pairs = [(key.to_owned(), value.to_owned())];
                stage.app.user_attributes().set(&user(who), pairs).await
            },
        )
        .await
}

async fn set_of_room(stage: &Stage, room: &str, key: &str, value: &str) -> Result<()> {
    stage
        .change(
            &format!("room-attributes {room}"),
            &format!("{key}={value} of cid"),
            async || {
                let pairs = [(key.to_owned(), value.to_owned())];
                let room = resource(room);
                let attributes = stage.app.room_attributes(&room);
                attributes
                    .set(&user("cid"), pairs, RoomSet::default())
                    .await
            },
        )
        .await
        .map(drop)
}

/// The attributes of somebody or something now.
pub(super) async fn probe(app: &App, part: &str, name: &str) -> Result<String> {
    let all: Vec<String> = if part == "user-attributes" {
        let pairs = app.user_attributes().get(&user(name), None).await?;
        pairs.iter().map(|(k, v)| format!("{k}={v}")).collect()
    } else {
        match app.room_attributes(&resource(name)).get(None).await {
            Ok(pairs) => pairs
                .iter()
                .map(|(k, a)| format!("{k}={} of {}", a.value, a.setter))
                .collect(),
            Err(error) if matches!(error.kind(), ErrorKind::Directory(_)) => Vec::new(),
            Err(error) => return Err(error),
        }
    };
    Ok(if all.is_empty() {
        ABSENT.to_owned()
    } else {
        all.join(",")
    })
}
