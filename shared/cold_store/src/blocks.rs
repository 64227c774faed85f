//! The blocks of a partition: every one there, each the child of the one before.
//!
//! Built from the rows of `blocks` that belong to the rows to be written: read in the same snapshot, or made of the
//! same answers of an endpoint. Each of those can then be held against the hash of its block. Pure. Never says that a
//! range is complete when a block is missing.

use arrow::array::{Array, FixedSizeBinaryArray, RecordBatch, UInt32Array};
use isotherm_types::disposition::{Classified, Disposition};
use isotherm_types::{B256, BlockNumber, BlockRange};

/// Columns of `blocks` that [`PartitionBlocksBuilder::push`] reads.
pub const LINK_COLUMNS: &[&str] = &["block_number", "block_hash", "parent_hash", "transaction_count"];

/// Every block of a range, in one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBlocks {
    blocks: BlockRange,
    parent_hash: B256,
    hashes: Vec<B256>,
    transaction_counts: Vec<u64>,
}

impl PartitionBlocks {
    /// Begins to take in the blocks of a range.
    pub fn builder(blocks: BlockRange) -> PartitionBlocksBuilder {
        PartitionBlocksBuilder { blocks, parent_hash: None, hashes: Vec::new(), transaction_counts: Vec::new() }
    }

    /// The range.
    pub fn blocks(&self) -> BlockRange {
        self.blocks
    }

    /// Parent of the first block.
    pub fn parent_hash(&self) -> B256 {
        self.parent_hash
    }

    /// Hash of the first block.
    pub fn first_hash(&self) -> B256 {
        self.hashes[0]
    }

    /// Hash of the last block.
    pub fn last_hash(&self) -> B256 {
        self.hashes[self.hashes.len() - 1]
    }

    /// Hash of `block`; `None` outside the range.
    pub fn hash(&self, block: BlockNumber) -> Option<B256> {
        self.index(block).map(|index| self.hashes[index])
    }

    /// Transactions of each block in order, by its header's row.
    pub fn transaction_counts(&self) -> &[u64] {
        &self.transaction_counts
    }

    /// Position of `block` in the range, from 0; `None` outside it.
    pub fn index(&self, block: BlockNumber) -> Option<usize> {
        index_of(block, self.blocks, self.hashes.len())
    }
}

impl From<PartitionBlocks> for PartitionBlocksBuilder {
    /// A builder that all blocks are in.
    fn from(whole: PartitionBlocks) -> Self {
        let PartitionBlocks { blocks, parent_hash, hashes, transaction_counts } = whole;
        Self { blocks, parent_hash: Some(parent_hash), hashes, transaction_counts }
    }
}

/// Takes in the blocks of a range, in order.
#[derive(Debug)]
pub struct PartitionBlocksBuilder {
    blocks: BlockRange,
    parent_hash: Option<B256>,
    hashes: Vec<B256>,
    transaction_counts: Vec<u64>,
}

impl PartitionBlocksBuilder {
    /// Blocks that are in so far; the next one is that many after the range's start.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether none is in yet.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Position of `block` in the range, from 0, and its hash; `None` unless it is in.
    pub fn find(&self, block: BlockNumber) -> Option<(usize, B256)> {
        index_of(block, self.blocks, self.hashes.len()).map(|index| (index, self.hashes[index]))
    }

    /// Takes in rows of `blocks` that have at least [`LINK_COLUMNS`].
    ///
    /// # Errors
    /// [`LinkError`] at the first block that is not the child of the one before.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), LinkError> {
        let numbers: &UInt32Array = column(batch, "block_number")?;
        let hashes: &FixedSizeBinaryArray = column(batch, "block_hash")?;
        let parents: &FixedSizeBinaryArray = column(batch, "parent_hash")?;
        let counts: &UInt32Array = column(batch, "transaction_count")?;
        for row in 0..batch.num_rows() {
            let found = BlockNumber(u64::from(numbers.value(row)));
            let expected = BlockNumber(self.blocks.start().0 + self.hashes.len() as u64);
            if found != expected || !self.blocks.contains(found) {
                return Err(LinkError::Sequence { blocks: self.blocks, expected, found });
            }
            let (hash, parent) = (hash_at(hashes, row)?, hash_at(parents, row)?);
            match self.hashes.last() {
                None => self.parent_hash = Some(parent),
                Some(before) if *before == parent => {}
                Some(before) => return Err(LinkError::Parent { block: found, parent, before: *before }),
            }
            self.hashes.push(hash);
            self.transaction_counts.push(u64::from(counts.value(row)));
        }
        Ok(())
    }

    /// The range, once all of its blocks are in.
    ///
    /// # Errors
    /// [`LinkError::Missing`] if blocks are missing at its end.
    pub fn finish(self) -> Result<PartitionBlocks, LinkError> {
        let Self { blocks, parent_hash, hashes, transaction_counts } = self;
        match parent_hash {
            Some(parent_hash) if hashes.len() as u64 == blocks.block_count() => {
                Ok(PartitionBlocks { blocks, parent_hash, hashes, transaction_counts })
            }
            _ => Err(LinkError::Missing { blocks, found: hashes.len() as u64 }),
        }
    }
}

/// Position of `block` in the range, from 0; `None` unless it is one of the first `count` blocks.
fn index_of(block: BlockNumber, blocks: BlockRange, count: usize) -> Option<usize> {
    let offset = block.0.checked_sub(blocks.start().0)?;
    usize::try_from(offset).ok().filter(|index| *index < count)
}

fn column<'a, T: Array + 'static>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a T, LinkError> {
    let column = batch.column_by_name(name).filter(|column| column.null_count() == 0);
    column.and_then(|column| column.as_any().downcast_ref()).ok_or(LinkError::Column { name })
}

fn hash_at(hashes: &FixedSizeBinaryArray, row: usize) -> Result<B256, LinkError> {
    B256::try_from(hashes.value(row)).map_err(|_| LinkError::Column { name: "block_hash" })
}

/// Why rows of `blocks` are not one chain over a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A column is missing, of another type, or has absent values.
    #[error("the rows of blocks have no usable column {name}")]
    Column {
        /// The column.
        name: &'static str,
    },
    /// A block is missing, doubled, or outside the range.
    #[error("block {found} came where block {expected} of blocks {blocks} belongs")]
    Sequence {
        /// The range.
        blocks: BlockRange,
        /// The block that was to come.
        expected: BlockNumber,
        /// The one that came.
        found: BlockNumber,
    },
    /// A block is no child of the one before.
    #[error("the parent of block {block} is {parent}, but the block before is {before}")]
    Parent {
        /// The block.
        block: BlockNumber,
        /// Its parent.
        parent: B256,
        /// Hash of the block before.
        before: B256,
    },
    /// The rows ended before the range did.
    #[error("only {found} of the {} blocks {blocks} are there", blocks.block_count())]
    Missing {
        /// The range.
        blocks: BlockRange,
        /// Blocks that came.
        found: u64,
    },
}

impl Classified for LinkError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Column { .. } | Self::Sequence { .. } | Self::Parent { .. } | Self::Missing { .. } => {
                Disposition::GiveUp
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Column { .. } => "cold_store.columns",
            Self::Sequence { .. } | Self::Missing { .. } => "cold_store.missing_block",
            Self::Parent { .. } => "cold_store.broken_chain",
        }
    }
}
