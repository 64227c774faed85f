//! The consensus encodings of transactions and receipts as endpoints serve them.
//!
//! Their fields are named here; how they are encoded is told by [`isotherm_types::encoding`].

use alloy::consensus::Eip658Value;
use alloy::primitives::{B256, Bloom, Signature};
use alloy::rlp::Encodable;
use isotherm_types::encoding::{EncodableReceipt, Items, SignedTransaction, write_log};

use crate::block::{Receipt, Transaction};

pub(crate) use isotherm_types::encoding::NotEncodable;

/// About what the fields of fixed length come to in an encoding; it grows where there is more.
const FIXED_BYTES: usize = 256;

/// The EIP-2718 encoding of a signed transaction.
pub(crate) fn encode_transaction(transaction: &Transaction) -> Result<Vec<u8>, NotEncodable> {
    let mut out = Vec::with_capacity(transaction.input.len() + FIXED_BYTES);
    signed(transaction).encode(&mut out)?;
    Ok(out)
}

/// A transaction's signature, and the hash that it signs.
pub(crate) fn signature_and_hash(transaction: &Transaction) -> Result<(Signature, B256), NotEncodable> {
    let hash = signed(transaction).signature_hash()?;
    let transaction_type = transaction.type_number();
    let missing = NotEncodable::MissingField { transaction_type, field: "signature parity" };
    let parity = transaction.parity().ok_or(missing)?;
    Ok((Signature::new(transaction.r, transaction.s, parity), hash))
}

fn signed(transaction: &Transaction) -> SignedTransaction<'_> {
    SignedTransaction {
        transaction_type: transaction.type_number(),
        chain_id: transaction.signed_chain_id(),
        nonce: transaction.nonce,
        gas_price: transaction.gas_price,
        max_priority_fee_per_gas: transaction.max_priority_fee_per_gas,
        max_fee_per_gas: transaction.max_fee_per_gas,
        max_fee_per_blob_gas: transaction.max_fee_per_blob_gas,
        gas_limit: transaction.gas,
        to: transaction.to,
        value: transaction.value,
        input: &transaction.input,
        access_list: transaction.access_list.as_ref().map(|list| list as &dyn Encodable),
        blob_versioned_hashes: transaction.blob_versioned_hashes.as_ref().map(|hashes| hashes as &dyn Encodable),
        authorization_list: transaction.authorization_list.as_ref().map(|list| list as &dyn Encodable),
        y_parity: transaction.parity(),
        r: transaction.r,
        s: transaction.s,
    }
}

/// The EIP-2718 encoding of a receipt, whose logs have the Bloom filter `logs_bloom`.
pub(crate) fn encode_receipt(
    transaction_type: u8,
    receipt: &Receipt,
    logs_bloom: Bloom,
) -> Result<Vec<u8>, NotEncodable> {
    let mut logs = Vec::new();
    receipt.logs.iter().for_each(|log| write_log(log.address, &log.topics, &log.data, &mut logs));
    let status = receipt.status.map(|status| Eip658Value::Eip658(status == 1));
    let encodable = EncodableReceipt {
        transaction_type,
        status: status.or_else(|| receipt.root.map(Eip658Value::PostState)),
        cumulative_gas_used: receipt.cumulative_gas_used,
        logs_bloom: &logs_bloom,
        logs: Items(&logs),
    };
    let mut out = Vec::with_capacity(logs.len() + 2 * FIXED_BYTES);
    encodable.encode(&mut out)?;
    Ok(out)
}
