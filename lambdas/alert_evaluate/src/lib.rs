//! The evaluator of alerts: holds the rules of each chain against rows that are new or were replaced, and writes down what they
//! find and who is to be told.
//!
//! Runs for each batch of `alerts.fifo` and once a minute. Ten advances of one chain in a batch are one turn: what counts is where
//! the chain stands now, and how far each organisation's cursor is. So messages may be doubled, late or lost. The rules are
//! `isotherm_alerts`; this shell brings them rows of hot storage, all of one snapshot. It must never send anything itself, nor
//! decide by what a message says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use isotherm_alerts::ledger::LedgerError;
use isotherm_control::{ControlError, events};
use isotherm_hot_store::cursor;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_platform::lambda::fifo_batch::{self, FifoBatch};
use isotherm_platform::{Environment, Fault, outbox_publisher};
use isotherm_types::{ChainId, Disposition};
use serde::Serialize;
use sqlx::PgPool;

mod at_once;
mod chain_view;
mod event;
mod findings;
mod quarantine;
mod record;
mod rule_set;
mod sql_rules;
mod trouble;
mod turn;

pub use rule_set::RuleSets;
pub use turn::Turned;

use event::Cause;

/// No run is begun after so much of an invocation; the function's time-out is 20 s later.
const WORKING_TIME: Duration = Duration::from_secs(40);
/// No run is begun after so much of a sweep: what comes after it is for rules with SQL, however far behind the rows are.
const ROWS_OF_SWEEP: Duration = Duration::from_secs(20);
/// No rule's SQL is asked after so much of a sweep: its answer may take 20 s, and is written down before the time-out.
const SQL_OF_SWEEP: Duration = Duration::from_secs(35);
/// Codes of what is no failure: somebody else wrote first, and the next turn, or question, begins with what is there then.
const SOMEBODY_FIRST: [&str; 3] = ["alerts.cursor_moved", "alerts.rule_changed", "alerts.counted_meanwhile"];

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Evaluator {
    /// The database.
    pub pool: PgPool,
    /// AWS.
    pub clients: Clients,
    /// Where events are published.
    pub event_queues: EventQueues,
    /// Rules as they were read last.
    pub rule_sets: RuleSets,
    /// The function that answers SQL.
    pub query_function: String,
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
        /// Blocks looked at.
        blocks: u64,
        /// What rules found in them.
        findings: usize,
        /// Messages that wait because of it.
        messages: u64,
        /// Events that were published.
        published: u64,
    },
}

impl Evaluator {
    /// Reads the environment and connects.
    ///
    /// # Errors
    /// A bad environment, a secret that cannot be read, or a database that does not answer.
    pub async fn connect(mut environment: Environment) -> Result<Self, Fault> {
        let event_queues = environment.event_queues();
        let secret_arn = environment.database_secret_arn();
        let query_function = environment.function("query");
        let checked = environment.check()?;
        let clients = Clients::load().await;
        let options = PoolOptions::lambda("alert_evaluate");
        let pool =
            database::connect_with_secret(clients.secrets_manager(), &secret_arn.open(&checked), options).await?;
        Ok(Self {
            pool,
            clients,
            event_queues: event_queues.open(&checked),
            rule_sets: RuleSets::default(),
            query_function: query_function.open(&checked),
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

    /// Does one turn for a chain, with no run begun after `until`.
    ///
    /// # Errors
    /// The first failure of an organisation, after the others have had their turn; what Postgres reports.
    pub async fn turn(&self, chain_id: ChainId, until: Instant) -> Result<Turned, Fault> {
        turn::turn(self, chain_id, until).await
    }

    async fn handle_batch(&self, batch: &SqsEvent) -> SqsBatchResponse {
        let until = Instant::now() + WORKING_TIME;
        let mut causes = Vec::with_capacity(batch.records.len());
        for message in &batch.records {
            causes.push(self.cause_of(message).await);
        }
        // Chains first: people wait for them.
        let mut turns: BTreeMap<ChainId, Option<Disposition>> = BTreeMap::new();
        for cause in causes.iter().flatten() {
            if let Cause::Turn(chain_id) = cause
                && !turns.contains_key(chain_id)
            {
                let failed = self.turn(*chain_id, until).await.err();
                let failed = failed.inspect(|fault| report(fault, "a turn failed"));
                // The next message or sweep does what is left.
                turns.insert(*chain_id, failed.map(|_fault| Disposition::Retry));
            }
        }
        let mut failures = Vec::with_capacity(causes.len());
        for cause in causes {
            failures.push(match cause {
                Ok(Cause::Turn(chain_id)) => turns.get(&chain_id).copied().flatten(),
                Ok(Cause::Integrity(finding)) => told(findings::tell(self, &finding).await),
                Err(fault) => told(Err(fault)),
            });
        }
        if let Err(fault) = self.publish().await {
            report(&fault, "messages were not announced; a sweep announces them");
        }
        let mut response = FifoBatch::default();
        for (message, failed) in batch.records.iter().zip(failures) {
            if let (false, Some(disposition)) = (response.blocks(message), failed) {
                response.fail(message, disposition);
            }
        }
        response.into_response()
    }

    /// What the event of `message` is for.
    async fn cause_of(&self, message: &SqsMessage) -> Result<Cause, Fault> {
        let wake = events::parse_wake(message.body.as_deref().unwrap_or_default())?;
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        let event = events::read(&mut conn, wake.event_id).await?;
        Ok(Cause::of(event)?)
    }

    async fn sweep(&self) -> Result<Answer, Fault> {
        // What was written down is announced, whatever became of the rest.
        let began = Instant::now();
        let turned = self.turn_all(began + ROWS_OF_SWEEP).await;
        // After the rows, which people wait for.
        if let Err(fault) = sql_rules::ask_due(self, began + SQL_OF_SWEEP).await {
            report(&fault, "rules with SQL were not all asked; the next sweep asks them");
        }
        let published = self.publish().await;
        if let (Err(_), Err(fault)) = (&turned, &published) {
            report(fault, "messages were not announced; the next sweep announces them");
        }
        let ((chains, turned), published) = (turned?, published?);
        Ok(Answer::Swept {
            chains,
            blocks: turned.blocks,
            findings: turned.findings,
            messages: turned.messages,
            published,
        })
    }

    /// Does a turn for every chain; a chain's failure does not keep the others back. Returns how many chains there are.
    async fn turn_all(&self, until: Instant) -> Result<(usize, Turned), Fault> {
        let mut conn = self.pool.acquire().await.map_err(LedgerError::from)?;
        let cursors = cursor::all(&mut conn).await?;
        drop(conn);
        let mut total = Ok(Turned::default());
        for cursor in &cursors {
            match self.turn(cursor.chain_id, until).await {
                Ok(turned) => total = total.map(|before: Turned| before.and(turned)),
                Err(fault) => {
                    report(&fault, "a turn failed");
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

/// What becomes of a message after `outcome`; a failure is reported.
fn told(outcome: Result<(), Fault>) -> Option<Disposition> {
    let fault = outcome.err()?;
    report(&fault, "a message cannot be handled");
    Some(fault.disposition())
}

pub(crate) fn report(fault: &Fault, what: &'static str) {
    tracing::error!(error.code = fault.code(), error.message = fault.message(), "{what}");
}
