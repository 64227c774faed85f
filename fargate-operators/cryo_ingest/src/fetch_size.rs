//! How many blocks to fetch at once: bounded in bytes, because blocks differ by a factor of thousands. Pure.

use isotherm_types::{BlockNumber, BlockRange};

/// Blocks of the first fetch, when nothing is known of their size.
const FIRST_BLOCKS: u64 = 8;

/// Blocks of a fetch at most, however small they are.
const MOST_BLOCKS: u64 = 200;

/// Blocks of a fetch that aims at `batch_bytes`, when a block has so many bytes; at least 1.
pub fn blocks_per_fetch(batch_bytes: usize, bytes_per_block: usize) -> u64 {
    ((batch_bytes / bytes_per_block.max(1)) as u64).clamp(1, MOST_BLOCKS)
}

/// Learns how large blocks are.
#[derive(Clone, Debug)]
pub(crate) struct FetchSize {
    batch_bytes: usize,
    /// Bytes of a block lately; `None` before the first.
    bytes_per_block: Option<usize>,
}

impl FetchSize {
    pub(crate) fn new(batch_bytes: usize) -> Self {
        Self { batch_bytes, bytes_per_block: None }
    }

    /// The blocks to fetch next: from `start` on, `last` at most; `None` after that one.
    pub(crate) fn range(&self, start: BlockNumber, last: BlockNumber) -> Option<BlockRange> {
        let blocks = self.bytes_per_block.map_or(FIRST_BLOCKS, |bytes| blocks_per_fetch(self.batch_bytes, bytes));
        let end = start.0.saturating_add(blocks).min(last.0.saturating_add(1));
        BlockRange::new(start, BlockNumber(end)).ok()
    }

    /// Takes note of fetched blocks' sizes. Growth counts at once, shrinking by halves: a few small blocks among large
    /// ones do not mean that they are small now.
    pub(crate) fn learn(&mut self, size_bytes: impl ExactSizeIterator<Item = usize>) {
        let count = size_bytes.len();
        if count == 0 {
            return;
        }
        let seen = size_bytes.sum::<usize>() / count;
        self.bytes_per_block = Some(match self.bytes_per_block {
            Some(known) if seen < known => (known + seen) / 2,
            _ => seen,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn fetches_reach_every_block_once_and_equal_blocks_stay_within_the_bytes(
            bytes in 1usize..5_000, batch_bytes in 1usize..200_000, block_count in 1u64..2_000,
        ) {
            let last = BlockNumber(block_count - 1);
            let mut size = FetchSize::new(batch_bytes);
            let mut start = BlockNumber(0);
            while let Some(blocks) = size.range(start, last) {
                proptest::prop_assert_eq!(blocks.start(), start);
                let count = usize::try_from(blocks.block_count()).unwrap();
                proptest::prop_assert!(start.0 == 0 || count == 1 || count * bytes <= batch_bytes);
                size.learn(std::iter::repeat_n(bytes, count));
                start = blocks.end();
            }
            proptest::prop_assert_eq!(start, last.next());
        }
    }

    #[test]
    fn large_blocks_make_small_fetches_at_once_and_one_small_block_changes_little() {
        let mut size = FetchSize::new(1000);
        let count = |size: &FetchSize| size.range(BlockNumber(0), BlockNumber(9999)).unwrap().block_count();
        assert_eq!(count(&size), FIRST_BLOCKS);
        size.learn([10, 10].into_iter());
        assert_eq!(count(&size), 100);
        size.learn([5000].into_iter());
        assert_eq!(count(&size), 1);
        size.learn([100].into_iter());
        assert_eq!(count(&size), 1);
    }
}
