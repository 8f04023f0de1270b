//! A whole chat, generated or real, imported with its users and groups: every user's list and unread counts are what a
//! recount of the lines says.
//!
//! `TIDESTORE_CORPUS=FILE cargo test -p tidestore-tests --test corpus` takes lines of `{chat, from, ts, body}` from a file
//! instead of the generator.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tidestore::disk::Millis;
use tidestore::plan::{Caps, Plan, Retention, Terms, UserId};
use tidestore::{
    Account, App, Conversation, Cursor, NewChannel, NewMessage, OldMessage, Page, Seq,
};
use tidestore_tests::{DAY, Machine, START, key, run, user};
use tidestore_workload::{Workload, WorkloadOptions, times};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    chat: Conversation,
    from: UserId,
    time: Millis,
    body: String,
}

/// The lines, sorted by time, so that the last one is as old as the simulated clock allows.
fn lines() -> Vec<Line> {
    let mut lines = match std::env::var("TIDESTORE_CORPUS") {
        Ok(path) => real(&path),
        Err(_) => generated(20_000),
    };
    lines.sort_by_key(|line| line.time);
    let last = lines.last().map_or(0, |line| line.time);
    for line in &mut lines {
        line.time = START - 1 - (last - line.time);
    }
    lines
}

fn generated(count: usize) -> Vec<Line> {
    let workload = Workload::new(WorkloadOptions {
        seed: 5,
        ..WorkloadOptions::default()
    });
    let times = times(5, START - 30 * DAY, START, count);
    let line = |(time, line): (Millis, tidestore_workload::Line)| Line {
        chat: Conversation::parse(&line.conversation).unwrap(),
        from: user(&line.sender),
        time,
        body: line.body,
    };
    let chat = times.into_iter().zip(workload);
    // Chatrooms are in nobody's list.
    let chat = chat.filter(|(_, line)| !line.conversation.starts_with("room:"));
    chat.map(line).collect()
}

fn real(path: &str) -> Vec<Line> {
    #[expect(clippy::disallowed_methods, reason = "a file of the caller")]
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        Line {
            chat: Conversation::parse(line["chat"].as_str().unwrap()).unwrap(),
            from: user(line["from"].as_str().unwrap()),
            time: line["ts"].as_u64().unwrap(),
            body: line["body"].as_str().unwrap().to_owned(),
        }
    };
    text.lines().map(line).collect()
}

/// Who takes part in which conversation: whoever sent there, and both of a direct one.
fn parts(lines: &[Line]) -> BTreeMap<Conversation, BTreeSet<UserId>> {
    let mut parts: BTreeMap<Conversation, BTreeSet<UserId>> = BTreeMap::new();
    for line in lines {
        let users = parts.entry(line.chat.clone()).or_default();
        users.insert(line.from.clone());
        if let Some((low, high)) = line.chat.pair() {
            users.extend([user(low), user(high)]);
        }
    }
    parts
}

async fn register(app: &App, parts: &BTreeMap<Conversation, BTreeSet<UserId>>) {
    let users: BTreeSet<&UserId> = parts.values().flatten().collect();
    let users: Vec<&UserId> = users.into_iter().collect();
    for users in users.chunks(60) {
        let accounts = users.iter().map(|user| Account::new((*user).clone()));
        for registered in app.users().register_many(accounts.collect()).await.unwrap() {
            registered.unwrap();
        }
    }
    for (chat, members) in parts {
        let Some(tidestore::Parties::Group(id)) = chat.parties() else {
            continue;
        };
        let members: Vec<UserId> = members.iter().cloned().collect();
        let new = NewChannel {
            max_users: Some(8_000),
            ..NewChannel::new(id.clone(), members[0].clone())
        };
        app.groups().create(new).await.unwrap();
        for members in members[1..].chunks(60) {
            for added in app.groups().members(&id).add_many(members).await.unwrap() {
                added.unwrap();
            }
        }
    }
}

