//! Facts, append-only. Table `control.events`.
//!
//! [`record`] and [`record_many`] are called in the transaction of the rows that the events announce: both are there or neither is.

use std::collections::BTreeMap;

use isotherm_types::event::{EventWake, WAKE_VERSION};
use isotherm_types::{Classified, Disposition, Event, EventBody, EventId, TraceId};
use sqlx::PgConnection;

use crate::codec::{from_json, to_json};
use crate::error::ControlError;
use crate::trace;

/// Records what happened, and puts one row for each queue that must be told into the outbox.
///
/// # Errors
/// What Postgres reports; [`ControlError::Encode`] if the body cannot be written as JSON.
pub async fn record(conn: &mut PgConnection, body: &EventBody) -> Result<EventId, ControlError> {
    let ids = record_many(conn, std::slice::from_ref(body)).await?;
    Ok(ids[0])
}

/// As [`record`]; says also which cause the event follows from, for the log.
///
/// # Errors
/// As those of [`record`].
pub async fn record_traced(
    conn: &mut PgConnection,
    body: &EventBody,
) -> Result<(EventId, Option<TraceId>), ControlError> {
    let rows = insert(conn, std::slice::from_ref(body)).await?;
    let (id, trace_id) = &rows[0];
    Ok((EventId(*id), trace::of_row(trace_id.as_deref())))
}

/// Records events in this order, with one statement; returns their ids.
///
/// # Errors
/// As those of [`record`]; then none was recorded.
pub async fn record_many(conn: &mut PgConnection, bodies: &[EventBody]) -> Result<Vec<EventId>, ControlError> {
    Ok(insert(conn, bodies).await?.into_iter().map(|(id, _)| EventId(id)).collect())
}

/// Ids and traces of the events that were recorded, in their order.
async fn insert(conn: &mut PgConnection, bodies: &[EventBody]) -> Result<Vec<(i64, Option<String>)>, ControlError> {
    let documents = bodies.iter().map(to_json).collect::<Result<Vec<_>, _>>()?;
    let (mut places, mut queues, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for (place, body) in (1i64..).zip(bodies) {
        for queue in body.queues() {
            places.push(place);
            queues.push(queue.as_str());
            groups.push(body.message_group());
        }
    }
    let rows = sqlx::query_as(include_str!("../queries/events/record_many.sql"))
        .bind(bodies.iter().map(EventBody::kind).collect::<Vec<_>>())
        .bind(documents)
        .bind(bodies.iter().map(|body| body.org_id().map(|org_id| org_id.0)).collect::<Vec<_>>())
        .bind(places)
        .bind(queues)
        .bind(groups)
        .fetch_all(conn)
        .await?;
    Ok(rows)
}

/// Reads one event.
///
/// # Errors
/// [`ControlError::UnknownEvent`] if there is no such row; [`ControlError::BadRow`] if its body is of no known shape.
pub async fn read(conn: &mut PgConnection, event_id: EventId) -> Result<Event, ControlError> {
    let row: Option<StoredEvent> = sqlx::query_as("SELECT body, trace_id FROM control.events WHERE id = $1")
        .bind(event_id.0)
        .fetch_optional(conn)
        .await?;
    of_row(event_id, row)
}

/// Body and trace of an event, as they are stored.
pub(crate) type StoredEvent = (serde_json::Value, Option<String>);

/// Reads one event, and holds it until the caller's transaction ends: it cannot be deleted while rows that refer to it
/// are written. Holders do not wait for each other.
///
/// # Errors
/// As those of [`read`].
pub(crate) async fn hold(conn: &mut PgConnection, event_id: EventId) -> Result<Event, ControlError> {
    let row = hold_many(conn, &[event_id]).await?.remove(&event_id);
    of_row(event_id, row)
}

/// These events as they are stored, held as [`hold`] does; those that are not there are left out.
///
/// # Errors
/// Only what Postgres reports.
pub(crate) async fn hold_many(
    conn: &mut PgConnection,
    event_ids: &[EventId],
) -> Result<BTreeMap<EventId, StoredEvent>, ControlError> {
    let ids: Vec<i64> = event_ids.iter().map(|event_id| event_id.0).collect();
    let rows: Vec<(i64, serde_json::Value, Option<String>)> =
        sqlx::query_as("SELECT id, body, trace_id FROM control.events WHERE id = ANY($1) FOR KEY SHARE")
            .bind(ids)
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().map(|(id, body, trace_id)| (EventId(id), (body, trace_id))).collect())
}

/// The event of this id, of which `row` is stored, if anything. Pure.
pub(crate) fn of_row(event_id: EventId, row: Option<StoredEvent>) -> Result<Event, ControlError> {
    let (body, trace_id) = row.ok_or(ControlError::UnknownEvent { event_id })?;
    let trace_id = trace::of_row(trace_id.as_deref());
    Ok(Event { id: event_id, trace_id, body: from_json(event_id, "body", body)? })
}

/// A message body that is no wake-up of a known version: it can never be handled, and ends in the dead-letter queue.
#[derive(Debug, thiserror::Error)]
pub enum BadWake {
    /// Not the JSON of a wake-up.
    #[error("the message is no wake-up")]
    Malformed {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A version that this program does not know.
    #[error("the message is a wake-up of version {version}; this program knows version {WAKE_VERSION}")]
    UnknownVersion {
        /// Its version.
        version: u32,
    },
}

impl Classified for BadWake {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "event.bad_wake",
            Self::UnknownVersion { .. } => "event.unknown_wake_version",
        }
    }
}

/// Reads the body of a message on `events.fifo`, or on another queue that carries events.
///
/// # Errors
/// [`BadWake`].
pub fn parse_wake(body: &str) -> Result<EventWake, BadWake> {
    let wake: EventWake = serde_json::from_str(body).map_err(|source| BadWake::Malformed { source })?;
    if wake.version != WAKE_VERSION {
        return Err(BadWake::UnknownVersion { version: wake.version });
    }
    Ok(wake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wake_ups_of_a_known_version_are_read() {
        assert_eq!(parse_wake(r#"{"version":1,"event_id":7}"#).unwrap().event_id, EventId(7));
        assert_eq!(parse_wake(r#"{"version":2,"event_id":7}"#).unwrap_err().code(), "event.unknown_wake_version");
        for bad in ["", "{}", "[]", r#"{"version":1,"event_id":"7"}"#, r#"{"version":1,"event_id":7,"x":1}"#] {
            assert_eq!(parse_wake(bad).unwrap_err().code(), "event.bad_wake", "{bad}");
        }
    }
}
