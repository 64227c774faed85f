//! Reapers that die when they have taken tasks back and before they stop the workers: the next one does what is left,
//! and nothing twice.
//!
//! Workers are ECS tasks of the emulator in which nothing runs; each has claimed a task. Those of a group go silent
//! together. A victim runs the reaper for one group after the other, and aborts in the last run; one more group is left
//! to the reaper that follows.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_ecs::types::{ContainerDefinition, LaunchType};
use aws_sdk_sqs::types::QueueAttributeName;
use isotherm_control::tasks::{self, Claim, Claimant, Created, NewTask};
use isotherm_control::{events, jobs, pipeline};
use isotherm_lab::experiment::{Experiment, Victim, victim_order};
use isotherm_lab::ministack::{self, Ministack, REGION};
use isotherm_lab::postgres::TestDatabase;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::{EventQueues, TaskQueues};
use isotherm_types::crash_point::Armed;
use isotherm_types::{CrashPoint, Fence, TaskId};
use lambda_reaper::{Reaper, ReaperEvent};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};

/// A task of the first is tried again, one of the second has failed for good. Leases do not run out by themselves.
const JOBS: &str = "
version: 1
jobs:
  - { name: again, operator: noop, max_attempts: 3, max_concurrency: 1000, heartbeat_timeout_seconds: 3600 }
  - { name: last, operator: noop, max_attempts: 1, max_concurrency: 1000, heartbeat_timeout_seconds: 3600 }
";
const CLUSTER: &str = "isotherm";
const LEASE: Duration = Duration::from_secs(3600);
/// The claim under which every task is at work.
const FIRST: Fence = Fence(1);

/// What must not be the case in the end, each as a query that counts it.
const RULES: [(&str, &str); 7] = [
    ("stuck", "SELECT count(*) FROM control.tasks WHERE state = 'running' AND lease_expires_at < now()"),
    (
        "not_taken_back",
        "SELECT count(*) FROM control.tasks t JOIN control.jobs j ON j.id = t.job_id
          WHERE t.idempotency_key LIKE 'silent-%'
            AND t.state <> CASE j.max_attempts WHEN 1 THEN 'failed' ELSE 'queued' END",
    ),
    ("lively_taken", "SELECT count(*) FROM control.tasks WHERE idempotency_key LIKE 'lively-%' AND state <> 'running'"),
    ("fence_faults", "SELECT count(*) FROM control.tasks WHERE fence <> 1"),
    (
        "not_lost_once",
        "SELECT count(*) FROM control.tasks t
          WHERE t.idempotency_key LIKE 'silent-%'
            AND 1 <> (SELECT count(*) FROM control.audit_log a
                       WHERE a.subject = 'task' AND a.subject_id = t.id AND a.action = 'lost')",
    ),
    (
        "ends_not_told_once",
        "SELECT count(*) FROM control.tasks t
          WHERE t.state = 'failed'
            AND 1 <> (SELECT count(*) FROM control.events e
                       WHERE e.kind = 'task_failed' AND (e.body ->> 'task_id')::bigint = t.id)",
    ),
    ("outbox_left", "SELECT count(*) FROM control.outbox"),
];

/// A worker at work.
struct AtWork {
    task_id: TaskId,
    ecs_task_arn: String,
}

/// A database, an account, and the reaper that follows the victim.
struct Scene {
    conn: PgConnection,
    /// Where everything is, as a reaper is told.
    order: Value,
    reaper: Reaper,
}

async fn clients(endpoint: &str, account: &str) -> Clients {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(account, "secret", None, None, "lab"))
        .load()
        .await;
    Clients::from_config(config)
}

async fn reaper(order: &Value) -> Reaper {
    let text = |key: &str| order[key].as_str().unwrap().to_owned();
    Reaper {
        pool: PgPool::connect(&text("database")).await.unwrap(),
        clients: clients(&text("endpoint"), &text("account")).await,
        event_queues: EventQueues {
            events: text("events"),
            thresholds: text("thresholds"),
            dead_letters: text("dead_letters"),
            alerts: text("alerts"),
            deliveries: text("deliveries"),
        },
        task_queues: TaskQueues(BTreeMap::from([("noop".to_owned(), text("noop"))])),
        cluster: text("cluster"),
    }
}

