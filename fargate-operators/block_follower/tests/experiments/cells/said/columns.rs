//! Each column, and where and how the node says what belongs there.

use serde_json::Value;

use super::forms::{
    access_list, authorizations, byte_count, bytes, chain, count, double, flag, nonzero_byte_count, number, parity,
    run, signed_chain_id, word, zero_byte_count,
};

/// Which object of the node's answers a cell is from.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Block,
    Transaction,
    Receipt,
    Log,
}

use Of::{Block, Log, Receipt, Transaction};

/// A column, the object that tells it, a JSON pointer into that, and how the column writes what is there.
pub(super) type Cell = (&'static str, Of, &'static str, fn(&Value) -> String);

pub(super) const BLOCKS: &[Cell] = &[
    ("block_hash", Block, "/hash", bytes),
    ("author", Block, "/miner", bytes),
    ("block_number", Block, "/number", number),
    ("gas_used", Block, "/gasUsed", number),
    ("extra_data", Block, "/extraData", bytes),
    ("timestamp", Block, "/timestamp", number),
    ("base_fee_per_gas", Block, "/baseFeePerGas", number),
    ("chain_id", Block, "", chain),
    ("parent_hash", Block, "/parentHash", bytes),
    ("uncles_hash", Block, "/sha3Uncles", bytes),
    ("state_root", Block, "/stateRoot", bytes),
    ("transactions_root", Block, "/transactionsRoot", bytes),
    ("receipts_root", Block, "/receiptsRoot", bytes),
    ("logs_bloom", Block, "/logsBloom", bytes),
    ("difficulty", Block, "/difficulty", word),
    ("gas_limit", Block, "/gasLimit", number),
    ("mix_hash", Block, "/mixHash", bytes),
    ("nonce", Block, "/nonce", bytes),
    ("withdrawals_root", Block, "/withdrawalsRoot", bytes),
    ("blob_gas_used", Block, "/blobGasUsed", number),
    ("excess_blob_gas", Block, "/excessBlobGas", number),
    ("parent_beacon_block_root", Block, "/parentBeaconBlockRoot", bytes),
    ("requests_hash", Block, "/requestsHash", bytes),
    ("block_access_list_hash", Block, "/blockAccessListHash", bytes),
    ("slot_number", Block, "/slotNumber", number),
    ("transaction_count", Block, "/transactions", count),
];

pub(super) const TRANSACTIONS: &[Cell] = &[
    ("block_number", Block, "/number", number),
    ("transaction_index", Transaction, "/transactionIndex", number),
    ("transaction_hash", Transaction, "/hash", bytes),
    ("nonce", Transaction, "/nonce", number),
    ("from_address", Transaction, "/from", bytes),
    ("to_address", Transaction, "/to", bytes),
    ("value_binary", Transaction, "/value", word),
    ("value_string", Transaction, "/value", number),
    ("value_f64", Transaction, "/value", double),
    ("input", Transaction, "/input", bytes),
    ("gas_limit", Transaction, "/gas", number),
    ("gas_used", Receipt, "/gasUsed", number),
    ("gas_price", Receipt, "/effectiveGasPrice", number),
    ("transaction_type", Transaction, "/type", number),
    ("max_priority_fee_per_gas", Transaction, "/maxPriorityFeePerGas", number),
    ("max_fee_per_gas", Transaction, "/maxFeePerGas", number),
    ("success", Receipt, "/status", flag),
    ("n_input_bytes", Transaction, "/input", byte_count),
    ("n_input_zero_bytes", Transaction, "/input", zero_byte_count),
    ("n_input_nonzero_bytes", Transaction, "/input", nonzero_byte_count),
    ("chain_id", Block, "", chain),
    ("block_hash", Block, "/hash", bytes),
    ("timestamp", Block, "/timestamp", number),
    // Amounts of the laboratory fit a decimal column.
    ("value", Transaction, "/value", number),
    ("signed_chain_id", Transaction, "", signed_chain_id),
    ("signature_y_parity", Transaction, "", parity),
    ("signature_r", Transaction, "/r", word),
    ("signature_s", Transaction, "/s", word),
    ("access_list", Transaction, "/accessList", access_list),
    ("max_fee_per_blob_gas", Transaction, "/maxFeePerBlobGas", number),
    ("blob_versioned_hashes", Transaction, "/blobVersionedHashes", run),
    ("authorization_list", Transaction, "/authorizationList", authorizations),
    ("cumulative_gas_used", Receipt, "/cumulativeGasUsed", number),
    ("post_state_root", Receipt, "/root", bytes),
    ("contract_address", Receipt, "/contractAddress", bytes),
    ("log_count", Receipt, "/logs", count),
];

pub(super) const LOGS: &[Cell] = &[
    ("block_number", Block, "/number", number),
    ("transaction_index", Receipt, "/transactionIndex", number),
    ("log_index", Log, "/logIndex", number),
    ("transaction_hash", Receipt, "/transactionHash", bytes),
    ("address", Log, "/address", bytes),
    ("topic0", Log, "/topics/0", bytes),
    ("topic1", Log, "/topics/1", bytes),
    ("topic2", Log, "/topics/2", bytes),
    ("topic3", Log, "/topics/3", bytes),
    ("data", Log, "/data", bytes),
    ("chain_id", Block, "", chain),
    ("block_hash", Block, "/hash", bytes),
    ("timestamp", Block, "/timestamp", number),
];
