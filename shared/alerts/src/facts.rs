//! Rows of Arrow batches as conditions see them, and the facts of a finding.
//!
//! Pure. Nothing is copied or built for a row that no rule wants: values are borrowed from the arrays when they are asked for.

use std::borrow::Cow;

use alloy_dyn_abi::DynSolValue;
use arrow::array::{
    Array as _, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, RecordBatch, StringArray,
    UInt32Array, UInt64Array,
};
use isotherm_types::Dataset;
use isotherm_types::schema::ColumnType;
use serde_json::{Map, Value as Json};

use crate::condition::{self, ColumnRead, Expression, Int, Read, RowValues, Value};
use crate::source::value_of;

/// A column's array.
#[derive(Clone, Copy)]
pub(crate) enum Column<'a> {
    UInt32(&'a UInt32Array),
    UInt64(&'a UInt64Array),
    Boolean(&'a BooleanArray),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Fixed(&'a FixedSizeBinaryArray),
    Decimal(&'a Decimal128Array),
}

impl<'a> Column<'a> {
    /// The bytes of a row; `None` if there are none.
    #[inline]
    pub(crate) fn bytes(self, row: usize) -> Option<&'a [u8]> {
        match self {
            Self::Fixed(array) if array.is_valid(row) => Some(array.value(row)),
            Self::Bytes(array) if array.is_valid(row) => Some(array.value(row)),
            _ => None,
        }
    }

    /// The number of a row; `None` if there is none.
    pub(crate) fn number(self, row: usize) -> Option<u64> {
        match self {
            Self::UInt32(array) if array.is_valid(row) => Some(u64::from(array.value(row))),
            Self::UInt64(array) if array.is_valid(row) => Some(array.value(row)),
            _ => None,
        }
    }

    /// The text of a row; `None` if there is none.
    pub(crate) fn text(self, row: usize) -> Option<&'a str> {
        match self {
            Self::Text(array) if array.is_valid(row) => Some(array.value(row)),
            _ => None,
        }
    }

    fn value(self, read: Read, row: usize) -> Value<'a> {
        match (self, read) {
            (Self::UInt32(_) | Self::UInt64(_), Read::Time) => {
                let seconds = self.number(row).and_then(|seconds| i64::try_from(seconds).ok());
                seconds.map_or(Value::Absent, Value::Time)
            }
            (Self::UInt32(_) | Self::UInt64(_), _) => {
                self.number(row).map_or(Value::Absent, |number| Value::Int(Int::from(number)))
            }
            (Self::Fixed(_) | Self::Bytes(_), Read::Unsigned) => {
                self.bytes(row).and_then(Int::from_be_bytes).map_or(Value::Absent, Value::Int)
            }
            (Self::Fixed(_) | Self::Bytes(_), _) => {
                self.bytes(row).map_or(Value::Absent, |bytes| Value::Bytes(Cow::Borrowed(bytes)))
            }
            (Self::Boolean(array), _) => Value::Bool(array.is_valid(row) && array.value(row)),
            (Self::Text(array), _) if array.is_null(row) => Value::Absent,
            (Self::Text(array), Read::Decimal) => Int::from_decimal(array.value(row)).map_or(Value::Absent, Value::Int),
            (Self::Text(array), _) => Value::Text(Cow::Borrowed(array.value(row))),
            (Self::Decimal(array), _) if array.is_null(row) => Value::Absent,
            (Self::Decimal(array), _) => Value::Int(Int::from(array.value(row))),
        }
    }
}

/// The arrays of a batch, by their places in the dataset's columns. Those that a batch has not are not there.
pub(crate) struct Columns<'a> {
    dataset: Dataset,
    arrays: Vec<Option<Column<'a>>>,
}

impl<'a> Columns<'a> {
    /// The arrays of `batch`.
    ///
    /// # Panics
    /// If a column has another type than the dataset's schema says.
    pub(crate) fn of(batch: &'a RecordBatch, dataset: Dataset) -> Self {
        let arrays = dataset.columns().iter().map(|column| {
            let array = batch.column_by_name(column.name)?.as_any();
            let found = match column.column_type {
                ColumnType::UInt32 => array.downcast_ref().map(Column::UInt32),
                ColumnType::UInt64 => array.downcast_ref().map(Column::UInt64),
                ColumnType::Boolean => array.downcast_ref().map(Column::Boolean),
                ColumnType::Text => array.downcast_ref().map(Column::Text),
                ColumnType::Bytes => array.downcast_ref().map(Column::Bytes),
                ColumnType::FixedBytes(_) => array.downcast_ref().map(Column::Fixed),
                ColumnType::Decimal => array.downcast_ref().map(Column::Decimal),
                ColumnType::Float64 => return None,
            };
            assert!(found.is_some(), "column {} of {dataset} has not the type of its schema", column.name);
            found
        });
        Self { dataset, arrays: arrays.collect() }
    }

    /// The array called `name`, if the batch has it.
    pub(crate) fn named(&self, name: &str) -> Option<Column<'a>> {
        let place = self.dataset.columns().iter().position(|column| column.name == name)?;
        self.arrays[place]
    }

    /// The array called `name`.
    ///
    /// # Panics
    /// If the batch has not got it.
    pub(crate) fn required(&self, name: &str) -> Column<'a> {
        let dataset = self.dataset;
        self.named(name).unwrap_or_else(|| panic!("the batch of {dataset} has no column {name}"))
    }
}

/// A row of a batch, with its decoded parameters.
pub(crate) struct Row<'a> {
    pub(crate) columns: &'a Columns<'a>,
    pub(crate) row: usize,
    pub(crate) arguments: &'a [DynSolValue],
}

