//! The cron trigger: one tick of a schedule is one firing, however often it is delivered.
//!
//! EventBridge Scheduler calls with the trigger's id and the scheduled time, which is the tick's identity. The rule is in
//! `isotherm_control::{cron, triggers}`; this shell names the tick and publishes the firing. It must never use the
//! moment of delivery as an identity when a scheduled time came along.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use isotherm_control::ControlError;
use isotherm_control::cron::{self, Schedule};
use isotherm_control::triggers::{self, Fired, Trigger, TriggerConfig};
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::{Environment, Fault, outbox_publisher};
use isotherm_types::{Classified, Clock, Disposition, SystemClock, TriggerId};
use serde::Serialize;
use sqlx::PgPool;

mod event;

pub use event::{ScheduledTime, TickEvent};

/// What the function keeps between invocations.
pub struct CronTrigger {
    /// The database.
    pub pool: PgPool,
    /// AWS.
    pub clients: Clients,
    /// Where firings are published.
    pub event_queues: EventQueues,
    /// Used only for a tick whose scheduled time did not come along.
    pub clock: Arc<dyn Clock>,
}

/// What the function answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Answer {
    /// The trigger fired.
    Fired {
        /// Names the tick.
        fire_key: String,
    },
    /// This tick had fired before.
    Already {
        /// Names the tick.
        fire_key: String,
    },
    /// The trigger is not there any more, or not active: its schedule is to be removed.
    Gone,
}

/// A tick that cannot be turned into a firing.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    /// The trigger is of another kind.
    #[error("{trigger_id} is no cron trigger")]
    NotCron {
        /// The trigger.
        trigger_id: TriggerId,
    },
    /// The schedule has had no tick yet.
    #[error("the schedule of {trigger_id} has had no tick before {now}")]
    NoTickYet {
        /// The trigger.
        trigger_id: TriggerId,
        /// The clock.
        now: DateTime<Utc>,
    },
}

impl Classified for TickError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NotCron { .. } | Self::NoTickYet { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotCron { .. } => "trigger.not_cron",
            Self::NoTickYet { .. } => "trigger.no_tick_yet",
        }
    }
}

impl CronTrigger {
    /// Reads the environment and connects.
    ///
    /// # Errors
    /// A bad environment, a secret that cannot be read, or a database that does not answer.
    pub async fn connect(mut environment: Environment) -> Result<Self, Fault> {
        let event_queues = environment.event_queues();
        let secret_arn = environment.database_secret_arn();
        let checked = environment.check()?;
        let clients = Clients::load().await;
        let options = PoolOptions::lambda("trigger_cron");
        let pool =
            database::connect_with_secret(clients.secrets_manager(), &secret_arn.open(&checked), options).await?;
        Ok(Self { pool, clients, event_queues: event_queues.open(&checked), clock: Arc::new(SystemClock) })
    }

    /// Fires the trigger once for the tick.
    ///
    /// # Errors
    /// What the database reports, a trigger of another kind, or a firing that is recorded but could not be published
    /// (then a retry, or the dispatcher's sweep, publishes it).
    pub async fn handle(&self, event: TickEvent) -> Result<Answer, Fault> {
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        let trigger = match triggers::read(&mut conn, event.trigger_id).await {
            Ok(trigger) => trigger,
            Err(ControlError::UnknownTrigger { trigger_id }) => {
                tracing::warn!(trigger.id = trigger_id.0, "a schedule ticks for a trigger that is gone");
                return Ok(Answer::Gone);
            }
            Err(error) => return Err(error.into()),
        };
        let tick = tick_of(&trigger, event.scheduled_time, self.clock.now())?;
        let fire_key = cron::tick_key(tick);
        let addition = serde_json::json!({ "scheduled_time": tick });
        let fired = triggers::fire(&mut conn, &trigger, &fire_key, &addition).await?;
        drop(conn);
        outbox_publisher::publish_pending(&self.pool, self.clients.sqs(), &self.event_queues).await?;
        tracing::info!(
            trigger.id = trigger.id.0,
            fire.key = fire_key,
            fire.new = fired != Fired::Already,
            "a schedule ticked"
        );
        Ok(match fired {
            Fired::Now(_) => Answer::Fired { fire_key },
            Fired::Already => Answer::Already { fire_key },
        })
    }
}

/// The instant that the tick was scheduled for. Pure.
///
/// # Errors
/// [`TickError`], or a schedule that cannot be read.
pub fn tick_of(trigger: &Trigger, scheduled: ScheduledTime, now: DateTime<Utc>) -> Result<DateTime<Utc>, Fault> {
    let TriggerConfig::Cron(config) = &trigger.config else {
        return Err(TickError::NotCron { trigger_id: trigger.id }.into());
    };
    if let ScheduledTime::At(tick) = scheduled {
        return Ok(tick);
    }
    let schedule: Schedule =
        config.schedule.parse().map_err(|source| ControlError::BadSchedule { trigger_id: trigger.id, source })?;
    Ok(schedule.previous_until(now).ok_or(TickError::NoTickYet { trigger_id: trigger.id, now })?)
}

#[cfg(test)]
mod tests {
    use isotherm_control::triggers::CronConfig;
    use isotherm_types::{JobId, OrgId};

    use super::*;

    fn trigger(schedule: &str) -> Trigger {
        Trigger {
            id: TriggerId(4),
            org_id: OrgId(1),
            job_id: JobId(2),
            name: "beat".to_owned(),
            config: TriggerConfig::Cron(CronConfig::every(schedule)),
            input: serde_json::json!({}),
        }
    }

    #[test]
    fn the_scheduled_time_is_the_identity_even_when_delivery_is_late() {
        let scheduled: DateTime<Utc> = "2026-11-23T06:38:00Z".parse().unwrap();
        let late = scheduled + chrono::TimeDelta::minutes(50);
        assert_eq!(tick_of(&trigger("rate(1 minute)"), ScheduledTime::At(scheduled), late).unwrap(), scheduled);
    }

    #[test]
    fn without_a_scheduled_time_the_tick_is_the_last_of_the_schedule() {
        let now: DateTime<Utc> = "2026-11-23T06:38:22Z".parse().unwrap();
        let tick = tick_of(&trigger("cron(0/5 * * * ? *)"), ScheduledTime::NotFilledIn, now).unwrap();
        assert_eq!(cron::tick_key(tick), "tick-2026-11-23T06:35:00Z");
        let later = tick_of(&trigger("at(2027-01-01T00:00:00)"), ScheduledTime::NotFilledIn, now).unwrap_err();
        assert_eq!(later.code(), "trigger.no_tick_yet");
        let bad = tick_of(&trigger("sometimes"), ScheduledTime::NotFilledIn, now).unwrap_err();
        assert_eq!(bad.code(), "control.bad_schedule");
    }
}
