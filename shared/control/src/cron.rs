//! Schedule expressions as EventBridge Scheduler has them, and the ticks that they make.
//!
//! Source: Amazon EventBridge Scheduler User Guide, "Schedule types in EventBridge Scheduler". Pure: the clock is passed
//! in. EventBridge makes the ticks; this module checks an expression before it is applied, names a tick whose time did
//! not come along, and finds the ticks that did not come ([`catch_up`]).

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;

pub mod catch_up;

mod calendar;
mod fields;
mod zone;

pub use calendar::Calendar;

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// `rate(5 minutes)`: every so often. Ticks are taken to lie at whole multiples of the period since 1970.
    Rate {
        /// The period; at least a minute.
        period: TimeDelta,
    },
    /// `cron(minute hour day-of-month month day-of-week year)`.
    Cron {
        /// Which minutes.
        calendar: Box<Calendar>,
        /// Whose clock.
        zone: Tz,
    },
    /// `at(2026-11-23T06:00:00)`: once, on the clock of the time zone.
    At {
        /// The one tick.
        instant: DateTime<Utc>,
    },
}

/// A schedule expression that EventBridge would refuse, or that never fires.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Neither `rate(…)`, `cron(…)` nor `at(…)`.
    #[error(
        "schedule {expression:?} is none of rate(VALUE UNIT), cron(MINUTE HOUR DAY MONTH WEEKDAY YEAR), at(YYYY-MM-DDTHH:MM:SS)"
    )]
    UnknownForm {
        /// What was given.
        expression: String,
    },
    /// A rate that is no whole number of minutes, hours or days.
    #[error("rate({inside}) is not a whole number from 1 and minutes, hours or days (after 1: minute, hour or day)")]
    BadRate {
        /// What stood between the brackets.
        inside: String,
    },
    /// An instant of another form.
    #[error("at({inside}) is not of the form 2026-11-23T06:00:00")]
    BadInstant {
        /// What stood between the brackets.
        inside: String,
    },
    /// No time zone of this name.
    #[error("there is no time zone {name:?}; it is a name of the IANA database, such as Europe/Berlin")]
    UnknownZone {
        /// What was given.
        name: String,
    },
    /// An instant that the clock of the time zone jumps over.
    #[error("at({inside}) never comes: the clock of {zone} jumps over it")]
    JumpedOver {
        /// What stood between the brackets.
        inside: String,
        /// The time zone.
        zone: String,
    },
    /// Not six fields.
    #[error("cron({inside}) has {count} fields; it needs minute, hour, day of month, month, day of week and year")]
    FieldCount {
        /// What stood between the brackets.
        inside: String,
        /// Fields found.
        count: usize,
    },
    /// A field that cannot be read.
    #[error("the {field} field {text:?} of the cron expression cannot be read: {expected}")]
    BadField {
        /// Which field.
        field: &'static str,
        /// What it holds.
        text: String,
        /// What may stand there.
        expected: String,
    },
    /// Day of month and day of week both named, or neither.
    #[error("one of day of month and day of week must be `?`, and not both")]
    DayTwice,
    /// Well formed, and no date matches.
    #[error("cron({inside}) never fires: no date matches")]
    NeverFires {
        /// What stood between the brackets.
        inside: String,
    },
}

impl std::str::FromStr for Schedule {
    type Err = ScheduleError;

    /// Reads an expression in UTC.
    fn from_str(expression: &str) -> Result<Self, ScheduleError> {
        parse(expression, Tz::UTC)
    }
}

fn parse(expression: &str, zone: Tz) -> Result<Schedule, ScheduleError> {
    let inside = |name: &str| {
        let rest = expression.trim().strip_prefix(name)?.strip_prefix('(')?;
        rest.strip_suffix(')').map(str::trim)
    };
    if let Some(inside) = inside("rate") {
        return parse_rate(inside).ok_or_else(|| ScheduleError::BadRate { inside: inside.to_owned() });
    }
    if let Some(inside) = inside("at") {
        let local = NaiveDateTime::parse_from_str(inside, "%Y-%m-%dT%H:%M:%S")
            .map_err(|_unreadable| ScheduleError::BadInstant { inside: inside.to_owned() })?;
        let jumped_over = || ScheduleError::JumpedOver { inside: inside.to_owned(), zone: zone.name().to_owned() };
        return Ok(Schedule::At { instant: zone::first_instant(zone, local).ok_or_else(jumped_over)? });
    }
    if let Some(inside) = inside("cron") {
        let calendar = Box::new(Calendar::parse(inside)?);
        if calendar.next_after(zone, DateTime::UNIX_EPOCH).is_none() {
            return Err(ScheduleError::NeverFires { inside: inside.to_owned() });
        }
        return Ok(Schedule::Cron { calendar, zone });
    }
    Err(ScheduleError::UnknownForm { expression: expression.to_owned() })
}

