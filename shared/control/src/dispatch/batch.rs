//! Many events in one transaction.

use std::collections::BTreeSet;
use std::time::Duration;

use isotherm_types::{Classified as _, CrashPoint, Disposition, EventBody, EventId, TaskId, TraceId};
use sqlx::{Connection, PgConnection};

use super::{ACTOR, Routed, handle_event, route};
use crate::error::ControlError;
use crate::tasks::{self, Answer, Created, NewTask, inputs};
use crate::{events, jobs, trace};

/// What became of a batch of events.
#[derive(Debug, Default)]
pub struct Handled {
    /// New tasks.
    pub made: Vec<TaskId>,
    /// The cause that each of them follows from, as far as it was made with others, for the log.
    pub traces: Vec<(TaskId, TraceId)>,
    /// Events that cannot be handled, and why. The others were.
    pub refused: Vec<(EventId, ControlError)>,
}

/// Makes the tasks that the events ask for, as [`handle_event`] does for each of them, with a few statements for all.
///
/// Tasks are made in the order of the events' ids. Events that concern a bulk job are handled one by one, after the others, as whether
/// they make a task depends on what waits; so is a firing of a job that is not active, as it may be one that is not there.
///
/// # Errors
/// What Postgres or a job's row reports; then no task was made. An event of unknown id or shape, or of an unknown job, is in
/// [`Handled::refused`].
pub async fn handle_events(conn: &mut PgConnection, event_ids: &[EventId]) -> Result<Handled, ControlError> {
    let mut db_tx = conn.begin().await?;
    let mut handled = Handled::default();
    let mut bodies = events::hold_many(&mut db_tx, event_ids).await?;
    let active = jobs::active(&mut db_tx).await?;
    let (mut tasks, mut answers, mut one_by_one) = (Vec::new(), Vec::new(), Vec::new());
    let mut asked_for = BTreeSet::new();
    // An id that is given twice is one event.
    for event_id in event_ids.iter().copied().collect::<BTreeSet<_>>() {
        let event = match events::of_row(event_id, bodies.remove(&event_id)) {
            Ok(event) => event,
            Err(error) => {
                handled.refused.push((event_id, error));
                continue;
            }
        };
        let routed = route(&event, &active);
        let is_of_other_job = match &event.body {
            EventBody::TriggerFired { job_id, .. } => active.iter().all(|job| job.id != *job_id),
            _ => false,
        };
        if is_of_other_job || routed.iter().any(|routed| routed.coalesce) {
            one_by_one.push(event_id);
            continue;
        }
        // One of before there were traces begins its own: the transaction's would be that of all such events.
        let trace_id = event.trace_id.or_else(trace::new);
        for Routed { job_id, idempotency_key, input, within, .. } in routed {
            // Of events that ask for the same task, the first makes it.
            if asked_for.insert((job_id, idempotency_key.clone())) {
                let inputs = inputs::of_event(&event.body, within);
                answers.push(Answer { event_id, trace_id, inputs });
                tasks.push(NewTask { job_id, idempotency_key, input, delay: Duration::ZERO });
            }
        }
    }
    let made = tasks::create_answering(&mut db_tx, &tasks, &answers, ACTOR).await?;
    handled.made.extend(made.iter().map(|made| made.task_id));
    handled.traces.extend(made.iter().filter_map(|made| Some((made.task_id, made.trace_id?))));
    for event_id in one_by_one {
        let made = match handle_event(&mut db_tx, event_id).await {
            Ok(made) => made,
            Err(error) if error.disposition() == Disposition::GiveUp => {
                handled.refused.push((event_id, error));
                continue;
            }
            Err(error) => return Err(error),
        };
        handled.made.extend(made.into_iter().filter_map(|created| match created {
            Created::New(task_id) => Some(task_id),
            Created::Already(_) | Created::SourceIsLive(_) => None,
        }));
    }
    if !handled.made.is_empty() {
        CrashPoint::DispatchTaskCreated.pass();
    }
    db_tx.commit().await?;
    Ok(handled)
}
