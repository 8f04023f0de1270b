//! Push settings and labels, credentials, and the log of notifications: through crashes, reopening, deletion, backup.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tidestore::disk::{Disk, Env, SimDisk, Survival};
use tidestore::plan::{Plan, ResourceId, UserId};
use tidestore::{
    Account, App, BackupOptions, BackupPlace, BackupTarget, Conversation,
    DirectoryErrorKind as Directory, EngineKind, ErrorKind, NewChannel, NewNotification,
    Notification, NotificationKind, PushMode, PushScope, PushSetting, PushSettingChange, Result,
    Store,
};
use tidestore_kv::Table;
use tidestore_tests::{DAY, HOUR, Machine, group, key, run, user};

const USERS: usize = 9;

/// A store whose deletions take two rows at a time.
fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.options.deletion_rows = 2;
    machine
}

fn name(n: usize) -> UserId {
    user(&format!("u{n}"))
}

fn notification(n: u64) -> NewNotification {
    NewNotification {
        kind: NotificationKind::Single,
        targets: vec![format!("u{n}")],
        content: format!("{{\"n\":{n}}}").into(),
    }
}

async fn register(app: &App) -> Result<Vec<UserId>> {
    let users: Vec<UserId> = (0..USERS).map(name).collect();
    let accounts = users.iter().cloned().map(Account::new).collect();
    for registered in app.users().register_many(accounts).await? {
        registered?;
    }
    Ok(users)
}

async fn label(app: &App, label: &str, users: &[UserId]) -> Result<()> {
    app.push().create_label(label, "").await?;
    let added = app.push().add_to_label(label, users).await?;
    added.into_iter().collect()
}

/// How far a life of two labels and a user has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Nothing,
    Registered,
    Labelled,
    LabelGone,
    UserGone,
    LabelAgain,
    Logged,
}

/// Goes through all stages; `told` is the last one that was acknowledged.
async fn life(machine: &Machine, told: &mut Stage) -> Result<()> {
    let store = machine.open().await?;
    let terms = tidestore::plan::Terms::of(Plan::Pro);
    let app = store.create_app(&key("acme#chat"), terms).await?;
    let users = register(&app).await?;
    *told = Stage::Registered;
    label(&app, "all", &users).await?;
    label(&app, "few", &users[..3]).await?;
    let change = PushSettingChange {
        mode: Some(PushMode::At),
        ..PushSettingChange::default()
    };
    for scope in [PushScope::App, PushScope::User(name(1))] {
        app.push()
            .set_setting(&name(0), &scope, change.clone())
            .await?;
    }
    app.push().set_language(&name(0), "en").await?;
    *told = Stage::Labelled;
    app.push().delete_label("all").await?;
    *told = Stage::LabelGone;
    app.users().delete(&name(0)).await?;
    *told = Stage::UserGone;
    label(&app, "all", &users[1..4]).await?;
    *told = Stage::LabelAgain;
    app.log_notifications((0..3).map(notification).collect())
        .await?;
    *told = Stage::Logged;
    store.close().await
}

/// The users of a label, counted exactly; `None` if there is no such label.
async fn users_of(app: &App, label: &str) -> Option<usize> {
    let found = app.push().label(label).await.ok()?;
    let users = app.push().label_users(label, None, 100).await.unwrap();
    assert_eq!(users.items.len() as u64, found.users);
    for one in &users.items {
        assert!(app.users().get(&one.user).await.is_ok(), "{}", one.user);
        let since = app.push().label_user(label, &one.user).await.unwrap();
        assert_eq!(since, Some(one.created));
    }
    Some(users.items.len())
}

