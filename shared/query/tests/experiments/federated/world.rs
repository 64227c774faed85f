//! A chain that is followed, compacted and cleaned up by the platform's own code, and the judge, who is told of every
//! block.

use std::sync::Arc;
use std::time::Duration;

use isotherm_control::tasks::{self, Claim, Claimant, Created, NewTask};
use isotherm_hot_store::cursor;
use isotherm_lab::ministack::account;
use isotherm_platform::Stop;
use isotherm_platform::operator_main::{OperatorEnd, Progress};
use isotherm_types::{Dataset, JobId, TaskSpec};
use operator_parquet_compact::{Compactor, Step};
use sqlx::Connection as _;

use super::history::History;
use super::oracle::Oracle;
use crate::made_chain::{CHAIN, CHAIN_NAME, range};
use crate::platform::Platform;

/// Blocks of a partition; that of `Platform`.
pub(crate) const PARTITION_BLOCKS: u64 = 10;

/// Everything that the actors share.
pub(crate) struct World {
    pub(crate) platform: Platform,
    pub(crate) oracle: Oracle,
    pub(crate) history: Arc<History>,
    job_id: JobId,
}

impl World {
    /// A platform without blocks.
    pub(crate) async fn create() -> Self {
        let platform = Platform::start().await;
        let oracle = Oracle::create().await;
        let job_id: i64 = sqlx::query_scalar(
            "INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets,
                    input_datasets, output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds,
                    config_hash)
             VALUES (1, 'compact', 'parquet_compact', 'fargate', 'per_partition', false, '{}', '{}', '{}', '{}', 3,
                    10000, 60, decode(repeat('00', 32), 'hex'))
             RETURNING id",
        )
        .fetch_one(&platform.engine.pool)
        .await
        .unwrap();
        Self { platform, oracle, history: Arc::default(), job_id: JobId(job_id) }
    }

    /// Moves what is due of `datasets` to cold storage, up to the finalized block, and merges short files.
    pub(crate) async fn compact(&self, datasets: &[Dataset]) {
        self.run_compactor(datasets, None).await;
    }

    /// Drops the hot rows that have been cold for `grace`.
    pub(crate) async fn clean_up(&self, grace: Duration) {
        self.run_compactor(&[], Some(grace)).await;
    }

    async fn run_compactor(&self, datasets: &[Dataset], drop_hot_after: Option<Duration>) {
        let task = self.claim().await;
        let cursor = cursor::read(&mut self.platform.connect().await, CHAIN).await.unwrap().unwrap();
        let finalized = cursor.finalized.unwrap().number;
        let (_nobody_stops, stop) = Stop::pair();
        let history = Arc::clone(&self.history);
        let compactor = Compactor {
            pool: self.platform.engine.pool.clone(),
            objects: self.platform.objects.clone(),
            chain_id: CHAIN,
            chain: isotherm_cold_store::ChainName::new(CHAIN_NAME).unwrap(),
            task: (task.task_id, task.fence),
            merge: true,
            drop_hot_after,
            scratch: self.platform.scratch.path().to_owned(),
            progress: Progress::unheard(),
            stop,
            on_step: Box::new(move |step| count(&history, step)),
        };
        let end = compactor.run(datasets, range(0, finalized.0 + 1)).await.unwrap();
        assert!(matches!(end, OperatorEnd::Completed(_)), "nobody stops it");
    }

    /// Makes a task and claims it as a worker does.
    async fn claim(&self) -> TaskSpec {
        let mut conn = self.platform.connect().await;
        let task = NewTask {
            job_id: self.job_id,
            idempotency_key: account(),
            input: serde_json::json!({}),
            delay: Duration::ZERO,
        };
        let Created::New(task_id) = tasks::create(&mut conn, &task, "test").await.unwrap() else {
            panic!("the key is new");
        };
        let claimant = Claimant { worker: "test", operator: "parquet_compact", ecs_task_arn: None };
        let Claim::Claimed(task) = tasks::claim(&mut conn, task_id, &claimant).await.unwrap() else {
            panic!("nobody else claims it");
        };
        conn.close().await.unwrap();
        task.spec()
    }
}

fn count(history: &History, step: Step) {
    let counter = match step {
        Step::Committed => &history.compactions,
        Step::MergeCommitted => &history.merges,
        Step::Dropped => &history.cleanups,
        Step::Staged
        | Step::Stored
        | Step::Listed
        | Step::MergeStaged
        | Step::MergeStored
        | Step::MergeListed
        | Step::Detached => return,
    };
    counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
}
