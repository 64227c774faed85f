//! What is in a data file, and what never gets into one.

use std::fs::File;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use isotherm_cold_store::parquet_file::{CREATED_BY, ParquetFileError};
use isotherm_cold_store::{PartitionBlocks, PartitionWriter, StagedFile};
use isotherm_types::schema::ColumnType;
use isotherm_types::{BlockRange, Classified, Dataset};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;

use crate::bucket::{blocks_of, partition, staged, verdicts, writer};
use crate::rows::{MadeChain, range};

fn chain() -> MadeChain {
    MadeChain::new(31_337)
}

fn read_back(file: &StagedFile, dataset: Dataset) -> RecordBatch {
    let file = File::open(file.path()).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    // The reader's own schema must be the dataset's: no hidden Arrow schema helps it.
    for batch in &batches {
        assert_eq!(batch.schema().fields(), dataset.schema().fields());
    }
    concat_batches(&dataset.schema(), &batches).unwrap()
}

#[test]
fn rows_read_back_as_they_were() {
    for dataset in Dataset::ALL {
        let rows = chain().rows(dataset, range(37, 200));
        let file = staged(chain(), dataset, range(37, 200));
        assert_eq!(read_back(&file, dataset), rows, "{dataset}");
        assert_eq!(file.file().row_count, rows.num_rows() as u64);
        assert_eq!(file.file().first_block_hash, chain().hash(37));
        assert_eq!(file.file().last_block_hash, chain().hash(199));
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(file.file().digest(), isotherm_cold_store::ObjectDigest::of(&bytes));
    }
}

/// A file of all rows of a range that came in batches of `batch_rows`.
fn staged_in_batches(chain: MadeChain, dataset: Dataset, blocks: BlockRange, batch_rows: usize) -> StagedFile {
    let rows = chain.rows(dataset, blocks);
    let mut writer = writer(chain, dataset, blocks);
    for start in (0..rows.num_rows()).step_by(batch_rows) {
        writer.write(&rows.slice(start, batch_rows.min(rows.num_rows() - start))).unwrap();
    }
    writer.finish(verdicts()).unwrap()
}

#[test]
fn the_same_rows_in_any_batches_make_the_same_bytes() {
    // More rows than a page has.
    let blocks = range(0, 4_500);
    for dataset in [Dataset::Transactions, Dataset::Logs] {
        let whole = staged(chain(), dataset, blocks);
        for batch_rows in [97, 1_024, 5_000] {
            let in_batches = staged_in_batches(chain(), dataset, blocks, batch_rows);
            assert_eq!(in_batches.file(), whole.file(), "{dataset} in batches of {batch_rows}");
        }
    }
}

fn growing(dataset: Dataset, blocks: BlockRange) -> PartitionWriter {
    PartitionWriter::create_growing(partition(chain(), dataset, blocks), &std::env::temp_dir()).unwrap()
}

/// Takes in the blocks of a run, and how many rows each has.
fn extend(writer: &mut PartitionWriter, dataset: Dataset, run: BlockRange) -> Result<(), ParquetFileError> {
    writer.extend(&chain().rows(Dataset::Blocks, run), &chain().rows_per_block(dataset, run))
}

#[test]
fn blocks_that_come_run_by_run_make_the_same_bytes() {
    let blocks = range(37, 1_500);
    for dataset in Dataset::ALL {
        let whole = staged(chain(), dataset, blocks);
        for run_blocks in [1, 7, 500] {
            let mut writer = growing(dataset, blocks);
            let mut start = 37;
            while start < 1_500 {
                let run = range(start, (start + run_blocks).min(1_500));
                extend(&mut writer, dataset, run).unwrap();
                writer.write(&chain().rows(dataset, run)).unwrap();
                start = run.end().0;
            }
            let grown = writer.finish(verdicts()).unwrap();
            assert_eq!(grown.file(), whole.file(), "{dataset} in runs of {run_blocks}");
            assert_eq!(std::fs::read(grown.path()).unwrap(), std::fs::read(whole.path()).unwrap());
        }
    }
}

