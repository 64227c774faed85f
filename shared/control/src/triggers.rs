//! Causes of tasks. Tables `control.triggers`, written by [`crate::pipeline::apply`], and `control.trigger_fires`.
//!
//! A firing is one transaction: the row that makes it happen once, the event, and the outbox row. What follows from
//! the event is the dispatcher's business.

use std::collections::BTreeMap;

use isotherm_types::{ChainId, Dataset, EventBody, EventId, JobId, OrgId, TraceId, TriggerId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::codec::from_json;
use crate::cron::{Schedule, ScheduleError};
use crate::error::ControlError;
use crate::{audit, events};

mod by_hand;
mod named;
mod overlap;
mod overview;
mod ticks;

pub use by_hand::{FiredByHand, fire_by_hand, run_job};
pub use named::{fired_event, webhook};
pub use overlap::EVENT_LIFE;
pub use overview::{Firing, TriggerOverview, history, overview};
pub use ticks::{CaughtUp, Ticked, catch_up, tick};

/// A cause of tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Its row.
    pub id: TriggerId,
    /// Whose it is.
    pub org_id: OrgId,
    /// The job that it fires.
    pub job_id: JobId,
    /// Its name, unique within the organisation.
    pub name: String,
    /// When it fires.
    pub config: TriggerConfig,
    /// Given to every task, beside what the firing adds.
    pub input: Value,
}

/// When a trigger fires.
#[derive(Clone, Debug, PartialEq)]
pub enum TriggerConfig {
    /// At the ticks of a schedule.
    Cron(CronConfig),
    /// When somebody calls its path with a valid signature.
    Webhook(WebhookConfig),
    /// When a chain has got so much further.
    Threshold(ThresholdConfig),
}

impl TriggerConfig {
    /// The word in `control.triggers.kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cron(_) => "cron",
            Self::Webhook(_) => "webhook",
            Self::Threshold(_) => "threshold",
        }
    }
}

/// Settings of a cron trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CronConfig {
    /// An EventBridge expression; see [`crate::cron`].
    pub schedule: String,
    /// Time zone in which the expression is read, a name of the IANA database; `UTC` if absent.
    #[serde(default = "utc")]
    pub timezone: String,
    /// What becomes of a tick while a task of an earlier one is not over; `queue` if absent.
    #[serde(default)]
    pub overlap: Overlap,
    /// A tick that nobody was there for is made up for if it is found out within so many seconds, and otherwise written
    /// down as missed; 3600 if absent.
    #[serde(default = "an_hour")]
    pub catch_up_seconds: u64,
}

impl CronConfig {
    /// A schedule in UTC with everything that a file need not say.
    pub fn every(schedule: impl Into<String>) -> Self {
        Self { schedule: schedule.into(), timezone: utc(), overlap: Overlap::default(), catch_up_seconds: an_hour() }
    }

    /// The expression, read in the time zone.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub fn parsed(&self) -> Result<Schedule, ScheduleError> {
        Schedule::in_zone(&self.schedule, &self.timezone)
    }
}

/// What becomes of a tick while a task of an earlier one is not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It makes no task; the firing is written down as skipped.
    Skip,
    /// It makes one that waits its turn.
    #[default]
    Queue,
    /// The earlier tasks are cancelled.
    Replace,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn an_hour() -> u64 {
    3600
}

/// Settings of a webhook trigger. It is called by `POST /v1/webhooks/<org>/<trigger>`, signed as Standard Webhooks has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Name of the secret that holds the signing key, `whsec_…` or plain text.
    pub secret: String,
    /// A call whose timestamp is further from the clock is refused; 300 if absent.
    #[serde(default = "five_minutes")]
    pub tolerance_seconds: u64,
    /// A longer body is refused; 262144 if absent.
    #[serde(default = "quarter_mebibyte")]
    pub max_body_bytes: u64,
    /// Parameter of the task → JSON pointer (RFC 6901) into the body; the whole body as `payload` if absent.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

fn five_minutes() -> u64 {
    300
}

fn quarter_mebibyte() -> u64 {
    256 * 1024
}

/// Settings of a threshold trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdConfig {
    /// The chain that is watched.
    pub chain_id: ChainId,
    /// What is counted.
    pub measure: Measure,
    /// The dataset whose rows or bytes are counted; only with those measures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<Dataset>,
    /// How much of it makes one firing, at least 1. For a lag: the number of seconds above which it fires.
    pub every: u64,
}

/// What a threshold counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Stored blocks at or below the finalized one, in ranges aligned to multiples of `every`.
    FinalizedBlocks,
    /// Blocks ever stored, those that a reorg took back included.
    Blocks,
    /// Rows of `dataset` ever stored.
    Rows,
    /// Bytes of `dataset` ever stored, as COPY sent them.
    Bytes,
    /// Age of the newest stored block: fires when it gets above `every` seconds, and again only after it was below.
    LagSeconds,
}

