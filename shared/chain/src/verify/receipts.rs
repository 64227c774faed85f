//! The receipts are those of the header: their number and order, logs, Bloom filter, root and gas.

use alloy::consensus::proofs::ordered_trie_root_encoded;
use alloy::primitives::{B256, Bloom};
use isotherm_types::BlockRef;

use super::{BadBlock, Checks, Verdict, unencodable};
use crate::block::{FetchedBlock, Receipt};
use crate::encoding::encode_receipt;

/// There is one receipt for each transaction, in order, their logs are numbered without a gap, and they and their
/// Bloom filter are those that the header commits to.
///
/// # Errors
/// [`BadBlock::ReceiptCount`], [`BadBlock::ReceiptPlace`], [`BadBlock::LogIndex`], [`BadBlock::LogsBloom`],
/// [`BadBlock::ReceiptsRoot`], [`BadBlock::MissingField`], [`BadBlock::UnknownFormat`].
pub fn check_receipts(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    check(block, &Checks::ALL)
}

/// Number, place and logs' indexes are always checked: no chain has them otherwise.
pub(super) fn check(block: &FetchedBlock, checks: &Checks) -> Result<Verdict, BadBlock> {
    check_places(block)?;
    let reference = block.reference;
    let has_bloom = checks.logs_bloom.is_made_at(reference.number);
    let why_no_root = || checks.receipts_root.why_not("receipts root", reference.number);
    if !has_bloom && let Some(why_not) = why_no_root() {
        return Ok(why_not);
    }
    let mut encoded = Vec::with_capacity(block.receipts.len());
    let mut bloom = Bloom::ZERO;
    for (index, (transaction, receipt)) in block.transactions.iter().zip(&block.receipts).enumerate() {
        match encode_receipt(transaction.type_number(), receipt) {
            Ok((bytes, receipt_bloom)) => {
                encoded.push(bytes);
                bloom.accrue_bloom(&receipt_bloom);
            }
            Err(reason) => {
                return match why_no_root() {
                    Some(why_not) => Ok(why_not),
                    None => unencodable(reference, index, &reason, checks.unknown_formats),
                };
            }
        }
    }
    if has_bloom && bloom != block.header.logs_bloom {
        let header = Box::new(block.header.logs_bloom);
        return Err(BadBlock::LogsBloom { block: reference, header, computed: Box::new(bloom) });
    }
    if let Some(why_not) = why_no_root() {
        return Ok(why_not);
    }
    let computed = ordered_trie_root_encoded(&encoded);
    if computed != block.header.receipts_root {
        return Err(BadBlock::ReceiptsRoot { block: reference, header: block.header.receipts_root, computed });
    }
    Ok(Verdict::Ok)
}

fn check_places(block: &FetchedBlock) -> Result<(), BadBlock> {
    let reference = block.reference;
    let (transactions, receipts) = (block.transactions.len(), block.receipts.len());
    if transactions != receipts {
        return Err(BadBlock::ReceiptCount { block: reference, transactions, receipts });
    }
    let mut next_log = 0;
    for (index, (transaction, receipt)) in block.transactions.iter().zip(&block.receipts).enumerate() {
        check_place(reference, index, transaction.hash, receipt)?;
        for log in &receipt.logs {
            if log.log_index != next_log {
                return Err(BadBlock::LogIndex { block: reference, expected: next_log, found: log.log_index });
            }
            next_log += 1;
        }
    }
    Ok(())
}

fn check_place(block: BlockRef, index: usize, transaction: B256, receipt: &Receipt) -> Result<(), BadBlock> {
    let is_in_place = receipt.transaction_hash == transaction
        && receipt.transaction_index == index as u64
        && receipt.block_hash == block.hash;
    if is_in_place {
        return Ok(());
    }
    Err(BadBlock::ReceiptPlace { block, index, transaction, found: receipt.transaction_hash })
}

/// Each receipt's gas is the step of the running total, and the last total is the header's.
///
/// # Errors
/// [`BadBlock::GasUsed`], [`BadBlock::ReceiptGas`].
pub fn check_gas_used(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    // EIP-7778: from the fork that brings block access lists on, the header counts gas before refunds.
    if block.header.block_access_list_hash.is_some() {
        return Ok(Verdict::NotVerifiable("the header counts gas before refunds (EIP-7778)".to_owned()));
    }
    let mut total = 0u64;
    for (index, receipt) in block.receipts.iter().enumerate() {
        let computed = total.checked_add(receipt.gas_used);
        if computed != Some(receipt.cumulative_gas_used) {
            let (before, gas_used, cumulative) = (total, receipt.gas_used, receipt.cumulative_gas_used);
            return Err(BadBlock::ReceiptGas { block: block.reference, index, before, gas_used, cumulative });
        }
        total = receipt.cumulative_gas_used;
    }
    if total != block.header.gas_used {
        let header = block.header.gas_used;
        return Err(BadBlock::GasUsed { block: block.reference, header, receipts: total });
    }
    Ok(Verdict::Ok)
}
