//! Which ticks of a schedule nobody was there for, and what becomes of them. Pure.
//!
//! A tick is *accounted for* once it lies at or before the mark `ticked_until` of its trigger, or has a row of its own in
//! `control.trigger_fires`. A tick that comes by itself only makes its row; the mark is moved by [`plan`] alone, over
//! ticks that all are accounted for. So it does not matter in which order ticks, repetitions of them and sweeps come:
//! each tick is dealt with once.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::Schedule;

/// How long a tick is waited for, from when it is due at the latest, before it counts as not delivered.
///
/// Source: EventBridge Scheduler calls within 60 s of the time (User Guide, "Schedule types in EventBridge Scheduler"); half
/// a minute more for the call itself.
pub const GRACE: TimeDelta = TimeDelta::seconds(90);

/// How much one sweep does about one trigger; the next one goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ticks looked at.
    pub looked_at: usize,
    /// Ticks that are fired late.
    pub fired: usize,
    /// Missed ticks that get a row each; those after them share one.
    pub missed_rows: usize,
}

/// Two weeks of a tick a minute are looked at in a sweep.
pub const LIMITS: Limits = Limits { looked_at: 20_000, fired: 100, missed_rows: 100 };

/// The ticks that are in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Every tick until here is accounted for: `ticked_until`.
    pub after: DateTime<Utc>,
    /// Ticks after here may still come by themselves.
    pub until: DateTime<Utc>,
    /// Ticks until here are too old to be made up for.
    pub too_old_until: DateTime<Utc>,
}

impl Window {
    /// The window at `now` of a trigger with `schedule` that makes up for ticks that should have come less than
    /// `catch_up_seconds` ago.
    ///
    /// A trigger without a mark was written by a program that kept none; it starts with the ticks that may still come.
    pub fn at(
        now: DateTime<Utc>,
        ticked_until: Option<DateTime<Utc>>,
        schedule: &Schedule,
        catch_up_seconds: u64,
    ) -> Self {
        let due = now.checked_sub_signed(schedule.longest_delay()).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let until = due.checked_sub_signed(GRACE).unwrap_or(due);
        let catch_up = i64::try_from(catch_up_seconds).ok().and_then(TimeDelta::try_seconds);
        let too_old_until = catch_up.and_then(|catch_up| due.checked_sub_signed(catch_up));
        Self {
            after: ticked_until.unwrap_or(until),
            until,
            too_old_until: too_old_until.unwrap_or(DateTime::<Utc>::MIN_UTC),
        }
    }
}

/// What is to be done about ticks that did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fire this one late.
    Fire(DateTime<Utc>),
    /// Write this one down as missed.
    Missed(DateTime<Utc>),
    /// Write these down as missed, all in one row.
    MissedRun {
        /// The first of them.
        first: DateTime<Utc>,
        /// The last of them.
        last: DateTime<Utc>,
        /// How many.
        count: u64,
    },
}

/// What a sweep does about one trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatchUp {
    /// In the order of time.
    pub steps: Vec<Step>,
    /// Where the mark goes: every tick until there is accounted for once `steps` are done. Never before it was.
    pub ticked_until: DateTime<Utc>,
}

