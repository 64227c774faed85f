//! What the owner of a task does about a failure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the task's owner should do with a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Try again after the usual back-off.
    Retry,
    /// Try again, but not before this long.
    RetryAfter(Duration),
    /// Trying again cannot help.
    GiveUp,
}

/// An error that says what to do about it and what it is called for ever.
pub trait Classified: std::error::Error {
    /// What to do.
    fn disposition(&self) -> Disposition;

    /// Stable name for logs, metrics and `docs/errors.md`, such as `chain.transport`. Never renamed.
    fn code(&self) -> &'static str;
}

/// Writes an error and its causes as one line: `outer: middle: inner`.
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
