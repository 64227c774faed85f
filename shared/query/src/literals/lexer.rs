//! Finds bare `0x…` words among the tokens of DuckDB's SQL.
//!
//! **Source**: the scanner of DuckDB 1.5.5 (`third_party/libpg_query`), and the spaces of Unicode that its parser takes
//! for spaces. Only where a token ends matters here, not what it means. A token that does not end runs to the end of
//! the text, and DuckDB says what is wrong with it.

use std::ops::Range;

/// Comments within each other. DuckDB 1.5.5 takes a time that grows with the square of their number: 0.8 s for 4,000 of them, 63 s for
/// 64,000.
pub(super) const MOST_COMMENTS: usize = 64;

/// Bytes of each word that begins with `0x` where a token begins, in their order.
///
/// # Errors
/// Where a comment begins that holds more than [`MOST_COMMENTS`] within each other.
pub(super) fn literals(sql: &str) -> Result<Vec<Range<usize>>, usize> {
    let lexer = Lexer { sql, bytes: sql.as_bytes() };
    let mut found = Vec::new();
    let mut at = 0;
    while at < sql.len() {
        let end = lexer.token_end(at);
        if lexer.is_literal(at) {
            found.push(at..end);
        }
        if sql[at..].starts_with("/*") && lexer.comment(at).1 > MOST_COMMENTS {
            return Err(at);
        }
        at = end;
    }
    Ok(found)
}

struct Lexer<'a> {
    sql: &'a str,
    bytes: &'a [u8],
}

impl Lexer<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn is_literal(&self, at: usize) -> bool {
        self.byte(at) == Some(b'0') && matches!(self.byte(at + 1), Some(b'x' | b'X'))
    }

    /// End of the token, space or comment that begins at `at`; always the start of a character.
    fn token_end(&self, at: usize) -> usize {
        let next = self.byte(at + 1);
        match self.bytes[at] {
            quote @ (b'\'' | b'"') => self.quoted_end(at + 1, quote),
            b'e' | b'E' if next == Some(b'\'') => self.escaped_end(at + 2),
            b'-' if next == Some(b'-') => self.line_end(at),
            b'/' if next == Some(b'*') => self.comment(at).0,
            b'$' => self.dollar_end(at),
            b'0' if self.is_literal(at) => self.word_end(at),
            b'0'..=b'9' => self.number_end(at),
            b'.' if next.is_some_and(|byte| byte.is_ascii_digit()) => self.digits_end(at + 1),
            _ => match self.word_end(at) {
                end if end > at => end,
                _ => at + self.character_length(at),
            },
        }
    }

    /// Bytes of the character at `at`; none at the end.
    fn character_length(&self, at: usize) -> usize {
        self.sql[at..].chars().next().map_or(0, char::len_utf8)
    }

    /// End of a run of characters that names are made of.
    fn word_end(&self, at: usize) -> usize {
        self.sql[at..].find(|c| !is_of_word(c)).map_or(self.sql.len(), |length| at + length)
    }

    fn digits_end(&self, at: usize) -> usize {
        let rest = &self.bytes[at.min(self.bytes.len())..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'_').count();
        at + digits
    }

    /// `1`, `1.`, `1.5`. An exponent is a word of its own here, which changes nothing.
    fn number_end(&self, at: usize) -> usize {
        let end = self.digits_end(at);
        let has_point = self.byte(end) == Some(b'.') && self.byte(end + 1) != Some(b'.');
        if has_point { self.digits_end(end + 1) } else { end }
    }

    /// End of what was opened by `quote`; two of them stand for one.
    fn quoted_end(&self, mut at: usize, quote: u8) -> usize {
        while let Some(byte) = self.byte(at) {
            at += 1;
            if byte == quote {
                if self.byte(at) != Some(quote) {
                    return at;
                }
                at += 1;
            }
        }
        at
    }

    /// End of `E'…'`, in which a backslash takes the next character with it. It goes on after a line break and another
    /// quote, as the standard has it.
    fn escaped_end(&self, mut at: usize) -> usize {
        while let Some(byte) = self.byte(at) {
            at += 1;
            match byte {
                b'\\' => at += self.character_length(at),
                b'\'' if self.byte(at) == Some(b'\'') => at += 1,
                b'\'' => match self.continuation(at) {
                    Some(next) => at = next,
                    None => return at,
                },
                _ => {}
            }
        }
        at
    }

    /// Start of a literal's next part, if only spaces, comments and at least one line break come before its quote.
    fn continuation(&self, mut at: usize) -> Option<usize> {
        let mut is_new_line = false;
        loop {
            match self.byte(at)? {
                b'\n' | b'\r' => is_new_line = true,
                b' ' | b'\t' | 0x0b | 0x0c => {}
                b'-' if self.byte(at + 1) == Some(b'-') => {
                    at = self.line_end(at);
                    continue;
                }
                b'\'' if is_new_line => return Some(at + 1),
                _ => return None,
            }
            at += 1;
        }
    }

    fn line_end(&self, at: usize) -> usize {
        self.sql[at..].find(['\n', '\r']).map_or(self.sql.len(), |length| at + length)
    }

    /// End of a `/* … */`, and how many of them stand within each other.
    fn comment(&self, mut at: usize) -> (usize, usize) {
        let (mut depth, mut deepest) = (0usize, 0);
        while at < self.bytes.len() {
            match (self.bytes[at], self.byte(at + 1)) {
                (b'/', Some(b'*')) => depth += 1,
                (b'*', Some(b'/')) => depth -= 1,
                _ => {
                    at += 1;
                    continue;
                }
            }
            at += 2;
            deepest = deepest.max(depth);
            if depth == 0 {
                break;
            }
        }
        (at, deepest)
    }

    /// End of `$tag$ … $tag$`, of a parameter, or of a lone `$`.
    fn dollar_end(&self, at: usize) -> usize {
        let is_of_tag = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
        let inside = &self.sql[at + 1..];
        let tag = inside.find(|c| !is_of_tag(c)).map_or(inside, |length| &inside[..length]);
        let is_number = tag.starts_with(|c: char| c.is_ascii_digit());
        if is_number {
            return at + 1 + tag.bytes().take_while(u8::is_ascii_digit).count();
        }
        let body = at + 1 + tag.len();
        if self.byte(body) != Some(b'$') {
            return body;
        }
        let delimiter = &self.sql[at..=body];
        let end = self.sql[body + 1..].find(delimiter);
        end.map_or(self.sql.len(), |length| body + 1 + length + delimiter.len())
    }
}

/// Names are made of letters, digits, `_`, `$` and whatever is not ASCII but the spaces of Unicode.
fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !(c.is_ascii() || is_space_of_unicode(c))
}

fn is_space_of_unicode(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{2000}'..='\u{200b}' | '\u{202f}' | '\u{205f}' | '\u{2060}' | '\u{3000}' | '\u{feff}')
}
