//! An evaluator on a real Postgres and an AWS emulator, a made-up chain, and rules.

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_sqs::types::QueueAttributeName;
use isotherm_control::{events, jobs};
use isotherm_lab::ministack::{Ministack, REGION};
use isotherm_lab::postgres::TestDatabase;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_types::{EventBody, EventId, OrgId};
use lambda_alert_evaluate::{Answer, Evaluator, RuleSets};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::chain::{MadeChain, Transaction, token};

/// An alert as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Alert {
    pub(crate) id: Uuid,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) block_number: i64,
    pub(crate) block_hash: Vec<u8>,
}

pub(crate) struct Stage {
    pub(crate) evaluator: Evaluator,
    pub(crate) conn: PgConnection,
    pub(crate) chain: MadeChain,
    pub(crate) org: OrgId,
    database: TestDatabase,
}

async fn queue(clients: &Clients, name: &str) -> String {
    let queue = clients.sqs().create_queue().queue_name(name).attributes(QueueAttributeName::FifoQueue, "true");
    queue.send().await.unwrap().queue_url.unwrap()
}

impl Stage {
    /// With a chain whose first block is of now, and a channel for each of `channels`.
    pub(crate) async fn new(channels: &[&str]) -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let ministack = Ministack::shared().await.unwrap();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(ministack.endpoint_url())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("test", "test", None, None, "lab"))
            .load()
            .await;
        let clients = Clients::from_config(config);
        // Of this test alone: tests share the emulator.
        let own = |name: &str| format!("{}-{name}.fifo", database.name);
        let event_queues = EventQueues {
            events: queue(&clients, &own("events")).await,
            thresholds: queue(&clients, &own("thresholds")).await,
            dead_letters: queue(&clients, &own("dead-letters")).await,
            alerts: queue(&clients, &own("alerts")).await,
            deliveries: queue(&clients, &own("deliveries")).await,
        };
        let pool = PgPool::connect(&database.url).await.unwrap();
        let mut conn = database.connect().await.unwrap();
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        for name in channels {
            sqlx::query(
                "INSERT INTO alerts.channels (org_id, name, kind, sealed_address, created_by)
                 VALUES ($1, $2, 'webhook', '\\x00', 'test')",
            )
            .bind(org.0)
            .bind(name)
            .execute(&mut conn)
            .await
            .unwrap();
        }
        let now: i64 =
            sqlx::query_scalar("SELECT extract(epoch FROM now())::bigint").fetch_one(&mut conn).await.unwrap();
        let chain = MadeChain::new(&mut conn, now.unsigned_abs()).await;
        let query_function = "none".to_owned();
        let evaluator = Evaluator { pool, clients, event_queues, rule_sets: RuleSets::default(), query_function };
        Self { evaluator, conn, chain, org, database }
    }

    /// Another evaluator of the same database.
    pub(crate) async fn another(&self) -> Evaluator {
        let pool = PgPool::connect(&self.database.url).await.unwrap();
        let config = aws_config::SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
        let event_queues = self.evaluator.event_queues.clone();
        Evaluator {
            pool,
            clients: Clients::from_config(config),
            event_queues,
            rule_sets: RuleSets::default(),
            query_function: "none".to_owned(),
        }
    }

    /// Another connection to the database.
    pub(crate) async fn connect(&self) -> PgConnection {
        self.database.connect().await.unwrap()
    }

    /// Saves a rule that concerns every block, with all channels. `more` is added to its definition.
    pub(crate) async fn rule(&mut self, name: &str, source: &Value, more: &Value) -> i64 {
        let mut definition = json!({ "name": name, "chain": "made", "channels": ["ops"], "source": source });
        let fields = definition.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let rule_id: i64 = sqlx::query_scalar(
            "INSERT INTO alerts.rules (org_id, name, chain_id, definition, first_block, created_by)
             VALUES ($1, $2, 31337, $3, 0, 'test') RETURNING id",
        )
        .bind(self.org.0)
        .bind(name)
        .bind(definition)
        .fetch_one(&mut self.conn)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO alerts.rule_channels (org_id, rule_id, channel_id)
             SELECT org_id, $1, id FROM alerts.channels",
        )
        .bind(rule_id)
        .execute(&mut self.conn)
        .await
        .unwrap();
        rule_id
    }

    /// A rule on transfers of a token.
    pub(crate) async fn transfers(&mut self, name: &str, of: u64, more: &Value) -> i64 {
        let event = "Transfer(address indexed from, address indexed to, uint256 value)";
        self.rule(name, &json!({ "event": event, "address": [token(of)] }), more).await
    }

    /// Hands a message about the event to the evaluator; returns whether it failed.
    pub(crate) async fn hear(&self, event_id: EventId) -> bool {
        let body = json!({ "version": 1, "event_id": event_id }).to_string();
        let record = json!({ "messageId": "one", "body": body, "attributes": { "MessageGroupId": "chain-31337" } });
        let batch: BatchOrSweep = serde_json::from_value(json!({ "Records": [record] })).unwrap();
        let Answer::Batch(response) = self.evaluator.handle(batch).await.unwrap() else { panic!("no batch") };
        !response.batch_item_failures.is_empty()
    }

    /// Sweeps; returns how many messages wait because of it.
    pub(crate) async fn sweep(&self) -> u64 {
        let Answer::Swept { messages, .. } = self.evaluator.handle(BatchOrSweep::Sweep).await.unwrap() else {
            panic!("no sweep");
        };
        messages
    }

    pub(crate) async fn alerts(&mut self, rule_id: i64) -> Vec<Alert> {
        sqlx::query_as(
            "SELECT id, state, reason, block_number, block_hash FROM alerts.alert_events WHERE rule_id = $1
              ORDER BY block_number, position, id",
        )
        .bind(rule_id)
        .fetch_all(&mut self.conn)
        .await
        .unwrap()
    }

    /// The states of a rule's alerts, by block.
    pub(crate) async fn states(&mut self, rule_id: i64) -> Vec<String> {
        self.alerts(rule_id).await.into_iter().map(|alert| alert.state).collect()
    }

    /// The state of what a rule found in a transaction.
    pub(crate) async fn state_of(&mut self, rule_id: i64, transaction: &Transaction) -> String {
        sqlx::query_scalar("SELECT state FROM alerts.alert_events WHERE rule_id = $1 AND transaction_hash = $2")
            .bind(rule_id)
            .bind(transaction.hash().to_vec())
            .fetch_one(&mut self.conn)
            .await
            .unwrap()
    }

    /// Kind and state of every message of a rule, in the order in which they were made.
    pub(crate) async fn messages(&mut self, rule_id: i64) -> Vec<(String, String)> {
        sqlx::query_as(
            "SELECT d.kind, d.state FROM alerts.deliveries d JOIN alerts.alert_events e ON e.id = d.alert_id
              WHERE e.rule_id = $1 ORDER BY d.created_at, d.not_before, d.id",
        )
        .bind(rule_id)
        .fetch_all(&mut self.conn)
        .await
        .unwrap()
    }

    /// The trace of an event.
    pub(crate) async fn trace_of(&mut self, event_id: EventId) -> String {
        let event = events::read(&mut self.conn, event_id).await.unwrap();
        event.trace_id.expect("every event follows from something").to_string()
    }

    /// The traces of a rule's messages, and of the alerts that they are about, in the order in which they were made.
    pub(crate) async fn traces(&mut self, rule_id: i64) -> Vec<(String, String)> {
        sqlx::query_as(
            "SELECT e.trace_id, d.trace_id FROM alerts.deliveries d JOIN alerts.alert_events e ON e.id = d.alert_id
              WHERE e.rule_id = $1 ORDER BY d.created_at, d.not_before, d.id",
        )
        .bind(rule_id)
        .fetch_all(&mut self.conn)
        .await
        .unwrap()
    }

    /// What and state of each row of a trace, by the statement of `docs/operations.md`.
    pub(crate) async fn rows_as_the_manual_finds_them(&mut self, trace: &str) -> Vec<String> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
        let manual = std::fs::read_to_string(path).unwrap();
        let begin = manual.find("SELECT occurred_at AS at").expect("the manual has the statement");
        let length = manual[begin..].find(';').expect("it ends");
        let statement = format!(
            "SELECT what || ' ' || state FROM ({}) AS rows",
            manual[begin..begin + length].replace(":'trace'", "$1")
        );
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).bind(trace).fetch_all(&mut self.conn);
        rows.await.unwrap()
    }

    /// The history of an alert: states before and after.
    pub(crate) async fn history(&mut self, id: Uuid) -> Vec<(Option<String>, String)> {
        sqlx::query_as("SELECT from_state, to_state FROM alerts.alert_history WHERE alert_id = $1 ORDER BY id")
            .bind(id)
            .fetch_all(&mut self.conn)
            .await
            .unwrap()
    }

    /// Why each alert of a rule was retracted, in the order in which they were.
    pub(crate) async fn reasons_of_retraction(&mut self, rule_id: i64) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT h.reason FROM alerts.alert_history h JOIN alerts.alert_events e ON e.id = h.alert_id
              WHERE e.rule_id = $1 AND h.to_state = 'retracted' ORDER BY h.id",
        )
        .bind(rule_id)
        .fetch_all(&mut self.conn)
        .await
        .unwrap()
    }

    /// Every message that waits arrives.
    pub(crate) async fn deliver(&mut self) {
        self.run("UPDATE alerts.deliveries SET state = 'delivered', attempts = 1, finished_at = now() WHERE state = 'queued'")
            .await;
    }

    pub(crate) async fn run(&mut self, statement: &'static str) {
        sqlx::query(statement).execute(&mut self.conn).await.unwrap();
    }

    /// Organisations that the queue of deliveries was told of.
    pub(crate) async fn announced(&mut self) -> Vec<i64> {
        let (sqs, queue_url) = (self.evaluator.clients.sqs(), &self.evaluator.event_queues.deliveries);
        let received = sqs.receive_message().queue_url(queue_url).max_number_of_messages(10).send().await.unwrap();
        let mut orgs = Vec::new();
        for message in received.messages.unwrap_or_default() {
            let wake = events::parse_wake(message.body().unwrap()).unwrap();
            match events::read(&mut self.conn, wake.event_id).await.unwrap().body {
                EventBody::AlertsRecorded { org_id, .. } => orgs.push(org_id.0),
                other => panic!("{other:?}"),
            }
            let handle = message.receipt_handle().unwrap();
            sqs.delete_message().queue_url(queue_url).receipt_handle(handle).send().await.unwrap();
        }
        orgs
    }
}
