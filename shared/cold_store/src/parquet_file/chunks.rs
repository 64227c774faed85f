//! Where chunks and row groups end.
//!
//! The encoder sees rows chunk by chunk, and decides on pages and dictionaries at a chunk's end, so chunks must not
//! depend on how the rows came in. They end at places that follow from the rows alone: after so many rows, or
//! after the row with which their raw bytes reach a bound. Pure.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// Rows of a full row group: 60 of DuckDB's vectors, and within the 64k to 128k that point reads and scans both like.
pub(super) const ROW_GROUP_ROWS: usize = 122_880;
/// Raw bytes after which a row group ends early.
pub(super) const ROW_GROUP_BYTES: usize = 128 * 1024 * 1024;
/// Rows of a full chunk.
pub(super) const CHUNK_ROWS: usize = 8_192;
/// Raw bytes after which a chunk ends early.
pub(super) const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// Rows that go to the encoder together.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The rows, in order.
    pub(super) batches: Vec<RecordBatch>,
    /// Whether the row group ends with them.
    pub(super) ends_row_group: bool,
}

/// Cuts rows into chunks.
#[derive(Debug, Default)]
pub(super) struct Chunker {
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
    /// Takes rows; returns the chunks that they complete.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut start = 0;
        for (row, bytes) in row_sizes(batch).into_iter().enumerate() {
            self.chunk.add_row(bytes);
            self.row_group.add_row(bytes);
            let ends_row_group = self.row_group.reaches(ROW_GROUP_ROWS, ROW_GROUP_BYTES);
            if !ends_row_group && !self.chunk.reaches(CHUNK_ROWS, CHUNK_BYTES) {
                continue;
            }
            self.pending.push(batch.slice(start, row + 1 - start));
            start = row + 1;
            chunks.push(Chunk { batches: std::mem::take(&mut self.pending), ends_row_group });
            self.chunk = Size::default();
            if ends_row_group {
                self.row_group = Size::default();
            }
        }
        if start < batch.num_rows() {
            self.pending.push(batch.slice(start, batch.num_rows() - start));
        }
        chunks
    }

    /// The rows left over.
    pub(super) fn finish(&mut self) -> Option<Chunk> {
        let batches = std::mem::take(&mut self.pending);
        (!batches.is_empty()).then_some(Chunk { batches, ends_row_group: true })
    }
}

/// Raw bytes of each row's values; absent values count nothing but their column's fixed width.
fn row_sizes(batch: &RecordBatch) -> Vec<usize> {
    let fixed: usize = batch.columns().iter().map(|column| fixed_width(column.data_type())).sum();
    let mut sizes = vec![fixed; batch.num_rows()];
    for column in batch.columns() {
        let offsets = match column.data_type() {
            DataType::Binary => column.as_binary::<i32>().value_offsets(),
            DataType::Utf8 => column.as_string::<i32>().value_offsets(),
            _ => continue,
        };
        for (row, (size, ends)) in sizes.iter_mut().zip(offsets.windows(2)).enumerate() {
            if column.is_valid(row) {
                *size += usize::try_from(ends[1] - ends[0]).expect("offsets grow");
            }
        }
    }
    sizes
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

    use arrow::array::{ArrayRef, BinaryArray, UInt32Array};

    use super::*;

    fn rows(sizes: &[usize]) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..u32::try_from(sizes.len()).unwrap()));
        let data: ArrayRef = Arc::new(BinaryArray::from_iter_values(sizes.iter().map(|size| vec![0_u8; *size])));
        RecordBatch::try_from_iter([("number", numbers), ("data", data)]).unwrap()
    }

    /// Rows of each chunk, and whether it ends a row group.
    fn cut(batch: &RecordBatch, slice_rows: usize) -> Vec<(usize, bool)> {
        let mut chunker = Chunker::default();
        let mut chunks = Vec::new();
        for start in (0..batch.num_rows()).step_by(slice_rows) {
            chunks.extend(chunker.push(&batch.slice(start, slice_rows.min(batch.num_rows() - start))));
        }
        chunks.extend(chunker.finish());
        let row_count = |chunk: &Chunk| chunk.batches.iter().map(RecordBatch::num_rows).sum();
        chunks.iter().map(|chunk| (row_count(chunk), chunk.ends_row_group)).collect()
    }

    #[test]
    fn small_rows_fill_chunks_and_row_groups() {
        let batch = rows(&vec![1; ROW_GROUP_ROWS + 10]);
        let chunks = cut(&batch, ROW_GROUP_ROWS + 10);
        assert_eq!(chunks.len(), ROW_GROUP_ROWS / CHUNK_ROWS + 1);
        assert_eq!(chunks.iter().position(|(_, ends)| *ends), Some(ROW_GROUP_ROWS / CHUNK_ROWS - 1));
        assert_eq!(chunks.last(), Some(&(10, true)));
    }

    #[test]
    fn large_rows_end_a_chunk_and_a_row_group_early() {
        let batch = rows(&[CHUNK_BYTES; 20]);
        let chunks = cut(&batch, 20);
        assert!(chunks.iter().all(|(row_count, _)| *row_count == 1));
        assert_eq!(chunks.iter().position(|(_, ends)| *ends), Some(ROW_GROUP_BYTES / CHUNK_BYTES - 1));
    }

    proptest::proptest! {
        // Rows of megabytes: a case takes its time.
        #![proptest_config(proptest::test_runner::Config::with_cases(16))]
        #[test]
        fn chunks_do_not_depend_on_how_rows_come_in(
            sizes in proptest::collection::vec(0usize..2_000_000, 1..30), slice_rows in 1usize..30,
        ) {
            let batch = rows(&sizes);
            proptest::prop_assert_eq!(cut(&batch, slice_rows), cut(&batch, sizes.len()));
        }
    }
}
