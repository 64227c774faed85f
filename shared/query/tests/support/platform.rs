//! A platform of a test's own: Postgres, a bucket on the AWS emulator, and an engine with the real sandbox.

use std::path::PathBuf;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use isotherm_cold_store::ObjectStore;
use isotherm_hot_store::cursor;
use isotherm_lab::ministack::{Ministack, REGION, account};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::tools;
use isotherm_query::engine::{AnswerLimits, SandboxConfig};
use isotherm_query::{ColdServer, QueryEngine, SandboxMemory, WaitingSandbox};
use sqlx::{Connection, PgConnection, PgPool};

use super::made_chain::{CHAIN, CHAIN_NAME};
use super::sandbox_program;

pub(crate) struct Platform {
    pub(crate) database: TestDatabase,
    pub(crate) client: aws_sdk_s3::Client,
    pub(crate) objects: ObjectStore,
    pub(crate) engine: QueryEngine,
    pub(crate) scratch: tempfile::TempDir,
}

impl Platform {
    pub(crate) async fn start() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let server = Ministack::shared().await.unwrap();
        let account = account();
        // The emulator checks the signature of presigned URLs, with this secret for every key.
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(server.endpoint_url())
            .credentials_provider(Credentials::new(account.clone(), "test", None, None, "test"))
            .force_path_style(true)
            .build();
        let client = aws_sdk_s3::Client::from_conf(config);
        let bucket = format!("cold-{account}");
        client.create_bucket().bucket(&bucket).send().await.unwrap();
        let objects = ObjectStore::new(client.clone(), bucket);
        let scratch = tempfile::tempdir().unwrap();
        let engine = QueryEngine {
            pool: PgPool::connect(&database.url).await.unwrap(),
            objects: objects.clone(),
            sandbox: sandbox(scratch.path().to_owned()),
            limits: AnswerLimits { max_rows: 100_000, max_bytes: 16 << 20 },
            cold: ColdServer::keeping(64 << 20),
            waiting: WaitingSandbox::default(),
        };
        let platform = Self { database, client, objects, engine, scratch };
        cursor::ensure(&mut platform.connect().await, CHAIN, CHAIN_NAME, 10).await.unwrap();
        platform
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.database.url).await.unwrap()
    }
}

pub(crate) fn sandbox(spill_folder: PathBuf) -> SandboxConfig {
    let httpfs = tools::tools_folder().unwrap().join("duckdb/extensions/httpfs.duckdb_extension");
    assert!(httpfs.exists(), "{} is missing; run `./isotherm tools`", httpfs.display());
    SandboxConfig {
        program: sandbox_program::path(),
        httpfs: Some(httpfs.canonicalize().unwrap()),
        memory: SandboxMemory::around(512 << 20),
        threads: 2,
        spill_bytes: 64 << 20,
        spill_folder,
    }
}
