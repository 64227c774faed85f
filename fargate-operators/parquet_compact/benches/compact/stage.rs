//! A durable Postgres with the platform's tables and a running task in it, and buckets on the emulated S3. The benchmark
//! of backfilling has the same.

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use isotherm_lab::benchmark::{cpu_of, cpu_of_tree};
use isotherm_lab::ministack::{Ministack, MinistackOptions, REGION, account};
use isotherm_lab::postgres::{Data, Postgres, StartOptions, TestDatabase};
use isotherm_platform::Secret;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_types::{Dataset, TaskId};
use sqlx::PgConnection;
use tempfile::TempDir;

/// What is moved.
pub(crate) const DATASETS: [Dataset; 3] = [Dataset::Blocks, Dataset::Transactions, Dataset::Logs];
/// The emulator takes any.
pub(crate) const SECRET_ACCESS_KEY: &str = "test";

/// A job of an operator and a task that is running under fence 1, whose lease outlasts the benchmark.
const RUNNING_TASK: &str = "
    WITH job AS (
        INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets, input_datasets,
            output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds, config_hash)
        SELECT id, 'bench', $1, 'fargate', 'per_partition', false, '{}', '{}', '{}', '{}', 3, 1, 60, sha256('x')
          FROM control.orgs LIMIT 1
        RETURNING id, org_id)
    INSERT INTO control.tasks (org_id, job_id, idempotency_key, always_on, input, state, fence, attempts_left, worker,
        lease_expires_at, started_at)
    SELECT org_id, id, 'bench', false, '{}', 'running', 1, 2, 'bench', now() + interval '1 day', now() FROM job
    RETURNING id";

/// The stage. The server goes before its folder does.
pub(crate) struct Stage {
    server: Postgres,
    pub(crate) database: TestDatabase,
    pub(crate) task_id: TaskId,
    pub(crate) folder: TempDir,
    emulator: Ministack,
}

/// A bucket, and the account that it is in.
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) account: String,
}

impl Stage {
    /// With a task of `operator`.
    pub(crate) async fn new(operator: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("isotherm-bench-").tempdir().expect("a folder");
        // The server may run as another user.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("the folder is ours");
        let settings = [("shared_buffers", "256MB"), ("max_wal_size", "4GB")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let data = Data::Durable(folder.path().join("postgres"));
        let options = StartOptions { data, settings, ..StartOptions::default() };
        let server = Postgres::start(options).await.expect("a server");
        let database = TestDatabase::migrated_on(&server).await.expect("a database");
        let mut conn = database.connect().await.expect("a connection");
        let task_id = sqlx::query_scalar(RUNNING_TASK).bind(operator).fetch_one(&mut conn).await.expect("a task");
        let emulator = Ministack::start(MinistackOptions::default()).await.expect("S3");
        Self { server, database, task_id: TaskId(task_id), folder, emulator }
    }

    /// A connection as operators have.
    pub(crate) async fn connect(&self) -> PgConnection {
        let url = Secret::new(self.database.url.clone());
        let pool = database::connect(&url, PoolOptions::operator("benchmark")).await.expect("a pool");
        pool.acquire().await.expect("a connection").detach()
    }

    pub(crate) async fn execute(&self, statements: &[&'static str]) {
        let mut conn = self.connect().await;
        for statement in statements {
            sqlx::query(*statement).execute(&mut conn).await.expect("the statement is carried out");
        }
    }

    /// Makes nothing cold, in a bucket that is new.
    pub(crate) async fn clear(&self) -> Bucket {
        self.execute(&[
            "DELETE FROM control.outbox",
            "DELETE FROM control.events",
            "DELETE FROM control.dataset_cursors",
            "TRUNCATE cold.datasets, cold.data_partitions, cold.pending_files CASCADE",
            "CHECKPOINT",
        ])
        .await;
        let account = account();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(self.emulator.endpoint_url())
            .credentials_provider(Credentials::new(account.clone(), SECRET_ACCESS_KEY, None, None, "benchmark"))
            .load()
            .await;
        let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let name = format!("cold-{account}");
        let client = aws_sdk_s3::Client::from_conf(config);
        client.create_bucket().bucket(&name).send().await.expect("a bucket");
        Bucket { name, account }
    }

    /// A setting of the server.
    pub(crate) async fn setting(&self, name: &str) -> String {
        let sql = "SELECT current_setting($1)";
        sqlx::query_scalar(sql).bind(name).fetch_one(&mut self.connect().await).await.expect("the setting is known")
    }

    pub(crate) fn endpoint_url(&self) -> String {
        self.emulator.endpoint_url()
    }

    /// Processor time of the database server with all its processes.
    pub(crate) fn postgres_cpu(&self) -> f64 {
        cpu_of_tree(self.server.process().pid().as_raw())
    }

    /// Processor time of S3.
    pub(crate) fn emulator_cpu(&self) -> f64 {
        cpu_of(self.emulator.process().pid().as_raw())
    }
}
