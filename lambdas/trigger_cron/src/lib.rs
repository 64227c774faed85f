//! The cron trigger: one tick of a schedule is one firing, however often it is delivered, and also if it is not.
//!
//! EventBridge Scheduler calls with the trigger's id and the scheduled time, which is the tick's identity; once a minute it
//! calls for a sweep, which makes up for ticks that did not come or writes them down as missed. The rules are in
//! `isotherm_control::{cron, triggers}`; this shell names the tick and publishes the firings. It must never use the
//! moment of delivery as an identity when a scheduled time came along.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use isotherm_control::ControlError;
use isotherm_control::cron;
use isotherm_control::triggers::{self, CaughtUp, Ticked, Trigger, TriggerConfig};
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::{Environment, Fault, metrics, outbox_publisher};
use isotherm_types::{Classified, Clock, Disposition, SystemClock, TriggerId};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};

mod event;

pub use event::{CronEvent, ScheduledTime, TickEvent};

/// What the function keeps between invocations.
pub struct CronTrigger {
    /// The database.
    pub pool: PgPool,
    /// AWS.
    pub clients: Clients,
    /// Where firings are published.
    pub event_queues: EventQueues,
    /// Used for a tick whose scheduled time did not come along, and by the sweep.
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
    /// The trigger skips ticks while an earlier firing is not over.
    Skipped {
        /// Names the tick.
        fire_key: String,
    },
    /// This tick was accounted for before, or lies before the trigger's start.
    Already {
        /// Names the tick.
        fire_key: String,
    },
    /// To a sweep: what was done.
    Swept {
        /// Triggers looked at.
        triggers: usize,
        /// Ticks fired late.
        fired: u64,
        /// Late ticks skipped.
        skipped: u64,
        /// Ticks written down as missed.
        missed: u64,
        /// Events that were published.
        published: u64,
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
        let options = PoolOptions::lambda_in_turn("trigger_cron");
        let pool =
            database::connect_with_secret(clients.secrets_manager(), &secret_arn.open(&checked), options).await?;
        Ok(Self { pool, clients, event_queues: event_queues.open(&checked), clock: Arc::new(SystemClock) })
    }

    /// Handles one event.
    ///
    /// # Errors
    /// What the database reports, a trigger of another kind, or a firing that is recorded but could not be published
    /// (then a retry, or the dispatcher's sweep, publishes it).
    pub async fn handle(&self, event: CronEvent) -> Result<Answer, Fault> {
        match event {
            CronEvent::Tick(tick) => self.tick(tick).await,
            CronEvent::Sweep => self.sweep().await,
        }
    }

    async fn tick(&self, event: TickEvent) -> Result<Answer, Fault> {
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        let ticked = match fire(&mut conn, event, self.clock.now()).await {
            Ok(ticked) => ticked,
            Err(fault) if fault.code() == "control.unknown_trigger" => {
                tracing::warn!(trigger.id = event.trigger_id.0, "a schedule ticks for a trigger that is gone");
                return Ok(Answer::Gone);
            }
            Err(fault) => return Err(fault),
        };
        drop(conn);
        self.publish().await?;
        let (fire_key, ticked) = ticked;
        let is_new = ticked != Ticked::Already;
        let trace_id = match &ticked {
            Ticked::Fired(fired) => fired.trace_id.map(String::from),
            Ticked::Skipped { .. } | Ticked::Already => None,
        };
        tracing::info!(
            trigger.id = event.trigger_id.0,
            fire.key = fire_key,
            fire.new = is_new,
            trace.id = trace_id.as_deref(),
            "a schedule ticked"
        );
        Ok(match ticked {
            Ticked::Fired(_) => Answer::Fired { fire_key },
            Ticked::Skipped { reason } => {
                tracing::info!(trigger.id = event.trigger_id.0, fire.key = fire_key, reason, "the tick is skipped");
                Answer::Skipped { fire_key }
            }
            Ticked::Already => Answer::Already { fire_key },
        })
    }

    async fn sweep(&self) -> Result<Answer, Fault> {
        // What was fired is published, whatever became of the rest.
        let caught_up = self.catch_up().await;
        let published = self.publish().await;
        if let (Err(_), Err(fault)) = (&caught_up, &published) {
            report(fault, "firings were not published; the next sweep publishes them");
        }
        let ((triggers, CaughtUp { fired, skipped, missed }), published) = (caught_up?, published?);
        Ok(Answer::Swept { triggers, fired, skipped, missed, published })
    }

