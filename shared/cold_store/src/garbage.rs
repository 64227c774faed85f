//! Objects that nothing names: what a run stored and never listed, because it was given up on.
//!
//! [`orphans`] finds them, [`delete`] takes one away. A data file is named if any manifest lists it, also an old one or
//! one that is not committed yet, or if it waits in Postgres. A manifest is never garbage: the newest one proves all
//! of them. What is no object of cold storage's is told and left.
//!
//! The bucket is listed first and names are read after that, so that what is named meanwhile is not taken for garbage.
//! A run that makes a file anew finds the bytes of the one before and names that object: the caller has to hold the
//! chain's writers back while it deletes.

use std::collections::BTreeMap;
use std::time::Duration;

use isotherm_types::{ChainId, Dataset};
use sqlx::postgres::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};

use crate::catalog::{self, DatasetHead, pending};
use crate::commit::{CurrentManifest, parse, read_manifest};
use crate::digest::{ObjectDigest, Sha256Digest};
use crate::error::ColdStoreError;
use crate::layout::{self, ChainName, Object, PREFIX};
use crate::manifest::Manifest;
use crate::objects::{ListedObject, ObjectError, ObjectStore};

/// What a look at a chain's objects has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbage {
    /// When it looked, by the database's clock.
    pub looked_at: DateTime<Utc>,
    /// Objects that it looked at.
    pub object_count: u64,
    /// Data files that nothing names, by key.
    pub orphans: Vec<ListedObject>,
    /// What is neither a data file nor a manifest, by key; never deleted.
    pub strangers: Vec<ListedObject>,
}

/// What became of an orphan that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is gone.
    Deleted,
    /// It is not old enough: a run may be about to name it.
    TooYoung,
    /// Something names it now.
    Named,
}

impl Garbage {
    /// Whether `object` was written at least `age` before the look. Pure.
    pub fn is_older_than(&self, object: &ListedObject, age: Duration) -> bool {
        let written = object.modified_at.map(|at| self.looked_at.signed_duration_since(at));
        written.and_then(|age| age.to_std().ok()).is_some_and(|found| found >= age)
    }
}

/// Looks for objects of the chain that nothing names.
///
/// # Errors
/// What Postgres and S3 report. A manifest that is missing, was altered or cannot be read is an error: what it lists
/// would be taken for garbage.
pub async fn orphans(
    conn: &mut PgConnection,
    objects: &ObjectStore,
    chain_id: ChainId,
    chain: &ChainName,
) -> Result<Garbage, ColdStoreError> {
    let looked_at = catalog::checks::now(conn).await?;
    let Stored { object_count, mut datasets, strangers } = sort(objects.list(&format!("{PREFIX}/{chain}/")).await?);
    for (dataset, stored) in &mut datasets {
        for file in catalog::partitions(conn, chain_id, *dataset).await? {
            stored.files.remove(&file.object_key);
        }
        for waiting in pending::list(conn, chain_id, *dataset).await? {
            stored.files.remove(&waiting.file.key);
        }
        let head = catalog::head(conn, chain_id, *dataset).await?;
        strike_out_listed(objects, chain, *dataset, head.as_ref(), stored).await?;
    }
    let orphans = datasets.into_values().flat_map(|stored| stored.files.into_values()).collect();
    Ok(Garbage { looked_at, object_count, orphans, strangers })
}

/// Deletes an orphan that was written at least `age` before the look, unless something names it by now.
///
/// # Errors
/// What Postgres and S3 report.
pub async fn delete(
    conn: &mut PgConnection,
    objects: &ObjectStore,
    garbage: &Garbage,
    orphan: &ListedObject,
    age: Duration,
) -> Result<Fate, ColdStoreError> {
    if !garbage.is_older_than(orphan, age) {
        return Ok(Fate::TooYoung);
    }
    let is_file = matches!(Object::parse(&orphan.key), Ok(Object::Data { .. }));
    if !is_file || catalog::is_named(conn, &orphan.key).await? {
        return Ok(Fate::Named);
    }
    objects.delete(&orphan.key).await?;
    Ok(Fate::Deleted)
}

/// What is stored of a chain.
#[derive(Default)]
struct Stored {
    object_count: u64,
    datasets: BTreeMap<Dataset, StoredDataset>,
    strangers: Vec<ListedObject>,
}

/// What is stored of a dataset.
#[derive(Default)]
struct StoredDataset {
    /// Data files by key; those that are named are struck out.
    files: BTreeMap<String, ListedObject>,
    /// Versions of manifests.
    manifest_versions: Vec<u64>,
}

