//! The function with its database, queues and secrets, and calls as API Gateway would pass them on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_sqs::types::QueueAttributeName;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use isotherm_control::{jobs, pipeline};
use isotherm_lab::ministack::{Ministack, REGION};
use isotherm_lab::postgres::TestDatabase;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::database::{OnDemandPool, PoolOptions};
use isotherm_platform::secrets::SecretCache;
use isotherm_types::Clock;
use lambda_trigger_webhook::{KEY_LIFETIME, ROUTE, WebhookTrigger};
use serde_json::{Value, json};
use sqlx::PgPool;
use standardwebhooks::Webhook;

/// The function's clock stands still at this second.
pub(crate) const NOW: i64 = 1_795_413_600;

const KEY: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER_KEY: &str = "b3RoZXIga2V5";

struct At(DateTime<Utc>);

impl Clock for At {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// Everything is in an account and a database of its own.
pub(crate) struct Stage {
    pub(crate) function: WebhookTrigger,
    pub(crate) pool: PgPool,
    config: SdkConfig,
    database: Arc<TestDatabase>,
    /// Makes the names of this test's secrets its own.
    suffix: String,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let database = Arc::new(TestDatabase::migrated().await.unwrap());
        let ministack = Ministack::shared().await.unwrap();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(ministack.endpoint_url())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("test", "test", None, None, "lab"))
            .load()
            .await;
        let clients = Clients::from_config(config.clone());
        let event_queues = EventQueues {
            events: queue(&clients, "isotherm-events.fifo").await,
            thresholds: queue(&clients, "isotherm-thresholds.fifo").await,
            dead_letters: queue(&clients, "isotherm-dead_letters.fifo").await,
            alerts: queue(&clients, "isotherm-alerts.fifo").await,
            deliveries: queue(&clients, "isotherm-deliveries.fifo").await,
        };
        let pool = PgPool::connect(&database.url).await.unwrap();
        let suffix = database.name.clone();
        let function = WebhookTrigger {
            database: OnDemandPool::new(format!("isotherm/database-{suffix}"), PoolOptions::lambda("test")),
            clients,
            event_queues,
            keys: SecretCache::new(KEY_LIFETIME),
            clock: Arc::new(At(DateTime::from_timestamp(NOW, 0).unwrap())),
        };
        let stage = Self { function, pool, config, database, suffix };
        stage.apply().await;
        stage.set_database_secret(&stage.database_url()).await;
        stage.set_secret("orders", &format!("whsec_{KEY}")).await;
        stage.set_secret("whole", &format!("whsec_{OTHER_KEY}")).await;
        stage
    }

    async fn apply(&self) {
        let text = format!(
            "
version: 1
jobs: [{{ name: work, operator: noop }}]
triggers:
  - name: orders
    job: work
    input: {{ from: file }}
    webhook:
      secret: {orders}
      tolerance_seconds: 60
      max_body_bytes: 1000
      parameters: {{ order: /order/id, sku: /order/lines/0/sku }}
  - {{ name: whole, job: work, webhook: {{ secret: {whole} }} }}
  - {{ name: lost, job: work, webhook: {{ secret: {lost} }} }}
  - {{ name: minute, job: work, cron: {{ schedule: rate(1 minute) }} }}
",
            orders = self.secret("orders"),
            whole = self.secret("whole"),
            lost = self.secret("lost"),
        );
        let mut conn = self.pool.acquire().await.unwrap();
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        let pipeline = pipeline::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        pipeline::apply(&mut conn, org, &pipeline, "test").await.unwrap();
    }

    fn secret(&self, name: &str) -> String {
        format!("isotherm/webhook/{name}-{}", self.suffix)
    }

    pub(crate) async fn set_secret(&self, name: &str, value: &str) {
        self.store(&self.secret(name), value).await;
    }

    /// Where the function looks for its database.
    pub(crate) async fn set_database_secret(&self, url: &str) {
        self.store(&format!("isotherm/database-{}", self.suffix), &json!({ "url": url }).to_string()).await;
    }

    async fn store(&self, name: &str, value: &str) {
        let client = self.function.clients.secrets_manager();
        if client.create_secret().name(name).secret_string(value).send().await.is_err() {
            client.put_secret_value().secret_id(name).secret_string(value).send().await.unwrap();
        }
    }

    pub(crate) fn database_url(&self) -> String {
        self.database.url.clone()
    }

    /// The same function, started anew, with another setting.
    fn anew(&self, event_queues: EventQueues, key_lifetime: Duration) -> Self {
        let function = WebhookTrigger {
            database: OnDemandPool::new(format!("isotherm/database-{}", self.suffix), PoolOptions::lambda("test")),
            clients: Clients::from_config(self.config.clone()),
            event_queues,
            keys: SecretCache::new(key_lifetime),
            clock: Arc::clone(&self.function.clock),
        };
        let (config, suffix) = (self.config.clone(), self.suffix.clone());
        Self { function, pool: self.pool.clone(), config, database: Arc::clone(&self.database), suffix }
    }

    pub(crate) fn with_key_lifetime(&self, key_lifetime: Duration) -> Self {
        self.anew(self.function.event_queues.clone(), key_lifetime)
    }

    pub(crate) async fn with_database(&self, url: &str) -> Self {
        let anew = self.with_key_lifetime(KEY_LIFETIME);
        anew.set_database_secret(url).await;
        anew
    }

    pub(crate) fn without_queues(&self) -> Self {
        let gone = |queue: &str| queue.replace("isotherm-", "gone-");
        let queues = &self.function.event_queues;
        let event_queues = EventQueues {
            events: gone(&queues.events),
            thresholds: gone(&queues.thresholds),
            dead_letters: gone(&queues.dead_letters),
            alerts: gone(&queues.alerts),
            deliveries: gone(&queues.deliveries),
        };
        self.anew(event_queues, KEY_LIFETIME)
    }

    pub(crate) async fn call(&self, call: &Call) -> Answer {
        Answer::of(&self.function.handle(call.event()).await.unwrap())
    }

    pub(crate) async fn events(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM control.events").fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) async fn outbox_rows(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM control.outbox").fetch_one(&self.pool).await.unwrap()
    }
}

