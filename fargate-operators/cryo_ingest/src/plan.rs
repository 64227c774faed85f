//! Which blocks are to be fetched, and for which datasets. Pure.
//!
//! Invariant: no block that is planned for a dataset is cold or waits in it, so that no two files hold the same block.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use isotherm_types::{BlockNumber, BlockRange, Dataset};

use crate::error::IngestError;

/// What of one dataset needs no fetching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Blocks in cold storage; they have no gap.
    pub cold: Option<BlockRange>,
    /// Files that wait until their neighbour is listed.
    pub waiting: Vec<BlockRange>,
    /// First block in hot storage.
    pub hot_first_block: Option<BlockNumber>,
}

/// Blocks to fetch once, and what to write of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The blocks.
    pub blocks: BlockRange,
    /// The datasets that lack them; never empty.
    pub datasets: Vec<Dataset>,
}

/// Checks that `blocks` are whole partitions.
///
/// # Errors
/// [`IngestError::NotWhole`] if they do not end with a partition, or begin inside one that is not block 0's and
/// `may_begin_inside` does not allow it.
pub fn check_whole(
    blocks: BlockRange,
    partition_blocks: NonZeroU64,
    may_begin_inside: bool,
) -> Result<(), IngestError> {
    let (start, size) = (blocks.start().0, partition_blocks.get());
    let begins_well = start.is_multiple_of(size) || start < size || may_begin_inside;
    match begins_well && blocks.end().0.is_multiple_of(size) {
        true => Ok(()),
        false => Err(IngestError::NotWhole { blocks, partition_blocks }),
    }
}

/// The partitions of blocks that passed [`check_whole`], in order.
pub fn partitions(blocks: BlockRange, partition_blocks: NonZeroU64) -> impl Iterator<Item = BlockRange> {
    let size = partition_blocks.get();
    let from = move |start: BlockNumber| {
        let end = BlockNumber((start.0 / size).saturating_add(1).saturating_mul(size)).min(blocks.end());
        BlockRange::new(start, end).ok()
    };
    std::iter::successors(from(blocks.start()), move |before| from(before.end()))
}

/// What is to be fetched of a partition, in the order of blocks.
pub fn work(partition: BlockRange, held: &[(Dataset, Held)]) -> Vec<Work> {
    let mut datasets: BTreeMap<(BlockNumber, BlockNumber), Work> = BTreeMap::new();
    for (dataset, held) in held {
        for blocks in missing(partition, held) {
            let empty = || Work { blocks, datasets: Vec::new() };
            datasets.entry((blocks.start(), blocks.end())).or_insert_with(empty).datasets.push(*dataset);
        }
    }
    datasets.into_values().collect()
}

/// The blocks of `partition` that one dataset lacks, in order.
///
/// While nothing is cold, the partition in which hot storage begins is fetched up to there: compaction moves the rest.
pub fn missing(partition: BlockRange, held: &Held) -> Vec<BlockRange> {
    let hot_first_block = held.hot_first_block.filter(|first| held.cold.is_none() && partition.start() < *first);
    let left_to_compaction = hot_first_block.and_then(|first| BlockRange::new(first, partition.end()).ok());
    let held = held.cold.into_iter().chain(held.waiting.iter().copied()).chain(left_to_compaction);
    let mut held: Vec<BlockRange> = held.filter_map(|blocks| blocks.intersection(partition)).collect();
    held.sort_by_key(|blocks| blocks.start());

    let mut missing = Vec::new();
    let mut next = partition.start();
    for blocks in held {
        missing.extend(BlockRange::new(next, blocks.start()));
        next = next.max(blocks.end());
    }
    missing.extend(BlockRange::new(next, partition.end()));
    missing
}

#[cfg(test)]
mod tests {
    use isotherm_types::Classified as _;

    use super::*;

    fn range(start: u64, end: u64) -> BlockRange {
        BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
    }

    fn size(blocks: u64) -> NonZeroU64 {
        NonZeroU64::new(blocks).unwrap()
    }

    #[test]
    fn a_range_is_of_whole_partitions_but_for_where_history_begins() {
        let check = |start, end, may| check_whole(range(start, end), size(100), may).map_err(|error| error.code());
        for (start, end) in [(0, 100), (200, 500), (1, 100), (99, 300)] {
            assert_eq!(check(start, end, false), Ok(()), "{start}..{end}");
        }
        for (start, end) in [(150, 300), (100, 250), (0, 99), (250, 260)] {
            assert_eq!(check(start, end, false), Err("ingest.not_whole"), "{start}..{end}");
        }
        assert_eq!(check(150, 300, true), Ok(()));
        assert_eq!(check(150, 250, true), Err("ingest.not_whole"));
    }

