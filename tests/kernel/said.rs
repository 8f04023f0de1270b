//! What processes have said, and whether the store agrees with it.

use std::collections::BTreeMap;
use std::path::Path;

use tidestore::plan::AttachmentId;
use tidestore::{App, EngineKind, ErrorKind, Store};
use tidestore_tests::{group, user, whole};

use crate::work;

/// What was announced and acknowledged, over all processes so far.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Acknowledged messages of each writer: seq and number.
    sent: BTreeMap<u64, BTreeMap<u64, u64>>,
    /// Announced messages of each writer: they may be there or not.
    sending: BTreeMap<u64, Vec<u64>>,
    /// For each profile, the last acknowledged number and the last announced one.
    set: BTreeMap<u64, (u64, u64)>,
    put: BTreeMap<String, u64>,
    /// For attachments: whether the deletion was acknowledged.
    deleted: BTreeMap<String, bool>,
    joined: Vec<u64>,
    directed: BTreeMap<u64, u64>,
    acked: u64,
    /// Why writers stopped: name and kind.
    pub(crate) stopped: Vec<(String, String)>,
    pub(crate) acknowledgements: u64,
}

impl Said {
    /// Takes the words of one process.
    pub(crate) fn hear(&mut self, lines: &[String]) {
        for line in lines {
            self.hear_line(line);
        }
    }

    fn hear_line(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |index: usize| -> Option<u64> { words.get(index)?.parse().ok() };
        let numbers = (number(1), number(2), number(3));
        let before = self.acknowledgements;
        self.acknowledgements += 1;
        match (words[0], numbers) {
            ("sent", (Some(writer), Some(n), Some(seq))) => {
                self.sent.entry(writer).or_default().insert(seq, n);
            }
            ("sending", (Some(writer), Some(n), _)) => {
                self.sending.entry(writer).or_default().push(n);
                self.acknowledgements = before;
            }
            ("set", (Some(profile), Some(n), _)) => {
                self.set.entry(profile).or_default().0 = n;
            }
            ("setting", (Some(profile), Some(n), _)) => {
                self.set.entry(profile).or_default().1 = n;
                self.acknowledgements = before;
            }
            ("put", (Some(n), ..)) => drop(self.put.insert(words[2].to_owned(), n)),
            ("deleting", (Some(_), ..)) => drop(self.deleted.insert(words[2].to_owned(), false)),
            ("deleted", (Some(_), ..)) => drop(self.deleted.insert(words[2].to_owned(), true)),
            ("joined", (Some(n), ..)) => self.joined.push(n),
            ("directed", (Some(n), Some(seq), _)) => drop(self.directed.insert(seq, n)),
            ("acked", (Some(seq), ..)) => self.acked = self.acked.max(seq),
            ("stopped", _) => {
                self.stopped
                    .push((words[1].to_owned(), words[2].to_owned()));
                self.acknowledgements = before;
            }
            _ => self.acknowledgements = before,
        }
    }

