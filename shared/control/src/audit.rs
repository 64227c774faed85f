//! The trail of every change: who, what, when, why. Table `control.audit_log`, append-only.
//!
//! A row is written in the transaction of the change that it tells of, never apart from it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use isotherm_types::OrgId;
use sqlx::PgConnection;

use crate::codec::storable;
use crate::error::ControlError;

/// One change to be written down.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    /// Whose subject it is.
    pub org_id: Option<OrgId>,
    /// Who did it: a worker's name, `dispatcher`, `reaper`, `apply`, or a person.
    pub actor: &'a str,
    /// What was done, such as `claimed`.
    pub action: &'a str,
    /// Kind of thing: `task`, `job` or `trigger`.
    pub subject: &'a str,
    /// Its row.
    pub subject_id: i64,
    /// State before, where the subject has states.
    pub from_state: Option<&'a str>,
    /// State after.
    pub to_state: Option<&'a str>,
    /// Why, in words or as an error code.
    pub reason: Option<&'a str>,
}

/// Writes `change` down.
///
/// # Errors
/// Only what Postgres reports.
pub async fn record(conn: &mut PgConnection, change: &Change<'_>) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO control.audit_log (org_id, actor, action, subject, subject_id, from_state, to_state, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(change.org_id.map(|org| org.0))
    .bind(storable(change.actor))
    .bind(change.action)
    .bind(change.subject)
    .bind(change.subject_id)
    .bind(change.from_state)
    .bind(change.to_state)
    .bind(change.reason.map(storable))
    .execute(conn)
    .await?;
    Ok(())
}

/// A change as it was written down.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// State before.
    pub from_state: Option<String>,
    /// State after.
    pub to_state: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// The trail of one subject, oldest first.
///
/// # Errors
/// Only what Postgres reports.
pub async fn trail(conn: &mut PgConnection, subject: &str, subject_id: i64) -> Result<Vec<Entry>, ControlError> {
    let entries = sqlx::query_as(
        "SELECT at, actor, action, from_state, to_state, reason
           FROM control.audit_log WHERE subject = $1 AND subject_id = $2 ORDER BY id",
    )
    .bind(subject)
    .bind(subject_id)
    .fetch_all(conn)
    .await?;
    Ok(entries)
}

/// Whose changes are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The row of this id, of a kind such as `task` or `chain`.
    Row {
        /// The kind.
        kind: String,
        /// The id.
        id: i64,
    },
    /// The job of this name.
    Job(String),
    /// The trigger of this name.
    Trigger(String),
    /// The rules of alerts of this name, deleted ones too.
    Rule(String),
    /// The channels of this name, deleted ones too.
    Channel(String),
}

/// Which changes to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only those of this organisation; those that belong to none, such as a chain's, are left out then.
    pub org_id: Option<OrgId>,
    /// Only those of this subject.
    pub subject: Option<Subject>,
    /// Only those made by this actor.
    pub actor: Option<String>,
    /// Only those made within so long, by the database's clock.
    pub since: Option<Duration>,
    /// Only those before this row: the last of the page before.
    pub before: Option<i64>,
    /// At most so many; 0 means 50.
    pub limit: u32,
}

/// A change, whatever its subject.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Listed {
    /// Its row; grows with time, but for changes that were made at one time.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// Kind of the subject.
    pub subject: String,
    /// Row of the subject.
    pub subject_id: i64,
    /// Name of the job, trigger, rule or channel; of a task, the name of its job.
    pub subject_name: Option<String>,
    /// State before.
    pub from_state: Option<String>,
    /// State after.
    pub to_state: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// The trail over all subjects, newest first.
///
/// # Errors
/// Only what Postgres reports.
pub async fn list(conn: &mut PgConnection, filter: &AuditFilter) -> Result<Vec<Listed>, ControlError> {
    let (kind, id, name) = match &filter.subject {
        None => (None, None, None),
        Some(Subject::Row { kind, id }) => (Some(kind.as_str()), Some(*id), None),
        Some(Subject::Job(name)) => (Some("job"), None, Some(name.as_str())),
        Some(Subject::Trigger(name)) => (Some("trigger"), None, Some(name.as_str())),
        Some(Subject::Rule(name)) => (Some("alert_rule"), None, Some(name.as_str())),
        Some(Subject::Channel(name)) => (Some("channel"), None, Some(name.as_str())),
    };
    let entries = sqlx::query_as(include_str!("../queries/audit/list.sql"))
        .bind(filter.org_id.map(|org_id| org_id.0))
        .bind(kind)
        .bind(id)
        .bind(name)
        .bind(filter.actor.as_deref())
        .bind(filter.since.map(|since| since.as_secs_f64()))
        .bind(filter.before)
        .bind(i64::from(if filter.limit == 0 { 50 } else { filter.limit }))
        .fetch_all(conn)
        .await?;
    Ok(entries)
}
