//! A recorded chain behind a server that counts what it is asked, a database, a bucket, and tasks that backfill.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use isotherm_chain::{Answer, ChainClient, RpcUrl, TraceMethod, VerifiedBlock, columns};
use isotherm_cold_store::catalog::{self, DataPartition, pending};
use isotherm_cold_store::{CurrentManifest, ObjectStore, RootVerdict, RootVerdicts};
use isotherm_control::tasks::{self, Claim, Claimant, Created, NewTask};
use isotherm_hot_store::{BlockBatch, cursor};
use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::ministack::{Ministack, REGION, account};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::rpc::Rpc;
use isotherm_lab::tape::{Tape, TapeServer};
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use isotherm_platform::Stop;
use isotherm_platform::operator_main::{OperatorEnd, Progress};
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset, Fence, JobId, SystemClock, TaskId, TaskSpec};
use operator_cryo_ingest::{Ingest, IngestConfig, IngestError, Input, Step};
use serde_json::{Value, json};
use sqlx::PgPool;

pub(crate) const CHAIN_ID: u64 = 31_337;
pub(crate) const PARTITION_BLOCKS: u64 = 10;
/// Blocks of the chain; the last two of them are not final.
pub(crate) const BLOCKS: u64 = 33;
pub(crate) const SECRET_ACCESS_KEY: &str = "test";

pub(crate) struct World {
    pub(crate) chain: TapeServer,
    pub(crate) database: TestDatabase,
    pub(crate) pool: PgPool,
    pub(crate) objects: ObjectStore,
    pub(crate) account: String,
    pub(crate) endpoint_url: String,
    pub(crate) s3: aws_sdk_s3::Client,
    chain_id: ChainId,
    job_id: JobId,
}

/// `start..end`.
pub(crate) fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
}

/// What a node says of a chain with the traffic of `seed` on it.
pub(crate) async fn recorded_chain(seed: u64) -> Tape {
    recorded_blocks(seed, BLOCKS).await
}

/// The same of a chain of so many blocks; the last two of them are not final.
pub(crate) async fn recorded_blocks(seed: u64, block_count: u64) -> Tape {
    let chain = Anvil::start(AnvilOptions { chain_id: CHAIN_ID, ..AnvilOptions::deterministic() }).await.unwrap();
    let options = TrafficOptions { transactions_per_block: 6, empty_block_one_in: 5 };
    let mut traffic = Traffic::new(chain.rpc_url(), CHAIN_ID, seed, options);
    while chain.block_number().await.unwrap() + 1 < block_count {
        traffic.mine_block().await.unwrap();
    }
    let (mut tape, rpc) = (Tape::default(), chain.rpc());
    tape.record(rpc, "eth_chainId", json!([])).await.unwrap();
    for tag in ["latest", "safe", "finalized"] {
        tape.record(rpc, "eth_getBlockByNumber", json!([tag, false])).await.unwrap();
    }
    for number in (0..block_count).map(|number| format!("{number:#x}")) {
        for is_whole in [false, true] {
            tape.record(rpc, "eth_getBlockByNumber", json!([number, is_whole])).await.unwrap();
        }
        tape.record(rpc, "eth_getBlockReceipts", json!([number])).await.unwrap();
        tape.record(rpc, "trace_block", json!([number])).await.unwrap();
    }
    tape
}

impl World {
    /// An empty database and an empty bucket before the chain on `tape`.
    pub(crate) async fn create(tape: Tape) -> Self {
        Self::create_of(ChainId(CHAIN_ID), tape).await
    }

    /// The same before a chain of another id.
    pub(crate) async fn create_of(chain_id: ChainId, tape: Tape) -> Self {
        Self::create_on(TestDatabase::migrated().await.unwrap(), chain_id, tape).await
    }

