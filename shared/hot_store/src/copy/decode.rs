//! Binary COPY → record batches.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, FixedSizeBinaryBuilder, Float64Builder, Int64Builder,
    RecordBatch, RecordBatchOptions, StringBuilder, TimestampMicrosecondBuilder, UInt32Builder, UInt64Builder,
};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};

use super::{HEADER, NULL, TRAILER, numeric};
use crate::error::HotStoreError;

/// Microseconds from 1970 to 2000, from where Postgres counts instants.
///
/// Source: PostgreSQL manual, "Date/Time Types"; `timestamptz_send` writes microseconds since 2000-01-01 UTC.
const MICROSECONDS_TO_2000: i64 = 946_684_800_000_000;

/// Turns the bytes of one COPY stream, cut anywhere, into record batches.
pub struct Decoder {
    schema: SchemaRef,
    builders: Vec<Builder>,
    /// Bytes of a row whose end has not arrived yet.
    pending: Vec<u8>,
    row_count: usize,
    size_bytes: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    BeforeHeader,
    Rows,
    Ended,
}

enum Builder {
    UInt32(UInt32Builder),
    UInt64(UInt64Builder),
    Int64(Int64Builder),
    Instant(TimestampMicrosecondBuilder),
    Float64(Float64Builder),
    Boolean(BooleanBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Fixed(FixedSizeBinaryBuilder),
    Decimal(Decimal128Builder),
}

impl Decoder {
    /// A decoder for rows of `schema`, its columns in the order of the COPY.
    ///
    /// # Panics
    /// If a column has a type that is not read here.
    pub fn new(schema: SchemaRef) -> Self {
        let builders = schema.fields().iter().map(|field| Builder::new(field.data_type())).collect();
        Self { schema, builders, pending: Vec::new(), row_count: 0, size_bytes: 0, state: State::BeforeHeader }
    }

    /// Rows decoded since the last batch was taken.
    pub fn row_count(&self) -> usize {
        self.row_count
    }

    /// Length of those rows in the stream.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Takes in the next bytes of the stream.
    ///
    /// # Errors
    /// [`HotStoreError::MalformedCopy`] if they are not the binary COPY of these columns.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), HotStoreError> {
        let mut pending = std::mem::take(&mut self.pending);
        // Postgres sends a row at a time: most often nothing is pending, and nothing is copied.
        let bytes = if pending.is_empty() {
            bytes
        } else {
            pending.extend_from_slice(bytes);
            pending.as_slice()
        };
        let length = self.whole_rows(bytes)?;
        self.pending = bytes[length..].to_vec();
        Ok(())
    }

    /// The rows decoded so far as a batch; the decoder goes on with an empty one.
    ///
    /// # Errors
    /// [`HotStoreError::Arrow`] if a required column holds a NULL.
    pub fn take_batch(&mut self) -> Result<RecordBatch, HotStoreError> {
        let columns = self.builders.iter_mut().map(Builder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.row_count)));
        self.size_bytes = 0;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(HotStoreError::Arrow)
    }

    /// Checks that the stream has come to its proper end.
    ///
    /// # Errors
    /// [`HotStoreError::MalformedCopy`] if it was cut short.
    pub fn finish(self) -> Result<(), HotStoreError> {
        if self.state == State::Ended { Ok(()) } else { Err(malformed("it ends before its trailer")) }
    }

    /// Decodes what has arrived whole, from the header to the trailer, and returns its length.
    fn whole_rows(&mut self, bytes: &[u8]) -> Result<usize, HotStoreError> {
        let mut at = 0;
        if self.state == State::BeforeHeader {
            let Some(header) = bytes.get(..HEADER.len()) else { return Ok(0) };
            if header != HEADER {
                return Err(malformed("it does not start with the COPY signature"));
            }
            at = HEADER.len();
            self.state = State::Rows;
        }
        while self.state == State::Rows {
            match self.row(&bytes[at..])? {
                Some(length) => at += length,
                None => break,
            }
        }
        if self.state == State::Ended && at < bytes.len() {
            return Err(malformed("bytes follow its end"));
        }
        Ok(at)
    }

    /// Decodes one row and returns its length, or `None` if it has not arrived whole.
    fn row(&mut self, bytes: &[u8]) -> Result<Option<usize>, HotStoreError> {
        let Some(field_count) = word16(bytes, 0) else { return Ok(None) };
        if field_count == TRAILER {
            self.state = State::Ended;
            return Ok(Some(2));
        }
        if usize::try_from(field_count).ok() != Some(self.builders.len()) {
            return Err(malformed("a row has another number of fields"));
        }
        let Some(length) = row_length(bytes, self.builders.len())? else { return Ok(None) };
        let mut at = 2;
        for builder in &mut self.builders {
            let field_length = word32(bytes, at).ok_or_else(|| malformed("a row is cut short"))?;
            at += 4;
            if field_length == NULL {
                builder.append_null();
            } else {
                let end = at + usize::try_from(field_length).map_err(|_| malformed("a field has a negative length"))?;
                builder.append(&bytes[at..end])?;
                at = end;
            }
        }
        self.row_count += 1;
        self.size_bytes += length;
        Ok(Some(length))
    }
}

