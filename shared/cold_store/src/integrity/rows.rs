//! The rows of a data file as they are read back, each found to belong there.
//!
//! A file whose bytes are those that were listed may still be no Parquet, or hold rows that are not its own, if whoever
//! wrote it also wrote the manifest. What a decoder makes of such bytes, a panic included, is the file's fault; lengths that
//! it says of itself are looked at before ([`decoder_bounds`]). Memory holds one batch, whose rows are as many as
//! [`batch_rows`] allows.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef, UInt32Type, UInt64Type};
use arrow::error::ArrowError;
use isotherm_types::disposition::error_chain;
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::fault::Fault;
use super::report::Problem;
use crate::decoder_bounds;
use crate::manifest::DataFile;

/// Most rows that are decoded at once.
const BATCH_ROWS: usize = 1_024;

/// Rows of a file, in order; those of a run of blocks at a time.
pub(super) struct FileRows {
    dataset: Dataset,
    chain_id: ChainId,
    blocks: BlockRange,
    reader: ParquetRecordBatchReader,
    /// Rows that were decoded, but belong to later blocks than were asked for.
    left: Option<RecordBatch>,
    /// Block and index of the last row.
    last: Option<(u64, u64)>,
    problem: Option<Problem>,
}

impl FileRows {
    /// Reads the footer of the local copy of `file`, and begins to read its rows.
    pub(super) fn open(
        copy: File,
        (chain_id, dataset): (ChainId, Dataset),
        file: &DataFile,
        at_most_bytes: usize,
    ) -> Result<Self, Problem> {
        let not_parquet = |error: ParquetError| Problem::new(Fault::NotParquet, unreadable(&error_chain(&error)));
        // No hidden schema of Arrow's own helps the reader: other programs would not see it.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let opened = guarded(|| decoder_bounds::open(copy, options));
        let builder = opened.ok_or_else(panicked)?.map_err(not_parquet)?;
        check_columns(dataset, builder.schema())?;
        let row_count = builder.metadata().file_metadata().num_rows();
        if u64::try_from(row_count) != Ok(file.row_count) {
            let message = format!("the file has {row_count} rows, but the manifest lists {}", file.row_count);
            return Err(Problem::new(Fault::RowsDiffer, message));
        }
        let batch_rows = batch_rows(dataset, builder.metadata(), at_most_bytes);
        let built = guarded(|| builder.with_batch_size(batch_rows).build());
        let reader = built.ok_or_else(panicked)?.map_err(not_parquet)?;
        Ok(Self { dataset, chain_id, blocks: file.blocks, reader, left: None, last: None, problem: None })
    }

    /// The rows of `blocks`; those before it are passed over.
    pub(super) fn of(&mut self, blocks: BlockRange) -> RowsOf<'_> {
        RowsOf { rows: self, blocks }
    }

    /// What was found to be wrong, if anything was: the rows ended there.
    pub(super) fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    /// The next rows, once all of them are found to belong here.
    fn decode(&mut self) -> Option<Result<RecordBatch, Problem>> {
        let reader = &mut self.reader;
        let decoded = match guarded(|| reader.next()) {
            None => return Some(Err(panicked())),
            Some(decoded) => decoded?,
        };
        let not_parquet = |error: ArrowError| Problem::new(Fault::NotParquet, unreadable(&error_chain(&error)));
        Some(decoded.map_err(not_parquet).and_then(|batch| self.check(&batch).map(|()| batch)))
    }

    /// Every row is of the file's chain and blocks, and after the row before it.
    fn check(&mut self, batch: &RecordBatch) -> Result<(), Problem> {
        let chain_ids = column(batch, "chain_id").as_primitive::<UInt64Type>();
        if let Some(other) = chain_ids.values().iter().find(|chain_id| **chain_id != self.chain_id.0) {
            let message = format!("a row is of chain {other}, not of chain {}", self.chain_id);
            return Err(Problem::new(Fault::RowBlock, message));
        }
        let numbers = block_numbers(batch);
        let indexes = indexes(batch, self.dataset);
        for (row, number) in numbers.iter().enumerate() {
            let place = (u64::from(*number), indexes.at(row));
            if !self.blocks.contains(BlockNumber(place.0)) {
                let message = format!("a row is of block {number}, which is not one of blocks {}", self.blocks);
                return Err(Problem::new(Fault::RowBlock, message));
            }
            if let Some(before) = self.last.filter(|before| *before >= place) {
                let message = format!("the row at {place:?} (block, index) comes after the one at {before:?}");
                return Err(Problem::new(Fault::OrderBroken, message));
            }
            self.last = Some(place);
        }
        Ok(())
    }
}

