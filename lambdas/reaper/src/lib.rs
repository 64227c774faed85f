//! The reaper: takes tasks back whose worker has gone silent, and stops what is left of the worker.
//!
//! Runs once a minute. The rule is `isotherm_control::reap`; this shell stops ECS tasks and wakes workers that wait. It must
//! never launch capacity: that is the dispatcher's, whose next sweep finds the tasks that were put back.

use isotherm_control::ControlError;
use isotherm_control::dispatch;
use isotherm_control::reap::{self, Reaped};
use isotherm_control::tasks::AfterFailure;
use isotherm_control::workers_to_stop::{self, WorkerToStop};
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::{EventQueues, TaskQueues};
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::task_wakes::send_task_wakes;
use isotherm_platform::{Environment, Fault, ecs, outbox_publisher};
use isotherm_types::{Classified, CrashPoint};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

/// Shown by ECS as the reason of a stop.
const STOP_REASON: &str = "isotherm: the task's lease ran out";

/// What starts the reaper: `{"version": 1, "kind": "reap"}`, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Scheduled")]
pub struct ReaperEvent;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scheduled {
    version: u32,
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Reap,
}

/// An event of a version that this function does not know.
#[derive(Debug, thiserror::Error)]
#[error("version {version} is not known; this function knows 1")]
pub struct UnknownVersion {
    version: u32,
}

impl TryFrom<Scheduled> for ReaperEvent {
    type Error = UnknownVersion;

    fn try_from(event: Scheduled) -> Result<Self, UnknownVersion> {
        match (event.version, event.kind) {
            (1, Kind::Reap) => Ok(Self),
            (version, Kind::Reap) => Err(UnknownVersion { version }),
        }
    }
}

/// What the function answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Tasks that are tried again.
    pub queued: usize,
    /// Tasks that have failed for good.
    pub failed: usize,
    /// Tasks that moved on meanwhile; nothing was done to them.
    pub overtaken: u64,
    /// Tasks that could not be changed; the log says why.
    pub faults: usize,
}

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Reaper {
    /// The database.
    pub pool: PgPool,
    /// AWS.
    pub clients: Clients,
    /// Where events are published.
    pub event_queues: EventQueues,
    /// Where workers are woken.
    pub task_queues: TaskQueues,
    /// The ECS cluster where workers run.
    pub cluster: String,
}

impl Reaper {
    /// Reads the environment and connects.
    ///
    /// # Errors
    /// A bad environment, a secret that cannot be read, or a database that does not answer.
    pub async fn connect(mut environment: Environment) -> Result<Self, Fault> {
        let event_queues = environment.event_queues();
        let task_queues = environment.task_queues();
        let cluster = environment.cluster();
        let secret_arn = environment.database_secret_arn();
        let checked = environment.check()?;
        let clients = Clients::load().await;
        let options = PoolOptions::lambda("reaper");
        let pool =
            database::connect_with_secret(clients.secrets_manager(), &secret_arn.open(&checked), options).await?;
        Ok(Self {
            pool,
            clients,
            event_queues: event_queues.open(&checked),
            task_queues: task_queues.open(&checked),
            cluster: cluster.open(&checked),
        })
    }

    /// Takes back what is lost.
    ///
    /// # Errors
    /// If lost tasks cannot be read, or for the database's sake workers not be woken or stopped, or if the outbox cannot be
    /// published. None of it keeps the rest back; the first of several failures is answered, the others are logged. So are
    /// tasks that cannot be changed, and workers that ECS does not stop.
    pub async fn handle(&self, _event: ReaperEvent) -> Result<Answer, Fault> {
        let published = outbox_publisher::publish_pending(&self.pool, self.clients.sqs(), &self.event_queues).await;
        let published = published.map_err(Fault::from);
        if let Err(fault) = &published {
            report(fault, "the outbox could not be published; the reaper goes on");
        }
        let answer = self.take_back().await?;
        published?;
        Ok(answer)
    }

