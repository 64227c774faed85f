//! Tasks as people look at them. Read only.

use chrono::{DateTime, Utc};
use isotherm_types::{Fence, TaskId};
use sqlx::PgConnection;

use crate::audit;
use crate::codec::{count, from_word};
use crate::error::ControlError;
use crate::task::TaskState;

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only those in this state.
    pub state: Option<TaskState>,
    /// Only those of the job of this name.
    pub job: Option<String>,
    /// At most so many; 0 means 50.
    pub limit: u32,
}

/// One task of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    /// The task.
    pub task_id: TaskId,
    /// Name of its job.
    pub job: String,
    /// Program that does the work.
    pub operator: String,
    /// Its key within the job.
    pub idempotency_key: String,
    /// Where it stands.
    pub state: TaskState,
    /// Claims so far.
    pub fence: Fence,
    /// Claims that may still be made.
    pub attempts_left: u32,
    /// Who holds it.
    pub worker: Option<String>,
    /// What it is about.
    pub input: serde_json::Value,
    /// What it made.
    pub output: Option<serde_json::Value>,
    /// Units done, units in all, and words, as the operator last said.
    pub progress: (Option<i64>, Option<i64>, Option<String>),
    /// Code and message of its last error.
    pub error: Option<(String, String)>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Not claimed before this.
    pub not_before: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    job: String,
    operator: String,
    idempotency_key: String,
    state: String,
    fence: i64,
    attempts_left: i32,
    worker: Option<String>,
    input: serde_json::Value,
    output: Option<serde_json::Value>,
    progress_done: Option<i64>,
    progress_total: Option<i64>,
    progress_message: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    not_before: DateTime<Utc>,
}

impl TryFrom<Row> for TaskRow {
    type Error = ControlError;

    fn try_from(row: Row) -> Result<Self, ControlError> {
        let task_id = TaskId(row.id);
        Ok(Self {
            task_id,
            state: from_word(task_id, "state", &row.state)?,
            fence: Fence(row.fence),
            attempts_left: count(row.attempts_left),
            progress: (row.progress_done, row.progress_total, row.progress_message),
            error: row.error_code.map(|code| (code, row.error_message.unwrap_or_default())),
            job: row.job,
            operator: row.operator,
            idempotency_key: row.idempotency_key,
            worker: row.worker,
            input: row.input,
            output: row.output,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            not_before: row.not_before,
        })
    }
}

/// Tasks, newest first.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn list(conn: &mut PgConnection, filter: &TaskFilter) -> Result<Vec<TaskRow>, ControlError> {
    let limit = if filter.limit == 0 { 50 } else { filter.limit };
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT t.*, j.name AS job, j.operator
           FROM control.tasks t JOIN control.jobs j ON j.id = t.job_id
          WHERE ($1::text IS NULL OR t.state = $1) AND ($2::text IS NULL OR j.name = $2)
          ORDER BY t.id DESC LIMIT $3",
    )
    .bind(filter.state.map(TaskState::as_str))
    .bind(filter.job.as_deref())
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(TaskRow::try_from).collect()
}

/// How many tasks are in each state, those without any left out.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn counts(conn: &mut PgConnection) -> Result<Vec<(TaskState, u64)>, ControlError> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT state, count(*) FROM control.tasks GROUP BY state").fetch_all(conn).await?;
    let mut counts = Vec::with_capacity(rows.len());
    for (state, tasks) in rows {
        counts.push((from_word::<TaskState>("a task", "state", &state)?, tasks.unsigned_abs()));
    }
    counts.sort_by_key(|(state, _)| TaskState::ALL.iter().position(|known| known == state));
    Ok(counts)
}

/// One try of a task.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Attempt {
    /// Its fence.
    pub fence: i64,
    /// Who made it.
    pub worker: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Stable name of its error.
    pub error_code: Option<String>,
    /// Its error in words.
    pub error_message: Option<String>,
    /// The end of the operator's standard error.
    pub stderr_tail: Option<String>,
    /// What its process ended with, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended its process, if one did.
    pub exit_signal: Option<i32>,
}

/// All that is known of one task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskDetails {
    /// The task.
    pub task: TaskRow,
    /// Its tries, oldest first.
    pub attempts: Vec<Attempt>,
    /// Its changes, oldest first.
    pub trail: Vec<audit::Entry>,
}

/// All that is known of one task.
///
/// # Errors
/// [`ControlError::UnknownTask`] if there is no such task; otherwise what Postgres or the row reports.
pub async fn show(conn: &mut PgConnection, task_id: TaskId) -> Result<TaskDetails, ControlError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT t.*, j.name AS job, j.operator
           FROM control.tasks t JOIN control.jobs j ON j.id = t.job_id WHERE t.id = $1",
    )
    .bind(task_id.0)
    .fetch_optional(&mut *conn)
    .await?;
    let task = row.ok_or(ControlError::UnknownTask { task_id })?.try_into()?;
    let attempts = sqlx::query_as(
        "SELECT fence, worker, started_at, finished_at, outcome, error_code, error_message, stderr_tail,
                exit_code, exit_signal
           FROM control.task_attempts WHERE task_id = $1 ORDER BY fence",
    )
    .bind(task_id.0)
    .fetch_all(&mut *conn)
    .await?;
    let trail = audit::trail(conn, "task", task_id.0).await?;
    Ok(TaskDetails { task, attempts, trail })
}
