//! Columns of `blocks`.

use arrow::array::RecordBatch;
use isotherm_types::{ChainId, Dataset};

use super::ColumnError;
use super::batch::Batch;
use crate::verify::VerifiedBlock;

pub(super) fn encode(chain_id: ChainId, blocks: &[VerifiedBlock]) -> Result<RecordBatch, ColumnError> {
    let mut batch = Batch::new(Dataset::Blocks, blocks.len());
    let blocks = || blocks.iter().map(VerifiedBlock::block);
    let headers = || blocks().map(|block| &block.header);

    batch.fixed::<32, _>("block_hash", blocks().map(|block| block.reference.hash));
    batch.fixed::<20, _>("author", headers().map(|header| header.beneficiary));
    batch.u32("block_number", headers().map(|header| header.number))?;
    batch.u64("gas_used", headers().map(|header| header.gas_used));
    batch.bytes("extra_data", headers().map(|header| header.extra_data.as_ref()));
    batch.u32("timestamp", headers().map(|header| header.timestamp))?;
    batch.optional_u64("base_fee_per_gas", headers().map(|header| header.base_fee_per_gas));
    batch.u64("chain_id", headers().map(|_| chain_id.0));

    batch.fixed::<32, _>("parent_hash", headers().map(|header| header.parent_hash));
    batch.fixed::<32, _>("uncles_hash", headers().map(|header| header.ommers_hash));
    batch.fixed::<32, _>("state_root", headers().map(|header| header.state_root));
    batch.fixed::<32, _>("transactions_root", headers().map(|header| header.transactions_root));
    batch.fixed::<32, _>("receipts_root", headers().map(|header| header.receipts_root));
    batch.fixed::<256, _>("logs_bloom", headers().map(|header| header.logs_bloom.into_array()));
    batch.fixed::<32, _>("difficulty", headers().map(|header| header.difficulty.to_be_bytes::<32>()));
    batch.u64("gas_limit", headers().map(|header| header.gas_limit));
    batch.fixed::<32, _>("mix_hash", headers().map(|header| header.mix_hash));
    batch.fixed::<8, _>("nonce", headers().map(|header| header.nonce));
    batch.optional_fixed::<32, _>("withdrawals_root", headers().map(|header| header.withdrawals_root));
    batch.optional_u64("blob_gas_used", headers().map(|header| header.blob_gas_used));
    batch.optional_u64("excess_blob_gas", headers().map(|header| header.excess_blob_gas));
    batch.optional_fixed::<32, _>("parent_beacon_block_root", headers().map(|header| header.parent_beacon_block_root));
    batch.optional_fixed::<32, _>("requests_hash", headers().map(|header| header.requests_hash));
    batch.optional_fixed::<32, _>("block_access_list_hash", headers().map(|header| header.block_access_list_hash));
    batch.optional_u64("slot_number", headers().map(|header| header.slot_number));
    batch.u32("transaction_count", blocks().map(|block| block.transactions.len() as u64))?;
    Ok(batch.finish())
}
