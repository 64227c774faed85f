//! Writes an answer's rows as JSON or CSV, exactly.
//!
//! Bytes are `0x…`. An integer up to 2^53 is a JSON number, a larger one a string, since readers of JSON round it
//! otherwise. Decimals are strings or, if whole and small, numbers. A double that JSON cannot hold is its name as a
//! string. Dates and times are ISO 8601.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use chrono::{DateTime, NaiveDate, TimeDelta};
use serde_json::{Number, Value};

use crate::error::QueryError;
use isotherm_types::sandbox::RelationColumn;

/// Largest integer that every reader of JSON keeps exact. **Source**: RFC 8259 §6.
const MAX_EXACT_INTEGER: u128 = 1 << 53;

/// Writes rows as lists of JSON values, at most `max_bytes` of them as text.
///
/// # Errors
/// [`QueryError::TooLarge`] above `max_bytes`; [`QueryError::SandboxProtocol`] for a type that the sandbox never sends.
pub fn json_rows(
    columns: &[RelationColumn],
    batches: &[RecordBatch],
    max_bytes: usize,
) -> Result<Vec<Vec<Value>>, QueryError> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch
                .columns()
                .iter()
                .zip(columns)
                .map(|(array, column)| Ok(cell(array, row)?.into_json(&column.sql_type)));
            let cells = cells.collect::<Result<Vec<Value>, QueryError>>()?;
            bytes += cells.iter().map(|cell| length(cell) + 1).sum::<usize>() + 2;
            if bytes > max_bytes {
                return Err(too_large(max_bytes));
            }
            rows.push(cells);
        }
    }
    Ok(rows)
}

/// Writes rows as CSV with a header line (RFC 4180, lines end in `\n`). NULL is an empty field, an empty text is `""`.
///
/// # Errors
/// As [`json_rows`].
pub fn csv(columns: &[RelationColumn], batches: &[RecordBatch], max_bytes: usize) -> Result<String, QueryError> {
    let mut text = columns.iter().map(|column| csv_field(&column.name)).collect::<Vec<_>>().join(",");
    text.push('\n');
    for batch in batches {
        for row in 0..batch.num_rows() {
            for (i, array) in batch.columns().iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                if let Some(field) = cell(array, row)?.into_text() {
                    text.push_str(&csv_field(&field));
                }
            }
            text.push('\n');
            if text.len() > max_bytes {
                return Err(too_large(max_bytes));
            }
        }
    }
    Ok(text)
}

/// One value, exact.
#[derive(Debug)]
enum Cell {
    Null,
    Boolean(bool),
    Integer(i128),
    Double(f64),
    Single(f32),
    /// Anything whose text is already final.
    Text(String),
}

impl Cell {
    fn into_json(self, sql_type: &str) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(value) => Value::Bool(value),
            Self::Integer(value) => integer(value),
            Self::Double(value) => {
                Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number)
            }
            // Through text, so that 0.1 stays 0.1 when it becomes a double.
            Self::Single(value) => {
                let number = value.to_string().parse().ok().and_then(Number::from_f64);
                number.map_or_else(|| Value::from(value.to_string()), Value::Number)
            }
            // Integers wider than Arrow's leave the sandbox as text.
            Self::Text(text) if matches!(sql_type, "HUGEINT" | "UHUGEINT" | "BIGNUM") => {
                text.parse().map_or_else(|_| Value::from(text), integer)
            }
            Self::Text(text) => Value::from(text),
        }
    }

    fn into_text(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Boolean(value) => Some(value.to_string()),
            Self::Integer(value) => Some(value.to_string()),
            Self::Double(value) => Some(value.to_string()),
            Self::Single(value) => Some(value.to_string()),
            Self::Text(text) => Some(text),
        }
    }
}

