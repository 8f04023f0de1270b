//! Imported messages that still have to be delivered.
//!
//! An imported message has an old id, but devices wait for what is new. So it also gets an *arrival*: an id of the moment
//! of the import that no message has. Arrivals rise with the numbers of a conversation, as the ids of live messages do.

use tidestore_kv::{Batch, Key, Overlay, Rows, decode_row, page_of, row};
use tidestore_messages::{AppId, Conversation, MessageId};

use crate::delivery::tables::{
    INTAKE, INTAKE_OF, conversation as conversation_of, key_of, number_behind, put_aging,
};
use crate::error::Result;

/// Messages that were imported one behind the other, with arrivals that rise by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intake {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) first_arrival: u64,
}

/// The value of `INTAKE`.
#[derive(Clone, Copy, Debug, bincode::Encode, bincode::Decode)]
pub(crate) struct IntakeRow {
    last_seq: u64,
    first_arrival: u64,
}

impl Intake {
    pub(crate) fn of(seq: u64, arrival: u64) -> Self {
        Self {
            first_seq: seq,
            last_seq: seq,
            first_arrival: arrival,
        }
    }

    /// Takes in the next message, or begins anew where it does not follow.
    pub(crate) fn extend(&mut self, seq: u64, arrival: u64) {
        let follows = seq == self.last_seq + 1 && arrival == self.last_arrival() + 1;
        if follows {
            self.last_seq = seq;
        } else {
            *self = Self::of(seq, arrival);
        }
    }

    pub(crate) fn last_arrival(&self) -> u64 {
        self.arrival(self.last_seq)
    }

    /// When a message arrived; its number is one of these.
    pub(crate) fn arrival(&self, seq: u64) -> u64 {
        self.first_arrival + (seq - self.first_seq)
    }

    /// The number of the first message that arrived after an id; it may be behind the last.
    pub(crate) fn seq_after(&self, arrival: u64) -> u64 {
        let next = arrival.saturating_add(1);
        let passed = next.saturating_sub(self.first_arrival);
        self.first_seq.saturating_add(passed)
    }

    pub(crate) fn put(
        &self,
        rows: &mut Overlay<'_>,
        app: AppId,
        conversation: &Conversation,
    ) -> Result<()> {
        let row = IntakeRow {
            last_seq: self.last_seq,
            first_arrival: self.first_arrival,
        };
        let arrival = MessageId(self.first_arrival);
        let key = intakes_of(app, conversation).number(self.first_seq);
        let value = tidestore_kv::codec::encode(&row)
            .map_err(|error| crate::delivery::tables::corrupt(&error.to_string()))?;
        put_aging(rows, app, arrival, INTAKE, key, value);
        let (low, high) = conversation.pair().unzip();
        for user in [low, high].into_iter().flatten() {
            let key = key_of(app).names(user).number(self.first_arrival);
            let key = key.name(conversation.as_str());
            put_aging(rows, app, arrival, INTAKE_OF, key, []);
        }
        Ok(())
    }

    fn read(key: &[u8], value: &[u8], prefix: &[u8]) -> Result<Self> {
        let (first_seq, _) = number_behind(key, prefix)?;
        let row: IntakeRow = decode_row(INTAKE, key, value)?;
        Ok(Self {
            first_seq,
            last_seq: row.last_seq.max(first_seq),
            first_arrival: row.first_arrival,
        })
    }
}

fn intakes_of(app: AppId, conversation: &Conversation) -> Key {
    key_of(app).names(conversation.as_str())
}

/// What a conversation took in after an id, the oldest first.
pub(crate) fn intakes_since(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    conversation: &Conversation,
    id: u64,
) -> Result<Vec<Intake>> {
    const PAGE: usize = 16;
    let prefix = intakes_of(app, conversation);
    let mut found = Vec::new();
    let mut behind: Option<Vec<u8>> = None;
    'pages: loop {
        let page = page_of(rows, INTAKE, prefix.bytes(), behind.as_deref(), true, PAGE)?;
        for (key, value) in &page {
            let intake = Intake::read(key, value, prefix.bytes())?;
            if intake.last_arrival() <= id {
                break 'pages;
            }
            found.push(intake);
        }
        if page.len() < PAGE {
            break;
        }
        behind = page.into_iter().next_back().map(|(key, _)| key);
    }
    found.reverse();
    Ok(found)
}

/// When an imported message arrived; `None` if nobody has to wait for it.
pub(crate) fn arrival_of(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    conversation: &Conversation,
    seq: u64,
) -> Result<Option<u64>> {
    let prefix = intakes_of(app, conversation);
    let behind = prefix.clone().number(seq.saturating_add(1));
    let page = page_of(rows, INTAKE, prefix.bytes(), Some(behind.bytes()), true, 1)?;
    let Some((key, value)) = page.first() else {
        return Ok(None);
    };
    let intake = Intake::read(key, value, prefix.bytes())?;
    Ok((seq <= intake.last_seq).then(|| intake.arrival(seq)))
}

/// The direct conversations of a user that took in something after an id. Those that did just before may be among them.
pub(crate) fn directs_with_intake(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    user: &str,
    id: u64,
) -> Result<Vec<Conversation>> {
    let prefix = key_of(app).names(user);
    // An intake lies in one millisecond, and is found by its beginning.
    let from = MessageId::first_at(MessageId(id).millis()).0;
    let start = prefix.clone().number(from.saturating_sub(1));
    let mut found = Vec::new();
    let mut behind: Vec<u8> = start.into();
    loop {
        let page = page_of(rows, INTAKE_OF, prefix.bytes(), Some(&behind), false, 256)?;
        for (key, _) in &page {
            let (_, rest) = number_behind(key, prefix.bytes())?;
            found.push(conversation_of(rest)?);
        }
        match page.into_iter().next_back() {
            Some((last, _)) => behind = last,
            None => break,
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The largest arrival in rows that a replay applies.
pub(crate) fn last_arrival(rows: &Batch) -> u64 {
    let intakes = rows.puts(INTAKE).filter_map(|(key, value)| {
        let first_seq = key.last_chunk::<8>().map(|seq| u64::from_be_bytes(*seq))?;
        let row: IntakeRow = decode_row(INTAKE, key, value).ok()?;
        Some(row.first_arrival + row.last_seq.saturating_sub(first_seq))
    });
    intakes.max().unwrap_or_default()
}

/// Whether a row that a key names is there.
pub(crate) fn is_there(
    rows: &(impl Rows + ?Sized),
    table: tidestore_kv::Table,
    key: &Key,
) -> Result<bool> {
    Ok(rows.bytes(table, key.bytes())?.is_some())
}

/// Reads a row, or what stands for one that is not there.
pub(crate) fn row_or_default<T: bincode::Decode<()> + Default>(
    rows: &(impl Rows + ?Sized),
    table: tidestore_kv::Table,
    key: &Key,
) -> Result<T> {
    Ok(row(rows, table, key.bytes())?.unwrap_or_default())
}
