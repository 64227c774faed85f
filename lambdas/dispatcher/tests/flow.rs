//! The dispatcher against a real Postgres and an AWS emulator: from a firing to a wake-up and a launched worker.

use std::collections::BTreeMap;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_ecs::types::ContainerDefinition;
use aws_sdk_sqs::types::QueueAttributeName;
use isotherm_control::triggers::{self, Fired};
use isotherm_control::{events, jobs, pipeline};
use isotherm_lab::ministack::{Ministack, REGION};
use isotherm_lab::postgres::TestDatabase;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::{EventQueues, Fargate, TaskQueues};
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_platform::metrics::recorded;
use isotherm_platform::telemetry::logged;
use isotherm_types::event::TaskWake;
use isotherm_types::{
    B256, BlockNumber, BlockRange, BlockRef, ChainId, Dataset, EventBody, EventId, JobId, OrgId, TaskId,
};
use lambda_dispatcher::{Answer, Dispatcher};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};

const PIPELINE: &str = "
version: 1
jobs: [{ name: beat, operator: noop }]
triggers: [{ name: minute, job: beat, cron: { schedule: rate(1 minute) } }]
";

async fn queue(clients: &Clients, name: &str) -> String {
    let queue = clients.sqs().create_queue().queue_name(name).attributes(QueueAttributeName::FifoQueue, "true");
    queue.send().await.unwrap().queue_url.unwrap()
}

async fn dispatcher() -> Dispatcher {
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
    let noop = queue(&clients, "isotherm-tasks_noop.fifo").await;
    clients.ecs().create_cluster().cluster_name("isotherm").send().await.unwrap();
    let container = ContainerDefinition::builder().name("worker").image("isotherm-noop").build();
    let task = clients.ecs().register_task_definition().family("isotherm-noop").container_definitions(container);
    task.send().await.unwrap();
    Dispatcher {
        pool: PgPool::connect(&database.url).await.unwrap(),
        clients,
        event_queues,
        task_queues: TaskQueues(BTreeMap::from([("noop".to_owned(), noop)])),
        fargate: Fargate {
            cluster: "isotherm".to_owned(),
            task_definition_prefix: "isotherm-".to_owned(),
            subnets: Vec::new(),
            security_groups: Vec::new(),
        },
    }
}

/// An event that both queues are told of.
async fn invalidate(dispatcher: &Dispatcher) {
    let body = EventBody::DatasetInvalidated {
        chain_id: ChainId(7),
        datasets: vec![Dataset::Logs],
        blocks: BlockRange::single(BlockNumber(5)),
        common_ancestor: BlockRef { number: BlockNumber(4), hash: B256::repeat_byte(4) },
    };
    events::record(&mut dispatcher.pool.acquire().await.unwrap(), &body).await.unwrap();
}

/// Queues of the rows that are left in the outbox.
async fn left(dispatcher: &Dispatcher) -> Vec<String> {
    sqlx::query_scalar("SELECT queue FROM control.outbox").fetch_all(&dispatcher.pool).await.unwrap()
}

async fn fire(dispatcher: &Dispatcher) -> EventId {
    let mut conn = dispatcher.pool.acquire().await.unwrap();
    let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    pipeline::apply(&mut conn, org, &pipeline::parse(PIPELINE).unwrap(), "test").await.unwrap();
    fire_at(&mut conn, "tick-1").await
}

async fn fire_again(dispatcher: &Dispatcher) -> EventId {
    fire_at(&mut dispatcher.pool.acquire().await.unwrap(), "tick-2").await
}

async fn fire_at(conn: &mut PgConnection, tick: &str) -> EventId {
    let trigger = triggers::active(&mut *conn, "cron").await.unwrap().remove(0);
    match triggers::fire(conn, &trigger, tick, &json!({})).await.unwrap() {
        Fired::Now(fired) => fired.event_id,
        Fired::Already => panic!("fired before"),
    }
}

fn batch(messages: &[(&str, &str, String)]) -> BatchOrSweep {
    let record = |(id, group, body): &(&str, &str, String)| json!({ "messageId": id, "body": body, "attributes": { "MessageGroupId": group } });
    serde_json::from_value(json!({ "Records": messages.iter().map(record).collect::<Vec<Value>>() })).unwrap()
}

fn wake(event_id: EventId) -> String {
    json!({ "version": 1, "event_id": event_id }).to_string()
}