/// Tells by its key what each object is. Pure.
fn sort(listed: Vec<ListedObject>) -> Stored {
    let mut stored = Stored { object_count: listed.len() as u64, ..Stored::default() };
    for object in listed {
        match Object::parse(&object.key) {
            Ok(Object::Data { dataset, .. }) => {
                stored.datasets.entry(dataset).or_default().files.insert(object.key.clone(), object);
            }
            Ok(Object::Manifest { dataset, manifest_version, .. }) => {
                stored.datasets.entry(dataset).or_default().manifest_versions.push(manifest_version);
            }
            Err(_) if layout::is_evidence(&object.key) => {}
            Err(_) => stored.strangers.push(object),
        }
    }
    stored
}

/// Strikes out what manifests list: first the newest ones, which list nearly everything, then the older ones one by one
/// while there is anything left that they may list.
async fn strike_out_listed(
    objects: &ObjectStore,
    chain: &ChainName,
    dataset: Dataset,
    head: Option<&DatasetHead>,
    stored: &mut StoredDataset,
) -> Result<(), ColdStoreError> {
    let committed = head.map_or(0, |head| head.manifest_version);
    let uncommitted: Vec<u64> =
        stored.manifest_versions.iter().copied().filter(|version| *version > committed).collect();
    for version in uncommitted {
        let key = layout::manifest_key(chain, dataset, version);
        let bytes = read_manifest(objects, &key).await?;
        strike_out(&parse(&key, &bytes)?, stored);
    }
    let current = CurrentManifest::load(objects, head).await?;
    let Some(newest) = current.manifest() else { return Ok(()) };
    strike_out(newest, stored);
    let (mut version, mut sha256) = (newest.manifest_version, newest.previous_manifest_sha256);
    while let (false, Some(expected)) = (stored.files.is_empty(), sha256) {
        version -= 1;
        let manifest = read_proven(objects, &layout::manifest_key(chain, dataset, version), expected).await?;
        strike_out(&manifest, stored);
        sha256 = manifest.previous_manifest_sha256;
    }
    Ok(())
}

fn strike_out(manifest: &Manifest, stored: &mut StoredDataset) {
    for file in &manifest.files {
        stored.files.remove(&file.key);
    }
}

/// The manifest with this key, if it is the one that its successor names.
async fn read_proven(objects: &ObjectStore, key: &str, sha256: Sha256Digest) -> Result<Manifest, ColdStoreError> {
    let bytes = read_manifest(objects, key).await?;
    let found = ObjectDigest::of(&bytes);
    if found.sha256 != sha256 {
        let expected = ObjectDigest { sha256, ..found };
        return Err(ObjectError::Altered { key: key.to_owned(), expected, found }.into());
    }
    parse(key, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(seconds_ago: Option<i64>) -> (Garbage, ListedObject) {
        let looked_at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let modified_at = seconds_ago.and_then(|ago| DateTime::from_timestamp(1_800_000_000 - ago, 0));
        let garbage = Garbage { looked_at, object_count: 1, orphans: Vec::new(), strangers: Vec::new() };
        (garbage, ListedObject { key: "cold/x/y".to_owned(), size_bytes: 1, modified_at })
    }

    #[test]
    fn an_object_is_old_if_it_is_known_to_be() {
        let hour = Duration::from_secs(3_600);
        // One whose time is unknown, or yet to come by another clock, is not.
        for (seconds_ago, is_old) in [(Some(3_600), true), (Some(3_599), false), (Some(-7_200), false), (None, false)] {
            let (garbage, object) = written(seconds_ago);
            assert_eq!(garbage.is_older_than(&object, hour), is_old, "{seconds_ago:?}");
        }
    }

    #[test]
    fn objects_are_told_apart_by_their_keys() {
        let keys = [
            "cold/x/logs/logs_0000000000_0000000099.parquet",
            "cold/x/logs/manifests/0000000007.json",
            "cold/x/logs/notes.txt",
            "cold/x/blocks/blocks_0_99.parquet",
            "cold/x/evidence/logs/logs_0000000000_0000000099.parquet.00ff.damaged",
        ];
        let object = |key: &str| ListedObject { key: key.to_owned(), size_bytes: 1, modified_at: None };
        let stored = sort(keys.map(object).into());
        assert_eq!(stored.object_count, 5);
        let logs = &stored.datasets[&Dataset::Logs];
        assert_eq!(logs.files.keys().collect::<Vec<_>>(), [keys[0]]);
        assert_eq!(logs.manifest_versions, [7]);
        assert_eq!(stored.strangers, [object(keys[2]), object(keys[3])], "evidence is kept and is no stranger");
    }
}
