//! A store that was closed for long waits for an operator's word before anything leaves the disk.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::sync::Arc;

use common::{DAY, KEY, Place, code, parse_lines, stderr};
use tidestore::disk::{Clock, Env, OsEntropy, RealClock, RealDisk, SimClock};
use tidestore::plan::{AppKey, Plan, Terms, UserId};
use tidestore::{Conversation, NewAttachment, NewMessage, Options, Store};
use tokio::sync::Mutex;

/// One test at a time. A child that another test starts has a copy of every open file until it becomes the program; it
/// would keep the lock of a store that was just closed.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A store with a message and an attachment that was last used thirty days ago.
async fn old_store(place: &Place) -> String {
    let env = Env {
        disk: Arc::new(RealDisk::create(&place.data()).unwrap()),
        clock: Arc::new(SimClock::new(RealClock.wall() - 30 * DAY)),
        entropy: Arc::new(OsEntropy),
    };
    let store = Store::open_env(env, Options::default()).await.unwrap();
    let app = store
        .create_app(&AppKey::parse(KEY).unwrap(), Terms::of(Plan::Basic))
        .await
        .unwrap();
    let group = Conversation::parse("group:g").unwrap();
    app.append(NewMessage::text(group, UserId::parse("a").unwrap(), "hi"))
        .await
        .unwrap();
    let new = NewAttachment::new(UserId::parse("a").unwrap(), "old.txt");
    let stored = app.put_attachment(new, &b"old"[..]).await.unwrap();
    store.close().await.unwrap();
    stored.id.to_string()
}

#[tokio::test]
async fn expiry_is_paused_with_a_warning_until_the_clock_is_confirmed() {
    let _alone = ALONE.lock().await;
    let place = Place::empty();
    old_store(&place).await;
    let paused = place.run(&["--json", "expire"]);
    assert_eq!(code(&paused), 0);
    assert!(
        stderr(&paused).contains("--confirm-clock"),
        "{}",
        stderr(&paused)
    );
    let report = &parse_lines(&paused.stdout)[0];
    assert!(
        report["paused"].is_string() && report["messages"] == 0,
        "{report}"
    );

    let place = Place::empty();
    old_store(&place).await;
    let confirmed = place.json(&["expire", "--confirm-clock"]);
    assert!(
        confirmed["paused"].is_null() && confirmed["messages"] == 1,
        "{confirmed}"
    );
}

#[tokio::test]
async fn an_attachment_is_there_until_the_clock_is_confirmed_and_has_expired_then() {
    let _alone = ALONE.lock().await;
    let place = Place::empty();
    let id = old_store(&place).await;
    let get = ["blob", "get", KEY, &id];
    let paused = place.run(&get);
    assert_eq!(paused.stdout, b"old", "{}", stderr(&paused));
    let confirmed = place.json(&["expire", "--confirm-clock"]);
    assert_eq!(
        ["attachments", "volumes"].map(|name| confirmed[name].as_u64()),
        [Some(1); 2],
        "{confirmed}"
    );
    assert_eq!(place.fails(&get), (3, "attachment_expired".to_owned()));
}

/// An operator who only looks at a store has not confirmed the clock with that. An earlier version noted the unconfirmed
/// time when it closed; the next command then saw no gap, warned of nothing and deleted.
#[tokio::test]
async fn looking_at_a_store_does_not_confirm_the_clock() {
    let _alone = ALONE.lock().await;
    let place = Place::empty();
    old_store(&place).await;
    for _ in 0..2 {
        let listed = place.run(&["app", "list"]);
        assert_eq!(code(&listed), 0);
        assert!(
            stderr(&listed).starts_with("warning: "),
            "{}",
            stderr(&listed)
        );
        let report = place.json(&["expire"]);
        assert!(
            report["paused"].is_string() && report["messages"] == 0,
            "{report}"
        );
    }
}
