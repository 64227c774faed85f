//! From a damaged file to the people who asked to be told: the check, its event, the evaluator and the sender.

use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use isotherm_alerts::channel::Address;
use isotherm_alerts::channels::{self, NewChannel};
use isotherm_alerts::definition::Definition;
use isotherm_alerts::rules::{self, NewRule};
use isotherm_alerts::seal::Keyring;
use isotherm_lab::ministack::REGION;
use isotherm_lab::webhook_zoo::{Behaviour, WebhookZoo};
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_platform::secrets::SecretCache;
use isotherm_types::{ChainId, OrgId};
use lambda_alert_deliver::{ATTEMPT, Deliverer, Limits, Senders, Settings};
use lambda_alert_evaluate::{Evaluator, RuleSets};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::world::{CHAIN_ID, SECRET_ACCESS_KEY, World, recorded_chain};

const LOGS: &str = "cold/made/logs/logs_0000000000_0000000009.parquet";
/// The organisation `default`.
const ORG: OrgId = OrgId(1);
const SECRET: &str = "isotherm-alerts";
const KEYS: &str = r#"{"keys":[{"id":"k1","key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}]}"#;
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

async fn clients(world: &World) -> Clients {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(&world.endpoint_url)
        .credentials_provider(Credentials::new(world.account.clone(), SECRET_ACCESS_KEY, None, None, "test"))
        .load()
        .await;
    Clients::from_config(config)
}

async fn evaluator(world: &World) -> Evaluator {
    let clients = clients(world).await;
    let queue = async |name: &str| {
        let request = clients.sqs().create_queue().queue_name(name).attributes("FifoQueue".into(), "true");
        request.send().await.unwrap().queue_url.unwrap()
    };
    let event_queues = EventQueues {
        events: queue("events.fifo").await,
        thresholds: queue("thresholds.fifo").await,
        dead_letters: queue("dead_letters.fifo").await,
        alerts: queue("alerts.fifo").await,
        deliveries: queue("deliveries.fifo").await,
    };
    let query_function = "none".to_owned();
    Evaluator { pool: world.pool.clone(), clients, event_queues, rule_sets: RuleSets::default(), query_function }
}

async fn deliverer(world: &World) -> Deliverer {
    let clients = clients(world).await;
    clients.secrets_manager().create_secret().name(SECRET).secret_string(KEYS).send().await.unwrap();
    let settings = Settings {
        email_from: None,
        slack_api: "http://127.0.0.1:1/api".to_owned(),
        allow_loopback_http: true,
        attempt: ATTEMPT,
    };
    let senders = Arc::new(Senders::new(&clients, settings).unwrap());
    let limits = Limits { linger: Duration::ZERO, ..Limits::default() };
    let secrets = SecretCache::new(Duration::from_secs(600));
    Deliverer { pool: world.pool.clone(), clients, senders, keys_secret_arn: SECRET.to_owned(), secrets, limits }
}

/// A webhook, and a rule that tells it what checks of the chain find.
async fn ask_to_be_told(conn: &mut PgConnection, url: String) {
    let address = Address::Webhook { url, keys: vec![KEY.to_owned()] };
    let new = NewChannel { name: "ops".to_owned(), address, per_minute: 60, owner_id: None };
    channels::create(conn, ORG, new, &Keyring::parse(KEYS).unwrap(), "test").await.unwrap();
    let definition = Definition::parse(&json!({
        "name": "damaged-files", "chain": "made", "severity": "critical", "channels": ["ops"],
        "source": { "platform": ["integrity_violated"] },
    }));
    let definition = definition.unwrap();
    let new = NewRule { definition: &definition, chain: ChainId(CHAIN_ID), tip: None, actor: "test", owner: None };
    rules::create(conn, ORG, &new).await.unwrap();
}

/// What the queue of alerts is to be told of findings, as its event source mapping hands it over.
async fn batch(world: &World) -> BatchOrSweep {
    let events: Vec<i64> = sqlx::query_scalar(
        "SELECT e.id FROM control.events e JOIN control.outbox o ON o.event_id = e.id
          WHERE e.kind = 'integrity_violated' AND o.queue = 'alerts' ORDER BY e.id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let records = events.iter().map(|event_id| {
        let body = json!({ "version": 1, "event_id": event_id }).to_string();
        json!({ "messageId": event_id.to_string(), "body": body, "attributes": { "MessageGroupId": "one" } })
    });
    serde_json::from_value(json!({ "Records": records.collect::<Value>() })).unwrap()
}

#[tokio::test]
async fn a_damaged_file_is_told_once_to_the_channel_of_whoever_asks() {
    let world = World::create(recorded_chain(11).await).await;
    let zoo = WebhookZoo::start().await.unwrap();
    let url = zoo.url(Behaviour::Accept);
    let mut conn = world.pool.acquire().await.unwrap();
    ask_to_be_told(&mut conn, url.clone()).await;
    drop(conn);
    let (evaluator, deliverer) = (evaluator(&world).await, deliverer(&world).await);

    let mut altered = world.bytes(LOGS).await.to_vec();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    world.overwrite(LOGS, altered).await;
    assert_eq!(world.check(&json!({"level": "file"}), &[]).await["new_count"], 1);
    let batch = batch(&world).await;
    for _ in 0..2 {
        let answer = json!(evaluator.handle(batch.clone()).await.unwrap());
        assert_eq!(answer["batchItemFailures"], json!([]), "{answer}");
        deliverer.handle(BatchOrSweep::Sweep).await.unwrap();
    }

    let received = zoo.received(&url);
    assert_eq!(received.len(), 1);
    let told: Value = serde_json::from_slice(&received[0].body).unwrap();
    let data = &told["data"];
    assert_eq!((&told["type"], &data["rule"]), (&json!("alert.fired"), &json!("damaged-files")), "{told}");
    assert_eq!((&data["severity"], &data["chain"]), (&json!("critical"), &json!("made")), "{told}");
    let facts = &data["facts"];
    assert_eq!((&facts["object_key"], &facts["fault"]), (&json!(LOGS), &json!("digest_differs")), "{told}");
    assert_eq!((&facts["first_block"], &facts["last_block"]), (&json!(0), &json!(9)), "{told}");

    // Found again it is no other finding.
    assert_eq!(world.check(&json!({"level": "file"}), &[]).await["new_count"], 0);
    evaluator.handle(BatchOrSweep::Sweep).await.unwrap();
    deliverer.handle(BatchOrSweep::Sweep).await.unwrap();
    assert_eq!(zoo.count(&url), 1);
}
