//! Triggers and firings, looked up by what people and callers know of them.

use isotherm_types::{EventId, OrgId, TriggerId};
use sqlx::PgConnection;

use super::{Row, Trigger};
use crate::codec::storable;
use crate::error::ControlError;
use crate::near::near;

/// The active webhook trigger `name` of the organisation `org`.
///
/// One statement, whatever is missing: neither the answer nor its time tells a stranger whether the organisation exists, or
/// a trigger of another kind.
///
/// # Errors
/// What Postgres or the row reports.
pub async fn webhook(conn: &mut PgConnection, org: &str, name: &str) -> Result<Option<Trigger>, ControlError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT t.id, t.org_id, t.job_id, t.name, t.kind, t.config, t.input
           FROM control.triggers t JOIN control.orgs o ON o.id = t.org_id
          WHERE o.name = $1 AND t.name = $2 AND t.kind = 'webhook' AND t.active",
    )
    .bind(storable(org))
    .bind(storable(name))
    .fetch_optional(conn)
    .await?;
    row.map(Trigger::try_from).transpose()
}

/// The active trigger `name`.
///
/// # Errors
/// [`ControlError::UnknownTriggerName`] with names that are spelt alike; otherwise what Postgres or the row reports.
pub(super) async fn by_name(conn: &mut PgConnection, org_id: OrgId, name: &str) -> Result<Trigger, ControlError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, org_id, job_id, name, kind, config, input
           FROM control.triggers WHERE org_id = $1 AND name = $2 AND active",
    )
    .bind(org_id.0)
    .bind(storable(name))
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(row) = row {
        return row.try_into();
    }
    let known: Vec<String> =
        sqlx::query_scalar("SELECT name FROM control.triggers WHERE org_id = $1 AND active ORDER BY name")
            .bind(org_id.0)
            .fetch_all(conn)
            .await?;
    Err(ControlError::UnknownTriggerName { name: name.to_owned(), near: near(name, &known) })
}

/// The event of an earlier firing with this key; `None` if there was none, or it led to no event.
///
/// # Errors
/// Only what Postgres reports.
pub async fn fired_event(
    conn: &mut PgConnection,
    trigger_id: TriggerId,
    fire_key: &str,
) -> Result<Option<EventId>, ControlError> {
    let found: Option<Option<i64>> =
        sqlx::query_scalar("SELECT event_id FROM control.trigger_fires WHERE trigger_id = $1 AND fire_key = $2")
            .bind(trigger_id.0)
            .bind(fire_key)
            .fetch_optional(conn)
            .await?;
    Ok(found.flatten().map(EventId))
}
