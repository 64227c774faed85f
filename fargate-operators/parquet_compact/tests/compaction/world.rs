//! A made-up chain in hot storage, a bucket, and tasks that compact it.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_s3::operation::get_object::GetObjectError;
use bytes::Bytes;
use futures::TryStreamExt;
use isotherm_cold_store::catalog::{self, DataPartition};
use isotherm_cold_store::{
    ChainName, CommittedManifest, CurrentManifest, Listing, ObjectStore, Partition, PartitionBlocks, PartitionWriter,
    RootVerdict, RootVerdicts, StagedFile,
};
use isotherm_control::tasks::{self, Claim, Claimant, Created, NewTask};
use isotherm_hot_store::rows::Order;
use isotherm_hot_store::{BlockBatch, cursor};
use isotherm_lab::ministack::{Ministack, REGION, account};
use isotherm_lab::postgres::TestDatabase;
use isotherm_platform::Stop;
use isotherm_platform::operator_main::{OperatorEnd, Progress};
use isotherm_types::{BlockNumber, BlockRange, BlockRef, Dataset, Fence, JobId, TaskId, TaskSpec};
use operator_parquet_compact::{CompactError, Compactor, Step};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sqlx::{Connection as _, PgConnection, PgPool};

use crate::rows::{MadeChain, range};

/// What is stored of every chain.
pub(crate) const DATASETS: [Dataset; 3] = [Dataset::Blocks, Dataset::Transactions, Dataset::Logs];
pub(crate) const PARTITION_BLOCKS: u64 = 10;
pub(crate) const SECRET_ACCESS_KEY: &str = "test";
/// Blocks that are appended at a time.
const APPENDED_BLOCKS: u64 = 1_000;

pub(crate) struct World {
    pub(crate) chain: MadeChain,
    pub(crate) database: TestDatabase,
    pub(crate) pool: PgPool,
    pub(crate) objects: ObjectStore,
    pub(crate) account: String,
    pub(crate) endpoint_url: String,
    pub(crate) s3: aws_sdk_s3::Client,
    job_id: JobId,
}

impl World {
    /// A chain whose hot rows are those of `blocks`, final up to `finalized`.
    pub(crate) async fn create(blocks: BlockRange, finalized: u64) -> Self {
        Self::create_of(MadeChain::new(31_337), PARTITION_BLOCKS, blocks, finalized).await
    }

