//! Short files that are merged into one: the bytes of one writer, whoever comes between, broken off after every step.

use std::num::NonZeroU64;
use std::time::Duration;

use isotherm_cold_store::catalog::pending::{self, RecordOutcome};
use isotherm_cold_store::catalog::{self, CommitOutcome};
use isotherm_cold_store::merge;
use isotherm_cold_store::{ChainName, Change, ColdStoreError, CommittedManifest, CurrentManifest, ObjectDigest};
use isotherm_types::{BlockRange, Classified, Dataset};
use sqlx::Connection;

use crate::bucket::staged;
use crate::rows::range;
use crate::write_protocol::{self, Cold, DATASET, chain};

const PARTITION_BLOCKS: NonZeroU64 = NonZeroU64::new(10).unwrap();

/// Steps after which a merge can break off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Staged,
    Stored,
    Listed,
    /// All statements were made, but the transaction is not committed.
    Committing,
    Committed,
}

/// Puts a file of any dataset after what is cold of it.
async fn add(cold: &Cold, dataset: Dataset, blocks: BlockRange) {
    let objects = &cold.bucket.objects;
    let stored = staged(chain(), dataset, blocks).store(objects).await.unwrap();
    let head = catalog::head(&mut cold.connect().await, chain().chain_id, dataset).await.unwrap();
    let current = CurrentManifest::load(objects, head.as_ref()).await.unwrap();
    let listing = stored.list(objects, &current).await.unwrap();
    assert_eq!(cold.commit(listing.manifest()).await, CommitOutcome::Committed);
}

async fn plan(cold: &Cold, dataset: Dataset) -> Option<merge::MergePlan> {
    let name = ChainName::new("made").unwrap();
    let mut conn = cold.connect().await;
    merge::plan(&mut conn, chain().chain_id, &name, dataset, PARTITION_BLOCKS).await.unwrap()
}

/// The lowest merge that is to be done, up to and with `last`; what came of listing it, if it came so far.
pub(crate) async fn merge_once(
    cold: &Cold,
    dataset: Dataset,
    last: Step,
) -> Result<Option<CommittedManifest>, ColdStoreError> {
    let Some(plan) = plan(cold, dataset).await else { return Ok(None) };
    let objects = &cold.bucket.objects;
    let current = CurrentManifest::load(objects, Some(&plan.head)).await?;
    let mut merger = plan.begin(objects, &current, &std::env::temp_dir()).await?;
    while let Some(source) = merger.fetch_next(objects).await? {
        merger = merger.append(&source)?;
    }
    let merged = merger.finish()?;
    if last == Step::Staged {
        return Ok(None);
    }
    let stored = merged.store(objects).await?;
    if last == Step::Stored {
        return Ok(None);
    }
    let listing = stored.replace(objects, &current).await?;
    let manifest = listing.manifest();
    if last == Step::Listed {
        return Ok(Some(manifest.clone()));
    }
    let mut conn = cold.connect().await;
    let mut db_tx = conn.begin().await.unwrap();
    catalog::commit(&mut db_tx, manifest).await?;
    match last {
        Step::Committing => db_tx.rollback().await.unwrap(),
        _ => db_tx.commit().await.unwrap(),
    }
    Ok(Some(manifest.clone()))
}

/// Transactions in files of 0..4, 4..10 and 10..20, with their headers.
pub(crate) async fn with_short_files() -> Cold {
    let cold = Cold::create().await;
    for blocks in [range(0, 10), range(10, 20)] {
        add(&cold, Dataset::Blocks, blocks).await;
    }
    for blocks in [range(0, 4), range(4, 10), range(10, 20)] {
        add(&cold, DATASET, blocks).await;
    }
    cold
}

