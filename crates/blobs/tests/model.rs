//! Attachments against a simple model: whatever is uploaded, referred to, taken back, deleted and collected, on a disk
//! that fails, refuses to punch and loses power.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure here fails the test"
)]

mod common;

use proptest::prelude::*;

use self::common::{Log, Request, Step, Trouble, Upload, World};

/// Contents above this size are read back only now and then.
const OFTEN: u64 = 200_000;

fn upload() -> impl Strategy<Value = Upload> {
    let len = prop_oneof![
        // Few lengths, so that contents meet again.
        8 => prop::sample::select(vec![0, 1, 500, 4_040, 4_097, 9_000]),
        6 => 0_u32..30_000,
        3 => prop::sample::select(vec![65_535, 65_536, 65_537, 131_072, 200_000]),
        2 => 60_000_u32..700_000,
    ];
    let len = prop_oneof![
        60 => len,
        1 => prop::sample::select(vec![10 << 20, (10 << 20) + 1]),
    ];
    let piece = prop_oneof![Just(u32::MAX), Just(65_536), 200_u32..70_000, 60_u32..200,];
    let declared = prop_oneof![
        6 => Just(None),
        4 => Just(Some(0)),
        1 => Just(Some(1)),
        1 => Just(Some(-1)),
        1 => Just(Some(i32::MAX)),
    ];
    let media_type = prop::sample::select(vec![
        None,
        Some("text/plain"),
        Some("image/jpeg"),
        Some("application/x-anything"),
    ]);
    let shared_max = prop_oneof![
        3 => Just(128 << 10),
        2 => Just(16 << 10),
        1 => Just(0),
        1 => 0_u32..=1 << 20,
    ];
    let abandoned = prop_oneof![8 => Just(None), 1 => (0_u32..100_000).prop_map(Some)];
    let what = (0_u8..2, 0_u8..8, len, piece);
    (what, declared, media_type, shared_max, abandoned).prop_map(
        |((app, seed, len, piece), declared, media_type, shared_max, abandoned)| Upload {
            app,
            seed,
            len,
            piece,
            declared,
            media_type,
            shared_max,
            abandoned,
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        5 => upload().prop_map(Request::Put),
        3 => (any::<u8>(), any::<u8>(), 0_u8..80)
            .prop_map(|(which, kind, number)| Request::Refer { which, kind, number }),
        3 => (any::<u8>(), any::<u8>())
            .prop_map(|(which, number)| Request::Unrefer { which, number }),
        4 => any::<u8>().prop_map(|which| Request::Delete { which }),
    ]
}

fn trouble() -> impl Strategy<Value = Option<Trouble>> {
    // Writes and flushes above all, and the first of them above all.
    let kind = prop_oneof![2 => 0_u8..2, 3 => 0_u8..10];
    let nth = prop_oneof![1 => Just(0), 1 => any::<u8>()];
    let trouble = (kind, nth, any::<u8>());
    let trouble = trouble.prop_map(|(kind, nth, fault)| Trouble { kind, nth, fault });
    prop_oneof![3 => Just(None), 1 => trouble.prop_map(Some)]
}

fn step() -> impl Strategy<Value = Step> {
    let log = prop_oneof![
        12 => Just(Log::Written),
        1 => Just(Log::AfterRoom),
        1 => Just(Log::Refused),
        1 => any::<bool>().prop_map(|written| Log::Unsure { written }),
    ];
    let requests = prop::collection::vec(request(), 1..8);
    let held = prop::option::weighted(0.3, any::<u8>());
    prop_oneof![
        10 => (requests, log, trouble())
            .prop_map(|(requests, log, trouble)| Step::Change { requests, log, trouble }),
        4 => (held, trouble()).prop_map(|(held, trouble)| Step::Collect { held, trouble }),
        3 => (1_u16..60).prop_map(|hours| Step::Pass { hours }),
        1 => (0_u16..300).prop_map(|hours| Step::RaiseFloor { hours }),
        1 => (any::<u64>(), prop::sample::select(vec![0, 10, 50, 100]))
            .prop_map(|(seed, percent)| Step::Crash { seed, percent }),
    ]
}

/// The same, on a disk that works and with a log that takes everything: there the checks are stricter.
fn calm_step() -> impl Strategy<Value = Step> {
    step().prop_map(|step| match step {
        Step::Change { requests, .. } => Step::Change {
            requests,
            log: Log::Written,
            trouble: None,
        },
        Step::Collect { held, .. } => Step::Collect {
            held,
            trouble: None,
        },
        other => other,
    })
}

fn live(punches: bool, seed: u64, steps: &[Step]) {
    let mut world = World::new(punches, seed);
    for step in steps {
        world.step(step);
        world.check(OFTEN);
    }
    world.check(u64::MAX);
    world.drain();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_lives_is_read_back_and_what_does_not_leaves_nothing(
        punches in any::<bool>(),
        seed in any::<u64>(),
        steps in prop::collection::vec(calm_step(), 10..50),
    ) {
        live(punches, seed, &steps);
    }

    #[test]
    fn failures_and_crashes_lose_nothing_that_was_acknowledged(
        punches in any::<bool>(),
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 10..50),
    ) {
        live(punches, seed, &steps);
    }
}
