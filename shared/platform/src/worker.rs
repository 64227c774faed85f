//! The worker: takes tasks of one operator one after the other, and runs the operator as a child process for each.
//!
//! Receive a wake-up → claim the task → delete the wake-up → run (`attempt`) → write the end down → publish the
//! outbox → next. Without work for a while it ends, so that Fargate capacity follows the work.
//!
//! Postgres decides who holds a task; this program never believes itself to hold one longer than its lease by its own
//! monotonic clock. It must never know what an operator does.

mod answer;
mod attempt;
mod child;
mod ecs_metadata;
mod lease;
mod operator_environment;
mod outcome;
mod output;
mod presence;
mod publisher;
mod redaction;
mod settings;
mod stall;
mod wake_ups;

use std::future::Future;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use isotherm_control::ControlError;
use isotherm_control::tasks::{self, AfterFailure, Claim, ClaimedTask};
use isotherm_types::TaskId;
use sqlx::PgPool;

use crate::aws::Clients;
use crate::config::Environment;
use crate::crash_points;
use crate::database::{self, IDLE_WHILE_PUBLISHING, PoolOptions};
use crate::fault::Fault;
use crate::stop::Stop;
use crate::telemetry;

pub use outcome::{Ended, Exit, StopReason, Verdict, decide};
pub use settings::WorkerSettings;

use attempt::{After, Attempt};
use lease::Lease;
use presence::Presence;
use publisher::Publisher;
use wake_ups::WakeUpQueue;

/// A retry that is due sooner than this is waited for by the worker that failed, instead of waiting for the sweep.
const LONGEST_OWN_RETRY: Duration = Duration::from_secs(30);
/// Pause after the database or the queue could not be reached.
const PAUSE_AFTER_TROUBLE: Duration = Duration::from_secs(1);
/// How long a worker waits for a database that is away, to give a task back.
const LONGEST_OUTAGE: Duration = Duration::from_secs(600);
/// Pause after another worker was claiming the same task.
const PAUSE_AFTER_CONTENTION: Duration = Duration::from_millis(200);
/// How long what is going on may go on once the worker is told to stop. Twice this, and what an operator needs to stop, is
/// well below the 30 s that Fargate gives.
const PATIENCE_AT_STOP: Duration = Duration::from_secs(2);

/// Heartbeats, publishing and one statement beside them.
const POOL: PoolOptions = PoolOptions {
    application_name: "isotherm-worker",
    max_connections: 3,
    statement_timeout: Some(Duration::from_secs(30)),
    idle_in_transaction_timeout: IDLE_WHILE_PUBLISHING,
};

/// A worker with its connections.
#[derive(Debug)]
pub struct Worker {
    settings: WorkerSettings,
    pool: PgPool,
    clients: Clients,
    stop: Stop,
    presence: Presence,
}

/// A task that this worker tries to claim without a wake-up, and when: the one it was launched for, one that failed, or one
/// that could not be had yet.
#[derive(Clone, Copy, Debug)]
struct OwnRetry {
    task_id: TaskId,
    at: Instant,
}

impl OwnRetry {
    /// When a claim that was refused is tried again without being woken, if it is.
    fn after(task_id: TaskId, refused: &Claim) -> Option<Self> {
        let wait = match refused {
            // The other claimant may fail.
            Claim::Contended => PAUSE_AFTER_CONTENTION,
            Claim::NotDue { wait } if *wait <= LONGEST_OWN_RETRY => *wait,
            _ => return None,
        };
        Some(Self { task_id, at: Instant::now() + wait })
    }
}

/// What the worker does next.
enum Next {
    Run(Box<ClaimedTask>, Lease),
    Idle,
    Stop,
}

/// The whole life of a worker process. Must be called on the main thread: operators die with the thread that started
/// them.
pub async fn main() -> ExitCode {
    telemetry::init("worker");
    match start_and_run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            tracing::error!(
                service.name = "worker",
                error.code = fault.code(),
                error.message = fault.message(),
                "the worker ends"
            );
            ExitCode::FAILURE
        }
    }
}