fn parse_rate(inside: &str) -> Option<Schedule> {
    let (value, unit) = inside.split_once(' ')?;
    let value: u32 = value.parse().ok().filter(|&value| value >= 1)?;
    let minutes = match (unit.trim(), value) {
        ("minute", 1) | ("minutes", 2..) => 1,
        ("hour", 1) | ("hours", 2..) => 60,
        ("day", 1) | ("days", 2..) => 24 * 60,
        _ => return None,
    };
    Some(Schedule::Rate { period: TimeDelta::try_minutes(i64::from(value) * minutes)? })
}

impl Schedule {
    /// Reads `expression` for the clock of `timezone`, a name of the IANA database. A rate has none: it goes by the time
    /// that passes.
    ///
    /// # Errors
    /// [`ScheduleError`] for what EventBridge would refuse, and for what never fires.
    pub fn in_zone(expression: &str, timezone: &str) -> Result<Self, ScheduleError> {
        let zone = timezone.parse().map_err(|_unknown| ScheduleError::UnknownZone { name: timezone.to_owned() })?;
        parse(expression, zone)
    }

    /// The tick that a scheduler means when it says that it was due at `scheduled_time`, in whole seconds.
    ///
    /// A rate runs from when its schedule was made, so the scheduler's ticks lie between those of [`Self::next_after`], one
    /// in each period: it is the one at whose period's start. Other ticks are what they are.
    pub fn tick_of(&self, scheduled_time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Rate { period } => multiple_until(scheduled_time, *period),
            Self::Cron { .. } | Self::At { .. } => DateTime::from_timestamp(scheduled_time.timestamp(), 0),
        }
    }

    /// How long after a tick a scheduler that is never late may call for it: see [`Self::tick_of`].
    pub fn longest_delay(&self) -> TimeDelta {
        match self {
            Self::Rate { period } => *period,
            Self::Cron { .. } | Self::At { .. } => TimeDelta::zero(),
        }
    }

    /// The first tick after `instant`; `None` if there is none.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Rate { period } => multiple_until(instant, *period)?.checked_add_signed(*period),
            Self::Cron { calendar, zone } => calendar.next_after(*zone, instant),
            Self::At { instant: once } => (*once > instant).then_some(*once),
        }
    }

    /// The last tick that is not after `instant`; `None` if there is none.
    pub fn previous_until(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Rate { period } => multiple_until(instant, *period),
            Self::Cron { calendar, zone } => calendar.previous_until(*zone, instant),
            Self::At { instant: once } => (*once <= instant).then_some(*once),
        }
    }
}

/// The last whole multiple of `period` since 1970 that is not after `instant`.
fn multiple_until(instant: DateTime<Utc>, period: TimeDelta) -> Option<DateTime<Utc>> {
    let seconds = instant.timestamp();
    DateTime::from_timestamp(seconds - seconds.rem_euclid(period.num_seconds()), 0)
}

