//! Taking a task and keeping it: claim and heartbeat.

use std::collections::BTreeMap;
use std::time::Duration;

use isotherm_types::operator::OPERATOR_PROTOCOL;
use isotherm_types::{Fence, JobId, OrgId, TaskId, TaskSpec, TraceId};
use sqlx::{Connection, PgConnection};

use crate::audit;
use crate::codec::{from_json, from_word, seconds, storable};
use crate::dispatch::BULK_PREFIX;
use crate::error::ControlError;
use crate::task::TaskState;
use crate::tasks::inputs;
use crate::trace;

/// Namespaces of the advisory locks under which running tasks are counted ("jobc" and "orgc" as bytes).
pub(super) const JOB_LOCK: i32 = 0x6a6f_6263;
pub(super) const ORG_LOCK: i32 = 0x6f72_6763;

/// Who claims.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// Name of the worker, unique among all that run.
    pub worker: &'a str,
    /// The operator that it can run; tasks of other operators are not given to it.
    pub operator: &'a str,
    /// Its ECS task, so that the reaper can stop it. Without one the task keeps the launch noted for it.
    pub ecs_task_arn: Option<&'a str>,
}

/// What became of a claim.
#[derive(Clone, Debug)]
pub enum Claim {
    /// The task is the caller's until its lease runs out.
    Claimed(Box<ClaimedTask>),
    /// The task waits out a back-off.
    NotDue {
        /// How long it still waits, by the database's clock.
        wait: Duration,
    },
    /// Another worker is claiming it this very moment.
    Contended,
    /// Its job is not active or paused, or as many tasks of it or of its organisation run as may run at one time.
    HeldBack,
    /// It is not queued: somebody has it, or it is finished.
    NotQueued {
        /// Where it stands.
        state: TaskState,
        /// Its fence.
        fence: Fence,
    },
    /// It belongs to another operator; the message was sent to the wrong queue.
    OtherOperator {
        /// The operator that can do it.
        operator: String,
    },
    /// There is no such task.
    Unknown,
}

/// A task under a lease, with what its worker needs to know.
#[derive(Clone, Debug)]
pub struct ClaimedTask {
    /// The task.
    pub task_id: TaskId,
    /// Whose it is.
    pub org_id: OrgId,
    /// Its job.
    pub job_id: JobId,
    /// Name of the job.
    pub job: String,
    /// The claim.
    pub fence: Fence,
    /// 1 for the first try.
    pub attempt: u32,
    /// Length of the lease; every heartbeat extends it by this much.
    pub lease: Duration,
    /// Longest run of this attempt.
    pub run_timeout: Option<Duration>,
    /// How long its progress may stand still; `None`: it is not watched.
    pub stall_timeout: Option<Duration>,
    /// Whether it is a source.
    pub always_on: bool,
    /// The job's settings.
    pub config: serde_json::Value,
    /// What the task is about.
    pub input: serde_json::Value,
    /// Environment variable of the operator → name of the secret that fills it.
    pub secrets: BTreeMap<String, String>,
    /// The cause that it follows from.
    pub trace_id: Option<TraceId>,
}

impl ClaimedTask {
    /// The task as its operator gets it.
    pub fn spec(&self) -> TaskSpec {
        TaskSpec {
            version: OPERATOR_PROTOCOL,
            task_id: self.task_id,
            fence: self.fence,
            attempt: self.attempt,
            job: self.job.clone(),
            config: self.config.clone(),
            input: self.input.clone(),
        }
    }
}

/// What a statement that claims returns of a task and its job.
#[derive(sqlx::FromRow)]
pub(super) struct ClaimedRow {
    org_id: i64,
    job_id: i64,
    job: String,
    pub(super) idempotency_key: String,
    fence: i64,
    always_on: bool,
    lease_seconds: f64,
    run_timeout_seconds: Option<f64>,
    stall_timeout_seconds: Option<f64>,
    config: serde_json::Value,
    pub(super) input: serde_json::Value,
    secrets: serde_json::Value,
    trace_id: Option<String>,
}

impl ClaimedRow {
    /// The claimed task, of which `failures` attempts have failed or were lost before.
    pub(super) fn into_task(self, task_id: TaskId, failures: i64) -> Result<ClaimedTask, ControlError> {
        let job_id = JobId(self.job_id);
        Ok(ClaimedTask {
            task_id,
            org_id: OrgId(self.org_id),
            job_id,
            job: self.job,
            fence: Fence(self.fence),
            attempt: u32::try_from(failures).unwrap_or(u32::MAX).saturating_add(1),
            lease: seconds(self.lease_seconds),
            run_timeout: self.run_timeout_seconds.map(seconds),
            stall_timeout: self.stall_timeout_seconds.map(seconds),
            always_on: self.always_on,
            config: self.config,
            input: self.input,
            secrets: from_json(job_id, "secrets", self.secrets)?,
            trace_id: trace::of_row(self.trace_id.as_deref()),
        })
    }
}