    #[test]
    fn partitions_end_at_multiples_of_their_size() {
        let found = |start, end, blocks| partitions(range(start, end), size(blocks)).collect::<Vec<_>>();
        assert_eq!(found(0, 200, 100), [range(0, 100), range(100, 200)]);
        assert_eq!(found(37, 200, 100), [range(37, 100), range(100, 200)]);
        assert_eq!(found(5, 7, 1), [range(5, 6), range(6, 7)]);
        let top = u64::MAX;
        assert_eq!(found(top - 2, top, 1), [range(top - 2, top - 1), range(top - 1, top)]);
        // A range of any length costs nothing before it is walked.
        assert_eq!(partitions(range(0, u64::MAX), size(1)).next(), Some(range(0, 1)));
    }

    #[test]
    fn what_is_cold_or_waits_is_left_out() {
        type Row<'a> = (Option<(u64, u64)>, &'a [(u64, u64)], Option<u64>, &'a [(u64, u64)]);
        let table: &[Row<'_>] = &[
            (None, &[], None, &[(100, 200)]),
            (Some((100, 200)), &[], None, &[]),
            (Some((0, 900)), &[], Some(500), &[]),
            (Some((200, 300)), &[], Some(200), &[(100, 200)]),
            (Some((137, 300)), &[], Some(137), &[(100, 137)]),
            (Some((0, 150)), &[], None, &[(150, 200)]),
            (Some((120, 150)), &[], None, &[(100, 120), (150, 200)]),
            (Some((300, 400)), &[(100, 200)], None, &[]),
            (None, &[(0, 100), (200, 300)], None, &[(100, 200)]),
            (Some((137, 300)), &[(100, 137)], None, &[]),
            // Nothing is cold: where hot storage begins, compaction will.
            (None, &[], Some(137), &[(100, 137)]),
            (None, &[], Some(200), &[(100, 200)]),
            (None, &[], Some(100), &[(100, 200)]),
            (None, &[], Some(50), &[(100, 200)]),
            (None, &[(100, 137)], Some(137), &[]),
        ];
        for (cold, waiting, hot, expected) in table {
            let held = Held {
                cold: cold.map(|(start, end)| range(start, end)),
                waiting: waiting.iter().map(|&(start, end)| range(start, end)).collect(),
                hot_first_block: hot.map(BlockNumber),
            };
            let expected: Vec<_> = expected.iter().map(|&(start, end)| range(start, end)).collect();
            assert_eq!(missing(range(100, 200), &held), expected, "{held:?}");
        }
    }

    #[test]
    fn datasets_that_lack_the_same_blocks_are_fetched_together() {
        let cold = |start, end| Held { cold: Some(range(start, end)), ..Held::default() };
        let held = [
            (Dataset::Blocks, cold(137, 300)),
            (Dataset::Transactions, cold(0, 900)),
            (Dataset::Logs, cold(137, 300)),
            (Dataset::Traces, cold(160, 300)),
        ];
        let expected = [
            Work { blocks: range(100, 137), datasets: vec![Dataset::Blocks, Dataset::Logs] },
            Work { blocks: range(100, 160), datasets: vec![Dataset::Traces] },
        ];
        assert_eq!(work(range(100, 200), &held), expected);
    }

    proptest::proptest! {
        #[test]
        fn planned_and_held_blocks_are_the_whole_partition_without_an_overlap(
            cold in proptest::option::of((0u64..60, 1u64..60)),
            waiting in proptest::collection::vec((0u64..60, 1u64..9), 0..5),
        ) {
            let of = |(start, count)| range(start, start + count);
            let held = Held {
                cold: cold.map(of),
                waiting: waiting.into_iter().map(of).collect(),
                hot_first_block: None,
            };
            let missing = missing(range(20, 50), &held);
            for block in (0..120).map(BlockNumber) {
                let is_held = held.cold.iter().chain(&held.waiting).any(|blocks| blocks.contains(block));
                let planned = missing.iter().filter(|blocks| blocks.contains(block)).count();
                let is_lacking = range(20, 50).contains(block) && !is_held;
                proptest::prop_assert_eq!(planned, usize::from(is_lacking));
            }
        }
    }
}
