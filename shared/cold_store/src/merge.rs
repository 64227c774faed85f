//! Merging: one file of a whole partition in the place of the short ones that make it up between them.
//!
//! Short files come of where following began, where collecting of traces began, and where a backfill ended. Which can
//! be merged is decided by [`runs`], which is pure; [`plan`] reads what it takes to do one; [`Merger`] writes the
//! file; the manifest and the commit are those of [`crate::commit`]. The merged file has the bytes that one writer
//! would have given it, since it goes through the same writer. The objects of the short files stay: older manifests
//! name them, and so do queries that have begun. Nothing here deletes, and nothing is merged across a gap.

use std::num::NonZeroU64;

use isotherm_types::schema::SCHEMA_VERSION;
use isotherm_types::{BlockRange, ChainId, Dataset};
use sqlx::PgConnection;

use crate::catalog::{self, CatalogError, DataPartition, DatasetHead};
use crate::layout::{ChainName, Partition};

mod rewrite;

pub use rewrite::{Merger, SourceCopy};

/// A merge that can be done, and what it is done from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergePlan {
    /// Where the dataset is.
    pub head: DatasetHead,
    /// What the merged file will hold.
    pub partition: Partition,
    /// The files of `blocks` that have exactly the partition's headers, in order.
    pub(crate) header_files: Vec<DataPartition>,
}

/// The whole partitions that two or more of `files`, which are in the order of blocks, make up between them. Files of
/// other columns than this program's stay as they are.
pub fn runs(files: &[DataPartition], partition_blocks: NonZeroU64) -> Vec<BlockRange> {
    let partition_of = |file: &DataPartition| file.blocks.start().0 / partition_blocks;
    let in_partitions = files.chunk_by(|left, right| partition_of(left) == partition_of(right));
    in_partitions.filter_map(|files| whole_partition(files, partition_blocks)).collect()
}

fn whole_partition(files: &[DataPartition], partition_blocks: NonZeroU64) -> Option<BlockRange> {
    let blocks = tiled(files).filter(|_| files.len() >= 2)?;
    let is_whole = blocks.start().0 % partition_blocks == 0 && blocks.block_count() == partition_blocks.get();
    let has_our_columns = files.iter().all(|file| file.schema_version == SCHEMA_VERSION);
    (is_whole && has_our_columns).then_some(blocks)
}

/// The blocks that `files` have between them; `None` if there is a gap, or no file.
fn tiled(files: &[DataPartition]) -> Option<BlockRange> {
    let (first, last) = (files.first()?, files.last()?);
    let tiles = files.iter().zip(&files[1..]).all(|(left, right)| left.blocks.is_followed_by(right.blocks));
    BlockRange::new(first.blocks.start(), last.blocks.end()).ok().filter(|_| tiles)
}

/// The lowest merge of a dataset that can be done; `None` if there is none. To be read in one snapshot.
///
/// A partition waits until the headers of all of its blocks are cold, against which its rows are held.
///
/// # Errors
/// As [`catalog::head`].
pub async fn plan(
    conn: &mut PgConnection,
    chain_id: ChainId,
    chain: &ChainName,
    dataset: Dataset,
    partition_blocks: NonZeroU64,
) -> Result<Option<MergePlan>, CatalogError> {
    let Some(head) = catalog::head(conn, chain_id, dataset).await? else { return Ok(None) };
    let short = catalog::shorter_than(conn, chain_id, dataset, partition_blocks).await?;
    for blocks in runs(&short, partition_blocks) {
        let header_files = catalog::overlapping(conn, chain_id, Dataset::Blocks, blocks).await?;
        if tiled(&header_files) == Some(blocks) {
            let partition = Partition { chain_id, chain: chain.clone(), dataset, blocks };
            return Ok(Some(MergePlan { head, partition, header_files }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use isotherm_types::{B256, BlockNumber};

    use super::*;
    use crate::digest::Sha256Digest;

    fn file(start: u64, end: u64) -> DataPartition {
        DataPartition {
            blocks: BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap(),
            object_key: format!("{start}_{end}"),
            row_count: end - start,
            size_bytes: 1,
            sha256: Sha256Digest::of(b""),
            first_block_hash: B256::ZERO,
            last_block_hash: B256::ZERO,
            schema_version: SCHEMA_VERSION,
            manifest_version: 1,
        }
    }

    fn found(files: &[DataPartition], partition_blocks: u64) -> Vec<(u64, u64)> {
        let runs = runs(files, NonZeroU64::new(partition_blocks).unwrap());
        runs.into_iter().map(|blocks| (blocks.start().0, blocks.end().0)).collect()
    }

    #[test]
    fn whole_partitions_of_several_files_are_merged_and_nothing_else_is() {
        type Ranges<'a> = &'a [(u64, u64)];
        let table: &[(Ranges<'_>, Ranges<'_>)] = &[
            (&[], &[]),
            (&[(0, 5), (5, 10)], &[(0, 10)]),
            (&[(10, 11), (11, 19), (19, 20)], &[(10, 20)]),
            (&[(0, 5), (5, 10), (10, 15), (15, 20)], &[(0, 10), (10, 20)]),
            // Not whole: a part is missing below, above, or within; or it is one file already.
            (&[(5, 7), (7, 10)], &[]),
            (&[(0, 5), (5, 9)], &[]),
            (&[(0, 5), (6, 10)], &[]),
            (&[(0, 10)], &[]),
            // What lies across two partitions belongs to neither.
            (&[(0, 5), (5, 15), (15, 20)], &[]),
            (&[(5, 10), (20, 25), (25, 30)], &[(20, 30)]),
        ];
        for (files, expected) in table {
            let files: Vec<DataPartition> = files.iter().map(|(start, end)| file(*start, *end)).collect();
            assert_eq!(found(&files, 10), *expected, "{files:?}");
        }
    }

    #[test]
    fn files_of_other_columns_stay() {
        let other = DataPartition { schema_version: SCHEMA_VERSION + 1, ..file(5, 10) };
        assert_eq!(found(&[file(0, 5), other], 10), []);
    }

    #[test]
    fn the_last_numbers_do_not_overflow() {
        assert_eq!(found(&[file(u64::MAX - 5, u64::MAX - 2), file(u64::MAX - 2, u64::MAX)], 10), []);
    }

    proptest::proptest! {
        #[test]
        fn a_run_is_a_whole_partition_that_its_files_tile(
            lengths in proptest::collection::vec((1u64..8, 0u64..2), 0..40), size in 1u64..12,
        ) {
            let mut start = 0;
            let mut files = Vec::new();
            for (length, gap) in lengths {
                files.push(file(start, start + length));
                start += length + gap;
            }
            for (start, end) in found(&files, size) {
                proptest::prop_assert_eq!((start % size, end - start), (0, size));
                let within = files.iter().filter(|file| file.blocks.start().0 >= start && file.blocks.end().0 <= end);
                let counts: Vec<u64> = within.map(|file| file.blocks.block_count()).collect();
                proptest::prop_assert!(counts.len() >= 2);
                proptest::prop_assert_eq!(counts.iter().sum::<u64>(), size);
            }
        }
    }
}
