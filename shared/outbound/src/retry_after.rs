//! The header `Retry-After`. Pure.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};

/// What any longer wait counts as: 31 years.
const LONGEST_SECONDS: u64 = 999_999_999;

/// The three forms of an HTTP date, the usual one first. **Source**: RFC 9110, section 5.6.7.
const DATES: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// How long `value` asks to wait from `now` on: a number of seconds, or a date, which may have passed. `None` if it is neither.
///
/// **Source**: RFC 9110, section 10.2.3.
pub fn parse(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that no u64 holds is as good as the longest.
        let seconds = value.parse().unwrap_or(LONGEST_SECONDS);
        return Some(Duration::from_secs(seconds.min(LONGEST_SECONDS)));
    }
    let date = DATES.iter().find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())?;
    let wait = date.and_utc().signed_duration_since(now);
    Some(wait.to_std().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_all_forms_of_dates_are_understood() {
        let now = DateTime::from_timestamp(784_111_777 - 90, 0).unwrap();
        for value in [
            "90",
            " 90 ",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(value, now), Some(Duration::from_secs(90)), "{value}");
        }
        assert_eq!(parse("0", now), Some(Duration::ZERO));
        assert_eq!(parse("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO), "a date that has passed");
        assert_eq!(parse("99999999999999999999999", now), Some(Duration::from_secs(999_999_999)));
    }

    #[test]
    fn anything_else_says_nothing() {
        let now = DateTime::from_timestamp(784_111_777, 0).unwrap();
        for value in
            ["", "soon", "-1", "1.5", "1e3", "0x10", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 36 Nov 1994 08:49:37 GMT"]
        {
            assert_eq!(parse(value, now), None, "{value}");
        }
    }
}
