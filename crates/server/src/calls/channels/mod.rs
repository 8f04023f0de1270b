//! Groups and chatrooms with their members and lists: rows 42 to 51, 56 to 86 and 92 to 116.
//!
//! Both are served by the same handlers. Where they differ, in names of fields and in sizes of pages, [`Kind`] says how.

mod admins;
mod allowed;
mod announcement;
mod blocks;
mod create;
mod details;
mod kind;
mod lists;
mod members;
mod mutes;
mod outcome;
mod super_admins;
mod update;

use crate::auth::Access;
use crate::lenient::OneOrMany;
use crate::pages::ByNumber;
use crate::routes::{Charge, Route};

use kind::{Groups, Kind, Rooms};
use outcome::{MemberResult, Usernames};

pub(super) fn routes() -> Vec<Route> {
    let tables = [
        groups(),
        group_members(),
        group_lists(),
        rooms(),
        room_members(),
        room_lists(),
        super_admins::routes(),
    ];
    tables.into_iter().flatten().collect()
}

fn groups() -> Vec<Route> {
    vec![
        Route::new(42, Access::App, lists::groups)
            .query::<lists::Paging>()
            .data::<Vec<lists::ListedGroup>>(),
        Route::new(43, Access::Own, lists::joined_groups)
            .query::<ByNumber>()
            .data::<Vec<lists::JoinedGroup>>(),
        Route::new(44, Access::User, details::get::<Groups>).data::<Vec<details::Detail>>(),
        Route::new(45, Access::User, create::create::<Groups>)
            .body::<create::New>()
            .data::<create::Created>(),
        Route::new(46, Access::Owner, update::disable).data::<update::Disabled>(),
        // For the app alone: what it has banned the owner must not take back.
        Route::new(47, Access::App, update::enable).data::<update::Disabled>(),
        Route::new(48, Access::Admin, update::group)
            .and(64)
            .charged(Charge::Handler)
            .body::<update::Settings>()
            .data::<update::Changed>(),
        Route::new(49, Access::Owner, update::delete::<Groups>).data::<update::Deleted>(),
        Route::new(50, Access::Member, announcement::get::<Groups>)
            .data::<announcement::Announcement>(),
        Route::new(51, Access::Admin, announcement::set::<Groups>)
            .body::<announcement::Announcement>()
            .data::<announcement::Announced>(),
    ]
}

fn group_members() -> Vec<Route> {
    vec![
        Route::new(56, Access::Member, members::list::<Groups>)
            .query::<ByNumber>()
            .data::<Vec<members::Affiliation>>(),
        Route::new(57, Access::User, members::add::<Groups>).data::<MemberResult>(),
        Route::new(58, Access::User, members::add_many::<Groups>)
            .body::<Usernames>()
            .data::<members::Added>(),
        Route::new(59, Access::User, members::remove::<Groups>)
            .and(60)
            .charged(Charge::List("username"))
            .data::<OneOrMany<MemberResult>>(),
        Route::new(61, Access::Member, admins::list::<Groups>).data::<Vec<String>>(),
        Route::new(62, Access::Owner, admins::add::<Groups>)
            .body::<admins::NewAdmin>()
            .data::<admins::Appointed>(),
        Route::new(63, Access::Owner, admins::remove::<Groups>).data::<admins::Appointed>(),
    ]
}

fn group_lists() -> Vec<Route> {
    vec![
        Route::new(65, Access::Admin, blocks::list::<Groups>)
            .query::<blocks::Paging>()
            .data::<Vec<String>>(),
        Route::new(66, Access::Admin, blocks::add::<Groups>).data::<MemberResult>(),
        Route::new(67, Access::Admin, blocks::add_many::<Groups>)
            .body::<Usernames>()
            .data::<Vec<MemberResult>>(),
        Route::new(68, Access::Admin, blocks::remove::<Groups>)
            .and(69)
            .charged(Charge::List("username"))
            .data::<OneOrMany<MemberResult>>(),
        Route::new(70, Access::Admin, allowed::list::<Groups>).data::<Vec<String>>(),
        Route::new(71, Access::Admin, allowed::add::<Groups>).data::<MemberResult>(),
        Route::new(72, Access::Admin, allowed::add_many::<Groups>)
            .body::<Usernames>()
            .data::<Vec<MemberResult>>(),
        Route::new(73, Access::Admin, allowed::remove::<Groups>).data::<Vec<MemberResult>>(),
        Route::new(74, Access::Admin, mutes::list::<Groups>).data::<Vec<mutes::Muted>>(),
        Route::new(75, Access::Admin, mutes::mute::<Groups>)
            .body::<mutes::Mute>()
            .data::<Vec<mutes::Outcome>>(),
        Route::new(76, Access::Admin, mutes::mute_all::<Groups>).data::<mutes::All>(),
        Route::new(77, Access::Admin, mutes::unmute::<Groups>).data::<Vec<mutes::Outcome>>(),
        Route::new(78, Access::Admin, mutes::unmute_all::<Groups>).data::<mutes::All>(),
    ]
}

