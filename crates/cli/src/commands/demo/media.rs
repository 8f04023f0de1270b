//! Attachments: what lives as long as the message that names it, what goes after a week, and what is stored once.

use bytes::Bytes;
use comfy_table::Cell;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tidestore::plan::{AppKey, AttachmentId, Plan, Terms, UserId};
use tidestore::{App, Conversation, DayUsage, ErrorKind, Kind, NewAttachment, NewMessage, Store};

use super::DAYS;
use crate::error::Failure;
use crate::output::{count, right, table};

/// The day on which the files are uploaded, from 0.
const UPLOADED: u64 = 180;
/// The day on which one of them is forwarded.
const FORWARDED: u64 = 185;

/// A file that somebody attaches.
struct File {
    name: &'static str,
    media_type: &'static str,
    bytes: usize,
    day: u64,
    /// What kind of message names it, if one does.
    sent: Option<Kind>,
}

/// Uploaded in this order. Two with the same name have the same content.
const FILES: [File; 5] = [
    File {
        name: "photo.jpg",
        media_type: "image/jpeg",
        bytes: 120_000,
        day: UPLOADED,
        sent: Some(Kind::Image),
    },
    File {
        name: "voice.ogg",
        media_type: "audio/ogg",
        bytes: 20_000,
        day: UPLOADED,
        sent: Some(Kind::Audio),
    },
    File {
        name: "video.mp4",
        media_type: "video/mp4",
        bytes: 2_000_000,
        day: UPLOADED,
        sent: Some(Kind::Video),
    },
    File {
        name: "draft.png",
        media_type: "image/png",
        bytes: 40_000,
        day: UPLOADED,
        sent: None,
    },
    File {
        name: "photo.jpg",
        media_type: "image/jpeg",
        bytes: 120_000,
        day: FORWARDED,
        sent: Some(Kind::Image),
    },
];

impl File {
    /// Bytes that cannot be compressed, as those of real media.
    fn content(&self, seed: u64) -> Bytes {
        let name: u64 = self.name.bytes().map(u64::from).sum();
        let mut content = vec![0; self.bytes];
        ChaCha8Rng::seed_from_u64(seed.wrapping_add(name)).fill_bytes(&mut content);
        content.into()
    }
}

/// The apps that send media.
pub(crate) struct Media {
    seed: u64,
    albums: Vec<Album>,
}

/// One app that sends media.
struct Album {
    key: AppKey,
    plan: Plan,
    uploaded: Vec<(&'static File, AttachmentId)>,
    /// Which of them are there in the end.
    there: Vec<bool>,
    /// What they take up after the last upload, and in the end.
    before: DayUsage,
    after: DayUsage,
}

impl Media {
    /// Creates the apps.
    pub(crate) async fn new(store: &Store, seed: u64) -> Result<Self, Failure> {
        let mut albums = Vec::new();
        for plan in [Plan::Basic, Plan::Pro] {
            let key = AppKey::parse(&format!("media#{plan}")).map_err(tidestore::Error::from)?;
            store.create_app(&key, Terms::of(plan)).await?;
            albums.push(Album {
                key,
                plan,
                uploaded: Vec::new(),
                there: Vec::new(),
                before: DayUsage::default(),
                after: DayUsage::default(),
            });
        }
        Ok(Self { seed, albums })
    }

    /// Uploads and sends what is due on a day.
    pub(crate) async fn day(&mut self, store: &Store, day: u64) -> Result<(), Failure> {
        for file in FILES.iter().filter(|file| file.day == day) {
            let content = file.content(self.seed);
            for album in &mut self.albums {
                let app = store.app(&album.key)?;
                let id = send(&app, file, &content).await?;
                album.uploaded.push((file, id));
                album.before = app.attachment_usage().await?.total;
            }
        }
        Ok(())
    }

