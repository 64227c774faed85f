//! Rows of `transactions` as the signed transactions that they are.

use alloy::consensus::{EthereumTxEnvelope, Signed, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy, TxType};
use alloy::eips::Encodable2718;
use alloy::eips::eip2930::AccessList;
use alloy::eips::eip7702::SignedAuthorization;
use alloy::primitives::{B256, Signature, TxKind};
use alloy::rlp::Decodable;
use arrow::array::{
    Array, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, RecordBatch, UInt32Array, UInt64Array,
};

use super::RootFault;
use super::cells::{address_opt, bytes, bytes_opt, column, fixed, hash, number, u64_opt, wei};

/// The transactions of one block.
pub(super) struct Transactions<'a>(Vec<Columns<'a>>);

/// Columns of a batch.
struct Columns<'a> {
    index: &'a UInt64Array,
    hash: &'a FixedSizeBinaryArray,
    transaction_type: &'a UInt32Array,
    nonce: &'a UInt64Array,
    to: &'a FixedSizeBinaryArray,
    value: &'a FixedSizeBinaryArray,
    input: &'a BinaryArray,
    gas_limit: &'a UInt64Array,
    gas_price: &'a Decimal128Array,
    max_fee: &'a Decimal128Array,
    max_priority_fee: &'a Decimal128Array,
    chain_id: &'a UInt64Array,
    y_parity: &'a BooleanArray,
    r: &'a FixedSizeBinaryArray,
    s: &'a FixedSizeBinaryArray,
    access_list: &'a BinaryArray,
    max_blob_fee: &'a Decimal128Array,
    blob_hashes: &'a BinaryArray,
    authorizations: &'a BinaryArray,
}

impl<'a> Transactions<'a> {
    pub(super) fn of(batches: &'a [RecordBatch]) -> Result<Self, RootFault> {
        Ok(Self(batches.iter().map(Columns::of).collect::<Result<_, _>>()?))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|columns| columns.hash.len() as u64).sum()
    }

    /// The hashes under which they are stored.
    pub(super) fn hashes(&self) -> impl Iterator<Item = B256> {
        self.0.iter().flat_map(|columns| (0..columns.hash.len()).map(|row| hash(columns.hash, row)))
    }

    /// The EIP-2718 encoding of each.
    pub(super) fn encoded(&self) -> Result<Vec<Vec<u8>>, RootFault> {
        let rows = self.0.iter().flat_map(|columns| (0..columns.hash.len()).map(move |row| (columns, row)));
        let encode = |(index, (columns, row)): (u64, (&Columns<'_>, usize))| {
            let found = columns.index.value(row);
            if found != index {
                return Err(RootFault::TransactionPlace { index, found });
            }
            Ok(columns.envelope(row, index)?.encoded_2718())
        };
        (0..).zip(rows).map(encode).collect()
    }
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, RootFault> {
        Ok(Self {
            index: column(batch, "transaction_index")?,
            hash: fixed(batch, "transaction_hash", 32)?,
            transaction_type: column(batch, "transaction_type")?,
            nonce: column(batch, "nonce")?,
            to: fixed(batch, "to_address", 20)?,
            value: fixed(batch, "value_binary", 32)?,
            input: column(batch, "input")?,
            gas_limit: column(batch, "gas_limit")?,
            gas_price: column(batch, "gas_price")?,
            max_fee: column(batch, "max_fee_per_gas")?,
            max_priority_fee: column(batch, "max_priority_fee_per_gas")?,
            chain_id: column(batch, "signed_chain_id")?,
            y_parity: column(batch, "signature_y_parity")?,
            r: fixed(batch, "signature_r", 32)?,
            s: fixed(batch, "signature_s", 32)?,
            access_list: column(batch, "access_list")?,
            max_blob_fee: column(batch, "max_fee_per_blob_gas")?,
            blob_hashes: column(batch, "blob_versioned_hashes")?,
            authorizations: column(batch, "authorization_list")?,
        })
    }

    /// The signed transaction of `row`, which is the block's at `index`.
    fn envelope(&self, row: usize, index: u64) -> Result<EthereumTxEnvelope<TxEip4844>, RootFault> {
        let number_of_type = self.transaction_type.value(row);
        let known = u8::try_from(number_of_type).ok().and_then(|number| TxType::try_from(number).ok());
        let known = known.ok_or_else(|| RootFault::Unverifiable {
            reason: format!("transaction type {number_of_type:#04x} is not known"),
        })?;
        let empty = |column| RootFault::Cell { column, row: index };
        let price = |array, name| wei(array, row).ok_or_else(|| empty(name));
        let gas_price = || price(self.gas_price, "gas_price");
        let max_fee = || price(self.max_fee, "max_fee_per_gas");
        let max_priority_fee = || price(self.max_priority_fee, "max_priority_fee_per_gas");
        let signed_chain_id = u64_opt(self.chain_id, row);
        let chain_id = || signed_chain_id.ok_or_else(|| empty("signed_chain_id"));
        let recipient = address_opt(self.to, row);
        let called = || recipient.ok_or_else(|| empty("to_address"));
        let access_list =
            || -> Result<AccessList, RootFault> { decoded(self.access_list, row).ok_or_else(|| empty("access_list")) };
        let to = recipient.map_or(TxKind::Create, TxKind::Call);
        let (nonce, gas_limit) = (self.nonce.value(row), self.gas_limit.value(row));
        let (value, input) = (number(self.value, row), bytes(self.input, row));
        let signature = Signature::new(number(self.r, row), number(self.s, row), self.y_parity.value(row));
        let hash = hash(self.hash, row);
        Ok(match known {
            TxType::Legacy => {
                let gas_price = gas_price()?;
                let inner = TxLegacy { chain_id: signed_chain_id, nonce, gas_price, gas_limit, to, value, input };
                EthereumTxEnvelope::Legacy(Signed::new_unchecked(inner, signature, hash))
            }
            TxType::Eip2930 => {
                let (chain_id, gas_price, access_list) = (chain_id()?, gas_price()?, access_list()?);
                let inner = TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input };
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
                    to: called()?,
                    value,
                    access_list: access_list()?,
                    blob_versioned_hashes: self.blob_hashes(row).ok_or_else(|| empty("blob_versioned_hashes"))?,
                    max_fee_per_blob_gas: price(self.max_blob_fee, "max_fee_per_blob_gas")?,
                    input,
                };
                EthereumTxEnvelope::Eip4844(Signed::new_unchecked(inner, signature, hash))
            }
            TxType::Eip7702 => {
                let authorization_list: Option<Vec<SignedAuthorization>> = decoded(self.authorizations, row);
                let inner = TxEip7702 {
                    chain_id: chain_id()?,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: max_fee()?,
                    max_priority_fee_per_gas: max_priority_fee()?,
                    to: called()?,
                    value,
                    access_list: access_list()?,
                    authorization_list: authorization_list.ok_or_else(|| empty("authorization_list"))?,
                    input,
                };
                EthereumTxEnvelope::Eip7702(Signed::new_unchecked(inner, signature, hash))
            }
        })
    }

    fn blob_hashes(&self, row: usize) -> Option<Vec<B256>> {
        let joined = bytes_opt(self.blob_hashes, row)?;
        let hashes = joined.chunks_exact(32);
        hashes.remainder().is_empty().then(|| hashes.map(B256::from_slice).collect())
    }
}

/// What a cell holds as RLP, to its last byte.
fn decoded<T: Decodable>(array: &BinaryArray, row: usize) -> Option<T> {
    let mut left = bytes_opt(array, row)?;
    let value = T::decode(&mut left).ok()?;
    left.is_empty().then_some(value)
}
