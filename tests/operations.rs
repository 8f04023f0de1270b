//! What an operator sees, against what `docs/OPERATIONS.md` says that he sees: every metric, event and bound, both ways.
//! And that no event tells what a user wrote, a password, or what a client calls its messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tidestore::disk::{Fault, OpKind, Survival};
use tidestore::plan::{Plan, ResourceId};
use tidestore::{
    Account, App, By, Durability, ErrorKind, NewAttachment, NewChannel, NewMessage, Options, Page,
    RoomSet, Store,
};
use tidestore_tests::{DAY, HOUR, Machine, group, run, text, user};
use tracing::field::{Field, Visit};
use tracing::span;

/// Everything that was emitted.
#[derive(Default)]
struct Seen {
    /// By name: the type, and values by label.
    metrics: Mutex<BTreeMap<String, Emitted>>,
    described: Mutex<BTreeSet<String>>,
    events: Mutex<Vec<Told>>,
}

#[derive(Default)]
struct Emitted {
    kind: &'static str,
    labels: BTreeMap<String, BTreeSet<String>>,
    values: Vec<Arc<AtomicU64>>,
}

/// An event.
#[derive(Clone, Debug, Default)]
struct Told {
    level: String,
    message: String,
    fields: BTreeMap<String, String>,
}

static SEEN: LazyLock<Seen> = LazyLock::new(Seen::default);

struct Board;

/// Counts values of a histogram.
struct Values(Arc<AtomicU64>);

impl HistogramFn for Values {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Board {
    fn note(kind: &'static str, key: &Key) -> Arc<AtomicU64> {
        let mut metrics = SEEN.metrics.lock().unwrap();
        let emitted = metrics.entry(key.name().to_owned()).or_default();
        assert!(emitted.kind.is_empty() || emitted.kind == kind);
        emitted.kind = kind;
        for label in key.labels() {
            let values = emitted.labels.entry(label.key().to_owned()).or_default();
            values.insert(label.value().to_owned());
        }
        let value = Arc::new(AtomicU64::new(0));
        emitted.values.push(Arc::clone(&value));
        value
    }

    fn describe(key: &KeyName) {
        let mut described = SEEN.described.lock().unwrap();
        described.insert(key.as_str().to_owned());
    }
}

impl Recorder for Board {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        Self::describe(&key);
    }
    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        Self::describe(&key);
    }
    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        Self::describe(&key);
    }
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Self::note("counter", key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Self::note("gauge", key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Values(Self::note("histogram", key))))
    }
}

/// Keeps every event of the store.
struct Listener;

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("tidestore")
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut told = Told {
            level: event.metadata().level().to_string().to_lowercase(),
            ..Told::default()
        };
        event.record(&mut told);
        SEEN.events.lock().unwrap().push(told);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").unwrap();
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.insert(field.name().to_owned(), text);
        }
    }
    /// As the value is, not as it is quoted.
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.fields
                .insert(field.name().to_owned(), value.to_owned());
        }
    }
}

/// What no event may tell.
const SECRETS: [&str; 7] = [
    "what-ann-wrote",
    "what-ann-edited",
    "an-extension",
    "a-value-of-an-attribute",
    "a-password",
    "a-client-id",
    "a-reaction",
];

/// One life with everything in it that makes a store say something.
async fn live() {
    let mut machine = Machine::new();
    let (store, app) = machine.open_app(Plan::Pro).await;
    everyday(&store, &app).await;
    full_disk(&machine, &app).await;
    wrong_clock(&machine, &store).await;

    // A crash with something in the log, and a stranger's file.
    app.append(text("tea", "ann", SECRETS[0])).await.unwrap();
    let crashed = machine.disk.crash(1, Survival::NONE);
    store.close().await.unwrap();
    drop((app, store));
    machine.disk = crashed;
    broken_device(&machine).await;
}

