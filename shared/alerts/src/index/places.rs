//! The rank of a row among those of its transaction.

use crate::facts::{Column, Columns};

/// What rows of one transaction have in common: block and place in it; of rewards no place.
type Group = (u64, Option<u64>);

/// Goes over the batches of one dataset, in order. Each row is looked at once at most, whatever is asked.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    /// Of the last row of the batch before: its transaction, and how many rows of it there were.
    carried: Option<(Group, u32)>,
    /// The row that was asked for last, and the first one of its transaction in this batch.
    asked: Option<(usize, usize)>,
}

/// The columns that tell transactions apart.
#[derive(Clone, Copy)]
pub(super) struct GroupColumns<'a> {
    block: Column<'a>,
    transaction: Column<'a>,
}

impl<'a> GroupColumns<'a> {
    pub(super) fn of(columns: &Columns<'a>) -> Self {
        Self { block: columns.required("block_number"), transaction: columns.required("transaction_index") }
    }

    fn group(self, row: usize) -> Group {
        (self.block.number(row).unwrap_or(u64::MAX), self.transaction.number(row))
    }
}

impl Ranks {
    /// The rank of `row`, from 0. Rows are asked for in order.
    pub(super) fn rank(&mut self, columns: GroupColumns<'_>, row: usize) -> u32 {
        let group = columns.group(row);
        let mut start = row;
        loop {
            if let Some((asked, first)) = self.asked
                && asked == start
            {
                start = first;
                break;
            }
            if start == 0 || columns.group(start - 1) != group {
                break;
            }
            start -= 1;
        }
        self.asked = Some((row, start));
        let before = match self.carried {
            Some((carried, rows)) if start == 0 && carried == group => rows,
            _ => 0,
        };
        before.saturating_add(u32::try_from(row - start).unwrap_or(u32::MAX))
    }

    /// Goes on to the batch behind the one of so many rows.
    pub(super) fn finish(&mut self, columns: GroupColumns<'_>, rows: usize) {
        if let Some(last) = rows.checked_sub(1) {
            let rank = self.rank(columns, last);
            self.carried = Some((columns.group(last), rank.saturating_add(1)));
        }
        self.asked = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
    use isotherm_types::Dataset;

    use super::*;

    fn batch(rows: &[(u32, Option<u32>)]) -> RecordBatch {
        let blocks: ArrayRef = Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.0)));
        let transactions: ArrayRef = Arc::new(UInt32Array::from_iter(rows.iter().map(|row| row.1)));
        RecordBatch::try_from_iter_with_nullable([
            ("block_number", blocks, false),
            ("transaction_index", transactions, true),
        ])
        .unwrap()
    }

    proptest::proptest! {
        #[test]
        fn ranks_count_the_rows_of_a_transaction_over_all_cuts_into_batches(
            sizes in proptest::collection::vec(1u32..6, 1..12),
            cuts in proptest::collection::vec(1usize..7, 1..12),
            wanted in proptest::collection::vec(proptest::prelude::any::<bool>(), 80),
        ) {
            // Three transactions a block, the last one a reward.
            let mut rows = Vec::new();
            let mut expected = Vec::new();
            for (number, size) in (0u32..).zip(&sizes) {
                let transaction = (number % 3 != 2).then_some(number % 3);
                for rank in 0..*size {
                    rows.push((number / 3, transaction));
                    expected.push(rank);
                }
            }
            let mut ranks = Ranks::default();
            let (mut start, mut cuts) = (0, cuts.iter().cycle());
            while start < rows.len() {
                let end = (start + cuts.next().unwrap()).min(rows.len());
                let batch = batch(&rows[start..end]);
                let columns = Columns::of(&batch, Dataset::Traces);
                let columns = GroupColumns::of(&columns);
                for row in (start..end).filter(|row| wanted[*row % 80]) {
                    proptest::prop_assert_eq!(ranks.rank(columns, row - start), expected[row]);
                    proptest::prop_assert_eq!(ranks.rank(columns, row - start), expected[row], "asked twice");
                }
                ranks.finish(columns, end - start);
                start = end;
            }
        }
    }
}
