//! Tasks as people look at them. Read only.

use std::time::Duration;

use chrono::{DateTime, Utc};
use isotherm_types::{Fence, TaskId};
use sqlx::PgConnection;

use super::waiting::WaitFacts;
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
    /// Only those of jobs of this operator.
    pub operator: Option<String>,
    /// Only those that were made, claimed or ended within so long, by the database's clock.
    pub since: Option<Duration>,
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
    /// Claims that may still be made. Not counted down for a source.
    pub attempts_left: u32,
    /// Tries that were made, those not counted that were handed back or cancelled.
    pub attempts_used: u32,
    /// Claims that its job allows.
    pub max_attempts: u32,
    /// Whether it belongs to an `always_on` job.
    pub always_on: bool,
    /// Among due tasks the higher goes first.
    pub priority: i32,
    /// Why it waits, or would if it were queued.
    pub wait: WaitFacts,
    /// Who holds it.
    pub worker: Option<String>,
    /// The ECS task that runs it, or that was launched for it.
    pub ecs_task_arn: Option<String>,
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
    attempts_used: i64,
    max_attempts: i32,
    always_on: bool,
    priority: i32,
    is_due: bool,
    job_active: bool,
    job_paused: bool,
    job_limit: i32,
    job_running: i64,
    org_limit: Option<i32>,
    org_running: i64,
    worker: Option<String>,
    ecs_task_arn: Option<String>,
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
        let counted = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Self {
            task_id,
            attempts_used: counted(row.attempts_used),
            max_attempts: count(row.max_attempts),
            always_on: row.always_on,
            priority: row.priority,
            wait: WaitFacts {
                not_before: row.not_before,
                is_due: row.is_due,
                job_active: row.job_active,
                job_paused: row.job_paused,
                job_running: counted(row.job_running),
                job_limit: count(row.job_limit),
                org_running: counted(row.org_running),
                org_limit: row.org_limit.map(count),
            },
            ecs_task_arn: row.ecs_task_arn,
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
        })
    }
}

/// Tasks, newest first.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn list(conn: &mut PgConnection, filter: &TaskFilter) -> Result<Vec<TaskRow>, ControlError> {
    let limit = if filter.limit == 0 { 50 } else { filter.limit };
    select(conn, None, filter, limit).await
}

/// The one task, if it is there.
pub(super) async fn one(conn: &mut PgConnection, task_id: TaskId) -> Result<Option<TaskRow>, ControlError> {
    Ok(select(conn, Some(task_id), &TaskFilter::default(), 1).await?.pop())
}

async fn select(
    conn: &mut PgConnection,
    task_id: Option<TaskId>,
    filter: &TaskFilter,
    limit: u32,
) -> Result<Vec<TaskRow>, ControlError> {
    let rows: Vec<Row> = sqlx::query_as(include_str!("../../queries/tasks/list.sql"))
        .bind(task_id.map(|task_id| task_id.0))
        .bind(filter.state.map(TaskState::as_str))
        .bind(filter.job.as_deref())
        .bind(filter.operator.as_deref())
        .bind(filter.since.map(|since| since.as_secs_f64()))
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
