//! Triggers as people look at them: when they fire next, what they last did, their firings. Read only.

use chrono::{DateTime, Utc};
use isotherm_types::{EventId, OrgId, TaskId, TriggerId};
use sqlx::PgConnection;

use super::{CronConfig, Row, Trigger, TriggerConfig};
use crate::codec::from_word;
use crate::error::ControlError;
use crate::task::TaskState;

/// A trigger and what it last did.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerOverview {
    /// The definition.
    pub trigger: Trigger,
    /// Name of the job that it fires.
    pub job: String,
    /// Whether it is in the file that was applied last.
    pub active: bool,
    /// The tick of an active cron trigger that comes next. A rate's ticks are reckoned from 1970, so one of EventBridge may
    /// be off by up to the period.
    pub next_tick: Option<DateTime<Utc>>,
    /// The block at which a threshold on blocks goes on.
    pub next_block: Option<u64>,
    /// Its newest firing.
    pub last_firing: Option<Firing>,
}

/// One firing, or why it was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// Names it.
    pub fire_key: String,
    /// When it was written down.
    pub fired_at: DateTime<Utc>,
    /// cron: what the tick was scheduled for.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// `fired`, `skipped` or `missed`.
    pub outcome: String,
    /// Why it led to no event.
    pub reason: Option<String>,
    /// The event that it led to.
    pub event_id: Option<EventId>,
    /// The task that came of the event, and where it stands; none yet, or none at all, if absent.
    pub task: Option<(TaskId, TaskState)>,
}

#[derive(sqlx::FromRow)]
struct OverviewRow {
    #[sqlx(flatten)]
    trigger: Row,
    job: String,
    active: bool,
    next_block: Option<i64>,
    read_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct FiringRow {
    fire_key: String,
    fired_at: DateTime<Utc>,
    scheduled_for: Option<DateTime<Utc>>,
    outcome: String,
    reason: Option<String>,
    event_id: Option<i64>,
    task_id: Option<i64>,
    task_state: Option<String>,
}

impl TryFrom<FiringRow> for Firing {
    type Error = ControlError;

    fn try_from(row: FiringRow) -> Result<Self, ControlError> {
        let task = match (row.task_id, row.task_state) {
            (Some(id), Some(state)) => Some((TaskId(id), from_word(TaskId(id), "state", &state)?)),
            _ => None,
        };
        Ok(Self {
            fire_key: row.fire_key,
            fired_at: row.fired_at,
            scheduled_for: row.scheduled_for,
            outcome: row.outcome,
            reason: row.reason,
            event_id: row.event_id.map(EventId),
            task,
        })
    }
}

/// The organisation's triggers by name, inactive ones included; only the one called `name`, if given.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn overview(
    conn: &mut PgConnection,
    org_id: OrgId,
    name: Option<&str>,
) -> Result<Vec<TriggerOverview>, ControlError> {
    let rows: Vec<OverviewRow> = sqlx::query_as(
        "SELECT g.id, g.org_id, g.job_id, g.name, g.kind, g.config, g.input, g.active, g.next_block,
                j.name AS job, now() AS read_at
           FROM control.triggers g JOIN control.jobs j ON j.id = g.job_id
          WHERE g.org_id = $1 AND ($2::text IS NULL OR g.name = $2)
          ORDER BY g.name",
    )
    .bind(org_id.0)
    .bind(name)
    .fetch_all(&mut *conn)
    .await?;
    let mut triggers = Vec::with_capacity(rows.len());
    for row in rows {
        let trigger = Trigger::try_from(row.trigger)?;
        let next_tick = match &trigger.config {
            TriggerConfig::Cron(cron) if row.active => next_tick(cron, row.read_at),
            TriggerConfig::Cron(_) | TriggerConfig::Webhook(_) | TriggerConfig::Threshold(_) => None,
        };
        let last_firing = history(conn, trigger.id, 1).await?.pop();
        triggers.push(TriggerOverview {
            trigger,
            job: row.job,
            active: row.active,
            next_tick,
            next_block: row.next_block.map(i64::unsigned_abs),
            last_firing,
        });
    }
    Ok(triggers)
}

/// The first tick after `now`, if there is one.
fn next_tick(cron: &CronConfig, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    cron.parsed().ok()?.next_after(now)
}

/// Firings of one trigger, newest first.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn history(conn: &mut PgConnection, trigger_id: TriggerId, limit: u32) -> Result<Vec<Firing>, ControlError> {
    let rows: Vec<FiringRow> = sqlx::query_as(include_str!("../../queries/triggers/history.sql"))
        .bind(trigger_id.0)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(Firing::try_from).collect()
}