/// What a user's list is, by the lines alone: conversations by their newest line, and how many came after his own last.
fn expected(
    lines: &[Line],
    parts: &BTreeMap<Conversation, BTreeSet<UserId>>,
) -> HashMap<UserId, BTreeMap<Conversation, (u64, Millis)>> {
    let mut after_own: HashMap<(&Conversation, &UserId), u64> = HashMap::new();
    let (mut counts, mut newest) = (HashMap::new(), HashMap::new());
    for line in lines {
        let count: &mut u64 = counts.entry(&line.chat).or_default();
        *count += 1;
        after_own.insert((&line.chat, &line.from), *count);
        newest.insert(&line.chat, line.time);
    }
    let mut expected: HashMap<UserId, BTreeMap<Conversation, (u64, Millis)>> = HashMap::new();
    for (chat, users) in parts {
        for user in users {
            let own = after_own.get(&(chat, user)).copied().unwrap_or_default();
            let list = expected.entry(user.clone()).or_default();
            list.insert(chat.clone(), (counts[chat] - own, newest[chat]));
        }
    }
    expected
}

async fn check(app: &App, expected: &HashMap<UserId, BTreeMap<Conversation, (u64, Millis)>>) {
    for (user, expected) in expected {
        let view = app.as_user(user);
        let (mut found, mut behind) = (Vec::new(), None);
        loop {
            let page = view.conversations(behind.as_deref(), 50).await.unwrap();
            found.extend(page.items);
            behind = page.next;
            if behind.is_none() {
                break;
            }
        }
        assert!(found.is_sorted_by(|a, b| a.last.id > b.last.id), "{user}");
        let found: BTreeMap<_, _> = found
            .into_iter()
            .map(|listed| {
                let time = listed.last.millis();
                (listed.conversation, (listed.unread, time))
            })
            .collect();
        assert_eq!(&found, expected, "{user}");
    }
}

#[test]
fn lists_and_unread_counts_are_those_of_the_lines() {
    run(async {
        let mut machine = Machine::new();
        machine.options.memtable_bytes = 4 << 20;
        machine.options.log_file_bytes = 4 << 20;
        let store = machine.open().await.unwrap();
        let caps = Caps {
            users: None,
            groups: None,
            group_members: None,
            ..Plan::Enterprise.caps()
        };
        let terms = Terms::enterprise(caps)
            .with_retention(Retention::days(36_500).unwrap())
            .unwrap();
        let app = store.create_app(&key("acme#chat"), terms).await.unwrap();
        let lines = lines();
        let parts = parts(&lines);
        register(&app, &parts).await;
        for lines in lines.chunks(1_000) {
            let old = lines.iter().map(|line| {
                let (chat, from) = (line.chat.clone(), line.from.clone());
                OldMessage::new(NewMessage::text(chat, from, line.body.clone()), line.time)
            });
            for receipt in app.import(old.collect()).await {
                receipt.unwrap();
            }
        }
        let expected = expected(&lines, &parts);
        println!(
            "{} lines, {} conversations, {} users",
            lines.len(),
            parts.len(),
            expected.len()
        );
        check(&app, &expected).await;
        store.flush().await.unwrap();
        store.merge().await.unwrap();
        let disk = machine.disk.crash(3, tidestore::disk::Survival::LEVELS[0]);
        drop((store, app));
        machine.disk = disk;
        let store = machine.open().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        check(&app, &expected).await;
        // History by number has neither gaps nor surprises.
        for (chat, users) in parts.iter().take(20) {
            let of = users.iter().next().unwrap();
            let filter = tidestore::Filter::default();
            let page = Page::after(Cursor::Seq(Seq(0)), 1_000);
            let page = app.as_user(of).history(chat, page, &filter).await.unwrap();
            let numbers = page.messages.iter().map(|message| message.seq.0);
            assert!(numbers.eq(1..=page.messages.len() as u64));
        }
    });
}
