//! Rows by runs of blocks, and what ends them.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, FixedSizeBinaryArray, UInt32Array, UInt64Array};
use isotherm_types::B256;
use isotherm_types::schema::ColumnType;
use parquet::arrow::ArrowWriter;

use super::*;
use crate::digest::Sha256Digest;
use crate::manifest::{RootVerdict, RootVerdicts};

const CHAIN_ID: ChainId = ChainId(143);

fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
}

/// Rows of `logs` at these places, otherwise empty.
fn logs(chain_id: ChainId, places: &[(u32, u32)]) -> RecordBatch {
    let count = places.len();
    let arrays = Dataset::Logs.columns().iter().map(|column| -> ArrayRef {
        match (column.column_type, column.name) {
            (ColumnType::UInt32, "block_number") => {
                Arc::new(UInt32Array::from_iter_values(places.iter().map(|(block, _)| *block)))
            }
            (ColumnType::UInt32, "log_index") => {
                Arc::new(UInt32Array::from_iter_values(places.iter().map(|(_, index)| *index)))
            }
            (ColumnType::UInt32, _) => Arc::new(UInt32Array::from(vec![0; count])),
            (ColumnType::UInt64, _) => Arc::new(UInt64Array::from(vec![chain_id.0; count])),
            (ColumnType::Bytes, _) => Arc::new(BinaryArray::from(vec![&b""[..]; count])),
            (ColumnType::FixedBytes(length), _) => {
                let values = std::iter::repeat_n(vec![0_u8; usize::from(length)], count);
                Arc::new(FixedSizeBinaryArray::try_from_iter(values).unwrap())
            }
            (other, name) => panic!("{name} of type {other:?} is no column of logs"),
        }
    });
    RecordBatch::try_new(Dataset::Logs.schema(), arrays.collect()).unwrap()
}

fn file(blocks: BlockRange, row_count: usize) -> DataFile {
    DataFile {
        key: String::new(),
        blocks,
        row_count: row_count as u64,
        size_bytes: 0,
        sha256: Sha256Digest::of(b""),
        first_block_hash: B256::ZERO,
        last_block_hash: B256::ZERO,
        schema_version: 1,
        writer_version: String::new(),
        roots: RootVerdicts::all(&RootVerdict::Ok),
    }
}

fn open(rows: &RecordBatch, blocks: BlockRange, at_most_bytes: usize) -> FileRows {
    let copy = tempfile::tempfile().unwrap();
    let mut writer = ArrowWriter::try_new(copy.try_clone().unwrap(), rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    FileRows::open(copy, (CHAIN_ID, Dataset::Logs), &file(blocks, rows.num_rows()), at_most_bytes).unwrap()
}

fn read(rows: &mut FileRows, blocks: BlockRange) -> Vec<u32> {
    rows.of(blocks).flat_map(|batch| block_numbers(&batch.unwrap()).to_vec()).collect()
}

#[test]
fn rows_come_by_runs_of_blocks_however_few_are_decoded_at_once() {
    let places = [(10, 0), (10, 1), (11, 0), (12, 0), (12, 1), (14, 0), (14, 1)];
    for at_most_bytes in [0, 1 << 30] {
        let mut rows = open(&logs(CHAIN_ID, &places), range(10, 16), at_most_bytes);
        assert_eq!(read(&mut rows, range(10, 12)), [10, 10, 11]);
        // Block 12 is passed over, and block 13 has none.
        assert_eq!(read(&mut rows, range(13, 14)), [0_u32; 0]);
        assert_eq!(read(&mut rows, range(14, 15)), [14, 14]);
        assert_eq!(read(&mut rows, range(15, 16)), [0_u32; 0]);
        assert_eq!(rows.problem(), None);
    }
}

#[test]
fn rows_end_with_the_first_that_does_not_belong() {
    let table = [
        (CHAIN_ID, vec![(10, 1), (10, 0)], Fault::OrderBroken),
        (CHAIN_ID, vec![(10, 0), (10, 0)], Fault::OrderBroken),
        (CHAIN_ID, vec![(11, 0), (10, 0)], Fault::OrderBroken),
        (CHAIN_ID, vec![(9, 0), (10, 0)], Fault::RowBlock),
        (CHAIN_ID, vec![(10, 0), (16, 0)], Fault::RowBlock),
        (ChainId(1), vec![(10, 0)], Fault::RowBlock),
    ];
    for (chain_id, places, fault) in table {
        let mut rows = open(&logs(chain_id, &places), range(10, 16), 1 << 30);
        assert!(rows.of(range(10, 16)).any(|batch| batch.is_err()), "{places:?}");
        assert_eq!(rows.problem().map(|problem| problem.fault), Some(fault), "{places:?}");
        assert!(rows.of(range(10, 16)).next().is_none(), "nothing comes after");
    }
}

#[test]
fn a_decoder_that_panics_is_stopped() {
    assert_eq!(guarded(|| 1), Some(1));
    assert_eq!(guarded(|| -> i32 { panic!("on purpose, in a test") }), None);
    assert_eq!(panicked().fault, Fault::NotParquet);
}
