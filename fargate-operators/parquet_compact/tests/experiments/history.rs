//! The history of each dataset as it lies in the bucket, read by its JSON and its bytes alone: one manifest a version,
//! each the child of the one before by hash and one change away from it, its files tiling and whole, and the newest one
//! the one that Postgres names.

use std::collections::{BTreeMap, BTreeSet};

use isotherm_lab::experiment::Experiment;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sqlx::FromRow;

use crate::world::{DATASETS, PARTITION_BLOCKS, World};

/// Partitions that were moved and nobody was told of, or twice, and events about others.
const TOLD_WRONG: &str = "
    WITH moved AS (SELECT dataset, manifest_version FROM cold.data_partitions WHERE start_block >= $1),
         told AS (
            SELECT body ->> 'dataset', (body ->> 'manifest_version')::bigint
              FROM control.events WHERE kind = 'partition_committed')
    SELECT count(*)
      FROM ((TABLE moved EXCEPT ALL TABLE told) UNION ALL (TABLE told EXCEPT ALL TABLE moved)) AS wrong";
const HEAD: &str = "
    SELECT first_block, watermark, manifest_version, manifest_key, encode(manifest_sha256, 'hex') AS manifest_sha256
      FROM cold.datasets WHERE dataset = $1";
const CATALOGUE: &str = "
    SELECT object_key, start_block, end_block, row_count, size_bytes, encode(sha256, 'hex')
      FROM cold.data_partitions WHERE dataset = $1 ORDER BY start_block";

/// What the chain's cold storage is to be in the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Partitions from block 0 on that were in two files each.
    pub(crate) merged: u64,
    /// Partitions after those that were hot.
    pub(crate) moved: u64,
}

/// What is wrong, in one world after another.
#[derive(Debug, Default)]
pub(crate) struct Flaws {
    /// Changes after those of the set-up, over all datasets.
    changes: i64,
    missing_versions: i64,
    beyond_the_head: i64,
    broken_links: i64,
    odd_changes: i64,
    gaps_or_overlaps: i64,
    wrong_heads: i64,
    catalogue_differs: i64,
    corrupt_listed: i64,
    told_wrong: i64,
    orphans: i64,
}

#[derive(Deserialize)]
struct Manifest {
    manifest_version: u64,
    previous_manifest_sha256: Option<String>,
    dataset: String,
    files: Vec<File>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct File {
    key: String,
    blocks: Blocks,
    row_count: u64,
    size_bytes: u64,
    sha256: String,
}

/// Blocks from `start` up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Blocks {
    start: u64,
    end: u64,
}

#[derive(FromRow)]
struct Head {
    first_block: i64,
    watermark: i64,
    manifest_version: i64,
    manifest_key: String,
    manifest_sha256: String,
}

/// A version as it lies in the bucket.
struct Version {
    sha256: String,
    manifest: Manifest,
}

impl Flaws {
    /// Adds what is wrong with the world, in which everything that was to be done should be done.
    pub(crate) async fn look_at(&mut self, world: &World, expected: &Expected) {
        let keys = all_keys(world).await;
        let mut listed = BTreeSet::new();
        for dataset in DATASETS {
            let folder = format!("cold/made/{dataset}/manifests/");
            let mut versions = BTreeMap::new();
            for key in keys.iter().filter(|key| key.starts_with(&folder)) {
                let number: u64 = key[folder.len()..].strip_suffix(".json").unwrap().parse().unwrap();
                let bytes = world.object(key).await.unwrap();
                let manifest: Manifest = serde_json::from_slice(&bytes).unwrap();
                listed.extend(manifest.files.iter().cloned());
                versions.insert(number, Version { sha256: hex_digest(&bytes), manifest });
            }
            self.look_at_versions(dataset.as_str(), &versions, expected);
            self.look_at_head(world, dataset.as_str(), &versions, expected).await;
        }
        for file in &listed {
            let found = world.object(&file.key).await;
            let is_whole = |bytes: &[u8]| bytes.len() as u64 == file.size_bytes && hex_digest(bytes) == file.sha256;
            self.corrupt_listed += i64::from(!found.is_some_and(|bytes| is_whole(&bytes)));
        }
        let known: BTreeSet<&str> = listed.iter().map(|file| file.key.as_str()).collect();
        let is_orphan = |key: &&String| !key.contains("/manifests/") && !known.contains(key.as_str());
        self.orphans += count(keys.iter().filter(is_orphan).count());
        let first_moved = i64::try_from(expected.merged * PARTITION_BLOCKS).unwrap();
        let told: i64 = sqlx::query_scalar(TOLD_WRONG).bind(first_moved).fetch_one(&world.pool).await.unwrap();
        self.told_wrong += told;
    }

    /// One line of versions from 1 on, each following from the one before.
    fn look_at_versions(&mut self, dataset: &str, versions: &BTreeMap<u64, Version>, expected: &Expected) {
        // Two files were listed for each partition that was to be merged, then one change was made for each partition.
        let of_the_set_up = 2 * expected.merged;
        let last = of_the_set_up + expected.merged + expected.moved;
        self.changes += count(versions.range(of_the_set_up + 1..).count());
        self.missing_versions += count((1..=last).filter(|number| !versions.contains_key(number)).count());
        self.beyond_the_head += count(versions.range(last + 1..).count());
        let mut before: Option<&Version> = None;
        for (number, version) in versions {
            let Version { manifest, .. } = version;
            let is_named_right = manifest.manifest_version == *number && manifest.dataset == dataset;
            let parent = before.map(|before| &before.sha256);
            let is_linked = manifest.previous_manifest_sha256.as_ref() == parent;
            self.broken_links += i64::from(!(is_named_right && is_linked));
            self.gaps_or_overlaps += i64::from(!tile(&manifest.files));
            let files_before = before.map_or(&[][..], |before| &before.manifest.files);
            self.odd_changes += i64::from(!is_one_change(files_before, &manifest.files));
            before = Some(version);
        }
    }

