//! What is wrong in the end, counted by SQL and from the objects themselves.

use std::collections::BTreeSet;

use isotherm_lab::experiment::Experiment;
use isotherm_types::Dataset;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::rows::range;
use crate::world::World;

/// Partitions of the blocks below `$1` that are not cold once, and cold ones that are no such partition.
const GAPS_OR_OVERLAPS: &str = "
    WITH found AS (SELECT dataset, start_block, end_block FROM cold.data_partitions),
         expected AS (
            SELECT dataset, start_block, start_block + partition_blocks AS end_block
              FROM hot.cursors, unnest(ARRAY['blocks', 'transactions', 'logs']) AS dataset,
                   generate_series(0::bigint, $1::bigint - 1, partition_blocks) AS start_block)
    SELECT count(*)
      FROM ((TABLE expected EXCEPT ALL TABLE found) UNION ALL (TABLE found EXCEPT ALL TABLE expected)) AS wrong";
/// Committed manifests that nobody was told of, or twice, and events about others.
const TOLD_WRONG: &str = "
    WITH committed AS (SELECT dataset, manifest_version FROM cold.data_partitions),
         told AS (
            SELECT body ->> 'dataset', (body ->> 'manifest_version')::bigint
              FROM control.events WHERE kind = 'partition_committed')
    SELECT count(*)
      FROM ((TABLE committed EXCEPT ALL TABLE told) UNION ALL (TABLE told EXCEPT ALL TABLE committed)) AS wrong";

/// Faults found so far, in one world after another.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    gaps_or_overlaps: i64,
    told_wrong: i64,
    corrupt_listed: i64,
    wrong_rows: i64,
    orphans: i64,
}

/// A file as a manifest in the bucket lists it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ListedFile {
    key: String,
    size_bytes: u64,
    sha256: String,
}

impl ListedFile {
    fn of(entry: &Value) -> Self {
        let text = |name: &str| entry[name].as_str().unwrap().to_owned();
        Self { key: text("key"), size_bytes: entry["size_bytes"].as_u64().unwrap(), sha256: text("sha256") }
    }
}

impl Faults {
    /// Adds what is wrong in the catalogue if exactly the blocks below `end` should be cold.
    pub(crate) async fn look_at_catalogue(&mut self, world: &World, end: u64) {
        self.look_at_ranges(world, end).await;
        let count: i64 = sqlx::query_scalar(TOLD_WRONG).fetch_one(&world.pool).await.unwrap();
        self.told_wrong += count;
    }

    /// The same, but for what was told: nobody is told of a merge.
    pub(crate) async fn look_at_ranges(&mut self, world: &World, end: u64) {
        let count: i64 = sqlx::query_scalar(GAPS_OR_OVERLAPS)
            .bind(i64::try_from(end).unwrap())
            .fetch_one(&world.pool)
            .await
            .unwrap();
        self.gaps_or_overlaps += count;
    }

    /// Adds what is wrong in the bucket: files that do not read back as a manifest lists them, rows that are not the
    /// chain's, and objects that no manifest or, if they are manifests, no row of the catalogue knows.
    pub(crate) async fn look_at_bucket(&mut self, world: &World) {
        let committed: Vec<(String, i64)> =
            sqlx::query_as("SELECT dataset, manifest_version FROM cold.data_partitions")
                .fetch_all(&world.pool)
                .await
                .unwrap();
        let (mut listed, mut data_keys) = (BTreeSet::new(), Vec::new());
        for key in world.keys().await {
            if !is_manifest(&key) {
                data_keys.push(key);
                continue;
            }
            let manifest: Value = serde_json::from_slice(&world.object(&key).await.unwrap()).unwrap();
            let dataset = manifest["dataset"].as_str().unwrap().to_owned();
            let version = (dataset, manifest["manifest_version"].as_i64().unwrap());
            self.orphans += i64::from(!committed.contains(&version));
            listed.extend(manifest["files"].as_array().unwrap().iter().map(ListedFile::of));
        }
        for file in &listed {
            let is_whole = world.object(&file.key).await.is_some_and(|bytes| {
                bytes.len() as u64 == file.size_bytes && format!("{:x}", Sha256::digest(&bytes)) == file.sha256
            });
            self.corrupt_listed += i64::from(!is_whole);
        }
        for key in data_keys {
            self.orphans += i64::from(listed.iter().all(|file| file.key != key));
        }
        self.compare_rows(world).await;
    }

    /// Adds cold files whose rows are not the chain's.
    pub(crate) async fn compare_rows(&mut self, world: &World) {
        let files: Vec<(String, String, i64, i64)> =
            sqlx::query_as("SELECT dataset, object_key, start_block, end_block FROM cold.data_partitions")
                .fetch_all(&world.pool)
                .await
                .unwrap();
        for (dataset, key, start, end) in files {
            let dataset: Dataset = dataset.parse().unwrap();
            let expected = world.chain.rows(dataset, range(start.cast_unsigned(), end.cast_unsigned()));
            self.wrong_rows += i64::from(world.cold_rows(dataset, &key).await != expected);
        }
    }

    /// None of them may be there.
    pub(crate) fn report(&self, experiment: &mut Experiment) {
        experiment.zero("gaps_or_overlaps", self.gaps_or_overlaps);
        experiment.zero("told_wrong", self.told_wrong);
        experiment.zero("corrupt_listed", self.corrupt_listed);
        self.report_rows(experiment);
        experiment.zero("orphans", self.orphans);
    }

    /// The same of rows alone.
    pub(crate) fn report_rows(&self, experiment: &mut Experiment) {
        experiment.zero("wrong_rows", self.wrong_rows);
    }
}

/// Manifests in the bucket.
pub(crate) async fn manifest_count(world: &World) -> i64 {
    i64::try_from(world.keys().await.iter().filter(|key| is_manifest(key)).count()).unwrap()
}

fn is_manifest(key: &str) -> bool {
    key.contains("/manifests/")
}
