//! What a Parquet file says of lengths, looked at before a decoder takes it at its word.
//!
//! The decoder makes room for as many elements of a list, and as many bytes of a page, as the file says there are. A few bytes
//! of a footer can thus ask for hundreds of gigabytes, and a process that does not get them is ended, without a panic that
//! could be caught. So every list of the footer, and every page's header, is walked first; nothing is decoded here.
//!
//! **Source**: Apache Thrift, "Thrift Compact protocol encoding"; Apache Parquet, `parquet.thrift` (`FileMetaData`, `PageHeader`,
//! `DictionaryPageHeader`) and "File format".

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;

/// Most elements of one list of a footer; row groups are counted in 16 bits.
const MOST_ELEMENTS: u64 = 100_000;
/// Longest page, decoded. The writer ends pages at about 1 MiB, and one value may be longer.
const MOST_PAGE_BYTES: i64 = 128 << 20;
/// Bytes in which a page's header is looked for, and in which a long one is.
const HEADER_BYTES: [usize; 2] = [512, 64 << 10];
/// Structs within each other; Parquet has six.
const MOST_DEPTH: u32 = 32;
/// Length of the footer and `PAR1`.
const TAIL_BYTES: u64 = 8;

/// Begins to read the rows of `file`, once everything in it was looked at.
///
/// # Errors
/// What the decoder says; a footer or a page that says of itself what cannot be.
pub(crate) fn open<R: ChunkReader + 'static>(
    file: R,
    options: ArrowReaderOptions,
) -> Result<ParquetRecordBatchReaderBuilder<R>, ParquetError> {
    check_footer(&file)?;
    let metadata = ArrowReaderMetadata::load(&file, options)?;
    check_pages(&file, metadata.metadata())?;
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata))
}

/// Looks at the lists of the footer of `file`.
fn check_footer(file: &impl ChunkReader) -> Result<(), ParquetError> {
    let tail_start = file.len().checked_sub(TAIL_BYTES).ok_or_else(|| refused("it is shorter than a footer"))?;
    let tail = file.get_bytes(tail_start, 8)?;
    let length = tail.first_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length));
    let start = tail_start.checked_sub(u64::from(length)).ok_or_else(|| refused("its footer is longer than it is"))?;
    let footer = file.get_bytes(start, usize::try_from(length).map_err(|_| refused("its footer is too long"))?)?;
    Walk::new(&footer)
        .skip_struct(0)
        .ok_or_else(|| refused("its footer says of a list that it is longer than it can be"))
}

/// Looks at the headers of all pages of `file`, whose footer is `metadata`.
fn check_pages(file: &impl ChunkReader, metadata: &ParquetMetaData) -> Result<(), ParquetError> {
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        let place = |offset: i64| u64::try_from(offset).map_err(|_| refused("a column lies before its beginning"));
        let (mut at, length) = (place(start)?, place(column.compressed_size())?);
        let end = at.checked_add(length).filter(|end| *end <= file.len());
        let end = end.ok_or_else(|| refused("a column lies behind its end"))?;
        while at < end {
            at = page_end(file, at, end)?;
        }
    }
    Ok(())
}

/// Where the page ends that begins at `at`.
fn page_end(file: &impl ChunkReader, at: u64, end: u64) -> Result<u64, ParquetError> {
    for most_bytes in HEADER_BYTES {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(most_bytes);
        let bytes = file.get_bytes(at, length)?;
        let mut walk = Walk::new(&bytes);
        let Some(page) = Page::read(&mut walk) else { continue };
        let header_bytes = (bytes.len() - walk.rest.len()) as u64;
        if !(0..=MOST_PAGE_BYTES).contains(&page.decoded_bytes) {
            return Err(refused("a page says of itself that it is longer than any is"));
        }
        if page.dictionary_values > page.decoded_bytes {
            return Err(refused("a dictionary says of itself that it has more values than bytes"));
        }
        let stored_bytes = u64::try_from(page.stored_bytes).map_err(|_| refused("a page is shorter than nothing"))?;
        return Ok(at.saturating_add(header_bytes).saturating_add(stored_bytes));
    }
    Err(refused("a page has no header"))
}