#[test]
fn blocks_that_come_run_by_run_are_all_there_and_one_chain() {
    let (blocks, dataset) = (range(100, 110), Dataset::Logs);
    let rows = |run| chain().rows(dataset, run);
    let mut writer = growing(dataset, blocks);
    extend(&mut writer, dataset, range(100, 105)).unwrap();
    let early = writer.write(&rows(range(100, 107))).unwrap_err();
    assert!(matches!(early, ParquetFileError::TooEarly { .. }), "{early}");

    let finished = |runs: &[BlockRange], written: BlockRange| {
        let mut writer = growing(dataset, blocks);
        let taken = runs.iter().try_for_each(|run| extend(&mut writer, dataset, *run));
        taken.and_then(|()| writer.write(&rows(written))).and_then(|_| writer.finish(verdicts()).map(drop))
    };
    let (lower, upper) = (range(100, 105), range(105, 110));
    finished(&[lower, upper], blocks).unwrap();
    let code = |runs: &[BlockRange], written| finished(runs, written).unwrap_err().code();
    assert_eq!(code(&[], blocks), "cold_store.missing_block");
    assert_eq!(code(&[lower], lower), "cold_store.missing_block");
    assert_eq!(code(&[upper], upper), "cold_store.missing_block");
    assert_eq!(code(&[lower, lower], lower), "cold_store.missing_block");
    assert_eq!(code(&[lower, range(105, 111)], blocks), "cold_store.missing_block");
    assert_eq!(code(&[lower, upper], lower), "cold_store.row_count");

    let mut writer = growing(dataset, blocks);
    extend(&mut writer, dataset, lower).unwrap();
    let branch = MadeChain { seed: 1, ..chain() };
    let counts = branch.rows_per_block(dataset, upper);
    let forked = writer.extend(&branch.rows(Dataset::Blocks, upper), &counts).unwrap_err();
    assert_eq!(forked.code(), "cold_store.broken_chain");
    let too_few = growing(dataset, blocks).extend(&chain().rows(Dataset::Blocks, upper), &counts[1..]).unwrap_err();
    assert!(matches!(too_few, ParquetFileError::Counts { blocks: 5, counts: 4 }), "{too_few}");
}

#[test]
fn a_row_group_of_large_rows_ends_by_its_bytes_wherever_batches_end() {
    const MEBIBYTE: i64 = 1024 * 1024;
    // 136 logs of 300 kB that cannot be compressed.
    let (chain, blocks) = (MadeChain { most_bytes: 400_000, ..chain() }, range(300_000, 300_045));
    let whole = staged(chain, Dataset::Logs, blocks);
    let reader = SerializedFileReader::new(File::open(whole.path()).unwrap()).unwrap();
    let sizes: Vec<i64> = reader.metadata().row_groups().iter().map(RowGroupMetaData::compressed_size).collect();
    // The bound is 32 MiB. A chunk of 1 MiB and a row may go beyond it; what was counted raw is compressed in the end.
    let [first, last] = sizes[..] else { panic!("{sizes:?}") };
    assert!((31 * MEBIBYTE..34 * MEBIBYTE).contains(&first), "{sizes:?}");
    assert!(last < 32 * MEBIBYTE, "{sizes:?}");
    assert_eq!(read_back(&whole, Dataset::Logs), chain.rows(Dataset::Logs, blocks));

    for batch_rows in [1, 13] {
        let in_batches = staged_in_batches(chain, Dataset::Logs, blocks, batch_rows);
        assert_eq!(in_batches.file(), whole.file(), "in batches of {batch_rows}");
    }
}

/// A change of these digests is a change of the format: a backfill of old ranges would no longer equal what is stored.
#[test]
fn the_bytes_of_format_1_stay_what_they_are() {
    let digests = Dataset::ALL.map(|dataset| staged(chain(), dataset, range(0, 500)).file().sha256.to_string());
    let expected = [
        "4fb2b6c43c7bea3adfdf63a6c8741451fe76c39f61d3448a1b8857e486c03647",
        "2f7ab6cb4217ce17c8f3135b91db0020074f00fa451197824708a6f31ec9bf5d",
        "4f709e92b63c7fcc374528db1ba014c8a9a61c1ec983f053d784ecf726f87c2d",
        "46aab02cda4a9d3021feaa419218e20a5a651419683fbf38383e6b5f346db69a",
    ];
    assert_eq!(digests, expected);
}

