//! Rows of `logs` as the logs of each receipt.

use alloy::primitives::{Bloom, Log, LogData};
use arrow::array::{BinaryArray, FixedSizeBinaryArray, RecordBatch, UInt32Array};

use super::RootFault;
use super::cells::{address, bytes, column, fixed, hash, hash_opt};
use super::receipts::Receipts;

/// The logs of one block.
pub(super) struct Logs<'a>(Vec<Columns<'a>>);

/// Columns of a batch.
struct Columns<'a> {
    transaction_index: &'a UInt32Array,
    transaction_hash: &'a FixedSizeBinaryArray,
    log_index: &'a UInt32Array,
    address: &'a FixedSizeBinaryArray,
    topics: [&'a FixedSizeBinaryArray; 4],
    data: &'a BinaryArray,
}

impl<'a> Logs<'a> {
    pub(super) fn of(batches: &'a [RecordBatch]) -> Result<Self, RootFault> {
        Ok(Self(batches.iter().map(Columns::of).collect::<Result<_, _>>()?))
    }

    /// The logs of each receipt, which must be numbered through the block without a gap.
    pub(super) fn by_transaction(&self, receipts: &Receipts<'_>) -> Result<Vec<Vec<Log>>, RootFault> {
        let rows = self.0.iter().flat_map(|columns| (0..columns.log_index.len()).map(move |row| (columns, row)));
        let mut rows = (0u64..).zip(rows).peekable();
        let mut of_block = Vec::new();
        for (transaction, receipt) in (0u64..).zip(receipts.rows()) {
            let mut of_receipt = Vec::new();
            while let Some((index, (columns, row))) =
                rows.next_if(|(_, (columns, row))| u64::from(columns.transaction_index.value(*row)) == transaction)
            {
                let found = u64::from(columns.log_index.value(row));
                if found != index || hash(columns.transaction_hash, row) != receipt.transaction_hash() {
                    return Err(RootFault::LogPlace { index, found, transaction });
                }
                of_receipt.push(columns.log(row));
            }
            let (expected, found) = (receipt.log_count(), of_receipt.len() as u64);
            if expected != found {
                return Err(RootFault::LogCount { index: transaction, expected, found });
            }
            of_block.push(of_receipt);
        }
        match rows.next() {
            None => Ok(of_block),
            Some((index, (columns, row))) => Err(RootFault::LogPlace {
                index,
                found: u64::from(columns.log_index.value(row)),
                transaction: u64::from(columns.transaction_index.value(row)),
            }),
        }
    }
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, RootFault> {
        let topic = |name| fixed(batch, name, 32);
        Ok(Self {
            transaction_index: column(batch, "transaction_index")?,
            transaction_hash: fixed(batch, "transaction_hash", 32)?,
            log_index: column(batch, "log_index")?,
            address: fixed(batch, "address", 20)?,
            topics: [topic("topic0")?, topic("topic1")?, topic("topic2")?, topic("topic3")?],
            data: column(batch, "data")?,
        })
    }

    fn log(&self, row: usize) -> Log {
        let topics = self.topics.iter().filter_map(|topic| hash_opt(topic, row)).collect();
        Log { address: address(self.address, row), data: LogData::new_unchecked(topics, bytes(self.data, row)) }
    }
}

/// The Bloom filter of a receipt with these logs.
pub(super) fn bloom(logs: &[Log]) -> Bloom {
    let mut bloom = Bloom::ZERO;
    logs.iter().for_each(|log| bloom.accrue_raw_log(log.address, log.data.topics()));
    bloom
}
