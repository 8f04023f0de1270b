//! How often each call may be made: the rows of the limits page, counted.
//!
//! Each quota is a leaky bucket of its count, refilled evenly over its period: after a pause a whole period's calls pass at
//! once, and in the long run never more than the page allows.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use compact_str::CompactString;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, RateLimiter};
use tidestore::plan::{AppId, Pool, RATES, Scope};

use crate::refusal::{Refusal, Result};

/// Keys are looked through for such as are no longer needed after so many new calls.
const SWEEP_CALLS: u64 = 16_384;
/// Most keys that one quota remembers. A key whose quota is full again is forgotten, so only a flood from more addresses
/// than this at the same moment is affected: their calls then share one key.
const KEYS_MAX: usize = 100_000;

/// Whose calls are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    App(AppId),
    User(AppId, CompactString),
    Address(IpAddr),
    /// All for whom there is no place.
    Rest,
}

/// A quota of the page, or an operator's own in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct OwnRate {
    /// The most calls or messages of a period.
    pub count: NonZeroU32,
    /// The period, in seconds; at least 1.
    pub seconds: NonZeroU32,
}

/// Who makes a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    pub(crate) app: AppId,
    /// The user whom the call concerns.
    pub(crate) user: Option<&'a str>,
    pub(crate) address: IpAddr,
}

/// One counted quota.
#[derive(Debug)]
struct Gate {
    scope: Scope,
    limiter: DefaultKeyedRateLimiter<Key>,
    calls: AtomicU64,
}

/// All quotas.
#[derive(Debug)]
pub(crate) struct Rates {
    /// By row of the page: the places of its gates.
    rows: Vec<Vec<usize>>,
    gates: Vec<Gate>,
    /// The app and row for which an operator has set another.
    own: HashMap<(String, u8), Gate>,
    /// Tokens are not on the page.
    tokens: Gate,
    is_on: bool,
}

/// Tokens an app may ask for in a second, by the reference's section on tokens.
const TOKENS_PER_SECOND: u32 = 300;

impl Gate {
    fn new(count: NonZeroU32, seconds: u32, scope: Scope) -> Self {
        let period = Duration::from_secs(seconds.into()) / count.get();
        let quota = governor::Quota::with_period(period);
        let quota = quota.unwrap_or_else(|| governor::Quota::per_second(count));
        Self {
            scope,
            limiter: RateLimiter::keyed(quota.allow_burst(count)),
            calls: AtomicU64::new(0),
        }
    }

    fn key(&self, who: Who<'_>) -> Key {
        let key = match self.scope {
            Scope::App => Key::App(who.app),
            Scope::User => Key::User(who.app, who.user.unwrap_or_default().to_lowercase().into()),
            Scope::Ip => Key::Address(network(who.address)),
        };
        if self.calls.fetch_add(1, Ordering::Relaxed) % SWEEP_CALLS == SWEEP_CALLS - 1 {
            self.limiter.retain_recent();
        }
        if self.limiter.len() >= KEYS_MAX {
            self.limiter.retain_recent();
            if self.limiter.len() >= KEYS_MAX {
                return Key::Rest;
            }
        }
        key
    }

    /// Lets `n` pass, or says how long to wait.
    fn pass(&self, who: Who<'_>, n: NonZeroU32) -> Result<(), Duration> {
        let key = self.key(who);
        match self.limiter.check_key_n(&key, n) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(DefaultClock::default().now())),
            // More at once than a whole period allows.
            Err(_) => Err(Duration::from_secs(1)),
        }
    }
}

/// IPv6 addresses of one customer: a flood from one of them shall not pass as many.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let bits = address.to_bits() & (u128::MAX << 64);
            std::net::Ipv6Addr::from_bits(bits).into()
        }
    }
}

impl Rates {
    pub(crate) fn new(is_on: bool, own: &HashMap<String, HashMap<u8, OwnRate>>) -> Self {
        let mut pools: HashMap<Pool, usize> = HashMap::new();
        let (mut rows, mut gates) = (Vec::new(), Vec::new());
        for rate in &RATES {
            let mut of_row = Vec::new();
            for (place, quota) in [Some(rate.limit), rate.second].into_iter().enumerate() {
                let Some((quota, count)) =
                    quota.and_then(|quota| Some((quota, NonZeroU32::new(quota.count)?)))
                else {
                    continue;
                };
                let known = rate.pool.filter(|_| place == 0);
                if let Some(gate) = known.and_then(|pool| pools.get(&pool)) {
                    of_row.push(*gate);
                    continue;
                }
                of_row.push(gates.len());
                pools.extend(known.map(|pool| (pool, gates.len())));
                gates.push(Gate::new(count, quota.period_secs, quota.scope));
            }
            rows.push(of_row);
        }
        let scope =
            |row: u8| tidestore::plan::rate(row).map_or(Scope::App, |rate| rate.limit.scope);
        let own = own.iter().flat_map(|(app, rows)| {
            let gate = |rate: &OwnRate, row| Gate::new(rate.count, rate.seconds.get(), scope(row));
            rows.iter()
                .map(move |(row, rate)| ((app.clone(), *row), gate(rate, *row)))
        });
        Self {
            rows,
            gates,
            own: own.collect(),
            tokens: Gate::new(
                NonZeroU32::new(TOKENS_PER_SECOND).unwrap_or(NonZeroU32::MIN),
                1,
                Scope::App,
            ),
            is_on,
        }
    }

