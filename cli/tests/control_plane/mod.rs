//! A control plane without a chain: real Postgres, the emulator's queues and ECS, the real reaper, and worker processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_ecs::types::{ContainerDefinition, LaunchType};
use isotherm_control::tasks::{self, Created, NewTask, TaskDetails};
use isotherm_control::{jobs, pipeline};
use isotherm_lab::fault_proxy::FaultProxy;
use isotherm_lab::ministack::{self, Ministack, REGION};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::process::eventually;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::{EventQueues, TaskQueues};
use isotherm_types::event::{TaskWake, WAKE_VERSION};
use isotherm_types::{Fence, TaskId};
use lambda_reaper::{Answer, Reaper, ReaperEvent};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use tokio::process::{Child, Command};

const CLUSTER: &str = "isotherm";

/// The servers, one account and one job of the noop operator.
pub(crate) struct ControlPlane {
    database: TestDatabase,
    reaper: Reaper,
    task_queue_url: String,
    account: String,
    endpoint_url: String,
    secret_arn: String,
}

/// A worker's process. Dropping it kills it, and its operator with it.
pub(crate) struct WorkerProcess {
    child: Child,
    pid: Pid,
}

impl ControlPlane {
    /// With a job whose `config` and `limits` are given as in a pipeline file.
    pub(crate) async fn start(limits: &str, config: &Value) -> Self {
        Self::behind(None, limits, config).await
    }