    async fn take_back(&self) -> Result<Answer, Fault> {
        let reaped = self.reap().await;
        if let Ok(reaped) = &reaped {
            log_each(reaped);
        }
        // Each part is done whatever becomes of the others, and none waits for another's servers.
        let (woken, stopped) = tokio::join!(self.wake_workers(), self.stop_workers());
        let reaped = first_failure(reaped, woken, "workers that wait could not be woken");
        let reaped = first_failure(reaped, stopped, "workers of lost tasks could not be stopped");
        let Reaped { lost, overtaken, faults, silent_workers } = reaped?;
        let failed = lost.iter().filter(|task| task.after == AfterFailure::Failed).count();
        let answer = Answer { queued: lost.len() - failed, failed, overtaken, faults: faults.len() };
        tracing::info!(
            task.queued = answer.queued,
            task.failed = answer.failed,
            task.overtaken = overtaken,
            task.faults = answer.faults,
            worker.silent = silent_workers,
            "reaped"
        );
        Ok(answer)
    }

    async fn reap(&self) -> Result<Reaped, Fault> {
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        let reaped = reap::reap(&mut conn, reap::PAGE_ROWS).await?;
        if !reaped.lost.is_empty() {
            CrashPoint::ReaperLost.pass();
        }
        Ok(reaped)
    }

    /// Freed places are filled before the dispatcher's next sweep, where workers wait for work.
    async fn wake_workers(&self) -> Result<(), Fault> {
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        let waiting = dispatch::ready(&mut conn, 0).await?;
        let mut noted = Ok(());
        for unsent in send_task_wakes(self.clients.sqs(), &self.task_queues, &waiting.wakes).await {
            let forgotten = dispatch::forget_wake(&mut conn, unsent).await.map_err(Fault::from);
            if let Err(fault) = &forgotten {
                report(fault, "a wake-up that was not sent could not be noted");
            }
            noted = noted.and(forgotten);
        }
        noted
    }

    /// They may be alive and only cut off from the database: they must not go on for ever. Those too that an earlier run noted
    /// and did not come to.
    async fn stop_workers(&self) -> Result<(), Fault> {
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        loop {
            let workers = workers_to_stop::due(&mut conn).await?;
            if workers.is_empty() {
                return Ok(());
            }
            for worker in &workers {
                if self.stop_worker(worker).await {
                    workers_to_stop::stopped(&mut conn, worker).await?;
                }
            }
        }
    }

    /// Whether ECS has taken the order; if not, the next run tries again.
    async fn stop_worker(&self, worker: &WorkerToStop) -> bool {
        let stopped = ecs::stop(self.clients.ecs(), &self.cluster, &worker.ecs_task_arn, STOP_REASON).await;
        if let Err(error) = stopped {
            let fault = Fault::from(error);
            tracing::error!(
                task.id = worker.task_id.0,
                ecs.task_arn = worker.ecs_task_arn,
                error.code = fault.code(),
                error.message = fault.message(),
                "the worker of a lost task could not be stopped; its fence is stale all the same"
            );
            return false;
        }
        true
    }
}

fn log_each(reaped: &Reaped) {
    for task in &reaped.lost {
        tracing::warn!(task.id = task.task_id.0, task.fence = task.fence.0, "a task was lost by its worker");
    }
    for (task_id, error) in &reaped.faults {
        tracing::error!(
            task.id = task_id.0,
            error.code = error.code(),
            error.message = %error,
            "a lost task could not be taken back"
        );
    }
}

/// `outcome` if a later part of the work did not fail; otherwise the first failure. One that comes second is logged, as it is
/// not answered.
fn first_failure<T>(outcome: Result<T, Fault>, later: Result<(), Fault>, what: &'static str) -> Result<T, Fault> {
    match (outcome, later) {
        (outcome, Ok(())) => outcome,
        (Ok(_), Err(fault)) => Err(fault),
        (Err(first), Err(second)) => {
            report(&second, what);
            Err(first)
        }
    }
}

fn report(fault: &Fault, what: &'static str) {
    tracing::error!(error.code = fault.code(), error.message = fault.message(), "{what}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn only_the_documented_event_is_accepted() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events-fixtures/reaper/reap.json");
        let event: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(serde_json::from_value::<ReaperEvent>(event).unwrap(), ReaperEvent);
        for event in [
            "{}",
            r#"{"version":2,"kind":"reap"}"#,
            r#"{"version":1,"kind":"sweep"}"#,
            r#"{"version":1,"kind":"reap","x":1}"#,
        ] {
            assert!(serde_json::from_str::<ReaperEvent>(event).is_err(), "{event} was accepted");
        }
    }
}