    /// Counts `n` calls or messages of a row; refused calls count for nothing but what came before the quota that refuses.
    pub(crate) fn charge(&self, row: u8, n: usize, who: Who<'_>, app: &str) -> Result<()> {
        if !self.is_on {
            return Ok(());
        }
        let Some(n) = u32::try_from(n).ok().and_then(NonZeroU32::new) else {
            return Ok(());
        };
        if !self.own.is_empty()
            && let Some(gate) = self.own.get(&(app.to_owned(), row))
        {
            return gate.pass(who, n).map_err(|wait| refused(row, wait));
        }
        let gates = usize::from(row)
            .checked_sub(1)
            .and_then(|row| self.rows.get(row));
        for gate in gates.into_iter().flatten() {
            if let Some(gate) = self.gates.get(*gate) {
                gate.pass(who, n).map_err(|wait| refused(row, wait))?;
            }
        }
        Ok(())
    }

    /// Counts a request for a token.
    pub(crate) fn charge_token(&self, who: Who<'_>) -> Result<()> {
        if !self.is_on {
            return Ok(());
        }
        self.tokens
            .pass(who, NonZeroU32::MIN)
            .map_err(|wait| refused(0, wait))
    }
}

fn refused(row: u8, wait: Duration) -> Refusal {
    metrics::counter!("tidestore_http_rate_refusals_total", "row" => row.to_string()).increment(1);
    let text = format!(
        "too many calls of this kind; try again in {} ms",
        wait.as_millis().max(1)
    );
    let status = axum::http::StatusCode::TOO_MANY_REQUESTS;
    Refusal {
        retry_after: Some(wait),
        ..Refusal::new(status, "reach_limit", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(app: u32, user: &str, last: u8) -> Who<'_> {
        Who {
            app: AppId(app),
            user: Some(user),
            address: IpAddr::from([10, 0, 0, last]),
        }
    }

    fn passed(rates: &Rates, row: u8, n: usize, who: Who<'_>) -> usize {
        (0..100_000)
            .take_while(|_| rates.charge(row, n, who, "a#b").is_ok())
            .count()
    }

    // The buckets refill while the test runs: by one in 10 ms for the fastest of these.
    fn about(count: usize, expected: usize) -> bool {
        (expected..expected + expected / 2 + 2).contains(&count)
    }

    #[test]
    fn rows_count_by_app_by_user_and_by_address() {
        let rates = Rates::new(true, &HashMap::new());
        // Row 25: ten a minute for an app, whoever asks.
        assert_eq!(passed(&rates, 25, 1, who(1, "ann", 1)), 10);
        assert_eq!(passed(&rates, 25, 1, who(1, "bob", 2)), 0);
        assert_eq!(passed(&rates, 25, 1, who(2, "ann", 1)), 10);
        // Row 28: five a minute for a user, and those of one user only.
        assert_eq!(passed(&rates, 28, 1, who(1, "ann", 1)), 5);
        assert_eq!(passed(&rates, 28, 1, who(1, "Ann", 1)), 0);
        assert_eq!(passed(&rates, 28, 1, who(1, "bob", 1)), 5);
        // Row 140: by address, not by app.
        assert!(about(passed(&rates, 140, 1, who(1, "ann", 1)), 100));
        assert!(about(passed(&rates, 140, 1, who(1, "ann", 2)), 100));
    }

    /// The page itself: number of the row, count and scope, and the same of a second quota where there is one. Periods are
    /// compared where the table of rates is tested.
    fn page() -> Vec<(u8, Vec<(u32, Scope)>)> {
        let page = include_str!("../../plan/data/rate_limits.csv");
        let row = |(index, line): (usize, &str)| {
            let fields: Vec<&str> = line.split(',').collect();
            // One row has a comma in its query, which stands before all that counts here.
            let fields = &fields[fields.len() - 14..];
            let quota = |from: usize, scope: usize| {
                let count = fields[from].parse().ok()?;
                let scope = match fields[scope] {
                    "app_key" => Scope::App,
                    "user" => Scope::User,
                    "ip" => Scope::Ip,
                    other => panic!("scope {other}"),
                };
                Some((count, scope))
            };
            let quotas = [quota(5, 7), quota(9, 11)].into_iter().flatten();
            (u8::try_from(index + 1).unwrap(), quotas.collect())
        };
        page.lines().skip(1).enumerate().map(row).collect()
    }

    // Nothing here waits: a bucket holds a period's calls and no more, whatever the time.
    #[test]
    fn every_row_of_the_page_is_counted_as_it_says() {
        let page = page();
        assert_eq!(page.len(), 152);
        let ann = who(1, "ann", 1);
        for (row, quotas) in page {
            let least = quotas.iter().map(|(count, _)| *count).min().unwrap() as usize;
            let rates = Rates::new(true, &HashMap::new());
            let refused = rates.charge(row, least + 1, ann, "a#b");
            assert_eq!(refused.unwrap_err().error, "reach_limit", "row {row}");
            let rates = Rates::new(true, &HashMap::new());
            assert!(rates.charge(row, least, ann, "a#b").is_ok(), "row {row}");
            let gates = &rates.rows[usize::from(row) - 1];
            assert_eq!(gates.len(), quotas.len(), "row {row}");
            for (gate, (count, scope)) in gates.iter().zip(quotas) {
                let gate = &rates.gates[*gate];
                let n = |count: u32| NonZeroU32::new(count).unwrap();
                // Each quota by itself, with a fresh caller: exactly its count fits.
                let other = who(9, "zoe", 9);
                assert!(gate.pass(other, n(count)).is_ok(), "row {row}");
                assert!(
                    gate.pass(who(8, "yan", 8), n(count + 1)).is_err(),
                    "row {row}"
                );
                // Whose calls are counted together.
                let same = |other: Who<'_>| gate.key(ann) == gate.key(other);
                let shared = [
                    same(who(1, "bob", 2)),
                    same(who(1, "ANN", 2)),
                    same(who(2, "bob", 1)),
                ];
                let expected = match scope {
                    Scope::App => [true, true, false],
                    Scope::User => [false, true, false],
                    Scope::Ip => [false, false, true],
                };
                assert_eq!(shared, expected, "row {row}");
            }
        }
    }

    #[test]
    fn rows_that_share_a_route_have_quotas_of_their_own() {
        let rates = Rates::new(true, &HashMap::new());
        for pair in [[48, 64], [59, 60], [68, 69], [95, 96], [103, 104]] {
            for row in pair {
                assert!(
                    rates.charge(row, 100, who(1, "", 1), "a#b").is_ok(),
                    "row {row}"
                );
            }
        }
        // Both of two quotas hold: five a minute of one user, and those of the app together.
        for row in [27, 28] {
            for user in 0..20 {
                let user = format!("u{user}");
                assert!(rates.charge(row, 5, who(3, &user, 1), "a#b").is_ok());
            }
            assert_eq!(rates.rows[usize::from(row) - 1].len(), 2);
        }
    }

    #[test]
    fn rows_of_one_pool_share_it_and_rows_of_messages_count_targets() {
        let rates = Rates::new(true, &HashMap::new());
        assert!(about(passed(&rates, 1, 1, who(1, "", 1)), 100));
        assert!(passed(&rates, 4, 1, who(1, "", 1)) < 5);
        // Row 20: 6,000 messages a minute are ten calls to 600.
        assert_eq!(passed(&rates, 20, 600, who(1, "", 1)), 10);
        // Row 134: five a minute, though a hundred a day.
        assert_eq!(passed(&rates, 134, 1, who(1, "", 1)), 5);
    }

    #[test]
    fn a_refusal_says_when_to_come_back_and_an_own_rate_takes_the_pages_place() {
        let two = OwnRate {
            count: NonZeroU32::new(2).unwrap(),
            seconds: NonZeroU32::new(60).unwrap(),
        };
        let own = HashMap::from([("a#b".to_owned(), HashMap::from([(5, two)]))]);
        let rates = Rates::new(true, &own);
        assert_eq!(passed(&rates, 5, 1, who(1, "", 1)), 2);
        let refused = rates.charge(5, 1, who(1, "", 1), "a#b").unwrap_err();
        assert_eq!(
            (refused.status.as_u16(), refused.error),
            (429, "reach_limit")
        );
        assert!(refused.retry_after.unwrap() > Duration::from_secs(20));
        assert!(rates.charge(5, 1, who(1, "", 1), "other#app").is_ok());
        let off = Rates::new(false, &own);
        assert_eq!(passed(&off, 5, 1, who(1, "", 1)), 100_000);
    }

    #[test]
    fn a_flood_of_addresses_is_remembered_within_bounds() {
        let rates = Rates::new(true, &HashMap::new());
        for number in 0..300_000_u32 {
            let address = IpAddr::from(std::net::Ipv4Addr::from_bits(number));
            let who = Who {
                app: AppId(1),
                user: None,
                address,
            };
            let _ = rates.charge(141, 1, who, "a#b");
        }
        let row = &rates.rows[140];
        assert!(rates.gates[row[0]].limiter.len() <= KEYS_MAX + 1);
    }
}
