//! Groups, chatrooms, threads, shared files and presence: bounds, lists, and deletion step by step.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;

use tidestore_directory::{
    ChannelChange, ChannelKind, Directory, Editor, Effect, Error, ErrorKind, MuteFor, NewChannel,
    NewThread, NewUser, Result, Role, Scope, SharedFile,
};
use tidestore_disk::{Disk, SimDisk};
use tidestore_kv::{Engine, EngineKind, Overlay, open};
use tidestore_plan::{AppId, AttachmentId, Caps, Limit, Limits, Plan, ResourceId, UserId};

use ChannelKind::{Group, Room};

/// The directory of one app, in memory.
struct World {
    tables: Arc<dyn Engine>,
    scope: Scope,
}

impl World {
    fn new(caps: Caps, limits: Limits) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        Self {
            tables: open(EngineKind::Memory, &disk, Path::new("views")).unwrap(),
            scope: Scope {
                app: AppId(7),
                caps,
                limits,
                now: 1_000_000,
            },
        }
    }

    /// One with users `u0` to `u9`.
    fn with_users(caps: Caps, limits: Limits) -> Self {
        let world = Self::new(caps, limits);
        for n in 0..10 {
            let new = NewUser {
                id: user(n),
                uuid: [9; 16],
                nickname: None,
                password_hash: None,
            };
            world.edit(|editor| editor.register(new.clone())).unwrap();
        }
        world
    }

    /// Makes a change and writes it, and counts everything again.
    fn edit<T>(&self, edit: impl FnOnce(&mut Editor<'_, '_>) -> Result<T>) -> Result<T> {
        self.edit_with_effects(edit).map(|(done, _)| done)
    }

    fn edit_with_effects<T>(
        &self,
        edit: impl FnOnce(&mut Editor<'_, '_>) -> Result<T>,
    ) -> Result<(T, Vec<Effect>)> {
        let mut rows = Overlay::new(&*self.tables);
        let done = rows.attempt(|rows| {
            let mut editor = Editor::new(rows, &self.scope);
            let done = edit(&mut editor)?;
            Ok::<_, Error>((done, editor.into_effects()))
        });
        self.tables.write(rows.into_batch()).unwrap();
        let mut problems = Vec::new();
        self.directory().recount(&mut problems).unwrap();
        assert_eq!(problems, [""; 0]);
        done
    }

    fn directory(&self) -> Directory<'_, dyn Engine> {
        Directory::new(&*self.tables, self.scope.app)
    }

    fn group(&self, name: &str, owner: usize, members: &[usize]) -> ResourceId {
        let new = NewChannel {
            members: members.iter().map(|n| user(*n)).collect(),
            ..NewChannel::new(id(name), user(owner))
        };
        self.edit(|editor| editor.create_channel(Group, new))
            .unwrap();
        id(name)
    }
}

fn open_caps() -> Caps {
    Plan::Enterprise.caps()
}

fn user(n: usize) -> UserId {
    UserId::parse(&format!("u{n}")).unwrap()
}

fn id(text: &str) -> ResourceId {
    ResourceId::parse(text).unwrap()
}

fn refused<T>(answer: Result<T>) -> ErrorKind {
    answer.map(drop).unwrap_err().kind().clone()
}

