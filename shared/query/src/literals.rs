//! Bare `0x…` literals, as users of Dune write them, put as bytes before DuckDB parses the text.
//!
//! DuckDB reads `0xab` as the number 0 called `xab`. [`rewrite`] writes `CAST('\xAB' AS BLOB)` in its place and keeps
//! where everything stood, so that errors point into the user's own text. What is quoted or a comment stays untouched.
//!
//! It cannot open a hole, whatever it makes of a text: the gate never sees the user's text but the tree that DuckDB's
//! parser makes of the *rewritten* one, and only that tree is run. Were a token read wrongly here, the gate would judge
//! another query than its author meant, but it would judge the one that runs. What is put in is a constant with
//! nothing of the user's but hexadecimal digits, and it begins with a keyword, so that it neither joins a literal
//! before it nor turns a name before it into a function.

mod lexer;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::error::QueryError;

/// A text that DuckDB can parse, and where its parts stood in the user's.
#[derive(Clone)]
pub struct Rewritten<'a> {
    original: &'a str,
    text: Cow<'a, str>,
    edits: Vec<Edit>,
}

/// Without the text, which is the user's own.
impl fmt::Debug for Rewritten<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rewritten").field("edits", &self.edits).finish_non_exhaustive()
    }
}

/// A literal: its bytes in the rewritten text and in the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    written: Range<usize>,
    original: Range<usize>,
}

/// Why a text is not handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiteralError {
    /// Nothing stands after `0x`.
    #[error("nothing stands after 0x: write the bytes in hexadecimal, or ''::BLOB for no bytes")]
    Empty {
        /// Byte of the text at which the literal begins.
        position: u64,
    },
    /// Half a byte is missing.
    #[error("a 0x literal has {digits} digits, an odd number: two digits are a byte, so write 0x0… or correct it")]
    Odd {
        /// Digits after `0x`.
        digits: usize,
        /// Byte of the text at which the literal begins.
        position: u64,
    },
    /// Comments in comments in comments.
    #[error("more than {most} comments stand within each other: end some with */", most = lexer::MOST_COMMENTS)]
    Comments {
        /// Byte of the text at which the outermost begins.
        position: u64,
    },
    /// Something else than a digit.
    #[error("{found:?} is no hexadecimal digit, and stands in a 0x literal")]
    NotHexadecimal {
        /// The character.
        found: char,
        /// Byte of the text at which the character stands.
        position: u64,
    },
}

impl LiteralError {
    /// Byte of the user's text, from 0.
    pub fn position(&self) -> u64 {
        match self {
            Self::Empty { position }
            | Self::Odd { position, .. }
            | Self::Comments { position }
            | Self::NotHexadecimal { position, .. } => *position,
        }
    }
}

impl From<LiteralError> for QueryError {
    fn from(error: LiteralError) -> Self {
        Self::Syntax { message: error.to_string(), position: Some(error.position()) }
    }
}

/// Writes every bare `0x…` of `sql` as a constant of bytes.
///
/// # Errors
/// [`LiteralError`] for the first literal that is none, and for comments that are too deep.
pub fn rewrite(sql: &str) -> Result<Rewritten<'_>, LiteralError> {
    let mut text = String::new();
    let mut edits = Vec::new();
    let mut copied = 0;
    let literals = lexer::literals(sql).map_err(|at| LiteralError::Comments { position: at as u64 })?;
    for literal in literals {
        let digits = digits(sql, &literal)?;
        text.push_str(&sql[copied..literal.start]);
        let start = text.len();
        push_constant(&mut text, digits);
        copied = literal.end;
        edits.push(Edit { written: start..text.len(), original: literal });
    }
    if edits.is_empty() {
        return Ok(Rewritten { original: sql, text: Cow::Borrowed(sql), edits });
    }
    text.push_str(&sql[copied..]);
    Ok(Rewritten { original: sql, text: Cow::Owned(text), edits })
}

impl Rewritten<'_> {
    /// The text for DuckDB.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The byte of the user's text that stands for byte `position` of the rewritten one. All of a constant stands for
    /// the literal's first byte.
    pub fn original_position(&self, position: u64) -> u64 {
        let Ok(position) = usize::try_from(position) else { return position };
        let before = self.edits.partition_point(|edit| edit.written.start <= position);
        let original = match before.checked_sub(1).map(|last| &self.edits[last]) {
            None => position,
            Some(edit) if position < edit.written.end => edit.original.start,
            Some(edit) => position - edit.written.end + edit.original.end,
        };
        original as u64
    }

    /// As if this had been made of `original`.
    #[cfg(test)]
    pub(crate) fn with_original<'b>(&self, original: &'b str) -> Rewritten<'b> {
        Rewritten { original, text: Cow::Owned(self.text.to_string()), edits: self.edits.clone() }
    }

    /// Whether a bare literal stands at byte `position` of the user's text.
    pub(crate) fn has_literal_at(&self, position: u64) -> bool {
        let rest = usize::try_from(position).ok().and_then(|position| self.original.get(position..));
        rest.is_some_and(|rest| rest.starts_with("0x") || rest.starts_with("0X"))
    }
}

/// The digits of a literal, checked.
fn digits<'a>(sql: &'a str, literal: &Range<usize>) -> Result<&'a str, LiteralError> {
    let position = literal.start as u64;
    let digits = &sql[literal.start + 2..literal.end];
    if digits.is_empty() {
        return Err(LiteralError::Empty { position });
    }
    if let Some((offset, found)) = digits.char_indices().find(|(_, c)| !c.is_ascii_hexdigit()) {
        return Err(LiteralError::NotHexadecimal { found, position: position + 2 + offset as u64 });
    }
    if digits.len() % 2 == 1 {
        return Err(LiteralError::Odd { digits: digits.len(), position });
    }
    Ok(digits)
}

/// `digits` is a whole number of bytes in ASCII.
fn push_constant(text: &mut String, digits: &str) {
    text.push_str("CAST('");
    let mut rest = digits;
    while let Some((byte, others)) = rest.split_at_checked(2) {
        text.push_str("\\x");
        text.push_str(&byte.to_ascii_uppercase());
        rest = others;
    }
    text.push_str("' AS BLOB)");
}
