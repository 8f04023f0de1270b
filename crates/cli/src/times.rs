//! Times on the command line, and how they are printed.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tidestore::disk::{Clock, Millis, RealClock};

/// What the machine's clock says.
pub(crate) fn now() -> Millis {
    RealClock.wall()
}

/// Parses `2025-03-31`, `2025-03-31T12:00:00Z`, milliseconds since 1970, `now`, or back from now (`-3d`). Times
/// without a zone are UTC.
pub(crate) fn parse(text: &str) -> Result<Millis, String> {
    parse_at(text, now())
}

/// Parses `2026112310`: an hour, UTC.
pub(crate) fn parse_hour(text: &str) -> Result<Millis, String> {
    let refused = || format!("{text:?} is no hour; write year, month, day and hour, 2026112310");
    let digits = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = text.split_at_checked(8).filter(|_| digits);
    let (day, hour) = parts.ok_or_else(refused)?;
    let (year, rest) = day.split_at(4);
    let (month, day) = rest.split_at(2);
    let text = format!("{year}-{month}-{day}T{hour}:00:00Z");
    let time: Timestamp = text.parse().map_err(|_| refused())?;
    Millis::try_from(time.as_millisecond()).map_err(|_| refused())
}

fn parse_at(text: &str, now: Millis) -> Result<Millis, String> {
    let text = text.trim();
    if text == "now" {
        return Ok(now);
    }
    if let Some(back) = text.strip_prefix('-') {
        let span = span(back).ok_or_else(|| unknown(text))?;
        return Ok(now.saturating_sub(span));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| unknown(text));
    }
    let timestamp = match text.parse::<Date>() {
        Ok(date) if text.len() == 10 => date
            .to_zoned(TimeZone::UTC)
            .map(|zoned| zoned.timestamp())
            .map_err(|_| unknown(text))?,
        _ => text.parse::<Timestamp>().map_err(|_| unknown(text))?,
    };
    Millis::try_from(timestamp.as_millisecond())
        .map_err(|_| format!("{text} lies before 1970; messages begin there"))
}

fn unknown(text: &str) -> String {
    let text: String = text.chars().take(40).collect();
    format!(
        "{text:?} is no time; write 2025-03-31, 2025-03-31T12:00:00Z, milliseconds since 1970, now, or -3d"
    )
}

/// A number with one of `w d h m s`, in milliseconds.
fn span(text: &str) -> Option<Millis> {
    let unit = match text.chars().last()? {
        'w' => 7 * 86_400_000,
        'd' => 86_400_000,
        'h' => 3_600_000,
        'm' => 60_000,
        's' => 1_000,
        _ => return None,
    };
    let number = text.get(..text.len() - 1)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<Millis>().ok()?.checked_mul(unit)
}

/// A time to the second, in UTC.
pub(crate) fn show(millis: Millis) -> String {
    let after = SignedDuration::from_secs(i64::try_from(millis / 1_000).unwrap_or(i64::MAX));
    match Timestamp::UNIX_EPOCH.checked_add(after) {
        Ok(timestamp) => timestamp.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => millis.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_743_422_400_000;

    #[test]
    fn every_form_of_a_time_is_understood() {
        for (text, millis) in [
            ("2025-03-31", 1_743_379_200_000),
            ("2025-03-31T12:00:00Z", NOW),
            ("2025-03-31T14:00:00+02:00", NOW),
            ("2025-03-31T12:00:00.250Z", NOW + 250),
            ("1743422400000", NOW),
            ("0", 0),
            ("now", NOW),
            ("-3d", NOW - 3 * 86_400_000),
            ("-90s", NOW - 90_000),
            ("-99999w", 0),
        ] {
            assert_eq!(parse_at(text, NOW), Ok(millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "-",
            "-3",
            "-d",
            "-3x",
            "--3d",
            "-+3d",
            "yesterday",
            "2025-13-01",
            "1.5",
            "1960-01-01",
            "99999999999999999999",
        ] {
            assert!(parse_at(text, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(show(NOW), "2025-03-31 12:00:00");
        assert_eq!(show(Millis::MAX), Millis::MAX.to_string());
    }
}
