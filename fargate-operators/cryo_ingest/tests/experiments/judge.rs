//! What is wrong in the end: counted by SQL, from the objects themselves, and as the integrity check finds it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_s3::types::Object;
use isotherm_cold_store::ChainName;
use isotherm_cold_store::catalog;
use isotherm_cold_store::integrity::{self, Level, ManifestHead, Plan, Sampling};
use isotherm_lab::experiment::Experiment;
use isotherm_types::{ChainId, Dataset};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::world::{CHAIN_ID, World};

/// Partitions of `$2` blocks below `$1` that are not cold once, and cold ones that are no such partition.
const GAPS_OR_OVERLAPS: &str = "
    WITH found AS (SELECT dataset, start_block, end_block FROM cold.data_partitions),
         expected AS (
            SELECT dataset, start_block, start_block + $2::bigint AS end_block
              FROM unnest(ARRAY['blocks', 'transactions', 'logs', 'traces']) AS dataset,
                   generate_series(0::bigint, $1::bigint - 1, $2::bigint) AS start_block)
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
const LEFT_WAITING: &str = "SELECT count(*) FROM cold.pending_files";
const HEADS: &str = "
    SELECT dataset, manifest_version, encode(manifest_sha256, 'hex') FROM cold.datasets WHERE watermark IS NOT NULL";
const FILES: &str = "
    SELECT start_block, end_block, object_key, size_bytes, encode(sha256, 'hex')
      FROM cold.data_partitions WHERE dataset = $1";

/// Memory for the integrity check's rows.
const ROWS_BYTES: usize = 64 << 20;

/// Faults found so far, in one world after another.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    gaps_or_overlaps: i64,
    told_wrong: i64,
    left_waiting: i64,
    wrong_manifests: i64,
    corrupt_listed: i64,
    findings: i64,
    unchecked_blocks: i64,
    orphans: i64,
}

/// The objects of a bucket.
pub(crate) struct Objects(BTreeMap<String, Vec<u8>>);

/// SHA-256 of objects, by key.
pub(crate) type Digests = BTreeMap<String, String>;

/// Where a file is, and what it reads as.
type File = (i64, i64, String, i64, String);

impl Objects {
    /// All of them.
    pub(crate) async fn of(world: &World) -> Self {
        let bucket = world.objects.bucket();
        let listed = world.s3.list_objects_v2().bucket(bucket).send().await.unwrap();
        assert_ne!(listed.is_truncated(), Some(true), "there are more objects than one page has");
        let mut objects = BTreeMap::new();
        for key in listed.contents().iter().filter_map(Object::key) {
            let object = world.s3.get_object().bucket(bucket).key(key).send().await.unwrap();
            objects.insert(key.to_owned(), object.body.collect().await.unwrap().to_vec());
        }
        Self(objects)
    }

    /// Digests of all.
    pub(crate) fn digests(&self) -> Digests {
        self.0.iter().map(|(key, bytes)| (key.clone(), digest(bytes))).collect()
    }

    /// Digests of data files.
    pub(crate) fn data_digests(&self) -> Digests {
        self.digests().into_iter().filter(|(key, _)| !is_manifest(key)).collect()
    }

    /// The manifests of a dataset, by version.
    fn manifests(&self, dataset: &str) -> BTreeMap<i64, (String, Value)> {
        let folder = format!("/{dataset}/manifests/");
        let of_dataset = self.0.iter().filter(|(key, _)| key.contains(&folder));
        let read = |(_, bytes): (&String, &Vec<u8>)| {
            let manifest: Value = serde_json::from_slice(bytes).unwrap();
            (manifest["manifest_version"].as_i64().unwrap(), (digest(bytes), manifest))
        };
        of_dataset.map(read).collect()
    }

    /// Whether the object of `file` is as long as it says and hashes to what it says.
    fn has(&self, (_, _, key, size_bytes, sha256): &File) -> bool {
        let is_it = |bytes: &Vec<u8>| i64::try_from(bytes.len()) == Ok(*size_bytes) && digest(bytes) == *sha256;
        self.0.get(key).is_some_and(is_it)
    }
}

impl Faults {
    /// Adds what is wrong if exactly the blocks below `end` should be cold, in partitions of `partition_blocks`, and
    /// nobody is at work.
    pub(crate) async fn look_at(&mut self, world: &World, end: u64, partition_blocks: u64) {
        let (end, partition_blocks) = (i64::try_from(end).unwrap(), i64::try_from(partition_blocks).unwrap());
        let torn = sqlx::query_scalar::<_, i64>(GAPS_OR_OVERLAPS).bind(end).bind(partition_blocks);
        self.gaps_or_overlaps += torn.fetch_one(&world.pool).await.unwrap();
        self.told_wrong += sqlx::query_scalar::<_, i64>(TOLD_WRONG).fetch_one(&world.pool).await.unwrap();
        self.left_waiting += sqlx::query_scalar::<_, i64>(LEFT_WAITING).fetch_one(&world.pool).await.unwrap();
        self.look_at_objects(world, &Objects::of(world).await).await;
        self.check_integrity(world, end).await;
    }

