//! Columns of a batch by name and type, and what their cells hold.

use alloy::primitives::{Address, B256, Bytes, U256};
use arrow::array::{Array, BinaryArray, Decimal128Array, FixedSizeBinaryArray, RecordBatch, UInt64Array};

use super::RootFault;

/// The column called `name`.
pub(super) fn column<'a, T: Array + 'static>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a T, RootFault> {
    let found = batch.column_by_name(name).and_then(|array| array.as_any().downcast_ref());
    found.ok_or(RootFault::Column { column: name })
}

/// A column of bytes of one length.
pub(super) fn fixed<'a>(
    batch: &'a RecordBatch,
    name: &'static str,
    length: i32,
) -> Result<&'a FixedSizeBinaryArray, RootFault> {
    let found: &FixedSizeBinaryArray = column(batch, name)?;
    if found.value_length() == length { Ok(found) } else { Err(RootFault::Column { column: name }) }
}

pub(super) fn hash(array: &FixedSizeBinaryArray, row: usize) -> B256 {
    B256::from_slice(array.value(row))
}

pub(super) fn hash_opt(array: &FixedSizeBinaryArray, row: usize) -> Option<B256> {
    array.is_valid(row).then(|| hash(array, row))
}

pub(super) fn address(array: &FixedSizeBinaryArray, row: usize) -> Address {
    Address::from_slice(array.value(row))
}

pub(super) fn address_opt(array: &FixedSizeBinaryArray, row: usize) -> Option<Address> {
    array.is_valid(row).then(|| address(array, row))
}

pub(super) fn number(array: &FixedSizeBinaryArray, row: usize) -> U256 {
    U256::from_be_slice(array.value(row))
}

pub(super) fn u64_opt(array: &UInt64Array, row: usize) -> Option<u64> {
    array.is_valid(row).then(|| array.value(row))
}

pub(super) fn bytes(array: &BinaryArray, row: usize) -> Bytes {
    Bytes::copy_from_slice(array.value(row))
}

pub(super) fn bytes_opt(array: &BinaryArray, row: usize) -> Option<&[u8]> {
    array.is_valid(row).then(|| array.value(row))
}

/// Wei; `None` if the cell is empty or negative.
pub(super) fn wei(array: &Decimal128Array, row: usize) -> Option<u128> {
    array.is_valid(row).then(|| array.value(row)).and_then(|value| u128::try_from(value).ok())
}
