//! Counting again what stands beside messages, and comparing indexes with what they are of.

use tidestore_kv::{Key, Rows, Table, decode_row, each_row};
use tidestore_messages::AppId;

use crate::delivery::notifications;
use crate::delivery::reactions::TallyRow;
use crate::delivery::tables::{
    ACTIVITY, AGING, CHANGES, HIDDEN, PINS, REACTED, REACTIONS, TALLIES, activity_keys,
    conversation, corrupt, key_of, number, number_behind,
};
use crate::error::{Error, Result};
use crate::tables::{HEADS, Position};

/// Says where the rows of an app on a shard disagree.
pub(crate) fn recount(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    problems: &mut Vec<String>,
) -> Result<()> {
    recount_activity(rows, app, problems)?;
    recount_reactions(rows, app, problems)?;
    notifications::recount(rows, app, problems)?;
    recount_ends(rows, app, problems)
}

/// Every direct conversation stands in the orders of its two users, where its head says, and nothing else does.
fn recount_activity(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    problems: &mut Vec<String>,
) -> Result<()> {
    let prefix = key_of(app);
    let mut expected = 0;
    each_row(rows, HEADS, prefix.bytes(), |key, value| {
        let of = conversation(key.get(4..).unwrap_or_default())?;
        let head = Position::decode(value).ok_or_else(|| corrupt("a head has no known length"))?;
        for key in activity_keys(app, &of, &head) {
            expected += 1;
            if rows.bytes(ACTIVITY, key.bytes())?.is_none() {
                problems.push(format!(
                    "{of} is missing in the order of a user's conversations"
                ));
            }
        }
        Ok::<_, Error>(true)
    })?;
    let found = count(rows, ACTIVITY, &prefix)?;
    if found != expected {
        let text = format!("{found} rows order conversations of users; {expected} should");
        problems.push(text);
    }
    Ok(())
}

fn recount_reactions(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    problems: &mut Vec<String>,
) -> Result<()> {
    let prefix = key_of(app);
    let mut tallied = 0;
    each_row(rows, TALLIES, prefix.bytes(), |key, value| {
        let (id, _) = number_behind(key, prefix.bytes())?;
        let tally: TallyRow = decode_row(TALLIES, key, value)?;
        for (reaction, counted) in tally.counts {
            tallied += counted;
            let place = key_of(app).number(id).names(&reaction);
            let found = count(rows, REACTIONS, &place)?;
            if found != counted {
                let text = format!("message {id} has {found} reactions of a kind, not {counted}");
                problems.push(text);
            }
        }
        Ok::<_, Error>(true)
    })?;
    for table in [REACTIONS, REACTED] {
        let found = count(rows, table, &prefix)?;
        if found != tallied {
            problems.push(format!(
                "{found} rows of table {table} are reactions, not {tallied}"
            ));
        }
    }
    Ok(())
}

/// Every row that goes with a message is noted to go.
fn recount_ends(rows: &(impl Rows + ?Sized), app: AppId, problems: &mut Vec<String>) -> Result<()> {
    let prefix = key_of(app);
    for table in [CHANGES, HIDDEN, PINS, TALLIES] {
        each_row(rows, table, prefix.bytes(), |key, value| {
            let rest = key.get(4..).unwrap_or_default();
            let id = match table {
                HIDDEN => number(value)?,
                TALLIES => number_behind(rest, b"")?.0,
                _ => key
                    .last_chunk::<8>()
                    .map_or(0, |id| u64::from_be_bytes(*id)),
            };
            let end = [key_of(app).number(id).byte(table.0).bytes(), rest].concat();
            if rows.bytes(AGING, &end)?.is_none() {
                let text = format!("a row of table {table} will not go with message {id}");
                problems.push(text);
            }
            Ok::<_, Error>(true)
        })?;
    }
    Ok(())
}

fn count(rows: &(impl Rows + ?Sized), table: Table, prefix: &Key) -> Result<u64> {
    let mut count = 0;
    each_row(rows, table, prefix.bytes(), |_, _| {
        count += 1;
        Ok::<_, Error>(true)
    })?;
    Ok(count)
}
