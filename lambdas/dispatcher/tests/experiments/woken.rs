//! The functions that a queue wakes, over one database and one account.

use std::sync::Arc;
use std::time::Duration;

use isotherm_platform::Fault;
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_platform::secrets::SecretCache;
use lambda_alert_deliver::{ATTEMPT, Deliverer, Limits, Senders, Settings};
use lambda_alert_evaluate::{Evaluator, RuleSets};
use lambda_dispatcher::Dispatcher;
use lambda_trigger_threshold::ThresholdTrigger;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::stage::{Stage, clients};

/// Name of the secret with the keys that seal addresses, and what it holds.
const SECRET: &str = "isotherm-alerts";
const KEYS: &str = r#"{"keys":[{"id":"k1","key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}]}"#;
/// Where nobody is.
const NO_SLACK: &str = "http://127.0.0.1:1/api";

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ByQueue {
    Dispatcher,
    Threshold,
    Evaluate,
    Deliver,
}

impl ByQueue {
    pub(crate) const ALL: [Self; 4] = [Self::Dispatcher, Self::Threshold, Self::Evaluate, Self::Deliver];
}

/// All of them.
pub(crate) struct Woken {
    dispatcher: Dispatcher,
    threshold: ThresholdTrigger,
    evaluator: Evaluator,
    deliverer: Deliverer,
}

impl Woken {
    pub(crate) async fn new(stage: &Stage) -> Self {
        let dispatcher = stage.dispatcher(&stage.endpoint).await;
        let pool = PgPool::connect(&stage.database.url).await.unwrap();
        let clients = async || clients(&stage.endpoint, &stage.account, 4).await;
        let event_queues = stage.event_queues.clone();
        let threshold =
            ThresholdTrigger { pool: pool.clone(), clients: clients().await, event_queues: event_queues.clone() };
        let evaluator = Evaluator {
            pool: pool.clone(),
            clients: clients().await,
            event_queues,
            rule_sets: RuleSets::default(),
            query_function: "none".to_owned(),
        };
        let clients = clients().await;
        clients.secrets_manager().create_secret().name(SECRET).secret_string(KEYS).send().await.unwrap();
        let settings =
            Settings { email_from: None, slack_api: NO_SLACK.to_owned(), allow_loopback_http: true, attempt: ATTEMPT };
        let deliverer = Deliverer {
            pool,
            senders: Arc::new(Senders::new(&clients, settings).unwrap()),
            clients,
            keys_secret_arn: SECRET.to_owned(),
            secrets: SecretCache::new(Duration::from_secs(600)),
            limits: Limits { linger: Duration::ZERO, ..Limits::default() },
        };
        Self { dispatcher, threshold, evaluator, deliverer }
    }

    /// What the function answers.
    pub(crate) async fn handle(&self, which: ByQueue, event: BatchOrSweep) -> Result<Value, Fault> {
        Ok(match which {
            ByQueue::Dispatcher => json!(self.dispatcher.handle(event).await?),
            ByQueue::Threshold => json!(self.threshold.handle(event).await?),
            ByQueue::Evaluate => json!(self.evaluator.handle(event).await?),
            ByQueue::Deliver => json!(self.deliverer.handle(event).await?),
        })
    }
}
