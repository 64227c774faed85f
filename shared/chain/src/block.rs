//! A block with its transactions and receipts, read from JSON into types.
//!
//! Long receipts are read beside their block, on a thread of their own: near the tip nothing else is to be done meanwhile.
//!
//! Fields that a node may leave out are `Option`; a field that must be there and is not is an error of the reader,
//! never a default. What can be recomputed is checked by [`crate::verify`], not here.

use std::panic::resume_unwind;
use std::thread;

use alloy::consensus::Header;
use alloy::eips::eip2930::AccessList;
use alloy::eips::eip7702::SignedAuthorization;
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::serde::quantity;
use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, BlockRef};
use serde::Deserialize;
use serde_json::value::RawValue;

mod unknown_fields;

pub use unknown_fields::UnknownFields;

/// A header as far as fork choice needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRef {
    /// Number and hash.
    pub reference: BlockRef,
    /// Hash of the block before.
    pub parent_hash: B256,
    /// Seconds since 1970-01-01 UTC.
    pub timestamp: u64,
}

/// A block as an endpoint served it, with receipts of the same block hash. Not yet verified.
#[derive(Clone, Debug)]
pub struct FetchedBlock {
    /// Number and hash, as claimed.
    pub reference: BlockRef,
    /// The header.
    pub header: Header,
    /// The transactions, in order.
    pub transactions: Vec<Transaction>,
    /// The receipts, in order.
    pub receipts: Vec<Receipt>,
    /// Fields of the block object that belong to no known header or body. Looked for only if the hash does not fit.
    pub unknown_fields: UnknownFields,
    /// When the answer that held it arrived.
    pub served_at: DateTime<Utc>,
    /// Length of the answers that held it.
    pub size_bytes: usize,
}

impl FetchedBlock {
    /// The header as far as fork choice needs it.
    pub fn header_ref(&self) -> HeaderRef {
        HeaderRef { reference: self.reference, parent_hash: self.header.parent_hash, timestamp: self.header.timestamp }
    }
}

/// A signed transaction. Source: `GenericTransaction` and its kin in the Execution API.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "fields carry the Execution API's names and meanings")]
pub struct Transaction {
    pub hash: B256,
    #[serde(default)]
    pub block_hash: Option<B256>,
    /// Absent before EIP-2718: legacy.
    #[serde(default, rename = "type", with = "quantity::opt")]
    pub transaction_type: Option<u8>,
    #[serde(with = "quantity")]
    pub nonce: u64,
    pub from: Address,
    #[serde(default)]
    pub to: Option<Address>,
    pub value: U256,
    pub input: Bytes,
    #[serde(with = "quantity")]
    pub gas: u64,
    #[serde(default, with = "quantity::opt")]
    pub gas_price: Option<u128>,
    #[serde(default, with = "quantity::opt")]
    pub max_fee_per_gas: Option<u128>,
    #[serde(default, with = "quantity::opt")]
    pub max_priority_fee_per_gas: Option<u128>,
    #[serde(default, with = "quantity::opt")]
    pub max_fee_per_blob_gas: Option<u128>,
    #[serde(default)]
    pub blob_versioned_hashes: Option<Vec<B256>>,
    #[serde(default)]
    pub access_list: Option<AccessList>,
    #[serde(default)]
    pub authorization_list: Option<Vec<SignedAuthorization>>,
    #[serde(default, with = "quantity::opt")]
    pub chain_id: Option<u64>,
    #[serde(default, with = "quantity::opt")]
    pub v: Option<u128>,
    #[serde(default, with = "quantity::opt")]
    pub y_parity: Option<u8>,
    pub r: U256,
    pub s: U256,
}

impl Transaction {
    /// EIP-2718 type; 0 where the node knows no types.
    pub fn type_number(&self) -> u8 {
        self.transaction_type.map_or(0, |number| number)
    }