fn rooms() -> Vec<Route> {
    vec![
        Route::new(79, Access::User, lists::rooms)
            .query::<lists::Paging>()
            .data::<Vec<lists::ListedRoom>>(),
        Route::new(80, Access::Own, lists::joined_rooms)
            .query::<ByNumber>()
            .data::<Vec<lists::JoinedRoom>>(),
        Route::new(81, Access::User, details::get::<Rooms>).data::<Vec<details::Detail>>(),
        Route::new(82, Access::User, create::create::<Rooms>)
            .body::<create::New>()
            .data::<create::Created>(),
        Route::new(83, Access::Admin, update::room)
            .body::<update::Settings>()
            .data::<update::Changed>(),
        Route::new(84, Access::Owner, update::delete::<Rooms>).data::<update::Deleted>(),
        Route::new(85, Access::Member, announcement::get::<Rooms>)
            .data::<announcement::Announcement>(),
        Route::new(86, Access::Admin, announcement::set::<Rooms>)
            .body::<announcement::Announcement>()
            .data::<announcement::Announced>(),
    ]
}

fn room_members() -> Vec<Route> {
    vec![
        Route::new(92, Access::Member, members::list::<Rooms>)
            .query::<ByNumber>()
            .data::<Vec<members::Affiliation>>(),
        Route::new(93, Access::User, members::add::<Rooms>).data::<MemberResult>(),
        Route::new(94, Access::User, members::add_many::<Rooms>)
            .body::<Usernames>()
            .data::<members::Added>(),
        Route::new(95, Access::User, members::remove::<Rooms>)
            .and(96)
            .charged(Charge::List("username"))
            .data::<OneOrMany<MemberResult>>(),
        Route::new(97, Access::Member, admins::list::<Rooms>).data::<Vec<String>>(),
        Route::new(98, Access::Owner, admins::add::<Rooms>)
            .body::<admins::NewAdmin>()
            .data::<admins::Appointed>(),
        Route::new(99, Access::Owner, admins::remove::<Rooms>).data::<admins::Appointed>(),
    ]
}

fn room_lists() -> Vec<Route> {
    vec![
        Route::new(100, Access::Admin, blocks::list::<Rooms>)
            .query::<blocks::Paging>()
            .data::<Vec<String>>(),
        Route::new(101, Access::Admin, blocks::add::<Rooms>).data::<MemberResult>(),
        Route::new(102, Access::Admin, blocks::add_many::<Rooms>)
            .body::<Usernames>()
            .data::<Vec<MemberResult>>(),
        Route::new(103, Access::Admin, blocks::remove::<Rooms>)
            .and(104)
            .charged(Charge::List("username"))
            .data::<OneOrMany<MemberResult>>(),
        Route::new(105, Access::Admin, allowed::list::<Rooms>).data::<Vec<String>>(),
        Route::new(106, Access::Admin, allowed::add::<Rooms>).data::<MemberResult>(),
        Route::new(107, Access::Admin, allowed::add_many::<Rooms>)
            .body::<Usernames>()
            .data::<Vec<MemberResult>>(),
        Route::new(108, Access::Admin, allowed::remove::<Rooms>).data::<Vec<MemberResult>>(),
        Route::new(109, Access::Admin, mutes::list::<Rooms>).data::<Vec<mutes::Muted>>(),
        Route::new(110, Access::Admin, mutes::mute::<Rooms>)
            .body::<mutes::Mute>()
            .data::<Vec<mutes::Outcome>>(),
        Route::new(111, Access::Admin, mutes::mute_all::<Rooms>).data::<mutes::All>(),
        Route::new(112, Access::Admin, mutes::unmute::<Rooms>).data::<Vec<mutes::Outcome>>(),
        Route::new(113, Access::Admin, mutes::unmute_all::<Rooms>).data::<mutes::All>(),
    ]
}
