//! The description of a load, as it stands in a file.

use serde::{Deserialize, Serialize};
use tidestore_workload::WorkloadOptions;

use crate::error::{Error, Result};
use crate::knobs::Knobs;

/// Whether an append waits for the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// It does: [`Synced`](tidestore::Durability::Synced).
    #[default]
    Synced,
    /// It does not: [`Buffered`](tidestore::Durability::Buffered).
    Buffered,
}

/// How often each call is made, as shares of their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// An append of [`batch`](Spec::batch) messages.
    pub append: u32,
    /// The newest 20 messages of a conversation.
    pub newest_page: u32,
    /// 50 messages from somewhere in the past of a conversation.
    pub deep_page: u32,
    /// What waits for a user, acknowledged.
    pub inbox: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            append: 70,
            newest_page: 25,
            deep_page: 5,
            inbox: 0,
        }
    }
}

/// Who talks, and how long. Who talks where, and how much, falls off as it does in real chat.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chat {
    /// Users, at least 2.
    pub users: usize,
    /// Group conversations.
    pub groups: usize,
    /// Direct conversations.
    pub directs: usize,
    /// Chatrooms.
    pub rooms: usize,
    /// Share of English messages, 0 to 1; the others are Chinese.
    pub english_share: f64,
    /// Mean bytes of a body: real lengths, stretched; `None` leaves them (58 bytes).
    pub body_bytes: Option<usize>,
}

impl Default for Chat {
    fn default() -> Self {
        let WorkloadOptions {
            users,
            groups,
            directs,
            rooms,
            english_share,
            ..
        } = WorkloadOptions::default();
        Self {
            users,
            groups,
            directs,
            rooms,
            english_share,
            body_bytes: None,
        }
    }
}

/// A load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// For people.
    pub name: String,
    /// What chance begins with: the same seed sends the same messages.
    pub seed: u64,
    /// How long, in seconds.
    pub seconds: f64,
    /// How many clients, each of which waits for its answer before it calls again.
    pub writers: usize,
    /// Messages in one append.
    pub batch: usize,
    /// Whether appends wait for the device.
    pub durability: Wait,
    /// Messages that are there when it begins, unless the directory holds some already.
    pub preload: usize,
    /// Over how many days they are spread.
    pub days: u64,
    /// How often each call is made.
    pub mix: Mix,
    /// Who talks.
    pub chat: Chat,
    /// The store's options, where they shall not be the default's.
    pub options: Knobs,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            name: "chat".to_owned(),
            seed: 1,
            seconds: 20.0,
            writers: 64,
            batch: 1,
            durability: Wait::Synced,
            preload: 100_000,
            days: 30,
            mix: Mix::default(),
            chat: Chat::default(),
            options: Knobs::default(),
        }
    }
}

impl Spec {
    /// Reads a description.
    ///
    /// # Errors
    ///
    /// [`Error::Spec`]: no TOML, an unknown name, or a number that cannot be; the text says which.
    pub fn parse(text: &str) -> Result<Self> {
        let spec: Self = toml::from_str(text).map_err(|error| Error::Spec(error.to_string()))?;
        spec.check()?;
        Ok(spec)
    }

    /// The description as a file.
    ///
    /// # Errors
    ///
    /// [`Error::Spec`]: a number that TOML cannot write.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::Spec(error.to_string()))
    }

    fn check(&self) -> Result<()> {
        let (mix, chat) = (self.mix, self.chat);
        let calls = [mix.append, mix.newest_page, mix.deep_page, mix.inbox];
        let calls: u64 = calls.iter().map(|share| u64::from(*share)).sum();
        let refusals = [
            (
                !(0.1..=86_400.0).contains(&self.seconds),
                "seconds: 0.1 to 86,400 are possible",
            ),
            (
                !(1..=10_000).contains(&self.writers),
                "writers: 1 to 10,000 are possible",
            ),
            (
                !(1..=10_000).contains(&self.batch),
                "batch: 1 to 10,000 are possible",
            ),
            (self.preload > 100_000_000, "preload: at most 100,000,000"),
            (
                !(1..=170).contains(&self.days),
                "days: 1 to 170 are possible",
            ),
            (calls == 0, "mix: at least one share must not be 0"),
            (
                calls > 1_000_000,
                "mix: shares of at most 1,000,000 together",
            ),
            (
                !(2..=10_000_000).contains(&chat.users),
                "chat.users: 2 to 10,000,000 are possible",
            ),
            (
                chat.groups + chat.directs + chat.rooms > 10_000_000,
                "chat: at most 10,000,000 conversations",
            ),
            (
                !(0.0..=1.0).contains(&chat.english_share),
                "chat.english_share: 0 to 1",
            ),
            (
                chat.body_bytes
                    .is_some_and(|bytes| !(1..=2_000).contains(&bytes)),
                "chat.body_bytes: 1 to 2,000 are possible",
            ),
        ];
        match refusals.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, text)) => Err(Error::Spec((*text).to_owned())),
            None => Ok(()),
        }
    }
}