async fn check(machine: &Machine, told: Stage, what: &str) {
    let store = machine.open().await.unwrap();
    assert_eq!(store.verify().await.unwrap().problems, [], "{what}");
    let Ok(app) = store.app(&key("acme#chat")) else {
        assert_eq!(told, Stage::Nothing, "{what}");
        return;
    };
    let (all, few) = (users_of(&app, "all").await, users_of(&app, "few").await);
    let is_user_there = app.users().get(&name(0)).await.is_ok();
    let logged = app.notifications(None, 10).await.unwrap().len();
    let what = format!("{what}: {told:?}, all {all:?}, few {few:?}, {is_user_there} {logged}");
    // What was not acknowledged may be done too; what has begun to go is gone, because opening has finished it.
    match told {
        Stage::Nothing | Stage::Registered => {
            assert!(all.is_none_or(|all| all == 0 || all == USERS), "{what}");
            assert!(few.is_none_or(|few| few == 0 || few == 3), "{what}");
        }
        Stage::Labelled => {
            assert!(is_user_there && few == Some(3), "{what}");
            assert!(all.is_none() || all == Some(USERS), "{what}");
        }
        Stage::LabelGone => {
            assert!(all.is_none(), "{what}");
            assert_eq!(few, Some(2 + usize::from(is_user_there)), "{what}");
        }
        Stage::UserGone => {
            assert!(!is_user_there && few == Some(2), "{what}");
            assert!(all.is_none_or(|all| all == 0 || all == 3), "{what}");
        }
        Stage::LabelAgain | Stage::Logged => {
            assert!(!is_user_there && few == Some(2) && all == Some(3), "{what}");
            assert!(
                logged == 3 || told == Stage::LabelAgain && logged == 0,
                "{what}"
            );
        }
    }
    // It goes on working, and the names that went are free.
    if told >= Stage::Registered && !is_user_there {
        app.users().register(Account::new(name(0))).await.unwrap();
        let setting = app.push().setting(&name(0), &PushScope::App).await.unwrap();
        assert_eq!(setting, PushSetting::default(), "{what}");
        assert_eq!(app.push().language(&name(0)).await.unwrap(), "", "{what}");
    }
    if told >= Stage::Registered && all.is_none() {
        label(&app, "all", &[name(1)]).await.unwrap();
        assert_eq!(users_of(&app, "all").await, Some(1), "{what}");
    }
    assert_eq!(store.verify().await.unwrap().problems, [], "{what}");
    store.close().await.unwrap();
}

#[test]
fn a_crash_anywhere_in_a_deletion_leaves_exact_counts() {
    run(async {
        let whole = machine();
        let mut told = Stage::default();
        life(&whole, &mut told).await.unwrap();
        check(&whole, told, "to the end").await;
        let all = whole.disk.operations();
        let mut stages = BTreeSet::new();
        for k in 0..all {
            let crashing = machine();
            crashing.disk.crash_at(k);
            let mut told = Stage::default();
            drop(life(&crashing, &mut told).await);
            stages.insert(told);
            let survival = [Survival::NONE, Survival::ALL][usize::from(k % 2 == 1)];
            let after = Machine {
                disk: crashing.disk.crash(k, survival),
                ..crashing
            };
            check(&after, told, &format!("crash at {k} of {all}")).await;
        }
        assert_eq!(stages.len(), 7, "{stages:?}");
    });
}

/// Cut short by a full disk, a label would keep its name until the store is opened again.
#[test]
fn what_is_left_of_a_label_keeps_no_name() {
    use tidestore::disk::{Fault, OpKind};
    run(async {
        let mut cut = 0;
        for writes in 1..12 {
            let machine = machine();
            let (store, app) = machine.open_app(Plan::Pro).await;
            let users = register(&app).await.unwrap();
            label(&app, "all", &users).await.unwrap();
            machine
                .disk
                .fail_from(OpKind::Write, writes, Fault::NoSpace);
            let is_cut = app.push().delete_label("all").await.is_err();
            machine.disk.clear_faults();
            let is_gone = app.push().label("all").await.is_err();
            cut += usize::from(is_cut && is_gone);
            let again = app.push().create_label("all", "again").await;
            assert_eq!(again.is_ok(), is_gone, "{writes}");
            assert_eq!(store.verify().await.unwrap().problems, []);
        }
        assert!(cut > 0);
    });
}

