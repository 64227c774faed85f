//! The consensus encodings of transactions and receipts: what their tries are built over, and what is signed.
//!
//! Fields are borrowed from where they are, answers or columns, and written once. Source: EIP-2718 and the EIP of each
//! type. Never guesses at a type that it does not know.

use alloy::consensus::{Eip658Value, TxType};
use alloy::primitives::{Address, B256, Bloom, TxKind, U256, keccak256};
use alloy::rlp::{Encodable, Header};

mod list;
#[cfg(test)]
mod tests;

pub use list::{EncodedList, Items, List, joined_hashes};

/// Why something cannot be encoded, and therefore not be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEncodable {
    /// A transaction type that no EIP known here defines.
    #[error("transaction type {0:#04x} is not known")]
    UnknownType(u8),
    /// A field that the type must have is not there.
    #[error("a transaction of type {transaction_type} has no {field}")]
    MissingField {
        /// The type.
        transaction_type: u8,
        /// The field's name in the Execution API.
        field: &'static str,
    },
}

/// A signed transaction, with the fields that any of the known types has.
#[derive(Clone, Copy)]
pub struct SignedTransaction<'a> {
    /// EIP-2718 type.
    pub transaction_type: u8,
    /// The chain id that was signed; absent in legacy ones before EIP-155.
    pub chain_id: Option<u64>,
    /// The sender's transactions before it.
    pub nonce: u64,
    /// Wei per gas, of the types that have one price.
    pub gas_price: Option<u128>,
    /// Wei per gas at most to the proposer.
    pub max_priority_fee_per_gas: Option<u128>,
    /// Wei per gas at most in all.
    pub max_fee_per_gas: Option<u128>,
    /// Wei per blob gas at most.
    pub max_fee_per_blob_gas: Option<u128>,
    /// Most gas that it may use.
    pub gas_limit: u64,
    /// Recipient; absent when it creates a contract.
    pub to: Option<Address>,
    /// Wei sent.
    pub value: U256,
    /// Call data, or init code.
    pub input: &'a [u8],
    /// Encodes as the list of its addresses and keys.
    pub access_list: Option<&'a dyn Encodable>,
    /// Encodes as the list of its hashes.
    pub blob_versioned_hashes: Option<&'a dyn Encodable>,
    /// Encodes as the list of its authorizations.
    pub authorization_list: Option<&'a dyn Encodable>,
    /// Whether the signature's y is odd.
    pub y_parity: Option<bool>,
    /// The signature's r.
    pub r: U256,
    /// The signature's s.
    pub s: U256,
}

