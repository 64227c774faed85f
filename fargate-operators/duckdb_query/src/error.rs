//! What can stop a task. A query's own failure is none of it.

use isotherm_access::AccessError;
use isotherm_query::QueryError;
use isotherm_query::records::RecordError;
use isotherm_types::{Classified, Disposition};

/// Why a task could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The record could not be read or written, or is another worker's by now.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// What the organisation may read could not be found out.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The platform failed while the query ran.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Postgres did not give a connection.
    #[error("no connection to the database was to be had")]
    Connection(#[source] sqlx::Error),
    /// The request is not in the bucket any more: the task was queued for longer than the bucket keeps objects.
    #[error("the request of the query is not in the bucket of results any more; ask the query again")]
    NoRequest,
}

impl Classified for BatchError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Records(error) => error.disposition(),
            Self::Access(error) => error.disposition(),
            Self::Query(error) => error.disposition(),
            Self::Connection(_) => Disposition::Retry,
            Self::NoRequest => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Records(error) => error.code(),
            Self::Access(error) => error.code(),
            Self::Query(error) => error.code(),
            Self::Connection(_) => "query.batch_connection",
            Self::NoRequest => "query.request_gone",
        }
    }
}