/// Takes the task for `claimant` if it is queued and due: fence + 1, one attempt fewer (not for a source), a lease of the
/// job's heartbeat time-out.
///
/// Never waits for another claimant of the same task. Claims of one job are made one after the other, so that its limit and
/// that of its organisation hold at every instant.
///
/// # Errors
/// What Postgres reports, or the job's row.
pub async fn claim(conn: &mut PgConnection, task_id: TaskId, claimant: &Claimant<'_>) -> Result<Claim, ControlError> {
    let mut db_tx = conn.begin().await?;
    // The counts of the claim need a statement of their own, whose snapshot is younger than the locks.
    let held = sqlx::query(include_str!("../../queries/tasks/hold.sql"))
        .bind(task_id.0)
        .bind(JOB_LOCK)
        .bind(ORG_LOCK)
        .fetch_optional(&mut *db_tx)
        .await?;
    let row: Option<ClaimedRow> = match held {
        None => None,
        Some(_held) => {
            sqlx::query_as(include_str!("../../queries/tasks/claim.sql"))
                .bind(task_id.0)
                .bind(storable(claimant.worker))
                .bind(claimant.operator)
                .bind(claimant.ecs_task_arn)
                .fetch_optional(&mut *db_tx)
                .await?
        }
    };
    let Some(mut row) = row else {
        let refusal = refusal(&mut db_tx, task_id, claimant).await?;
        db_tx.rollback().await?;
        return Ok(refusal);
    };
    let tries: (i64,) = sqlx::query_as(
        "WITH attempt AS (
             INSERT INTO control.task_attempts (task_id, fence, worker, org_id) VALUES ($1, $2, $3, $4)
         )
         SELECT count(*) FROM control.task_attempts WHERE task_id = $1 AND outcome IN ('failed', 'lost')",
    )
    .bind(task_id.0)
    .bind(row.fence)
    .bind(storable(claimant.worker))
    .bind(row.org_id)
    .fetch_one(&mut *db_tx)
    .await?;
    let change = audit::Change {
        org_id: Some(OrgId(row.org_id)),
        actor: claimant.worker,
        action: "claimed",
        subject: "task",
        subject_id: task_id.0,
        from_state: Some("queued"),
        to_state: Some("running"),
        reason: None,
    };
    audit::record(&mut db_tx, &change).await?;
    if row.idempotency_key.starts_with(BULK_PREFIX) {
        row.input = inputs::added_to(&row.input, &inputs::read(&mut db_tx, task_id).await?);
    }
    let claimed = row.into_task(task_id, tries.0)?;
    db_tx.commit().await?;
    Ok(Claim::Claimed(Box::new(claimed)))
}

/// Why the task was not given.
async fn refusal(conn: &mut PgConnection, task_id: TaskId, claimant: &Claimant<'_>) -> Result<Claim, ControlError> {
    let row: Option<(String, i64, String, f64, bool)> = sqlx::query_as(
        "SELECT t.state, t.fence, j.operator,
                extract(epoch FROM t.not_before - now())::double precision AS wait_seconds,
                NOT j.active OR j.paused
                OR j.max_concurrency <=
                   (SELECT count(*) FROM control.tasks r
                     WHERE r.org_id = t.org_id AND r.job_id = t.job_id AND r.state = 'running')
                OR coalesce(o.max_concurrency <=
                   (SELECT count(*) FROM control.tasks r WHERE r.org_id = t.org_id AND r.state = 'running'), false) AS held_back
           FROM control.tasks t JOIN control.jobs j ON j.id = t.job_id JOIN control.orgs o ON o.id = t.org_id
          WHERE t.id = $1",
    )
    .bind(task_id.0)
    .fetch_optional(conn)
    .await?;
    let Some((state, fence, operator, wait_seconds, held_back)) = row else {
        return Ok(Claim::Unknown);
    };
    let state: TaskState = from_word(task_id, "state", &state)?;
    Ok(if operator != claimant.operator {
        Claim::OtherOperator { operator }
    } else if state != TaskState::Queued {
        Claim::NotQueued { state, fence: Fence(fence) }
    } else if wait_seconds > 0.0 {
        Claim::NotDue { wait: seconds(wait_seconds) }
    } else if held_back {
        Claim::HeldBack
    } else {
        Claim::Contended
    })
}

/// A task that a worker of `operator` may claim now without being woken: of the highest priority, and among those the one that
/// has been due longest, of an active job with a free place.
///
/// A worker that has finished one task asks for the next with it. Two workers may be told the same task; the claim
/// decides.
///
/// # Errors
/// Only what Postgres reports.
pub async fn next_due(conn: &mut PgConnection, operator: &str) -> Result<Option<TaskId>, ControlError> {
    let row: Option<(i64,)> =
        sqlx::query_as(include_str!("../../queries/tasks/next_due.sql")).bind(operator).fetch_optional(conn).await?;
    Ok(row.map(|(id,)| TaskId(id)))
}

/// How far an operator has come, as it last said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, where known.
    pub total: Option<u64>,
    /// Short text for people.
    pub message: String,
}

/// Extends the lease by `lease` from the database's `now()`, and stores `progress` if there is any.
///
/// Returns `false` if the task is not running under `fence` any more: the caller must stop work at once.
///
/// # Errors
/// Only what Postgres reports; a stale fence is `Ok(false)`.
pub async fn heartbeat(
    conn: &mut PgConnection,
    task_id: TaskId,
    fence: Fence,
    lease: Duration,
    progress: Option<&Progress>,
) -> Result<bool, ControlError> {
    let stored = |units: u64| i64::try_from(units).unwrap_or(i64::MAX);
    let updated = sqlx::query(
        "UPDATE control.tasks
            SET lease_expires_at = now() + make_interval(secs => $3),
                progress_done = coalesce($4, progress_done),
                progress_total = coalesce($5, progress_total),
                progress_message = coalesce($6, progress_message)
          WHERE id = $1 AND fence = $2 AND state = 'running'",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .bind(lease.as_secs_f64())
    .bind(progress.map(|progress| stored(progress.done)))
    .bind(progress.and_then(|progress| progress.total).map(stored))
    .bind(progress.map(|progress| storable(&progress.message)))
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() == 1)
}