async fn start_and_run() -> Result<(), Fault> {
    let stop = Stop::on_signals().map_err(|source| crate::operator_main::TaskError::Signals { source })?;
    crash_points::arm_as_told();
    let mut settings = WorkerSettings::read(Environment::of_process())?;
    let connect = async {
        let clients = Clients::load().await;
        let secret_arn = &settings.database_secret_arn;
        let pool = database::connect_with_secret(clients.secrets_manager(), secret_arn, POOL).await?;
        Ok::<_, Fault>((pool, clients, ecs_task_arn(&settings).await))
    };
    let (pool, clients, ecs_task_arn) = tokio::select! {
        biased;
        // Nothing has been taken yet.
        () = stop.requested() => return Ok(()),
        connected = connect => connected?,
    };
    settings.ecs_task_arn = ecs_task_arn;
    Worker::new(settings, pool, clients, stop).run().await
}

/// The ECS task that this process is part of: as the launcher says, else as ECS itself does. Without it the reaper cannot
/// stop a worker that is cut off, whose writes its fence refuses all the same.
async fn ecs_task_arn(settings: &WorkerSettings) -> Option<String> {
    match (&settings.ecs_task_arn, &settings.ecs_metadata_url) {
        (Some(told), _) => Some(told.clone()),
        (None, Some(url)) => match ecs_metadata::task_arn(url).await {
            Ok(task_arn) => Some(task_arn),
            Err(error) => {
                report(&Fault::from(error), "the worker does not know its ECS task");
                None
            }
        },
        (None, None) => None,
    }
}

impl Worker {
    /// A worker that has not taken anything yet.
    pub fn new(settings: WorkerSettings, pool: PgPool, clients: Clients, stop: Stop) -> Self {
        Self { settings, pool, clients, stop, presence: Presence::default() }
    }

    /// Takes tasks until there has been nothing to do for the idle time, or until it is told to stop.
    ///
    /// # Errors
    /// What kept it from taking tasks, if that was still so at the end.
    pub async fn run(self) -> Result<(), Fault> {
        let ended = self.take_tasks().await;
        self.say_that_we_leave().await;
        ended
    }

    async fn take_tasks(&self) -> Result<(), Fault> {
        let queue = WakeUpQueue::new(self.clients.sqs(), &self.settings.task_queue_url);
        let mut idle_since = Instant::now();
        let first = self.settings.first_task.map(|task_id| OwnRetry { task_id, at: idle_since });
        let mut own_retry = first;
        let mut trouble = None;
        tracing::info!(worker.name = self.settings.name, operator.name = self.settings.operator, "the worker starts");
        loop {
            match self.next(&queue, idle_since, &mut own_retry, &mut trouble).await {
                Next::Run(task, lease) => {
                    trouble = None;
                    own_retry = match self.carry_out(&task, lease).await {
                        Some(retry) => Some(retry),
                        None => self.next_in_line().await,
                    };
                    idle_since = Instant::now();
                }
                Next::Idle => break,
                Next::Stop => return Ok(()),
            }
        }
        tracing::info!(worker.name = self.settings.name, "the worker ends, as there is nothing to do");
        trouble.map_or(Ok(()), Err)
    }

    /// Runs one attempt to its end, and says whether to try the same task again.
    async fn carry_out(&self, task: &ClaimedTask, lease: Lease) -> Option<OwnRetry> {
        let after = Attempt::new(self, task, lease).run().await;
        let publisher = self.publisher();
        // Spawned, since a publication must not be dropped half-way; see there.
        let publication = tokio::spawn(async move { publisher.publish().await });
        let _ = self.unless_stopped_for_long(publication).await;
        match after {
            After::Failure(AfterFailure::Queued { wait }) if wait <= LONGEST_OWN_RETRY => {
                Some(OwnRetry { task_id: task.task_id, at: Instant::now() + wait })
            }
            After::LeaseOver => self.give_back_late(task).await,
            After::Failure(_) | After::Over | After::NotOurs => None,
        }
    }

    /// Gives a task back whose lease ran out while the database was away, as soon as that answers, so that the task need not
    /// wait for the reaper. Its operator has ended, and the fence keeps this off a task that somebody else has by now.
    async fn give_back_late(&self, task: &ClaimedTask) -> Option<OwnRetry> {
        let began = Instant::now();
        loop {
            let giving_back = async {
                let mut conn = database::borrow(&self.pool).await?;
                tasks::release(&mut conn, task.task_id, task.fence, None).await?;
                conn.give_back();
                Ok::<_, ControlError>(())
            };
            let given_back = database::answered_within(database::PROBE, giving_back);
            match self.unless_stopped_for_long(given_back).await? {
                Ok(()) | Err(ControlError::StaleFence { .. }) => {
                    return Some(OwnRetry { task_id: task.task_id, at: Instant::now() });
                }
                Err(error) => report(&Fault::from(error), "a task whose lease is over could not be given back yet"),
            }
            if began.elapsed() > LONGEST_OUTAGE {
                return None;
            }
            tokio::select! {
                () = self.stop.requested() => return None,
                () = tokio::time::sleep(PAUSE_AFTER_TROUBLE) => {}
            }
        }
    }

