//! Firings that a person or a program asks for: of a trigger, or of a job without one.
//!
//! Each is named by an idempotency key. The first call with a key fires; every later one with the same input is told the
//! first one's event, also when both come at the same moment.

use isotherm_types::{EventBody, EventId, JobId, OrgId, TraceId};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::named::{by_name, fired_event};
use super::{Fired, FiredEvent, fire_as, laid_over};
use crate::codec::{storable, storable_json};
use crate::error::ControlError;
use crate::jobs::{self, Job, JobRow};
use crate::near::near;
use crate::{audit, events};

/// Longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 128;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FiredByHand {
    /// The event of the key's first call.
    pub event_id: EventId,
    /// Whether this was the first.
    pub is_new: bool,
    /// The cause that the event follows from, for the log of the first call; `None` for every later one.
    pub trace_id: Option<TraceId>,
}

/// Fires the active trigger `name` by hand, once for `idempotency_key`; a key is made up if there is none. `input` is laid
/// over the trigger's own. A paused job's task is made and waits.
///
/// # Errors
/// [`ControlError::UnknownTriggerName`], [`ControlError::AlwaysOn`], [`ControlError::BadIdempotencyKey`];
/// [`ControlError::IdempotencyConflict`] if the key has been used and led to another input; what Postgres reports.
pub async fn fire_by_hand(
    conn: &mut PgConnection,
    org_id: OrgId,
    name: &str,
    idempotency_key: Option<&str>,
    input: &Value,
    actor: &str,
) -> Result<FiredByHand, ControlError> {
    let key = key(idempotency_key)?;
    let trigger = by_name(conn, org_id, name).await?;
    refuse_source(&jobs::read(conn, trigger.job_id).await?)?;
    let input = storable_json(input);
    let fire_key = format!("manual-{key}");
    if let Fired::Now(FiredEvent { event_id, trace_id }) = fire_as(conn, &trigger, actor, &fire_key, &input).await? {
        return Ok(FiredByHand { event_id, is_new: true, trace_id });
    }
    let first = fired_event(conn, trigger.id, &fire_key).await?;
    let event_id = first.ok_or_else(|| ControlError::IdempotencyConflict { key: key.clone() })?;
    same_input(conn, event_id, &laid_over(&trigger.input, &input), &key).await?;
    Ok(FiredByHand { event_id, is_new: false, trace_id: None })
}

/// Runs the active job `name` by hand, once for `idempotency_key`; a key is made up if there is none. A paused job's task is
/// made and waits.
///
/// # Errors
/// As [`fire_by_hand`], with [`ControlError::UnknownJobName`] for the name.
pub async fn run_job(
    conn: &mut PgConnection,
    org_id: OrgId,
    name: &str,
    idempotency_key: Option<&str>,
    input: &Value,
    actor: &str,
) -> Result<FiredByHand, ControlError> {
    let key = key(idempotency_key)?;
    let mut db_tx = conn.begin().await?;
    let job = locked_by_name(&mut db_tx, org_id, name).await?;
    refuse_source(&job)?;
    let input = storable_json(input);
    if let Some(event_id) = run_before(&mut db_tx, job.id, &key).await? {
        same_input(&mut db_tx, event_id, &input, &key).await?;
        return Ok(FiredByHand { event_id, is_new: false, trace_id: None });
    }
    let body = EventBody::TriggerFired { org_id, job_id: job.id, trigger_id: None, fire_key: key.clone(), input };
    let (event_id, trace_id) = events::record_traced(&mut db_tx, &body).await?;
    let change = audit::Change {
        org_id: Some(org_id),
        actor,
        action: "run",
        subject: "job",
        subject_id: job.id.0,
        reason: Some(&key),
        ..audit::Change::default()
    };
    audit::record(&mut db_tx, &change).await?;
    db_tx.commit().await?;
    Ok(FiredByHand { event_id, is_new: true, trace_id })
}

fn key(given: Option<&str>) -> Result<String, ControlError> {
    match given {
        None => Ok(Uuid::now_v7().to_string()),
        Some(key) if (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(key.to_owned())
        }
        Some(_) => Err(ControlError::BadIdempotencyKey),
    }
}

fn refuse_source(job: &Job) -> Result<(), ControlError> {
    if job.always_on { Err(ControlError::AlwaysOn { name: job.name.clone() }) } else { Ok(()) }
}

/// The active job `name`, locked until the caller's transaction ends: a second run by hand waits and then sees the first.
async fn locked_by_name(conn: &mut PgConnection, org_id: OrgId, name: &str) -> Result<Job, ControlError> {
    let row: Option<JobRow> =
        sqlx::query_as("SELECT * FROM control.jobs WHERE org_id = $1 AND name = $2 AND active FOR NO KEY UPDATE")
            .bind(org_id.0)
            .bind(storable(name))
            .fetch_optional(&mut *conn)
            .await?;
    if let Some(row) = row {
        return row.try_into();
    }
    let known: Vec<String> =
        sqlx::query_scalar("SELECT name FROM control.jobs WHERE org_id = $1 AND active ORDER BY name")
            .bind(org_id.0)
            .fetch_all(conn)
            .await?;
    Err(ControlError::UnknownJobName { name: name.to_owned(), near: near(name, &known) })
}

/// The event of an earlier run of the job by hand with this key.
async fn run_before(conn: &mut PgConnection, job_id: JobId, key: &str) -> Result<Option<EventId>, ControlError> {
    let found: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM control.events
          WHERE kind = 'trigger_fired' AND body ->> 'trigger_id' IS NULL
            AND (body ->> 'job_id')::bigint = $1 AND body ->> 'fire_key' = $2",
    )
    .bind(job_id.0)
    .bind(key)
    .fetch_optional(conn)
    .await?;
    Ok(found.map(EventId))
}

/// Compared by Postgres, for which 1 and 1.0 are one number, as they are once they are stored.
async fn same_input(conn: &mut PgConnection, event_id: EventId, input: &Value, key: &str) -> Result<(), ControlError> {
    let is_same: bool = sqlx::query_scalar("SELECT body -> 'input' = $2 FROM control.events WHERE id = $1")
        .bind(event_id.0)
        .bind(input)
        .fetch_one(conn)
        .await?;
    if is_same { Ok(()) } else { Err(ControlError::IdempotencyConflict { key: key.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idempotency_key_is_printable_and_made_up_if_absent() {
        for good in ["1", "2026-11-26T10:00:00.5Z", "\"quoted\"", &"k".repeat(128)] {
            assert_eq!(key(Some(good)).unwrap(), good);
        }
        for bad in ["", "a b", "ä", "a\nb", "\0", &"k".repeat(129)] {
            assert!(key(Some(bad)).is_err(), "{bad:?}");
        }
        assert_ne!(key(None).unwrap(), key(None).unwrap());
    }
}
