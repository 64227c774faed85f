//! The terminal that answers are shown on.

use rustyline::DefaultEditor;

/// Characters of a line, if standard output is a terminal that says so.
pub(super) fn width() -> Option<usize> {
    let (columns, _) = DefaultEditor::new().ok()?.dimensions()?;
    (columns > 0).then_some(usize::from(columns))
}
