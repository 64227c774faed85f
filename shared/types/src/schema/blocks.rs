//! Columns of `blocks`: the header, complete enough to recompute its hash.

use super::ColumnType::{Bytes, FixedBytes, UInt32, UInt64};
use super::{Column, optional, required};

pub(super) const COLUMNS: &[Column] = &[
    // cryo's
    required("block_hash", FixedBytes(32), "Keccak-256 of the RLP header"),
    required("author", FixedBytes(20), "beneficiary of the block (`miner`)"),
    required("block_number", UInt32, "position on the chain; genesis is 0"),
    required("gas_used", UInt64, "gas used by all transactions"),
    required("extra_data", Bytes, "bytes chosen by the proposer"),
    required("timestamp", UInt32, "seconds since 1970-01-01 UTC"),
    optional("base_fee_per_gas", UInt64, "wei per gas (EIP-1559); absent before London"),
    required("chain_id", UInt64, "chain (EIP-155)"),
    // ours
    required("parent_hash", FixedBytes(32), "hash of the block before"),
    required("uncles_hash", FixedBytes(32), "Keccak-256 of the RLP list of uncles (`sha3Uncles`)"),
    required("state_root", FixedBytes(32), "root of the state trie after the block"),
    required("transactions_root", FixedBytes(32), "root of the trie of transactions"),
    required("receipts_root", FixedBytes(32), "root of the trie of receipts"),
    required("logs_bloom", FixedBytes(256), "2048-bit Bloom filter of the logs"),
    required("difficulty", FixedBytes(32), "proof-of-work difficulty, big endian; 0 after the merge"),
    required("gas_limit", UInt64, "most gas that the block may use"),
    required("mix_hash", FixedBytes(32), "proof-of-work mix, later `prevRandao` (EIP-4399)"),
    required("nonce", FixedBytes(8), "proof-of-work nonce; 0 after the merge"),
    optional("withdrawals_root", FixedBytes(32), "root of the trie of withdrawals (EIP-4895)"),
    optional("blob_gas_used", UInt64, "blob gas used (EIP-4844)"),
    optional("excess_blob_gas", UInt64, "running excess of blob gas (EIP-4844)"),
    optional("parent_beacon_block_root", FixedBytes(32), "root of the parent beacon block (EIP-4788)"),
    optional("requests_hash", FixedBytes(32), "commitment to execution requests (EIP-7685)"),
    optional("block_access_list_hash", FixedBytes(32), "hash of the block access list (EIP-7928)"),
    optional("slot_number", UInt64, "slot of the block (EIP-7843)"),
    required("transaction_count", UInt32, "transactions in the block"),
];
