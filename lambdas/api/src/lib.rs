//! The API of the control plane: fire a trigger or run a job by hand.
//!
//! Two doors, one answer: a direct invocation, guarded by AWS IAM, and routes of API Gateway, which has to say who calls. The
//! rules are in `isotherm_control::triggers`; this shell parses, names the caller to the audit trail, publishes and replies.
//! It must never take a caller's word for who he is.

use isotherm_control::triggers::{self, FiredByHand};
use isotherm_control::{ControlError, jobs};
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::database::{self, OnDemandPool, PoolOptions};
use isotherm_platform::lambda::Invocation;
use isotherm_platform::lambda::http::{self, HttpAnswer, HttpCall};
use isotherm_platform::{Environment, Fault, outbox_publisher};
use serde_json::{Value, json};
use sqlx::PgConnection;

mod error;
mod order;

pub use error::ApiError;
pub use order::{Action, Order};

/// What the function keeps between invocations.
pub struct Api {
    /// The database.
    pub database: OnDemandPool,
    /// AWS.
    pub clients: Clients,
    /// Where firings are published.
    pub event_queues: EventQueues,
}

impl Api {
    /// Reads the environment. The database is asked at the first call, so that its absence can be answered.
    ///
    /// # Errors
    /// A bad environment.
    pub async fn connect(mut environment: Environment) -> Result<Self, Fault> {
        let event_queues = environment.event_queues();
        let secret_arn = environment.database_secret_arn();
        let checked = environment.check()?;
        Ok(Self {
            database: OnDemandPool::new(secret_arn.open(&checked), PoolOptions::lambda("api")),
            clients: Clients::load().await,
            event_queues: event_queues.open(&checked),
        })
    }

    /// Answers one event. What cannot be done is an answer too.
    pub async fn handle(&self, event: Value, invocation: &Invocation) -> Value {
        if http::is_http(&event) {
            let order = HttpCall::of(event).map_err(ApiError::from).and_then(|call| Order::of_http(&call));
            http_answer(self.carry_out(order).await).into_response()
        } else {
            direct_answer(self.carry_out(Order::of_direct(event, invocation)).await)
        }
    }

    async fn carry_out(&self, order: Result<Order, ApiError>) -> Result<FiredByHand, ApiError> {
        let done = match order {
            Ok(order) => self.fire(&order).await,
            Err(error) => Err(error),
        };
        done.inspect_err(ApiError::log)
    }

    async fn fire(&self, order: &Order) -> Result<FiredByHand, ApiError> {
        let pool = self.database.get(self.clients.secrets_manager()).await?;
        let fired = database::ask(pool, async |conn| fire(conn, order).await).await.map_err(ControlError::from)??;
        let caller = &order.actor;
        tracing::info!(event.id = fired.event_id.0, fire.new = fired.is_new, caller.name = caller, "fired by hand");
        // It is recorded: what is not published now, the dispatcher's sweep publishes.
        if let Err(error) = outbox_publisher::publish_pending(pool, self.clients.sqs(), &self.event_queues).await {
            let fault = Fault::from(error);
            tracing::warn!(
                error.code = fault.code(),
                error.message = fault.message(),
                "a firing is recorded and not published yet"
            );
        }
        Ok(fired)
    }
}

async fn fire(conn: &mut PgConnection, order: &Order) -> Result<FiredByHand, ControlError> {
    let org = jobs::org(conn, &order.org).await?;
    let key = order.idempotency_key.as_deref();
    let (input, actor) = (&order.input, &order.actor);
    match &order.action {
        Action::FireTrigger { trigger } => triggers::fire_by_hand(conn, org, trigger, key, input, actor).await,
        Action::RunJob { job } => triggers::run_job(conn, org, job, key, input, actor).await,
    }
}

fn body(fired: FiredByHand) -> Value {
    json!({ "event_id": fired.event_id, "new": fired.is_new })
}

fn direct_answer(outcome: Result<FiredByHand, ApiError>) -> Value {
    match outcome {
        Ok(fired) => body(fired),
        Err(error) => json!({ "error": error.answer().body }),
    }
}

fn http_answer(outcome: Result<FiredByHand, ApiError>) -> HttpAnswer {
    match outcome {
        Ok(fired) => HttpAnswer::new(if fired.is_new { 202 } else { 200 }, body(fired)),
        Err(error) => error.answer(),
    }
}

#[cfg(test)]
mod tests;
