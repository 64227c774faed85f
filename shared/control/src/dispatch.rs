//! Turns events into tasks, and waiting tasks into wake-ups and launches.
//!
//! [`handle_event`] and [`ensure_sources`] make tasks; [`ready`] decides who is woken and what capacity is launched, and
//! writes that down *before* the caller sends it: what is lost on the way is sent again by a later sweep, and what is
//! doubled changes nothing. Tasks over their job's limit are held back in Postgres, not in a queue.
//!
//! It must never send anything itself, and never claim a task.

use std::time::Duration;

use isotherm_types::{CrashPoint, EventBody, EventId, JobId, TaskId};
use sqlx::{Connection, PgConnection};

use crate::error::ControlError;
use crate::tasks::{Created, NewTask, inputs};
use crate::{backoff, events, jobs, tasks, trace};

mod batch;
mod launch_budget;
mod longest_waits;
mod plan;
mod queue;
mod route;

pub use batch::{Handled, handle_events};
pub use longest_waits::longest_waits;
pub use plan::{
    FIRST_REWAKE, IDLE_WORKER_GRACE, LONGEST_REWAKE, MOST_LAUNCHES, Outgoing, RELAUNCH_AFTER, Room, TaskLaunch,
    Waiting, Wake, plan, rewake_after,
};
pub use queue::{forget_launch, forget_wake, ready, repeat_launch};
pub(crate) use route::{BULK_PREFIX, firing_key, firing_key_prefix};
pub use route::{MOST_PARTITIONS, Routed, route};

/// Who the audit trail names.
const ACTOR: &str = "dispatcher";

/// Makes the tasks that an event asks for, each once however often the event is handled. Returns the new ones.
///
/// # Errors
/// [`ControlError::UnknownEvent`] if there is no such event; otherwise what Postgres or a row reports.
pub async fn handle_event(conn: &mut PgConnection, event_id: EventId) -> Result<Vec<Created>, ControlError> {
    let mut db_tx = conn.begin().await?;
    let event = events::hold(&mut db_tx, event_id).await?;
    trace::follow(&mut db_tx, event.trace_id).await?;
    let candidates = match &event.body {
        EventBody::TriggerFired { job_id, .. } => vec![jobs::read(&mut db_tx, *job_id).await?],
        EventBody::DatasetAdvanced { .. }
        | EventBody::DatasetInvalidated { .. }
        | EventBody::PartitionCommitted { .. } => jobs::active(&mut db_tx).await?,
        EventBody::IntegrityViolated { .. } | EventBody::TaskFailed { .. } | EventBody::AlertsRecorded { .. } => {
            Vec::new()
        }
    };
    let mut made = Vec::new();
    for routed in route(&event, &candidates) {
        let inputs = inputs::of_event(&event.body, routed.within);
        if routed.coalesce
            && let Some(waiting) = waits_already(&mut db_tx, routed.job_id).await?
        {
            inputs::note(&mut db_tx, waiting, event_id, &inputs).await?;
            continue;
        }
        let task = NewTask {
            job_id: routed.job_id,
            idempotency_key: routed.idempotency_key,
            input: routed.input,
            delay: Duration::ZERO,
        };
        let created = tasks::create(&mut db_tx, &task, ACTOR).await?;
        if let Created::New(task_id) = created {
            inputs::note(&mut db_tx, task_id, event_id, &inputs).await?;
            made.push(created);
        }
    }
    if !made.is_empty() {
        CrashPoint::DispatchTaskCreated.pass();
    }
    db_tx.commit().await?;
    Ok(made)
}

/// The bulk task of the job that waits, if one does. It is locked until the caller's transaction ends, so that it is
/// claimed only after the event is among its inputs: its run will cover it.
async fn waits_already(conn: &mut PgConnection, job_id: JobId) -> Result<Option<TaskId>, ControlError> {
    let waiting: Option<(i64,)> = sqlx::query_as(
        "SELECT id FROM control.tasks
          WHERE job_id = $1 AND state = 'queued' AND idempotency_key LIKE 'bulk-%' LIMIT 1 FOR UPDATE SKIP LOCKED",
    )
    .bind(job_id.0)
    .fetch_optional(conn)
    .await?;
    Ok(waiting.map(|(id,)| TaskId(id)))
}

/// Gives every active `always_on` job that has no live task a new one. Returns the new ones.
///
/// A source that ended within the last hour (by an error that says to give up, or by itself) is started again only
/// after a wait that grows with the number of such ends, so that a halted chain is not hammered.
///
/// # Errors
/// What Postgres reports.
pub async fn ensure_sources(conn: &mut PgConnection) -> Result<Vec<Created>, ControlError> {
    let idle: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT j.id, count(t.id) AS tasks_before,
                count(*) FILTER (WHERE t.state IN ('failed', 'completed') AND t.finished_at > now() - interval '1 hour')
           FROM control.jobs j LEFT JOIN control.tasks t ON t.job_id = j.id
          WHERE j.active AND NOT j.paused AND j.always_on
          GROUP BY j.id
         HAVING count(*) FILTER (WHERE t.state IN ('queued', 'running')) = 0
          ORDER BY j.id",
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut made = Vec::new();
    for (job_id, tasks_before, ended_lately) in idle {
        let ended_lately = u32::try_from(ended_lately).unwrap_or(u32::MAX);
        let task = NewTask {
            job_id: JobId(job_id),
            idempotency_key: format!("always-on-{}", tasks_before + 1),
            input: serde_json::json!({}),
            delay: if ended_lately == 0 { Duration::ZERO } else { backoff::wait_after(ended_lately, rand::random()) },
        };
        let created = tasks::create(&mut *conn, &task, ACTOR).await?;
        if matches!(created, Created::New(_)) {
            made.push(created);
        }
    }
    Ok(made)
}

/// What the dispatcher does once a minute, in one pass: [`ensure_sources`], then [`ready`].
///
/// # Errors
/// What Postgres or a row reports.
pub async fn sweep(conn: &mut PgConnection) -> Result<Outgoing, ControlError> {
    ensure_sources(conn).await?;
    ready(conn, MOST_LAUNCHES).await
}
