//! Writers, publishers that are killed, and a queue that refuses: each event of a committed transaction has one effect, in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use aws_sdk_sqs::types::MessageSystemAttributeName;
use isotherm_control::{dispatch, events, outbox};
use isotherm_lab::experiment::{Experiment, Victim, milliseconds, quantile, victim_order};
use isotherm_lab::http_faults::sqs::{SendFault, fail_send};
use isotherm_lab::http_faults::{HttpFaults, Verdict};
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::queue::{FifoMessage, send_batch};
use isotherm_platform::{Secret, outbox_publisher};
use isotherm_types::Queue;
use rand::{Rng, RngCore};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::Mutex;

use crate::stage::{self, DOUBLED, LOST, OUT_OF_ORDER, Stage, WITHOUT_UNIQUE_TASKS};

/// Publishers that are alive at a time.
const PUBLISHERS: usize = 2;
/// Time between two events of all writers.
const SHORT_PACE: Duration = Duration::from_millis(10);
/// The emulator of SQS goes over all deduplication ids of the last five minutes for each message that it is sent: above
/// some 10,000 of them it takes fewer messages than 90 a second, and the lag would be its own.
const LONG_PACE: Duration = Duration::from_millis(20);
/// Nothing more is to come when nothing has come for so long.
const SILENCE: Duration = Duration::from_secs(8);

/// Each writer has a chain, and so a message group, of its own; one transaction in ten is rolled back.
async fn writer(mut conn: PgConnection, chain: u64, count: u64, pause: Duration, mut random: impl RngCore) {
    for n in 0..count {
        let mut db_tx = conn.begin().await.unwrap();
        events::record(&mut db_tx, &stage::committed(chain, n)).await.unwrap();
        if random.random_bool(0.1) {
            db_tx.rollback().await.unwrap();
        } else {
            db_tx.commit().await.unwrap();
        }
        tokio::time::sleep(pause.mul_f64(random.random_range(0.0..2.0))).await;
    }
}

