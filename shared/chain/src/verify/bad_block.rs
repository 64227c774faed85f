//! The ways in which a block can be untrue, each naming the block and both values.

use alloy::primitives::{Address, B256, Bloom, U256, keccak256};
use isotherm_types::{BlockNumber, BlockRef};

/// A block that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum BadBlock {
    /// The block is not the next one of its run, or not the one asked for.
    #[error("{block} was served in place of block {expected}")]
    Number { block: BlockRef, expected: BlockNumber },
    /// A number that no chain reaches: block numbers stay below 2^63, which is what the stores hold.
    #[error("{block} has a number of 2^63 or more")]
    NumberTooHigh { block: BlockRef },
    /// The block is not the one asked for by its hash.
    #[error("{block} was served in place of {expected}")]
    Hash { block: BlockRef, expected: BlockRef },
    /// The block's parent is another one than the block before it in its run.
    #[error("{block} names {found} as its parent, but the block before it is {expected}")]
    ParentHash { block: BlockRef, found: B256, expected: B256 },
    /// The header does not hash to the block's hash.
    #[error("the header of {block} hashes to {computed}")]
    HeaderHash { block: BlockRef, computed: B256 },
    /// A header field or a transaction type that is not known here, on a chain whose profile refuses such.
    #[error(
        "{block} cannot be checked: {what}; if the chain has it, update Isotherm, or set \
         `checks.unknown_formats: accept` in the chain's profile"
    )]
    UnknownFormat { block: BlockRef, what: String },
    /// A number that no column has room for, and no chain a use.
    #[error("{block}, or something in it, has the {field} {value}, which is more than any column holds")]
    ValueTooLarge { block: BlockRef, field: &'static str, value: U256 },
    /// The transactions are not those of the header.
    #[error("the transactions of {block} have the root {computed}, its header says {header}")]
    TransactionsRoot { block: BlockRef, header: B256, computed: B256 },
    /// A transaction is served under a wrong hash.
    #[error("transaction {index} of {block} is served as {claimed} but hashes to {computed}")]
    TransactionHash { block: BlockRef, index: usize, claimed: B256, computed: B256 },
    /// A transaction says that it is in another block.
    #[error("transaction {index} of {block} says that it is in block {found}")]
    TransactionBlock { block: BlockRef, index: usize, found: B256 },
    /// A transaction or its receipt lacks what its type must have.
    #[error("transaction {index} of {block}, of type {transaction_type}, or its receipt has no {field}")]
    MissingField { block: BlockRef, index: usize, transaction_type: u8, field: &'static str },
    /// A transaction tells the parity of its signature twice, differently.
    #[error("transaction {index} of {block} has the v {v}, but the yParity {y_parity}")]
    Parity { block: BlockRef, index: usize, v: U256, y_parity: u8 },
    /// No key can have made a transaction's signature.
    #[error("transaction {index} of {block}, served as sent by {claimed}, has a signature that nobody can have made")]
    Signature { block: BlockRef, index: usize, claimed: Address },
    /// A transaction was signed by another account than it is served as sent by.
    #[error("transaction {index} of {block} is served as sent by {claimed} but was signed by {signer}")]
    Sender { block: BlockRef, index: usize, claimed: Address, signer: Address },
    /// Not one receipt for each transaction.
    #[error("{block} has {transactions} transactions but {receipts} receipts")]
    ReceiptCount { block: BlockRef, transactions: usize, receipts: usize },
    /// A receipt belongs to another transaction, place or block.
    #[error(
        "receipt {index} of {block} is for transaction {found} or another place, transaction {index} is {transaction}"
    )]
    ReceiptPlace { block: BlockRef, index: usize, transaction: B256, found: B256 },
    /// The receipts are not those of the header.
    #[error("the receipts of {block} have the root {computed}, its header says {header}")]
    ReceiptsRoot { block: BlockRef, header: B256, computed: B256 },
    /// The numbers of the logs have a gap.
    #[error("a log of {block} has the index {found} where {expected} is due")]
    LogIndex { block: BlockRef, expected: u64, found: u64 },
    /// The logs give another Bloom filter.
    #[error(
        "the logs of {block} give the Bloom filter with Keccak-256 {}, its header has the one with {}",
        keccak256(computed.as_slice()),
        keccak256(header.as_slice())
    )]
    LogsBloom { block: BlockRef, header: Box<Bloom>, computed: Box<Bloom> },
    /// A receipt's gas is not the step of the running total.
    #[error("receipt {index} of {block} used {gas_used} gas after {before}, but its total is {cumulative}")]
    ReceiptGas { block: BlockRef, index: usize, before: u64, gas_used: u64, cumulative: u64 },
    /// The receipts' gas is not the header's.
    #[error("the receipts of {block} used {receipts} gas, its header says {header}")]
    GasUsed { block: BlockRef, header: u64, receipts: u64 },
    /// A receipt names another price than its transaction pays.
    #[error("receipt {index} of {block} has the effective gas price {found}, but its transaction pays {computed}")]
    EffectiveGasPrice { block: BlockRef, index: usize, found: U256, computed: U256 },
    /// A receipt names another new contract than its transaction makes.
    #[error(
        "receipt {index} of {block} has the contract address {}, but that of its transaction is {}",
        shown(found.as_ref()),
        shown(computed.as_ref())
    )]
    ContractAddress { block: BlockRef, index: usize, found: Option<Address>, computed: Option<Address> },
    /// Some of a block's traces say that they are in another block.
    #[error("a trace of {block} says that it is in block {found}")]
    TraceBlock { block: BlockRef, found: B256 },
    /// Not one top frame for each transaction.
    #[error("{block} has {transactions} transactions, but {traced} of them are traced")]
    TraceCount { block: BlockRef, transactions: usize, traced: usize },
    /// A trace does not belong where it stands.
    #[error("trace {trace} of {block} is out of place: {problem}")]
    TracePlace { block: BlockRef, trace: usize, problem: &'static str },
    /// A top frame is another call than its transaction.
    #[error("the top frame of transaction {index} of {block} has the {field} {found}, the transaction has {expected}")]
    TopFrame { block: BlockRef, index: usize, field: &'static str, found: String, expected: String },
}

impl BadBlock {
    /// The block, as it was served.
    pub fn block(&self) -> BlockRef {
        match self {
            Self::Number { block, .. }
            | Self::NumberTooHigh { block }
            | Self::Hash { block, .. }
            | Self::ParentHash { block, .. }
            | Self::HeaderHash { block, .. }
            | Self::UnknownFormat { block, .. }
            | Self::ValueTooLarge { block, .. }
            | Self::TransactionsRoot { block, .. }
            | Self::TransactionHash { block, .. }
            | Self::TransactionBlock { block, .. }
            | Self::MissingField { block, .. }
            | Self::Parity { block, .. }
            | Self::Signature { block, .. }
            | Self::Sender { block, .. }
            | Self::ReceiptCount { block, .. }
            | Self::ReceiptPlace { block, .. }
            | Self::ReceiptsRoot { block, .. }
            | Self::LogIndex { block, .. }
            | Self::LogsBloom { block, .. }
            | Self::ReceiptGas { block, .. }
            | Self::GasUsed { block, .. }
            | Self::EffectiveGasPrice { block, .. }
            | Self::ContractAddress { block, .. }
            | Self::TraceBlock { block, .. }
            | Self::TraceCount { block, .. }
            | Self::TracePlace { block, .. }
            | Self::TopFrame { block, .. } => *block,
        }
    }

    /// Stable name. Never renamed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Number { .. } => "chain.bad_number",
            Self::NumberTooHigh { .. } => "chain.bad_number_too_high",
            Self::Hash { .. } => "chain.bad_hash",
            Self::ParentHash { .. } => "chain.bad_parent_hash",
            Self::HeaderHash { .. } => "chain.bad_header_hash",
            Self::UnknownFormat { .. } => "chain.bad_unknown_format",
            Self::ValueTooLarge { .. } => "chain.bad_value_too_large",
            Self::TransactionsRoot { .. } => "chain.bad_transactions_root",
            Self::TransactionHash { .. } => "chain.bad_transaction_hash",
            Self::TransactionBlock { .. } => "chain.bad_transaction_block",
            Self::MissingField { .. } => "chain.bad_missing_field",
            Self::Parity { .. } => "chain.bad_parity",
            Self::Signature { .. } => "chain.bad_signature",
            Self::Sender { .. } => "chain.bad_sender",
            Self::ReceiptCount { .. } => "chain.bad_receipt_count",
            Self::ReceiptPlace { .. } => "chain.bad_receipt_place",
            Self::ReceiptsRoot { .. } => "chain.bad_receipts_root",
            Self::LogIndex { .. } => "chain.bad_log_index",
            Self::LogsBloom { .. } => "chain.bad_logs_bloom",
            Self::ReceiptGas { .. } => "chain.bad_receipt_gas",
            Self::GasUsed { .. } => "chain.bad_gas_used",
            Self::EffectiveGasPrice { .. } => "chain.bad_effective_gas_price",
            Self::ContractAddress { .. } => "chain.bad_contract_address",
            Self::TraceBlock { .. } => "chain.bad_trace_block",
            Self::TraceCount { .. } => "chain.bad_trace_count",
            Self::TracePlace { .. } => "chain.bad_trace_place",
            Self::TopFrame { .. } => "chain.bad_top_frame",
        }
    }
}

fn shown(address: Option<&Address>) -> String {
    address.map_or_else(|| "none".to_owned(), ToString::to_string)
}
