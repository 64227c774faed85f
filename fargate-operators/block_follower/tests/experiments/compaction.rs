//! Compaction beside the follower, near the finalized block, on a chain that has reorgs: nothing that is not canonical is ever
//! listed in cold storage.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use arrow::array::AsArray as _;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::ministack::{Ministack, REGION, account};
use isotherm_lab::oracle::Oracle;
use isotherm_types::operator::OPERATOR_PROTOCOL;
use isotherm_types::{Fence, TaskId, TaskSpec};
use nix::sys::signal::Signal;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::Rng;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::chain_life::{Reorg, caught_up, reorg};
use crate::judge::{broken_rules, differences};
use crate::program::Program;
use crate::stage::{CHAIN_ID, Stage};

const SECRET: &str = "test";
/// A follower that has not caught up by then never will.
const LIMIT: Duration = Duration::from_secs(20);
/// Without the guard: the newest block counts as final.
const ALL_IS_FINAL: &str = "
    CREATE FUNCTION final() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.finalized_number := NEW.tip_number; NEW.finalized_hash := NEW.tip_hash;
        RETURN NEW;
    END $$;
    CREATE TRIGGER final BEFORE UPDATE ON hot.cursors FOR EACH ROW
    WHEN (NEW.tip_number IS NOT NULL) EXECUTE FUNCTION final();";
const NEW_TASK: &str = "
    WITH job AS (
        INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets, input_datasets,
            output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds, config_hash)
        SELECT id, 'compact', 'parquet_compact', 'fargate', 'per_partition', false, '{}', '{}', '{}', '{}', 3, 1000, 60,
               sha256('y') FROM control.orgs LIMIT 1
        ON CONFLICT (org_id, name) DO UPDATE SET operator = EXCLUDED.operator
        RETURNING id, org_id)
    INSERT INTO control.tasks (org_id, job_id, idempotency_key, input, state, fence, attempts_left, worker,
        lease_expires_at, started_at)
    SELECT org_id, id, $1, '{}', 'running', 1, 2, 'test', now() + interval '1 hour', now() FROM job
    RETURNING id";

/// A bucket for cold storage, and compactions into it.
pub(crate) struct Bucket {
    s3: aws_sdk_s3::Client,
    name: String,
    account: String,
    endpoint_url: String,
}

/// A compaction at work. Dropping it kills it.
pub(crate) struct Compaction(Child);

impl Bucket {
    pub(crate) async fn new() -> Self {
        let (endpoint_url, account) = (Ministack::shared().await.unwrap().endpoint_url(), account());
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(&endpoint_url)
            .credentials_provider(Credentials::new(&account, SECRET, None, None, "test"))
            .load()
            .await;
        let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let s3 = aws_sdk_s3::Client::from_conf(config);
        let name = format!("cold-{account}");
        s3.create_bucket().bucket(&name).send().await.unwrap();
        Self { s3, name, account, endpoint_url }
    }