    /// The newest version is the one that Postgres names, and lists what Postgres lists: whole partitions only.
    async fn look_at_head(
        &mut self,
        world: &World,
        dataset: &str,
        versions: &BTreeMap<u64, Version>,
        expected: &Expected,
    ) {
        let head: Option<Head> = sqlx::query_as(HEAD).bind(dataset).fetch_optional(&world.pool).await.unwrap();
        let (Some(head), Some((number, newest))) = (head, versions.last_key_value()) else {
            self.wrong_heads += 1;
            return;
        };
        let key = format!("cold/made/{dataset}/manifests/{number:010}.json");
        let is_named = (head.manifest_version.cast_unsigned(), head.manifest_key, head.manifest_sha256)
            == (*number, key, newest.sha256.clone());
        let partitions = expected.merged + expected.moved;
        let blocks = partitions * PARTITION_BLOCKS;
        let has_all = (head.first_block, head.watermark.cast_unsigned() + 1) == (0, blocks);
        self.wrong_heads += i64::from(!(is_named && has_all));

        let rows: Vec<(String, i64, i64, i64, i64, String)> =
            sqlx::query_as(CATALOGUE).bind(dataset).fetch_all(&world.pool).await.unwrap();
        let catalogue: Vec<File> = rows
            .into_iter()
            .map(|(key, start, end, row_count, size_bytes, sha256)| File {
                key,
                blocks: Blocks { start: start.cast_unsigned(), end: end.cast_unsigned() },
                row_count: row_count.cast_unsigned(),
                size_bytes: size_bytes.cast_unsigned(),
                sha256,
            })
            .collect();
        self.catalogue_differs += i64::from(catalogue != newest.manifest.files);
        let whole = |(place, file): (u64, &File)| {
            file.blocks == Blocks { start: place * PARTITION_BLOCKS, end: (place + 1) * PARTITION_BLOCKS }
        };
        let are_whole = catalogue.len() as u64 == partitions && (0..).zip(&catalogue).all(whole);
        self.gaps_or_overlaps += i64::from(!are_whole);
    }

    /// Nothing may be wrong, and there were exactly so many changes.
    pub(crate) fn report(&self, experiment: &mut Experiment, changes: i64) {
        experiment.equal("commits", self.changes, changes);
        experiment.zero("missing_versions", self.missing_versions);
        experiment.zero("beyond_the_head", self.beyond_the_head);
        experiment.zero("broken_links", self.broken_links);
        experiment.zero("odd_changes", self.odd_changes);
        experiment.zero("gaps_or_overlaps", self.gaps_or_overlaps);
        experiment.zero("wrong_heads", self.wrong_heads);
        experiment.zero("catalogue_differs", self.catalogue_differs);
        experiment.zero("corrupt_listed", self.corrupt_listed);
        experiment.zero("told_wrong", self.told_wrong);
        experiment.zero("orphans", self.orphans);
    }
}

/// Whether files follow each other block by block, none of them empty.
fn tile(files: &[File]) -> bool {
    let are_filled = files.iter().all(|file| file.blocks.start < file.blocks.end);
    are_filled && files.windows(2).all(|pair| pair[0].blocks.end == pair[1].blocks.start)
}

/// Whether exactly one file is new, and it either holds blocks that were not there or stands for all files that went.
fn is_one_change(before: &[File], after: &[File]) -> bool {
    let gone: Vec<&File> = before.iter().filter(|file| !after.contains(file)).collect();
    let mut new = after.iter().filter(|file| !before.contains(file));
    let (Some(new), None) = (new.next(), new.next()) else { return false };
    let rows: u64 = gone.iter().map(|file| file.row_count).sum();
    match (gone.first(), gone.last()) {
        (Some(first), Some(last)) => {
            new.blocks == Blocks { start: first.blocks.start, end: last.blocks.end } && new.row_count == rows
        }
        _ => before.iter().all(|file| new.blocks.end <= file.blocks.start || file.blocks.end <= new.blocks.start),
    }
}

fn hex_digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

/// Every key of the bucket, of which there may be more than one page.
async fn all_keys(world: &World) -> Vec<String> {
    let mut pages = world.s3.list_objects_v2().bucket(world.objects.bucket()).into_paginator().send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        keys.extend(page.unwrap().contents().iter().filter_map(|object| object.key().map(str::to_owned)));
    }
    keys
}

#[test]
fn a_history_that_is_not_one_line_is_told_from_one_that_is() {
    let file = |start, end| File {
        key: format!("{start}"),
        blocks: Blocks { start, end },
        row_count: end - start,
        size_bytes: 1,
        sha256: String::new(),
    };
    let two = [file(0, 5), file(5, 10)];
    let merged = File { key: "merged".to_owned(), ..file(0, 10) };
    assert!(is_one_change(&[], &two[..1]) && is_one_change(&two[..1], &two) && is_one_change(&two[1..], &two));
    assert!(is_one_change(&two, std::slice::from_ref(&merged)));
    assert!(!is_one_change(&two, &two), "nothing is new");
    assert!(!is_one_change(&[], &two), "two are");
    assert!(!is_one_change(&two, &[merged.clone(), file(10, 20)]), "a merge and a growth at once");
    assert!(!is_one_change(&two, &[File { row_count: 9, ..merged }]), "a row is lost");
    assert!(tile(&two) && !tile(&[file(0, 5), file(6, 10)]) && !tile(&[file(0, 5), file(4, 10)]));
}