    /// The same of any made-up chain, in partitions of any size.
    pub(crate) async fn create_of(chain: MadeChain, partition_blocks: u64, blocks: BlockRange, finalized: u64) -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let pool = PgPool::connect(&database.url).await.unwrap();
        let mut conn = pool.acquire().await.unwrap();
        cursor::ensure(&mut conn, chain.chain_id, "made", partition_blocks).await.unwrap();
        let (mut start, end) = (blocks.start().0, blocks.end().0);
        while start < end {
            let next = end.min(start + APPENDED_BLOCKS);
            append(&mut conn, chain, range(start, next)).await;
            start = next;
        }
        let finalized = reference(chain, finalized);
        cursor::set_finalized(&mut conn, chain.chain_id, finalized).await.unwrap();
        let job_id: i64 = sqlx::query_scalar(
            "INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets,
                    input_datasets, output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds, config_hash)
             VALUES (1, 'compact', 'parquet_compact', 'fargate', 'per_partition', false, '{}', '{}', '{}', '{}', 3,
                    10000, 60, decode(repeat('00', 32), 'hex'))
             RETURNING id",
        )
        .fetch_one(&mut *conn)
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
        Self { chain, database, pool, objects, account, endpoint_url, s3, job_id: JobId(job_id) }
    }

    pub(crate) async fn connect(&self) -> sqlx::pool::PoolConnection<sqlx::Postgres> {
        self.pool.acquire().await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    /// Makes a task and claims it as a worker does.
    pub(crate) async fn claim(&self) -> TaskSpec {
        let mut conn = self.connect().await;
        let task = NewTask {
            job_id: self.job_id,
            idempotency_key: account(),
            input: serde_json::json!({}),
            delay: std::time::Duration::ZERO,
        };
        let Created::New(task_id) = tasks::create(&mut conn, &task, "test").await.unwrap() else {
            panic!("the key is new");
        };
        let claimant = Claimant { worker: "test", operator: "parquet_compact", ecs_task_arn: None };
        let Claim::Claimed(task) = tasks::claim(&mut conn, task_id, &claimant).await.unwrap() else {
            panic!("nobody else claims it");
        };
        task.spec()
    }

    /// A compactor that stops itself after the `nth` time (from 1) that it has done `step`.
    pub(crate) fn compactor(&self, task: (TaskId, Fence), stop_at: Option<(Step, usize)>) -> Compactor {
        let (stop_now, stop) = Stop::pair();
        let times = std::sync::atomic::AtomicUsize::new(0);
        let on_step = move |done: Step| {
            let Some((step, nth)) = stop_at else { return };
            if done == step && times.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 == nth {
                stop_now.request();
            }
        };
        Compactor {
            pool: self.pool.clone(),
            objects: self.objects.clone(),
            chain_id: self.chain.chain_id,
            chain: ChainName::new("made").unwrap(),
            task,
            merge: true,
            drop_hot_after: None,
            scratch: std::env::temp_dir(),
            progress: Progress::unheard(),
            stop,
            on_step: Box::new(on_step),
        }
    }

    /// Runs a whole task up to the end of `blocks`.
    pub(crate) async fn compact(&self, blocks: BlockRange) -> Result<OperatorEnd, CompactError> {
        let spec = self.claim().await;
        self.compactor((spec.task_id, spec.fence), None).run(&DATASETS, blocks).await
    }

    /// A file as one writer makes it of all rows at once.
    pub(crate) fn staged(&self, dataset: Dataset, blocks: BlockRange) -> StagedFile {
        let chain_id = self.chain.chain_id;
        let partition = Partition { chain_id, chain: ChainName::new("made").unwrap(), dataset, blocks };
        let mut linked = PartitionBlocks::builder(blocks);
        linked.push(&self.chain.rows(Dataset::Blocks, blocks)).unwrap();
        let scratch = std::env::temp_dir();
        let mut writer = PartitionWriter::create(partition, linked.finish().unwrap(), None, &scratch).unwrap();
        writer.write(&self.chain.rows(dataset, blocks)).unwrap();
        writer.finish(RootVerdicts::all(&RootVerdict::Ok)).unwrap()
    }

    /// Lists `blocks` of a dataset in the next manifest, as a backfill does that dies then.
    pub(crate) async fn list_and_die(&self, dataset: Dataset, blocks: BlockRange) -> CommittedManifest {
        let stored = self.staged(dataset, blocks).store(&self.objects).await.unwrap();
        let head = catalog::head(&mut *self.connect().await, self.chain.chain_id, dataset).await.unwrap();
        let current = CurrentManifest::load(&self.objects, head.as_ref()).await.unwrap();
        let listing = stored.list(&self.objects, &current).await.unwrap();
        let Listing::Ours(manifest) = listing else { panic!("nobody else writes here") };
        manifest
    }

    /// Puts `blocks` of every dataset into cold storage, as a backfill does.
    pub(crate) async fn backfill(&self, blocks: BlockRange) {
        for dataset in DATASETS {
            let manifest = self.list_and_die(dataset, blocks).await;
            let mut conn = self.connect().await;
            let mut db_tx = conn.begin().await.unwrap();
            catalog::commit(&mut db_tx, &manifest).await.unwrap();
            db_tx.commit().await.unwrap();
        }
    }

    /// As far as what is cold is concerned.
    pub(crate) async fn let_an_hour_pass(&self) {
        self.execute("UPDATE cold.data_partitions SET committed_at = committed_at - interval '1 hour'").await;
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let listed = self.s3.list_objects_v2().bucket(self.objects.bucket()).send().await.unwrap();
        listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    /// The bytes of an object; `None` if there is none.
    pub(crate) async fn object(&self, key: &str) -> Option<Bytes> {
        match self.s3.get_object().bucket(self.objects.bucket()).key(key).send().await {
            Ok(answer) => Some(answer.body.collect().await.unwrap().into_bytes()),
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => None,
            Err(error) => panic!("{key}: {error}"),
        }
    }

    pub(crate) async fn partitions(&self, dataset: Dataset) -> Vec<DataPartition> {
        catalog::partitions(&mut *self.connect().await, self.chain.chain_id, dataset).await.unwrap()
    }

    /// Versions in the events that tell of committed partitions of `dataset`, in order.
    pub(crate) async fn told(&self, dataset: Dataset) -> Vec<i64> {
        sqlx::query_scalar(
            "SELECT (body ->> 'manifest_version')::bigint FROM control.events
              WHERE kind = 'partition_committed' AND body ->> 'dataset' = $1 ORDER BY id",
        )
        .bind(dataset.as_str())
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// Checks that each dataset is cold in exactly `expected`, that the manifests say so, that everybody was told once,
    /// and that the rows of every file are those of hot storage.
    pub(crate) async fn check(&self, expected: &[BlockRange]) {
        for dataset in DATASETS {
            let partitions = self.partitions(dataset).await;
            let found: Vec<BlockRange> = partitions.iter().map(|partition| partition.blocks).collect();
            assert_eq!(found, expected, "{dataset}");
            let versions: Vec<i64> = (1..=i64::try_from(expected.len()).unwrap()).collect();
            assert_eq!(self.told(dataset).await, versions, "{dataset}");

            let head = catalog::head(&mut *self.connect().await, self.chain.chain_id, dataset).await.unwrap();
            let current = CurrentManifest::load(&self.objects, head.as_ref()).await.unwrap();
            let files = current.manifest().map(|manifest| manifest.files.clone()).unwrap_or_default();
            assert_eq!(files.len(), partitions.len());
            for (file, partition) in files.iter().zip(&partitions) {
                assert_eq!((&file.key, file.sha256), (&partition.object_key, partition.sha256));
                let cold = self.cold_rows(dataset, &file.key).await;
                assert_eq!(cold, self.hot_rows(dataset, file.blocks).await, "{}", file.key);
                assert_eq!(cold, self.chain.rows(dataset, file.blocks), "{}", file.key);
                let expected_rows: u64 = self.chain.rows_per_block(dataset, file.blocks).iter().sum();
                assert_eq!(partition.row_count, expected_rows);
            }
        }
    }

    pub(crate) async fn cold_rows(&self, dataset: Dataset, key: &str) -> RecordBatch {
        let bytes = self.object(key).await.unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        concat_batches(&dataset.schema(), &batches).unwrap()
    }

    pub(crate) async fn hot_rows(&self, dataset: Dataset, blocks: BlockRange) -> RecordBatch {
        let mut conn = self.connect().await;
        let columns: Vec<&str> = dataset.columns().iter().map(|column| column.name).collect();
        let chain_id = self.chain.chain_id;
        let rows =
            isotherm_hot_store::rows::read(&mut conn, chain_id, dataset, &columns, blocks, Order::ByPlace, 1_000);
        let batches: Vec<RecordBatch> = rows.await.unwrap().try_collect().await.unwrap();
        concat_batches(&dataset.schema(), &batches).unwrap()
    }
}

pub(crate) fn reference(chain: MadeChain, block: u64) -> BlockRef {
    BlockRef { number: BlockNumber(block), hash: chain.hash(block) }
}

async fn append(conn: &mut PgConnection, chain: MadeChain, blocks: BlockRange) {
    let batch = BlockBatch {
        blocks,
        parent_hash: chain.parent_hash(blocks.start().0),
        tip: reference(chain, blocks.last().0),
        rows: DATASETS.map(|dataset| (dataset, chain.rows(dataset, blocks))).to_vec(),
        served_at: chrono::DateTime::UNIX_EPOCH,
    };
    isotherm_hot_store::append(conn, chain.chain_id, &batch).await.unwrap();
}

/// The partitions of `start..end`.
pub(crate) fn partitions_of(start: u64, end: u64) -> Vec<BlockRange> {
    let starts = (start..end).filter(|block| *block == start || block % PARTITION_BLOCKS == 0);
    starts.map(|from| range(from, (from / PARTITION_BLOCKS + 1) * PARTITION_BLOCKS)).collect()
}
