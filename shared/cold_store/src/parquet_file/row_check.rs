//! The check of every row before it is written.
//!
//! A row belongs to a file if it has the dataset's columns, is of the partition's chain and range, names the hash of
//! its block, and stands after the row before it; a block is complete if it has as many rows as its header or its
//! transactions say. The blocks are known from the beginning, or come run by run, each before its rows. Pure.
//! Invariant: what passes is sorted and has no duplicates.

use arrow::array::{Array, AsArray, FixedSizeBinaryArray, RecordBatch};
use arrow::datatypes::{DataType, UInt32Type, UInt64Type};
use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset};

use super::ParquetFileError;
use crate::blocks::{PartitionBlocks, PartitionBlocksBuilder};
use crate::layout::Partition;

/// A row's place in its dataset: its block, then its index in it.
type Place = (u64, u64);

pub(super) struct RowCheck {
    chain_id: ChainId,
    dataset: Dataset,
    range: BlockRange,
    /// The blocks whose rows may come.
    blocks: PartitionBlocksBuilder,
    /// Rows that each of these must have; `None` if nobody knows.
    expected_rows: Option<Vec<u64>>,
    found_rows: Vec<u64>,
    last: Option<Place>,
    row_count: u64,
}

impl RowCheck {
    /// A check whose blocks are all known.
    pub(super) fn new(partition: &Partition, blocks: PartitionBlocks, rows_per_block: Option<Vec<u64>>) -> Self {
        let block_count = blocks.transaction_counts().len();
        // A block is its own only row, whatever the caller knows.
        let own = (partition.dataset == Dataset::Blocks).then(|| vec![1; block_count]);
        Self {
            blocks: blocks.into(),
            expected_rows: own.or(rows_per_block),
            found_rows: vec![0; block_count],
            ..Self::growing(partition)
        }
    }

    /// A check whose blocks are to come.
    pub(super) fn growing(partition: &Partition) -> Self {
        Self {
            chain_id: partition.chain_id,
            dataset: partition.dataset,
            range: partition.blocks,
            blocks: PartitionBlocks::builder(partition.blocks),
            expected_rows: Some(Vec::new()),
            found_rows: Vec::new(),
            last: None,
            row_count: 0,
        }
    }

    /// Takes in the next blocks, and how many rows each must have.
    pub(super) fn extend(&mut self, blocks: &RecordBatch, rows_per_block: &[u64]) -> Result<(), ParquetFileError> {
        if rows_per_block.len() != blocks.num_rows() {
            return Err(ParquetFileError::Counts { blocks: blocks.num_rows(), counts: rows_per_block.len() });
        }
        self.blocks.push(blocks)?;
        self.found_rows.resize(self.blocks.len(), 0);
        if let Some(expected) = &mut self.expected_rows {
            match self.dataset {
                Dataset::Blocks => expected.resize(self.blocks.len(), 1),
                Dataset::Transactions | Dataset::Logs | Dataset::Traces => expected.extend_from_slice(rows_per_block),
            }
        }
        Ok(())
    }

    pub(super) fn row_count(&self) -> u64 {
        self.row_count
    }

    /// The same rows under the dataset's own schema, once all of them are found to belong here.
    pub(super) fn check(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ParquetFileError> {
        let batch = self.with_own_schema(batch)?;
        let chain_ids = column(&batch, "chain_id").as_primitive::<UInt64Type>();
        let numbers = column(&batch, "block_number").as_primitive::<UInt32Type>();
        let hashes = column(&batch, "block_hash").as_fixed_size_binary();
        let index = index_reader(&batch, self.dataset);
        for row in 0..batch.num_rows() {
            let found = ChainId(chain_ids.value(row));
            if found != self.chain_id {
                return Err(ParquetFileError::Chain { expected: self.chain_id, found });
            }
            let block = BlockNumber(u64::from(numbers.value(row)));
            self.check_block(block, hashes, row)?;
            let place = (block.0, index(row));
            if let Some(before) = self.last.filter(|before| *before >= place) {
                return Err(ParquetFileError::Order { dataset: self.dataset, before, found: place });
            }
            self.last = Some(place);
        }
        self.row_count += batch.num_rows() as u64;
        drop(index);
        Ok(batch)
    }

    /// The blocks and the number of rows, once every block is there and found to have all of its rows.
    pub(super) fn finish(self) -> Result<(PartitionBlocks, u64), ParquetFileError> {
        let blocks = self.blocks.finish()?;
        let expected = self.expected_rows.iter().flatten();
        let wrong = expected.zip(&self.found_rows).zip(self.range.start().0..).find(|((left, right), _)| left != right);
        match wrong {
            None => Ok((blocks, self.row_count)),
            Some(((expected, found), block)) => Err(ParquetFileError::RowCount {
                dataset: self.dataset,
                block: BlockNumber(block),
                expected: *expected,
                found: *found,
            }),
        }
    }

    fn with_own_schema(&self, batch: &RecordBatch) -> Result<RecordBatch, ParquetFileError> {
        let schema = self.dataset.schema();
        let given: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        let expected: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
        if given != expected {
            return Err(ParquetFileError::Columns { dataset: self.dataset, given });
        }
        // Refuses other types, and absent values where there must be one.
        Ok(RecordBatch::try_new(schema, batch.columns().to_vec())?)
    }

    fn check_block(
        &mut self,
        block: BlockNumber,
        hashes: &FixedSizeBinaryArray,
        row: usize,
    ) -> Result<(), ParquetFileError> {
        let Some((index, expected)) = self.blocks.find(block) else {
            return Err(match self.range.contains(block) {
                true => ParquetFileError::TooEarly { dataset: self.dataset, block },
                false => ParquetFileError::OutsideRange { block, blocks: self.range },
            });
        };
        let found = hashes.value(row);
        if found != expected.as_slice() {
            let found = B256::from_slice(found);
            return Err(ParquetFileError::BlockHash { dataset: self.dataset, block, expected, found });
        }
        self.found_rows[index] += 1;
        Ok(())
    }
}

/// Reads a row's index in its block; 0 for blocks themselves.
fn index_reader(batch: &RecordBatch, dataset: Dataset) -> Box<dyn Fn(usize) -> u64 + '_> {
    let Some(name) = dataset.sort_columns().get(1) else { return Box::new(|_| 0) };
    let indexes = column(batch, name);
    match indexes.data_type() {
        DataType::UInt32 => {
            let indexes = indexes.as_primitive::<UInt32Type>();
            Box::new(|row| u64::from(indexes.value(row)))
        }
        _ => {
            let indexes = indexes.as_primitive::<UInt64Type>();
            Box::new(|row| indexes.value(row))
        }
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a dyn Array {
    batch.column_by_name(name).expect("every dataset has the column, and the batch has its schema")
}
