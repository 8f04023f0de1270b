use std::collections::BTreeSet;

use super::{Method, Module, Pool, Quota, RATES, Rate, RateUnit, Scope, rate};

const SOURCE: &str = include_str!("../../data/rate_limits.csv");
const BASE: &str = "/{org_name}/{app_name}";
const HEADER: &str = "module,operation,method,path_template,query,limit_count,limit_period_s,\
    scope,shared_pool,second_count,second_period_s,second_scope,unit,implement_as";

/// Splits a line of the source; a field in double quotes may hold commas.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields
}

fn module(text: &str) -> Module {
    match text {
        "user_accounts" => Module::UserAccounts,
        "global_mutes" => Module::GlobalMutes,
        "messages" => Module::Messages,
        "contacts" => Module::Contacts,
        "user_attributes" => Module::UserAttributes,
        "groups" => Module::Groups,
        "group_members" => Module::GroupMembers,
        "rooms" => Module::Rooms,
        "room_members" => Module::RoomMembers,
        "offline_push" => Module::OfflinePush,
        "push" => Module::Push,
        "presence" => Module::Presence,
        "reactions" => Module::Reactions,
        "threads" => Module::Threads,
        other => panic!("module {other}"),
    }
}

fn method(text: &str) -> Method {
    match text {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        other => panic!("method {other}"),
    }
}

fn quota(count: &str, period_secs: &str, scope: &str) -> Option<Quota> {
    if [count, period_secs, scope] == ["", "", ""] {
        return None;
    }
    Some(Quota {
        count: count.parse().unwrap(),
        period_secs: period_secs.parse().unwrap(),
        scope: match scope {
            "app_key" => Scope::App,
            "user" => Scope::User,
            "ip" => Scope::Ip,
            other => panic!("scope {other}"),
        },
    })
}

#[test]
fn the_table_is_the_page_row_by_row_and_column_by_column() {
    let mut lines = SOURCE.lines();
    assert_eq!(lines.next(), Some(HEADER));
    let rows: Vec<_> = lines.map(fields).collect();
    assert_eq!(rows.len(), RATES.len());
    for (index, (row, rate)) in rows.iter().zip(&RATES).enumerate() {
        assert_eq!(row.len(), 14, "row {}", index + 1);
        let implemented_as = row[13].split_once(' ').map(|(verb, path)| {
            let path = path.strip_prefix(BASE).unwrap();
            (method(verb), path)
        });
        let expected = Rate {
            row: u8::try_from(index + 1).unwrap(),
            module: module(&row[0]),
            // The page's name is Chinese; ours is tested on its own.
            operation: rate.operation,
            method: method(&row[2]),
            path: rate.path,
            query: rate.query,
            implemented_as: None,
            limit: quota(&row[5], &row[6], &row[7]).unwrap(),
            second: quota(&row[9], &row[10], &row[11]),
            pool: match row[8].as_str() {
                "" => None,
                "user_registration" => Some(Pool::UserRegistration),
                other => panic!("pool {other}"),
            },
            unit: match row[12].as_str() {
                "calls" => RateUnit::Calls,
                "messages" => RateUnit::Messages,
                other => panic!("unit {other}"),
            },
        };
        let implemented_as_left_out = Rate {
            implemented_as: None,
            ..*rate
        };
        assert_eq!(implemented_as_left_out, expected);
        assert_eq!(rate.implemented_as, implemented_as, "row {}", index + 1);
        assert_eq!(format!("{BASE}{}", rate.path), row[3]);
        assert_eq!(rate.query.unwrap_or(""), row[4]);
    }
}

#[test]
fn operations_have_unique_names_in_snake_case() {
    let mut seen = BTreeSet::new();
    for rate in &RATES {
        let name = rate.operation;
        assert!(seen.insert(name), "{name} stands twice");
        assert!(
            name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
            "{name}"
        );
    }
}

#[test]
fn a_row_is_found_by_its_number_and_numbers_outside_find_nothing() {
    for row in 1..=152 {
        assert_eq!(rate(row).unwrap().row, row);
    }
    assert_eq!(rate(0), None);
    assert_eq!(rate(153), None);
    assert_eq!(rate(u8::MAX), None);
}

#[test]
fn rows_that_readers_look_up_by_hand_are_what_the_contract_says() {
    let app = |count, period_secs| Quota {
        count,
        period_secs,
        scope: Scope::App,
    };
    let limits = [
        (1, "register_user", app(100, 1)),
        (8, "delete_users", app(30, 1)),
        (20, "send_direct_message", app(6_000, 60)),
        (21, "send_group_message", app(20, 1)),
        (22, "send_room_message", app(100, 1)),
        (25, "get_message_history", app(10, 60)),
        (64, "transfer_group", app(100, 1)),
        (121, "create_push_template", app(10, 1)),
        (134, "push_to_app", app(5, 60)),
        (139, "list_presence_subscriptions", app(50, 1)),
    ];
    for (row, operation, limit) in limits {
        let rate = rate(row).unwrap();
        assert_eq!(
            (rate.operation, rate.limit),
            (operation, limit),
            "row {row}"
        );
    }
    assert_eq!(rate(134).unwrap().second, Some(app(100, 86_400)));
    let per_user = Quota {
        count: 5,
        period_secs: 60,
        scope: Scope::User,
    };
    for row in [27, 28] {
        assert_eq!(rate(row).unwrap().limit, per_user);
        assert_eq!(rate(row).unwrap().second, Some(app(100, 1)));
    }
}

#[test]
fn rows_1_to_4_share_a_pool_and_20_to_22_count_messages() {
    for rate in &RATES {
        assert_eq!(
            rate.pool.is_some(),
            (1..=4).contains(&rate.row),
            "row {}",
            rate.row
        );
        let counts_messages = rate.unit == RateUnit::Messages;
        assert_eq!(
            counts_messages,
            (20..=22).contains(&rate.row),
            "row {}",
            rate.row
        );
        assert_eq!(
            rate.limit.scope == Scope::Ip,
            rate.row >= 140,
            "row {}",
            rate.row
        );
    }
}

#[test]
fn misprints_are_kept_and_the_route_corrects_them() {
    let language = rate(120).unwrap();
    assert_eq!(language.method, Method::Put);
    assert_eq!(language.route().0, Method::Get);
    let history = rate(25).unwrap();
    assert_eq!(history.path, "/chatmessages/${time}");
    assert_eq!(history.route(), (Method::Get, "/chatmessages/{time}"));
    let plain = rate(5).unwrap();
    assert_eq!(plain.route(), (plain.method, plain.path));
    assert_eq!(Method::Delete.to_string(), "DELETE");
}

#[test]
fn only_the_pairs_told_apart_by_their_body_share_a_route() {
    let mut shared = Vec::new();
    for (index, one) in RATES.iter().enumerate() {
        for other in &RATES[index + 1..] {
            if one.route() == other.route() {
                shared.push((one.row, other.row));
            }
        }
    }
    assert_eq!(shared, [(1, 2), (3, 4), (48, 64)]);
}
