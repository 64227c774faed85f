//! The tasks of one job in brief, for whoever watches many of them at once. Read only.

use isotherm_types::{JobId, TaskId};
use sqlx::PgConnection;

use crate::codec::from_word;
use crate::error::ControlError;
use crate::task::TaskState;

/// A task, and how far it is.
#[derive(Clone, Debug, PartialEq)]
pub struct BriefTask {
    /// The task.
    pub task_id: TaskId,
    /// Its key within the job.
    pub idempotency_key: String,
    /// Where it stands.
    pub state: TaskState,
    /// What it is about.
    pub input: serde_json::Value,
    /// Units done, as the operator last said.
    pub progress_done: Option<u64>,
    /// Code and message of its last error.
    pub error: Option<(String, String)>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    idempotency_key: String,
    state: String,
    input: serde_json::Value,
    progress_done: Option<i64>,
    error_code: Option<String>,
    error_message: Option<String>,
}

impl TryFrom<Row> for BriefTask {
    type Error = ControlError;

    fn try_from(row: Row) -> Result<Self, ControlError> {
        let task_id = TaskId(row.id);
        Ok(Self {
            task_id,
            idempotency_key: row.idempotency_key,
            state: from_word(task_id, "state", &row.state)?,
            input: row.input,
            progress_done: row.progress_done.map(i64::unsigned_abs),
            error: row.error_code.map(|code| (code, row.error_message.unwrap_or_default())),
        })
    }
}

/// All tasks of a job, in the order in which they were made.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn of_job(conn: &mut PgConnection, job_id: JobId) -> Result<Vec<BriefTask>, ControlError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, idempotency_key, state, input, progress_done, error_code, error_message
           FROM control.tasks
          WHERE job_id = $1
          ORDER BY id",
    )
    .bind(job_id.0)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(BriefTask::try_from).collect()
}