#[tokio::test]
async fn a_firing_becomes_one_task_one_wake_up_and_one_worker_and_poison_stays_in_its_queue() {
    let dispatcher = dispatcher().await;
    let event_id = fire(&dispatcher).await;
    let messages = [
        ("good", "a", wake(event_id)),
        ("no-json", "b", "{".to_owned()),
        ("behind", "b", wake(event_id)),
        ("unknown", "c", wake(EventId(999_999))),
        ("newer", "d", r#"{"version":9,"event_id":1}"#.to_owned()),
        ("again", "a", wake(event_id)),
    ];
    let Answer::Batch(response) = dispatcher.handle(batch(&messages)).await.unwrap() else { panic!("no batch") };
    let failed: Vec<String> = response.batch_item_failures.into_iter().map(|item| item.item_identifier).collect();
    assert_eq!(failed, ["no-json", "unknown", "newer"]);

    let noop = dispatcher.task_queues.url("noop").unwrap();
    let received = dispatcher.clients.sqs().receive_message().queue_url(noop).max_number_of_messages(10);
    let received = received.send().await.unwrap().messages.unwrap_or_default();
    let woken: Vec<TaskWake> =
        received.iter().map(|message| serde_json::from_str(message.body().unwrap()).unwrap()).collect();
    assert_eq!(woken.len(), 1, "{woken:?}");
    assert_eq!(woken[0].task_id, TaskId(1));

    let stored: (String, i32, Option<String>) =
        sqlx::query_as("SELECT idempotency_key, launches_sent, ecs_task_arn FROM control.tasks")
            .fetch_one(&dispatcher.pool)
            .await
            .unwrap();
    assert_eq!((stored.0.as_str(), stored.1), ("trigger-1-tick-1", 1));
    let tasks = dispatcher.clients.ecs().list_tasks().cluster("isotherm").send().await.unwrap();
    assert_eq!(tasks.task_arns(), [stored.2.expect("the launch was noted")]);

    let Answer::Swept { wakes, launches, published } = dispatcher.handle(BatchOrSweep::Sweep).await.unwrap() else {
        panic!("no sweep");
    };
    assert_eq!((wakes, launches, published), (0, 0, 1), "everything was sent; only the outbox was left");
}

async fn failures(dispatcher: &Dispatcher, messages: &[(&str, &str, String)]) -> Vec<String> {
    let Answer::Batch(response) = dispatcher.handle(batch(messages)).await.unwrap() else { panic!("no batch") };
    response.batch_item_failures.into_iter().map(|item| item.item_identifier).collect()
}

/// Tasks, and transactions that made them.
async fn made(dispatcher: &Dispatcher) -> (i64, i64) {
    let made = sqlx::query_as("SELECT count(*), count(DISTINCT created_at) FROM control.tasks");
    made.fetch_one(&dispatcher.pool).await.unwrap()
}

#[tokio::test]
async fn a_batch_is_routed_in_one_transaction_but_for_what_cannot_be_routed() {
    let dispatcher = dispatcher().await;
    let (first, second) = (fire(&dispatcher).await, fire_again(&dispatcher).await);
    let of_no_job = EventBody::TriggerFired {
        org_id: OrgId(1),
        job_id: JobId(999_999),
        trigger_id: None,
        fire_key: "once".to_owned(),
        input: json!({}),
    };
    let of_no_job = events::record(&mut dispatcher.pool.acquire().await.unwrap(), &of_no_job).await.unwrap();
    let messages = [("1", "a", wake(first)), ("2", "b", wake(of_no_job)), ("3", "c", wake(second))];
    assert_eq!(failures(&dispatcher, &messages).await, ["2"]);
    assert_eq!(made(&dispatcher).await, (2, 1));
}

#[tokio::test]
async fn a_batch_that_cannot_be_routed_at_once_is_routed_event_by_event() {
    let dispatcher = dispatcher().await;
    let (first, second) = (fire(&dispatcher).await, fire_again(&dispatcher).await);
    let refuses_many = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                        BEGIN IF (SELECT count(*) FROM made) > 1 THEN RAISE 'refused'; END IF; RETURN NULL; END $$;
                        CREATE TRIGGER refuse AFTER INSERT ON control.tasks
                        REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION refuse();";
    sqlx::raw_sql(refuses_many).execute(&dispatcher.pool).await.unwrap();
    assert!(failures(&dispatcher, &[("1", "a", wake(first)), ("2", "b", wake(second))]).await.is_empty());
    assert_eq!(made(&dispatcher).await, (2, 2));
}

#[tokio::test]
async fn what_cannot_be_sent_is_sent_by_the_next_sweep() {
    let mut dispatcher = dispatcher().await;
    let queues = std::mem::replace(&mut dispatcher.task_queues, TaskQueues(BTreeMap::new()));
    "nowhere".clone_into(&mut dispatcher.fargate.task_definition_prefix);
    let event_id = fire(&dispatcher).await;
    let Answer::Batch(response) = dispatcher.handle(batch(&[("good", "a", wake(event_id))])).await.unwrap() else {
        panic!("no batch");
    };
    assert!(response.batch_item_failures.is_empty(), "the event was handled; its task is in Postgres");
    dispatcher.task_queues = queues;
    "isotherm-".clone_into(&mut dispatcher.fargate.task_definition_prefix);
    let Answer::Swept { wakes, launches, .. } = dispatcher.handle(BatchOrSweep::Sweep).await.unwrap() else {
        panic!("no sweep");
    };
    assert_eq!((wakes, launches), (1, 0), "what ECS refused is not asked for again at once");
    sqlx::query("UPDATE control.tasks SET launched_at = launched_at - interval '130 seconds'")
        .execute(&dispatcher.pool)
        .await
        .unwrap();
    let Answer::Swept { wakes, launches, .. } = dispatcher.handle(BatchOrSweep::Sweep).await.unwrap() else {
        panic!("no sweep");
    };
    assert_eq!((wakes, launches), (0, 1));
    let arn: (Option<String>,) =
        sqlx::query_as("SELECT ecs_task_arn FROM control.tasks").fetch_one(&dispatcher.pool).await.unwrap();
    assert!(arn.0.is_some(), "the second launch reached ECS");
}

#[tokio::test]
async fn however_much_waits_for_a_queue_that_fails_the_others_are_told() {
    let mut dispatcher = dispatcher().await;
    let mut conn = dispatcher.pool.acquire().await.unwrap();
    let org_id = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    // More than a batch, and older than what the others are told.
    for chain in 0..25 {
        let recorded = EventBody::AlertsRecorded { org_id, chain_id: Some(ChainId(chain)) };
        events::record(&mut conn, &recorded).await.unwrap();
    }
    drop(conn);
    invalidate(&dispatcher).await;
    let deliveries = dispatcher.event_queues.deliveries.clone();
    dispatcher.event_queues.deliveries = format!("{deliveries}-gone");
    let fault = dispatcher.handle(BatchOrSweep::Sweep).await.unwrap_err();
    assert_eq!(fault.code(), "queue.unavailable");
    assert_eq!(left(&dispatcher).await, ["deliveries"; 25]);

    dispatcher.event_queues.deliveries = deliveries;
    dispatcher.handle(BatchOrSweep::Sweep).await.unwrap();
    assert!(left(&dispatcher).await.is_empty());
}

#[tokio::test]
async fn a_queue_that_fails_keeps_neither_the_other_nor_the_sweep_back() {
    let mut dispatcher = dispatcher().await;
    let event_id = fire(&dispatcher).await;
    let mut conn = dispatcher.pool.acquire().await.unwrap();
    isotherm_control::dispatch::handle_event(&mut conn, event_id).await.unwrap();
    sqlx::query("DELETE FROM control.outbox").execute(&mut *conn).await.unwrap();
    drop(conn);
    invalidate(&dispatcher).await;
    let events = dispatcher.event_queues.events.clone();
    dispatcher.event_queues.events = format!("{events}-gone");
    let fault = dispatcher.handle(BatchOrSweep::Sweep).await.unwrap_err();
    assert_eq!(fault.code(), "queue.unavailable");
    assert_eq!(left(&dispatcher).await, ["events"], "the other queue was told, once");
    let told: (i32, i32) = sqlx::query_as("SELECT wakes_sent, launches_sent FROM control.tasks")
        .fetch_one(&dispatcher.pool)
        .await
        .unwrap();
    assert_eq!(told, (1, 1));

    dispatcher.event_queues.events = events;
    dispatcher.handle(BatchOrSweep::Sweep).await.unwrap();
    assert!(left(&dispatcher).await.is_empty());
}

async fn send(dispatcher: &Dispatcher, queue_url: &str, count: usize) {
    for i in 0..count {
        let message = dispatcher.clients.sqs().send_message().queue_url(queue_url).message_body("x");
        message.message_group_id("g").message_deduplication_id(i.to_string()).send().await.unwrap();
    }
}

/// Value of `metric` for the queue at this address, or of one without dimensions; `None` if it was not told.
fn told(lines: &[Value], metric: &str, queue_url: Option<&str>) -> Option<f64> {
    let queue = queue_url.and_then(|url| url.rsplit('/').next());
    let mut of_metric = lines.iter().filter(|line| line["queue"].as_str() == queue);
    of_metric.find_map(|line| line[metric].as_f64())
}

#[tokio::test]
async fn a_sweep_tells_what_waits_in_the_outbox_in_queues_and_of_tasks() {
    let mut dispatcher = dispatcher().await;
    let own = uuid::Uuid::new_v4().simple().to_string();
    let name = |queue: &str| format!("{own}-{queue}.fifo");
    let dead = queue(&dispatcher.clients, &name("events-dlq")).await;
    let sqs = dispatcher.clients.sqs();
    let arn = sqs.get_queue_attributes().queue_url(&dead).attribute_names(QueueAttributeName::QueueArn);
    let arn = arn.send().await.unwrap().attributes.unwrap().remove(&QueueAttributeName::QueueArn).unwrap();
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 5 }).to_string();
    let events = sqs.create_queue().queue_name(name("events")).attributes(QueueAttributeName::FifoQueue, "true");
    let events = events.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap().queue_url.unwrap();
    dispatcher.event_queues = EventQueues {
        events: events.clone(),
        thresholds: queue(&dispatcher.clients, &name("thresholds")).await,
        dead_letters: queue(&dispatcher.clients, &name("dead-letters")).await,
        alerts: queue(&dispatcher.clients, &name("alerts")).await,
        deliveries: format!("{events}-gone"),
    };
    let noop = queue(&dispatcher.clients, &name("tasks-noop")).await;
    dispatcher.task_queues = TaskQueues(BTreeMap::from([("noop".to_owned(), noop.clone())]));
    send(&dispatcher, &events, 2).await;
    send(&dispatcher, &dead, 1).await;
    send(&dispatcher, &dispatcher.event_queues.dead_letters, 3).await;

    let event_id = fire(&dispatcher).await;
    let mut conn = dispatcher.pool.acquire().await.unwrap();
    isotherm_control::dispatch::handle_event(&mut conn, event_id).await.unwrap();
    let overdue = "UPDATE control.tasks SET not_before = now() - interval '90 seconds'";
    sqlx::query(overdue).execute(&mut *conn).await.unwrap();
    // Nobody can be told of it: its queue is gone.
    let org_id = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    events::record(&mut conn, &EventBody::AlertsRecorded { org_id, chain_id: None }).await.unwrap();
    drop(conn);

    let (swept, lines) = recorded(dispatcher.handle(BatchOrSweep::Sweep)).await;
    assert_eq!(swept.unwrap_err().code(), "queue.unavailable");
    let depth = |url: &str| told(&lines, "queue_depth", Some(url));
    assert_eq!(depth(&events), Some(3.0), "two, and the firing that the sweep has published: {lines:?}");
    assert_eq!((depth(&dispatcher.event_queues.thresholds), depth(&noop)), (Some(0.0), Some(1.0)), "{lines:?}");
    assert_eq!(depth(&dispatcher.event_queues.deliveries), None, "what did not answer is not empty");
    let dead_letters = |url: &str| told(&lines, "dlq_depth", Some(url));
    assert_eq!((dead_letters(&dead), dead_letters(&dispatcher.event_queues.dead_letters)), (Some(1.0), Some(3.0)));
    assert_eq!(told(&lines, "outbox_pending", None), Some(1.0), "{lines:?}");
    let waited = told(&lines, "queue_age_seconds", Some(&noop)).unwrap();
    assert!((90.0..150.0).contains(&waited), "{waited}");
}