#[test]
fn credentials_outlive_the_process_and_end_with_the_next() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        assert_eq!(app.signing_key().await.unwrap(), None);
        assert!(!app.check_credentials("", "").await.unwrap());
        let first = app.issue_credentials().await.unwrap();
        let first_key = app.signing_key().await.unwrap().unwrap();
        assert_eq!((first.client_id.len(), first.client_secret.len()), (22, 43));
        let text = format!("{first:?}");
        assert!(!text.contains(&first.client_secret), "{text}");
        store.close().await.unwrap();
        drop((app, store));

        let store = machine.open().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        let is = async |id: &str, secret: &str| app.check_credentials(id, secret).await.unwrap();
        assert!(is(&first.client_id, &first.client_secret).await);
        assert_eq!(app.signing_key().await.unwrap(), Some(first_key));
        assert!(!is(&first.client_secret, &first.client_id).await);
        assert!(!is("", &first.client_secret).await);
        assert!(!is(&first.client_id, &"x".repeat(1 << 20)).await);
        let second = app.issue_credentials().await.unwrap();
        assert!(is(&second.client_id, &second.client_secret).await);
        assert!(!is(&first.client_id, &first.client_secret).await);
        assert!(!is(&second.client_id, &first.client_secret).await);
        let second_key = app.signing_key().await.unwrap().unwrap();
        assert_ne!(second_key, first_key);
        // The secret itself stands nowhere.
        store.close().await.unwrap();
        for file in machine.disk.files() {
            let bytes = machine.disk.read_all(&file).unwrap();
            let secret = second.client_secret.as_bytes();
            let is_there = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!is_there, "{}", file.display());
        }
        drop((app, store));

        let store = machine.open().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        assert_eq!(app.signing_key().await.unwrap(), Some(second_key));
        store.delete_app(&key("acme#chat")).await.unwrap();
        let gone = app.check_credentials(&second.client_id, &second.client_secret);
        assert_eq!(*gone.await.unwrap_err().kind(), ErrorKind::UnknownApp);
        let gone = app.issue_credentials().await.unwrap_err();
        assert_eq!(*gone.kind(), ErrorKind::UnknownApp);
    });
}

fn ids(found: &[Notification]) -> Vec<u64> {
    found.iter().map(|one| one.id).collect()
}

#[test]
fn the_log_of_notifications_keeps_its_bound_and_its_newest() {
    run(async {
        let mut machine = Machine::new();
        machine.options.push_log = 10;
        let (store, app) = machine.open_app(Plan::Pro).await;
        assert_eq!(app.notifications(None, 5).await.unwrap(), []);
        assert_eq!(app.log_notifications(vec![]).await.unwrap(), [] as [u64; 0]);
        for n in 0..7 {
            let new = (3 * n..3 * n + 3).map(notification).collect();
            let logged = app.log_notifications(new).await.unwrap();
            assert_eq!(logged, [3 * n + 1, 3 * n + 2, 3 * n + 3]);
            machine.pass(1_000);
        }
        let all = app.notifications(None, 1_000).await.unwrap();
        assert_eq!(ids(&all), (12..=21).rev().collect::<Vec<_>>());
        let newest = &all[0];
        assert_eq!(newest.kind, NotificationKind::Single);
        assert_eq!(newest.targets, ["u20"]);
        assert_eq!(newest.content, "{\"n\":20}");
        assert_eq!(newest.time, all[3].time + 1_000);
        let mut paged = Vec::new();
        while let page = app.notifications(paged.last().copied(), 3).await.unwrap()
            && !page.is_empty()
        {
            paged.extend(ids(&page));
        }
        assert_eq!(paged, ids(&all));
        // More at once than are kept.
        let new = (0..25).map(notification).collect();
        app.log_notifications(new).await.unwrap();
        let all = app.notifications(None, 1_000).await.unwrap();
        assert_eq!(ids(&all), (37..=46).rev().collect::<Vec<_>>());
        store.close().await.unwrap();
        drop((app, store));
        assert_eq!(rows(&machine.disk, 73).len(), 10);

        // A lower bound holds at once for readers, and for the tables with the next that is added.
        machine.options.push_log = 4;
        let store = machine.open().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        let all = app.notifications(None, 1_000).await.unwrap();
        assert_eq!(ids(&all), [46, 45, 44, 43]);
        app.log_notifications(vec![notification(1)]).await.unwrap();
        assert_eq!(store.verify().await.unwrap().problems, []);
        store.close().await.unwrap();
        drop((app, store));
        assert_eq!(rows(&machine.disk, 73).len(), 4);
    });
}