async fn queue(clients: &Clients, name: &str) -> String {
    let queue = clients.sqs().create_queue().queue_name(name).attributes(QueueAttributeName::FifoQueue, "true");
    queue.send().await.unwrap().queue_url.unwrap()
}

/// Lets the leases of a group run out.
async fn silence(pool: &PgPool, group: &str) {
    let expire = "UPDATE control.tasks SET lease_expires_at = now() - interval '1 second'
                   WHERE idempotency_key LIKE $1 AND state = 'running'";
    sqlx::query(expire).bind(format!("{group}-%")).execute(pool).await.unwrap();
}

impl Scene {
    /// With reapers that look for workers in `cluster`.
    async fn new(cluster: &str) -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let mut conn = database.connect().await.unwrap();
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        pipeline::apply(&mut conn, org, &pipeline::parse(JOBS).unwrap(), "lab").await.unwrap();
        let (endpoint, account) = (Ministack::shared().await.unwrap().endpoint_url(), ministack::account());
        let clients = clients(&endpoint, &account).await;
        clients.ecs().create_cluster().cluster_name(CLUSTER).send().await.unwrap();
        let container = ContainerDefinition::builder().name("worker").image("isotherm-noop").build();
        let worker = clients.ecs().register_task_definition().family("isotherm-noop").container_definitions(container);
        worker.send().await.unwrap();
        let (events, thresholds) = (queue(&clients, "events.fifo").await, queue(&clients, "thresholds.fifo").await);
        let (dead_letters, noop) = (queue(&clients, "dead_letters.fifo").await, queue(&clients, "noop.fifo").await);
        let (alerts, deliveries) = (queue(&clients, "alerts.fifo").await, queue(&clients, "deliveries.fifo").await);
        let order = json!({
            "database": database.url, "endpoint": endpoint, "account": account, "cluster": cluster,
            "events": events, "thresholds": thresholds, "dead_letters": dead_letters, "alerts": alerts,
            "deliveries": deliveries, "noop": noop,
        });
        let reaper = reaper(&order).await;
        Self { conn, order, reaper }
    }

    /// A group of so many workers, by turns at a task of each job.
    async fn workers(&mut self, group: &str, count: usize) -> Vec<AtWork> {
        let active = jobs::active(&mut self.conn).await.unwrap();
        let mut workers = Vec::new();
        for (i, job) in active.iter().cycle().take(count).enumerate() {
            let idempotency_key = format!("{group}-{i}");
            let task = NewTask { job_id: job.id, idempotency_key, input: json!({}), delay: Duration::ZERO };
            let created = tasks::create(&mut self.conn, &task, "lab").await.unwrap();
            let Created::New(task_id) = created else { panic!("{created:?}") };
            let worker = self.reaper.clients.ecs().run_task().cluster(CLUSTER).task_definition("isotherm-noop");
            let started = worker.launch_type(LaunchType::Fargate).send().await.unwrap();
            let ecs_task_arn = started.tasks()[0].task_arn().unwrap().to_owned();
            let claimant = Claimant { worker: &ecs_task_arn, operator: "noop", ecs_task_arn: Some(&ecs_task_arn) };
            let claim = tasks::claim(&mut self.conn, task_id, &claimant).await.unwrap();
            assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
            workers.push(AtWork { task_id, ecs_task_arn });
        }
        workers
    }

    /// How many of the workers ECS shows in another state than `status`.
    async fn not_in(&self, status: &str, workers: &[AtWork]) -> i64 {
        let mut others = 0;
        for worker in workers {
            let asked = self.reaper.clients.ecs().describe_tasks().cluster(CLUSTER).tasks(&worker.ecs_task_arn);
            let answer = asked.send().await.unwrap();
            others += i64::from(answer.tasks()[0].last_status() != Some(status));
        }
        others
    }

    /// Events that the dead-letter queue was told of, as often as it was.
    async fn dead_letters(&self) -> Vec<i64> {
        let (sqs, queue_url) = (self.reaper.clients.sqs(), &self.reaper.event_queues.dead_letters);
        let mut told = Vec::new();
        loop {
            let request = sqs.receive_message().queue_url(queue_url).max_number_of_messages(10).wait_time_seconds(1);
            let messages = request.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                told.sort_unstable();
                return told;
            }
            for message in messages {
                told.push(events::parse_wake(message.body().unwrap()).unwrap().event_id.0);
                let handle = message.receipt_handle().unwrap();
                sqs.delete_message().queue_url(queue_url).receipt_handle(handle).send().await.unwrap();
            }
        }
    }

    async fn count(&mut self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.conn).await.unwrap()
    }
}

