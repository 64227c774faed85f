//! Columns of `transactions`: the signed transaction and its receipt, complete enough to encode both again.

use super::ColumnType::{Boolean, Bytes, Decimal, FixedBytes, Float64, Text, UInt32, UInt64};
use super::{Column, optional, required};

pub(super) const COLUMNS: &[Column] = &[
    // cryo's
    required("block_number", UInt32, "block that holds it"),
    required("transaction_index", UInt64, "position in the block, from 0"),
    required("transaction_hash", FixedBytes(32), "Keccak-256 of the signed transaction's encoding"),
    required("nonce", UInt64, "sender's transaction count before it"),
    required("from_address", FixedBytes(20), "sender, recovered from the signature"),
    optional("to_address", FixedBytes(20), "recipient; absent when it creates a contract"),
    required("value_binary", FixedBytes(32), "wei sent, big endian"),
    required("value_string", Text, "wei sent, decimal, exact"),
    required("value_f64", Float64, "wei sent, rounded to a double"),
    required("input", Bytes, "call data, or init code of a creation"),
    required("gas_limit", UInt64, "most gas that it may use (`gas`)"),
    required("gas_used", UInt64, "gas that it used"),
    optional("gas_price", Decimal, "wei per gas that was paid (`effectiveGasPrice`)"),
    required("transaction_type", UInt32, "EIP-2718 type: 0 legacy, 1, 2, 3, 4"),
    optional("max_priority_fee_per_gas", Decimal, "wei per gas at most to the proposer (EIP-1559)"),
    optional("max_fee_per_gas", Decimal, "wei per gas at most in all (EIP-1559)"),
    required("success", Boolean, "whether it took effect"),
    required("n_input_bytes", UInt32, "length of `input`"),
    required("n_input_zero_bytes", UInt32, "zero bytes in `input`"),
    required("n_input_nonzero_bytes", UInt32, "other bytes in `input`"),
    required("chain_id", UInt64, "chain that holds it"),
    // ours
    required("block_hash", FixedBytes(32), "hash of the block that holds it"),
    required("timestamp", UInt32, "the block's, seconds since 1970-01-01 UTC"),
    optional("value", Decimal, "wei sent; absent only at 10^38 wei or more, where `value_string` is exact"),
    optional("signed_chain_id", UInt64, "chain id inside the signature; absent in legacy ones before EIP-155"),
    required("signature_y_parity", Boolean, "parity of the signature's y"),
    required("signature_r", FixedBytes(32), "the signature's r, big endian"),
    required("signature_s", FixedBytes(32), "the signature's s, big endian"),
    optional("access_list", Bytes, "RLP of the access list (EIP-2930); absent in legacy ones"),
    optional("max_fee_per_blob_gas", Decimal, "wei per blob gas at most (EIP-4844)"),
    optional("blob_versioned_hashes", Bytes, "the blobs' hashes, 32 bytes each, joined (EIP-4844)"),
    optional("authorization_list", Bytes, "RLP of the authorizations (EIP-7702)"),
    required("cumulative_gas_used", UInt64, "gas used in the block up to and with it"),
    optional("post_state_root", FixedBytes(32), "receipt's state root; only before Byzantium (EIP-658)"),
    optional("contract_address", FixedBytes(20), "address of the contract it created"),
    required("log_count", UInt32, "logs in its receipt"),
];
