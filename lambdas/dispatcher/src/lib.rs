//! The dispatcher: events become tasks, waiting tasks become wake-ups and launches.
//!
//! Runs for each batch of `events.fifo` and once a minute. All rules are in `isotherm_control::dispatch`; this shell
//! reads the events, carries the decisions to SQS and ECS, and says which messages failed. It must never decide who
//! runs, and never lose a decision: what could not be sent is noted, and the next sweep sends it.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt;
use isotherm_control::dispatch;
use isotherm_control::events::BadWake;
use isotherm_control::{ControlError, events};
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::{EventQueues, Fargate, TaskQueues};
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_platform::lambda::fifo_batch::{self, HandlerPanicked};
use isotherm_platform::{Environment, Fault, outbox_publisher};
use isotherm_types::EventId;
use serde::Serialize;
use sqlx::PgPool;

mod measure;
mod send;

/// How long one invocation goes on launching; its time-out is 30 s.
const LAUNCHING: Duration = Duration::from_secs(15);
/// How long the launch rate is given to refill.
const REFILL: Duration = Duration::from_millis(500);

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    wakes: usize,
    launches: usize,
}

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Dispatcher {
    /// The database.
    pub pool: PgPool,
    /// AWS.
    pub clients: Clients,
    /// Where events are published.
    pub event_queues: EventQueues,
    /// Where workers are woken.
    pub task_queues: TaskQueues,
    /// Where workers are launched.
    pub fargate: Fargate,
}

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a batch: the messages that failed.
    Batch(SqsBatchResponse),
    /// To a sweep: what was sent.
    Swept {
        /// Wake-ups.
        wakes: usize,
        /// Launches.
        launches: usize,
        /// Events that had been left in the outbox.
        published: u64,
    },
}

impl Dispatcher {
    /// Reads the environment and connects.
    ///
    /// # Errors
    /// A bad environment, a secret that cannot be read, or a database that does not answer.
    pub async fn connect(mut environment: Environment) -> Result<Self, Fault> {
        let event_queues = environment.event_queues();
        let task_queues = environment.task_queues();
        let fargate = environment.fargate();
        let secret_arn = environment.database_secret_arn();
        let checked = environment.check()?;
        let clients = Clients::load().await;
        let options = PoolOptions::lambda_in_turn("dispatcher");
        let pool =
            database::connect_with_secret(clients.secrets_manager(), &secret_arn.open(&checked), options).await?;
        Ok(Self {
            pool,
            clients,
            event_queues: event_queues.open(&checked),
            task_queues: task_queues.open(&checked),
            fargate: fargate.open(&checked),
        })
    }

    /// Handles one event.
    ///
    /// # Errors
    /// A sweep's; the failures of a batch are in its answer.
    pub async fn handle(&self, event: BatchOrSweep) -> Result<Answer, Fault> {
        match event {
            BatchOrSweep::Batch(batch) => {
                fifo_batch::tell_age(&batch);
                Ok(Answer::Batch(self.handle_batch(&batch).await))
            }
            BatchOrSweep::Sweep => self.sweep().await,
        }
    }

    async fn handle_batch(&self, batch: &SqsEvent) -> SqsBatchResponse {
        let routed = self.route_at_once(batch).await;
        let response = fifo_batch::handle_each(batch, async |message: &SqsMessage| {
            let event_id = event_of(message)?;
            if routed.contains(&event_id) { Ok(()) } else { self.route_alone(event_id).await }
        });
        let response = response.await;
        // The tasks are there; what cannot be sent now is sent by the next sweep.
        if let Err(fault) = self.send_what_is_ready().await {
            send::report(&fault, "what is ready could not be sent; the next sweep sends it");
        }
        response
    }

    /// Makes the tasks of all events of the batch in one transaction. Returns those events; the others need a look of their own,
    /// which is to say why they cannot be routed. A panic is nobody's failure yet: it comes again with the event that causes it.
    async fn route_at_once(&self, batch: &SqsEvent) -> BTreeSet<EventId> {
        let mut event_ids: BTreeSet<EventId> =
            batch.records.iter().filter_map(|message| event_of(message).ok()).collect();
        let routing = async {
            let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
            dispatch::handle_events(&mut conn, &event_ids.iter().copied().collect::<Vec<_>>()).await
        };
        // What a panic leaves half done is the transaction, which is rolled back.
        let fault: Fault = match AssertUnwindSafe(routing).catch_unwind().await {
            Ok(Ok(handled)) => {
                for (event_id, _) in handled.refused {
                    event_ids.remove(&event_id);
                }
                tracing::info!(event.count = event_ids.len(), task.count = handled.made.len(), "events were routed");
                for (task_id, trace_id) in handled.traces {
                    tracing::info!(task.id = task_id.0, trace.id = %trace_id, "a task was made");
                }
                return event_ids;
            }
            Ok(Err(error)) => error.into(),
            Err(_panic) => HandlerPanicked.into(),
        };
        tracing::warn!(
            error.code = fault.code(),
            error.message = fault.message(),
            "the events could not be routed at once; each is tried alone"
        );
        BTreeSet::new()
    }

    async fn route_alone(&self, event_id: EventId) -> Result<(), Fault> {
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        let made = dispatch::handle_event(&mut conn, event_id).await?;
        tracing::info!(event.id = event_id.0, task.count = made.len(), "an event was routed");
        Ok(())
    }

    async fn send_what_is_ready(&self) -> Result<Sent, Fault> {
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        let began = Instant::now();
        let mut sent = Sent::default();
        loop {
            let outgoing = dispatch::ready(&mut conn, dispatch::MOST_LAUNCHES).await?;
            self.send(&mut conn, &outgoing).await?;
            sent.wakes += outgoing.wakes.len();
            sent.launches += outgoing.launches.len();
            // One pass is enough for almost every batch. What the account's launch rate holds back is not left for the next
            // minute's sweep, which would let a burst of tasks wait for many minutes.
            if outgoing.held == 0 || began.elapsed() > LAUNCHING {
                return Ok(sent);
            }
            if outgoing.launches.is_empty() {
                tokio::time::sleep(REFILL).await;
            }
        }
    }

    async fn sweep(&self) -> Result<Answer, Fault> {
        // Neither part keeps the other back.
        let published = outbox_publisher::publish_pending(&self.pool, self.clients.sqs(), &self.event_queues).await;
        let published = published.map_err(Fault::from);
        if let Err(fault) = &published {
            send::report(fault, "the outbox could not be published; the sweep goes on");
        }
        let swept = self.sweep_tasks().await;
        self.measure().await;
        let Sent { wakes, launches } = swept?;
        let published = published?;
        tracing::info!(wake.count = wakes, launch.count = launches, event.count = published, "swept");
        Ok(Answer::Swept { wakes, launches, published })
    }

    async fn sweep_tasks(&self) -> Result<Sent, Fault> {
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        dispatch::ensure_sources(&mut conn).await?;
        drop(conn);
        self.send_what_is_ready().await
    }
}

/// The event that a message is about.
fn event_of(message: &SqsMessage) -> Result<EventId, BadWake> {
    Ok(events::parse_wake(message.body.as_deref().unwrap_or_default())?.event_id)
}
