//! Forms of text.

use std::str::FromStr;

use chrono::{NaiveDateTime, TimeZone};

use super::super::tree::quoted;
use super::{Format, did_you_mean, nearest};
use crate::cron::Schedule;
use crate::jobs::DatasetName;

/// Name of a job or a trigger, as the tables' checks have it.
pub(super) const NAME: Format = Format {
    pattern: Some("^[a-z0-9][a-z0-9_-]{0,62}$"),
    least: 1,
    most: 63,
    check: |text| match is_name(text, "_-") {
        true => Ok(()),
        false => Err("it must be 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit".to_owned()),
    },
};

/// Name of an operator: a folder under `fargate-operators/`.
pub(super) const OPERATOR: Format = Format {
    pattern: Some("^[a-z0-9][a-z0-9_]{0,62}$"),
    least: 1,
    most: 63,
    check: |text| match is_name(text, "_") {
        true => Ok(()),
        false => Err("it must be 1 to 63 of a-z, 0-9 and _, starting with a letter or digit".to_owned()),
    },
};

/// `logs` or `143/logs`.
pub(super) const DATASET: Format = Format {
    pattern: Some("^([0-9]{1,19}/)?(blocks|transactions|logs|traces)$"),
    least: 1,
    most: 40,
    check: |text| match DatasetName::from_str(text) {
        Ok(name) if name.to_string().len() == text.len() => Ok(()),
        Ok(_) => Err("its chain id must be written without a sign and without zeros before it".to_owned()),
        Err(error) => Err(error.allowed.to_owned()),
    },
};

/// An EventBridge expression.
///
/// Source of the length: EventBridge Scheduler API reference, `CreateSchedule`, `ScheduleExpression`.
pub(super) const SCHEDULE: Format = Format {
    pattern: Some(r"^(rate|cron|at)\(.*\)$"),
    least: 1,
    most: 256,
    check: |text| {
        if text.trim() != text {
            return Err("it must not begin or end with a space".to_owned());
        }
        Schedule::from_str(text).map(drop).map_err(|error| error.to_string())
    },
};

/// A name of the IANA database.
///
/// Source of the length: EventBridge Scheduler API reference, `CreateSchedule`, `ScheduleExpressionTimezone`.
pub(super) const TIME_ZONE: Format = Format {
    pattern: Some("^[A-Za-z][A-Za-z0-9_+/-]*$"),
    least: 1,
    most: 50,
    check: |text| match chrono_tz::Tz::from_str(text) {
        Ok(_) => Ok(()),
        Err(_) => {
            let first = text.chars().next().map(|letter| letter.to_ascii_uppercase());
            let names = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            let same = names().find(|name| name.eq_ignore_ascii_case(text));
            let hint =
                did_you_mean(same.or_else(|| nearest(text, names().filter(|name| name.chars().next() == first))));
            Err(format!("it must be a name of the IANA time zone database, such as Europe/Berlin{hint}"))
        }
    },
};

/// Name of a secret.
pub(super) const SECRET: Format = Format {
    pattern: Some("^[A-Za-z0-9/_+=.@-]+$"),
    least: 1,
    most: 512,
    // Source: Secrets Manager API reference, `CreateSecret`, `Name`.
    check: |text| match text.chars().all(|c| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c)) {
        true => Ok(()),
        false => Err("it must be of letters, digits and /_+=.@-, as names of secrets are".to_owned()),
    },
};

/// Name of an environment variable.
pub(super) const VARIABLE: Format = Format {
    pattern: Some("^[A-Za-z_][A-Za-z0-9_]*$"),
    least: 1,
    most: 128,
    check: |text| {
        let is_good = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match is_good && !text.starts_with(|c: char| c.is_ascii_digit()) {
            true => Ok(()),
            false => Err("an environment variable is of letters, digits and _, no digit first".to_owned()),
        }
    },
};

/// Name of a task's parameter.
pub(super) const PARAMETER: Format = Format { pattern: None, least: 1, most: 128, check: |_any| Ok(()) };

/// A JSON pointer. Source: RFC 6901, section 3.
pub(super) const POINTER: Format = Format {
    pattern: Some("^(/([^~/]|~[01])*)*$"),
    least: 0,
    most: 1024,
    check: |text| {
        if !text.is_empty() && !text.starts_with('/') {
            return Err("a JSON pointer begins with `/`, or is empty for the whole body".to_owned());
        }
        match text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1'])) {
            true => Ok(()),
            false => Err("in a JSON pointer `~` is written `~0`, and `/` within a name `~1`".to_owned()),
        }
    },
};

fn is_name(name: &str, extra: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.starts_with(allowed)
        && name.chars().all(|letter| allowed(letter) || extra.contains(letter))
}

/// What is wrong with a schedule in a time zone, both good by themselves: an `at(…)` on a clock that skips it.
pub(in super::super) fn misfit(schedule: &str, time_zone: &str) -> Option<String> {
    let zone = chrono_tz::Tz::from_str(time_zone).ok()?;
    let inside = schedule.strip_prefix("at(")?.strip_suffix(')')?.trim();
    let local = NaiveDateTime::parse_from_str(inside, "%Y-%m-%dT%H:%M:%S").ok()?;
    let is_skipped = zone.from_local_datetime(&local).earliest().is_none();
    is_skipped.then(|| format!("{} never comes in {}: clocks are put forward over it", quoted(schedule), zone.name()))
}
