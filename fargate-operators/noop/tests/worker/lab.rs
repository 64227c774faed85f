//! One Postgres database, one AWS account and one job for each test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use isotherm_control::tasks::{self, Created, NewTask, TaskDetails};
use isotherm_lab::ministack::{self, Ministack};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::process::eventually;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::stop::StopSender;
use isotherm_platform::worker::{Worker, WorkerSettings};
use isotherm_platform::{Fault, Secret, Stop};
use isotherm_types::event::{TaskWake, WAKE_VERSION};
use isotherm_types::{Fence, JobId, TaskId};
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::task::JoinHandle;

/// The servers of one test, and its queues.
pub(crate) struct Lab {
    database: TestDatabase,
    config: aws_config::SdkConfig,
    clients: Clients,
    task_queue_url: String,
    event_queues: EventQueues,
}

/// How the test's job differs from a plain one.
pub(crate) struct JobOptions {
    pub(crate) always_on: bool,
    pub(crate) max_attempts: i32,
    pub(crate) heartbeat_timeout_seconds: f64,
    pub(crate) run_timeout_seconds: Option<f64>,
    pub(crate) stall_timeout_seconds: Option<f64>,
    pub(crate) secrets: Value,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            always_on: false,
            max_attempts: 1,
            heartbeat_timeout_seconds: 10.0,
            run_timeout_seconds: None,
            stall_timeout_seconds: None,
            secrets: json!({}),
        }
    }
}

impl Lab {
    pub(crate) async fn start() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let emulator = Ministack::shared().await.unwrap();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(ministack::REGION))
            .endpoint_url(emulator.endpoint_url())
            .credentials_provider(Credentials::new(ministack::account(), "secret", None, None, "test"))
            .load()
            .await;
        let clients = Clients::from_config(config.clone());
        let queue = async |name: &str| {
            let request = clients.sqs().create_queue().queue_name(name);
            let answer = request.attributes("FifoQueue".into(), "true").attributes("VisibilityTimeout".into(), "1");
            answer.send().await.unwrap().queue_url.unwrap()
        };
        let task_queue_url = queue("tasks-noop.fifo").await;
        let event_queues = EventQueues {
            events: queue("events.fifo").await,
            thresholds: queue("thresholds.fifo").await,
            dead_letters: queue("dead_letters.fifo").await,
            alerts: queue("alerts.fifo").await,
            deliveries: queue("deliveries.fifo").await,
        };
        Self { database, config, clients, task_queue_url, event_queues }
    }

    /// A queued noop task with a job of its own.
    pub(crate) async fn task(&self, config: Value, options: JobOptions) -> TaskId {
        let mut conn = self.connection().await;
        let (job_id,): (i64,) = sqlx::query_as(
            "INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets,
                 input_datasets, output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds,
                 run_timeout_seconds, stall_timeout_seconds, config_hash)
             SELECT id, $1, 'noop', 'fargate', 'bulk', $2, $3, $4, '{}', '{}', $5, 1, $6, $7, $8,
                 decode(repeat('00', 32), 'hex')
               FROM control.orgs RETURNING id",
        )
        .bind(format!("job-{}", uuid::Uuid::new_v4().simple()))
        .bind(options.always_on)
        .bind(config)
        .bind(options.secrets)
        .bind(options.max_attempts)
        .bind(options.heartbeat_timeout_seconds)
        .bind(options.run_timeout_seconds)
        .bind(options.stall_timeout_seconds)
        .fetch_one(&mut conn)
        .await
        .unwrap();
        let task = NewTask {
            job_id: JobId(job_id),
            idempotency_key: "only".to_owned(),
            input: json!({}),
            delay: Duration::ZERO,
        };
        match tasks::create(&mut conn, &task, "test").await.unwrap() {
            Created::New(task_id) => task_id,
            other => panic!("the task was not new: {other:?}"),
        }
    }

    pub(crate) async fn wake(&self, task_id: TaskId) {
        let wake = TaskWake { version: WAKE_VERSION, task_id, fence: Fence(0) };
        self.send_to_worker(&serde_json::to_string(&wake).unwrap()).await;
    }

    pub(crate) async fn send_to_worker(&self, body: &str) {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let request = self.clients.sqs().send_message().queue_url(&self.task_queue_url).message_body(body);
        request.message_group_id(&unique).message_deduplication_id(&unique).send().await.unwrap();
    }

    /// A secret with this text; returns its name.
    pub(crate) async fn secret(&self, text: &str) -> String {
        let name = format!("isotherm/test/{}", uuid::Uuid::new_v4().simple());
        let client = aws_sdk_secretsmanager::Client::new(&self.config);
        client.create_secret().name(&name).secret_string(text).send().await.unwrap();
        name
    }

    pub(crate) async fn connection(&self) -> PgConnection {
        self.database.connect().await.unwrap()
    }

    /// A pool as the platform's programs open it.
    pub(crate) async fn pool(&self, options: PoolOptions) -> sqlx::PgPool {
        database::connect(&Secret::new(self.database.url.clone()), options).await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&mut self.connection().await).await.unwrap();
    }

    pub(crate) async fn row(&self, task_id: TaskId) -> TaskDetails {
        tasks::show(&mut self.connection().await, task_id).await.unwrap()
    }

    /// Waits until the task runs under `fence` and its operator has said so by a first progress line.
    pub(crate) async fn until_running(&self, task_id: TaskId, fence: Fence) {
        eventually("a running task with an operator", async || {
            let row = self.row(task_id).await.task;
            row.fence == fence && row.worker.is_some() && !operators().is_empty()
        })
        .await
        .unwrap();
    }

    /// Messages on the worker's queue, received or not.
    pub(crate) async fn messages_left(&self) -> u32 {
        use aws_sdk_sqs::types::QueueAttributeName::{
            ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible,
        };
        let names = [ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible];
        let request = self.clients.sqs().get_queue_attributes().queue_url(&self.task_queue_url);
        let answer = request.set_attribute_names(Some(names.to_vec())).send().await.unwrap();
        let attributes = answer.attributes().unwrap();
        names.iter().map(|name| attributes[name].parse::<u32>().unwrap()).sum()
    }

    pub(crate) async fn threshold_messages(&self) -> Vec<Value> {
        let request = self.clients.sqs().receive_message().queue_url(&self.event_queues.thresholds);
        let answer = request.max_number_of_messages(10).wait_time_seconds(1).send().await.unwrap();
        answer.messages().iter().map(|message| serde_json::from_str(message.body().unwrap()).unwrap()).collect()
    }

    pub(crate) fn worker(&self) -> WorkerBuilder<'_> {
        let settings = WorkerSettings {
            operator: "noop".to_owned(),
            operator_binary: PathBuf::from(env!("CARGO_BIN_EXE_operator-noop")),
            task_queue_url: self.task_queue_url.clone(),
            event_queues: self.event_queues.clone(),
            database_secret_arn: "not used".to_owned(),
            idle: Duration::from_secs(30),
            name: format!("noop-{}", uuid::Uuid::new_v4().simple()),
            ecs_task_arn: None,
            ecs_metadata_url: None,
            first_task: None,
            passed_on: BTreeMap::from(
                [("AWS_REGION", "us-east-1"), ("ISOTHERM_BUCKET_COLD", "cold"), ("RUST_LOG", "info")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned())),
            ),
        };
        WorkerBuilder { lab: self, settings }
    }
}