async fn everyday(store: &Store, app: &App) {
    let (ann, bob) = (user("ann"), user("bob"));
    let account = |id: &tidestore::plan::UserId| Account {
        password: Some(SECRETS[4].to_owned()),
        ..Account::new(id.clone())
    };
    let users = vec![account(&ann), account(&bob)];
    app.users().register_many(users).await.unwrap();
    let pairs = [("nickname".to_owned(), SECRETS[3].to_owned())];
    app.user_attributes()
        .set(&ann, pairs.clone())
        .await
        .unwrap();
    let long = [("nickname".to_owned(), SECRETS[3].repeat(1_000))];
    app.user_attributes().set(&ann, long).await.unwrap_err();
    let room = ResourceId::parse("lobby").unwrap();
    app.rooms()
        .create(NewChannel::new(room.clone(), ann.clone()))
        .await
        .unwrap();
    let attributes = app.room_attributes(&room);
    attributes
        .set(&ann, pairs, RoomSet::default())
        .await
        .unwrap();
    let tea = ResourceId::parse("tea").unwrap();
    app.groups()
        .create(NewChannel::new(tea, ann.clone()))
        .await
        .unwrap();
    let stored = app.put_attachment(NewAttachment::new(ann.clone(), "a"), SECRETS[0].as_bytes());
    let attachment = stored.await.unwrap();
    let message = || NewMessage {
        ext: SECRETS[2].into(),
        client_id: SECRETS[5].into(),
        ..text("tea", "ann", SECRETS[0])
    };
    let sent = app.append(message()).await.unwrap();
    assert!(app.append(message()).await.unwrap().duplicate);
    app.append(NewMessage {
        attachments: vec![attachment.id],
        client_id: "".into(),
        ..message()
    })
    .await
    .unwrap();
    app.append(NewMessage {
        body: SECRETS[0].repeat(1_000).into(),
        ..message()
    })
    .await
    .unwrap_err();
    app.edit_message(sent.id, &By::User(ann.clone()), SECRETS[1], SECRETS[2])
        .await
        .unwrap();
    app.react(sent.id, &ann, SECRETS[6]).await.unwrap();
    app.react(sent.id, &ann, SECRETS[6]).await.unwrap_err();
    drop(
        app.open_attachment(attachment.id)
            .await
            .unwrap()
            .read_to_end()
            .await
            .unwrap(),
    );
    app.history(&group("tea"), Page::newest(5)).await.unwrap();
    store.flush().await.unwrap();
    for n in 0..3 {
        app.append_with(
            text("tea", "ann", format!("{}-{n}", SECRETS[0])),
            Durability::Buffered,
        )
        .await
        .unwrap();
        store.flush().await.unwrap();
    }
    store.merge().await.unwrap();
}

/// A full disk, and space again.
async fn full_disk(machine: &Machine, app: &App) {
    machine.disk.set_space(Some(0));
    let mut state = 1_u64;
    // Bytes that do not compress.
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    let mut body = || (0..3_000).map(|_| noise()).collect::<Vec<u8>>();
    let many = (0..200).map(|_| text("tea", "ann", body())).collect();
    let refused = app.append_many(many).await;
    assert!(
        refused
            .iter()
            .any(|it| it.as_ref().is_err_and(|e| *e.kind() == ErrorKind::Full))
    );
    machine.disk.set_space(None);
    app.append(text("tea", "ann", SECRETS[0])).await.unwrap();
}

/// A wrong clock, and an operator who vouches for it; then all expires.
async fn wrong_clock(machine: &Machine, store: &Store) {
    machine.clock.jump(i64::try_from(20 * DAY).unwrap());
    assert!(store.clock_alarm().is_some());
    assert!(store.expire().await.unwrap().paused.is_some());
    store.confirm_clock();
    machine.pass(100 * DAY);
    assert!(store.expire().await.unwrap().segments > 0);
    store.status().await.unwrap();
}

/// Damage that a reader meets, and then a device that fails for good.
async fn broken_device(machine: &Machine) {
    machine
        .disk
        .plant(Path::new("a-stranger"), b"hello")
        .unwrap();
    let store = machine.open().await.unwrap();
    let app = store.app(&tidestore_tests::key("acme#chat")).unwrap();
    store.flush().await.unwrap();
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|e| e == "seg");
    for path in machine.disk.files().into_iter().filter(is_segment) {
        for offset in 100..200 {
            machine.disk.flip_bit(&path, offset, 3).ok();
        }
    }
    let damaged = app
        .history(&group("tea"), Page::newest(5))
        .await
        .unwrap_err();
    assert_eq!(damaged.kind(), &ErrorKind::Corruption);

    machine.disk.fail_always(OpKind::Sync, Fault::Eio);
    app.append(text("tea", "ann", SECRETS[0]))
        .await
        .unwrap_err();
    let status = store.status().await.unwrap();
    assert!(status.shards.iter().any(|shard| shard.poisoned.is_some()));
    assert!(store.close().await.is_err());
    machine.pass(HOUR);
}