impl Measure {
    /// Its word in a file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FinalizedBlocks => "finalized_blocks",
            Self::Blocks => "blocks",
            Self::Rows => "rows",
            Self::Bytes => "bytes",
            Self::LagSeconds => "lag_seconds",
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    org_id: i64,
    job_id: i64,
    name: String,
    kind: String,
    config: Value,
    input: Value,
}

impl TryFrom<Row> for Trigger {
    type Error = ControlError;

    fn try_from(row: Row) -> Result<Self, ControlError> {
        let id = TriggerId(row.id);
        let config = match row.kind.as_str() {
            "cron" => TriggerConfig::Cron(from_json(id, "config", row.config)?),
            "webhook" => TriggerConfig::Webhook(from_json(id, "config", row.config)?),
            "threshold" => TriggerConfig::Threshold(from_json(id, "config", row.config)?),
            other => {
                let value = other.to_owned();
                return Err(ControlError::UnknownWord { row: id.to_string(), column: "kind", value });
            }
        };
        let (org_id, job_id) = (OrgId(row.org_id), JobId(row.job_id));
        Ok(Self { id, org_id, job_id, name: row.name, config, input: row.input })
    }
}

/// Reads one active trigger.
///
/// # Errors
/// [`ControlError::UnknownTrigger`] if there is no such row or it is not active.
pub async fn read(conn: &mut PgConnection, trigger_id: TriggerId) -> Result<Trigger, ControlError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, org_id, job_id, name, kind, config, input FROM control.triggers WHERE id = $1 AND active",
    )
    .bind(trigger_id.0)
    .fetch_optional(conn)
    .await?;
    row.ok_or(ControlError::UnknownTrigger { trigger_id })?.try_into()
}

/// The active triggers of one kind (`cron`, `webhook` or `threshold`), by id.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn active(conn: &mut PgConnection, kind: &str) -> Result<Vec<Trigger>, ControlError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, org_id, job_id, name, kind, config, input
           FROM control.triggers WHERE active AND kind = $1 ORDER BY id",
    )
    .bind(kind)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Trigger::try_from).collect()
}

/// The event that a firing has recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FiredEvent {
    /// The event.
    pub event_id: EventId,
    /// The cause that it follows from, for the log.
    pub trace_id: Option<TraceId>,
}

/// What became of a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// The event was recorded.
    Now(FiredEvent),
    /// This firing has happened before.
    Already,
}

/// Fires `trigger` once for `fire_key`. `addition` is laid over the trigger's own input.
///
/// # Errors
/// Only what Postgres reports.
pub async fn fire(
    conn: &mut PgConnection,
    trigger: &Trigger,
    fire_key: &str,
    addition: &Value,
) -> Result<Fired, ControlError> {
    fire_as(conn, trigger, trigger.config.kind(), fire_key, addition).await
}

/// As [`fire`]; the audit trail names `actor`.
async fn fire_as(
    conn: &mut PgConnection,
    trigger: &Trigger,
    actor: &str,
    fire_key: &str,
    addition: &Value,
) -> Result<Fired, ControlError> {
    let mut db_tx = conn.begin().await?;
    let body = EventBody::TriggerFired {
        org_id: trigger.org_id,
        job_id: trigger.job_id,
        trigger_id: Some(trigger.id),
        fire_key: fire_key.to_owned(),
        input: laid_over(&trigger.input, addition),
    };
    let (event_id, trace_id) = events::record_traced(&mut db_tx, &body).await?;
    let first = sqlx::query(
        "INSERT INTO control.trigger_fires (trigger_id, fire_key, event_id, org_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT (trigger_id, fire_key) DO NOTHING",
    )
    .bind(trigger.id.0)
    .bind(fire_key)
    .bind(event_id.0)
    .bind(trigger.org_id.0)
    .execute(&mut *db_tx)
    .await?;
    if first.rows_affected() != 1 {
        db_tx.rollback().await?;
        return Ok(Fired::Already);
    }
    let change = audit::Change {
        org_id: Some(trigger.org_id),
        actor,
        action: "fired",
        subject: "trigger",
        subject_id: trigger.id.0,
        reason: Some(fire_key),
        ..audit::Change::default()
    };
    audit::record(&mut db_tx, &change).await?;
    db_tx.commit().await?;
    Ok(Fired::Now(FiredEvent { event_id, trace_id }))
}

/// `base` with the fields of `addition` set. If one of them is no object, `addition` wins unless it is null.
fn laid_over(base: &Value, addition: &Value) -> Value {
    match (base, addition) {
        (Value::Object(base), Value::Object(addition)) => {
            let mut both = base.clone();
            both.extend(addition.iter().map(|(name, value)| (name.clone(), value.clone())));
            Value::Object(both)
        }
        (base, Value::Null) => base.clone(),
        (_, addition) => addition.clone(),
    }
}
