//! A text in statements.

use super::lexer::{self, Kind};

/// A statement and where in the text it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Statement<'t> {
    pub(super) text: &'t str,
    /// Bytes before it.
    pub(super) offset: usize,
}

/// The statements of `text`, without the `;` between them. What holds only space and comments is none.
pub(super) fn split(text: &str) -> Vec<Statement<'_>> {
    let mut statements = Vec::new();
    let (mut start, mut counts) = (0, false);
    let tokens = lexer::tokens(text);
    let ends = tokens.iter().map(|token| (token.counts(), (token.kind == Kind::Semicolon).then_some(token.start)));
    for (token_counts, end) in ends.chain([(false, Some(text.len()))]) {
        counts |= token_counts;
        let Some(end) = end else { continue };
        if counts {
            let part = text[start..end].trim_start();
            statements.push(Statement { text: part.trim_end(), offset: end - part.len() });
        }
        (start, counts) = (end + 1, false);
    }
    statements
}

/// Whether `text` can be run as it stands: every statement has its `;`, nothing is left open.
pub(super) fn is_complete(text: &str) -> bool {
    let tokens = lexer::tokens(text);
    let mut after_last = tokens.iter().rev().take_while(|token| token.kind != Kind::Semicolon);
    after_last.all(|token| token.closed && !token.counts())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        split(text).into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn statements_are_parted_where_the_server_would_part_them() {
        let table: [(&str, &[&str]); 9] = [
            ("", &[]),
            (" ; ;; -- nothing\n /* ; */ ", &[]),
            ("select 1", &["select 1"]),
            ("select 1;", &["select 1"]),
            ("select 1; select 2", &["select 1", "select 2"]),
            ("select ';'; select \";\"", &["select ';'", "select \";\""]),
            ("-- first;\nselect 1;", &["-- first;\nselect 1"]),
            ("select $a$;$a$; x", &["select $a$;$a$", "x"]),
            ("select '; never closed", &["select '; never closed"]),
        ];
        for (text, expected) in table {
            assert_eq!(texts(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_statement_knows_where_it_begins() {
        let text = "select 1;\n\n  select 2 ;";
        for statement in split(text) {
            assert!(text[statement.offset..].starts_with(statement.text));
        }
        assert_eq!(split(text)[1].offset, 13);
    }

    #[test]
    fn a_text_is_complete_when_its_last_statement_is_ended() {
        for complete in ["", "  \n", "select 1;", "select 1; ", "select 1; -- so", "-- so", "a; b;", "select ';';"] {
            assert!(is_complete(complete), "{complete:?}");
        }
        for open in ["select 1", "select 1; s", "select ';", "select 1; /* ", "select $$;", "select \";"] {
            assert!(!is_complete(open), "{open:?}");
        }
    }

    fn statement() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-z]{1,5}",
            "'[a-z;'$]{0,5}'".prop_map(|text| format!("'{}'", text[1..text.len() - 1].replace('\'', "''"))),
            Just("\"a;\"".to_owned()),
            Just("$q$;'$q$".to_owned()),
            Just("/* ;' */".to_owned()),
            Just("-- ;'\n".to_owned()),
        ];
        prop::collection::vec(piece, 0..5).prop_map(|pieces| format!("x {} y", pieces.join(" ")))
    }

    proptest! {
        #[test]
        fn what_is_joined_is_parted_again(statements in prop::collection::vec(statement(), 0..5)) {
            let joined: String = statements.iter().map(|statement| format!("{statement}; ")).collect();
            prop_assert_eq!(texts(&joined), statements);
            prop_assert!(is_complete(&joined));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,30}") {
            for statement in split(&text) {
                prop_assert!(!statement.text.is_empty());
                prop_assert!(text[statement.offset..].starts_with(statement.text));
            }
            is_complete(&text);
        }
    }
}
