//! Messages that can never be handled, among messages that can.
//!
//! The event source mapping is this file's: batches of ten from the queue to `Dispatcher::handle`, those that it does not name as
//! failed are deleted, the others come again after the visibility time-out, and the queue moves them on after five receives.
//! **Source**: AWS Lambda Developer Guide, "Using Lambda with Amazon SQS".
//!
//! Poison has message groups of its own, with a good message behind it: that must not wait for it, nor die with it. The latency is
//! that of all other groups.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use isotherm_control::events;
use isotherm_lab::experiment::{Experiment, milliseconds, quantile};
use isotherm_platform::Fault;
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_platform::lambda::fifo_batch;
use isotherm_platform::queue::{FifoMessage, send_batch};
use lambda_dispatcher::{Answer, Dispatcher};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::stage::{self, DOUBLED, LOST, Stage};

const GROUPS: u64 = 20;
const KINDS: u64 = 5;
/// Many times what a batch takes, as in production; a batch that is handed out twice would count as a receive.
const VISIBILITY_SECONDS: u32 = 5;
/// Source: `terraform/stack.yaml`, `events`.
const MAX_RECEIVES: u32 = 5;
/// Nothing more is to come when nothing has been handled for so long: more than poison takes to die.
const SILENCE: Duration = Duration::from_secs(40);

/// A queue with the messages that were put into it.
struct Run {
    dispatcher: Dispatcher,
    sqs: aws_sdk_sqs::Client,
    queue_url: String,
    dead_letters_url: String,
    /// Bodies whose handler panics.
    panics: Mutex<HashSet<String>>,
    /// Good messages that stand behind poison.
    behind: Mutex<HashSet<String>>,
    sent: Mutex<HashMap<String, Instant>>,
    latencies: Mutex<Vec<Duration>>,
    handled: AtomicI64,
    is_over: AtomicBool,
    /// Whether the mapping heeds which messages of a batch failed.
    item_failures: bool,
}

impl Run {
    async fn mapping(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let messages = stage::receive(&self.sqs, &self.queue_url).await;
            if messages.is_empty() {
                continue;
            }
            let failed = self.invoke(&messages).await;
            for message in &messages {
                let is_failed = failed.contains(message.message_id().unwrap());
                if is_failed || (!self.item_failures && !failed.is_empty()) {
                    continue;
                }
                stage::delete(&self.sqs, &self.queue_url, message).await;
                self.handled.fetch_add(1, Ordering::Relaxed);
                if let Some(sent) = self.sent.lock().unwrap().get(message.body().unwrap()) {
                    self.latencies.lock().unwrap().push(sent.elapsed());
                }
            }
        }
    }

    /// Hands a batch over; returns the ids of the messages that failed.
    async fn invoke(&self, messages: &[Message]) -> HashSet<String> {
        let panics = |body: &str| self.panics.lock().unwrap().contains(body);
        let response = if messages.iter().any(|message| panics(message.body().unwrap())) {
            // The dispatcher has no message that makes it panic: the panic is put around it, inside the batch.
            let handle = async |message: &SqsMessage| -> Result<(), Fault> {
                assert!(!panics(message.body.as_deref().unwrap_or_default()), "a mistake in the handler");
                let mut one = SqsEvent::default();
                one.records.push(message.clone());
                let answer = self.dispatcher.handle(BatchOrSweep::Batch(one)).await?;
                match answer {
                    Answer::Batch(response) if response.batch_item_failures.is_empty() => Ok(()),
                    _ => Err(fifo_batch::HandlerPanicked.into()),
                }
            };
            fifo_batch::handle_each(&batch(messages), handle).await
        } else {
            match self.dispatcher.handle(BatchOrSweep::Batch(batch(messages))).await.unwrap() {
                Answer::Batch(response) => response,
                Answer::Swept { .. } => unreachable!("a batch is answered as one"),
            }
        };
        response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
    }

    async fn send(&self, group: String, body: String, is_timed: bool) {
        if is_timed {
            self.sent.lock().unwrap().insert(body.clone(), Instant::now());
        }
        let deduplication_id = uuid::Uuid::new_v4().simple().to_string();
        let message = FifoMessage { body, group_id: group, deduplication_id };
        assert_eq!(send_batch(&self.sqs, &self.queue_url, &[message]).await.unwrap(), [true]);
    }

    /// Messages in the dead-letter queue.
    async fn dead_count(&self) -> usize {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let asked = self.sqs.get_queue_attributes().queue_url(&self.dead_letters_url).attribute_names(name.clone());
        let answer = asked.send().await.unwrap();
        answer.attributes().and_then(|attributes| attributes.get(&name)?.parse().ok()).unwrap()
    }

    /// Bodies in the dead-letter queue; looking at them removes them.
    async fn dead(&self) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            let messages = stage::receive(&self.sqs, &self.dead_letters_url).await;
            if messages.is_empty() {
                return bodies;
            }
            for message in messages {
                stage::delete(&self.sqs, &self.dead_letters_url, &message).await;
                bodies.push(message.body.unwrap());
            }
        }
    }
}

fn batch(messages: &[Message]) -> SqsEvent {
    let record = |message: &Message| {
        let group = stage::attribute(message, &MessageSystemAttributeName::MessageGroupId);
        json!({ "messageId": message.message_id(), "body": message.body(), "attributes": { "MessageGroupId": group } })
    };
    serde_json::from_value(json!({ "Records": messages.iter().map(record).collect::<Vec<Value>>() })).unwrap()
}

