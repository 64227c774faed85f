//! Why a request was not carried out, and what its caller is told.

use isotherm_access::AccessError;
use isotherm_platform::Fault;
use isotherm_platform::lambda::MalformedEvent;
use isotherm_platform::lambda::http::NotBase64;
use isotherm_query::QueryError;
use isotherm_query::error::{Blame, ErrorAnswer};
use isotherm_query::records::RecordError;
use isotherm_query::saved::{MOST_SAVED, MOST_SAVED_BYTES};
use isotherm_types::disposition::error_chain;
use isotherm_types::{Classified, Disposition};
use uuid::Uuid;

/// A request that is not understood.
#[derive(Debug, thiserror::Error)]
pub enum MalformedRequest {
    /// The body is not JSON.
    #[error("the body is not JSON")]
    Json(#[source] serde_json::Error),
    /// It is JSON of another kind.
    #[error("the request is not a JSON object")]
    Shape,
    /// A field has to be there.
    #[error("the field `{field}` is missing")]
    Missing {
        /// Which one.
        field: &'static str,
    },
    /// There is nothing to run.
    #[error("the field `sql` holds no statement; it has to be one SELECT")]
    NoStatement,
    /// A field is not what it should be.
    #[error("the field `{field}` is not {expected}: {problem}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
        /// Why it is not.
        problem: serde_json::Error,
    },
    /// A field is not known.
    #[error("there is no field `{field}`; the fields are {known}")]
    Unknown {
        /// Which one.
        field: String,
        /// Those that are.
        known: String,
    },
    /// An id is none.
    #[error("`{field}` is not a UUID: {problem}")]
    Id {
        /// Which one.
        field: &'static str,
        /// Why.
        problem: uuid::Error,
    },
    /// A name is none.
    #[error("the name of a saved query is 1 to 63 of a to z, 0 to 9, _ and -, and begins with a letter or digit")]
    Name,
    /// A page is too long or none.
    #[error("`limit` is not between 1 and {most}")]
    Limit {
        /// Most that there may be on a page.
        most: u32,
    },
    /// The time is out of range.
    #[error("the field `timeout_seconds` is {given}, not between 1 and {most}")]
    Timeout {
        /// What was asked for.
        given: u64,
        /// The most in this mode.
        most: u64,
    },
    /// A text is none that DuckDB or Postgres could take whole.
    #[error("a query, and what is saved with it, cannot hold a character 0")]
    Nul,
    /// Something is too long.
    #[error("{what} is longer than {limit_bytes}")]
    TooLong {
        /// What.
        what: &'static str,
        /// What is allowed.
        limit_bytes: u64,
    },
    /// The action is not known.
    #[error("there is no action {action:?}; leave `action` out to run SQL")]
    Action {
        /// What was given.
        action: String,
    },
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum QueryFunctionError {
    /// The request is not understood.
    #[error(transparent)]
    Malformed(#[from] MalformedRequest),
    /// The event is none of API Gateway's.
    #[error(transparent)]
    MalformedEvent(#[from] MalformedEvent),
    /// The body is not what API Gateway says that it is.
    #[error(transparent)]
    NotBase64(#[from] NotBase64),
    /// The function was called by a route that it does not serve.
    #[error("there is nothing here")]
    NoRoute,
    /// The caller is not known, or may not do this.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The query has no answer.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The organisation runs as many queries as it may.
    #[error("your organisation runs as many queries as it may at one time; try again, or with `mode` auto or batch")]
    Busy,
    /// Somebody has ended the query.
    #[error("the query was cancelled")]
    Cancelled,
    /// Whoever ran the query is gone.
    #[error("the function that ran the query was ended before the query was; ask again, or with `mode` batch")]
    Lost,
    /// The query's task has failed for good.
    #[error("the task of the query has failed; ask an admin to look at it")]
    TaskFailed,
    /// The organisation has no such query.
    #[error("your organisation has no query {id}")]
    UnknownQuery {
        /// The id that was given.
        id: Uuid,
    },
    /// The id that the caller has chosen is in use.
    #[error("your organisation has a query {id} already; choose another query_id, or leave it out")]
    IdTaken {
        /// The id that was given.
        id: Uuid,
    },
    /// The organisation has no such saved query.
    #[error("your organisation has no saved query {name:?}")]
    UnknownSaved {
        /// The name that was given.
        name: String,
    },
    /// The organisation has as many saved queries as it may.
    #[error("your organisation has {MOST_SAVED} saved queries, as many as it may; delete one first")]
    TooManySaved,
    /// The organisation's saved queries would be longer than they may be.
    #[error(
        "your organisation's saved queries would be more than {} MiB as they are listed; shorten or delete one first",
        MOST_SAVED_BYTES >> 20
    )]
    SavedTooLong,
    /// The records could not be read or written.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The platform's own failure.
    #[error("{0}")]
    Failed(Fault),
}

impl QueryFunctionError {
    /// Stable name for the caller and the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "query.malformed_request",
            Self::MalformedEvent(error) => error.code(),
            Self::NotBase64(error) => error.code(),
            Self::NoRoute => "api.no_route",
            Self::Access(error) => error.code(),
            Self::Query(error) => error.code(),
            Self::Busy => "query.busy",
            Self::Cancelled => "query.cancelled",
            Self::Lost => "query.lost",
            Self::TaskFailed => "query.task_failed",
            Self::UnknownQuery { .. } => "query.unknown_query",
            Self::IdTaken { .. } => "query.id_taken",
            Self::UnknownSaved { .. } => "query.unknown_saved_query",
            Self::TooManySaved | Self::SavedTooLong => "query.too_many_saved",
            Self::Records(error) => error.code(),
            Self::Failed(fault) => fault.code(),
        }
    }

