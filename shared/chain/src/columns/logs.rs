//! Columns of `logs`.

use arrow::array::RecordBatch;
use isotherm_types::{ChainId, Dataset};

use super::ColumnError;
use super::batch::Batch;
use crate::block::{FetchedBlock, Log, Transaction};
use crate::verify::VerifiedBlock;

/// A log with what stands beside it. Its transaction is the receipt's, not what the log says of itself.
#[derive(Clone, Copy)]
struct Row<'a> {
    block: &'a FetchedBlock,
    transaction_index: u64,
    transaction: &'a Transaction,
    log: &'a Log,
}

fn rows(blocks: &[VerifiedBlock]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for block in blocks.iter().map(VerifiedBlock::block) {
        let pairs = block.transactions.iter().zip(&block.receipts);
        for (transaction_index, (transaction, receipt)) in (0u64..).zip(pairs) {
            rows.extend(receipt.logs.iter().map(|log| Row { block, transaction_index, transaction, log }));
        }
    }
    rows
}

pub(super) fn encode(chain_id: ChainId, blocks: &[VerifiedBlock]) -> Result<RecordBatch, ColumnError> {
    let rows = rows(blocks);
    let mut batch = Batch::new(Dataset::Logs, rows.len());
    if let Some(row) = rows.iter().find(|row| row.log.topics.len() > 4) {
        return Err(batch.error("topic3", format!("a log with {} topics", row.log.topics.len())));
    }
    batch.u32("block_number", rows.iter().map(|row| row.block.reference.number.0))?;
    batch.u32("transaction_index", rows.iter().map(|row| row.transaction_index))?;
    batch.u32("log_index", rows.iter().map(|row| row.log.log_index))?;
    batch.fixed::<32, _>("transaction_hash", rows.iter().map(|row| row.transaction.hash));
    batch.fixed::<20, _>("address", rows.iter().map(|row| row.log.address));
    for (place, column) in ["topic0", "topic1", "topic2", "topic3"].into_iter().enumerate() {
        batch.optional_fixed::<32, _>(column, rows.iter().map(|row| row.log.topics.get(place).copied()));
    }
    batch.bytes("data", rows.iter().map(|row| row.log.data.as_ref()));
    batch.u64("chain_id", rows.iter().map(|_| chain_id.0));
    batch.fixed::<32, _>("block_hash", rows.iter().map(|row| row.block.reference.hash));
    batch.u32("timestamp", rows.iter().map(|row| row.block.header.timestamp))?;
    Ok(batch.finish())
}
