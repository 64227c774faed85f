//! The sender: messages about alerts go to the channels of their rules.
//!
//! Runs for each batch of `deliveries.fifo` and once a minute. A wake-up says no more than that something waits; what is due, what may
//! go and what follows from an answer is decided in `isotherm_alerts`. This shell claims, sends many messages at once, and writes down
//! how that went. It must never log an address, a token or what a message says, and never count a message as sent before the receiver
//! has said so.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use isotherm_control::events;
use isotherm_platform::aws::Clients;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_platform::lambda::fifo_batch;
use isotherm_platform::secrets::SecretCache;
use isotherm_platform::{Environment, Fault};
use serde::Serialize;
use sqlx::PgPool;

mod addresses;
mod senders;
mod settings;
mod work;

pub use senders::Senders;
pub use settings::{ATTEMPT, Limits, Settings};
pub use work::Worked;

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Deliverer {
    /// The database.
    pub pool: PgPool,
    /// AWS.
    pub clients: Clients,
    /// What sends.
    pub senders: Arc<Senders>,
    /// The secret with the keys that open channels' addresses.
    pub keys_secret_arn: String,
    /// That secret, kept for a short while.
    pub secrets: SecretCache,
    /// How much is done at once.
    pub limits: Limits,
}

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a batch: the messages that failed.
    Batch(SqsBatchResponse),
    /// To a sweep: what was done.
    Swept(Worked),
}

impl Deliverer {
    /// Reads the environment and connects.
    ///
    /// # Errors
    /// A bad environment, a secret that cannot be read, or a database that does not answer.
    pub async fn connect(mut environment: Environment) -> Result<Self, Fault> {
        let settings = settings::read(&mut environment);
        let keys_secret_arn = environment.text("ISOTHERM_SECRET_ALERTS_ARN");
        let database_secret_arn = environment.database_secret_arn();
        let checked = environment.check()?;
        let clients = Clients::load().await;
        let options = PoolOptions::lambda("alert_deliver");
        let pool =
            database::connect_with_secret(clients.secrets_manager(), &database_secret_arn.open(&checked), options)
                .await?;
        let senders = Arc::new(Senders::new(&clients, settings.open(&checked))?);
        Ok(Self {
            pool,
            clients,
            senders,
            keys_secret_arn: keys_secret_arn.open(&checked),
            secrets: SecretCache::new(addresses::KEYS_ARE_KEPT),
            limits: Limits::default(),
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
            BatchOrSweep::Sweep => Ok(Answer::Swept(self.work().await?)),
        }
    }

    async fn handle_batch(&self, batch: &SqsEvent) -> SqsBatchResponse {
        // What waits is in the database, whichever message says so; what is left is done by the next sweep.
        if let Err(fault) = self.work().await {
            report(&fault, "not everything could be sent; the next sweep goes on");
        }
        fifo_batch::handle_each(batch, async |message: &SqsMessage| {
            events::parse_wake(message.body.as_deref().unwrap_or_default()).map(|_wake| ())
        })
        .await
    }
}

/// Logs a failure that is made good later.
fn report(fault: &Fault, what: &'static str) {
    tracing::error!(error.code = fault.code(), error.message = fault.message(), "{what}");
}
