//! What is wrong with a definition, and where.

use isotherm_types::{Classified, Disposition};
use serde::{Deserialize, Serialize};

/// Most errors that are reported of one definition.
const MOST_REPORTED: usize = 50;

/// Where in the text of a field something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Character of the line, from 1.
    pub column: u32,
}

impl Position {
    /// The begin of a text.
    pub const START: Self = Self { line: 1, column: 1 };

    /// Where the byte `offset` of `text` is; its end, if there is no such byte.
    pub fn of(text: &str, offset: usize) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: count(before.matches('\n').count() + 1), column: count(before[line_start..].chars().count() + 1) }
    }

    /// Where this is in a text of which the one that it was counted in begins at `start`.
    #[must_use]
    pub fn after(self, start: Self) -> Self {
        if self.line == 1 {
            return Self { line: start.line, column: start.column + self.column - 1 };
        }
        Self { line: start.line + self.line - 1, column: self.column }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Path of the field, such as `source.event` or `channels[1]`; empty: the definition itself.
    pub field: String,
    /// Where in the field's text; `None` if it is about the field as a whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<Position>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl FieldError {
    /// An error about a field as a whole.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), position: None, message: message.into() }
    }

    /// An error at a place in the field's text.
    pub fn at(field: impl Into<String>, position: Position, message: impl Into<String>) -> Self {
        Self { field: field.into(), position: Some(position), message: message.into() }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let field = if self.field.is_empty() { "the definition" } else { &self.field };
        match self.position {
            Some(position) => write!(f, "{field} at {position}: {}", self.message),
            None => write!(f, "{field}: {}", self.message),
        }
    }
}

/// Everything that is wrong with a definition. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rule is not right: {}", list(.errors))]
pub struct FieldErrors {
    /// By field, as they were found.
    pub errors: Vec<FieldError>,
}

impl FieldErrors {
    /// `Ok` if nothing was found.
    ///
    /// # Errors
    /// What was found, if anything was; of very many the first ones.
    pub fn check(mut errors: Vec<FieldError>) -> Result<(), Self> {
        errors.truncate(MOST_REPORTED);
        if errors.is_empty() { Ok(()) } else { Err(Self { errors }) }
    }
}

impl From<FieldError> for FieldErrors {
    fn from(error: FieldError) -> Self {
        Self { errors: vec![error] }
    }
}

impl Classified for FieldErrors {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "alerts.invalid_rule"
    }
}

fn list(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_lines_and_characters_from_one() {
        let text = "ä == 1 &&\n  böse";
        let at = |needle: &str| Position::of(text, text.find(needle).unwrap());
        assert_eq!(at("ä"), Position::START);
        assert_eq!(at("=="), Position { line: 1, column: 3 });
        assert_eq!(at("böse"), Position { line: 2, column: 3 });
        assert_eq!(Position::of(text, 9_999), Position { line: 2, column: 7 });
        assert_eq!(Position::of("ä", 1), Position::START, "inside a character");
    }

    #[test]
    fn a_position_of_a_part_is_one_of_the_whole() {
        let start = Position { line: 3, column: 10 };
        assert_eq!(Position { line: 1, column: 4 }.after(start), Position { line: 3, column: 13 });
        assert_eq!(Position { line: 2, column: 4 }.after(start), Position { line: 4, column: 4 });
    }

    #[test]
    fn errors_are_one_sentence_and_not_endless() {
        let many = (0..200).map(|i| FieldError::new(format!("channels[{i}]"), "it is no name")).collect();
        let errors = FieldErrors::check(many).unwrap_err();
        assert_eq!(errors.errors.len(), MOST_REPORTED);
        let one = FieldErrors::from(FieldError::at("condition", Position::START, "there is no `x`"));
        assert_eq!(one.to_string(), "the rule is not right: condition at 1:1: there is no `x`");
        assert_eq!(FieldErrors::check(Vec::new()), Ok(()));
    }
}
