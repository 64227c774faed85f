//! Many tasks in one transaction: the same guards, rows and trail as one by one, for the price of a few statements.
//!
//! A worker whose tasks take milliseconds is bound by commits when it claims and completes one at a time. Each function here
//! does in one transaction what its namesake ([`super::create`], [`super::claim()`], [`super::complete`]) does in one each; a test
//! runs random histories through both and compares them.

use std::collections::BTreeSet;

use isotherm_types::{EventId, Fence, JobId, TaskId, TraceId};
use sqlx::{Connection, PgConnection};

use super::claim::{Claimant, ClaimedRow, ClaimedTask, JOB_LOCK, ORG_LOCK};
use super::{NewTask, inputs};
use crate::codec::{storable, storable_json};
use crate::dispatch::BULK_PREFIX;
use crate::error::ControlError;
use crate::trace;

/// Makes each task once for its (job, key), in this order; returns the new ones with their keys, in no order.
///
/// A task that is there already, or whose job's source is live, is left out. So is one of an unknown job.
///
/// # Errors
/// Only what Postgres reports: a deadlock among it, if two callers make the same tasks in different orders.
pub async fn create_many(
    conn: &mut PgConnection,
    tasks: &[NewTask],
    actor: &str,
) -> Result<Vec<(TaskId, JobId, String)>, ControlError> {
    let made = create_answering(conn, tasks, &[], actor).await?;
    Ok(made.into_iter().map(|made| (made.task_id, made.job_id, made.idempotency_key)).collect())
}

/// What a new task answers.
pub(crate) struct Answer {
    /// The event.
    pub(crate) event_id: EventId,
    /// The cause that the event follows from.
    pub(crate) trace_id: Option<TraceId>,
    /// What of it the task works on.
    pub(crate) inputs: Vec<inputs::TaskInput>,
}

/// A task that was made.
pub(crate) struct Made {
    pub(crate) task_id: TaskId,
    pub(crate) job_id: JobId,
    pub(crate) idempotency_key: String,
    pub(crate) trace_id: Option<TraceId>,
}

