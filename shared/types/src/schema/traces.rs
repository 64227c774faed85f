//! Columns of `traces`: one row a call frame, in the order of execution.

use super::ColumnType::{Bytes, FixedBytes, Text, UInt32, UInt64};
use super::{Column, optional, required};

pub(super) const COLUMNS: &[Column] = &[
    // cryo's
    optional("action_from", FixedBytes(20), "caller; contract that destroys itself; whoever is rewarded"),
    optional("action_to", FixedBytes(20), "callee; recipient of a destroyed contract's balance"),
    required("action_value", Text, "wei moved, decimal"),
    optional("action_gas", UInt64, "gas given to the frame"),
    optional("action_input", Bytes, "call data"),
    optional("action_call_type", Text, "`call`, `delegate_call`, `static_call` or `call_code`"),
    optional("action_init", Bytes, "init code of a creation"),
    optional("action_reward_type", Text, "`reward` (of a block), `uncle`, `empty_step` or `external`"),
    required("action_type", Text, "`call`, `create`, `suicide` or `reward`"),
    optional("result_gas_used", UInt64, "gas that the frame used; absent if it failed other than by REVERT"),
    optional("result_output", Bytes, "returned bytes, or the data of a REVERT"),
    optional("result_code", Bytes, "code of a created contract"),
    optional("result_address", FixedBytes(20), "address of a created contract"),
    required("trace_address", Text, "path of the frame: empty at the top, then `0`, `0_1`"),
    required("subtraces", UInt32, "frames directly below"),
    optional("transaction_index", UInt32, "position of its transaction; absent in rewards"),
    optional("transaction_hash", FixedBytes(32), "its transaction; absent in rewards"),
    required("block_number", UInt32, "block that holds it"),
    required("block_hash", FixedBytes(32), "hash of the block that holds it"),
    optional("error", Text, "why the frame failed, in the words of `trace_block`"),
    required("chain_id", UInt64, "chain that holds it"),
    // ours
    required("trace_index", UInt32, "position in the block, from 0"),
    required("timestamp", UInt32, "the block's, seconds since 1970-01-01 UTC"),
];
