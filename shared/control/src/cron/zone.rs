//! What the clock of a time zone shows, as instants.
//!
//! Source: Amazon EventBridge Scheduler User Guide, "Daylight savings time on EventBridge Scheduler": in spring an
//! invocation at a date and time that does not exist is skipped; in autumn "your schedule runs only once and does not
//! repeat its invocation". The guide does not say which of the two times that is; here it is the first.

use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// When the clock of `zone` first shows `local`; `None` if it jumps over it.
///
/// Later times of the clock give later instants, however the clock is set.
pub(super) fn first_instant(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    Some(zone.from_local_datetime(&local).earliest()?.to_utc())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::{Schedule, ScheduleError};
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn schedule(expression: &str, zone: &str) -> Schedule {
        Schedule::in_zone(expression, zone).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// The ticks after `from` up to `to`.
    fn ticks(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
        let next = |tick: &DateTime<Utc>| schedule.next_after(*tick).filter(|next| *next <= at(to));
        let ticks = std::iter::successors(next(&at(from)), next);
        ticks.map(|tick| tick.format("%dT%H:%M").to_string()).collect()
    }

    #[test]
    fn a_time_that_the_clock_jumps_over_is_skipped_and_one_that_comes_twice_ticks_once() {
        let cases: [(&str, &str, &str, &str, &[&str]); 9] = [
            // 02:00 becomes 03:00 at 01:00Z on 29 March, 03:00 becomes 02:00 at 01:00Z on 25 October.
            (
                "Europe/Berlin",
                "cron(30 2 * * ? *)",
                "2026-03-28T00:00:00Z",
                "2026-03-31T00:00:00Z",
                &["28T01:30", "30T00:30"],
            ),
            (
                "Europe/Berlin",
                "cron(30 2 * * ? *)",
                "2026-10-24T00:00:00Z",
                "2026-10-27T00:00:00Z",
                &["24T00:30", "25T00:30", "26T01:30"],
            ),
            (
                "Europe/Berlin",
                "cron(0/30 1-3 25 10 ? 2026)",
                "2026-10-24T00:00:00Z",
                "2026-10-27T00:00:00Z",
                &["24T23:00", "24T23:30", "25T00:00", "25T00:30", "25T02:00", "25T02:30"],
            ),
            // 02:00 becomes 03:00 at 07:00Z on 8 March, 02:00 becomes 01:00 at 06:00Z on 1 November.
            (
                "America/New_York",
                "cron(0 2 * * ? *)",
                "2026-03-07T00:00:00Z",
                "2026-03-10T00:00:00Z",
                &["07T07:00", "09T06:00"],
            ),
            (
                "America/New_York",
                "cron(15 1 * * ? *)",
                "2026-10-31T00:00:00Z",
                "2026-11-03T00:00:00Z",
                &["31T05:15", "01T05:15", "02T06:15"],
            ),
            // Never set; half an hour off.
            (
                "Asia/Kolkata",
                "cron(0 9 ? * MON-FRI *)",
                "2026-11-20T03:30:00Z",
                "2026-11-24T12:00:00Z",
                &["23T03:30", "24T03:30"],
            ),
            // By half an hour: 02:00 becomes 02:30 at 15:30Z on 3 October, 02:00 becomes 01:30 at 15:00Z on 4 April.
            (
                "Australia/Lord_Howe",
                "cron(15 2 * * ? *)",
                "2026-10-02T00:00:00Z",
                "2026-10-05T00:00:00Z",
                &["02T15:45", "04T15:15"],
            ),
            (
                "Australia/Lord_Howe",
                "cron(45 1 * * ? *)",
                "2026-04-03T00:00:00Z",
                "2026-04-06T00:00:00Z",
                &["03T14:45", "04T14:45", "05T15:15"],
            ),
            // Rates go by the time that passes.
            ("Europe/Berlin", "rate(1 day)", "2026-10-24T00:00:00Z", "2026-10-26T00:00:00Z", &["25T00:00", "26T00:00"]),
        ];
        for (zone, expression, from, to, expected) in cases {
            assert_eq!(ticks(&schedule(expression, zone), from, to), expected, "{expression} in {zone} from {from}");
        }
    }

    #[test]
    fn one_tick_is_on_the_clock_of_its_zone() {
        let instants = [
            ("at(2026-07-01T09:00:00)", "Europe/Berlin", "2026-07-01T07:00:00Z"),
            ("at(2026-10-25T02:30:00)", "Europe/Berlin", "2026-10-25T00:30:00Z"),
            ("at(2026-07-01T09:00:00)", "Asia/Kolkata", "2026-07-01T03:30:00Z"),
            ("at(2026-07-01T09:00:00)", "UTC", "2026-07-01T09:00:00Z"),
        ];
        for (expression, zone, instant) in instants {
            assert_eq!(schedule(expression, zone), Schedule::At { instant: at(instant) }, "{expression} in {zone}");
        }
    }

    #[test]
    fn what_can_never_come_and_unknown_zones_are_refused() {
        let refused = |expression, zone| Schedule::in_zone(expression, zone).unwrap_err();
        assert!(matches!(
            refused("at(2026-03-29T02:30:00)", "Europe/Berlin"),
            ScheduleError::JumpedOver { zone, .. } if zone == "Europe/Berlin"
        ));
        let never = refused("cron(30 2 29 3 ? 2026)", "Europe/Berlin");
        assert!(matches!(never, ScheduleError::NeverFires { .. }));
        for zone in ["Europe/Bielefeld", "europe/berlin", "", "+01:00"] {
            assert!(matches!(refused("rate(1 hour)", zone), ScheduleError::UnknownZone { .. }), "{zone:?}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_over_midnight_loses_no_tick() {
        // In 2010 St. John's set its clock from 00:01 back to 23:01.
        let midnight = schedule("cron(0 0 * * ? *)", "America/St_Johns");
        assert_eq!(
            ticks(&midnight, "2010-11-06T00:00:00Z", "2010-11-09T00:00:00Z"),
            ["06T02:30", "07T02:30", "08T03:30"]
        );
        let in_the_hour_that_comes_again = at("2010-11-07T03:00:00Z");
        assert_eq!(midnight.previous_until(in_the_hour_that_comes_again), Some(at("2010-11-07T02:30:00Z")));
    }

    proptest::proptest! {
        #[test]
        fn previous_and_next_agree_on_every_clock(
            // Half of the cases within a day of a change.
            offset in -100_000i64..100_000, change in 0usize..8, anywhere in 0i64..2_000_000_000,
            near in proptest::bool::ANY, zone in 0usize..5, expression in 0usize..5,
        ) {
            let changes = ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z",
                           "2026-10-03T15:30:00Z", "2026-04-04T15:00:00Z", "2010-11-07T02:31:00Z", "2010-03-14T03:31:00Z"];
            let zones = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"];
            let expressions = ["cron(0/7 * * * ? *)", "cron(30 2 * * ? *)", "cron(0 0 * * ? *)", "cron(15 1-3 ? * SUN *)",
                               "cron(59 23 L * ? *)"];
            let seconds = if near { at(changes[change]).timestamp() + offset } else { anywhere };
            let from = DateTime::from_timestamp(seconds, 0).unwrap();
            let schedule = schedule(expressions[expression], zones[zone]);
            let next = schedule.next_after(from).unwrap();
            proptest::prop_assert!(next > from);
            proptest::prop_assert_eq!(schedule.previous_until(next), Some(next));
            let before = schedule.previous_until(from);
            proptest::prop_assert_eq!(schedule.previous_until(next - TimeDelta::seconds(1)), before);
            if let Some(before) = before {
                proptest::prop_assert!(before <= from);
                proptest::prop_assert_eq!(schedule.next_after(before), Some(next));
            }
        }
    }
}
