//! Chains whose every value holds the mark of whom it is for: one of each organisation, and one that both may read in
//! part.

use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch};
use isotherm_cold_store::{ChainName, ObjectStore, Partition};
use isotherm_hot_store::{BlockBatch, append, cursor};
use isotherm_types::schema::Column;
use isotherm_types::{B256, BlockNumber, BlockRange, BlockRef, ChainId, Dataset};
use sqlx::PgConnection;

use super::party::{Mark, NEUTRAL, PARTIES};
use crate::made_chain::{self, array_of, range};

/// What is collected of each chain.
pub(crate) const DATASETS: [Dataset; 3] = [Dataset::Blocks, Dataset::Transactions, Dataset::Logs];
/// Blocks of a chain; the first two partitions are cold.
pub(crate) const BLOCKS: u64 = 29;
const PARTITION_BLOCKS: u64 = 10;
/// Transactions in each block, with a log each.
const TRANSACTIONS: u64 = 2;

/// A chain.
pub(crate) struct Chain {
    /// In its name, and in what all its datasets have in common.
    mark: Mark,
    /// In all else of each dataset.
    of_dataset: fn(Dataset) -> Mark,
}

impl Chain {
    /// That of an organisation.
    pub(crate) fn of(mark: Mark) -> Self {
        let of_dataset: fn(Dataset) -> Mark =
            if mark == PARTIES[0].mark { |_| PARTIES[0].mark } else { |_| PARTIES[1].mark };
        Self { mark, of_dataset }
    }

    /// That of which the first organisation may read logs, and the second one all else.
    pub(crate) fn common() -> Self {
        let of_dataset: fn(Dataset) -> Mark = |dataset| match dataset {
            Dataset::Logs => PARTIES[0].mark,
            Dataset::Blocks | Dataset::Transactions | Dataset::Traces => PARTIES[1].mark,
        };
        Self { mark: NEUTRAL, of_dataset }
    }

    pub(crate) fn id(&self) -> ChainId {
        ChainId(self.mark.chain_id())
    }

    /// Writes it to hot storage as a follower does, and part of it to cold storage as a compactor does.
    pub(crate) async fn store(&self, conn: &mut PgConnection, objects: &ObjectStore, scratch: &Path) {
        cursor::ensure(conn, self.id(), &self.mark.chain(), PARTITION_BLOCKS).await.unwrap();
        let blocks = range(0, BLOCKS);
        let batch = BlockBatch {
            blocks,
            parent_hash: self.parent_hash(0),
            tip: BlockRef { number: blocks.last(), hash: self.hash(blocks.last().0) },
            rows: DATASETS.map(|dataset| (dataset, self.rows(dataset, blocks))).to_vec(),
            served_at: chrono::DateTime::UNIX_EPOCH,
        };
        append(conn, self.id(), &batch).await.unwrap();
        for start in [0, PARTITION_BLOCKS] {
            for dataset in DATASETS {
                let blocks = range(start, start + PARTITION_BLOCKS);
                let chain = ChainName::new(&self.mark.chain()).unwrap();
                let partition = Partition { chain_id: self.id(), chain, dataset, blocks };
                let rows = |dataset| self.rows(dataset, blocks);
                made_chain::commit(conn, objects, scratch, partition, rows).await;
            }
        }
    }

    fn hash(&self, block: u64) -> B256 {
        B256::from_slice(&self.mark.bytes(block, 32))
    }

    fn parent_hash(&self, block: u64) -> B256 {
        block.checked_sub(1).map_or(B256::ZERO, |before| self.hash(before))
    }

    fn rows(&self, dataset: Dataset, blocks: BlockRange) -> RecordBatch {
        let per_block = if dataset == Dataset::Blocks { 1 } else { TRANSACTIONS };
        let BlockNumber(end) = blocks.end();
        let places: Vec<(u64, u64)> =
            (blocks.start().0..end).flat_map(|block| (0..per_block).map(move |index| (block, index))).collect();
        let arrays = dataset.columns().iter().map(|column| self.array(dataset, column, &places));
        RecordBatch::try_new(dataset.schema(), arrays.collect()).unwrap()
    }

    fn array(&self, dataset: Dataset, column: &Column, places: &[(u64, u64)]) -> ArrayRef {
        let own = (self.of_dataset)(dataset);
        let number = |&(block, index): &(u64, u64)| match column.name {
            "block_number" => block,
            "chain_id" => self.id().0,
            "transaction_count" => TRANSACTIONS,
            "transaction_index" | "log_index" => index,
            "log_count" => 1,
            "timestamp" => self.mark.number + block,
            _ => own.number + value_of(block, index),
        };
        let numbers: Vec<u64> = places.iter().map(number).collect();
        let bytes = |place: usize, length: Option<usize>| {
            let ((block, index), length) = (places[place], length.unwrap_or(12));
            match column.name {
                "block_hash" => self.hash(block).to_vec(),
                "parent_hash" => self.parent_hash(block).to_vec(),
                "transaction_hash" => self.mark.bytes(1_000 + value_of(block, index), length),
                _ => own.bytes(value_of(block, index), length),
            }
        };
        array_of(column.column_type, &numbers, |number| format!("{}{number}", own.word), bytes)
    }
}

/// What the values of a row follow from; below 100.
pub(crate) fn value_of(block: u64, index: u64) -> u64 {
    block * 3 + index
}
