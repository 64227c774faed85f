//! Where a block stands: chain, number, hash, and runs of blocks.
//!
//! A block's identity is its hash; its number is a place that a reorg may give to another block.

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};

/// Chain identifier. Source: EIP-155; `eth_chainId`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(pub u64);

impl std::fmt::Display for ChainId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of a block on its chain; the genesis block is 0.
///
/// Unit: blocks. Source: `number` of the Execution API's block object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockNumber(pub u64);

impl BlockNumber {
    /// The block after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The block before this one; `None` for genesis.
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl std::fmt::Display for BlockNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One block: its number and its hash together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    /// Place on the chain.
    pub number: BlockNumber,
    /// Keccak-256 of the RLP header. Source: Yellow Paper §4.3.
    pub hash: B256,
}

impl std::fmt::Display for BlockRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "block {} ({})", self.number, self.hash)
    }
}

/// A half-open run of blocks, `start..end`. Never empty.
///
/// As JSON: `{"start": 100, "end": 200}`, `end` not included; an empty one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RangeFields", into = "RangeFields")]
pub struct BlockRange {
    start: BlockNumber,
    end: BlockNumber,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeFields {
    start: BlockNumber,
    end: BlockNumber,
}

impl TryFrom<RangeFields> for BlockRange {
    type Error = EmptyRange;

    fn try_from(fields: RangeFields) -> Result<Self, EmptyRange> {
        Self::new(fields.start, fields.end)
    }
}

impl From<BlockRange> for RangeFields {
    fn from(range: BlockRange) -> Self {
        Self { start: range.start, end: range.end }
    }
}

impl BlockRange {
    /// Builds `start..end`.
    ///
    /// # Errors
    /// [`EmptyRange`] if `end` is not after `start`.
    pub fn new(start: BlockNumber, end: BlockNumber) -> Result<Self, EmptyRange> {
        if end <= start {
            return Err(EmptyRange { start, end });
        }
        Ok(Self { start, end })
    }

    /// The run that holds only `block`.
    pub fn single(block: BlockNumber) -> Self {
        Self { start: block, end: block.next() }
    }

    /// The run from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`EmptyRange`] if `last` is before `first`.
    pub fn inclusive(first: BlockNumber, last: BlockNumber) -> Result<Self, EmptyRange> {
        Self::new(first, last.next())
    }

    /// First block of the run.
    pub fn start(self) -> BlockNumber {
        self.start
    }

    /// First block after the run.
    pub fn end(self) -> BlockNumber {
        self.end
    }

    /// Last block of the run.
    pub fn last(self) -> BlockNumber {
        BlockNumber(self.end.0 - 1)
    }

    /// Blocks covered; at least 1.
    pub fn block_count(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Whether `block` lies in the run.
    pub fn contains(self, block: BlockNumber) -> bool {
        self.start <= block && block < self.end
    }

    /// Whether `next` begins exactly where this range ends.
    pub fn is_followed_by(self, next: Self) -> bool {
        self.end == next.start
    }

    /// Blocks that both runs hold; `None` if there is none.
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end)).ok()
    }
}

impl std::fmt::Display for BlockRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// A block range whose end is not after its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block range {start}..{end} is empty")]
pub struct EmptyRange {
    /// The start that was given.
    pub start: BlockNumber,
    /// The end that was given.
    pub end: BlockNumber,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> BlockRange {
        BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
    }

    #[test]
    fn an_empty_range_cannot_be_built_nor_read() {
        assert!(BlockRange::new(BlockNumber(5), BlockNumber(5)).is_err());
        assert!(serde_json::from_str::<BlockRange>(r#"{"start":5,"end":4}"#).is_err());
        assert_eq!(serde_json::from_str::<BlockRange>(r#"{"start":5,"end":6}"#).unwrap(), range(5, 6));
    }

    #[test]
    fn genesis_is_a_block_like_any_other() {
        assert_eq!(BlockRange::single(BlockNumber(0)).block_count(), 1);
        assert_eq!(BlockNumber(0).previous(), None);
    }

    proptest::proptest! {
        #[test]
        fn an_intersection_holds_exactly_the_shared_blocks(a in 0u64..40, n in 1u64..20, b in 0u64..40, m in 1u64..20) {
            let (left, right) = (range(a, a + n), range(b, b + m));
            for number in (0..70).map(BlockNumber) {
                let shared = left.contains(number) && right.contains(number);
                let found = left.intersection(right).is_some_and(|both| both.contains(number));
                proptest::prop_assert_eq!(shared, found);
            }
        }
    }
}