impl SignedTransaction<'_> {
    /// Appends the transaction's EIP-2718 encoding to `out`.
    ///
    /// # Errors
    /// [`NotEncodable`]; nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), NotEncodable> {
        let known = known_type(self.transaction_type)?;
        let y_parity = self.required(self.y_parity, "signature parity")?;
        self.with_fields(known, |fields| {
            if known == TxType::Legacy {
                write_list(fields, &[&eip_155_v(y_parity, self.chain_id), &self.r, &self.s], out);
            } else {
                out.push(self.transaction_type);
                write_list(fields, &[&y_parity, &self.r, &self.s], out);
            }
        })
    }

    /// The hash that its sender signed.
    ///
    /// # Errors
    /// [`NotEncodable`].
    pub fn signature_hash(&self) -> Result<B256, NotEncodable> {
        let known = known_type(self.transaction_type)?;
        self.with_fields(known, |fields| {
            let mut out = Vec::with_capacity(self.input.len() + 256);
            match (known, self.chain_id) {
                (TxType::Legacy, None) => write_list(fields, &[], &mut out),
                (TxType::Legacy, Some(chain_id)) => write_list(fields, &[&chain_id, &0u8, &0u8], &mut out),
                _ => {
                    out.push(self.transaction_type);
                    write_list(fields, &[], &mut out);
                }
            }
            keccak256(&out)
        })
    }

    /// What `take` makes of the fields that are signed, in the order of the type's EIP; EIP-155's come after them.
    fn with_fields<T>(&self, known: TxType, take: impl FnOnce(&[&dyn Encodable]) -> T) -> Result<T, NotEncodable> {
        let Self { nonce, gas_limit, value, input, .. } = self;
        let to = self.to.map_or(TxKind::Create, TxKind::Call);
        if known == TxType::Legacy {
            let gas_price = self.required(self.gas_price, "gasPrice")?;
            return Ok(take(&[nonce, &gas_price, gas_limit, &to, value, input]));
        }
        let chain_id = self.required(self.chain_id, "chainId")?;
        if known == TxType::Eip2930 {
            let gas_price = self.required(self.gas_price, "gasPrice")?;
            let access_list = self.required(self.access_list, "accessList")?;
            return Ok(take(&[&chain_id, nonce, &gas_price, gas_limit, &to, value, input, &access_list]));
        }
        let most = self.required(self.max_fee_per_gas, "maxFeePerGas")?;
        let tip = self.required(self.max_priority_fee_per_gas, "maxPriorityFeePerGas")?;
        let access_list = self.required(self.access_list, "accessList")?;
        if known == TxType::Eip1559 {
            return Ok(take(&[&chain_id, nonce, &tip, &most, gas_limit, &to, value, input, &access_list]));
        }
        // The later types cannot create.
        let to = self.required(self.to, "to")?;
        if known == TxType::Eip4844 {
            let hashes = self.required(self.blob_versioned_hashes, "blobVersionedHashes")?;
            let blob = self.required(self.max_fee_per_blob_gas, "maxFeePerBlobGas")?;
            let fields: [&dyn Encodable; 11] =
                [&chain_id, nonce, &tip, &most, gas_limit, &to, value, input, &access_list, &blob, &hashes];
            return Ok(take(&fields));
        }
        let authorizations = self.required(self.authorization_list, "authorizationList")?;
        Ok(take(&[&chain_id, nonce, &tip, &most, gas_limit, &to, value, input, &access_list, &authorizations]))
    }

    fn required<T>(&self, value: Option<T>, field: &'static str) -> Result<T, NotEncodable> {
        value.ok_or(NotEncodable::MissingField { transaction_type: self.transaction_type, field })
    }
}

/// What a receipt's encoding holds.
#[derive(Clone, Copy, Debug)]
pub struct EncodableReceipt<'a> {
    /// EIP-2718 type of the transaction.
    pub transaction_type: u8,
    /// Status, or the state root that receipts before Byzantium have in its place (EIP-658).
    pub status: Option<Eip658Value>,
    /// Gas used in the block up to and with the transaction.
    pub cumulative_gas_used: u64,
    /// Bloom filter of the logs.
    pub logs_bloom: &'a Bloom,
    /// The logs, each as [`write_log`] appends it.
    pub logs: Items<'a>,
}

impl EncodableReceipt<'_> {
    /// Appends the receipt's EIP-2718 encoding to `out`.
    ///
    /// # Errors
    /// [`NotEncodable`]; nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), NotEncodable> {
        let Self { transaction_type, status, cumulative_gas_used, logs_bloom, logs } = *self;
        let known = known_type(transaction_type)?;
        let status = status.ok_or(NotEncodable::MissingField { transaction_type, field: "status" })?;
        if known != TxType::Legacy {
            out.push(transaction_type);
        }
        write_list(&[&status, &cumulative_gas_used, logs_bloom, &logs], &[], out);
        Ok(())
    }
}

/// Appends the RLP of a log to `out`. Source: Yellow Paper §4.3.1.
pub fn write_log(address: Address, topics: &[B256], data: &[u8], out: &mut Vec<u8>) {
    write_list(&[&address, &List(topics), &data], &[], out);
}

fn known_type(transaction_type: u8) -> Result<TxType, NotEncodable> {
    TxType::try_from(transaction_type).map_err(|_| NotEncodable::UnknownType(transaction_type))
}

/// `v` of a legacy transaction. Source: EIP-155.
fn eip_155_v(y_parity: bool, chain_id: Option<u64>) -> u128 {
    u128::from(y_parity) + chain_id.map_or(27, |chain_id| 35 + 2 * u128::from(chain_id))
}

/// Appends the list of `fields` and `more`.
fn write_list<'a>(fields: &[&'a dyn Encodable], more: &[&'a dyn Encodable], out: &mut Vec<u8>) {
    let payload_length = fields.iter().chain(more).map(Encodable::length).sum();
    Header { list: true, payload_length }.encode(out);
    fields.iter().chain(more).for_each(|field| field.encode(out));
}
