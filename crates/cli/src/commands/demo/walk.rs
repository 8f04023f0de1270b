//! Walking through the days: append, flush, merge, expire.

use std::time::Duration;

use bytes::Bytes;
use tidestore::disk::SimClock;
use tidestore::plan::{AppKey, Plan, Terms, UserId};
use tidestore::{App, Conversation, ErrorKind, Kind, MessageId, NewMessage, Receipt, Store, Usage};
use tidestore_workload::{Line, Workload, WorkloadOptions};
use tokio::task::JoinSet;

use super::latency::{Latencies, timed};
use super::media::Media;
use super::{DAY, DAYS, Demo};
use crate::error::Failure;
use crate::output::{Output, count};

const HOUR: u64 = 3_600_000;
/// Writers of each app that have a batch in flight at the same time.
const WRITERS: usize = 2;
/// Days between merges: what the background does between others' work.
const MERGE_DAYS: u64 = 7;
/// Of so many messages of an app one is remembered, to be looked up later.
const SAMPLE: u64 = 20;

/// What happened in the days.
pub(crate) struct Walked {
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) media: Media,
    pub(crate) appends: Latencies,
    pub(crate) expiries: Latencies,
    pub(crate) flushing: Duration,
    pub(crate) merging: Duration,
    pub(crate) merges: u64,
}

/// One app and what became of its messages.
pub(crate) struct Tenant {
    pub(crate) key: AppKey,
    pub(crate) plan: Plan,
    /// Acknowledged messages, and bytes of their bodies.
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    /// How many of them have which time.
    by_time: Vec<(u64, u64)>,
    pub(crate) sample: Vec<MessageId>,
    /// What expiry took off the disk in all the days: messages, segments, bytes.
    pub(crate) expired: (u64, u64, u64),
    /// Before and after the last expiry.
    pub(crate) before: Usage,
    pub(crate) after: Usage,
    workload: Workload,
}

pub(crate) fn key(plan: Plan) -> Result<AppKey, Failure> {
    AppKey::parse(&format!("demo#{plan}")).map_err(|error| Failure::Store(error.into()))
}

/// Creates the apps and lets the days pass.
pub(crate) async fn walk(
    store: &Store,
    clock: &SimClock,
    output: Output,
    args: &Demo,
) -> Result<Walked, Failure> {
    let mut walked = Walked {
        tenants: found_apps(store, args.seed).await?,
        media: Media::new(store, args.seed).await?,
        appends: Latencies::new()?,
        expiries: Latencies::new()?,
        flushing: Duration::ZERO,
        merging: Duration::ZERO,
        merges: 0,
    };
    let bar = output.progress(
        Some(args.messages),
        "{bar:40} {pos}/{len} messages, {msg}, {elapsed}",
    );
    let count = usize::try_from(args.messages).unwrap_or(usize::MAX);
    // Offsets from the beginning, in whole days, so that the hours are those of a day in UTC.
    let times = tidestore_workload::times(args.seed, 0, DAYS * DAY, count);
    let mut times = times.into_iter().peekable();
    for day in 0..DAYS {
        bar.set_message(format!("day {}", day + 1));
        walked.media.day(store, day).await?;
        for hour in 0..24 {
            clock.advance(Duration::from_millis(HOUR));
            let end = day * DAY + (hour + 1) * HOUR;
            let mut due = 0;
            while times.next_if(|time| *time < end).is_some() {
                due += 1;
            }
            let took = timed(append(store, &mut walked, due)).await;
            took.0?;
            walked.appends.elapsed += took.1;
            bar.inc(due);
        }
        night(store, &mut walked, day).await?;
    }
    bar.finish_and_clear();
    last_expiry(store, clock, &mut walked).await?;
    Ok(walked)
}

async fn found_apps(store: &Store, seed: u64) -> Result<Vec<Tenant>, Failure> {
    let mut tenants = Vec::new();
    for (plan, seed) in Plan::ALL.into_iter().zip(seed..) {
        let options = WorkloadOptions {
            seed,
            ..WorkloadOptions::default()
        };
        let options = match plan {
            // Within the caps of the plan.
            Plan::Free => WorkloadOptions {
                users: 100,
                groups: 20,
                directs: 150,
                rooms: 0,
                ..options
            },
            _ => options,
        };
        let key = key(plan)?;
        store.create_app(&key, Terms::of(plan)).await?;
        tenants.push(Tenant {
            key,
            plan,
            sent: 0,
            sent_bytes: 0,
            by_time: Vec::new(),
            sample: Vec::new(),
            expired: (0, 0, 0),
            before: Usage::default(),
            after: Usage::default(),
            workload: Workload::new(options),
        });
    }
    Ok(tenants)
}

