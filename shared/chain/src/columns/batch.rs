//! Puts named columns together into a record batch.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Decimal128Array, FixedSizeBinaryBuilder, Float64Array, RecordBatch,
    RecordBatchOptions, StringBuilder, UInt32Array, UInt64Array,
};
use isotherm_types::Dataset;
use isotherm_types::schema::DECIMAL_PRECISION;

use super::ColumnError;

/// First whole number that a decimal column cannot hold.
const DECIMAL_END: u128 = 10u128.pow(38);

/// The columns filled so far.
pub(super) struct Batch {
    dataset: Dataset,
    row_count: usize,
    columns: Vec<(&'static str, ArrayRef)>,
}

impl Batch {
    pub(super) fn new(dataset: Dataset, row_count: usize) -> Self {
        Self { dataset, row_count, columns: Vec::with_capacity(dataset.columns().len()) }
    }

    pub(super) fn error(&self, column: &'static str, value: impl Into<String>) -> ColumnError {
        ColumnError { dataset: self.dataset, column, value: value.into() }
    }

    fn add(&mut self, column: &'static str, array: ArrayRef) {
        assert_eq!(array.len(), self.row_count, "{}.{column}", self.dataset);
        self.columns.push((column, array));
    }

    pub(super) fn u64(&mut self, column: &'static str, values: impl Iterator<Item = u64>) {
        self.add(column, Arc::new(UInt64Array::from_iter_values(values)));
    }

    pub(super) fn optional_u64(&mut self, column: &'static str, values: impl Iterator<Item = Option<u64>>) {
        self.add(column, Arc::new(values.collect::<UInt64Array>()));
    }

    /// A 32-bit column.
    ///
    /// # Errors
    /// A value of 2^32 or more.
    pub(super) fn u32(&mut self, column: &'static str, values: impl Iterator<Item = u64>) -> Result<(), ColumnError> {
        let values = values.map(|value| u32::try_from(value).map_err(|_| self.error(column, value.to_string())));
        let array = UInt32Array::from(values.collect::<Result<Vec<_>, _>>()?);
        self.add(column, Arc::new(array));
        Ok(())
    }

    /// A 32-bit column of which values may be absent.
    ///
    /// # Errors
    /// A value of 2^32 or more.
    pub(super) fn optional_u32(
        &mut self,
        column: &'static str,
        values: impl Iterator<Item = Option<u64>>,
    ) -> Result<(), ColumnError> {
        let fit = values.map(|value| match value {
            None => Ok(None),
            Some(value) => u32::try_from(value).map(Some).map_err(|_| self.error(column, value.to_string())),
        });
        let array = UInt32Array::from(fit.collect::<Result<Vec<Option<u32>>, _>>()?);
        self.add(column, Arc::new(array));
        Ok(())
    }

    pub(super) fn boolean(&mut self, column: &'static str, values: impl Iterator<Item = bool>) {
        self.add(column, Arc::new(values.map(Some).collect::<BooleanArray>()));
    }

    pub(super) fn f64(&mut self, column: &'static str, values: impl Iterator<Item = f64>) {
        self.add(column, Arc::new(Float64Array::from_iter_values(values)));
    }

    pub(super) fn text<Value: AsRef<str>>(&mut self, column: &'static str, values: impl Iterator<Item = Value>) {
        self.optional_text(column, values.map(Some));
    }

    pub(super) fn optional_text<Value: AsRef<str>>(
        &mut self,
        column: &'static str,
        values: impl Iterator<Item = Option<Value>>,
    ) {
        let mut builder = StringBuilder::with_capacity(self.row_count, 0);
        values.for_each(|value| builder.append_option(value));
        self.add(column, Arc::new(builder.finish()));
    }

    /// A decimal column of what fits; `None` stays absent.
    ///
    /// # Errors
    /// A value of 10^38 or more.
    pub(super) fn decimal(
        &mut self,
        column: &'static str,
        values: impl Iterator<Item = Option<u128>>,
    ) -> Result<(), ColumnError> {
        let fit = values.map(|value| match value {
            None => Ok(None),
            Some(value) => match i128::try_from(value) {
                Ok(fitting) if value < DECIMAL_END => Ok(Some(fitting)),
                _ => Err(self.error(column, value.to_string())),
            },
        });
        let array = Decimal128Array::from(fit.collect::<Result<Vec<_>, _>>()?)
            .with_precision_and_scale(DECIMAL_PRECISION, 0)
            .expect("38 digits are what the type allows");
        self.add(column, Arc::new(array));
        Ok(())
    }

    pub(super) fn bytes<'a>(&mut self, column: &'static str, values: impl Iterator<Item = &'a [u8]>) {
        self.optional_bytes(column, values.map(Some));
    }

    pub(super) fn optional_bytes<Value: AsRef<[u8]>>(
        &mut self,
        column: &'static str,
        values: impl Iterator<Item = Option<Value>>,
    ) {
        let mut builder = BinaryBuilder::with_capacity(self.row_count, 0);
        values.for_each(|value| builder.append_option(value));
        self.add(column, Arc::new(builder.finish()));
    }

    pub(super) fn fixed<const N: usize, Value: Into<[u8; N]>>(
        &mut self,
        column: &'static str,
        values: impl Iterator<Item = Value>,
    ) {
        self.optional_fixed(column, values.map(Some));
    }

    pub(super) fn optional_fixed<const N: usize, Value: Into<[u8; N]>>(
        &mut self,
        column: &'static str,
        values: impl Iterator<Item = Option<Value>>,
    ) {
        let length = i32::try_from(N).expect("at most 256");
        let mut builder = FixedSizeBinaryBuilder::with_capacity(self.row_count, length);
        for value in values {
            match value {
                Some(value) => builder.append_value(value.into()).expect("the array has the column's length"),
                None => builder.append_null(),
            }
        }
        self.add(column, Arc::new(builder.finish()));
    }

    /// The batch, its columns in the schema's order.
    ///
    /// # Panics
    /// If a column is missing, stands twice or has another type than the schema's: a fault of this program.
    pub(super) fn finish(mut self) -> RecordBatch {
        let schema = self.dataset.schema();
        let arrays = schema.fields().iter().map(|field| {
            let place = self.columns.iter().position(|(name, _)| name == field.name());
            let place = place.unwrap_or_else(|| panic!("column {} is not filled", field.name()));
            self.columns.swap_remove(place).1
        });
        let arrays: Vec<_> = arrays.collect();
        assert!(self.columns.is_empty(), "columns outside the schema: {:?}", self.columns);
        let options = RecordBatchOptions::new().with_row_count(Some(self.row_count));
        RecordBatch::try_new_with_options(schema, arrays, &options).expect("the columns have the schema's types")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_does_not_fit_is_an_error_and_never_wraps() {
        let mut batch = Batch::new(Dataset::Blocks, 2);
        let error = batch.u32("timestamp", [1, 1 << 32].into_iter()).unwrap_err();
        assert_eq!(error.value, "4294967296");
        assert_eq!(error.code(), "chain.column_overflow");
        use isotherm_types::disposition::Classified as _;
    }

    #[test]
    fn a_decimal_holds_38_digits_and_not_one_more() {
        let mut batch = Batch::new(Dataset::Transactions, 2);
        batch.decimal("gas_price", [None, Some(DECIMAL_END - 1)].into_iter()).unwrap();
        for value in [DECIMAL_END, u128::MAX] {
            let error = batch.decimal("max_fee_per_gas", [Some(1), Some(value)].into_iter()).unwrap_err();
            assert_eq!((error.column, error.value), ("max_fee_per_gas", value.to_string()));
        }
    }
}
