//! The columns of each dataset: the one definition from which Arrow batches, Postgres tables, Parquet files and SQL
//! views follow.
//!
//! Names, order and types of the leading columns are those of cryo 0.3.2's defaults (`docs/data-model.md` lists the
//! few wider types); the columns after them hold what is needed to recompute the header hash, the transactions root
//! and the receipts root of a block from its rows alone.

mod blocks;
mod logs;
mod traces;
mod transactions;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::dataset::Dataset;

/// Version of the columns, written to every manifest. Raised when a column is added.
pub const SCHEMA_VERSION: u32 = 1;

/// Digits of the decimal columns; the most that DuckDB's and Parquet's 128-bit decimals hold.
pub const DECIMAL_PRECISION: u8 = 38;

/// Type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Unsigned, 32 bits.
    UInt32,
    /// Unsigned, 64 bits.
    UInt64,
    /// Double; only where cryo has one.
    Float64,
    /// True or false.
    Boolean,
    /// Text.
    Text,
    /// Bytes of any length.
    Bytes,
    /// Exactly this many bytes.
    FixedBytes(u16),
    /// Whole number of at most 38 digits, `DECIMAL(38,0)`.
    Decimal,
}

impl ColumnType {
    /// The Arrow type of the column's arrays.
    pub fn arrow(self) -> DataType {
        match self {
            Self::UInt32 => DataType::UInt32,
            Self::UInt64 => DataType::UInt64,
            Self::Float64 => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::FixedBytes(length) => DataType::FixedSizeBinary(i32::from(length)),
            Self::Decimal => DataType::Decimal128(DECIMAL_PRECISION, 0),
        }
    }

    /// The Postgres type of the column in `hot.<dataset>`, spelled as `format_type` prints it.
    ///
    /// Both unsigned types become `bigint`; a value above 2^63 - 1 is an error when it is written, never wrapped.
    pub fn postgres(self) -> &'static str {
        match self {
            Self::UInt32 | Self::UInt64 => "bigint",
            Self::Float64 => "double precision",
            Self::Boolean => "boolean",
            Self::Text => "text",
            Self::Bytes | Self::FixedBytes(_) => "bytea",
            Self::Decimal => "numeric(38,0)",
        }
    }

    /// The DuckDB type under which the column appears in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::UInt32 => "UINTEGER",
            Self::UInt64 => "UBIGINT",
            Self::Float64 => "DOUBLE",
            Self::Boolean => "BOOLEAN",
            Self::Text => "VARCHAR",
            Self::Bytes | Self::FixedBytes(_) => "BLOB",
            Self::Decimal => "DECIMAL(38,0)",
        }
    }
}

/// A column of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, the same everywhere.
    pub name: &'static str,
    /// Type of its values.
    pub column_type: ColumnType,
    /// Whether a value may be absent.
    pub nullable: bool,
    /// What it holds, for `docs/data-model.md`.
    pub doc: &'static str,
}

const fn required(name: &'static str, column_type: ColumnType, doc: &'static str) -> Column {
    Column { name, column_type, nullable: false, doc }
}

const fn optional(name: &'static str, column_type: ColumnType, doc: &'static str) -> Column {
    Column { name, column_type, nullable: true, doc }
}

impl Dataset {
    /// The columns, in order.
    pub fn columns(self) -> &'static [Column] {
        match self {
            Self::Blocks => blocks::COLUMNS,
            Self::Transactions => transactions::COLUMNS,
            Self::Logs => logs::COLUMNS,
            Self::Traces => traces::COLUMNS,
        }
    }

    /// The column called `name`.
    pub fn column(self, name: &str) -> Option<&'static Column> {
        self.columns().iter().find(|column| column.name == name)
    }

    /// The Arrow schema of the dataset's record batches.
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 4]> = LazyLock::new(|| Dataset::ALL.map(build_schema));
        Arc::clone(&SCHEMAS[self as usize])
    }
}

fn build_schema(dataset: Dataset) -> SchemaRef {
    let fields =
        dataset.columns().iter().map(|column| Field::new(column.name, column.column_type.arrow(), column.nullable));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_names_its_chain_its_block_and_its_place() {
        for dataset in Dataset::ALL {
            for name in ["chain_id", "block_number", "block_hash"].iter().chain(dataset.sort_columns()) {
                let column = dataset.column(name).unwrap_or_else(|| panic!("{dataset} has no {name}"));
                assert!(!column.nullable, "{dataset}.{name} may be absent");
            }
        }
    }

    #[test]
    fn no_name_stands_twice_in_a_dataset() {
        for dataset in Dataset::ALL {
            let mut names: Vec<_> = dataset.columns().iter().map(|column| column.name).collect();
            names.sort_unstable();
            let before = names.len();
            names.dedup();
            assert_eq!(names.len(), before, "{dataset}");
        }
    }

    #[test]
    fn a_schema_is_found_under_its_own_dataset() {
        for dataset in Dataset::ALL {
            assert_eq!(dataset.schema().fields().len(), dataset.columns().len());
            assert_eq!(dataset.schema().field(0).name(), dataset.columns()[0].name);
        }
    }
}
