//! Queries that run as tasks: how one is made, and how its task begins and ends.
//!
//! The request is an object in the bucket `results`; the task's input holds the query's id only. Record, task and the
//! event that wakes the dispatcher are one transaction. Whatever the task writes, it writes under its fence.

use std::time::Duration;

use isotherm_control::tasks::{self, Created, NewTask};
use isotherm_control::triggers;
use isotherm_types::{Fence, JobId, OrgId, TaskId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::as_of::AsOf;
use crate::records::{Asked, End, NewQuery, QueryKey, RecordError, finish, whole_seconds};
use crate::results::ResultFormat;

/// Name of each organisation's job for batch queries. It is made when it is first needed.
pub const JOB: &str = "batch-queries";

/// The operator that runs them.
pub const OPERATOR: &str = "duckdb_query";

/// Name of the request's document in the bucket `results`.
pub const REQUEST: &str = "request.json";

/// Longest time that a batch query may ask for.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// A query as its task reads it from the bucket.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredRequest {
    /// The text.
    pub sql: String,
    /// Its parameters, as they were asked.
    pub parameters: Value,
    /// The block that the answer is as of; absent for the newest.
    pub as_of_block: Option<AsOf>,
    /// How rows are written.
    pub format: ResultFormat,
    /// How long it may run.
    pub timeout_seconds: u64,
}

/// Never shows the SQL or a value.
impl std::fmt::Debug for StoredRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredRequest {{ sql: {} bytes, format: {:?} }}", self.sql.len(), self.format)
    }
}

/// Input of a task of this job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskInput {
    /// The query.
    pub query_id: Uuid,
}

/// What came of beginning a batch query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is to run.
    Running {
        /// Whose it is.
        key: QueryKey,
        /// The name of that organisation.
        org_name: String,
        /// Who asked.
        actor: String,
    },
    /// It is over, or was cancelled before it began: there is nothing to do.
    Over,
}

/// Queues a query as a task of its organisation's job, at once the record, the task and the event that has it launched.
/// The request must be in the bucket already.
///
/// A query that is recorded as interactive and still waits becomes a batch query; one that does not wait any more, or
/// another query of this id, is [`Asked::IdTaken`].
///
/// # Errors
/// [`RecordError`].
pub async fn queue(conn: &mut PgConnection, query: &NewQuery<'_>) -> Result<Asked, RecordError> {
    let mut db_tx = conn.begin().await?;
    let job_id = ensure_job(&mut db_tx, query.key.org).await?;
    let input = json!(TaskInput { query_id: query.key.id });
    let key = query.key.id.to_string();
    // The dispatcher makes the event's task under the same key, so it finds this one, and launches it at once.
    let idempotency_key = format!("manual-{key}");
    let task = NewTask { job_id, idempotency_key, input: input.clone(), delay: Duration::ZERO };
    let task_id = match tasks::create(&mut db_tx, &task, query.actor).await? {
        Created::New(task_id) => task_id,
        Created::Already(_) | Created::SourceIsLive(_) => return Ok(Asked::IdTaken),
    };
    if record(&mut db_tx, query, task_id).await? == Asked::IdTaken {
        return Ok(Asked::IdTaken);
    }
    triggers::run_job(&mut db_tx, query.key.org, JOB, Some(&key), &input, query.actor).await?;
    db_tx.commit().await?;
    Ok(Asked::Now)
}

async fn record(conn: &mut PgConnection, query: &NewQuery<'_>, task_id: TaskId) -> Result<Asked, RecordError> {
    let NewQuery { key, user, actor, sql_sha256, format, timeout } = query;
    let written = sqlx::query(
        "INSERT INTO query.queries AS q (org_id, id, user_id, actor, sql_sha256, mode, format, timeout_seconds, task_id)
         VALUES ($1, $2, $3, $4, $5, 'batch', $6, $7, $8)
         ON CONFLICT (org_id, id) DO UPDATE
            SET mode = 'batch', timeout_seconds = EXCLUDED.timeout_seconds, task_id = EXCLUDED.task_id,
                lease_expires_at = NULL
          WHERE q.mode = 'interactive' AND q.state = 'queued' AND q.cancel_asked_at IS NULL
            AND q.sql_sha256 = EXCLUDED.sql_sha256 AND q.actor = EXCLUDED.actor AND q.lease_expires_at > now()",
    )
    .bind(key.org.0)
    .bind(key.id)
    .bind(user.map(|user| user.0))
    .bind(actor)
    .bind(sql_sha256.as_bytes().as_slice())
    .bind(format.as_str())
    .bind(whole_seconds(*timeout))
    .bind(task_id.0)
    .execute(conn)
    .await?;
    Ok(if written.rows_affected() == 1 { Asked::Now } else { Asked::IdTaken })
}