#[test]
fn notifications_are_shown_as_long_as_messages() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Free).await;
        app.log_notifications(vec![notification(1), notification(2)])
            .await
            .unwrap();
        machine.pass(DAY);
        app.log_notifications(vec![notification(3)]).await.unwrap();
        machine.pass(2 * DAY);
        assert_eq!(ids(&app.notifications(None, 9).await.unwrap()), [3, 2, 1]);
        machine.pass(HOUR);
        assert_eq!(ids(&app.notifications(None, 9).await.unwrap()), [3]);
        // What is too old goes with what is new, and numbers go on.
        let logged = app.log_notifications(vec![notification(4)]).await.unwrap();
        assert_eq!(logged, [4]);
        machine.pass(4 * DAY);
        assert_eq!(app.notifications(None, 9).await.unwrap(), []);
        let logged = app.log_notifications(vec![notification(5)]).await.unwrap();
        assert_eq!(logged, [5]);
        assert_eq!(store.verify().await.unwrap().problems, []);
        store.close().await.unwrap();
        drop((app, store));
        assert_eq!(rows(&machine.disk, 73).len(), 1);
    });
}

#[test]
fn notifications_that_are_too_large_are_refused_as_a_whole() {
    run(async {
        let (_store, app) = Machine::new().open_app(Plan::Pro).await;
        let with = |targets: usize, target: usize, content: usize| NewNotification {
            kind: NotificationKind::Label,
            targets: vec!["茶".repeat(target); targets],
            content: vec![b'1'; content].into(),
        };
        let largest = with(100, 64, 4 << 10);
        app.log_notifications(vec![largest]).await.unwrap();
        for refused in [with(101, 1, 1), with(1, 65, 1), with(1, 1, (4 << 10) + 1)] {
            let new = vec![notification(1), refused];
            let error = app.log_notifications(new).await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Argument);
        }
        let most = vec![notification(1); 1_000];
        app.log_notifications(most.clone()).await.unwrap();
        let more = [most, vec![notification(1)]].concat();
        let error = app.log_notifications(more).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Argument);
        for limit in [0, 1_001] {
            let error = app.notifications(None, limit).await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Argument);
        }
        assert_eq!(app.notifications(None, 1_000).await.unwrap()[0].id, 1_001);
    });
}

/// The keys of a table on all shards, of a store that is closed.
fn rows(disk: &SimDisk, table: u8) -> Vec<Vec<u8>> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut keys = Vec::new();
    for shard in 0..2 {
        let views = PathBuf::from(format!("views/shard-{shard:02}"));
        let tables = tidestore_kv::open(EngineKind::Memory, &disk, &views).unwrap();
        tidestore_kv::scan(&*tables, Table(table), b"", |key, _| {
            keys.push(key.to_vec());
            Ok(())
        })
        .unwrap();
    }
    keys
}

/// A row in every table of pushing and access; one label is going.
async fn everything(machine: &Machine, app: &App) {
    use tidestore::disk::{Fault, OpKind};
    let users = register(app).await.unwrap();
    label(app, "vip", &users[..3]).await.unwrap();
    label(app, "going", &users).await.unwrap();
    app.push()
        .create_template("default", "{0}", "{1}")
        .await
        .unwrap();
    let change = PushSettingChange {
        mode: Some(PushMode::None),
        ..PushSettingChange::default()
    };
    app.push()
        .set_setting(&name(1), &PushScope::App, change)
        .await
        .unwrap();
    app.push().set_language(&name(1), "en").await.unwrap();
    app.users().ban(&name(2)).await.unwrap();
    app.issue_credentials().await.unwrap();
    app.log_notifications(vec![notification(1)]).await.unwrap();
    machine.disk.fail_from(OpKind::Write, 2, Fault::NoSpace);
    app.push().delete_label("going").await.unwrap_err();
    machine.disk.clear_faults();
    assert!(app.push().label("going").await.is_err());
}

#[test]
fn an_app_that_is_deleted_leaves_no_row() {
    run(async {
        let machine = machine();
        let (store, app) = machine.open_app(Plan::Pro).await;
        everything(&machine, &app).await;
        store.flush().await.unwrap();
        for table in 63..=74 {
            assert!(!rows(&machine.disk, table).is_empty(), "table {table}");
        }
        store.delete_app(&key("acme#chat")).await.unwrap();
        store.close().await.unwrap();
        for table in 63..=74 {
            assert_eq!(rows(&machine.disk, table), [] as [Vec<u8>; 0], "{table}");
        }
    });
}