    /// Parity of the signature's y. Source: EIP-155 for `v` of legacy transactions, EIP-2930 for the others.
    pub fn parity(&self) -> Option<bool> {
        match (self.type_number(), self.y_parity, self.v) {
            (0, _, Some(v)) => match v {
                0 | 27 => Some(false),
                1 | 28 => Some(true),
                _ => Some(v.checked_sub(35)? % 2 == 1),
            },
            (_, Some(parity), _) => Some(parity == 1),
            (_, None, Some(v)) => Some(v == 1),
            (_, None, None) => None,
        }
    }

    /// `v` and `yParity`, if both are there and do not tell the same parity.
    pub fn contradictory_parities(&self) -> Option<(u128, u8)> {
        let (v, y_parity) = (self.v?, self.y_parity?);
        let is_odd = match v {
            0 | 27 => false,
            1 | 28 => true,
            _ => v.checked_sub(35).is_some_and(|rest| rest % 2 == 1),
        };
        (u8::from(is_odd) != y_parity).then_some((v, y_parity))
    }

    /// The chain id that was signed; `None` in legacy transactions before EIP-155.
    pub fn signed_chain_id(&self) -> Option<u64> {
        match self.type_number() {
            0 => u64::try_from(self.v?.checked_sub(35)? / 2).ok(),
            _ => self.chain_id,
        }
    }
}

/// What a transaction did. Source: `ReceiptInfo` of the Execution API.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "fields carry the Execution API's names and meanings")]
pub struct Receipt {
    pub transaction_hash: B256,
    #[serde(with = "quantity")]
    pub transaction_index: u64,
    pub block_hash: B256,
    #[serde(with = "quantity")]
    pub cumulative_gas_used: u64,
    #[serde(with = "quantity")]
    pub gas_used: u64,
    #[serde(default, with = "quantity::opt")]
    pub effective_gas_price: Option<u128>,
    #[serde(default)]
    pub contract_address: Option<Address>,
    /// Since Byzantium (EIP-658).
    #[serde(default, with = "quantity::opt")]
    pub status: Option<u8>,
    /// Before Byzantium.
    #[serde(default)]
    pub root: Option<B256>,
    pub logs: Vec<Log>,
}

impl Receipt {
    /// Wei per gas that `transaction` paid, as far as it is told: receipts before London may lack the price, and then
    /// it is the one that was offered.
    pub fn paid(&self, transaction: &Transaction) -> Option<u128> {
        self.effective_gas_price.or(transaction.gas_price)
    }
}

/// An event of a contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "fields carry the Execution API's names and meanings")]
pub struct Log {
    pub address: Address,
    pub topics: Vec<B256>,
    pub data: Bytes,
    #[serde(with = "quantity")]
    pub log_index: u64,
}

/// The parts of a block object outside its header.
#[derive(Deserialize)]
struct Body {
    hash: B256,
    transactions: Vec<Transaction>,
}

/// A block object of which only the hash is read beside the header.
#[derive(Deserialize)]
struct Hash {
    hash: B256,
}

/// A header as an endpoint served it, with what speaks for its hash.
#[derive(Clone, Debug)]
pub struct ReadHeader {
    /// Number, hash and so on, as claimed.
    pub found: HeaderRef,
    /// The hash that its known fields have.
    pub computed_hash: B256,
    /// Fields that belong to no known header or body. Looked for only if the hash does not fit.
    pub unknown_fields: UnknownFields,
}

/// Reads the header of a block object, and computes its hash.
///
/// # Errors
/// A field is missing or has another shape.
pub fn read_header(block: &RawValue) -> Result<ReadHeader, serde_json::Error> {
    let header: Header = serde_json::from_str(block.get())?;
    let Hash { hash } = serde_json::from_str(block.get())?;
    let computed_hash = header.hash_slow();
    let unknown_fields = unknown_fields(block, computed_hash == hash)?;
    let reference = BlockRef { number: BlockNumber(header.number), hash };
    let found = HeaderRef { reference, parent_hash: header.parent_hash, timestamp: header.timestamp };
    Ok(ReadHeader { found, computed_hash, unknown_fields })
}

