//! Where chunks and row groups end.
//!
//! The encoder sees rows chunk by chunk, and looks at the size of its pages and dictionaries at a chunk's end, so that
//! chunks must not depend on how the rows came in. They end at places that follow from the rows alone: after so many
//! rows, or with the row with which their raw bytes reach a bound. A row group ends with a chunk: by its rows and raw
//! bytes too, or when what they are encoded to reaches a bound, since the encoder holds that in memory until the row
//! group ends. That follows from the chunks of the row group, so this place follows from the rows as well. Pure.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

/// Rows of a full row group: 60 of DuckDB's vectors, and within the 64k to 128k that point reads and scans both like.
pub(super) const ROW_GROUP_ROWS: usize = 122_880;
/// Raw bytes with which a row group ends early.
const ROW_GROUP_BYTES: usize = 128 * 1024 * 1024;
/// Encoded bytes with which a row group ends early: so many, and a chunk's more, are in memory until it ends.
const ROW_GROUP_ENCODED_BYTES: usize = 32 * 1024 * 1024;
/// Rows of a full chunk: the encoder looks at the size of its pages once a chunk.
pub(super) const CHUNK_ROWS: usize = 1_024;
/// Raw bytes with which a chunk ends early, so that no page outgrows its bound by more than that and a row.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Cuts rows into chunks.
#[derive(Debug, Default)]
pub(super) struct Chunker {
    /// Rows of the chunk at hand.
    pending: Vec<RecordBatch>,
    chunk: Size,
    row_group: Size,
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    rows: usize,
    bytes: usize,
}

impl Size {
    fn add_row(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes += bytes;
    }

    fn reaches(self, rows: usize, bytes: usize) -> bool {
        self.rows >= rows || self.bytes >= bytes
    }
}

impl Chunker {
    /// Takes rows from the front of `rows` and returns the chunk that they complete, in order; `None` if they were all
    /// taken and complete none.
    pub(super) fn next_chunk(&mut self, rows: &mut RecordBatch) -> Option<Vec<RecordBatch>> {
        let end = self.count_to_end(rows);
        let taken = end.unwrap_or(rows.num_rows());
        if taken > 0 {
            self.pending.push(rows.slice(0, taken));
            *rows = rows.slice(taken, rows.num_rows() - taken);
        }
        end.map(|_| {
            self.chunk = Size::default();
            std::mem::take(&mut self.pending)
        })
    }

    /// Whether the row group ends with the last chunk, now that it comes to `encoded_bytes`. If so, the next row begins
    /// another.
    pub(super) fn ends_row_group(&mut self, encoded_bytes: usize) -> bool {
        let ends = encoded_bytes >= ROW_GROUP_ENCODED_BYTES || self.row_group.reaches(ROW_GROUP_ROWS, ROW_GROUP_BYTES);
        if ends {
            self.row_group = Size::default();
        }
        ends
    }

    /// The rows left over.
    pub(super) fn finish(&mut self) -> Option<Vec<RecordBatch>> {
        let rows = std::mem::take(&mut self.pending);
        (!rows.is_empty()).then_some(rows)
    }

    /// Counts rows up to the one that ends the chunk, and returns how many those are.
    fn count_to_end(&mut self, rows: &RecordBatch) -> Option<usize> {
        let sizes = RowSizes::of(rows);
        for row in 0..rows.num_rows() {
            let bytes = sizes.of_row(row);
            self.chunk.add_row(bytes);
            self.row_group.add_row(bytes);
            let chunk_is_full = self.chunk.reaches(CHUNK_ROWS, CHUNK_BYTES);
            if chunk_is_full || self.row_group.reaches(ROW_GROUP_ROWS, ROW_GROUP_BYTES) {
                return Some(row + 1);
            }
        }
        None
    }
}

/// Raw bytes of each row's values; absent values count nothing but their column's fixed width.
struct RowSizes<'a> {
    fixed: usize,
    /// Where the values of each column without a fixed width begin and end, and which are there.
    variable: Vec<(&'a [i32], Option<&'a NullBuffer>)>,
}

impl<'a> RowSizes<'a> {
    fn of(rows: &'a RecordBatch) -> Self {
        let fixed = rows.columns().iter().map(|column| fixed_width(column.data_type())).sum();
        let variable = rows.columns().iter().filter_map(|column| Some((offsets(column)?, column.nulls()))).collect();
        Self { fixed, variable }
    }

    fn of_row(&self, row: usize) -> usize {
        let present = self.variable.iter().filter(|(_, nulls)| nulls.is_none_or(|nulls| nulls.is_valid(row)));
        let lengths =
            present.map(|(offsets, _)| usize::try_from(offsets[row + 1] - offsets[row]).expect("offsets grow"));
        self.fixed + lengths.sum::<usize>()
    }
}

