//! Bytes to bytes and to text: addresses, topics, hexadecimal digits, parts, hashes.

use std::sync::Arc;

use alloy_primitives::{hex, keccak256};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use duckdb::core::LogicalTypeId::{Bigint, Blob, Varchar};
use duckdb::vscalar::ScalarFunctionSignature;

use super::{FunctionError, RowFunction, error, exact};

/// Zero bytes before an address in a word. **Source**: the Solidity ABI specification, "Formal Specification".
const ADDRESS_PADDING: usize = 12;

/// `topic_to_address(BLOB) → BLOB`: the last 20 of 32 bytes; NULL unless the others are zero.
pub(super) struct TopicToAddress;

impl RowFunction for TopicToAddress {
    const NAME: &'static str = "topic_to_address";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Blob], Blob)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        let address = |topic: &[u8]| match topic.split_at_checked(ADDRESS_PADDING) {
            Some((padding, address)) if address.len() == 20 && padding.iter().all(|byte| *byte == 0) => {
                Some(address.to_vec())
            }
            _ => None,
        };
        let rows = input.column(0).as_binary::<i32>().iter().map(|topic| topic.and_then(address));
        Ok(Arc::new(rows.collect::<BinaryArray>()))
    }
}

/// `address_to_topic(BLOB) → BLOB`: 20 bytes with 12 zero bytes before them.
pub(super) struct AddressToTopic;

impl RowFunction for AddressToTopic {
    const NAME: &'static str = "address_to_topic";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Blob], Blob)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        let topic = |address: &[u8]| {
            if address.len() != 20 {
                return Err(error::<Self>(&format!("an address has 20 bytes, and this one {}", address.len())));
            }
            let mut topic = vec![0; ADDRESS_PADDING];
            topic.extend(address);
            Ok(topic)
        };
        let rows = input.column(0).as_binary::<i32>().iter().map(|address| address.map(topic).transpose());
        Ok(Arc::new(rows.collect::<Result<BinaryArray, _>>()?))
    }
}

/// `bytes_substring(BLOB, first BIGINT, length BIGINT) → BLOB`: the bytes from `first`, counted from 1. NULL if any of
/// them is not there.
pub(super) struct BytesSubstring;

impl RowFunction for BytesSubstring {
    const NAME: &'static str = "bytes_substring";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Blob, Bigint, Bigint], Blob)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        let firsts = input.column(1).as_primitive::<Int64Type>();
        let lengths = input.column(2).as_primitive::<Int64Type>();
        let rows = input.column(0).as_binary::<i32>().iter().zip(firsts).zip(lengths);
        Ok(Arc::new(rows.map(|((bytes, first), length)| part(bytes?, first?, length?)).collect::<BinaryArray>()))
    }
}

/// The bytes from `first` on, which is counted from 1; `None` unless all of them are there.
fn part(bytes: &[u8], first: i64, length: i64) -> Option<&[u8]> {
    let start = usize::try_from(first.checked_sub(1)?).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    bytes.get(start..end)
}

/// `to_hex_0x(BLOB) → VARCHAR`: `0x` and lower-case digits.
pub(super) struct ToHex;

impl RowFunction for ToHex {
    const NAME: &'static str = "to_hex_0x";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Blob], Varchar)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        let rows = input.column(0).as_binary::<i32>().iter().map(|bytes| bytes.map(hex::encode_prefixed));
        Ok(Arc::new(rows.collect::<StringArray>()))
    }
}

/// `from_hex_0x(VARCHAR) → BLOB`: hexadecimal digits, with or without `0x` before them.
pub(super) struct FromHex;

impl RowFunction for FromHex {
    const NAME: &'static str = "from_hex_0x";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Varchar], Blob)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        let bytes = |text: &str| {
            let problem = "the text is not an even number of hexadecimal digits";
            hex::decode(text).map_err(|_| error::<Self>(problem))
        };
        let rows = input.column(0).as_string::<i32>().iter().map(|text| text.map(bytes).transpose());
        Ok(Arc::new(rows.collect::<Result<BinaryArray, _>>()?))
    }
}

/// `keccak256(BLOB or VARCHAR) → BLOB`: the hash that Ethereum uses, of the bytes or of the text's UTF-8.
pub(super) struct Keccak256;

impl RowFunction for Keccak256 {
    const NAME: &'static str = "keccak256";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Blob], Blob), exact([Varchar], Blob)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        let column = input.column(0);
        let rows: BinaryArray = match column.data_type() {
            DataType::Utf8 => column.as_string::<i32>().iter().map(|text| text.map(keccak256)).collect(),
            _ => column.as_binary::<i32>().iter().map(|bytes| bytes.map(keccak256)).collect(),
        };
        Ok(Arc::new(rows))
    }
}
