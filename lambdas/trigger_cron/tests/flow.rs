//! The cron trigger against a real Postgres and an AWS emulator: one tick, one firing, whether it comes or not.

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
use isotherm_platform::telemetry::logged;
use isotherm_types::Clock;
use lambda_trigger_cron::{Answer, CronEvent, CronTrigger};
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
        alerts: queue(&clients, "isotherm-alerts.fifo").await,
        deliveries: queue(&clients, "isotherm-deliveries.fifo").await,
    };
    let pool = PgPool::connect(&database.url).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    pipeline::apply(&mut conn, org, &pipeline::parse(PIPELINE).unwrap(), "test").await.unwrap();
    // The clock of this test is not the database's: the trigger starts half an hour before the former.
    sqlx::query("UPDATE control.triggers SET ticked_until = '2026-11-23T06:08:00Z' WHERE kind = 'cron'")
        .execute(&mut *conn)
        .await
        .unwrap();
    drop(conn);
    CronTrigger { pool, clients, event_queues, clock: Arc::new(At("2026-11-23T06:38:22Z".parse().unwrap())) }
}

fn tick(trigger_id: i64, scheduled_time: &str) -> CronEvent {
    let event = json!({ "version": 1, "kind": "tick", "trigger_id": trigger_id, "scheduled_time": scheduled_time });
    serde_json::from_value(event).unwrap()
}

#[tokio::test]
async fn a_tick_fires_once_however_often_and_however_it_is_delivered() {
    let trigger = trigger().await;
    let fire_key = "tick-2026-11-23T06:38:00Z".to_owned();
    let (first, lines) = logged(trigger.handle(tick(1, "2026-11-23T06:38:00Z"))).await;
    assert_eq!(first.unwrap(), Answer::Fired { fire_key: fire_key.clone() });
    let trace: String =
        sqlx::query_scalar("SELECT trace_id FROM control.events").fetch_one(&trigger.pool).await.unwrap();
    let told: Vec<_> = lines.iter().filter(|line| line["message"] == "a schedule ticked").collect();
    assert_eq!((told.len(), &told[0]["trace.id"]), (1, &json!(trace)), "{lines:?}");
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

#[tokio::test]
async fn a_sweep_makes_up_for_ticks_that_did_not_come_and_writes_down_those_that_are_too_old() {
    let trigger = trigger().await;
    sqlx::query("UPDATE control.triggers SET config = config || '{\"catch_up_seconds\": 600}' WHERE kind = 'cron'")
        .execute(&trigger.pool)
        .await
        .unwrap();
    let fire_key = "tick-2026-11-23T06:30:00Z".to_owned();
    let tick_of_minute_30 = trigger.handle(tick(1, "2026-11-23T06:30:00Z")).await.unwrap();
    assert_eq!(tick_of_minute_30, Answer::Fired { fire_key: fire_key.clone() });
    // 06:09 to 06:27 are too old, 06:36 and 06:37 may still come, and 06:30 came.
    let swept = trigger.handle(CronEvent::Sweep).await.unwrap();
    assert_eq!(swept, Answer::Swept { triggers: 1, fired: 7, skipped: 0, missed: 19, published: 7 });
    let causes: i64 = sqlx::query_scalar("SELECT count(DISTINCT trace_id) FROM control.events")
        .fetch_one(&trigger.pool)
        .await
        .unwrap();
    assert_eq!(causes, 8, "each tick is a cause of its own, also of those that are made up for together");
    let again = trigger.handle(CronEvent::Sweep).await.unwrap();
    assert_eq!(again, Answer::Swept { triggers: 1, fired: 0, skipped: 0, missed: 0, published: 0 });
    for (late, minute) in [("2026-11-23T06:20:00Z", "20"), ("2026-11-23T06:33:41Z", "33")] {
        let fire_key = format!("tick-2026-11-23T06:{minute}:00Z");
        assert_eq!(trigger.handle(tick(1, late)).await.unwrap(), Answer::Already { fire_key });
    }
}

#[tokio::test]
async fn one_trigger_that_cannot_be_read_does_not_keep_the_others_from_being_swept() {
    let trigger = trigger().await;
    // Looked at first.
    sqlx::query(
        "INSERT INTO control.triggers (id, org_id, job_id, name, kind, config, config_hash, ticked_until)
         OVERRIDING SYSTEM VALUE
         SELECT 0, org_id, job_id, 'broken', kind, '{\"schedule\": \"sometimes\"}', config_hash, ticked_until
           FROM control.triggers WHERE name = 'minute'",
    )
    .execute(&trigger.pool)
    .await
    .unwrap();
    let fault = trigger.handle(CronEvent::Sweep).await.unwrap_err();
    assert_eq!(fault.code(), "control.bad_schedule");
    let counts: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM control.trigger_fires), (SELECT count(*) FROM control.outbox)")
            .fetch_one(&trigger.pool)
            .await
            .unwrap();
    assert_eq!(counts, (27, 0), "06:09 to 06:35, fired and published");
}