fn offsets(column: &ArrayRef) -> Option<&[i32]> {
    match column.data_type() {
        DataType::Binary => Some(column.as_binary::<i32>().value_offsets()),
        DataType::Utf8 => Some(column.as_string::<i32>().value_offsets()),
        _ => None,
    }
}

fn fixed_width(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeBinary(length) => usize::try_from(*length).expect("a length is not negative"),
        DataType::Boolean => 1,
        DataType::Binary | DataType::Utf8 => 0,
        other => other.primitive_width().expect("the datasets have no nested columns"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, UInt32Array};

    use super::*;

    fn rows(sizes: &[usize]) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..u32::try_from(sizes.len()).unwrap()));
        let data: ArrayRef = Arc::new(BinaryArray::from_iter_values(sizes.iter().map(|size| vec![0_u8; *size])));
        RecordBatch::try_from_iter([("number", numbers), ("data", data)]).unwrap()
    }

    fn row_count(chunk: &[RecordBatch]) -> usize {
        chunk.iter().map(RecordBatch::num_rows).sum()
    }

    fn raw_bytes(chunk: &[RecordBatch]) -> usize {
        let of_batch = |rows: &RecordBatch| -> usize {
            let sizes = RowSizes::of(rows);
            (0..rows.num_rows()).map(|row| sizes.of_row(row)).sum()
        };
        chunk.iter().map(of_batch).sum()
    }

    /// Rows and raw bytes of each chunk, and whether it ends a row group, if rows are encoded to one `ratio`th.
    fn cut(batch: &RecordBatch, slice_rows: usize, ratio: usize) -> Vec<(usize, usize, bool)> {
        let mut chunker = Chunker::default();
        let (mut chunks, mut taken_bytes) = (Vec::new(), 0);
        for start in (0..batch.num_rows()).step_by(slice_rows) {
            let mut rows = batch.slice(start, slice_rows.min(batch.num_rows() - start));
            while let Some(chunk) = chunker.next_chunk(&mut rows) {
                taken_bytes += raw_bytes(&chunk);
                let ends = chunker.ends_row_group(taken_bytes / ratio);
                chunks.push((row_count(&chunk), raw_bytes(&chunk), ends));
                if ends {
                    taken_bytes = 0;
                }
            }
        }
        chunks.extend(chunker.finish().map(|chunk| (row_count(&chunk), raw_bytes(&chunk), true)));
        chunks
    }

    /// Chunks of the first row group.
    fn chunks_to_end(chunks: &[(usize, usize, bool)]) -> Option<usize> {
        chunks.iter().position(|(_, _, ends)| *ends).map(|place| place + 1)
    }

    #[test]
    fn small_rows_fill_chunks_and_row_groups() {
        let batch = rows(&vec![1; ROW_GROUP_ROWS + 10]);
        let chunks = cut(&batch, ROW_GROUP_ROWS + 10, 1);
        assert_eq!(chunks.len(), ROW_GROUP_ROWS / CHUNK_ROWS + 1);
        assert_eq!(chunks_to_end(&chunks), Some(ROW_GROUP_ROWS / CHUNK_ROWS));
        assert_eq!(chunks.last(), Some(&(10, 50, true)));
    }

    #[test]
    fn large_rows_end_a_chunk_and_a_row_group_early() {
        let chunks = cut(&rows(&[CHUNK_BYTES; 40]), 40, 1);
        assert!(chunks.iter().all(|(row_count, ..)| *row_count == 1));
        assert_eq!(chunks_to_end(&chunks), Some(ROW_GROUP_ENCODED_BYTES / CHUNK_BYTES));
        let compressible = cut(&rows(&[ROW_GROUP_BYTES / 8; 9]), 9, 1_000);
        assert_eq!(chunks_to_end(&compressible), Some(8));
    }

    proptest::proptest! {
        // Rows of megabytes: a case takes its time.
        #![proptest_config(proptest::test_runner::Config::with_cases(16))]
        #[test]
        fn chunks_are_bounded_and_do_not_depend_on_how_rows_come_in(
            sizes in proptest::collection::vec(0usize..2_000_000, 1..60), slice_rows in 1usize..60, ratio in 1usize..3,
        ) {
            let batch = rows(&sizes);
            let (chunks, of_whole) = (cut(&batch, slice_rows, ratio), cut(&batch, sizes.len(), ratio));
            proptest::prop_assert_eq!(&chunks, &of_whole);
            let largest = sizes.iter().max().copied().unwrap_or_default() + 4;
            proptest::prop_assert!(chunks.iter().all(|(_, bytes, _)| *bytes < CHUNK_BYTES + largest));
        }
    }
}
