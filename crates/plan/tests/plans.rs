//! The plans' figures against the contract's table, and what terms allow.

use tidestore_plan::{CapKind, Caps, Exceeded, Plan, Retention, Terms, TermsError};

/// Columns: Free, Basic, Pro, Enterprise. Written by hand from the contract's table.
const CAPS: [(CapKind, [Option<u64>; 4]); 9] = [
    (CapKind::Users, [Some(100), None, None, None]),
    (CapKind::UsersOnline, [Some(100), None, None, None]),
    (
        CapKind::ContactsPerUser,
        [Some(100), Some(3_000), None, None],
    ),
    (CapKind::Groups, [Some(100), Some(100_000), None, None]),
    (
        CapKind::GroupMembers,
        [Some(100), Some(300), Some(3_000), Some(8_000)],
    ),
    (CapKind::GroupsPerUser, [Some(100), Some(600), None, None]),
    (CapKind::Rooms, [Some(0), Some(100), None, None]),
    (CapKind::RoomMembers, [Some(0), None, None, None]),
    (CapKind::RoomsPerUser, [Some(0), None, None, None]),
];

#[test]
fn every_plan_has_the_caps_of_the_contract() {
    assert_eq!(CAPS.map(|(kind, _)| kind), CapKind::ALL);
    for (column, plan) in Plan::ALL.into_iter().enumerate() {
        for (kind, by_plan) in CAPS {
            assert_eq!(plan.caps().get(kind), by_plan[column], "{plan}, {kind:?}");
        }
    }
}

#[test]
fn messages_live_3_7_90_and_180_days() {
    let days = Plan::ALL.map(|plan| Terms::of(plan).retention().as_days());
    assert_eq!(days, [3, 7, 90, 180]);
}

#[test]
fn every_cap_passes_its_figure_and_refuses_one_more() {
    for plan in Plan::ALL {
        for kind in CapKind::ALL {
            let caps = plan.caps();
            let Some(max) = caps.get(kind) else {
                assert_eq!(caps.check(kind, u64::MAX), Ok(()), "{plan}, {kind:?}");
                continue;
            };
            assert_eq!(caps.check(kind, max), Ok(()), "{plan}, {kind:?}");
            let error = caps.check(kind, max + 1).unwrap_err();
            assert_eq!(error.limit(), Exceeded::Cap(kind));
            assert_eq!((error.max(), error.actual()), (max, max + 1));
            assert!(error.to_string().contains(kind.name()), "{error}");
        }
    }
}

#[test]
fn each_cap_is_read_from_the_field_of_its_name() {
    let caps = Caps {
        users: Some(1),
        users_online: Some(2),
        contacts_per_user: Some(3),
        groups: Some(4),
        group_members: Some(5),
        groups_per_user: Some(6),
        rooms: Some(7),
        room_members: Some(8),
        rooms_per_user: Some(9),
        retention: Retention::days(10).unwrap(),
    };
    let read = CapKind::ALL.map(|kind| caps.get(kind).unwrap());
    assert_eq!(read, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn plans_stand_in_the_order_in_which_they_are_stored() {
    assert_eq!(
        Plan::ALL,
        [Plan::Free, Plan::Basic, Plan::Pro, Plan::Enterprise]
    );
}

#[test]
fn a_plan_reads_back_from_its_name_in_any_case() {
    for plan in Plan::ALL {
        assert_eq!(plan.to_string().parse(), Ok(plan));
        assert_eq!(plan.to_string().to_uppercase().parse(), Ok(plan));
    }
    assert_eq!(Plan::Enterprise.to_string(), "enterprise");
}

#[test]
fn a_text_that_names_no_plan_is_quoted_but_not_at_any_length() {
    for text in ["", "gold", " free", "free\0"] {
        let error = text.parse::<Plan>().unwrap_err();
        assert_eq!(
            error,
            TermsError::UnknownPlan {
                text: text.to_owned()
            }
        );
    }
    let error = "金".repeat(1_000_000).parse::<Plan>().unwrap_err();
    assert!(error.to_string().chars().count() < 160);
}

#[test]
fn a_retention_has_1_to_36_500_days() {
    for days in [1, 36_500] {
        assert_eq!(Retention::days(days).unwrap().as_days(), days);
    }
    for days in [0, 36_501, u32::MAX] {
        assert_eq!(Retention::days(days), Err(TermsError::Retention { days }));
    }
    assert_eq!(Retention::days(3).unwrap().as_millis(), 259_200_000);
    assert_eq!(
        Retention::days(36_500).unwrap().as_millis(),
        3_153_600_000_000
    );
}

#[test]
fn only_enterprise_chooses_its_retention() {
    let year = Retention::days(365).unwrap();
    for plan in [Plan::Free, Plan::Basic, Plan::Pro] {
        let refusal = Terms::of(plan).with_retention(year);
        assert_eq!(refusal, Err(TermsError::NotCustom { plan }));
    }
    let terms = Terms::of(Plan::Enterprise).with_retention(year).unwrap();
    assert_eq!((terms.plan(), terms.retention()), (Plan::Enterprise, year));
    let rest = Caps {
        retention: Plan::Enterprise.caps().retention,
        ..*terms.caps()
    };
    assert_eq!(rest, Plan::Enterprise.caps());
}

#[test]
fn enterprise_keeps_the_figures_it_is_given() {
    let caps = Caps {
        group_members: Some(20_000),
        ..Plan::Enterprise.caps()
    };
    let terms = Terms::enterprise(caps);
    assert_eq!((terms.plan(), *terms.caps()), (Plan::Enterprise, caps));
    assert_eq!(terms.caps().check(CapKind::GroupMembers, 20_000), Ok(()));
    assert!(terms.caps().check(CapKind::GroupMembers, 20_001).is_err());
}

#[test]
fn terms_of_a_plan_are_its_caps() {
    for plan in Plan::ALL {
        assert_eq!(
            (Terms::of(plan).plan(), *Terms::of(plan).caps()),
            (plan, plan.caps())
        );
    }
}
