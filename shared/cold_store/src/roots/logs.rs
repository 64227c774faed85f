//! Rows of `logs` as the logs of each receipt.

use std::iter::Peekable;

use alloy::primitives::{B256, Bloom};
use arrow::array::{BinaryArray, FixedSizeBinaryArray, RecordBatch, UInt32Array};
use isotherm_types::encoding::write_log;

use super::RootFault;
use super::cells::{address, column, fixed, hash, hash_opt};
use super::receipts::ReceiptRow;

/// The logs of one block.
pub(super) struct Logs<'a>(Vec<Columns<'a>>);

const TOPICS: [&str; 4] = ["topic0", "topic1", "topic2", "topic3"];

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

    /// The logs in order.
    pub(super) fn rows(&self) -> Peekable<impl Iterator<Item = LogRow<'_>>> {
        let rows = self.0.iter().flat_map(|columns| (0..columns.log_index.len()).map(move |row| (columns, row)));
        (0..).zip(rows).map(|(index, (columns, row))| LogRow { columns, row, index }).peekable()
    }
}

/// One log.
#[derive(Clone, Copy)]
pub(super) struct LogRow<'a> {
    columns: &'a Columns<'a>,
    row: usize,
    /// Its place in the block.
    index: u64,
}

/// Takes the logs of `receipt`, which is the block's at `transaction`, from those that are left. Appends the RLP of
/// each to `out`, and returns their Bloom filter.
pub(super) fn take<'a>(
    left: &mut Peekable<impl Iterator<Item = LogRow<'a>>>,
    (transaction, receipt): (u64, ReceiptRow<'_>),
    out: &mut Vec<u8>,
) -> Result<Bloom, RootFault> {
    let mut bloom = Bloom::ZERO;
    let mut count = 0;
    while let Some(log) = left.next_if(|log| log.transaction() == transaction) {
        if log.number() != log.index {
            return Err(log.misplaced());
        }
        let (found, expected) = (log.transaction_hash(), receipt.transaction_hash());
        if found != expected {
            return Err(RootFault::LogTransaction { index: log.index, found, expected });
        }
        log.take_in(&mut bloom, out)?;
        count += 1;
    }
    let expected = receipt.log_count();
    if count != expected {
        return Err(RootFault::LogCount { index: transaction, expected, found: count });
    }
    Ok(bloom)
}

impl LogRow<'_> {
    /// The fault of a log that is not where it belongs.
    pub(super) fn misplaced(self) -> RootFault {
        RootFault::LogPlace { index: self.index, found: self.number(), transaction: self.transaction() }
    }

    fn number(self) -> u64 {
        u64::from(self.columns.log_index.value(self.row))
    }

    fn transaction(self) -> u64 {
        u64::from(self.columns.transaction_index.value(self.row))
    }

    fn transaction_hash(self) -> B256 {
        hash(self.columns.transaction_hash, self.row)
    }

    fn take_in(self, bloom: &mut Bloom, out: &mut Vec<u8>) -> Result<(), RootFault> {
        let Self { columns, row, index } = self;
        let mut topics = [B256::ZERO; TOPICS.len()];
        let mut count = 0;
        for (place, array) in columns.topics.iter().enumerate() {
            let Some(topic) = hash_opt(array, row) else { continue };
            if place != count {
                // After an absent one: it would pass for the one before.
                return Err(RootFault::Cell { column: TOPICS[count], row: index });
            }
            topics[place] = topic;
            count += 1;
        }
        let (address, topics) = (address(columns.address, row), &topics[..count]);
        bloom.accrue_raw_log(address, topics);
        write_log(address, topics, columns.data.value(row), out);
        Ok(())
    }
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, RootFault> {
        let [topic0, topic1, topic2, topic3] = TOPICS.map(|name| fixed(batch, name, 32));
        Ok(Self {
            transaction_index: column(batch, "transaction_index")?,
            transaction_hash: fixed(batch, "transaction_hash", 32)?,
            log_index: column(batch, "log_index")?,
            address: fixed(batch, "address", 20)?,
            topics: [topic0?, topic1?, topic2?, topic3?],
            data: column(batch, "data")?,
        })
    }
}
