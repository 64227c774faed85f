//! How much to fetch and how much to store at once: bounded in bytes, because blocks differ by a factor of thousands.
//!
//! Pure; it must never leave a block out.

use isotherm_types::{BlockNumber, BlockRange};

/// Blocks of the first fetch, when nothing is known of their size.
const FIRST_BLOCKS: u64 = 8;

/// Blocks of a fetch at most, however small they are.
const MOST_BLOCKS: u64 = 200;

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

    /// The blocks to fetch next: from `start` on, `last` at most.
    pub(crate) fn range(&self, start: BlockNumber, last: BlockNumber) -> Option<BlockRange> {
        let blocks = match self.bytes_per_block {
            None => FIRST_BLOCKS,
            Some(bytes) => (self.batch_bytes / bytes.max(1)) as u64,
        };
        let end = start.0.saturating_add(blocks.clamp(1, MOST_BLOCKS)).min(last.0.saturating_add(1));
        BlockRange::new(start, BlockNumber(end)).ok()
    }

    /// Takes note of fetched blocks' sizes. Growth counts at once, shrinking by halves.
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

/// Successes in a row after which a step that had become smaller grows again.
const SUCCESSES: u32 = 8;

/// Learns how many blocks one step can take: half as many after a failure, for it may have been too much to be done in
/// time, and twice as many after some successes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepSize {
    blocks: u64,
    most: u64,
    successes: u32,
}

impl StepSize {
    /// Begins with `most` blocks, of which there must be one.
    pub(crate) fn new(most: u64) -> Self {
        Self { blocks: most, most, successes: 0 }
    }

    /// Blocks of the next step; at least 1.
    pub(crate) fn blocks(self) -> u64 {
        self.blocks
    }

    /// The upper end of `within` that is the next step.
    pub(crate) fn upper_end(self, within: BlockRange) -> BlockRange {
        let start = BlockNumber(within.end().0.saturating_sub(self.blocks)).max(within.start());
        BlockRange::new(start, within.end()).unwrap_or(within)
    }

    /// A step did not succeed.
    pub(crate) fn fail(&mut self) {
        (self.blocks, self.successes) = ((self.blocks / 2).max(1), 0);
    }

    /// A step succeeded.
    pub(crate) fn succeed(&mut self) {
        self.successes += 1;
        if self.successes >= SUCCESSES {
            (self.blocks, self.successes) = (self.blocks.saturating_mul(2).min(self.most), 0);
        }
    }
}

/// Splits blocks of these sizes into runs of at most `batch_bytes`, each of at least one block; returns the runs' ends.
pub(crate) fn split(size_bytes: impl Iterator<Item = usize>, batch_bytes: usize) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut in_run, mut seen) = (0usize, 0usize);
    for size in size_bytes {
        if seen > ends.last().copied().unwrap_or(0) && in_run.saturating_add(size) > batch_bytes {
            ends.push(seen);
            in_run = 0;
        }
        in_run = in_run.saturating_add(size);
        seen += 1;
    }
    if seen > ends.last().copied().unwrap_or(0) {
        ends.push(seen);
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_never_goes_past_the_newest_block() {
        let size = FetchSize::new(1000);
        let range = |start, last| size.range(BlockNumber(start), BlockNumber(last));
        assert_eq!(range(5, 6).unwrap().end(), BlockNumber(7));
        assert_eq!(range(5, 100).unwrap().block_count(), FIRST_BLOCKS);
        assert_eq!(range(5, 4), None);
    }

    #[test]
    fn large_blocks_make_small_fetches_at_once() {
        let mut size = FetchSize::new(1000);
        let count = |size: &FetchSize| size.range(BlockNumber(0), BlockNumber(9999)).unwrap().block_count();
        size.learn([10, 10].into_iter());
        assert_eq!(count(&size), 100);
        size.learn([5000].into_iter());
        assert_eq!(count(&size), 1);
        size.learn([100].into_iter());
        assert_eq!(count(&size), 1, "one small block among large ones does not mean that they are small now");
    }

    #[test]
    fn a_step_that_fails_is_halved_down_to_one_block_and_grows_again_slowly() {
        let mut size = StepSize::new(32);
        let blocks = BlockRange::new(BlockNumber(5), BlockNumber(105)).unwrap();
        assert_eq!(size.upper_end(blocks), BlockRange::new(BlockNumber(73), BlockNumber(105)).unwrap());
        for expected in [16, 8, 4, 2, 1, 1] {
            size.fail();
            assert_eq!(size.blocks(), expected);
            assert_eq!(size.upper_end(blocks).block_count(), expected);
        }
        for _ in 1..SUCCESSES {
            size.succeed();
        }
        assert_eq!(size.blocks(), 1);
        size.succeed();
        assert_eq!(size.blocks(), 2);
        (0..100).for_each(|_| size.succeed());
        assert_eq!(size.blocks(), 32, "never more than at first");
        let few = BlockRange::new(BlockNumber(3), BlockNumber(7)).unwrap();
        assert_eq!(size.upper_end(few), few);
    }

    proptest::proptest! {
        #[test]
        fn runs_hold_every_block_once_and_stay_within_the_bytes(
            sizes in proptest::collection::vec(1usize..50, 0..40), batch_bytes in 1usize..120,
        ) {
            let ends = split(sizes.iter().copied(), batch_bytes);
            proptest::prop_assert_eq!(ends.last().copied().unwrap_or(0), sizes.len());
            let mut start = 0;
            for end in ends {
                proptest::prop_assert!(end > start);
                let bytes: usize = sizes[start..end].iter().sum();
                proptest::prop_assert!(bytes <= batch_bytes || end - start == 1);
                start = end;
            }
        }
    }
}
