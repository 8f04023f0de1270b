//! How large an engine's files get while rows are rewritten, with the tables held near what is in them and without.
//!
//! ```text
//! cargo run --release -p tidestore-kv --example space -- DIR sled|redb
//! ```
//!
//! 100,000 rows of 208 bytes are rewritten 3,000,000 times at random, in batches of 64 as a store would write them, with a
//! flush after each 20,000; then all of them are deleted.

#![expect(clippy::unwrap_used, reason = "an example that measures")]

use std::path::Path;
use std::sync::Arc;

use tidestore_disk::{Disk, RealDisk};
use tidestore_kv::{Batch, Engine, EngineKind, Table, open};

const ROWS: u64 = 100_000;
const PUTS: u64 = 3_000_000;
const T: Table = Table(1);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, kind] = &args[..] else {
        eprintln!("space DIR sled|redb");
        return;
    };
    let kind: EngineKind = kind.parse().unwrap();
    println!("| engine | tables copied | peak of files / rows | end | after deleting all, MB |");
    println!("|---|---|---|---|---|");
    for compact in [false, true] {
        let place = Path::new(dir).join(format!("{kind}-{compact}"));
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::create(&place).unwrap());
        churn(&*open(kind, &disk, Path::new("tables")).unwrap(), compact);
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn churn(engine: &dyn Engine, compact: bool) {
    let (mut state, mut peak, mut copies) = (7_u64, 0, 0);
    let mut tidy = |peak: &mut u64| {
        engine.flush().unwrap();
        *peak = engine.size_on_disk().unwrap().max(*peak);
        if compact && engine.compact(3).unwrap().is_some() {
            copies += 1;
        }
    };
    for batch in 0..PUTS / 64 {
        let mut rows = Batch::new();
        for _ in 0..64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Not compressible, as attributes are not in so small pieces.
            let value: Vec<u8> = (0..25_u64)
                .flat_map(|n| (state ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
                .collect();
            rows.put(T, ((state >> 33) % ROWS).to_be_bytes(), value);
        }
        engine.write(rows).unwrap();
        if batch % 313 == 312 {
            tidy(&mut peak);
        }
    }
    let logical = (ROWS * 208) as f64;
    let end = engine.size_on_disk().unwrap();
    for thousand in 0..ROWS / 1_000 {
        let mut rows = Batch::new();
        for row in thousand * 1_000..(thousand + 1) * 1_000 {
            rows.delete(T, row.to_be_bytes());
        }
        engine.write(rows).unwrap();
    }
    let mut last = 0;
    tidy(&mut last);
    let rest = engine.size_on_disk().unwrap() as f64 / 1e6;
    println!(
        "| {} | {copies} times | {:.1} | {:.1} | {rest:.1} |",
        engine.kind(),
        peak as f64 / logical,
        end as f64 / logical
    );
}
