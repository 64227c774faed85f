//! Partitions with more rows than there is memory: the program reads, encodes and stores them piece by piece.
//!
//! The cap is the system's own on data (`RLIMIT_DATA`): an allocation beyond it fails, which ends the program.

use std::time::Duration;

use isotherm_lab::experiment::Experiment;

use crate::judge::Faults;
use crate::program::{Program, claim};
use crate::rows::{MadeChain, range};
use crate::world::World;

const MEBIBYTE: u64 = 1024 * 1024;
/// Source: the smallest task of Fargate has 512 MiB; half of it is the worker's and the system's.
const CAP_BYTES: u64 = 256 * MEBIBYTE;
/// Most that it may have resident: leaves room under the cap for rows of megabytes, of which several are held at once.
const PEAK_LIMIT_MEBIBYTES: f64 = 160.0;
/// Less than the stacks of the program's threads.
const NO_CAP_TO_LIVE_WITH_BYTES: u64 = 4 * MEBIBYTE;

const LARGER_THAN: &str = "SELECT count(*) FROM cold.data_partitions WHERE size_bytes > $1";
const ALL_BYTES: &str = "SELECT sum(size_bytes)::bigint FROM cold.data_partitions";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_memory_cap() {
    let mut experiment = Experiment::begin("memory_cap", &["cap_of_4_mb"]);
    // Two transactions and three logs a block; in the long form 400 MB of transactions that cannot be compressed.
    let (partition_blocks, most_bytes) = experiment.scaled((1_000, 70), (55_000, 2_048));
    let cap = if experiment.lacks("cap_of_4_mb") { NO_CAP_TO_LIVE_WITH_BYTES } else { CAP_BYTES };
    let chain = MadeChain { most_bytes, ..MadeChain::new(31_337) };
    let blocks = range(0, partition_blocks);
    let world = World::create_of(chain, partition_blocks, blocks, blocks.last().0).await;

    let program = Program::of(&world).behind(&["prlimit", format!("--data={cap}").as_str()]);
    // A program that gets no memory for a thread may stand still instead of ending.
    let limit = experiment.scaled(Duration::from_secs(40), Duration::from_secs(1_200));
    let ended = tokio::time::timeout(limit, program.run(&claim(&world, blocks).await)).await.ok();
    let mut faults = Faults::default();
    faults.look_at_catalogue(&world, blocks.end().0).await;
    faults.look_at_bucket(&world).await;
    let cap_bytes = i64::try_from(CAP_BYTES).unwrap();
    let larger: i64 = sqlx::query_scalar(LARGER_THAN).bind(cap_bytes).fetch_one(&world.pool).await.unwrap();
    let stored: Option<i64> = sqlx::query_scalar(ALL_BYTES).fetch_one(&world.pool).await.unwrap();

    experiment.figure("cap_mib", cap / MEBIBYTE);
    experiment.figure("stored_mib", stored.unwrap_or(0) / MEBIBYTE.cast_signed());
    let peak_bytes = ended.as_ref().map_or(0, |ended| ended.peak_bytes);
    experiment.at_most("peak_mib", peak_bytes as f64 / MEBIBYTE as f64, PEAK_LIMIT_MEBIBYTES);
    experiment.equal("completed", i64::from(ended.is_some_and(|ended| ended.is_complete())), 1);
    let expected = experiment.scaled(0, 1);
    experiment.equal("files_larger_than_the_cap", larger, expected);
    faults.report(&mut experiment);
    experiment.finish();
}