    /// HTTP status.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Malformed(MalformedRequest::TooLong { .. }) => 413,
            Self::Malformed(_) | Self::MalformedEvent(_) | Self::NotBase64(_) => 400,
            Self::NoRoute | Self::UnknownQuery { .. } | Self::UnknownSaved { .. } => 404,
            Self::Cancelled | Self::IdTaken { .. } | Self::Records(RecordError::ForeignJob { .. }) => 409,
            Self::TooManySaved | Self::SavedTooLong => 422,
            Self::Busy => 429,
            Self::Lost | Self::TaskFailed => 500,
            Self::Access(error) => error.http_status(),
            Self::Query(error) => match error.blame() {
                Blame::Asker => 400,
                Blame::Size => 413,
                Blame::Time => 504,
                Blame::Platform => platform_status(error.disposition()),
            },
            Self::Records(error) => platform_status(error.disposition()),
            Self::Failed(fault) => platform_status(fault.disposition()),
        }
    }

    /// What the caller is told: the causes of the platform's own failures stay in its log.
    pub(crate) fn answer(&self) -> ErrorAnswer {
        let plain = |message: String| ErrorAnswer { code: self.code(), message, detail: None, position: None };
        match self {
            Self::Query(error) => error.answer(),
            Self::Malformed(MalformedRequest::Json(_)) | Self::MalformedEvent(_) | Self::NotBase64(_) => {
                plain(error_chain(self))
            }
            Self::Records(RecordError::ForeignJob { .. }) => plain(self.to_string()),
            Self::Records(_) | Self::Failed(_) => plain("the platform failed; its log says why".to_owned()),
            _ => plain(self.to_string()),
        }
    }

    /// A caller's mistakes are no concern of whoever watches for errors; the platform's are, but never in words that may
    /// quote SQL.
    pub(crate) fn log(&self) {
        match self {
            _ if self.status() < 500 || self.is_about_time() => {
                tracing::info!(error.code = self.code(), "a request was not carried out");
            }
            Self::Query(QueryError::SandboxProtocol { .. } | QueryError::ColdFileUnreadable { .. }) => {
                tracing::error!(error.code = self.code(), "a query failed");
            }
            _ => {
                tracing::error!(error.code = self.code(), error.message = error_chain(self), "a request failed");
            }
        }
    }

    fn is_about_time(&self) -> bool {
        matches!(self, Self::Query(error) if error.blame() == Blame::Time)
    }
}

fn platform_status(disposition: Disposition) -> u16 {
    match disposition {
        Disposition::GiveUp => 500,
        Disposition::Retry | Disposition::RetryAfter(_) => 503,
    }
}

impl From<Fault> for QueryFunctionError {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

/// Of a connection of the pool.
impl From<sqlx::Error> for QueryFunctionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Records(error.into())
    }
}
