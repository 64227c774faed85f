//! A recorded chain that was backfilled to a bucket, and tasks that check it.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use bytes::Bytes;
use isotherm_chain::{ChainClient, RpcUrl};
use isotherm_cold_store::ObjectStore;
use isotherm_control::tasks::{self, Claim, Claimant, Created, NewTask};
use isotherm_hot_store::cursor;
use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::ministack::{Ministack, REGION, account};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::rpc::Rpc;
use isotherm_lab::tape::{Tape, TapeServer};
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use isotherm_platform::Stop;
use isotherm_platform::operator_main::{OperatorEnd, Progress};
use isotherm_query::boundary;
use isotherm_query::error::QueryError;
use isotherm_query::plan::{Bounds, Need, Needs};
use isotherm_query::scope::Scope;
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset, DatasetGrants, SystemClock, TaskSpec};
use operator_cryo_ingest::Ingest;
use operator_integrity_check::{CheckConfig, Endpoints, Input, IntegrityCheck, IntegrityError};
use serde_json::{Value, json};
use sqlx::PgPool;

pub(crate) const CHAIN_ID: u64 = 31_337;
pub(crate) const SECRET_ACCESS_KEY: &str = "test";
/// Blocks in cold storage, in two files of each dataset.
pub(crate) const COLD_BLOCKS: u64 = 20;
const PARTITION_BLOCKS: u64 = 10;
/// Blocks of the chain; the last two of them are not final.
const BLOCKS: u64 = 23;

pub(crate) struct World {
    pub(crate) chain: TapeServer,
    pub(crate) database: TestDatabase,
    pub(crate) pool: PgPool,
    pub(crate) objects: ObjectStore,
    pub(crate) account: String,
    pub(crate) endpoint_url: String,
    pub(crate) s3: aws_sdk_s3::Client,
}

/// A row of `cold.integrity_checks`, as far as tests look at it.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) object_key: String,
    pub(crate) start_block: Option<i64>,
    pub(crate) end_block: Option<i64>,
    pub(crate) level: String,
    pub(crate) fault: String,
    pub(crate) message: String,
    pub(crate) evidence: Value,
    pub(crate) is_seen_again: bool,
    pub(crate) is_open: bool,
}

/// `start..end`.
pub(crate) fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
}

/// What a node says of a chain with the traffic of `seed` on it.
pub(crate) async fn recorded_chain(seed: u64) -> Tape {
    let chain = Anvil::start(AnvilOptions { chain_id: CHAIN_ID, ..AnvilOptions::deterministic() }).await.unwrap();
    let options = TrafficOptions { transactions_per_block: 4, empty_block_one_in: 5 };
    let mut traffic = Traffic::new(chain.rpc_url(), CHAIN_ID, seed, options);
    while chain.block_number().await.unwrap() + 1 < BLOCKS {
        traffic.mine_block().await.unwrap();
    }
    let (mut tape, rpc) = (Tape::default(), chain.rpc());
    tape.record(rpc, "eth_chainId", json!([])).await.unwrap();
    for tag in ["latest", "safe", "finalized"] {
        tape.record(rpc, "eth_getBlockByNumber", json!([tag, false])).await.unwrap();
    }
    for number in (0..BLOCKS).map(|number| format!("{number:#x}")) {
        for is_whole in [false, true] {
            tape.record(rpc, "eth_getBlockByNumber", json!([number, is_whole])).await.unwrap();
        }
        tape.record(rpc, "eth_getBlockReceipts", json!([number])).await.unwrap();
        tape.record(rpc, "trace_block", json!([number])).await.unwrap();
    }
    tape
}

impl World {
    /// The chain on `tape`, whose first [`COLD_BLOCKS`] blocks are in cold storage.
    pub(crate) async fn create(tape: Tape) -> Self {
        let chain = TapeServer::start(tape).await.unwrap();
        let database = TestDatabase::migrated().await.unwrap();
        let pool = PgPool::connect(&database.url).await.unwrap();
        let server = Ministack::shared().await.unwrap();
        let account = account();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(server.endpoint_url())
            .credentials_provider(Credentials::new(account.clone(), SECRET_ACCESS_KEY, None, None, "test"))
            .load()
            .await;
        let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let s3 = aws_sdk_s3::Client::from_conf(config);
        let bucket = format!("cold-{account}");
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        let objects = ObjectStore::new(s3.clone(), bucket);
        let world = Self { chain, database, pool, objects, account, endpoint_url: server.endpoint_url(), s3 };
        let mut conn = world.pool.acquire().await.unwrap();
        cursor::ensure(&mut conn, ChainId(CHAIN_ID), "made", PARTITION_BLOCKS).await.unwrap();
        drop(conn);
        world.backfill().await;
        world
    }

    async fn backfill(&self) {
        let spec = self.claim("cryo_ingest").await;
        let config: operator_cryo_ingest::IngestConfig = serde_json::from_value(json!({
            "chain_id": CHAIN_ID, "chain": "made", "datasets": Dataset::ALL, "traces": "trace_block",
            "partition_blocks": PARTITION_BLOCKS, "finality": {"kind": "tags"},
        }))
        .unwrap();
        let urls = vec![RpcUrl::parse(self.chain.url()).unwrap()];
        let limits = config.profile.limits();
        let ingest = Ingest {
            pool: self.pool.clone(),
            client: ChainClient::connect(urls, ChainId(CHAIN_ID), limits, Arc::new(SystemClock)).await.unwrap(),
            objects: self.objects.clone(),
            config,
            task: (spec.task_id, spec.fence),
            scratch: std::env::temp_dir(),
            progress: Progress::unheard(),
            stop: Stop::pair().1,
            on_step: Box::new(|_| ()),
        };
        let input = operator_cryo_ingest::Input { blocks: range(0, COLD_BLOCKS), may_begin_inside: false };
        assert!(matches!(ingest.run(input).await.unwrap(), OperatorEnd::Completed(_)));
    }

