//! The fields of a cron expression as sets of numbers.

use super::ScheduleError;

/// What may stand in a field.
pub(super) struct FieldRule {
    pub(super) name: &'static str,
    pub(super) least: u16,
    pub(super) most: u16,
    /// Words for numbers, the first for `least`.
    pub(super) words: &'static [&'static str],
}

pub(super) const MINUTE: FieldRule = FieldRule { name: "minute", least: 0, most: 59, words: &[] };
pub(super) const HOUR: FieldRule = FieldRule { name: "hour", least: 0, most: 23, words: &[] };
pub(super) const DAY_OF_MONTH: FieldRule = FieldRule { name: "day-of-month", least: 1, most: 31, words: &[] };
pub(super) const MONTH: FieldRule = FieldRule {
    name: "month",
    least: 1,
    most: 12,
    words: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
/// 1 is Sunday.
pub(super) const DAY_OF_WEEK: FieldRule =
    FieldRule { name: "day-of-week", least: 1, most: 7, words: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] };
pub(super) const YEAR: FieldRule = FieldRule { name: "year", least: 1970, most: 2199, words: &[] };

impl FieldRule {
    /// The error that says what may stand here.
    pub(super) fn refuse(&self, text: &str) -> ScheduleError {
        ScheduleError::BadField {
            field: self.name,
            text: text.to_owned(),
            expected: format!("numbers from {} to {}, with `*`, `,`, `-` and `/`", self.least, self.most),
        }
    }

    /// The numbers that a whole field names, ascending.
    pub(super) fn numbers(&self, text: &str) -> Result<Vec<u16>, ScheduleError> {
        let mut numbers = Vec::new();
        for item in text.split(',') {
            numbers.extend(self.item(item)?);
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// The numbers that one item between commas names: `*`, `7`, `1-5`, `0/15`, `8-17/2`.
    pub(super) fn item(&self, item: &str) -> Result<Vec<u16>, ScheduleError> {
        let (span, step) = match item.split_once('/') {
            Some((span, step)) => (span, Some(step)),
            None => (item, None),
        };
        let step_by = match step {
            Some(text) => text.parse().ok().filter(|&step| step >= 1).ok_or_else(|| self.refuse(item))?,
            None => 1,
        };
        let (first, last) = if span == "*" {
            (self.least, self.most)
        } else if let Some((first, last)) = span.split_once('-') {
            (self.number(first)?, self.number(last)?)
        } else {
            let only = self.number(span)?;
            (only, if step.is_some() { self.most } else { only })
        };
        if first > last {
            return Err(self.refuse(item));
        }
        Ok((first..=last).step_by(step_by).collect())
    }

    /// One number or word.
    pub(super) fn number(&self, text: &str) -> Result<u16, ScheduleError> {
        let word = self.words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let number = match word {
            Some(index) => u16::try_from(index).ok().map(|index| self.least + index),
            None => text.parse().ok(),
        };
        number.filter(|number| (self.least..=self.most).contains(number)).ok_or_else(|| self.refuse(text))
    }
}