/// The organisation's job for batch queries, made or woken up if need be.
///
/// # Errors
/// [`RecordError::ForeignJob`] if a job of this name does something else; what Postgres reports.
async fn ensure_job(conn: &mut PgConnection, org: OrgId) -> Result<JobId, RecordError> {
    let made: Option<(i64,)> = sqlx::query_as(include_str!("../queries/jobs/ensure.sql"))
        .bind(org.0)
        .bind(JOB)
        .bind(OPERATOR)
        .fetch_optional(&mut *conn)
        .await?;
    if let Some((id,)) = made {
        return Ok(JobId(id));
    }
    let (id, operator): (i64, String) =
        sqlx::query_as("SELECT id, operator FROM control.jobs WHERE org_id = $1 AND name = $2")
            .bind(org.0)
            .bind(JOB)
            .fetch_one(conn)
            .await?;
    if operator == OPERATOR { Ok(JobId(id)) } else { Err(RecordError::ForeignJob { name: JOB, operator }) }
}

/// Begins the query of a task under its fence. A second attempt begins it anew.
///
/// # Errors
/// [`RecordError::Control`] with a stale fence if the task is another's by now; what Postgres reports.
pub async fn begin(conn: &mut PgConnection, task: (TaskId, Fence), query_id: Uuid) -> Result<Begun, RecordError> {
    let mut db_tx = conn.begin().await?;
    tasks::assert_fence(&mut db_tx, task.0, task.1).await?;
    let begun: Option<(i64, String, String)> = sqlx::query_as(
        "UPDATE query.queries q
            SET state = 'running', started_at = coalesce(q.started_at, now()), task_fence = $3
           FROM control.tasks t
           JOIN control.orgs o ON o.id = t.org_id
          WHERE t.id = $1 AND q.org_id = t.org_id AND q.id = $2 AND q.task_id = t.id
            AND q.state IN ('queued', 'running') AND q.cancel_asked_at IS NULL
         RETURNING q.org_id, o.name, q.actor",
    )
    .bind(task.0.0)
    .bind(query_id)
    .bind(task.1.0)
    .fetch_optional(&mut *db_tx)
    .await?;
    if begun.is_none() {
        end_what_is_cancelled(&mut db_tx, task.0, query_id).await?;
    }
    db_tx.commit().await?;
    Ok(match begun {
        Some((org, org_name, actor)) => {
            Begun::Running { key: QueryKey { org: OrgId(org), id: query_id }, org_name, actor }
        }
        None => Begun::Over,
    })
}

/// A wish that came while the attempt before was lost is carried out by the next.
async fn end_what_is_cancelled(conn: &mut PgConnection, task_id: TaskId, query_id: Uuid) -> Result<(), RecordError> {
    sqlx::query(
        "UPDATE query.queries SET state = 'cancelled', finished_at = now()
          WHERE task_id = $1 AND id = $2 AND mode = 'batch' AND state IN ('queued', 'running')
            AND cancel_asked_at IS NOT NULL",
    )
    .bind(task_id.0)
    .bind(query_id)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes down how the query of a task has ended, under its fence. `false` if it was over already.
///
/// # Errors
/// As [`begin`].
pub async fn end(
    conn: &mut PgConnection,
    task: (TaskId, Fence),
    key: QueryKey,
    end: End<'_>,
) -> Result<bool, RecordError> {
    let mut db_tx = conn.begin().await?;
    tasks::assert_fence(&mut db_tx, task.0, task.1).await?;
    let ended = finish(&mut db_tx, key, end).await?;
    db_tx.commit().await?;
    Ok(ended)
}