#[test]
fn a_partition_without_rows_is_a_file_without_rows() {
    let file = staged(chain(), Dataset::Logs, range(0, 1));
    assert_eq!(file.file().row_count, 0);
    assert_eq!(read_back(&file, Dataset::Logs).num_rows(), 0);
}

#[test]
fn the_footer_names_the_format_and_the_range_and_every_filter_is_there() {
    for dataset in Dataset::ALL {
        let file = staged(chain(), dataset, range(100, 400));
        let options = ReadOptionsBuilder::new().with_page_index().build();
        let reader = SerializedFileReader::new_with_options(File::open(file.path()).unwrap(), options).unwrap();
        let metadata = reader.metadata();
        let footer = metadata.file_metadata();
        assert_eq!(footer.created_by(), Some(CREATED_BY));
        let key_values = footer.key_value_metadata().unwrap();
        let key_values: Vec<_> =
            key_values.iter().map(|pair| (pair.key.as_str(), pair.value.as_deref().unwrap_or_default())).collect();
        let expected = [
            ("isotherm.schema_version", "1"),
            ("isotherm.chain_id", "31337"),
            ("isotherm.dataset", dataset.as_str()),
            ("isotherm.first_block", "100"),
            ("isotherm.last_block", "399"),
        ];
        assert_eq!(key_values, expected);
        assert!(metadata.column_index().is_some() && metadata.offset_index().is_some());

        let row_group = reader.get_row_group(0).unwrap();
        assert_eq!(row_group.metadata().sorting_columns().unwrap().len(), dataset.sort_columns().len());
        for (index, column) in dataset.columns().iter().enumerate() {
            let chunk = row_group.metadata().column(index);
            assert!(matches!(chunk.compression(), Compression::ZSTD(_)), "{}", column.name);
            assert!(chunk.statistics().is_some(), "{}", column.name);
            let wants_filter = column.column_type == ColumnType::FixedBytes(20)
                || ["block_hash", "transaction_hash"].contains(&column.name)
                || column.name.starts_with("topic");
            assert_eq!(chunk.bloom_filter_offset().is_some(), wants_filter, "{dataset}.{}", column.name);
        }
        let place = dataset.columns().iter().position(|column| column.name == "block_hash").unwrap();
        let filter = bloom_filter(&file, place);
        let rows_per_block = chain().rows_per_block(dataset, range(100, 400));
        let present = (100..).zip(rows_per_block).filter(|(_, row_count)| *row_count > 0);
        assert!(present.into_iter().all(|(block, _)| filter.check(chain().hash(block).as_slice())));
        let in_vain = (1_000..2_000).filter(|block| filter.check(chain().hash(*block).as_slice())).count();
        assert!(in_vain < 30, "{in_vain} of 1000 absent hashes pass the filter");
        // DuckDB up to 1.5.5 looks a BLOB up by the text that it shows it by.
        let shown: String = chain().hash(101).iter().map(|byte| shown_by_duckdb(*byte)).collect();
        assert!(filter.check(shown.as_str()));
    }
}

fn shown_by_duckdb(byte: u8) -> String {
    let plain = (b' '..=b'~').contains(&byte) && !b"\\'\"".contains(&byte);
    if plain { char::from(byte).to_string() } else { format!("\\x{byte:02X}") }
}

fn bloom_filter(file: &StagedFile, column: usize) -> Sbbf {
    let file = File::open(file.path()).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    builder.get_row_group_column_bloom_filter(0, column).unwrap().unwrap()
}

/// Writes `rows` as the partition `100..110` and returns the code of the error.
fn refusal(dataset: Dataset, rows: &RecordBatch) -> &'static str {
    let mut writer = writer(chain(), dataset, range(100, 110));
    let refused = writer.write(rows).and_then(|_| writer.finish(verdicts()).map(drop));
    refused.unwrap_err().code()
}

fn reordered(rows: &RecordBatch, order: impl IntoIterator<Item = u32>) -> RecordBatch {
    take_record_batch(rows, &UInt32Array::from_iter_values(order)).unwrap()
}

