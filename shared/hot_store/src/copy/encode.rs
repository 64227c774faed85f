//! Record batch → binary COPY.

use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float64Array, RecordBatch,
    StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, UInt32Type, UInt64Type};
use bytes::BufMut;

use super::{HEADER, NULL, TRAILER, numeric};
use crate::error::HotStoreError;

/// A column, its array's type found once instead of once a cell.
enum Cells<'a> {
    UInt32(&'a UInt32Array),
    UInt64(&'a UInt64Array),
    Float64(&'a Float64Array),
    Boolean(&'a BooleanArray),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Fixed(&'a FixedSizeBinaryArray),
    Decimal(&'a Decimal128Array),
}

/// Encodes `batch` as one complete binary COPY stream, columns in the batch's order.
///
/// # Errors
/// [`HotStoreError::OutOfRange`] for an unsigned value above 2^63 - 1;
/// [`HotStoreError::MalformedCopy`] for a column of a type that no dataset has.
pub fn encode(batch: &RecordBatch) -> Result<Vec<u8>, HotStoreError> {
    let columns = batch.columns().iter().map(|array| cells(array)).collect::<Result<Vec<_>, _>>()?;
    let field_count = i16::try_from(columns.len()).expect("a dataset has few columns");
    let mut buffer = Vec::with_capacity(HEADER.len() + 2 + batch.get_array_memory_size());
    buffer.extend_from_slice(&HEADER);
    for row in 0..batch.num_rows() {
        buffer.put_i16(field_count);
        for (index, (array, cells)) in batch.columns().iter().zip(&columns).enumerate() {
            if array.is_null(row) {
                buffer.put_i32(NULL);
            } else {
                put(&mut buffer, cells, row).map_err(|value| HotStoreError::OutOfRange {
                    column: batch.schema_ref().field(index).name().clone(),
                    value: value.to_string(),
                })?;
            }
        }
    }
    buffer.put_i16(TRAILER);
    Ok(buffer)
}

fn cells(array: &dyn Array) -> Result<Cells<'_>, HotStoreError> {
    Ok(match array.data_type() {
        DataType::UInt32 => Cells::UInt32(array.as_primitive::<UInt32Type>()),
        DataType::UInt64 => Cells::UInt64(array.as_primitive::<UInt64Type>()),
        DataType::Float64 => Cells::Float64(array.as_primitive::<Float64Type>()),
        DataType::Boolean => Cells::Boolean(array.as_boolean()),
        DataType::Utf8 => Cells::Text(array.as_string()),
        DataType::Binary => Cells::Bytes(array.as_binary()),
        DataType::FixedSizeBinary(_) => Cells::Fixed(array.as_fixed_size_binary()),
        DataType::Decimal128(_, 0) => Cells::Decimal(array.as_primitive::<Decimal128Type>()),
        _ => return Err(HotStoreError::MalformedCopy { problem: "a column has a type that no dataset has" }),
    })
}

/// Appends one value that is not NULL; gives back an unsigned one that `bigint` cannot hold.
fn put(buffer: &mut Vec<u8>, cells: &Cells<'_>, row: usize) -> Result<(), u64> {
    match cells {
        Cells::UInt32(array) => {
            buffer.put_i32(8);
            buffer.put_i64(i64::from(array.value(row)));
        }
        Cells::UInt64(array) => {
            let value = array.value(row);
            buffer.put_i32(8);
            buffer.put_i64(i64::try_from(value).map_err(|_| value)?);
        }
        Cells::Float64(array) => {
            buffer.put_i32(8);
            buffer.put_f64(array.value(row));
        }
        Cells::Boolean(array) => {
            buffer.put_i32(1);
            buffer.put_u8(u8::from(array.value(row)));
        }
        Cells::Text(array) => put_bytes(buffer, array.value(row).as_bytes()),
        Cells::Bytes(array) => put_bytes(buffer, array.value(row)),
        Cells::Fixed(array) => put_bytes(buffer, array.value(row)),
        Cells::Decimal(array) => numeric::put(buffer, array.value(row)),
    }
    Ok(())
}

fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.put_i32(i32::try_from(bytes.len()).expect("Arrow's 32-bit offsets bound the length"));
    buffer.extend_from_slice(bytes);
}
