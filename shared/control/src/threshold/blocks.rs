//! Ranges of final blocks. Pure.

use isotherm_types::{BlockNumber, BlockRange, ChainId};

use super::Facts;

/// The ranges that are due: each ends at a multiple of `every`, the first starts at `next` (or at the first stored block),
/// every other where the one before ends. Only ranges that are stored and final to the last block, at most `most`.
pub fn plan(every: u64, next: Option<BlockNumber>, facts: &Facts, most: usize) -> Vec<BlockRange> {
    let (Some(first_block), Some(tip), Some(finalized)) = (facts.first_block, facts.tip, facts.finalized) else {
        return Vec::new();
    };
    if every == 0 {
        return Vec::new();
    }
    let final_end = tip.min(finalized).next();
    let mut ranges = Vec::new();
    let mut start = next.unwrap_or(first_block);
    while ranges.len() < most {
        let Some(end) = (start.0 / every + 1).checked_mul(every).map(BlockNumber) else { break };
        if end > final_end {
            break;
        }
        let Ok(range) = BlockRange::new(start, end) else { break };
        ranges.push(range);
        start = end;
    }
    ranges
}

/// The key of the firing for `blocks` of a chain, which is in it, for a trigger may be pointed at another one.
pub fn fire_key(chain_id: ChainId, blocks: BlockRange) -> String {
    format!("blocks-{chain_id}-{}-{}", blocks.start(), blocks.end())
}

#[cfg(test)]
mod tests {
    use super::super::MOST_AT_ONCE;
    use super::*;

    fn facts(first: u64, tip: u64, finalized: u64) -> Facts {
        let (first_block, tip) = (Some(BlockNumber(first)), Some(BlockNumber(tip)));
        Facts { chain_id: ChainId(1), first_block, tip, finalized: Some(BlockNumber(finalized)), tip_age: None }
    }

    fn due(every: u64, next: Option<u64>, facts: &Facts) -> Vec<(u64, u64)> {
        let ranges = plan(every, next.map(BlockNumber), facts, MOST_AT_ONCE);
        ranges.iter().map(|range| (range.start().0, range.end().0)).collect()
    }

    #[test]
    fn a_range_is_due_once_its_last_block_is_final_and_stored() {
        assert_eq!(due(100, None, &facts(0, 500, 98)), []);
        assert_eq!(due(100, None, &facts(0, 500, 99)), [(0, 100)]);
        assert_eq!(due(100, None, &facts(0, 98, 500)), [], "final but not stored");
        assert_eq!(due(100, Some(100), &facts(0, 500, 299)), [(100, 200), (200, 300)]);
    }

    #[test]
    fn the_first_range_starts_at_the_first_stored_block() {
        assert_eq!(due(100, None, &facts(37, 300, 210)), [(37, 100), (100, 200)]);
        assert_eq!(due(100, None, &facts(200, 300, 299)), [(200, 300)]);
    }

    #[test]
    fn nothing_is_due_before_anything_is_known() {
        let unknown = Facts { finalized: None, ..facts(0, 500, 0) };
        assert_eq!(due(100, None, &unknown), []);
        let empty = Facts { first_block: None, tip: None, ..facts(0, 0, 500) };
        assert_eq!(due(100, None, &empty), []);
    }

    proptest::proptest! {
        #[test]
        fn ranges_tile_whatever_the_steps(first in 0u64..300, every in 1u64..120, steps in proptest::collection::vec(1u64..200, 1..12)) {
            let mut next = None;
            let mut covered = first;
            let mut finalized = first;
            for step in steps {
                finalized += step;
                for range in plan(every, next, &facts(first, finalized, finalized), 3) {
                    proptest::prop_assert_eq!(range.start().0, covered);
                    proptest::prop_assert!(range.last().0 <= finalized);
                    proptest::prop_assert_eq!(range.end().0 % every, 0);
                    covered = range.end().0;
                    next = Some(range.end());
                }
            }
        }
    }
}