#[test]
fn what_is_emitted_is_what_the_page_says_and_tells_no_secret() {
    metrics::set_global_recorder(Board).unwrap_or_else(|_| panic!("a recorder is there"));
    tracing::subscriber::set_global_default(Listener).unwrap();
    run(live());

    let page = page();
    let metrics = SEEN.metrics.lock().unwrap();
    let rows = table(&page, "## Metrics");
    let documented: BTreeMap<_, _> = rows
        .iter()
        .map(|row| (code(&row[0])[0].clone(), row))
        .collect();
    let emitted: BTreeSet<_> = metrics.keys().collect();
    assert_eq!(
        documented.keys().collect::<BTreeSet<_>>(),
        emitted,
        "documented and emitted"
    );
    assert_eq!(
        *SEEN.described.lock().unwrap(),
        documented.keys().cloned().collect(),
        "described"
    );
    for (name, seen) in metrics.iter() {
        let row = documented[name];
        assert_eq!(row[1], seen.kind, "{name}");
        let labels: BTreeSet<_> = seen.labels.keys().cloned().collect();
        let documented: BTreeSet<_> = code(&row[2]).into_iter().collect();
        assert_eq!(documented, labels, "labels of {name}");
        for (label, values) in &seen.labels {
            let is_listed = |value: &String| row[2].contains(value.as_str());
            let is_known =
                label == "shard" || row[2].contains("name of") || values.iter().all(is_listed);
            assert!(is_known, "{name}: {label} is {values:?}");
        }
    }
    let sum = |name: &str| {
        metrics[name]
            .values
            .iter()
            .map(|v| v.load(Ordering::Relaxed))
            .sum::<u64>()
    };
    for name in [
        "tidestore_appends_total",
        "tidestore_log_flush_seconds",
        "tidestore_flushes_total",
        "tidestore_merges_total",
        "tidestore_expired_messages_total",
        "tidestore_corruptions_total",
        "tidestore_uploads_total",
        "tidestore_download_bytes_total",
        "tidestore_refusals_total",
        "tidestore_reads_total",
        "tidestore_batch_messages",
        "tidestore_poisoned",
    ] {
        assert!(sum(name) > 0, "{name} never counted anything");
    }

    let events = SEEN.events.lock().unwrap().clone();
    let rows = table(&page, "## Events");
    for event in &events {
        let row = rows.iter().find(|row| row[1] == event.message);
        let row = row.unwrap_or_else(|| panic!("not on the page: {event:?}"));
        assert_eq!(row[0], event.level, "{event:?}");
        let fields: BTreeSet<_> = event.fields.keys().cloned().collect();
        assert_eq!(
            code(&row[2]).into_iter().collect::<BTreeSet<_>>(),
            fields,
            "{event:?}"
        );
        let told = format!("{event:?}");
        for secret in SECRETS {
            assert!(!told.contains(secret), "{told}");
        }
    }
    for message in [
        "the store is open",
        "the log was replayed",
        "found while opening",
        "shard is poisoned",
        "no disk space is left",
        "there is disk space again",
        "the clock is not trusted",
        "the clock was confirmed",
        "damage was found",
        "the store is closed",
        "segments were merged",
        "the store is closed, but not all was written out",
    ] {
        assert!(
            events.iter().any(|event| event.message == message),
            "never told: {message}"
        );
    }
}

/// Events that only a rare failure causes are compared in the source.
#[test]
fn every_event_of_the_source_is_on_the_page_and_the_other_way_round() {
    let mut found = BTreeSet::new();
    for path in sources() {
        let text = read(&path);
        for (at, _) in text.match_indices("tracing::") {
            let rest = &text[at + "tracing::".len()..];
            let Some((level, call)) = rest.split_once("!(") else {
                continue;
            };
            if ["error", "warn", "info", "debug", "trace"].contains(&level) {
                found.insert((level.to_owned(), last_text(call)));
            }
        }
    }
    let rows = table(&page(), "## Events");
    let documented = rows.iter().map(|row| (row[0].clone(), row[1].clone()));
    assert_eq!(documented.collect::<BTreeSet<_>>(), found);
}

/// The last text in quotes before the end of a call: the message.
fn last_text(call: &str) -> String {
    let (mut depth, mut is_quoted, mut text, mut last) = (1, false, String::new(), String::new());
    for c in call.chars() {
        match c {
            '"' if is_quoted => {
                is_quoted = false;
                last = std::mem::take(&mut text);
            }
            '"' => is_quoted = true,
            c if is_quoted => text.push(c),
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    last
}

#[test]
fn every_bound_with_an_option_has_the_default_that_the_page_says() {
    let options = format!("{:?}", Options::default());
    let mut checked = 0;
    for row in table(&page(), "## Bounds") {
        for option in code(&row[1]) {
            let field = format!("{option}: ");
            let at = options
                .find(&field)
                .unwrap_or_else(|| panic!("no option {option}"));
            let value = options[at + field.len()..]
                .split([',', ' '])
                .next()
                .unwrap();
            assert_eq!(value, plain(&row[2]), "{option}");
            checked += 1;
        }
    }
    assert!(checked >= 12, "{checked} options on the page");
}

/// A figure of the page as `Options` prints it.
fn plain(text: &str) -> String {
    let (figure, unit) = text.split_once(' ').unwrap_or((text, ""));
    let figure: u64 = figure.replace(',', "").parse().unwrap();
    match unit {
        "" => figure.to_string(),
        "KiB" => (figure << 10).to_string(),
        "MiB" => (figure << 20).to_string(),
        "hours" => format!("{}s", figure * 3_600),
        _ => panic!("a unit that nobody expects: {unit}"),
    }
}

fn page() -> String {
    read(&root().join("docs/OPERATIONS.md"))
}

/// The rows of the table below a heading, without its head.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, rest) = page.split_once(&format!("{heading}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let row = |line: &str| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    lines.map(row).collect()
}

/// What stands in backticks.
fn code(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The sources of the crates that a store is made of.
#[expect(clippy::disallowed_methods, reason = "reads the project, not a store")]
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root().join("crates")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("cli") && !path.ends_with("tests") {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

#[expect(clippy::disallowed_methods, reason = "reads the project, not a store")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