    /// Opens the store anew and compares it with all that was said.
    pub(crate) fn check(&self, dir: &Path, engine: EngineKind, shards: u16) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (store, app) = work::open(dir, engine, shards).await.unwrap();
            self.compare(&store, &app).await;
            store.close().await.unwrap();
        });
    }

    /// Whether opening refuses because sled has lost what it had said to be flushed. sled syncs in the background, takes no
    /// notice of a failure there, and a later sync succeeds without what was lost: nothing above it can prevent that, but its
    /// mark of the last flush tells.
    pub(crate) fn is_refused_for_sled(dir: &Path, engine: EngineKind, shards: u16) -> bool {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let opened = runtime.block_on(async { work::open(dir, engine, shards).await.err() });
        opened.is_some_and(|error| {
            let is_told = error.to_string().contains("succeeded, the tree is at");
            engine == EngineKind::Sled && *error.kind() == ErrorKind::Corruption && is_told
        })
    }

    /// Compares an open store with all that was said.
    pub(crate) async fn compare(&self, store: &Store, app: &App) {
        self.messages(app).await;
        self.attachments(app).await;
        self.directory(app).await;
        self.inbox(app).await;
        assert_eq!(store.verify().await.unwrap().problems, []);
    }

    async fn messages(&self, app: &App) {
        for writer in 0..work::WRITERS {
            let found = whole(app, &group(&format!("g{writer}"))).await.unwrap();
            let none = BTreeMap::new();
            let sent = self.sent.get(&writer).unwrap_or(&none);
            let announced = self.sending.get(&writer);
            for (index, message) in found.iter().enumerate() {
                let (seq, text) = (message.seq.0, String::from_utf8_lossy(&message.body));
                assert_eq!(seq, index as u64 + 1, "g{writer}: a gap or a duplicate");
                let n: u64 = text.split(' ').next().unwrap().parse().unwrap();
                assert_eq!(text, work::body(n), "g{writer}: another body");
                match sent.get(&seq) {
                    Some(sent) => assert_eq!(n, *sent, "g{writer}: number {seq} is another"),
                    None => assert!(
                        announced.is_some_and(|all| all.contains(&n)),
                        "g{writer}: {n} was never sent"
                    ),
                }
            }
            let last = sent.keys().last().copied().unwrap_or_default();
            assert!(
                found.len() as u64 >= last,
                "g{writer}: {last} messages were acknowledged, {} are there",
                found.len()
            );
        }
    }

    async fn attachments(&self, app: &App) {
        for (id, n) in &self.put {
            let id_ = AttachmentId::parse(id).unwrap();
            let found = app.open_attachment(id_).await;
            match self.deleted.get(id) {
                None => {
                    let found = found.unwrap_or_else(|error| panic!("attachment {n}: {error}"));
                    let bytes = found.read_to_end().await.unwrap();
                    assert!(
                        bytes == work::content(*n),
                        "attachment {n}: another content"
                    );
                }
                Some(true) => assert!(found.is_err(), "attachment {n} is back"),
                Some(false) => {}
            }
        }
    }

    async fn directory(&self, app: &App) {
        let members = app.groups();
        let everybody = work::everybody();
        let members = members.members(&everybody);
        for n in &self.joined {
            let id = user(&format!("u{n}"));
            assert!(members.get(&id).await.is_ok(), "u{n} is no member");
        }
        for (profile, (set, setting)) in &self.set {
            let id = user(&format!("profile{profile}"));
            let found = app.user_attributes().get(&id, None).await.unwrap();
            let found = found.get("number").map_or(0, |n| n.parse().unwrap());
            assert!(
                (*set..=*setting).contains(&found),
                "profile{profile} is {found}; {set} was acknowledged, {setting} announced"
            );
        }
    }

    async fn inbox(&self, app: &App) {
        let found = whole(app, &work::direct()).await.unwrap();
        for (seq, n) in &self.directed {
            let message = found.get(usize::try_from(*seq).unwrap() - 1);
            let message = message.unwrap_or_else(|| panic!("direct message {seq} is lost"));
            assert_eq!(message.body, work::body(*n).as_bytes(), "{seq}");
        }
        assert!(
            found.len() as u64 >= self.acked,
            "what was acknowledged is lost"
        );
        let ann = user("ann");
        let inbox = app.inbox(&ann, "phone").unwrap();
        let page = inbox.page(None, 1_000).await.unwrap();
        if let Some(first) = page.items.first() {
            let seq = first.message.seq.0;
            assert!(
                seq > self.acked,
                "{seq} came again; {} was acknowledged",
                self.acked
            );
        }
    }

    /// One line of figures.
    pub(crate) fn figures(&self) -> String {
        format!(
            "{} acknowledgements: {} messages, {} attachments, {} joins, {} direct messages, {} of them acknowledged",
            self.acknowledgements,
            self.sent.values().map(BTreeMap::len).sum::<usize>(),
            self.put.len(),
            self.joined.len(),
            self.directed.len(),
            self.acked
        )
    }
}
