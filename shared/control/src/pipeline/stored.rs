//! The definitions of one organisation as the tables have them, in the form in which a file has them.

use isotherm_types::{JobId, OrgId, TriggerId};
use serde_json::Value;
use sqlx::PgConnection;

use crate::error::ControlError;

/// Jobs and triggers of one organisation, inactive ones included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// By name.
    pub jobs: Vec<StoredJob>,
    /// By name.
    pub triggers: Vec<StoredTrigger>,
}

/// A row of `control.jobs`.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredJob {
    /// Its row.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// Whether it was in the file that was applied last.
    pub active: bool,
    /// Hash of the definition that was applied.
    pub config_hash: Vec<u8>,
    /// The definition, as [`super::JobDefinition`] is written.
    pub definition: Value,
    /// Whether a task of it is queued or running under its being a source.
    pub is_running_source: bool,
}

/// A row of `control.triggers`.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTrigger {
    /// Its row.
    pub id: TriggerId,
    /// Its name.
    pub name: String,
    /// Whether it was in the file that was applied last.
    pub active: bool,
    /// Hash of the definition that was applied.
    pub config_hash: Vec<u8>,
    /// The definition, as [`super::TriggerDefinition`] is written.
    pub definition: Value,
}

/// Reads the definitions of `org_id`.
///
/// # Errors
/// Only what Postgres reports.
pub async fn stored(conn: &mut PgConnection, org_id: OrgId) -> Result<Stored, ControlError> {
    let jobs: Vec<(i64, String, bool, Vec<u8>, Value, bool)> =
        sqlx::query_as(include_str!("../../queries/jobs/definitions.sql")).bind(org_id.0).fetch_all(&mut *conn).await?;
    let triggers: Vec<(i64, String, bool, Vec<u8>, Value)> =
        sqlx::query_as(include_str!("../../queries/triggers/definitions.sql"))
            .bind(org_id.0)
            .fetch_all(&mut *conn)
            .await?;
    let jobs = jobs.into_iter().map(|(id, name, active, config_hash, definition, is_running_source)| StoredJob {
        id: JobId(id),
        name,
        active,
        config_hash,
        definition,
        is_running_source,
    });
    let triggers = triggers.into_iter().map(|(id, name, active, config_hash, definition)| StoredTrigger {
        id: TriggerId(id),
        name,
        active,
        config_hash,
        definition,
    });
    Ok(Stored { jobs: jobs.collect(), triggers: triggers.collect() })
}
