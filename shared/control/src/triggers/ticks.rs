//! Ticks of cron triggers: each is fired, skipped or written down as missed, once.
//!
//! What is to be done is decided by [`crate::cron::catch_up`]; here it is done, with the trigger's row locked from the first
//! look to the commit, so that two ticks at the same moment see each other. It must never take a clock's word for which
//! tick is meant: the caller names it.

use chrono::{DateTime, Utc};
use isotherm_types::TriggerId;
use sqlx::{Connection, PgConnection};

use super::{CronConfig, Fired, FiredEvent, Overlap, Row, Trigger, TriggerConfig, fire, overlap};
use crate::cron::catch_up::{LIMITS, Step, Window, plan};
use crate::cron::{tick_key, tick_of_key};
use crate::error::ControlError;
use crate::trace;

/// What became of a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ticked {
    /// The event was recorded.
    Fired(FiredEvent),
    /// An earlier firing is not over, and the trigger says to skip then.
    Skipped {
        /// What is not over.
        reason: String,
    },
    /// This tick was accounted for before, or lies before the trigger's start.
    Already,
}

/// A cron trigger whose row is locked until the transaction ends.
struct Held {
    trigger: Trigger,
    config: CronConfig,
    ticked_until: Option<DateTime<Utc>>,
}

/// Fires `trigger_id` for the tick that was due at `scheduled_for`, as its overlap policy says, once however often it is
/// delivered.
///
/// # Errors
/// [`ControlError::UnknownTrigger`] if there is no such active trigger, or it is of another kind; otherwise what Postgres or
/// a row reports.
pub async fn tick(
    conn: &mut PgConnection,
    trigger_id: TriggerId,
    scheduled_for: DateTime<Utc>,
) -> Result<Ticked, ControlError> {
    let mut db_tx = conn.begin().await?;
    let held = hold(&mut db_tx, trigger_id).await?;
    if held.ticked_until.is_some_and(|until| scheduled_for <= until) {
        return Ok(Ticked::Already);
    }
    let ticked = fire_tick(&mut db_tx, &held, scheduled_for).await?;
    db_tx.commit().await?;
    Ok(ticked)
}

/// What a sweep did about one trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaughtUp {
    /// Ticks that were fired late.
    pub fired: u64,
    /// Ticks that were found late, and skipped because an earlier firing is not over.
    pub skipped: u64,
    /// Ticks that were written down as missed.
    pub missed: u64,
}

impl std::ops::Add for CaughtUp {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            fired: self.fired + other.fired,
            skipped: self.skipped + other.skipped,
            missed: self.missed + other.missed,
        }
    }
}

/// Accounts for the ticks of `trigger_id` that did not come by themselves, in one transaction; see [`plan`].
///
/// # Errors
/// As [`tick`]; [`ControlError::BadSchedule`] if the schedule cannot be read.
pub async fn catch_up(
    conn: &mut PgConnection,
    trigger_id: TriggerId,
    now: DateTime<Utc>,
) -> Result<CaughtUp, ControlError> {
    let mut db_tx = conn.begin().await?;
    let held = hold(&mut db_tx, trigger_id).await?;
    let schedule = held.config.parsed().map_err(|source| ControlError::BadSchedule { trigger_id, source })?;
    let window = Window::at(now, held.ticked_until, &schedule, held.config.catch_up_seconds);
    let known = known_ticks(&mut db_tx, trigger_id, &window).await?;
    let plan = plan(&schedule, &window, &known.into_iter().collect(), LIMITS);

    let mut caught_up = CaughtUp::default();
    for step in plan.steps {
        match step {
            Step::Fire(tick) => {
                // Each is a cause of its own, as if it had come by itself.
                trace::follow(&mut db_tx, None).await?;
                match fire_tick(&mut db_tx, &held, tick).await? {
                    Ticked::Fired(_) => caught_up.fired += 1,
                    Ticked::Skipped { .. } => caught_up.skipped += 1,
                    Ticked::Already => {}
                }
            }
            Step::Missed(tick) => {
                let row =
                    NoFiring { fire_key: &tick_key(tick), outcome: "missed", scheduled_for: tick, reason: MISSED };
                caught_up.missed += u64::from(write_down(&mut db_tx, &held.trigger, &row).await?);
            }
            Step::MissedRun { first, last, count } => {
                let (from, to) = (tick_key(first), tick_key(last));
                let (from, to) = (from.trim_start_matches("tick-"), to.trim_start_matches("tick-"));
                let reason = format!("{count} ticks from {from} to {to}: {MISSED}");
                let fire_key = format!("missed-{from}-{to}");
                let row = NoFiring { fire_key: &fire_key, outcome: "missed", scheduled_for: first, reason: &reason };
                caught_up.missed += count * u64::from(write_down(&mut db_tx, &held.trigger, &row).await?);
            }
        }
    }
    sqlx::query("UPDATE control.triggers SET ticked_until = $2 WHERE id = $1")
        .bind(trigger_id.0)
        .bind(plan.ticked_until)
        .execute(&mut *db_tx)
        .await?;
    db_tx.commit().await?;
    Ok(caught_up)
}

