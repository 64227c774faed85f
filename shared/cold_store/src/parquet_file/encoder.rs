//! From chunks of rows to the bytes of a file, one row group in memory at a time.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use isotherm_types::Dataset;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::bloom_filters::BloomFilters;
use crate::digest::{ObjectDigest, RunningDigest};

pub(super) struct Encoder {
    dataset: Dataset,
    file: SerializedFileWriter<HashingFile>,
    row_groups: ArrowRowGroupWriterFactory,
    row_group: Option<RowGroup>,
    row_group_count: usize,
}

struct RowGroup {
    columns: Vec<ArrowColumnWriter>,
    filters: BloomFilters,
}

impl Encoder {
    pub(super) fn new(file: File, dataset: Dataset, properties: WriterProperties) -> Result<Self, ParquetError> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_schema_root("isotherm".to_owned())
            // The Parquet types say all; Arrow's own schema would tie the bytes to a version of Arrow.
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(HashingFile::new(file), dataset.schema(), options)?;
        let (file, row_groups) = writer.into_serialized_writer()?;
        Ok(Self { dataset, file, row_groups, row_group: None, row_group_count: 0 })
    }

    pub(super) fn row_group_count(&self) -> usize {
        self.row_group_count
    }

    /// Takes the rows of a chunk into the row group at hand, and returns the bytes that this comes to so far.
    ///
    /// They are counted, not measured: the same calls since the row group began return the same number, on any machine.
    /// Pages that are finished count as they are compressed; those at hand, and dictionaries, as they are before.
    pub(super) fn write(&mut self, chunk: &[RecordBatch]) -> Result<usize, ParquetError> {
        let schema = self.dataset.schema();
        let rows = concat_batches(&schema, chunk)?;
        let row_group = match self.row_group.take() {
            Some(row_group) => row_group,
            None => RowGroup {
                columns: self.row_groups.create_column_writers(self.row_group_count)?,
                filters: BloomFilters::new(self.dataset)?,
            },
        };
        let row_group = self.row_group.insert(row_group);
        let arrays = schema.fields().iter().zip(rows.columns());
        for (column, (field, array)) in row_group.columns.iter_mut().zip(arrays) {
            // No column is nested: each has exactly one leaf.
            for leaf in compute_leaves(field, array)? {
                column.write(&leaf)?;
            }
        }
        row_group.filters.add(&rows);
        Ok(row_group.columns.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum())
    }

    /// Writes the row group at hand to the file; the next chunk begins another.
    pub(super) fn end_row_group(&mut self) -> Result<(), ParquetError> {
        let Some(RowGroup { columns, filters }) = self.row_group.take() else { return Ok(()) };
        let mut writer = self.file.next_row_group()?;
        for (column, filter) in columns.into_iter().zip(filters.finish()) {
            let mut chunk = column.close()?;
            chunk.close_mut().bloom_filter = filter;
            chunk.append_to_row_group(&mut writer)?;
        }
        writer.close()?;
        self.row_group_count += 1;
        Ok(())
    }

    /// Rows in the file, and what its bytes are known by.
    pub(super) fn finish(mut self) -> Result<(u64, ObjectDigest), ParquetError> {
        self.end_row_group()?;
        let rows: i64 = self.file.flushed_row_groups().iter().map(RowGroupMetaData::num_rows).sum();
        // Not `into_inner`, which makes a text of what the disk reports.
        self.file.finish()?;
        Ok((u64::try_from(rows)?, self.file.inner().digest()))
    }
}

/// A file that is hashed as it is written.
struct HashingFile {
    file: BufWriter<File>,
    digest: RunningDigest,
}

impl HashingFile {
    fn new(file: File) -> Self {
        Self { file: BufWriter::new(file), digest: RunningDigest::default() }
    }

    /// Of all that was written so far.
    fn digest(&self) -> ObjectDigest {
        self.digest.clone().finish()
    }
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_the_system_reports_it() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let encoder = Encoder::new(full, Dataset::Logs, WriterProperties::builder().build()).unwrap();
        let Err(ParquetError::External(cause)) = encoder.finish() else { panic!("it was written") };
        assert_eq!(cause.downcast::<io::Error>().unwrap().kind(), io::ErrorKind::StorageFull);
    }
}