/// Poison number `n`; the fifth kind is a good message whose handler panics.
fn poison(n: u64, real_event: i64) -> String {
    match n % KINDS {
        0 => format!(r#"{{"version":1,"event_id":{n}"#),
        1 => format!("{n} {}", "x".repeat((1 << 20) - 32)),
        2 => format!(r#"{{"version":9,"event_id":{n}}}"#),
        3 => stage::wake(1_000_000_000 + i64::try_from(n).unwrap()),
        _ => stage::wake(real_event),
    }
}

/// Sends `total` messages, one in a hundred of them poison if `poisoned`; returns the run and its poison.
async fn run(
    stage: &mut Stage,
    name: &str,
    total: u64,
    poisoned: bool,
    guards: (bool, bool),
) -> (Run, BTreeSet<String>) {
    let (redrives, item_failures) = guards;
    let dead_letters_url = stage::queue(&stage.sqs, &format!("{name}-dead.fifo"), &[]).await;
    let mut attributes = vec![(QueueAttributeName::VisibilityTimeout, VISIBILITY_SECONDS.to_string())];
    if redrives {
        let arn = format!("arn:aws:sqs:us-east-1:{}:{name}-dead.fifo", stage.account);
        let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES });
        attributes.push((QueueAttributeName::RedrivePolicy, policy.to_string()));
    }
    let queue_url = stage::queue(&stage.sqs, &format!("{name}.fifo"), &attributes).await;
    let run = Run {
        dispatcher: stage.dispatcher(&stage.endpoint).await,
        sqs: stage.sqs.clone(),
        queue_url,
        dead_letters_url,
        panics: Mutex::default(),
        behind: Mutex::default(),
        sent: Mutex::default(),
        latencies: Mutex::default(),
        handled: AtomicI64::new(0),
        is_over: AtomicBool::new(false),
        item_failures,
    };
    let (_, _, bad) = tokio::join!(run.mapping(), run.mapping(), send_all(&mut stage.conn, &run, total, poisoned));
    (run, bad)
}

/// Sends the messages, waits until the good ones are handled, and ends the run; returns the poison.
async fn send_all(conn: &mut PgConnection, run: &Run, total: u64, poisoned: bool) -> BTreeSet<String> {
    let (mut bad, mut good) = (BTreeSet::new(), 0);
    // One in a hundred, but in a short run each kind once at least.
    let rarity = 100.min(total / KINDS);
    for n in 0..total {
        let event_id = events::record(conn, &stage::committed(n % GROUPS, n / GROUPS)).await.unwrap().0;
        if !(poisoned && n % rarity == 0) {
            run.send(format!("chain-{}", n % GROUPS), stage::wake(event_id), true).await;
            good += 1;
            continue;
        }
        let body = poison(n / rarity, event_id);
        if n / rarity % KINDS == KINDS - 1 {
            run.panics.lock().unwrap().insert(body.clone());
        }
        bad.insert(body.clone());
        run.send(format!("poison-{n}"), body, false).await;
        // One that is good stands behind it.
        let behind = events::record(conn, &stage::committed(1000 + n, 0)).await.unwrap().0;
        run.behind.lock().unwrap().insert(stage::wake(behind));
        run.send(format!("poison-{n}"), stage::wake(behind), false).await;
        good += 1;
    }
    let all = (good, bad.len());
    stage::until_over(SILENCE, async || {
        let count = (run.handled.load(Ordering::Relaxed), run.dead_count().await);
        (count, count == all)
    })
    .await;
    run.is_over.store(true, Ordering::Relaxed);
    bad
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_poison() {
    let mut experiment = Experiment::begin("poison", &["redrive", "item_failures"]);
    let total: u64 = experiment.scaled(300, 10_000);
    let guards = (!experiment.lacks("redrive"), !experiment.lacks("item_failures"));
    let mut stage = Stage::new().await;
    experiment.figure_of_postgres(&mut stage.conn).await;
    // One worker: what is measured is the handling of messages, not the launching.
    stage.run("UPDATE control.jobs SET max_concurrency = 1").await;
    let (clean, _) = run(&mut stage, "clean", total, false, guards).await;
    // The second run begins as the first did: without tasks that wait.
    stage.run("UPDATE control.tasks SET state = 'cancelled', finished_at = now()").await;
    let (poisoned, bad) = run(&mut stage, "poisoned", total, true, guards).await;

    let dead = poisoned.dead().await;
    let is_behind = |body: &String| poisoned.behind.lock().unwrap().contains(body);
    let behind = dead.iter().filter(|body| is_behind(body)).count();
    let innocent = dead.iter().filter(|body| !bad.contains(*body) && !is_behind(body)).count();
    let found = dead.iter().filter(|body| bad.contains(*body)).count();
    experiment.figure("messages", total);
    experiment.figure("poison", bad.len());
    experiment.equal("dead_poison", count(found), count(bad.len()));
    experiment.zero("dead_innocents", count(innocent));
    experiment.zero("dead_behind_poison", count(behind));
    experiment.zero("dead_without_poison", count(clean.dead().await.len()));
    // The events of poison are real where it is the handler that panics, and they have no effect.
    let without_effect = stage.count(LOST).await;
    experiment.equal("without_effect", without_effect, count(bad.len()));
    let doubled = stage.count(DOUBLED).await;
    experiment.zero("doubled", doubled);
    let p95 = |run: &Run| milliseconds(quantile(&run.latencies.lock().unwrap(), 0.95));
    experiment.figure("clean_p95_ms", format!("{:.1}", p95(&clean)));
    experiment.figure("poisoned_p95_ms", format!("{:.1}", p95(&poisoned)));
    experiment.at_most("p95_ratio", p95(&poisoned) / p95(&clean), 1.2);
    experiment.finish();
}

fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap()
}