    /// The same with a database of the caller's, which is empty.
    pub(crate) async fn create_on(database: TestDatabase, chain_id: ChainId, tape: Tape) -> Self {
        let chain = TapeServer::start(tape).await.unwrap();
        let pool = PgPool::connect(&database.url).await.unwrap();
        let job_id: i64 = sqlx::query_scalar(
            "INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets,
                    input_datasets, output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds,
                    config_hash)
             VALUES (1, 'backfill', 'cryo_ingest', 'fargate', 'per_partition', false, '{}', '{}', '{}', '{}', 3,
                    10000, 60, decode(repeat('00', 32), 'hex'))
             RETURNING id",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
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
        let endpoint_url = server.endpoint_url();
        Self { chain, database, pool, objects, account, endpoint_url, s3, chain_id, job_id: JobId(job_id) }
    }

    /// Makes a task and claims it as a worker does.
    pub(crate) async fn claim(&self) -> TaskSpec {
        let mut conn = self.pool.acquire().await.unwrap();
        let task = NewTask {
            job_id: self.job_id,
            idempotency_key: account(),
            input: json!({}),
            delay: std::time::Duration::ZERO,
        };
        let Created::New(task_id) = tasks::create(&mut conn, &task, "test").await.unwrap() else {
            panic!("the key is new");
        };
        let claimant = Claimant { worker: "test", operator: "cryo_ingest", ecs_task_arn: None };
        let Claim::Claimed(task) = tasks::claim(&mut conn, task_id, &claimant).await.unwrap() else {
            panic!("nobody else claims it");
        };
        task.spec()
    }

    /// What the endpoint answers.
    pub(crate) async fn said(&self, method: &str, params: &Value) -> Value {
        Rpc::new(self.chain.url().to_owned()).call(method, params.clone()).await.unwrap()
    }

    pub(crate) async fn client(&self) -> ChainClient {
        let urls = vec![RpcUrl::parse(self.chain.url()).unwrap()];
        let limits = config(&json!({})).profile.limits();
        ChainClient::connect(urls, self.chain_id, limits, Arc::new(SystemClock)).await.unwrap()
    }

    /// A backfill that stops itself after the `nth` time (from 1) that it has done `step`.
    pub(crate) async fn backfill(
        &self,
        task: (TaskId, Fence),
        changes: &Value,
        stop_at: Option<(Step, usize)>,
    ) -> Ingest {
        let (stop_now, stop) = Stop::pair();
        let times = AtomicUsize::new(0);
        let on_step = move |done: Step| {
            let Some((step, nth)) = stop_at else { return };
            if done == step && times.fetch_add(1, Ordering::Relaxed) + 1 == nth {
                stop_now.request();
            }
        };
        Ingest {
            pool: self.pool.clone(),
            client: self.client().await,
            objects: self.objects.clone(),
            config: config(changes),
            task,
            scratch: std::env::temp_dir(),
            progress: Progress::unheard(),
            stop,
            on_step: Box::new(on_step),
        }
    }

    /// Runs a whole task.
    pub(crate) async fn ingest(&self, blocks: BlockRange, changes: &Value) -> Result<OperatorEnd, IngestError> {
        let spec = self.claim().await;
        let input = Input { blocks, may_begin_inside: false };
        self.backfill((spec.task_id, spec.fence), changes, None).await.run(input).await
    }

    /// Follows the chain from the start of `blocks` to their end, the last of which is final then.
    pub(crate) async fn follow(&self, blocks: BlockRange) {
        self.follow_in(blocks, PARTITION_BLOCKS).await;
    }

