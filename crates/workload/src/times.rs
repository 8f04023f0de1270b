//! When people write: the hours of the day are not alike.

use rand::SeedableRng;

use crate::draw::{Rng, exponential, float, round};

const HOUR: u64 = 3_600_000;

/// Messages in each hour of the day (UTC), in thousandths of a day's, as measured on a corpus of real chat.
const HOURS: [u32; 24] = [
    41, 60, 62, 53, 46, 61, 66, 67, 63, 70, 54, 57, 39, 19, 25, 31, 33, 28, 28, 24, 20, 15, 20, 18,
];

/// Draws `count` times in `[start, end)`, in milliseconds since 1970, sorted, denser where a day is busy.
///
/// The same seed gives the same times. An empty range gives `start` throughout.
pub fn times(seed: u64, start: u64, end: u64, count: usize) -> Vec<u64> {
    let mut rng = Rng::seed_from_u64(seed ^ 0x7469_6d65);
    // Gaps of a Poisson process, as long as chance makes them, then stretched to fit exactly.
    let mut sum = 0.0;
    let mut arrivals: Vec<f64> = Vec::with_capacity(count);
    for _ in 0..count {
        sum += exponential(&mut rng);
        arrivals.push(sum);
    }
    sum += exponential(&mut rng);
    let mut hours = Hours::new(start, end);
    let total = Hours::new(start, end).fold(0.0, |total, hour| total + hour.weight);
    let mut hour = hours.next();
    let mut passed = 0.0;
    let place = |arrival: f64| {
        let wanted = arrival / sum * total;
        while let Some(now) = &hour {
            if wanted < passed + now.weight {
                let within = (wanted - passed) / now.weight * float(now.end - now.start);
                return (now.start + round(within.floor())).min(now.end - 1);
            }
            passed += now.weight;
            match hours.next() {
                Some(next) => hour = Some(next),
                // Rounding may leave the last arrival a hair past the end.
                None => return now.end - 1,
            }
        }
        start
    };
    arrivals.into_iter().map(place).collect()
}

/// An hour of the day, or the part of it that lies in the range.
struct Hour {
    start: u64,
    end: u64,
    weight: f64,
}

struct Hours {
    at: u64,
    end: u64,
}

impl Hours {
    fn new(start: u64, end: u64) -> Self {
        Self { at: start, end }
    }
}

impl Iterator for Hours {
    type Item = Hour;

    fn next(&mut self) -> Option<Hour> {
        let start = self.at;
        if start >= self.end {
            return None;
        }
        let end = self
            .end
            .min((start / HOUR).saturating_add(1).saturating_mul(HOUR));
        self.at = end;
        let of_day = usize::try_from(start / HOUR % 24).unwrap_or(0);
        let busy = f64::from(HOURS.get(of_day).copied().unwrap_or(1));
        Some(Hour {
            start,
            end,
            weight: busy * float(end - start) / float(HOUR),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * HOUR;

    #[test]
    fn times_are_sorted_inside_the_range_and_follow_the_day() {
        let (start, end) = (20_000 * DAY + 1_234, 20_010 * DAY);
        let drawn = times(1, start, end, 100_000);
        assert_eq!(drawn.len(), 100_000);
        assert!(drawn.is_sorted() && drawn.iter().all(|time| (start..end).contains(time)));
        let busy = drawn.iter().filter(|time| **time / HOUR % 24 == 9).count();
        let quiet = drawn.iter().filter(|time| **time / HOUR % 24 == 21).count();
        assert!(busy > 4 * quiet, "{busy} against {quiet}");
        assert_eq!(drawn, times(1, start, end, 100_000));
        assert_ne!(drawn, times(2, start, end, 100_000));
    }

    #[test]
    fn empty_ranges_and_counts_are_harmless() {
        assert_eq!(times(1, 5, 5, 2), [5, 5]);
        assert_eq!(times(1, 9, 5, 1), [9]);
        assert!(times(1, 0, DAY, 0).is_empty());
        assert_eq!(times(1, 7, 8, 3), [7, 7, 7]);
    }
}