impl<'a> RowValues<'a> for Row<'a> {
    fn column(&self, read: ColumnRead) -> Value<'a> {
        self.columns.arrays[read.column].map_or(Value::Absent, |column| column.value(read.read, self.row))
    }

    fn argument(&self, place: usize) -> Value<'a> {
        self.arguments.get(place).map_or(Value::Absent, value_of)
    }
}

/// One fact of what a rule finds.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) value: FactValue,
}

/// Where a fact comes from.
#[derive(Debug)]
pub(crate) enum FactValue {
    /// The same of every row.
    Text(String),
    /// Of the row.
    Expression(Expression),
    /// All parameters, by these names.
    Arguments(Vec<String>),
}

/// The facts of `row`, as JSON. A value that is absent is `null`.
pub(crate) fn facts_of<'a>(facts: &'a [Fact], row: &Row<'a>) -> Map<String, Json> {
    let json = |fact: &'a Fact| match &fact.value {
        FactValue::Text(text) => Json::String(text.clone()),
        FactValue::Expression(expression) => {
            condition::value(expression, row).map_or(Json::Null, |value| value.to_json())
        }
        FactValue::Arguments(names) => {
            let values = names.iter().enumerate().map(|(place, name)| (name.clone(), row.argument(place).to_json()));
            Json::Object(values.collect())
        }
    };
    facts.iter().map(|fact| (fact.name.clone(), json(fact))).collect()
}

/// The facts in a row, for rules without a message: `name value`, those of parameters without `args`.
pub(crate) fn sentence(what: &str, facts: &Map<String, Json>) -> String {
    let mut parts = Vec::new();
    for (name, value) in facts {
        match value {
            Json::Object(values) => {
                parts.extend(
                    values.iter().map(|(name, value)| format!("{name} {}", crate::template::show(Some(value)))),
                );
            }
            Json::Null => {}
            value => parts.push(format!("{name} {}", crate::template::show(Some(value)))),
        }
    }
    if parts.is_empty() { what.to_owned() } else { format!("{what}: {}", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::ArrayRef;
    use serde_json::json;

    use super::*;
    use crate::condition::{Names, compile};

    fn batch() -> RecordBatch {
        let fixed = |length: i32, rows: [Option<&[u8]>; 2]| -> ArrayRef {
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(rows.into_iter(), length).unwrap())
        };
        let amount = [0xff; 32];
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("block_number", Arc::new(UInt32Array::from(vec![1, 2]))),
            ("to_address", fixed(20, [Some(&[7; 20]), None])),
            ("value_binary", fixed(32, [Some(&amount), Some(&[0; 32])])),
            (
                "gas_price",
                Arc::new(Decimal128Array::from(vec![Some(10), None]).with_precision_and_scale(38, 0).unwrap()),
            ),
            ("success", Arc::new(BooleanArray::from(vec![true, false]))),
            ("timestamp", Arc::new(UInt32Array::from(vec![60, 61]))),
            ("input", Arc::new(BinaryArray::from(vec![&b"\x01"[..], b""]))),
            ("value_string", Arc::new(StringArray::from(vec!["1", "2"]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn values_are_those_of_the_arrays() {
        let batch = batch();
        let columns = Columns::of(&batch, Dataset::Transactions);
        let names = Names::new(Dataset::Transactions, None);
        let show = |text: &str, row: usize| {
            let typed = compile(text, &names).unwrap();
            condition::value(&typed.expression, &Row { columns: &columns, row, arguments: &[] }).unwrap().show()
        };
        let largest = alloy_primitives::U256::MAX.to_string();
        for (text, first, second) in [
            ("block_number", "1", "2"),
            ("to_address", "0x0707070707070707070707070707070707070707", "-"),
            ("value", largest.as_str(), "0"),
            ("gas_price", "10", "-"),
            ("success", "true", "false"),
            ("timestamp", "1970-01-01T00:01:00Z", "1970-01-01T00:01:01Z"),
            ("input", "0x01", "0x"),
            ("value_string", "1", "2"),
            ("nonce", "-", "-"),
        ] {
            assert_eq!((show(text, 0).as_str(), show(text, 1).as_str()), (first, second), "{text}");
        }
    }

    #[test]
    fn facts_are_named_values() {
        let batch = batch();
        let columns = Columns::of(&batch, Dataset::Transactions);
        let names = Names::new(Dataset::Transactions, None);
        let arguments = [DynSolValue::Bool(true)];
        let facts = vec![
            Fact { name: "call".to_owned(), value: FactValue::Text("f".to_owned()) },
            Fact {
                name: "to_address".to_owned(),
                value: FactValue::Expression(names.column("to_address").unwrap().expression),
            },
            Fact { name: "args".to_owned(), value: FactValue::Arguments(vec!["ok".to_owned()]) },
        ];
        let row = Row { columns: &columns, row: 1, arguments: &arguments };
        let found = facts_of(&facts, &row);
        assert_eq!(Json::Object(found.clone()), json!({ "call": "f", "to_address": null, "args": { "ok": true } }));
        let told = sentence("f", &found);
        assert!(told.contains("ok true") && told.contains("call f") && !told.contains("to_address"), "{told}");
    }

    #[test]
    #[should_panic(expected = "has not the type of its schema")]
    fn a_batch_of_another_schema_is_not_read() {
        let numbers: ArrayRef = Arc::new(UInt64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("block_number", numbers)]).unwrap();
        Columns::of(&batch, Dataset::Logs);
    }
}
