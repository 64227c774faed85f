//! Tasks as the organisation sees whose they are: what was to be done and what came of it, nothing of workers. Read only,
//! and readable under the tenants' role.

use chrono::{DateTime, Utc};
use isotherm_types::{OrgId, TaskId};
use sqlx::PgConnection;

use crate::codec::{count, from_word};
use crate::error::ControlError;
use crate::task::TaskState;

/// A task of an organisation.
#[derive(Clone, Debug, PartialEq)]
pub struct OrgTask {
    /// The task.
    pub task_id: TaskId,
    /// Name of its job.
    pub job: String,
    /// Program that does the work.
    pub operator: String,
    /// Where it stands.
    pub state: TaskState,
    /// Claims that may still be made.
    pub attempts_left: u32,
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

/// Which of an organisation's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskPage {
    /// Only those in this state.
    pub state: Option<TaskState>,
    /// Only those before this one: the last of the page before.
    pub before: Option<TaskId>,
    /// At most so many.
    pub limit: u32,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    job: String,
    operator: String,
    state: String,
    attempts_left: i32,
    progress_done: Option<i64>,
    progress_total: Option<i64>,
    progress_message: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

/// Tasks of `org_id`, newest first.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn of_org(conn: &mut PgConnection, org_id: OrgId, page: TaskPage) -> Result<Vec<OrgTask>, ControlError> {
    let rows: Vec<Row> = sqlx::query_as(include_str!("../../queries/tasks/of_org.sql"))
        .bind(org_id.0)
        .bind(page.state.map(TaskState::as_str))
        .bind(page.before.map(|before| before.0))
        .bind(i64::from(page.limit))
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(OrgTask::try_from).collect()
}

impl TryFrom<Row> for OrgTask {
    type Error = ControlError;

    fn try_from(row: Row) -> Result<Self, ControlError> {
        let task_id = TaskId(row.id);
        Ok(Self {
            task_id,
            state: from_word(task_id, "state", &row.state)?,
            attempts_left: count(row.attempts_left),
            progress: (row.progress_done, row.progress_total, row.progress_message),
            error: row.error_code.map(|code| (code, row.error_message.unwrap_or_default())),
            job: row.job,
            operator: row.operator,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        })
    }
}