/// Makes tasks as [`create_many`] does, and notes what each new one answers and works on: the event and the inputs at
/// its place in `answers`, if there are any.
///
/// No two of `tasks` that have an answer are of one job and key. The caller's transaction holds the events.
///
/// # Errors
/// As those of [`create_many`].
pub(crate) async fn create_answering(
    conn: &mut PgConnection,
    tasks: &[NewTask],
    answers: &[Answer],
    actor: &str,
) -> Result<Vec<Made>, ControlError> {
    let mut noted = Vec::with_capacity(answers.len());
    for (task, answer) in tasks.iter().zip(answers) {
        let event_id = answer.event_id.0;
        if answer.inputs.is_empty() {
            noted.push((task, event_id, None));
        }
        noted.extend(answer.inputs.iter().map(|input| (task, event_id, Some(input))));
    }
    let trace_of = |place: usize| answers.get(place).and_then(|answer| answer.trace_id).map(String::from);
    let each = || noted.iter().map(|(_, _, input)| *input);
    type Row = (i64, i64, String, Option<String>);
    let rows: Vec<Row> = sqlx::query_as(include_str!("../../queries/tasks/create_many.sql"))
        .bind(tasks.iter().map(|task| task.job_id.0).collect::<Vec<_>>())
        .bind(tasks.iter().map(|task| task.idempotency_key.as_str()).collect::<Vec<_>>())
        .bind(tasks.iter().map(|task| &task.input).collect::<Vec<_>>())
        .bind(tasks.iter().map(|task| task.delay.as_secs_f64()).collect::<Vec<_>>())
        .bind(storable(actor))
        .bind(noted.iter().map(|(task, _, _)| task.job_id.0).collect::<Vec<_>>())
        .bind(noted.iter().map(|(task, _, _)| task.idempotency_key.as_str()).collect::<Vec<_>>())
        .bind(noted.iter().map(|(_, event_id, _)| *event_id).collect::<Vec<_>>())
        .bind(each().map(|input| input.map(|input| input.chain_id.0.cast_signed())).collect::<Vec<_>>())
        .bind(each().map(|input| input.map(|input| input.dataset.as_str())).collect::<Vec<_>>())
        .bind(each().map(|input| input.map(|input| inputs::stored(input.blocks.start()))).collect::<Vec<_>>())
        .bind(each().map(|input| input.map(|input| inputs::stored(input.blocks.end()))).collect::<Vec<_>>())
        .bind((0..tasks.len()).map(trace_of).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    let made = |(id, job_id, idempotency_key, trace_id): Row| Made {
        task_id: TaskId(id),
        job_id: JobId(job_id),
        idempotency_key,
        trace_id: trace::of_row(trace_id.as_deref()),
    };
    Ok(rows.into_iter().map(made).collect())
}

#[derive(sqlx::FromRow)]
struct OneOfMany {
    id: i64,
    failures: i64,
    #[sqlx(flatten)]
    claimed: ClaimedRow,
}

/// Takes up to `most` due tasks of the claimant's operator: of active jobs, in the order in which they are to run, and of no
/// job or organisation more than may run at one time.
///
/// Never waits for a claimant of the same task. Claims of one job are made one after the other.
///
/// # Errors
/// What Postgres reports, or a job's row; then nothing was claimed.
pub async fn claim_many(
    conn: &mut PgConnection,
    claimant: &Claimant<'_>,
    most: u32,
) -> Result<Vec<ClaimedTask>, ControlError> {
    let mut db_tx = conn.begin().await?;
    // The counts of the claim need a statement of their own, whose snapshot is younger than the locks. Jobs are locked before
    // organisations, each in the order of their ids: so nobody waits in a circle.
    let held: Vec<(i64, i64, bool)> = sqlx::query_as(include_str!("../../queries/tasks/hold_limits.sql"))
        .bind(claimant.operator)
        .bind(JOB_LOCK)
        .fetch_all(&mut *db_tx)
        .await?;
    if held.is_empty() {
        // Nothing is due: an idle worker asks often.
        db_tx.rollback().await?;
        return Ok(Vec::new());
    }
    let jobs: Vec<i64> = held.iter().map(|(job_id, _, _)| *job_id).collect();
    let orgs: BTreeSet<i64> = held.iter().filter(|(_, _, is_limited)| *is_limited).map(|(_, org, _)| *org).collect();
    for org_id in orgs {
        sqlx::query("SELECT pg_advisory_xact_lock($1, ($2 % 2147483647)::integer)")
            .bind(ORG_LOCK)
            .bind(org_id)
            .execute(&mut *db_tx)
            .await?;
    }
    let rows: Vec<OneOfMany> = sqlx::query_as(include_str!("../../queries/tasks/claim_many.sql"))
        .bind(storable(claimant.worker))
        .bind(claimant.operator)
        .bind(claimant.ecs_task_arn)
        .bind(i64::from(most))
        .bind(jobs)
        .fetch_all(&mut *db_tx)
        .await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for OneOfMany { id, failures, claimed: mut row } in rows {
        if row.idempotency_key.starts_with(BULK_PREFIX) {
            row.input = inputs::added_to(&row.input, &inputs::read(&mut db_tx, TaskId(id)).await?);
        }
        claimed.push(row.into_task(TaskId(id), failures)?);
    }
    db_tx.commit().await?;
    Ok(claimed)
}

/// An attempt that has done its work.
#[derive(Clone, Debug, PartialEq)]
pub struct Done<'a> {
    /// The task.
    pub task_id: TaskId,
    /// The claim.
    pub fence: Fence,
    /// What it has to show.
    pub output: &'a serde_json::Value,
    /// The end of the operator's standard error.
    pub stderr_tail: Option<&'a str>,
}

/// Ends each task whose attempt is still the present one; returns for each, in the order of `done`, whether it was. A stale
/// attempt does not keep the others back.
///
/// # Errors
/// Only what Postgres reports; then none was ended.
pub async fn complete_many(conn: &mut PgConnection, done: &[Done<'_>]) -> Result<Vec<bool>, ControlError> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(include_str!("../../queries/tasks/complete_many.sql"))
        .bind(done.iter().map(|attempt| attempt.task_id.0).collect::<Vec<_>>())
        .bind(done.iter().map(|attempt| attempt.fence.0).collect::<Vec<_>>())
        .bind(done.iter().map(|attempt| storable_json(attempt.output)).collect::<Vec<_>>())
        .bind(done.iter().map(|attempt| attempt.stderr_tail.map(storable)).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    let completed: BTreeSet<(i64, i64)> = rows.into_iter().collect();
    Ok(done.iter().map(|attempt| completed.contains(&(attempt.task_id.0, attempt.fence.0))).collect())
}