    /// Adds manifests that are not chained or do not say what Postgres says, files that do not read back as the newest
    /// manifest lists them, and objects that it does not lead to.
    async fn look_at_objects(&mut self, world: &World, objects: &Objects) {
        let heads: Vec<(String, i64, String)> = sqlx::query_as(HEADS).fetch_all(&world.pool).await.unwrap();
        let mut named = BTreeSet::new();
        for (dataset, version, sha256) in heads {
            let manifests = objects.manifests(&dataset);
            let mut successor = Some(Value::from(sha256));
            for version in (1..=version).rev() {
                let found = manifests.get(&version);
                let is_named = found.is_some_and(|(digest, _)| successor == Some(Value::from(digest.as_str())));
                self.wrong_manifests += i64::from(!is_named);
                successor = found.map(|(_, manifest)| manifest["previous_manifest_sha256"].clone());
                named.insert(format!("cold/made/{dataset}/manifests/{version:0>10}.json"));
            }
            // The first of all has none before it.
            self.wrong_manifests += i64::from(successor != Some(Value::Null));

            let listed = manifests.get(&version).map_or_else(BTreeSet::new, |(_, newest)| files_of(newest));
            let known: Vec<File> = sqlx::query_as(FILES).bind(&dataset).fetch_all(&world.pool).await.unwrap();
            let known: BTreeSet<File> = known.into_iter().collect();
            self.wrong_manifests += i64::from(listed != known);
            self.corrupt_listed += count(listed.iter().filter(|file| !objects.has(file)));
            named.extend(listed.into_iter().map(|(_, _, key, ..)| key));
        }
        self.orphans += count(objects.0.keys().filter(|key| !named.contains(*key)));
    }

    /// Adds what an integrity check at level chain finds.
    async fn check_integrity(&mut self, world: &World, end: i64) {
        let mut heads = HashMap::new();
        let mut conn = world.pool.acquire().await.unwrap();
        for dataset in Dataset::ALL {
            let head = catalog::head(&mut conn, ChainId(CHAIN_ID), dataset).await.unwrap();
            heads.extend(head.map(|head| (dataset, ManifestHead::from(&head))));
        }
        let (chain, scratch) = (ChainName::new("made").unwrap(), std::env::temp_dir());
        let plan = Plan {
            objects: &world.objects,
            chain: &chain,
            datasets: Dataset::ALL.to_vec(),
            heads,
            blocks: None,
            level: Level::Chain,
            anchor: None,
            sampling: Sampling::None,
            scratch: &scratch,
            at_most_bytes: ROWS_BYTES,
        };
        let report = integrity::check(&plan, &mut |_: integrity::Progress| ()).await.unwrap();
        self.findings += count(report.findings.iter());
        self.unchecked_blocks += end - i64::try_from(report.blocks).unwrap();
    }

    /// None of them may be there, but for an object that nothing leads to for each of the `kills`.
    pub(crate) fn report(&self, experiment: &mut Experiment, kills: i64) {
        experiment.zero("gaps_or_overlaps", self.gaps_or_overlaps);
        experiment.zero("told_wrong", self.told_wrong);
        experiment.zero("left_waiting", self.left_waiting);
        experiment.zero("wrong_manifests", self.wrong_manifests);
        experiment.zero("corrupt_listed", self.corrupt_listed);
        experiment.zero("integrity_findings", self.findings);
        experiment.zero("unchecked_blocks", self.unchecked_blocks);
        experiment.figure("orphans", self.orphans);
        experiment.zero("orphans_beyond_kills", (self.orphans - kills).max(0));
    }
}

/// Keys that have another object, or none, on one of the sides.
pub(crate) fn differences(one: &Digests, other: &Digests) -> i64 {
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    count(keys.into_iter().filter(|key| one.get(*key) != other.get(*key)))
}

/// The files that a manifest lists.
fn files_of(manifest: &Value) -> BTreeSet<File> {
    let file = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().unwrap().to_owned();
        let number = |value: &Value| value.as_i64().unwrap();
        let (start, end) = (number(&entry["blocks"]["start"]), number(&entry["blocks"]["end"]));
        (start, end, text("key"), number(&entry["size_bytes"]), text("sha256"))
    };
    manifest["files"].as_array().unwrap().iter().map(file).collect()
}

fn is_manifest(key: &str) -> bool {
    key.contains("/manifests/")
}

fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

pub(crate) fn count<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).unwrap()
}
