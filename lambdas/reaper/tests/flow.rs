//! The reaper against a real Postgres and an AWS emulator: the lost task is put back, its worker stopped, and no step keeps
//! another back.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_ecs::types::{ContainerDefinition, LaunchType};
use aws_sdk_sqs::types::QueueAttributeName;
use isotherm_control::tasks::{self, Claim, Claimant, Created, NewTask};
use isotherm_control::worker_leases::{self, WorkerLease};
use isotherm_control::{jobs, pipeline};
use isotherm_lab::ministack::{self, Ministack, REGION};
use isotherm_lab::postgres::TestDatabase;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::{EventQueues, TaskQueues};
use isotherm_types::TaskId;
use lambda_reaper::{Answer, Reaper, ReaperEvent};
use serde_json::{Value, json};
use sqlx::PgPool;

/// The reaper, and a job with one place.
struct Scene {
    reaper: Reaper,
    task_queue_url: String,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(Ministack::shared().await.unwrap().endpoint_url())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(ministack::account(), "test", None, None, "lab"))
            .load()
            .await;
        let clients = Clients::from_config(config);
        let queue = clients.sqs().create_queue().queue_name("tasks-noop.fifo");
        let queue = queue.attributes(QueueAttributeName::FifoQueue, "true").send().await.unwrap();
        let task_queue_url = queue.queue_url.unwrap();
        let reaper = Reaper {
            pool: PgPool::connect(&database.url).await.unwrap(),
            clients,
            event_queues: EventQueues {
                events: String::new(),
                thresholds: String::new(),
                dead_letters: String::new(),
                alerts: String::new(),
                deliveries: String::new(),
            },
            task_queues: TaskQueues(BTreeMap::from([("noop".to_owned(), task_queue_url.clone())])),
            cluster: "isotherm".to_owned(),
        };
        let mut conn = reaper.pool.acquire().await.unwrap();
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        let text = "{ version: 1, jobs: [{ name: beat, operator: noop, max_concurrency: 1 }] }";
        pipeline::apply(&mut conn, org, &pipeline::parse(text).unwrap(), "test").await.unwrap();
        Self { reaper, task_queue_url }
    }

    async fn task(&self, idempotency_key: &str) -> TaskId {
        let mut conn = self.reaper.pool.acquire().await.unwrap();
        let job_id = jobs::active(&mut conn).await.unwrap()[0].id;
        let idempotency_key = idempotency_key.to_owned();
        let task = NewTask { job_id, idempotency_key, input: json!({}), delay: Duration::ZERO };
        let Created::New(task_id) = tasks::create(&mut conn, &task, "test").await.unwrap() else { panic!("not new") };
        task_id
    }

    /// An ECS task whose worker has claimed `task_id` and has gone silent.
    async fn silent_worker(&self, task_id: TaskId) -> String {
        let ecs = self.reaper.clients.ecs();
        ecs.create_cluster().cluster_name("isotherm").send().await.unwrap();
        let container = ContainerDefinition::builder().name("worker").image("isotherm-noop").build();
        let definition = ecs.register_task_definition().family("isotherm-noop").container_definitions(container);
        definition.send().await.unwrap();
        let started = ecs.run_task().cluster("isotherm").task_definition("isotherm-noop");
        let started = started.launch_type(LaunchType::Fargate).send().await.unwrap();
        let ecs_task_arn = started.tasks()[0].task_arn().unwrap().to_owned();
        let mut conn = self.reaper.pool.acquire().await.unwrap();
        let claimant = Claimant { worker: "w1", operator: "noop", ecs_task_arn: Some(&ecs_task_arn) };
        let claim = tasks::claim(&mut conn, task_id, &claimant).await.unwrap();
        assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
        let silence = "UPDATE control.tasks SET lease_expires_at = now() - interval '1 second' WHERE id = $1";
        sqlx::query(silence).bind(task_id.0).execute(&mut *conn).await.unwrap();
        ecs_task_arn
    }

    async fn ecs_status(&self, ecs_task_arn: &str) -> String {
        let described = self.reaper.clients.ecs().describe_tasks().cluster("isotherm").tasks(ecs_task_arn);
        described.send().await.unwrap().tasks()[0].last_status().unwrap().to_owned()
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.reaper.pool).await.unwrap();
    }

    /// The tasks that workers were woken for since the last look.
    async fn woken(&self) -> Vec<i64> {
        let received = self.reaper.clients.sqs().receive_message().queue_url(&self.task_queue_url);
        let received = received.max_number_of_messages(10).wait_time_seconds(1).send().await.unwrap();
        let task_id = |body: &str| serde_json::from_str::<Value>(body).unwrap()["task_id"].as_i64().unwrap();
        received.messages().iter().map(|message| task_id(message.body().unwrap())).collect()
    }
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// What was logged since the last look.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[tokio::test]
async fn a_lost_task_is_put_back_and_its_worker_is_stopped() {
    let scene = Scene::new().await;
    let ecs_task_arn = scene.silent_worker(scene.task("one").await).await;
    let answer = scene.reaper.handle(ReaperEvent).await.unwrap();
    assert_eq!(answer, Answer { queued: 1, failed: 0, overtaken: 0, faults: 0 });
    assert_eq!(scene.ecs_status(&ecs_task_arn).await, "STOPPED");
    let again = scene.reaper.handle(ReaperEvent).await.unwrap();
    assert_eq!(again, Answer { queued: 0, failed: 0, overtaken: 0, faults: 0 });
}

const REFUSE: &str = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the test refuses %', TG_ARGV[0]; END $$";
/// No worker can be handed out to be stopped.
const REFUSE_STOPS: &str = "CREATE TRIGGER refuse BEFORE UPDATE ON control.workers_to_stop
    FOR EACH ROW EXECUTE FUNCTION refuse('a stop')";
/// The reaper's last statement fails.
const REFUSE_REAPING: &str = "CREATE TRIGGER refuse BEFORE DELETE ON control.worker_leases
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('to reap')";

#[tokio::test]
async fn a_failing_stop_hides_neither_lost_tasks_nor_an_earlier_failure_and_keeps_nobody_asleep() {
    let scene = Scene::new().await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let (lost, waiting) = (scene.task("lost").await, scene.task("waiting").await);
    let ecs_task_arn = scene.silent_worker(lost).await;
    let idle = WorkerLease { worker: "w2", operator: "noop", ecs_task_arn: None, working_on: None };
    worker_leases::announce(&mut scene.reaper.pool.acquire().await.unwrap(), &idle).await.unwrap();
    scene.execute(REFUSE).await;
    scene.execute(REFUSE_STOPS).await;

    let fault = scene.reaper.handle(ReaperEvent).await.unwrap_err();
    assert!(fault.message().contains("the test refuses a stop"), "{fault}");
    let lines = log.take();
    let of_task = format!("task.id={}", lost.0);
    let is_told = lines.lines().any(|line| line.contains("a task was lost by its worker") && line.contains(&of_task));
    assert!(is_told, "{lines}");
    assert_eq!(scene.woken().await, [waiting.0], "the lost task has left its place");

    scene.execute(REFUSE_REAPING).await;
    let fault = scene.reaper.handle(ReaperEvent).await.unwrap_err();
    assert!(fault.message().contains("the test refuses to reap"), "{fault}");
    let lines = log.take();
    assert!(lines.contains("the test refuses a stop"), "the second failure is in the log: {lines}");

    scene.execute("DROP FUNCTION refuse CASCADE").await;
    scene.reaper.handle(ReaperEvent).await.unwrap();
    assert_eq!(scene.ecs_status(&ecs_task_arn).await, "STOPPED", "a later run does what is left");
}