fn cell(array: &ArrayRef, row: usize) -> Result<Cell, QueryError> {
    if array.is_null(row) {
        return Ok(Cell::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Cell::Null,
        DataType::Boolean => Cell::Boolean(array.as_boolean().value(row)),
        DataType::Int8 => Cell::Integer(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Cell::Integer(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Cell::Integer(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Integer(array.as_primitive::<Int64Type>().value(row).into()),
        DataType::UInt8 => Cell::Integer(array.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt16 => Cell::Integer(array.as_primitive::<UInt16Type>().value(row).into()),
        DataType::UInt32 => Cell::Integer(array.as_primitive::<UInt32Type>().value(row).into()),
        DataType::UInt64 => Cell::Integer(array.as_primitive::<UInt64Type>().value(row).into()),
        DataType::Float32 => Cell::Single(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Cell::Double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => decimal(array.as_primitive::<Decimal128Type>().value(row), *scale),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => Cell::Text(array.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => Cell::Text(array.as_string_view().value(row).to_owned()),
        DataType::Binary => hex_text(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => hex_text(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => hex_text(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => hex_text(array.as_fixed_size_binary().value(row)),
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            instant(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        other => return Err(QueryError::SandboxProtocol { message: format!("it sent a column of type {other}") }),
    })
}

fn integer(value: i128) -> Value {
    match i64::try_from(value) {
        Ok(small) if value.unsigned_abs() <= MAX_EXACT_INTEGER => Value::from(small),
        _ => Value::from(value.to_string()),
    }
}

fn decimal(value: i128, scale: i8) -> Cell {
    let Ok(digits) = usize::try_from(scale) else { return Cell::Text(value.to_string()) };
    if digits == 0 {
        return Cell::Integer(value);
    }
    let sign = if value < 0 { "-" } else { "" };
    let padded = format!("{:0>width$}", value.unsigned_abs(), width = digits + 1);
    let (whole, fraction) = padded.split_at(padded.len() - digits);
    Cell::Text(format!("{sign}{whole}.{fraction}"))
}

fn hex_text(bytes: &[u8]) -> Cell {
    Cell::Text(format!("0x{}", hex::encode(bytes)))
}

fn date(days: i32) -> Cell {
    let date = NaiveDate::default().checked_add_signed(TimeDelta::days(days.into()));
    Cell::Text(date.map_or_else(|| format!("{days} days since 1970-01-01"), |date| date.to_string()))
}

fn instant(microseconds: i64) -> Cell {
    let time = DateTime::from_timestamp_micros(microseconds);
    Cell::Text(time.map_or_else(
        || format!("{microseconds} microseconds since 1970-01-01"),
        |time| time.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string(),
    ))
}

fn csv_field(text: &str) -> String {
    let is_plain = !text.is_empty() && !text.contains([',', '"', '\n', '\r']);
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Null | Value::Bool(_) => 5,
        _ => 20,
    }
}

fn too_large(max_bytes: usize) -> QueryError {
    QueryError::TooLarge { limit: format!("{max_bytes} bytes") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, Date32Array, Decimal128Array, Float64Array, StringArray, TimestampMicrosecondArray, UInt64Array,
    };
    use serde_json::json;

    use super::*;

    fn answer() -> (Vec<RelationColumn>, RecordBatch) {
        let columns: Vec<(&str, &str, ArrayRef)> = vec![
            ("n", "UBIGINT", Arc::new(UInt64Array::from(vec![Some(1 << 53), Some((1 << 53) + 1), None]))),
            ("h", "BLOB", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\xAA\x01"), Some(b""), None]))),
            (
                "s",
                "HUGEINT",
                Arc::new(StringArray::from(vec![Some("7"), Some("340282366920938463463374607431768211455"), None])),
            ),
            ("t", "VARCHAR", Arc::new(StringArray::from(vec![Some("7"), Some("a,\"b\""), Some("")]))),
            ("f", "DOUBLE", Arc::new(Float64Array::from(vec![0.1, f64::NAN, 1e300]))),
            (
                "d",
                "DECIMAL(5,2)",
                Arc::new(
                    Decimal128Array::from(vec![Some(-5), Some(12345), None]).with_precision_and_scale(5, 2).unwrap(),
                ),
            ),
            ("day", "DATE", Arc::new(Date32Array::from(vec![0, 19_000, -1]))),
            ("at", "TIMESTAMP", Arc::new(TimestampMicrosecondArray::from(vec![0, 1_500_000, 1_700_000_000_000_000]))),
        ];
        let described = columns
            .iter()
            .map(|(name, sql_type, _)| RelationColumn { name: (*name).to_owned(), sql_type: (*sql_type).to_owned() })
            .collect();
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, _, array)| (name, array, true)));
        (described, batch.unwrap())
    }

    #[test]
    fn every_value_is_exact() {
        let (columns, batch) = answer();
        let rows = json_rows(&columns, &[batch], 10_000).unwrap();
        assert_eq!(
            rows[0],
            [
                json!(9_007_199_254_740_992_u64),
                json!("0xaa01"),
                json!(7),
                json!("7"),
                json!(0.1),
                json!("-0.05"),
                json!("1970-01-01"),
                json!("1970-01-01T00:00:00Z")
            ]
        );
        assert_eq!(
            rows[1],
            [
                json!("9007199254740993"),
                json!("0x"),
                json!("340282366920938463463374607431768211455"),
                json!("a,\"b\""),
                json!("NaN"),
                json!("123.45"),
                json!("2022-01-08"),
                json!("1970-01-01T00:00:01.500Z")
            ]
        );
        assert_eq!(rows[2][..4], [Value::Null, Value::Null, Value::Null, json!("")]);
    }

    #[test]
    fn csv_quotes_what_needs_it_and_tells_null_from_empty() {
        let (columns, batch) = answer();
        let text = csv(&columns[..4], &[batch.project(&[0, 1, 2, 3]).unwrap()], 10_000).unwrap();
        let expected = "n,h,s,t\n9007199254740992,0xaa01,7,7\n\
                        9007199254740993,0x,340282366920938463463374607431768211455,\"a,\"\"b\"\"\"\n,,,\"\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_answer_above_the_limit_is_refused() {
        let (columns, batch) = answer();
        assert!(matches!(json_rows(&columns, std::slice::from_ref(&batch), 50), Err(QueryError::TooLarge { .. })));
        assert!(matches!(csv(&columns, &[batch], 50), Err(QueryError::TooLarge { .. })));
    }
}
