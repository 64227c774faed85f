//! Rows of `transactions` as the signed transactions that they are.

use alloy::primitives::B256;
use alloy::rlp::Encodable;
use arrow::array::{
    Array, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, RecordBatch, UInt32Array, UInt64Array,
};
use isotherm_types::encoding::{EncodedList, NotEncodable, SignedTransaction, joined_hashes};

use super::RootFault;
use super::cells::{address_opt, bytes_opt, column, fixed, hash, number, u64_opt, wei};
use super::encodings::Encodings;

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

    /// Checks that they are numbered without a gap.
    pub(super) fn check_places(&self) -> Result<(), RootFault> {
        for (index, (columns, row)) in (0..).zip(self.rows()) {
            let found = columns.index.value(row);
            if found != index {
                return Err(RootFault::TransactionPlace { index, found });
            }
        }
        Ok(())
    }

    /// The EIP-2718 encoding of each.
    pub(super) fn encoded(&self) -> Result<Encodings, RootFault> {
        let mut encoded = Encodings::default();
        for (index, (columns, row)) in (0..).zip(self.rows()) {
            encoded.push(|out| columns.encode(row, index, out))?;
        }
        Ok(encoded)
    }

    fn rows(&self) -> impl Iterator<Item = (&Columns<'a>, usize)> {
        self.0.iter().flat_map(|columns| (0..columns.hash.len()).map(move |row| (columns, row)))
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

    /// Appends the encoding of `row`, which is the block's at `index`. Lists are taken over as they are stored.
    fn encode(&self, row: usize, index: u64, out: &mut Vec<u8>) -> Result<(), RootFault> {
        let wrong = |column| RootFault::Cell { column, row: index };
        let list = |array, column| match bytes_opt(array, row) {
            Some(bytes) => EncodedList::new(bytes).map(Some).ok_or_else(|| wrong(column)),
            None => Ok(None),
        };
        let access_list = list(self.access_list, "access_list")?;
        let authorizations = list(self.authorizations, "authorization_list")?;
        let blob_hashes = match bytes_opt(self.blob_hashes, row) {
            Some(joined) => Some(joined_hashes(joined).ok_or_else(|| wrong("blob_versioned_hashes"))?),
            None => None,
        };
        let transaction = SignedTransaction {
            transaction_type: type_number(self.transaction_type.value(row))?,
            chain_id: u64_opt(self.chain_id, row),
            nonce: self.nonce.value(row),
            gas_price: wei(self.gas_price, row),
            max_priority_fee_per_gas: wei(self.max_priority_fee, row),
            max_fee_per_gas: wei(self.max_fee, row),
            max_fee_per_blob_gas: wei(self.max_blob_fee, row),
            gas_limit: self.gas_limit.value(row),
            to: address_opt(self.to, row),
            value: number(self.value, row),
            input: self.input.value(row),
            access_list: access_list.as_ref().map(|list| list as &dyn Encodable),
            blob_versioned_hashes: blob_hashes.as_ref().map(|hashes| hashes as &dyn Encodable),
            authorization_list: authorizations.as_ref().map(|list| list as &dyn Encodable),
            y_parity: Some(self.y_parity.value(row)),
            r: number(self.r, row),
            s: number(self.s, row),
        };
        transaction.encode(out).map_err(|reason| not_encoded(&reason, index))
    }
}

/// The EIP-2718 type in a cell.
pub(super) fn type_number(cell: u32) -> Result<u8, RootFault> {
    let unknown = |_| RootFault::Unverifiable { reason: format!("transaction type {cell:#04x} is not known") };
    u8::try_from(cell).map_err(unknown)
}

/// Why the transaction at `index` of the block, or its receipt, has no encoding.
pub(super) fn not_encoded(reason: &NotEncodable, index: u64) -> RootFault {
    match reason {
        NotEncodable::UnknownType(_) => RootFault::Unverifiable { reason: reason.to_string() },
        NotEncodable::MissingField { field, .. } => RootFault::Cell { column: column_of(field), row: index },
    }
}

/// The column of a field of the Execution API.
fn column_of(field: &'static str) -> &'static str {
    match field {
        "chainId" => "signed_chain_id",
        "gasPrice" => "gas_price",
        "maxPriorityFeePerGas" => "max_priority_fee_per_gas",
        "maxFeePerGas" => "max_fee_per_gas",
        "maxFeePerBlobGas" => "max_fee_per_blob_gas",
        "to" => "to_address",
        "accessList" => "access_list",
        "blobVersionedHashes" => "blob_versioned_hashes",
        "authorizationList" => "authorization_list",
        other => other,
    }
}
