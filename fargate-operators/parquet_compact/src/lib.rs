//! Moves final partitions of hot storage into cold storage.
//!
//! Woken by a threshold trigger with a range of final blocks. For each dataset of the job it compacts every due
//! partition up to the end of that range, oldest first: rows are read in one snapshot, written to a Parquet file,
//! stored, listed in a manifest and committed under the task's fence, together with the event that tells the others.
//! What is cold already is left alone, so a repeated task does nothing. It stops between steps when asked to.
//!
//! Short files that make up a partition are merged into one. If the job asks for it, hot rows go that have been cold
//! for a grace period.
//!
//! What is due is decided by `isotherm_cold_store::compaction` and `merge`, and what may go by
//! `isotherm_hot_store::cleanup`. It never removes a row that is not cold, and never touches a block that is not final.

mod compactor;
mod error;
mod grace;
mod silence;
mod staging;

use std::sync::Arc;

use isotherm_cold_store::{ChainName, ObjectStore};
use isotherm_platform::Fault;
use isotherm_platform::aws::Clients;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::metrics::Telling;
use isotherm_platform::operator_main::{self, Context, OperatorEnd};
use isotherm_types::{BlockRange, ChainId, Dataset, TaskSpec};
use serde::Deserialize;

pub use compactor::{Compactor, DatasetReport, Step};
pub use error::CompactError;
pub use grace::GracePeriod;

/// The job's settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The chain.
    pub chain_id: ChainId,
    /// Its name, as in hot storage's cursor and in object keys.
    pub chain: ChainName,
    /// What to compact, in this order.
    pub datasets: Vec<Dataset>,
    /// Whether short files that make up a partition are merged into one.
    #[serde(default = "merges")]
    pub merge: bool,
    /// How long hot rows stay after they became cold; absent: for ever.
    #[serde(default)]
    pub drop_hot_after_seconds: Option<GracePeriod>,
}

fn merges() -> bool {
    true
}

/// What one task is about.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Partitions up to the end of this range are compacted, those before its start too if they are due.
    pub blocks: BlockRange,
}

/// Runs one task.
///
/// # Errors
/// Bad settings, a range that is not final yet, and whatever Postgres, S3 or the rows report.
pub async fn run(spec: TaskSpec, context: Context) -> Result<OperatorEnd, Fault> {
    let config: Config = operator_main::config(&spec)?;
    let input: Input = operator_main::input(&spec)?;
    let mut environment = context.environment;
    let (url, bucket) = (environment.secret("DATABASE_URL"), environment.bucket("cold"));
    let checked = environment.check()?;

    let pool = database::connect(&url.open(&checked), PoolOptions::operator("parquet_compact")).await?;
    let clients = Clients::load().await;
    let _s3_requests = Telling::start(Arc::clone(clients.s3_requests()));
    let compactor = Compactor {
        pool,
        objects: ObjectStore::new(clients.s3().clone(), bucket.open(&checked)),
        chain_id: config.chain_id,
        chain: config.chain,
        task: (spec.task_id, spec.fence),
        merge: config.merge,
        drop_hot_after: config.drop_hot_after_seconds.map(GracePeriod::duration),
        scratch: std::env::temp_dir(),
        progress: context.progress,
        stop: context.stop,
        on_step: Box::new(|_| ()),
    };
    Ok(compactor.run(&config.datasets, input.blocks).await?)
}