/// Plans a sweep. `known` are the ticks of the window that have a row.
pub fn plan(schedule: &Schedule, window: &Window, known: &BTreeSet<DateTime<Utc>>, limits: Limits) -> CatchUp {
    let (mut late, mut missed) = (Vec::new(), Vec::new());
    let mut ticked_until = window.after;
    let mut looked_at = 0;
    loop {
        let Some(tick) = schedule.next_after(ticked_until).filter(|&tick| tick <= window.until) else {
            ticked_until = window.until.max(window.after);
            break;
        };
        if looked_at >= limits.looked_at {
            break;
        }
        if !known.contains(&tick) {
            if tick <= window.too_old_until {
                missed.push(tick);
            } else if late.len() < limits.fired {
                late.push(Step::Fire(tick));
            } else {
                break;
            }
        }
        looked_at += 1;
        ticked_until = tick;
    }
    let rest = missed.split_off(limits.missed_rows.min(missed.len()));
    let mut steps: Vec<Step> = missed.into_iter().map(Step::Missed).collect();
    if let (Some(&first), Some(&last)) = (rest.first(), rest.last()) {
        steps.push(Step::MissedRun { first, last, count: rest.len() as u64 });
    }
    steps.extend(late);
    CatchUp { steps, ticked_until }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn minute(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_020 + minute * 60, 0).unwrap()
    }

    fn rate() -> Schedule {
        "rate(1 minute)".parse().unwrap()
    }

    fn planned(now: i64, ticked_until: i64, catch_up_minutes: u64, known: &[i64], limits: Limits) -> CatchUp {
        let window = Window::at(minute(now), Some(minute(ticked_until)), &rate(), catch_up_minutes * 60);
        plan(&rate(), &window, &known.iter().map(|&tick| minute(tick)).collect(), limits)
    }

    #[test]
    fn a_tick_is_waited_for_then_fired_late_and_after_the_window_missed() {
        let few = Limits { looked_at: 100, fired: 3, missed_rows: 2 };
        let fire = |ticks: &[i64]| ticks.iter().map(|&tick| Step::Fire(minute(tick))).collect::<Vec<_>>();
        // now, mark, catch-up window in minutes, known -> steps
        assert_eq!(planned(11, 8, 60, &[], few).steps, [], "a rate ticks within its period, and 90 seconds are waited");
        assert_eq!(planned(11, 6, 60, &[], few).steps, fire(&[7, 8]));
        assert_eq!(planned(11, 5, 60, &[7], few).steps, fire(&[6, 8]), "one came by itself");
        assert_eq!(planned(11, 6, 3, &[], few).steps, [Step::Missed(minute(7)), Step::Fire(minute(8))]);
        assert_eq!(planned(11, 6, 0, &[], few).steps, [Step::Missed(minute(7)), Step::Missed(minute(8))]);
        assert_eq!(planned(10, 20, 60, &[], few), CatchUp { steps: Vec::new(), ticked_until: minute(20) });
    }

    #[test]
    fn a_sweep_is_bounded_and_the_next_one_goes_on() {
        let few = Limits { looked_at: 100, fired: 3, missed_rows: 2 };
        let first = planned(60, 10, 60, &[], few);
        let fired: Vec<Step> = (11..14).map(|tick| Step::Fire(minute(tick))).collect();
        assert_eq!(first, CatchUp { steps: fired, ticked_until: minute(13) });
        let second = planned(60, 13, 60, &[14], few);
        assert_eq!(second.ticked_until, minute(17), "14 was known already");

        let short = Limits { looked_at: 4, ..few };
        assert_eq!(planned(60, 10, 1, &[], short).ticked_until, minute(14));
    }

    #[test]
    fn a_long_run_of_missed_ticks_is_a_few_rows() {
        let few = Limits { looked_at: 10_000, fired: 3, missed_rows: 2 };
        let plan = planned(1000, 0, 1, &[5], few);
        let run = Step::MissedRun { first: minute(3), last: minute(997), count: 994 };
        assert_eq!(plan.steps, [Step::Missed(minute(1)), Step::Missed(minute(2)), run]);
        assert_eq!(plan.ticked_until, minute(999) - GRACE);
    }

    #[test]
    fn a_rate_that_ticks_late_in_its_period_is_neither_missed_nor_made_up_for() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let hourly: Schedule = "rate(1 hour)".parse().unwrap();
        let planned = |schedule: &Schedule, now, catch_up_seconds, known: &[DateTime<Utc>]| {
            let window = Window::at(at(now), Some(at("2026-11-23T06:38:00Z")), schedule, catch_up_seconds);
            plan(schedule, &window, &known.iter().copied().collect(), LIMITS).steps
        };
        // The scheduler counts from 06:38, when it was made: the tick of 07:00 comes at 07:38.
        let tick = at("2026-11-23T07:00:00Z");
        assert_eq!(hourly.tick_of(at("2026-11-23T07:38:00Z")), Some(tick));
        for catch_up_seconds in [0, 3_600] {
            assert_eq!(planned(&hourly, "2026-11-23T07:40:00Z", catch_up_seconds, &[]), []);
            assert_eq!(planned(&hourly, "2026-11-23T08:02:00Z", catch_up_seconds, &[tick]), []);
        }
        // One that has not come by the end of its period will not come.
        assert_eq!(planned(&hourly, "2026-11-23T08:02:00Z", 3_600, &[]), [Step::Fire(tick)]);
        assert_eq!(planned(&hourly, "2026-11-23T08:02:00Z", 60, &[]), [Step::Missed(tick)]);
        // Other schedules tick when they say.
        let calendar: Schedule = "cron(0 * * * ? *)".parse().unwrap();
        assert_eq!(planned(&calendar, "2026-11-23T07:02:00Z", 3_600, &[]), [Step::Fire(tick)]);
    }

    #[test]
    fn a_trigger_without_a_mark_starts_now() {
        let window = Window::at(minute(10), None, &rate(), 3600);
        assert_eq!(plan(&rate(), &window, &BTreeSet::new(), LIMITS).steps, []);
        let for_ever = Window::at(minute(10), Some(minute(0)), &rate(), u64::MAX);
        assert_eq!(plan(&rate(), &for_ever, &BTreeSet::new(), LIMITS).steps.len(), 7);
    }

    /// What is kept of a trigger, and how often each tick was dealt with.
    struct Trigger {
        ticked_until: DateTime<Utc>,
        rows: BTreeSet<DateTime<Utc>>,
        dealt_with: BTreeMap<DateTime<Utc>, u64>,
    }

    impl Trigger {
        fn deal_with(&mut self, tick: DateTime<Utc>) {
            *self.dealt_with.entry(tick).or_default() += 1;
        }

        fn tick(&mut self, tick: DateTime<Utc>) {
            if tick > self.ticked_until && self.rows.insert(tick) {
                self.deal_with(tick);
            }
        }

        fn sweep(&mut self, schedule: &Schedule, now: DateTime<Utc>, catch_up_seconds: u64, limits: Limits) {
            let window = Window::at(now, Some(self.ticked_until), schedule, catch_up_seconds);
            let plan = plan(schedule, &window, &self.rows, limits);
            assert!(plan.ticked_until >= self.ticked_until);
            for step in plan.steps {
                match step {
                    Step::Fire(tick) | Step::Missed(tick) => {
                        assert!(self.rows.insert(tick), "{tick} has a row already");
                        self.deal_with(tick);
                    }
                    Step::MissedRun { first, last, count } => {
                        let ticks = std::iter::successors(Some(first), |tick| schedule.next_after(*tick));
                        let ticks: Vec<_> = ticks.take_while(|tick| *tick <= last).collect();
                        let without_row: Vec<_> = ticks.into_iter().filter(|tick| !self.rows.contains(tick)).collect();
                        assert_eq!(without_row.len() as u64, count);
                        without_row.into_iter().for_each(|tick| self.deal_with(tick));
                    }
                }
            }
            self.ticked_until = plan.ticked_until;
        }
    }

    proptest::proptest! {
        #[test]
        fn every_tick_is_accounted_for_once_whatever_comes_when(
            // What happens: a tick so many minutes late (or doubled), or a sweep, each some seconds after the one before.
            happenings in proptest::collection::vec((0i64..600, proptest::option::weighted(0.6, 0i64..40)), 1..60),
            catch_up_seconds in 0u64..3000, fired in 2usize..6, missed_rows in 0usize..6, looked_at in 2usize..30,
        ) {
            let schedule = rate();
            let limits = Limits { looked_at, fired, missed_rows };
            let mut trigger =
                Trigger { ticked_until: minute(0), rows: BTreeSet::new(), dealt_with: BTreeMap::new() };
            let mut now = minute(0);
            for (seconds, late) in happenings {
                now += TimeDelta::seconds(seconds);
                match late {
                    Some(minutes) => {
                        let tick = schedule.previous_until(now - TimeDelta::minutes(minutes)).unwrap();
                        trigger.tick(tick);
                    }
                    None => trigger.sweep(&schedule, now, catch_up_seconds, limits),
                }
            }
            let end = now;
            while trigger.ticked_until <= end {
                now += TimeDelta::minutes(1);
                trigger.sweep(&schedule, now, catch_up_seconds, limits);
            }
            let due = std::iter::successors(schedule.next_after(minute(0)), |tick| schedule.next_after(*tick));
            for tick in due.take_while(|tick| *tick <= end) {
                proptest::prop_assert_eq!(trigger.dealt_with.get(&tick), Some(&1), "{} of {}", tick, end);
            }
            proptest::prop_assert!(trigger.dealt_with.values().all(|&times| times == 1));
        }
    }
}
