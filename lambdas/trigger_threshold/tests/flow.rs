//! The threshold trigger against a real Postgres and an AWS emulator.

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_sqs::types::QueueAttributeName;
use isotherm_control::dataset_cursors::{self, Advance};
use isotherm_control::{events, jobs, pipeline};
use isotherm_lab::ministack::{Ministack, REGION};
use isotherm_lab::postgres::TestDatabase;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_types::{B256, BlockNumber, BlockRange, BlockRef, ChainId, Dataset, EventBody, EventId};
use lambda_trigger_threshold::{Answer, ThresholdTrigger};
use serde_json::{Value, json};
use sqlx::PgPool;

const PIPELINE: &str = "
version: 1
jobs: [{ name: compact, operator: noop }]
triggers:
  - { name: full, job: compact, threshold: { chain_id: 7, measure: finalized_blocks, every: 100 } }
  - { name: many, job: compact, threshold: { chain_id: 7, measure: rows, dataset: logs, every: 1000 } }
  - { name: behind, job: compact, threshold: { chain_id: 7, measure: lag_seconds, every: 60 } }
";

/// Block 260 of chain 7, as far as a threshold looks at it.
const TIP_ROW: &str = "
CREATE TABLE hot.blocks_7 PARTITION OF hot.blocks FOR VALUES IN (7);
INSERT INTO hot.blocks (block_hash, author, block_number, gas_used, extra_data, timestamp, chain_id, parent_hash,
                        uncles_hash, state_root, transactions_root, receipts_root, logs_bloom, difficulty, gas_limit,
                        mix_hash, nonce, transaction_count)
SELECT b, b, 260, 0, b, extract(epoch FROM now())::bigint, 7, b, b, b, b, b, b, b, 0, b, b, 0
  FROM (SELECT ''::bytea AS b) AS bytes;
";

async fn queue(clients: &Clients, name: &str) -> String {
    let queue = clients.sqs().create_queue().queue_name(name).attributes(QueueAttributeName::FifoQueue, "true");
    queue.send().await.unwrap().queue_url.unwrap()
}

async fn trigger() -> ThresholdTrigger {
    let database = TestDatabase::migrated().await.unwrap();
    let ministack = Ministack::shared().await.unwrap();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(ministack.endpoint_url())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new("test", "test", None, None, "lab"))
        .load()
        .await;
    let clients = Clients::from_config(config);
    let event_queues = EventQueues {
        events: queue(&clients, "isotherm-events.fifo").await,
        thresholds: queue(&clients, "isotherm-thresholds.fifo").await,
        dead_letters: queue(&clients, "isotherm-dead_letters.fifo").await,
        alerts: queue(&clients, "isotherm-alerts.fifo").await,
        deliveries: queue(&clients, "isotherm-deliveries.fifo").await,
    };
    let pool = PgPool::connect(&database.url).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    pipeline::apply(&mut conn, org, &pipeline::parse(PIPELINE).unwrap(), "test").await.unwrap();
    sqlx::query(
        "INSERT INTO hot.cursors (chain_id, chain, partition_blocks, first_block, tip_number, tip_hash,
                                  finalized_number, finalized_hash)
         VALUES (7, 'seven', 100, 0, 260, decode(repeat('ab', 32), 'hex'), 250, decode(repeat('cd', 32), 'hex'))",
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    drop(conn);
    ThresholdTrigger { pool, clients, event_queues }
}

async fn advanced(trigger: &ThresholdTrigger, last: u64) -> EventId {
    let body = EventBody::DatasetAdvanced {
        chain_id: ChainId(7),
        datasets: vec![Dataset::Logs],
        blocks: BlockRange::single(BlockNumber(last)),
        tip: BlockRef { number: BlockNumber(last), hash: B256::repeat_byte(0xab) },
    };
    events::record(&mut trigger.pool.acquire().await.unwrap(), &body).await.unwrap()
}

fn batch(messages: &[(&str, &str, String)]) -> BatchOrSweep {
    let record = |(id, group, body): &(&str, &str, String)| json!({ "messageId": id, "body": body, "attributes": { "MessageGroupId": group } });
    serde_json::from_value(json!({ "Records": messages.iter().map(record).collect::<Vec<Value>>() })).unwrap()
}

