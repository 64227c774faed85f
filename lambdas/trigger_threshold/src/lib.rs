//! The threshold trigger: when a chain has got far enough, or too far behind, its triggers fire.
//!
//! Runs for each batch of `thresholds.fifo` and once a minute. Ten advances of one chain in a batch are one evaluation:
//! what counts is where the chain stands now, not what a message says. The rule is `isotherm_control::threshold`; this
//! shell brings it the facts from hot storage and publishes the firings. It must never fire from a message's content.

use std::collections::BTreeSet;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use isotherm_control::threshold::{self, Facts, TipAge};
use isotherm_control::{ControlError, events};
use isotherm_hot_store::cursor::{self, Cursor};
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_platform::lambda::fifo_batch::{self, FifoBatch};
use isotherm_platform::{Environment, Fault, outbox_publisher};
use isotherm_types::{ChainId, Disposition, EventBody};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};

mod event;

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct ThresholdTrigger {
    /// The database.
    pub pool: PgPool,
    /// AWS.
    pub clients: Clients,
    /// Where firings are published.
    pub event_queues: EventQueues,
}

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a batch: the messages that failed.
    Batch(SqsBatchResponse),
    /// To a sweep: what was done.
    Swept {
        /// Chains looked at.
        chains: usize,
        /// Firings that were new.
        fired: usize,
        /// Events that were published.
        published: u64,
    },
}

impl ThresholdTrigger {
    /// Reads the environment and connects.
    ///
    /// # Errors
    /// A bad environment, a secret that cannot be read, or a database that does not answer.
    pub async fn connect(mut environment: Environment) -> Result<Self, Fault> {
        let event_queues = environment.event_queues();
        let secret_arn = environment.database_secret_arn();
        let checked = environment.check()?;
        let clients = Clients::load().await;
        let options = PoolOptions::lambda_in_turn("trigger_threshold");
        let pool =
            database::connect_with_secret(clients.secrets_manager(), &secret_arn.open(&checked), options).await?;
        Ok(Self { pool, clients, event_queues: event_queues.open(&checked) })
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
        let mut chains = Vec::with_capacity(batch.records.len());
        for message in &batch.records {
            chains.push(self.chain_of(message).await.map_err(|fault| {
                report(&fault, "a message cannot be handled");
                fault.disposition()
            }));
        }
        let mut evaluated = BTreeSet::new();
        for chain_id in chains.iter().flatten().copied().collect::<BTreeSet<ChainId>>() {
            match self.evaluate_chain(chain_id).await {
                Ok(_fired) => {
                    evaluated.insert(chain_id);
                }
                Err(fault) => report(&fault, "a chain was not evaluated"),
            }
        }
        if let Err(fault) = self.publish().await {
            report(&fault, "firings were not published; a sweep publishes them");
        }
        let mut response = FifoBatch::default();
        for (message, chain) in batch.records.iter().zip(chains) {
            let failed = match chain {
                Ok(chain_id) if evaluated.contains(&chain_id) => None,
                Ok(_not_evaluated) => Some(Disposition::Retry),
                Err(disposition) => Some(disposition),
            };
            if let (false, Some(disposition)) = (response.blocks(message), failed) {
                response.fail(message, disposition);
            }
        }
        response.into_response()
    }

    /// The chain that the event of `message` is about.
    async fn chain_of(&self, message: &SqsMessage) -> Result<ChainId, Fault> {
        let wake = events::parse_wake(message.body.as_deref().unwrap_or_default())?;
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        match events::read(&mut conn, wake.event_id).await?.body {
            EventBody::DatasetAdvanced { chain_id, .. }
            | EventBody::DatasetInvalidated { chain_id, .. }
            | EventBody::PartitionCommitted { chain_id, .. }
            | EventBody::IntegrityViolated { chain_id, .. } => Ok(chain_id),
            EventBody::TriggerFired { .. } | EventBody::TaskFailed { .. } | EventBody::AlertsRecorded { .. } => {
                Err(event::NotAboutAChain { event_id: wake.event_id }.into())
            }
        }
    }

    async fn evaluate_chain(&self, chain_id: ChainId) -> Result<usize, Fault> {
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        match cursor::read(&mut conn, chain_id).await? {
            Some(cursor) => evaluate(&mut conn, &cursor).await,
            None => Ok(0),
        }
    }

    async fn sweep(&self) -> Result<Answer, Fault> {
        // What was fired is published, whatever became of the rest.
        let evaluated = self.evaluate_all().await;
        let published = self.publish().await;
        if let (Err(_), Err(fault)) = (&evaluated, &published) {
            report(fault, "firings were not published; the next sweep publishes them");
        }
        let ((chains, fired), published) = (evaluated?, published?);
        Ok(Answer::Swept { chains, fired, published })
    }

    /// Evaluates every chain; a chain's failure does not keep the others back. Returns how many chains there are, and how
    /// many firings were new.
    async fn evaluate_all(&self) -> Result<(usize, usize), Fault> {
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        let cursors = cursor::all(&mut conn).await?;
        let mut total = Ok(0);
        for cursor in &cursors {
            match evaluate(&mut conn, cursor).await {
                Ok(fired) => total = total.map(|before| before + fired),
                Err(fault) => {
                    report(&fault, "a chain was not evaluated");
                    total = total.and(Err(fault));
                }
            }
        }
        Ok((cursors.len(), total?))
    }

    async fn publish(&self) -> Result<u64, Fault> {
        Ok(outbox_publisher::publish_pending(&self.pool, self.clients.sqs(), &self.event_queues).await?)
    }
}

/// Fires what is due for the chain of `cursor`; returns how many firings were new.
async fn evaluate(conn: &mut PgConnection, cursor: &Cursor) -> Result<usize, Fault> {
    let tip_age = cursor::tip_age(conn, cursor.chain_id).await?;
    let facts = Facts {
        chain_id: cursor.chain_id,
        first_block: cursor.first_block,
        tip: cursor.tip.map(|tip| tip.number),
        finalized: cursor.finalized.map(|finalized| finalized.number),
        tip_age: tip_age.map(|(age, observed_at)| TipAge { age, observed_at }),
    };
    let crossed = threshold::evaluate(conn, &facts).await?;
    for firing in &crossed {
        tracing::info!(
            trigger.id = firing.trigger_id.0,
            fire.key = firing.fire_key,
            trace.id = firing.trace_id.map(String::from).as_deref(),
            "a threshold was crossed"
        );
    }
    Ok(crossed.len())
}

fn report(fault: &Fault, what: &'static str) {
    tracing::error!(error.code = fault.code(), error.message = fault.message(), "{what}");
}
