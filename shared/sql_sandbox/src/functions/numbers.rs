//! Bytes to numbers and back. Numbers of 256 bits leave as decimal text, which a macro casts to `BIGNUM`: exact, and
//! the only way for them through a vector of the crate.

use std::sync::Arc;

use alloy_primitives::{I256, U256};
use arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray, UInt64Array};
use duckdb::core::LogicalTypeId::{Blob, UBigint, Varchar};
use duckdb::vscalar::ScalarFunctionSignature;

use super::{FunctionError, RowFunction, error, exact};

/// `bytes_to_uint256_text(BLOB) → VARCHAR`: 1 to 32 bytes, big endian; NULL for none or more.
pub(super) struct Uint256Text;

impl RowFunction for Uint256Text {
    const NAME: &'static str = "bytes_to_uint256_text";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Blob], Varchar)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        let rows = input.column(0).as_binary::<i32>().iter().map(|bytes| Some(unsigned(bytes?)?.to_string()));
        Ok(Arc::new(rows.collect::<StringArray>()))
    }
}

/// `bytes_to_int256_text(BLOB) → VARCHAR`: 32 bytes, two's complement; NULL for any other length, whose sign nobody
/// knows.
pub(super) struct Int256Text;

impl RowFunction for Int256Text {
    const NAME: &'static str = "bytes_to_int256_text";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Blob], Varchar)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        let signed = |bytes: &[u8]| unsigned(bytes).filter(|_| bytes.len() == 32).map(I256::from_raw);
        let rows = input.column(0).as_binary::<i32>().iter().map(|bytes| Some(signed(bytes?)?.to_string()));
        Ok(Arc::new(rows.collect::<StringArray>()))
    }
}

/// `bytes_to_uint64(BLOB) → UBIGINT`: 1 to 32 bytes, big endian; an error if the number is larger than the type.
pub(super) struct Uint64;

impl RowFunction for Uint64 {
    const NAME: &'static str = "bytes_to_uint64";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Blob], UBigint)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        let small = |number: U256| {
            let problem = "a number does not fit into 64 bits; use bytes_to_uint256";
            u64::try_from(number).map_err(|_| error::<Self>(problem))
        };
        let rows = input.column(0).as_binary::<i32>().iter();
        let rows = rows.map(|bytes| bytes.and_then(unsigned).map(small).transpose());
        Ok(Arc::new(rows.collect::<Result<UInt64Array, _>>()?))
    }
}

/// `text_to_uint256_bytes(VARCHAR) → BLOB`: decimal digits as 32 bytes, big endian.
pub(super) struct Uint256Bytes;

impl RowFunction for Uint256Bytes {
    const NAME: &'static str = "text_to_uint256_bytes";
    const SHOWN: &'static str = "uint256_to_bytes";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Varchar], Blob)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        let bytes = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = is_plain.then(|| U256::from_str_radix(text, 10).ok()).flatten();
            let problem = "only a whole number from 0 to 2^256 - 1 has such bytes";
            number.map(|number| number.to_be_bytes::<32>()).ok_or_else(|| error::<Self>(problem))
        };
        let rows = input.column(0).as_string::<i32>().iter().map(|text| text.map(bytes).transpose());
        Ok(Arc::new(rows.collect::<Result<BinaryArray, _>>()?))
    }
}

/// The number of 1 to 32 bytes, big endian.
fn unsigned(bytes: &[u8]) -> Option<U256> {
    if bytes.is_empty() { None } else { U256::try_from_be_slice(bytes) }
}
