//! Prints generated messages as the JSON lines that `tidestore import` reads: `lines [COUNT [SEED]]`.

use std::io::Write;

use tidestore_workload::{Line, Workload, WorkloadOptions, times};

/// 2025-01-01T00:00:00Z.
const START: u64 = 1_735_689_600_000;
const DAY: u64 = 24 * 3_600_000;

fn main() -> std::io::Result<()> {
    let number = |place| {
        std::env::args()
            .nth(place)
            .and_then(|text| text.parse().ok())
    };
    let count = number(1).unwrap_or(1_000);
    let seed = u64::try_from(number(2).unwrap_or(1)).unwrap_or_default();
    let mut workload = Workload::new(WorkloadOptions {
        seed,
        ..WorkloadOptions::default()
    });
    let mut line = Line::default();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for ts in times(seed, START, START + 200 * DAY, count) {
        workload.next_into(&mut line);
        let Line {
            conversation,
            sender,
            body,
            kind,
            ..
        } = &line;
        // Generated text holds neither quotes nor control characters, so it needs no escaping.
        writeln!(
            out,
            r#"{{"chat":"{conversation}","from":"{sender}","ts":{ts},"kind":"{kind}","body":"{body}"}}"#
        )?;
    }
    out.flush()
}