async fn queue(clients: &Clients, name: &str) -> String {
    let queue = clients.sqs().create_queue().queue_name(name).attributes(QueueAttributeName::FifoQueue, "true");
    queue.send().await.unwrap().queue_url.unwrap()
}

/// A call on its way through API Gateway.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) route_key: String,
    pub(crate) org: String,
    pub(crate) trigger: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) is_base64: bool,
}

impl Call {
    /// Signed now by the reference library, with the key of `trigger`.
    pub(crate) fn signed(trigger: &str, id: &str, body: &str) -> Self {
        Self::signed_at(trigger, id, body, NOW)
    }

    pub(crate) fn signed_at(trigger: &str, id: &str, body: &str, sent: i64) -> Self {
        let key = if trigger == "whole" { OTHER_KEY } else { KEY };
        Self::made(key, trigger, id, body, sent)
    }

    pub(crate) fn signed_with(key: &str, trigger: &str, id: &str, body: &str) -> Self {
        Self::made(key, trigger, id, body, NOW)
    }

    fn made(key: &str, trigger: &str, id: &str, body: &str, sent: i64) -> Self {
        let signature = Webhook::new(key).unwrap().sign(id, sent, body.as_bytes()).unwrap();
        let headers =
            [("webhook-id", id.to_owned()), ("webhook-timestamp", sent.to_string()), ("webhook-signature", signature)];
        Self {
            route_key: ROUTE.to_owned(),
            org: "default".to_owned(),
            trigger: trigger.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            body: body.to_owned(),
            is_base64: false,
        }
    }

    pub(crate) fn event(&self) -> Value {
        let path = format!("/v1/webhooks/{}/{}", self.org, self.trigger);
        let body = if self.is_base64 { STANDARD.encode(&self.body) } else { self.body.clone() };
        json!({
            "version": "2.0",
            "routeKey": self.route_key,
            "rawPath": path,
            "headers": self.headers,
            "pathParameters": { "org": self.org, "trigger": self.trigger },
            "requestContext": {
                "routeKey": self.route_key,
                "http": { "method": "POST", "path": path },
                "timeEpoch": NOW * 1000,
            },
            "body": body,
            "isBase64Encoded": self.is_base64,
        })
    }
}

/// What the function answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Answer {
    fn of(response: &Value) -> Self {
        Self {
            status: response["statusCode"].as_u64().unwrap().try_into().unwrap(),
            headers: serde_json::from_value(response["headers"].clone()).unwrap(),
            body: serde_json::from_str(response["body"].as_str().unwrap()).unwrap(),
        }
    }

    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }
}
