//! Lies about what no root of a block commits to, and in forms that no block has: fields, types and sizes.

use serde_json::{Value, json};

use super::blocks::{in_transaction, rehashed};
use super::kind::{Elsewhere, LieKind, Pair, Tells};
use super::receipts::in_receipt;
use super::values::{change, flip, increment, items, items_of, power_of_two};

/// Their table.
pub(super) static KINDS: &[LieKind] = &[
    LieKind::new("another_sender", Tells::Block(|pair, _| in_transaction(pair, "from", change))),
    LieKind::new("another_parity", Tells::Block(another_parity)),
    LieKind::new("another_price", Tells::Block(|pair, _| in_receipt(pair, "effectiveGasPrice", increment))),
    LieKind::new(
        "price_of_2_to_the_120",
        Tells::Block(|pair, _| in_receipt(pair, "effectiveGasPrice", |price| power_of_two(price, 120))),
    ),
    LieKind::new(
        "price_of_2_to_the_127",
        Tells::Block(|pair, _| in_receipt(pair, "effectiveGasPrice", |price| power_of_two(price, 127))),
    ),
    LieKind::new("another_created_address", Tells::Block(another_created_address)),
    LieKind::new("contract_that_nobody_created", Tells::Block(contract_that_nobody_created)),
    LieKind::new("unsigned_fields", Tells::Block(unsigned_fields)),
    LieKind::new("unknown_type", Tells::Block(|pair, _| in_transaction(pair, "type", unknown_type))),
    // The hash fits: it is no field of the header.
    LieKind::new("added_header_field", Tells::Block(|pair, _| add_field(&mut pair.block))),
    LieKind::new("unknown_header_field", Tells::Block(|pair, _| hide_behind_a_field(&mut pair.block))),
    LieKind::new(
        "timestamp_of_2_to_the_40",
        Tells::Block(|pair, _| rehashed(pair, "timestamp", |timestamp| power_of_two(timestamp, 40))),
    ),
];

/// Later types tell the parity of a signature twice; `v` is made to contradict `yParity`.
fn another_parity(pair: &mut Pair, _: &Elsewhere) -> bool {
    let mut transactions = items_of(&mut pair.block, "transactions").iter_mut();
    let typed = transactions.find(|transaction| transaction["yParity"].is_string());
    typed.and_then(|transaction| transaction.get_mut("v")).is_some_and(flip)
}

fn another_created_address(pair: &mut Pair, _: &Elsewhere) -> bool {
    let receipts = items(&mut pair.receipts).iter_mut();
    receipts
        .filter_map(|receipt| receipt.get_mut("contractAddress"))
        .find(|address| address.is_string())
        .is_some_and(change)
}

fn contract_that_nobody_created(pair: &mut Pair, _: &Elsewhere) -> bool {
    let receipt = items(&mut pair.receipts).iter_mut().find(|receipt| receipt["contractAddress"].is_null());
    let Some(receipt) = receipt else { return false };
    receipt["contractAddress"] = json!(an_address());
    true
}

/// Fields beside those that a legacy transaction signs, as transactions of later types have them.
fn unsigned_fields(pair: &mut Pair, _: &Elsewhere) -> bool {
    let legacy = items_of(&mut pair.block, "transactions").iter_mut().find(|transaction| transaction["type"] == "0x0");
    let Some(legacy) = legacy else { return false };
    legacy["accessList"] = json!([{ "address": an_address(), "storageKeys": [] }]);
    legacy["maxFeePerGas"] = json!("0x1");
    legacy["maxPriorityFeePerGas"] = json!("0x1");
    true
}

fn an_address() -> String {
    format!("0x{}", "15".repeat(20))
}

/// A type that no EIP has yet. Source: EIP-2718, for the range.
fn unknown_type(transaction_type: &mut Value) -> bool {
    *transaction_type = json!("0x7e");
    true
}

/// A header field of no fork.
fn add_field(header: &mut Value) -> bool {
    header.as_object_mut().is_some_and(|fields| fields.insert("extraRoot".to_owned(), json!("0x15")).is_none())
}

/// A field of no fork, so that the hash of another one, which is altered, seems to be nobody's to check.
pub(super) fn hide_behind_a_field(header: &mut Value) -> bool {
    add_field(header) && header.get_mut("gasLimit").is_some_and(increment)
}
