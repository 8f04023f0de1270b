//! The generated chat has the statistics of the real chat that it was fitted to.

use std::collections::HashMap;

use tidestore_workload::{Line, Workload, WorkloadOptions};

const COUNT: usize = 200_000;

fn lines(seed: u64) -> Vec<Line> {
    Workload::new(WorkloadOptions {
        seed,
        ..WorkloadOptions::default()
    })
    .take(COUNT)
    .collect()
}

fn is_chinese(line: &Line) -> bool {
    line.body.chars().any(|c| c > '\u{3000}')
}

#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
fn float(count: usize) -> f64 {
    count as f64
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * float(part) / float(whole)
}

#[test]
fn the_same_seed_gives_the_same_chat_and_another_seed_another() {
    let options = WorkloadOptions::default();
    let first: Vec<_> = Workload::new(options).take(2_000).collect();
    assert_eq!(
        first,
        Workload::new(options).take(2_000).collect::<Vec<_>>()
    );
    let other = WorkloadOptions { seed: 2, ..options };
    assert_ne!(first, Workload::new(other).take(2_000).collect::<Vec<_>>());
}

#[test]
fn reused_buffers_hold_the_same_lines() {
    let mut workload = Workload::new(WorkloadOptions::default());
    let mut line = Line::default();
    for fresh in Workload::new(WorkloadOptions::default()).take(1_000) {
        workload.next_into(&mut line);
        assert_eq!(line, fresh);
    }
}

#[test]
fn lengths_are_those_of_real_chat() {
    let mut lengths: Vec<_> = lines(3).iter().map(|line| line.body.len()).collect();
    lengths.sort_unstable();
    let mean = float(lengths.iter().sum()) / float(COUNT);
    assert!((57.5..60.0).contains(&mean), "mean {mean}");
    assert!(
        (43..=45).contains(&lengths[COUNT / 2]),
        "median {}",
        lengths[COUNT / 2]
    );
    assert!(
        (262..=276).contains(&lengths[COUNT / 100 * 99]),
        "p99 {}",
        lengths[COUNT / 100 * 99]
    );
    assert!(lengths[0] >= 1 && lengths[COUNT - 1] <= 480, "{lengths:?}");
}

#[test]
fn one_message_in_twelve_is_chinese_and_a_conversation_has_one_language() {
    let lines = lines(4);
    let share = percent(lines.iter().filter(|line| is_chinese(line)).count(), COUNT);
    assert!((7.0..9.0).contains(&share), "{share} %");
    let mut languages = HashMap::new();
    for line in lines.iter().filter(|line| line.body.len() > 30) {
        let chinese = is_chinese(line);
        assert_eq!(
            *languages.entry(&line.conversation).or_insert(chinese),
            chinese,
            "{line:?}"
        );
    }
}

#[test]
fn senders_belong_to_their_conversations_and_some_talk_more() {
    let lines = lines(5);
    let mut senders: HashMap<&str, usize> = HashMap::new();
    for line in &lines {
        *senders.entry(&line.sender).or_default() += 1;
        if let Some(pair) = line.conversation.strip_prefix("direct:") {
            let (low, high) = pair.split_once(',').unwrap();
            assert!(
                low < high && [low, high].contains(&line.sender.as_str()),
                "{line:?}"
            );
        }
    }
    let most = percent(*senders.values().max().unwrap(), COUNT);
    assert!(
        (0.3..2.0).contains(&most),
        "the busiest sender writes {most} %"
    );
}

#[test]
fn bodies_compress_like_real_chat() {
    let mut lines = lines(6);
    lines.sort_by(|a, b| a.conversation.cmp(&b.conversation));
    let bodies: String = lines.into_iter().map(|line| line.body).collect();
    let blocks = bodies.as_bytes().chunks_exact(32 << 10);
    let raw = blocks.len() * (32 << 10);
    let packed: usize = blocks
        .map(|block| zstd::bulk::compress(block, 3).unwrap().len())
        .sum();
    let ratio = float(raw) / float(packed);
    assert!(
        (2.26..2.50).contains(&ratio),
        "{ratio} against the corpus's 2.38"
    );
}

#[test]
fn few_users_and_no_conversations_are_enough() {
    for (users, groups, directs, rooms) in [
        (0, 0, 0, 0),
        (1, 1, 0, 0),
        (2, 0, 9, 0),
        (3, 0, 0, 1),
        (4, 2, 99, 2),
    ] {
        let options = WorkloadOptions {
            users,
            groups,
            directs,
            rooms,
            ..WorkloadOptions::default()
        };
        let workload = Workload::new(options);
        let mut names: Vec<_> = workload.conversations().map(str::to_owned).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{options:?}");
        assert!(
            workload
                .take(500)
                .all(|line| !line.sender.is_empty() && !line.body.is_empty())
        );
    }
}
