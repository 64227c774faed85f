//! Which partitions are due to move from hot to cold storage.
//!
//! Pure. Partitions end at multiples of the chain's partition size; only the first one of a chain may be shorter,
//! since a follower may start anywhere. A partition is due when its last block is final. Invariant: the due
//! partitions tile, beginning right after the watermark, so that compaction never leaves a gap.

use std::num::NonZeroU64;

use isotherm_types::{BlockNumber, BlockRange};

/// What hot and cold storage say of one dataset of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionState {
    /// First block whose rows hot storage has.
    pub first_block: BlockNumber,
    /// Last final block.
    pub finalized: BlockNumber,
    /// Last block in cold storage; `None` if nothing is cold.
    pub watermark: Option<BlockNumber>,
    /// Partition size.
    pub partition_blocks: NonZeroU64,
}

/// The partitions to compact, in order, of which no block is after `last`.
///
/// # Errors
/// [`PlanError::Gap`] if blocks after the watermark are missing from hot storage;
/// [`PlanError::NotFinal`] if `last` is not final yet.
pub fn due_partitions(state: CompactionState, last: BlockNumber) -> Result<Vec<BlockRange>, PlanError> {
    let CompactionState { first_block, finalized, watermark, partition_blocks } = state;
    if watermark.is_some_and(|watermark| watermark >= last) {
        return Ok(Vec::new());
    }
    if last > finalized {
        return Err(PlanError::NotFinal { last, finalized });
    }
    let mut start = watermark.map_or(first_block, BlockNumber::next);
    if start < first_block {
        return Err(PlanError::Gap { next: start, first_block });
    }

    let mut due = Vec::new();
    loop {
        let partition = partition_end(start, partition_blocks).and_then(|end| BlockRange::new(start, end).ok());
        match partition {
            Some(partition) if partition.last() <= last => {
                due.push(partition);
                start = partition.end();
            }
            _ => return Ok(due),
        }
    }
}

/// First block of the partition after the one that holds `block`; `None` if no block number is that high.
fn partition_end(block: BlockNumber, partition_blocks: NonZeroU64) -> Option<BlockNumber> {
    let next_index = (block.0 / partition_blocks).checked_add(1)?;
    next_index.checked_mul(partition_blocks.get()).map(BlockNumber)
}

/// Why nothing can be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Asked for blocks that a reorg may still replace.
    #[error("block {last} is not final: the last final block is {finalized}")]
    NotFinal {
        /// Last block asked for.
        last: BlockNumber,
        /// Last final block.
        finalized: BlockNumber,
    },
    /// Hot storage begins after the block that cold storage needs next.
    #[error("cold storage needs block {next} next, but hot storage begins at block {first_block}")]
    Gap {
        /// Block after the watermark.
        next: BlockNumber,
        /// First block in hot storage.
        first_block: BlockNumber,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(first_block: u64, finalized: u64, watermark: Option<u64>, partition_blocks: u64) -> CompactionState {
        CompactionState {
            first_block: BlockNumber(first_block),
            finalized: BlockNumber(finalized),
            watermark: watermark.map(BlockNumber),
            partition_blocks: NonZeroU64::new(partition_blocks).unwrap(),
        }
    }

    fn due(state: CompactionState, last: u64) -> Vec<(u64, u64)> {
        let due = due_partitions(state, BlockNumber(last)).unwrap();
        due.into_iter().map(|blocks| (blocks.start().0, blocks.end().0)).collect()
    }

    #[test]
    fn whole_partitions_up_to_the_asked_block_are_due() {
        type Row<'a> = (CompactionState, u64, &'a [(u64, u64)]);
        let table: &[Row<'_>] = &[
            (state(0, 99, None, 100), 99, &[(0, 100)]),
            (state(0, 250, None, 100), 199, &[(0, 100), (100, 200)]),
            (state(0, 250, None, 100), 250, &[(0, 100), (100, 200)]),
            (state(0, 250, Some(99), 100), 199, &[(100, 200)]),
            (state(0, 250, Some(199), 100), 199, &[]),
            (state(0, 250, Some(299), 100), 199, &[]),
            (state(0, 98, None, 100), 98, &[]),
            (state(37, 250, None, 100), 99, &[(37, 100)]),
            (state(37, 250, None, 100), 199, &[(37, 100), (100, 200)]),
            (state(99, 250, None, 100), 99, &[(99, 100)]),
            (state(100, 250, None, 100), 199, &[(100, 200)]),
            (state(200, 250, Some(199), 100), 250, &[]),
            (state(5, 6, None, 1), 6, &[(5, 6), (6, 7)]),
        ];
        for (state, last, expected) in table {
            assert_eq!(due(*state, *last), *expected, "{state:?} up to {last}");
        }
    }

    #[test]
    fn a_block_that_is_not_final_is_refused_even_if_its_neighbours_are() {
        let found = due_partitions(state(0, 98, None, 100), BlockNumber(99));
        assert_eq!(found, Err(PlanError::NotFinal { last: BlockNumber(99), finalized: BlockNumber(98) }));
    }

    #[test]
    fn a_gap_between_cold_and_hot_is_refused() {
        let found = due_partitions(state(150, 400, Some(99), 100), BlockNumber(399));
        assert_eq!(found, Err(PlanError::Gap { next: BlockNumber(100), first_block: BlockNumber(150) }));
    }

    #[test]
    fn the_last_numbers_do_not_overflow() {
        assert_eq!(due(state(u64::MAX - 3, u64::MAX - 1, None, 100), u64::MAX - 1), []);
    }

    proptest::proptest! {
        #[test]
        fn due_partitions_tile_from_the_watermark_and_are_final(
            first in 0u64..500, finalized in 0u64..2000, cold in 0u64..500, size in 1u64..300, last in 0u64..2000,
        ) {
            let watermark = (cold > 0).then(|| first + cold - 1);
            let state = state(first, finalized, watermark, size);
            let Ok(due) = due_partitions(state, BlockNumber(last)) else {
                proptest::prop_assert!(last > finalized);
                return Ok(());
            };
            let mut next = watermark.map_or(first, |watermark| watermark + 1);
            for blocks in due {
                proptest::prop_assert_eq!(blocks.start().0, next);
                proptest::prop_assert_eq!(blocks.end().0 % size, 0);
                proptest::prop_assert!(blocks.block_count() <= size);
                proptest::prop_assert!(blocks.last().0 <= last.min(finalized));
                next = blocks.end().0;
            }
        }
    }
}
