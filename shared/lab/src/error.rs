//! What can go wrong in the laboratory. Read by people, never by a worker, so there is no disposition here.

use std::path::PathBuf;
use std::time::Duration;

/// A failure of the laboratory itself, as opposed to one of the code under test.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A pinned tool has not been unpacked.
    #[error("{tool} is not at {path}; run `./isotherm tools` to fetch it")]
    ToolMissing {
        /// What is missing, in words.
        tool: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// No folder above holds the workspace.
    #[error("no repository root above {start}; set ISOTHERM_ROOT")]
    NoRepositoryRoot {
        /// Where the search began.
        start: PathBuf,
    },
    /// A server that may not run as root could not reach its own files.
    #[error(
        "user {user} cannot enter {path}; for Postgres, point ISOTHERM_POSTGRES_DIR at a copy that everybody can read"
    )]
    NotEnterable {
        /// The unprivileged user.
        user: String,
        /// The first folder that it may not enter.
        path: PathBuf,
    },
    /// Running as root, and there is no unprivileged user to run Postgres as.
    #[error("postgres refuses to run as root, and there is neither a user `nobody` nor a user `postgres`")]
    NoUnprivilegedUser,
    /// A file or a process could not be handled.
    #[error("cannot {action} {path}")]
    Io {
        /// The attempted action, as a verb.
        action: &'static str,
        /// What it was attempted on.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A process ended before it was ready.
    #[error("{name} exited with status {status} before it was ready; its last lines:\n{log_tail}")]
    Exited {
        /// Which process.
        name: String,
        /// Exit status as the shell reports it; 128 + n after signal n.
        status: String,
        /// The end of its log.
        log_tail: String,
    },
    /// A process did not become ready in time.
    #[error("{name} was not ready after {waited:?}; its last lines:\n{log_tail}")]
    NotReady {
        /// Which process.
        name: String,
        /// How long it was given.
        waited: Duration,
        /// The end of its log.
        log_tail: String,
    },
    /// A condition polled for did not come true in time.
    #[error("{condition} did not happen within {waited:?}")]
    TimedOut {
        /// The condition, in words.
        condition: String,
        /// How long it was given.
        waited: Duration,
    },
    /// No free port was found.
    #[error("no free port on 127.0.0.1 between {first} and {last}")]
    NoFreePort {
        /// First port tried.
        first: u16,
        /// Last port tried.
        last: u16,
    },
    /// A database name that would need quoting.
    #[error("database name `{name}` is not made of lower-case letters, digits and underscores")]
    DatabaseName {
        /// The refused name.
        name: String,
    },
    /// Postgres refused a statement or a connection.
    #[error("postgres refused to {action}")]
    Postgres {
        /// The attempted action, as a verb.
        action: &'static str,
        /// Its answer.
        #[source]
        source: sqlx::Error,
    },
    /// The repository's migrations could not be read or applied.
    #[error("cannot apply the migrations in {path}")]
    Migration {
        /// The folder of the migrations.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// An HTTP call did not go through.
    #[error("no answer from {url} to {method}")]
    Http {
        /// Address called.
        url: String,
        /// JSON-RPC method or HTTP path.
        method: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An HTTP call was answered with something that is not JSON, or with the wrong status.
    #[error("{url} answered {method} with HTTP {status}: {body}")]
    HttpStatus {
        /// Address called.
        url: String,
        /// JSON-RPC method or HTTP path.
        method: String,
        /// HTTP status.
        status: u16,
        /// Start of the body.
        body: String,
    },
    /// A JSON-RPC call was answered with an error.
    #[error("{method} failed with code {code}: {message}")]
    Rpc {
        /// Method called.
        method: String,
        /// JSON-RPC error code.
        code: i64,
        /// The node's message.
        message: String,
    },
    /// An answer lacks a field, or has one of another shape.
    #[error("the answer to {method} has no usable `{field}`")]
    Shape {
        /// Method called.
        method: String,
        /// The field.
        field: &'static str,
    },
}

impl LabError {
    /// Builds an [`LabError::Io`], for `map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
