//! Rows of `transactions` as the receipts that they are, but for the logs.

use alloy::consensus::Eip658Value;
use alloy::primitives::{B256, Bloom};
use arrow::array::{BooleanArray, FixedSizeBinaryArray, RecordBatch, UInt32Array, UInt64Array};
use isotherm_types::encoding::{EncodableReceipt, Items};

use super::RootFault;
use super::cells::{column, fixed, hash, hash_opt};
use super::encodings::Encodings;
use super::logs::{Logs, take};
use super::transactions::{not_encoded, type_number};

/// The receipts of one block.
pub(super) struct Receipts<'a>(Vec<Columns<'a>>);

/// Columns of a batch.
struct Columns<'a> {
    transaction_hash: &'a FixedSizeBinaryArray,
    transaction_type: &'a UInt32Array,
    success: &'a BooleanArray,
    post_state_root: &'a FixedSizeBinaryArray,
    gas_used: &'a UInt64Array,
    cumulative_gas_used: &'a UInt64Array,
    log_count: &'a UInt32Array,
}

/// One receipt.
#[derive(Clone, Copy)]
pub(super) struct ReceiptRow<'a> {
    columns: &'a Columns<'a>,
    row: usize,
}

impl<'a> Receipts<'a> {
    pub(super) fn of(batches: &'a [RecordBatch]) -> Result<Self, RootFault> {
        let of = |batch: &'a RecordBatch| -> Result<Columns<'a>, RootFault> {
            Ok(Columns {
                transaction_hash: fixed(batch, "transaction_hash", 32)?,
                transaction_type: column(batch, "transaction_type")?,
                success: column(batch, "success")?,
                post_state_root: fixed(batch, "post_state_root", 32)?,
                gas_used: column(batch, "gas_used")?,
                cumulative_gas_used: column(batch, "cumulative_gas_used")?,
                log_count: column(batch, "log_count")?,
            })
        };
        Ok(Self(batches.iter().map(of).collect::<Result<_, _>>()?))
    }

    /// The receipts in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = ReceiptRow<'_>> {
        self.0.iter().flat_map(|columns| (0..columns.gas_used.len()).map(move |row| ReceiptRow { columns, row }))
    }

    /// Checks that each one's gas is the step of the running total.
    ///
    /// The header's own total is not compared: from EIP-7778 on it counts gas before refunds. It is part of its hash.
    pub(super) fn check_gas(&self) -> Result<(), RootFault> {
        let mut before = 0u64;
        for (index, ReceiptRow { columns, row }) in (0..).zip(self.rows()) {
            let (gas_used, cumulative) = (columns.gas_used.value(row), columns.cumulative_gas_used.value(row));
            if before.checked_add(gas_used) != Some(cumulative) {
                return Err(RootFault::Gas { index, gas_used, before, cumulative });
            }
            before = cumulative;
        }
        Ok(())
    }

    /// The EIP-2718 encoding of each with its logs, and the Bloom filter of all of these. Logs must be numbered through
    /// the block without a gap.
    pub(super) fn encoded(&self, logs: &Logs<'_>) -> Result<(Encodings, Bloom), RootFault> {
        let mut encoded = Encodings::default();
        let bloom = self.each(logs, |index, receipt, bloom, joined| {
            encoded.push(|out| receipt.encode(index, bloom, Items(joined), out))
        })?;
        Ok((encoded, bloom))
    }

    /// The Bloom filter of all logs, which must be numbered through the block without a gap.
    pub(super) fn bloom(&self, logs: &Logs<'_>) -> Result<Bloom, RootFault> {
        self.each(logs, |_, _, _, _| Ok(()))
    }

    /// Has `see` look at each receipt, with its place, the Bloom filter of its logs and their RLP; returns the filter of
    /// all logs.
    fn each(
        &self,
        logs: &Logs<'_>,
        mut see: impl FnMut(u64, ReceiptRow<'_>, &Bloom, &[u8]) -> Result<(), RootFault>,
    ) -> Result<Bloom, RootFault> {
        let mut left = logs.rows();
        let (mut of_block, mut joined) = (Bloom::ZERO, Vec::new());
        for (index, receipt) in (0..).zip(self.rows()) {
            joined.clear();
            let bloom = take(&mut left, (index, receipt), &mut joined)?;
            of_block.accrue_bloom(&bloom);
            see(index, receipt, &bloom, &joined)?;
        }
        match left.next() {
            Some(log) => Err(log.misplaced()),
            None => Ok(of_block),
        }
    }
}

impl ReceiptRow<'_> {
    pub(super) fn transaction_hash(self) -> B256 {
        hash(self.columns.transaction_hash, self.row)
    }

    pub(super) fn log_count(self) -> u64 {
        u64::from(self.columns.log_count.value(self.row))
    }

    fn encode(self, index: u64, logs_bloom: &Bloom, logs: Items<'_>, out: &mut Vec<u8>) -> Result<(), RootFault> {
        let Self { columns, row } = self;
        let transaction_type = type_number(columns.transaction_type.value(row))?;
        let status = match hash_opt(columns.post_state_root, row) {
            Some(root) => Eip658Value::PostState(root),
            None => Eip658Value::Eip658(columns.success.value(row)),
        };
        let cumulative_gas_used = columns.cumulative_gas_used.value(row);
        let status = Some(status);
        let receipt = EncodableReceipt { transaction_type, status, cumulative_gas_used, logs_bloom, logs };
        receipt.encode(out).map_err(|reason| not_encoded(&reason, index))
    }
}