#[tokio::test]
async fn a_batch_tells_how_old_it_is_and_the_log_names_each_task_with_its_trace() {
    let dispatcher = dispatcher().await;
    let event_id = fire(&dispatcher).await;
    let record = json!({
        "messageId": "one", "body": wake(event_id), "eventSourceARN": "arn:aws:sqs:us-east-1:1:isotherm-events.fifo",
        "attributes": { "MessageGroupId": "a", "SentTimestamp": "1700000000000" },
    });
    let batch: BatchOrSweep = serde_json::from_value(json!({ "Records": [record] })).unwrap();
    let ((answer, metrics), log) = logged(recorded(dispatcher.handle(batch))).await;
    answer.unwrap();
    let queue = Some("https://sqs/1/isotherm-events.fifo");
    assert!(told(&metrics, "queue_age_seconds", queue).is_some_and(|age| age > 1e6), "{metrics:?}");

    let line = log.iter().find(|line| line["message"] == "a task was made").expect("each task has a line");
    let (task_id, trace_id): (i64, String) =
        sqlx::query_as("SELECT id, trace_id FROM control.tasks").fetch_one(&dispatcher.pool).await.unwrap();
    assert_eq!((&line["task.id"], &line["trace.id"]), (&json!(task_id), &json!(trace_id)));
    let event = events::read(&mut dispatcher.pool.acquire().await.unwrap(), event_id).await.unwrap();
    assert_eq!(event.trace_id.map(String::from), Some(trace_id), "that of its event");
}

#[tokio::test]
async fn a_sweep_that_fails_has_published_the_outbox() {
    let dispatcher = dispatcher().await;
    invalidate(&dispatcher).await;
    sqlx::query("ALTER TABLE control.jobs RENAME TO jobs_gone").execute(&dispatcher.pool).await.unwrap();
    let fault = dispatcher.handle(BatchOrSweep::Sweep).await.unwrap_err();
    assert_eq!(fault.code(), "control.database");
    assert!(left(&dispatcher).await.is_empty());
}
