//! Columns of `logs`.

use super::ColumnType::{Bytes, FixedBytes, UInt32, UInt64};
use super::{Column, optional, required};

pub(super) const COLUMNS: &[Column] = &[
    // cryo's
    required("block_number", UInt32, "block that holds it"),
    required("transaction_index", UInt32, "position of its transaction in the block"),
    required("log_index", UInt32, "position in the block, from 0"),
    required("transaction_hash", FixedBytes(32), "its transaction"),
    required("address", FixedBytes(20), "contract that emitted it"),
    optional("topic0", FixedBytes(32), "first topic; the event's signature unless it is anonymous"),
    optional("topic1", FixedBytes(32), "second topic"),
    optional("topic2", FixedBytes(32), "third topic"),
    optional("topic3", FixedBytes(32), "fourth topic"),
    required("data", Bytes, "arguments that are not indexed"),
    required("chain_id", UInt64, "chain that holds it"),
    // ours
    required("block_hash", FixedBytes(32), "hash of the block that holds it"),
    required("timestamp", UInt32, "the block's, seconds since 1970-01-01 UTC"),
];