fn wake(event_id: EventId) -> String {
    json!({ "version": 1, "event_id": event_id }).to_string()
}

async fn failures(trigger: &ThresholdTrigger, messages: &[(&str, &str, String)]) -> Vec<String> {
    let Answer::Batch(response) = trigger.handle(batch(messages)).await.unwrap() else { panic!("no batch") };
    response.batch_item_failures.into_iter().map(|item| item.item_identifier).collect()
}

#[tokio::test]
async fn advances_fire_each_full_range_once_and_poison_stays_in_its_queue() {
    let trigger = trigger().await;
    let (first, second) = (advanced(&trigger, 259).await, advanced(&trigger, 260).await);
    let messages = [
        ("one", "chain-7", wake(first)),
        ("two", "chain-7", wake(second)),
        ("bad", "chain-8", "not json".to_owned()),
        ("behind", "chain-8", wake(second)),
    ];
    assert_eq!(failures(&trigger, &messages).await, ["bad"]);
    let fired: Vec<(String,)> = sqlx::query_as("SELECT fire_key FROM control.trigger_fires ORDER BY fire_key")
        .fetch_all(&trigger.pool)
        .await
        .unwrap();
    assert_eq!(fired, [("blocks-7-0-100".to_owned(),), ("blocks-7-100-200".to_owned(),)]);
    let received = trigger.clients.sqs().receive_message().queue_url(&trigger.event_queues.events);
    let received = received.max_number_of_messages(10).send().await.unwrap().messages.unwrap_or_default();
    assert!(!received.is_empty(), "the firings were published");
    let left: (i64,) = sqlx::query_as("SELECT count(*) FROM control.outbox").fetch_one(&trigger.pool).await.unwrap();
    assert_eq!(left.0, 0);

    assert!(failures(&trigger, &[("again", "chain-7", wake(first))]).await.is_empty());
    let Answer::Swept { chains, fired, published } = trigger.handle(BatchOrSweep::Sweep).await.unwrap() else {
        panic!("no sweep");
    };
    assert_eq!((chains, fired, published), (1, 0, 0));
}

#[tokio::test]
async fn a_sweep_fires_for_rows_that_were_counted_and_for_a_chain_that_has_gone_silent() {
    let trigger = trigger().await;
    let mut conn = trigger.pool.acquire().await.unwrap();
    let fired = async |trigger: &ThresholdTrigger| match trigger.handle(BatchOrSweep::Sweep).await.unwrap() {
        Answer::Swept { fired, .. } => fired,
        Answer::Batch(_) => panic!("no sweep"),
    };
    assert_eq!(fired(&trigger).await, 2, "the blocks that are final; no block has a time yet");
    let advance = Advance { dataset: Dataset::Logs, block_count: 9, row_count: 2500, size_bytes: 99 };
    dataset_cursors::advance(&mut conn, ChainId(7), &[advance]).await.unwrap();
    assert_eq!(fired(&trigger).await, 1);

    // The tip's row, of the clock's time; then that time is past, and nobody writes any more.
    sqlx::raw_sql(TIP_ROW).execute(&mut *conn).await.unwrap();
    assert_eq!(fired(&trigger).await, 0, "not behind");
    sqlx::query("UPDATE hot.blocks SET timestamp = timestamp - 300").execute(&mut *conn).await.unwrap();
    assert_eq!(fired(&trigger).await, 1);
    assert_eq!(fired(&trigger).await, 0, "once");
    sqlx::query("UPDATE hot.blocks SET timestamp = timestamp + 300").execute(&mut *conn).await.unwrap();
    assert_eq!(fired(&trigger).await, 0, "caught up");
    sqlx::query("UPDATE hot.blocks SET timestamp = timestamp - 300").execute(&mut *conn).await.unwrap();
    assert_eq!(fired(&trigger).await, 1);
    let keys: Vec<(String,)> = sqlx::query_as("SELECT fire_key FROM control.trigger_fires ORDER BY fire_key")
        .fetch_all(&trigger.pool)
        .await
        .unwrap();
    let keys: Vec<&str> = keys.iter().map(|(key,)| key.as_str()).collect();
    assert_eq!(keys, ["blocks-7-0-100", "blocks-7-100-200", "lag-1", "lag-2", "rows-7-logs-0-2000"]);
}