#[test]
fn rows_that_do_not_belong_are_refused() {
    let blocks = range(100, 110);
    for dataset in Dataset::ALL {
        let rows = chain().rows(dataset, blocks);
        let count = u32::try_from(rows.num_rows()).unwrap();
        assert!(count > 3);
        assert_eq!(refusal(dataset, &reordered(&rows, [1, 0])), "cold_store.row_order", "{dataset}");
        let doubled = [0, 0].into_iter().chain(1..count);
        assert_eq!(refusal(dataset, &reordered(&rows, doubled)), "cold_store.row_order", "{dataset}");
        let left_out = (0..count).filter(|row| *row != 2);
        assert_eq!(refusal(dataset, &reordered(&rows, left_out)), "cold_store.row_count", "{dataset}");
        assert_eq!(refusal(dataset, &rows.slice(0, rows.num_rows() - 1)), "cold_store.row_count", "{dataset}");

        let other_chain = MadeChain::new(1).rows(dataset, blocks);
        assert_eq!(refusal(dataset, &other_chain), "cold_store.wrong_chain", "{dataset}");
        let orphaned = MadeChain { seed: 1, ..chain() }.rows(dataset, blocks);
        assert_eq!(refusal(dataset, &orphaned), "cold_store.row_block_hash", "{dataset}");
        for outside in [range(96, 101), range(109, 112)] {
            let outside = chain().rows(dataset, outside);
            assert_eq!(refusal(dataset, &outside), "cold_store.outside_range", "{dataset}");
        }
        let fewer_columns = rows.project(&[0, 1]).unwrap();
        assert_eq!(refusal(dataset, &fewer_columns), "cold_store.columns", "{dataset}");
    }
}

#[test]
fn order_is_checked_across_batches() {
    let rows = chain().rows(Dataset::Logs, range(100, 110));
    let mut writer = writer(chain(), Dataset::Logs, range(100, 110));
    writer.write(&rows.slice(0, 3)).unwrap();
    let refused = writer.write(&rows.slice(2, 3)).unwrap_err();
    assert!(matches!(refused, ParquetFileError::Order { before, found, .. } if before == found));
}

#[test]
fn blocks_that_are_no_chain_are_refused() {
    let blocks = range(100, 110);
    let rows = chain().rows(Dataset::Blocks, blocks);
    let taken = |rows: &RecordBatch| {
        let mut builder = PartitionBlocks::builder(blocks);
        builder.push(rows).and_then(|()| builder.finish()).map_err(|error| error.code())
    };
    assert_eq!(taken(&rows).unwrap(), blocks_of(chain(), blocks));
    assert_eq!(taken(&rows).unwrap().parent_hash(), chain().hash(99));
    assert_eq!(taken(&rows.slice(0, 9)), Err("cold_store.missing_block"));
    assert_eq!(taken(&rows.slice(1, 9)), Err("cold_store.missing_block"));
    assert_eq!(taken(&reordered(&rows, [0, 2])), Err("cold_store.missing_block"));
    assert_eq!(taken(&chain().rows(Dataset::Blocks, range(100, 111))), Err("cold_store.missing_block"));
    let branch = MadeChain { seed: 1, ..chain() }.rows(Dataset::Blocks, range(105, 110));
    let forked = concat_batches(&rows.schema(), [&rows.slice(0, 5), &branch]).unwrap();
    assert_eq!(taken(&forked), Err("cold_store.broken_chain"));
}

#[test]
fn a_file_on_its_way_has_no_name_on_its_disk() {
    let scratch = tempfile::tempdir().unwrap();
    let blocks = range(0, 10);
    let mut writer = PartitionWriter::create(
        partition(chain(), Dataset::Blocks, blocks),
        blocks_of(chain(), blocks),
        None,
        scratch.path(),
    )
    .unwrap();
    writer.write(&chain().rows(Dataset::Blocks, blocks)).unwrap();
    let staged = writer.finish(verdicts()).unwrap();
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    let place = std::fs::read_link(staged.path()).unwrap();
    assert!(place.starts_with(scratch.path()), "{place:?}");
}
