//! SQL in pieces, as far as it takes to find where statements end, what is a word and what is quoted.
//!
//! **Source**: lexical rules of DuckDB's parser, which are those of PostgreSQL: nested comments, doubled quotes,
//! strings between dollar signs, backslashes in `E'…'` only. It never judges a statement: that is the server's part.

use std::ops::Range;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Space,
    /// A keyword or a name without quotes.
    Word,
    Number,
    /// A string, its quotes included.
    Text,
    /// A name in double quotes.
    QuotedName,
    Comment,
    Semicolon,
    /// Any other character.
    Sign,
}

/// A piece: bytes `start..end` of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether what it opens it also closes.
    pub(super) closed: bool,
}

impl Token {
    /// Its bytes.
    pub(super) fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether a statement has something to it with this piece.
    pub(super) fn counts(self) -> bool {
        !matches!(self.kind, Kind::Space | Kind::Comment | Kind::Semicolon)
    }
}

/// The pieces of `sql`, one behind the other; together they are all of it.
pub(super) fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = sql[start..].chars().next() {
        let (kind, length, closed) = piece(&sql[start..], first);
        tokens.push(Token { kind, start, end: start + length, closed });
        start += length;
    }
    tokens
}

/// Kind and length of the piece that `rest` begins with, and whether it is closed.
fn piece(rest: &str, first: char) -> (Kind, usize, bool) {
    let whole = |kind, length| (kind, length, true);
    match first {
        _ if first.is_whitespace() => whole(Kind::Space, run(rest, char::is_whitespace)),
        '-' if rest.starts_with("--") => whole(Kind::Comment, run(rest, |letter| letter != '\n')),
        '/' if rest.starts_with("/*") => of(Kind::Comment, rest, nested_comment(rest)),
        '\'' => of(Kind::Text, rest, quoted(rest, 0, b'\'', false)),
        'e' | 'E' if rest[1..].starts_with('\'') => of(Kind::Text, rest, quoted(rest, 1, b'\'', true)),
        '"' => of(Kind::QuotedName, rest, quoted(rest, 0, b'"', false)),
        '$' => match dollar_tag(rest) {
            Some(tag) => of(Kind::Text, rest, between_dollars(rest, tag)),
            None => whole(Kind::Sign, 1),
        },
        ';' => whole(Kind::Semicolon, 1),
        _ if first.is_ascii_digit() => whole(Kind::Number, run(rest, |letter| is_of_word(letter) || letter == '.')),
        _ if is_of_word(first) => whole(Kind::Word, run(rest, |letter| is_of_word(letter) || letter == '$')),
        _ => whole(Kind::Sign, first.len_utf8()),
    }
}

/// A piece with an end, or with none: then it is all of the rest.
fn of(kind: Kind, rest: &str, end: Option<usize>) -> (Kind, usize, bool) {
    (kind, end.unwrap_or(rest.len()), end.is_some())
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Bytes of the characters at the beginning that are alike.
fn run(rest: &str, alike: impl Fn(char) -> bool) -> usize {
    rest.find(|letter| !alike(letter)).unwrap_or(rest.len())
}

/// Where a string or name ends whose opening quote is at `open`. A doubled quote stands for itself.
fn quoted(rest: &str, open: usize, quote: u8, backslashes: bool) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = open + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if backslashes => at += 2,
            _ if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            _ if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// Where a comment ends, those within it included.
fn nested_comment(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") if depth == 1 => return Some(at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    None
}

/// `$$` or `$name$` at the beginning.
fn dollar_tag(rest: &str) -> Option<&str> {
    let name = rest[1..].split_once('$')?.0;
    let is_name = name.chars().all(is_of_word) && !name.starts_with(|first: char| first.is_ascii_digit());
    is_name.then(|| &rest[..name.len() + 2])
}

fn between_dollars(rest: &str, tag: &str) -> Option<usize> {
    rest[tag.len()..].find(tag).map(|end| tag.len() + end + tag.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(sql: &str) -> Vec<(Kind, &str)> {
        let tokens = tokens(sql).into_iter().filter(|token| token.kind != Kind::Space);
        tokens.map(|token| (token.kind, &sql[token.range()])).collect()
    }

    #[test]
    fn pieces_are_what_the_server_takes_them_for() {
        use Kind::{Comment, Number, QuotedName, Semicolon, Sign, Text, Word};
        let table: [(&str, &[(Kind, &str)]); 10] = [
            ("select 1", &[(Word, "select"), (Number, "1")]),
            ("a;b", &[(Word, "a"), (Semicolon, ";"), (Word, "b")]),
            ("'it''s;' x", &[(Text, "'it''s;'"), (Word, "x")]),
            ("'a\\';'b'", &[(Text, "'a\\'"), (Semicolon, ";"), (Text, "'b'")]),
            ("E'a\\';' x", &[(Text, "E'a\\';'"), (Word, "x")]),
            ("\"a;\"\"b\"", &[(QuotedName, "\"a;\"\"b\"")]),
            ("/* /* ; */ */ -- ;\nx", &[(Comment, "/* /* ; */ */"), (Comment, "-- ;"), (Word, "x")]),
            ("$$a;'$$ $t$b;$$;$t$", &[(Text, "$$a;'$$"), (Text, "$t$b;$$;$t$")]),
            ("$1 + $a", &[(Sign, "$"), (Number, "1"), (Sign, "+"), (Sign, "$"), (Word, "a")]),
            ("x = 0xab.c", &[(Word, "x"), (Sign, "="), (Number, "0xab.c")]),
        ];
        for (sql, expected) in table {
            assert_eq!(kinds(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_left_open_is_told() {
        for open in ["'a", "E'a\\'", "\"a", "/* /* */", "$$a$", "$t$a$$"] {
            let last = tokens(open).pop().unwrap();
            assert!(!last.closed && last.end == open.len(), "{open}: {last:?}");
        }
        for closed in ["'a'", "\"a\"", "/**/", "-- a", "$$$$", "", "a$b$"] {
            assert!(tokens(closed).iter().all(|token| token.closed), "{closed}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_together_the_text(sql in "[a-z0-9 '\"$;/*\\\\eE.\\n-]{0,40}|\\PC{0,20}") {
            let together: String = tokens(&sql).into_iter().map(|token| &sql[token.range()]).collect();
            prop_assert_eq!(together, sql);
        }
    }
}