    /// The task that has been due longest, if any. The wake-up of a task that had to wait for this one's place is gone by
    /// now; without this it would wait for the dispatcher's sweep.
    async fn next_in_line(&self) -> Option<OwnRetry> {
        let asked = async {
            let mut conn = database::borrow(&self.pool).await?;
            let next = tasks::next_due(&mut conn, &self.settings.operator).await?;
            conn.give_back();
            Ok::<_, ControlError>(next)
        };
        let asked = self.unless_stopped_for_long(database::answered_within(database::PATIENCE, asked)).await?;
        match asked {
            Ok(task_id) => task_id.map(|task_id| OwnRetry { task_id, at: Instant::now() }),
            Err(error) => {
                report(&Fault::from(error), "the next task could not be asked for");
                None
            }
        }
    }

    /// Waits for the next task: an own retry that is due, or a wake-up.
    async fn next(
        &self,
        queue: &WakeUpQueue<'_>,
        idle_since: Instant,
        own_retry: &mut Option<OwnRetry>,
        trouble: &mut Option<Fault>,
    ) -> Next {
        loop {
            if self.stop.is_requested() {
                return Next::Stop;
            }
            let now = Instant::now();
            if let Some(retry) = own_retry.take_if(|retry| retry.at <= now) {
                let Some(claim) = self.unless_stopped_for_long(self.claim(retry.task_id)).await else {
                    return Next::Stop;
                };
                match claim {
                    Ok((Claim::Claimed(task), lease)) => return Next::Run(task, lease),
                    Ok((refused, _)) => *own_retry = OwnRetry::after(retry.task_id, &refused),
                    Err(fault) => {
                        report(&fault, "a task could not be claimed again");
                        *trouble = Some(fault);
                        *own_retry = Some(OwnRetry { at: now + PAUSE_AFTER_TROUBLE, ..retry });
                    }
                }
                continue;
            }
            let until = own_retry.map_or(idle_since + self.settings.idle, |retry| retry.at);
            if until <= now {
                return Next::Idle;
            }
            self.say_that_we_are_here(None, Duration::MAX).await;
            let received = tokio::select! {
                () = self.stop.requested() => return Next::Stop,
                received = queue.receive(until - now) => received,
            };
            match received {
                Ok(None) => {}
                Ok(Some(wake_up)) => {
                    let answer = self.unless_stopped_for_long(self.answer(queue, &wake_up, own_retry)).await;
                    match answer {
                        None => return Next::Stop,
                        Some(Ok(Some((task, lease)))) => return Next::Run(task, lease),
                        Some(Ok(None)) => *trouble = None,
                        Some(Err(fault)) => self.pause(fault, trouble).await,
                    }
                }
                Err(error) => self.pause(Fault::from(error), trouble).await,
            }
        }
    }

    /// The output of `work`; `None` if it is not there 2 s after the worker was told to stop. A claim that is given up so may
    /// have been granted: then the reaper takes the task back.
    async fn unless_stopped_for_long<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let stopped_for_long = async {
            self.stop.requested().await;
            tokio::time::sleep(PATIENCE_AT_STOP).await;
        };
        tokio::select! {
            biased;
            output = work => Some(output),
            () = stopped_for_long => None,
        }
    }

    fn publisher(&self) -> Publisher {
        let queues = self.settings.event_queues.clone();
        Publisher { pool: self.pool.clone(), sqs: self.clients.sqs().clone(), queues }
    }

    async fn pause(&self, fault: Fault, trouble: &mut Option<Fault>) {
        report(&fault, "no task could be taken");
        *trouble = Some(fault);
        tokio::select! {
            () = self.stop.requested() => {}
            () = tokio::time::sleep(PAUSE_AFTER_TROUBLE) => {}
        }
    }
}

/// Logs trouble that we cope with.
fn report(fault: &Fault, what: &'static str) {
    tracing::warn!(error.code = fault.code(), error.message = fault.message(), "{what}");
}

#[cfg(test)]
mod tests;