/// Rows of a run of blocks, in order. They end early if something is wrong with the file: see [`FileRows::problem`].
pub(super) struct RowsOf<'a> {
    rows: &'a mut FileRows,
    blocks: BlockRange,
}

impl Iterator for RowsOf<'_> {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rows.problem.is_some() {
                return None;
            }
            let batch = match self.rows.left.take() {
                Some(left) => left,
                None => match self.rows.decode()? {
                    Ok(batch) => batch,
                    Err(problem) => {
                        let error = ArrowError::ParquetError(problem.message.clone());
                        self.rows.problem = Some(problem);
                        return Some(Err(error));
                    }
                },
            };
            let numbers = block_numbers(&batch);
            let first = numbers.partition_point(|number| u64::from(*number) < self.blocks.start().0);
            let end = numbers.partition_point(|number| u64::from(*number) < self.blocks.end().0);
            if end < batch.num_rows() {
                self.rows.left = Some(batch.slice(end, batch.num_rows() - end));
            }
            if first < end {
                return Some(Ok(batch.slice(first, end - first)));
            }
            if self.rows.left.is_some() {
                return None;
            }
        }
    }
}

fn check_columns(dataset: Dataset, found: &SchemaRef) -> Result<(), Problem> {
    let expected = dataset.schema();
    if found.fields() == expected.fields() {
        return Ok(());
    }
    let other = expected.fields().iter().zip(found.fields()).find(|(expected, found)| expected != found);
    let message = match other {
        Some((expected, found)) => format!(
            "the file has a column {} of type {}, but {dataset} has {} of type {} there",
            found.name(),
            found.data_type(),
            expected.name(),
            expected.data_type()
        ),
        None => {
            let (found, expected) = (found.fields().len(), expected.fields().len());
            format!("the file has {found} columns, but {dataset} has {expected}")
        }
    };
    Err(Problem::new(Fault::SchemaDiffers, message))
}

/// Rows to decode at once so that they come to a quarter of `at_most_bytes`, as rows of the file are on average: three
/// files are read side by side. At least one.
fn batch_rows(dataset: Dataset, metadata: &ParquetMetaData, at_most_bytes: usize) -> usize {
    let fixed: u64 = dataset.schema().fields().iter().map(|field| fixed_width(field.data_type())).sum();
    let of_row_group = |(bytes, rows): (i64, i64)| u64::try_from(bytes).ok()?.checked_div(u64::try_from(rows).ok()?);
    let row_groups = metadata.row_groups().iter().map(|row_group| (row_group.total_byte_size(), row_group.num_rows()));
    // Dictionaries hide the width of values that repeat.
    let row_bytes = fixed + row_groups.filter_map(of_row_group).max().unwrap_or(0);
    let rows = (at_most_bytes as u64 / 4).checked_div(row_bytes).unwrap_or(0);
    usize::try_from(rows).unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS)
}

fn fixed_width(data_type: &DataType) -> u64 {
    match data_type {
        DataType::FixedSizeBinary(length) => u64::try_from(*length).unwrap_or(0),
        other => other.primitive_width().unwrap_or(1) as u64,
    }
}

/// Each row's block.
pub(super) fn block_numbers(batch: &RecordBatch) -> &[u32] {
    column(batch, "block_number").as_primitive::<UInt32Type>().values()
}

/// A column of a batch that has its dataset's schema.
pub(super) fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a dyn Array {
    batch.column_by_name(name).expect("the file was found to have its dataset's columns")
}

/// Each row's index in its block.
enum Indexes<'a> {
    /// Rows of `blocks` have none.
    None,
    Small(&'a [u32]),
    Large(&'a [u64]),
}

impl Indexes<'_> {
    fn at(&self, row: usize) -> u64 {
        match self {
            Self::None => 0,
            Self::Small(indexes) => u64::from(indexes[row]),
            Self::Large(indexes) => indexes[row],
        }
    }
}

fn indexes(batch: &RecordBatch, dataset: Dataset) -> Indexes<'_> {
    let Some(name) = dataset.sort_columns().get(1) else { return Indexes::None };
    let column = column(batch, name);
    match column.data_type() {
        DataType::UInt32 => Indexes::Small(column.as_primitive::<UInt32Type>().values()),
        _ => Indexes::Large(column.as_primitive::<UInt64Type>().values()),
    }
}

/// What `decoding` returns; `None` if it panicked.
fn guarded<T>(decoding: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(decoding)).ok()
}

fn panicked() -> Problem {
    Problem::new(Fault::NotParquet, unreadable("the decoder gave up"))
}

fn unreadable(why: &str) -> String {
    format!("the file cannot be read as Parquet: {why}")
}

#[cfg(test)]
mod tests;
