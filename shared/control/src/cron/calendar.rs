//! `cron(…)` as a set of instants: which minutes of which days, on the clock of a time zone.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;

use super::fields::{DAY_OF_MONTH, DAY_OF_WEEK, HOUR, MINUTE, MONTH, YEAR};
use super::{ScheduleError, zone};

/// The six fields of a cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    minutes: Vec<u16>,
    hours: Vec<u16>,
    days: Vec<DayRule>,
    months: Vec<u16>,
    years: Vec<u16>,
}

/// One way in which a day may match.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DayRule {
    /// One of these days of the month.
    OfMonth(Vec<u16>),
    /// `L`: the last day of the month.
    LastOfMonth,
    /// `LW`: the last weekday (Monday to Friday) of the month.
    LastWorkday,
    /// `15W`: the weekday of this month nearest to the day.
    NearestWorkday(u16),
    /// One of these days of the week; 1 is Sunday.
    OfWeek(Vec<u16>),
    /// `6#3`: the third Friday.
    Nth { weekday: u16, nth: u32 },
    /// `6L`: the last Friday.
    LastOfWeek(u16),
}

impl Calendar {
    /// Reads what stands between the brackets of `cron(…)`.
    ///
    /// # Errors
    /// [`ScheduleError`] naming the field.
    pub fn parse(inside: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = inside.split_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week, year] = fields[..] else {
            return Err(ScheduleError::FieldCount { inside: inside.to_owned(), count: fields.len() });
        };
        let days = match (day_of_month, day_of_week) {
            ("?", "?") => return Err(ScheduleError::DayTwice),
            (_, "?") => day_of_month.split(',').map(day_of_month_rule).collect::<Result<_, _>>()?,
            ("?", _) => day_of_week.split(',').map(day_of_week_rule).collect::<Result<_, _>>()?,
            _ => return Err(ScheduleError::DayTwice),
        };
        Ok(Self {
            minutes: MINUTE.numbers(minute)?,
            hours: HOUR.numbers(hour)?,
            days,
            months: MONTH.numbers(month)?,
            years: YEAR.numbers(year)?,
        })
    }

    /// The first tick after `instant`, the fields read in `zone`.
    pub(super) fn next_after(&self, zone: Tz, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = instant.with_timezone(&zone).naive_local();
        let mut date = local.date();
        loop {
            if self.has_day(date) {
                // Times of the clock before the present one have all been.
                let times = self.times().map(|time| date.and_time(time)).filter(|&time| time > local);
                let mut ticks = times.filter_map(|time| zone::first_instant(zone, time));
                if let Some(tick) = ticks.find(|&tick| tick > instant) {
                    return Some(tick);
                }
            }
            date = self.step(date, 1)?;
        }
    }

    /// The last tick that is not after `instant`, the fields read in `zone`.
    pub(super) fn previous_until(&self, zone: Tz, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // A clock that was set back over midnight has shown the next day already.
        let mut date = instant.with_timezone(&zone).date_naive().succ_opt()?;
        loop {
            if self.has_day(date) {
                let times = self.times().rev().map(|time| date.and_time(time));
                let mut ticks = times.filter_map(|time| zone::first_instant(zone, time));
                if let Some(tick) = ticks.find(|&tick| tick <= instant) {
                    return Some(tick);
                }
            }
            date = self.step(date, -1)?;
        }
    }

    /// The day after or before, months and years that never match left out; `None` outside the years.
    fn step(&self, date: NaiveDate, direction: i32) -> Option<NaiveDate> {
        let (first_year, last_year) = (i32::from(*self.years.first()?), i32::from(*self.years.last()?));
        if direction > 0 && date.year() < first_year {
            return NaiveDate::from_ymd_opt(first_year, 1, 1);
        }
        if direction < 0 && date.year() > last_year {
            return NaiveDate::from_ymd_opt(last_year, 12, 31);
        }
        let next = if self.has_month(date) {
            if direction > 0 { date.succ_opt()? } else { date.pred_opt()? }
        } else if direction > 0 {
            last_of_month(date)?.succ_opt()?
        } else {
            date.with_day(1)?.pred_opt()?
        };
        (first_year..=last_year).contains(&next.year()).then_some(next)
    }

    fn times(&self) -> impl DoubleEndedIterator<Item = NaiveTime> + '_ {
        self.hours.iter().flat_map(move |&hour| {
            let minutes = self.minutes.iter();
            minutes.filter_map(move |&minute| NaiveTime::from_hms_opt(u32::from(hour), u32::from(minute), 0))
        })
    }

    fn has_month(&self, date: NaiveDate) -> bool {
        self.months.iter().any(|&month| u32::from(month) == date.month())
            && self.years.iter().any(|&year| i32::from(year) == date.year())
    }

    fn has_day(&self, date: NaiveDate) -> bool {
        self.has_month(date) && self.days.iter().any(|rule| rule.matches(date).unwrap_or(false))
    }
}

