//! How columns are encoded. Every choice that shapes the bytes is made here, none is left to a default.
//!
//! Changing anything here changes the bytes of every file, so it comes with a new [`CREATED_BY`] and an ADR.

use isotherm_types::Dataset;
use isotherm_types::schema::{Column, ColumnType, SCHEMA_VERSION};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{
    BloomFilterPosition, EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::schema::types::ColumnPath;

use super::chunks;
use crate::layout::Partition;

/// The footer's `created_by`: names these choices, not the version of a library.
pub const CREATED_BY: &str = "isotherm cold format 1";

/// Rows with which a page ends: few, so that a point read unpacks little.
const PAGE_ROWS: usize = 8_192;
/// Bytes of a page, and of a dictionary, before compression.
const PAGE_BYTES: usize = 1024 * 1024;
/// Rows between two looks at a page's size; a chunk's end is one too.
const WRITE_BATCH_ROWS: usize = chunks::CHUNK_ROWS;
/// Bytes of a minimum or maximum that are kept; whole hashes fit.
const STATISTICS_BYTES: usize = 64;
const ZSTD_LEVEL: i32 = 3;

pub(super) fn of(partition: &Partition) -> WriterProperties {
    let dataset = partition.dataset;
    let level = ZstdLevel::try_new(ZSTD_LEVEL).expect("3 is a level of zstd");
    let builder = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(level))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(PAGE_BYTES)
        .set_write_batch_size(WRITE_BATCH_ROWS)
        // Row groups end where `chunks` says.
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None)
        .set_dictionary_enabled(true)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_write_page_header_statistics(false)
        .set_offset_index_disabled(false)
        .set_statistics_truncate_length(Some(STATISTICS_BYTES))
        .set_column_index_truncate_length(Some(STATISTICS_BYTES))
        .set_bloom_filter_position(BloomFilterPosition::AfterRowGroup)
        // `bloom_filters` makes its own.
        .set_bloom_filter_enabled(false)
        .set_coerce_types(false)
        .set_sorting_columns(Some(sorting_columns(dataset)))
        .set_key_value_metadata(Some(key_values(partition)));
    dataset.columns().iter().fold(builder, |builder, column| of_column(builder, dataset, column)).build()
}

fn of_column(builder: WriterPropertiesBuilder, dataset: Dataset, column: &Column) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(column.name);
    let mut builder = builder;
    if is_distinct(dataset, column) {
        builder = builder.set_column_dictionary_enabled(path.clone(), false);
    }
    if has_no_useful_order(column) {
        builder = builder.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
    }
    builder
}

/// Columns whose values hardly repeat in a file: a dictionary would be all cost.
fn is_distinct(dataset: Dataset, column: &Column) -> bool {
    const OF_BLOCKS: [&str; 7] = [
        "block_hash",
        "parent_hash",
        "state_root",
        "transactions_root",
        "receipts_root",
        "mix_hash",
        "parent_beacon_block_root",
    ];
    const OF_TRANSACTIONS: [&str; 3] = ["transaction_hash", "signature_r", "signature_s"];
    match dataset {
        Dataset::Blocks => OF_BLOCKS.contains(&column.name),
        Dataset::Transactions => OF_TRANSACTIONS.contains(&column.name),
        Dataset::Logs | Dataset::Traces => false,
    }
}

/// Columns of which a page's least and greatest value tell nobody anything.
fn has_no_useful_order(column: &Column) -> bool {
    matches!(column.column_type, ColumnType::Bytes | ColumnType::FixedBytes(256))
}

fn sorting_columns(dataset: Dataset) -> Vec<SortingColumn> {
    let index_of = |name: &str| dataset.columns().iter().position(|column| column.name == name);
    let sorted_by = |name: &&str| {
        let index = index_of(name).expect("a dataset has the columns it is sorted by");
        let column_idx = i32::try_from(index).expect("a dataset has few columns");
        SortingColumn { column_idx, descending: false, nulls_first: false }
    };
    dataset.sort_columns().iter().map(sorted_by).collect()
}

fn key_values(partition: &Partition) -> Vec<KeyValue> {
    let blocks = partition.blocks;
    [
        ("isotherm.schema_version", SCHEMA_VERSION.to_string()),
        ("isotherm.chain_id", partition.chain_id.to_string()),
        ("isotherm.dataset", partition.dataset.to_string()),
        ("isotherm.first_block", blocks.start().to_string()),
        ("isotherm.last_block", blocks.last().to_string()),
    ]
    .map(|(key, value)| KeyValue::new(key.to_owned(), value))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_column_exists() {
        let found = |dataset: Dataset| dataset.columns().iter().filter(|column| is_distinct(dataset, column)).count();
        assert_eq!(found(Dataset::Blocks), 7);
        assert_eq!(found(Dataset::Transactions), 3);
    }

    #[test]
    fn a_look_at_the_page_size_falls_on_every_end_of_a_full_page_and_row_group() {
        assert_eq!(PAGE_ROWS % WRITE_BATCH_ROWS, 0);
        assert_eq!(chunks::ROW_GROUP_ROWS % PAGE_ROWS, 0);
    }
}