    /// Looks after every cron trigger; one's failure does not keep the others back. Returns how many there are, and what was
    /// done about them.
    async fn catch_up(&self) -> Result<(usize, CaughtUp), Fault> {
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        let triggers = triggers::active(&mut conn, "cron").await?;
        let mut total = Ok(CaughtUp::default());
        for trigger in &triggers {
            match catch_up(&mut conn, trigger, self.clock.now()).await {
                Ok(one) => total = total.map(|before| before + one),
                Err(fault) => {
                    report(&fault, "a trigger was not swept");
                    total = total.and(Err(fault));
                }
            }
        }
        Ok((triggers.len(), total?))
    }

    async fn publish(&self) -> Result<u64, Fault> {
        Ok(outbox_publisher::publish_pending(&self.pool, self.clients.sqs(), &self.event_queues).await?)
    }
}

async fn fire(conn: &mut PgConnection, event: TickEvent, now: DateTime<Utc>) -> Result<(String, Ticked), Fault> {
    let trigger = triggers::read(&mut *conn, event.trigger_id).await?;
    let tick = tick_of(&trigger, event.scheduled_time, now)?;
    Ok((cron::tick_key(tick), triggers::tick(conn, trigger.id, tick).await?))
}

async fn catch_up(conn: &mut PgConnection, trigger: &Trigger, now: DateTime<Utc>) -> Result<CaughtUp, Fault> {
    let caught_up = match triggers::catch_up(conn, trigger.id, now).await {
        Ok(caught_up) => caught_up,
        // It left the pipeline between the list and the look.
        Err(ControlError::UnknownTrigger { .. }) => CaughtUp::default(),
        Err(error) => return Err(error.into()),
    };
    if caught_up.fired + caught_up.skipped > 0 {
        tracing::warn!(
            trigger.id = trigger.id.0,
            fired = caught_up.fired,
            skipped = caught_up.skipped,
            "ticks did not come and were made up for"
        );
    }
    if caught_up.missed > 0 {
        tracing::warn!(trigger.id = trigger.id.0, missed = caught_up.missed, "ticks were missed");
        let missed = u32::try_from(caught_up.missed).unwrap_or(u32::MAX);
        metrics::emit(metrics::TICKS_MISSED_TOTAL, f64::from(missed), &[("trigger", &trigger.name)]);
    }
    Ok(caught_up)
}

fn report(fault: &Fault, what: &'static str) {
    tracing::error!(error.code = fault.code(), error.message = fault.message(), "{what}");
}

/// The tick that is meant. Pure.
///
/// # Errors
/// [`TickError`], or a schedule that cannot be read.
pub fn tick_of(trigger: &Trigger, scheduled: ScheduledTime, now: DateTime<Utc>) -> Result<DateTime<Utc>, Fault> {
    let TriggerConfig::Cron(config) = &trigger.config else {
        return Err(TickError::NotCron { trigger_id: trigger.id }.into());
    };
    let schedule = config.parsed().map_err(|source| ControlError::BadSchedule { trigger_id: trigger.id, source })?;
    let tick = match scheduled {
        ScheduledTime::At(time) => schedule.tick_of(time),
        ScheduledTime::NotFilledIn => schedule.previous_until(now),
    };
    Ok(tick.ok_or(TickError::NoTickYet { trigger_id: trigger.id, now })?)
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
        let mut on_another_clock = trigger("cron(0 7 * * ? *)");
        if let TriggerConfig::Cron(config) = &mut on_another_clock.config {
            config.timezone = "Europe/Berlin".to_owned();
        }
        let tick = tick_of(&on_another_clock, ScheduledTime::NotFilledIn, now).unwrap();
        assert_eq!(cron::tick_key(tick), "tick-2026-11-23T06:00:00Z");
        let later = tick_of(&trigger("at(2027-01-01T00:00:00)"), ScheduledTime::NotFilledIn, now).unwrap_err();
        assert_eq!(later.code(), "trigger.no_tick_yet");
        let bad = tick_of(&trigger("sometimes"), ScheduledTime::NotFilledIn, now).unwrap_err();
        assert_eq!(bad.code(), "control.bad_schedule");
    }
}
