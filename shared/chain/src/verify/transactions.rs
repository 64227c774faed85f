//! The transactions are those of the header, and nothing that they do not sign is kept of them.

use alloy::consensus::TxType;
use alloy::consensus::proofs::ordered_trie_root_encoded;
use alloy::primitives::{U256, keccak256};

use super::{BadBlock, UnknownFormats, Verdict, unencodable};
use crate::block::{FetchedBlock, Transaction};
use crate::encoding::encode_transaction;

/// The transactions are those that the header commits to, and each has the hash that it is served under.
///
/// # Errors
/// [`BadBlock::TransactionsRoot`], [`BadBlock::TransactionHash`], [`BadBlock::TransactionBlock`],
/// [`BadBlock::MissingField`], [`BadBlock::UnknownFormat`].
pub fn check_transactions(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    check(block, UnknownFormats::Refuse)
}

pub(super) fn check(block: &FetchedBlock, unknown_formats: UnknownFormats) -> Result<Verdict, BadBlock> {
    let reference = block.reference;
    let mut encoded = Vec::with_capacity(block.transactions.len());
    for (index, transaction) in block.transactions.iter().enumerate() {
        if let Some(found) = transaction.block_hash.filter(|hash| *hash != reference.hash) {
            return Err(BadBlock::TransactionBlock { block: reference, index, found });
        }
        match encode_transaction(transaction) {
            Ok(bytes) => encoded.push(bytes),
            Err(reason) => return unencodable(reference, index, &reason, unknown_formats),
        }
    }
    let computed = ordered_trie_root_encoded(&encoded);
    if computed != block.header.transactions_root {
        let header = block.header.transactions_root;
        return Err(BadBlock::TransactionsRoot { block: reference, header, computed });
    }
    for (index, (transaction, bytes)) in block.transactions.iter().zip(&encoded).enumerate() {
        let computed = keccak256(bytes);
        if computed != transaction.hash {
            return Err(BadBlock::TransactionHash { block: reference, index, claimed: transaction.hash, computed });
        }
    }
    Ok(Verdict::Ok)
}

/// Each transaction tells the parity of its signature, and those of known types do not contradict themselves. Made on
/// every chain: only one of two parities is in the encoding, and rows have one always.
///
/// # Errors
/// [`BadBlock::Parity`], [`BadBlock::MissingField`].
pub(super) fn check_parities(block: &FetchedBlock) -> Result<(), BadBlock> {
    for (index, transaction) in block.transactions.iter().enumerate() {
        let transaction_type = transaction.type_number();
        if let Some((v, y_parity)) = transaction.contradictory_parities().filter(|_| is_known(transaction)) {
            return Err(BadBlock::Parity { block: block.reference, index, v: U256::from(v), y_parity });
        }
        if transaction.parity().is_none() {
            let field = "signature parity";
            return Err(BadBlock::MissingField { block: block.reference, index, transaction_type, field });
        }
    }
    Ok(())
}

fn is_known(transaction: &Transaction) -> bool {
    TxType::try_from(transaction.type_number()).is_ok()
}

/// Takes away what a transaction's type does not sign: nothing vouches for it, so it must not be stored.
///
/// The price of those that sign only its bounds stays: it is what they pay, and checked as that. Transactions of
/// unknown types keep everything. Source: EIP-155, 2930, 1559, 4844 and 7702.
pub(super) fn keep_signed_fields(block: &mut FetchedBlock) {
    block.transactions.iter_mut().for_each(keep_signed);
}

fn keep_signed(transaction: &mut Transaction) {
    let Ok(known) = TxType::try_from(transaction.type_number()) else { return };
    let (has_access_list, has_fee_caps, has_blobs, has_authorizations) = match known {
        TxType::Legacy => (false, false, false, false),
        TxType::Eip2930 => (true, false, false, false),
        TxType::Eip1559 => (true, true, false, false),
        TxType::Eip4844 => (true, true, true, false),
        TxType::Eip7702 => (true, true, false, true),
    };
    transaction.chain_id = transaction.signed_chain_id();
    if !has_access_list {
        transaction.access_list = None;
    }
    if !has_fee_caps {
        transaction.max_fee_per_gas = None;
        transaction.max_priority_fee_per_gas = None;
    }
    if !has_blobs {
        transaction.max_fee_per_blob_gas = None;
        transaction.blob_versioned_hashes = None;
    }
    if !has_authorizations {
        transaction.authorization_list = None;
    }
}