fn refused(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

/// What a page's header says.
struct Page {
    decoded_bytes: i64,
    stored_bytes: i64,
    dictionary_values: i64,
}

impl Page {
    /// `None` if it is no header, or is cut.
    fn read(walk: &mut Walk<'_>) -> Option<Self> {
        let (mut decoded_bytes, mut stored_bytes, mut dictionary_values) = (None, None, 0);
        let mut last = 0;
        while let Some((field, kind)) = walk.field(last)? {
            last = field;
            match (field, kind) {
                (2, Kind::INTEGER_32) => decoded_bytes = Some(walk.integer()?),
                (3, Kind::INTEGER_32) => stored_bytes = Some(walk.integer()?),
                (7, Kind::STRUCT) => dictionary_values = values_of_dictionary(walk)?,
                (_, kind) => walk.skip(kind, 0)?,
            }
        }
        Some(Self { decoded_bytes: decoded_bytes?, stored_bytes: stored_bytes?, dictionary_values })
    }
}

/// `num_values` of a `DictionaryPageHeader`.
fn values_of_dictionary(walk: &mut Walk<'_>) -> Option<i64> {
    let (mut values, mut last) = (0, 0);
    while let Some((field, kind)) = walk.field(last)? {
        last = field;
        match (field, kind) {
            (1, Kind::INTEGER_32) => values = walk.integer()?,
            (_, kind) => walk.skip(kind, 1)?,
        }
    }
    Some(values)
}

/// Number of a type in the compact protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind(u8);

impl Kind {
    const TRUE: Self = Self(1);
    const FALSE: Self = Self(2);
    const INTEGER_8: Self = Self(3);
    const INTEGER_16: Self = Self(4);
    const INTEGER_32: Self = Self(5);
    const INTEGER_64: Self = Self(6);
    const DOUBLE: Self = Self(7);
    const BINARY: Self = Self(8);
    const LIST: Self = Self(9);
    const SET: Self = Self(10);
    const MAP: Self = Self(11);
    const STRUCT: Self = Self(12);
    const UUID: Self = Self(13);
}

/// Goes over encoded values. Everything is `None` where they end too early or cannot be.
struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn pass(&mut self, count: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    /// An unsigned number of up to 64 bits, seven to a byte, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A signed number, whose sign is its lowest bit.
    fn integer(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// Number and type of the next field after number `last`; the inner `None` at the end of the struct.
    fn field(&mut self, last: i64) -> Option<Option<(i64, Kind)>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        let field = match head >> 4 {
            0 => self.integer()?,
            step => last.checked_add(i64::from(step))?,
        };
        Some(Some((field, Kind(head & 0x0f))))
    }

    fn skip_struct(&mut self, depth: u32) -> Option<()> {
        let mut last = 0;
        while let Some((field, kind)) = self.field(last)? {
            last = field;
            self.skip(kind, depth)?;
        }
        Some(())
    }

    /// Passes a field's value over.
    fn skip(&mut self, kind: Kind, depth: u32) -> Option<()> {
        if depth > MOST_DEPTH {
            return None;
        }
        match kind {
            // A field's truth value is its type.
            Kind::TRUE | Kind::FALSE => Some(()),
            Kind::INTEGER_8 => self.pass(1),
            Kind::INTEGER_16 | Kind::INTEGER_32 | Kind::INTEGER_64 => self.varint().map(drop),
            Kind::DOUBLE => self.pass(8),
            Kind::BINARY => {
                let length = self.varint()?;
                self.pass(length)
            }
            Kind::LIST | Kind::SET => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.varint()?,
                    count => u64::from(count),
                };
                self.elements(&[Kind(head & 0x0f)], count, depth)
            }
            Kind::MAP => {
                let count = self.varint()?;
                if count == 0 {
                    return Some(());
                }
                let kinds = self.byte()?;
                self.elements(&[Kind(kinds >> 4), Kind(kinds & 0x0f)], count, depth)
            }
            Kind::STRUCT => self.skip_struct(depth + 1),
            Kind::UUID => self.pass(16),
            _ => None,
        }
    }

    /// Passes over `count` elements, each of values of these types. Each value has a byte at least.
    fn elements(&mut self, kinds: &[Kind], count: u64, depth: u32) -> Option<()> {
        if count > MOST_ELEMENTS.min(self.rest.len() as u64) {
            return None;
        }
        for _ in 0..count {
            for kind in kinds {
                match *kind {
                    Kind::TRUE | Kind::FALSE => self.pass(1)?,
                    kind => self.skip(kind, depth + 1)?,
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, RecordBatch, UInt32Array};
    use bytes::Bytes;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::file::properties::WriterProperties;

    use super::*;

    /// A file of two columns in several row groups and pages, one of them with dictionaries.
    fn file() -> Bytes {
        let numbers: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..5_000));
        let values = (0..5_000u32).map(|row| (row % 7 != 0).then(|| (row % 300).to_be_bytes()));
        let values: ArrayRef = Arc::new(values.collect::<BinaryArray>());
        let rows = RecordBatch::try_from_iter_with_nullable([("n", numbers, false), ("b", values, true)]).unwrap();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap()))
            .set_data_page_row_count_limit(500)
            .set_write_batch_size(100)
            .set_max_row_group_row_count(Some(2_000))
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        Bytes::from(writer.into_inner().unwrap())
    }

    fn footer_start(file: &[u8]) -> usize {
        let tail = file.len() - 8;
        tail - usize::try_from(u32::from_le_bytes(*file[tail..].first_chunk().unwrap())).unwrap()
    }

    #[test]
    fn a_file_as_writers_write_it_passes() {
        let file = file();
        check_footer(&file).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
        assert!(builder.metadata().num_row_groups() > 1);
        check_pages(&file, builder.metadata()).unwrap();
    }

    #[test]
    fn a_list_that_is_longer_than_it_can_be_is_no_footer() {
        let whole = file();
        let start = footer_start(&whole);
        // Version, then the list of the schema's elements: a short form of its count, and structs.
        assert_eq!((whole[start], whole[start + 2], whole[start + 3] & 0x0f), (0x15, 0x19, 0x0c));
        // 2^31 - 1 elements, and 100,000.
        for count in [&[0xff, 0xff, 0xff, 0xff, 0x07][..], &[0xa0, 0x8d, 0x06]] {
            let mut bytes = whole[..start + 3].to_vec();
            bytes.push(0xfc);
            bytes.extend_from_slice(count);
            bytes.extend_from_slice(&whole[start + 4..whole.len() - 8]);
            let length = u32::try_from(bytes.len() - start).unwrap();
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(b"PAR1");
            check_footer(&Bytes::from(bytes)).unwrap_err();
        }
        for left in [0, 7, 8, 20] {
            check_footer(&whole.slice(whole.len() - left..)).unwrap_err();
        }
    }

    /// Appends a signed number, as it is encoded.
    fn push(bytes: &mut Vec<u8>, number: i64) {
        let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while left >= 0x80 {
            bytes.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
            left >>= 7;
        }
        bytes.push(u8::try_from(left).unwrap());
    }

    /// A header: type, lengths, and a dictionary's count if there is one.
    fn header(decoded_bytes: i64, stored_bytes: i64, dictionary_values: Option<i64>) -> Vec<u8> {
        let mut bytes = vec![0x15, 0x04, 0x15];
        push(&mut bytes, decoded_bytes);
        bytes.push(0x15);
        push(&mut bytes, stored_bytes);
        if let Some(values) = dictionary_values {
            // Field 7 is a struct, and the number its field 1.
            bytes.extend_from_slice(&[0x4c, 0x15]);
            push(&mut bytes, values);
            bytes.push(0);
        }
        bytes.push(0);
        bytes
    }

    #[test]
    fn a_page_that_is_longer_than_any_is_refused() {
        let end_of = |header: Vec<u8>| {
            let length = header.len() as u64;
            page_end(&Bytes::from(header), 0, length).map(|end| end - length)
        };
        assert_eq!(end_of(header(100, 70, None)).unwrap(), 70);
        assert_eq!(end_of(header(100, 70, Some(25))).unwrap(), 70);
        for refused in [
            header(i64::from(i32::MAX), 70, None),
            header(MOST_PAGE_BYTES + 1, 70, None),
            header(-1, 70, None),
            header(100, -1, None),
            header(100, 70, Some(i64::from(i32::MAX))),
            header(100, 70, Some(101)),
            header(100, 70, None)[..3].to_vec(),
            vec![0x1f, 0],
            vec![0; 40],
        ] {
            end_of(refused).unwrap_err();
        }
    }
}