/// Why a tick is missed.
const MISSED: &str = "it did not come, and was found out after the catch-up window";

/// Locks the trigger's row. Rows that refer to it can still be written meanwhile.
async fn hold(conn: &mut PgConnection, trigger_id: TriggerId) -> Result<Held, ControlError> {
    #[derive(sqlx::FromRow)]
    struct HeldRow {
        #[sqlx(flatten)]
        row: Row,
        ticked_until: Option<DateTime<Utc>>,
    }
    let held: Option<HeldRow> = sqlx::query_as(
        "SELECT id, org_id, job_id, name, kind, config, input, ticked_until
           FROM control.triggers WHERE id = $1 AND active AND kind = 'cron' FOR NO KEY UPDATE",
    )
    .bind(trigger_id.0)
    .fetch_optional(conn)
    .await?;
    let HeldRow { row, ticked_until } = held.ok_or(ControlError::UnknownTrigger { trigger_id })?;
    let trigger = Trigger::try_from(row)?;
    let TriggerConfig::Cron(config) = trigger.config.clone() else {
        return Err(ControlError::UnknownTrigger { trigger_id });
    };
    Ok(Held { trigger, config, ticked_until })
}

/// The ticks of the window that have a row. Keys sort as their ticks do, so this reads a stretch of the primary key.
async fn known_ticks(
    conn: &mut PgConnection,
    trigger_id: TriggerId,
    window: &Window,
) -> Result<Vec<DateTime<Utc>>, ControlError> {
    let keys: Vec<(String,)> = sqlx::query_as(
        "SELECT fire_key FROM control.trigger_fires WHERE trigger_id = $1 AND fire_key BETWEEN $2 AND $3",
    )
    .bind(trigger_id.0)
    .bind(tick_key(window.after))
    .bind(tick_key(window.until))
    .fetch_all(conn)
    .await?;
    Ok(keys.iter().filter_map(|(key,)| tick_of_key(key)).collect())
}

async fn fire_tick(conn: &mut PgConnection, held: &Held, tick: DateTime<Utc>) -> Result<Ticked, ControlError> {
    let Held { trigger, config, .. } = held;
    let fire_key = tick_key(tick);
    // Before the overlap: a tick that is delivered twice must not take its own task for an earlier one.
    let known = sqlx::query("SELECT 1 FROM control.trigger_fires WHERE trigger_id = $1 AND fire_key = $2")
        .bind(trigger.id.0)
        .bind(&fire_key)
        .fetch_optional(&mut *conn)
        .await?;
    if known.is_some() {
        return Ok(Ticked::Already);
    }
    match config.overlap {
        Overlap::Queue => {}
        Overlap::Skip => {
            if let Some(earlier) = overlap::not_over(conn, trigger).await?.first() {
                let reason = earlier.to_string();
                let row = NoFiring { fire_key: &fire_key, outcome: "skipped", scheduled_for: tick, reason: &reason };
                let is_new = write_down(conn, trigger, &row).await?;
                return Ok(if is_new { Ticked::Skipped { reason } } else { Ticked::Already });
            }
        }
        Overlap::Replace => {
            for earlier in overlap::not_over(conn, trigger).await? {
                overlap::end(conn, trigger, earlier, &fire_key).await?;
            }
        }
    }
    let addition = serde_json::json!({ "scheduled_time": tick });
    let Fired::Now(fired) = fire(&mut *conn, trigger, &fire_key, &addition).await? else {
        return Ok(Ticked::Already);
    };
    sqlx::query("UPDATE control.trigger_fires SET scheduled_for = $3 WHERE trigger_id = $1 AND fire_key = $2")
        .bind(trigger.id.0)
        .bind(&fire_key)
        .bind(tick)
        .execute(conn)
        .await?;
    Ok(Ticked::Fired(fired))
}

/// A firing that leads to no event.
struct NoFiring<'a> {
    fire_key: &'a str,
    outcome: &'static str,
    scheduled_for: DateTime<Utc>,
    reason: &'a str,
}

/// Returns whether the row is new.
async fn write_down(conn: &mut PgConnection, trigger: &Trigger, row: &NoFiring<'_>) -> Result<bool, ControlError> {
    let written = sqlx::query(
        "INSERT INTO control.trigger_fires (trigger_id, fire_key, org_id, outcome, scheduled_for, reason)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (trigger_id, fire_key) DO NOTHING",
    )
    .bind(trigger.id.0)
    .bind(row.fire_key)
    .bind(trigger.org_id.0)
    .bind(row.outcome)
    .bind(row.scheduled_for)
    .bind(row.reason)
    .execute(conn)
    .await?;
    Ok(written.rows_affected() == 1)
}
