//! What an organisation sees of its queries. Read under its role, so that Postgres filters a second time.

use chrono::{DateTime, Utc};
use isotherm_access::row_security;
use isotherm_cold_store::{ObjectDigest, Sha256Digest};
use isotherm_types::{OrgId, TaskId};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{QueryKey, QueryState, RecordError, RunMode};
use crate::results::{ResultFormat, StoredResult};

/// A query as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: Uuid,
    /// The user who asked; `None` for an AWS principal that invoked directly.
    pub user_id: Option<i64>,
    /// The same in words.
    pub actor: String,
    /// Digest of its text.
    pub sql_sha256: Sha256Digest,
    /// Where it runs.
    pub mode: RunMode,
    /// How its rows are written.
    pub format: ResultFormat,
    /// How long it may run.
    pub timeout_seconds: u64,
    /// How far it has come; a batch query whose task has failed for good has failed.
    pub state: QueryState,
    /// When it was asked.
    pub asked_at: DateTime<Utc>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Rows of its answer.
    pub row_count: Option<u64>,
    /// Bytes of Arrow of its answer.
    pub bytes: Option<u64>,
    /// How long the engine had it.
    pub duration_ms: Option<u64>,
    /// Cold files that it could read.
    pub cold_files: Option<u64>,
    /// Bytes of those.
    pub cold_bytes: Option<u64>,
    /// Why it has no answer.
    pub error_code: Option<String>,
    /// Its file.
    pub result: Option<StoredResult>,
    /// When somebody wanted it to end.
    pub cancel_asked_at: Option<DateTime<Utc>>,
    /// Who.
    pub cancel_asked_by: Option<String>,
    /// Its task.
    pub task_id: Option<TaskId>,
    /// Which try of it was the last: names its documents. 0 for an interactive query.
    pub attempt: i64,
}

/// Which queries to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most so many.
    pub limit: u32,
    /// Only those that were asked before this one: the last of the page before.
    pub before: Option<Uuid>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    user_id: Option<i64>,
    actor: String,
    sql_sha256: Vec<u8>,
    mode: String,
    format: String,
    timeout_seconds: i32,
    state: String,
    asked_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    row_count: Option<i64>,
    bytes: Option<i64>,
    duration_ms: Option<i64>,
    cold_files: Option<i64>,
    cold_bytes: Option<i64>,
    error_code: Option<String>,
    result_key: Option<String>,
    result_bytes: Option<i64>,
    result_sha256: Option<Vec<u8>>,
    cancel_asked_at: Option<DateTime<Utc>>,
    cancel_asked_by: Option<String>,
    task_id: Option<i64>,
    attempt: i64,
}

/// One query of its organisation; `None` if there is none such.
///
/// # Errors
/// [`RecordError`].
pub async fn show(conn: &mut PgConnection, key: QueryKey) -> Result<Option<Record>, RecordError> {
    let mut db_tx = conn.begin().await?;
    row_security::as_tenant(&mut db_tx, key.org).await?;
    let row: Option<Row> = sqlx::query_as(include_str!("../../queries/queries/show.sql"))
        .bind(key.org.0)
        .bind(key.id)
        .fetch_optional(&mut *db_tx)
        .await?;
    db_tx.rollback().await?;
    row.map(Record::try_from).transpose()
}

/// Queries of an organisation, the newest first.
///
/// # Errors
/// [`RecordError`].
pub async fn list(conn: &mut PgConnection, org: OrgId, page: Page) -> Result<Vec<Record>, RecordError> {
    let mut db_tx = conn.begin().await?;
    row_security::as_tenant(&mut db_tx, org).await?;
    let rows: Vec<Row> = sqlx::query_as(include_str!("../../queries/queries/list.sql"))
        .bind(org.0)
        .bind(page.before)
        .bind(i64::from(page.limit))
        .fetch_all(&mut *db_tx)
        .await?;
    db_tx.rollback().await?;
    rows.into_iter().map(Record::try_from).collect()
}

impl TryFrom<Row> for Record {
    type Error = RecordError;

    fn try_from(row: Row) -> Result<Self, RecordError> {
        let id = row.id;
        let format: ResultFormat = row.format.parse().map_err(|error| unreadable(id, error))?;
        let row_count = count(row.row_count);
        let result = match (row.result_key, count(row.result_bytes), row.result_sha256) {
            (Some(key), Some(size_bytes), Some(sha256)) => {
                let digest = ObjectDigest { size_bytes, sha256: digest(id, &sha256)? };
                Some(StoredResult { key, format, row_count: row_count.unwrap_or(0), digest })
            }
            _ => None,
        };
        Ok(Self {
            id,
            user_id: row.user_id,
            actor: row.actor,
            sql_sha256: digest(id, &row.sql_sha256)?,
            mode: row.mode.parse().map_err(|error| unreadable(id, error))?,
            format,
            timeout_seconds: u64::from(row.timeout_seconds.unsigned_abs()),
            state: row.state.parse().map_err(|error| unreadable(id, error))?,
            asked_at: row.asked_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            row_count,
            bytes: count(row.bytes),
            duration_ms: count(row.duration_ms),
            cold_files: count(row.cold_files),
            cold_bytes: count(row.cold_bytes),
            error_code: row.error_code,
            result,
            cancel_asked_at: row.cancel_asked_at,
            cancel_asked_by: row.cancel_asked_by,
            task_id: row.task_id.map(TaskId),
            attempt: row.attempt,
        })
    }
}

/// A count from a column that a check keeps at zero or more.
fn count(value: Option<i64>) -> Option<u64> {
    value.map(i64::unsigned_abs)
}

fn digest(id: Uuid, bytes: &[u8]) -> Result<Sha256Digest, RecordError> {
    bytes.try_into().map(Sha256Digest).map_err(|error: std::array::TryFromSliceError| unreadable(id, error))
}

fn unreadable(id: Uuid, source: impl std::error::Error + Send + Sync + 'static) -> RecordError {
    RecordError::Unreadable { id, source: Box::new(source) }
}
