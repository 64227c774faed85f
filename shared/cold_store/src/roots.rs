//! Whether the rows of a block are what its header commits to, told from the rows alone.
//!
//! Header hash, transactions root, receipts root and Bloom filter are computed from the cells of `blocks`,
//! `transactions` and `logs`. Cells that no root covers are checked as far as others tell them: places, counts, gas.
//! The sender is not recovered. Pure; memory is that of one block.
//!
//! Source: Yellow Paper, 4.4; EIP-2718 and the EIP of each type and header field.

use alloy::primitives::keccak256;
use arrow::array::RecordBatch;
use isotherm_types::{B256, BlockNumber, Commitments};

mod cells;
mod encodings;
mod header;
mod logs;
mod receipts;
mod transactions;

use header::HeaderRow;
use logs::Logs;
use receipts::Receipts;
use transactions::Transactions;

/// The rows of exactly one block, in order.
#[derive(Clone, Copy, Debug)]
pub struct BlockRows<'a> {
    /// A batch of `blocks`, and the block's row in it.
    pub header: (&'a RecordBatch, usize),
    /// Batches of `transactions` with nothing but the block's rows.
    pub transactions: &'a [RecordBatch],
    /// The same of `logs`.
    pub logs: &'a [RecordBatch],
}

/// Why rows are not what their header commits to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootFault {
    /// The header is another one.
    #[error("the header hashes to {computed}, but its hash is {found}")]
    HeaderHash {
        /// Keccak-256 of the header that the cells make.
        computed: B256,
        /// Its cell.
        found: B256,
    },
    /// Transactions are missing, or there are too many.
    #[error("the header has {header} transactions, but {found} are there")]
    TransactionCount {
        /// As the header's row says.
        header: u64,
        /// Rows.
        found: u64,
    },
    /// Transactions are not numbered without a gap.
    #[error("transaction {found} stands where transaction {index} belongs")]
    TransactionPlace {
        /// Its place.
        index: u64,
        /// Its number.
        found: u64,
    },
    /// The transactions are others.
    #[error("the transactions have the root {computed}, but the header says {header}")]
    TransactionsRoot {
        /// As the header says.
        header: B256,
        /// Of the rows.
        computed: B256,
    },
    /// A transaction is stored under a hash that is not its own.
    #[error("transaction {index} hashes to {computed}, but its hash is {found}")]
    TransactionHash {
        /// Its place in the block.
        index: u64,
        /// Keccak-256 of its encoding.
        computed: B256,
        /// Its cell.
        found: B256,
    },
    /// Gas does not add up.
    #[error("transaction {index} used {gas_used} gas, but the running total goes from {before} to {cumulative}")]
    Gas {
        /// The transaction's place in the block.
        index: u64,
        /// Its gas.
        gas_used: u64,
        /// Total before it.
        before: u64,
        /// Total with it.
        cumulative: u64,
    },
    /// Logs are missing, or there are too many.
    #[error("transaction {index} has {expected} logs, but {found} are there")]
    LogCount {
        /// Its place in the block.
        index: u64,
        /// As its row says.
        expected: u64,
        /// Rows.
        found: u64,
    },
    /// A log names another transaction than the one at its place.
    #[error("log {index} names transaction {found}, but the one at its place is {expected}")]
    LogTransaction {
        /// Its place in the block.
        index: u64,
        /// As the log says.
        found: B256,
        /// As the transaction says.
        expected: B256,
    },
    /// Logs are not numbered without a gap, or are of no transaction of the block.
    #[error("log {found} of transaction {transaction} stands where log {index} belongs")]
    LogPlace {
        /// Its place in the block.
        index: u64,
        /// Its number.
        found: u64,
        /// The transaction that it names.
        transaction: u64,
    },
    /// The logs are others.
    #[error("the logs have another Bloom filter than the header")]
    LogsBloom {},
    /// The receipts are others.
    #[error("the receipts have the root {computed}, but the header says {header}")]
    ReceiptsRoot {
        /// As the header says.
        header: B256,
        /// Of the rows.
        computed: B256,
    },
    /// A batch has not the columns of its dataset.
    #[error("there is no column {column} of the type that it must have")]
    Column {
        /// Its name.
        column: &'static str,
    },
    /// A cell is empty that the row needs, or holds what is no value of its kind.
    #[error("{column} of row {row} has no value that it can have")]
    Cell {
        /// Its column.
        column: &'static str,
        /// Place of the row in the block.
        row: u64,
    },
    /// Nobody can say.
    #[error("{reason}")]
    Unverifiable {
        /// Why.
        reason: String,
    },
}

/// Checks that the rows of a block are what its header commits to, and that the header is what its hash says.
///
/// # Errors
/// The first [`RootFault`], in the order: header, transactions, logs, receipts, gas.
pub fn check_block(rows: &BlockRows<'_>) -> Result<(), RootFault> {
    check_block_by(rows, &Commitments::ALL)
}

/// The same, but only of those of `commitments` that count in the block. That transactions and logs are all there, and in
/// order, is checked of every block.
///
/// # Errors
/// As [`check_block`].
pub fn check_block_by(rows: &BlockRows<'_>, commitments: &Commitments) -> Result<(), RootFault> {
    let (batch, row) = rows.header;
    let header = HeaderRow::new(batch, row)?;
    let number = BlockNumber(header.number());
    let (computed, found) = (header.computed_hash(), header.hash());
    if commitments.header_hash.holds_at(number) && computed != found {
        return Err(RootFault::HeaderHash { computed, found });
    }
    let transactions = Transactions::of(rows.transactions)?;
    let found = transactions.count();
    if found != header.transaction_count() {
        return Err(RootFault::TransactionCount { header: header.transaction_count(), found });
    }
    transactions.check_places()?;
    if commitments.transactions_root.holds_at(number) {
        check_transactions(&header, &transactions)?;
    }
    let (receipts, logs) = (Receipts::of(rows.transactions)?, Logs::of(rows.logs)?);
    let (encoded, bloom) = if commitments.receipts_root.holds_at(number) {
        let (encoded, bloom) = receipts.encoded(&logs)?;
        (Some(encoded), bloom)
    } else {
        (None, receipts.bloom(&logs)?)
    };
    if commitments.logs_bloom.holds_at(number) && bloom != header.logs_bloom() {
        return Err(RootFault::LogsBloom {});
    }
    let computed = encoded.map(|encoded| encoded.root());
    if let Some(computed) = computed.filter(|computed| *computed != header.receipts_root()) {
        return Err(RootFault::ReceiptsRoot { header: header.receipts_root(), computed });
    }
    if commitments.gas_used.holds_at(number) { receipts.check_gas() } else { Ok(()) }
}

fn check_transactions(header: &HeaderRow, transactions: &Transactions<'_>) -> Result<(), RootFault> {
    let encoded = transactions.encoded()?;
    let computed = encoded.root();
    if computed != header.transactions_root() {
        return Err(RootFault::TransactionsRoot { header: header.transactions_root(), computed });
    }
    for (index, (bytes, found)) in (0..).zip(encoded.iter().zip(transactions.hashes())) {
        let computed = keccak256(bytes);
        if computed != found {
            return Err(RootFault::TransactionHash { index, computed, found });
        }
    }
    Ok(())
}

/// The hash of the header that a row of `blocks` makes; its cell `block_hash` is not looked at.
///
/// # Errors
/// [`RootFault::Column`].
pub fn header_hash(blocks: &RecordBatch, row: usize) -> Result<B256, RootFault> {
    Ok(HeaderRow::new(blocks, row)?.computed_hash())
}
