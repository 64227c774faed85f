//! Tables for people, JSON for programs.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::Value;

use crate::args::Output;

/// As `println!`, by [`line()`].
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// Prints `json` for programs, or what `people` says for people.
pub(crate) fn show(output: Output, json: &Value, people: impl FnOnce()) -> anyhow::Result<()> {
    match output {
        Output::Table => people(),
        Output::Json => say!("{}", serde_json::to_string_pretty(json).context("could not write JSON")?),
    }
    Ok(())
}

/// An instant for people, in UTC, to the second.
pub(crate) fn instant(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The same; nothing if it is absent.
pub(crate) fn maybe_instant(maybe: Option<DateTime<Utc>>) -> String {
    maybe.map_or_else(String::new, instant)
}

/// Prints a line. A reader that has seen enough (`… | head`) ends the command quietly, as it does with other tools.
pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_fmt(format_args!("{text}\n")) {
        let code = if error.kind() == std::io::ErrorKind::BrokenPipe { 0 } else { 1 };
        std::process::exit(code);
    }
}

/// An empty table with these headings; columns named in `right` hold numbers and stand on the right.
pub(crate) fn table(headings: &[&str], right: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled).set_header(headings);
    for (index, heading) in headings.iter().enumerate() {
        if let (true, Some(column)) = (right.contains(heading), table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A JSON value as a cell: text without quotes, absent values as nothing.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A whole number with its thousands set apart: 1234567 → `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Characters of a progress bar.
const BAR_WIDTH: usize = 30;

/// How much of `total` is done, as a bar and in percent: `[###---…] 10.0 %`. Nothing of nothing is all of it.
pub(crate) fn bar(done: u64, total: u64) -> String {
    let done = done.min(total);
    let filled = u128::from(done) * BAR_WIDTH as u128;
    let filled = filled.checked_div(u128::from(total)).and_then(|filled| usize::try_from(filled).ok());
    let filled = filled.unwrap_or(BAR_WIDTH).min(BAR_WIDTH);
    let percent = if total == 0 { 100.0 } else { done as f64 * 100.0 / total as f64 };
    format!("[{}{}] {percent:.1} %", "#".repeat(filled), "-".repeat(BAR_WIDTH - filled))
}

/// A span in its two largest units.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_filled_as_far_as_the_work_is_done() {
        assert_eq!(bar(1, 4), format!("[{}{}] 25.0 %", "#".repeat(7), "-".repeat(23)));
        assert_eq!(bar(0, 0), format!("[{}] 100.0 %", "#".repeat(30)));
        assert_eq!(bar(9, 4), bar(4, 4));
        assert_eq!(bar(u64::MAX, u64::MAX), bar(1, 1));
    }

    #[test]
    fn thousands_are_set_apart() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }
}
