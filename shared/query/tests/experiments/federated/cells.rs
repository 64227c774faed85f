//! Values as the experiment holds them: told to the platform as Arrow, and to the judge as SQL, so that neither learns
//! from the other.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryBuilder, Float64Array, RecordBatch,
    StringArray, UInt32Array, UInt64Array,
};
use isotherm_types::Dataset;
use isotherm_types::schema::{ColumnType, DECIMAL_PRECISION};

/// A value of a column.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Absent,
    Number(u64),
    Decimal(i128),
    Double(f64),
    Boolean(bool),
    Text(String),
    Bytes(Vec<u8>),
}

/// One value for each column of a dataset, in its order.
pub(crate) type Row = Vec<Cell>;

impl Cell {
    /// As Postgres reads it where a column's type is known.
    pub(crate) fn literal(&self) -> String {
        match self {
            Self::Absent => "NULL".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Decimal(number) => number.to_string(),
            Self::Double(number) => format!("'{number:e}'"),
            Self::Boolean(value) => value.to_string(),
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Self::Bytes(bytes) => format!("'\\x{}'", hex::encode(bytes)),
        }
    }

    /// What `read` makes of a value; `None` where nothing is.
    fn present<'a, T>(&'a self, read: impl FnOnce(&'a Self) -> Option<T>) -> Option<T> {
        match self {
            Self::Absent => None,
            cell => Some(read(cell).unwrap_or_else(|| panic!("{cell:?} is of another type than its column"))),
        }
    }

    fn number(&self) -> Option<u64> {
        self.present(|cell| if let Self::Number(number) = cell { Some(*number) } else { None })
    }

    fn bytes(&self) -> Option<&[u8]> {
        self.present(|cell| if let Self::Bytes(bytes) = cell { Some(bytes.as_slice()) } else { None })
    }
}

/// Rows under the dataset's own schema.
pub(crate) fn batch<'a>(dataset: Dataset, rows: impl Iterator<Item = &'a Row>) -> RecordBatch {
    let rows: Vec<&Row> = rows.collect();
    let columns = dataset.columns().iter().enumerate();
    let arrays = columns.map(|(i, column)| array(column.column_type, rows.iter().map(|row| &row[i])));
    RecordBatch::try_new(dataset.schema(), arrays.collect()).unwrap()
}

fn array<'a>(column_type: ColumnType, cells: impl Iterator<Item = &'a Cell>) -> ArrayRef {
    match column_type {
        ColumnType::UInt32 => {
            let numbers = cells.map(|cell| cell.number().map(|number| u32::try_from(number).unwrap()));
            Arc::new(numbers.collect::<UInt32Array>())
        }
        ColumnType::UInt64 => Arc::new(cells.map(Cell::number).collect::<UInt64Array>()),
        ColumnType::Float64 => {
            let read = |cell: &Cell| if let Cell::Double(number) = cell { Some(*number) } else { None };
            Arc::new(cells.map(|cell| cell.present(read)).collect::<Float64Array>())
        }
        ColumnType::Boolean => {
            let read = |cell: &Cell| if let Cell::Boolean(value) = cell { Some(*value) } else { None };
            Arc::new(cells.map(|cell| cell.present(read)).collect::<BooleanArray>())
        }
        ColumnType::Text => {
            let texts = cells
                .map(|cell| cell.present(|cell| if let Cell::Text(text) = cell { Some(text.as_str()) } else { None }));
            Arc::new(texts.collect::<StringArray>())
        }
        ColumnType::Bytes => Arc::new(cells.map(Cell::bytes).collect::<BinaryArray>()),
        ColumnType::FixedBytes(length) => {
            let mut builder = FixedSizeBinaryBuilder::new(i32::from(length));
            for cell in cells {
                match cell.bytes() {
                    Some(bytes) => builder.append_value(bytes).unwrap(),
                    None => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }
        ColumnType::Decimal => {
            let read = |cell: &Cell| if let Cell::Decimal(number) = cell { Some(*number) } else { None };
            let numbers = cells.map(|cell| cell.present(read)).collect::<Decimal128Array>();
            Arc::new(numbers.with_precision_and_scale(DECIMAL_PRECISION, 0).unwrap())
        }
    }
}
