//! Jobs as people look at them: definition, tasks by state, last end, triggers. Read only.

use chrono::{DateTime, Utc};
use isotherm_types::{JobId, OrgId, TaskId};
use sqlx::PgConnection;

use super::Job;
use crate::codec::from_word;
use crate::error::ControlError;
use crate::task::TaskState;

/// A job and what its tasks are at.
#[derive(Clone, Debug, PartialEq)]
pub struct JobOverview {
    /// The definition.
    pub job: Job,
    /// Its tasks by state, in the order of [`TaskState::ALL`]; states without any have 0.
    pub tasks: [(TaskState, u64); 5],
    /// The task of it that ended last.
    pub last_end: Option<LastEnd>,
    /// Names of its active triggers, sorted.
    pub triggers: Vec<String>,
}

/// The end of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastEnd {
    /// The task.
    pub task_id: TaskId,
    /// How it ended.
    pub state: TaskState,
    /// When.
    pub at: DateTime<Utc>,
}

impl JobOverview {
    /// Whether it can make tasks run: `active`, `paused` or `inactive`. What has left the file is inactive, paused or not.
    pub fn state(&self) -> &'static str {
        match (self.job.active, self.job.paused) {
            (false, _) => "inactive",
            (true, true) => "paused",
            (true, false) => "active",
        }
    }

    /// Its tasks in `state`.
    pub fn count(&self, state: TaskState) -> u64 {
        self.tasks.iter().find(|(of, _)| *of == state).map_or(0, |(_, tasks)| *tasks)
    }
}

#[derive(sqlx::FromRow)]
struct Figures {
    job_id: i64,
    queued: i64,
    running: i64,
    completed: i64,
    failed: i64,
    cancelled: i64,
    last_task_id: Option<i64>,
    last_state: Option<String>,
    last_finished_at: Option<DateTime<Utc>>,
    triggers: Vec<String>,
}

/// The organisation's jobs by name, inactive ones included; only the one called `name`, if given.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn overview(
    conn: &mut PgConnection,
    org_id: OrgId,
    name: Option<&str>,
) -> Result<Vec<JobOverview>, ControlError> {
    let figures: Vec<Figures> = sqlx::query_as(include_str!("../../queries/jobs/overview.sql"))
        .bind(org_id.0)
        .bind(name)
        .fetch_all(&mut *conn)
        .await?;
    let jobs = super::list(conn, org_id).await?;
    jobs.into_iter()
        .filter_map(|job| {
            let figures = figures.iter().find(|figures| JobId(figures.job_id) == job.id)?;
            Some(figures.of(job))
        })
        .collect()
}

impl Figures {
    fn of(&self, job: Job) -> Result<JobOverview, ControlError> {
        let counts = [self.queued, self.running, self.completed, self.failed, self.cancelled];
        let mut tasks = TaskState::ALL.map(|state| (state, 0));
        for ((_, tasks), count) in tasks.iter_mut().zip(counts) {
            *tasks = count.unsigned_abs();
        }
        let last_end = match (self.last_task_id, &self.last_state, self.last_finished_at) {
            (Some(id), Some(state), Some(at)) => {
                let task_id = TaskId(id);
                Some(LastEnd { task_id, state: from_word(task_id, "state", state)?, at })
            }
            _ => None,
        };
        Ok(JobOverview { job, tasks, last_end, triggers: self.triggers.clone() })
    }
}

/// Names of the organisation's jobs, inactive ones included, sorted.
///
/// # Errors
/// Only what Postgres reports.
pub async fn names(conn: &mut PgConnection, org_id: OrgId) -> Result<Vec<String>, ControlError> {
    let names = sqlx::query_scalar("SELECT name FROM control.jobs WHERE org_id = $1 ORDER BY name")
        .bind(org_id.0)
        .fetch_all(conn)
        .await?;
    Ok(names)
}