/// The publisher that is killed: the outbox's own, as often as it can.
#[tokio::test]
#[ignore = "is started and killed by experiment_outbox"]
async fn victim_publisher() {
    let Some(order) = victim_order() else { return };
    let text = |key: &str| order[key].as_str().unwrap().to_owned();
    let options = PoolOptions::lambda("publisher");
    let pool = database::connect(&Secret::new(text("database")), options).await.unwrap();
    // One try a call: what is refused is the outbox's to send again.
    let clients = stage::clients(&text("endpoint"), &text("account"), 1).await;
    let queues = EventQueues {
        events: text("events"),
        thresholds: text("thresholds"),
        dead_letters: text("dead_letters"),
        alerts: text("alerts"),
        deliveries: text("deliveries"),
    };
    loop {
        let published = match order["deletes_first"].as_bool() {
            Some(true) => publish_what_was_deleted(&pool, clients.sqs(), &queues).await,
            _ => outbox_publisher::publish_pending(&pool, clients.sqs(), &queues).await.unwrap_or(0),
        };
        if published == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The publisher without its guard: rows are gone before the queue has accepted them.
async fn publish_what_was_deleted(pool: &PgPool, sqs: &aws_sdk_sqs::Client, queues: &EventQueues) -> u64 {
    let mut db_tx = pool.begin().await.unwrap();
    let rows = outbox::take(&mut db_tx, &Queue::ALL, 10).await.unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let deleted = outbox::delete(&mut db_tx, &ids).await.unwrap();
    db_tx.commit().await.unwrap();
    let message = |row: &outbox::OutboxMessage| FifoMessage {
        body: stage::wake(row.event_id.0),
        group_id: row.message_group.clone(),
        deduplication_id: row.deduplication_id(),
    };
    let messages: Vec<FifoMessage> = rows.iter().map(message).collect();
    if !messages.is_empty() {
        let _ = send_batch(sqs, &queues.events, &messages).await;
    }
    deleted
}

/// What consumers have seen.
#[derive(Debug, Default)]
struct Seen {
    deliveries: AtomicI64,
    /// When SQS took the first message of each event, in milliseconds since 1970.
    sent_at: Mutex<HashMap<i64, f64>>,
    is_over: AtomicBool,
}

/// Handles what comes, one message in ten twice, as after a crash before its deletion.
async fn consumer(
    pool: PgPool,
    sqs: aws_sdk_sqs::Client,
    queue_url: String,
    seen: Arc<Seen>,
    mut random: impl RngCore,
) {
    while !seen.is_over.load(Ordering::Relaxed) {
        let messages = stage::receive(&sqs, &queue_url).await;
        for message in &messages {
            let event_id = events::parse_wake(message.body().unwrap()).unwrap().event_id;
            for _ in 0..if random.random_bool(0.1) { 2 } else { 1 } {
                dispatch::handle_event(&mut pool.acquire().await.unwrap(), event_id).await.unwrap();
            }
            let sent: f64 = stage::attribute(message, &MessageSystemAttributeName::SentTimestamp).parse().unwrap();
            seen.sent_at.lock().await.entry(event_id.0).or_insert(sent);
            seen.deliveries.fetch_add(1, Ordering::Relaxed);
        }
        stage::delete_all(&sqs, &queue_url, &messages).await;
    }
}

/// Kills a publisher at a random moment and starts the next, so often.
async fn killer(order: Value, kills: u32, every: Duration, mut random: impl RngCore) -> Vec<Victim> {
    let start = || Victim::start("outbox::victim_publisher", &order).unwrap();
    let mut publishers: Vec<Victim> = (0..PUBLISHERS).map(|_| start()).collect();
    for _ in 0..kills {
        tokio::time::sleep(every.mul_f64(random.random_range(0.5..1.5))).await;
        let chosen = random.random_range(0..PUBLISHERS);
        assert!(!publishers[chosen].has_ended(), "a publisher ended by itself");
        publishers[chosen] = start();
    }
    publishers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_outbox() {
    let mut experiment = Experiment::begin("outbox", &["delete_after_send", "unique_task"]);
    let (writers, each, kills, pace) = experiment.scaled((4, 500, 10, SHORT_PACE), (16, 1250, 200, LONG_PACE));
    let mut stage = Stage::new().await;
    experiment.figure_of_postgres(&mut stage.conn).await;
    if experiment.lacks("unique_task") {
        stage.run(WITHOUT_UNIQUE_TASKS).await;
    }
    let refusals = Arc::new(AtomicI64::new(0));
    let (counted, chance) = (refusals.clone(), std::sync::Mutex::new(experiment.random(900)));
    let proxy = HttpFaults::start(&stage.endpoint, move |call| {
        let mut chance = chance.lock().unwrap();
        if call.operation != "SendMessageBatch" || !chance.random_bool(0.1) {
            return Verdict::Pass;
        }
        counted.fetch_add(1, Ordering::Relaxed);
        fail_send(call, SendFault::ALL[chance.random_range(0..SendFault::ALL.len())])
    })
    .await
    .unwrap();

    // Whatever the number of writers, and seconds between two kills: a publisher has to start before it publishes.
    let pause = pace * u32::try_from(writers).unwrap();
    let mut writing = tokio::task::JoinSet::new();
    for chain in 0..writers {
        let conn = stage.database.connect().await.unwrap();
        writing.spawn(writer(conn, chain, each, pause, experiment.random(chain)));
    }
    let order = json!({
        "database": stage.database.url, "endpoint": proxy.endpoint_url(), "account": stage.account,
        "events": stage.event_queues.events, "thresholds": stage.event_queues.thresholds,
        "dead_letters": stage.event_queues.dead_letters, "alerts": stage.event_queues.alerts,
        "deliveries": stage.event_queues.deliveries, "deletes_first": experiment.lacks("delete_after_send"),
    });
    let every = pause * u32::try_from(each).unwrap() / kills;
    let killing = tokio::spawn(killer(order, kills, every, experiment.random(901)));
    let seen = Arc::new(Seen::default());
    let pool = PgPool::connect(&stage.database.url).await.unwrap();
    let mut consuming = tokio::task::JoinSet::new();
    for i in 0..2 {
        let queue_url = stage.event_queues.events.clone();
        consuming.spawn(consumer(pool.clone(), stage.sqs.clone(), queue_url, seen.clone(), experiment.random(902 + i)));
    }
    while let Some(ended) = writing.join_next().await {
        ended.unwrap();
    }
    let publishers = killing.await.unwrap();
    until_silent(&mut stage, &seen).await;
    drop(publishers);
    while let Some(ended) = consuming.join_next().await {
        ended.unwrap();
    }

    let committed = stage.count("SELECT count(*) FROM control.events").await;
    experiment.figure("events", committed);
    experiment.figure("kills", kills);
    experiment.figure("refused_calls", refusals.load(Ordering::Relaxed));
    experiment.figure("deliveries", seen.deliveries.load(Ordering::Relaxed));
    let lost = stage.count(LOST).await;
    experiment.zero("lost", lost);
    let doubled = stage.count(DOUBLED).await;
    experiment.zero("doubled", doubled);
    let out_of_order = stage.count(OUT_OF_ORDER).await;
    experiment.zero("out_of_order", out_of_order);
    let left = stage.count("SELECT count(*) FROM control.outbox").await;
    experiment.zero("outbox_left", left);
    let lags = lags(&mut stage.conn, &seen).await;
    experiment.figure("publish_lag_p50_ms", format!("{:.1}", milliseconds(quantile(&lags, 0.5))));
    experiment.at_most("publish_lag_p99_ms", milliseconds(quantile(&lags, 0.99)), 1000.0);
    experiment.finish();
}

/// Waits until the outbox is empty and everything has been handled, or nothing has come for long.
async fn until_silent(stage: &mut Stage, seen: &Seen) {
    stage::until_over(SILENCE, async || {
        let is_over = stage.count(LOST).await == 0 && stage.count("SELECT count(*) FROM control.outbox").await == 0;
        (seen.deliveries.load(Ordering::Relaxed), is_over)
    })
    .await;
    seen.is_over.store(true, Ordering::Relaxed);
}

/// From the begin of the writing transaction to the acceptance by the queue.
async fn lags(conn: &mut PgConnection, seen: &Seen) -> Vec<Duration> {
    let written: Vec<(i64, f64)> =
        sqlx::query_as("SELECT id, (extract(epoch FROM occurred_at) * 1000)::double precision FROM control.events")
            .fetch_all(conn)
            .await
            .unwrap();
    let sent_at = seen.sent_at.lock().await;
    let lag =
        |(id, at): (i64, f64)| sent_at.get(&id).map(|sent| Duration::from_secs_f64((sent - at).max(0.0) / 1000.0));
    written.into_iter().filter_map(lag).collect()
}