/// Sends so many messages, spread over the apps, from several writers at once.
async fn append(store: &Store, walked: &mut Walked, count: u64) -> Result<(), Failure> {
    let mut writers = JoinSet::new();
    let mut batches = vec![Vec::new(); walked.tenants.len() * WRITERS];
    let mut line = Line::default();
    let apps = walked.tenants.len() as u64;
    for number in 0..count {
        // One after the other, and each hour beginning with another app.
        let place = usize::try_from((walked.appends.items + number) % apps).unwrap_or(0);
        let Some(tenant) = walked.tenants.get_mut(place) else {
            continue;
        };
        tenant.workload.next_into(&mut line);
        // A conversation has one writer, so that its messages keep their order.
        let writer = line.conversation.bytes().map(usize::from).sum::<usize>() % WRITERS;
        if let Some(batch) = batches.get_mut(place * WRITERS + writer) {
            batch.push(message(&line)?);
        }
    }
    for (place, batch) in batches
        .into_iter()
        .enumerate()
        .filter(|(_, batch)| !batch.is_empty())
    {
        let Some(tenant) = walked.tenants.get(place / WRITERS) else {
            continue;
        };
        let app = store.app(&tenant.key)?;
        writers.spawn(write(app, place / WRITERS, batch));
    }
    while let Some(written) = writers.join_next().await {
        let written = written.map_err(|error| Failure::io("a writer stopped", error.into()))?;
        let (place, bytes, receipts, took) = written;
        walked.appends.record(took, receipts.len() as u64);
        let Some(tenant) = walked.tenants.get_mut(place) else {
            continue;
        };
        tenant.sent_bytes += bytes;
        for receipt in receipts {
            tenant.receive(receipt?);
        }
    }
    Ok(())
}

type Written = (usize, u64, Vec<tidestore::Result<Receipt>>, Duration);

async fn write(app: App, place: usize, batch: Vec<NewMessage>) -> Written {
    let bytes = batch.iter().map(|message| message.body.len() as u64).sum();
    let (receipts, took) = timed(app.append_many(batch)).await;
    (place, bytes, receipts, took)
}

fn message(line: &Line) -> Result<NewMessage, Failure> {
    let conversation = Conversation::parse(&line.conversation).map_err(tidestore::Error::from)?;
    let sender = UserId::parse(&line.sender).map_err(tidestore::Error::from)?;
    let body = Bytes::copy_from_slice(line.body.as_bytes());
    let kind = Kind::parse(line.kind).unwrap_or_default();
    Ok(NewMessage {
        kind,
        ..NewMessage::text(conversation, sender, body)
    })
}

impl Tenant {
    fn receive(&mut self, receipt: Receipt) {
        self.sent += 1;
        if self.sent.is_multiple_of(SAMPLE) {
            self.sample.push(receipt.id);
        }
        let time = receipt.id.millis();
        match self.by_time.last_mut() {
            Some((last, count)) if *last == time => *count += 1,
            _ => self.by_time.push((time, 1)),
        }
    }

    /// Acknowledged messages that are not older than a time.
    pub(crate) fn sent_since(&self, floor: u64) -> u64 {
        self.by_time
            .iter()
            .filter(|(time, _)| *time >= floor)
            .map(|(_, count)| count)
            .sum()
    }
}

/// What the store's threads would do in their own time.
async fn night(store: &Store, walked: &mut Walked, day: u64) -> Result<(), Failure> {
    let (flushed, took) = timed(store.flush()).await;
    flushed?;
    walked.flushing += took;
    if (day + 1).is_multiple_of(MERGE_DAYS) {
        merge(store, walked).await?;
    }
    expire(store, walked).await
}

async fn merge(store: &Store, walked: &mut Walked) -> Result<(), Failure> {
    let (merged, took) = timed(store.merge()).await;
    walked.merging += took;
    walked.merges += merged?.merges;
    Ok(())
}

async fn expire(store: &Store, walked: &mut Walked) -> Result<(), Failure> {
    let report = walked.expiries.time(store.expire()).await?;
    if let Some(alarm) = report.paused {
        return Err(Failure::Store(tidestore::Error::new(
            ErrorKind::Argument,
            alarm.to_string(),
        )));
    }
    for tenant in &mut walked.tenants {
        if let Some(expired) = report.apps.get(tenant.key.as_str()) {
            tenant.expired.0 += expired.messages;
            tenant.expired.1 += expired.segments;
            tenant.expired.2 += expired.bytes;
        }
    }
    Ok(())
}

/// One more day without messages, to show what a single expiry gives back.
async fn last_expiry(store: &Store, clock: &SimClock, walked: &mut Walked) -> Result<(), Failure> {
    merge(store, walked).await?;
    for tenant in &mut walked.tenants {
        tenant.before = store.app(&tenant.key)?.usage().await?;
    }
    clock.advance(Duration::from_millis(DAY));
    expire(store, walked).await
}

/// Reads what is left after the store was closed and opened again, and compares it with what was acknowledged.
pub(crate) async fn compare(store: &Store, walked: &mut Walked) -> Result<(), Failure> {
    for tenant in &mut walked.tenants {
        let app = store.app(&tenant.key)?;
        tenant.after = app.usage().await?;
        let expected = tenant.sent_since(app.info()?.floor);
        if tenant.after.messages != expected {
            let text = format!(
                "{} holds {} messages, but {} acknowledged ones are within its retention",
                tenant.key,
                count(tenant.after.messages),
                count(expected)
            );
            return Err(Failure::Store(tidestore::Error::new(
                ErrorKind::Corruption,
                text,
            )));
        }
    }
    Ok(())
}
