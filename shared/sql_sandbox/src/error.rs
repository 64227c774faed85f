//! What can end a session early, and how DuckDB's errors are read.

use isotherm_types::sandbox::{Failure, FailureReason};

/// Why a session ended early.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The stream to or from the parent broke.
    #[error("the stream to the parent broke")]
    Stream(#[source] std::io::Error),
    /// The parent sent something out of turn.
    #[error("protocol error: {what}")]
    Protocol {
        /// What was wrong; fixed words.
        what: &'static str,
    },
    /// The process could not limit itself.
    #[error("could not set {limit}")]
    Limit {
        /// The limit.
        limit: &'static str,
        /// The system's answer.
        #[source]
        source: nix::Error,
    },
    /// The process could not shut itself off.
    #[error("could not shut off {what}")]
    Confine {
        /// What should have been out of reach.
        what: &'static str,
        /// The system's answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The library is of another version than this program was built for.
    #[error("libduckdb is {found}, expected {expected}")]
    Version {
        /// What the library says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// DuckDB failed at the sandbox's own work.
    #[error("could not {step}")]
    Engine {
        /// What was being done.
        step: &'static str,
        /// DuckDB's answer.
        #[source]
        source: duckdb::Error,
    },
    /// Rows could not be read or written as Arrow.
    #[error("arrow data could not be read or written")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The user's query failed.
    #[error("the query failed")]
    Query(Failure),
}

impl SandboxError {
    /// Builds the error of a step of the sandbox's own work.
    pub(crate) fn engine(step: &'static str) -> impl FnOnce(duckdb::Error) -> Self {
        move |source| Self::Engine { step, source }
    }

    /// Stable name for logs. Never renamed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stream(_) => "sandbox.stream",
            Self::Protocol { .. } => "sandbox.protocol",
            Self::Limit { .. } => "sandbox.limit",
            Self::Confine { .. } => "sandbox.confine",
            Self::Version { .. } => "sandbox.version",
            Self::Engine { .. } => "sandbox.engine",
            Self::Arrow(_) => "sandbox.arrow",
            Self::Query(_) => "sandbox.query",
        }
    }

    /// What the parent is told.
    pub fn failure(&self) -> Failure {
        let reason = match self {
            Self::Query(failure) => return failure.clone(),
            Self::Stream(_) | Self::Protocol { .. } => FailureReason::Protocol,
            // Hot rows count against the query's memory too.
            Self::Engine { source, .. } if is_out_of_memory(source) => FailureReason::OutOfMemory,
            Self::Limit { .. } | Self::Confine { .. } | Self::Version { .. } | Self::Engine { .. } | Self::Arrow(_) => {
                FailureReason::Engine
            }
        };
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Failure { reason, message, position: None, near: None }
    }
}

/// Reads an error of a statement that came from a user. `sql` is the statement as DuckDB got it.
///
/// The engine runs with `errors_as_json`, so its messages are objects with a type, words and a place.
pub(crate) fn read_user_error(error: &duckdb::Error, sql: &str) -> SandboxError {
    let text = match error {
        duckdb::Error::DuckDBFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    };
    let Ok(fields) = serde_json::from_str::<serde_json::Value>(&text) else {
        let reason = reason_of_text(&text);
        return SandboxError::Query(Failure { reason, message: text, position: None, near: None });
    };
    let field = |name: &str| fields.get(name).and_then(serde_json::Value::as_str);
    let kind = field("exception_type").unwrap_or("Unknown");
    let words = field("exception_message").unwrap_or("the engine gave no reason");
    let position = field("position").and_then(|position| position.parse::<usize>().ok());
    SandboxError::Query(Failure {
        reason: reason_of_type(kind),
        message: format!("{kind} Error: {}", without_quoted_line(words)),
        position: None,
        near: position.and_then(|position| name_at(sql, position)),
    })
}

/// An appender's error is words around the engine's own, so the words are all there is to go by.
fn is_out_of_memory(error: &duckdb::Error) -> bool {
    error.to_string().to_ascii_lowercase().contains("out of memory")
}

fn reason_of_type(kind: &str) -> FailureReason {
    match kind {
        "Parser" | "Syntax" => FailureReason::Syntax,
        "Binder" | "Catalog" | "Parameter Not Resolved" | "Parameter Not Allowed" => FailureReason::Bind,
        "INTERRUPT" | "Interrupt" => FailureReason::Timeout,
        "Out of Memory" | "Object Size" => FailureReason::OutOfMemory,
        "IO" | "HTTP" | "Network" | "Permission" | "Connection" => FailureReason::Read,
        "INTERNAL" | "FATAL" | "Internal" | "Fatal" => FailureReason::Engine,
        _ => FailureReason::Execution,
    }
}

fn reason_of_text(text: &str) -> FailureReason {
    text.split_once(" Error").map_or(FailureReason::Execution, |(kind, _)| reason_of_type(kind))
}

/// Cuts the `LINE 1: …` that quotes a text which the user did not write.
fn without_quoted_line(words: &str) -> &str {
    words.split("\n\nLINE ").next().unwrap_or(words).trim_end()
}

/// The possibly dotted name that starts at a byte of `sql`.
fn name_at(sql: &str, position: usize) -> Option<String> {
    let rest = sql.get(position..)?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
    Some(rest[..end].to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_under_an_error_is_found() {
        assert_eq!(name_at("SELECT blocks.foo, 1", 7), Some("blocks.foo".to_owned()));
        assert_eq!(name_at("SELECT (a)", 7), None);
        assert_eq!(name_at("SELECT", 99), None);
    }

    #[test]
    fn a_quoted_line_is_cut_off() {
        assert_eq!(without_quoted_line("no such column\n\nLINE 1: SELECT x\n  ^"), "no such column");
    }
}