/// Text of receipts from which on they are read on a thread of their own: to read so much takes ten times as long as to
/// start one.
const ASIDE_BYTES: usize = 256 << 10;

/// Reads a block object with full transactions, and its receipts.
///
/// # Errors
/// A field is missing or has another shape; of both, the block's is told.
pub fn read_block(
    block: &RawValue,
    receipts: &RawValue,
    served_at: DateTime<Utc>,
) -> Result<FetchedBlock, serde_json::Error> {
    let (header_and_body, found) = if receipts.get().len() < ASIDE_BYTES {
        (read_header_and_body(block), read_receipts(receipts))
    } else {
        thread::scope(|scope| {
            let aside = thread::Builder::new().spawn_scoped(scope, || read_receipts(receipts));
            let header_and_body = read_header_and_body(block);
            let read = match aside {
                Ok(reading) => reading.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // No more threads can be had.
                Err(_) => read_receipts(receipts),
            };
            (header_and_body, read)
        })
    };
    let (header, body) = header_and_body?;
    let unknown_fields = unknown_fields(block, header.hash_slow() == body.hash)?;
    Ok(FetchedBlock {
        reference: BlockRef { number: BlockNumber(header.number), hash: body.hash },
        header,
        transactions: body.transactions,
        receipts: found?,
        unknown_fields,
        served_at,
        size_bytes: block.get().len() + receipts.get().len(),
    })
}

/// Twice over the text: skipping is far cheaper than collecting fields that a flattened struct would need.
fn read_header_and_body(block: &RawValue) -> Result<(Header, Body), serde_json::Error> {
    Ok((serde_json::from_str(block.get())?, serde_json::from_str(block.get())?))
}

fn read_receipts(receipts: &RawValue) -> Result<Vec<Receipt>, serde_json::Error> {
    serde_json::from_str(receipts.get())
}

fn unknown_fields(block: &RawValue, hash_fits: bool) -> Result<UnknownFields, serde_json::Error> {
    if hash_fits { Ok(UnknownFields::default()) } else { serde_json::from_str(block.get()) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn raw(value: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(value).unwrap()
    }

    /// A block, and receipts whose text is as long as that.
    fn answers(bytes: usize) -> (Value, Value) {
        let mut block = serde_json::to_value(Header::default()).unwrap();
        block["hash"] = json!(Header::default().hash_slow());
        block["transactions"] = json!([]);
        let data = format!("0x{}", "00".repeat(bytes / 2));
        let log = json!({ "address": Address::ZERO, "topics": [], "data": data, "logIndex": "0x0" });
        let receipt = json!({ "transactionHash": B256::ZERO, "transactionIndex": "0x0", "blockHash": block["hash"],
            "cumulativeGasUsed": "0x1", "gasUsed": "0x1", "logs": [log] });
        (block, json!([receipt]))
    }

    fn read(block: &Value, receipts: &Value) -> Result<FetchedBlock, serde_json::Error> {
        read_block(&raw(block), &raw(receipts), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn receipts_are_the_same_wherever_they_are_read() {
        for bytes in [0, 2 * ASIDE_BYTES] {
            let (block, receipts) = answers(bytes);
            let found = read(&block, &receipts).unwrap();
            assert_eq!(found.receipts[0].logs[0].data.len(), bytes / 2);
            assert_eq!(json!(found.reference.hash), block["hash"]);
        }
    }

    #[test]
    fn what_is_wrong_with_either_is_told_and_of_both_what_is_wrong_with_the_block() {
        for bytes in [0, 2 * ASIDE_BYTES] {
            let (mut block, mut receipts) = answers(bytes);
            receipts[0]["gasUsed"] = json!("gas");
            let of_receipts = read(&block, &receipts).unwrap_err().to_string();
            block["transactions"] = json!("none");
            let of_both = read(&block, &receipts).unwrap_err().to_string();
            assert!(of_both.contains("none") && !of_receipts.contains("none"), "{of_receipts}; {of_both}");
        }
    }
}