    /// The same in partitions of another size.
    pub(crate) async fn follow_in(&self, blocks: BlockRange, partition_blocks: u64) {
        let (client, chain_id) = (self.client().await, self.chain_id);
        let mut conn = self.pool.acquire().await.unwrap();
        cursor::ensure(&mut conn, chain_id, "made", partition_blocks).await.unwrap();
        let fetched = fetch(&client, blocks).await;
        let (first, last) = (fetched[0].block(), fetched[fetched.len() - 1].block());
        let batch = BlockBatch {
            blocks,
            parent_hash: first.header.parent_hash,
            tip: last.reference,
            rows: columns::encode(chain_id, &fetched).unwrap(),
            served_at: last.served_at,
        };
        isotherm_hot_store::append(&mut conn, chain_id, &batch).await.unwrap();
        cursor::set_finalized(&mut conn, chain_id, last.reference).await.unwrap();
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let listed = self.s3.list_objects_v2().bucket(self.objects.bucket()).send().await.unwrap();
        listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    pub(crate) async fn partitions(&self, dataset: Dataset) -> Vec<DataPartition> {
        let mut conn = self.pool.acquire().await.unwrap();
        catalog::partitions(&mut conn, self.chain_id, dataset).await.unwrap()
    }

    /// Blocks of the files that wait.
    pub(crate) async fn waiting(&self, dataset: Dataset) -> Vec<BlockRange> {
        let mut conn = self.pool.acquire().await.unwrap();
        let files = pending::list(&mut conn, self.chain_id, dataset).await.unwrap();
        files.iter().map(|file| file.partition.blocks).collect()
    }

    /// Numbers of the blocks that were asked for whole, in order of asking.
    pub(crate) fn fetched(&self) -> Vec<u64> {
        let calls = self.chain.calls().into_iter();
        let whole = calls.filter(|(method, params)| method == "eth_getBlockByNumber" && params[1] == true);
        whole.map(|(_, params)| quantity(params[0].as_str().unwrap())).collect()
    }

    /// Checks that each dataset is cold in exactly `expected`, that its manifests and its objects say so, that
    /// everybody was told once of each file, that nothing waits, and that the blocks were verified.
    pub(crate) async fn check(&self, expected: &[BlockRange]) {
        for dataset in Dataset::ALL {
            let partitions = self.partitions(dataset).await;
            let found: Vec<BlockRange> = partitions.iter().map(|partition| partition.blocks).collect();
            assert_eq!(found, expected, "{dataset}");
            assert_eq!(self.waiting(dataset).await, [], "{dataset}");
            let versions: Vec<i64> = (1..=i64::try_from(expected.len()).unwrap()).collect();
            assert_eq!(self.told(dataset).await, versions, "{dataset}");

            let mut conn = self.pool.acquire().await.unwrap();
            let head = catalog::head(&mut conn, self.chain_id, dataset).await.unwrap();
            let current = CurrentManifest::load(&self.objects, head.as_ref()).await.unwrap();
            let files = current.manifest().map(|manifest| manifest.files.clone()).unwrap_or_default();
            assert_eq!(files.len(), partitions.len());
            for (file, partition) in files.iter().zip(&partitions) {
                assert_eq!((&file.key, file.sha256), (&partition.object_key, partition.sha256));
                assert_eq!(file.roots, RootVerdicts::all(&RootVerdict::Ok), "{}", file.key);
                self.objects.verify(&file.key, &file.digest()).await.unwrap();
            }
        }
    }

    /// Versions in the events that tell of committed partitions of `dataset`, in order.
    async fn told(&self, dataset: Dataset) -> Vec<i64> {
        sqlx::query_scalar(
            "SELECT (body ->> 'manifest_version')::bigint FROM control.events
              WHERE kind = 'partition_committed' AND body ->> 'dataset' = $1 ORDER BY id",
        )
        .bind(dataset.as_str())
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }
}

/// The job's settings with `changes`.
pub(crate) fn config(changes: &Value) -> IngestConfig {
    serde_json::from_value(config_json(changes)).unwrap()
}

pub(crate) fn config_json(changes: &Value) -> Value {
    let mut config = json!({"chain_id": CHAIN_ID, "chain": "made", "datasets": Dataset::ALL, "traces": "trace_block",
        "partition_blocks": PARTITION_BLOCKS, "finality": {"kind": "tags"}, "batch_bytes": 50_000});
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    config
}

/// All of `blocks`, with their traces.
pub(crate) async fn fetch(client: &ChainClient, blocks: BlockRange) -> Vec<VerifiedBlock> {
    let mut fetched = Vec::new();
    let mut start = blocks.start();
    while let Ok(rest) = BlockRange::new(start, blocks.end()) {
        let Answer::Present(run) = client.fetch(rest).await else { panic!("{rest} is on the tape") };
        let traced = client.trace(run, TraceMethod::TraceBlock).await;
        let Answer::Present(run) = traced else { panic!("so are its traces") };
        start = run[run.len() - 1].block().reference.number.next();
        fetched.extend(run);
    }
    fetched
}

fn quantity(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}