/// The limit that was exceeded, with its maximum and the actual value.
fn exceeded<T>(answer: Result<T>) -> (u64, u64) {
    match refused(answer) {
        ErrorKind::Limit(error) => (error.max(), error.actual()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn texts_are_counted_in_characters_and_sizes_by_plan_and_contract() {
    let world = World::with_users(open_caps(), Limits::default());
    let create = |kind, change: &dyn Fn(&mut NewChannel)| {
        let mut new = NewChannel::new(id("c"), user(0));
        change(&mut new);
        let answer = world.edit(|editor| editor.create_channel(kind, new));
        if answer.is_ok() {
            world
                .edit(|editor| editor.delete_channel_step(kind, &id("c"), 1_000))
                .unwrap();
        }
        answer
    };
    for kind in [Group, Room] {
        create(kind, &|new| new.name = "群".repeat(128)).unwrap();
        assert_eq!(
            exceeded(create(kind, &|new| new.name = "群".repeat(129))),
            (128, 129)
        );
        assert_eq!(
            exceeded(create(kind, &|new| new.description = "群".repeat(513))),
            (512, 513)
        );
        assert_eq!(
            exceeded(create(kind, &|new| new.extension = "群".repeat(1_025))),
            (1_024, 1_025)
        );
        assert!(matches!(
            refused(create(kind, &|new| new.max_users = Some(0))),
            ErrorKind::Argument(_)
        ));
        let nobody = create(kind, &|new| new.members = vec![user(1), user(77)]);
        assert_eq!(refused(nobody), ErrorKind::UserNotFound(user(77)));
        // The owner named among the members, and one of them twice, are in it once.
        let members = vec![user(0), user(1), user(1)];
        assert_eq!(
            create(kind, &|new| new.members.clone_from(&members))
                .unwrap()
                .members,
            2
        );
    }
    create(Room, &|new| new.max_users = Some(10_000)).unwrap();
    assert_eq!(
        exceeded(create(Room, &|new| new.max_users = Some(10_001))),
        (10_000, 10_001)
    );
    create(Group, &|new| new.max_users = Some(8_000)).unwrap();
    assert_eq!(
        exceeded(create(Group, &|new| new.max_users = Some(8_001))),
        (8_000, 8_001)
    );
    assert_eq!(create(Group, &|_| {}).unwrap().max_users, 200);
    assert_eq!(create(Room, &|_| {}).unwrap().max_users, 1_000);
    assert_eq!(world.directory().counters().unwrap().groups, 0);
}

#[test]
fn a_group_is_full_at_what_it_is_made_for_and_can_be_made_smaller() {
    let world = World::with_users(open_caps(), Limits::default());
    let tea = world.group("tea", 0, &[1]);
    let resize = |max_users| {
        let change = ChannelChange {
            max_users: Some(max_users),
            ..ChannelChange::default()
        };
        world
            .edit(|editor| editor.change_channel(Group, &tea, change))
            .unwrap();
    };
    resize(3);
    world
        .edit(|editor| editor.add_member(Group, &tea, &user(2)))
        .unwrap();
    assert_eq!(
        exceeded(world.edit(|editor| editor.add_member(Group, &tea, &user(3)))),
        (3, 4)
    );
    resize(1);
    world
        .edit(|editor| editor.remove_member(Group, &tea, &user(2)))
        .unwrap();
    assert_eq!(
        exceeded(world.edit(|editor| editor.add_member(Group, &tea, &user(2)))),
        (1, 3)
    );
    let twice = world.edit(|editor| editor.add_members(Group, &tea, &[user(4), user(4)]));
    assert!(matches!(refused(twice), ErrorKind::Argument(_)));
    let many: Vec<UserId> = (0..61).map(user).collect();
    assert_eq!(
        exceeded(world.edit(|editor| editor.add_members(Group, &tea, &many))),
        (60, 61)
    );
}

#[test]
fn admins_are_counted_lose_their_place_when_they_leave_and_the_owner_is_none() {
    let world = World::with_users(open_caps(), Limits::default().with(Limit::Admins, 2));
    let tea = world.group("tea", 0, &[1, 2, 3]);
    let admin = |n: usize| world.edit(|editor| editor.add_admin(Group, &tea, &user(n)));
    admin(1).unwrap();
    admin(1).unwrap();
    admin(2).unwrap();
    assert_eq!(exceeded(admin(3)), (2, 3));
    assert_eq!(refused(admin(0)), ErrorKind::IsOwner(user(0)));
    assert_eq!(refused(admin(7)), ErrorKind::NotMember(user(7)));
    let remove = world.edit(|editor| editor.remove_admin(Group, &tea, &user(3)));
    assert_eq!(refused(remove), ErrorKind::NotAdmin(user(3)));
    let ((), effects) = world
        .edit_with_effects(|editor| editor.remove_member(Group, &tea, &user(1)))
        .unwrap();
    assert_eq!(effects, [Effect::Left(Group, tea.clone(), user(1))]);
    admin(3).unwrap();
    // An admin who becomes the owner is no admin any more; the owner so far stays as a member.
    world
        .edit(|editor| editor.set_owner(Group, &tea, &user(2)))
        .unwrap();
    let page = world.directory().admins(Group, &tea, None, 9).unwrap();
    assert_eq!(page.items, [user(3)]);
    assert_eq!(
        world
            .directory()
            .member(Group, &tea, &user(0))
            .unwrap()
            .role,
        Role::Member
    );
    let again = world.edit(|editor| editor.set_owner(Group, &tea, &user(2)));
    assert_eq!(refused(again), ErrorKind::IsOwner(user(2)));
    let owner = world.edit(|editor| editor.remove_member(Group, &tea, &user(2)));
    assert_eq!(refused(owner), ErrorKind::IsOwner(user(2)));
    let owner = world.edit(|editor| editor.mute_members(Group, &tea, &[user(2)], MuteFor::Forever));
    assert_eq!(
        refused(owner.unwrap().remove(0)),
        ErrorKind::IsOwner(user(2))
    );
}

#[test]
fn whoever_may_not_take_anybody_off_the_block_list_does_not_let_him_in() {
    let world = World::with_users(open_caps(), Limits::default());
    let tea = world.group("tea", 0, &[1]);
    world
        .edit(|editor| editor.block_members(Group, &tea, &[user(1)]))
        .unwrap();
    let admit = |users: &[UserId]| world.edit(|editor| editor.admit_members(Group, &tea, users));
    let mut answers = admit(&[user(1), user(2), user(0)]).unwrap();
    assert_eq!(refused(answers.remove(0)), ErrorKind::Blocked(user(1)));
    answers.remove(0).unwrap();
    assert_eq!(
        refused(answers.remove(0)),
        ErrorKind::AlreadyMember(user(0))
    );
    assert!(world.directory().is_blocked(Group, &tea, &user(1)).unwrap());
    assert!(!world.directory().is_member(Group, &tea, &user(1)).unwrap());
    let twice = admit(&[user(4), user(4)]);
    assert!(matches!(refused(twice), ErrorKind::Argument(_)));
    let many: Vec<UserId> = (0..61).map(user).collect();
    assert_eq!(exceeded(admit(&many)), (60, 61));
}

#[test]
fn who_is_blocked_has_left_and_comes_back_when_somebody_adds_him() {
    let world = World::with_users(open_caps(), Limits::default());
    let tea = world.group("tea", 0, &[1, 2]);
    let users = [user(1), user(0), user(9)];
    let (answers, effects) = world
        .edit_with_effects(|editor| editor.block_members(Group, &tea, &users))
        .unwrap();
    assert!(answers[0].is_ok());
    assert_eq!(effects, [Effect::Left(Group, tea.clone(), user(1))]);
    let kinds: Vec<_> = answers[1..]
        .iter()
        .map(|a| a.as_ref().unwrap_err().kind().clone())
        .collect();
    assert_eq!(
        kinds,
        [ErrorKind::IsOwner(user(0)), ErrorKind::NotMember(user(9))]
    );
    let blocked = || {
        world
            .directory()
            .blocked_members(Group, &tea, None, 9)
            .unwrap()
            .items
    };
    assert_eq!(blocked(), [user(1)]);
    world
        .edit(|editor| editor.add_member(Group, &tea, &user(1)))
        .unwrap();
    assert_eq!(blocked(), []);
    let unblock = world.edit(|editor| editor.unblock_members(Group, &tea, &[user(1)]));
    assert_eq!(
        refused(unblock.unwrap().remove(0)),
        ErrorKind::NotListed(user(1))
    );
}

/// Deletions of one row at a time: invisible from the first on, and everything counted right at each of them.
#[test]
fn a_deletion_in_the_smallest_steps_is_invisible_from_the_first_one_on() {
    let world = World::with_users(open_caps(), Limits::default());
    let tea = world.group("tea", 0, &[1, 2, 3, 4, 5]);
    world.group("walks", 1, &[0, 2]);
    world
        .edit(|editor| editor.mute_members(Group, &tea, &[user(1)], MuteFor::Millis(5)))
        .unwrap();
    world
        .edit(|editor| editor.allow_members(Group, &tea, &[user(2)], true))
        .unwrap();
    for n in 1..4 {
        let new = NewThread {
            id: id(&format!("t{n}")),
            group: tea.clone(),
            name: String::new(),
            owner: user(n),
            parent: n as u64,
        };
        world.edit(|editor| editor.create_thread(new)).unwrap();
        let others = [user(4), user(5)];
        world
            .edit(|editor| editor.join_thread(&id(&format!("t{n}")), &others))
            .unwrap();
        share(&world, &tea, n).unwrap();
    }
    let mut steps = 1;
    while !world
        .edit(|editor| editor.delete_channel_step(Group, &tea, 1))
        .unwrap()
    {
        steps += 1;
        assert_eq!(
            refused(world.directory().channel(Group, &tea)),
            ErrorKind::ChannelNotFound(Group, tea.clone())
        );
        assert_eq!(
            world
                .directory()
                .channels(Group, None, 9)
                .unwrap()
                .items
                .len(),
            1
        );
        assert_eq!(
            world
                .directory()
                .joined(&user(2), Group, None, 9)
                .unwrap()
                .items
                .len(),
            1
        );
        let again = world
            .edit(|editor| editor.create_channel(Group, NewChannel::new(tea.clone(), user(9))));
        assert_eq!(refused(again), ErrorKind::ChannelExists(Group, tea.clone()));
        let going = tidestore_directory::going_channels(&*world.tables, 9).unwrap();
        assert_eq!(going, [(AppId(7), Group, tea.clone())]);
    }
    assert!(steps > 15, "{steps}");
    let counters = world.directory().counters().unwrap();
    assert_eq!((counters.groups, counters.threads), (1, 0));
    assert_eq!(
        tidestore_directory::going_channels(&*world.tables, 9).unwrap(),
        []
    );
    // The pins of its files are to be taken back.
    assert_eq!(
        tidestore_directory::unpins(&*world.tables, 9)
            .unwrap()
            .len(),
        3
    );
    world.group("tea", 9, &[]);

    let mut steps = 1;
    while world
        .edit(|editor| editor.delete_user_step(&user(1), 1))
        .unwrap()
        == tidestore_directory::Deletion::Unfinished
    {
        steps += 1;
    }
    assert!(steps > 1, "{steps}");
    assert_eq!(world.directory().counters().unwrap().groups, 1);
    assert_eq!(world.directory().user_counts(&user(2)).unwrap().groups, 0);
}

fn share(world: &World, group: &ResourceId, n: usize) -> Result<()> {
    let file = SharedFile {
        attachment: AttachmentId::from_bits(n as u128),
        name: "plan".to_owned(),
        owner: user(n),
        size: 9,
        created: 5,
    };
    world.edit(|editor| editor.intend_pin(group, &user(n), file.attachment))?;
    world.edit(|editor| editor.share_file(group, file.clone()))
}

#[test]
fn a_file_is_shared_once_and_only_while_its_pin_is_not_being_taken_back() {
    let world = World::with_users(open_caps(), Limits::default().with(Limit::SharedFiles, 2));
    let tea = world.group("tea", 0, &[1, 2, 3]);
    share(&world, &tea, 1).unwrap();
    assert!(matches!(
        refused(share(&world, &tea, 1)),
        ErrorKind::Argument(_)
    ));
    assert_eq!(
        refused(share(&world, &tea, 9)),
        ErrorKind::NotMember(user(9))
    );
    share(&world, &tea, 2).unwrap();
    assert_eq!(exceeded(share(&world, &tea, 3)), (2, 3));
    let first = AttachmentId::from_bits(1);
    world
        .edit(|editor| editor.unshare_file(&tea, first))
        .unwrap();
    let gone = world.edit(|editor| editor.unshare_file(&tea, first));
    assert_eq!(refused(gone), ErrorKind::FileNotFound);
    let unpins = || tidestore_directory::unpins_of(&*world.tables, AppId(7), 9).unwrap();
    assert_eq!(unpins(), [(first, tea.clone())]);
    // Shared again before the pin is taken back: there is nothing to be taken back any more.
    share(&world, &tea, 1).unwrap();
    assert_eq!(unpins(), []);
    assert!(!world.edit(|editor| editor.take_unpin(&tea, first)).unwrap());
    // Being taken back while somebody is about to share it: too late.
    world
        .edit(|editor| editor.unshare_file(&tea, first))
        .unwrap();
    world
        .edit(|editor| editor.intend_pin(&tea, &user(1), first))
        .unwrap();
    assert!(world.edit(|editor| editor.take_unpin(&tea, first)).unwrap());
    let file = SharedFile {
        attachment: first,
        name: String::new(),
        owner: user(1),
        size: 1,
        created: 1,
    };
    let late = world.edit(|editor| editor.share_file(&tea, file.clone()));
    assert_eq!(refused(late), ErrorKind::FileNotFound);
}

#[test]
fn a_message_has_one_thread_and_only_members_of_its_group_are_in_it() {
    let world = World::with_users(open_caps(), Limits::default().with(Limit::Threads, 2));
    let tea = world.group("tea", 0, &[1, 2]);
    let create = |name: &str, owner: usize, parent: u64| {
        let new = NewThread {
            id: id(name),
            group: tea.clone(),
            name: "群".repeat(64),
            owner: user(owner),
            parent,
        };
        world.edit(|editor| editor.create_thread(new))
    };
    create("one", 1, 5).unwrap();
    assert_eq!(
        refused(create("other", 1, 5)),
        ErrorKind::ThreadExists(id("one"))
    );
    assert_eq!(
        refused(create("one", 1, 6)),
        ErrorKind::ThreadExists(id("one"))
    );
    assert_eq!(refused(create("two", 9, 6)), ErrorKind::NotMember(user(9)));
    create("two", 2, 6).unwrap();
    assert_eq!(exceeded(create("three", 1, 7)), (2, 3));
    let long = world.edit(|editor| editor.rename_thread(&id("one"), &"群".repeat(65)));
    assert_eq!(exceeded(long), (64, 65));
    let answers = world.edit(|editor| editor.join_thread(&id("one"), &[user(2), user(1), user(9)]));
    let kinds: Vec<_> = answers
        .unwrap()
        .into_iter()
        .map(|a| a.map_err(|e| e.kind().clone()))
        .collect();
    let expected = [
        Ok(()),
        Err(ErrorKind::AlreadyMember(user(1))),
        Err(ErrorKind::NotMember(user(9))),
    ];
    assert_eq!(kinds, expected);
    let eleven: Vec<UserId> = (0..11).map(user).collect();
    assert_eq!(
        exceeded(world.edit(|editor| editor.join_thread(&id("one"), &eleven))),
        (10, 11)
    );
    let joined = |n: usize, newest_first| {
        let page = world
            .directory()
            .threads_joined(&user(n), Some(&tea), newest_first, None, 9);
        let ids = page.unwrap().items.into_iter().map(|thread| thread.id);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(joined(2, true), [id("one"), id("two")]);
    assert_eq!(joined(2, false), [id("two"), id("one")]);
    world
        .edit(|editor| editor.remove_member(Group, &tea, &user(2)))
        .unwrap();
    assert_eq!(joined(2, true), []);
    assert_eq!(world.directory().thread(&id("two")).unwrap().members, 0);
    world
        .edit(|editor| editor.delete_thread(&id("one")))
        .unwrap();
    create("three", 1, 5).unwrap();
}

#[test]
fn a_subscription_too_many_takes_the_place_of_the_one_that_ends_first() {
    let limits = Limits::default()
        .with(Limit::PresenceSubscriptions, 3)
        .with(Limit::PresenceSubscribers, 2);
    let mut world = World::with_users(open_caps(), limits);
    let subscribe = |world: &World, who: usize, to: &[usize], seconds| {
        let to: Vec<UserId> = to.iter().map(|n| user(*n)).collect();
        world.edit(|editor| editor.subscribe(&user(who), &to, seconds))
    };
    subscribe(&world, 0, &[1], 30).unwrap();
    subscribe(&world, 0, &[2], 10).unwrap();
    subscribe(&world, 0, &[3], 20).unwrap();
    let of = |world: &World, who: usize| {
        let page = world
            .directory()
            .subscriptions(&user(who), world.scope.now, None, 9);
        let users = page.unwrap().items.into_iter().map(|one| one.user);
        users.collect::<Vec<_>>()
    };
    // Again is a new end, so another ends first now.
    subscribe(&world, 0, &[2], 40).unwrap();
    subscribe(&world, 0, &[4], 50).unwrap();
    assert_eq!(of(&world, 0), [user(1), user(2), user(4)]);
    subscribe(&world, 5, &[1], 5).unwrap();
    subscribe(&world, 6, &[1], 6).unwrap();
    assert_eq!(of(&world, 5), []);
    let of_one = world
        .directory()
        .subscribers(&user(1), world.scope.now, None, 9)
        .unwrap();
    assert_eq!(of_one.items, [user(0), user(6)]);
    world.scope.now += 30_000;
    assert_eq!(of(&world, 0), [user(2), user(4)]);
    assert_eq!(
        world
            .directory()
            .subscription_count(&user(0), world.scope.now)
            .unwrap(),
        2
    );
    world
        .edit(|editor| editor.unsubscribe(&user(0), &[user(2), user(9)]))
        .unwrap();
    assert_eq!(of(&world, 0), [user(4)]);
    let many: Vec<usize> = (1..102).collect();
    assert_eq!(exceeded(subscribe(&world, 0, &many, 5)), (100, 101));
    assert_eq!(
        exceeded(subscribe(&world, 0, &[1], 2_592_001)),
        (2_592_000, 2_592_001)
    );
    for nonsense in [
        subscribe(&world, 0, &[], 5),
        subscribe(&world, 0, &[0], 5),
        subscribe(&world, 0, &[1], 0),
    ] {
        assert!(matches!(refused(nonsense), ErrorKind::Argument(_)));
    }
}

#[test]
fn super_admins_speak_in_muted_rooms_and_are_gone_with_their_user() {
    let world = World::with_users(open_caps(), Limits::default());
    let new = NewChannel {
        members: vec![user(1), user(2)],
        ..NewChannel::new(id("lobby"), user(0))
    };
    world
        .edit(|editor| editor.create_channel(Room, new))
        .unwrap();
    world
        .edit(|editor| editor.set_mute_all(Room, &id("lobby"), true))
        .unwrap();
    let may = |n: usize| {
        world
            .directory()
            .check_send(&user(n), Room, &id("lobby"), 0)
    };
    assert_eq!(refused(may(1)), ErrorKind::AllMuted);
    world
        .edit(|editor| editor.add_super_admin(&user(1)))
        .unwrap();
    may(1).unwrap();
    assert_eq!(refused(may(2)), ErrorKind::AllMuted);
    let unknown = world.edit(|editor| editor.add_super_admin(&user(77)));
    assert_eq!(refused(unknown), ErrorKind::UserNotFound(user(77)));
    assert_eq!(
        world.directory().super_admins(None, 9).unwrap().items,
        [user(1)]
    );
    world
        .edit(|editor| editor.delete_user_step(&user(1), 1_000))
        .unwrap();
    assert_eq!(world.directory().super_admins(None, 9).unwrap().items, []);
    let gone = world.edit(|editor| editor.remove_super_admin(&user(1)));
    assert_eq!(refused(gone), ErrorKind::NotListed(user(1)));
}