    /// Workers reach the database through `proxy`, if there is one.
    pub(crate) async fn behind(proxy: Option<&FaultProxy>, limits: &str, config: &Value) -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let endpoint_url = Ministack::shared().await.unwrap().endpoint_url();
        let account = ministack::account();
        let aws = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(&endpoint_url)
            .credentials_provider(Credentials::new(&account, "secret", None, None, "test"))
            .load()
            .await;
        let clients = Clients::from_config(aws);
        let queue = async |name: &str| {
            let request = clients.sqs().create_queue().queue_name(name).attributes("FifoQueue".into(), "true");
            request.attributes("VisibilityTimeout".into(), "2").send().await.unwrap().queue_url.unwrap()
        };
        let task_queue_url = queue("tasks-noop.fifo").await;
        let event_queues = EventQueues {
            events: queue("events.fifo").await,
            thresholds: queue("thresholds.fifo").await,
            dead_letters: queue("dead_letters.fifo").await,
            alerts: queue("alerts.fifo").await,
            deliveries: queue("deliveries.fifo").await,
        };
        let secret = clients.secrets_manager().create_secret().name("isotherm/database");
        let url = proxy.map_or_else(|| database.url.clone(), |proxy| proxy.through(&database.url));
        let secret = secret.secret_string(json!({ "url": url }).to_string()).send().await.unwrap();
        let reaper = Reaper {
            pool: PgPool::connect(&database.url).await.unwrap(),
            clients,
            event_queues,
            task_queues: TaskQueues(BTreeMap::from([("noop".to_owned(), task_queue_url.clone())])),
            cluster: CLUSTER.to_owned(),
        };
        let secret_arn = secret.arn.unwrap();
        let plane = Self { database, reaper, task_queue_url, account, endpoint_url, secret_arn };
        let job = format!("{{ version: 1, jobs: [{{ name: work, operator: noop, {limits}, config: {config} }}] }}");
        let mut conn = plane.connect().await;
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        pipeline::apply(&mut conn, org, &pipeline::parse(&job).unwrap(), "test").await.unwrap();
        plane
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        self.database.connect().await.unwrap()
    }

    /// A task of the job, without a wake-up.
    pub(crate) async fn task_of(&self, idempotency_key: String) -> TaskId {
        let mut conn = self.connect().await;
        let job_id = jobs::active(&mut conn).await.unwrap()[0].id;
        let task = NewTask { job_id, idempotency_key, input: json!({}), delay: Duration::ZERO };
        let Created::New(task_id) = tasks::create(&mut conn, &task, "test").await.unwrap() else { panic!("not new") };
        task_id
    }

    /// A task of the job, and a wake-up for it.
    pub(crate) async fn task(&self) -> TaskId {
        let task_id = self.task_of("one".to_owned()).await;
        let wake = serde_json::to_string(&TaskWake { version: WAKE_VERSION, task_id, fence: Fence(0) }).unwrap();
        let request = self.reaper.clients.sqs().send_message().queue_url(&self.task_queue_url).message_body(wake);
        request.message_group_id("work").message_deduplication_id("one").send().await.unwrap();
        task_id
    }

    pub(crate) async fn show(&self, task_id: TaskId) -> TaskDetails {
        tasks::show(&mut self.connect().await, task_id).await.unwrap()
    }

    /// How each attempt ended, oldest first.
    pub(crate) async fn outcomes(&self, task_id: TaskId) -> Vec<Option<String>> {
        self.show(task_id).await.attempts.into_iter().map(|attempt| attempt.outcome).collect()
    }

    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.connect().await).await.unwrap()
    }

    /// Runs the reaper once.
    pub(crate) async fn reap(&self) -> Answer {
        self.reaper.handle(ReaperEvent).await.unwrap()
    }

    /// Runs the reaper until it has taken a task back.
    pub(crate) async fn until_reaped(&self) {
        eventually("a lost task", async || self.reap().await.queued == 1).await.unwrap();
    }

    /// How many messages wait in the queue of tasks that failed for good.
    pub(crate) async fn dead_letters(&self) -> usize {
        let request = self.reaper.clients.sqs().receive_message().queue_url(&self.reaper.event_queues.dead_letters);
        request.max_number_of_messages(10).wait_time_seconds(1).send().await.unwrap().messages().len()
    }

    /// An ECS task as `RunTask` makes one; nothing runs in it.
    pub(crate) async fn ecs_task(&self) -> String {
        let ecs = self.reaper.clients.ecs();
        ecs.create_cluster().cluster_name(CLUSTER).send().await.unwrap();
        let container = ContainerDefinition::builder().name("worker").image("isotherm-noop").build();
        let definition = ecs.register_task_definition().family("isotherm-noop").container_definitions(container);
        definition.send().await.unwrap();
        let started = ecs.run_task().cluster(CLUSTER).task_definition("isotherm-noop");
        let started = started.launch_type(LaunchType::Fargate).send().await.unwrap();
        started.tasks()[0].task_arn().unwrap().to_owned()
    }

    /// What ECS says of the task, such as `RUNNING`.
    pub(crate) async fn ecs_status(&self, ecs_task_arn: &str) -> String {
        let described = self.reaper.clients.ecs().describe_tasks().cluster(CLUSTER).tasks(ecs_task_arn);
        described.send().await.unwrap().tasks()[0].last_status().unwrap().to_owned()
    }

    /// Starts the worker's program with `further` variables.
    pub(crate) fn worker(&self, further: &[(&str, &str)]) -> WorkerProcess {
        let programs = PathBuf::from(env!("CARGO_BIN_EXE_isotherm")).parent().unwrap().to_path_buf();
        let queues = &self.reaper.event_queues;
        let child = Command::new(programs.join("operator-worker"))
            .env_clear()
            .env("AWS_ENDPOINT_URL", &self.endpoint_url)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", &self.account)
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("ISOTHERM_OPERATOR", "noop")
            .env("ISOTHERM_OPERATOR_BIN", programs.join("operator-noop"))
            .env("ISOTHERM_QUEUE_TASKS_NOOP_URL", &self.task_queue_url)
            .env("ISOTHERM_QUEUE_EVENTS_URL", &queues.events)
            .env("ISOTHERM_QUEUE_THRESHOLDS_URL", &queues.thresholds)
            .env("ISOTHERM_QUEUE_DEAD_LETTERS_URL", &queues.dead_letters)
            .env("ISOTHERM_QUEUE_ALERTS_URL", &queues.alerts)
            .env("ISOTHERM_QUEUE_DELIVERIES_URL", &queues.deliveries)
            .env("ISOTHERM_SECRET_DATABASE_ARN", &self.secret_arn)
            .env("ISOTHERM_IDLE_SECONDS", "3")
            .envs(further.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the worker's program has been built");
        let pid = Pid::from_raw(child.id().unwrap().cast_signed());
        WorkerProcess { child, pid }
    }
}

impl WorkerProcess {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    /// Its operator, once there is one.
    pub(crate) async fn operator(&self) -> Pid {
        let mut found = None;
        eventually("an operator", async || {
            found = self.child_of();
            found.is_some()
        })
        .await
        .unwrap();
        found.unwrap()
    }

    fn child_of(&self) -> Option<Pid> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid)).ok()?;
        let children =
            threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        children.collect::<String>().split_whitespace().next()?.parse().ok().map(Pid::from_raw)
    }

    pub(crate) async fn end(mut self) -> std::process::ExitStatus {
        self.child.wait().await.unwrap()
    }
}
