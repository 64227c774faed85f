//! Answers as tables that fit the terminal.
//!
//! Elsewhere than on a terminal no value is ever shortened.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::Value;

use super::reply::{Answer, AnswerColumn, ChainState};
use crate::output::grouped;

/// Characters that bytes are shortened to where the table would be too wide, tried in this order.
const SHORTENED: [usize; 3] = [34, 22, 14];

/// A table whose columns would on average be narrower is written a line a value.
const NARROWEST_COLUMN: usize = 8;

/// Types whose values stand on the right.
const NUMBERS: [&str; 14] = [
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
    "BIGNUM",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
];

/// The rows as a table of at most `width` characters, if that is a terminal's.
pub(super) fn table(answer: &Answer, width: Option<usize>) -> String {
    let whole = build(answer, usize::MAX);
    let Some(width) = width.filter(|width| needed(&whole) > *width) else { return whole.to_string() };
    let mut narrow = whole;
    for most in SHORTENED {
        narrow = build(answer, most);
        if needed(&narrow) <= width {
            return narrow.to_string();
        }
    }
    if answer.columns.len() * NARROWEST_COLUMN > width {
        return expanded(answer);
    }
    narrow.set_content_arrangement(ContentArrangement::Dynamic);
    narrow.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    narrow.to_string()
}

fn build(answer: &Answer, most: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(answer.columns.iter().map(|column| visible(&column.name)));
    for (index, column) in answer.columns.iter().enumerate() {
        if let (true, Some(cells)) = (is_number(column), table.column_mut(index)) {
            cells.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in &answer.rows {
        table.add_row(row.iter().zip(&answer.columns).map(|(value, column)| {
            let text = cell(value);
            if column.sql_type == "BLOB" { shortened(text, most) } else { text }
        }));
    }
    table
}

/// Characters that the table takes: each column has a space on both sides and one behind it or a border, which the
/// table begins with too.
fn needed(table: &Table) -> usize {
    table.column_max_content_widths().into_iter().map(|width| usize::from(width) + 3).sum::<usize>() + 1
}

fn is_number(column: &AnswerColumn) -> bool {
    let name = column.sql_type.split('(').next().unwrap_or("");
    NUMBERS.contains(&name)
}

/// A value for people: NULL can be told from nothing.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => visible(text),
        other => visible(&other.to_string()),
    }
}

/// `text` without what could move the cursor or turn the line around: rows hold what strangers have written.
fn visible(text: &str) -> String {
    let turns = |letter| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || turns(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// At most `most` characters: what is too long loses its middle.
fn shortened(text: String, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text;
    }
    let tail = (most - 1) / 2;
    let head: String = text.chars().take(most - 1 - tail).collect();
    let tail: String = text.chars().skip(length - tail).collect();
    format!("{head}…{tail}")
}

/// The rows with a line for each value.
pub(super) fn expanded(answer: &Answer) -> String {
    let names: Vec<String> = answer.columns.iter().map(|column| visible(&column.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (index, row) in answer.rows.iter().enumerate() {
        lines.push(format!("─[ row {} ]─", grouped(index as u64 + 1)));
        for (name, value) in names.iter().zip(row) {
            lines.push(format!("{name:<width$} │ {}", cell(value)));
        }
    }
    lines.join("\n")
}

/// The line below a table: rows, time, and the chain state that they are of.
pub(super) fn footer(answer: &Answer) -> String {
    let count = answer.result.as_ref().map_or(answer.row_count, |result| result.row_count);
    let rows = if count == 1 { "row" } else { "rows" };
    let cut = if answer.truncated { ", cut off at the row limit" } else { "" };
    let time = answer.duration_ms.map_or_else(String::new, |milliseconds| format!(" in {milliseconds} ms"));
    let states: Vec<String> = answer.state.iter().map(state).collect();
    let states = if states.is_empty() { String::new() } else { format!(" ({})", states.join("; ")) };
    format!("{} {rows}{cut}{time}{states}", grouped(count))
}

fn state(state: &ChainState) -> String {
    match state.tip_number {
        Some(tip) => format!("{} at block {}", state.chain, grouped(tip)),
        None => format!("{}, nothing stored yet", state.chain),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::query::reply::tests as replies;

    fn answer(columns: &[(&str, &str)], rows: &Value) -> Answer {
        let columns: Vec<_> = columns.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
        replies::answer(&json!({ "columns": columns, "rows": rows }))
    }

    fn widest(text: &str) -> usize {
        text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
    }

    #[test]
    fn nothing_is_shortened_but_on_a_terminal_that_is_too_narrow() {
        let hash = format!("0x{}", "ab".repeat(32));
        let answer = answer(&[("n", "BIGINT"), ("hash", "BLOB")], &json!([[1, hash], [null, hash]]));
        for width in [None, Some(200)] {
            assert!(table(&answer, width).contains(&hash), "{width:?}");
        }
        let narrow = table(&answer, Some(60));
        assert!(narrow.contains("0xabababababababa…") && widest(&narrow) <= 60, "{narrow}");
        assert!(narrow.contains("NULL"), "{narrow}");
        assert!(expanded(&answer).contains(&hash));
    }

    #[test]
    fn numbers_stand_on_the_right_and_text_on_the_left() {
        let answer = answer(&[("n", "DECIMAL(38,0)"), ("t", "VARCHAR")], &json!([["1", "a"], ["1000", "abcd"]]));
        let table = table(&answer, None);
        assert!(table.contains("│    1   a    │"), "{table}");
    }

    #[test]
    fn text_that_does_not_fit_is_wrapped_and_many_columns_become_lines() {
        let words = "word ".repeat(30);
        let one = answer(&[("t", "VARCHAR")], &json!([[words]]));
        assert!(widest(&table(&one, Some(40))) <= 40 && table(&one, Some(40)).lines().count() > 5);
        let names: Vec<String> = (0..30).map(|index| format!("column_{index}")).collect();
        let columns: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "BIGINT")).collect();
        let many = answer(&columns, &json!([vec![1; 30]]));
        let lines = table(&many, Some(80));
        assert!(lines.starts_with("─[ row 1 ]─\ncolumn_0  │ 1\n"), "{lines}");
    }

    #[test]
    fn what_strangers_have_written_cannot_move_the_cursor() {
        let answer = answer(&[("t", "VARCHAR")], &json!([["a\u{1b}[2Jb\nc\u{202e}d"]]));
        for text in [table(&answer, None), table(&answer, Some(30)), expanded(&answer)] {
            assert!(text.contains("a\\u{1b}[2Jb\\nc\\u{202e}d"), "{text}");
        }
    }

    #[test]
    fn the_footer_has_rows_time_and_tip() {
        assert_eq!(footer(&replies::answer(&replies::rows())), "2 rows in 12 ms (demo at block 9)");
        let cut = replies::answer(&json!({ "row_count": 1, "truncated": true }));
        assert_eq!(footer(&cut), "1 row, cut off at the row limit");
    }

    proptest! {
        #[test]
        fn a_shortened_text_keeps_both_ends(text in "0x[0-9a-f]{0,80}", which in 0..SHORTENED.len()) {
            let most = SHORTENED[which];
            let short = shortened(text.clone(), most);
            prop_assert!(short.chars().count() <= most);
            match short.split_once('…') {
                Some((head, tail)) => prop_assert!(text.starts_with(head) && text.ends_with(tail)),
                None => prop_assert_eq!(short, text),
            }
        }
    }
}
