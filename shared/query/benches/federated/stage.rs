//! The platform with the chain in it: a Postgres on the disk, cold storage on the emulated S3, copies of all files on
//! the local disk, and the engine.

use std::path::PathBuf;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use isotherm_cold_store::ObjectStore;
use isotherm_hot_store::cursor;
use isotherm_lab::benchmark::{cpu_of, cpu_of_tree};
use isotherm_lab::ministack::{Ministack, MinistackOptions, REGION, account};
use isotherm_lab::postgres::{Data, Postgres, StartOptions, TestDatabase};
use isotherm_lab::tools;
use isotherm_query::engine::{AnswerLimits, SandboxConfig};
use isotherm_query::{ColdServer, QueryEngine, SandboxMemory, WaitingSandbox};
use isotherm_types::Dataset;
use sqlx::{Connection as _, PgConnection, PgPool};
use tempfile::TempDir;

use crate::chain::{CHAIN, CHAIN_ID, PARTITION_BLOCKS};
use crate::counting_proxy::CountingProxy;
use crate::legs;
use crate::sandbox_program;

/// As many as the machine has processors; the peers have as many.
pub(crate) const THREADS: u32 = 2;
/// Of DuckDB's buffers, here and at the peers: what the function's 3008 MB leave to them.
pub(crate) const MEMORY_BYTES: u64 = 1_856 << 20;
const SPILL_BYTES: u64 = 1 << 30;
/// How long URLs for the peer live.
const A_RUN: Duration = Duration::from_secs(6 * 60 * 60);
/// Nothing here is written while it is measured, so nothing is lost by being fast at that.
const SETTINGS: [(&str, &str); 7] = [
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "8GB"),
    ("maintenance_work_mem", "256MB"),
    ("work_mem", "64MB"),
];
/// What Postgres would have over a partition that is closed, beside its key and its BRIN.
const INDEXES: [&str; 5] = [
    "CREATE INDEX ON hot.transactions (transaction_hash)",
    "CREATE INDEX ON hot.transactions (from_address, block_number)",
    "CREATE INDEX ON hot.transactions (to_address, block_number)",
    "CREATE INDEX ON hot.logs (address, topic0, block_number)",
    "CREATE INDEX ON hot.logs (transaction_hash)",
];

/// The stage. The server goes before its folder does.
pub(crate) struct Stage {
    server: Postgres,
    database: TestDatabase,
    emulator: Ministack,
    /// Cold storage.
    pub(crate) objects: ObjectStore,
    account: String,
    pub(crate) folder: TempDir,
}

impl Stage {
    /// Without a row.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("isotherm-bench-").tempdir().expect("a folder");
        // The server may run as another user.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("the folder is ours");
        let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let data = Data::Durable(folder.path().join("postgres"));
        let options = StartOptions { data, settings, ..StartOptions::default() };
        let server = Postgres::start(options).await.expect("a server");
        let database = TestDatabase::migrated_on(&server).await.expect("a database");
        let emulator = Ministack::start(MinistackOptions::default()).await.expect("S3");
        let account = account();
        let bucket = format!("cold-{account}");
        let client = client(&emulator.endpoint_url(), &account);
        client.create_bucket().bucket(&bucket).send().await.expect("a bucket");
        let objects = ObjectStore::new(client, bucket);
        let stage = Self { server, database, emulator, objects, account, folder };
        let mut conn = stage.connect().await;
        cursor::ensure(&mut conn, CHAIN_ID, CHAIN, PARTITION_BLOCKS).await.expect("the chain is new");
        stage
    }

    /// After the last row: what a Postgres that holds all of them would have.
    pub(crate) async fn finish(&self) {
        let mut conn = self.connect().await;
        for statement in INDEXES.into_iter().chain(["VACUUM ANALYZE", "CHECKPOINT"]) {
            sqlx::query(statement).execute(&mut conn).await.expect("the statement is carried out");
        }
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.database.url).await.expect("a connection")
    }

    /// The engine over hot and cold.
    pub(crate) async fn engine(&self) -> QueryEngine {
        QueryEngine {
            pool: PgPool::connect(&self.database.url).await.expect("a pool"),
            objects: self.objects.clone(),
            sandbox: SandboxConfig {
                program: sandbox_program::path(),
                httpfs: Some(httpfs()),
                memory: SandboxMemory::around(MEMORY_BYTES),
                threads: THREADS,
                spill_bytes: SPILL_BYTES,
                spill_folder: self.folder.path().to_owned(),
            },
            limits: AnswerLimits { max_rows: 100_000, max_bytes: 32 << 20 },
            cold: ColdServer::keeping(legs::COLD_BYTES),
            waiting: WaitingSandbox::default(),
        }
    }

    /// The same cold storage behind a proxy that counts.
    pub(crate) async fn counted(&self) -> (ObjectStore, CountingProxy) {
        let proxy = CountingProxy::start(format!("127.0.0.1:{}", self.emulator.port())).await;
        let client = client(&proxy.endpoint_url(), &self.account);
        (ObjectStore::new(client, self.objects.bucket()), proxy)
    }

    /// Where the copy of a file is kept.
    pub(crate) fn local_file(&self, dataset: Dataset, first_block: u64) -> PathBuf {
        self.folder.path().join(format!("{dataset}_{first_block}.parquet"))
    }

    /// A URL of the object `key` that outlives the benchmark.
    pub(crate) async fn url(&self, key: &str) -> String {
        self.objects.presign_get(key, A_RUN).await.expect("a URL")
    }

    /// A setting of the server.
    pub(crate) async fn setting(&self, name: &str) -> String {
        let sql = "SELECT current_setting($1)";
        sqlx::query_scalar(sql).bind(name).fetch_one(&mut self.connect().await).await.expect("the setting is known")
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

/// DuckDB's extension for reading from S3.
pub(crate) fn httpfs() -> PathBuf {
    tools::httpfs().expect("an extension").canonicalize().expect("it is there")
}

fn client(endpoint_url: &str, account: &str) -> aws_sdk_s3::Client {
    // The emulator checks the signature of presigned URLs, with this secret for every key.
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint_url)
        .credentials_provider(Credentials::new(account, "test", None, None, "benchmark"))
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}