/// What an app has for pushing and access.
async fn picture(app: &App) -> String {
    let push = app.push();
    let labels = push.labels(None, 100).await.unwrap();
    let users = push.label_users("vip", None, 100).await.unwrap();
    let setting = push.setting(&name(1), &PushScope::App).await.unwrap();
    let language = push.language(&name(1)).await.unwrap();
    let revision = app.users().token_revision(&name(2)).await.unwrap();
    let template = push.template("default").await.unwrap();
    let key = app.signing_key().await.unwrap();
    let log = app.notifications(None, 100).await.unwrap();
    format!("{labels:?} {users:?} {setting:?} {language} {revision} {template:?} {key:?} {log:?}")
}

#[test]
fn a_backup_of_one_app_has_all_of_it_and_nothing_of_others() {
    run(async {
        let machine = machine();
        let (store, app) = machine.open_app(Plan::Pro).await;
        everything(&machine, &app).await;
        let terms = tidestore::plan::Terms::of(Plan::Pro);
        let other = store.create_app(&key("acme#other"), terms).await.unwrap();
        everything(&machine, &other).await;
        store.flush().await.unwrap();
        app.log_notifications(vec![notification(7)]).await.unwrap();
        let disk = SimDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let target = BackupTarget::directory_on(BackupPlace::on(shared.clone(), "b"));
        let only = BackupOptions {
            app: Some(key("acme#chat")),
            ..BackupOptions::default()
        };
        store.backup(target, only).await.unwrap();

        let restored = Machine {
            disk: SimDisk::new(),
            ..machine.clone()
        };
        let env = Env::sim(restored.disk.clone(), restored.clock.clone(), 2);
        let place = BackupPlace::on(shared, "b");
        Store::restore_env(place, env, restored.options.clone())
            .await
            .unwrap();
        let store = restored.open().await.unwrap();
        let found = store.app(&key("acme#chat")).unwrap();
        assert_eq!(picture(&found).await, picture(&app).await);
        // The deletion that had begun was finished by opening.
        found.push().create_label("going", "").await.unwrap();
        assert_eq!(store.verify().await.unwrap().problems, []);
        store.close().await.unwrap();
        for table in 63..=74 {
            let of_app = app.id().0.to_be_bytes();
            let rows = rows(&restored.disk, table);
            assert!(rows.iter().all(|key| key.starts_with(&of_app)), "{table}");
        }
    });
}

#[test]
fn a_server_finds_whom_a_message_is_for() {
    run(async {
        let (_store, app) = Machine::new().open_app(Plan::Pro).await;
        let users = register(&app).await.unwrap();
        let tea = ResourceId::parse("tea").unwrap();
        let new = NewChannel {
            members: users[1..3].to_vec(),
            ..NewChannel::new(tea, users[0].clone())
        };
        app.groups().create(new).await.unwrap();
        let of = async |conversation: &Conversation, sender: &UserId| {
            app.receivers(conversation, sender).await
        };
        let found = of(&group("tea"), &users[1]).await.unwrap();
        assert_eq!(found, [users[0].clone(), users[2].clone()]);
        let direct = Conversation::direct(&users[4], &users[3]);
        assert_eq!(of(&direct, &users[4]).await.unwrap(), [users[3].clone()]);
        let none = of(&group("none"), &users[0]).await.unwrap_err();
        assert!(
            matches!(
                none.kind(),
                ErrorKind::Directory(Directory::ChannelNotFound(..))
            ),
            "{none:?}"
        );
    });
}

#[test]
fn revoked_tokens_stay_revoked() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Pro).await;
        register(&app).await.unwrap();
        app.users().ban(&name(1)).await.unwrap();
        app.users().set_password(&name(2), "tide").await.unwrap();
        store.close().await.unwrap();
        drop((app, store));
        let store = machine.open().await.unwrap();
        let app = store.app(&key("acme#chat")).unwrap();
        for (n, revision) in [(0, 0), (1, 1), (2, 1)] {
            let found = app.users().token_revision(&name(n)).await.unwrap();
            assert_eq!(found, revision, "{n}");
        }
        app.users().delete(&name(1)).await.unwrap();
        let gone = app.users().token_revision(&name(1)).await.unwrap_err();
        assert!(matches!(
            gone.kind(),
            ErrorKind::Directory(Directory::UserNotFound(_))
        ));
    });
}