    /// Makes a task of `operator` and claims it as a worker does.
    pub(crate) async fn claim(&self, operator: &str) -> TaskSpec {
        let job_id: i64 = sqlx::query_scalar(
            "INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets,
                    input_datasets, output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds,
                    config_hash)
             VALUES (1, $1, $2, 'fargate', 'per_update', false, '{}', '{}', '{}', '{}', 3, 1, 60,
                    decode(repeat('00', 32), 'hex'))
             RETURNING id",
        )
        .bind(format!("job-{}", account()))
        .bind(operator)
        .fetch_one(&self.pool)
        .await
        .unwrap();
        let mut conn = self.pool.acquire().await.unwrap();
        let task = NewTask {
            job_id: isotherm_types::JobId(job_id),
            idempotency_key: account(),
            input: json!({}),
            delay: std::time::Duration::ZERO,
        };
        let Created::New(task_id) = tasks::create(&mut conn, &task, "test").await.unwrap() else {
            panic!("the key is new");
        };
        let claimant = Claimant { worker: "test", operator, ecs_task_arn: None };
        let Claim::Claimed(task) = tasks::claim(&mut conn, task_id, &claimant).await.unwrap() else {
            panic!("nobody else claims it");
        };
        task.spec()
    }

    /// A check for the task `spec`, with `changes` to the job's settings.
    pub(crate) async fn prepare(
        &self,
        spec: &TaskSpec,
        changes: &Value,
        endpoints: &[&TapeServer],
    ) -> Result<IntegrityCheck, IntegrityError> {
        let config: CheckConfig = serde_json::from_value(config_json(changes)).unwrap();
        let urls = endpoints.iter().map(|endpoint| RpcUrl::parse(endpoint.url()).unwrap()).collect();
        let endpoints = match &config.anchors {
            Some(anchors) => Some(Endpoints::connect(urls, config.chain_id, anchors).await?),
            None => None,
        };
        Ok(IntegrityCheck {
            pool: self.pool.clone(),
            objects: self.objects.clone(),
            config,
            endpoints,
            task: (spec.task_id, spec.fence),
            scratch: std::env::temp_dir(),
            progress: Progress::unheard(),
            stop: Stop::pair().1,
        })
    }

    /// The output of a whole task that completes.
    pub(crate) async fn check(&self, changes: &Value, endpoints: &[&TapeServer]) -> Value {
        let spec = self.claim("integrity_check").await;
        let check = self.prepare(&spec, changes, endpoints).await.unwrap();
        match check.run(Input::default()).await.unwrap() {
            OperatorEnd::Completed(output) => output,
            OperatorEnd::Released => panic!("nobody stopped it"),
        }
    }

    pub(crate) async fn bytes(&self, key: &str) -> Bytes {
        self.objects.read(key, 64 << 20).await.unwrap().unwrap()
    }

    /// Puts `bytes` where they may not be put.
    pub(crate) async fn overwrite(&self, key: &str, bytes: Vec<u8>) {
        let put = self.s3.put_object().bucket(self.objects.bucket()).key(key).body(bytes.into());
        put.send().await.unwrap();
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.s3.delete_object().bucket(self.objects.bucket()).key(key).send().await.unwrap();
    }

    /// All findings that were ever recorded, in order.
    pub(crate) async fn findings(&self) -> Vec<Row> {
        sqlx::query_as(
            "SELECT object_key, start_block, end_block, level, fault, message, evidence,
                    last_seen_at > found_at AS is_seen_again, resolved_at IS NULL AS is_open
               FROM cold.integrity_checks ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// Bodies of the events that tell of findings, each of which a queue will be told of.
    pub(crate) async fn told(&self) -> Vec<Value> {
        sqlx::query_scalar(
            "SELECT e.body FROM control.events e JOIN control.outbox o ON o.event_id = e.id
              WHERE e.kind = 'integrity_violated' AND o.queue = 'events' ORDER BY e.id",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// Cold files that a query over all blocks of `dataset` reads.
    pub(crate) async fn queried(&self, dataset: Dataset) -> Result<usize, QueryError> {
        let need = Need { columns: vec!["block_number"], bounds: Bounds::ALL, runs: vec![Bounds::ALL], wanted: vec![] };
        let needs = Needs::from([((ChainId(CHAIN_ID), dataset), need)]);
        let mut snapshot = boundary::open_snapshot(&self.pool).await?;
        let scope = Scope::read(&mut snapshot, &DatasetGrants::everything()).await?;
        Ok(boundary::read(&mut snapshot, &scope, &needs).await?.cold.len())
    }
}

/// What an endpoint answers for the header of a block.
pub(crate) async fn header(server: &TapeServer, number: &str) -> Value {
    Rpc::new(server.url().to_owned()).call("eth_getBlockByNumber", json!([number, false])).await.unwrap()
}

/// The job's settings with `changes`.
pub(crate) fn config_json(changes: &Value) -> Value {
    let mut config = json!({"chain_id": CHAIN_ID, "chain": "made"});
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    config
}