    /// Starts the program with a task that asks for everything up to block `last`.
    pub(crate) async fn compact(&self, stage: &Stage, last: i64) -> Compaction {
        let key = uuid::Uuid::new_v4().to_string();
        let task_id: i64 = sqlx::query_scalar(NEW_TASK).bind(key).fetch_one(&stage.pool).await.unwrap();
        let spec = TaskSpec {
            version: OPERATOR_PROTOCOL,
            task_id: TaskId(task_id),
            fence: Fence(1),
            attempt: 1,
            job: "compact".to_owned(),
            config: json!({ "chain_id": CHAIN_ID, "chain": "demo", "datasets": ["blocks", "transactions", "logs"] }),
            input: json!({ "blocks": { "start": 0, "end": last + 1 } }),
        };
        let programs = PathBuf::from(env!("CARGO_BIN_EXE_operator-block_follower")).parent().unwrap().to_path_buf();
        let mut child = Command::new(programs.join("operator-parquet_compact"))
            .env_clear()
            .env("DATABASE_URL", &stage.database.url)
            .env("ISOTHERM_BUCKET_COLD", &self.name)
            .env("ISOTHERM_LOG", "off")
            .env("AWS_ENDPOINT_URL", &self.endpoint_url)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", &self.account)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program has been built");
        let mut line = serde_json::to_string(&spec).unwrap();
        line.push('\n');
        child.stdin.take().unwrap().write_all(line.as_bytes()).await.unwrap();
        Compaction(child)
    }

    async fn object(&self, key: &str) -> bytes::Bytes {
        let got = self.s3.get_object().bucket(&self.name).key(key).send().await.unwrap();
        got.body.collect().await.unwrap().into_bytes()
    }

    /// Adds to the line how many partitions are cold, and how many rows of listed files are of no canonical block.
    pub(crate) async fn judge(&self, stage: &Stage, experiment: &mut Experiment) {
        let oracle = Oracle::walk(stage.chain.rpc(), "latest", 0).await.unwrap();
        let listed = self.s3.list_objects_v2().bucket(&self.name).into_paginator().send().try_collect().await.unwrap();
        let objects = listed.iter().flat_map(ListObjectsV2Output::contents);
        let keys = objects.filter_map(|object| object.key());
        let (mut files, mut orphans) = (BTreeSet::new(), 0);
        for key in keys.filter(|key| key.contains("/manifests/")) {
            let manifest: Value = serde_json::from_slice(&self.object(key).await).unwrap();
            files.extend(
                manifest["files"].as_array().unwrap().iter().map(|file| file["key"].as_str().unwrap().to_owned()),
            );
        }
        for key in &files {
            let reader = ParquetRecordBatchReaderBuilder::try_new(self.object(key).await).unwrap().build().unwrap();
            for batch in reader.map(Result::unwrap) {
                let numbers = batch.column_by_name("block_number").unwrap();
                let numbers = numbers.as_primitive::<arrow::datatypes::UInt32Type>();
                let hashes = batch.column_by_name("block_hash").unwrap().as_fixed_size_binary();
                for (number, hash) in numbers.values().iter().zip(hashes.iter()) {
                    let canonical = oracle.blocks().get(&u64::from(*number)).map(|block| block.hash.as_str());
                    let stored = isotherm_types::B256::from_slice(hash.unwrap()).to_string();
                    orphans += i64::from(canonical != Some(stored.as_str()));
                }
            }
        }
        experiment.figure("cold_files", files.len());
        experiment.zero("orphan_rows", orphans);
    }
}

/// The last block of the last whole partition below block `number`.
pub(crate) fn last_of_partition(number: i64) -> i64 {
    number / 10 * 10 - 1
}

impl Compaction {
    /// Waits for its end; whether that was a good one.
    pub(crate) async fn end(mut self) -> bool {
        self.0.wait().await.unwrap().success()
    }

    fn kill(&mut self) {
        // It may have ended.
        let _ = self.0.start_kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_compaction_reorgs() {
    let mut experiment = Experiment::begin("compaction_reorgs", &["finality"]);
    let rounds = experiment.scaled(6, 200);
    let mut stage = Stage::new().await;
    experiment.figure_of_postgres(&mut stage.database.connect().await.unwrap()).await;
    let bucket = Bucket::new().await;
    let mut random = experiment.random(0);
    stage.mine(4).await;
    if experiment.lacks("finality") {
        sqlx::raw_sql(ALL_IS_FINAL).execute(&stage.pool).await.unwrap();
    }
    let mut follower = Program::start(&stage, &json!({}), &[("ISOTHERM_LOG", "off")]).await;
    let (mut kills, mut completed, mut stuck, mut broken) = (0, 0, 0, 0);
    for _ in 0..rounds {
        // To the last block of a partition, or up to three blocks on: the partition is final from the second on.
        let height = stage.head().await.0.cast_unsigned();
        let last = (height / 10 + 1) * 10 + 9;
        stage.mine(last + random.random_range(0..=3) - height).await;
        if caught_up(&stage, LIMIT).await.is_none() {
            stuck += 1;
            break;
        }
        let mut compaction = bucket.compact(&stage, last.cast_signed()).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
        reorg(&mut stage, Reorg::Equal, random.random_range(1..=2)).await;
        if random.random_ratio(1, 2) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..500))).await;
            compaction.kill();
            kills += 1;
        }
        completed += i64::from(compaction.end().await);
        if caught_up(&stage, LIMIT).await.is_none() {
            stuck += 1;
            break;
        }
        broken += broken_rules(&stage, 0).await;
    }
    stage.mine(3).await;
    if stuck == 0 {
        stuck += i64::from(caught_up(&stage, LIMIT).await.is_none());
    }
    experiment.figure("reorgs", rounds);
    experiment.figure("kills", kills);
    experiment.figure("completed", completed);
    experiment.zero("stuck", stuck);
    experiment.zero("broken_rules", broken);
    if stuck == 0 {
        experiment.zero("lost_or_doubled", differences(&stage, 0).await);
        let last = last_of_partition(stage.head().await.0 - 1);
        let completed = bucket.compact(&stage, last).await.end().await;
        experiment.equal("completed_in_the_end", i64::from(completed), 1);
    }
    bucket.judge(&stage, &mut experiment).await;
    follower.signal(Signal::SIGTERM);
    follower.end().await;
    experiment.finish();
}
