//! How soon somebody is told: from the commit of a row to the request at its receiver. The evaluator and the sender in this process,
//! each handed the messages of its queue on the emulator as an event source mapping hands them over; a real Postgres in between.

use std::time::{Duration, Instant};

use isotherm_lab::experiment::{Experiment, milliseconds, quantile};
use isotherm_lab::webhook_zoo::Behaviour;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_platform::outbox_publisher::publish_pending;
use lambda_alert_evaluate::{Evaluator, RuleSets};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::chain::{MadeChain, Transaction, token};
use crate::stage::{self, Stage};

const TOKEN: u64 = 1;
/// Matches before those that count: connections are made, rules compiled.
const WARM_UP: u64 = 3;
/// A match that nobody was told of after so long is missing.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked whether the receiver has a message. When that came it has noted itself.
const LOOK: Duration = Duration::from_millis(5);
/// A rule for all channels that there are.
const RULE: &str = "
    WITH rule AS (INSERT INTO alerts.rules (org_id, name, chain_id, definition, first_block, created_by)
                  VALUES ($1, 'latency', 31337, $2, 0, 'lab') RETURNING id, org_id)
    INSERT INTO alerts.rule_channels (org_id, rule_id, channel_id)
    SELECT rule.org_id, rule.id, c.id FROM rule, alerts.channels c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_alert_latency() {
    let mut experiment = Experiment::begin("alert_latency", &["wake"]);
    let matches: u64 = experiment.scaled(20, 500);
    let mut stage = Stage::new().await;
    experiment.figure_of_postgres(&mut stage.conn).await;
    stage.unlimited().await;
    let url = stage.zoo.url(Behaviour::Accept);
    stage.webhook(&url, 6000).await;
    save_rule(&mut stage).await;
    let evaluator = evaluator(&stage).await;
    let deliverer = stage.deliverer().await;
    let queues = evaluator.event_queues.clone();

    let evaluating =
        serve(&evaluator.clients, &queues.alerts, async |batch| json!(evaluator.handle(batch).await.unwrap()));
    let delivering =
        serve(&deliverer.clients, &queues.deliveries, async |batch| json!(deliverer.handle(batch).await.unwrap()));
    let is_woken = !experiment.lacks("wake");
    let writing = write(&mut stage, &url, &evaluator, WARM_UP + matches, is_woken);
    let latencies = tokio::select! {
        () = evaluating => unreachable!("queues are read without end"),
        () = delivering => unreachable!("queues are read without end"),
        latencies = writing => latencies,
    };

    let received = i64::try_from(stage.zoo.count(&url)).unwrap();
    let wanted = i64::try_from(WARM_UP + matches).unwrap();
    experiment.equal("received", received, wanted);
    let counted = latencies.get(usize::try_from(WARM_UP).unwrap()..).unwrap_or_default();
    experiment.figure("matches", counted.len());
    experiment.at_most("p50_ms", milliseconds(quantile(counted, 0.5)), 2_000.0);
    experiment.at_most("p95_ms", milliseconds(quantile(counted, 0.95)), 5_000.0);
    experiment.finish();
}

async fn save_rule(stage: &mut Stage) {
    let definition = json!({
        "name": "latency", "chain": "made", "channels": ["c0"],
        "source": {
            "event": "Transfer(address indexed from, address indexed to, uint256 value)", "address": [token(TOKEN)],
        },
        "condition": "args.value >= 5",
    });
    sqlx::query(RULE).bind(stage.org.0).bind(definition).execute(&mut stage.conn).await.unwrap();
}

/// The evaluator, and queues of its own.
async fn evaluator(stage: &Stage) -> Evaluator {
    let clients = stage::clients(&stage.endpoint, &stage.account).await;
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
    let pool = PgPool::connect(&stage.database.url).await.unwrap();
    let query_function = "none".to_owned();
    Evaluator { pool, clients, event_queues, rule_sets: RuleSets::default(), query_function }
}

/// Hands the messages of a queue to `handle`, batch by batch, and deletes those that it has done.
async fn serve(clients: &Clients, queue_url: &str, handle: impl AsyncFn(BatchOrSweep) -> Value) {
    let sqs = clients.sqs();
    loop {
        let asked = sqs.receive_message().queue_url(queue_url).max_number_of_messages(10).wait_time_seconds(5);
        let messages = asked.send().await.unwrap().messages.unwrap_or_default();
        if messages.is_empty() {
            continue;
        }
        let records = messages.iter().map(|message| {
            let attributes = json!({ "MessageGroupId": "one" });
            json!({ "messageId": message.message_id(), "body": message.body(), "attributes": attributes })
        });
        let batch = json!({ "Records": records.collect::<Value>() });
        let answer = handle(serde_json::from_value(batch).unwrap()).await;
        assert_eq!(answer["batchItemFailures"], json!([]), "{answer}");
        for message in &messages {
            let handle = message.receipt_handle().unwrap();
            sqs.delete_message().queue_url(queue_url).receipt_handle(handle).send().await.unwrap();
        }
    }
}

/// Writes blocks with one match each, every one when the last was told of; returns how long each took. Ends at the first one that
/// nobody is told of. The follower publishes what it has committed; without that nobody is woken.
async fn write(stage: &mut Stage, url: &str, evaluator: &Evaluator, matches: u64, is_woken: bool) -> Vec<Duration> {
    let now: i64 =
        sqlx::query_scalar("SELECT extract(epoch FROM now())::bigint").fetch_one(&mut stage.conn).await.unwrap();
    let mut chain = MadeChain::new(&mut stage.conn, now.unsigned_abs()).await;
    chain.append(&mut stage.conn, Vec::new()).await;
    let mut latencies = Vec::new();
    for number in 0..matches {
        chain.append(&mut stage.conn, vec![Transaction::of(number, TOKEN, 5)]).await;
        let committed = Instant::now();
        if is_woken {
            let Evaluator { pool, clients, event_queues, .. } = evaluator;
            publish_pending(pool, clients.sqs(), event_queues).await.unwrap();
        }
        let received = tokio::time::timeout(PATIENCE, async {
            loop {
                let received = stage.zoo.received(url);
                if let Some(last) = received.get(latencies.len()) {
                    return last.at;
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        let Ok(at) = received.await else { break };
        latencies.push(at.saturating_duration_since(committed));
    }
    latencies
}
