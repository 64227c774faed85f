//! Columns of `transactions`: the signed transaction and its receipt.

use alloy::primitives::{B256, U256};
use alloy::rlp;
use arrow::array::RecordBatch;
use isotherm_types::{ChainId, Dataset};

use super::ColumnError;
use super::batch::Batch;
use crate::block::{FetchedBlock, Receipt, Transaction};
use crate::verify::VerifiedBlock;

/// A transaction with what stands beside it.
#[derive(Clone, Copy)]
struct Row<'a> {
    block: &'a FetchedBlock,
    index: u64,
    transaction: &'a Transaction,
    receipt: &'a Receipt,
}

fn rows(blocks: &[VerifiedBlock]) -> Vec<Row<'_>> {
    let blocks = blocks.iter().map(VerifiedBlock::block);
    let rows = blocks.flat_map(|block| {
        let pairs = block.transactions.iter().zip(&block.receipts);
        (0u64..).zip(pairs).map(move |(index, (transaction, receipt))| Row { block, index, transaction, receipt })
    });
    rows.collect()
}

pub(super) fn encode(chain_id: ChainId, blocks: &[VerifiedBlock]) -> Result<RecordBatch, ColumnError> {
    let rows = rows(blocks);
    let mut batch = Batch::new(Dataset::Transactions, rows.len());
    place_and_value(&mut batch, chain_id, &rows)?;
    gas_and_input(&mut batch, &rows)?;
    signature_and_lists(&mut batch, &rows)?;
    outcome(&mut batch, &rows)?;
    Ok(batch.finish())
}

fn place_and_value(batch: &mut Batch, chain_id: ChainId, rows: &[Row<'_>]) -> Result<(), ColumnError> {
    let transactions = || rows.iter().map(|row| row.transaction);
    batch.u32("block_number", rows.iter().map(|row| row.block.reference.number.0))?;
    batch.fixed::<32, _>("block_hash", rows.iter().map(|row| row.block.reference.hash));
    batch.u32("timestamp", rows.iter().map(|row| row.block.header.timestamp))?;
    batch.u64("chain_id", rows.iter().map(|_| chain_id.0));
    batch.u64("transaction_index", rows.iter().map(|row| row.index));
    batch.fixed::<32, _>("transaction_hash", transactions().map(|transaction| transaction.hash));
    batch.u32("transaction_type", transactions().map(|transaction| u64::from(transaction.type_number())))?;
    batch.u64("nonce", transactions().map(|transaction| transaction.nonce));
    batch.fixed::<20, _>("from_address", transactions().map(|transaction| transaction.from));
    batch.optional_fixed::<20, _>("to_address", transactions().map(|transaction| transaction.to));

    let texts: Vec<String> = transactions().map(|transaction| transaction.value.to_string()).collect();
    batch.fixed::<32, _>("value_binary", transactions().map(|transaction| transaction.value.to_be_bytes::<32>()));
    // Through the decimal text: the nearest double, as cryo has it.
    let nearest = texts.iter().map(|text| text.parse::<f64>().expect("decimal digits are a number"));
    batch.f64("value_f64", nearest);
    batch.text("value_string", texts.iter().map(String::as_str));
    batch.decimal("value", transactions().map(|transaction| fitting(transaction.value)))
}

/// The amount, if a decimal column holds it.
fn fitting(value: U256) -> Option<u128> {
    u128::try_from(value).ok().filter(|value| *value < 10u128.pow(38))
}

fn gas_and_input(batch: &mut Batch, rows: &[Row<'_>]) -> Result<(), ColumnError> {
    let transactions = || rows.iter().map(|row| row.transaction);
    batch.u64("gas_limit", transactions().map(|transaction| transaction.gas));
    batch.u64("gas_used", rows.iter().map(|row| row.receipt.gas_used));
    batch.decimal("gas_price", rows.iter().map(|row| row.receipt.paid(row.transaction)))?;
    batch
        .decimal("max_priority_fee_per_gas", transactions().map(|transaction| transaction.max_priority_fee_per_gas))?;
    batch.decimal("max_fee_per_gas", transactions().map(|transaction| transaction.max_fee_per_gas))?;
    batch.decimal("max_fee_per_blob_gas", transactions().map(|transaction| transaction.max_fee_per_blob_gas))?;

    batch.bytes("input", transactions().map(|transaction| transaction.input.as_ref()));
    let zero_bytes: Vec<u64> =
        transactions().map(|transaction| transaction.input.iter().map(|byte| u64::from(*byte == 0)).sum()).collect();
    batch.u32("n_input_bytes", transactions().map(|transaction| transaction.input.len() as u64))?;
    batch.u32("n_input_zero_bytes", zero_bytes.iter().copied())?;
    let others = transactions().zip(&zero_bytes).map(|(transaction, zeros)| transaction.input.len() as u64 - zeros);
    batch.u32("n_input_nonzero_bytes", others)
}

fn signature_and_lists(batch: &mut Batch, rows: &[Row<'_>]) -> Result<(), ColumnError> {
    let transactions = || rows.iter().map(|row| row.transaction);
    batch.optional_u64("signed_chain_id", transactions().map(Transaction::signed_chain_id));
    let parities = transactions().map(|transaction| {
        transaction.parity().ok_or_else(|| {
            batch.error("signature_y_parity", format!("the missing parity of transaction {}", transaction.hash))
        })
    });
    let parities = parities.collect::<Result<Vec<_>, _>>()?;
    batch.boolean("signature_y_parity", parities.into_iter());
    batch.fixed::<32, _>("signature_r", transactions().map(|transaction| transaction.r.to_be_bytes::<32>()));
    batch.fixed::<32, _>("signature_s", transactions().map(|transaction| transaction.s.to_be_bytes::<32>()));
    let access_lists = transactions().map(|transaction| transaction.access_list.as_ref().map(rlp::encode));
    batch.optional_bytes("access_list", access_lists);
    let blob_hashes = transactions().map(|transaction| {
        let hashes = transaction.blob_versioned_hashes.as_ref()?;
        Some(hashes.iter().flat_map(B256::as_slice).copied().collect::<Vec<u8>>())
    });
    batch.optional_bytes("blob_versioned_hashes", blob_hashes);
    let authorizations = transactions().map(|transaction| transaction.authorization_list.as_ref().map(rlp::encode));
    batch.optional_bytes("authorization_list", authorizations);
    Ok(())
}

fn outcome(batch: &mut Batch, rows: &[Row<'_>]) -> Result<(), ColumnError> {
    let receipts = || rows.iter().map(|row| row.receipt);
    // Before Byzantium a receipt does not tell (EIP-658); such transactions are shown as successful.
    batch.boolean("success", receipts().map(|receipt| receipt.status.is_none_or(|status| status == 1)));
    batch.u64("cumulative_gas_used", receipts().map(|receipt| receipt.cumulative_gas_used));
    let post_state_roots = receipts().map(|receipt| receipt.root.filter(|_| receipt.status.is_none()));
    batch.optional_fixed::<32, _>("post_state_root", post_state_roots);
    // Of a creation that failed, as the node says: the address that the contract would have had, or none.
    batch.optional_fixed::<20, _>("contract_address", receipts().map(|receipt| receipt.contract_address));
    batch.u32("log_count", receipts().map(|receipt| receipt.logs.len() as u64))
}
