//! The webhook trigger: one genuine delivery is one firing, however often it is sent.
//!
//! `POST /v1/webhooks/{org}/{trigger}`, signed as Standard Webhooks has it. Which delivery is genuine and what its task is
//! told is decided in `isotherm_control::webhook`; this shell strings the steps together, cheap and harmless ones first, and
//! answers. It must never log or answer anything of a body, a signature or a key.

use std::sync::Arc;
use std::time::Duration;

use isotherm_control::ControlError;
use isotherm_control::triggers::{self, Fired, FiredEvent, Trigger, TriggerConfig, WebhookConfig};
use isotherm_control::webhook::{self, Delivery, Refusal, SigningKey};
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::database::{self, OnDemandPool, PoolOptions};
use isotherm_platform::lambda::http::{HttpAnswer, HttpCall};
use isotherm_platform::secrets::{SecretCache, SecretError};
use isotherm_platform::{Environment, Fault, outbox_publisher};
use isotherm_types::{Clock, EventId, SystemClock};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};

mod not_taken;

pub use not_taken::NotTaken;

/// The route, as `terraform/stack.yaml` has it.
pub const ROUTE: &str = "POST /v1/webhooks/{org}/{trigger}";

/// A new signing key is used after this long at the latest.
pub const KEY_LIFETIME: Duration = Duration::from_secs(60);

/// What the function keeps between invocations.
pub struct WebhookTrigger {
    /// The database.
    pub database: OnDemandPool,
    /// AWS.
    pub clients: Clients,
    /// Where firings are published.
    pub event_queues: EventQueues,
    /// Signing keys.
    pub keys: SecretCache,
    /// Timestamps are compared with it.
    pub clock: Arc<dyn Clock>,
}

impl WebhookTrigger {
    /// Reads the environment. The database is asked at the first delivery, so that its absence can be answered.
    ///
    /// # Errors
    /// A bad environment.
    pub async fn connect(mut environment: Environment) -> Result<Self, Fault> {
        let event_queues = environment.event_queues();
        let secret_arn = environment.database_secret_arn();
        let checked = environment.check()?;
        Ok(Self {
            database: OnDemandPool::new(secret_arn.open(&checked), PoolOptions::lambda_in_turn("trigger_webhook")),
            clients: Clients::load().await,
            event_queues: event_queues.open(&checked),
            keys: SecretCache::new(KEY_LIFETIME),
            clock: Arc::new(SystemClock),
        })
    }

    /// Answers one call of API Gateway: 202 and the event's id, or why the delivery was not taken.
    ///
    /// # Errors
    /// An event that is none of API Gateway's.
    pub async fn handle(&self, event: Value) -> Result<Value, Fault> {
        let call = HttpCall::of(event)?;
        let answer = match self.take(&call).await {
            Ok(event_id) => HttpAnswer::new(202, json!({ "event_id": event_id })),
            Err(not_taken) => {
                not_taken.log();
                not_taken.answer()
            }
        };
        Ok(answer.into_response())
    }

    async fn take(&self, call: &HttpCall) -> Result<EventId, NotTaken> {
        let (org, name) = address(call).ok_or(NotTaken::NotFound)?;
        check_size(call, webhook::MAX_BODY_BYTES)?;
        let pool = self.database.get(self.clients.secrets_manager()).await?;
        let found = database::ask(pool, async |conn| triggers::webhook(conn, org, name).await).await;
        let trigger = found.map_err(ControlError::from)??.ok_or(NotTaken::NotFound)?;
        let TriggerConfig::Webhook(config) = &trigger.config else { return Err(NotTaken::NotFound) };
        check_size(call, config.max_body_bytes)?;
        let key = self.signing_key(&config.secret).await?;
        let body = call.body()?;
        let delivery = Delivery { headers: &call.headers, body: &body };
        let accepted = webhook::judge(delivery, &key, config.tolerance_seconds, self.clock.now())?;
        let fire_key = accepted.fire_key();
        // No connection is held while Secrets Manager is asked.
        let fired = database::ask(pool, async |conn| fire(conn, &trigger, config, &fire_key, &body).await).await;
        let FiredEvent { event_id, trace_id } = fired.map_err(ControlError::from)??;
        tracing::info!(
            trigger.id = trigger.id.0,
            event.id = event_id.0,
            fire.key = fire_key,
            trace.id = trace_id.map(String::from).as_deref(),
            "a webhook fired"
        );
        self.publish(pool).await;
        Ok(event_id)
    }

    /// Secrets Manager is asked once a minute, not for every delivery.
    async fn signing_key(&self, secret: &str) -> Result<SigningKey, SecretError> {
        let text = self.keys.get(self.clients.secrets_manager(), secret).await?;
        let malformed =
            || SecretError::Malformed { id: secret.to_owned(), expected: "whsec_ and base64, or plain text" };
        SigningKey::parse(text.expose()).ok_or_else(malformed)
    }

    /// The firing is recorded: what is not published now, the dispatcher's sweep publishes, and the sender need not know.
    async fn publish(&self, pool: &PgPool) {
        if let Err(error) = outbox_publisher::publish_pending(pool, self.clients.sqs(), &self.event_queues).await {
            let fault = Fault::from(error);
            tracing::warn!(
                error.code = fault.code(),
                error.message = fault.message(),
                "a firing is recorded and not published yet"
            );
        }
    }
}

/// Organisation and trigger.
fn address(call: &HttpCall) -> Option<(&str, &str)> {
    if call.route_key != ROUTE {
        return None;
    }
    Some((call.path_parameter("org")?, call.path_parameter("trigger")?))
}

fn check_size(call: &HttpCall, limit_bytes: u64) -> Result<(), Refusal> {
    if call.body_bytes() > limit_bytes { Err(Refusal::TooLarge { limit_bytes }) } else { Ok(()) }
}

/// Fires once for `fire_key`. A delivery that was taken before is told so whatever its body holds.
async fn fire(
    conn: &mut PgConnection,
    trigger: &Trigger,
    config: &WebhookConfig,
    fire_key: &str,
    body: &[u8],
) -> Result<FiredEvent, NotTaken> {
    if let Some(event_id) = triggers::fired_event(conn, trigger.id, fire_key).await? {
        return Err(NotTaken::Replayed { event_id: Some(event_id) });
    }
    let input = webhook::task_input(config, body)?;
    match triggers::fire(conn, trigger, fire_key, &input).await? {
        Fired::Now(fired) => Ok(fired),
        // The same delivery, sent twice at one moment: the other call was first.
        Fired::Already => {
            Err(NotTaken::Replayed { event_id: triggers::fired_event(conn, trigger.id, fire_key).await? })
        }
    }
}

#[cfg(test)]
mod tests;