#[tokio::test]
async fn a_merged_file_has_the_bytes_of_one_writer_and_the_short_ones_stay() {
    let cold = Cold::create().await;
    let runs = [range(0, 3), range(3, 4), range(4, 10), range(10, 20)];
    for dataset in [Dataset::Blocks, Dataset::Transactions, Dataset::Logs, Dataset::Traces] {
        for blocks in runs {
            add(&cold, dataset, blocks).await;
        }
    }
    // The headers come out of short files and of a merged one.
    for dataset in [Dataset::Logs, Dataset::Blocks, Dataset::Transactions, Dataset::Traces] {
        let mut conn = cold.connect().await;
        let before = catalog::partitions(&mut conn, chain().chain_id, dataset).await.unwrap();
        let manifest = merge_once(&cold, dataset, Step::Committed).await.unwrap().unwrap();
        assert_eq!(manifest.change(), Change::Replaced { index: 0, file_count: 3 });

        let one_writer = staged(chain(), dataset, range(0, 10));
        assert_eq!(manifest.newest_file().digest(), one_writer.file().digest(), "{dataset}");
        let rows: u64 = before[..3].iter().map(|file| file.row_count).sum();
        assert_eq!(manifest.newest_file().row_count, rows, "{dataset}");
        let after = catalog::partitions(&mut conn, chain().chain_id, dataset).await.unwrap();
        let blocks: Vec<BlockRange> = after.iter().map(|file| file.blocks).collect();
        assert_eq!(blocks, [range(0, 10), range(10, 20)], "{dataset}");
        assert_eq!(after[1], before[3], "{dataset}");

        // A query that has begun reads the files that it was told of.
        for file in &before {
            let digest = ObjectDigest { size_bytes: file.size_bytes, sha256: file.sha256 };
            cold.bucket.objects.verify(&file.object_key, &digest).await.unwrap();
        }
        assert!(merge_once(&cold, dataset, Step::Committed).await.unwrap().is_none(), "{dataset}");
    }
}

#[tokio::test]
async fn a_merge_that_breaks_off_after_any_step_is_completed_by_the_next() {
    for last in [Step::Staged, Step::Stored, Step::Listed, Step::Committing, Step::Committed] {
        let cold = with_short_files().await;
        merge_once(&cold, DATASET, last).await.unwrap();
        if last != Step::Committed {
            cold.check(&[range(0, 4), range(4, 10), range(10, 20)]).await;
            merge_once(&cold, DATASET, Step::Committed).await.unwrap();
        }
        cold.check_history(&[range(0, 10), range(10, 20)], 4).await;
        // Cold storage goes on from there.
        cold.run(range(20, 30), write_protocol::Step::Committed).await.unwrap();
        cold.check_history(&[range(0, 10), range(10, 20), range(20, 30)], 5).await;
    }
}

#[tokio::test]
async fn whoever_writes_the_next_manifest_first_is_adopted_by_the_other() {
    let cold = with_short_files().await;
    let left = merge_once(&cold, DATASET, Step::Listed).await.unwrap().unwrap();
    // A compactor finds the manifest of a merge that died.
    cold.run(range(20, 30), write_protocol::Step::Committed).await.unwrap();
    cold.check_history(&[range(0, 10), range(10, 20), range(20, 30)], 5).await;
    assert_eq!(cold.commit(&left).await, CommitOutcome::AlreadyCommitted);

    // A merge finds the manifest of a compactor that died.
    let cold = with_short_files().await;
    cold.run(range(20, 30), write_protocol::Step::Listed).await.unwrap();
    let theirs = merge_once(&cold, DATASET, Step::Committed).await.unwrap().unwrap();
    assert_eq!((theirs.change(), theirs.newest_file().blocks), (Change::Last, range(20, 30)));
    cold.check(&[range(0, 4), range(4, 10), range(10, 20), range(20, 30)]).await;
    merge_once(&cold, DATASET, Step::Committed).await.unwrap();
    cold.check_history(&[range(0, 10), range(10, 20), range(20, 30)], 5).await;
}

#[tokio::test]
async fn two_merges_at_once_make_one_file_and_one_history() {
    let cold = with_short_files().await;
    let (left, right) =
        tokio::join!(merge_once(&cold, DATASET, Step::Committed), merge_once(&cold, DATASET, Step::Committed));
    // The later one may find nothing to do any more.
    for manifest in [left.unwrap(), right.unwrap()].into_iter().flatten() {
        assert_eq!(manifest.change(), Change::Replaced { index: 0, file_count: 2 });
    }
    cold.check_history(&[range(0, 10), range(10, 20)], 4).await;
}

