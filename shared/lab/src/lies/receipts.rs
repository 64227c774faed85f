//! Lies about a block's receipts and logs. The block itself stays as it is.

use serde_json::{Value, json};

use super::blocks::{double_last, swap_first};
use super::kind::{Elsewhere, LieKind, Pair, Tells};
use super::values::{change, change_bytes, flip, increment, items, items_of};

/// Their table.
pub(super) static KINDS: &[LieKind] = &[
    LieKind::new("null_receipts", Tells::Block(|pair, _| !std::mem::take(&mut pair.receipts).is_null())),
    LieKind::new("no_receipts", Tells::Block(no_receipts)),
    LieKind::new("receipts_of_the_block_before", Tells::Block(receipts_of_the_block_before)),
    LieKind::new("missing_receipt", Tells::Block(|pair, _| receipts(pair).is_some_and(|list| list.pop().is_some()))),
    LieKind::new("doubled_receipt", Tells::Block(|pair, _| receipts(pair).is_some_and(double_last))),
    LieKind::new("swapped_receipts", Tells::Block(|pair, _| swap_first(items(&mut pair.receipts)))),
    LieKind::new("receipt_of_another_block", Tells::Block(|pair, _| in_receipt(pair, "blockHash", change))),
    LieKind::new("wrong_transaction_index", Tells::Block(|pair, _| in_receipt(pair, "transactionIndex", increment))),
    LieKind::new("another_status", Tells::Block(|pair, _| in_receipt(pair, "status", flip))),
    LieKind::new("another_receipt_gas", Tells::Block(|pair, _| in_receipt(pair, "gasUsed", increment))),
    LieKind::new("another_cumulative_gas", Tells::Block(|pair, _| in_receipt(pair, "cumulativeGasUsed", increment))),
    LieKind::new("dropped_log", Tells::Block(|pair, _| logs(pair).is_some_and(|list| list.pop().is_some()))),
    LieKind::new("dropped_logs", Tells::Block(dropped_logs)),
    LieKind::new("doubled_logs", Tells::Block(doubled_logs)),
    LieKind::new("moved_log", Tells::Block(moved_log)),
    LieKind::new("wrong_log_index", Tells::Block(|pair, _| in_log(pair, "logIndex", increment))),
    LieKind::new("another_log_address", Tells::Block(|pair, _| in_log(pair, "address", change))),
    LieKind::new("another_log_data", Tells::Block(|pair, _| in_log(pair, "data", change_bytes))),
    LieKind::new("truncated_log_data", Tells::Block(|pair, _| in_log(pair, "data", truncate))),
    LieKind::new("another_topic", Tells::Block(|pair, _| in_log(pair, "topics", last_topic))),
    LieKind::new("dropped_topic", Tells::Block(|pair, _| in_log(pair, "topics", drop_topic))),
];

/// The receipts, of which there is at least one.
fn receipts(pair: &mut Pair) -> Option<&mut Vec<Value>> {
    pair.receipts.as_array_mut().filter(|list| !list.is_empty())
}

/// Alters a field of the block's first receipt.
pub(super) fn in_receipt(pair: &mut Pair, field: &str, alter: fn(&mut Value) -> bool) -> bool {
    items(&mut pair.receipts).first_mut().and_then(|receipt| receipt.get_mut(field)).is_some_and(alter)
}

/// The logs of the last receipt that has any.
fn logs(pair: &mut Pair) -> Option<&mut Vec<Value>> {
    let receipts = items(&mut pair.receipts).iter_mut().rev();
    receipts.filter_map(|receipt| receipt.get_mut("logs")?.as_array_mut()).find(|list| !list.is_empty())
}

/// Alters a field of the block's last log.
fn in_log(pair: &mut Pair, field: &str, alter: fn(&mut Value) -> bool) -> bool {
    logs(pair).and_then(|list| list.last_mut()?.get_mut(field)).is_some_and(alter)
}

fn no_receipts(pair: &mut Pair, _: &Elsewhere) -> bool {
    let has_any = receipts(pair).is_some();
    pair.receipts = json!([]);
    has_any
}

fn receipts_of_the_block_before(pair: &mut Pair, elsewhere: &Elsewhere) -> bool {
    let has_any = elsewhere.before.receipts.as_array().is_some_and(|list| !list.is_empty());
    if has_any {
        pair.receipts.clone_from(&elsewhere.before.receipts);
    }
    has_any
}

fn dropped_logs(pair: &mut Pair, _: &Elsewhere) -> bool {
    let mut has_any = false;
    for receipt in items(&mut pair.receipts) {
        if let Some(list) = receipt.get_mut("logs").and_then(Value::as_array_mut) {
            has_any |= !list.is_empty();
            list.clear();
        }
    }
    has_any
}

/// The last logs twice, all logs numbered again, so that number and Bloom filter fit.
fn doubled_logs(pair: &mut Pair, _: &Elsewhere) -> bool {
    let Some(list) = logs(pair) else { return false };
    let copy = list.clone();
    list.extend(copy);
    let all = items(&mut pair.receipts).iter_mut().flat_map(|receipt| items_of(receipt, "logs"));
    for (index, log) in all.enumerate() {
        log["logIndex"] = json!(format!("{index:#x}"));
    }
    true
}

/// A log in the receipt before its own, so that number, order and Bloom filter fit.
fn moved_log(pair: &mut Pair, _: &Elsewhere) -> bool {
    let receipts = items(&mut pair.receipts);
    let has_logs = |receipt: &Value| receipt["logs"].as_array().is_some_and(|list| !list.is_empty());
    let Some(place) = (1..receipts.len()).find(|place| has_logs(&receipts[*place])) else { return false };
    let log = receipts[place].get_mut("logs").and_then(Value::as_array_mut).map(|list| list.remove(0));
    let list = receipts[place - 1].get_mut("logs").and_then(Value::as_array_mut);
    match (log, list) {
        (Some(log), Some(list)) => {
            list.push(log);
            true
        }
        _ => false,
    }
}

/// One byte less; false if there is none.
fn truncate(data: &mut Value) -> bool {
    let Some(text) = data.as_str().filter(|text| text.len() > 3) else { return false };
    let shorter = text[..text.len() - 2].to_owned();
    *data = Value::String(shorter);
    true
}

fn last_topic(topics: &mut Value) -> bool {
    items(topics).last_mut().is_some_and(change)
}

fn drop_topic(topics: &mut Value) -> bool {
    topics.as_array_mut().is_some_and(|list| list.pop().is_some())
}