impl DayRule {
    /// Whether `date` matches; `None` only at the ends of the calendar.
    fn matches(&self, date: NaiveDate) -> Option<bool> {
        let weekday = u16::try_from(date.weekday().number_from_sunday()).ok()?;
        let last = last_of_month(date)?;
        Some(match self {
            Self::OfMonth(days) => days.iter().any(|&day| u32::from(day) == date.day()),
            Self::LastOfMonth => date == last,
            Self::LastWorkday => date == nearest_workday(last)?,
            Self::NearestWorkday(day) => match date.with_day(u32::from(*day)) {
                Some(wanted) => date == nearest_workday(wanted)?,
                None => false,
            },
            Self::OfWeek(weekdays) => weekdays.contains(&weekday),
            Self::Nth { weekday: wanted, nth } => weekday == *wanted && date.day0() / 7 + 1 == *nth,
            Self::LastOfWeek(wanted) => weekday == *wanted && date.checked_add_days(Days::new(7))? > last,
        })
    }
}

/// The day from Monday to Friday nearest to `date` in the same month.
fn nearest_workday(date: NaiveDate) -> Option<NaiveDate> {
    let in_month = |day: Option<NaiveDate>| day.filter(|day| day.month() == date.month());
    match date.weekday() {
        chrono::Weekday::Sat => in_month(date.pred_opt()).or_else(|| date.checked_add_days(Days::new(2))),
        chrono::Weekday::Sun => in_month(date.succ_opt()).or_else(|| date.checked_sub_days(Days::new(2))),
        _ => Some(date),
    }
}

fn last_of_month(date: NaiveDate) -> Option<NaiveDate> {
    let first = date.with_day(1)?;
    first.checked_add_months(chrono::Months::new(1))?.pred_opt()
}

fn day_of_month_rule(item: &str) -> Result<DayRule, ScheduleError> {
    match item {
        "L" => Ok(DayRule::LastOfMonth),
        "LW" => Ok(DayRule::LastWorkday),
        _ => match item.strip_suffix('W') {
            Some(day) => Ok(DayRule::NearestWorkday(DAY_OF_MONTH.number(day)?)),
            None => Ok(DayRule::OfMonth(DAY_OF_MONTH.item(item)?)),
        },
    }
}

fn day_of_week_rule(item: &str) -> Result<DayRule, ScheduleError> {
    if item == "L" {
        return Ok(DayRule::OfWeek(vec![DAY_OF_WEEK.most]));
    }
    if let Some((weekday, nth)) = item.split_once('#') {
        let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth)).ok_or_else(|| DAY_OF_WEEK.refuse(item))?;
        return Ok(DayRule::Nth { weekday: DAY_OF_WEEK.number(weekday)?, nth });
    }
    match item.strip_suffix('L') {
        Some(weekday) => Ok(DayRule::LastOfWeek(DAY_OF_WEEK.number(weekday)?)),
        None => Ok(DayRule::OfWeek(DAY_OF_WEEK.item(item)?)),
    }
}
