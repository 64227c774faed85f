//! Lies about a block. Some give the block the hash that it then has, so that only a later check can find them.

use serde_json::Value;

use super::kind::{Elsewhere, LieKind, Pair, Tells};
use super::values::{change, change_bytes, increment, items_of, power_of_two, rehash, strip_transactions};

/// Their table.
pub(super) static KINDS: &[LieKind] = &[
    LieKind::new("null_block", Tells::Block(|pair, _| !std::mem::take(&mut pair.block).is_null())),
    LieKind::new("block_before", Tells::Block(|pair, elsewhere| replace(pair, &elsewhere.before))),
    LieKind::new("another_block_by_hash", Tells::BlockByHash(|pair, elsewhere| replace(pair, &elsewhere.before))),
    LieKind::new("another_field", Tells::Block(|pair, _| pair.block.get_mut("gasLimit").is_some_and(increment))),
    LieKind::new("another_hash", Tells::Block(|pair, _| pair.block.get_mut("hash").is_some_and(change))),
    LieKind::new("missing_field", Tells::Block(|pair, _| remove(&mut pair.block, "parentHash"))),
    LieKind::new(
        "gas_of_2_to_the_64",
        Tells::Block(|pair, _| pair.block.get_mut("gasUsed").is_some_and(|gas| power_of_two(gas, 64))),
    ),
    LieKind::new("wrong_parent", Tells::Block(|pair, _| rehashed(pair, "parentHash", change))),
    LieKind::new("another_bloom", Tells::Block(|pair, _| rehashed(pair, "logsBloom", change))),
    LieKind::new("another_header_gas", Tells::Block(|pair, _| rehashed(pair, "gasUsed", increment))),
    LieKind::new("another_transactions_root", Tells::Block(|pair, _| rehashed(pair, "transactionsRoot", change))),
    LieKind::new("another_receipts_root", Tells::Block(|pair, _| rehashed(pair, "receiptsRoot", change))),
    // Nothing in it is wrong: it is what a chain with two branches shows.
    LieKind::new("another_fork", Tells::Block(|pair, _| rehashed(pair, "mixHash", change))).in_company(),
    LieKind::new(
        "missing_transaction",
        Tells::Block(|pair, _| transactions(pair).is_some_and(|list| list.pop().is_some())),
    ),
    LieKind::new("doubled_transaction", Tells::Block(|pair, _| transactions(pair).is_some_and(double_last))),
    LieKind::new("swapped_transactions", Tells::Block(|pair, _| swap_first(items_of(&mut pair.block, "transactions")))),
    LieKind::new("another_value", Tells::Block(|pair, _| in_transaction(pair, "value", change))),
    LieKind::new("value_of_2_to_the_256", Tells::Block(|pair, _| in_transaction(pair, "value", beyond_256_bits))),
    LieKind::new("another_input", Tells::Block(|pair, _| in_transaction(pair, "input", change_bytes))),
    LieKind::new("another_transaction_hash", Tells::Block(|pair, _| in_transaction(pair, "hash", change))),
    LieKind::new("transaction_of_another_block", Tells::Block(|pair, _| in_transaction(pair, "blockHash", change))),
    LieKind::new("transactions_as_hashes", Tells::Block(transactions_as_hashes)),
];

fn replace(pair: &mut Pair, other: &Pair) -> bool {
    if other.block.is_null() || other.receipts.is_null() {
        return false;
    }
    pair.clone_from(other);
    true
}

fn remove(object: &mut Value, field: &str) -> bool {
    object.as_object_mut().is_some_and(|fields| fields.remove(field).is_some())
}

/// Changes a field of the header, and the hash with it.
pub(super) fn rehashed(pair: &mut Pair, field: &str, alter: fn(&mut Value) -> bool) -> bool {
    pair.block.get_mut(field).is_some_and(alter) && rehash(pair)
}

/// The transactions, of which there is at least one.
fn transactions(pair: &mut Pair) -> Option<&mut Vec<Value>> {
    pair.block.get_mut("transactions")?.as_array_mut().filter(|list| !list.is_empty())
}

/// Alters a field of the block's first transaction.
pub(super) fn in_transaction(pair: &mut Pair, field: &str, alter: fn(&mut Value) -> bool) -> bool {
    items_of(&mut pair.block, "transactions")
        .first_mut()
        .and_then(|transaction| transaction.get_mut(field))
        .is_some_and(alter)
}

fn transactions_as_hashes(pair: &mut Pair, _: &Elsewhere) -> bool {
    let has_any = transactions(pair).is_some();
    strip_transactions(&mut pair.block);
    has_any
}

fn beyond_256_bits(value: &mut Value) -> bool {
    power_of_two(value, 256)
}

/// Repeats the last item of a list that has one.
pub(super) fn double_last(list: &mut Vec<Value>) -> bool {
    let last = list.last().cloned();
    let has_any = last.is_some();
    list.extend(last);
    has_any
}

/// Swaps the first two items of a list that has them.
pub(super) fn swap_first(list: &mut [Value]) -> bool {
    match list {
        [first, second, ..] => {
            std::mem::swap(first, second);
            true
        }
        _ => false,
    }
}
