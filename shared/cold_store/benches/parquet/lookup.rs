//! Looks a transaction up by its hash in files of which nothing is known but their names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::AsArray as _;
use bytes::Bytes;
use isotherm_types::{B256, Dataset};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

use crate::counted_file::CountedFile;

/// How it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In the row groups whose Bloom filter does not deny it.
    Filters,
    /// In all row groups.
    Scan,
    /// Not at all: footers are read and nothing else.
    Footers,
}

/// What came of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Rows with the hash, read with all their columns.
    pub(crate) row_count: usize,
    /// Bytes read of all files.
    pub(crate) bytes: u64,
}

/// Looks for `hash` in `files`, all of them, one after the other.
pub(crate) fn look_up(files: &[Bytes], hash: B256, way: Way) -> Found {
    let read = Arc::new(AtomicU64::new(0));
    let files = files.iter().map(|bytes| CountedFile::new(bytes.clone(), Arc::clone(&read)));
    let row_count = files.map(|file| rows_in(&file, hash, way)).sum();
    Found { row_count, bytes: read.load(Ordering::Relaxed) }
}

fn rows_in(file: &CountedFile, hash: B256, way: Way) -> usize {
    let footer = ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).expect("the file has a footer");
    let column = column_of_hashes();
    let row_groups = 0..footer.metadata().num_row_groups();
    let candidates = row_groups.filter(|row_group| match way {
        Way::Filters => may_hold(file, &footer, *row_group, column, hash),
        Way::Scan => true,
        Way::Footers => false,
    });
    let rows = candidates.map(|row_group| match place_in(file, &footer, row_group, column, hash) {
        Some(place) => read_row(file, &footer, row_group, place),
        None => 0,
    });
    rows.sum()
}

/// Place of the column in a file of `transactions`.
fn column_of_hashes() -> usize {
    let columns = Dataset::Transactions.columns();
    columns.iter().position(|column| column.name == "transaction_hash").expect("transactions have hashes")
}

fn may_hold(file: &CountedFile, footer: &ArrowReaderMetadata, row_group: usize, column: usize, hash: B256) -> bool {
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), footer.clone());
    let filter = builder.get_row_group_column_bloom_filter(row_group, column).expect("the filter can be read");
    filter.expect("hashes have a filter").check(hash.as_slice())
}

/// Row of the row group that has the hash. Reads the one column up to there.
fn place_in(
    file: &CountedFile,
    footer: &ArrowReaderMetadata,
    row_group: usize,
    column: usize,
    hash: B256,
) -> Option<usize> {
    let mask = ProjectionMask::leaves(footer.parquet_schema(), [column]);
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), footer.clone());
    let reader = builder.with_row_groups(vec![row_group]).with_projection(mask).build();
    let mut before = 0;
    for batch in reader.expect("the column can be read") {
        let batch = batch.expect("the column can be read");
        let hashes = batch.column(0).as_fixed_size_binary();
        if let Some(place) = hashes.iter().position(|found| found == Some(hash.as_slice())) {
            return Some(before + place);
        }
        before += batch.num_rows();
    }
    None
}

/// Reads one row with all its columns, by the pages that it is in; returns how many rows came.
fn read_row(file: &CountedFile, footer: &ArrowReaderMetadata, row_group: usize, place: usize) -> usize {
    let mut index = ParquetMetaDataReader::new_with_metadata(footer.metadata().as_ref().clone())
        .with_column_index_policy(PageIndexPolicy::Skip)
        .with_offset_index_policy(PageIndexPolicy::Required);
    index.read_page_indexes(file).expect("the file says where its pages are");
    let metadata = Arc::new(index.finish().expect("it was read"));
    let row_count = usize::try_from(metadata.row_group(row_group).num_rows()).expect("a row group is not so large");
    let rest = row_count - place - 1;
    let rows = RowSelection::from(vec![RowSelector::skip(place), RowSelector::select(1), RowSelector::skip(rest)]);
    let metadata = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new()).expect("it has a schema");
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata);
    let reader = builder.with_row_groups(vec![row_group]).with_row_selection(rows).build();
    let batches = reader.expect("the row can be read");
    batches.map(|batch| batch.expect("the row can be read").num_rows()).sum()
}
