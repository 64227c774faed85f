//! The receipts are those of the header: their number and order, logs, Bloom filter, root and gas.

use alloy::consensus::proofs::ordered_trie_root_encoded;
use alloy::primitives::{B256, Bloom};
use isotherm_types::BlockRef;

use super::{BadBlock, Checks, UnknownFormats, Verdict, unencodable};
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
    let number = block.reference.number;
    let why_no_root = checks.receipts_root.why_not("receipts root", number);
    // Made once: each is part of its receipt's encoding too.
    let blooms = || -> Vec<Bloom> { block.receipts.iter().map(bloom).collect() };
    match (checks.logs_bloom.is_made_at(number), why_no_root) {
        (false, Some(why_not)) => Ok(why_not),
        (false, None) => check_root(block, &blooms(), checks.unknown_formats),
        (true, Some(why_not)) => check_bloom(block, &blooms()).map(|()| why_not),
        (true, None) => {
            let blooms = blooms();
            check_bloom(block, &blooms)?;
            check_root(block, &blooms, checks.unknown_formats)
        }
    }
}

/// Bloom filter of a receipt. It needs the logs alone, whatever the receipt lacks.
fn bloom(receipt: &Receipt) -> Bloom {
    let mut bloom = Bloom::ZERO;
    receipt.logs.iter().for_each(|log| bloom.accrue_raw_log(log.address, &log.topics));
    bloom
}

fn check_bloom(block: &FetchedBlock, of_receipts: &[Bloom]) -> Result<(), BadBlock> {
    let mut computed = Bloom::ZERO;
    of_receipts.iter().for_each(|bloom| computed.accrue_bloom(bloom));
    let header = block.header.logs_bloom;
    if computed != header {
        let (header, computed) = (Box::new(header), Box::new(computed));
        return Err(BadBlock::LogsBloom { block: block.reference, header, computed });
    }
    Ok(())
}

fn check_root(block: &FetchedBlock, blooms: &[Bloom], unknown_formats: UnknownFormats) -> Result<Verdict, BadBlock> {
    let (reference, header) = (block.reference, block.header.receipts_root);
    let mut encoded = Vec::with_capacity(block.receipts.len());
    let pairs = block.transactions.iter().zip(&block.receipts);
    for (index, ((transaction, receipt), bloom)) in pairs.zip(blooms).enumerate() {
        match encode_receipt(transaction.type_number(), receipt, *bloom) {
            Ok(bytes) => encoded.push(bytes),
            Err(reason) => return unencodable(reference, index, &reason, unknown_formats),
        }
    }
    let computed = ordered_trie_root_encoded(&encoded);
    if computed != header {
        return Err(BadBlock::ReceiptsRoot { block: reference, header, computed });
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
/// The latter cannot be told of a block with a block access list: from that fork on, the header counts gas before
/// refunds, and receipts as before. Source: EIP-7778.
///
/// # Errors
/// [`BadBlock::GasUsed`], [`BadBlock::ReceiptGas`].
pub fn check_gas_used(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    let mut total = 0u64;
    for (index, receipt) in block.receipts.iter().enumerate() {
        let computed = total.checked_add(receipt.gas_used);
        if computed != Some(receipt.cumulative_gas_used) {
            let (before, gas_used, cumulative) = (total, receipt.gas_used, receipt.cumulative_gas_used);
            return Err(BadBlock::ReceiptGas { block: block.reference, index, before, gas_used, cumulative });
        }
        total = receipt.cumulative_gas_used;
    }
    if block.header.block_access_list_hash.is_some() {
        return Ok(Verdict::NotVerifiable("the header counts gas before refunds (EIP-7778)".to_owned()));
    }
    if total != block.header.gas_used {
        let header = block.header.gas_used;
        return Err(BadBlock::GasUsed { block: block.reference, header, receipts: total });
    }
    Ok(Verdict::Ok)
}