    /// Sees what is left, reads it, and compares it with what should be: everything that a living message names.
    pub(crate) async fn look(&mut self, store: &Store) -> Result<(), Failure> {
        for album in &mut self.albums {
            let app = store.app(&album.key)?;
            for (file, id) in &album.uploaded {
                let age = u64::from(Terms::of(album.plan).retention().as_days());
                let should_be = file.sent.is_some() && file.day + age > DAYS;
                let found = read(&app, *id).await?;
                let expected = should_be.then(|| file.content(self.seed));
                if found != expected {
                    return Err(wrong(album, file, found.is_some()));
                }
                album.there.push(found.is_some());
            }
            album.after = app.attachment_usage().await?.total;
        }
        Ok(())
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut table = table(["file", "bytes", "uploaded", "named by"]);
        let apps = self.albums.iter().map(|album| {
            let days = Terms::of(album.plan).retention().as_days();
            Cell::new(format!("{} ({days} days)", album.key))
        });
        let headings = table.header().map(|row| row.cell_iter().cloned());
        let headings: Vec<_> = headings.into_iter().flatten().chain(apps).collect();
        table.set_header(headings);
        for (number, file) in FILES.iter().enumerate() {
            let named_by = file.sent.map_or("nothing", |_| "a message");
            let mut row = vec![
                Cell::new(file.name),
                right(count(file.bytes as u64)),
                Cell::new(format!("day {}", file.day + 1)),
                Cell::new(named_by),
            ];
            row.extend(self.albums.iter().map(|album| {
                let is_there = album.there.get(number).copied().unwrap_or_default();
                Cell::new(if is_there { "there" } else { "expired" })
            }));
            table.add_row(row);
        }
        let mut figures = |name, figure: fn(&DayUsage) -> u64| {
            let mut row = vec![Cell::new(name), Cell::new(""), Cell::new(""), Cell::new("")];
            row.extend(self.albums.iter().map(|album| {
                let [before, after] =
                    [&album.before, &album.after].map(|usage| count(figure(usage)));
                Cell::new(format!("{before} -> {after}"))
            }));
            table.add_row(row);
        };
        figures("attachments", |usage| usage.attachments);
        figures("bytes of contents", |usage| usage.logical_bytes);
        figures("bytes on disk", |usage| usage.physical_bytes);
        format!(
            "Attachments on day {}, and their figures from day {} to then\n{table}\n\
             They live a week, and as long as a message that names them; the photo was forwarded and is stored once.",
            DAYS + 1,
            FORWARDED + 1
        )
    }

    /// For programs.
    pub(crate) fn value(&self) -> Value {
        let usage = |usage: &DayUsage| {
            json!({
                "count": usage.attachments,
                "logical_bytes": usage.logical_bytes,
                "physical_bytes": usage.physical_bytes,
            })
        };
        let apps = self.albums.iter().map(|album| {
            let files = album.uploaded.iter().zip(&album.there);
            let files = files.map(|((file, id), there)| {
                json!({
                    "id": id.to_string(),
                    "name": file.name,
                    "bytes": file.bytes,
                    "day": file.day + 1,
                    "sent": file.sent.is_some(),
                    "there": there,
                })
            });
            json!({
                "app": album.key.as_str(),
                "plan": album.plan.as_str(),
                "files": files.collect::<Vec<_>>(),
                "before": usage(&album.before),
                "after": usage(&album.after),
            })
        });
        apps.collect()
    }
}

/// Uploads a file and sends a message that names it.
async fn send(app: &App, file: &File, content: &Bytes) -> Result<AttachmentId, Failure> {
    let sender = UserId::parse("alice").map_err(tidestore::Error::from)?;
    let new = NewAttachment {
        media_type: Some(file.media_type.to_owned()),
        length: Some(content.len() as u64),
        ..NewAttachment::new(sender.clone(), file.name)
    };
    let id = app.put_attachment(new, &content[..]).await?.id;
    if let Some(kind) = file.sent {
        let group = Conversation::parse("group:album").map_err(tidestore::Error::from)?;
        let message = NewMessage {
            kind,
            attachments: vec![id],
            ..NewMessage::text(group, sender, file.name)
        };
        app.append(message).await?;
    }
    Ok(id)
}

/// The content of an attachment; nothing if it has expired.
async fn read(app: &App, id: AttachmentId) -> Result<Option<Bytes>, Failure> {
    match app.open_attachment(id).await {
        Ok(download) => Ok(Some(download.read_to_end().await?)),
        Err(error) if *error.kind() == ErrorKind::AttachmentExpired => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn wrong(album: &Album, file: &File, is_there: bool) -> Failure {
    let state = if is_there { "is there" } else { "has expired" };
    let text = format!(
        "{} of {}, uploaded on day {}, {state}, but should not, or has another content",
        file.name,
        album.key,
        file.day + 1
    );
    Failure::Store(tidestore::Error::new(ErrorKind::Corruption, text))
}