/// The identity of the tick at `scheduled_time`: the same for every delivery of it. Keys sort as their ticks do.
pub fn tick_key(scheduled_time: DateTime<Utc>) -> String {
    format!("tick-{}", scheduled_time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// The tick that [`tick_key`] made `key` of; `None` for other keys.
pub fn tick_of_key(key: &str) -> Option<DateTime<Utc>> {
    key.strip_prefix("tick-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn schedule(expression: &str) -> Schedule {
        expression.parse().unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    #[test]
    fn ticks_are_those_that_eventbridge_documents() {
        let from = at("2026-11-23T06:38:22Z"); // a Monday
        let cases = [
            ("rate(1 minute)", "2026-11-23T06:39:00Z", "2026-11-23T06:38:00Z"),
            ("rate(2 hours)", "2026-11-23T08:00:00Z", "2026-11-23T06:00:00Z"),
            ("cron(0 10 * * ? *)", "2026-11-23T10:00:00Z", "2026-11-22T10:00:00Z"),
            ("cron(15 12 * * ? *)", "2026-11-23T12:15:00Z", "2026-11-22T12:15:00Z"),
            ("cron(0 18 ? * MON-FRI *)", "2026-11-23T18:00:00Z", "2026-11-20T18:00:00Z"),
            ("cron(0 8 1 * ? *)", "2026-12-01T08:00:00Z", "2026-11-01T08:00:00Z"),
            ("cron(0/15 * * * ? *)", "2026-11-23T06:45:00Z", "2026-11-23T06:30:00Z"),
            ("cron(0/5 8-17 ? * MON-FRI *)", "2026-11-23T08:00:00Z", "2026-11-20T17:55:00Z"),
            ("cron(0 9 ? * 2#1 *)", "2026-12-07T09:00:00Z", "2026-11-02T09:00:00Z"),
            ("cron(0 0 L * ? *)", "2026-11-30T00:00:00Z", "2026-10-31T00:00:00Z"),
            ("cron(0 0 ? * 6L *)", "2026-11-27T00:00:00Z", "2026-10-30T00:00:00Z"),
            ("cron(0 0 15W * ? *)", "2026-12-15T00:00:00Z", "2026-11-16T00:00:00Z"),
            ("cron(0 0 29 2 ? *)", "2028-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("cron(30 4 ? JAN,JUL SUN 2027)", "2027-01-03T04:30:00Z", ""),
            ("at(2026-12-24T18:00:00)", "2026-12-24T18:00:00Z", ""),
        ];
        for (expression, next, previous) in cases {
            let schedule = schedule(expression);
            assert_eq!(schedule.next_after(from), Some(at(next)), "next of {expression}");
            let previous = if previous.is_empty() { None } else { Some(at(previous)) };
            assert_eq!(schedule.previous_until(from), previous, "previous of {expression}");
        }
    }

    #[test]
    fn what_eventbridge_refuses_is_refused_with_a_reason() {
        for expression in [
            "every minute",
            "rate(0 minutes)",
            "rate(1 minutes)",
            "rate(5 minute)",
            "rate(1.5 hours)",
            "rate(1 week)",
            "cron(0 10 * * *)",
            "cron(60 10 * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 0 * * * *)",
            "cron(0 0 ? * ? *)",
            "cron(0 0 32 * ? *)",
            "cron(0 0 * 13 ? *)",
            "cron(0 0 ? * 8 *)",
            "cron(0 0 ? * MON#6 *)",
            "cron(0 0 * * ? 1969)",
            "cron(0 0 30 2 ? *)",
            "cron(5-1 0 * * ? *)",
            "cron(0/0 0 * * ? *)",
            "at(tomorrow)",
            "cron(0 0 1 1 ? )",
            "cron(, 0 1 1 ? *)",
        ] {
            assert!(expression.parse::<Schedule>().is_err(), "{expression} was accepted");
        }
    }

    #[test]
    fn a_tick_has_one_name_however_it_is_written() {
        assert_eq!(tick_key(at("2026-11-23T06:38:00Z")), tick_key(at("2026-11-23T07:38:00.000+01:00")));
        assert_eq!(tick_key(at("2026-11-23T06:38:00Z")), "tick-2026-11-23T06:38:00Z");
        assert_eq!(tick_of_key("tick-2026-11-23T06:38:00Z"), Some(at("2026-11-23T06:38:00Z")));
        assert_eq!(tick_of_key("missed-2026-11-23T06:38:00Z"), None);
    }

    #[test]
    fn a_scheduler_that_counts_a_rate_from_another_moment_means_the_same_ticks() {
        let rate = schedule("rate(5 minutes)");
        assert_eq!(rate.tick_of(at("2026-11-23T06:38:22Z")), Some(at("2026-11-23T06:35:00Z")));
        assert_eq!(rate.tick_of(at("2026-11-23T06:40:00Z")), Some(at("2026-11-23T06:40:00Z")));
        let cron = schedule("cron(0/5 * * * ? *)");
        assert_eq!(cron.tick_of(at("2026-11-23T06:38:00.4Z")), Some(at("2026-11-23T06:38:00Z")));
    }

    proptest::proptest! {
        #[test]
        fn previous_and_next_leave_no_gap(seconds in 0i64..4_000_000_000, index in 0usize..6) {
            let expression = ["rate(7 minutes)", "cron(*/7 3 ? * TUE *)", "cron(0 0 LW * ? *)", "cron(5 1-3 1W * ? *)",
                              "cron(0 12 ? 3,9 5#3 *)", "cron(59 23 31 * ? *)"][index];
            let schedule = schedule(expression);
            let from = DateTime::from_timestamp(seconds, 0).unwrap();
            if let Some(next) = schedule.next_after(from) {
                proptest::prop_assert!(next > from);
                proptest::prop_assert_eq!(schedule.previous_until(next), Some(next));
                let before = schedule.previous_until(next - TimeDelta::seconds(1));
                proptest::prop_assert!(before.is_none_or(|before| before <= from));
                proptest::prop_assert_eq!(before, schedule.previous_until(from));
            }
        }
    }
}
