//! A durable Postgres with the platform's tables and a task of the follower in it, and an ear for the blocks that are
//! stored.

use std::time::{Duration, Instant};

use isotherm_lab::benchmark::cpu_of_tree;
use isotherm_lab::postgres::{Data, Postgres, StartOptions, TestDatabase};
use isotherm_platform::Secret;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_types::TaskId;
use sqlx::PgConnection;
use sqlx::postgres::PgListener;
use tempfile::TempDir;

/// Every block, once its transaction is committed: Postgres delivers a notification when it commits.
const TELL_STORED: &str = "
    CREATE FUNCTION tell_stored() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('stored', NEW.block_number::text);
        RETURN NULL;
    END $$;
    CREATE TRIGGER tell_stored AFTER INSERT ON hot.block_arrivals FOR EACH ROW EXECUTE FUNCTION tell_stored()";

/// A job and a task that is running under fence 1, whose lease outlasts the benchmark.
const RUNNING_TASK: &str = "
    WITH job AS (
        INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets, input_datasets,
            output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds, config_hash)
        SELECT id, 'follow-bench', 'block_follower', 'fargate', 'per_update', true, '{}', '{}', '{}', '{}', 3, 1, 30,
            sha256('x') FROM control.orgs LIMIT 1
        RETURNING id, org_id)
    INSERT INTO control.tasks (org_id, job_id, idempotency_key, always_on, input, state, fence, attempts_left, worker,
        lease_expires_at, started_at)
    SELECT org_id, id, 'always-on-1', true, '{}', 'running', 1, 2, 'bench', now() + interval '1 day', now() FROM job
    RETURNING id";

/// The stage. The server goes before its folder does.
pub(crate) struct Stage {
    server: Postgres,
    pub(crate) database: TestDatabase,
    pub(crate) task_id: TaskId,
    pub(crate) folder: TempDir,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("isotherm-ingest-").tempdir().expect("a folder");
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
        sqlx::raw_sql(TELL_STORED).execute(&mut conn).await.expect("a trigger");
        let task_id = sqlx::query_scalar(RUNNING_TASK).fetch_one(&mut conn).await.expect("a task");
        Self { server, database, task_id: TaskId(task_id), folder }
    }

    /// A connection as the follower has: the legs differ in what they send alone.
    pub(crate) async fn connect(&self) -> PgConnection {
        let url = Secret::new(self.database.url.clone());
        let pool = database::connect(&url, PoolOptions::operator("benchmark")).await.expect("a pool");
        pool.acquire().await.expect("a connection").detach()
    }

    /// Removes every row, keeps tables, partitions and indexes, and lets the server settle.
    pub(crate) async fn clear(&self) {
        let mut conn = self.connect().await;
        let statements = [
            "DELETE FROM control.outbox",
            "DELETE FROM control.events",
            "DELETE FROM control.dataset_cursors",
            "TRUNCATE hot.block_arrivals, hot.cursors, hot.blocks, hot.transactions, hot.logs, hot.traces CASCADE",
            "VACUUM ANALYZE",
            "CHECKPOINT",
        ];
        for statement in statements {
            sqlx::query(statement).execute(&mut conn).await.expect("the tables are cleared");
        }
    }

    /// Begins to listen; to be called before the first block is stored.
    pub(crate) async fn listen(&self) -> Stored {
        let mut listener = PgListener::connect(&self.database.url).await.expect("a connection");
        listener.listen("stored").await.expect("a subscription");
        Stored(listener)
    }

    /// Rows of `hot.<dataset>`.
    pub(crate) async fn count(&self, dataset: &str) -> u64 {
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM hot.{dataset}"));
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.connect().await).await.expect("a count");
        count.unsigned_abs()
    }

    /// A setting of the server.
    pub(crate) async fn setting(&self, name: &str) -> String {
        let sql = "SELECT current_setting($1)";
        sqlx::query_scalar(sql).bind(name).fetch_one(&mut self.connect().await).await.expect("the setting is known")
    }

    /// Processor time of the server with all its processes.
    pub(crate) fn postgres_cpu(&self) -> f64 {
        cpu_of_tree(self.server.process().pid().as_raw())
    }
}

/// Hears which blocks are stored.
pub(crate) struct Stored(PgListener);

impl Stored {
    /// The next block that was stored, and when that was heard; `None` if nothing was stored for `patience`.
    pub(crate) async fn next(&mut self, patience: Duration) -> Option<(u64, Instant)> {
        let heard = tokio::time::timeout(patience, self.0.recv()).await.ok()?.expect("the connection lives");
        Some((heard.payload().parse().expect("a block number"), Instant::now()))
    }
}