#[tokio::test]
async fn a_merge_waits_until_the_headers_of_its_blocks_are_cold() {
    let cold = Cold::create().await;
    for blocks in [range(0, 4), range(4, 10)] {
        add(&cold, DATASET, blocks).await;
    }
    assert_eq!(plan(&cold, DATASET).await, None);
    add(&cold, Dataset::Blocks, range(0, 6)).await;
    assert_eq!(plan(&cold, DATASET).await, None);
    add(&cold, Dataset::Blocks, range(6, 10)).await;
    merge_once(&cold, DATASET, Step::Committed).await.unwrap();
    cold.check_history(&[range(0, 10)], 3).await;
}

#[tokio::test]
async fn what_was_altered_is_not_merged() {
    for (dataset, blocks) in [(DATASET, range(4, 10)), (Dataset::Blocks, range(0, 10))] {
        let cold = with_short_files().await;
        let source = staged(chain(), dataset, blocks);
        let mut altered = std::fs::read(source.path()).unwrap();
        altered[100] ^= 1;
        cold.bucket.overwrite(&source.file().key, &altered).await;
        let refused = merge_once(&cold, DATASET, Step::Committed).await.unwrap_err();
        assert_eq!(refused.code(), "cold_store.object_altered");
        cold.bucket.delete(&source.file().key).await;
        let refused = merge_once(&cold, DATASET, Step::Committed).await.unwrap_err();
        assert_eq!(refused.code(), "cold_store.object_missing");
        let mut conn = cold.connect().await;
        assert_eq!(catalog::partitions(&mut conn, chain().chain_id, DATASET).await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_catalogue_that_does_not_have_the_merged_files_is_left_as_it_is() {
    let cold = with_short_files().await;
    let manifest = merge_once(&cold, DATASET, Step::Listed).await.unwrap().unwrap();
    let mut conn = cold.connect().await;
    let lose = "DELETE FROM cold.data_partitions WHERE dataset = 'transactions' AND start_block = 4";
    sqlx::raw_sql(lose).execute(&mut conn).await.unwrap();
    let mut db_tx = conn.begin().await.unwrap();
    let refused = catalog::commit(&mut db_tx, &manifest).await.unwrap_err();
    assert_eq!(refused.code(), "cold_store.catalog_corrupt");
    assert!(refused.to_string().contains("0..10"), "{refused}");
    db_tx.rollback().await.unwrap();
    assert_eq!(catalog::partitions(&mut conn, chain().chain_id, DATASET).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_merge_makes_nothing_younger_than_it_is() {
    let cold = with_short_files().await;
    let mut conn = cold.connect().await;
    let backdate = "UPDATE cold.data_partitions SET committed_at = now() - interval '1 hour' * (1 + start_block)";
    sqlx::raw_sql(backdate).execute(&mut conn).await.unwrap();
    merge_once(&cold, DATASET, Step::Committed).await.unwrap();
    // The youngest of its parts, the one of block 0, became cold an hour ago.
    let age = catalog::age(&mut conn, chain().chain_id, DATASET, range(0, 10)).await.unwrap().unwrap();
    let hour = Duration::from_secs(3_600);
    assert!(hour <= age && age < 2 * hour, "{age:?}");
    assert_eq!(catalog::age(&mut conn, chain().chain_id, DATASET, range(20, 30)).await.unwrap(), None);
}

#[tokio::test]
async fn a_file_that_was_merged_meanwhile_does_not_begin_to_wait() {
    let cold = with_short_files().await;
    merge_once(&cold, DATASET, Step::Committed).await.unwrap();
    for blocks in [range(0, 4), range(4, 10)] {
        let late = cold.store(blocks).await;
        let mut conn = cold.connect().await;
        let outcome = pending::record(&mut conn, &late, None).await.unwrap();
        assert_eq!(outcome, RecordOutcome::AlreadyCommitted, "{blocks}");
    }
}
