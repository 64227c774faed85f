//! The consensus encodings of transactions and receipts: what their tries are built over.
//!
//! Source: EIP-2718 and the EIP of each type. Never guesses at a type that it does not know.

use alloy::consensus::{
    Eip658Value, EthereumTxEnvelope, Receipt as ConsensusReceipt, ReceiptEnvelope, ReceiptWithBloom, Signed, TxEip1559,
    TxEip2930, TxEip4844, TxEip7702, TxLegacy, TxType,
};
use alloy::eips::Encodable2718;
use alloy::primitives::{B256, Bloom, Log as ConsensusLog, LogData, Signature, TxKind};

use crate::block::{Receipt, Transaction};

/// Why something cannot be encoded, and therefore not be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotEncodable {
    /// A transaction type that no EIP known here defines.
    UnknownType(u8),
    /// A field that the type must have is not there.
    MissingField { transaction_type: u8, field: &'static str },
}

impl std::fmt::Display for NotEncodable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownType(number) => write!(f, "transaction type {number:#04x} is not known"),
            Self::MissingField { transaction_type, field } => {
                write!(f, "a transaction of type {transaction_type} has no {field}")
            }
        }
    }
}

/// The EIP-2718 encoding of a signed transaction.
pub(crate) fn encode_transaction(transaction: &Transaction) -> Result<Vec<u8>, NotEncodable> {
    Ok(envelope(transaction)?.encoded_2718())
}

/// A transaction's signature, and the hash that it signs.
pub(crate) fn signature_and_hash(transaction: &Transaction) -> Result<(Signature, B256), NotEncodable> {
    let envelope = envelope(transaction)?;
    Ok((*envelope.signature(), envelope.signature_hash()))
}

fn envelope(transaction: &Transaction) -> Result<EthereumTxEnvelope<TxEip4844>, NotEncodable> {
    let transaction_type = transaction.type_number();
    let missing = |field| NotEncodable::MissingField { transaction_type, field };
    let known = TxType::try_from(transaction_type).map_err(|_| NotEncodable::UnknownType(transaction_type))?;
    let parity = transaction.parity().ok_or_else(|| missing("signature parity"))?;
    let signature = Signature::new(transaction.r, transaction.s, parity);
    let hash = transaction.hash;
    let gas_price = || transaction.gas_price.ok_or_else(|| missing("gasPrice"));
    let max_fee = || transaction.max_fee_per_gas.ok_or_else(|| missing("maxFeePerGas"));
    let max_priority_fee = || transaction.max_priority_fee_per_gas.ok_or_else(|| missing("maxPriorityFeePerGas"));
    let chain_id = || transaction.chain_id.ok_or_else(|| missing("chainId"));
    let recipient = || transaction.to.ok_or_else(|| missing("to"));
    let access_list = || transaction.access_list.clone().ok_or_else(|| missing("accessList"));
    let to = transaction.to.map_or(TxKind::Create, TxKind::Call);
    let (nonce, gas_limit, value, input) =
        (transaction.nonce, transaction.gas, transaction.value, transaction.input.clone());

    Ok(match known {
        TxType::Legacy => {
            let chain_id = transaction.signed_chain_id();
            let legacy = TxLegacy { chain_id, nonce, gas_price: gas_price()?, gas_limit, to, value, input };
            EthereumTxEnvelope::Legacy(Signed::new_unchecked(legacy, signature, hash))
        }
        TxType::Eip2930 => {
            let inner = TxEip2930 {
                chain_id: chain_id()?,
                nonce,
                gas_price: gas_price()?,
                gas_limit,
                to,
                value,
                access_list: access_list()?,
                input,
            };
            EthereumTxEnvelope::Eip2930(Signed::new_unchecked(inner, signature, hash))
        }
        TxType::Eip1559 => {
            let inner = TxEip1559 {
                chain_id: chain_id()?,
                nonce,
                gas_limit,
                max_fee_per_gas: max_fee()?,
                max_priority_fee_per_gas: max_priority_fee()?,
                to,
                value,
                access_list: access_list()?,
                input,
            };
            EthereumTxEnvelope::Eip1559(Signed::new_unchecked(inner, signature, hash))
        }
        TxType::Eip4844 => {
            let inner = TxEip4844 {
                chain_id: chain_id()?,
                nonce,
                gas_limit,
                max_fee_per_gas: max_fee()?,
                max_priority_fee_per_gas: max_priority_fee()?,
                to: recipient()?,
                value,
                access_list: access_list()?,
                blob_versioned_hashes: transaction
                    .blob_versioned_hashes
                    .clone()
                    .ok_or_else(|| missing("blobVersionedHashes"))?,
                max_fee_per_blob_gas: transaction.max_fee_per_blob_gas.ok_or_else(|| missing("maxFeePerBlobGas"))?,
                input,
            };
            EthereumTxEnvelope::Eip4844(Signed::new_unchecked(inner, signature, hash))
        }
        TxType::Eip7702 => {
            let inner = TxEip7702 {
                chain_id: chain_id()?,
                nonce,
                gas_limit,
                max_fee_per_gas: max_fee()?,
                max_priority_fee_per_gas: max_priority_fee()?,
                to: recipient()?,
                value,
                access_list: access_list()?,
                authorization_list: transaction
                    .authorization_list
                    .clone()
                    .ok_or_else(|| missing("authorizationList"))?,
                input,
            };
            EthereumTxEnvelope::Eip7702(Signed::new_unchecked(inner, signature, hash))
        }
    })
}

/// The EIP-2718 encoding of a receipt, whose logs have the Bloom filter `logs_bloom`.
pub(crate) fn encode_receipt(
    transaction_type: u8,
    receipt: &Receipt,
    logs_bloom: Bloom,
) -> Result<Vec<u8>, NotEncodable> {
    let known = TxType::try_from(transaction_type).map_err(|_| NotEncodable::UnknownType(transaction_type))?;
    let status = match (receipt.status, receipt.root) {
        (Some(status), _) => Eip658Value::Eip658(status == 1),
        (None, Some(root)) => Eip658Value::PostState(root),
        (None, None) => return Err(NotEncodable::MissingField { transaction_type, field: "status" }),
    };
    let logs: Vec<_> = receipt
        .logs
        .iter()
        .map(|log| ConsensusLog {
            address: log.address,
            data: LogData::new_unchecked(log.topics.clone(), log.data.clone()),
        })
        .collect();
    let inner = ConsensusReceipt { status, cumulative_gas_used: receipt.cumulative_gas_used, logs };
    let envelope = ReceiptEnvelope::from_typed(known, ReceiptWithBloom { receipt: inner, logs_bloom });
    Ok(envelope.encoded_2718())
}