/// Length of the row that starts `bytes`; `None` if its end is not there yet.
fn row_length(bytes: &[u8], field_count: usize) -> Result<Option<usize>, HotStoreError> {
    let mut at = 2;
    for _ in 0..field_count {
        let Some(length) = word32(bytes, at) else { return Ok(None) };
        at += 4;
        if length != NULL {
            at += usize::try_from(length).map_err(|_| malformed("a field has a negative length"))?;
        }
    }
    Ok((at <= bytes.len()).then_some(at))
}

fn word16(bytes: &[u8], at: usize) -> Option<i16> {
    Some(i16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word32(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn malformed(problem: &'static str) -> HotStoreError {
    HotStoreError::MalformedCopy { problem }
}

impl Builder {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::UInt32 => Self::UInt32(UInt32Builder::new()),
            DataType::UInt64 => Self::UInt64(UInt64Builder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Instant(TimestampMicrosecondBuilder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            DataType::FixedSizeBinary(length) => Self::Fixed(FixedSizeBinaryBuilder::new(*length)),
            DataType::Decimal128(_, 0) => Self::Decimal(Decimal128Builder::new().with_data_type(data_type.clone())),
            other => panic!("columns of type {other} are not read from a COPY"),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HotStoreError> {
        match self {
            Self::UInt32(builder) => builder.append_value(
                u32::try_from(bigint(bytes)?).map_err(|_| malformed("a bigint is outside the column's 32 bits"))?,
            ),
            Self::UInt64(builder) => {
                builder.append_value(u64::try_from(bigint(bytes)?).map_err(|_| malformed("a bigint is negative"))?);
            }
            Self::Int64(builder) => builder.append_value(bigint(bytes)?),
            Self::Instant(builder) => builder.append_value(instant(bytes)?),
            Self::Float64(builder) => builder.append_value(f64::from_be_bytes(fixed(bytes)?)),
            Self::Boolean(builder) => builder.append_value(fixed::<1>(bytes)?[0] != 0),
            Self::Text(builder) => {
                builder.append_value(std::str::from_utf8(bytes).map_err(|_| malformed("a text is not UTF-8"))?);
            }
            Self::Bytes(builder) => builder.append_value(bytes),
            Self::Fixed(builder) => builder.append_value(bytes).map_err(HotStoreError::Arrow)?,
            Self::Decimal(builder) => builder
                .append_value(numeric::parse(bytes).ok_or_else(|| malformed("a numeric is no 38-digit whole number"))?),
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::UInt32(builder) => builder.append_null(),
            Self::UInt64(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::Instant(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Boolean(builder) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
            Self::Fixed(builder) => builder.append_null(),
            Self::Decimal(builder) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::UInt32(builder) => Arc::new(builder.finish()),
            Self::UInt64(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Instant(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Bytes(builder) => Arc::new(builder.finish()),
            Self::Fixed(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder) => Arc::new(builder.finish()),
        }
    }
}

fn bigint(bytes: &[u8]) -> Result<i64, HotStoreError> {
    Ok(i64::from_be_bytes(fixed(bytes)?))
}

/// Microseconds since 1970. What has no such number, as `infinity`, is refused.
fn instant(bytes: &[u8]) -> Result<i64, HotStoreError> {
    let since_2000 = bigint(bytes)?;
    let finite = Some(since_2000).filter(|instant| *instant != i64::MIN);
    finite
        .and_then(|instant| instant.checked_add(MICROSECONDS_TO_2000))
        .ok_or_else(|| malformed("an instant is infinite or out of range"))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], HotStoreError> {
    bytes.try_into().map_err(|_| malformed("a field has the wrong length for its type"))
}
