//! The cron trigger against a real Postgres and an AWS emulator: one tick, one firing.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_sqs::types::QueueAttributeName;
use chrono::{DateTime, Utc};
use isotherm_control::{jobs, pipeline};
use isotherm_lab::ministack::{Ministack, REGION};
use isotherm_lab::postgres::TestDatabase;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_types::Clock;
use lambda_trigger_cron::{Answer, CronTrigger, TickEvent};
use serde_json::json;
use sqlx::PgPool;

const PIPELINE: &str = "
version: 1
jobs: [{ name: beat, operator: noop }]
triggers:
  - { name: minute, job: beat, cron: { schedule: rate(1 minute) } }
  - { name: full, job: beat, threshold: { chain_id: 7, measure: finalized_blocks, every: 100 } }
";

struct At(DateTime<Utc>);

impl Clock for At {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

async fn queue(clients: &Clients, name: &str) -> String {
    let queue = clients.sqs().create_queue().queue_name(name).attributes(QueueAttributeName::FifoQueue, "true");
    queue.send().await.unwrap().queue_url.unwrap()
}

async fn trigger() -> CronTrigger {
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
    };
    let pool = PgPool::connect(&database.url).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    pipeline::apply(&mut conn, org, &pipeline::parse(PIPELINE).unwrap(), "test").await.unwrap();
    drop(conn);
    CronTrigger { pool, clients, event_queues, clock: Arc::new(At("2026-11-23T06:38:22Z".parse().unwrap())) }
}

fn tick(trigger_id: i64, scheduled_time: &str) -> TickEvent {
    let event = json!({ "version": 1, "kind": "tick", "trigger_id": trigger_id, "scheduled_time": scheduled_time });
    serde_json::from_value(event).unwrap()
}

#[tokio::test]
async fn a_tick_fires_once_however_often_and_however_it_is_delivered() {
    let trigger = trigger().await;
    let fire_key = "tick-2026-11-23T06:38:00Z".to_owned();
    let first = trigger.handle(tick(1, "2026-11-23T06:38:00Z")).await.unwrap();
    assert_eq!(first, Answer::Fired { fire_key: fire_key.clone() });
    for again in ["2026-11-23T06:38:00Z", "<aws.scheduler.scheduled-time>"] {
        assert_eq!(trigger.handle(tick(1, again)).await.unwrap(), Answer::Already { fire_key: fire_key.clone() });
    }
    let counts: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM control.trigger_fires), (SELECT count(*) FROM control.outbox)")
            .fetch_one(&trigger.pool)
            .await
            .unwrap();
    assert_eq!(counts, (1, 0), "fired once, and published");
    assert_eq!(trigger.handle(tick(99, "2026-11-23T06:38:00Z")).await.unwrap(), Answer::Gone);
    let wrong_kind = trigger.handle(tick(2, "2026-11-23T06:38:00Z")).await.unwrap_err();
    assert_eq!(wrong_kind.code(), "trigger.not_cron");
}
