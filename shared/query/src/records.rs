//! What is kept of each query: who asked, when, and how it ended. Table `query.queries`.
//!
//! A query's life is `queued → running → completed, failed or cancelled`. Each `UPDATE` names the states that it leaves,
//! and changing no row is an answer, not a fault. Interactive queries hold one of their organisation's places while they
//! run, under a lease of the database's clock: who is lost gives its place back by time alone. Batch queries are under
//! their task's fence.
//!
//! The text of a query is never here, nor are the words of its error, which may quote it. Every statement is for one
//! organisation; what people see is read under row-level security besides.

use std::str::FromStr;
use std::time::Duration;

use isotherm_access::UserId;
use isotherm_cold_store::Sha256Digest;
use isotherm_control::ControlError;
use isotherm_types::{Classified, Disposition, OrgId};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::results::ResultFormat;

mod cancel;
mod ending;
mod looking;
mod places;

pub use cancel::{CancelAsked, ask_cancel, cancel_asked};
pub use ending::{End, LOST, abandon_overdue, finish};
pub use looking::{Page, Record, list, show};
pub use places::{Place, take_place};

/// Names a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueryKey {
    /// Whose it is.
    pub org: OrgId,
    /// Its id, unique within the organisation.
    pub id: Uuid,
}

/// Where a query runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunMode {
    /// Within the call that asks it.
    Interactive,
    /// As a task.
    Batch,
}

impl RunMode {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Batch => "batch",
        }
    }
}

/// How far a query has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryState {
    /// It waits for a place or for its task.
    Queued,
    /// It runs.
    Running,
    /// It has an answer.
    Completed,
    /// It has none.
    Failed,
    /// Somebody has ended it.
    Cancelled,
}

impl QueryState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it can still change.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

/// A word in a row that is none of those that this program writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no {kind} of a query")]
pub struct UnknownWord {
    kind: &'static str,
    word: String,
}

impl FromStr for QueryState {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == word);
        found.ok_or_else(|| UnknownWord { kind: "state", word: word.to_owned() })
    }
}

impl FromStr for RunMode {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let found = [Self::Interactive, Self::Batch].into_iter().find(|mode| mode.as_str() == word);
        found.ok_or_else(|| UnknownWord { kind: "mode", word: word.to_owned() })
    }
}

/// Why the records could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Postgres refused or did not answer.
    #[error("the records of queries could not be read or written")]
    Database(#[from] sqlx::Error),
    /// The control plane refused or could not be asked.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A row holds what this program does not write.
    #[error("the record of query {id} cannot be read")]
    Unreadable {
        /// The query.
        id: Uuid,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The organisation has a job of the name that the job for batch queries has, and it does something else.
    #[error("job {name:?} of this organisation runs {operator}, so it cannot run batch queries; rename it")]
    ForeignJob {
        /// The name.
        name: &'static str,
        /// What it runs.
        operator: String,
    },
}

impl Classified for RecordError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Database(sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_)) => Disposition::GiveUp,
            Self::Database(sqlx::Error::Decode(_) | sqlx::Error::Encode(_)) => Disposition::GiveUp,
            Self::Database(_) => Disposition::Retry,
            Self::Control(error) => error.disposition(),
            Self::Unreadable { .. } | Self::ForeignJob { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Database(_) => "query.records",
            Self::Control(error) => error.code(),
            Self::Unreadable { .. } => "query.bad_record",
            Self::ForeignJob { .. } => "query.foreign_job",
        }
    }
}

/// A query that is about to be asked.
#[derive(Clone, Debug)]
pub struct NewQuery<'a> {
    /// Names it.
    pub key: QueryKey,
    /// Who asks; `None` for an AWS principal that invokes directly.
    pub user: Option<UserId>,
    /// The same for the audit trail.
    pub actor: &'a str,
    /// Digest of its text.
    pub sql_sha256: Sha256Digest,
    /// How its rows are to be written.
    pub format: ResultFormat,
    /// How long it may run.
    pub timeout: Duration,
}

/// What came of recording a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is recorded.
    Now,
    /// The organisation has a query of this id already.
    IdTaken,
}

/// Records a query that will run within the call, as one that waits. Whoever runs it has `lease` to come to an end.
///
/// # Errors
/// [`RecordError::Database`].
pub async fn ask(conn: &mut PgConnection, query: &NewQuery<'_>, lease: Duration) -> Result<Asked, RecordError> {
    let inserted = sqlx::query(
        "INSERT INTO query.queries (org_id, id, user_id, actor, sql_sha256, mode, format, timeout_seconds,
                                    lease_expires_at)
         VALUES ($1, $2, $3, $4, $5, 'interactive', $6, $7, now() + make_interval(secs => $8))
         ON CONFLICT (org_id, id) DO NOTHING",
    )
    .bind(query.key.org.0)
    .bind(query.key.id)
    .bind(query.user.map(|user| user.0))
    .bind(query.actor)
    .bind(query.sql_sha256.as_bytes().as_slice())
    .bind(query.format.as_str())
    .bind(whole_seconds(query.timeout))
    .bind(lease.as_secs_f64())
    .execute(conn)
    .await?;
    Ok(if inserted.rows_affected() == 1 { Asked::Now } else { Asked::IdTaken })
}

/// A time-out as its column has it.
pub(crate) fn whole_seconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX).max(1)
}

/// A count as its column has it.
pub(crate) fn stored_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for state in QueryState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        for mode in [RunMode::Interactive, RunMode::Batch] {
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
        assert_eq!("done".parse::<QueryState>().unwrap_err().to_string(), "\"done\" is no state of a query");
    }
}
