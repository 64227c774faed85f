//! Record batches to and from Postgres' binary COPY format, column types as in `isotherm_types::schema`. Decoded are also
//! signed integers (`bigint`) and instants (`timestamptz`), which no dataset has.
//!
//! Source: PostgreSQL manual, COPY, "Binary Format": an 11-byte signature, two 32-bit words, then per row a 16-bit
//! field count and per field a 32-bit length (-1 = NULL) with the value in network byte order; -1 ends the data.

mod decode;
mod encode;
mod numeric;

pub use decode::Decoder;
pub use encode::encode;

/// `PGCOPY\n\377\r\n\0`, flags 0, no header extension.
const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Field count that ends the data.
const TRAILER: i16 = -1;
/// Length that stands for NULL.
const NULL: i32 = -1;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float64Array, RecordBatch,
        StringArray, UInt32Array, UInt64Array,
    };
    use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
    use proptest::prelude::*;

    use super::*;
    use crate::error::HotStoreError;

    /// One value for each type of column.
    type Row = (Option<u32>, u64, f64, bool, String, Vec<u8>, [u8; 4], Option<i128>);

    fn batch(rows: &[Row]) -> RecordBatch {
        let fixed = FixedSizeBinaryArray::try_from_iter(rows.iter().map(|row| row.6));
        let fixed = fixed.unwrap_or_else(|_| FixedSizeBinaryArray::new_null(4, 0));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<UInt32Array>()),
            Arc::new(rows.iter().map(|row| Some(row.1)).collect::<UInt64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.3)).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| Some(row.4.as_str())).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| Some(row.5.as_slice())).collect::<BinaryArray>()),
            Arc::new(fixed),
            Arc::new(
                rows.iter().map(|row| row.7).collect::<Decimal128Array>().with_precision_and_scale(38, 0).unwrap(),
            ),
        ];
        let types = [
            DataType::UInt32,
            DataType::UInt64,
            DataType::Float64,
            DataType::Boolean,
            DataType::Utf8,
            DataType::Binary,
            DataType::FixedSizeBinary(4),
            DataType::Decimal128(38, 0),
        ];
        let fields: Vec<_> =
            types.into_iter().enumerate().map(|(i, t)| Field::new(format!("column{i}"), t, true)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself_however_the_bytes_are_cut(
            rows in proptest::collection::vec(
                (any::<Option<u32>>(), 0..=u64::MAX >> 1, any::<i32>(), any::<bool>(), ".{0,9}",
                 proptest::collection::vec(any::<u8>(), 0..40), any::<[u8; 4]>(),
                 proptest::option::of(-(10i128.pow(38) - 1)..10i128.pow(38))), 1..20),
            piece in 1usize..64,
        ) {
            let rows: Vec<_> = rows.into_iter().map(|r| (r.0, r.1, f64::from(r.2), r.3, r.4, r.5, r.6, r.7)).collect();
            let batch = batch(&rows);
            let bytes = encode(&batch).unwrap();
            let mut decoder = Decoder::new(batch.schema());
            for piece in bytes.chunks(piece) {
                decoder.push(piece).unwrap();
            }
            prop_assert_eq!(decoder.row_count(), rows.len());
            prop_assert_eq!(decoder.size_bytes(), bytes.len() - HEADER.len() - 2);
            prop_assert_eq!(decoder.take_batch().unwrap(), batch);
            prop_assert_eq!((decoder.row_count(), decoder.size_bytes()), (0, 0));
            prop_assert!(decoder.finish().is_ok());
        }
    }

    #[test]
    fn a_number_above_bigint_is_refused_not_wrapped() {
        let rows = [(None, u64::MAX, 0.0, true, String::new(), vec![], [0; 4], None)];
        let error = encode(&batch(&rows)).unwrap_err();
        assert_eq!(error.to_string(), "value 18446744073709551615 in column column1 does not fit its Postgres type");
    }

    /// One row with one field of eight bytes.
    fn decoded(data_type: DataType, field: i64) -> Result<RecordBatch, HotStoreError> {
        let mut bytes = HEADER.to_vec();
        bytes.extend(1_i16.to_be_bytes());
        bytes.extend(8_i32.to_be_bytes());
        bytes.extend(field.to_be_bytes());
        bytes.extend(TRAILER.to_be_bytes());
        let mut decoder = Decoder::new(Arc::new(Schema::new(vec![Field::new("column", data_type, false)])));
        decoder.push(&bytes)?;
        decoder.take_batch()
    }

    #[test]
    fn signed_integers_keep_their_sign_and_instants_count_from_1970() {
        let number = decoded(DataType::Int64, -5).unwrap();
        assert_eq!(number.column(0).as_primitive::<Int64Type>().value(0), -5);
        let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
        // 2000-01-01T00:00:01.5Z
        let second = decoded(instant.clone(), 1_500_000).unwrap();
        let found = second.column(0).as_primitive::<TimestampMicrosecondType>().value(0);
        assert_eq!(found, 946_684_801_500_000);
        for infinite in [i64::MIN, i64::MAX] {
            let refused = decoded(instant.clone(), infinite);
            assert!(matches!(refused, Err(HotStoreError::MalformedCopy { .. })), "{refused:?}");
        }
    }

    #[test]
    fn data_that_stops_early_is_an_error() {
        let rows = [(Some(1), 2, 0.5, true, "a".to_owned(), vec![1], [0; 4], Some(7))];
        let batch = batch(&rows);
        let bytes = encode(&batch).unwrap();
        let mut decoder = Decoder::new(batch.schema());
        decoder.push(&bytes[..bytes.len() - 3]).unwrap();
        assert!(decoder.finish().is_err());
    }
}
