//! Faults in words, with the line they are on and a mark below their place.

use super::reply::QueryFault;

/// Characters of a line that are shown on each side of the place.
const AROUND: usize = 60;

/// The fault of the statement that begins `offset` bytes into `text`.
pub(super) fn describe(text: &str, offset: usize, fault: &QueryFault) -> String {
    let mut words = format!("isotherm: {} ({})\n", fault.message, fault.code);
    if let Some(detail) = &fault.detail {
        words.push_str(detail);
        words.push('\n');
    }
    let position = fault.position.and_then(|position| usize::try_from(position).ok());
    let place = position.and_then(|position| text.split_at_checked(offset.checked_add(position)?));
    if let Some((before, after)) = place {
        words.push_str(&mark(before, after));
    }
    words
}

/// The line that the place between `before` and `after` is on, with its number, and a mark below the place.
fn mark(before: &str, after: &str) -> String {
    let number = before.matches('\n').count() + 1;
    let left = before.rsplit('\n').next().unwrap_or("");
    let right = after.lines().next().unwrap_or("");
    let hidden_left = left.chars().count().saturating_sub(AROUND);
    let left: String = left.chars().skip(hidden_left).collect();
    let shown_right: String = right.chars().take(AROUND).collect();
    let begins = if hidden_left > 0 { "…" } else { "" };
    let ends = if shown_right.len() < right.len() { "…" } else { "" };
    let label = format!("line {number}: {begins}");
    let column = label.chars().count() + left.chars().count();
    // A tab is as wide as a space here, so that the mark stands below its place.
    format!("{label}{left}{shown_right}{ends}\n{}^\n", " ".repeat(column)).replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(position: Option<u64>) -> QueryFault {
        QueryFault { code: "query.syntax".to_owned(), message: "no".to_owned(), detail: None, position }
    }

    #[test]
    fn a_fault_is_marked_below_its_place() {
        let text = describe("select *\nform blocks", 0, &fault(Some(9)));
        assert_eq!(text, "isotherm: no (query.syntax)\nline 2: form blocks\n        ^\n");
        let detailed = QueryFault { detail: Some("more".to_owned()), ..fault(Some(0)) };
        assert_eq!(describe("x", 0, &detailed), "isotherm: no (query.syntax)\nmore\nline 1: x\n        ^\n");
    }

    #[test]
    fn lines_are_those_of_the_file_and_tabs_do_not_move_the_mark() {
        let text = describe("select 1;\n\tselect é form", 11, &fault(Some(10)));
        assert_eq!(text, "isotherm: no (query.syntax)\nline 2:  select é form\n                  ^\n");
    }

    #[test]
    fn a_long_line_is_cut_on_both_sides() {
        let line = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let text = describe(&line, 0, &fault(Some(500)));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], format!("line 1: …{}X{}…", "a".repeat(AROUND), "b".repeat(AROUND - 1)));
        assert_eq!(lines[1].chars().nth(lines[2].chars().count() - 1), Some('X'));
    }

    #[test]
    fn a_position_outside_the_statement_is_left_out() {
        for position in [None, Some(99), Some(u64::MAX)] {
            assert_eq!(describe("select 1", 1, &fault(position)), "isotherm: no (query.syntax)\n");
        }
        assert_eq!(describe("é", 0, &fault(Some(1))), "isotherm: no (query.syntax)\n", "inside a character");
    }

    proptest! {
        #[test]
        fn the_mark_is_below_the_character_that_is_meant(
            before in "[a-zé\\n]{0,90}", after in "[a-z\\n]{0,90}", offset in 0_usize..3
        ) {
            let text = format!("{}{before}X{after}", "o".repeat(offset));
            let words = describe(&text, offset, &fault(Some(before.len() as u64)));
            let lines: Vec<&str> = words.lines().collect();
            prop_assert_eq!(lines[1].chars().nth(lines[2].chars().count() - 1), Some('X'));
        }
    }
}
