//! The Bloom filters of one row group.
//!
//! Each value is in its filter twice: as its bytes, as the Parquet specification says, and as the text by which
//! DuckDB shows it. DuckDB up to 1.5.5 looks a BLOB up by that text (duckdb/duckdb#23053), so that with the bytes
//! alone `WHERE transaction_hash = …` silently finds nothing, in our queries and in anybody's who reads the bucket.
//! The second entry costs nothing but size: a filter may let more through than it must, never less.

use arrow::array::{Array, AsArray, FixedSizeBinaryArray, RecordBatch};
use isotherm_types::Dataset;
use isotherm_types::schema::{Column, ColumnType};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;

use super::chunks::ROW_GROUP_ROWS;

/// Share of row groups that a filter is sized to let through in vain, by the `parquet` crate's formula. That takes all blocks to be
/// equally full: a full row group without a value twice is let through once in 40 times (tests). A filter's size is a power of two:
/// this takes 256 KiB for it, half the share 512 KiB of every lookup.
const FALSE_POSITIVES: f64 = 0.02;
/// How often each value is in its filter.
const ENTRIES: u64 = 2;

/// A filter for each column that has one, in the order of the columns.
pub(super) struct BloomFilters(Vec<Option<Sbbf>>);

impl BloomFilters {
    pub(super) fn new(dataset: Dataset) -> Result<Self, ParquetError> {
        // Sized for a full row group; folded to what the values need at the end.
        let empty = || Sbbf::new_with_ndv_fpp(ENTRIES * ROW_GROUP_ROWS as u64, FALSE_POSITIVES);
        let filters = dataset.columns().iter().map(|column| is_looked_up(column).then(empty).transpose());
        Ok(Self(filters.collect::<Result<_, _>>()?))
    }

    pub(super) fn add(&mut self, rows: &RecordBatch) {
        for (filter, array) in self.0.iter_mut().zip(rows.columns()) {
            if let Some(filter) = filter {
                add_values(filter, array.as_fixed_size_binary());
            }
        }
    }

    pub(super) fn finish(self) -> Vec<Option<Sbbf>> {
        let mut filters = self.0;
        filters.iter_mut().flatten().for_each(|filter| filter.fold_to_target_fpp(FALSE_POSITIVES));
        filters
    }
}

fn add_values(filter: &mut Sbbf, values: &FixedSizeBinaryArray) {
    let mut before: Option<&[u8]> = None;
    let mut text = String::new();
    for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
        let value = values.value(row);
        if before.replace(value) == Some(value) {
            continue;
        }
        filter.insert(value);
        text.clear();
        duckdb_text(value, &mut text);
        filter.insert(text.as_str());
    }
}

/// Appends the text by which DuckDB shows a BLOB: printable ASCII as it is, every other byte as `\xNN`.
///
/// Source: <https://duckdb.org/docs/stable/sql/data_types/blob>; quotes and the backslash are escaped too (tried).
fn duckdb_text(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b'\'' | b'"') {
            text.push(char::from(*byte));
        } else {
            text.push_str("\\x");
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// Columns that people look for by value: addresses, topics, hashes of blocks and transactions.
fn is_looked_up(column: &Column) -> bool {
    const HASHES: [&str; 6] = ["block_hash", "transaction_hash", "topic0", "topic1", "topic2", "topic3"];
    column.column_type == ColumnType::FixedBytes(20) || HASHES.contains(&column.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_on_hashes_topics_and_addresses() {
        let looked_up = |dataset: Dataset| -> Vec<&str> {
            let columns = dataset.columns().iter().filter(|column| is_looked_up(column));
            columns.map(|column| column.name).collect()
        };
        assert_eq!(looked_up(Dataset::Blocks), ["block_hash", "author"]);
        let of_transactions = ["transaction_hash", "from_address", "to_address", "block_hash", "contract_address"];
        assert_eq!(looked_up(Dataset::Transactions), of_transactions);
        let of_logs = ["transaction_hash", "address", "topic0", "topic1", "topic2", "topic3", "block_hash"];
        assert_eq!(looked_up(Dataset::Logs), of_logs);
        let of_traces = ["action_from", "action_to", "result_address", "transaction_hash", "block_hash"];
        assert_eq!(looked_up(Dataset::Traces), of_traces);
    }

    #[test]
    fn a_filter_of_a_full_row_group_takes_256_kib_and_lets_one_stranger_in_40_through() {
        let value = |number: u64| {
            let mut value = [0_u8; 32];
            value[..8].copy_from_slice(&number.to_le_bytes());
            value
        };
        let rows = 0..ROW_GROUP_ROWS as u64;
        let rows = FixedSizeBinaryArray::try_from_iter(rows.map(value)).unwrap();
        let mut filters = BloomFilters::new(Dataset::Blocks).unwrap();
        add_values(filters.0.iter_mut().flatten().next().unwrap(), &rows);
        let filter = filters.finish().into_iter().flatten().next().unwrap();
        // 32 bytes a block. Source: the Parquet specification, `BloomFilter.md`.
        assert_eq!(filter.num_blocks() * 32, 256 << 10);
        let strangers = 1_000_000..1_200_000;
        let let_through = strangers.clone().filter(|number| filter.check(&value(*number)[..])).count();
        let share = let_through as f64 / strangers.count() as f64;
        assert!((0.02..0.03).contains(&share), "{share}");
    }

    #[test]
    fn a_blob_is_shown_as_duckdb_shows_it() {
        let mut text = String::new();
        duckdb_text(b"\x00a ~\x7f\\'\"\xff", &mut text);
        assert_eq!(text, r"\x00a ~\x7F\x5C\x27\x22\xFF");
    }
}
