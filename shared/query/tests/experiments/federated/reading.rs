//! Answers as texts, and whether two of them are the same.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

use super::question::{Kind, Query};

/// Rows of texts, `None` where nothing is; bytes as `0x…`.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// The rows of an answer.
pub(crate) fn rows(batches: &[RecordBatch]) -> Rows {
    let of_batch = |batch: &RecordBatch| -> Rows {
        let row = |row| batch.columns().iter().map(|column| cell(column, row)).collect();
        (0..batch.num_rows()).map(row).collect()
    };
    batches.iter().flat_map(of_batch).collect()
}

fn cell(array: &dyn Array, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Null => return None,
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).to_string(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).to_string(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Decimal128(_, 0) => array.as_primitive::<Decimal128Type>().value(row).to_string(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        DataType::Utf8View => array.as_string_view().value(row).to_owned(),
        DataType::Binary => hex_text(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => hex_text(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => hex_text(array.as_binary_view().value(row)),
        other => panic!("no query here asks for a column of type {other}"),
    })
}

fn hex_text(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// The rows of each of `queries` in the answer to all of them; see `dialect::packed_for_platform`.
pub(crate) fn unpacked(queries: &[Query], packed: Rows) -> Vec<Rows> {
    let mut answers: Vec<Rows> = vec![Vec::new(); queries.len()];
    for mut row in packed {
        let place: usize = row.remove(0).and_then(|place| place.parse().ok()).expect("each row has the query's number");
        let padding = row.split_off(queries[place].width());
        assert!(padding.iter().all(Option::is_none), "columns that the query does not have are empty");
        answers[place].push(row);
    }
    answers
}

/// What differs between an answer and what it should be; `None` if nothing does. `keeps_order` says whether the rows
/// came as the query orders them, if it does.
pub(crate) fn difference(query: &Query, found: Rows, expected: Rows, keeps_order: bool) -> Option<String> {
    let kinds = query.columns();
    let (mut found, mut expected) = (plain(&kinds, found), plain(&kinds, expected));
    if query.order.is_none() || !keeps_order {
        found.sort_unstable();
        expected.sort_unstable();
    }
    if found == expected {
        return None;
    }
    let first = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    let first = first.unwrap_or_else(|| found.len().min(expected.len()));
    Some(format!(
        "{} rows, expected {}; row {first} is {:?}, expected {:?}",
        found.len(),
        expected.len(),
        found.get(first),
        expected.get(first),
    ))
}

/// Doubles are spelled in many ways.
fn plain(kinds: &[Kind], rows: Rows) -> Rows {
    let cell = |(kind, cell): (&Kind, Option<String>)| match kind {
        Kind::Double => cell.map(|text| format!("{:e}", text.parse::<f64>().expect("a double"))),
        Kind::Number | Kind::Decimal | Kind::Boolean | Kind::Text | Kind::Bytes => cell,
    };
    rows.into_iter().map(|row| kinds.iter().zip(row).map(cell).collect()).collect()
}
