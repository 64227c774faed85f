//! A database with the platform's tables, a job, and short ways to make and look at tasks.

use std::time::Duration;

use isotherm_control::jobs;
use isotherm_control::pipeline::{self, Applied};
use isotherm_control::tasks::{self, Claim, Claimant, ClaimedTask, Created, NewTask, TaskDetails};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::{JobId, TaskId};
use sqlx::PgConnection;

pub(crate) struct Stage {
    pub(crate) database: TestDatabase,
    pub(crate) conn: PgConnection,
}

pub(crate) const JOBS: &str = "
version: 1
jobs:
  - { name: work, operator: noop, max_attempts: 2, max_concurrency: 2, heartbeat_timeout_seconds: 20, config: { steps: 1 } }
  - { name: source, operator: block_follower, always_on: true }
  - { name: watch, operator: noop, strategy: bulk, input_datasets: [143/logs] }
triggers:
  - { name: beat, job: work, cron: { schedule: rate(1 minute) }, input: { from: file } }
  - { name: full, job: work, threshold: { chain_id: 143, measure: finalized_blocks, every: 100 } }
";

pub(crate) const REOPEN_ATTEMPTS: &str =
    "UPDATE control.task_attempts SET outcome = NULL, finished_at = NULL WHERE task_id = $1";

impl Stage {
    /// A fresh database with [`JOBS`] applied.
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let conn = database.connect().await.unwrap();
        let mut stage = Self { database, conn };
        stage.apply(JOBS).await;
        stage
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        self.database.connect().await.unwrap()
    }

    pub(crate) async fn apply(&mut self, text: &str) -> Applied {
        let org = jobs::org(&mut self.conn, jobs::DEFAULT_ORG).await.unwrap();
        let pipeline = pipeline::parse(text).unwrap_or_else(|error| panic!("{error}"));
        pipeline::apply(&mut self.conn, org, &pipeline, "test").await.unwrap()
    }

    pub(crate) async fn job(&mut self, name: &str) -> JobId {
        let row: (i64,) = sqlx::query_as("SELECT id FROM control.jobs WHERE name = $1")
            .bind(name)
            .fetch_one(&mut self.conn)
            .await
            .unwrap();
        JobId(row.0)
    }

    pub(crate) async fn create(&mut self, job: &str, key: &str) -> Created {
        let task = NewTask {
            job_id: self.job(job).await,
            idempotency_key: key.to_owned(),
            input: serde_json::json!({}),
            delay: Duration::ZERO,
        };
        tasks::create(&mut self.conn, &task, "test").await.unwrap()
    }

    pub(crate) async fn new_task(&mut self, job: &str, key: &str) -> TaskId {
        match self.create(job, key).await {
            Created::New(task_id) => task_id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn claim(&mut self, task_id: TaskId, worker: &str) -> Claim {
        let operator = if self.show(task_id).await.task.job == "source" { "block_follower" } else { "noop" };
        let claimant = Claimant { worker, operator, ecs_task_arn: None };
        tasks::claim(&mut self.conn, task_id, &claimant).await.unwrap()
    }

    pub(crate) async fn claimed(&mut self, task_id: TaskId, worker: &str) -> ClaimedTask {
        match self.claim(task_id, worker).await {
            Claim::Claimed(task) => *task,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn show(&mut self, task_id: TaskId) -> TaskDetails {
        tasks::show(&mut self.conn, task_id).await.unwrap()
    }

    pub(crate) async fn run(&mut self, statement: &'static str, task_id: TaskId) {
        sqlx::query(statement).bind(task_id.0).execute(&mut self.conn).await.unwrap();
    }

    /// Ends the lease, as if the worker had been silent for long.
    pub(crate) async fn expire(&mut self, task_id: TaskId) {
        self.run("UPDATE control.tasks SET lease_expires_at = now() - interval '1 second' WHERE id = $1", task_id)
            .await;
    }

    /// Makes the rows of earlier attempts look open, so that only the task's row tells a stale worker from its successor.
    pub(crate) async fn reopen_attempts(&mut self, task_id: TaskId) {
        self.run(REOPEN_ATTEMPTS, task_id).await;
    }

    /// Ends the back-off.
    pub(crate) async fn make_due(&mut self, task_id: TaskId) {
        self.run("UPDATE control.tasks SET not_before = now() WHERE id = $1", task_id).await;
    }

    pub(crate) async fn count(&mut self, query: &'static str) -> i64 {
        let row: (i64,) = sqlx::query_as(query).fetch_one(&mut self.conn).await.unwrap();
        row.0
    }
}

/// Polls until some connection to this database waits for a lock of another; other tests use the same server.
pub(crate) async fn until_somebody_waits(conn: &mut PgConnection) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waiting: (i64,) = sqlx::query_as(waiting).fetch_one(&mut *conn).await.unwrap();
        if waiting.0 > 0 {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "nobody waits for a lock");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