pub(crate) struct WorkerBuilder<'a> {
    lab: &'a Lab,
    settings: WorkerSettings,
}

/// A worker in a task of this process.
pub(crate) struct RunningWorker {
    ended: JoinHandle<Result<(), Fault>>,
    stop: StopSender,
}

impl WorkerBuilder<'_> {
    pub(crate) fn idle_seconds(mut self, seconds: u64) -> Self {
        self.settings.idle = Duration::from_secs(seconds);
        self
    }

    pub(crate) fn first_task(mut self, task_id: TaskId) -> Self {
        self.settings.first_task = Some(task_id);
        self
    }

    /// Another program as the operator.
    pub(crate) fn program(mut self, path: &str) -> Self {
        self.settings.operator_binary = PathBuf::from(path);
        self
    }

    pub(crate) async fn run_to_its_end(self) -> Result<(), Fault> {
        self.spawn().end().await
    }

    pub(crate) fn spawn(self) -> RunningWorker {
        let (stop, listener) = Stop::pair();
        let url = Secret::new(self.lab.database.url.clone());
        let clients = Clients::from_config(self.lab.config.clone());
        let ended = tokio::spawn(async move {
            let options = PoolOptions { max_connections: 3, ..PoolOptions::operator("isotherm-worker") };
            let pool = database::connect(&url, options).await?;
            Worker::new(self.settings, pool, clients, listener).run().await
        });
        RunningWorker { ended, stop }
    }
}

impl RunningWorker {
    /// Waits until it has nothing to do.
    pub(crate) async fn end(self) -> Result<(), Fault> {
        self.ended.await.unwrap()
    }

    /// Tells it to stop, as SIGTERM does, and does not wait.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.request();
    }

    /// Tells it to stop, as SIGTERM does.
    pub(crate) async fn stop(self) -> Result<(), Fault> {
        self.stop.request();
        self.ended.await.unwrap()
    }

    /// `kill -9` of the operator.
    pub(crate) async fn kill_operator(&self) {
        self.signal_operator("-KILL").await;
    }

    /// `kill` of the one operator with `signal`, such as `-STOP`.
    pub(crate) async fn signal_operator(&self, signal: &str) {
        let operators = operators();
        assert_eq!(operators.len(), 1);
        let killed = tokio::process::Command::new("kill").args([signal, &operators[0].to_string()]).status().await;
        assert!(killed.unwrap().success());
    }
}

/// Processes of the noop program that this test has started and that are alive.
pub(crate) fn operators() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let children = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<u32> =
        children.flat_map(|text| text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect();
    pids.into_iter()
        .filter(|pid| {
            let program = std::fs::read_link(format!("/proc/{pid}/exe"));
            program.is_ok_and(|program| program.ends_with("operator-noop"))
        })
        .collect()
}

/// Whether a worker's claim has been refused: it ends with a rollback, and nothing follows it.
pub(crate) async fn was_refused(conn: &mut PgConnection) -> bool {
    let (refused,): (bool,) = sqlx::query_as(
        "SELECT count(*) > 0 FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'isotherm-worker' AND query ILIKE 'ROLLBACK%'",
    )
    .fetch_one(conn)
    .await
    .unwrap();
    refused
}

/// Locks the tasks until the connection is dropped; returns how much of the lease is left, in seconds.
pub(crate) async fn lock_tasks(conn: &mut PgConnection) -> f64 {
    sqlx::raw_sql("BEGIN; LOCK TABLE control.tasks IN ACCESS EXCLUSIVE MODE").execute(&mut *conn).await.unwrap();
    let (left,): (f64,) = sqlx::query_as(
        "SELECT extract(epoch FROM lease_expires_at - clock_timestamp())::double precision FROM control.tasks",
    )
    .fetch_one(conn)
    .await
    .unwrap();
    left
}
