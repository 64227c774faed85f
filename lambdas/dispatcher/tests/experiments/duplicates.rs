//! Messages that come twice, later than any deduplication, or again while their first worker is still at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use isotherm_control::{dispatch, events};
use isotherm_lab::experiment::Experiment;
use isotherm_platform::queue::{FifoMessage, send_batch};
use isotherm_types::EventId;
use rand::{Rng, RngCore};
use sqlx::PgPool;

use crate::stage::{self, DOUBLED, LOST, OUT_OF_ORDER, Stage, WITHOUT_UNIQUE_TASKS};

/// Few, so that messages of one group lie close together: a batch has some of them.
const GROUPS: u64 = 5;
const CONSUMERS: u64 = 3;
/// Nothing more is to come when nothing has come for so long.
const SILENCE: Duration = Duration::from_secs(8);

#[derive(Debug, Default)]
struct Seen {
    deliveries: AtomicI64,
    late: AtomicI64,
    is_over: AtomicBool,
}

/// The messages of one event, in the order in which they are sent: a quarter of the events twice under one deduplication id, which
/// the queue drops, and one in twenty again under another, as when the window of five minutes is over.
fn messages(event_id: i64, group: &str, random: &mut impl RngCore) -> Vec<FifoMessage> {
    let message = |deduplication_id: String| FifoMessage {
        body: stage::wake(event_id),
        group_id: group.to_owned(),
        deduplication_id,
    };
    let first = message(format!("event-{event_id}"));
    match random.random_range(0..100) {
        0..25 => vec![first.clone(), first],
        25..30 => vec![first, message(format!("event-{event_id}-again"))],
        _ => vec![first],
    }
}

/// Handles what comes. One message in twenty it gives back at once, with those behind it, and handles it all the same: the next
/// worker has it while the old one is alive.
async fn consumer(
    pool: PgPool,
    sqs: aws_sdk_sqs::Client,
    queue_url: String,
    seen: Arc<Seen>,
    mut random: impl RngCore,
) {
    while !seen.is_over.load(Ordering::Relaxed) {
        let mut given_back: Vec<String> = Vec::new();
        let mut late = Vec::new();
        for message in stage::receive(&sqs, &queue_url).await {
            let group = stage::attribute(&message, &MessageSystemAttributeName::MessageGroupId);
            let event_id = events::parse_wake(message.body().unwrap()).unwrap().event_id;
            if given_back.contains(&group) {
                give_back(&sqs, &queue_url, &message).await;
                continue;
            }
            if random.random_bool(0.05) {
                give_back(&sqs, &queue_url, &message).await;
                given_back.push(group);
                late.push(event_id);
                continue;
            }
            handle(&pool, event_id).await;
            seen.deliveries.fetch_add(1, Ordering::Relaxed);
            stage::delete(&sqs, &queue_url, &message).await;
        }
        for event_id in late {
            handle(&pool, event_id).await;
            seen.late.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn handle(pool: &PgPool, event_id: EventId) {
    dispatch::handle_event(&mut pool.acquire().await.unwrap(), event_id).await.unwrap();
}

async fn give_back(sqs: &aws_sdk_sqs::Client, queue_url: &str, message: &Message) {
    let request = sqs.change_message_visibility().queue_url(queue_url).visibility_timeout(0);
    request.receipt_handle(message.receipt_handle().unwrap()).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_duplicates() {
    let mut experiment = Experiment::begin("duplicates", &["unique_task", "message_group"]);
    let total: u64 = experiment.scaled(1_000, 20_000);
    let mut stage = Stage::new().await;
    experiment.figure_of_postgres(&mut stage.conn).await;
    if experiment.lacks("unique_task") {
        stage.run(WITHOUT_UNIQUE_TASKS).await;
    }
    let pool = PgPool::connect(&stage.database.url).await.unwrap();
    let seen = Arc::new(Seen::default());
    let mut consuming = tokio::task::JoinSet::new();
    for i in 0..CONSUMERS {
        let queue_url = stage.event_queues.events.clone();
        consuming.spawn(consumer(pool.clone(), stage.sqs.clone(), queue_url, seen.clone(), experiment.random(i)));
    }
    let mut random = experiment.random(100);
    let mut sent = 0;
    for n in 0..total / GROUPS {
        for chain in 0..GROUPS {
            let event_id = events::record(&mut stage.conn, &stage::committed(chain, n)).await.unwrap().0;
            let group = match experiment.lacks("message_group") {
                true => format!("event-{event_id}"),
                false => format!("chain-{chain}"),
            };
            let messages = messages(event_id, &group, &mut random);
            sent += messages.len();
            send_batch(&stage.sqs, &stage.event_queues.events, &messages).await.unwrap();
        }
    }
    until_silent(&mut stage, &seen).await;
    while let Some(ended) = consuming.join_next().await {
        ended.unwrap();
    }
    experiment.figure("events", total);
    experiment.figure("messages", sent);
    experiment.figure("deliveries", seen.deliveries.load(Ordering::Relaxed));
    experiment.figure("by_old_workers", seen.late.load(Ordering::Relaxed));
    let lost = stage.count(LOST).await;
    experiment.zero("lost", lost);
    let doubled = stage.count(DOUBLED).await;
    experiment.zero("doubled", doubled);
    let out_of_order = stage.count(OUT_OF_ORDER).await;
    experiment.zero("out_of_order", out_of_order);
    experiment.finish();
}

/// Waits until the queue is empty, or nothing has come for long.
async fn until_silent(stage: &mut Stage, seen: &Seen) {
    use aws_sdk_sqs::types::QueueAttributeName::{
        ApproximateNumberOfMessages as Waiting, ApproximateNumberOfMessagesNotVisible as InFlight,
    };
    stage::until_over(SILENCE, async || {
        let request = stage.sqs.get_queue_attributes().queue_url(&stage.event_queues.events);
        let answer = request.attribute_names(Waiting).attribute_names(InFlight).send().await.unwrap();
        let left = |name| answer.attributes().and_then(|all| all.get(&name)).is_none_or(|count| count != "0");
        (seen.deliveries.load(Ordering::Relaxed), !(left(Waiting) || left(InFlight)))
    })
    .await;
    seen.is_over.store(true, Ordering::Relaxed);
}