/// The reaper that dies. Before each of its runs a group of workers goes silent.
#[tokio::test]
#[ignore = "is started by experiment_reaper_crash_points, and dies"]
async fn victim_reaper() {
    let Some(order) = victim_order() else { return };
    let reaper = reaper(&order).await;
    order["armed"].as_str().unwrap().parse::<Armed>().unwrap().arm();
    for n in 0..order["runs"].as_u64().unwrap() {
        silence(&reaper.pool, &format!("silent-{n}")).await;
        reaper.handle(ReaperEvent).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_reaper_crash_points() {
    let mut experiment = Experiment::begin("reaper_crash_points", &["reaper", "heartbeat", "stop"]);
    let rounds: usize = experiment.scaled(1, 10);
    let hits: &[u64] = experiment.scaled(&[1, 2][..], &[1, 2, 3][..]);
    let cluster = if experiment.lacks("stop") { "elsewhere" } else { CLUSTER };
    let (mut runs, mut aborted, mut given_up, mut not_stopped, mut lively_stopped, mut wrong_letters) =
        (0, 0, 0, 0, 0, 0);
    let mut broken: BTreeMap<&str, i64> = BTreeMap::new();
    for round in 0..rounds {
        for hit in hits {
            let mut scene = Scene::new(cluster).await;
            if runs == 0 {
                experiment.figure_of_postgres(&mut scene.conn).await;
            }
            runs += 1;
            // Two at least, so that there is one of each job.
            let count = 2 + round;
            let mut silent = Vec::new();
            for n in 0..=*hit {
                silent.extend(scene.workers(&format!("silent-{n}"), count).await);
            }
            let lively = scene.workers("lively", count).await;
            silence(&scene.reaper.pool, "lively").await;
            if !experiment.lacks("heartbeat") {
                for worker in &lively {
                    assert!(tasks::heartbeat(&mut scene.conn, worker.task_id, FIRST, LEASE, None).await.unwrap());
                }
            }
            let mut order = scene.order.clone();
            order["armed"] = json!(format!("{}:{hit}", CrashPoint::ReaperLost.as_str()));
            order["runs"] = json!(hit);
            let mut victim = Victim::start("crash_points::victim_reaper", &order).unwrap();
            aborted += i64::from(victim.aborts().await.unwrap());
            silence(&scene.reaper.pool, &format!("silent-{hit}")).await;
            if !experiment.lacks("reaper") {
                // What a run puts into the outbox is published by the next.
                for _ in 0..2 {
                    scene.reaper.handle(ReaperEvent).await.unwrap();
                }
            }
            for (key, query) in RULES {
                *broken.entry(key).or_default() += scene.count(query).await;
            }
            given_up += silent.len();
            not_stopped += scene.not_in("STOPPED", &silent).await;
            lively_stopped += scene.not_in("RUNNING", &lively).await;
            let failed = sqlx::query_scalar("SELECT id FROM control.events WHERE kind = 'task_failed' ORDER BY id");
            let failed: Vec<i64> = failed.fetch_all(&mut scene.conn).await.unwrap();
            wrong_letters += i64::from(scene.dead_letters().await != failed);
        }
    }
    experiment.figure("workers_given_up", given_up);
    experiment.equal("aborted_there", aborted, runs);
    for (key, count) in broken {
        experiment.zero(key, count);
    }
    experiment.zero("runs_with_wrong_dead_letters", wrong_letters);
    experiment.zero("workers_not_stopped", not_stopped);
    experiment.zero("lively_stopped", lively_stopped);
    experiment.finish();
}
